"""The value of a parameter or setting as JSON that a record holds: readable, bounded in size, without credentials."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from deriva_ml.grouping import ordered

LARGEST = 100_000
"""What one value may hold: items, and characters of text. A larger one is not a setting but data."""

SHOWN = 200
"""Characters that are kept of a value's own text."""


class _NoJson(Exception):
    """A value, or a part of it, is not what JSON can hold, or is too large."""


def as_json(value: Any, *, whole: bool = False, instead: Any = None) -> Any:
    """Return a value in JSON's types, as a parameter file would give it.

    Lists, tuples and sets are lists, a dataclass is a mapping of its fields, a date is its ISO form, a path and a
    ``Decimal`` are their texts, an Enum's member is ``Color.RED``, and what JSON has no number for is ``nan``,
    ``inf`` or ``-inf``. What else there is becomes its ``repr`` without addresses, of which ``SHOWN`` characters
    are kept; so does the beginning of what is larger than ``LARGEST``.

    Args:
        whole: however large it is.
        instead: what to record of it, in JSON's types, if it or a part of it would be a ``repr``.
    """
    budget = [math.inf if whole else LARGEST]
    try:
        return _plain(value, budget, _described if instead is None else _refused)
    except Exception:  # whatever a foreign object's methods raise: it must not stop the run
        return _described(value) if instead is None else instead


def _plain(value: Any, budget: list[float], otherwise: Callable[[Any], Any]) -> Any:
    def each(items: Iterable[Any]) -> list[Any]:
        return [_plain(item, budget, otherwise) for item in items]

    def fits(size: int) -> None:
        budget[0] -= size
        if budget[0] < 0:
            raise _NoJson

    fits(1)
    if type(value).__module__.startswith("omegaconf."):
        from omegaconf import OmegaConf

        value = OmegaConf.to_container(value, resolve=True)
    match value:
        case Enum():
            return f"{type(value).__name__}.{value.name}"
        case None | bool():
            return value
        case numbers.Integral() if int(value).bit_length() < 10_000:  # Python writes out no longer ones
            return int(value)
        case float() | numbers.Real() if not isinstance(value, numbers.Rational):
            number = float(value)
            return number if math.isfinite(number) else str(number)
        case str():
            fits(len(value))
            return _text(value)
        case date() | time():
            return value.isoformat()
        case PurePath() | Decimal():
            return _text(str(value))
        case dict():
            fits(len(value))
            names = [key if isinstance(key, str) else str(_plain(key, budget, otherwise)) for key in value]
            found = dict(zip(map(_text, names), each(value.values()), strict=True))
            if len(found) < len(value):  # 1 and "1" are one name in JSON
                raise _NoJson
            return found
        case list() | tuple() | deque():
            fits(len(value))
            return each(value)
        case set() | frozenset():
            fits(len(value))
            return ordered(each(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), budget, otherwise)
            for field in dataclasses.fields(value)
        }
    return otherwise(value)


def _text(text: str) -> str:
    """Return the text as a file can hold it: a lone half of a character is written out."""
    return text.encode(errors="backslashreplace").decode()


def _refused(value: Any) -> Any:
    raise _NoJson


def _described(value: Any) -> str:
    """Return what a value says of itself, cut, and at no great cost."""
    from deriva_ml.redaction import redact

    name = type(value).__name__
    try:
        text = _large(value) or _repr(value)
    except Exception as error:
        text = f"<{name}, whose repr fails: {type(error).__name__}>"
    # Masked before it is cut: half a credential tells as much.
    text = redact(_text(re.sub(r" at 0x[0-9a-fA-F]+", "", text)))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _large(value: Any) -> str:
    """Return what there is to say of a large array, frame or collection of the standard library; else nothing.

    Their own ``repr`` may write all of it.
    """
    name = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(side, int) for side in shape):
        return f"<{name} of shape {shape}>" if math.prod(shape) > 1000 else ""
    kept = str, list, tuple, dict, set, frozenset, range
    plain = type(value).__module__ in {"builtins", "array", "collections"} and not isinstance(value, kept)
    return f"<{name} of {len(value)}>" if plain and hasattr(value, "__len__") and len(value) > 1000 else ""


def _repr(value: Any) -> str:
    import reprlib
    from itertools import islice

    match value:  # of those derived from them, too, whose own repr would be as long as they are
        case str():
            value = value[:1000]
        case dict():
            value = dict(islice(value.items(), 50))
        case list() | tuple() | set() | frozenset():
            value = list(islice(value, 50))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    short = reprlib.Repr()
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdict = 40
    short.maxdeque = short.maxarray = 40
    short.maxstring = short.maxother = 1000
    short.maxlong = 10 * SHOWN
    return short.repr(value)
