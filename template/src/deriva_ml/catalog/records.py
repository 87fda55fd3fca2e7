"""What the parts of the embedded catalog have in common: a project's file, its objects, and RIDs that are not there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from deriva_ml.catalog.database import Database, Row
from deriva_ml.catalog.journal import Journal
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLException, NotFound
from deriva_ml.project import Project
from deriva_ml.terminal import print
from deriva_ml.untrusted import DAMAGED, well_formed

T = TypeVar("T")

BEFORE = ".deriva-ml/"
"""What a stored path began with before version 5 of the tables."""


class Records:
    """A project's own records, opened; the base of the catalog's parts.

    Args:
        read_only: for a disk that takes nothing.

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    def __init__(self, project: Project, read_only: bool = False) -> None:
        self.project = project
        project.make_state()
        self._told: set[str] = set()
        for path in project.state.glob("*"):
            if path.is_symlink():  # it would be followed wherever it leads
                raise DerivaMLException(
                    f"{path} is a link, and nothing below {project.state} is followed: put the file or folder itself there"
                )
        self.objects = ObjectStore(project.objects)
        self._db = Database(project.database, self.objects.flush, read_only)
        self.journal = Journal(self._db)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        with self._db.transaction():
            yield

    def _stored(self, path: Path) -> str:
        """A path as rows hold it: relative to the state folder, which may be moved between a run and its recovery."""
        return str(path.relative_to(self.project.state) if path.is_relative_to(self.project.state) else path)

    def _located(self, stored: str) -> Path:
        """The path that a row holds; before version 5 of the tables it was relative to the project."""
        return self.project.state / stored.removeprefix(BEFORE)

    def _made(self, row: Row, make: Callable[[Row], T], kind: str) -> T:
        """What a row stands for.

        Raises:
            DerivaMLException: it holds what no runner writes there.
        """
        try:
            return well_formed(make(row))
        except DAMAGED as error:
            name = next((row[key] for key in ("RID", "execution") if key in row.keys()), "one")
            raise DerivaMLException(
                f"the record of {kind} {name} in {self.project.database} is damaged ({error}):"
                " bring .deriva-ml back from a backup"
            ) from error

    def _all_made(self, rows: Iterable[Row], make: Callable[[Row], T], kind: str) -> list[T]:
        """What rows stand for, without those that are damaged, each of which is told once."""
        made = []
        for row in rows:
            try:
                made.append(self._made(row, make, kind))
            except DerivaMLException as error:
                if str(error) not in self._told:
                    self._told.add(str(error))
                    print(f"warning: left out: {error}", file=sys.stderr)
        return made

    def _not_found(self, rid: RID, wanted: str) -> NotFound:
        """The error for an RID that is not what was asked for, saying what it is instead."""
        for table in ("Dataset", "Execution", "Workflow", *self._db.asset_tables()):
            if self._db.first(f'SELECT 1 FROM "{table}" WHERE "RID" = ?', rid):
                what = "asset" if table in self._db.asset_tables() else table.lower()
                return NotFound(f"{rid} names no {wanted}: in the catalog it is of kind {what}")
        return NotFound(
            f"there is no {wanted} {rid} in this project's catalog ({self.project.database}):"
            " uv run deriva-ml-catalog list shows what there is"
        )


def with_reserved(rid: RID | None, row: Row) -> Row:
    """The row with the RID that is reserved for it, if one is."""
    return {**row, "RID": rid} if rid else row
