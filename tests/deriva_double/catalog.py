"""One catalog: its model, its rows in SQLite with every past state of them, its clock and its identifiers."""

from __future__ import annotations

import copy
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import rid
from .auth import User
from .errors import aborted, conflict
from .model import SYSTEM_COLUMNS, Document, Model, Table, quote
from .values import Stored, stamp


class Catalog:
    """The state behind /ermrest/catalog/N.

    Every table has a twin that keeps each row's states with the times from and to which they stood; triggers fill it,
    so that a snapshot is a query.
    """

    def __init__(self, identifier: str, document: Document) -> None:
        self.id = identifier
        self.lock = threading.RLock()
        self.refuse_concurrent_writes = False
        self._writing = threading.Lock()
        self.created = int(time.time() * 1e6)
        self.now = self._last = self.changed = self.created + 1  # what the making of it changed
        self._serial = _last_serial(document)
        self.models: list[tuple[int, Model]] = [(self.created, Model(document))]
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.create_function("txn", 0, lambda: self.now)
        self.db.create_function("regexp", 2, _regexp, deterministic=True)
        for table in self.model:
            self.create_table(table)

    @property
    def model(self) -> Model:
        """The current model."""
        return self.models[-1][1]

    @property
    def model_changed(self) -> int:
        """When the model last changed, in microseconds since 1970."""
        return self.models[-1][0]

    def close(self) -> None:
        """Forget all rows."""
        with self.lock:
            self.db.close()

    # ------------------------------------------------------------------ time

    @property
    def version(self) -> int:
        """When anything last changed, in microseconds since 1970."""
        return max(self.changed, self.model_changed)

    @property
    def now_stamp(self) -> str:
        """The time of the transaction that is under way, as it is stored."""
        return stamp(rid.timestamp(self.now))

    def snapshot(self, name: str) -> int:
        """The time that a snapshot's name means.

        Raises:
            ServiceError: 409, the name is malformed, or older than the catalog.
        """
        try:
            moment = rid.decode(name)
        except ValueError as error:
            raise conflict(
                f"22P02\nDETAIL:  {name}\nHINT:  Invalid character: '{error}'\nCONTEXT:  PL/pgSQL function "
                "_ermrest.urlb32_decode(text,boolean) line 56 at RAISE\n"
                'SQL function "tstzdecode" statement 1\n'
            ) from None
        if moment < self.created:
            raise conflict(f'Requested catalog revision "{name}" is prior to any known revision.')
        with self.lock:
            marks = [at for at, _ in self.models if at <= moment]
            for table in self.model:
                for column in ("@from", "@to"):
                    query = f'SELECT max("{column}") FROM {table.history} WHERE "{column}" <= ?'
                    marks.append(self.db.execute(query, (moment,)).fetchone()[0] or 0)
        return max(marks)

    def model_at(self, moment: int) -> Model:
        """The model as it stood then."""
        return next(model for at, model in reversed(self.models) if at <= moment)

    # ------------------------------------------------------------ transactions

    @contextmanager
    def transaction(self, user: User) -> Iterator[None]:
        """Changes that stand together or not at all.

        Raises:
            ServiceError: 503, another one is under way and the catalog is told to refuse that.
        """
        if not self._writing.acquire(blocking=not self.refuse_concurrent_writes):
            raise aborted()
        try:
            with self.lock:
                self.now = self._last = max(int(time.time() * 1e6), self._last + 1)
                self.db.execute("BEGIN")
                try:
                    self._know(user)
                    yield
                except BaseException:
                    self.db.execute("ROLLBACK")
                    raise
                self.db.execute("COMMIT")
                self.changed = self.now
        finally:
            self._writing.release()

    def _know(self, user: User) -> None:
        """Keep a row for a client, as the server does for whom it meets."""
        table = self.model.tables.get(("public", "ERMrest_Client"))
        if table is None or user.anonymous:
            return
        found = self.db.execute(f'SELECT 1 FROM {table.sql} WHERE "ID" = ?', (user.name,)).fetchone()
        if not found:
            client = f'{{"id": "{user.name}", "display_name": "{user.name}"}}'
            row = {"ID": user.name, "Display_Name": user.name, "Client_Object": client}
            self.insert(table, {**self.system_values(None), **row})

    def change_model(self, document: Document) -> Model:
        """Put a changed document in the place of the current one; for use within a transaction."""
        model = Model(document)
        self.models.append((self.now, model))
        return model

    def copy_document(self) -> Document:
        """The current document, to change."""
        return copy.deepcopy(self.model.document)

    # ------------------------------------------------------------------- rows

    def mint(self) -> str:
        """The next record identifier. One that is taken is never given again, whatever becomes of the transaction."""
        self._serial += 1
        return rid.encode(self._serial)

    def mint_after(self, given: str) -> None:
        """Let identifiers that a client chose never be minted."""
        self._serial = max(self._serial, rid.decode(given))

    def system_values(self, user: User | None) -> dict[str, Stored]:
        """What a new row's system columns hold."""
        name = user.name or None if user is not None else None
        return dict(
            zip(SYSTEM_COLUMNS, (self.mint(), self.now_stamp, self.now_stamp, name, name), strict=True)
        )

    def insert(self, table: Table, row: dict[str, Any], *, skip: bool = False) -> bool:
        """Add a row as it is; whether it was added (with ``skip``, one that collides with another is not).

        Raises:
            sqlite3.IntegrityError: it collides.
        """
        names = ", ".join(quote(name) for name in row)
        marks = ", ".join("?" * len(row))
        verb = "INSERT OR IGNORE" if skip else "INSERT"
        cursor = self.db.execute(f"{verb} INTO {table.sql} ({names}) VALUES ({marks})", tuple(row.values()))
        return cursor.rowcount > 0

    def create_table(self, table: Table) -> None:
        """Make the place for a table's rows and their pasts."""
        names = [quote(name) for name in table.columns]
        columns = [f"{quote(name)} {column.kind.affinity}" for name, column in table.columns.items()]
        uniques = [f"UNIQUE ({', '.join(map(quote, key.columns))})" for key in table.keys]
        self.db.execute(f"CREATE TABLE {table.sql} ({', '.join(columns + uniques)})")
        past = [*columns, '"@row" INTEGER', '"@from" INTEGER', '"@to" INTEGER']
        self.db.execute(f"CREATE TABLE {table.history} ({', '.join(past)})")
        label = f"{table.schema}:{table.name}"
        for suffix, column in (("row", '"@row", "@to"'), ("from", '"@from"'), ("to", '"@to"')):
            self.db.execute(f"CREATE INDEX {quote(f'{label}@{suffix}')} ON {table.history} ({column})")
        for number, reference in enumerate(table.references):
            if reference.columns[0] not in ("RCB", "RMB"):
                index = quote(f"{label}@reference{number}")
                self.db.execute(
                    f"CREATE INDEX {index} ON {table.sql} ({', '.join(map(quote, reference.columns))})"
                )
        begin = (
            f'INSERT INTO {table.history} ({", ".join(names)}, "@row", "@from") '
            f"VALUES ({', '.join('new.' + name for name in names)}, new.rowid, txn());"
        )
        end = f'UPDATE {table.history} SET "@to" = txn() WHERE "@row" = old.rowid AND "@to" IS NULL;'
        for event, body in (("INSERT", begin), ("UPDATE", end + begin), ("DELETE", end)):
            trigger = quote(f"{label}@{event}")
            self.db.execute(f"CREATE TRIGGER {trigger} AFTER {event} ON {table.sql} BEGIN {body} END")

    def drop_table(self, table: Table) -> None:
        """Take a table's rows away; its past stays, for snapshots."""
        self.db.execute(f"DELETE FROM {table.sql}")
        self.db.execute(f"DROP TABLE {table.sql}")


def _last_serial(document: Document) -> int:
    """The greatest number among the identifiers of a document's parts."""
    found = re.findall(r"'RID': '([0-9A-Z-]+)'", str(document))
    return max((rid.decode(one) for one in found), default=0)


def _regexp(pattern: str, value: str | None) -> bool | None:
    return None if value is None else re.search(pattern, str(value)) is not None
