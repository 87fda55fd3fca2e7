"""A column's values on their way in (JSON, CSV, URL), in SQLite, and out (JSON, CSV)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from json.encoder import encode_basestring
from typing import Any

from .errors import malformed, unsupported

ABSENT: Any = object()  # a member that is not in a JSON object, where null would be
Stored = str | int | float | None

_TEXTS = {"text", "markdown", "longtext", "gene_sequence", "color_rgb_hex"} | {
    f"ermrest_{name}" for name in ("rid", "rcb", "rmb", "curie", "uri")
}
_INTEGERS = {
    "int2": ("smallint", 15),
    "int4": ("integer", 31),
    "int8": ("bigint", 63),
    "serial4": ("integer", 31),
    "serial8": ("bigint", 63),
}
_FLOATS = {"float4": "real", "float8": "double precision", "numeric": "numeric"}
_TRUE, _FALSE = {"t", "true", "y", "yes", "on", "1"}, {"f", "false", "n", "no", "off", "0"}


class BadValue(Exception):
    """A value that its column's type cannot hold; the message is PostgreSQL's."""


@dataclass(frozen=True)
class Kind:
    """A column type: how its values are read from text, stored, and written."""

    name: str
    parse: Callable[[str], Stored]
    write: Callable[[Any], str]
    affinity: str = "TEXT"
    element: Kind | None = None

    @property
    def is_json(self) -> bool:
        """Whether values are documents."""
        return self.name in ("json", "jsonb")

    def load(self, value: Any) -> Stored:
        """A member of a JSON object (or ``ABSENT``) as it is stored.

        Raises:
            BadValue: it is not of this type.
        """
        if self.element is not None:
            return self._load_array(value)
        if value is ABSENT:
            return None
        if self.is_json:
            return json.dumps(value, ensure_ascii=False)
        return None if value is None else self.parse(_as_text(value))

    def _load_array(self, value: Any) -> Stored:
        assert self.element is not None
        if value is ABSENT:
            return "[]"  # what the server's conversion makes of a missing member
        if value is None:
            return None
        if not isinstance(value, list):
            shape = "an object" if isinstance(value, dict) else "a scalar"
            raise BadValue(f"cannot extract elements from {shape}")
        return json.dumps([self.element.load(item) for item in value], ensure_ascii=False)

    def dump(self, value: Stored) -> str:
        """A stored value as JSON text."""
        return "null" if value is None else self.write(value)

    def csv(self, value: Stored) -> str:
        """A stored value as a CSV field, unquoted."""
        if value is None:
            return ""
        if self.element is not None or self.is_json or self.name == "boolean":
            raise unsupported(f"CSV of {self.name} values")
        if self.name == "timestamptz":
            return _trimmed(str(value)) + "+00"
        return str(value)

    def python(self, value: Stored) -> Any:
        """A stored value as a client of the JSON form sees it."""
        return json.loads(self.dump(value))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _parse_integer(name: str, bits: int, text: str) -> int:
    if not re.fullmatch(r"\s*[-+]?\d+\s*", text):
        raise BadValue(f'invalid input syntax for type {name}: "{text}"')
    number = int(text)
    if not -(1 << bits) <= number < 1 << bits:
        raise BadValue(f'value "{text}" is out of range for type {name}')
    return number


def _parse_float(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue(f'invalid input syntax for type {name}: "{text}"') from None


def _parse_boolean(text: str) -> int:
    if (word := text.strip().lower()) in _TRUE | _FALSE:
        return int(word in _TRUE)
    raise BadValue(f'invalid input syntax for type boolean: "{text}"')


def _parse_timestamp(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadValue(f'invalid input syntax for type timestamp with time zone: "{text}"') from None
    return stamp(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)


def _parse_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadValue(f'invalid input syntax for type date: "{text}"') from None


def _parse_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        raise BadValue("invalid input syntax for type json") from None


def stamp(moment: datetime) -> str:
    """A time as it is stored: UTC, always six digits of seconds' fraction, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _trimmed(stored: str) -> str:
    return stored.rstrip("0").rstrip(".")


def _write_float(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _write_jsonb(value: str) -> str:
    return json.dumps(_sorted(json.loads(value)), ensure_ascii=False)


def _sorted(value: Any) -> Any:
    """An object's members in jsonb's order: short names first."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: (len(key.encode()), key))}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _basic(name: str) -> Kind:
    if name in _TEXTS:
        return Kind("text", str, encode_basestring)
    if name in _INTEGERS:
        label, bits = _INTEGERS[name]
        return Kind(name, lambda text: _parse_integer(label, bits, text), str, "INTEGER")
    if name in _FLOATS:
        return Kind(name, lambda text: _parse_float(_FLOATS[name], text), _write_float, "REAL")
    if name == "boolean":
        return Kind(name, _parse_boolean, lambda value: "true" if value else "false", "INTEGER")
    if name in ("timestamptz", "ermrest_rct", "ermrest_rmt"):
        return Kind(
            "timestamptz",
            _parse_timestamp,
            lambda value: f'"{_trimmed(value).replace(" ", "T")}+00:00"',
        )
    if name == "date":
        return Kind(name, _parse_date, encode_basestring)
    if name == "jsonb":
        return Kind(name, _parse_json, _write_jsonb)
    if name == "json":
        return Kind(name, _parse_json, str)
    raise unsupported(f"the column type {name}")


def _no_text(text: str) -> Stored:
    raise unsupported("arrays in a URL or in CSV")


_kinds: dict[str, Kind] = {}


def kind_of(type_name: str) -> Kind:
    """The kind for a type's name; ``text[]`` is an array of texts.

    Raises:
        ServiceError: 501, the double does not know the type.
    """
    if type_name not in _kinds:
        if type_name.endswith("[]"):
            element = _basic(type_name.removesuffix("[]"))

            def write(value: str) -> str:
                return "[" + ",".join(element.dump(item) for item in json.loads(value)) + "]"

            _kinds[type_name] = Kind(type_name, _no_text, write, element=element)
        else:
            _kinds[type_name] = _basic(type_name)
    return _kinds[type_name]


def literal(kind: Kind, text: str) -> Stored:
    """A literal of a URL as it is stored.

    Raises:
        ServiceError: 400, it is not of this type.
    """
    if kind.element is not None or kind.is_json:
        raise unsupported(f"comparing {kind.name} values")
    try:
        return kind.parse(text)
    except BadValue as error:
        raise malformed(str(error)) from None
