"""What the catalog's rows say of many executions, read for all of them at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deriva_ml.catalog.database import Database
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import as_written
from deriva_ml.catalog.links import DATASET, METADATA
from deriva_ml.catalog.objects import is_digest
from deriva_ml.definitions import RID, AssetRole, ExecAssetType, by_age
from deriva_ml.records.results import SWEEP_TABLE

SWEEP_FILES = frozenset({SWEEP_TABLE, "sweep.json"})
"""What only the record of a sweep has."""

CHOSEN = '(SELECT "value" FROM json_each(?))'


class File(NamedTuple):
    """A file that an execution read or made; of one that it read on a server only the RID and the address are known."""

    role: str
    table: str
    rid: RID
    name: str
    size: int | None
    md5: str
    description: str
    created: str
    types: tuple[str, ...]


@dataclass
class Rows:
    """What rows say of one execution, beside its own.

    Attributes:
        key: tells whether anything has changed that rows say of it.
        files: in order.
        datasets: RID, name, version and digest of what it read.
        parents, children: executions, each with the place that the nested one has.
        pushed: addresses of the record elsewhere.
        imported: when, and from which file; empty for one that was made here.
    """

    key: str = ""
    files: list[File] = field(default_factory=list)
    datasets: list[tuple[RID, str, str, str]] = field(default_factory=list)
    parents: list[tuple[RID, int | None]] = field(default_factory=list)
    children: list[tuple[RID, int | None]] = field(default_factory=list)
    pushed: list[tuple[str, str]] = field(default_factory=list)
    imported: str = ""

    @property
    def is_sweep(self) -> bool:
        """Whether it stands for a sweep."""
        return bool(self.children) or any(
            one.name in SWEEP_FILES and one.table == METADATA and one.role == AssetRole.output
            for one in self.files
        )

    def outputs(self) -> list[File]:
        """Return the files that it made, the oldest first; RIDs count up."""
        made = (one for one in self.files if one.role == AssetRole.output)
        return sorted(made, key=by_age)

    def notebooks(self) -> list[File]:
        """Return the files of its executed notebook."""
        return [one for one in self.files if ExecAssetType.notebook_output.value in one.types]


def read(catalog: EmbeddedCatalog, rids: Sequence[RID]) -> dict[RID, Rows]:
    """Return what rows say of executions, in their order."""
    found = {rid: Rows() for rid in rids}
    database, chosen = catalog.database, json.dumps([*rids])
    keys = dict.fromkeys(rids, "")
    for rid, *values in database.query(
        'SELECT e.*, w.*, r."started_by" FROM "Execution" e LEFT JOIN "Workflow" w ON w."RID" = e."Workflow"'
        f' LEFT JOIN "local_run" r ON r."execution" = e."RID" WHERE e."RID" IN {CHOSEN}',
        chosen,
    ):
        keys[rid] = repr(values)
    for table in catalog.asset_tables():
        for execution, one in _files(database, table, chosen):
            found[execution].files.append(one)
    for row in database.query(
        'SELECT l."Execution", l."Dataset", coalesce(n."name", d."Description", \'\'), coalesce(v."Version", \'\'),'
        ' coalesce(s."digest", \'\') FROM "Dataset_Execution" l JOIN "Dataset" d ON d."RID" = l."Dataset"'
        ' LEFT JOIN "Dataset_Version" v ON v."RID" = l."Dataset_Version"'
        ' LEFT JOIN "local_version" s ON s."version" = v."RID" LEFT JOIN "local_dataset" n ON n."dataset" = d."RID"'
        f' WHERE l."Execution" IN {CHOSEN} ORDER BY l."RCT", l."RID"',
        chosen,
    ):
        rid, name, version, digest = map(str, tuple(row)[1:])
        found[row[0]].datasets.append((rid, name.strip().partition("\n")[0], version, digest))
    known = {one.rid: one for rows in found.values() for one in rows.files}
    for execution, record, table in catalog.journal.read_by(rids):
        rid = record.rpartition("/")[2]
        if table == DATASET:
            found[execution].datasets.append((rid, record if rid != record else "", "", ""))
        else:
            file = known.get(rid) or File("", table, rid, record, None, "", "", "", ())
            found[execution].files.append(file._replace(role=AssetRole.input.value))
    for one, other, place in database.query(
        'SELECT "Execution", "Nested_Execution", "Sequence" FROM "Execution_Execution" ORDER BY "Sequence"'
    ):
        place = place if isinstance(place, int) else None
        if one in found:
            found[one].children.append((other, place))
        if other in found:
            found[other].parents.append((one, place))
    for row in database.query(
        f'SELECT * FROM "local_remote" WHERE "stored" AND "local" IN {CHOSEN} ORDER BY "host", "catalog"',
        chosen,
    ):
        place = as_written(row)
        found[row["local"]].pushed.append((str(place), place.link(str(row["remote"]))))
    for row in database.query(f'SELECT * FROM "local_imported" WHERE "rid" IN {CHOSEN}', chosen):
        found[row["rid"]].imported = f"{row['imported']} from {row['archive']}"
    for rid, rows in found.items():
        rows.key = digest_of(keys[rid], rows)
    return found


def digest_of(*values: Any) -> str:
    """Return what differs where any of the values does."""
    return hashlib.md5(repr(values).encode(errors="backslashreplace"), usedforsecurity=False).hexdigest()


def _files(database: Database, table: str, chosen: str) -> Iterator[tuple[RID, File]]:
    """Return the files of a table with the executions that they belong to, without those whose rows are damaged."""
    types: dict[RID, tuple[str, ...]] = {}
    for rid, kind in database.query(f'SELECT "{table}", "Asset_Type" FROM "{table}_Asset_Type"'):
        types[rid] = (*types.get(rid, ()), kind)
    for execution, role, *values in database.query(
        f'SELECT l."Execution", l."Asset_Role", a."RID", a."Filename", a."Length", a."MD5", a."Description", a."RCT"'
        f' FROM "{table}_Execution" l JOIN "{table}" a ON a."RID" = l."{table}" WHERE l."Execution" IN {CHOSEN}'
        ' ORDER BY l."Asset_Role", a."Filename", a."RID"',
        chosen,
    ):
        rid, name, size, md5, description, created = values
        if isinstance(name, str) and isinstance(size, int) and is_digest(md5):
            kinds = types.get(rid, ())
            yield (
                execution,
                File(role, table, rid, name, size, md5, str(description or ""), str(created or ""), kinds),
            )


def state_of_datasets(catalog: EmbeddedCatalog) -> str:
    """Return what differs once a dataset, or a version of one, is not as it was."""
    queries = (
        'SELECT d."RID", d."RMT", d."Deleted", n."name" FROM "Dataset" d LEFT JOIN "local_dataset" n'
        ' ON n."dataset" = d."RID" ORDER BY d."RID"',
        'SELECT "RID", "RMT" FROM "Dataset_Version" ORDER BY "RID"',
        'SELECT "Dataset", "Execution", "Dataset_Version" FROM "Dataset_Execution" ORDER BY "RID"',
    )
    return digest_of(*([tuple(row) for row in catalog.database.query(query)] for query in queries))


def with_nested(catalog: EmbeddedCatalog, rids: Collection[RID]) -> list[RID]:
    """Return executions with those that are nested in them, and in these."""
    rows = catalog.database.query(
        'WITH RECURSIVE known("rid") AS (SELECT "value" FROM json_each(?) UNION SELECT n."Nested_Execution"'
        ' FROM "Execution_Execution" n JOIN known ON n."Execution" = known."rid") SELECT "rid" FROM known',
        json.dumps([*rids]),
    )
    return [row["rid"] for row in rows]
