"""Executions as the rows of one table: what they were given, as far as it differs, and what they came to."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deriva_ml.catalog.criteria import Criteria, parse_columns, parse_order, parse_since, parse_where
from deriva_ml.catalog.protocol import Source
from deriva_ml.catalog.summaries import Result
from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.definitions import RID, AssetRole, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import listed
from deriva_ml.metrics import Metric
from deriva_ml.records.replays import Replays
from deriva_ml.terminal import warn

FACTS = ("RID", "when", "status", "workflow", "version", "description")
"""Columns that every execution has."""

REPLAYED = "replayed"
"""The column of how its latest replay came out, and when."""

NAMED = 30
"""Columns that a message names at most."""

SWEEP_TABLE = "sweep.csv"
"""The file of a sweep's record that has a row for each of its runs."""

BEST = {"max": "greatest", "min": "least"}


def criteria(
    rids: Sequence[RID] | None = None,
    *,
    status: str | None = None,
    since: str | datetime | None = None,
    where: str | None = None,
    sort: str | None = None,
    best: str | None = None,
    **others: Any,
) -> Criteria:
    """Return which executions are meant by words, as a command or ``DerivaML.results`` is given them.

    Args:
        others: fields of ``Criteria``, as they are.

    Raises:
        DerivaMLRequestError: one of them cannot be read.
    """
    if status is not None and status not in set(Status):
        raise DerivaMLRequestError(f"no status is called {status}; there are: {', '.join(Status)}")
    if best is not None and best not in BEST:
        raise DerivaMLRequestError(f"best is {best!r}: give max or min")
    return Criteria(
        [rids] if isinstance(rids, str) else rids,
        status=Status(status) if status is not None else None,
        since=parse_since(since) if since is not None else None,
        where=parse_where(where) if where is not None else [],
        order=parse_order(sort) if sort is not None else [],
        best=best,
        **others,
    )


def find_results(source: Source, asked: Criteria, limit: int | None = None) -> list[Result]:
    """Return the executions that are meant, and what they came to.

    Raises:
        DerivaMLRequestError: a name is that of nothing here, or an RID that is asked for that of no execution.
    """
    found = source.results(asked, limit)
    known = {record.rid for record, _ in found}
    for rid in asked.rids or ():
        if rid not in known:
            source.lookup_execution(rid)
    if asked.sweep is not None and not found:
        source.lookup_execution(asked.sweep)
        if not source.list_execution_children(asked.sweep) and (runs := _told_by_table(source, asked.sweep)):
            wanted = runs if asked.rids is None else [rid for rid in asked.rids if rid in runs]
            order = asked.order or ([("when", True)] if asked.rids is None else [])
            return source.results(replace(asked, sweep=None, rids=wanted, order=order), limit)
    return found


def _told_by_table(source: Source, sweep: RID) -> list[RID]:
    """Return the runs that a sweep's recorded table names, which says it where executions do not nest."""
    for asset in source.assets_of(sweep):
        if asset.filename == SWEEP_TABLE and asset.role == AssetRole.output:
            with TemporaryDirectory() as folder:
                path = Path(folder) / SWEEP_TABLE
                source.fetch(asset, path)
                try:
                    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines(keepends=True))
                    return [rid for row in rows for rid in (row.get("RID") or "").split()]
                except (ValueError, csv.Error) as error:
                    warn(f"{SWEEP_TABLE} of {sweep} cannot be read: {error}")
    return []


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
    results: Sequence[Result],
    best: str | None = None,
    columns: str | Sequence[str] | None = None,
    replays: Replays | None = None,
) -> Table:
    """Return executions as rows: RID, time, status and workflow if they differ, what they were given if that differs, metrics.

    Args:
        best: give each metric's greatest (``max``) or least (``min``) value, and its step in a column of its own.
        columns: these instead, by the names that a condition may have.
        replays: from which the column of replays is, where there is something to tell or it is asked for.

    Raises:
        DerivaMLRequestError: a column is none that an execution here has.
    """
    rows = [_cells(result, best, replays) for result in results]
    keys = [(_FACT, name) for name in [*FACTS, *([REPLAYED] if replays else [])]]
    for kind in (_METRIC, _PARAMETER, _CHOICE):
        keys += dict.fromkeys((kind, name) for row in rows for name in row[kind])
    named: dict[str, Key] = {}
    for kind, name in keys:
        named[f"{KINDS[kind]}.{name}" if name in named else name] = kind, name
    if columns is not None:
        wanted = parse_columns(columns) if isinstance(columns, str) else columns
        chosen = {column: named[column] for column in (_meant(one, named) for one in wanted)}
    else:
        own = {name: key for name, key in named.items() if key[0] == _METRIC or _differs(rows, *key)}
        order = sorted(own, key=lambda name: (_SHOWN.index(own[name][0]), _is_flag(rows, *own[name]), name))
        facts = [name for name in FACTS[:4] if name in ("RID", "when") or name in own]
        facts += [REPLAYED] if any(row[_FACT][REPLAYED] for row in rows) else []
        chosen = {name: named[name] for name in [*facts, *(name for name in order if own[name][0] != _FACT)]}
    cells = [[row[kind].get(name) for kind, name in chosen.values()] for row in rows]
    return Table([*chosen], [_WORTH.index(kind) for kind, _ in chosen.values()], cells)


_FACT, _METRIC, _PARAMETER, _CHOICE = range(4)
KINDS = ("facts", "metrics", "parameters", "choices")
"""The kinds of columns. Of several with one name, the first is meant, and the others have their kind before it."""

_SHOWN = (_FACT, _PARAMETER, _CHOICE, _METRIC)
_WORTH = (_FACT, _CHOICE, _PARAMETER, _METRIC)
Key = tuple[int, str]
Row = Sequence[Mapping[str, Any]]
"""What there is of one execution: by kind, and then by name."""


def _cells(result: Result, best: str | None, replays: Replays | None) -> Row:
    record, summary = result
    workflow = record.workflow
    values = (
        record.rid,
        record.created,
        record.status.value,
        workflow.name,
        workflow.version,
        record.description,
    )
    facts = dict(zip(FACTS, values, strict=True)) | {REPLAYED: replays.said(record.rid) if replays else ""}
    metrics = _values(summary.metrics, best)
    return facts, metrics, summary.parameters, summary.choices


def _values(metrics: Mapping[str, Metric], best: str | None) -> dict[str, Any]:
    if best is None:
        return {name: metric.last for name, metric in metrics.items()}
    found: dict[str, Any] = {}
    for name, metric in metrics.items():
        found[name] = getattr(metric, BEST[best])
        found[f"{name} step"] = getattr(metric, f"{BEST[best]}_step")
    return found


def _is_flag(rows: Sequence[Row], kind: int, name: str) -> bool:
    return all(isinstance(row[kind][name], bool) for row in rows if name in row[kind])


def _differs(rows: Sequence[Row], kind: int, name: str) -> bool:
    """Whether executions have another value of a name, or one has none though others of its workflow do.

    NaN is one value; 1 and True are two. Of an execution under way, say, nothing is known yet.
    """
    having = [row for row in rows if name in row[kind]]
    if len({repr(row[kind][name]) for row in having}) > 1:
        return True
    workflows = {row[_FACT]["workflow"] for row in having}
    return any(name not in row[kind] and row[kind] and row[_FACT]["workflow"] in workflows for row in rows)


def _meant(name: str, known: Mapping[str, Key]) -> str:
    """Return the column that a name means, which may leave out what comes before its last parts."""
    kind, _, rest = name.partition(".")
    for column, key in known.items():
        if (KINDS[key[0]], key[1]) == (kind, rest):
            return column
    for one in (name, MODEL_CONFIG + name):
        found = [column for column in known if column.lower() == one.lower()]
        if found:
            return found[0]
    ends = [column for column in known if column.endswith(f".{name}")]
    if len(ends) != 1:
        meant = f"; there is {listed(ends or list(known), NAMED)}"
        raise DerivaMLRequestError(f"there is no column {name} here{meant}")
    return ends[0]
