"""The rows that travel with records to another project's catalog: of which tables, with which columns, and of which records."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from deriva_ml.catalog.base import CatalogBase
from deriva_ml.catalog.database import literal
from deriva_ml.definitions import OPEN_STATUSES, RID, Status

RECORDS = ("Workflow", "Execution", "Dataset", "Dataset_Version", "Asset")
"""What has an RID that others refer to; ``Asset`` stands for every table of files."""


class Kind(NamedTuple):
    """Rows of one kind.

    Attributes:
        columns: what each holds: an RID of its own (``rid``), that of a record (its kind, with ``?`` where there may be
            none, ``record`` for one of any kind), or a value: as ``arriving.CHECKS`` has them.
        query: returns those of the chosen records, in an order of their own; for each table of files where it names
            ``{asset}``.
    """

    columns: Mapping[str, str]
    query: str


_STAMPED = {"RCT": "time", "RMT": "time", "RCB": "text", "RMB": "text"}
_E, _D, _W = (
    f'(SELECT "rid" FROM temp.chosen WHERE "kind" = \'{kind}\')'
    for kind in ("Execution", "Dataset", "Workflow")
)
_A = '(SELECT "rid" FROM temp.chosen WHERE "kind" = \'{asset}\')'

KINDS: dict[str, Kind] = {
    "Workflow": Kind(
        {
            "RID": "rid",
            **_STAMPED,
            **dict.fromkeys(("Name", "Description", "URL", "Checksum", "Version"), "text"),
        },
        f'SELECT * FROM "Workflow" WHERE "RID" IN {_W} ORDER BY "RID"',
    ),
    "Workflow_Type": Kind(
        {"Workflow": "Workflow", "Workflow_Type": "word"},
        f'SELECT * FROM "Workflow_Workflow_Type" WHERE "Workflow" IN {_W} ORDER BY "RID"',
    ),
    "Execution": Kind(
        {
            "RID": "rid",
            **_STAMPED,
            "Workflow": "Workflow",
            **dict.fromkeys(("Description", "Execution_Duration", "Download_Duration"), "text"),
            **dict.fromkeys(("Upload_Duration", "Status_Detail", "started_by"), "text"),
            "was": "rid?",
            "Status": "status",
        },
        # That it waits to be sent somewhere is this project's affair.
        f"SELECT CASE e.\"Status\" WHEN '{Status.pending_upload}' THEN '{Status.uploaded}' ELSE e.\"Status\" END AS"
        ' "Status", e.*, r."started_by", h."was" FROM "Execution" e LEFT JOIN "local_run" r ON r."execution" = e."RID"'
        ' LEFT JOIN "local_imported" h ON h."rid" = e."RID"'
        f' WHERE e."RID" IN {_E} ORDER BY e."RID"',
    ),
    "Execution_Execution": Kind(
        {**_STAMPED, "Execution": "Execution", "Nested_Execution": "Execution", "Sequence": "number"},
        f'SELECT * FROM "Execution_Execution" WHERE "Execution" IN {_E} AND "Nested_Execution" IN {_E} ORDER BY "RID"',
    ),
    "Dataset": Kind(
        {"RID": "rid", **_STAMPED, "Description": "text", "Deleted": "number", "name": "text", "was": "rid?"},
        'SELECT d.*, n."name", h."was" FROM "Dataset" d LEFT JOIN "local_dataset" n ON n."dataset" = d."RID"'
        ' LEFT JOIN "local_imported" h ON h."rid" = d."RID"'
        f' WHERE d."RID" IN {_D} ORDER BY d."RID"',
    ),
    "Dataset_Type": Kind(
        {"Dataset": "Dataset", "Dataset_Type": "word"},
        f'SELECT * FROM "Dataset_Dataset_Type" WHERE "Dataset" IN {_D} ORDER BY "RID"',
    ),
    "Dataset_Version": Kind(
        {
            "RID": "rid",
            **_STAMPED,
            "Version": "version",
            "Description": "text",
            "Dataset": "Dataset",
            "Execution": "Execution?",
            "Snapshot": "text",
            "number": "count",
            "digest": "md5",
            "files": "count",
            "bytes": "count",
        },
        f'SELECT CASE WHEN v."Execution" IN {_E} THEN v."Execution" END AS "Execution", v.*, l."number", l."digest",'
        ' l."files", l."bytes" FROM "Dataset_Version" v JOIN "local_version" l ON l."version" = v."RID"'
        f' WHERE v."Dataset" IN {_D} ORDER BY v."Dataset", l."number"',
    ),
    "Asset": Kind(
        {
            "table": "table",
            "RID": "rid",
            **_STAMPED,
            "Filename": "word",
            "Description": "text",
            "Length": "count",
            "MD5": "md5",
        },
        f'SELECT *, \'{{asset}}\' AS "table" FROM "{{asset}}" WHERE "RID" IN {_A} ORDER BY "RID"',
    ),
    "Asset_Type": Kind(
        {"Asset": "Asset", "Asset_Type": "word"},
        f'SELECT *, "{{asset}}" AS "Asset" FROM "{{asset}}_Asset_Type" WHERE "{{asset}}" IN {_A} ORDER BY "RID"',
    ),
    "Asset_Execution": Kind(
        {**_STAMPED, "Asset": "Asset", "Execution": "Execution", "Asset_Role": "role"},
        f'SELECT *, "{{asset}}" AS "Asset" FROM "{{asset}}_Execution" WHERE "Execution" IN {_E} ORDER BY "RID"',
    ),
    "Dataset_Execution": Kind(
        {**_STAMPED, "Dataset": "Dataset", "Execution": "Execution", "Dataset_Version": "Dataset_Version?"},
        f'SELECT * FROM "Dataset_Execution" WHERE "Execution" IN {_E} ORDER BY "RID"',
    ),
    "Member": Kind(
        {
            "dataset": "Dataset",
            "path": "path",
            "file": "Asset?",
            "nested": "Dataset_Version?",
            "since": "count",
            "until": "number",
        },
        f'SELECT * FROM "local_member" WHERE "dataset" IN {_D} ORDER BY "dataset", "path", "since"',
    ),
    "Setting": Kind(
        {"execution": "Execution", "kind": "setting", "name": "text", "value": "cell", "json": "json"},
        f'SELECT * FROM "local_setting" WHERE "execution" IN {_E} ORDER BY "execution", "kind", "name"',
    ),
    "Metric": Kind(
        {
            "execution": "Execution",
            "name": "text",
            **dict.fromkeys(
                ("last", "last_step", "least", "least_step", "greatest", "greatest_step"), "cell"
            ),
        },
        f'SELECT * FROM "local_metric" WHERE "execution" IN {_E} ORDER BY "execution", "name"',
    ),
    # What records are on servers, without the credentials for them.
    "Remote": Kind(
        {"local": "record", "host": "word", "catalog": "word", "remote": "word", "url": "text"},
        'SELECT * FROM "local_remote" WHERE "stored" AND "local" IN (SELECT "rid" FROM temp.chosen WHERE "kind" <> \'\')'
        ' ORDER BY "local", "host", "catalog"',
    ),
    "Input": Kind(
        {
            "execution": "Execution",
            **dict.fromkeys(("host", "catalog"), "word"),
            "table": "table",
            "rid": "word",
            "version_rid": "text",
        },
        f'SELECT * FROM "local_input" WHERE "execution" IN {_E} ORDER BY rowid',
    ),
    "Destination": Kind(
        {"execution": "Execution", "host": "word", "catalog": "word"},
        f'SELECT * FROM "local_destination" WHERE "pushed" AND "execution" IN {_E} ORDER BY rowid',
    ),
    "Columns": Kind(
        {"asset": "Asset", "values": "json"},
        'SELECT * FROM "local_columns" WHERE "asset" IN (SELECT "rid" FROM temp.chosen) ORDER BY "asset", "staged"',
    ),
}
"""In an order in which each comes after those that it refers to."""

_EXECUTION = (
    'SELECT e."RID", CASE WHEN e."Status" IN '
    f"({', '.join(repr(status.value) for status in OPEN_STATUSES)}) THEN '' ELSE 'Execution' END"
    ' FROM "Execution" e WHERE e."RID" '
)
_GIVEN = 'IN (SELECT "value" FROM json_each(?))'
_MAKERS = 'SELECT "Execution" FROM "{asset}_Execution" WHERE "Asset_Role" = \'Output\' AND "{asset}" IN '
_READ = (
    f'(SELECT "{{asset}}" FROM "{{asset}}_Execution" WHERE "Asset_Role" = \'Input\' AND "Execution" IN {_E}'
    f' UNION SELECT "file" FROM "local_member" WHERE "dataset" IN {_D})'
)
"""What chosen executions read, and what is in chosen datasets; one file, such as a lock file, may be written by many."""

_PARTS = (
    'SELECT v."Dataset", \'Dataset\' FROM "local_member" m JOIN "Dataset_Version" v ON v."RID" = m."nested"'
    f' WHERE m."dataset" IN {_D}',
    f'SELECT "file", \'File\' FROM "local_member" WHERE "file" IS NOT NULL AND "dataset" IN {_D}',
)
"""What is in chosen datasets."""

_STEPS = (
    _EXECUTION + f'IN (SELECT "Nested_Execution" FROM "Execution_Execution" WHERE "Execution" IN {_E})',
    f'SELECT "Dataset", \'Dataset\' FROM "Dataset_Execution" WHERE "Execution" IN {_E}',
    f'SELECT "Dataset", \'Dataset\' FROM "Dataset_Version" WHERE "Execution" IN {_E}',
    _EXECUTION + f'IN (SELECT "Execution" FROM "Dataset_Version" WHERE "Dataset" IN {_D})',
    f'SELECT "{{asset}}", \'{{asset}}\' FROM "{{asset}}_Execution" WHERE "Execution" IN {_E}',
    *_PARTS,
)
"""What belongs to chosen records: an execution's parts, inputs and outputs; a dataset's makers, parts and files."""

_LAST = (
    f'SELECT "Workflow", \'Workflow\' FROM "Execution" WHERE "RID" IN {_E}',
    f'SELECT "RID", \'Dataset_Version\' FROM "Dataset_Version" WHERE "Dataset" IN {_D}',
)


class Selection:
    """Records of a catalog, chosen with all that belongs to them; the rows are those of one moment.

    Attributes:
        left_out: executions that belong to them, and are not carried since they have not ended.
    """

    def __init__(
        self, catalog: CatalogBase, given: Collection[RID] | None, inputs: bool, alone: bool
    ) -> None:
        self._db = catalog._db
        self._tables = catalog.asset_tables()
        self._db.query(
            'CREATE TEMP TABLE chosen ("rid" TEXT PRIMARY KEY, "kind" TEXT NOT NULL) WITHOUT ROWID'
        )
        self._choose(f"{_EXECUTION}{_GIVEN}", given)
        self._choose(f'SELECT "RID", \'Dataset\' FROM "Dataset" WHERE "RID" {_GIVEN}', given)
        self._choose(f'SELECT "RID", \'{{asset}}\' FROM "{{asset}}" WHERE "RID" {_GIVEN}', given)
        if not alone:
            self._choose(f"{_EXECUTION}IN ({_MAKERS}{_A})")
        steps = [*(_PARTS if alone else _STEPS), *([f"{_EXECUTION}IN ({_MAKERS}{_READ})"] if inputs else ())]
        while sum([self._choose(step) for step in steps]):
            pass
        for step in _LAST:
            self._choose(step)
        rows = self._db.query('SELECT "rid" FROM temp.chosen WHERE "kind" = \'\' ORDER BY "rid"')
        self.left_out = [row["rid"] for row in rows]

    def _choose(self, query: str, given: Collection[RID] | None = ()) -> int:
        """Choose the records that a query returns, for each table of files where it names one; return how many are new."""
        values: list[str] = []
        if given is None:
            query = query.replace(_GIVEN, "IS NOT NULL")
        elif _GIVEN in query:
            values = [json.dumps([*given])]
        return sum(
            self._db.query(f"INSERT OR IGNORE INTO temp.chosen {one}", *values).rowcount
            for one in self._each(query)
        )

    def _each(self, query: str) -> list[str]:
        tables = self._tables if "{asset}" in query else [""]
        return [_of_table(query, table) for table in tables]

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Return the rows of a kind."""
        for query in self._each(KINDS[name].query):
            for row in self._db.query(query):
                yield {column: row[column] for column in KINDS[name].columns}

    def contents(self) -> Iterator[dict[str, Any]]:
        """Return each content once: ``MD5``, ``Length``, and the names and tables of the files that have it."""
        of_table = f'SELECT *, \'{{asset}}\' AS "table" FROM "{{asset}}" WHERE "RID" IN {_A}'
        columns = '"MD5", "Length", "Filename", "RID", "table"'
        files = " UNION ALL ".join(f"SELECT {columns} FROM ({one})" for one in self._each(of_table))
        query = (
            'SELECT "MD5", max("Length") AS "Length", min("Filename") AS "Filename", json_group_array("RID") AS "RIDs",'
            f' max("table" = \'Execution_Metadata\') AS "describes" FROM ({files}) GROUP BY "MD5" ORDER BY "MD5"'
        )
        return ({**dict(row), "RIDs": sorted(json.loads(row["RIDs"]))} for row in self._db.query(query))


def _of_table(query: str, table: str) -> str:
    return query.replace("'{asset}'", literal(table)).replace("{asset}", table)


def imported(catalog: CatalogBase, rid: RID) -> str:
    """Return when a record was imported, and what identifies the file; empty for one that was made here."""
    row = catalog._db.find("local_imported", rid=rid)
    return f"{row['imported']} from {row['archive']}" if row else ""


@contextmanager
def chosen(
    catalog: CatalogBase, given: Collection[RID] | None, inputs: bool = False, alone: bool = False
) -> Iterator[Selection]:
    """Give records with all that belongs to them, as they are at this moment.

    Args:
        given: RIDs of executions, datasets and files; None for all records.
        inputs: with the executions that made what others read, and what these read, and so on.
        alone: datasets and files with what is in them, and without the executions that made them.
    """
    with catalog._db.moment():
        yield Selection(catalog, given, inputs, alone)
