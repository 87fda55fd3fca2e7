"""How configurations name datasets, and the bags that a run reads them from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.asset import AssetFilePath, AssetPaths
from deriva_ml.definitions import FILE_COLUMNS, RID, Dataset, Row
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.lazy import builds_of
from deriva_ml.upstream import Upstream, accepting

if TYPE_CHECKING:
    import pandas

    DatasetSpecConfig: Any
    _AsUpstream = object
else:
    _AsUpstream = accepting("timeout fetch_concurrency reachability_concurrency")


def is_rid(text: str) -> bool:
    """Whether a text is read as an RID: it has capital letters, digits and hyphens only, which no name has."""
    return re.fullmatch(r"[0-9A-Z-]+", text) is not None


@dataclass
class DatasetSpec(_AsUpstream):
    """A dataset that a run reads.

    Attributes:
        rid: of the dataset; it may have a name instead.
        version: three numbers, such as ``1.0.0``, ``[1, 0, 0]`` or ``{"major": 1, "minor": 0, "patch": 0}``; None for
            the current one.
        materialize: fetch the files as well as the tables' rows; without, the rows say what the files are.
        description: for the reader of the configuration.
        name: what ``datasets.toml`` calls it, for configurations that mean the same in every clone and catalog.
        digest: of the version's manifest, once it has been looked up.
        exclude_tables: refused, unless it is empty: a bag has all of its dataset.
        timeout, fetch_concurrency, reachability_concurrency: accepted, as in upstream's configurations.
    """

    rid: RID = ""
    version: Any = None
    materialize: bool = True
    description: str = ""
    exclude_tables: Any = None
    name: str = ""
    digest: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if not self.rid and not self.name:
            raise DerivaMLRequestError("a dataset is meant by its rid or by its name: give one of them")
        if self.exclude_tables:
            raise DerivaMLRequestError(
                "exclude_tables is not here: read the tables that are wanted from the bag"
            )
        version = self.version
        if isinstance(version, Mapping):
            version = [version.get(part, 0) for part in ("major", "minor", "patch")]
        if version is not None and not isinstance(version, str):
            self.version = ".".join(map(str, version))

    @classmethod
    def from_shorthand(cls, s: str) -> DatasetSpec:
        """Return what ``RID``, ``NAME``, ``RID@VERSION`` or ``NAME@VERSION`` means; without a version the current one.

        An RID has capital letters, digits and hyphens only, which no name has.

        Raises:
            DerivaMLRequestError: it is none of these.
        """
        which, _, version = s.partition("@")
        if not which or "@" in version:
            raise DerivaMLRequestError(
                f"{s!r} names no dataset: write RID or NAME, or RID@VERSION or NAME@VERSION"
            )
        rid, name = (which, "") if is_rid(which) else ("", which)
        return cls(rid, version or None, name=name)


@dataclass(frozen=True)
class DatasetBag(Upstream):
    """A dataset at a version, fetched into a folder.

    The rows of files have in ``Filename`` where the content was fetched to, or its name alone where it was not.

    Attributes:
        dataset: its record.
        path: the folder with the files: at the paths that they have in the dataset, those of nested datasets in the
            folders of these. Files that a catalog knows no path of are at ``<path>/<table>/<RID>/<filename>``.
        children: the bags of datasets nested in it.
    """

    dataset: Dataset
    path: Path
    children: tuple[DatasetBag, ...] = field(default=())

    @property
    def dataset_rid(self) -> RID:
        """The dataset's RID."""
        return self.dataset.rid

    @property
    def version(self) -> str:
        """The version that was fetched."""
        return self.dataset.version

    @property
    def description(self) -> str:
        """Markdown."""
        return self.dataset.description

    @property
    def dataset_types(self) -> list[str]:
        """Terms of the ``Dataset_Type`` vocabulary."""
        return list(self.dataset.types)

    def list_dataset_members(self, recurse: bool = False) -> dict[str, list[Row]]:
        """The members' rows by table, with those of nested datasets if ``recurse``."""
        return _merged(bag.dataset.members for bag in (self, *(self._below() if recurse else ())))

    def list_dataset_children(self, recurse: bool = False) -> list[DatasetBag]:
        """The bags of nested datasets, with those nested in them if ``recurse``."""
        return self._below() if recurse else list(self.children)

    def _below(self) -> list[DatasetBag]:
        return [bag for child in self.children for bag in (child, *child._below())]

    def _tables(self) -> dict[str, list[Row]]:
        """All rows by table: members and what they refer to, of this dataset and those nested in it."""
        datasets = [bag.dataset for bag in (self, *self._below())]
        return _merged([*(one.members for one in datasets), *(one.references for one in datasets)])

    def list_tables(self) -> list[str]:
        """Names of the tables that have rows here: members, and what they refer to."""
        return [table for table, rows in self._tables().items() if rows]

    def get_table_as_dict(self, table: str) -> Iterator[Row]:
        """The rows of one table: members and rows that members refer to, nested datasets' included.

        Raises:
            DerivaMLRequestError: the bag has no such table.
        """
        tables = self._tables()
        if table not in tables:
            raise DerivaMLRequestError(
                f"dataset {self.dataset_rid} has no table {table}; it has {', '.join(tables) or 'none'}"
            )
        yield from tables[table]

    def get_table_as_dataframe(self, table: str) -> pandas.DataFrame:
        """The rows of one table, as ``get_table_as_dict`` has them, as a data frame; needs pandas."""
        import pandas

        return pandas.DataFrame(list(self.get_table_as_dict(table)))

    @property
    def asset_paths(self) -> AssetPaths:
        """The fetched files by table, nested datasets' included."""
        found = {
            table: [
                AssetFilePath.make(path, table, path.name, rid=row["RID"])
                for row in rows
                if (path := Path(row["Filename"])).is_absolute()
            ]
            for table, rows in self._tables().items()
            if rows and rows[0].keys() >= FILE_COLUMNS
        }
        return AssetPaths(found)


def _merged(sources: Iterable[Mapping[str, list[Row]]]) -> dict[str, list[Row]]:
    """Rows by table from several sources that were read at one time; one that several have is there once."""
    tables: dict[str, dict[tuple[RID, Any], Row]] = {}  # a file may be at several places
    for source in sources:
        for table, rows in source.items():
            tables.setdefault(table, {}).update(
                ((row["RID"], row.get("Path") and row["Filename"]), row) for row in rows
            )
    return {table: list(held.values()) for table, held in tables.items()}


__getattr__ = builds_of(__name__, DatasetSpecConfig=DatasetSpec)
