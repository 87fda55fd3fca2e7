"""Paths as SQL: which rows and columns a path means, sorted and cut into pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .auth import User
from .catalog import Catalog
from .errors import conflict, malformed, unsupported
from .grammar import (
    Comparison,
    DataPath,
    FilterStep,
    Junction,
    LinkStep,
    Name,
    Negation,
    Output,
    Predicate,
    ResetStep,
    Step,
    TableStep,
)
from .model import ForeignKey, Model, Table, quote
from .values import Kind, Stored, kind_of, literal

_COMPARISONS = {"=": "=", "lt": "<", "leq": "<=", "gt": ">", "geq": ">="}
_AGGREGATES = {
    "min": "min({0})",
    "max": "max({0})",
    "sum": "sum({0})",
    "avg": "avg({0})",
    "cnt": "count({0})",
    "cnt_d": "count(DISTINCT {0})",
    "array": "json_group_array({0})",
    "array_d": "json_group_array(DISTINCT {0})",
}


@dataclass
class Instance:
    """One table as it occurs in a path."""

    table: Table
    sql: str
    alias: str


@dataclass
class Rows:
    """A result: column names with their kinds, and stored values."""

    columns: list[tuple[str, Kind]]
    values: list[tuple[Stored, ...]]


class Query:
    """A path bound to a model: builds the SQL of its results."""

    def __init__(self, path: DataPath, model: Model, user: User, moment: int | None = None) -> None:
        self.path = path
        self.user = user
        self.model = model
        self.moment = moment
        self.instances: list[Instance] = []
        self.context: Instance
        self._from: list[str] = []
        self._where: list[str] = []
        self._from_values: list[Any] = []
        self._where_values: list[Any] = []
        for step in path.steps:
            self._take(step)

    # --------------------------------------------------------------- the path

    def _take(self, step: Step) -> None:
        if isinstance(step, TableStep):
            self._table(step)
        elif isinstance(step, LinkStep):
            self._link(step)
        elif isinstance(step, FilterStep):
            self._where.append(self._predicate(step.predicate))
        elif isinstance(step, ResetStep):
            self.context = self._aliased(step.alias)

    def _aliased(self, alias: str) -> Instance:
        for instance in self.instances:
            if alias and instance.alias == alias:
                return instance
        raise malformed(f"Alias {alias} is not bound in path.")

    def _join(self, table: Table, alias: str, kind: str, condition: str) -> Instance:
        if alias and any(instance.alias == alias for instance in self.instances):
            raise malformed(f"Alias {alias} bound more than once.")
        instance = Instance(table, f"t{len(self.instances)}", alias)
        source = table.sql
        if self.moment is not None:
            names = ", ".join(map(quote, table.columns))
            source = (
                f'(SELECT {names} FROM {table.history} WHERE "@from" <= ? AND ("@to" IS NULL OR "@to" > ?))'
            )
            self._from_values += [self.moment, self.moment]
        if self.model.may(self.user, "select", table) is None:
            source = f'(SELECT * FROM {source} WHERE "RCB" = ?)'
            self._from_values.append(self.user.name)
        condition = condition.replace("{new}", instance.sql)
        self._from.append(f"{kind} {source} AS {instance.sql}" + (f" ON ({condition})" if condition else ""))
        self.instances.append(instance)
        self.context = instance
        return instance

    def _table(self, step: TableStep) -> None:
        table = self.model.table(step.name, self.user)
        if not self.instances:
            self._join(table, step.alias, "", "")
            return
        links = _links(self.context.table, table)
        if not links:
            raise conflict(f"No link found between tables {self.context.table.name} and {table.name}.")
        sql = " OR ".join(_condition(self.context.sql, reference, outward) for reference, outward in links)
        self._join(table, step.alias, "JOIN", sql)

    def _link(self, step: LinkStep) -> None:
        if step.right:
            self._explicit_link(step)
            return
        first = step.left[0]
        if len(first) == 3 or (len(first) == 2 and not any(one.alias == first[0] for one in self.instances)):
            table = self.model.table(first[:-1], self.user)
            columns = tuple(table.column(name[-1]).name for name in step.left)
            links = [link for link in _links(self.context.table, table) if _end(link, table) == columns]
            left = self.context
        else:
            left = self._aliased(first[0]) if len(first) == 2 else self.context
            columns = tuple(left.table.column(name[-1]).name for name in step.left)
            links = [(one, True) for one in left.table.references if one.columns == columns]
            links += [(one, False) for one in left.table.referrers if one.target_columns == columns]
        if len(links) != 1:
            raise conflict(f"Columns {', '.join(columns)} do not identify one link.")
        reference, outward = links[0]
        table = reference.target if outward else reference.source
        self._join(table, step.alias, "JOIN", _condition(left.sql, reference, outward))

    def _explicit_link(self, step: LinkStep) -> None:
        if len(step.left) != len(step.right) or len(step.right[0]) < 2:
            raise malformed("Both sides of a join need the same number of columns, the right side a table.")
        first = step.left[0]
        left = self._aliased(first[0]) if len(first) == 2 else self.context
        table = self.model.table(step.right[0][:-1], self.user)
        sides = zip(step.left, step.right, strict=True)
        sql = " AND ".join(
            f"{left.sql}.{quote(left.table.column(one[-1]).name)} = "
            f"{{new}}.{quote(table.column(other[-1]).name)}"
            for one, other in sides
        )
        self._join(table, step.alias, f"{step.outer.upper()} JOIN".strip(), sql)

    # ---------------------------------------------------------------- filters

    def _column(self, name: Name) -> tuple[Instance, str]:
        instance = self.context
        if len(name) == 2:
            instance = self._aliased(name[0])
        elif len(name) > 2:
            raise malformed(
                f"Column name {':'.join(name)}, qualified by schema and table names, not allowed."
            )
        if name[-1] != "*":
            instance.table.column(name[-1])
        return instance, name[-1]

    def _predicate(self, predicate: Predicate) -> str:
        if isinstance(predicate, Negation):
            return f"NOT ({self._predicate(predicate.inner)})"
        if isinstance(predicate, Junction):
            return f" {predicate.operator} ".join(f"({self._predicate(part)})" for part in predicate.parts)
        return self._comparison(predicate)

    def _comparison(self, comparison: Comparison) -> str:
        instance, name = self._column(comparison.column)
        if name == "*" or comparison.operator == "ts":
            raise unsupported("text search")
        sql = f"{instance.sql}.{quote(name)}"
        if comparison.operator == "null":
            return f"{sql} IS NULL"
        kind = instance.table.columns[name].kind
        if comparison.operator in ("regexp", "ciregexp"):
            flag = "(?i)" if comparison.operator == "ciregexp" else ""
            self._where_values += [flag + value for value in comparison.values]
            single = f"{sql} REGEXP ?"
        else:
            self._where_values += [literal(kind, value) for value in comparison.values]
            single = f"{sql} {_COMPARISONS[comparison.operator]} ?"
            if comparison.quantifier == "any" and comparison.operator == "=":
                return f"{sql} IN ({', '.join('?' * len(comparison.values))})"
        junction = " AND " if comparison.quantifier == "all" else " OR "
        return junction.join([single] * len(comparison.values))

    # ---------------------------------------------------------------- results

    def run(self, catalog: Catalog, limit: int | None) -> Rows:
        """The rows that the path means."""
        columns, selects = self._projection()
        distinct = f"GROUP BY {self._identity()}" if len(self.instances) > 1 else ""
        order = self._identity()
        if self.path.api == "aggregate":
            distinct = order = ""
        elif self.path.api == "attributegroup":
            keys = ", ".join(str(position + 1) for position in range(len(self._expanded(self.path.keys))))
            distinct, order = f"GROUP BY {keys}", keys
        where = f"WHERE {' AND '.join(f'({one})' for one in self._where)}" if self._where else ""
        sql = f"SELECT {', '.join(selects)} FROM {' '.join(self._from)} {where} {distinct}"
        sql, values = self._paged(sql, order, dict(columns), limit)
        found = catalog.db.execute(sql, [*self._from_values, *self._where_values, *values]).fetchall()
        return Rows(columns, found)

    def identities(self, catalog: Catalog) -> list[int]:
        """The row numbers, in the database, of the context's rows."""
        where = f"WHERE {' AND '.join(f'({one})' for one in self._where)}" if self._where else ""
        sql = f"SELECT DISTINCT {self.context.sql}.rowid FROM {' '.join(self._from)} {where}"
        values = [*self._from_values, *self._where_values]
        return [number for (number,) in catalog.db.execute(sql, values) if number is not None]

    def _identity(self) -> str:
        return ", ".join(f"{self.context.sql}.{quote(name)}" for name in self.context.table.shortest_key)

    def _projection(self) -> tuple[list[tuple[str, Kind]], list[str]]:
        outputs = [*self.path.keys, *self.path.outputs] or [Output(("*",))]
        columns: list[tuple[str, Kind]] = []
        selects = []
        for output in self._expanded(outputs):
            name, kind, sql = self._output(output)
            if any(name == other for other, _ in columns):
                raise malformed(f'Output column name "{name}" appears more than once.')
            columns.append((name, kind))
            selects.append(f"{sql} AS {quote(name)}")
        return columns, selects

    def _expanded(self, outputs: list[Output]) -> list[Output]:
        found = []
        for output in outputs:
            if output.column[-1] != "*" or output.function:
                found.append(output)
                continue
            if output.alias:
                raise malformed(f"Wildcard column {':'.join(output.column)} cannot be given an alias.")
            instance, _ = self._column(output.column)
            prefix = output.column[:-1]
            found += [
                Output((*prefix, name), ":".join((*prefix, name)) if prefix else "")
                for name in instance.table.columns
            ]
        return found

    def _output(self, output: Output) -> tuple[str, Kind, str]:
        instance, name = self._column(output.column)
        sql = f"{instance.sql}.{quote(name)}"
        if not output.function:
            if self.path.api == "aggregate":
                raise malformed(f"Attribute {':'.join(output.column)} lacks an aggregate function.")
            return output.alias or name, instance.table.columns[name].kind, sql
        if self.path.api == "attribute":
            raise malformed("Aggregate functions are not allowed in attribute projections.")
        if not output.alias:
            raise malformed(f"Aggregated column {':'.join(output.column)} must be given an alias.")
        if output.function not in _AGGREGATES:
            raise malformed(f"Unknown aggregate function {output.function!r}.")
        template = _AGGREGATES[output.function]
        if name == "*":
            if output.function != "cnt":
                raise unsupported(f"{output.function}(*)")
            sql = "*" if len(output.column) == 1 else f"{instance.sql}.rowid"
            return output.alias, kind_of("int8"), template.format(sql)
        return (
            output.alias,
            _aggregate_kind(output.function, instance.table.columns[name].kind),
            template.format(sql),
        )

    def _paged(
        self, sql: str, order: str, columns: dict[str, Kind], limit: int | None
    ) -> tuple[str, list[Stored]]:
        path = self.path
        cut = "" if limit is None else f" LIMIT {limit}"
        if not path.sort:
            return sql + (f" ORDER BY {order}" if order else "") + cut, []
        for name, _ in path.sort:
            if name not in columns:
                raise (
                    conflict(f'Sort key "{name}" not found in table "{self.context.table.name}".')
                    if path.api == "entity"
                    else malformed(f'Sort key "{name}" not among output columns.')
                )
        backward = path.before is not None and path.after is None
        if backward and limit is None:
            raise malformed("Page @before requires a limit or @after.")
        wheres, values = [], []
        for boundary, before in ((path.after, False), (path.before, True)):
            if boundary is not None:
                if len(boundary) != len(path.sort):
                    raise malformed("Sort key and page key lengths do not match.")
                clause, more = _page(path.sort, columns, boundary, before)
                wheres.append(f"({clause})")
                values += more
        where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
        sql = f"SELECT * FROM ({sql}){where} ORDER BY {_ordering(path.sort, backward)}{cut}"
        if backward:
            sql = f"SELECT * FROM ({sql}) ORDER BY {_ordering(path.sort, False)}"
        return sql, values


def _links(left: Table, right: Table) -> list[tuple[ForeignKey, bool]]:
    """The references between two tables, and whether each leads from left to right."""
    found = [(reference, True) for reference in left.references if reference.target is right]
    return found + [(reference, False) for reference in left.referrers if reference.source is right]


def _end(link: tuple[ForeignKey, bool], table: Table) -> tuple[str, ...]:
    reference, outward = link
    return reference.target_columns if outward else reference.columns


def _condition(left: str, reference: ForeignKey, outward: bool) -> str:
    here, there = reference.columns, reference.target_columns
    if not outward:
        here, there = there, here
    pairs = zip(here, there, strict=True)
    return "(" + " AND ".join(f"{left}.{quote(one)} = {{new}}.{quote(other)}" for one, other in pairs) + ")"


def _aggregate_kind(function: str, kind: Kind) -> Kind:
    if function.startswith("cnt"):
        return kind_of("int8")
    if function == "avg":
        return kind_of("float8")
    if function.startswith("array"):
        if kind.is_json or kind.element is not None:
            raise unsupported(f"{function} of {kind.name} values")

        def write(value: str) -> str:
            return "[" + ",".join(kind.dump(item) for item in json.loads(value)) + "]"

        return Kind(kind.name + "[]", kind.parse, write, element=kind)
    return kind


def _ordering(sort: list[tuple[str, bool]], backward: bool) -> str:
    return ", ".join(
        f"{quote(name)} {'DESC NULLS FIRST' if descending != backward else 'ASC NULLS LAST'}"
        for name, descending in sort
    )


def _page(
    sort: list[tuple[str, bool]], columns: dict[str, Kind], boundary: list[str | None], before: bool
) -> tuple[str, list[Stored]]:
    """Rows that sort strictly after (or before) a boundary, where null counts as the greatest value."""
    (name, descending), value = sort[0], boundary[0]
    column = quote(name)
    greater = descending == before
    values: list[Stored] = []
    if value is None:
        term, same = ("0" if greater else f"{column} IS NOT NULL"), f"{column} IS NULL"
    else:
        stored = literal(columns[name], value)
        term, same = f"{column} {'>' if greater else '<'} ?", f"{column} = ?"
        values.append(stored)
        if greater:
            term += f" OR {column} IS NULL"
    if len(sort) == 1:
        return term, values
    rest, more = _page(sort[1:], columns, boundary[1:], before)
    return f"({term}) OR ({same} AND ({rest}))", [*values, *values, *more]
