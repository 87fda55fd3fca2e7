"""Removes executions with what only they need, and contents that no row names, beside runs that are under way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from deriva_ml.catalog.database import now
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, RID_DIGITS, MLAsset
from deriva_ml.execution.kept_commits import drop_commits
from deriva_ml.storage import removed
from deriva_ml.storage.contents import SETTLED, Named, fetched, outputs, own_table, stored
from deriva_ml.storage.plan import Limits, Plan, plan, uncollected

BATCH = 500
"""Contents that are removed in one transaction: others wait for it a few hundredths of a second."""

STAYING = {"Dataset_Version", "local_member"}
"""Tables whose rows are never removed with what they refer to: the database refuses that."""

_COMMIT = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")


@dataclass
class Prospect:
    """What would go, and what it frees.

    Attributes:
        plan: executions.
        contents: that no row names, or would name when these executions are gone; how many, and their bytes.
        young: those that stay for a day, since a run may be about to name them.
        fetched: those that only work without a Deriva catalog needs.
        lent: those that stay since jobs on other machines may read them.
        sizes: bytes of each execution's own outputs.
    """

    plan: Plan
    contents: tuple[int, int] = (0, 0)
    young: tuple[int, int] = (0, 0)
    fetched: tuple[int, int] = (0, 0)
    lent: tuple[int, int] = (0, 0)
    sizes: dict[RID, int] = field(default_factory=dict)


def prospect(catalog: EmbeddedCatalog, limits: Limits, cache: bool = False) -> Prospect:
    """Return what would be removed.

    Args:
        cache: also contents that were fetched from a Deriva catalog, and can be again.
    """
    found = Prospect(plan(catalog, limits))
    _doom(catalog, found.plan.remove)
    named, known = Named(catalog, but="doomed"), set() if cache else fetched(catalog.project)
    lent = bool(uncollected(catalog, elsewhere=True))
    for one in stored(catalog.project.objects):
        if one.md5 not in named:
            young = time.time() - one.changed < SETTLED
            kind = "fetched" if one.md5 in known else "young" if young else "lent" if lent else "contents"
            count, size = getattr(found, kind)
            setattr(found, kind, (count + 1, size + one.bytes))
    rows = catalog.database.query(
        f'SELECT "execution", sum("bytes") FROM ({outputs(catalog)}) WHERE "execution" IN'
        ' (SELECT "rid" FROM temp."doomed" WHERE "table" = \'Execution\') GROUP BY "execution"'
    )
    found.sizes = {rid: size for rid, size in rows}
    return found


def remove_executions(
    catalog: EmbeddedCatalog, agreed: Collection[RID], limits: Limits, why: str
) -> list[RID]:
    """Remove the records of executions, all or none; whether they are needed is asked again in that moment.

    Their contents are ``remove_contents``'s to remove: if it never comes to that, nothing is half there.

    Args:
        agreed: the executions that a person agreed to.
        why: the limits as they were given, for the record of what was removed.

    Returns:
        The executions that are gone.
    """
    with catalog.database.transaction(durable=True):
        allowed = {*agreed}
        gone = [rid for rid in plan(catalog, limits).remove if rid in allowed]
        _doom(catalog, gone)
        removed.note(catalog.project, _lines(catalog, gone, why))
        commits = _commits(catalog)
        tables = [*catalog.asset_tables(), "Execution"]
        for table in tables:
            for other, column in _referring(catalog, table):
                _delete(catalog, other, column, table)
        for table in tables:
            _delete(catalog, "local_remote", "local", table)
            _delete(catalog, "local_columns", "asset", table)
            _delete(catalog, "local_imported", "rid", table)
            _delete(catalog, table, "RID", table)
    drop_commits(commits, catalog.project.root)
    return gone


def _doom(catalog: EmbeddedCatalog, executions: Sequence[RID]) -> None:
    """Note executions, and the files that only they made or read, in a table of this connection's own."""
    database = catalog.database
    own_table(database, "doomed", '"table", "rid", PRIMARY KEY ("table", "rid")')
    database.query(
        'INSERT INTO temp."doomed" SELECT \'Execution\', "value" FROM json_each(?)', json.dumps([*executions])
    )
    going = '(SELECT "rid" FROM temp."doomed" WHERE "table" = \'Execution\')'
    for table in catalog.asset_tables():
        member = 'NOT IN (SELECT "file" FROM "local_member" WHERE "file" IS NOT NULL)'
        database.query(
            f'INSERT INTO temp."doomed" SELECT DISTINCT ?, l."{table}" FROM "{table}_Execution" l'
            f' WHERE l."Execution" IN {going} AND l."{table}" NOT GLOB ? AND NOT EXISTS (SELECT 1 FROM'
            f' "{table}_Execution" o WHERE o."{table}" = l."{table}" AND o."Execution" NOT IN {going})'
            + (f' AND l."{table}" {member}' if table == MLAsset.file else ""),
            table,
            f"*[^{RID_DIGITS}-]*",  # what is the same in every project
        )


def _referring(catalog: EmbeddedCatalog, table: str) -> Iterator[tuple[str, str]]:
    """Return the tables with rows that mean nothing without a row of this one, and by which column."""
    for other in catalog.database.get_all("sqlite_master", "name", type="table"):
        if other not in STAYING:
            for key in catalog.database.query(f'PRAGMA foreign_key_list("{other}")').fetchall():
                if key["table"] == table:
                    yield other, key["from"]


def _delete(catalog: EmbeddedCatalog, table: str, column: str, doomed: str) -> None:
    catalog.database.query(
        f'DELETE FROM "{table}" WHERE "{column}" IN (SELECT "rid" FROM temp."doomed" WHERE "table" = ?)',
        doomed,
    )


def _lines(catalog: EmbeddedCatalog, executions: Sequence[RID], why: str) -> Iterator[dict[str, Any]]:
    """Return what is kept of each execution."""
    at = now()
    files = (
        f'SELECT o."RID", o."file", o."bytes", o."MD5" FROM ({outputs(catalog)}) o JOIN temp."doomed" d'
        ' ON d."table" = o."table" AND d."rid" = o."RID" WHERE o."execution" = ?'
    )
    for rid in executions:
        record = catalog.lookup_execution(rid)
        rows = catalog.database.query(files, rid)
        yield {
            "execution": rid,
            "removed": at,
            "because": why,
            "status": record.status.value,
            "created": record.created,
            "by": record.created_by,
            "description": record.description,
            "workflow": record.workflow.name,
            "version": record.workflow.version,
            "code": record.workflow.url,
            "pushed to": [place.link(there) for place, there in catalog.journal.elsewhere(rid)],
            "files": [dict(row) for row in rows],
        }


def _commits(catalog: EmbeddedCatalog) -> list[str]:
    """Return the commits that only executions name which are about to go."""
    found: list[set[str]] = []
    for condition in ("IN", "NOT IN"):
        rows = catalog.database.query(
            'SELECT DISTINCT w."URL" FROM "Execution" e JOIN "Workflow" w ON w."RID" = e."Workflow" WHERE e."RID"'
            f' {condition} (SELECT "rid" FROM temp."doomed" WHERE "table" = \'Execution\')'
        )
        found.append({commit for row in rows for commit in _COMMIT.findall(str(row["URL"]))})
    return sorted(found[0] - found[1])


def remove_contents(catalog: EmbeddedCatalog, cache: bool = False) -> tuple[int, int]:
    """Remove contents that no row names, but those that are younger than a day; return how many, and what that frees.

    A run beside it loses nothing, and while jobs on other machines may read what the project has, nothing goes. What it takes in has the time of that moment, also if it was there already
    (``ObjectStore.keep``), and what a run committed before is seen here, since only one of the two writes at a time.

    Args:
        cache: also those that were fetched from a Deriva catalog, and can be again.
    """
    named, known = Named(catalog), set() if cache else fetched(catalog.project)
    unnamed = (
        one
        for one in stored(catalog.project.objects)
        if one.md5 not in known and one.md5 not in named and time.time() - one.changed >= SETTLED
    )
    count = size = 0
    while not uncollected(catalog, elsewhere=True) and (batch := [*islice(unnamed, BATCH)]):
        with catalog.database.transaction():
            still = _named_now(catalog, [one.md5 for one in batch])
            for one in batch:
                freed = None if one.md5 in still else catalog.objects.collect(one.path, SETTLED)
                if freed is not None:
                    count, size = count + 1, size + freed
    return count, size


def _named_now(catalog: EmbeddedCatalog, md5s: Sequence[str]) -> set[str]:
    """Return those of some contents that a row names by now."""
    found: set[str] = set()
    for table in catalog.asset_tables():
        found |= {row["MD5"] for row in catalog.database.select_any(table, "MD5", md5s)}
    return found
