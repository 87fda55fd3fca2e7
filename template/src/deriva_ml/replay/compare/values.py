"""Single values of data, such as a cell of a table: whether two count as the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.tokens import TIMED, is_own_moment

_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)
_DATE = re.compile(r"\d\d:\d\d|\d{8}[T_-]\d{6}|\d{4}-\d\d-\d\d|[A-Z][a-z]{2}")


def same_numbers(recorded: float, repeated: float, name: str, terms: Terms) -> str | None:
    """Return the kind of difference that two numbers may have; None if they differ otherwise.

    Args:
        name: of what they are the value: a measured duration may be another each time.
    """
    whole = isinstance(recorded, int), isinstance(repeated, int)
    if recorded == repeated:
        return ""
    if any(whole):
        return "moment" if terms.own_stamps(recorded, repeated) else None
    if terms.close(recorded, repeated):
        return "number"
    if terms.own_stamps(recorded, repeated):
        return "moment"
    return "timed" if _is_timed(name) and _could_take(recorded, repeated, name, terms) else None


def _is_timed(name: str) -> bool:
    return bool(TIMED.fullmatch(name.strip()))


def _could_take(recorded: float, repeated: float, name: str, terms: Terms) -> bool:
    scale = 1e-3 if re.search(r"(?:ms|milliseconds?)$", name) else 1.0
    return (
        recorded >= 0
        and repeated >= 0
        and terms.recorded.could_take(recorded * scale)
        and terms.repeated.could_take(repeated * scale)
    )


def same_strings(recorded: str, repeated: str, terms: Terms) -> str | None:
    """Return the kind of difference that two texts of data may have; None if they differ otherwise.

    Only moments may differ, and only where it is known when the runs ran.
    """
    if recorded == repeated:
        return ""
    sides = (terms.recorded, recorded), (terms.repeated, repeated)
    both = all(
        side.span and len(text) < 50 and _DATE.search(text) and is_own_moment(text, side)
        for side, text in sides
    )
    return "moment" if both else None


def same_cells(recorded: str, repeated: str, name: str, terms: Terms) -> str | None:
    """Return the kind of difference that two cells of a table of texts may have; None if they differ otherwise.

    An integer is a text: 007 is not 7.
    """
    if recorded == repeated:
        return ""
    texts = recorded.strip(), repeated.strip()
    if all(map(_INTEGER.fullmatch, texts)):
        return "moment" if terms.own_stamps(*_limited(texts)) else None
    if all(map(_FLOAT.fullmatch, texts)):
        if any(map(_INTEGER.fullmatch, texts)):  # 1 and 1.0
            ours, theirs = map(float, texts)
            return "number" if ours == theirs and max(map(len, texts)) < 16 else None
        return same_numbers(float(texts[0]), float(texts[1]), name, terms)
    return same_strings(*texts, terms)


def _limited(texts: Sequence[str]) -> tuple[float, float]:
    """Return two texts of digits as numbers, of which those with too many digits are no moment."""
    first, second = (float(text) if len(text) < 30 else -1.0 for text in texts)
    return first, second
