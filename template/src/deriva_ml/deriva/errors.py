"""How a Deriva server fails a request, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deriva_ml.exceptions import DerivaMLException


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
