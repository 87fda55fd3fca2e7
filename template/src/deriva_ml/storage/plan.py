"""Which executions may be removed, and which have to stay though they are old, with the reason."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import deriva_ml.liveness as liveness
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import DATASET_MANAGEMENT, OPEN_STATUSES, RID, is_reserved
from deriva_ml.execution.recovery import holds_records


@dataclass(frozen=True)
class Limits:
    """What a person wants to be rid of.

    Attributes:
        before: ISO time in UTC; executions that were created later stay. Empty for no such limit.
        keep_last: how many of the newest runs stay, a sweep as one; None for no such limit.
    """

    before: str = ""
    keep_last: int | None = None

    def __bool__(self) -> bool:
        return bool(self.before) or self.keep_last is not None


@dataclass
class Plan:
    """What may go.

    Attributes:
        remove: executions, oldest first.
        kept: those that are old enough, with what they are needed for.
    """

    remove: list[RID] = field(default_factory=list)
    kept: dict[RID, str] = field(default_factory=dict)


def plan(catalog: EmbeddedCatalog, limits: Limits) -> Plan:
    """Return which executions may go within the limits; a sweep goes, or stays, as a whole."""
    made = Plan()
    if not limits:
        return made
    created = {
        row["RID"]: row["RCT"]
        for row in catalog.database.query('SELECT "RID", "RCT" FROM "Execution" ORDER BY "RCT", "RID"')
    }
    runs = _runs(catalog, created)
    old = _old(catalog, runs, created, limits)
    run_of = {rid: first for first, members in runs.items() for rid in members}
    makers = _makers(catalog)
    waiting = [first for first in runs if first not in old]

    def keep(rid: RID, why: str) -> None:
        first = run_of.get(rid, "")
        if first in old and first not in made.kept:
            made.kept[first] = why if rid == first else f"{rid} of it {why}"
            waiting.append(first)

    for rid, why in _reasons(catalog):
        keep(rid, why)
    for sweep in uncollected(catalog):
        keep(sweep, f"has jobs whose records are taken in by --collect {sweep}")
        for rid in created:
            if created[rid] <= created[sweep]:
                keep(rid, f"may be read by jobs of sweep {sweep}, of which not all is recorded")
    while waiting:  # what stays keeps what made its inputs
        for reader in runs[waiting.pop()]:
            for maker in makers.get(reader, ()):
                keep(maker, f"made what {reader} read")
    gone = old - made.kept.keys()
    made.remove = [rid for rid in created if run_of[rid] in gone]
    return made


def uncollected(catalog: EmbeddedCatalog, elsewhere: bool = False) -> list[RID]:
    """Return the sweeps whose jobs may go on, or have recorded what is not in the catalog yet.

    Args:
        elsewhere: only those that have jobs on other machines, which read the project's contents.
    """
    found = []
    for folder in sorted(catalog.project.sweeps.glob("*")):
        row = catalog.database.find("Execution", RID=folder.name)
        if row and (row["Status"] in OPEN_STATUSES or holds_records(folder)):
            if not elsewhere or (folder / "lent").is_dir():
                found.append(folder.name)
    return found


def _runs(catalog: EmbeddedCatalog, created: Collection[RID]) -> dict[RID, list[RID]]:
    """Return every run with its executions: a sweep with those in it, or one execution by itself."""
    above = {
        row["Nested_Execution"]: row["Execution"]
        for row in catalog.database.query('SELECT "Execution", "Nested_Execution" FROM "Execution_Execution"')
    }
    runs: dict[RID, list[RID]] = {}
    for rid in created:
        first, seen = rid, {rid}
        while above.get(first) in created and above[first] not in seen:
            first = above[first]
            seen.add(first)
        runs.setdefault(min(seen) if above.get(first) in seen else first, []).append(rid)
    return runs


def _old(
    catalog: EmbeddedCatalog, runs: dict[RID, list[RID]], created: dict[RID, str], limits: Limits
) -> set[RID]:
    """Return the runs that the limits mean, without what the example brings and what changed datasets, which is their history."""
    rows = catalog.database.query(
        'SELECT e."RID" FROM "Execution" e JOIN "Workflow_Workflow_Type" t ON t."Workflow" = e."Workflow"'
        ' WHERE t."Workflow_Type" = ?',
        DATASET_MANAGEMENT,
    )
    others = {row["RID"] for row in rows}
    last = {first: max(created[rid] for rid in members) for first, members in runs.items()}
    own = [first for first in runs if first not in others and not any(map(is_reserved, runs[first]))]
    own.sort(key=lambda first: (last[first], first), reverse=True)
    old = own if limits.keep_last is None else own[limits.keep_last :]
    return {first for first in old if not limits.before or last[first] < limits.before}


def _reasons(catalog: EmbeddedCatalog) -> Iterator[tuple[RID, str]]:
    """Return the executions that are needed in themselves, and why."""
    database, state = catalog.database, catalog.project.state
    for row in database.select_any("Execution", "Status", OPEN_STATUSES):
        yield row["RID"], "has not ended"
    yield from (
        (rid, "has files that are not recorded yet") for rid in database.get_all("local_staged", "execution")
    )
    is_held = functools.cache(functools.partial(liveness.is_held, state))
    for row in database.select("local_run"):
        if row["lock"] and is_held(row["lock"]):
            yield row["execution"], "is of a process that has not ended"
    yield from (
        (rid, f"waits to be pushed to {destination}") for rid, destination in catalog.journal.pending()
    )
    for row in database.select("Dataset_Version", 'AND "Execution" IS NOT NULL'):
        yield row["Execution"], f"made {row['Version']} of dataset {row['Dataset']}"
    rows = database.query(
        'SELECT f."Execution", m."dataset" FROM "File_Execution" f JOIN "local_member" m ON m."file" = f."File"'
        " WHERE f.\"Asset_Role\" = 'Output'"
    )
    yield from ((row["Execution"], f"made a file of dataset {row['dataset']}") for row in rows.fetchall())


def _makers(catalog: EmbeddedCatalog) -> dict[RID, list[RID]]:
    """Return which executions made what each read: here, or at a Deriva catalog that it had been pushed to."""
    found: dict[RID, list[RID]] = {}
    for table in catalog.asset_tables():
        made = f'"{table}_Execution" o ON o."{table}" = {{}} AND o."Asset_Role" = \'Output\''
        for query in (
            f'SELECT i."Execution" AS "reader", o."Execution" AS "maker" FROM "{table}_Execution" i JOIN '
            + made.format(f'i."{table}"')
            + " WHERE i.\"Asset_Role\" = 'Input'",
            'SELECT i."execution" AS "reader", o."Execution" AS "maker" FROM "local_input" i JOIN "local_remote" r'
            ' ON r."remote" = i."rid" AND r."host" = i."host" AND r."catalog" = i."catalog" JOIN '
            + made.format('r."local"'),
        ):
            for row in catalog.database.query(query):
                found.setdefault(row["reader"], []).append(row["maker"])
    return found
