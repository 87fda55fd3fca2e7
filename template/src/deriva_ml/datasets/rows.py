"""The rows of a table that is a file of a dataset: which files of the dataset they name, and tables of some of them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.bags.tables import PARQUET, SEPARATORS, needed, separator
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import grouped


def is_table(path: str) -> bool:
    """Whether a path's ending is that of a table."""
    return Path(path).suffix.lower() in {*SEPARATORS, PARQUET}


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        text: what tells it from others.
        cells: as texts, by column.
    """

    text: str
    cells: Mapping[str, str]


class Table:
    """A table of a dataset.

    Args:
        path: in the dataset.
        content: where its content is.

    Raises:
        DerivaMLRequestError: it cannot be read, or has no column.
    """

    def __init__(self, path: str, content: Path) -> None:
        self.path = path
        self._content = content
        self._kind = Path(path).suffix.lower()
        self.columns: list[str] = []
        if self._kind == PARQUET:
            self.columns = list(self._parquet().column_names)
        else:
            self.columns = next((header for _, header in self._lines()), [])
        if not self.columns:
            raise DerivaMLRequestError(f"the table {path} has no columns")

    def __iter__(self) -> Iterator[TableRow]:
        """Read the rows anew."""
        if self._kind == PARQUET:
            for row in self._parquet().to_pylist():
                cells = {name: "" if value is None else str(value) for name, value in row.items()}
                yield TableRow(repr(row), cells)
            return
        lines = self._lines()
        next(lines, None)
        for text, row in lines:
            yield TableRow(text.rstrip("\r\n"), dict(zip(self.columns, row, strict=False)))

    def write(self, target: Path, chosen: Container[int]) -> None:
        """Write a table of the rows of these numbers, from 0, each as it is and in the same order."""
        if self._kind == PARQUET:
            table = self._parquet()
            chosen_rows = table.take([n for n in range(table.num_rows) if n in chosen])
            import_module("pyarrow.parquet").write_table(chosen_rows, target)
            return
        with target.open("w", encoding="utf-8", newline="") as file:
            for number, (text, _) in enumerate(self._lines(), start=-1):
                if number < 0 or number in chosen:
                    file.write(text if text.endswith(("\n", "\r")) else f"{text}\n")

    def _lines(self) -> Iterator[tuple[str, list[str]]]:
        """Read each row with the text that it is, which may be several lines; the header is the first."""
        taken: list[str] = []

        def lines(stream: Iterable[str]) -> Iterator[str]:
            for line in stream:
                taken.append(line)
                yield line.removeprefix("\ufeff")  # with which some programs begin a text

        try:
            with self._content.open(encoding="utf-8", newline="") as stream:
                first = stream.readline()
                parts, said = separator(first, self._kind)
                if said:
                    taken.append(first)
                else:
                    stream.seek(0)
                for row in csv.reader(lines(stream), delimiter=parts):
                    if row:
                        yield "".join(taken), row
                    taken.clear()
        except (UnicodeDecodeError, csv.Error) as error:
            raise DerivaMLRequestError(f"the table {self.path} cannot be read: {error}") from error

    def _parquet(self) -> Any:
        arrow, parquet = (needed(name, self.path, "pyarrow") for name in ("pyarrow", "pyarrow.parquet"))
        try:
            return parquet.read_table(self._content)
        except (arrow.ArrowException, OSError) as error:
            raise DerivaMLRequestError(f"the table {self.path} cannot be read: {error}") from error


class Files:
    """The paths of a dataset's files, as tables name them: from the table's folder, or by as much of the end as one has."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)
        self._by_name = grouped((path.rpartition("/")[2], path) for path in paths)

    def named(self, text: str, table: str) -> str | None:
        """Return the path of the file that a cell of a table names, from another folder perhaps; None for other texts."""
        text = text.strip().replace("\\", "/").removeprefix("./")
        beside = "/".join([*table.split("/")[:-1], text])
        for path in (text, beside):
            if path in self._paths:
                return path
        same = self._by_name.get(text.rpartition("/")[2], ())
        ending = [path for path in same if f"/{path}".endswith(f"/{text}") or text.endswith(f"/{path}")]
        return ending[0] if len(ending) == 1 else None

    def column_in(self, table: Table) -> str | None:
        """Return the column of a table that names the most files, if half of its rows do; None where there is none."""
        counts, rows = Counter[str](), 0
        for row in table:
            rows += 1
            for column, cell in row.cells.items():
                counts[column] += self.named(cell, table.path) not in {None, table.path}
        column, most = max(counts.items(), key=lambda item: item[1], default=("", 0))
        return column if most and 2 * most >= rows else None
