"""What an execution is asked to do, and its inputs: found before anything is recorded, then fetched."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from deriva_ml.asset import AssetFilePath, AssetPaths, AssetSpec, LocalFile
from deriva_ml.catalog.connection import Connection
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.datasets.names import found
from deriva_ml.definitions import RID, Asset, Dataset, MLAsset, Row, Workflow
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.grouping import grouped
from deriva_ml.project import Project
from deriva_ml.untrusted import check_relative, plain_name


@dataclass
class ExecutionConfiguration:
    """An execution's declared inputs and description.

    Attributes:
        datasets: specifications, or RIDs standing for a current version; or versions by RID, None for the current one.
        assets: specifications or RIDs of recorded assets, and local files. A plain text is always an RID and
            never a path, so that no text from elsewhere makes the runner read a file.
        workflow: what is executed; may be given to ``create_execution`` instead.
        description: Markdown.
        argv: the command line.
        config_choices: the entry chosen in each configuration group.
        parameters: their values: of a notebook's when the execution starts, of a model's settings when it is called.
        parameters_given: values that were given, rather than left at what the code says; code may have changed them.
        parameters_not_set: those of a notebook that have no value yet.
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
    parameters_given: dict[str, Any] = field(default_factory=dict)
    parameters_not_set: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.datasets, Mapping):
            self.datasets = [{"rid": rid, "version": version} for rid, version in self.datasets.items()]
        self.datasets = [_specification(item, DatasetSpec) for item in self.datasets or []]
        self.assets = [
            _specification(item, LocalFile if isinstance(item, Mapping) and "path" in item else AssetSpec)
            for item in self.assets or []
        ]

    def to_json(self) -> dict[str, Any]:
        """A plain form of it, as recorded with the execution."""
        from deriva_ml.execution.values import as_json

        def plain(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: as_json(value, whole=True) for name, value in values.items()}

        given = plain(self.parameters_given)
        return asdict(replace(self, parameters=plain(self.parameters), parameters_given=given))


def _specification(item: Any, kind: Any) -> Any:
    if isinstance(item, (DatasetSpec, AssetSpec, LocalFile)):
        return item
    if isinstance(item, Mapping):
        # A composed configuration has those, too.
        found_out = {one.name for one in fields(kind) if not one.init}
        try:
            return kind(**{name: value for name, value in item.items() if name not in found_out})
        except TypeError as error:
            raise DerivaMLRequestError(f"{dict(item)} does not describe an input: {error}") from error
    if isinstance(item, str) and item:
        return kind.from_shorthand(item) if kind is DatasetSpec else kind(rid=item)
    raise DerivaMLRequestError(
        f"{item!r} does not name an input: give an RID in quotes, {kind.__name__}Config(...) or LocalFileConfig(...)"
    )


class DatasetBags(list[DatasetBag]):
    """The bags of an execution's declared datasets, in the order of their declaration."""

    def keys(self) -> list[RID]:
        """Return the RIDs of the datasets."""
        return [bag.dataset_rid for bag in self]

    values = list.copy

    def items(self) -> list[tuple[RID, DatasetBag]]:
        """Return RID and bag of each."""
        return [(bag.dataset_rid, bag) for bag in self]

    def __contains__(self, one: object) -> bool:
        return one in self.keys() if isinstance(one, str) else super().__contains__(one)

    def __getitem__(self, place: Any) -> Any:
        """Return the bag at a place, or of the dataset with an RID."""
        try:
            return dict(self.items())[place] if isinstance(place, str) else super().__getitem__(place)
        except LookupError:
            raise NoDataset(
                f"there is no dataset [{place}] here, of {len(self)}; choose some with datasets=ENTRY, as"
                " --list-configs shows"
            ) from None


class NoDataset(DerivaMLException, IndexError, KeyError):
    """The code asks for a dataset that was not declared."""

    __str__ = Exception.__str__  # KeyError's puts the text in quotes


@dataclass(frozen=True)
class Inputs:
    """Declared inputs, all known to exist."""

    datasets: list[tuple[DatasetSpec, Dataset]]
    assets: list[Asset]
    files: list[tuple[LocalFile, Path]]


def resolve(configuration: ExecutionConfiguration, source: Source, project: Project) -> Inputs:
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
            if _is_lfs_pointer(path):
                raise DerivaMLRequestError(
                    f"the input file {item.path} is a Git LFS pointer, not the file: git lfs pull"
                )
            files.append((item, path))
    rids = [item.rid for item in configuration.assets if isinstance(item, AssetSpec)]
    assets = source.lookup_assets(rids) if rids else []
    for asset in assets:
        if not _is_stored(asset.url):
            raise DerivaMLRequestError(
                f"asset {asset.rid} ({asset.filename}) cannot be fetched: the catalog knows of it as {asset.url}"
                " and has no content of it"
            )
    return Inputs(
        datasets=[found(item, source, project) for item in configuration.datasets],
        assets=assets,
        files=files,
    )


def _is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves for a content that was not fetched.

    Its form: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, "The Pointer".
    """
    with path.open("rb") as file:
        head = file.read(LFS_POINTER_BYTES)
    if len(head) == LFS_POINTER_BYTES or not head.startswith(b"version https://git-lfs.github.com/spec/v1"):
        return False
    return re.search(rb"^oid sha256:[0-9a-f]{64}\r?$", head, re.MULTILINE) is not None


LFS_POINTER_BYTES = 1024  # a pointer is shorter


Wanted = dict[Path, Asset]
"""Assets by where their contents are to be."""


def _is_stored(url: str) -> bool:
    """True if a URL is that of an object in the catalog's own store; other files are known by reference only."""
    return url.startswith("/hatrac/")


def _place(asset: Asset, folder: Path, path: str = "") -> Path:
    """The place of its own that an asset has under a folder, or the one at a path of a dataset; neither leads out of it."""
    if path:
        return folder / check_relative(path)
    return folder.joinpath(*map(plain_name, (asset.table, asset.rid, asset.filename)))


def _fetch(source: Source, wanted: Wanted) -> None:
    """Fetch all that is not there already."""
    missing = [(asset, path) for path, asset in wanted.items() if not path.exists()]
    if missing:
        source.fetch_all(missing)


def fetch_asset(source: Source, asset: Asset, folder: Path, directly: Path | None = None) -> AssetFilePath:
    """Fetch one asset into a place of its own under ``folder``, or ``directly`` into a folder; read-only.

    A second time it is there already.
    """
    path = directly / plain_name(asset.filename) if directly else _place(asset, folder)
    _fetch(source, {path: asset})
    return AssetFilePath.of(asset, path, asset.rid)


def fetch_dataset(source: Source, dataset: Dataset, folder: Path, materialize: bool = True) -> DatasetBag:
    """Fetch a dataset, with the datasets nested in it, into a folder of its own under ``folder``."""
    wanted: Wanted = {}
    bag = _bag(dataset, folder / _folder_name(dataset), wanted if materialize else None)
    _fetch(source, wanted)
    return bag


def _folder_name(dataset: Dataset) -> str:
    return plain_name(f"{dataset.rid}-{dataset.version}")


def _bag(dataset: Dataset, path: Path, wanted: Wanted | None) -> DatasetBag:
    """The bag that a dataset is once what this adds to ``wanted`` has been fetched; None is for no files."""

    def local(table: str, row: Row) -> Row:
        asset = Asset.from_row(table, row)
        if asset is None:
            return row
        place = asset.filename
        if wanted is not None and asset.md5 and _is_stored(asset.url):
            # Only a manifest says where a file lies in a dataset; a table of a server may have such a column, too.
            laid_out = dataset.digest and table == MLAsset.file
            there = _place(asset, path, row.get("Path") or "" if laid_out else "")
            wanted[there] = asset
            place = str(there)
        return {**row, "Filename": place}

    def all_local(tables: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
        return {table: [local(table, row) for row in rows] for table, rows in tables.items()}

    path.mkdir(parents=True, exist_ok=True)
    here = replace(dataset, members=all_local(dataset.members), references=all_local(dataset.references))
    parts = (
        _bag(one, path / check_relative(one.folder) if one.folder else path, wanted) for one in dataset.nested
    )
    return DatasetBag(here, path, tuple(parts))


def fetch(
    inputs: Inputs, connection: Connection, folder: Path, execution: RID | None
) -> tuple[list[DatasetBag], dict[str, list[AssetFilePath]]]:
    """Fetch all inputs into ``folder`` and link them to ``execution``, by its RID here; without one (a dry run) nothing is written.

    Returns:
        The bags, and the assets' paths by table.
    """
    assets, wanted = list(inputs.assets), Wanted()
    unrecorded = []
    for item, path in inputs.files:
        if execution:
            assets.append(connection.delivery.add_file(path, item.description, item.types))
        else:
            unrecorded.append(AssetFilePath.make(path, MLAsset.file.value, path.name, item.types))
    bags = [
        _bag(dataset, folder / _folder_name(dataset), wanted if spec.materialize else None)
        for spec, dataset in inputs.datasets
    ]
    places = {_place(asset, folder): asset for asset in assets}
    _fetch(connection.source, wanted | places)
    if execution:
        for _, dataset in inputs.datasets:
            connection.delivery.link_input(execution, dataset)
        for asset in assets:
            connection.delivery.link_input(execution, asset)
    paths = [*(AssetFilePath.of(asset, place, asset.rid) for place, asset in places.items()), *unrecorded]
    return DatasetBags(bags), AssetPaths(grouped((path.asset_table, path) for path in paths))
