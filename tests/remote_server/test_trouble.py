"""No trouble that passes loses or doubles anything, and none is waited for in vain."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
import requests

from deriva_double import DerivaDouble, Fault
from deriva_ml.deriva import retry
from deriva_ml.deriva.answers import ServerUnreachable
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLRequestError
from remote_server.calls import ASSETS, PASSING, QUICK, asset_rows


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
    hasty = Server(double.url, catalog, double.credential(), RetryPolicy(pause=0.001, read=0.1))
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
            Server(f"http://{host}", 1, {}, RetryPolicy(attempts=4)).snaptime()
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
        retry.Retrier("www.example.org", QUICK).failed(failure)
    assert pauses == []


def test_the_certificate_of_this_machine_is_verified_too() -> None:
    """deriva takes any for "localhost"; whoever listens there would get the login."""
    assert Server("localhost:8443", 1, {}).binding(QUICK)._session.verify is True


def test_a_server_that_goes_on_failing_is_given_up(double: DerivaDouble, remote: Server) -> None:
    """What it says is told."""
    double.faults.on(Fault.ERROR, times=100)
    with pytest.raises(ServerUnreachable, match="cannot answer now .500 "):
        remote.describe("/schema")
    assert len(double.log) == QUICK.attempts


@pytest.mark.parametrize("fault", [Fault.ABORTED, Fault.NAMESPACE_RACE], ids=lambda fault: fault.name)
@pytest.mark.parametrize(
    "repeatable", [True, False], ids=["", "a row that nothing but a look would find again"]
)
def test_writers_that_meet_again_and_again_are_no_outage(
    fault: Fault, repeatable: bool, double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """It means "again, now": it is sent more often than to a server that is away, and nothing is stored twice."""
    remote.patience = RetryPolicy(pause=0.05)
    given = ("RID",) if repeatable else ()
    [row] = asset_rows(remote, 1)
    double.faults.on(fault, "POST", "Execution_Asset", times=2 * QUICK.attempts)
    remote.insert(ASSETS, [row], given=given, repeatable=repeatable)
    assert len(double.rows(catalog, "Execution_Asset")) == 1


def test_writers_that_meet_for_ever_are_given_up(double: DerivaDouble, remote: Server) -> None:
    """After half a minute as a rule, here after 60 times a thousandth of a second; sooner where a run is held up."""
    double.faults.on(Fault.ABORTED, times=10_000)
    begun = time.monotonic()
    with pytest.raises(ServerUnreachable, match="cannot answer now .503 Transaction aborted"):
        remote.describe("/schema")
    assert len(double.log) >= QUICK.attempts
    assert 0.05 < time.monotonic() - begun < 20
    assert (
        retry.LIVE.collisions * retry.LIVE.pause <= 3 < retry.PATIENT.collisions * retry.PATIENT.pause <= 30
    )


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that met once do not meet again at once, and none waits longer than it shall."""
    patience = RetryPolicy(pause=1.0, longest=5.0)
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
    patience = RetryPolicy(pause=0.01, longest=5)
    assert Server(impostor.url, 1, {}, patience).describe("") == {}
    assert pauses == [3, 5]


def test_writers_that_meet_all_get_through(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """The server aborts transactions that meet; threads share the object."""
    double.catalog(catalog).refuse_concurrent_writes = True
    patient = Server(double.url, catalog, double.credential(), RetryPolicy(attempts=50, pause=0.002))
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
    double.faults.on(Fault.ERROR, times=100)
    with pytest.raises(ServerUnreachable):
        remote.repeat(lambda: remote.describe("/schema"))
    assert len(double.log) == QUICK.attempts
    double.log.clear()
    with pytest.raises(ServerUnreachable):
        remote.describe("/schema")
    assert len(double.log) == QUICK.attempts
