"""The sessions of requests to a Deriva server: the login goes to that server and nowhere else, and answers have a limit."""

from __future__ import annotations

import zlib
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from deriva.core import TimeoutHTTPAdapter

from deriva_ml.deriva.login import DEFAULT_PORTS
from deriva_ml.exceptions import DerivaMLException

PIECE = 1 << 16
LARGEST_ANSWER = 1 << 30
"""Bytes of an answer that is held in memory; contents of objects are not."""
EXPANDED, MOST_EXPANDED = 64 << 20, 200
"""A compressed answer may become so large anyhow, and beyond that so many times as large as it came: rows, which
differ, do not get beyond fifty."""


class Elsewhere(DerivaMLException):
    """The server sends a request on to another one, or to another port, or unencrypted; it was not followed.

    Attributes:
        url: where to.
    """

    def __init__(self, message: str, url: str) -> None:
        super().__init__(message)
        self.url = url


class Adapter(TimeoutHTTPAdapter):  # type: ignore[misc] # deriva says nothing of types
    """Reads answers that are not streamed itself, up to a limit."""

    def send(self, request: Any, **options: Any) -> requests.Response:
        response: requests.Response = super().send(request, **options)
        return response if options.get("stream") else read_all(response)


def keep_login(session: requests.Session, url: str, retries: int | None = None) -> None:
    """Let a session go to one server only, and take no answer without limit; None leaves deriva's own retries.

    The cookie of a session knows no ports, and one for a name without a dot goes to every host.
    """
    follow = session.get_redirect_target
    home = _origin(url)

    def target(response: requests.Response) -> str | None:
        location = follow(response)
        if location is None or response.request.method == "HEAD":
            return None
        place = urljoin(response.url, location)
        if _origin(place) != home:
            response.close()
            host, parts = urlsplit(url).netloc, urlsplit(place)
            other = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            raise Elsewhere(
                f"{host} sends requests on to {other}, where your login does not"
                " belong: if that is the server, name it instead",
                place,
            )
        return location

    session.get_redirect_target = target  # type: ignore[method-assign,assignment]
    session.headers["Accept-Encoding"] = "gzip"  # what read_all understands
    for prefix, adapter in list(session.adapters.items()):
        most = adapter.max_retries if retries is None else retries  # type: ignore[attr-defined]
        session.mount(prefix, Adapter(timeout=getattr(adapter, "timeout", None), max_retries=most))


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; an empty host for what is no address."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port or DEFAULT_PORTS.get(parts.scheme)
        return parts.scheme, host, port
    except ValueError:
        return "", "", None


def read_all(response: requests.Response) -> requests.Response:
    """Read an answer into memory.

    Raises:
        DerivaMLException: it is too large, or compressed in a way that was not asked for.
    """
    host = urlsplit(response.url).netloc
    # Taken away, so that the bytes come as they are: the HTTP library would expand them without limit.
    coding = response.raw.headers.pop("Content-Encoding", "identity").strip().lower()
    expand = zlib.decompressobj(16 + zlib.MAX_WBITS)
    if coding not in ("", "identity", "gzip", "x-gzip"):
        response.close()
        raise DerivaMLException(f"{host} compresses its answer as {coding[:40]}, which it was not asked for")
    received, size, parts = 0, 0, []
    for piece in response.iter_content(PIECE):
        received += len(piece)
        while piece:
            part, piece = piece, b""
            if "gzip" in coding:
                try:
                    part, piece = expand.decompress(part, PIECE), expand.unconsumed_tail
                except zlib.error as error:
                    raise requests.exceptions.ContentDecodingError(error, response=None) from error
            size += len(part)
            parts.append(part)
            limit = max(EXPANDED, received * MOST_EXPANDED) if "gzip" in coding else LARGEST_ANSWER
            if size > min(limit, LARGEST_ANSWER):
                response.close()
                raise DerivaMLException(f"{host} answers with too much ({size >> 20} MiB and more): given up")
    response._content, response._content_consumed = b"".join(parts), True  # type: ignore[attr-defined]
    return response
