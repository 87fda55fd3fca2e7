"""The embedded catalog's SQLite file: opening, making and migrating it, transactions, rows with RIDs."""

from __future__ import annotations

import getpass
import os
import secrets
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deriva_ml import disk
from deriva_ml.catalog.tables import MIGRATIONS, TERMS, VERSION, asset_table, statements
from deriva_ml.definitions import RID, RID_DIGITS, MLAsset
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.terminal import print

FIRST = 32**4
"""The least number that is minted: RIDs look like ERMrest's (``1-0000``). Each catalog starts at a number of its own
above it, so that one clone's RIDs mean nothing in another's."""


def encode(number: int) -> str:
    """The RID of the ``number``-th record: digits from the right in groups of four, joined by hyphens."""
    digits = ""
    while True:
        number, digit = divmod(number, 32)
        digits = RID_DIGITS[digit] + digits
        if not number:
            break
    head = len(digits) % 4 or 4
    return "-".join([digits[:head], *(digits[i : i + 4] for i in range(head, len(digits), 4))])


BUSY_SECONDS = 60.0
"""How long a write waits for those of other runs; each takes milliseconds."""

Row = Mapping[str, Any]


def now() -> str:
    """The time as rows hold it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number and no name
        return str(os.getuid())


class Database:
    """A catalog's file; opening it makes it when it is not there.

    Args:
        flush: called before a transaction is committed, to have on the disk what its rows name.
        read_only: for a disk that takes nothing.

    Raises:
        DerivaMLException: the file was written by a newer runner, is no catalog, or the disk takes nothing.
    """

    def __init__(self, path: Path, flush: Callable[[], None] = lambda: None, read_only: bool = False) -> None:
        self.path = path
        self._flush = flush
        self.read_only = read_only
        # A model may register files from threads of its own; a transaction is one thread's until it ends.
        self._lock = threading.RLock()
        try:
            if not read_only:
                disk.private_folder(path.parent)
                if not path.exists():
                    path.touch(
                        mode=0o660
                    )  # SQLite would let everybody read it; its other files are as this one
            place = self._as_it_is() if read_only else str(path)
            self._connection = sqlite3.connect(
                place, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=read_only
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
            if why := disk.fault(error, path.parent):
                raise DerivaMLException(disk.not_taken(path.parent, why)) from error
            raise DerivaMLException(f"{path} cannot be used as a catalog: {error}") from error

    def _as_it_is(self) -> str:
        """The URI by which SQLite reads the file and writes none, not even of its own.

        What was committed and stands in a log yet is only seen without ``immutable``, and a file without a log only
        read with it (https://www.sqlite.org/wal.html#readonly).
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        logged = log.exists() and log.stat().st_size
        return f"{self.path.absolute().as_uri()}?{'mode=ro' if logged else 'immutable=1'}"

    def _prepare(self) -> None:
        self.query("PRAGMA foreign_keys = ON")
        self.query("PRAGMA fullfsync = ON")  # where fsync leaves things in the drive's memory
        self.query(
            "PRAGMA trusted_schema = OFF"
        )  # https://sqlite.org/security.html: who wrote the file is not known
        version = self._version()
        if self.read_only and version < VERSION:
            raise DerivaMLException(
                f"{self.path} was written by an older runner, and cannot be brought up to date: it is read-only here"
            )
        if version == 0:
            self._switch_to_wal()
        if version < VERSION:
            with self.transaction(durable=True):
                version = self._version()  # another run may have been faster
                if version == 0:
                    self._create()
                elif version < VERSION:
                    self._migrate(version)
            disk.flush_names(self.path.parent)
            if 0 < version < VERSION:
                print(
                    f"note: {self.path} was brought up to date (schema {version} to {VERSION}), and as it was it is"
                    f" kept as {self.path.name}.v{version}; older runners, such as those of other working trees, are"
                    " refused from now on",
                    file=sys.stderr,
                )
        elif version > VERSION:
            raise DerivaMLException(
                f"{self.path} was written by a newer runner (schema {version}, this one knows"
                f" {VERSION}): bring the project up to date with copier update"
            )

    def _switch_to_wal(self) -> None:
        """Let readers and a writer not wait for each other; SQLite does not wait for others that switch, so we do."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.query("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _migrate(self, version: int) -> None:
        """Bring the tables up to date, inside a transaction, after a copy of the file as it was."""
        copy = self.path.with_name(f"{self.path.name}.v{version}")
        copy.touch(mode=self.path.stat().st_mode & 0o660)
        with closing(sqlite3.connect(self.path)) as before, closing(sqlite3.connect(copy)) as after:
            before.backup(after)
        disk.flush([copy])
        for older in range(version, VERSION):
            for statement in MIGRATIONS[older]:
                self.query(statement)
        self.query(f"PRAGMA user_version = {VERSION}")

    def _version(self) -> int:
        return int(self.value("PRAGMA user_version"))

    def _create(self) -> None:
        for statement in statements():
            self.query(statement)
        self.query(
            'INSERT INTO "local_catalog" VALUES (?, ?)',
            str(uuid.uuid4()),
            FIRST + secrets.randbelow(30 * FIRST),
        )
        for vocabulary, names in TERMS.items():
            self.insert_terms(vocabulary, names)
        self.query(f"PRAGMA user_version = {VERSION}")

    def asset_tables(self) -> list[str]:
        """The asset tables that the catalog has: deriva-ml's own, then those that were made for others' names."""
        pattern = "%\\_Asset\\_Type"
        names = self.column(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE ? ESCAPE '\\'", pattern
        )
        found = [name.removesuffix("_Asset_Type") for name in names]
        return sorted(found, key=lambda name: (name not in set(MLAsset), name))

    def make_asset_table(self, name: str) -> None:
        """Make an asset table as another catalog has it, inside a transaction, unless there is one."""
        if name not in self.asset_tables():
            # SQLite takes File and file for one name, keeps some names for itself, and every statement quotes with ".
            taken = self.value("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", name)
            if taken or '"' in name or name.lower().startswith("sqlite_"):
                raise DerivaMLRequestError(f"files for a table called {name} cannot be kept in this project")
            for statement in asset_table(name):
                self.query(statement)

    def close(self) -> None:
        """Let go of the file; SQLite folds its log into it."""
        self._connection.close()

    @contextmanager
    def transaction(self, durable: bool = False) -> Iterator[None]:
        """All that is written inside, or nothing; other runs' writes wait. One inside another is part of it.

        With ``durable`` it is on the disk at the end, and so is all that was committed before; otherwise a power cut
        may take the last transactions back, whole ones.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self.query(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.query("BEGIN IMMEDIATE")
            try:
                yield
                self._flush()
                self.query("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self.query("ROLLBACK")
                raise

    def query(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        with self._lock:
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
        user = _user()
        system = {"RCT": now(), "RMT": now(), "RCB": user, "RMB": user}
        full = [{"RID": encode(last - len(rows) + i), **system, **row} for i, row in enumerate(rows)]
        names = ", ".join(f'"{name}"' for name in full[0])
        marks = ", ".join("?" for _ in full[0])
        self._connection.executemany(
            f'INSERT INTO "{table}" ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING',
            [tuple(row[name] for name in full[0]) for row in full],
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
