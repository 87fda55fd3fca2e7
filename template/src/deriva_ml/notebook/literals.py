"""Numbers and words as a person wrote them: what would be read as something else is refused."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from deriva_ml.exceptions import DerivaMLException


class Misread(DerivaMLException, ValueError):
    """What is written would be read as something else."""


class _AsWritten:
    text: str

    def __repr__(self) -> str:
        return self.text


class Int(_AsWritten, int):
    """A whole number that is shown as it was written."""


class Float(_AsWritten, float):
    """A number that is shown as it was written, for a ``Decimal`` keeps its last zeros."""


class Word(str):
    """yes, no, on or off without quotes: a truth value in YAML 1.1, and text in YAML 1.2."""

    __slots__ = ()


_WHOLE = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*|0x[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|0o[0-7]+|0b[01]+(?:_[01]+)*)"
)
_REAL = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BASE_8 = re.compile(r"[-+]?0[0-9_]+")
_BASE_60 = re.compile(r"[-+]?(?:[1-9][0-9_]*(?::[0-5]?[0-9])+|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TRUTH = {"true": True, "false": False}


def from_yaml_word(text: str) -> Any:
    """Return what a word of YAML without quotes stands for, where readers of YAML 1.1 and 1.2 agree with the eye.

    Raises:
        Misread: they do not.
    """
    lower = text.lower() if text in {text.lower(), text.upper(), text.capitalize()} else text
    if lower in {"", "~", "null"}:
        return None
    if lower in _TRUTH:
        return _TRUTH[lower]
    if lower in {"yes", "no", "on", "off"}:
        return Word(text)
    if _WHOLE.fullmatch(text):
        whole = Int(text, 0)
        whole.text = text
        return whole
    if _BASE_8.fullmatch(text):
        raise Misread(
            f"{text} begins with 0, which YAML takes for base 8: write the number without it, or '{text}' in quotes"
        )
    if _BASE_60.fullmatch(text):
        raise Misread(
            f"{text} is what YAML takes for base 60: write the number that is meant, or '{text}' in quotes"
        )
    if _REAL.fullmatch(text):
        return to_float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def to_float(text: str) -> Float:
    """Return the number that `text` is, if a float can be it.

    Raises:
        ValueError: it is too large or too small, or no number.
    """
    value = Float(text)
    value.text = text.strip()
    if math.isinf(value) and "inf" not in text.lower():
        raise Misread(f"{text} is too large for a float")
    if not value and re.search("[1-9]", text.lower().partition("e")[0]):
        raise Misread(f"{text} is too small for a float")
    return value


def from_json(text: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: it is not valid, has a name twice, or a number that no float can be.
        RecursionError: it is too deep.
    """
    return json.loads(text, parse_float=to_float, object_pairs_hook=_once)


def from_literal(text: str) -> Any:
    """Return what a Python literal stands for.

    Raises:
        ValueError: it has a name twice, or a number that no float can be.
        SyntaxError, TypeError, MemoryError, RecursionError: it is none.
    """
    tree = ast.parse(text.strip(), mode="eval")
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float()):
                to_float(ast.get_source_segment(text.strip(), node) or "")
            case ast.Dict(keys=keys):
                check_once(key.value for key in keys if isinstance(key, ast.Constant))
    return ast.literal_eval(tree)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    check_once(name for name, _ in pairs)
    return dict(pairs)


def check_once(names: Iterable[Any]) -> None:
    """Refuse names that stand twice.

    Raises:
        Misread: one does.
    """
    seen = set()
    for name in names:
        if name in seen:
            raise Misread(f"the name {name!r} stands there twice")
        seen.add(name)


def as_in_file(value: Any) -> str:
    """Return a value as a parameter file has it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
