"""Compares Parquet files, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from deriva_ml.replay.compare.tally import Tally
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.values import same_numbers, same_strings
from deriva_ml.replay.verdict import Comparison, Verdict

ROWS = 1 << 14
"""Rows that are compared at once."""

LARGEST_BATCH = 1 << 31
"""Bytes of a group of rows that is unpacked."""

MEASURE = "the share of equal cells"


def compare_parquet(recorded: Path, repeated: Path, terms: Terms) -> Comparison:
    """Compare two Parquet files by their columns, types and values."""
    try:
        ArrowException = import_module("pyarrow").ArrowException
        ParquetFile = import_module("pyarrow.parquet").ParquetFile
    except ImportError:
        return Comparison(Verdict.different, 0.0, "install pyarrow to compare values")
    try:
        with ParquetFile(recorded) as ours, ParquetFile(repeated) as theirs:
            return _compare(ours, theirs, terms)
    except (ArrowException, OSError, ValueError) as error:
        return Comparison(Verdict.different, 0.0, f"the tables cannot be read: {type(error).__name__}")


def _compare(ours: Any, theirs: Any, terms: Terms) -> Comparison:
    tally = Tally()
    schemas = [{one.name: str(one.type) for one in file.schema_arrow} for file in (ours, theirs)]
    if list(schemas[0].items()) != list(schemas[1].items()):
        said = (", ".join(f"{name} {kind}" for name, kind in schema.items()) for schema in schemas)
        tally.differ("columns", said)
    counts = [file.metadata.num_rows for file in (ours, theirs)]
    if counts[0] != counts[1]:
        tally.differ("number of rows", (f"{count:,}" for count in counts), 0)
        tally.total += abs(counts[0] - counts[1]) * len(schemas[0])
    groups = [
        file.metadata.row_group(n).total_byte_size
        for file in (ours, theirs)
        for n in range(file.num_row_groups)
    ]
    if max(groups, default=0) > LARGEST_BATCH:
        tally.differ("the values", ("too large to be unpacked", ""))
        return tally.result(MEASURE)
    names = [name for name in schemas[0] if schemas[0][name] == schemas[1].get(name)]
    for start, one, other in _batches(ours, theirs, names):
        for name in names:
            _compare_column(one.column(name), other.column(name), name, start, terms, tally)
    return tally.result(MEASURE, "the same values, stored otherwise")


def _batches(ours: Any, theirs: Any, names: list[str]) -> Iterator[tuple[int, Any, Any]]:
    """Yield as many rows of each at once, however they are grouped in the files."""
    start = 0
    iterators = [file.iter_batches(batch_size=ROWS, columns=names) for file in (ours, theirs)]
    one = other = None
    while names:
        one = one if one is not None and len(one) else next(iterators[0], None)
        other = other if other is not None and len(other) else next(iterators[1], None)
        if one is None or other is None:
            return
        size = min(len(one), len(other))
        yield start, one.slice(0, size), other.slice(0, size)
        start += size
        one, other = one.slice(size), other.slice(size)


def _compare_column(one: Any, other: Any, name: str, start: int, terms: Terms, tally: Tally) -> None:
    if one.equals(other):
        tally.same(len(one))
        return
    for row, (cell, its) in enumerate(zip(one.to_pylist(), other.to_pylist(), strict=True), start=start + 1):
        kind = _same(cell, its, name, terms)
        if kind is None:
            tally.differ(f'row {row}, column "{name}"', (cell, its))
        else:
            tally.same(kind=kind)


def _same(one: Any, other: Any, name: str, terms: Terms) -> str | None:
    """Return the kind of difference that two cells may have; None if they differ otherwise."""
    match one, other:
        case (bool() | None, _) | (_, bool() | None):
            return "" if one is other else None
        case (int(), int()) | (float(), float()):
            return same_numbers(one, other, name, terms)
        case str(), str():
            return same_strings(terms.recorded.named(one), terms.repeated.named(other), terms)
        case list(), list() if len(one) == len(other):
            kinds = [_same(a, b, name, terms) for a, b in zip(one, other, strict=True)]
            return None if None in kinds else max((kind for kind in kinds if kind is not None), default="")
        case dict(), dict() if one.keys() == other.keys():
            return _same([*one.values()], [*other.values()], name, terms)
    return "" if one == other else None
