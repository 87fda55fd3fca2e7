"""Members that are tables: CSV and Parquet files, by names, read when they are asked for."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.bags import rows
from deriva_ml.definitions import Row
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.untrusted import DAMAGED

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""What parts the columns of a text, by how its file's name ends, to which ``.gz`` may be added."""

PARQUET = ".parquet"


def separator(line: str, kind: str) -> tuple[str, bool]:
    """Return what parts the columns of a text by its first line, and whether that line says so and is no row.

    Where a comma is part of a number, spreadsheets write a semicolon; some write ``sep=;`` first.

    Args:
        kind: how the file's name ends, one of ``SEPARATORS``.
    """
    line = line.removeprefix("\ufeff").rstrip("\r\n")
    if said := re.fullmatch("sep=(.)", line, re.IGNORECASE):
        return said[1], True
    bare = re.sub('"[^"]*"', "", line)
    return (";" if kind == ".csv" and "," not in bare and ";" in bare else SEPARATORS[kind]), False


class TableFile(NamedTuple):
    """A member that is a table.

    Attributes:
        name: its path without the ending; with it where that would mean two tables.
        path: below the bag's folder.
        kind: how its name ends, in small letters and without ``.gz``.
        content: the file; None where it was not fetched.
    """

    name: str
    path: str
    kind: str
    content: Path | None


def table_files(bag: rows.Bag) -> dict[str, TableFile]:
    """The tables among a bag's members, by name; a table of the catalog has its name before a file."""
    found: dict[str, tuple[str, str, Path | None]] = {}
    for table in rows.members(bag).values():
        for row in filter(rows.is_file, table):
            path = row.get("Path") or Path(row["Filename"] or "").name
            stem, kind = _split(path)
            if kind:
                # Files without a path may have one name.
                place = path if path not in found else f"{row['RID']}/{path}"
                found[place] = (place[: len(place) - len(path)] + stem, kind, rows.content(row))
    taken = Counter([stem for stem, _, _ in found.values()])
    taken.update(table for table, held in rows.all_rows(bag).items() if held)
    made = [
        TableFile(stem if taken[stem] == 1 else path, path, kind, content)
        for path, (stem, kind, content) in found.items()
    ]
    return {one.name: one for one in sorted(made)}


def _split(path: str) -> tuple[str, str]:
    """A path without its ending, and that ending; empty where it is none of a table."""
    plain = path[:-3] if path.lower().endswith(".gz") else path
    stem, dot, ending = plain.rpartition(".")
    kind = f".{ending.lower()}"
    good = dot and stem.rpartition("/")[2] and (kind in SEPARATORS or (kind == PARQUET and plain == path))
    return (stem, kind) if good else (path, "")


def find(files: dict[str, TableFile], table: str) -> TableFile | None:
    """The file that a name or path means as a table: the whole of it, or the last part of it where only one has that.

    Raises:
        DerivaMLRequestError: several have it.
    """
    if table in files:
        return files[table]
    whole = [one for one in files.values() if one.path == table]
    ends = whole or [one for one in files.values() if table in (_last(one.path), _last(_split(one.path)[0]))]
    if len(ends) > 1:
        raise DerivaMLRequestError(
            f"{table} may be {' or '.join(one.path for one in ends)}: ask for one of them by its path"
        )
    return ends[0] if ends else None


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def no_table(bag: rows.Bag, table: str) -> DerivaMLRequestError:
    """Return the refusal of a table that a bag does not have, which says what tables it has."""
    names = [*rows.all_rows(bag), *table_files(bag)]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return DerivaMLRequestError(f"dataset {bag.dataset.rid} has no table {table}; it has {shown or 'none'}")


def as_rows(bag: rows.Bag, table: str) -> Iterator[Row]:
    """The rows of a table of a bag: of the catalog, or else of a file that is one.

    A file's values have pandas' types where pandas is installed; without it, those of a CSV file are texts.

    Raises:
        DerivaMLRequestError: the bag has no such table, or what reads it is not installed.
        DerivaMLException: the file is damaged.
    """
    found = _found(bag, table)
    yield from file_rows(found) if isinstance(found, TableFile) else found


def _found(bag: rows.Bag, table: str) -> list[Row] | TableFile:
    held = rows.all_rows(bag)
    if table in held:
        return held[table]
    if found := find(table_files(bag), table):
        return found
    raise no_table(bag, table)


def file_rows(table: TableFile) -> Iterator[Row]:
    """The rows of a file that is a table."""
    if table.kind != PARQUET and not is_installed("pandas"):
        return iter(_texts(table))
    return iter(frame(table).to_dict("records"))


def as_frame(bag: rows.Bag, table: str) -> Any:
    """A table of a bag as pandas' data frame."""
    pandas = needed("pandas", "a table as a data frame")
    found = _found(bag, table)
    return frame(found) if isinstance(found, TableFile) else pandas.DataFrame(found)


def frame(table: TableFile) -> Any:
    """Read a file that is a table with pandas."""
    pandas = needed("pandas", f"{table.path} as a table")
    path = _content(table)
    if table.kind == PARQUET and not (is_installed("pyarrow") or is_installed("fastparquet")):
        raise DerivaMLRequestError(f"{table.path} needs pyarrow, which is not installed: uv add pyarrow")
    try:
        if table.kind == PARQUET:
            return pandas.read_parquet(path)
        # Inferred from a whole column: by parts, one column could have several types.
        with opened(table, path) as text:
            parts, said = separator(text.readline(), table.kind)
        compression = "gzip" if _is_packed(table) else None
        return pandas.read_csv(path, sep=parts, skiprows=int(said), compression=compression, low_memory=False)
    except (*DAMAGED, OSError, EOFError, zlib.error) as error:
        raise _damaged(table, error) from error


def _texts(table: TableFile) -> list[Row]:
    path = _content(table)
    try:
        with opened(table, path) as text:
            parts, said = separator(text.readline(), table.kind)
        with opened(table, path) as text:
            reader = csv.reader(text, delimiter=parts, strict=True)
            header = next(islice(reader, int(said), None), [])
            if not header:
                raise ValueError("it has no columns")
            return [_row(header, values, reader.line_num) for values in reader if values]
    except (*DAMAGED, csv.Error, OSError, EOFError, zlib.error) as error:
        raise _damaged(table, error) from error


@contextmanager
def opened(table: TableFile, path: Path) -> Iterator[io.TextIOWrapper]:
    """Give the text of a file that is a table, unpacked."""
    with path.open("rb") as stream:
        raw: Any = gzip.open(stream) if _is_packed(table) else stream
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield text


def _row(header: list[str], values: list[str], line: int) -> Row:
    if len(values) > len(header):
        raise ValueError(f"line {line} has {len(values)} values for {len(header)} columns")
    return dict(zip_longest(header, values, fillvalue=""))


def _is_packed(table: TableFile) -> bool:
    return table.path.lower().endswith(".gz")


def _content(table: TableFile) -> Path:
    if table.content is None:
        raise DerivaMLRequestError(
            f"{table.path} was not fetched: take the dataset with materialize=True, where the catalog has its content"
        )
    return table.content


def _damaged(table: TableFile, error: BaseException) -> DerivaMLException:
    why = " ".join(str(error).split()) or type(error).__name__
    return DerivaMLException(f"{table.path} cannot be read as a table: {why}")


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def needed(module: str, what: str, package: str = "") -> Any:
    """Return a module that a project need not have.

    Raises:
        DerivaMLRequestError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = package or module
        raise DerivaMLRequestError(
            f"{what} needs {package}, which is not installed: uv add {package}"
        ) from error
