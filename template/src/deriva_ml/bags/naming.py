"""Columns of a table that say which file of a bag each of its rows is about."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

from deriva_ml.bags import rows
from deriva_ml.bags.tables import PARQUET, SEPARATORS, TableFile, file_rows, frame, opened
from deriva_ml.definitions import Row

_LOOKED_AT = 10_000
"""Rows of a table that tell which of its columns names files."""


class Files:
    """A bag's files, to be found by what a table calls them.

    Args:
        table: the rows of files, whose ``Path`` is below the bag's folder.
    """

    def __init__(self, table: Iterable[Row]) -> None:
        self._by_path: dict[str, Row] = {}
        self._by_name: dict[str, Row | None] = {}
        for row in table:
            path = path_of(row)
            name = path.rpartition("/")[2]
            self._by_path[path] = row
            self._by_name[name] = None if name in self._by_name else row

    def find(self, called: Any, folder: str = "") -> Row | None:
        """The file that a value names: by its path below the bag's folder or ``folder``, or a name that only it has."""
        if not isinstance(called, str) or not called:
            return None
        path = called.strip().replace("\\", "/").removeprefix("./")
        return self._by_path.get(folder + path) or self._by_path.get(path) or self._by_name.get(path)

    def column(self, table: Sequence[Row], folder: str = "") -> str | None:
        """The column that names files: the one with most values that do, and not fewer than half; of the first rows."""
        best, most, first = None, 0, table[:_LOOKED_AT]
        for name in first[0] if first else ():
            values = [row[name] for row in first if isinstance(row[name], str) and row[name]]
            named = sum(self.find(value, folder) is not None for value in values)
            if named > most and 2 * named >= len(values):
                best, most = name, named
        return best


def path_of(row: Row) -> str:
    """Where a file lies below the bag's folder, as far as the catalog knows; else its name. Empty for other rows."""
    if not rows.is_file(row):
        return ""
    content = rows.content(row)
    return row.get("Path") or (content.name if content else row["Filename"]) or ""


def folder_of(table: TableFile) -> str:
    """The folder that a table lies in, which ends in ``/``; empty at the top."""
    head, slash, _ = table.path.rpartition("/")
    return head + slash


def header(table: TableFile) -> list[str]:
    """The columns of a file that is a table; of a text its first line alone is read, and none where that cannot be."""
    if table.kind == PARQUET:
        return [str(name) for name in frame(table).columns]
    if table.content is None:
        return []
    try:
        with opened(table, table.content) as text:
            return next(csv.reader(text, delimiter=SEPARATORS[table.kind]), [])
    except (OSError, EOFError, ValueError, csv.Error):
        return []  # it says what is wrong when its rows are asked for


def named_rows(table: TableFile, files: Files) -> tuple[str | None, list[tuple[Row, Row | None]]]:
    """The rows of a table, each with the file that it is about; and the column that says so."""
    held = list(file_rows(table))
    folder = folder_of(table)
    column = files.column(held, folder)
    return column, [(row, files.find(row[column], folder) if column else None) for row in held]
