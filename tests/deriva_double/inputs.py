"""Reading the rows of a request's body: JSON or CSV, by the kinds of their columns, nulls only where they may be."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from secrets import token_urlsafe
from typing import Any

from .errors import ServiceError, conflict, malformed
from .model import Column
from .values import ABSENT, BadValue, Stored

Input = list[dict[str, Any]]


def read(content_type: str, body: bytes, columns: Sequence[str], optional: Iterable[str] = ()) -> Input:
    """The rows of a request's body, as JSON members; what CSV leaves empty is null.

    Raises:
        ServiceError: 400 or 415, the body cannot be read.
    """
    kind = content_type.partition(";")[0].strip().lower() or "application/json"
    if kind == "application/json":
        return _read_json(body.decode())
    if kind == "application/x-json-stream":
        return [row for line in body.decode().splitlines() if line.strip() for row in _read_json(f"[{line}]")]
    if kind == "text/csv":
        return _read_csv(body.decode(), columns, set(optional))
    raise ServiceError(415, f"The request input type is not supported. Detail: {kind} input not supported")


def _read_json(body: str) -> Input:
    try:
        rows = json.loads(body)
    except ValueError as error:
        at = getattr(error, "pos", 0)
        token = (re.match(r"\w+|.", body[at:]) or re.match("", "")).group()  # type: ignore[union-attr]
        raise malformed(
            "Bad JSON array input. ERROR:  invalid input syntax for type json\n"
            f'DETAIL:  Token "{token}" is invalid.\n'
            f"CONTEXT:  JSON data, line {body.count(chr(10), 0, at) + 1}: {body[:at]}{token}\n"
        ) from None
    if not isinstance(rows, list):
        raise malformed("Bad JSON array input. ERROR:  cannot call json_array_elements on a non-array\n")
    if not all(isinstance(row, dict) for row in rows):
        raise malformed("Bad JSON array input. ERROR:  cannot extract field from a non-object\n")
    return rows


def _read_csv(body: str, columns: Sequence[str], optional: set[str]) -> Input:
    lines = csv.reader(io.StringIO(body))
    header = next(lines, [])
    for name in header:
        if name not in columns:
            raise conflict(f"CSV column {name} not recognized.")
    missing = [f'"{name}"' for name in columns if name not in header and name not in optional]
    if missing:
        raise malformed(f"Missing expected CSV columns: {', '.join(missing)}.")
    return [{name: field or None for name, field in zip(header, line, strict=True)} for line in lines if line]


def keys_first(names: Iterable[str], keyed: set[str]) -> list[str]:
    return sorted(names, key=lambda name: name not in keyed)


def load(
    rows: Input,
    columns: list[Column],
    generated: set[str],
    names: list[str] | None = None,
) -> list[dict[str, Stored]]:
    """Input rows as stored values; ``names`` are the members to read where those are not the columns' names."""
    names = names or [column.name for column in columns]
    loaded = []
    for row in rows:
        values: dict[str, Stored] = {}
        for name, column in zip(names, columns, strict=True):
            try:
                values[name] = column.kind.load(row.get(name, ABSENT))
            except BadValue as error:
                raise malformed(f"Bad JSON array input. ERROR:  {error}\n") from None
        for name, column in zip(names, columns, strict=True):
            if values[name] is None and not column.nullok and column.name not in generated:
                failing = ", ".join(
                    _shown(other, values[one]) for one, other in zip(names, columns, strict=True)
                )
                raise conflict(
                    f'null value in column "{name}" of relation "input_data_{token_urlsafe(16)}" violates not-null '
                    f"constraint\nDETAIL:  Failing row contains ({failing}).\n"
                )
        loaded.append(values)
    return loaded


def _shown(column: Column, value: Stored) -> str:
    if value is None:
        return "null"
    if column.kind.element is not None:
        return "{" + ",".join(map(str, json.loads(str(value)))) + "}"
    return str(value)


def unload(row: dict[str, Stored], columns: list[Column]) -> dict[str, Any]:
    return {column.name: column.kind.python(row[column.name]) for column in columns}


def refuse_repeats(rows: list[dict[str, Stored]], names: list[str]) -> None:
    """Refuse rows that share all their keys' values; as in an index, nulls are never the same."""
    seen = set()
    for row in rows:
        key = tuple(row[name] for name in names)
        if names and None not in key:
            if key in seen:
                raise malformed("Multiple input rows share the same unique key information.")
            seen.add(key)
