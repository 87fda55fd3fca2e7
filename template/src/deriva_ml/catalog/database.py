"""The embedded catalog's SQLite file: its tables, opening and making it, transactions, rows with RIDs."""

from __future__ import annotations

import getpass
import os
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deriva_ml.definitions import RID, AssetRole, ExecAssetType, ExecMetadataType, MLAsset, Status
from deriva_ml.exceptions import DerivaMLException

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32 (https://www.crockford.com/base32.html): no I, L, O or U, so nothing reads as two things."""

FIRST = 32**4
"""The least number that is minted: RIDs look like ERMrest's (``1-0000``). Each catalog starts at a number of its own
above it, so that one clone's RIDs mean nothing in another's."""


def encode(number: int) -> str:
    """The RID of the ``number``-th record: digits from the right in groups of four, joined by hyphens."""
    digits = ""
    while True:
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
        if not number:
            break
    head = len(digits) % 4 or 4
    return "-".join([digits[:head], *(digits[i : i + 4] for i in range(head, len(digits), 4))])


VERSION = 1
"""Of these tables, kept in SQLite's ``user_version``."""

VOCABULARIES = ("Asset_Type", "Asset_Role", "Dataset_Type", "Execution_Status", "Workflow_Type")
ASSET_TABLES = tuple(table.value for table in MLAsset)

TERMS: dict[str, tuple[str, ...]] = {
    "Asset_Type": (*(t.value for t in ExecAssetType), *(t.value for t in ExecMetadataType), "File"),
    "Asset_Role": tuple(role.value for role in AssetRole),
    "Dataset_Type": ("Training", "Testing", "Complete"),
    "Execution_Status": tuple(status.value for status in Status),
    "Workflow_Type": ("Analysis Notebook", "Training"),
}

_SYSTEM = '"RID" TEXT PRIMARY KEY, "RCT" TEXT NOT NULL, "RMT" TEXT NOT NULL, "RCB" TEXT, "RMB" TEXT'


def _table(name: str, *columns: str) -> str:
    return f'CREATE TABLE "{name}" ({_SYSTEM}, {", ".join(columns)}) WITHOUT ROWID'


def _association(name: str, left: str, right: str, *more: str, right_key: str = "RID") -> list[str]:
    """An association table named as the schema names them, and the index that finds its rows from the right."""
    right_column = "Nested_" + right if left == right else right
    return [
        _table(
            name,
            f'"{left}" TEXT NOT NULL REFERENCES "{left}" ("RID")',
            f'"{right_column}" TEXT NOT NULL REFERENCES "{right}" ("{right_key}")',
            *more,
            f'UNIQUE ("{left}", "{right_column}")',
        ),
        f'CREATE INDEX "{name}_{right_column}" ON "{name}" ("{right_column}")',
    ]


def _asset_table(name: str) -> list[str]:
    role = '"Asset_Role" TEXT NOT NULL REFERENCES "Asset_Role" ("Name")'
    return [
        _table(
            name,
            '"URL" TEXT NOT NULL UNIQUE',
            '"Filename" TEXT',
            '"Description" TEXT',
            '"Length" INTEGER NOT NULL',
            '"MD5" TEXT NOT NULL',
        ),
        *_association(f"{name}_Asset_Type", name, "Asset_Type", right_key="Name"),
        *_association(f"{name}_Execution", name, "Execution", role),
    ]


def statements() -> list[str]:
    """The statements that make an empty catalog, in order."""
    term_columns = (
        '"ID" TEXT',
        '"URI" TEXT',
        '"Name" TEXT NOT NULL UNIQUE',
        '"Description" TEXT',
        '"Synonyms" TEXT',
    )
    made = [_table(name, *term_columns) for name in VOCABULARIES]
    made += [
        _table(
            "Workflow", '"Name" TEXT', '"Description" TEXT', '"URL" TEXT', '"Checksum" TEXT', '"Version" TEXT'
        ),
        'CREATE INDEX "Workflow_Checksum" ON "Workflow" ("Checksum")',
        *_association("Workflow_Workflow_Type", "Workflow", "Workflow_Type", right_key="Name"),
        _table(
            "Execution",
            '"Workflow" TEXT REFERENCES "Workflow" ("RID")',
            '"Description" TEXT',
            '"Execution_Duration" TEXT',
            '"Download_Duration" TEXT',
            '"Upload_Duration" TEXT',
            '"Status" TEXT REFERENCES "Execution_Status" ("Name")',
            '"Status_Detail" TEXT',
        ),
        'CREATE INDEX "Execution_RCT" ON "Execution" ("RCT")',
        'CREATE INDEX "Execution_Status_RCT" ON "Execution" ("Status", "RCT")',
        'CREATE INDEX "Execution_Workflow" ON "Execution" ("Workflow")',
        *_association("Execution_Execution", "Execution", "Execution", '"Sequence" INTEGER'),
        _table("Dataset", '"Description" TEXT', '"Deleted" INTEGER', '"Version" TEXT'),
        *_association("Dataset_Dataset_Type", "Dataset", "Dataset_Type", right_key="Name"),
        _table(
            "Dataset_Version",
            '"Version" TEXT',
            '"Description" TEXT',
            '"Dataset" TEXT REFERENCES "Dataset" ("RID")',
            '"Execution" TEXT REFERENCES "Execution" ("RID")',
            '"Snapshot" TEXT',
            'UNIQUE ("Dataset", "Version")',
        ),
        *_association("Dataset_Dataset", "Dataset", "Dataset"),
        *_association("Dataset_Execution", "Dataset", "Execution", '"Dataset_Version" TEXT'),
    ]
    for name in ASSET_TABLES:
        made += _asset_table(name)
    made += _association("Dataset_File", "Dataset", "File")
    made += [
        # The runner's own: no part of a record, so no part of the deriva-ml schema.
        'CREATE TABLE "local_catalog" ("id" TEXT NOT NULL, "next_rid" INTEGER NOT NULL)',
        'CREATE TABLE "local_run" ("execution" TEXT PRIMARY KEY REFERENCES "Execution" ("RID"), "folder" TEXT,'
        ' "host" TEXT NOT NULL, "pid" INTEGER NOT NULL, "started" REAL NOT NULL)',
        'CREATE TABLE "local_staged" ("number" INTEGER PRIMARY KEY AUTOINCREMENT, "execution" TEXT NOT NULL'
        ' REFERENCES "Execution" ("RID"), "table" TEXT NOT NULL, "filename" TEXT NOT NULL, "path" TEXT NOT NULL,'
        ' "types" TEXT NOT NULL, "description" TEXT NOT NULL)',
        'CREATE INDEX "local_staged_execution" ON "local_staged" ("execution")',
    ]
    return made


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

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A model may register files from threads of its own; a transaction is one thread's until it ends.
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
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
        elif version > VERSION:
            raise DerivaMLException(
                f"{self.path} was written by a newer runner (schema {version}, this one knows"
                f" {VERSION}): bring the project up to date with copier update"
            )

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

    def close(self) -> None:
        """Let go of the file; SQLite folds its log into it."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing; other runs' writes wait."""
        with self._lock:
            self.query("BEGIN IMMEDIATE")
            try:
                yield
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
