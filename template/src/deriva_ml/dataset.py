"""How configurations name datasets, and the bags that a run reads them from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.asset import AssetFilePath, AssetPaths
from deriva_ml.bags.methods import BagMethods
from deriva_ml.dataset_version import DatasetHistory, DatasetVersion
from deriva_ml.definitions import RID, Dataset, Row, is_rid
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.lazy import builds_of
from deriva_ml.upstream import Upstream, accepting

if TYPE_CHECKING:
    from deriva_ml.bags.rows import Name

    DatasetSpecConfig: Any


@dataclass
@accepting("timeout fetch_concurrency reachability_concurrency")
class DatasetSpec:
    """A dataset that a run reads.

    Attributes:
        rid: of the dataset; it may have a name instead.
        version: three numbers, such as ``1.0.0``, ``[1, 0, 0]`` or ``{"major": 1, "minor": 0, "patch": 0}``; None for
            the current one.
        materialize: fetch the files as well as the tables' rows; without, the rows say what the files are.
        description: for the reader of the configuration.
        name: what ``datasets.toml`` calls it, for configurations that mean the same in every clone and catalog.
        digest: of the version's manifest; one that is given has to be that of what is found.
        exclude_tables: refused, unless it is empty: a bag has all of its dataset.
        timeout, fetch_concurrency, reachability_concurrency: accepted, as in upstream's configurations.
    """

    rid: RID = ""
    version: Any = None
    materialize: bool = True
    description: str = ""
    exclude_tables: Any = None
    name: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.rid and not self.name:
            raise DerivaMLRequestError("a dataset is meant by its rid or by its name: give one of them")
        if self.exclude_tables:
            raise DerivaMLRequestError("exclude_tables is not here: read those that are wanted from the bag")
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
class DatasetBag(BagMethods, Upstream):
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
    _parents: list[DatasetBag] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for child in self.children:
            child._parents.append(self)

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

    def list_dataset_members(
        self, recurse: bool = False, limit: int | None = None, **_: Any
    ) -> dict[str, list[Row]]:
        """The members' rows by table, with those of nested datasets if ``recurse``; at most ``limit`` of each.

        ``Path`` in a file's row is below the bag's folder, whichever dataset the file is of.
        """
        from deriva_ml.bags.rows import members

        return {table: rows[:limit] for table, rows in members(self, recurse).items()}

    def list_dataset_children(self, recurse: bool = False, **_: Any) -> list[DatasetBag]:
        """The bags of nested datasets, with those nested in them if ``recurse``."""
        return self._below() if recurse else list(self.children)

    def _below(self) -> list[DatasetBag]:
        return [bag for child in self.children for bag in (child, *child._below())]

    def list_dataset_parents(self, recurse: bool = False, **_: Any) -> list[DatasetBag]:
        """The bags that this one is nested in, of those that were fetched with it; all above them too if ``recurse``."""
        top = self
        while top._parents:
            top = top._parents[-1]
        found = {
            bag.dataset_rid: bag
            for bag in (top, *top._below())
            if any(child.dataset_rid == self.dataset_rid for child in bag.children)
        }
        if recurse:
            found = {
                one.dataset_rid: one for bag in found.values() for one in bag.list_dataset_parents(True)
            } | found
        return list(found.values())

    def list_dataset_element_types(self) -> list[Name]:
        """The tables that members are rows of: texts that have a ``name``, as upstream's tables have."""
        from deriva_ml.bags.rows import Name, members

        nested = [Name("Dataset")] if self.children else []
        return nested + [Name(table) for table, rows in members(self).items() if rows]

    @property
    def current_version(self) -> DatasetVersion:
        """The version that was fetched, in its order among others."""
        return DatasetVersion(self.version)

    def dataset_history(self) -> list[DatasetHistory]:
        """The dataset's versions, and working states, up to this one; the oldest first."""
        return [DatasetHistory.of(state) for state in reversed(self.dataset.history)]

    def list_executions(self) -> list[RID]:
        """The executions that had read the dataset when it was fetched."""
        return list(self.dataset.executions)

    @property
    def asset_paths(self) -> AssetPaths:
        """The fetched files by table, nested datasets' included."""
        from deriva_ml.bags.rows import all_rows, content, is_file

        found = {
            table: [
                AssetFilePath.make(path, table, path.name, rid=row["RID"])
                for row in rows
                if (path := content(row))
            ]
            for table, rows in all_rows(self).items()
            if rows and is_file(rows[0])
        }
        return AssetPaths(found)


__getattr__ = builds_of(__name__, DatasetSpecConfig=DatasetSpec)
