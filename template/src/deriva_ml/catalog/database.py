"""The embedded catalog's SQLite file: opening, transactions, queries, rows with RIDs."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.definitions import RID, RID_DIGITS

BUSY_SECONDS = 60.0
"""How long a write waits for those of other runs; each takes milliseconds."""

LEAST = 32**9
"""The least number that is minted: RIDs of ten digits, which sort as their numbers do."""

KEEP = "ON CONFLICT DO NOTHING"
"""The clause by which a row that is there by the same key stays as it is."""


def encode(number: int) -> RID:
    """Return the RID of the ``number``-th record: digits from the right in groups of four, joined by hyphens."""
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 32)
        digits = RID_DIGITS[digit] + digits
    return re.sub("(?<=.)(?=(?:.{4})+$)", "-", digits)


def mint(count: int) -> list[RID]:
    """Return RIDs at random, in order, of a length that no two copies of a catalog ever give one to two records."""
    first = LEAST + secrets.randbelow(31 * LEAST - count)
    return [*map(encode, range(first, first + count))]


def now() -> str:
    """Return the time as rows hold it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number and no name
        return str(os.getuid())


def _assigned(values: Iterable[str], separator: str) -> str:
    """Return SQL that has a mark for the value of each of these columns."""
    return separator.join(f'"{name}" = ?' for name in values)


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def _insertion(table: str, row: Mapping[str, Any], verb: str = "INSERT") -> str:
    names = '", "'.join(row)
    return f'{verb} INTO "{table}" ("{names}") VALUES ({", ".join("?" * len(row))})'


class Database:
    """A SQLite file; opening it makes it, empty, when it is not there.

    Args:
        flush: called before a transaction is committed, to have on the disk what its rows name.
        read_only: for a disk that takes nothing.

    Raises:
        sqlite3.DatabaseError, OSError: it cannot be opened.
    """

    def __init__(self, path: Path, flush: Callable[[], None] = lambda: None, read_only: bool = False) -> None:
        self.path = path
        self._flush = flush
        self.read_only = read_only
        # A model may register files from threads of its own; a transaction is one thread's until it ends.
        self._lock = threading.RLock()
        self._undo: list[Callable[[], None]] = []
        if not read_only:
            disk.private_folder(path.parent)
            if not path.exists():
                # SQLite would let everybody read it; its other files are as this one.
                path.touch(mode=0o660)
        uri = self._read_only_uri() if read_only else path.absolute().as_uri()
        self._connection = sqlite3.connect(
            uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
        self._connection.row_factory = sqlite3.Row
        self.query("PRAGMA foreign_keys = ON")
        self.query("PRAGMA fullfsync = ON")  # where fsync leaves things in the drive's memory
        # Who wrote the file is not known (https://sqlite.org/security.html).
        self.query("PRAGMA trusted_schema = OFF")

    def _read_only_uri(self) -> str:
        """Return the URI by which SQLite reads the file and writes none, not even of its own.

        What was committed and stands in a log yet is only seen without ``immutable``, and a file without a log only
        read with it (https://www.sqlite.org/wal.html#readonly).
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        logged = log.exists() and log.stat().st_size
        return f"{self.path.absolute().as_uri()}?{'mode=ro' if logged else 'immutable=1'}"

    def copy_to(self, path: Path) -> None:
        """Write all that is committed into a new file, which then is whole and on the disk."""
        with disk.temporary(path.parent) as copy:
            self.query("VACUUM INTO ?", str(copy))
            disk.flush([copy])
            os.replace(copy, path)
        disk.flush_names(path.parent)

    def use_write_ahead_log(self) -> None:
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

    def close(self) -> None:
        """Let go of the file; SQLite folds its log into it."""
        self._connection.close()

    @contextmanager
    def transaction(self, durable: bool = False) -> Iterator[None]:
        """Write all that is written inside, or nothing; other runs' writes wait. One inside another is part of it.

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
            except BaseException as error:
                # A full disk may have taken the transaction back; what stops us after the commit has not.
                if self._connection.in_transaction or isinstance(error, sqlite3.Error):
                    for undo in reversed(self._undo):
                        undo()
                if self._connection.in_transaction:
                    self.query("ROLLBACK")
                raise
            finally:
                self._undo.clear()

    def if_taken_back(self, undo: Callable[[], None]) -> None:
        """Have this called, while others' writes still wait, if the transaction that is under way is taken back."""
        if self._connection.in_transaction:
            self._undo.append(undo)

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Read all that is read inside as it is now, whatever others write; tables that are made inside are gone then."""
        with self._lock:
            self.query("BEGIN")
            try:
                yield
            finally:
                self.query("ROLLBACK")

    @contextmanager
    def lenient(self) -> Iterator[None]:
        """Read bytes inside a text that are none of UTF-8 as escapes, where one damaged row is to hide no other."""
        before = self._connection.text_factory
        self._connection.text_factory = lambda raw: raw.decode(errors="backslashreplace")
        try:
            yield
        finally:
            self._connection.text_factory = before

    def query(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        with self._lock:
            return self._connection.execute(statement, values)

    def value(self, statement: str, *values: Any) -> Any:
        """Return the first row's first value; None without a row."""
        row = self.query(statement, *values).fetchone()
        return row[0] if row else None

    def select(self, table: str, order: str = "", /, **key: Any) -> list[sqlite3.Row]:
        """Return the rows that have these values in these columns; ``order`` is SQL's clause."""
        statement = f'SELECT * FROM "{table}" WHERE {_assigned(key, " AND ") or 1} {order}'
        return self.query(statement, *key.values()).fetchall()

    def select_any(self, table: str, column: str, values: Iterable[Any]) -> list[sqlite3.Row]:
        """Return the rows that have one of the values in a column."""
        statement = f'SELECT * FROM "{table}" WHERE "{column}" IN (SELECT "value" FROM json_each(?))'
        return self.query(statement, json.dumps([*values])).fetchall()

    def find(self, table: str, /, **key: Any) -> sqlite3.Row | None:
        """Return the row that has these values in these columns, if there is one."""
        return next(iter(self.select(table, **key)), None)

    def get(self, table: str, column: str, order: str = "", /, **key: Any) -> Any:
        """Return one value of the first such row; None without one."""
        return next(iter(self.get_all(table, column, order, **key)), None)

    def get_all(self, table: str, column: str, order: str = "", /, **key: Any) -> list[Any]:
        """Return one value of each row that has these values in these columns."""
        return [row[column] for row in self.select(table, order, **key)]

    def change(self, table: str, changes: Mapping[str, Any], /, **key: Any) -> int:
        """Change columns of the rows that have these values in these columns; return how many there are."""
        statement = f'UPDATE "{table}" SET {_assigned(changes, ", ")} WHERE {_assigned(key, " AND ")}'
        return self.query(statement, *changes.values(), *key.values()).rowcount

    def delete(self, table: str, /, **key: Any) -> None:
        """Delete the rows that have these values in these columns."""
        self.query(f'DELETE FROM "{table}" WHERE {_assigned(key, " AND ")}', *key.values())

    def add(self, table: str, row: Mapping[str, Any], conflict: str = "") -> int:
        """Insert a row without RID, and return its number; ``conflict`` is SQL's clause for one that is there."""
        return self.query(f"{_insertion(table, row)} {conflict}", *row.values()).lastrowid or 0

    def put(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row in place of those that are there by one of its keys."""
        self.query(_insertion(table, row, "INSERT OR REPLACE"), *row.values())

    def add_all(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert many rows without RIDs, each the values of these columns."""
        with self._lock:
            self._connection.executemany(_insertion(table, dict.fromkeys(columns)), rows)

    def insert(self, table: str, *rows: Mapping[str, Any]) -> list[RID]:
        """Insert rows of one shape, minting RIDs for those without or of None; one that is there by a key is left alone.

        Returns:
            The RIDs that the rows have, or would have had.
        """
        if not rows:
            return []
        minted = mint(len(rows))
        while self.value(f'SELECT 1 FROM "{table}" WHERE "RID" BETWEEN ? AND ?', minted[0], minted[-1]):
            minted = mint(len(rows))
        user = _user()
        system = {"RCT": now(), "RMT": now(), "RCB": user, "RMB": user}
        full = [
            {**system, **row, "RID": row.get("RID") or rid} for row, rid in zip(rows, minted, strict=True)
        ]
        self._connection.executemany(
            f"{_insertion(table, full[0])} {KEEP}", [tuple(row[name] for name in full[0]) for row in full]
        )
        return [row["RID"] for row in full]

    def update(self, table: str, rid: RID, changes: Mapping[str, Any]) -> None:
        """Change columns of one row."""
        self.change(table, {"RMT": now(), **changes}, RID=rid)

    def insert_terms(self, vocabulary: str, names: Iterable[str]) -> None:
        """Insert the terms that a vocabulary does not have yet."""
        known = set(self.get_all(vocabulary, "Name"))
        new = [name for name in dict.fromkeys(names) if name not in known]
        if self.insert(vocabulary, *({"Name": name, "Description": ""} for name in new)):
            self.query(
                f'UPDATE "{vocabulary}" SET "ID" = \'local:\' || "RID", "URI" = \'/id/\' || "RID" WHERE "ID" IS NULL'
            )
