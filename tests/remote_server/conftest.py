"""A server of their own, and what stands in for one, for the tests of how a Deriva server is spoken to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble
from deriva_ml.deriva import retry
from deriva_ml.deriva.server import Server
from remote_server.calls import QUICK


@pytest.fixture
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        yield running


@pytest.fixture
def catalog(double: DerivaDouble) -> str:
    return double.create_catalog("head", alias="study")


@pytest.fixture
def remote(double: DerivaDouble, catalog: str) -> Iterator[Server]:
    """The catalog, as its owner; nothing has been asked yet."""
    with closing(Server(double.url, catalog, double.credential(), QUICK)) as opened:
        yield opened


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every pause between attempts; none is waited for."""
    waited: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waited.append)
    return waited


@pytest.fixture
def impostor() -> Iterator[Any]:
    """A web server that is no Deriva server; ``answers`` are what it gives, one after the other: status, headers, body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = running.answers.pop(0)  # type: ignore[attr-defined]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers = []  # type: ignore[attr-defined]
        running.url = f"http://127.0.0.1:{running.server_port}"  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_bytes(bytes(range(256)) * 1024)
    return path
