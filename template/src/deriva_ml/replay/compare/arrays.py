"""Compares arrays of NumPy: their types and shapes, then element by element; also the parts of a sparse matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deriva_ml.replay.compare.tally import Tally
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.verdict import Comparison, Verdict

AT_ONCE = 1 << 20
"""Elements that are compared at once."""

MEASURE = "the share of equal elements"


def compare_array_files(recorded: Path, repeated: Path, terms: Terms) -> Comparison | None:
    """Compare two NPY files, which are not loaded as a whole; None if one holds objects, which nothing here loads.

    Raises:
        ImportError: NumPy is not installed.
        ValueError: one is no NPY file.
    """
    import numpy

    try:
        ours, theirs = (numpy.load(path, mmap_mode="r", allow_pickle=False) for path in (recorded, repeated))
    except ValueError:
        return None
    return compare_arrays(ours, theirs, terms)


def compare_arrays(ours: Any, theirs: Any, terms: Terms, where: str = "") -> Comparison:
    """Compare two arrays; integers, texts and times exactly, and NaN is like NaN."""
    tally = Tally()
    add_arrays(ours, theirs, terms, where, tally)
    return tally.result(MEASURE, "the same values, stored otherwise")


def add_arrays(ours: Any, theirs: Any, terms: Terms, where: str, tally: Tally) -> None:
    """Count the equal elements of two arrays."""
    place = f"{where}, " if where else ""
    if ours.dtype != theirs.dtype:
        tally.differ(f"{place}type of the elements", (ours.dtype, theirs.dtype), ours.size or 1)
    elif ours.shape != theirs.shape:
        tally.differ(f"{place}shape", (ours.shape, theirs.shape), max(ours.size, theirs.size, 1))
    elif ours.dtype.names:
        for name in ours.dtype.names:
            add_arrays(ours[name], theirs[name], terms, f'{place}field "{name}"', tally)
    else:
        _add_elements(ours, theirs, terms, place, tally)


def _add_elements(ours: Any, theirs: Any, terms: Terms, place: str, tally: Tally) -> None:
    import numpy

    shape = ours.shape
    flat = [array.reshape(-1) for array in (ours, theirs)]  # copied only where it lies the other way round
    for start in range(0, flat[0].size, AT_ONCE):
        one, other = (numpy.asarray(array[start : start + AT_ONCE]) for array in flat)
        equal = one == other
        rounded = False
        if one.dtype.kind in "fc":
            parts = (
                [(one.real, other.real), (one.imag, other.imag)] if one.dtype.kind == "c" else [(one, other)]
            )
            same = numpy.logical_and.reduce([_within(a, b, terms) for a, b in parts])
            rounded = bool((same & ~equal & (one == one)).any())
            equal = same
        elif one.dtype.kind in "mM":
            equal = equal | (numpy.isnat(one) & numpy.isnat(other))
        number = int(numpy.count_nonzero(equal))
        tally.same(number, "number" if rounded else "")
        if number < one.size:
            index = int(numpy.argmin(equal))
            element = [int(at) for at in numpy.unravel_index(start + index, shape)] if shape else []
            tally.differ(
                f"{place}element {element}" if element else f"{place}the value",
                (repr(array[index].item()) for array in (one, other)),
                one.size - number,
            )


def _within(one: Any, other: Any, terms: Terms) -> Any:
    """Return which elements are equal within the tolerance."""
    import numpy

    with numpy.errstate(all="ignore"):
        bound = terms.tolerance.atol + terms.tolerance.rtol * numpy.maximum(abs(one), abs(other))
        close = (abs(one - other) <= bound) & numpy.isfinite(one) & numpy.isfinite(other)
        return (one == other) | close | (numpy.isnan(one) & numpy.isnan(other))


def compare_sparse(ours: dict[str, Any], theirs: dict[str, Any], terms: Terms) -> Comparison | None:
    """Compare two matrices of SciPy's by their places and values; None if they are not of the compressed formats.

    Args:
        ours, theirs: the arrays that ``scipy.sparse.save_npz`` writes, by name.
    """
    import numpy

    places = [_placed(arrays) for arrays in (ours, theirs)]
    if not places[0] or not places[1]:
        return None
    if places[0][0] != places[1][0]:
        tally = Tally()
        tally.differ("shape", (places[0][0], places[1][0]))
        return tally.result(MEASURE)
    (_, rows, columns, values), (_, other_rows, other_columns, other_values) = places[0], places[1]
    tally = Tally()
    if numpy.array_equal(rows, other_rows) and numpy.array_equal(columns, other_columns):
        if values.dtype != other_values.dtype:
            tally.differ("type of the elements", (values.dtype, other_values.dtype))
            return tally.result(MEASURE)
        found = Tally()
        _add_elements(values, other_values, terms, "", found)
        for one in found.differences:
            at = int(one.where.removeprefix("element [").removesuffix("]"))
            tally.differ(f"row {rows[at]}, column {columns[at]}", (one.recorded, one.repeated), 0)
        tally.equal, tally.total, tally.kinds = found.equal, found.total, found.kinds
    else:
        both = [
            set(zip(r.tolist(), c.tolist(), strict=True))
            for r, c in ((rows, columns), (other_rows, other_columns))
        ]
        only = sorted(both[0] ^ both[1])
        tally.same(len(both[0] & both[1]))
        there = ["there is a value" if only[0] in some else "(none)" for some in both] if only else ["", ""]
        row, column = only[0] if only else (0, 0)
        tally.differ(f"row {row}, column {column}", there, len(only) or 1)
    return tally.result(MEASURE, "the same matrix, stored otherwise")


def _placed(arrays: dict[str, Any]) -> tuple[tuple[int, ...], Any, Any, Any] | None:
    """Return the shape of a compressed matrix, and the rows, columns and values of its elements in order."""
    import numpy

    try:
        form, shape = str(arrays["format"].item().decode()), tuple(int(size) for size in arrays["shape"])
        values: Any = arrays["data"]
        if form in {"csr", "csc"}:
            inner: Any = arrays["indices"]
            outer: Any = numpy.repeat(numpy.arange(len(arrays["indptr"]) - 1), numpy.diff(arrays["indptr"]))
            rows, columns = (outer, inner) if form == "csr" else (inner, outer)
        elif form == "coo":
            rows, columns = arrays["row"], arrays["col"]
        else:
            return None
        if not len(rows) == len(columns) == len(values):
            return None
        order = numpy.lexsort((columns, rows))
        return shape, rows[order], columns[order], values[order]
    except (LookupError, ValueError, TypeError, AttributeError):
        return None


def different_objects() -> Comparison:
    """Return what is said of arrays of objects, which could run anything when they are loaded."""
    return Comparison(
        Verdict.different, 0.0, "holds objects of Python, which are not loaded: only their bytes count"
    )
