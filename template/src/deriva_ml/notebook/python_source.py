"""Writes a value as the Python that makes it, in one line, and as JSON types."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from math import isfinite
from pathlib import PurePath
from typing import Any
from uuid import UUID

from deriva_ml.grouping import ordered
from deriva_ml.notebook.declarations import Value


@dataclass(frozen=True, order=True)
class Written:
    """A value that is written already, such as a member of an Enum that the kernel has."""

    source: str
    plain: Any


def write(value: Any, spelled: Mapping[type, str]) -> Value:
    """Return the source and the plain form of a value.

    Args:
        spelled: how the types are called whose values are written as a call.

    Raises:
        ValueError: it holds text that cannot be written in UTF-8, or is too deep or too large for Python's source.
    """
    try:
        source, plain = _source(value, spelled), _plain(value)
        ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be written as Python: {error}") from None
    return Value(source, plain)


def _source(value: Any, spelled: Mapping[type, str]) -> str:
    inner = partial(_source, spelled=spelled)
    match value:
        case Written(source=source):
            return source
        case None | bool() | bytes():
            return repr(value)
        case str():
            return _quoted(value)
        case int():
            return int.__repr__(value)
        case float():
            return float.__repr__(value) if isfinite(value) else f'float("{float.__repr__(value)}")'
        case complex(real=real, imag=imag):
            return repr(value) if isfinite(real) and isfinite(imag) else f'complex("{value!s}")'
        case datetime(tzinfo=zone) | time(tzinfo=zone) if zone is not None:
            kind = datetime if isinstance(value, datetime) else time
            return f'{spelled[kind]}.fromisoformat("{value.isoformat()}")'
        case datetime() | date() | time() | timedelta():
            return spelled[type(value)] + repr(value)[repr(value).index("(") :]
        case PurePath():
            return f"{spelled[PurePath]}({_quoted(str(value))})"
        case Decimal() | UUID():
            return f'{spelled[type(value)]}("{value}")'
        case list():
            return f"[{', '.join(map(inner, value))}]"
        case tuple():
            return f"({', '.join(map(inner, value))}{',' if len(value) == 1 else ''})"
        case set() | frozenset():
            items = f"{{{', '.join(map(inner, ordered(value)))}}}" if value else "set()"
            return items if isinstance(value, set) else f"frozenset({items if value else ''})"
        case dict():
            return f"{{{', '.join(f'{inner(key)}: {inner(one)}' for key, one in value.items())}}}"
    raise ValueError(f"a {type(value).__name__} cannot be written as Python")


def _plain(value: Any) -> Any:
    """Return a value in JSON's types."""
    for kind in (bool, str, int, float):  # and not what is derived from them
        if isinstance(value, kind):
            return kind(value)
    match value:
        case Written(plain=plain):
            return plain
        case None:
            return None
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            from pydantic_core import to_jsonable_python

            return to_jsonable_python(value)
        case bytes():
            return repr(value)
        case dict():
            plain = ((_plain(key), _plain(one)) for key, one in value.items())
            return {key if isinstance(key, str) else str(key): one for key, one in plain}
        case set() | frozenset():
            return [_plain(one) for one in ordered(value)]
        case list() | tuple():
            return [_plain(one) for one in value]
    return str(value)


def _quoted(text: str) -> str:
    """Return a text's literal in double quotes, where that takes no escapes."""
    text.encode()  # a lone surrogate is no text that a file could hold
    literal = repr(str(text))
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal
