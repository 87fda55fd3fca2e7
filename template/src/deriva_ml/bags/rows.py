"""The rows that a bag has: its dataset's, and those of the datasets nested in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deriva_ml.definitions import FILE_COLUMNS, Dataset, Row

Tables = dict[str, list[Row]]


class Bag(Protocol):
    """What this room reads of a bag."""

    @property
    def dataset(self) -> Dataset:
        """The dataset's record."""

    @property
    def path(self) -> Path:
        """The folder with the files."""

    @property
    def children(self) -> Sequence[Bag]:
        """The bags of datasets nested in it."""


class Name(str):
    """A table's or column's name, which upstream has as an object with a ``name``."""

    @property
    def name(self) -> str:
        """The name itself."""
        return str(self)


def with_nested(bag: Bag, folder: str = "") -> Iterator[tuple[str, Bag]]:
    """Return a bag and all that are nested in it, each with the folder that it lies in, which ends in ``/``."""
    yield folder, bag
    for child in bag.children:
        yield from with_nested(child, f"{folder}{child.dataset.folder}/" if child.dataset.folder else folder)


def members(bag: Bag, recurse: bool = True) -> Tables:
    """The members' rows by table; ``Path`` is below the bag's own folder, also of what nested datasets have."""
    return _merged(_parts(bag, recurse))


def all_rows(bag: Bag) -> Tables:
    """All rows by table: members and what belongs to them, of the dataset and those nested in it."""
    references = [("", one.dataset.references) for _, one in with_nested(bag)]
    return _merged([*_parts(bag, True), *references])


def is_file(row: Row) -> bool:
    """Whether a row stands for a file."""
    return row.keys() >= FILE_COLUMNS


def content(row: Row) -> Path | None:
    """Where a file's content was fetched to; None where it was not."""
    path = Path(row["Filename"] or "")
    return path if path.is_absolute() else None


def _parts(bag: Bag, recurse: bool) -> list[tuple[str, Mapping[str, list[Row]]]]:
    found = with_nested(bag) if recurse else [("", bag)]
    return [(folder, one.dataset.members) for folder, one in found]


def _merged(sources: Sequence[tuple[str, Mapping[str, list[Row]]]]) -> Tables:
    """Rows by table from several sources that were read at one time; one that several have is there once."""
    tables: dict[str, dict[tuple[Any, Any], Row]] = {}  # a file may be at several places
    for folder, source in sources:
        for table, rows in source.items():
            held = tables.setdefault(table, {})
            for row in rows:
                path = row.get("Path")
                if path and folder:
                    row = {**row, "Path": folder + path}
                held[row["RID"], path and folder + path] = row
    return {table: list(held.values()) for table, held in tables.items()}
