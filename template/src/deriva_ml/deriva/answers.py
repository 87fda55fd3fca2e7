"""What a server's answers have to be, and how it fails a request: each is told in one line that names the server."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from deriva_ml.definitions import FILE_COLUMNS, Row
from deriva_ml.exceptions import DerivaMLException

P = ParamSpec("P")
T = TypeVar("T")


class ServerUnreachable(DerivaMLException):
    """No answer that is of use, though the request was repeated: the network, or the server's own trouble.

    Attributes:
        host: the server, with its port if it has one.
    """

    def __init__(self, host: str, message: str) -> None:
        super().__init__(message)
        self.host = host


class ServerRefused(DerivaMLException):
    """The server understood and refused; asking again would not help.

    Attributes:
        status: of the answer: 401, 403, 404, 409, 412 ...
        detail: the server's own words, in one line; empty where it gave none.
        repeated: an earlier attempt at the same request had got no answer, and may have taken effect.
    """

    repeated = False

    def __init__(self, message: str, status: int, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


@contextmanager
def unless_refused(*statuses: int) -> Iterator[None]:
    """Leave what it is around, without an error, where the server refuses a request with one of these statuses."""
    try:
        yield
    except ServerRefused as refusal:
        if refusal.status not in statuses:
            raise


def strange(host: str, what: str) -> DerivaMLException:
    """The error for an answer that no Deriva server gives; ``what`` is wrong with it."""
    return DerivaMLException(f"{host} does not answer as a Deriva server does: is the name right? ({what})")


def value_of(host: str, response: Any) -> Any:
    """The JSON value of an answer."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("Content-Type") or "no Content-Type"
        raise strange(host, f"{kind.partition(';')[0][:60]} that is no JSON") from error


def object_of(host: str, value: Any, **members: type) -> dict[str, Any]:
    """A value that has to be an object with members of these types."""
    if not isinstance(value, dict):
        raise strange(host, f"{_kind(value)} where an object belongs")
    for name, kind in members.items():
        if not isinstance(value.get(name), kind):
            raise strange(host, f"{_kind(value.get(name))} as {name}")
    return dict(value)


def rows_of(host: str, value: Any) -> list[Row]:
    """A value that has to be a list of rows."""
    if not isinstance(value, list):
        raise strange(host, f"{_kind(value)} where rows belong")
    return [checked(host, row) for row in value]


def checked(host: str, row: Any) -> Row:
    """A row whose RID, and what it says of a file if it stands for one, is of the right type."""
    row = object_of(host, row)
    if "RID" in row and not (isinstance(row["RID"], str) and row["RID"]):
        raise strange(host, f"{_kind(row['RID'])} as an RID")
    if row.keys() >= FILE_COLUMNS:
        length = row["Length"]
        if not (length is None or type(length) is int and length >= 0):
            raise strange(host, f"{_kind(length)} as the Length of {row.get('RID', 'a file')}")
        for name in FILE_COLUMNS - {"Length"}:
            if not isinstance(row[name], str | None):
                raise strange(host, f"{_kind(row[name])} as the {name} of {row.get('RID', 'a file')}")
    return dict(row)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing", bool: "a truth value"}
    return names.get(type(value), "a number")


@contextmanager
def reading(host: str) -> Iterator[None]:
    """Around what takes an answer apart: where it lacks something, or has it otherwise, that is the server's doing."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise strange(host, f"{type(error).__name__}: {str(error)[:100]}") from error


def reads(function: Callable[P, T]) -> Callable[P, T]:
    """``reading`` around a function whose first argument knows the ``host``."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        with reading(str(arguments[0].host)):  # type: ignore[attr-defined]
            return function(*arguments, **options)

    return call
