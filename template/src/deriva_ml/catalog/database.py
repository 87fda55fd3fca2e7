"""The embedded catalog's SQLite file: opening and making it, transactions, rows with RIDs, vocabulary terms."""

from __future__ import annotations

import getpass
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deriva_ml.catalog import schema
from deriva_ml.catalog.rid import FIRST, encode
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLException

BUSY_SECONDS = 60.0
"""How long a write waits for those of other runs; each takes milliseconds."""

Row = Mapping[str, Any]


def now() -> str:
    """The time as rows hold it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Database:
    """A catalog's file; opening it makes it when it is not there.

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise DerivaMLException(f"{path} cannot be used as a catalog: {error}") from error

    def _prepare(self) -> None:
        self.query("PRAGMA foreign_keys = ON")
        self.query("PRAGMA synchronous = NORMAL")
        version = self._version()
        if version == 0:
            self.query("PRAGMA journal_mode = WAL")
            with self.transaction():
                if self._version() == 0:  # no other run was faster
                    self._create()
        elif version > schema.VERSION:
            raise DerivaMLException(
                f"{self.path} was written by a newer runner (schema {version}, this one knows"
                f" {schema.VERSION}): bring the project up to date with copier update"
            )

    def _version(self) -> int:
        return int(self.value("PRAGMA user_version"))

    def _create(self) -> None:
        for statement in schema.statements():
            self.query(statement)
        self.query('INSERT INTO "local_catalog" VALUES (?, ?)', str(uuid.uuid4()), FIRST)
        for vocabulary, names in schema.TERMS.items():
            self.insert_terms(vocabulary, names)
        self.query(f"PRAGMA user_version = {schema.VERSION}")

    def close(self) -> None:
        """Let go of the file; SQLite folds its log into it."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing; other runs' writes wait."""
        self.query("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.query("ROLLBACK")
            raise
        self.query("COMMIT")

    def query(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        return self._connection.execute(statement, values)

    def first(self, statement: str, *values: Any) -> Row | None:
        """The first row, if there is one."""
        row: Row | None = self.query(statement, *values).fetchone()
        return row

    def value(self, statement: str, *values: Any) -> Any:
        """The first row's first value; None without a row."""
        row = self.query(statement, *values).fetchone()
        return row[0] if row else None

    def column(self, statement: str, *values: Any) -> list[Any]:
        """The first value of every row."""
        return [row[0] for row in self.query(statement, *values)]

    def insert(self, table: str, *rows: Row) -> list[RID]:
        """Insert rows of one shape, minting RIDs for those without; one that is there by another key is left alone.

        Returns:
            The RIDs that the rows have, or would have had.
        """
        if not rows:
            return []
        last = self.value(
            'UPDATE "local_catalog" SET "next_rid" = "next_rid" + ? RETURNING "next_rid"', len(rows)
        )
        user = getpass.getuser()
        system = {"RCT": now(), "RMT": now(), "RCB": user, "RMB": user}
        full = [{"RID": encode(last - len(rows) + i), **system, **row} for i, row in enumerate(rows)]
        names = ", ".join(f'"{name}"' for name in full[0])
        marks = ", ".join(f":{name}" for name in full[0])
        self._connection.executemany(
            f'INSERT INTO "{table}" ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING', full
        )
        return [row["RID"] for row in full]

    def update(self, table: str, rid: RID, changes: Row) -> None:
        """Change columns of one row."""
        changes = {"RMT": now(), **changes}
        assignments = ", ".join(f'"{name}" = ?' for name in changes)
        self.query(f'UPDATE "{table}" SET {assignments} WHERE "RID" = ?', *changes.values(), rid)

    def insert_terms(self, vocabulary: str, names: Iterable[str]) -> None:
        """Insert the terms that a vocabulary does not have yet."""
        known = set(self.column(f'SELECT "Name" FROM "{vocabulary}"'))
        new = [name for name in dict.fromkeys(names) if name not in known]
        rids = self.insert(vocabulary, *({"Name": name, "Description": ""} for name in new))
        for rid in rids:
            self.update(vocabulary, rid, {"ID": f"local:{rid}", "URI": f"/id/{rid}"})
