"""The contents in a catalog's store beside the rows that name them, compared without holding either in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from deriva_ml.catalog.base import CatalogBase
from deriva_ml.catalog.database import Database, literal
from deriva_ml.catalog.objects import is_digest
from deriva_ml.definitions import RID
from deriva_ml.project import Project

SETTLED = 86_400.0
"""Seconds that a content stays which no row names: a run may have taken it in and be about to name it."""

_TEXT_MD5 = re.compile(rb'"(?:md5|MD5)": ?"([0-9a-fA-F]{32})"')


class Stored(NamedTuple):
    """A content on the disk.

    Attributes:
        md5: its name.
        bytes: that it takes; 0 for one that is a link to a person's own file.
    """

    md5: str
    path: Path
    bytes: int
    changed: float


class Named:
    """What rows name of the contents, noted in a table of SQLite's that is this connection's own.

    Args:
        but: a table of this connection's own with rows that do not count: ``table`` and ``rid``.
    """

    def __init__(self, catalog: CatalogBase, but: str = "") -> None:
        self._db: Database = catalog.database
        own_table(self._db, "named", '"md5", "table", "rid", "length", PRIMARY KEY ("md5", "table", "rid")')
        for table in catalog.asset_tables():
            counted = f'"RID" NOT IN (SELECT "rid" FROM temp."{but}" WHERE "table" = ?)' if but else "? <> ''"
            self._db.query(
                'INSERT OR IGNORE INTO temp."named" SELECT coalesce("MD5", \'\'), ?, "RID", "Length"'
                f' FROM "{table}" WHERE {counted}',
                table,
                table,
            )

    def __contains__(self, md5: str) -> bool:
        return bool(self._db.value('SELECT 1 FROM "named" WHERE "md5" = ?', md5))

    def __iter__(self) -> Iterator[str]:
        for row in self._db.query('SELECT DISTINCT "md5" FROM "named" ORDER BY "md5"'):
            yield row["md5"]

    def total(self) -> tuple[int, int]:
        """Return how many contents are named, and their bytes."""
        each = 'SELECT min("length") AS "length" FROM "named" GROUP BY "md5"'
        count, size = self._db.query(f'SELECT count(*), coalesce(sum("length"), 0) FROM ({each})').fetchone()
        return count, size

    def rows(self, md5: str, but: int = -1) -> list[tuple[str, RID, int]]:
        """Return the rows that name a content with another length than this: table, RID and length."""
        rows = self._db.query(
            'SELECT "table", "rid", "length" FROM "named" WHERE "md5" = ? AND "length" <> ?', md5, but
        )
        return [(row["table"], row["rid"], row["length"]) for row in rows]


def own_table(database: Database, name: str, columns: str) -> None:
    """Make a table that is this connection's own, and empty."""
    database.query(f'DROP TABLE IF EXISTS temp."{name}"')
    database.query(f'CREATE TEMP TABLE "{name}" ({columns}) WITHOUT ROWID')


def outputs(catalog: CatalogBase) -> str:
    """Return a query of all files that executions made: execution, RID, file, bytes, MD5, table."""
    return " UNION ALL ".join(
        'SELECT l."Execution" AS "execution", a."RID", a."Filename" AS "file", a."Length" AS "bytes", a."MD5",'
        f' {literal(table)} AS "table" FROM "{table}_Execution" l JOIN "{table}" a ON a."RID" = l."{table}"'
        " WHERE l.\"Asset_Role\" = 'Output'"
        for table in catalog.asset_tables()
    )


def stored(folder: Path) -> Iterator[Stored]:
    """Return every content in a store; what has another name than a content's is none."""
    for shard in _entries(folder):
        if shard.is_dir(follow_symlinks=False):
            for one in _entries(Path(shard.path)):
                if is_digest(one.name) and one.is_file(follow_symlinks=False):
                    try:
                        status = one.stat(follow_symlinks=False)
                    except FileNotFoundError:  # collected meanwhile
                        continue
                    size = status.st_size if status.st_nlink == 1 else 0
                    yield Stored(one.name, Path(one.path), size, status.st_mtime)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return


def fetched(project: Project) -> set[str]:
    """Return the contents that were fetched from a Deriva catalog and are known for work without it; no row names these."""
    found: set[str] = set()
    for path in (project.state / "known").rglob("*.json"):
        if path.is_file() and not path.is_symlink():
            found |= {md5.decode() for md5 in _TEXT_MD5.findall(path.read_bytes())}
    return found


def folder_size(folder: Path) -> int:
    """Return the bytes of the files below a folder, without following links."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # gone meanwhile, or not ours to see
                continue
    return size
