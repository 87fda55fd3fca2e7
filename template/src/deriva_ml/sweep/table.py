"""The table of a sweep's jobs: what each was given, how it ended, what it came to; as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID, Status
from deriva_ml.execution.notebook_end import known_as
from deriva_ml.metrics import Number
from deriva_ml.redaction import redact_override
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import Job, Plan
from deriva_ml.table import cell, for_spreadsheet

NOT_RUN = "Not run"
"""What stands in the place of a status of a job that never began."""

FACTS = ("job", "RID", "status", "seconds")
"""The columns that each table begins with."""


@dataclass(frozen=True)
class Row:
    """A job.

    Attributes:
        number: its place, from 0.
        rid: its execution's, by which people know it.
        swept: the values, as texts, of what is swept, by key.
        given: the parameters that it was given beside those, by name.
        metrics: the last value of each that it registered.
        reason: why it did not end well.
    """

    number: int
    swept: dict[str, str]
    status: str = NOT_RUN
    rid: RID = ""
    seconds: float | None = None
    given: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    reason: str = ""


def rows_of(catalog: EmbeddedCatalog, sweep: SweepFolder, plan: Plan) -> list[Row]:
    """Return a sweep's jobs as rows, in their order, those that have not run too.

    Args:
        catalog: that the sweep is recorded in.
    """
    folders = {folder.number: folder for folder in sweep.jobs()}
    jobs = plan.jobs or tuple(job for folder in folders.values() if (job := folder.job()))
    results = _results(catalog, sweep.rid)
    return [_row(catalog, plan, job, results.get(job.number), sweep) for job in jobs]


def _results(catalog: EmbeddedCatalog, parent: RID) -> dict[int, Result]:
    """Return what the executions of the jobs came to, by the jobs' numbers; of several of one job, the last one."""
    children = catalog.list_execution_children(parent)
    known = {result.record.rid: result for result in catalog.results(Criteria(rids=children))}
    places = [(catalog.place_in_sweep(parent, rid), known[rid]) for rid in children if rid in known]
    places.sort(key=lambda one: one[1].record.created)
    return {place: result for place, result in places if place is not None}


def _row(catalog: EmbeddedCatalog, plan: Plan, job: Job, result: Result | None, sweep: SweepFolder) -> Row:
    ended = sweep.job(job.number).ended()
    swept = {key: _shown(key, value) for key, value in plan.values(job).items()}
    if result is None:
        status, reason = (ended.status, ended.reason) if ended else (NOT_RUN, "")
        return Row(job.number, swept, status, reason=reason, seconds=ended.seconds if ended else None)
    record, summary = result
    parameters = {one.key for one in plan.swept if one.parameter}
    names = {name for name, _ in job.given} - parameters
    return Row(
        job.number,
        swept,
        ended.status if ended and record.status is Status.stopped else record.status.value,
        known_as(catalog, record.rid),
        ended.seconds if ended and ended.seconds else None,
        {name: value for name, value in summary.parameters.items() if name in names},
        {name: metric.last for name, metric in summary.metrics.items()},
        record.status_detail,
    )


def _shown(key: str, value: str) -> str:
    return redact_override(f"{key}={value}").partition("=")[2]


def best_of(rows: Sequence[Row], objective: str, direction: str) -> Row | None:
    """Return the job with the best last value of a metric; None if no job that ended well has it."""
    having = [
        row
        for row in rows
        if objective in row.metrics and row.status in {Status.uploaded, Status.pending_upload}
    ]
    having = [row for row in having if row.metrics[objective] == row.metrics[objective]]  # NaN is not
    sign = -1 if direction == "maximize" else 1
    return min(having, key=lambda row: sign * row.metrics[objective], default=None)


def columns_of(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Return the headings of the table, and a value for each in each row; None for what a job does not have.

    A name that comes twice, such as that of a parameter and of a metric, has its kind before it the second time.
    """
    kinds = ("swept", "given", "metrics")
    names = [
        (kind, name)
        for kind in kinds
        for name in dict.fromkeys(n for row in rows for n in getattr(row, kind))
    ]
    headings: list[str] = [*FACTS]
    for kind, name in names:
        headings.append(f"{kind}.{name}" if name in headings else name)
    table = [
        [
            row.number + 1,
            row.rid,
            row.status,
            row.seconds,
            *(getattr(row, kind).get(name) for kind, name in names),
            row.reason,
        ]
        for row in rows
    ]
    return [*headings, "reason"], table


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV, with numbers as they are."""
    headings, table = columns_of(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(for_spreadsheet, headings))
    writer.writerows([for_spreadsheet(cell(value, whole=True)) for value in row] for row in table)
    return text.getvalue()


def as_markdown(rows: Sequence[Row], plan: Plan) -> str:
    """Return the table for people: the best job told of first, if there is an objective, and in bold."""
    headings, table = columns_of(rows)
    best = best_of(rows, plan.objective, plan.direction) if plan.objective else None
    lines = [f"# {_escaped(plan.description.splitlines()[0] if plan.description else 'Sweep')}", ""]
    if best:
        value = cell(best.metrics[plan.objective])
        what = ", ".join(f"{key}={value}" for key, value in best.swept.items())
        lines += [
            _escaped(f"Best {plan.objective}: {value}, by job {best.number + 1} ({what}), {best.rid}"),
            "",
        ]
    lines += [_line(headings), _line(["---"] * len(headings))]
    for row, values in zip(rows, table, strict=True):
        cells = [_escaped(cell(value)) for value in values]
        lines.append(_line([f"**{one}**" if one and row is best else one for one in cells]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>()#|~&])", r"\\\1", " ".join(text.split()))


def write_table(rows: Sequence[Row], plan: Plan, folder: Path) -> list[Path]:
    """Write the table into a folder, in both forms, and return the files."""
    files = {"sweep.csv": as_csv(rows), "sweep.md": as_markdown(rows, plan)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]
