"""What can be asked of many executions: their parameters, choices and metrics, kept as rows beside the files that hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.catalog.criteria import Comparison, Criteria, as_cell
from deriva_ml.catalog.database import Database
from deriva_ml.configuration_file import (
    MODEL_CONFIG,
    choices_of,
    is_configuration,
    parameters_of,
    read_configuration,
)
from deriva_ml.definitions import (
    DATASET_MANAGEMENT,
    RID,
    RID_DIGITS,
    UNKNOWN_PROVENANCE,
    ExecMetadataType,
    ExecutionRecord,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.metrics import Metric, Number, read_metrics
from deriva_ml.terminal import warn
from deriva_ml.untrusted import DAMAGED, is_deep


@dataclass
class Summary:
    """What one execution was given, and what its metrics came to.

    Attributes:
        parameters: a notebook's, or a model's settings as ``model_config.NAME``, in JSON's types.
        choices: the entry chosen in each configuration group.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)


class Result(NamedTuple):
    """An execution with what it was given and came to."""

    record: ExecutionRecord
    summary: Summary


class RecordedFile(NamedTuple):
    """A file of an execution's record: its name, its types, and where its content is."""

    filename: str
    types: Sequence[str]
    path: Path


def summarize(execution: RID, files: Iterable[RecordedFile]) -> Summary:
    """Read an execution's metrics and configuration from its files; what is damaged is warned of and left out."""
    summary = Summary()
    for filename, types, path in files:
        try:
            if ExecMetadataType.metrics_file in types:
                metrics, wrong = read_metrics(path)
                for name, metric in metrics.items():
                    before = summary.metrics.get(name)
                    summary.metrics[name] = before.then(metric) if before else metric
                if wrong:
                    raise ValueError(wrong)
            elif is_configuration(filename, types):
                configuration = read_configuration(path)
                summary.parameters, summary.choices = parameters_of(configuration), choices_of(configuration)
        except (OSError, DerivaMLException, *DAMAGED) as error:
            warn(f"{filename} of execution {execution} is not read in full: {error}")
    return summary


_FIELDS = {
    "RID": 'e."RID"',
    "when": 'e."RCT"',
    "created": 'e."RCT"',
    "status": 'e."Status"',
    "workflow": '(SELECT "Name" FROM "Workflow" WHERE "RID" = e."Workflow")',
    "version": '(SELECT "Version" FROM "Workflow" WHERE "RID" = e."Workflow")',
    "description": 'e."Description"',
}
"""What every execution has, beside its parameters, choices and metrics."""

_NUMBERS = {int, float}


_OF_DATASET = (
    'e."RID" IN (SELECT "Execution" FROM (SELECT "Execution", "Dataset" FROM "Dataset_Execution"'
    ' UNION ALL SELECT "Execution", "Dataset" FROM "Dataset_Version") WHERE "Dataset" = ?)'
)
_OF_RUNS = (
    'e."RID" NOT IN (SELECT "Execution" FROM "Execution_Execution")'
    f""" AND e."RID" NOT GLOB '*[^{RID_DIGITS}-]*' AND e."Workflow" NOT IN"""
    ' (SELECT "RID" FROM "Workflow" WHERE "URL" GLOB ?)'
)
"""No sweep, and none that stands for what no run of this project recorded."""

_NO_CHANGES = (
    'e."Workflow" NOT IN (SELECT "Workflow" FROM "Workflow_Workflow_Type" WHERE "Workflow_Type" = ?)'
)
"""None that only made or changed datasets."""


class _Column(NamedTuple):
    """Where values of a name stand: the table and column, the kind of setting, and the name there."""

    table: str
    value: str
    kind: str
    name: str

    def condition(self, alias: str) -> str:
        """Return what picks its rows, with a mark for the name."""
        return f'{alias}."name" = ?' + (f" AND {alias}.\"kind\" = '{self.kind}'" if self.kind else "")


class Summaries:
    """The tables of parameters, choices and metrics in a catalog's file."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, execution: RID, summary: Summary) -> None:
        """Keep, inside a transaction, what an execution's files say; metrics go on from those that are kept."""
        given = {"parameter": summary.parameters, "choice": summary.choices}
        for kind, values in given.items():
            if values:
                self._db.delete("local_setting", execution=execution, kind=kind)
            for name, value in values.items():
                # Nested more deeply than can be written, it was hardly read.
                with suppress(RecursionError):
                    row = (execution, kind, as_cell(name), as_cell(value), json.dumps(value))
                    self._db.query('INSERT OR REPLACE INTO "local_setting" VALUES (?, ?, ?, ?, ?)', *row)
        kept = self.of([execution])[execution].metrics if summary.metrics else {}
        for name, metric in summary.metrics.items():
            metric = kept[name].then(metric) if name in kept else metric
            cells = map(as_cell, (execution, name, *metric))
            self._db.query('INSERT OR REPLACE INTO "local_metric" VALUES (?, ?, ?, ?, ?, ?, ?, ?)', *cells)

    def waiting(self) -> list[RID]:
        """Return the executions of older runners whose files have not been read yet."""
        return self._db.get_all("local_unread", "execution")

    def fill(self, execution: RID, summary: Summary) -> None:
        """Keep what the files of an older runner's execution say, unless another process was faster."""
        with self._db.transaction():
            if self._db.query('DELETE FROM "local_unread" WHERE "execution" = ?', execution).rowcount:
                self.add(execution, summary)

    def of(self, executions: Sequence[RID]) -> dict[RID, Summary]:
        """Return what is kept of executions, by RID, in their order; without what no runner writes there."""
        found = {rid: Summary() for rid in executions}
        chosen = 'WHERE "execution" IN (SELECT "value" FROM json_each(?))'
        rids = json.dumps(list(executions))
        settings = 'SELECT "execution", "kind", "name", "value", "json" FROM "local_setting"'
        for rid, kind, name, value, text in self._db.query(f"{settings} {chosen}", rids):
            try:
                value = value if type(value) is int else json.loads(text)
            except DAMAGED:
                continue
            if isinstance(value, list | dict) and is_deep(value):
                continue
            if type(name) is str and kind == "parameter":
                found[rid].parameters[name] = value
            elif type(name) is str:
                found[rid].choices[name] = str(value)
        for row in self._db.query(f'SELECT * FROM "local_metric" {chosen}', rids):
            rid, name, cells = row[0], row[1], row[2:]
            if type(name) is str:
                numbers = cells if _NUMBERS.issuperset(map(type, cells)) else map(_number, cells)
                found[rid].metrics[name] = Metric._make(numbers)
        return found

    def names(self) -> list[str]:
        """Return every name that an execution can be asked for."""
        names = [*_FIELDS]
        for table in ("local_metric", "local_setting"):
            # From one name to the next in the index: there are few, in many rows.
            rows = self._db.query(
                f'WITH RECURSIVE known("name") AS (SELECT min("name") FROM "{table}" UNION ALL'
                f' SELECT (SELECT min("name") FROM "{table}" WHERE "name" > known."name") FROM known'
                ' WHERE known."name" IS NOT NULL) SELECT "name" FROM known WHERE "name" IS NOT NULL'
            )
            names += [row["name"] for row in rows if isinstance(row["name"], str)]
        return list(dict.fromkeys(names))

    def select(self, criteria: Criteria, limit: int | None = None) -> list[RID]:
        """Return the executions that meet the criteria, in their order.

        Raises:
            DerivaMLRequestError: a name is that of no parameter, choice or metric.
        """
        conditions: list[str] = []
        values: list[Any] = []
        rids = None if criteria.rids is None else json.dumps(list(criteria.rids))
        asked_for = criteria.rids or criteria.workflow or criteria.workflow_type
        for condition, value in (
            ('e."RID" IN (SELECT "value" FROM json_each(?))', rids),
            ('e."Workflow" IN (SELECT "RID" FROM "Workflow" WHERE ? IN ("Name", "RID"))', criteria.workflow),
            (
                'e."Workflow" IN (SELECT "Workflow" FROM "Workflow_Workflow_Type" WHERE "Workflow_Type" = ?)',
                criteria.workflow_type,
            ),
            (
                'e."RID" IN (SELECT "Nested_Execution" FROM "Execution_Execution" WHERE "Execution" = ?)',
                criteria.sweep,
            ),
            (_OF_DATASET, criteria.dataset),
            ('e."Status" = ?', criteria.status and criteria.status.value),
            ('e."RCT" >= ?', criteria.since),
            (_OF_RUNS if criteria.runs_only else "", f"{UNKNOWN_PROVENANCE}*"),
            (_NO_CHANGES if criteria.no_changes and not asked_for else "", DATASET_MANAGEMENT),
        ):
            if condition and value is not None:
                conditions.append(condition)
                values.append(value)
        for comparison in criteria.where:
            condition, *given = self._compared(comparison, criteria.best)
            conditions.append(condition)
            values += given
        joins, order, joined = "", [], list[Any]()
        for number, (name, descending) in enumerate(criteria.order):
            expression = place = self._place(name, criteria.best)
            if isinstance(place, _Column):
                on = f'o{number}."execution" = e."RID" AND {place.condition(f"o{number}")}'
                joins += f' LEFT JOIN "{place.table}" o{number} ON {on}'
                joined.append(place.name)
                expression = f'o{number}."{place.value}"'
            direction = "DESC" if descending else "ASC"
            order.append(f"{expression} IS NULL, {expression} = 'NaN', {expression} {direction}")
        order += ['e."RCT" DESC', 'e."RID" DESC']
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        as_named = criteria.rids is not None and not criteria.order
        rows = self._db.query(
            f'SELECT e."RID" FROM "Execution" e{joins} {where} ORDER BY {", ".join(order)} LIMIT ?',
            *joined,
            *values,
            -1 if limit is None or as_named else limit,
        )
        found = [row["RID"] for row in rows]
        if as_named and criteria.rids is not None:
            places = {rid: place for place, rid in enumerate(criteria.rids)}
            found = sorted(found, key=places.__getitem__)[:limit]
        return found

    def _compared(self, comparison: Comparison, best: str | None) -> tuple[Any, ...]:
        name, operator, value = comparison.name, comparison.operator, comparison.value
        place = self._place(name, best)
        expression = place if isinstance(place, str) else f'v."{place.value}"'
        test, given = f"{expression} {operator} ?", [value]
        if isinstance(value, int | float):  # SQLite takes every text for greater than every number
            numeric = f"typeof({expression}) IN ('integer', 'real')"
            test = f"NOT ({numeric} AND {expression} = ?)" if operator == "<>" else f"{numeric} AND {test}"
        elif operator in {"=", "<>"}:  # with nothing, too, which is none of the texts
            test = f"{expression} {'IS' if operator == '=' else 'IS NOT'} ?"
            test += " COLLATE NOCASE" if value == "NaN" else ""  # as configurations spell it
        else:
            test = f"typeof({expression}) = 'text' AND {expression} <> 'NaN' AND {test}"
        if isinstance(place, str):
            return (test, *given)
        chosen = f'SELECT v."execution" FROM "{place.table}" v WHERE {place.condition("v")}'
        return f'e."RID" IN ({chosen} AND {test})', place.name, *given

    def _place(self, name: str, best: str | None) -> str | _Column:
        """Return where the values of a name are: an expression of SQL for a field, or a place among the rows.

        A metric is meant before a parameter, and that before a choice; ``metrics.NAME`` and the like say which. Names
        are also known by their last parts.
        """
        column = {"max": "greatest", "min": "least"}.get(best or "", "last")
        tables = {
            "metrics": ("local_metric", column, ""),
            "parameters": ("local_setting", "value", "parameter"),
            "choices": ("local_setting", "value", "choice"),
        }
        for field_name, expression in _FIELDS.items():
            if name.lower() == field_name.lower():
                return expression
        first, _, rest = name.partition(".")
        for kind, table in tables.items():
            for one in [name, *([rest] if first == kind and rest else []), f"{MODEL_CONFIG}{name}"]:
                place = _Column(*table, str(as_cell(one)))
                found = f'SELECT 1 FROM "{place.table}" v WHERE {place.condition("v")} LIMIT 1'
                if self._db.value(found, place.name):
                    return place
        known = self.names()
        ends = [one for one in known if one.endswith(f".{name}")]
        if len(ends) == 1:
            return self._place(ends[0], best)
        from difflib import get_close_matches  # not at the top: every run would load it

        near = ends or get_close_matches(name, known, 3)
        meant = f"; there is {', '.join(near)}" if near else ""
        raise DerivaMLRequestError(f"no execution has a parameter, choice or metric called {name}{meant}")


def _number(cell: Any) -> Number:
    """Return the number that a cell holds; see ``as_cell``."""
    if isinstance(cell, int | float):
        return cell
    return cell == "true" if cell in {"true", "false"} else math.nan
