"""What an execution is asked to do, and its inputs: found before anything is recorded, then fetched."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from deriva_ml.asset import AssetFilePath, AssetSpec, LocalFile
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, ExecAssetType, MLAsset, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


@dataclass
class ExecutionConfiguration:
    """An execution's declared inputs and description.

    Attributes:
        datasets: specifications, or RIDs standing for a current version.
        assets: specifications or RIDs of recorded assets, and local files. A plain text is always an RID and
            never a path, so that no text from elsewhere makes the runner read a file.
        workflow: what is executed; may be given to ``create_execution`` instead.
        description: Markdown.
        argv: the command line.
        config_choices: the entry chosen in each configuration group.
        parameters: values that were injected or overridden.
        overrides: Hydra's, as typed.
    """

    datasets: list[Any] = field(default_factory=list)
    assets: list[Any] = field(default_factory=list)
    workflow: Workflow | None = None
    description: str = ""
    argv: list[str] = field(default_factory=lambda: [Path(sys.argv[0]).name, *sys.argv[1:]])
    config_choices: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.datasets = [_specification(item, DatasetSpec) for item in self.datasets or []]
        self.assets = [
            _specification(item, LocalFile if isinstance(item, Mapping) and "path" in item else AssetSpec)
            for item in self.assets or []
        ]

    def to_json(self) -> dict[str, Any]:
        """A plain form of it, as recorded with the execution."""
        return asdict(self)


def _specification(item: Any, kind: type) -> Any:
    if isinstance(item, (DatasetSpec, AssetSpec, LocalFile)):
        return item
    if isinstance(item, Mapping):
        try:
            return kind(**item)
        except TypeError as error:
            raise DerivaMLRequestError(f"{dict(item)} does not describe an input: {error}") from error
    if isinstance(item, str) and item:
        return kind(rid=item)
    raise DerivaMLRequestError(
        f"{item!r} does not name an input: give an RID, a {kind.__name__} or a LocalFile"
    )


@dataclass(frozen=True)
class Inputs:
    """Declared inputs, all known to exist."""

    datasets: list[tuple[DatasetSpec, Dataset]]
    assets: list[Asset]
    files: list[tuple[LocalFile, Path]]


def resolve(configuration: ExecutionConfiguration, catalog: Catalog, project: Project) -> Inputs:
    """Look every declared input up.

    Raises:
        DerivaMLRequestError: one does not exist or is something else.
    """
    files = []
    for item in configuration.assets:
        if isinstance(item, LocalFile):
            path = project.root / Path(item.path).expanduser()
            if not path.is_file():
                raise DerivaMLRequestError(f"the input file {item.path} does not exist (looked for {path})")
            files.append((item, path))
    return Inputs(
        datasets=[(item, catalog.lookup_dataset(item.rid, item.version)) for item in configuration.datasets],
        assets=[
            catalog.lookup_asset(item.rid) for item in configuration.assets if isinstance(item, AssetSpec)
        ],
        files=files,
    )


def fetch_asset(catalog: Catalog, asset: Asset, folder: Path, directly: Path | None = None) -> AssetFilePath:
    """Fetch one asset into a place of its own under ``folder``, or ``directly`` into a folder; read-only.

    A second time it is there already.
    """
    path = directly / asset.filename if directly else folder / asset.table / asset.rid / asset.filename
    if not path.exists():
        catalog.fetch(asset, path)
    return AssetFilePath.make(path, asset.table, asset.filename, asset.types, asset.rid)


def fetch_dataset(catalog: Catalog, dataset: Dataset, folder: Path, materialize: bool = True) -> DatasetBag:
    """Fetch a dataset, with the datasets nested in it, into a folder of its own under ``folder``."""
    path = folder / dataset.rid
    path.mkdir(parents=True, exist_ok=True)
    members = {table: [dict(row) for row in rows] for table, rows in dataset.members.items()}
    if materialize:
        for rows in members.values():
            for row in rows:
                if "URL" in row:
                    row["Filename"] = str(fetch_asset(catalog, catalog.lookup_asset(row["RID"]), path))
    children = tuple(
        fetch_dataset(catalog, catalog.lookup_dataset(rid), folder, materialize) for rid in dataset.nested
    )
    return DatasetBag(replace(dataset, members=members), path, children)


def fetch(
    inputs: Inputs, catalog: Catalog, folder: Path, execution: RID | None
) -> tuple[list[DatasetBag], dict[str, list[AssetFilePath]]]:
    """Fetch all inputs into ``folder`` and link them to ``execution``; without one (a dry run) nothing is written.

    Returns:
        The bags, and the assets' paths by table.
    """
    bags, paths = [], []
    for spec, dataset in inputs.datasets:
        bags.append(fetch_dataset(catalog, dataset, folder, spec.materialize))
        if execution:
            catalog.link_dataset(execution, dataset)
    for asset in inputs.assets:
        paths.append(fetch_asset(catalog, asset, folder))
        if execution:
            catalog.link_asset(execution, asset, AssetRole.input)
    for item, source in inputs.files:
        types = tuple(item.asset_types or [ExecAssetType.input_file.value])
        if execution:
            recorded = catalog.add_file(source, item.description, types)
            catalog.link_asset(execution, recorded, AssetRole.input)
            paths.append(fetch_asset(catalog, recorded, folder))
        else:
            paths.append(AssetFilePath.make(source, MLAsset.file.value, source.name, types))
    by_table: dict[str, list[AssetFilePath]] = {}
    for path in paths:
        by_table.setdefault(path.asset_table, []).append(path)
    return bags, by_table
