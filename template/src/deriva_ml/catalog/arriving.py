"""Rows of another project's catalog on their way into this one: each looked at, and which record is which here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from deriva_ml.catalog.carried import KINDS, RECORDS
from deriva_ml.catalog.database import literal, mint
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import OPEN_STATUSES, RID, RID_DIGITS, AssetRole, Status
from deriva_ml.untrusted import DAMAGED, check_relative, is_deep

_STATUSES = {*Status} - {*OPEN_STATUSES, Status.pending_upload}


def _like(pattern: str) -> Callable[[Any], bool]:
    found = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and len(value) < 100 and found.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_integer(value: Any) -> bool:
    """Whether the database holds the number as it is."""
    return type(value) is int and -(2**63) <= value < 2**63


_is_dated = _like(r"\d{4}-\d\d-\d\d[T ][\d:.]+([+-]\d\d:\d\d|Z)?")


def _is_time(value: Any) -> bool:
    """Whether it is a moment that can be told in any place's time; what else looks so raises a ``ValueError``."""
    return _is_dated(value) and 1 < datetime.fromisoformat(value).year < 9999


CHECKS: dict[str, Callable[[Any], bool]] = {
    "rid": _like("[0-9A-Z]+(-[0-9A-Z]+)*"),
    "time": _is_time,
    "md5": _like("[0-9a-f]{32}"),
    "version": _like(r"\d+\.\d+\.\d+(\.(a|b|rc|post|dev)\d+)?"),
    "status": lambda value: value in _STATUSES,
    "role": lambda value: value in {*AssetRole},
    "setting": lambda value: value in ("parameter", "choice"),
    "text": lambda value: value is None or isinstance(value, str),
    "table": lambda value: (
        isinstance(value, str) and re.fullmatch(r"[^\x00-\x1f\x7f/\\]+", value) is not None
    ),
    "word": lambda value: isinstance(value, str) and value != "",
    "path": lambda value: isinstance(value, str) and check_relative(value) != "",
    "count": _is_count,
    "number": lambda value: value is None or _is_count(value),
    "cell": lambda value: value is None or type(value) in (float, str) or _is_integer(value),
    "json": lambda value: isinstance(value, str) and not is_deep(json.loads(value)),
}
"""What the columns of ``KINDS`` may hold."""


def referred_kind(kind: str) -> str:
    """Return which kind of record a column refers to; empty if it holds a value."""
    name = kind.removesuffix("?")
    return name if name in {*RECORDS, "record"} else ""


class Arrivals:
    """Rows that somebody else may have written.

    They lie in tables of this connection's own, named ``in_`` and their kind; ``mapped`` says which record each RID is
    here, and whether it is ``fresh``.

    Raises:
        ValueError: rows are not as they have to be; the message says which.
    """

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self._catalog, self._db = catalog, catalog._db

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Read the rows of a kind, one a line."""
        columns = KINDS[name].columns
        listed = ", ".join(f'"{column}"' for column in columns)
        self._db.query(f'CREATE TEMP TABLE "in_{name}" ({listed})')
        self._db.add_all(f"in_{name}", [*columns], (_row(name, line) for line in lines))

    def contents(self) -> Iterator[tuple[str, int]]:
        """Return the MD5 and the length of each content that a row names."""
        self._refuse(
            'SELECT "MD5" FROM temp.in_Asset GROUP BY "MD5" HAVING min("Length") <> max("Length")',
            "content {} has two lengths",
        )
        rows = self._db.query('SELECT DISTINCT "MD5", "Length" FROM temp.in_Asset ORDER BY "MD5"')
        return ((row["MD5"], row["Length"]) for row in rows)

    def forget(self) -> None:
        """Drop what was read."""
        for name in [*(f"in_{kind}" for kind in KINDS), "mapped"]:
            self._db.query(f'DROP TABLE IF EXISTS temp."{name}"')

    def _refuse(self, query: str, why: str) -> None:
        """Refuse what the first row of a query names."""
        if found := self._db.query(query).fetchone():
            raise ValueError(why.format(*found))

    # Which record is which here

    def _identify(self) -> None:
        """Find for each record the one that it is here, or an RID that it can have."""
        listed = " UNION ALL ".join(
            f'SELECT "RID", \'{kind}\' AS "kind" FROM temp.in_{kind}' for kind in RECORDS
        )
        self._refuse(
            f'SELECT "RID" FROM ({listed}) GROUP BY "RID" HAVING count(*) > 1',
            "two records in it have the RID {}",
        )
        self._db.query(
            'CREATE TEMP TABLE mapped ("old" TEXT PRIMARY KEY, "kind" TEXT, "new" TEXT, "fresh" INTEGER DEFAULT 1)'
            " WITHOUT ROWID"
        )
        self._db.query(f'INSERT INTO temp.mapped ("old", "kind") {listed}')
        self._check_references()
        self._match("Execution", f'"Execution" h ON {_SAME_ORIGIN}')
        self._match_datasets()
        reserved = f'h."RID" = i."RID" AND i."RID" GLOB \'*[^{RID_DIGITS}-]*\''
        self._match("Execution", f'"Execution" h ON {reserved}')
        # What is reserved may be another content in another version of the template.
        self._match(
            "Dataset",
            f'"Dataset" h ON {reserved} AND NOT EXISTS (SELECT 1 FROM temp.in_Dataset_Version v JOIN "Dataset_Version" w'
            ' ON w."Dataset" = h."RID" AND w."Version" = v."Version" JOIN "local_version" l ON l."version" = w."RID"'
            ' WHERE v."Dataset" = i."RID" AND l."digest" <> v."digest")',
        )
        same = " AND ".join(f'h."{name}" IS i."{name}"' for name in ("Checksum", "URL", "Version", "Name"))
        self._match("Workflow", f'"Workflow" h ON {same}')
        self._match(
            "Dataset_Version",
            'temp.mapped d ON d."old" = i."Dataset" AND NOT d."fresh" JOIN "Dataset_Version" h ON h."Dataset" = d."new"'
            ' AND h."Version" = i."Version"',
        )
        self._check_versions()
        self._refuse(
            'SELECT "RID" FROM temp.in_Asset GROUP BY "table", "MD5", "Filename" HAVING count(*) > 1',
            "the file of {} is in it twice",
        )
        self._refuse(
            'SELECT "file" FROM temp.in_Member JOIN temp.in_Asset ON "RID" = "file" WHERE "table" <> \'File\'',
            "{} is in a dataset, and not of the table File",
        )
        for table in self._tables():
            self._catalog.make_asset_table(table)
            here = f'"{table}" h ON i."table" = {literal(table)} AND h."URL" = {_URL} AND h."Length" = i."Length"'
            self._match("Asset", here)

    def _tables(self) -> list[str]:
        rows = self._db.query('SELECT DISTINCT "table" FROM temp.in_Asset ORDER BY "table"')
        return [row["table"] for row in rows.fetchall()]

    def _check_references(self) -> None:
        """Refuse rows that refer to what is not in the file: what is here is none of its business."""
        for name, (columns, _) in KINDS.items():
            for column, kind in columns.items():
                if referred := referred_kind(kind):
                    other = "" if referred == "record" else f"OR m.\"kind\" <> '{referred}'"
                    self._refuse(
                        f'SELECT i."{column}" FROM temp.in_{name} i LEFT JOIN temp.mapped m ON m."old" = i."{column}"'
                        f' WHERE i."{column}" IS NOT NULL AND (m."old" IS NULL {other})',
                        f"a row of {name} refers to {{}}, which is no {referred.lower()} in it",
                    )

    def _match(self, kind: str, here: str) -> None:
        """Note which records of a kind are here already: those that a row ``h`` is joined to."""
        self._db.query(
            f'UPDATE temp.mapped SET "new" = h."RID", "fresh" = 0 FROM temp.in_{kind} i JOIN {here}'
            ' WHERE temp.mapped."old" = i."RID"'
        )

    def _match_datasets(self) -> None:
        """Note which datasets are here already.

        What was changed here and there is two datasets from then on, and all of them may go on to a third project: each
        is no more than one of those here, and the one with which it has most states in common.
        """
        common = (
            '(SELECT count(*) FROM "local_version" l JOIN temp.in_Dataset_Version v ON v."number" = l."number" WHERE'
            ' l."dataset" = h."RID" AND v."Dataset" = i."RID")'
        )
        pairs = self._db.query(
            f'SELECT i."RID" AS "old", h."RID" AS "new" FROM temp.in_Dataset i JOIN "Dataset" h ON {_SAME_ORIGIN}'
            f' AND {_SAME_STATES} ORDER BY {common} DESC, h."RID" = i."RID" DESC, i."RID", h."RID"'
        ).fetchall()
        matched: dict[RID, RID] = {}
        for old, new in pairs:
            if old not in matched and new not in matched.values():
                matched[old] = new
                self._db.query('UPDATE temp.mapped SET "new" = ?, "fresh" = 0 WHERE "old" = ?', new, old)

    def _check_versions(self) -> None:
        self._refuse(
            'SELECT d."RID" FROM temp.in_Dataset d LEFT JOIN temp.in_Dataset_Version v ON v."Dataset" = d."RID" GROUP BY'
            ' d."RID" HAVING count(DISTINCT v."number") <> count(*) OR min(v."number") <> 1 OR max(v."number") <> count(*)',
            "the versions of dataset {} are not complete",
        )

    def _give_rids(self) -> dict[RID, RID]:
        """Let each record that is not here have its own RID, unless another record has that here; return those others got."""
        tables = self._db.query(
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'RID'"
        )
        for row in tables.fetchall():
            self._db.query(
                f'UPDATE temp.mapped SET "new" = \'\' WHERE "fresh" AND "old" IN (SELECT "RID" FROM "{row["name"]}")'
            )
        rows = self._db.query('SELECT "old" FROM temp.mapped WHERE "new" = \'\'').fetchall()
        renamed = dict(zip((row["old"] for row in rows), mint(len(rows)), strict=True))
        for old, new in renamed.items():
            self._db.query('UPDATE temp.mapped SET "new" = ? WHERE "old" = ?', new, old)
        self._db.query('UPDATE temp.mapped SET "new" = "old" WHERE "new" IS NULL')
        return renamed


_SAME_ORIGIN = (
    'h."RCT" = i."RCT" AND (h."RID" IN (i."RID", i."was") OR h."RID" IN (SELECT "rid" FROM "local_imported" WHERE "was" IN'
    ' (i."RID", i."was")))'
)
_SAME_STATES = (
    'NOT EXISTS (SELECT 1 FROM temp.in_Dataset_Version v JOIN "local_version" l ON l."number" = v."number" JOIN'
    ' "Dataset_Version" w ON w."RID" = l."version" WHERE v."Dataset" = i."RID" AND l."dataset" = h."RID" AND'
    ' (l."digest" <> v."digest" OR w."Version" <> v."Version"))'
)
_URL = "'/hatrac/' || i.\"table\" || '/' || i.\"MD5\" || '.' || i.\"Filename\""


def _row(name: str, line: bytes) -> tuple[Any, ...]:
    """Return the values of a row that somebody else may have written.

    Raises:
        ValueError: it is no row of this kind.
    """
    columns = KINDS[name].columns
    try:
        said = json.loads(line)
        if not isinstance(said, dict) or said.keys() != columns.keys():
            raise ValueError(f"its columns are not {', '.join(columns)}")
        for column, kind in columns.items():
            value, checked = said[column], "rid" if referred_kind(kind) else kind.removesuffix("?")
            if not (value is None and kind.endswith("?")) and not CHECKS[checked](value):
                raise ValueError(f"{column} cannot be {str(value)[:40]!r}")
            if isinstance(value, str):
                value.encode()
    except DAMAGED as error:
        raise ValueError(f"a row of {name} is none: {error}") from error
    return tuple(said[column] for column in columns)
