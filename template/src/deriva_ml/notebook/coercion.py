"""Fits a given value to the type that a notebook declares for its parameter, by pydantic's rules but two.

True is no number here, and a number no date. Imported only when a value is given: pydantic takes its time.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from types import EllipsisType
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BeforeValidator, RootModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.parameters import Parameter


def coerce(parameter: Parameter, value: Any, *, is_text: bool) -> Any:
    """Return `value` as the type of `parameter`, in a form that Papermill writes as Python source.

    `is_text` marks text from a command line, which may stand for any type; a value from a file has its own.

    Raises:
        DerivaMLRequestError: The value does not fit; names the parameter, its type and the value.
    """
    kind, adapter = _type_of(parameter)
    problems: list[tuple[int, str]] = []
    for reading in _readings(value) if is_text and kind not in _TEXTS else [value]:
        try:
            return _Plain.model_validate(adapter.validate_python(reading)).model_dump()
        except ValidationError as error:
            problems.append(_problem(error, reading))
    takes = parameter.type_name
    if parameter.annotation is None and takes != "Any":
        takes += f", the type of its default {parameter.default_source} (annotate it to change that)"
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    origin = "-p" if is_text else "the parameter file"
    _, problem = max(problems, key=lambda found: found[0])
    raise DerivaMLRequestError(
        f"parameter '{parameter.name}' takes {takes}, not {shown} (from {origin}): {problem}"
    )


def _readings(text: str) -> Iterator[Any]:
    """What a text may mean, in the order to try: JSON, a Python literal, the text itself."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            yield parse(text)
    yield text


def _problem(error: ValidationError, value: Any) -> tuple[int, str]:
    """How deep inside `value` the error lies (of several the deepest), and what it is."""
    deepest = max(error.errors(include_url=False), key=lambda found: len(found["loc"]))
    place = ""
    for step in deepest["loc"]:
        with suppress(LookupError, TypeError):  # some steps name a member of a union, not a place
            value = value[step]
            place += f"[{step!r}]"
    reason = _MENDS.get(deepest["type"]) or deepest["msg"].removeprefix("Value error, ")
    return len(deepest["loc"]), f"{reason}, not {deepest['input']!r} at {place}" if place else reason


_MENDS = {
    "list_type": "write it as JSON, such as '[1, 2]'",
    "tuple_type": "write it as JSON, such as '[1, 2]'",
    "dict_type": """write it as JSON, such as '{"key": 1}'""",
    "string_type": "it must be text in quotes, as every key of a mapping",
    "missing": "it has too few items",
}


def _type_of(parameter: Parameter) -> tuple[Any, TypeAdapter[Any]]:
    """What the annotation means to pydantic, else the type of the default, else anything."""
    for source in (parameter.annotation or "", type(parameter.default).__name__):
        # Not an expression, or a type that is not known here: the next is less particular.
        with suppress(SyntaxError, ValueError, TypeError, LookupError, PydanticUserError):
            kind = _resolve(ast.parse(source, mode="eval").body)
            kind = kind | None if parameter.default is None else kind
            return kind, TypeAdapter(kind)
    return Any, TypeAdapter(Any)


def _resolve(kind: ast.expr) -> Any:
    """The type that an annotation's syntax tree stands for; it is looked up, and never evaluated."""
    match kind:
        case ast.Constant(value=None | EllipsisType() as constant):
            return constant
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _resolve(left) | _resolve(right)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _TYPES[name]
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            match name:
                case "Annotated" | "Final":
                    return _resolve(arguments[0])
                case "Optional":
                    return _resolve(arguments[0]) | None
                case "Literal":
                    choices = tuple(map(ast.literal_eval, arguments))
                    literal = _TYPES[name][choices]
                    return literal if bool in map(type, choices) else Annotated[literal, _NO_BOOL]
            return _TYPES[name][tuple(map(_resolve, arguments))]
    raise LookupError(ast.unparse(kind))


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


_NO_BOOL = BeforeValidator(_no_bool)
_DATE = Annotated[str, AfterValidator(lambda text: date.fromisoformat(text).isoformat())]
_DATETIME = Annotated[str, AfterValidator(lambda text: datetime.fromisoformat(text).isoformat())]
_TEXTS = (str, _DATE, _DATETIME)
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("Any", "object"), Any),
    **dict.fromkeys(("str", "Path", "PurePath"), str),
    **{"int": Annotated[int, _NO_BOOL], "float": Annotated[float, _NO_BOOL], "bool": bool},
    **{"date": _DATE, "datetime": _DATETIME, "Literal": Literal, "Union": Union},
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "set", "Set", "frozenset"), list),
    **dict.fromkeys(("tuple", "Tuple"), tuple),
    **dict.fromkeys(("dict", "Dict", "Mapping"), dict),
}

_Utf8 = Annotated[str, AfterValidator(lambda text: text.encode().decode())]


class _Plain(RootModel[Any]):
    """What a notebook file can hold (of text: no lone surrogate), and Papermill writes into it as it is."""

    root: _Utf8 | bool | int | float | list[_Plain] | dict[_Utf8, _Plain] | None
