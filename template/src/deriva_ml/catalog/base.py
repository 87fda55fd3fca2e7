"""The base of the embedded catalog's parts: its file and objects, records made from rows, RIDs that are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Row
from typing import Any, TypeVar

from deriva_ml.catalog.database import Database
from deriva_ml.catalog.journal import Journal
from deriva_ml.catalog.migrations import open_database
from deriva_ml.catalog.objects import ObjectStore, is_digest
from deriva_ml.catalog.summaries import Summaries
from deriva_ml.definitions import RID, Asset, MLAsset
from deriva_ml.exceptions import DerivaMLException, NotFound
from deriva_ml.project import Project
from deriva_ml.terminal import warn
from deriva_ml.untrusted import DAMAGED, well_formed

T = TypeVar("T")

OLD_PREFIX = ".deriva-ml/"
"""What a stored path began with before version 5 of the tables."""


class CatalogBase:
    """A project's own records, opened; the base of the catalog's parts.

    Args:
        read_only: for a disk that takes nothing.

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    def __init__(self, project: Project, read_only: bool = False) -> None:
        self.project = project
        project.make_state()
        self._warned: set[str] = set()
        for path in project.state.glob("*"):
            if path.is_symlink():  # it would be followed wherever it leads
                raise DerivaMLException(
                    f"{path} is a link, and nothing below {project.state} is followed: put the file or folder itself there"
                )
        self.objects = ObjectStore(project.objects)
        self._db = open_database(project.database, self.objects.flush, read_only)
        self.journal = Journal(self._db)
        self.summaries = Summaries(self._db)

    @property
    def database(self) -> Database:
        """The file with the rows, for what looks at all of them."""
        return self._db

    def close(self) -> None:
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Write all that is written inside, or nothing."""
        return self._db.transaction()

    def if_taken_back(self, undo: Callable[[], None]) -> None:
        """Have this called if the transaction that is under way is taken back, to take back what is no row."""
        self._db.if_taken_back(undo)

    def _stored_path(self, path: Path) -> str:
        """Return a path as rows hold it: relative to the state folder, which may be moved between a run and its recovery."""
        return str(path.relative_to(self.project.state) if path.is_relative_to(self.project.state) else path)

    def _path_of(self, stored: str) -> Path:
        """Return the path that a row holds; before version 5 of the tables it was relative to the project."""
        return self.project.state / stored.removeprefix(OLD_PREFIX)

    def _build(self, row: Row, make: Callable[[Row], T], kind: str) -> T:
        """Make the record that a row stands for.

        Raises:
            DerivaMLException: the row holds what no runner writes there.
        """
        name = next((row[key] for key in ("RID", "rid", "execution") if key in row.keys()), "one")
        with self._damage(kind, name):
            return well_formed(make(row))

    def _build_all(self, rows: Iterable[Row], make: Callable[[Row], T], kind: str) -> list[T]:
        """Make the records that rows stand for, without those that are damaged, each of which is told once."""
        built = []
        for row in rows:
            try:
                built.append(self._build(row, make, kind))
            except DerivaMLException as error:
                if str(error) not in self._warned:
                    self._warned.add(str(error))
                    warn(f"left out: {error}")
        return built

    @contextmanager
    def _damage(self, kind: str, rid: RID) -> Iterator[None]:
        """Say which record it is that holds what no runner writes there."""
        try:
            yield
        except DAMAGED as error:
            raise DerivaMLException(
                f"the record of {kind} {rid} in {self.project.database} is damaged ({error}):"
                " bring .deriva-ml back from a backup"
            ) from error

    def _insert_types(self, table: str, rid: RID, vocabulary: str, names: Iterable[str]) -> None:
        """Give a record its types, which are added to the vocabulary where they lack."""
        names = list(names)
        self._db.insert_terms(vocabulary, names)
        self._db.insert(f"{table}_{vocabulary}", *({table: rid, vocabulary: name} for name in names))

    def _link(self, execution: RID, table: str, row: dict[str, Any]) -> None:
        """Insert a row that joins an execution to what it read, made or is part of."""
        with self._db.transaction():
            self._db.insert(table, row)
            self.journal.changed(execution)

    def asset_tables(self) -> list[str]:
        """Return the asset tables that the catalog has: deriva-ml's own, then those made for others' names."""
        names, suffix = self._db.get_all("sqlite_master", "name", type="table"), "_Asset_Type"
        tables = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
        return sorted(tables, key=lambda name: (name not in set(MLAsset), name))

    def _not_found(self, rid: RID, wanted: str) -> NotFound:
        """Return the error for an RID that is not what was asked for, saying what it is instead."""
        kinds = {name: name.lower() for name in ("Dataset", "Execution", "Workflow")}
        for table, what in {**kinds, **dict.fromkeys(self.asset_tables(), "asset")}.items():
            if self._db.find(table, RID=rid):
                return NotFound(f"{rid} names no {wanted}: in the catalog it is of kind {what}")
        return NotFound(
            f"there is no {wanted} {rid} in this project's catalog ({self.project.database}):"
            " uv run deriva-ml-catalog list shows what there is"
        )


def file_of(table: str, row: Row, types: Iterable[str] = ()) -> Asset:
    """Return the file that a row stands for.

    Raises:
        ValueError: its digest, which becomes a path, is none.
    """
    asset = Asset.from_row(table, dict(row), types)
    if asset is None or not is_digest(asset.md5):
        raise ValueError(f"its MD5 cannot be {row['MD5']!r}")
    return asset
