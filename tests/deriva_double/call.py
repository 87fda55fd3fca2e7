"""A request to a catalog: by whom, at which snapshot, with which options and preconditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .auth import User
from .catalog import Catalog
from .errors import ServiceError, precondition_failed, unsupported
from .http import Request, Response
from .model import Model
from .wire import to_json

JSON = "application/json"


@dataclass
class Call:
    """A request bound to its catalog: by which name, at which snapshot, by whom."""

    request: Request
    user: User
    catalog: Catalog
    name: str
    snapshot: int | None
    body: bytes = b""

    @property
    def model(self) -> Model:
        """The model that the request sees."""
        return self.catalog.model if self.snapshot is None else self.catalog.model_at(self.snapshot)

    def option(self, name: str) -> list[str]:
        """The comma-separated values of a query parameter."""
        found: list[str] = []
        for part in self.request.query.replace(";", "&").split("&"):
            key, _, value = part.partition("=")
            if key == name:
                found += [unquote(one) for one in value.split(",") if one]
        return found

    def only(self, *known: str) -> None:
        """Refuse query parameters beside the known ones."""
        for part in self.request.query.replace(";", "&").split("&"):
            if part and part.partition("=")[0] not in known:
                raise unsupported(f"the query parameter {part.partition('=')[0]}")

    def etag(self, content_type: str, version: str) -> str:
        """The ETag of what this client sees."""
        return f'"{self.user.digest()};{content_type};{version}"'


def as_json(status: int, value: Any, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An answer in JSON."""
    return Response(status, [*headers, ("Content-Type", JSON)], to_json(value).encode())


def conditional(call: Call, etag: str, vary: str) -> list[tuple[str, str]]:
    """The headers for a state of a resource; refuses a request whose preconditions that state does not meet.

    Raises:
        ServiceError: 304 or 412.
    """
    headers = [("Vary", vary), ("ETag", etag)]
    wanted, unwanted = (call.request.headers.get(name) for name in ("if-match", "if-none-match"))
    if wanted is not None and wanted != "*" and etag not in wanted:
        raise precondition_failed((("ETag", etag), ("Vary", vary)))
    if unwanted is not None and (unwanted == "*" or etag in unwanted):
        if call.request.method in ("GET", "HEAD"):
            raise ServiceError(304, "", (("ETag", etag), ("Vary", vary)))
        raise precondition_failed((("ETag", etag), ("Vary", vary)))
    return headers
