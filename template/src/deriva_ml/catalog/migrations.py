"""Opens the embedded catalog's file: makes its tables, or brings those of an older runner up to date."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import deriva_ml.disk as disk
from deriva_ml.catalog.database import Database
from deriva_ml.catalog.tables import TERMS, VERSION, statements
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.manifest import Entry, digest_of
from deriva_ml.terminal import tell


def add_destinations(database: Database) -> None:
    """Make the tables for notes about other catalogs."""
    for statement in (
        'CREATE TABLE "local_destination" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "host" TEXT NOT'
        ' NULL, "catalog" TEXT NOT NULL, "credential" TEXT, "held" INTEGER NOT NULL,'
        ' "changes" INTEGER NOT NULL DEFAULT 1, "pushed" INTEGER NOT'
        ' NULL DEFAULT 0, UNIQUE ("execution", "host", "catalog"))',
        'CREATE INDEX "local_destination_pending" ON "local_destination" ("execution") WHERE "changes" > "pushed"',
        'CREATE TABLE "local_remote" ("local" TEXT NOT NULL, "host" TEXT NOT NULL, "catalog" TEXT NOT NULL, "remote"'
        ' TEXT NOT NULL, "url" TEXT, "stored" INTEGER NOT NULL, PRIMARY KEY ("local", "host", "catalog")) WITHOUT ROWID',
        'CREATE INDEX "local_remote_remote" ON "local_remote" ("remote")',
        'CREATE TABLE "local_input" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "host" TEXT NOT NULL,'
        ' "catalog" TEXT NOT NULL, "table" TEXT NOT NULL, "rid" TEXT NOT NULL, "version_rid" TEXT,'
        ' UNIQUE ("execution", "host", "catalog", "table", "rid"))',
        'CREATE TABLE "local_columns" ("staged" INTEGER PRIMARY KEY, "asset" TEXT, "values" TEXT NOT NULL)',
        'CREATE INDEX "local_columns_asset" ON "local_columns" ("asset")',
    ):
        database.query(statement)


def add_lock(database: Database) -> None:
    """Let a run name the file that its process locks."""
    database.query('ALTER TABLE "local_run" ADD COLUMN "lock" TEXT')


def add_started_by(database: Database) -> None:
    """Let a run say which program started it."""
    database.query('ALTER TABLE "local_run" ADD COLUMN "started_by" TEXT')


def refuse_runners_that_read_paths_from_the_project(database: Database) -> None:
    """Change nothing: paths are relative to the state folder from here on, which older runners do not know."""


def add_summaries(database: Database) -> None:
    """Make the tables of parameters, choices and metrics; what older runners recorded is read when it is asked for.

    And the index by which an input's readers are found.
    """
    for statement in (
        'CREATE TABLE "local_setting" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "kind" TEXT NOT NULL,'
        ' "name" TEXT NOT NULL, "value", "json" TEXT NOT NULL, PRIMARY KEY ("execution", "kind", "name")) WITHOUT ROWID',
        'CREATE INDEX "local_setting_name" ON "local_setting" ("name", "value")',
        'CREATE TABLE "local_metric" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "name" TEXT NOT NULL,'
        ' "last", "last_step", "least", "least_step", "greatest", "greatest_step",'
        ' PRIMARY KEY ("execution", "name")) WITHOUT ROWID',
        'CREATE INDEX "local_metric_name" ON "local_metric" ("name", "last")',
        'CREATE TABLE "local_unread" ("execution" TEXT PRIMARY KEY REFERENCES "Execution" ("RID")) WITHOUT ROWID',
        'INSERT INTO "local_unread" SELECT "RID" FROM "Execution"',
        'CREATE INDEX "local_input_rid" ON "local_input" ("rid")',
    ):
        database.query(statement)


def add_versions(database: Database) -> None:
    """Let members hang on a dataset's versions, under the paths at which bags laid them out; mint RIDs at random."""
    for statement in (
        'CREATE TABLE "local_member" ("dataset" TEXT NOT NULL REFERENCES "Dataset" ("RID"), "path" TEXT NOT NULL,'
        ' "file" TEXT REFERENCES "File" ("RID"), "nested" TEXT REFERENCES "Dataset_Version" ("RID"),'
        ' "since" INTEGER NOT NULL, "until" INTEGER, PRIMARY KEY ("dataset", "path", "since"),'
        ' CHECK (("file" IS NULL) <> ("nested" IS NULL))) WITHOUT ROWID',
        'CREATE INDEX "local_member_file" ON "local_member" ("file") WHERE "file" IS NOT NULL',
        'CREATE INDEX "local_member_nested" ON "local_member" ("nested") WHERE "nested" IS NOT NULL',
        'CREATE TABLE "local_version" ("version" TEXT PRIMARY KEY REFERENCES "Dataset_Version" ("RID"), "dataset" TEXT'
        ' NOT NULL REFERENCES "Dataset" ("RID"), "number" INTEGER NOT NULL, "digest" TEXT NOT NULL, "files" INTEGER NOT'
        ' NULL, "bytes" INTEGER NOT NULL, UNIQUE ("dataset", "number")) WITHOUT ROWID',
        'CREATE INDEX "local_version_digest" ON "local_version" ("digest")',
        'CREATE TABLE "local_dataset" ("dataset" TEXT PRIMARY KEY REFERENCES "Dataset" ("RID"), "name" TEXT NOT NULL'
        " UNIQUE) WITHOUT ROWID",
        'CREATE TABLE "local_root" ("dataset" TEXT NOT NULL REFERENCES "Dataset" ("RID"), "folder" TEXT NOT NULL,'
        ' "into" TEXT NOT NULL, PRIMARY KEY ("dataset", "folder", "into")) WITHOUT ROWID',
        'CREATE TABLE "local_seen" ("path" TEXT PRIMARY KEY, "size" INTEGER NOT NULL, "mtime" INTEGER NOT NULL, "ctime"'
        ' INTEGER NOT NULL, "inode" INTEGER NOT NULL, "device" INTEGER NOT NULL, "md5" TEXT NOT NULL, "noted" REAL NOT'
        " NULL) WITHOUT ROWID",
        'CREATE TABLE "local_imported" ("rid" TEXT PRIMARY KEY, "was" TEXT NOT NULL, "archive" TEXT NOT NULL, "imported"'
        " TEXT NOT NULL) WITHOUT ROWID",
        'CREATE INDEX "local_imported_was" ON "local_imported" ("was")',
        'INSERT INTO "local_member" SELECT m."Dataset", \'File/\' || f."RID" || \'/\' ||'
        " replace(coalesce(nullif(f.\"Filename\", ''), f.\"MD5\"), '/', '_'), f.\"RID\", NULL, 1, NULL"
        ' FROM "Dataset_File" m JOIN "File" f ON f."RID" = m."File"',
        'INSERT INTO "local_member" SELECT m."Dataset", d."RID" || \'-\' || v."Version", NULL, v."RID", 1, NULL'
        ' FROM "Dataset_Dataset" m JOIN "Dataset" d ON d."RID" = m."Nested_Dataset"'
        ' JOIN "Dataset_Version" v ON v."RID" = d."Version"',
        'INSERT INTO "local_version" SELECT "RID", "Dataset", row_number() OVER (PARTITION BY "Dataset" ORDER BY "RCT",'
        ' "RID"), \'\', 0, 0 FROM "Dataset_Version" WHERE "Dataset" IS NOT NULL',
        'DROP TABLE "Dataset_File"',
        'DROP TABLE "Dataset_Dataset"',
        'CREATE VIEW "Dataset_File" AS SELECT DISTINCT "dataset" AS "Dataset", "file" AS "File" FROM "local_member"'
        ' WHERE "file" IS NOT NULL',
        'CREATE VIEW "Dataset_Dataset" AS SELECT DISTINCT m."dataset" AS "Dataset", v."Dataset" AS "Nested_Dataset"'
        ' FROM "local_member" m JOIN "Dataset_Version" v ON v."RID" = m."nested" WHERE m."nested" IS NOT NULL',
        'ALTER TABLE "local_catalog" DROP COLUMN "next_rid"',
    ):
        database.query(statement)
    waiting = {row["version"]: row["dataset"] for row in database.select("local_version")}
    done: dict[str, tuple[str, int, int]] = {}
    while waiting:
        ready = [one for one, dataset in waiting.items() if _parts(database, dataset) <= done.keys()]
        for version in ready or [*waiting]:  # those that contain themselves can be read by nobody
            entries, files, size = [], 0, 0
            for row in database.query(MEMBERS, waiting.pop(version), 1, 1):
                digest, inner_files, inner_size = done.get(
                    row["nested"], (row["MD5"] or "", 1, row["Length"] or 0)
                )
                entries.append(Entry(row["path"], digest, row["Length"] or 0, row["Version"] or ""))
                files, size = files + inner_files, size + inner_size
            done[version] = digest_of(entries), files, size
            change = dict(zip(("digest", "files", "bytes"), done[version], strict=True))
            database.change("local_version", change, version=version)


MEMBERS = (
    'SELECT m."path", m."file", m."nested", f."MD5", f."Length", v."Version" FROM "local_member" m'
    ' LEFT JOIN "File" f ON f."RID" = m."file" LEFT JOIN "Dataset_Version" v ON v."RID" = m."nested"'
    ' WHERE m."dataset" = ? AND m."since" <= ? AND coalesce(m."until" > ?, 1) ORDER BY m."path"'
)
"""What is in a dataset's state of a number, which is given twice."""


def _parts(database: Database, dataset: str) -> set[str]:
    rows = database.query(
        'SELECT "nested" FROM "local_member" WHERE "dataset" = ? AND "nested" IS NOT NULL', dataset
    )
    return {row["nested"] for row in rows}


MIGRATIONS: dict[int, Callable[[Database], None]] = {
    1: add_destinations,
    2: add_lock,
    3: add_started_by,
    4: refuse_runners_that_read_paths_from_the_project,
    5: add_summaries,
    6: add_versions,
}
"""What brings a file of each older version to the next one.

Once released a step stays as it is, whatever becomes of the tables: it takes nothing from ``tables.py``. It runs inside
a transaction, and may change rows and terms (``insert_terms``) too. Terms of ``TERMS`` that lack are inserted after it.
"""


def open_database(path: Path, flush: Callable[[], None], read_only: bool) -> Database:
    """Open a catalog's file, with the tables that this runner knows.

    Args:
        flush: called before a transaction is committed, to have on the disk what its rows name.
        read_only: for a disk that takes nothing.

    Raises:
        DerivaMLException: the file was written by a newer runner, is no catalog, or the disk takes nothing.
    """
    try:
        database = Database(path, flush, read_only)
        _bring_up_to_date(database)
    except (sqlite3.DatabaseError, OSError) as error:
        if why := disk.fault(error, path.parent):
            raise DerivaMLException(disk.not_taken(path.parent, why)) from error
        raise DerivaMLException(f"{path} cannot be used as a catalog: {error}") from error
    return database


def _bring_up_to_date(database: Database) -> None:
    path, version = database.path, _version(database)
    if version > VERSION:
        raise DerivaMLException(
            f"{path} was written by a newer runner (schema {version}, this one knows"
            f" {VERSION}): bring the project up to date with copier update"
        )
    if version == VERSION:
        return
    if database.read_only:
        raise DerivaMLException(
            f"{path} was written by an older runner, and cannot be brought up to date: it is read-only here"
        )
    if version == 0:
        database.use_write_ahead_log()
    with database.transaction(durable=True):
        version = _version(database)  # another run may have been faster
        if version < VERSION:
            _create(database) if version == 0 else _migrate(database, version)
            for vocabulary, names in TERMS.items():
                database.insert_terms(vocabulary, names)
            database.query(f"PRAGMA user_version = {VERSION}")
    disk.flush_names(path.parent)
    if 0 < version < VERSION:
        tell(
            f"note: {path} was brought up to date (schema {version} to {VERSION}), and as it was it is"
            f" kept as {path.name}.v{version}; older runners, such as those of other working trees, are"
            " refused from now on"
        )


def _version(database: Database) -> int:
    return int(database.value("PRAGMA user_version"))


def _create(database: Database) -> None:
    for statement in statements():
        database.query(statement)
    database.query('INSERT INTO "local_catalog" VALUES (?)', str(uuid.uuid4()))


def _migrate(database: Database, version: int) -> None:
    """Take the steps from a version to this one, after a copy of the file as it was."""
    copy = database.path.with_name(f"{database.path.name}.v{version}")
    copy.touch(mode=database.path.stat().st_mode & 0o660)
    with closing(sqlite3.connect(database.path)) as before, closing(sqlite3.connect(copy)) as after:
        before.backup(after)
    disk.flush([copy])
    for older in range(version, VERSION):
        MIGRATIONS[older](database)
