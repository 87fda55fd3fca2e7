"""How configurations name datasets, and the bags that a run reads them from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.asset import AssetFilePath
from deriva_ml.definitions import RID, Dataset
from deriva_ml.exceptions import DerivaMLRequestError

if TYPE_CHECKING:
    import pandas

    DatasetSpecConfig: Any


@dataclass
class DatasetSpec:
    """A dataset that a run reads.

    Attributes:
        rid: of the dataset.
        version: three numbers, such as ``1.0.0``; None for the current one.
        materialize: fetch the files as well as the tables' rows.
        description: for the reader of the configuration.
    """

    rid: RID
    version: str | None = None
    materialize: bool = True
    description: str = ""


@dataclass(frozen=True)
class DatasetBag:
    """A dataset at a version, fetched into a folder.

    Attributes:
        dataset: its record.
        path: the folder with its files; each is at ``<path>/<table>/<RID>/<filename>``.
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

    def list_dataset_members(self, recurse: bool = False) -> dict[str, list[dict[str, Any]]]:
        """The members' rows by table, with those of nested datasets if ``recurse``.

        ``Filename`` is the local path of a member's file, or its name alone where files were not fetched.
        """
        members = {table: list(rows) for table, rows in self.dataset.members.items()}
        if recurse:
            for child in self.children:
                for table, rows in child.list_dataset_members(recurse=True).items():
                    known = {row["RID"] for row in members.setdefault(table, [])}
                    members[table] += [row for row in rows if row["RID"] not in known]
        return members

    def list_dataset_children(self, recurse: bool = False) -> list[DatasetBag]:
        """The bags of nested datasets, with those nested in them if ``recurse``."""
        if not recurse:
            return list(self.children)
        return [bag for child in self.children for bag in (child, *child.list_dataset_children(recurse=True))]

    def list_tables(self) -> list[str]:
        """Names of the tables that have members."""
        return [table for table, rows in self.list_dataset_members(recurse=True).items() if rows]

    def get_table_as_dict(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of one table, nested datasets' included.

        Raises:
            DerivaMLRequestError: the bag has no such table.
        """
        members = self.list_dataset_members(recurse=True)
        if table not in members:
            raise DerivaMLRequestError(
                f"dataset {self.dataset_rid} has no table {table}; it has {', '.join(members)}"
            )
        yield from members[table]

    def get_table_as_dataframe(self, table: str) -> pandas.DataFrame:
        """The rows of one table as a data frame; needs pandas."""
        import pandas

        return pandas.DataFrame(list(self.get_table_as_dict(table)))

    @property
    def asset_paths(self) -> dict[str, list[AssetFilePath]]:
        """The fetched files by table, nested datasets' included."""
        return {
            table: [
                AssetFilePath.make(path, table, path.name, rid=row["RID"])
                for row in rows
                if "Filename" in row and (path := Path(row["Filename"])).is_absolute()
            ]
            for table, rows in self.list_dataset_members(recurse=True).items()
        }


def __getattr__(name: str) -> Any:
    # Hydra-zen is loaded for those who write configurations, not for every command.
    if name == "DatasetSpecConfig":
        from hydra_zen import builds

        globals()[name] = builds(DatasetSpec, populate_full_signature=True)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
