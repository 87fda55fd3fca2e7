"""Takes rows of another project's catalog into this one: all of them or none, and what is here stays as it is."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.catalog.carried import KINDS, RECORDS
from deriva_ml.catalog.database import KEEP, mint, now
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import OPEN_STATUSES, RID, RID_DIGITS, AssetRole, Status
from deriva_ml.untrusted import DAMAGED, check_relative, is_deep

AT_A_TIME = 10_000
"""Rows in memory."""

_STATUSES = {*Status} - {*OPEN_STATUSES, Status.pending_upload}
_SYSTEM = ("RID", "RCT", "RMT", "RCB", "RMB")


def _like(pattern: str) -> Callable[[Any], bool]:
    found = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and len(value) < 100 and found.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


CHECKS: dict[str, Callable[[Any], bool]] = {
    "rid": _like("[0-9A-Z]+(-[0-9A-Z]+)*"),
    "time": _like(r"\d{4}-\d\d-\d\d[T ][\d:.]+([+-]\d\d:\d\d|Z)?"),
    "md5": _like("[0-9a-f]{32}"),
    "version": _like(r"\d+\.\d+\.\d+(\.[a-z]+\d+)?"),
    "status": lambda value: value in _STATUSES,
    "role": lambda value: value in {*AssetRole},
    "setting": lambda value: value in ("parameter", "choice"),
    "text": lambda value: value is None or isinstance(value, str),
    "word": lambda value: isinstance(value, str) and value != "",
    "path": lambda value: isinstance(value, str) and check_relative(value) != "",
    "count": _is_count,
    "number": lambda value: value is None or _is_count(value),
    "cell": lambda value: value is None or type(value) in (int, float, str),
    "json": lambda value: isinstance(value, str) and not is_deep(json.loads(value)),
}
"""What the columns of ``KINDS`` may hold."""


def _referred(kind: str) -> str:
    """Return which kind of record a column refers to; empty if it holds a value."""
    name = kind.removesuffix("?")
    return name if name in {*RECORDS, "record"} else ""


@dataclass
class Merged:
    """What came of it.

    Attributes:
        new: how many records of each kind were not here.
        renamed: RIDs that other records have here, each with the one that the record got instead.
        unnamed: datasets that are without their names, which others have here, each with it.
    """

    new: dict[str, int] = field(default_factory=dict)
    renamed: dict[RID, RID] = field(default_factory=dict)
    unnamed: dict[RID, str] = field(default_factory=dict)


class Merge:
    """Rows that somebody else may have written, on their way into a catalog.

    They lie in tables of this connection's own, named ``in_`` and their kind, until they are taken in.

    Raises:
        ValueError: rows are not as they have to be; the message says which.
    """

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self._catalog, self._db = catalog, catalog._db
        self._merged = Merged()

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

    def finish(self, archive: str, then: Callable[[], None]) -> Merged:
        """Take the rows in.

        Args:
            archive: what identifies the file that they are from.
            then: what else becomes true in the same moment; called in the transaction.
        """
        try:
            with self._db.transaction(durable=True):
                self._map()
                self._insert_executions()
                self._insert_assets()
                self._insert_datasets()
                self._insert_notes(archive)
                then()
        except sqlite3.IntegrityError as error:
            raise ValueError(f"rows in it contradict one another: {error}") from error
        return self._merged

    def forget(self) -> None:
        """Drop what was read."""
        for name in [*(f"in_{kind}" for kind in KINDS), "mapped"]:
            self._db.query(f'DROP TABLE IF EXISTS temp."{name}"')

    def _refuse(self, query: str, why: str) -> None:
        """Refuse what the first row of a query names."""
        if found := self._db.query(query).fetchone():
            raise ValueError(why.format(*found))

    # Which record is which here

    def _map(self) -> None:
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
        for kind in ("Execution", "Dataset"):
            self._match(
                kind,
                f'"{kind}" h ON h."RCT" = i."RCT" AND (h."RID" IN (i."RID", i."was") OR h."RID" IN (SELECT "rid" FROM'
                ' "local_imported" WHERE "was" IN (i."RID", i."was")))',
            )
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
            literal = table.replace("'", "''")
            self._match(
                "Asset",
                f'"{table}" h ON i."table" = \'{literal}\' AND h."URL" = {_URL} AND h."Length" = i."Length"',
            )
        self._give_rids()
        for row in self._db.query(
            'SELECT "kind", count(*) AS n FROM temp.mapped WHERE "fresh" GROUP BY "kind"'
        ):
            self._merged.new[row["kind"]] = row["n"]

    def _tables(self) -> list[str]:
        rows = self._db.query('SELECT DISTINCT "table" FROM temp.in_Asset ORDER BY "table"')
        return [row["table"] for row in rows.fetchall()]

    def _check_references(self) -> None:
        """Refuse rows that refer to what is not in the file: what is here is none of its business."""
        for name, (columns, _) in KINDS.items():
            for column, kind in columns.items():
                if referred := _referred(kind):
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

    def _check_versions(self) -> None:
        self._refuse(
            'SELECT d."RID" FROM temp.in_Dataset d LEFT JOIN temp.in_Dataset_Version v ON v."Dataset" = d."RID" GROUP BY'
            ' d."RID" HAVING count(DISTINCT v."number") <> count(*) OR min(v."number") <> 1 OR max(v."number") <> count(*)',
            "the versions of dataset {} are not complete",
        )
        changed = self._db.query(
            'SELECT i."Version", d."new" FROM temp.in_Dataset_Version i JOIN temp.mapped d ON d."old" = i."Dataset"'
            ' JOIN temp.mapped v ON v."old" = i."RID" LEFT JOIN "local_version" l ON l."version" = v."new"'
            ' WHERE NOT d."fresh" AND (l."digest" <> i."digest" OR l."number" <> i."number" OR v."fresh" AND i."number"'
            ' <= (SELECT max("number") FROM "local_version" WHERE "dataset" = d."new"))'
        ).fetchone()
        if changed:
            raise ValueError(
                f"dataset {changed['new']} was changed here and there, so that {changed['Version']} would be two contents"
            )

    def _give_rids(self) -> None:
        """Let each record that is not here have its own RID, unless another record has that here."""
        tables = self._db.query(
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'RID'"
        )
        for row in tables.fetchall():
            self._db.query(
                f'UPDATE temp.mapped SET "new" = \'\' WHERE "fresh" AND "old" IN (SELECT "RID" FROM "{row["name"]}")'
            )
        rows = self._db.query('SELECT "old" FROM temp.mapped WHERE "new" = \'\'').fetchall()
        self._merged.renamed = dict(zip((row["old"] for row in rows), mint(len(rows)), strict=True))
        for old, new in self._merged.renamed.items():
            self._db.query('UPDATE temp.mapped SET "new" = ? WHERE "old" = ?', new, old)
        self._db.query('UPDATE temp.mapped SET "new" = "old" WHERE "new" IS NULL')

    # Rows

    def _rows(self, name: str, condition: str = "1") -> Iterator[list[dict[str, Any]]]:
        """Return the rows of a kind, with the RIDs that records have here, many at a time.

        Args:
            condition: SQL; ``m_X`` is what ``mapped`` says of the record that column X names.
        """
        values, joins = [], ""
        for column, kind in KINDS[name].columns.items():
            if kind == "rid" or _referred(kind):
                joins += f' LEFT JOIN temp.mapped "m_{column}" ON "m_{column}"."old" = i."{column}"'
                values.append(f'"m_{column}"."new" AS "{column}"')
            else:
                values.append(f'i."{column}"')
        rows = self._db.query(
            f"SELECT {', '.join(values)} FROM temp.in_{name} i{joins} WHERE {condition} ORDER BY i.rowid"
        )
        while some := rows.fetchmany(AT_A_TIME):
            yield [dict(row) for row in some]

    def _insert(self, name: str, table: str, condition: str, /, **renamed: str) -> None:
        """Insert rows that have RIDs; a column is called as ``renamed`` says, or left out where that is empty."""
        for rows in self._rows(name, condition):
            self._db.insert(table, *(_renamed(row, renamed) for row in rows))

    def _add(self, name: str, table: str, condition: str, /, **constant: Any) -> None:
        """Insert rows without RIDs, with further columns that are the same in each."""
        for rows in self._rows(name, condition):
            columns = [*rows[0], *constant]
            self._db.add_all(table, columns, ((*row.values(), *constant.values()) for row in rows))

    def _insert_terms(self, name: str, vocabulary: str) -> None:
        rows = self._db.query(f'SELECT DISTINCT "{vocabulary}" FROM temp.in_{name}').fetchall()
        self._db.insert_terms(vocabulary, [row[vocabulary] for row in rows])

    def _insert_executions(self) -> None:
        self._insert("Workflow", "Workflow", '"m_RID"."fresh"')
        self._insert_terms("Workflow_Type", "Workflow_Type")
        self._insert("Workflow_Type", "Workflow_Workflow_Type", '"m_Workflow"."fresh"')
        self._insert("Execution", "Execution", '"m_RID"."fresh"', started_by="", was="")
        for rows in self._rows("Execution", '"m_RID"."fresh"'):
            run = ("execution", "host", "pid", "started", "started_by")
            self._db.add_all("local_run", run, ((row["RID"], "", 0, 0, row["started_by"]) for row in rows))
        either = '"m_Execution"."fresh" OR "m_Nested_Execution"."fresh"'
        self._insert("Execution_Execution", "Execution_Execution", either)

    def _insert_assets(self) -> None:
        self._insert_terms("Asset_Type", "Asset_Type")
        for table in self._tables():
            literal = table.replace("'", "''")
            of_table = f'i."{{}}" IN (SELECT "RID" FROM temp.in_Asset WHERE "table" = \'{literal}\') AND "m_{{}}"."fresh"'
            for rows in self._rows("Asset", of_table.format("RID", "RID")):
                for row in rows:
                    row["URL"] = f"/hatrac/{row.pop('table')}/{row['MD5']}.{row['Filename']}"
                self._db.insert(table, *rows)
            self._insert("Asset_Type", f"{table}_Asset_Type", of_table.format("Asset", "Asset"), Asset=table)
            made = of_table.format("Asset", "Execution")
            self._insert("Asset_Execution", f"{table}_Execution", made, Asset=table)

    def _insert_datasets(self) -> None:
        self._insert("Dataset", "Dataset", '"m_RID"."fresh"', name="", was="")
        self._insert_terms("Dataset_Type", "Dataset_Type")
        self._insert("Dataset_Type", "Dataset_Dataset_Type", '"m_Dataset"."fresh"')
        columns = ("number", "digest", "files", "bytes")
        fresh = '"m_RID"."fresh"'
        self._insert("Dataset_Version", "Dataset_Version", fresh, **dict.fromkeys(columns, ""))
        for rows in self._rows("Dataset_Version", fresh):
            states = ([row["RID"], row["Dataset"], *(row[name] for name in columns)] for row in rows)
            self._db.add_all("local_version", ("version", "dataset", *columns), states)
        self._insert("Dataset_Execution", "Dataset_Execution", '"m_Execution"."fresh"')
        for rows in self._rows("Dataset", 'i."name" <> \'\' AND "m_RID"."fresh"'):
            for row in rows:
                self._db.add("local_dataset", {"dataset": row["RID"], "name": row["name"]}, KEEP)
                if self._catalog.name_of_dataset(row["RID"]) != row["name"]:
                    self._merged.unnamed[row["RID"]] = row["name"]
        grown = self._db.query(
            'SELECT DISTINCT i."Dataset" AS old, d."new" FROM temp.in_Dataset_Version i JOIN temp.mapped v ON v."old" ='
            ' i."RID" JOIN temp.mapped d ON d."old" = i."Dataset" WHERE v."fresh"'
        ).fetchall()
        for old, dataset in grown:
            # Of one that is here, the same up to the last state here, as the digests show.
            self._db.delete("local_member", dataset=dataset)
            self._add("Member", "local_member", f"i.\"dataset\" = '{old}'")
        for _, dataset in grown:
            self._check_members(dataset)
            last = self._catalog.dataset_versions(dataset)[0]
            self._db.change("Dataset", {"Version": last.rid}, RID=dataset)

    def _check_members(self, dataset: RID) -> None:
        """Refuse a dataset whose states are not what their digests say."""
        states = self._catalog.dataset_versions(dataset)
        beside = (
            'EXISTS (SELECT 1 FROM "local_member" i WHERE i."dataset" = o."dataset" AND {} AND coalesce(i."since" <'
            ' o."until", 1) AND coalesce(o."since" < i."until", 1))'
        )
        again = beside.format('i."path" = o."path" AND i."since" > o."since"')
        inside = beside.format(
            'i."path" > o."path" || \'/\' AND i."path" < o."path" || \'0\''
        )  # 0 follows the slash
        wrong = self._db.value(
            'SELECT o."path" FROM "local_member" o WHERE o."dataset" = ?1 AND (o."since" < 1 OR o."until" <= o."since" OR'
            f' max(o."since", coalesce(o."until", 1)) > ?2 OR {again} OR {inside})',
            dataset,
            len(states),
        )
        if wrong is not None:
            raise ValueError(f"{wrong!r} cannot lie where it is said to in dataset {dataset}")
        for state in states:
            digest = hashlib.md5(usedforsecurity=False)
            for line in self._catalog.manifest(state.rid):
                digest.update(line.encode())
            counted = self._db.query(
                'SELECT count(*) - count(n."version") + coalesce(sum(n."files"), 0), coalesce(sum(coalesce(n."bytes",'
                ' f."Length")), 0) FROM "local_member" m LEFT JOIN "File" f ON f."RID" = m."file" LEFT JOIN "local_version"'
                ' n ON n."version" = m."nested" WHERE m."dataset" = ?1 AND m."since" <= ?2 AND coalesce(m."until" > ?2, 1)',
                dataset,
                state.number,
            ).fetchone()
            if digest.hexdigest() != state.digest or tuple(counted) != (state.files, state.bytes):
                raise ValueError(f"version {state.version} of dataset {dataset} is not what its digest says")

    def _insert_notes(self, archive: str) -> None:
        of_new = '"m_execution"."fresh"'
        self._add("Setting", "local_setting", of_new)
        self._add("Metric", "local_metric", of_new)
        self._add("Input", "local_input", of_new)
        self._add("Destination", "local_destination", of_new, held=1, changes=1, pushed=1)
        self._add("Remote", "local_remote", '"m_local"."fresh"', stored=1)
        first = self._db.value('SELECT min(0, coalesce(min("staged"), 0)) FROM "local_columns"')
        for rows in self._rows("Columns", '"m_asset"."fresh"'):
            for row in rows:
                first -= 1
                self._db.add("local_columns", {"staged": first, **row})
        for kind in ("Execution", "Dataset"):
            self._db.query(
                'INSERT INTO "local_imported" SELECT m."new", coalesce(i."was", i."RID"), ?, ? FROM temp.mapped m JOIN'
                f' temp.in_{kind} i ON i."RID" = m."old" WHERE m."fresh"',
                archive,
                now(),
            )


_URL = "'/hatrac/' || i.\"table\" || '/' || i.\"MD5\" || '.' || i.\"Filename\""


def _renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items() if names.get(name) != ""}


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
            value, checked = said[column], "rid" if _referred(kind) else kind
            if not (value is None and kind.endswith("?")) and not CHECKS[checked](value):
                raise ValueError(f"{column} cannot be {str(value)[:40]!r}")
            if isinstance(value, str):
                value.encode()
    except DAMAGED as error:
        raise ValueError(f"a row of {name} is none: {error}") from error
    return tuple(said[column] for column in columns)


@contextmanager
def merging(catalog: EmbeddedCatalog) -> Iterator[Merge]:
    """Give what takes rows into a catalog, and forget in the end what it was given and did not take in."""
    merge = Merge(catalog)
    merge.forget()
    try:
        yield merge
    finally:
        merge.forget()
