"""Executions as the rows of one table: what they were given, as far as it differs, and what they came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deriva_ml.catalog.criteria import Criteria, parse_order, parse_since, parse_where
from deriva_ml.catalog.summaries import Result
from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.definitions import RID, ExecutionRecord, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.metrics import Metric

FACTS = ("RID", "when", "status", "workflow", "version", "description")
"""Columns that every execution has."""

BEST = {"max": "greatest", "min": "least"}


def criteria(
    rids: Sequence[RID] | None = None,
    workflow: str | None = None,
    workflow_type: str | None = None,
    sweep: RID | None = None,
    dataset: RID | None = None,
    status: str | None = None,
    since: str | datetime | None = None,
    where: str | None = None,
    sort: str | None = None,
    best: str | None = None,
    runs_only: bool = False,
) -> Criteria:
    """Return which executions are meant by words, as a command or ``DerivaML.results`` is given them.

    Raises:
        DerivaMLRequestError: one of them cannot be read.
    """
    if status is not None and status not in set(Status):
        raise DerivaMLRequestError(f"no status is called {status}; there are: {', '.join(Status)}")
    if best is not None and best not in BEST:
        raise DerivaMLRequestError(f"best is {best!r}: give max or min")
    return Criteria(
        rids=rids or None,
        workflow=workflow,
        workflow_type=workflow_type,
        sweep=sweep,
        dataset=dataset,
        status=Status(status) if status is not None else None,
        since=parse_since(since) if since is not None else None,
        where=parse_where(where) if where is not None else [],
        order=parse_order(sort) if sort is not None else [],
        best=best,
        runs_only=runs_only,
    )


@dataclass(frozen=True)
class Table:
    """Rows of one shape.

    Attributes:
        columns: their names.
        worth: how much each tells of a run: a metric most, then a parameter, a choice, and what all have.
        rows: a value for each column; None for what an execution does not have.
    """

    columns: list[str]
    worth: list[int]
    rows: list[list[Any]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return each row by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def tabulate(
    results: Sequence[Result], best: str | None = None, columns: Sequence[str] | None = None
) -> Table:
    """Return executions as rows: RID, time, status and workflow if they differ, what they were given if that differs, metrics.

    Args:
        best: give each metric's greatest (``max``) or least (``min``) value, and its step in a column of its own.
        columns: these instead, by the names that a condition may have.

    Raises:
        DerivaMLRequestError: a column is none that an execution here has.
    """
    rows = [_cells(result, best) for result in results]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in FACTS))
    kinds = {name: place for row in rows for name, (place, _) in row.items()}
    if columns is not None:
        chosen = [_meant(name, [*FACTS, *names]) for name in columns]
    else:
        differing = [name for name in names if kinds[name] == _METRIC or _differs(rows, name)]
        facts = ["RID", "when", *(name for name in ("status", "workflow") if _differs(rows, name))]
        chosen = [*facts, *sorted(differing, key=lambda name: (kinds[name], _is_flag(rows, name), name))]
    cells = [[row[name][1] if name in row else None for name in chosen] for row in rows]
    return Table(chosen, [_WORTH.index(kinds.get(name, _FACT)) for name in chosen], cells)


_FACT, _PARAMETER, _CHOICE, _METRIC = range(4)
_WORTH = (_FACT, _CHOICE, _PARAMETER, _METRIC)
Row = Mapping[str, tuple[int, Any]]
"""What there is of one execution, by the name of a column, with its kind."""


def _cells(result: Result, best: str | None) -> Row:
    record, summary = result
    facts = (*_facts(record),)
    row: dict[str, tuple[int, Any]] = {name: (_FACT, value) for name, value in zip(FACTS, facts, strict=True)}
    for kind, values, prefix in (
        (_METRIC, _values(summary.metrics, best), "metrics."),
        (_PARAMETER, summary.parameters, "parameters."),
        (_CHOICE, summary.choices, "choices."),
    ):
        for name, value in values.items():
            row[f"{prefix}{name}" if name in row else name] = kind, value
    return row


def _facts(record: ExecutionRecord) -> tuple[str, ...]:
    workflow = record.workflow
    return (
        record.rid,
        record.created,
        record.status.value,
        workflow.name,
        workflow.version,
        record.description,
    )


def _values(metrics: Mapping[str, Metric], best: str | None) -> dict[str, Any]:
    if best is None:
        return {name: metric.last for name, metric in metrics.items()}
    found: dict[str, Any] = {}
    for name, metric in metrics.items():
        found[name] = getattr(metric, BEST[best])
        found[f"{name} step"] = getattr(metric, f"{BEST[best]}_step")
    return found


def _is_flag(rows: Sequence[Row], name: str) -> bool:
    return all(isinstance(row[name][1], bool) for row in rows if name in row)


def _differs(rows: Sequence[Row], name: str) -> bool:
    """Whether executions have another value of a name, or one has none though others of its workflow do.

    NaN is one value; 1 and True are two.
    """
    having = [row for row in rows if name in row]
    workflows = {row["workflow"][1] for row in having}
    lacking = any(name not in row and row["workflow"][1] in workflows for row in rows)
    return lacking or len({repr(row[name][1]) for row in having}) > 1


def _meant(name: str, known: Sequence[str]) -> str:
    """Return the column that a name means, which may leave out what comes before its last parts."""
    for one in (name, MODEL_CONFIG + name):
        found = [column for column in known if column.lower() == one.lower()]
        if found:
            return found[0]
    ends = [column for column in known if column.endswith(f".{name}") or name.endswith(f".{column}")]
    if len(ends) != 1:
        meant = f"; there is {', '.join(ends or known)}"
        raise DerivaMLRequestError(f"there is no column {name} here{meant}")
    return ends[0]
