"""A lean HTTP/1.1 server on 127.0.0.1: keep-alive, one thread a connection, and control over how an answer is lost."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from pathlib import Path
from typing import Protocol

from .errors import HTTP_REASONS

LONGEST_REQUEST_LINE = 8190  # Apache's default: what is longer is answered with 414
PIECE = 1 << 20


class Readable(Protocol):
    """The incoming side of a connection."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


class Fate(Enum):
    """What becomes of an answer on its way to the client."""

    SENT = "sent"
    TRUNCATED = "truncated"
    RESET = "reset"


@dataclass(slots=True)
class Request:
    """One request; header names are in lower case. The body is read at most once."""

    method: str
    target: str
    headers: dict[str, str]
    length: int
    stream: Readable
    invite: Callable[[], None] | None = None
    unread: int = field(init=False)

    def __post_init__(self) -> None:
        self.unread = self.length

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]

    def body(self) -> bytes:
        """All of the body."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The body, at most a mebibyte at a time.

        Raises:
            ConnectionError: the client went away in the middle of it.
        """
        if self.unread and self.invite:
            self.invite()
            self.invite = None
        while self.unread:
            piece = self.stream.read(min(self.unread, PIECE))
            if not piece:
                raise ConnectionResetError("the request body ended early")
            self.unread -= len(piece)
            yield piece

    def skip(self) -> None:
        """Read what is left of the body, so that the next request can follow."""
        for _ in self.pieces():
            pass


@dataclass(frozen=True, slots=True)
class FileBody:
    """A part of a file to send as a body."""

    path: Path
    start: int
    length: int


@dataclass(slots=True)
class Response:
    """One answer. ``length`` announces a body that is not sent, as HEAD wants it."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | FileBody = b""
    length: int | None = None
    fate: Fate = Fate.SENT

    @property
    def size(self) -> int:
        """Bytes of the body that is sent."""
        return self.body.length if isinstance(self.body, FileBody) else len(self.body)


def text(status: int, body: str, content_type: str = "text/plain") -> Response:
    """An answer with a textual body."""
    return Response(status, [("Content-Type", content_type)], body.encode())


class HttpServer:
    """Accepts connections and passes each request to ``handle``; can be stopped and started again on its port."""

    def __init__(self, handle: Callable[[Request], Response]) -> None:
        self._handle = handle
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = 0

    @property
    def running(self) -> bool:
        """Whether connections are accepted."""
        return self._listener is not None

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="deriva-double", daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and reset those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
            listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _reset_on_close(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection.makefile("rb", 1 << 16)
        try:
            while (request := _read_request(connection, stream)) is not None:
                response = _early_refusal(request) or self._handle(request)
                if response.fate is Fate.RESET:
                    _reset_on_close(connection)
                    return
                request.skip()
                keep = (
                    response.status not in (400, 413)
                    and request.headers.get("connection", "").lower() != "close"
                )
                _send(connection, request, response, keep)
                if not keep or response.fate is Fate.TRUNCATED or response.status == 414:
                    return
        except (OSError, ValueError):  # the client went away, or the server was stopped
            return
        finally:
            with self._lock:
                self._connections.discard(connection)
            stream.close()
            with contextlib.suppress(OSError):
                connection.close()


def _read_request(connection: socket.socket, stream: Readable) -> Request | None:
    line = stream.readline(1 << 20)
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (header := stream.readline(1 << 16)) not in (b"\r\n", b"\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    invite = None
    if headers.get("expect", "").lower() == "100-continue":
        invite = lambda: connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")  # noqa: E731
    return Request(method, target, headers, int(headers.get("content-length") or 0), stream, invite)


def _early_refusal(request: Request) -> Response | None:
    if len(request.method) + len(request.target) + len("  HTTP/1.1") > LONGEST_REQUEST_LINE:
        return text(414, "The requested URL's length exceeds the capacity limit for this server.\n")
    if "transfer-encoding" in request.headers:
        return text(411, "Content-Length header is required for this request.\n")
    return None


def _send(connection: socket.socket, request: Request, response: Response, keep: bool) -> None:
    status = response.status
    lines = [f"HTTP/1.1 {status} {HTTP_REASONS[status].upper()}", f"Date: {_date()}", "Server: Apache"]
    if status not in (204, 304):
        lines.append(f"Content-Length: {response.size if response.length is None else response.length}")
    if not keep:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in response.headers]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if request.method == "HEAD" or status in (204, 304):
        connection.sendall(head)
        return
    size = response.size // 2 if response.fate is Fate.TRUNCATED else response.size
    if not isinstance(response.body, FileBody):
        connection.sendall(head + response.body[:size])
        return
    connection.sendall(head)
    with response.body.path.open("rb") as source:
        if size:
            connection.sendfile(source, response.body.start, size)


def _reset_on_close(connection: socket.socket) -> None:
    """Make closing send RST, as when the peer's machine dies, instead of an orderly end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_date_cache = (0, "")


def _date() -> str:
    global _date_cache
    now = int(time.time())
    if _date_cache[0] != now:
        _date_cache = (now, formatdate(now, usegmt=True))
    return _date_cache[1]


def remove(path: Path) -> None:
    """Delete a file that may already be gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
