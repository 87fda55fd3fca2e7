"""How a bag's tables refer to each other: by a Deriva catalog's foreign keys, or by a column that names files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.bags import features, naming, rows, tables
from deriva_ml.definitions import MLAsset, Row

FILE = MLAsset.file.value


@dataclass(frozen=True)
class Reference:
    """How each row of a table refers to a row of another: its ``columns`` hold the ``key``, or name a file.

    Attributes:
        targets: the rows that are referred to, by what ``key_of`` gives of each.
        files: where ``columns`` name a file, all of these; ``folder`` is that of the table.
    """

    table: str
    columns: tuple[str, ...]
    other: str
    key: tuple[str, ...]
    targets: dict[Any, Row] = field(repr=False, hash=False, compare=False)
    files: naming.Files | None = field(default=None, repr=False, hash=False, compare=False)
    folder: str = ""

    def key_of(self, target: Row) -> Any:
        """What rows that refer to a row have as their ``value_of``."""
        return id(target) if self.files else tuple(target.get(name) for name in self.key)

    def value_of(self, row: Row) -> Any:
        """What a row refers to; None for nothing."""
        if self.files:
            found = self.files.find(row[self.columns[0]], self.folder)
            return None if found is None else id(found)
        values = tuple(row.get(name) for name in self.columns)
        return None if None in values else values

    def follow(self, row: Row) -> Row | None:
        """The row that a row refers to, if that is here."""
        return self.targets.get(self.value_of(row))


Path = tuple[Reference, ...]
"""References from a table to another, step by step."""


class Relations:
    """A bag's tables and what they refer to.

    Args:
        named: the tables that are asked for; of the files that are tables, only these are read. None for all.

    Attributes:
        members: the tables that members are rows of.
        files: the files that were read as tables; all_files: those that could be.
    """

    def __init__(self, bag: rows.Bag, named: Iterable[str] | None = None) -> None:
        self.bag = bag
        self.rows: rows.Tables = rows.all_rows(bag)
        self.members = {table for table, held in rows.members(bag).items() if held}
        self.definitions = features.definitions(bag)
        self.all_files = tables.table_files(bag)
        self.files: dict[str, tables.TableFile] = {}
        self.references: dict[str, list[Reference]] = {}
        for name in self.definitions:
            self.rows.setdefault(name, [])
        for name, one in self.definitions.items():
            for reference in one.references:
                if reference.table in self.rows:
                    self._refer(name, reference.columns, reference.table, reference.key)
        files = naming.Files(self.rows.get(FILE, ()))
        self._named = {name: self._read(name, files) for name in (self.all_files if named is None else named)}

    def _refer(
        self, table: str, columns: tuple[str, ...], other: str, key: tuple[str, ...], **more: Any
    ) -> None:
        made = Reference(table, columns, other, key, {}, **more)
        made.targets.update((made.key_of(row), row) for row in self.rows[other])
        self.references.setdefault(table, []).append(made)

    def _read(self, name: str, files: naming.Files) -> str:
        """The table that a name means: its own, that of a feature, or of a file, which is read."""
        if name in self.rows:
            return name
        of_feature = [
            one.feature_table for one in features.find_features(self.bag) if one.feature_name == name
        ]
        if len(of_feature) == 1:
            return of_feature[0]
        found = tables.find(self.all_files, name)
        if found is None:
            raise tables.no_table(self.bag, name)
        if found.name not in self.files:
            self.files[found.name] = found
            self.rows[found.name] = list(tables.file_rows(found))
            folder = naming.folder_of(found)
            if column := files.column(self.rows[found.name], folder):
                self._refer(found.name, (column,), FILE, ("Path",), files=files, folder=folder)
        return found.name

    def name(self, asked: str) -> str:
        """The table that one of the names that were asked for means."""
        return self._named[asked]

    def columns(self, table: str) -> dict[str, str]:
        """A table's columns and their types, as the catalog says, or as the first values are."""
        if table in self.definitions:
            return self.definitions[table].columns
        held = self.rows[table]
        if not held and table in self.files:
            return dict.fromkeys(naming.header(self.files[table]), "text")
        names = {name: None for row in held[:1000] for name in row}
        return {name: _type(row.get(name) for row in held) for name in names}

    def paths(self, start: str, end: str) -> Iterator[Path]:
        """All ways to come from a table to another by references, none through a table twice."""
        waiting: list[tuple[str, Path, frozenset[str]]] = [(start, (), frozenset({start}))]
        while waiting:
            table, path, seen = waiting.pop(0)
            for one in self.references.get(table, ()):
                if one.other == end:
                    yield (*path, one)
                elif one.other not in seen:
                    waiting.append((one.other, (*path, one), seen | {one.other}))

    def reachable(self, start: str) -> set[str]:
        """The tables that a table refers to, over any number of steps."""
        found: set[str] = set()
        waiting = [start]
        while waiting:
            fresh = {one.other for one in self.references.get(waiting.pop(), ())} - found
            found |= fresh
            waiting += fresh
        return found

    def is_feature(self, table: str) -> bool:
        """Whether a table's rows are a feature's values."""
        return table in self.definitions and self.definitions[table].feature is not None


_TYPES = {bool: "boolean", int: "int8", float: "float8"}


def _type(values: Iterable[Any]) -> str:
    value = next((one for one in values if one is not None), "")
    return _TYPES.get(type(value), "text")
