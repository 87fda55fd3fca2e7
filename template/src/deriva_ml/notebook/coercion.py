"""Fits a given value to the type that a notebook declares for its parameter, by pydantic's rules but two.

True is no number here, and a number no date. Imported only when a value is given: pydantic takes its time.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path, PurePath
from types import EllipsisType
from typing import Annotated, Any, Literal, Union
from uuid import UUID

from pydantic import BeforeValidator, PlainValidator, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.cells import BUILTINS, CONSTRUCTORS, dotted
from deriva_ml.notebook.declarations import Parameter, Unevaluated, Value
from deriva_ml.notebook.literals import Float, Misread, Word, as_in_file, from_json, from_literal, to_float
from deriva_ml.notebook.python_source import Written, write


def coerce(parameter: Parameter, value: Any, *, is_text: bool, flag: str = "-p") -> Value:
    """Return `value` as the type of `parameter`.

    `is_text` marks text from a command line, which may stand for any type; a value from a file has its own. `flag` is
    the one that gave it there.

    Raises:
        DerivaMLRequestError: The value does not fit; names the parameter, its type and the value. Or the type is
            not known.
    """
    types = _Types(parameter)
    kind, adapter = types.find()
    problems: list[tuple[int, str]] = []
    for reading in _readings(value, kind, types.has_members, problems) if is_text else [value]:
        try:
            return write(adapter.validate_python(reading), types.spelled)
        except ValidationError as error:
            problems.append(_problem(error, reading))
        except ValueError as error:
            problems.append((0, str(error)))
    takes = parameter.type_name
    if parameter.annotation is None and takes != "Any":
        takes += f", the type of its default {parameter.default_source} (annotate it to change that)"
    written = repr(value) if is_text else as_in_file(value)
    origin = flag if is_text else "the parameter file"
    _, problem = max(problems, key=lambda found: found[0])
    raise DerivaMLRequestError(
        f"parameter '{parameter.name}' takes {takes}, not {_cut(written)} (from {origin}): {problem}"
    )


def _readings(text: str, kind: Any, has_members: bool, problems: list[tuple[int, str]]) -> Iterator[Any]:
    """Yield what a text may mean: JSON, a Python literal, the text itself; the name of a member, if it may be one, first.

    What is misread goes to `problems`.
    """
    if kind not in _TEXTS:
        if has_members and text.isidentifier() and text not in {"null", "None"}:
            yield text
        for parse in (from_json, from_literal):
            try:
                yield parse(text)
            except Misread as error:
                problems.append((len(text), str(error)))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                pass
    yield text


def _problem(error: ValidationError, value: Any) -> tuple[int, str]:
    """Return how deep inside `value` the error lies (of several the deepest), and what it is."""
    deepest = max(error.errors(include_url=False), key=lambda found: len(found["loc"]))
    place = ""
    for step in deepest["loc"]:
        with suppress(LookupError, TypeError):  # some steps name a member of a union, not a place
            value = value[step]
            place += f"[{step!r}]"
    reason = _MENDS.get(deepest["type"]) or deepest["msg"].removeprefix("Value error, ")
    return len(
        deepest["loc"]
    ), f"{reason}, not {_cut(repr(deepest['input']))} at {place}" if place else reason


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


_KEYS = "it must be text in quotes, as every key of a mapping"
_LIST = "write it as JSON, such as '[1, 2]'"
_MENDS = {
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": """write it as JSON, such as '{"key": 1}'""",
    "string_type": _KEYS,
    "missing": "it has too few items",
}


class _Types:
    """What an annotation means to pydantic.

    Attributes:
        spelled: how the notebook calls the types whose values are written as a call.
        has_members: whether an Enum is among them.
    """

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.names = parameter.names
        self.spelled: dict[type, str] = {}
        self.has_members = False

    def find(self) -> tuple[Any, TypeAdapter[Any]]:
        """Return the type of the annotation, else of the default, else anything where neither is there.

        Raises:
            DerivaMLRequestError: there is an annotation, which is not known here, and no default that tells.
        """
        parameter = self.parameter
        told = parameter.type_name
        if adapter := self._adapter(told):
            return adapter
        if parameter.default is None or isinstance(parameter.default, Unevaluated):
            raise DerivaMLRequestError(
                f"parameter '{parameter.name}' has the type {told}, which is not known here: annotate it with one"
                f" that is, or give it a default that tells: a literal, or {told}.MEMBER of an Enum"
            )
        return self._adapter(type(parameter.default).__name__) or (Any, TypeAdapter(_Any))

    def _adapter(self, annotation: str) -> tuple[Any, TypeAdapter[Any]] | None:
        # Not an expression, or a type that is not known here.
        with suppress(
            SyntaxError, ValueError, TypeError, LookupError, RecursionError, MemoryError, PydanticUserError
        ):
            kind = self._resolve(ast.parse(annotation, mode="eval").body)
            kind = kind | None if self.parameter.default is None else kind
            return kind, TypeAdapter(kind)
        return None

    def _resolve(self, kind: ast.expr) -> Any:
        """Return the type that an annotation's syntax tree stands for; it is looked up, and never evaluated."""
        match kind:
            case ast.Constant(value=None | EllipsisType() as constant):
                return constant
            case ast.Constant(value=str(text)):
                return self._resolve(ast.parse(text, mode="eval").body)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return Union[self._resolve(left), self._resolve(right)]  # noqa: UP007
            case ast.Name() | ast.Attribute():
                return self._named(dotted(kind))
            case ast.Subscript(value=ast.Name() | ast.Attribute() as generic, slice=inner):
                arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                name = self._known(dotted(generic))
                match name:
                    case "Annotated" | "Final":
                        return self._resolve(arguments[0])
                    case "Optional":
                        return Union[self._resolve(arguments[0]), None]  # noqa: UP007
                    case "Literal":
                        choices = tuple(map(ast.literal_eval, arguments))
                        literal: Any = _LITERAL[choices]
                        return literal if bool in map(type, choices) else Annotated[literal, _NO_BOOL]
                return _GENERICS[name][tuple(map(self._resolve, arguments))]
        raise LookupError(ast.unparse(kind))

    def _known(self, name: str) -> str:
        """Return the name by which the tables here know a type."""
        if name in BUILTINS or name in {"object", "None"}:
            return name  # without a look at the other cells
        return self.names.known(name, _MODULES)

    def _named(self, name: str) -> Any:
        known = self._known(name)
        if known in CONSTRUCTORS:
            kind, made = _MADE[known]
            self.spelled[made] = self.names.spelled(name, known)
            return kind
        if known in _TYPES:
            return _TYPES[known]
        members = self.names.members(name)
        if members is not None or (self._is_seen_as_enum(name) and self.names.may_be_enum(name)):
            self.has_members = True
            return Annotated[Any, PlainValidator(partial(_member, name, members))]
        meaning = self.names.meaning(name)
        if isinstance(meaning, ast.expr):  # such as `Size = tuple[int, int]`
            return self._resolve(meaning)
        raise LookupError(name)

    def _is_seen_as_enum(self, name: str) -> bool:
        """Whether the default is made of members of what is named so, as `Mode.fast`."""
        default = self.parameter.expression
        called = {id(node.func) for node in ast.walk(default) if isinstance(node, ast.Call)}
        return any(
            isinstance(node, ast.Attribute | ast.Subscript)
            and dotted(node.value) == name
            and id(node) not in called
            for node in ast.walk(default)
        )


def _member(name: str, members: dict[str, Any] | None, value: Any) -> Written:
    """Return a member of an Enum, by its name or else its value; of an Enum that only the kernel knows, the kernel finds it."""
    if members is None:
        literal = write(value, {})
        called = f"{name}({literal.source})"
        if isinstance(value, str) and value.isidentifier():
            found = f"{name}[{literal.source}] if {literal.source} in {name}.__members__ else {called}"
            return Written(found, literal.plain)
        return Written(called, literal.plain)
    same = (one for one, own in members.items() if type(own) is type(value) and own == value)
    member = str(value) if isinstance(value, str) and value in members else next(same, None)
    if member is None:
        raise ValueError(f"its members are {', '.join(members) or 'none'}")
    return Written(f"{name}.{member}", member)


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, got a boolean")
    return value


def _no_overflow(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(SyntaxError):
            float(value)  # if this is none, pydantic says so in its own way
            return to_float(value)
    return _no_bool(value)


def _undeclared(value: Any, around: tuple[int, ...] = ()) -> Any:
    """Return a value whose type is not declared, if all of it is plain."""
    if isinstance(value, Word):
        truth = "true" if value.lower() in {"yes", "on"} else "false"
        raise ValueError(f"{value} may be text or a truth value: write {truth}, or '{value}' in quotes")
    if id(value) in around or len(around) > 200:  # as deep as Python's source may be
        raise ValueError("it is nested too deep, or a cyclic reference")
    around = (*around, id(value))
    match value:
        case list() | tuple() | set() | frozenset():
            return type(value)(_undeclared(one, around) for one in value)
        case dict() if not all(isinstance(key, str) for key in value):
            raise ValueError(_KEYS)
        case dict():
            return {key: _undeclared(one, around) for key, one in value.items()}
        case None | str() | bool() | int() | float() | complex() | bytes():
            return value
    raise ValueError(f"a {type(value).__name__} is not taken here")


def _from_iso(kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"write it as text in ISO 8601, such as '{_ISO[kind]}'")
    return kind.fromisoformat(value) if kind is not timedelta else value


def _to_decimal(value: Any) -> Any:
    return Decimal(value.text) if isinstance(value, Float) else _no_bool(value)


def _to_complex(value: Any) -> complex:
    return complex(value.replace(" ", "") if isinstance(value, str) else _no_bool(value))


def _before(kind: Any, check: Callable[[Any], Any]) -> Any:
    return Annotated[kind, BeforeValidator(check)]


_ISO = {date: "2024-02-29", datetime: "2024-02-29T10:30:00", time: "10:30:00", timedelta: "P1DT2H30M"}
_NO_BOOL = BeforeValidator(_no_bool)
_LITERAL: Any = Literal  # whose arguments are known at run time only
_INT = Annotated[int, _NO_BOOL]
_FLOAT = Annotated[float, BeforeValidator(_no_overflow)]
_Any = Annotated[Any, PlainValidator(lambda value: _undeclared(value))]
"""What a value may be whose type is not declared."""
_MADE: dict[str, tuple[Any, type]] = {
    **{kind.__name__: (_before(kind, partial(_from_iso, kind)), kind) for kind in _ISO},
    **{"Path": (Path, PurePath), "PurePath": (PurePath, PurePath), "UUID": (UUID, UUID)},
    "Decimal": (_before(Decimal, _to_decimal), Decimal),
}
"""By name what pydantic validates, and the type whose values are written as a call."""
_TEXTS = (str, *(kind for kind, _ in _MADE.values()))
_GENERICS: dict[str, Any] = {
    **dict.fromkeys(("list", "List", "Sequence", "MutableSequence", "Iterable", "Collection"), list),
    **dict.fromkeys(("set", "Set", "MutableSet"), set),
    **dict.fromkeys(("frozenset", "FrozenSet", "AbstractSet"), frozenset),
    **dict.fromkeys(("tuple", "Tuple"), tuple),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), dict),
    "Union": Union,
}
_OF_ANY: dict[Any, Any] = {
    **{kind: kind[_Any] for kind in (list, set, frozenset)},
    **{tuple: tuple[_Any, ...], dict: dict[str, _Any]},
}
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("Any", "object"), _Any),
    **{"str": str, "int": _INT, "float": _FLOAT, "bool": bool, "None": None, "bytes": bytes},
    "complex": Annotated[complex, PlainValidator(_to_complex)],
    **{name: _OF_ANY[kind] for name, kind in _GENERICS.items() if kind in _OF_ANY},
}
_MODULES = ("typing", "typing_extensions", "collections.abc", "builtins", *{*CONSTRUCTORS.values()})
