"""The table of a sweep's jobs: what each was given, how it ended, what it came to; as CSV and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import OPEN_STATUSES, RID, seconds_of
from deriva_ml.execution.notebook_end import known_as
from deriva_ml.git import listed
from deriva_ml.grouping import grouped
from deriva_ml.metrics import Number
from deriva_ml.page import Block, Heading, Items, Mark, Rows, Text, to_markdown
from deriva_ml.records.results import SWEEP_TABLE
from deriva_ml.redaction import redact, redact_override
from deriva_ml.sweep.folder import JobFolder, SweepFolder
from deriva_ml.sweep.job import GOOD
from deriva_ml.sweep.plan import Job, Plan
from deriva_ml.sweep.study import best
from deriva_ml.table import as_csv, cell
from deriva_ml.terminal import counted

NOT_RUN, RUNNING = "Not run", "Running"
"""What stands in the place of a status of a job that never began, and of one that has no record yet."""

FACTS = ("job", "RID", "status", "seconds")
"""The columns that each table begins with."""

SHOWN = 1_000
"""Jobs that the table for people has at most; beyond, few programs show one, and the other table has all."""

NAMED = 30
"""Jobs that are named in a line at most."""


@dataclass(frozen=True)
class Row:
    """A job.

    Attributes:
        number: its place, from 0.
        rid: its execution's, by which people know it; of several of a notebook, all of them.
        seconds: that it took.
        swept: the values, as texts, of what is swept, by key.
        given: the parameters and overrides that it was given beside those, by name.
        metrics: the last value of each that it registered.
        reason: why it did not end well.
    """

    number: int
    swept: dict[str, str]
    status: str = NOT_RUN
    rid: str = ""
    seconds: float | None = None
    given: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    reason: str = ""

    @property
    def ended_well(self) -> bool:
        """Whether it did what it was to do."""
        return self.status in GOOD


def rows_of(catalog: EmbeddedCatalog, sweep: SweepFolder, plan: Plan) -> list[Row]:
    """Return a sweep's jobs as rows, in their order, those that have not run too; also while the sweep goes on.

    Args:
        catalog: that the sweep is recorded in.
    """
    jobs = plan.jobs or tuple(job for folder in sweep.jobs() if (job := folder.job()))
    results = _results(catalog, sweep.rid)
    return [_row(catalog, plan, job, sweep.job(job.number), results.get(job.number, [])) for job in jobs]


def _results(catalog: EmbeddedCatalog, parent: RID) -> dict[int | None, list[Result]]:
    """Return what the executions of the jobs came to, by the jobs' numbers; the newest of a job comes last."""
    places = catalog.places_in_sweep(parent)
    results = sorted(catalog.results(Criteria(rids=[*places])), key=lambda one: one.record.created)
    return grouped((places[result.record.rid], result) for result in results)


def _row(catalog: EmbeddedCatalog, plan: Plan, job: Job, folder: JobFolder, results: list[Result]) -> Row:
    ended = folder.ended()
    swept = {key: redact_override(f"{key}={text}")[len(key) + 1 :] for key, text in plan.values(job).items()}
    given = _given(plan, job, results[-1].summary.parameters if results else {})
    if not results:
        begun = RUNNING if folder.begun() else NOT_RUN
        status, reason, seconds = (ended.status, ended.reason, ended.seconds) if ended else (begun, "", None)
        return Row(job.number, swept, status, "", seconds, given, {}, redact(reason))
    # A job that was run again, as its process was killed, has earlier ones; a notebook may have several that belong together.
    own = [one for one in results if ended and one.record.rid in ended.executions] or results[-1:]
    records = [one.record for one in own]
    bad = [one for one in records if one.status not in GOOD]
    last = (bad or records)[-1]
    durations = [seconds_of(one.execution_duration or "") for one in records]
    known = [one for one in durations if one is not None]
    return Row(
        job.number,
        swept,
        ended.status if ended and last.status in OPEN_STATUSES else last.status.value,
        " ".join(known_as(catalog, one.rid) for one in records),
        (ended.seconds if ended else 0) or (sum(known) if known else None),
        given,
        {name: metric.last for one in own for name, metric in one.summary.metrics.items()},
        last.status_detail,
    )


def _given(plan: Plan, job: Job, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job was given and is not swept, as its record has it, or else as it was typed."""
    swept = {one.key for one in plan.swept}
    words = (word.partition("=") for word in job.overrides if "=" in word)
    typed = [(name, text) for name, _, text in words if name not in swept] + [*job.given]
    return {
        name.lstrip("+"): recorded.get(name.lstrip("+"), redact_override(f"{name}={text}")[len(name) + 1 :])
        for name, text in typed
        if name not in swept
    }


def best_of(rows: Sequence[Row], objective: str, direction: str) -> Row | None:
    """Return the first job with the best last value of a metric; None if none that ended well has a finite one."""
    having = {row.number: row for row in rows if row.ended_well and objective in row.metrics}
    number = best(direction, {number: row.metrics[objective] for number, row in having.items()})
    return None if number is None else having[number]


def columns_of(rows: Sequence[Row], given: bool = True) -> tuple[list[str], list[list[Any]]]:
    """Return the headings of the table, and a value for each in each row; None for what a job does not have.

    A name that comes twice, such as that of a parameter and of a metric, has its kind before it the second time.

    Args:
        given: whether what all jobs were given alike has its columns, too.
    """
    left_out = {} if given else {("given", name) for name in alike(rows)}
    names = [
        (kind, name)
        for kind in ("swept", "given", "metrics")
        for name in dict.fromkeys(name for row in rows for name in getattr(row, kind))
        if (kind, name) not in left_out
    ]
    headings = [*FACTS, "reason"]
    for kind, name in names:
        shown = name.lstrip("+")
        headings.insert(-1, f"{kind}.{shown}" if shown in headings else shown)
    table = []
    for row in rows:
        values = (getattr(row, kind).get(name) for kind, name in names)
        table.append([row.number + 1, row.rid, row.status, row.seconds, *values, row.reason])
    return headings, table


def alike(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what all jobs were given alike."""
    first = rows[0].given if rows else {}
    return {
        name: value
        for name, value in first.items()
        if all(cell(row.given.get(name), whole=True) == cell(value, whole=True) for row in rows)
    }


def as_markdown(rows: Sequence[Row], plan: Plan) -> str:
    """Return the table for people: the best job is told of first, if there is an objective, and in bold."""
    best = best_of(rows, plan.objective, plan.direction) if plan.objective else None
    states = Counter(row.status for row in rows)
    blocks: list[Block] = [
        Heading(plan.description.partition("\n")[0] or "Sweep", 1),
        Text(
            f"{counted(len(rows), 'job')}: {', '.join(f'{count:,} {state}' for state, count in states.items())}."
        ),
    ]
    said = []
    if best:
        what = ", ".join(f"{key}={value}" for key, value in best.swept.items())
        value = cell(best.metrics[plan.objective])
        said.append(
            f"Best {plan.objective} ({plan.direction or 'minimize'}): {value}, by job {best.number + 1} ({what}): {best.rid}"
        )
    if other := [str(row.number + 1) for row in rows if not row.ended_well]:
        said.append(f"Did not end well: {listed(other, NAMED)}")
    said += [f"In all jobs: {name} = {cell(value)}" for name, value in alike(rows).items()]
    shown = rows[:SHOWN]
    if best and best.number >= SHOWN:
        shown = [best, *rows[: SHOWN - 1]]
    if len(shown) < len(rows):
        said.append(f"The table has {len(shown):,} jobs; all are in {SWEEP_TABLE}.")
    headings, table = columns_of(shown, given=False)
    cells = [[cell(value) for value in values] for values in table]
    for row, texts in zip(shown, cells, strict=True):
        if row is best:
            texts[:] = [Mark(text) if text else "" for text in texts]
    blocks += [Items(said)] if said else []
    return to_markdown([*blocks, Rows(headings, cells)])


def write_table(rows: Sequence[Row], plan: Plan, folder: Path) -> list[Path]:
    """Write the table into a folder, in both forms, and return the files."""
    headings, table = columns_of(rows)
    files = {SWEEP_TABLE: as_csv([headings, *table]), "sweep.md": as_markdown(rows, plan)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]
