"""One wide table of several of a bag's tables, joined by what they refer to.

The rules are upstream's: one row for each row of the table that refers to the others, whose columns are repeated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from deriva_ml.bags import features
from deriva_ml.bags.relations import FILE, Path, Reference, Relations
from deriva_ml.bags.rows import Bag
from deriva_ml.definitions import Row
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import grouped

SYSTEM = {"RCT", "RMT", "RCB", "RMB"}


class Ambiguous(DerivaMLRequestError):
    """Several ways lead from one table to another.

    Attributes:
        found: what ``describe_denormalized`` says of them.
    """

    def __init__(self, message: str, paths: Sequence[Path], between: Sequence[str]) -> None:
        super().__init__(message)
        self.found = {
            "type": "multiple_paths",
            "from": paths[0][0].table,
            "to": paths[0][-1].other,
            "paths": [tables_of(path) for path in paths],
            "suggestions": {"add_to_include_tables": between, "add_to_via": between},
        }


def _shown(path: Path) -> str:
    return " -> ".join([f"{one.table}.{','.join(one.columns)}" for one in path] + [path[-1].other])


def tables_of(path: Path) -> list[str]:
    """The tables that a path leads through, with both ends."""
    return [path[0].table, *(one.other for one in path)]


@dataclass
class Plan:
    """How tables are joined.

    Attributes:
        include: the tables whose columns are wanted; via: those that paths are to lead through.
        row_per: the one of them with a row for each row of the result.
        candidates: those that it was chosen from.
        paths: to each table that ``row_per`` refers to.
        attached: how features and files that are tables refer to one of those; what they say is joined to it, or None.
    """

    relations: Relations
    include: list[str]
    via: list[str]
    row_per: str = ""
    candidates: list[str] = field(default_factory=list)
    paths: dict[str, Path] = field(default_factory=dict)
    attached: dict[str, Reference] = field(default_factory=dict)

    def find_rows(self, row_per: str | None) -> None:
        """Determine ``row_per``.

        Raises:
            DerivaMLRequestError: it cannot be told, or is none of the tables.
        """
        reach = {one: self.relations.reachable(one) for one in self.include}
        above = set().union(*({one} | reach[one] for one in self.include if not self._joins(one)))
        plain = [one for one in self.include if not self._joins(one) or self._to(one).other not in above]
        self.candidates = [one for one in plain if not any(one in reach[two] for two in plain if two != one)]
        if row_per is not None:
            if row_per not in self.include:
                raise DerivaMLRequestError(f"row_per={row_per!r} is none of {', '.join(self.include)}")
            self.row_per = row_per
        elif len(self.candidates) == 1:
            [self.row_per] = self.candidates
        elif FILE in self.include and self.candidates and self.relations.files.keys() >= set(self.candidates):
            self.row_per = FILE
        else:
            among = " and ".join(self.candidates or self.include)
            raise DerivaMLRequestError(
                f"rows of {among} do not refer to each other in one direction: say row_per=TABLE, or include a table"
                " that refers to all of them"
            )

    def _joins(self, table: str) -> bool:
        """Whether a table is a feature's: it is joined to what its values are of."""
        return self.relations.is_feature(table)

    def _to(self, table: str) -> Reference:
        """How a feature or a file that is a table refers to what it is about."""
        of = self.relations.references.get(table, [])
        definition = self.relations.definitions.get(table)
        if definition and definition.feature:
            columns = definition.feature.target.columns
            return next(one for one in of if one.columns == columns)
        return of[0]

    def find_paths(self) -> None:
        """Determine how the other tables are joined.

        Raises:
            DerivaMLRequestError: they cannot be.
        """
        reach = self.relations.reachable(self.row_per)
        for table in [*self.include, *self.via]:
            if table in reach:
                self._find_path(table)
            elif table != self.row_per and table in self.include:
                if self._is_about({self.row_per, *reach}, table):
                    self.attached[table] = self._to(table)
                    self._find_path(self.attached[table].other)
                else:
                    self._refuse(table)

    def _is_about(self, others: set[str], table: str) -> bool:
        of = self.relations.references.get(table)
        known = self._joins(table) or table in self.relations.files
        return bool(known and of) and self._to(table).other in others

    def _refuse(self, table: str) -> None:
        if self.row_per in self.relations.reachable(table):
            raise DerivaMLRequestError(
                f"a row of {self.row_per} has several of {table}: leave row_per={self.row_per!r} out for a row per"
                f" {table}, or {table} out of the tables"
            )
        raise DerivaMLRequestError(f"no foreign key leads from {self.row_per} to {table}: leave {table} out")

    def _find_path(self, table: str) -> None:
        if table == self.row_per or table in self.paths:
            return
        found = list(self.relations.paths(self.row_per, table))
        wanted = {*self.include, *self.via}
        score = [len(wanted.intersection(tables_of(path)[1:-1])) for path in found]
        best = [path for path, one in zip(found, score, strict=True) if one == max(score)]
        if self._joins(self.row_per):  # an asset of a feature may be of the same table as its target
            best = [path for path in best if path == (self._to(self.row_per),)] or best
        if len(best) > 1:
            between = sorted({one.other for path in best for one in path[:-1]})
            hint = f"choose one with via=[{between[0]!r}]" if between else "join these tables with pandas"
            ways = "; ".join(map(_shown, best))
            message = f"several ways lead from {self.row_per} to {table}: {ways}: {hint}"
            raise Ambiguous(message, best, between)
        [self.paths[table]] = best

    def columns(self, system: Sequence[str] = ()) -> list[tuple[str, str, str]]:
        """Table, column and type of each of the result's columns."""
        left_out = SYSTEM - set(system)
        return [
            (table, name, kind)
            for table in self.include
            for name, kind in self.relations.columns(table).items()
            if table in self.relations.files or name not in left_out
        ]

    def unrelated(self) -> list[str]:
        """The members' tables that none of the tables has to do with."""
        of = self.relations
        chosen = {*self.include, *self.via}
        if of.files:
            chosen.add(FILE)
        return [
            one
            for one in sorted(of.members - chosen)
            if not any(one in of.reachable(table) or table in of.reachable(one) for table in chosen)
        ]

    def joined(self, chosen: dict[str, list[Row]]) -> Iterator[dict[str, Row | None]]:
        """The rows that are joined, by table.

        Args:
            chosen: rows to take instead of all that a table has.
        """
        own = {one.path for one in self.relations.files.values()}
        about: dict[str, dict[Any, list[Row]]] = {}
        for table, reference in self.attached.items():
            rows = chosen.get(table, self.relations.rows[table])
            about[table] = grouped((reference.value_of(row), row) for row in rows)
        for row in chosen.get(self.row_per, self.relations.rows[self.row_per]):
            if self.row_per == FILE and self.attached and row.get("Path") in own:
                continue  # a table that is joined is not what it is about
            held: dict[str, Row | None] = {self.row_per: row}
            for table, path in self.paths.items():
                at: Row | None = row
                for step in path:
                    at = step.follow(at) if at is not None else None
                held[table] = at
            nothing: list[Row | None] = [None]
            several: list[Sequence[Row | None]] = []
            for table, reference in self.attached.items():
                target = held[reference.other]
                found = about[table].get(reference.key_of(target)) if target is not None else None
                several.append(found or nothing)
            for beside in product(*several):
                yield {**held, **dict(zip(self.attached, beside, strict=True))}

    def every(self, chosen: dict[str, list[Row]]) -> Iterator[tuple[dict[str, Row | None], bool]]:
        """The rows that are joined, and then those of members that no such row has; each with whether it is of these.

        Files that are tables themselves are left out.
        """
        seen: dict[str, set[int]] = defaultdict(set)
        for held in self.joined(chosen):
            for table, row in held.items():
                seen[table].add(id(row))
            yield held, False
        own = {one.path for one in self.relations.all_files.values()}
        for table in self.include:
            if table in self.paths and table in self.relations.members:
                for row in self.relations.rows[table]:
                    if id(row) not in seen[table] and not (table == FILE and row.get("Path") in own):
                        yield {table: row}, True


def plan(bag: Bag, include: Sequence[str], row_per: str | None, via: Sequence[str] | None) -> Plan:
    """Return how tables are joined.

    Raises:
        DerivaMLRequestError: they are not there, or cannot be joined.
    """
    made = begun(bag, include, via)
    made.find_rows(named(made, row_per))
    made.find_paths()
    return made


def begun(bag: Bag, include: Sequence[str], via: Sequence[str] | None) -> Plan:
    """Return a plan of which only the tables are known."""
    if isinstance(include, str) or not include:
        raise DerivaMLRequestError("include_tables is a list of at least one table")
    relations = Relations(bag, [*include, *(via or ())])
    chosen = list(dict.fromkeys(map(relations.name, include)))
    return Plan(relations, chosen, list(map(relations.name, via or ())))


def named(made: Plan, row_per: str | None) -> str | None:
    """Return the table that is asked for as that of the rows."""
    if row_per is None or row_per in made.include:
        return row_per
    found = Relations(made.relations.bag, [row_per])
    return found.name(row_per)


def wide_rows(
    bag: Bag,
    include: Sequence[str],
    row_per: str | None = None,
    via: Sequence[str] | None = None,
    ignore_unrelated: bool = False,
    selector: features.Selector | None = None,
    system: Sequence[str] = (),
) -> tuple[list[str], Iterator[Row]]:
    """Return the columns, as ``Table.column``, and the rows of the wide table.

    Raises:
        DerivaMLRequestError: the tables are not there, or cannot be joined.
    """
    made = plan(bag, include, row_per, via)
    if not ignore_unrelated and (others := made.unrelated()):
        raise DerivaMLRequestError(
            f"members of {', '.join(others)} have nothing to do with {', '.join(made.include)}: say"
            " ignore_unrelated_anchors=True to leave them out"
        )
    columns = [(table, name) for table, name, _ in made.columns(system)]
    wide = (
        {f"{table}.{name}": (held.get(table) or {}).get(name) for table, name in columns}
        for held, _ in made.every(_selected(bag, made, selector))
    )
    return [f"{table}.{name}" for table, name in columns], wide


def _selected(bag: Bag, made: Plan, selector: features.Selector | None) -> dict[str, list[Row]]:
    if selector is None:
        return {}
    of = [one for one in features.find_features(bag) if one.feature_table in made.include]
    if len(of) != 1:
        raise DerivaMLRequestError(f"a selector is for one feature among the tables, and there are {len(of)}")
    [feature] = of
    held = made.relations.rows[feature.feature_table]
    records = feature.records(held)
    rows = {id(record): row for record, row in zip(records, held, strict=True)}
    return {feature.feature_table: [rows[id(one)] for one in feature.reduced(records, selector)]}
