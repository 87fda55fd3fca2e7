"""What is to be learnt about each element of a bag: a feature's value, a column's, or the folder that a file lies in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deriva_ml.bags import features, naming, rows, tables
from deriva_ml.bags.features import FeatureRecord, Selector
from deriva_ml.definitions import Row
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.grouping import grouped

Targets = Sequence[str] | Mapping[str, Selector | None] | None
FOLDER = "folder"
MISSING = ("error", "skip", "unknown")
_SHOWN = 5


@dataclass(frozen=True)
class Element:
    """A row, and what the targets are of it; None for what it has no value of."""

    row: Row
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Elements:
    """The elements of a bag that have what ``missing`` asks for.

    Attributes:
        names: the targets'.
        are_files: whether they are of a table of files; a row of a file's table only says so.
    """

    names: tuple[str, ...]
    found: list[Element]
    are_files: bool = False

    def label(self, element: Element) -> Any:
        """What a framework gets for an element: its value, or several by name; None where one is missing."""
        if any(one is None for one in element.values):
            return None
        return (
            element.values[0] if len(self.names) == 1 else dict(zip(self.names, element.values, strict=True))
        )


def elements(
    bag: rows.Bag,
    table: str,
    targets: Targets,
    missing: str,
    of_terms_only: bool = False,
    first: bool = False,
    members_only: bool = False,
) -> Elements:
    """Return a table's rows, each with what the targets are of it.

    A target is a feature, a column of the table's own, a column of a file that is a table and names files in another
    column (``labels.species`` where several have it), or else ``folder``: the name of the folder that a file lies in.

    Args:
        targets: their names, or by name what selects one of several values.
        missing: what becomes of a row without a value: ``error``, ``skip`` or ``unknown``.
        of_terms_only: refuse features without terms of a vocabulary.
        first: take the first of several values that none was selected of.
        members_only: leave out rows that members refer to.

    Raises:
        DerivaMLRequestError: a target or the table is not there, or several values are there.
        DerivaMLException: a row has no value, and ``missing`` is ``error``.
    """
    if missing not in MISSING:
        raise DerivaMLRequestError(f"missing={missing!r} is none of {', '.join(MISSING)}")
    if isinstance(targets, str):
        raise DerivaMLRequestError(f"targets is a list: targets=[{targets!r}]")
    selectors = dict(targets) if isinstance(targets, Mapping) else dict.fromkeys(targets or ())
    held = _held(bag, table, members_only)
    are_files = table in rows.all_rows(bag) and bool(held) and rows.is_file(held[0])
    own: set[str] = set()
    if not held:
        return Elements(tuple(selectors), [])
    columns = [
        _column(bag, table, held, name, select, own, of_terms_only, first)
        for name, select in selectors.items()
    ]
    if own:
        held = [row for row in held if naming.path_of(row) not in own]
    found = [Element(row, tuple(read(row) for read in columns)) for row in held]
    without = [one for one in found if any(value is None for value in one.values)]
    if without and missing == "error":
        shown = ", ".join(_called(one.row) for one in without[:_SHOWN]) + (
            ", ..." if len(without) > _SHOWN else ""
        )
        raise DerivaMLException(
            f"{len(without)} of {len(found)} rows of {table} have no value of {' or '.join(selectors)}: {shown}; leave"
            " them out with missing='skip', or keep them with missing='unknown'"
        )
    if missing == "skip":
        gone = set(map(id, without))
        found = [one for one in found if id(one) not in gone]
    return Elements(tuple(selectors), found, are_files)


def _held(bag: rows.Bag, table: str, members_only: bool) -> list[Row]:
    every = rows.all_rows(bag)
    if table not in every and table not in features.definitions(bag):
        return list(tables.as_rows(bag, table))
    held = every.get(table, [])
    if members_only:
        kept = rows.members(bag).get(table, [])
        if held and not kept:
            raise DerivaMLRequestError(
                f"no member of dataset {bag.dataset.rid} is a row of {table}: say reachable=True"
            )
        return kept
    return held


def _called(row: Row) -> str:
    return str(row.get("Path") or row.get("RID"))


Read = Callable[[Row], Any]


def _column(
    bag: rows.Bag,
    table: str,
    held: list[Row],
    name: str,
    select: Selector | None,
    own: set[str],
    of_terms_only: bool,
    first: bool,
) -> Read:
    """Return what gives a row's value; adds to ``own`` the path of the file that the values are in."""
    feature = next((one for one in features.find_features(bag, table) if one.feature_name == name), None)
    if feature:
        if of_terms_only and not feature.term_columns:
            raise DerivaMLRequestError(
                f"{name} has no terms of a vocabulary to name folders: say enforce_vocabulary=False and how"
                " target_transform names them"
            )
        values = features.feature_values(bag, table, name, select)
        key = feature.definition.feature.target.key[0] if feature.definition.feature else "RID"
        by_key = grouped((getattr(one, feature.target_column), one) for one in values)
        return lambda row: _one(by_key.get(row[key], []), name, row, first, _value_of)
    if name in held[0]:
        return lambda row: _plain(row[name])
    if found := _of_file(bag, name):
        labels, column = found
        named, pairs = naming.named_rows(labels, naming.Files(held))
        if named is None:
            raise DerivaMLRequestError(f"no column of {labels.path} says which files {column} is of")
        own.add(labels.path)
        by_file = grouped((id(file), row) for row, file in pairs if file is not None)

        def read(row: Row) -> Any:
            several = by_file.get(id(row), [])
            if select and several:
                chosen = select(
                    [FeatureRecord(**{str(key): value for key, value in one.items()}) for one in several]
                )
                return None if chosen is None else _plain(getattr(chosen, column))
            return _one(
                [one for row in several if (one := _plain(row[column])) is not None], name, row, first
            )

        return read
    if name == FOLDER and rows.is_file(held[0]):
        return lambda row: naming.path_of(row).rpartition("/")[0].rpartition("/")[2] or None
    known = [*(one.feature_name for one in features.find_features(bag, table)), *held[0]]
    raise DerivaMLRequestError(
        f"{table} has no target {name}: there is no such feature, no such column of a table that names files, and"
        f" its own columns are {', '.join(known)}"
    )


def _one(
    values: list[Any], name: str, row: Row, first: bool, plain: Callable[[Any], Any] = lambda one: one
) -> Any:
    if not values:
        return None
    if not first and len({repr(plain(one)) for one in values}) > 1:
        raise DerivaMLRequestError(
            f"{_called(row)} has {len(values)} values of {name}: choose one with"
            f" targets={{{name!r}: FeatureRecord.select_newest}}, or another selector"
        )
    return values[0]


def _value_of(record: FeatureRecord) -> Row:
    return {name: value for name, value in record.model_dump().items() if name not in {"RCT", "Execution"}}


def _plain(value: Any) -> Any:
    """A value of a row; None for what pandas or a text has in place of none."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return (
        None
        if (isinstance(value, str) and not value) or type(value).__name__ in {"NAType", "NaTType"}
        else value
    )


def _of_file(bag: rows.Bag, name: str) -> tuple[tables.TableFile, str] | None:
    """The file that is a table, and its column, that a target's name means."""
    files = tables.table_files(bag)
    place, _, column = name.rpartition(".")
    if place and (table := tables.find(files, place)) and column in naming.header(table):
        return table, column
    having = [one for one in files.values() if name in naming.header(one)]
    if len(having) > 1:
        raise DerivaMLRequestError(
            f"{' and '.join(one.path for one in having)} have a column {name}: say {having[0].name + '.' + name!r}"
        )
    return (having[0], name) if having else None
