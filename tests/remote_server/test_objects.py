"""Contents of every size are put once, under names that every server takes, and read from any byte on."""

from __future__ import annotations

import hashlib
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble, Fault
from deriva_ml.deriva import hatrac
from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable
from deriva_ml.deriva.hatrac import Upload, get_object, object_name, put_object
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from remote_server.calls import PASSING, QUICK, digest, put, refused, versions


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


@pytest.mark.parametrize(("length", "asked"), [(1 << 16, 0), ((1 << 16) + 1, 1)])
def test_a_new_content_takes_one_request_and_a_large_one_a_question_before(
    length: int, asked: int, double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """It is there with its name for a browser, its digest and its kind."""
    file.write_bytes(bytes(length))
    seen: list[int] = []
    url = put(remote, "/hatrac/new/kind/x.csv", file, filename="é ü.csv", on_bytes=seen.append)
    assert [(one.method, one.status) for one in double.log] == [("HEAD", 404)] * asked + [("PUT", 201)]
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
    assert b"".join(get_object(remote, put(remote, "/hatrac/x.csv", file))) == b""


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
    assert b"".join(get_object(remote, url)) == file.read_bytes()


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
    assert b"".join(get_object(remote, before)) == b"other"


def test_a_file_that_is_not_what_was_recorded_is_told(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """And does not keep the right content from the name that the refused one leaves behind."""
    right = digest(file)
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(DerivaMLException, match=r"results.csv is not what its record says"):
        put_object(remote, Upload(file, "/hatrac/x.csv", right, file.stat().st_size, "x.csv"))
    file.write_bytes(file.read_bytes()[::-1])
    url = put(remote, "/hatrac/x.csv", file)
    assert b"".join(get_object(remote, url)) == file.read_bytes()


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
    assert b"".join(get_object(remote, url)) == file.read_bytes()


def test_a_refused_put_is_told(double: DerivaDouble, catalog: str, file: Path) -> None:
    reader = Server(double.url, catalog, double.credential("reader"), QUICK)
    file.write_bytes(b"small")
    assert refused(double, lambda: put(reader, "/hatrac/x.csv", file)).status == 403


def test_a_file_that_cannot_be_read_is_told(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    """It is not the network's fault, and not tried again."""
    with pytest.raises(DerivaMLException, match="missing.csv cannot be read: No such file"):
        put_object(remote, Upload(file.with_name("missing.csv"), "/hatrac/x.csv", "0" * 32, 10, "x"))
    with pytest.raises(DerivaMLException, match="results.csv has become shorter"):
        put_object(remote, Upload(file, "/hatrac/x.csv", digest(file), file.stat().st_size + 1, "x"))


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
            url = put_object(remote, Upload(file, f"/hatrac/{md5}", md5, length, "zeros"))
            for _ in get_object(remote, url):
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
    assert b"".join(get_object(remote, url)) == file.read_bytes()


def test_a_large_content_that_is_there_is_not_sent_again(
    double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    url = put(remote, "/hatrac/x.csv", file)
    double.log.clear()
    assert put(remote, "/hatrac/x.csv", file) == url
    assert [one.method for one in double.log] == ["HEAD"]


def test_a_file_of_many_chunks_that_cannot_be_read_is_told(
    double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    """In the same words as a small one's."""
    gone = file.with_name("missing.csv")
    with pytest.raises(DerivaMLException, match="missing.csv cannot be read: No such file"):
        put_object(remote, Upload(gone, "/hatrac/x.csv", digest(file), file.stat().st_size, "x"))


@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.ERROR])
def test_an_upload_in_chunks_that_fails_leaves_no_job_behind(
    fault: Fault, double: DerivaDouble, remote: Server, file: Path, chunked: None
) -> None:
    """Where the server still lets it be cancelled."""
    wrong = "0" * 32
    with pytest.raises(DerivaMLException, match="not what its record says"):
        put_object(remote, Upload(file, "/hatrac/x.csv", wrong, file.stat().st_size, "x.csv"))
    double.faults.on(fault, "PUT", "/1", times=QUICK.attempts)
    with pytest.raises((ServerRefused, ServerUnreachable)):
        put(remote, "/hatrac/y.csv", file)
    jobs = [node.jobs for node in double.hatrac.root.children.values()]
    assert jobs == [{}, {}] if fault is Fault.ERROR else jobs[0] == {}


def test_a_content_is_read_from_any_byte_on(
    double: DerivaDouble, catalog: str, remote: Server, file: Path
) -> None:
    url = put(remote, "/hatrac/x.csv", file)
    for offset in (0, 1, 100_000):
        assert b"".join(get_object(remote, url, offset)) == file.read_bytes()[offset:]
    assert b"".join(get_object(remote, double.url + url)) == file.read_bytes()


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
    assert b"".join(get_object(remote, url)) == file.read_bytes()
    if fault is Fault.TRUNCATED:
        assert [one.status for one in double.log] == [200] + [206] * times


def test_a_server_that_knows_no_ranges_is_read_all_the_same(impostor: Any, pauses: list[float]) -> None:
    impostor.answers += [(200, {}, b"0123456789")]
    assert b"".join(get_object(Server(impostor.url, 1, {}), "/hatrac/x", 4)) == b"456789"


def test_a_content_that_is_gone_is_told(double: DerivaDouble, catalog: str, remote: Server) -> None:
    error = refused(double, lambda: list(get_object(remote, "/hatrac/x.csv")))
    assert (error.status, error.detail) == (404, "Resource /hatrac/x.csv not found.")


def test_the_login_is_not_sent_to_another_server(double: DerivaDouble, remote: Server) -> None:
    for url in ("https://www.example.org/hatrac/x", f"{double.url}.example.org/x", f"{double.url}@x/x"):
        with pytest.raises(DerivaMLRequestError, match="is not on localhost"):
            list(get_object(remote, url))
    assert len(double.log) == 0
