"""A Deriva server is spoken to so that no passing trouble loses or doubles anything, and no refusal is a riddle."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests

from deriva_double import DerivaDouble, Fault
from deriva_ml.catalog.remote import hatrac, retry, server
from deriva_ml.catalog.remote.errors import ServerRefused, ServerUnreachable
from deriva_ml.catalog.remote.login import address, checked_credential
from deriva_ml.catalog.remote.server import Patience, Server, any_of, object_name, quote
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

QUICK = Patience(pause=0.001)
PASSING = (Fault.ABORTED, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.TRUNCATED)
ASSETS = "deriva-ml:Execution_Asset"


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
    with Server(double.url, catalog, double.credential(), QUICK) as opened:
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


def asset_rows(remote: Server, count: int = 3) -> list[dict[str, Any]]:
    """Rows for Execution_Asset, under leased RIDs."""
    return [
        {"RID": rid, "URL": f"/hatrac/x/{rid}", "Filename": "x", "Length": 1, "MD5": "0" * 32}
        for rid in remote.lease(count)
    ]


# ------------------------------------------------------------------------------------- which server, and who asks


def test_opening_asks_nothing(double: DerivaDouble, remote: Server) -> None:
    """A server that is down is no reason not to open its catalog."""
    assert len(double.log) == 0
    assert (remote.host, remote.url, remote.name) == (double.host, double.url, double.url)


def test_the_module_is_loaded_without_the_deriva_package() -> None:
    """`--help` does not wait for deriva and requests to be imported."""
    code = "import deriva_ml.catalog.remote.transfer, sys; print({'deriva', 'requests'} & sys.modules.keys())"
    source = Path(server.__file__).parents[3]
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
    """With a port or without, with https:// before it or not: it is one; and its `name` opens the same again."""
    opened = Server(given, 1, {})
    assert (opened.host, opened.url, opened.name) == (host, url, name or host)
    assert Server(opened.name, 1, {}).url == url


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


# ---------------------------------------------------------------------------------------------- trouble that passes


@pytest.mark.parametrize("fault", PASSING)
def test_a_read_survives(fault: Fault, double: DerivaDouble, catalog: str, remote: Server) -> None:
    """Whatever becomes of an answer, the rows come."""
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    double.log.clear()
    double.faults.at(1, fault)
    double.faults.at(2, fault)
    assert len(remote.get(f"/entity/{ASSETS}")) == 3
    assert len(double.log) == 3


@pytest.mark.parametrize("fault", PASSING)
def test_an_insert_survives_and_stores_nothing_twice(
    fault: Fault, double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """Also when the answer to one that was stored is lost."""
    rows = asset_rows(remote)
    double.faults.on(fault, "POST", "Execution_Asset", times=2)
    remote.insert(ASSETS, rows)
    stored = double.rows(catalog, "Execution_Asset")
    assert [row["RID"] for row in stored] == sorted(row["RID"] for row in rows)
    assert double.log.count("POST", "Execution_Asset") == 3


@pytest.mark.parametrize("fault", PASSING)
def test_an_update_survives(fault: Fault, double: DerivaDouble, catalog: str, remote: Server) -> None:
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    double.faults.on(fault, "PUT", "attributegroup")
    remote.update(ASSETS, [{"RID": row["RID"], "Description": f"of {row['RID']}"} for row in rows])
    assert all(row["Description"] == f"of {row['RID']}" for row in double.rows(catalog, "Execution_Asset"))


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(
    double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """The request is sent again; what it had done is not done a second time."""
    rows = asset_rows(remote)
    hasty = Server(double.url, catalog, double.credential(), Patience(pause=0.001, read=0.1))
    double.faults.on(Fault.SLOW, "POST", "Execution_Asset", delay=0.5)
    hasty.insert(ASSETS, rows)
    assert len(double.rows(catalog, "Execution_Asset")) == 3


def test_a_server_that_comes_back_is_found_again(
    double: DerivaDouble, catalog: str, remote: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is restarted in the middle of a request."""
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: double.start())
    double.faults.on(Fault.DOWN, "GET", "/entity")
    assert remote.get(f"/entity/{ASSETS}") == []


def test_a_server_that_is_not_there_is_named(pauses: list[float]) -> None:
    """With the reason, after as many attempts as there shall be."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # not listening: whoever connects is refused
        host = f"localhost:{held.getsockname()[1]}"
        with pytest.raises(ServerUnreachable) as caught:
            Server(f"http://{host}", 1, {}, Patience(attempts=4)).snaptime()
    assert str(caught.value) == f"{host} cannot be reached (Connection refused)"
    assert caught.value.host == host
    assert len(pauses) == 3


def test_a_name_that_nobody_has_is_named(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        ServerUnreachable, match=r"no.such.host cannot be reached \(Name or service not known\)"
    ):
        Server("no.such.host", 1, {}).snaptime()


def test_a_certificate_that_cannot_be_verified_is_told(pauses: list[float]) -> None:
    """At once, since it will be the same the next time; with what can be done about it."""
    failure = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    with pytest.raises(ServerUnreachable, match="REQUESTS_CA_BUNDLE"):
        retry.Attempts("www.example.org", QUICK).failed(failure)
    assert pauses == []


def test_the_certificate_of_this_machine_is_verified_too() -> None:
    """deriva takes any for "localhost"; whoever listens there would get the login."""
    assert Server("localhost:8443", 1, {}).binding()._session.verify is True


def test_a_server_that_goes_on_failing_is_given_up(double: DerivaDouble, remote: Server) -> None:
    """What it says is told."""
    double.faults.on(Fault.ABORTED, times=100)
    with pytest.raises(ServerUnreachable, match="cannot answer now .503 Transaction aborted"):
        remote.get("/schema")
    assert len(double.log) == QUICK.attempts


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that met once do not meet again at once, and none waits longer than it shall."""
    patience = Patience(pause=1.0, longest=5.0)
    assert {patience.delay(1) for _ in range(50)} != {patience.delay(1)}
    for failures, most in ((1, 1), (2, 2), (3, 4), (4, 5), (50, 5)):
        drawn = [patience.delay(failures) for _ in range(200)]
        assert 0 <= min(drawn) and most / 2 < max(drawn) <= most
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0")
    assert patience.delay(4) == 0
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "soon")
    with pytest.raises(DerivaMLRequestError, match="DERIVA_ML_RETRY_PAUSE"):
        patience.delay(1)


def test_a_server_may_ask_for_a_longer_pause(impostor: Any, pauses: list[float]) -> None:
    """Within bounds."""
    impostor.answers += [
        (503, {"Retry-After": "3"}, b""),
        (429, {"Retry-After": "9999"}, b""),
        (200, {}, b"{}"),
    ]
    patience = Patience(pause=0.01, longest=5)
    assert Server(impostor.url, 1, {}, patience).get("") == {}
    assert pauses == [3, 5]


def test_writers_that_meet_all_get_through(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """The server aborts transactions that meet; threads share the object."""
    double.catalog(catalog).refuse_concurrent_writes = True
    patient = Server(double.url, catalog, double.credential(), Patience(attempts=50, pause=0.002))
    rows = asset_rows(remote, 24)
    failures: list[BaseException] = []

    def write(share: list[dict[str, Any]]) -> None:
        try:
            for row in share:
                patient.insert(ASSETS, [row])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(rows[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(double.rows(catalog, "Execution_Asset")) == 24


@pytest.mark.parametrize("fault", PASSING)
def test_rows_without_leased_identifiers_are_stored_once_together_with_a_look(
    fault: Fault, double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """Where no RID may be leased: looking and inserting are repeated as one."""

    def store() -> str:
        found = remote.get(f"/entity/{ASSETS}/Description=mine")
        if not found:
            row = {"URL": "/hatrac/x/y", "Length": 1, "MD5": "0" * 32, "Description": "mine"}
            found = remote.insert(ASSETS, [row], given=(), repeatable=False)
        return str(found[0]["RID"])

    double.faults.on(fault, "POST", "Execution_Asset")
    rid = remote.repeat(store)
    assert [row["RID"] for row in double.rows(catalog, "Execution_Asset")] == [rid]


def test_what_is_repeated_as_one_is_not_repeated_in_its_parts(double: DerivaDouble, remote: Server) -> None:
    """A server that is down is given up after as many attempts as for one request."""
    double.faults.on(Fault.ABORTED, times=100)
    with pytest.raises(ServerUnreachable):
        remote.repeat(lambda: remote.get("/schema"))
    assert len(double.log) == QUICK.attempts
    double.log.clear()
    with pytest.raises(ServerUnreachable):
        remote.get("/schema")
    assert len(double.log) == QUICK.attempts


# --------------------------------------------------------------------------------------------------------- refusals


def refused(double: DerivaDouble, call: Any) -> ServerRefused:
    """The error of a call that the server refuses: raised after one request, in one line that holds no login."""
    double.log.clear()
    with pytest.raises(ServerRefused) as caught:
        call()
    assert len(double.log) == 1
    assert "\n" not in str(caught.value) and "\n" not in caught.value.detail
    assert "webauthn" not in str(caught.value)
    return caught.value


def test_who_is_not_logged_in_is_told_how_to(double: DerivaDouble, catalog: str) -> None:
    error = refused(double, lambda: Server(double.url, catalog, {}, QUICK).get(f"/entity/{ASSETS}"))
    assert error.status == 401
    assert f"not logged in to {double.host}" in str(error)
    assert f"deriva-globus-auth-utils login --host {double.host}" in str(error)


def test_a_login_that_expires_is_told(double: DerivaDouble, remote: Server) -> None:
    assert remote.get(f"/entity/{ASSETS}") == []
    double.sessions.expire()
    assert "expired" in str(refused(double, lambda: remote.get(f"/entity/{ASSETS}")))


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
    with Server(double.url, catalog, file if request.param == "file" else None, QUICK) as opened:
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
    assert b"".join(opened.get_object(url)) == file.read_bytes()
    again(double, credential)
    assert opened.path_builder().schemas["deriva-ml"]


def test_all_threads_get_the_new_login(double: DerivaDouble, logged_in: tuple[Server, Path]) -> None:
    opened, credential = logged_in
    meet = threading.Barrier(4)

    def work(_: int) -> int:
        opened.get("/schema")
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


def test_a_row_that_was_deleted_there_cannot_be_updated(
    double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """The server answers as if nothing were wrong; the others are updated."""
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    gone = rows[1]["RID"]
    remote.delete(f"/entity/{ASSETS}/RID={gone}")
    with pytest.raises(ServerRefused) as caught:
        remote.update(ASSETS, [{"RID": row["RID"], "Description": "new"} for row in rows])
    expected = f"the row {gone} of Execution_Asset on {double.host} is gone: it was deleted there"
    assert (caught.value.status, str(caught.value)) == (404, expected)
    assert [row["Description"] for row in double.rows(catalog, "Execution_Asset")] == ["new", "new"]


def test_a_missing_right_is_told(double: DerivaDouble, catalog: str) -> None:
    """In the server's words: which right, on what."""
    reader = Server(double.url, catalog, double.credential("reader"), QUICK)
    error = refused(double, lambda: reader.get(f"/entity/{ASSETS}"))
    assert error.status == 403
    assert f"{double.host} does not allow you" in str(error)
    assert "(select access on :deriva-ml:Execution_Asset): ask the catalog's owner" in str(error)


def test_a_catalog_that_is_not_there_is_told(double: DerivaDouble, catalog: str) -> None:
    other = Server(double.url, 99, double.credential(), QUICK)
    error = refused(double, lambda: other.get("/schema"))
    assert (error.status, str(error)) == (404, f"there is no catalog 99 on {double.host}")


def test_a_conflict_is_told(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """With what the database says, in one line."""
    row = asset_rows(remote, 1)[0]
    wrong = {**row, "MD5": None}
    error = refused(double, lambda: remote.insert(ASSETS, [wrong]))
    assert error.status == 409
    assert error.detail.startswith('null value in column "MD5"')
    assert error.detail in str(error)
    remote.insert(ASSETS, [row])
    error = refused(double, lambda: remote.insert(ASSETS, [row], repeatable=False))
    assert "duplicate key" in str(error)


def test_long_words_are_cut(double: DerivaDouble, remote: Server) -> None:
    error = refused(double, lambda: remote.get(f"/entity/deriva-ml:{'x' * 2000}"))
    assert len(str(error)) < 600


def test_another_web_server_is_told(impostor: Any, pauses: list[float]) -> None:
    """A page instead of rows, or a proxy's page instead of words, is nothing to show."""
    page = {"Content-Type": "text/html"}, b"<html>Welcome</html>"
    other = Server(impostor.url, 1, {}, Patience(attempts=1))
    impostor.answers += [(200, *page), (502, *page), (404, *page)]
    with pytest.raises(DerivaMLException, match="does not answer as a Deriva server does"):
        other.get("/schema")
    with pytest.raises(ServerUnreachable, match=r"cannot answer now \(502 Bad Gateway\)"):
        other.get("/schema")
    with pytest.raises(ServerRefused, match="/ermrest/catalog/1/schema"):
        other.get("/schema")


# --------------------------------------------------------------------------------------------------------- the rows


def test_identifiers_are_leased_in_one_request(double: DerivaDouble, catalog: str, remote: Server) -> None:
    leased = remote.lease(200)
    assert len(set(leased)) == 200
    assert len(double.log) == 1
    assert remote.lease(0) == []
    assert len(double.log) == 1


@pytest.mark.parametrize("fault", PASSING)
def test_leasing_survives(fault: Fault, double: DerivaDouble, catalog: str, remote: Server) -> None:
    double.faults.on(fault, "POST", "Lease")
    assert len(set(remote.lease(5))) == 5


def test_nothing_to_insert_or_to_change_is_no_request(double: DerivaDouble, remote: Server) -> None:
    assert remote.insert(ASSETS, []) == []
    remote.update(ASSETS, [])
    assert remote.get_any(f"/entity/{ASSETS}", "RID", []) == []
    assert len(double.log) == 0


def test_rows_come_back_as_they_are_stored(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """With the identifiers and times that were given, and those that were not."""
    row = asset_rows(remote, 1)[0] | {"RCT": "2020-01-02T03:04:05+00:00"}
    (stored,) = remote.insert(ASSETS, [row], given=("RID", "RCT"))
    assert (stored["RID"], stored["RCT"][:10], stored["RCB"]) == (row["RID"], "2020-01-02", "admin")
    assert remote.get(f"/entity/{ASSETS}/RID={row['RID']}") == [stored]
    assert remote.insert(ASSETS, [row], given=("RID", "RCT")) == []


def test_columns_can_be_left_to_the_server(double: DerivaDouble, catalog: str, remote: Server) -> None:
    term = {"Name": "Sketch", "Description": "drawn"}
    (stored,) = remote.insert("deriva-ml:Asset_Type", [term], given=(), generated=("ID", "URI"))
    assert stored["ID"] and stored["URI"]


def test_many_rows_go_in_batches(
    double: DerivaDouble, catalog: str, remote: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LARGEST_BATCH", 2)
    rows = asset_rows(remote, 5)
    double.log.clear()
    assert [row["RID"] for row in remote.insert(ASSETS, rows)] == [row["RID"] for row in rows]
    remote.update(ASSETS, [{"RID": row["RID"], "Length": 2} for row in rows])
    assert [one.method for one in double.log] == ["POST"] * 3 + ["PUT"] * 3
    assert {row["Length"] for row in double.rows(catalog, "Execution_Asset")} == {2}


def test_only_the_named_columns_are_changed(double: DerivaDouble, catalog: str, remote: Server) -> None:
    first, second = asset_rows(remote, 2)
    remote.insert(ASSETS, [first, second])
    remote.update(ASSETS, [{"RID": first["RID"], "Description": "a; b/c", "Length": 7}])
    changed, same = double.rows(catalog, "Execution_Asset")
    assert (changed["Description"], changed["Length"], changed["URL"]) == ("a; b/c", 7, first["URL"])
    assert (same["Description"], same["Length"]) == (None, 1)


def test_many_values_are_asked_for_in_few_requests(
    double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """No request line is longer than servers take."""
    rows = [{**row, "URL": f"/hatrac/x/{'long' * 10}/{row['RID']}"} for row in asset_rows(remote, 300)]
    remote.insert(ASSETS, rows)
    double.log.clear()
    found = remote.get_any(f"/entity/{ASSETS}", "URL", [row["URL"] for row in rows * 2])
    assert sorted(row["RID"] for row in found) == sorted(row["RID"] for row in rows)
    assert 1 < len(double.log) < 6


def test_filters_are_short_and_name_every_value_once() -> None:
    values = [f"{number}, é/{'x' * (number % 90)}" for number in range(1000)]
    filters = list(any_of("A b", values))
    assert all(one.startswith("A%20b=any(") and one.endswith(")") and len(one) < 6000 for one in filters)
    named = [name for one in filters for name in one[len("A%20b=any(") : -1].split(",")]
    assert named == [quote(value) for value in values]
    assert list(any_of("RID", ["x" * 9000])) == [f"RID=any({'x' * 9000})"]


def test_the_past_can_be_read(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """At a snapshot the catalog is as it was."""
    remote.insert(ASSETS, asset_rows(remote, 1))
    before = remote.snaptime()
    remote.delete(f"/entity/{ASSETS}")
    assert remote.get(f"/entity/{ASSETS}") == []
    assert len(remote.get(f"/entity/{ASSETS}", snapshot=before)) == 1


def test_deleting_what_is_not_there_is_no_error(double: DerivaDouble, remote: Server) -> None:
    remote.delete(f"/entity/{ASSETS}/RID=NONE")
    assert [(one.method, one.status) for one in double.log] == [("DELETE", 404)]


def test_the_model_is_read_once(double: DerivaDouble, remote: Server) -> None:
    assert "Execution" in remote.schema()["schemas"]["deriva-ml"]["tables"]
    assert remote.schema() is remote.schema()
    assert len(double.log) == 1


def test_an_alias_leads_to_the_catalogs_number(double: DerivaDouble, catalog: str, remote: Server) -> None:
    alias = Server(double.url, "study", double.credential(), QUICK)
    assert [alias.canonical_id(), alias.canonical_id()] == [catalog, catalog]
    assert len(double.log) == 1
    assert remote.canonical_id() == catalog
    assert len(double.log) == 1


def test_derivas_own_interface_is_at_hand(remote: Server) -> None:
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    table = remote.path_builder().schemas["deriva-ml"].Execution_Asset
    assert len(list(table.entities().fetch())) == 3


def test_a_closed_server_can_be_asked_again(remote: Server) -> None:
    before = remote.snaptime()
    remote.close()
    assert remote.snaptime() == before


# ------------------------------------------------------------------------------------------------------ the objects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_bytes(bytes(range(256)) * 1024)
    return path


def digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def put(remote: Server, name: str, file: Path, **options: Any) -> str:
    return remote.put_object(
        name, file, digest(file), file.stat().st_size, **{"filename": file.name, **options}
    )


def versions(remote: Server, name: str) -> list[str]:
    found: list[str] = remote.request("get", f"{name};versions").json()
    return found


@pytest.mark.parametrize(
    ("filename", "safe"),
    [
        ("a-b_c.tar.gz", "a-b_c.tar.gz"),
        ("a b+c,d;e:f%/g.txt", "98ca350c-a_b_c_d_e_f__g.txt"),
        ("été 日本.csv", "c242b6d6-_t____.csv"),
        ("..", ".."),
    ],
)
def test_object_names_hold_what_every_server_takes(filename: str, safe: str) -> None:
    assert object_name("Execution_Asset", "0" * 32, filename) == f"/hatrac/Execution_Asset/{'0' * 32}.{safe}"


def test_long_names_are_cut_and_keep_their_suffix() -> None:
    name = object_name("Execution_Asset", "0" * 32, "long" * 100 + ".parquet")
    assert len(name) == 200 and name.endswith("longlo.parquet")
    assert len(object_name("T", "0" * 32, "." + "x" * 500)) == 200


@pytest.mark.parametrize(
    "names",
    [
        ("a b.csv", "a_b.csv"),
        ("東京.txt", "大阪.txt"),
        ("x" * 190 + "1.csv", "x" * 190 + "2.csv"),
        ("\udc80", "_"),
    ],
)
def test_different_names_make_different_objects(names: tuple[str, str]) -> None:
    """Else, of two files with one content, only one would have a row."""
    made = {object_name("Execution_Asset", "0" * 32, name) for name in names}
    assert len(made) == 2
    assert all(len(name) <= 200 and name.isascii() and name.isprintable() for name in made)


def test_a_new_content_takes_one_request(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """It is there with its name for a browser, its digest and its kind."""
    seen: list[int] = []
    url = put(remote, "/hatrac/new/kind/x.csv", file, filename="é ü.csv", on_bytes=seen.append)
    assert [(one.method, one.status) for one in double.log] == [("PUT", 201)]
    assert double.objects()["/hatrac/new/kind/x.csv"] == (digest(file), file.stat().st_size)
    headers = remote.request("head", url).headers
    assert headers["Content-Location"] == url
    assert headers["Content-Disposition"] == "filename*=UTF-8''%C3%A9%20%C3%BC.csv"
    assert headers["Content-Type"] == "text/csv"
    assert sum(seen) == file.stat().st_size


def test_an_empty_file_is_a_content_too(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    file.write_bytes(b"")
    assert b"".join(remote.get_object(put(remote, "/hatrac/x.csv", file))) == b""


def test_a_content_that_is_there_is_not_made_again(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    url = put(remote, "/hatrac/x.csv", file)
    assert put(remote, "/hatrac/x.csv", file) == url
    assert versions(remote, "/hatrac/x.csv") == [url]


@pytest.mark.parametrize("fault", PASSING)
def test_a_put_survives_and_makes_one_version(
    fault: Fault, double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    double.faults.on(fault, "PUT", "/hatrac/", times=2)
    url = put(remote, "/hatrac/x.csv", file)
    assert versions(remote, "/hatrac/x.csv") == [url]
    assert b"".join(remote.get_object(url)) == file.read_bytes()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_another_content_under_the_name_stays_and_gets_a_successor(
    number: int, double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """Just one, whichever answer is lost."""
    other = file.with_name("other.csv")
    other.write_bytes(b"other")
    before = put(remote, "/hatrac/x.csv", other)
    double.log.clear()
    double.faults.at(number, Fault.RESET_AFTER)
    url = put(remote, "/hatrac/x.csv", file)
    assert versions(remote, "/hatrac/x.csv") == [url, before]
    assert b"".join(remote.get_object(before)) == b"other"


def test_a_file_that_is_not_what_was_recorded_is_told(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """And does not keep the right content from the name that the refused one leaves behind."""
    right = digest(file)
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(DerivaMLException, match=r"results.csv is not what its record says"):
        remote.put_object("/hatrac/x.csv", file, right, file.stat().st_size, filename="x.csv")
    file.write_bytes(file.read_bytes()[::-1])
    url = put(remote, "/hatrac/x.csv", file)
    assert b"".join(remote.get_object(url)) == file.read_bytes()


@pytest.mark.parametrize("largest", [1 << 20, 1000])
def test_a_name_whose_object_was_deleted_is_gone_round(
    largest: int,
    double: DerivaDouble,
    catalog: str,
    remote: Server,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hatrac never gives such a name again."""
    monkeypatch.setattr(hatrac, "LARGEST_PUT", largest)
    for name in ("/hatrac/a/1.x.csv", "/hatrac/a/1-2.x.csv"):
        put(remote, name, file)
        remote.request("delete", name)
    url = put(remote, "/hatrac/a/1.x.csv", file)
    assert url.startswith("/hatrac/a/1-3.x.csv:")
    assert b"".join(remote.get_object(url)) == file.read_bytes()


def test_a_refused_put_is_told(double: DerivaDouble, catalog: str, file: Path) -> None:
    reader = Server(double.url, catalog, double.credential("reader"), QUICK)
    assert refused(double, lambda: put(reader, "/hatrac/x.csv", file)).status == 403


def test_a_file_that_cannot_be_read_is_told(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """It is not the network's fault, and not tried again."""
    with pytest.raises(DerivaMLException, match="missing.csv cannot be read: No such file"):
        remote.put_object("/hatrac/x.csv", file.with_name("missing.csv"), "0" * 32, 10, filename="x")
    with pytest.raises(DerivaMLException, match="results.csv has become shorter"):
        remote.put_object("/hatrac/x.csv", file, digest(file), file.stat().st_size + 1, filename="x")


def test_memory_does_not_grow_with_the_file(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """Neither for a whole file nor for one in chunks, up or down. (What the double takes is in here, too.)"""
    double.hatrac.store.drop_over = None
    file.write_bytes(bytes(60 << 20))
    md5 = digest(file)
    remote.snaptime()
    tracemalloc.start()
    try:
        for length in (20 << 20, 60 << 20):
            with file.open("r+b") as stream:
                stream.truncate(length)
            md5 = hashlib.md5(bytes(length)).hexdigest()
            tracemalloc.clear_traces()
            url = remote.put_object(f"/hatrac/{md5}", file, md5, length, filename="zeros")
            for _ in remote.get_object(url):
                pass
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
            file.write_bytes(bytes(60 << 20))
    finally:
        tracemalloc.stop()


# Chunks: HEAD, POST for the job, three PUT, POST to finish
@pytest.fixture
def chunked(double: DerivaDouble, catalog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatrac, "LARGEST_PUT", 100_000)
    double.log.clear()


@pytest.mark.parametrize(("number", "fault"), list(product(range(1, 7), PASSING)))
def test_an_upload_in_chunks_survives_in_each_of_its_requests(
    number: int, fault: Fault, double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    """One version comes of it, and no chunk is sent again but the one that failed."""
    double.faults.at(number, fault)
    url = put(remote, "/hatrac/x.csv", file)
    failed = number in (3, 4, 5) and fault is not Fault.TRUNCATED  # there is no body to break off
    assert double.log.object_puts == 3 + failed
    assert versions(remote, "/hatrac/x.csv") == [url]
    assert b"".join(remote.get_object(url)) == file.read_bytes()


def test_a_large_content_that_is_there_is_not_sent_again(
    double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    url = put(remote, "/hatrac/x.csv", file)
    double.log.clear()
    assert put(remote, "/hatrac/x.csv", file) == url
    assert [one.method for one in double.log] == ["HEAD"]


@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.ABORTED])
def test_an_upload_in_chunks_that_fails_leaves_no_job_behind(
    fault: Fault, double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    """Where the server still lets it be cancelled."""
    wrong = "0" * 32
    with pytest.raises(DerivaMLException, match="not what its record says"):
        remote.put_object("/hatrac/x.csv", file, wrong, file.stat().st_size, filename="x.csv")
    double.faults.on(fault, "PUT", "/1", times=QUICK.attempts)
    with pytest.raises((ServerRefused, ServerUnreachable)):
        put(remote, "/hatrac/y.csv", file)
    jobs = [node.jobs for node in double.hatrac.root.children.values()]
    assert jobs == [{}, {}] if fault is Fault.ABORTED else jobs[0] == {}


def test_a_content_is_read_from_any_byte_on(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    url = put(remote, "/hatrac/x.csv", file)
    for offset in (0, 1, 100_000):
        assert b"".join(remote.get_object(url, offset)) == file.read_bytes()[offset:]
    assert b"".join(remote.get_object(double.url + url)) == file.read_bytes()


@pytest.mark.parametrize("fault", PASSING)
def test_a_content_is_read_on_where_the_answer_broke_off(
    fault: Fault, double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """As often as something comes; what came is not asked for again."""
    file.write_bytes(file.read_bytes() * 32)
    url = put(remote, "/hatrac/x.csv", file)
    double.log.clear()
    times = QUICK.attempts + (1 if fault is Fault.TRUNCATED else -1)
    double.faults.on(fault, "GET", "/hatrac/", times=times)
    assert b"".join(remote.get_object(url)) == file.read_bytes()
    if fault is Fault.TRUNCATED:
        assert [one.status for one in double.log] == [200] + [206] * times


def test_a_server_that_knows_no_ranges_is_read_all_the_same(impostor: Any, pauses: list[float]) -> None:
    impostor.answers += [(200, {}, b"0123456789")]
    assert b"".join(Server(impostor.url, 1, {}).get_object("/hatrac/x", 4)) == b"456789"


def test_a_content_that_is_gone_is_told(double: DerivaDouble, catalog: str, remote: Server) -> None:
    error = refused(double, lambda: list(remote.get_object("/hatrac/x.csv")))
    assert (error.status, error.detail) == (404, "Resource /hatrac/x.csv not found.")


def test_the_login_is_not_sent_to_another_server(double: DerivaDouble, remote: Server) -> None:
    for url in ("https://www.example.org/hatrac/x", f"{double.url}.example.org/x", f"{double.url}@x/x"):
        with pytest.raises(DerivaMLRequestError, match="is not on localhost"):
            list(remote.get_object(url))
    assert len(double.log) == 0
