"""Finds an execution's declared inputs before anything is recorded, and fetches them afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from deriva_ml.asset import AssetFilePath, AssetSpec, LocalFile
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.definitions import RID, AssetRole, ExecAssetType, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.project import Project
from deriva_ml.records import Asset, Dataset


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


def fetch_asset(catalog: Catalog, asset: Asset, folder: Path) -> AssetFilePath:
    """Fetch one asset into ``folder``, read-only; a second time it is there already."""
    path = folder / asset.table / asset.rid / asset.filename
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
