"""Fits a given value to the type that a notebook declares for its parameter.

By hand rather than with pydantic: importing that takes a tenth of a small notebook's whole run, at a point
where the kernel cannot start yet; and it takes true for 1 and a number for a date unless told otherwise.
"""

from __future__ import annotations

import ast
import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError

if TYPE_CHECKING:
    from deriva_ml.notebook.parameters import Parameter

_ANY = ast.Name("Any")
_NO_FIT = (ValueError, TypeError, OverflowError)


class _MisfitError(ValueError):
    """A value does not fit, for a reason that is worth telling."""


def coerce(parameter: Parameter, value: Any, *, is_text: bool) -> Any:
    """Return `value` as the type of `parameter`, in a form that Papermill writes as Python source.

    `is_text` marks text from a command line, which may stand for any type; a value from a file has its own.

    Raises:
        DerivaMLRequestError: The value does not fit; names the parameter, its type and the value.
    """
    reason = ""
    for kind in _kinds(parameter):
        try:
            for reading in _readings(value) if is_text and ast.unparse(kind) != "str" else [value]:
                if reading is None and parameter.default is None:
                    return None
                try:
                    return _fit(kind, reading)
                except _NO_FIT as error:
                    reason = reason or (str(error) if isinstance(error, _MisfitError) else "")
                except RecursionError:
                    reason = "it is nested too deeply, or holds itself"
            break
        except (LookupError, SyntaxError):  # a name that is not known here: the next kind is less particular
            continue
    raise DerivaMLRequestError(_complaint(parameter, value, is_text, reason))


def _kinds(parameter: Parameter) -> Iterator[ast.expr]:
    """The annotation if there is one that can be read, the type of the default, anything at all."""
    if parameter.annotation is not None:
        with suppress(SyntaxError, ValueError):
            yield ast.parse(parameter.annotation, mode="eval").body
    yield ast.Name(type(parameter.default).__name__)
    yield _ANY


def _readings(text: str) -> Iterator[Any]:
    """What a text may mean, in the order to try: JSON, a Python literal, the text itself."""
    for parse in (json.loads, ast.literal_eval):
        try:
            yield parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    yield text


def _complaint(parameter: Parameter, value: Any, is_text: bool, reason: str) -> str:
    kind = parameter.type_name
    if parameter.annotation is None and kind != "Any":
        kind += f", the type of its default {parameter.default_source} (annotate it to change that)"
    container = _CONTAINERS.get(parameter.type_name.split("[")[0].split(".")[-1])
    if not reason and is_text and container:
        reason = f"write it as JSON, such as {_EXAMPLES[container]}"
    elif not reason and not is_text and parameter.type_name == "str":
        reason = "put it in quotes there"
    origin = "-p" if is_text else "the parameter file"
    return f"parameter '{parameter.name}' takes {kind}, not {_shown(value)} (from {origin})" + (
        f": {reason}" if reason else ""
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fit(kind: ast.expr, value: Any) -> Any:
    """Return `value` as the type that an annotation's syntax tree stands for; the tree is never evaluated.

    One of `_NO_FIT` if it does not fit, LookupError for a name in the annotation that is not known.
    """
    match kind:
        case ast.Constant(value=str(quoted)):
            return _fit(ast.parse(quoted, mode="eval").body, value)
        case ast.Constant(value=None):
            return _literal([None], value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([left, right], value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _PLAIN[name](value) if name in _PLAIN else _members(_CONTAINERS[name], [], value)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            match name:
                case "Literal":
                    return _literal([ast.literal_eval(argument) for argument in arguments], value)
                case "Union":
                    return _either(arguments, value)
                case "Optional":
                    return _either([*arguments, ast.Constant(None)], value)
                case "Annotated" | "Final":
                    return _fit(arguments[0], value)
            return _members(_CONTAINERS[name], arguments, value)
    raise LookupError(ast.unparse(kind))


def _literal(choices: Sequence[Any], value: Any) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise ValueError


def _either(kinds: Sequence[ast.expr], value: Any) -> Any:
    """Fit the member of a union that keeps the value as it is, else the first that takes it."""
    results = []
    reason = ""
    for kind in kinds:
        try:
            result = _fit(kind, value)
        except _NO_FIT as error:
            reason = reason or (str(error) if isinstance(error, _MisfitError) else "")
        else:
            if type(result) is type(value) and result == value:
                return result
            results.append(result)
    if not results:
        raise _MisfitError(reason) if reason else ValueError
    return results[0]


def _members(container: type[Any], kinds: Sequence[ast.expr], value: Any) -> Any:
    """Fit a list, tuple or dictionary member by member; without `kinds` its members may be anything."""
    if container is dict:
        if not isinstance(value, dict):
            raise ValueError
        of_key, of_value = kinds or (_ANY, _ANY)
        if wrong := [key for key in value if not isinstance(_fit(of_key, key), str)]:
            raise _MisfitError(f"its keys must be text, and {wrong[0]!r} is not")  # Papermill writes 1 as "1"
        return {key: _member(of_value, item, key) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if not isinstance(value, list | tuple):
        raise ValueError
    repeats = container is list or not kinds or ast.unparse(kinds[-1]) == "..."
    if repeats:
        kinds = [kinds[0] if kinds else _ANY] * len(value)
    elif len(kinds) != len(value):
        raise _MisfitError(f"it must have {len(kinds)} items")
    return [_member(kind, item, place) for place, (kind, item) in enumerate(zip(kinds, value, strict=True))]


def _member(kind: ast.expr, value: Any, place: Any) -> Any:
    try:
        return _fit(kind, value)
    except _NO_FIT as error:
        reason = (
            str(error) if isinstance(error, _MisfitError) else f"{_shown(value)} is not {ast.unparse(kind)}"
        )
        raise _MisfitError(f"at [{place!r}]: {reason}") from None


def _any(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _str(value)
        case list() | tuple() | set() | frozenset() | dict():
            return _members(dict if isinstance(value, dict) else list, [], value)
    raise _MisfitError(f"a {type(value).__name__} cannot be written into a notebook")


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no notebook file can hold
        raise _MisfitError("it is not UTF-8 text") from None
    return value


def _number(kind: type[int | float], value: Any) -> int | float:
    fraction = kind is int and isinstance(value, float) and not value.is_integer()
    if fraction or isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return kind(value)


def _bool(value: Any) -> bool:
    word = str(value).casefold()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError
    return word in ("true", "yes", "on", "1")


def _date(kind: type[datetime.date], value: Any) -> str:
    try:
        return kind.fromisoformat(value).isoformat()
    except _NO_FIT:  # a number too, which could be a year, a day or seconds
        raise _MisfitError("write it as ISO 8601 text, such as '2024-01-31'") from None


_CONTAINERS: dict[str, type[Any]] = {
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "set", "Set", "frozenset"), list),
    **dict.fromkeys(("tuple", "Tuple"), tuple),
    **dict.fromkeys(("dict", "Dict", "Mapping"), dict),
}
_EXAMPLES: dict[type[Any], str] = {list: "'[1, 2]'", tuple: "'[1, 2]'", dict: """'{"key": 1}'"""}
_PLAIN: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("Any", "object"), _any),
    **dict.fromkeys(("str", "Path", "PurePath"), _str),
    "int": partial(_number, int),
    "float": partial(_number, float),
    "bool": _bool,
    "date": partial(_date, datetime.date),
    "datetime": partial(_date, datetime.datetime),
}
