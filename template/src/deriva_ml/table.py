"""Lays out tables: values as texts, columns aligned on a terminal and cut to its width, CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from deriva_ml.terminal import one_line, shown

NARROWEST = 8
"""Columns of a terminal that a cell of a table keeps, however narrow that is."""


def aligned(rows: Sequence[Sequence[Any]], width: int | None = None, elastic: Sequence[Any] = ()) -> str:
    """Return a table in aligned columns, one row a line.

    Args:
        rows: the first has the headings.
        width: what a line has room for, in columns of a terminal; None for as much as there is.
        elastic: the headings of columns that are cut where a line would be longer, the widest first.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    most = width or sys.maxsize
    widths = [min(most, max(map(breadth, column))) for column in zip(*cells, strict=True)]
    places = [place for place, heading in enumerate(rows[0]) if heading in elastic]
    excess = sum(widths) + 2 * len(widths) - 2 - most
    while excess > 0 and places:
        widest = max(places, key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    lines = ("  ".join(map(_fitted, row, widths)).rstrip() for row in cells)
    return "\n".join(_cut(line, most) for line in lines)


def breadth(text: str) -> int:
    """Return the columns that a text takes on a terminal: two for a character of East Asia, none for what combines with another
    (https://www.unicode.org/reports/tr11/)."""
    if text.isascii():
        return len(text)
    return sum(
        2
        if unicodedata.east_asian_width(one) in "WF"
        else unicodedata.category(one) not in {"Mn", "Me", "Cf"}
        for one in text
    )


def cell(value: Any, whole: bool = False) -> str:
    """Return a value as a table shows it: numbers with six digits, unless ``whole``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not whole:
        return f"{value:.6g}"
    if isinstance(value, str):
        return value if whole else one_line(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows, of which the first has the headings, as CSV with numbers as they are."""
    text = io.StringIO()
    cells = ([_for_spreadsheet(cell(value, whole=True)) for value in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue()


def _for_spreadsheet(text: str) -> str:
    """Return a text of CSV that no spreadsheet takes for a formula, by an apostrophe before it; a number is none."""
    if text.startswith(("=", "+", "-", "@")):
        with suppress(ValueError):
            float(text)
            return text
        return f"'{text}"
    return text


def _fitted(text: str, room: int) -> str:
    text = _cut(text, room)
    return text.ljust(room) if text.isascii() else text + " " * (room - breadth(text))


def _cut(text: str, room: int) -> str:
    """Return the text, or as much of it as fits with a mark of the cut."""
    if len(text) <= room if text.isascii() else breadth(text) <= room:
        return text
    text = text[: 2 * room]
    while breadth(text) > room - 1:
        text = text[:-1]
    return f"{text}…"
