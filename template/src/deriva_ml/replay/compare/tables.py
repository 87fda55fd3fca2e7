"""Compares tables: files of separated values, and Parquet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path

from deriva_ml.replay.compare.tally import Tally, below_one
from deriva_ml.replay.compare.terms import RunTerms, Terms
from deriva_ml.replay.compare.text import alike, compare_text_files, named_lines
from deriva_ml.replay.compare.values import has_parts, is_version, same_cells
from deriva_ml.replay.verdict import Comparison, Difference, Verdict

HELD = 100_000
"""Rows by whose number, whatever their order, tables of other lengths are compared."""

MOST_CELLS = 200_000
"""Cells that differ, after which no more are looked at."""

MEASURE = "the share of equal cells"


def compare_tables(recorded: Path, repeated: Path, terms: Terms, separator: str = "") -> Comparison:
    """Compare two files of separated values whose texts differ, row by row; no more than a row of each is held.

    Args:
        separator: of cells; found in the recorded file's first line if it is not given.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    separator = separator or _separator(next(named_lines(recorded, terms.recorded), ""))
    try:
        found = compare_rows(
            _rows(recorded, terms.recorded, separator), _rows(repeated, terms.repeated, separator), terms
        )
        if found.verdict is not Verdict.different:
            return found
        counts = [
            Counter(map(tuple, islice(_rows(path, side, separator), HELD)))
            for path, side in ((recorded, terms.recorded), (repeated, terms.repeated))
        ]
    except csv.Error:  # a cell of more than 128 KiB, or a quote that does not end
        return compare_text_files(recorded, repeated, terms, only="number")
    if counts[0] == counts[1] and counts[0].total() < HELD:
        return Comparison(
            Verdict.different, found.similarity, "the same rows in another order", found.differences
        )
    share = (counts[0] & counts[1]).total() / max(counts[0].total(), counts[1].total(), 1)
    note = found.note if found.similarity >= share else "the share of equal rows"
    return Comparison(Verdict.different, below_one(max(found.similarity, share)), note, found.differences)


def _rows(path: Path, side: RunTerms, separator: str) -> Iterator[list[str]]:
    return csv.reader(named_lines(path, side), delimiter=separator, strict=True)


def _separator(line: str) -> str:
    return max(",;\t|", key=lambda one: (line.count(one), -",;\t|".index(one)))


def compare_rows(
    ours: Iterator[Sequence[str]],
    theirs: Iterator[Sequence[str]],
    terms: Terms,
    where: str = "",
    loose: bool = False,
) -> Comparison:
    """Compare two tables of texts whose first row names the columns.

    Args:
        where: what stands before the row in a difference.
        loose: cells are shown, and are no data: what differs in them from run to run may differ.
    """
    tally = Tally()
    names, other_names = next(ours, []), next(theirs, [])
    if names != other_names:
        if Counter(names) == Counter(other_names):
            pair = map(", ".join, (names, other_names))
            tally.differ(f"{where}columns, in another order", pair, len(names))
        elif len(names) == len(other_names):
            _compare_cells(names, other_names, [], f"{where}the first row", terms, loose, tally)
        else:
            tally.differ(f"{where}columns", map(", ".join, (names, other_names)), len(names))
    counts = [0, 0]
    for number, (one, other) in enumerate(zip_longest(ours, theirs), start=1):
        counts[0] += one is not None
        counts[1] += other is not None
        if tally.total - tally.equal > MOST_CELLS:
            return tally.result(f"{MEASURE} of the first {number - 1:,} rows")
        if one is None or other is None:
            tally.total += len(one or other or [])
        elif one == other:
            tally.same(len(one))
        elif len(one) != len(other):
            row = f"{where}row {number}"
            tally.differ(row, (f"{len(some)} cells" for some in (one, other)), max(len(one), len(other)))
        else:
            _compare_cells(one, other, names, f"{where}row {number}", terms, loose, tally)
    if counts[0] != counts[1]:
        tally.differences.insert(0, Difference(f"{where}number of rows", *(f"{count:,}" for count in counts)))
    return tally.result(MEASURE, "the same values, written otherwise")


def _compare_cells(
    one: Sequence[str],
    other: Sequence[str],
    names: Sequence[str],
    row: str,
    terms: Terms,
    loose: bool,
    tally: Tally,
) -> None:
    for place, (cell, its) in enumerate(zip(one, other, strict=True)):
        if cell == its:
            tally.same()
            continue
        name = names[place] if place < len(names) else ""
        # Most cells that differ are numbers, and there may be millions of them.
        if "." in cell and "." in its and "_" not in cell and "_" not in its:
            with suppress(ValueError):
                if terms.close(float(cell), float(its)) and not is_version(name):
                    tally.same(kind="number")
                    continue
        kind = same_cells(cell, its, name, terms)
        if kind is None and has_parts(cell) and "number" in (alike(cell, its, terms, only="number") or ()):
            kind = "number"
        if kind is None and loose and (kinds := alike(cell, its, terms)):
            kind = kinds[0]
        if kind is None:
            column = f'column "{name}"' if name else f"column {place + 1}"
            tally.differ(f"{row}, {column}", (cell, its))
        else:
            tally.same(kind=kind)
