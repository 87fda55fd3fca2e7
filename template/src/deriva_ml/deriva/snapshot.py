"""Reads datasets, with all that belongs to them, from one of a catalog's past states.

It does so by joins along the foreign keys: the number of requests depends on the tables, and not on the rows.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

from deriva_ml.definitions import (
    RID,
    Dataset,
    DatasetState,
    FeatureDefinition,
    ForeignKey,
    Row,
    TableDefinition,
)
from deriva_ml.deriva.answers import checked
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server, any_of, quote
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import grouped

FIRST_VERSION = "0.1.0"
"""What upstream calls the state of a dataset that has no version yet."""
LONGEST_LIST = 3_000
"""Characters of datasets' RIDs in a request; the joins that follow need room in its line too."""

Tables = dict[str, list[Row]]


def order(version: Row) -> tuple[list[int], float]:
    """What a row of ``Dataset_Version`` sorts by; a working state, such as ``1.1.0.dev2``, comes before its version."""
    released, _, working = (version["Version"] or "").partition("dev")
    numbers = [[int(number) for number in re.findall(r"\d+", one)] for one in (released, working)]
    return numbers[0], numbers[1][0] if numbers[1] else math.inf


def newest(versions: Iterable[Row]) -> Row:
    """The row of ``Dataset_Version`` with the greatest number; an empty one if there is none."""
    return max(versions, key=order, default={})


class Snapshot:
    """A past state of a catalog, read with the model that the catalog had then."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self._server = server
        self._model = Model(server.describe("/schema", snapshot=name, schemas=dict))
        self._rows: dict[str, dict[RID, Row]] = {}
        self._values: dict[str, dict[tuple[Any, ...], list[Row]]] = {}
        self._indices: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], Row]] = {}

    def read(self, rid: RID, version: Row) -> Dataset:
        """A dataset, of which the row of the version is known, and those nested in it.

        A dataset that was marked as deleted then is nested in none.

        Raises:
            DerivaMLRequestError: it was not there then, or a dataset contains itself.
        """
        children = self._children(rid)
        rows = {row["RID"]: row for row in self._of("Dataset", "RID", children)}
        if rid not in rows:
            raise DerivaMLRequestError(f"dataset {rid} was not yet there in the catalog's state {self.name}")
        versions = _by_dataset(self._of("Dataset_Version", "Dataset", children))
        types = _by_dataset(self._of("Dataset_Dataset_Type", "Dataset", children))
        readers = _by_dataset(self._of("Dataset_Execution", "Dataset", children))
        members = self._members(children)
        made: dict[RID, Dataset] = {}

        def make(one: RID, above: tuple[RID, ...]) -> Dataset:
            if one in above:
                circle = " in ".join([one, *reversed(above[above.index(one) :])])
                raise DerivaMLRequestError(
                    f"dataset {rid} cannot be read, since one contains itself: {circle}"
                )
            if one not in made:
                chosen = version if one == rid else newest(versions.get(one, ()))
                references = self._references(members[one])
                kept = [child for child in children[one] if not rows.get(child, {}).get("Deleted")]
                made[one] = Dataset(
                    rid=one,
                    version=chosen.get("Version") or FIRST_VERSION,
                    description=rows.get(one, {}).get("Description") or "",
                    types=tuple(sorted(row["Dataset_Type"] for row in types.get(one, ()))),
                    members=members[one],
                    references=references,
                    nested=tuple(make(child, (*above, one)) for child in kept),
                    snapshot=self.name,
                    version_rid=chosen.get("RID"),
                    tables=self._definitions({*members[one], *references}),
                    history=_states(versions.get(one, ()), chosen),
                    executions=tuple(sorted({row["Execution"] for row in readers.get(one, ())})),
                )
            return made[one]

        return make(rid, ())

    def _get(self, path: str) -> list[Row]:
        return self._server.get(path, snapshot=self.name)

    def _of(self, table: str, column: str, datasets: Collection[RID]) -> list[Row]:
        path = f"/entity/{self._model.qualified(table)}"
        return [row for one in any_of(column, sorted(datasets)) for row in self._get(f"{path}/{one}")]

    def _children(self, rid: RID) -> dict[RID, list[RID]]:
        """What is nested directly in a dataset, in each of these, and so on: a request a level."""
        children: dict[RID, list[RID]] = {rid: []}
        level = {rid}
        while level:
            for row in self._of("Dataset_Dataset", "Dataset", level):
                children[row["Dataset"]].append(row["Nested_Dataset"])
            level = {child for parent in level for child in children[parent]} - children.keys()
            children |= {child: [] for child in level}
        return {parent: sorted(nested) for parent, nested in children.items()}

    def _members(self, datasets: Collection[RID]) -> dict[RID, Tables]:
        """Each dataset's members; these and all rows that they refer to are held from then on."""
        members: dict[RID, Tables] = {rid: {} for rid in datasets}
        for link in self._model.member_tables:
            filters = any_of(link.column, sorted(datasets), LONGEST_LIST)
            starts = [f"L:={self._model.qualified(link.table)}/{chosen}" for chosen in filters]
            join = self._join(ForeignKey((link.other_column,), link.other, (link.other_key,)))
            fresh = []
            for start in starts:
                # The association is the context, so that there is a row for each pair of dataset and member.
                for pair in self._get(f"/attribute/{start}/M:={join}/$L/{quote(link.column)},M:*"):
                    row = {name[2:]: value for name, value in pair.items() if name.startswith("M:")}
                    fresh += self._hold(link.other, [row])
                    held = self._rows[link.other][row["RID"]]
                    members[pair[link.column]].setdefault(link.other, []).append(held)
            self._follow(link.other, fresh, starts, f"/{join}")
        for tables in members.values():
            for rows in tables.values():
                # The server's order means nothing, and may be another one tomorrow.
                rows.sort(key=itemgetter("RID"))
        return members

    def _hold(self, table: str, rows: Iterable[Row]) -> list[Row]:
        """Those of the rows that were not held before."""
        held = self._rows.setdefault(table, {})
        fresh = [checked(self._server.host, row) for row in rows if row["RID"] not in held]
        held |= {row["RID"]: row for row in fresh}
        return fresh

    def _join(self, reference: ForeignKey) -> str:
        columns, key = (",".join(map(quote, names)) for names in (reference.columns, reference.key))
        return f"({columns})=({self._model.qualified(reference.table)}:{key})"

    def _follow(self, table: str, rows: Sequence[Row], starts: Sequence[str], path: str) -> None:
        """Get what rows of a table, which a path from each of ``starts`` leads to, refer to; and what that refers to.

        With rows come the values of their features. A foreign key is followed once along a path, so that no circle of
        them is endless.
        """
        queue = deque([(table, rows, path, frozenset[tuple[str, ForeignKey]]())])

        def fresh(table: str, path: str) -> list[Row]:
            found = (self._get(f"/entity/{start}{path}") for start in starts)
            return [row for rows in found for row in self._hold(table, rows)]

        while queue:
            table, rows, path, taken = queue.popleft()
            for name, feature in self._model.features_of(table).items() if rows else ():
                step = (name, feature.target)
                if step not in taken:
                    join = self._join(ForeignKey(feature.target.key, name, feature.target.columns))
                    longer = f"{path}/{join}"
                    queue.append((name, fresh(name, longer), longer, taken | {step}))
            for reference in self._model.references(table):
                wanted = {_values(row, reference.columns) for row in rows}
                held = {_values(row, reference.key) for row in self._rows.get(reference.table, {}).values()}
                step = (table, reference)
                if step in taken or all(None in values or values in held for values in wanted):
                    continue
                longer = f"{path}/{self._join(reference)}"
                queue.append((reference.table, fresh(reference.table, longer), longer, taken | {step}))

    def _references(self, members: Tables) -> Tables:
        """Of the rows that are held, those that one dataset's members lead to, with the values of features of all."""
        seen = {(table, row["RID"]) for table, rows in members.items() for row in rows}
        waiting = [(table, row) for table, rows in members.items() for row in rows]
        found: Tables = {}

        def take(rows: Iterable[tuple[str, Row]]) -> None:
            for table, row in rows:
                if (table, row["RID"]) not in seen:
                    seen.add((table, row["RID"]))
                    found.setdefault(table, []).append(row)
                    waiting.append((table, row))

        while waiting:
            table, row = waiting.pop()
            for reference in self._model.references(table):
                values = _values(row, reference.columns)
                target = self._index(reference).get(values) if None not in values else None
                take([(reference.table, target)] if target is not None else ())
            for name, feature in self._model.features_of(table).items():
                take((name, value) for value in self._values_of(name, feature, row))
        return {table: sorted(rows, key=itemgetter("RID")) for table, rows in sorted(found.items())}

    def _values_of(self, table: str, feature: FeatureDefinition, row: Row) -> list[Row]:
        """The values of a feature that a row has; for when all have been read."""
        if table not in self._values:
            held = self._rows.get(table, {}).values()
            self._values[table] = grouped((_values(value, feature.target.columns), value) for value in held)
        return self._values[table].get(_values(row, feature.target.key), [])

    def _definitions(self, tables: Iterable[str]) -> dict[str, TableDefinition]:
        """What the catalog says of tables, and of those that have the values of their features."""
        names = {one for table in tables for one in (table, *self._model.features_of(table))}
        return {name: self._model.definition(name) for name in sorted(names)}

    def _index(self, reference: ForeignKey) -> dict[tuple[Any, ...], Row]:
        """The rows that are held of the table that is referred to, by the key; for when all have been read."""
        place = (reference.table, reference.key)
        if place not in self._indices:
            rows = self._rows.get(reference.table, {}).values()
            self._indices[place] = {_values(row, reference.key): row for row in rows}
        return self._indices[place]


def _values(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(column) for column in columns)


def _states(versions: Iterable[Row], last: Row) -> tuple[DatasetState, ...]:
    """A dataset's states up to one, the newest first."""
    made = [state for row, state in states_of(versions) if not last or order(row) <= order(last)]
    return tuple(reversed(made))


def states_of(versions: Iterable[Row]) -> list[tuple[Row, DatasetState]]:
    """The rows of ``Dataset_Version`` that have numbers, oldest first, each with the state that it stands for."""
    known = sorted((row for row in versions if row["Version"]), key=order)
    return [
        (
            row,
            DatasetState(
                row["RID"],
                row["Dataset"],
                row["Version"],
                number,
                row["Description"] or "",
                row["Execution"],
                row["RCT"] or "",
            ),
        )
        for number, row in enumerate(known, 1)
    ]


def _by_dataset(rows: Iterable[Row]) -> dict[RID, list[Row]]:
    return grouped((row["Dataset"], row) for row in rows)
