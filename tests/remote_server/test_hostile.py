"""A server's answers are data: a login goes to its own server only, and what is no answer of Deriva's is one line."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from deriva_double import DerivaDouble
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import Asset
from deriva_ml.deriva import server as module
from deriva_ml.deriva import session, transfer
from deriva_ml.deriva.hatrac import get_object
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.project import Project
from recorder import connect
from remote_server.calls import put

ONCE = RetryPolicy(attempts=1)
Answer = tuple[int, dict[str, str], bytes]
LOGINS = [{"cookie": "webauthn=s3cret"}, {"bearer-token": "s3cret"}]


class Web:
    """A web server that gives one answer to everything, and knows what was sent to it."""

    def __init__(self, host: str) -> None:
        self.answer: Callable[[str, str], Answer] = lambda method, path: (404, {}, b"")
        self.asked: list[tuple[str, str, str]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                web.asked.append((self.command, self.path, str(self.headers)))
                status, headers, body = web.answer(self.command, self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def json(self, value: Any) -> None:
        """Answer with this."""
        self.answer = lambda method, path: (
            200,
            {"Content-Type": "application/json"},
            json.dumps(value).encode(),
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Callable[[str], Web]]:
    made: list[Web] = []

    def make(host: str = "127.0.0.1") -> Web:
        made.append(Web(host))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ------------------------------------------------------------------ logins


@contextmanager
def one_line(host: str, *words: str) -> Iterator[None]:
    """The error is a line that names the server."""
    with pytest.raises(DerivaMLException) as caught:
        yield
    said = str(caught.value)
    assert host in said and "\n" not in said and "s3cret" not in said, said
    assert all(word in said for word in words), said


@pytest.mark.parametrize("login", LOGINS, ids=["cookie", "token"])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize(
    "other", ["http://localhost", "http://127.0.0.1", "https://127.0.0.1", "//localhost"]
)
@pytest.mark.parametrize("status", [302, 308])
def test_no_login_follows_a_redirect(
    web: Callable[[str], Web], name: str, other: str, status: int, login: dict[str, str]
) -> None:
    """To another host, another port of the same one, or another scheme: rows in and out, and deriva's own queries."""
    here, there = web(name), web("127.0.0.1")
    there.json([])
    place = f"{other}:{there.port}"
    here.answer = lambda method, path: (status, {"Location": place + path}, b"")
    with closing(Server(here.url, 1, login, ONCE)) as server:
        for call in (
            lambda: server.get("/entity/deriva-ml:File"),
            lambda: server.insert("deriva-ml:File", [{"URL": "x"}], given=()),
            lambda: server.schema(),
            lambda: server.path_builder(),
        ):
            with one_line(server.host, "sends requests on to", str(there.port)):
                call()
    assert here.asked and all("s3cret" in headers for *_, headers in here.asked)
    assert there.asked == []


def test_a_redirect_within_the_server_is_followed_with_the_login(web: Callable[[str], Web]) -> None:
    here = web("localhost")
    here.answer = lambda method, path: (
        (200, {}, b"[]") if path.endswith("again") else (302, {"Location": path + "again"}, b"")
    )
    assert Server(here.url, 1, LOGINS[0], ONCE).get("/entity/deriva-ml:File") == []
    assert ["s3cret" in headers for *_, headers in here.asked] == [True, True]


def test_a_content_that_is_elsewhere_is_fetched_without_the_login(web: Callable[[str], Web]) -> None:
    """Object stores send large contents on to signed addresses of a cloud."""
    here, cloud = web("localhost"), web("127.0.0.1")
    cloud.answer = lambda method, path: (200, {"Set-Cookie": "webauthn=theirs"}, b"content")
    here.answer = lambda method, path: (303, {"Location": f"{cloud.url}/signed?key=1"}, b"")
    with closing(Server(here.url, 1, LOGINS[0], ONCE)) as server:
        assert b"".join(get_object(server, "/hatrac/a:1")) == b"content"
        assert b"".join(get_object(server, "/hatrac/a:1")) == b"content"
    assert "s3cret" not in str(cloud.asked) and "Cookie" not in str(cloud.asked)
    assert all("s3cret" in headers for *_, headers in here.asked)


# ------------------------------------------------------------------ contents


@pytest.mark.parametrize("extra", [1, 10_000_000])
def test_a_content_that_is_longer_than_its_record_says_is_given_up_at_once(
    web: Callable[[str], Web], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    """However much there is: a piece more than the record says is taken, and nothing of it is kept."""
    here = web("localhost")
    content = bytes(100_000)
    here.answer = lambda method, path: (200, {}, content + bytes(extra))
    wanted = Asset("", "Image", "a.bin", len(content), hashlib.md5(content).hexdigest(), "/hatrac/a:1")
    store = ObjectStore(tmp_path / "objects")
    with closing(Server(here.url, 1, {}, ONCE)) as server:
        taken: list[int] = []

        def counted(server: Server, url: str, offset: int = 0) -> Iterator[bytes]:
            for piece in get_object(server, url, offset):
                taken.append(len(piece))
                yield piece

        monkeypatch.setattr(transfer, "get_object", counted)
        with one_line(server.host, "a.bin", "not what its record says"):
            download(server, [wanted], store)
    assert sum(taken) <= 2 * (len(content) + (1 << 16))
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


def bomb(size: int) -> bytes:
    """Zeros as JSON's white space, compressed a thousand times."""
    return gzip.compress(b"[" + b" " * size + b"]", 9)


@pytest.mark.parametrize("status", [200, 403])
def test_a_compressed_answer_has_a_limit(
    web: Callable[[str], Web], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Rows, and the words of a refusal."""
    monkeypatch.setattr(session, "EXPANDED", 1 << 20)
    here = web("localhost")
    here.answer = lambda method, path: (status, {"Content-Encoding": "gzip"}, bomb(1 << 25))
    with closing(Server(here.url, 1, {}, ONCE)) as server:
        with one_line(server.host, "answers with too much", "given up"):
            server.get("/entity/deriva-ml:File")
        if status == 403:
            with one_line(server.host, "answers with too much"):
                b"".join(get_object(server, "/hatrac/a:1"))


def test_an_answer_that_is_compressed_as_rows_are_is_read(web: Callable[[str], Web]) -> None:
    rows = [{"RID": f"1-{number:04}", "Name": "x" * 50} for number in range(5000)]
    here = web("localhost")
    here.answer = lambda method, path: (
        200,
        {"Content-Encoding": "gzip"},
        gzip.compress(json.dumps(rows).encode()),
    )
    assert Server(here.url, 1, {}, ONCE).get("/entity/deriva-ml:File") == rows
    here.answer = lambda method, path: (200, {"Content-Encoding": "gzip, gzip"}, b"x")
    with one_line("localhost", "compresses its answer as gzip, gzip"):
        Server(here.url, 1, {}, ONCE).get("/entity/deriva-ml:File")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_content_that_comes_compressed_is_not_expanded(web: Callable[[str], Web], coding: str) -> None:
    here = web("localhost")
    here.answer = lambda method, path: (200, {"Content-Encoding": coding}, bomb(1 << 22))
    with closing(Server(here.url, 1, {}, ONCE)) as server, one_line(server.host, "compressed"):
        b"".join(get_object(server, "/hatrac/a:1"))


# ------------------------------------------------------------------ shapes

STRANGE: list[Any] = [
    None,
    [],
    {},
    "text",
    7,
    [1],
    [None],
    [[]],
    {"schemas": []},
    {"schemas": {"deriva-ml": 1}},
]
BODIES = [
    b"",
    b"<html>Welcome</html>",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" + b"9" * 5000 + b"]",
    b"\xff\xfe",
    b"{",
    *(json.dumps(one).encode() for one in STRANGE),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_no_answer_is_a_riddle(web: Callable[[str], Web], body: bytes, tmp_path: Path) -> None:
    """Whatever comes for a request that the runner makes is taken, or told in one line that names the server."""
    here = web("localhost")
    here.answer = lambda method, path: (200, {"Content-Type": "application/json"}, body)
    file = tmp_path / "a.txt"
    file.write_text("content")
    (tmp_path / "pyproject.toml").touch()
    with closing(Server(here.url, "study", LOGINS[0], ONCE)) as server:
        calls: list[Callable[[], object]] = [
            server.snaptime,
            server.canonical_id,
            server.logged_in,
            lambda: server.lease(2),
            lambda: server.update("deriva-ml:File", [{"RID": "1-AB", "Length": 1}]),
            lambda: put(server, "/hatrac/a/b.txt", file),
            lambda: connect(DerivaMLConfig(here.url, "study", LOGINS[0]), Project(tmp_path)),
        ]
        if body != b"[]":
            calls.append(lambda: server.get("/entity/deriva-ml:File"))
            calls.append(lambda: server.insert("deriva-ml:File", [{"URL": "x"}], given=()))
        for call in calls:
            with one_line(server.host):
                call()


@pytest.mark.parametrize("large", [False, True])
def test_an_object_is_where_it_was_put_and_nowhere_else(
    web: Callable[[str], Web], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """What a server answers becomes the address in a record: it is no other host's, and no other object's."""
    here = web("localhost")
    file = tmp_path / "a.txt"
    file.write_bytes(b"content" * 1000)
    if large:
        monkeypatch.setattr("deriva_ml.deriva.hatrac.LARGEST_PUT", 1 << 10)
    md5 = base64.b64encode(hashlib.md5(file.read_bytes()).digest()).decode()
    for said in ("https://www.example.org/hatrac/a/b.txt:1", "/hatrac/other:1", "//evil.example.org/x", ""):

        def answer(method: str, path: str, said: str = said) -> Answer:
            if method == "HEAD":
                return 200, {"Content-Location": said, "Content-MD5": md5}, b""
            return 201, {"Location": said}, said.encode()

        here.answer = answer
        with closing(Server(here.url, 1, {}, ONCE)) as server, one_line(server.host):
            put(server, "/hatrac/a/b.txt", file)


SPOILT: list[tuple[str, Any]] = [
    (name, value)
    for name in (
        "RID",
        "URL",
        "Filename",
        "MD5",
        "Length",
        "Deleted",
        "Version",
        "Dataset",
        "Workflow",
        "Status",
    )
    for value in (..., None, -7, [])
]


def test_rows_that_lack_something_or_have_it_otherwise_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column that is read, left out or of another type, in every look-up."""
    with DerivaDouble() as double:
        place = kinds.on_double(tmp_path / "project", double, "head")
        asset = place.add_file("a.txt", b"a", ["File"])
        dataset = place.add_dataset("d", [asset], ["Complete"])
        plain = module.value_of
        spoil: tuple[str, Any] = ("", None)

        def value_of(host: str, response: Any) -> Any:
            value = plain(host, response)
            for row in value if isinstance(value, list) else []:
                for name in [one for one in row if one.removeprefix("M:") == spoil[0]]:
                    if spoil[1] is ...:
                        del row[name]
                    else:
                        row[name] = spoil[1]
            return value

        monkeypatch.setattr(module, "value_of", value_of)
        with closing(place.open()) as catalog:
            for spoil in SPOILT:
                for look_up in (
                    lambda: catalog.lookup_assets([asset]),
                    lambda: catalog.lookup_dataset(dataset),
                    lambda: catalog.select_executions(Criteria()),
                    lambda: catalog.executions_of(next(iter(catalog.lookup_assets([asset])))),
                ):
                    try:
                        look_up()
                    except DerivaMLException as error:
                        assert "\n" not in str(error)
                        assert double.host in str(error) or dataset in str(error), (spoil, error)
