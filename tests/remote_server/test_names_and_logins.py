"""Which server is meant and who asks is told however it is written, and a login may be renewed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from deriva_double import DerivaDouble
from deriva_ml.deriva import server
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.hatrac import get_object
from deriva_ml.deriva.login import address, checked_credential, server_name
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLRequestError
from remote_server.calls import ASSETS, QUICK, put, refused


@pytest.fixture
def catalog(double: DerivaDouble) -> str:
    """One that refuses who is not logged in; current ones answer with no rows."""
    return double.create_catalog("1.17.10")


def test_opening_asks_nothing(double: DerivaDouble, remote: Server) -> None:
    """A server that is down is no reason not to open its catalog."""
    assert len(double.log) == 0
    assert (remote.host, remote.url) == (double.host, double.url)


def test_the_module_is_loaded_without_the_deriva_package() -> None:
    """`--help` does not wait for deriva and requests to be imported."""
    code = "import deriva_ml.deriva.transfer, sys; print({'deriva', 'requests'} & sys.modules.keys())"
    source = Path(server.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr


@pytest.mark.parametrize(
    ("given", "host", "url", "name"),
    [
        ("www.example.org", "www.example.org", "https://www.example.org", "www.example.org"),
        ("WWW.Example.org:8443", "www.example.org:8443", "https://www.example.org:8443", None),
        ("https://www.example.org/", "www.example.org", "https://www.example.org", "www.example.org"),
        ("www.example.org:443", "www.example.org", "https://www.example.org", "www.example.org"),
        ("www.example.org.", "www.example.org", "https://www.example.org", "www.example.org"),
        ("www.example.org:80", "www.example.org:80", "https://www.example.org:80", None),
        ("http://localhost:80", "localhost", "http://localhost", "http://localhost"),
        ("http://127.0.0.1", "127.0.0.1", "http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_server_is_given_by_its_name(given: str, host: str, url: str, name: str | None) -> None:
    """With a port or without, with https:// before it or not: it is one; and the name that is noted opens the same again."""
    opened = Server(given, 1, {})
    assert (opened.host, opened.url, server_name(given)) == (host, url, name or host)
    assert Server(server_name(given), 1, {}).url == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "www.example.org/chaise",
        "someone:secret@www.example.org",
        "ftp://www.example.org",
        "www.example.org?catalog=1",
        "www.example.org:port",
        "www example.org",
        "http://www.example.org",
        "http://localhost.example.org",
    ],
)
def test_what_is_no_name_of_a_server_is_refused(given: str) -> None:
    """In one line, before anything is sent; and no login goes unencrypted to another machine."""
    with pytest.raises(DerivaMLRequestError) as caught:
        Server(given, 1, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["", "1/2", "1@2", "a b", "../1"])
def test_what_is_no_catalog_is_refused(given: str) -> None:
    with pytest.raises(DerivaMLRequestError, match="catalog"):
        Server("localhost", given, {})


def test_a_credential_file_is_used(double: DerivaDouble, catalog: str, tmp_path: Path) -> None:
    """In the form in which deriva keeps one."""
    file = tmp_path / "credential.json"
    file.write_text(json.dumps({double.host: double.credential("writer"), "other": {"cookie": "a=b"}}))
    assert Server(double.url, catalog, file, QUICK).get(f"/entity/{ASSETS}") == []


@pytest.mark.parametrize(
    ("asked", "entry"),
    [
        ("www.example.org", "WWW.Example.org"),
        ("WWW.example.org", "www.example.org"),
        ("www.example.org:443", "www.example.org"),
        ("www.example.org:8443", "www.example.org"),
        ("www.example.org:8443", "www.example.org:8443"),
        ("http://[::1]:8080", "[::1]"),
    ],
)
def test_a_credential_is_found_however_the_server_is_written(asked: str, entry: str, tmp_path: Path) -> None:
    """In capitals or not; and that of the host, where there is none for the port."""
    file = tmp_path / "credential.json"
    others = {"www.example.org": {"cookie": "webauthn=other"}, "other": {"cookie": "webauthn=other"}}
    file.write_text(json.dumps({**others, entry: {"cookie": "webauthn=right"}}))
    host = address(asked)[1]
    found = checked_credential(file, host)
    assert found == {"cookie": "webauthn=right"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no credential file"),
        ("not JSON, s3cret", "is no credential file"),
        ("[1]", "is no credential file"),
        ('{"other": {"cookie": "webauthn=s3cret"}}', "has none for localhost"),
        ('{"localhost": {"cookie": "s3cret"}}', "not as deriva takes it"),
        ('{"localhost": "s3cret"}', "not as deriva takes it"),
        ('{"localhost": {"password": "s3cret"}}', "not as deriva takes it"),
    ],
)
def test_a_credential_file_that_is_of_no_use_is_named(
    content: str | None, problem: str, tmp_path: Path
) -> None:
    """At once, and what is in it is not shown."""
    file = tmp_path / "credential.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DerivaMLRequestError, match=problem) as caught:
        Server("localhost", 1, file)
    assert "s3cret" not in str(caught.value)


def test_what_logging_in_stored_is_used(
    double: DerivaDouble, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for at the first request: deriva may ask the server to renew it."""
    asked: list[str] = []

    def stored(host: str) -> dict[str, str]:
        asked.append(host)
        return double.credential()

    monkeypatch.setattr("deriva.core.get_credential", stored)
    opened = Server(double.url, catalog, patience=QUICK)
    assert asked == []
    assert opened.get(f"/entity/{ASSETS}") == []
    opened.get(f"/entity/{ASSETS}")
    assert asked == [double.host]


def test_the_login_reaches_a_server_that_is_given_by_its_address(double: DerivaDouble, catalog: str) -> None:
    """With a port, too, where deriva's own constructor loses the cookie."""
    port = double.host.partition(":")[2]
    opened = Server(f"http://127.0.0.1:{port}", catalog, double.credential(), QUICK)
    assert opened.get(f"/entity/{ASSETS}") == []


def test_who_is_not_logged_in_is_told_how_to(double: DerivaDouble, catalog: str) -> None:
    error = refused(double, lambda: Server(double.url, catalog, {}, QUICK).get(f"/entity/{ASSETS}"))
    assert error.status == 401
    assert f"not logged in to {double.host}" in str(error)
    assert f"deriva-globus-auth-utils login --host {double.host}" in str(error)


def test_a_login_that_expires_is_told(double: DerivaDouble, remote: Server) -> None:
    assert remote.get(f"/entity/{ASSETS}") == []
    double.sessions.expire()
    assert "expired" in str(refused(double, lambda: remote.get(f"/entity/{ASSETS}")))


@pytest.mark.parametrize("generation", ["head", "1.17.10"])
def test_a_lease_without_a_login_is_refused_like_all_else(double: DerivaDouble, generation: str) -> None:
    """The server says that its own schema does not exist."""
    expired = Server(double.url, double.create_catalog(generation), {"cookie": "webauthn=old"}, QUICK)
    error = refused(double, lambda: expired.lease(1))
    assert (error.status, "deriva-globus-auth-utils login --host" in str(error)) == (401, True)


def again(double: DerivaDouble, file: Path) -> None:
    """Log in (again), as the command does: what was stored is replaced."""
    double.sessions.expire()
    file.write_text(json.dumps({double.host: double.credential()}))


@pytest.fixture(params=["file", "stored"])
def logged_in(
    request: pytest.FixtureRequest,
    double: DerivaDouble,
    catalog: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Server, Path]]:
    """A server that takes the login of a file, or the one that deriva stored; and where it is."""
    file = tmp_path / "credential.json"
    again(double, file)
    monkeypatch.setattr("deriva.core.get_credential", lambda host: json.loads(file.read_text()).get(host))
    with closing(Server(double.url, catalog, file if request.param == "file" else None, QUICK)) as opened:
        yield opened, file


def test_who_logs_in_again_while_a_run_goes_on_is_let_in(
    double: DerivaDouble, logged_in: tuple[Server, Path], file: Path
) -> None:
    """Rows, objects there and back, also in a request that is sent only once."""
    opened, credential = logged_in
    assert opened.get(f"/entity/{ASSETS}") == []
    again(double, credential)
    double.log.clear()
    opened.insert(
        ASSETS,
        [{"URL": "/hatrac/x", "Filename": "x", "Length": 1, "MD5": "0" * 32}],
        given=(),
        repeatable=False,
    )
    assert [one.status for one in double.log] == [401, 200]
    again(double, credential)
    url = put(opened, "/hatrac/a", file)
    again(double, credential)
    assert b"".join(get_object(opened, url)) == file.read_bytes()
    again(double, credential)
    assert opened.path_builder().schemas["deriva-ml"]


def test_all_threads_get_the_new_login(double: DerivaDouble, logged_in: tuple[Server, Path]) -> None:
    opened, credential = logged_in
    meet = threading.Barrier(4)

    def work(_: int) -> int:
        opened.describe("/schema")
        meet.wait()
        if meet.wait() == 0:
            again(double, credential)
        meet.wait()
        return len(opened.get(f"/entity/{ASSETS}"))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 0, 0, 0]


def test_a_login_that_nobody_renews_is_refused_as_ever(
    double: DerivaDouble, logged_in: tuple[Server, Path]
) -> None:
    """At once: neither the same one, nor another that is of no use, nor a file that is gone makes it ask on."""
    opened, credential = logged_in
    opened.get(f"/entity/{ASSETS}")
    double.sessions.expire()
    assert refused(double, lambda: opened.get(f"/entity/{ASSETS}")).status == 401
    credential.write_text(json.dumps({double.host: {"cookie": "webauthn=another"}}))
    with pytest.raises(ServerRefused, match="not logged in"):
        opened.get(f"/entity/{ASSETS}")
    assert len(double.log) == 3
    if opened._given:
        credential.unlink()
        assert refused(double, lambda: opened.get(f"/entity/{ASSETS}")).status == 401
