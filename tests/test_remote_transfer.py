"""Many files go to a Deriva server and come from it: each once, checked, and on from where a stopped process was."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble, Fault
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import Asset
from deriva_ml.deriva import transfer
from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable
from deriva_ml.deriva.hatrac import object_name
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.deriva.transfer import Upload, download, upload
from deriva_ml.exceptions import DerivaMLException

QUICK = RetryPolicy(pause=0.001)
PASSING = (Fault.ABORTED, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.TRUNCATED)


@pytest.fixture
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        running.create_catalog("bare")
        yield running


@pytest.fixture
def remote(double: DerivaDouble) -> Iterator[Server]:
    with closing(Server(double.url, 1, double.credential(), QUICK)) as opened:
        yield opened


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def make(folder: Path, count: int, size: int = 10_000) -> list[Upload]:
    """Files with different contents, to upload."""
    folder.mkdir(exist_ok=True)
    items = []
    for number in range(count):
        content = hashlib.sha256(str(number).encode()).digest() * (size // 32)
        path = folder / f"{number}.bin"
        path.write_bytes(content)
        md5 = hashlib.md5(content).hexdigest()
        items.append(Upload(path, object_name("Image", md5, path.name), md5, len(content), path.name))
    return items


def put(remote: Server, items: Sequence[Upload]) -> list[Asset]:
    """Upload, and return what is to be downloaded then, in the same order."""
    urls: dict[Upload, str] = {}
    upload(remote, items, urls.__setitem__)
    return [Asset("", "Image", item.filename, item.length, item.md5, urls[item]) for item in items]


def files_in(objects: ObjectStore) -> set[str]:
    """The names of all files in a store, hidden ones too."""
    return {path.name for path in objects.folder.rglob("*") if path.is_file()}


def statuses(double: DerivaDouble) -> list[tuple[str, int]]:
    return [(one.method, one.status) for one in double.log]


# -------------------------------------------------------------------------------------------------------------- up


def test_files_go_up_with_one_request_each(double: DerivaDouble, remote: Server, tmp_path: Path) -> None:
    """And each is reported, in the thread that waits for them, with the URL of its content."""
    items = make(tmp_path, 30)
    reported: dict[Upload, str] = {}
    threads = set()

    def done(item: Upload, url: str) -> None:
        threads.add(threading.current_thread())
        reported[item] = url

    upload(remote, items, done)
    assert statuses(double) == [("PUT", 201)] * 30
    assert threads == {threading.main_thread()}
    assert double.objects() == {item.name: (item.md5, item.length) for item in items}
    assert {item: url.partition(":")[0] for item, url in reported.items()} == {
        item: item.name for item in items
    }


def test_files_go_up_at_the_same_time(
    remote: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are workers, and no more."""
    together = threading.Barrier(4)
    under_way: list[int] = []
    most = []

    def wait_for_the_others(*arguments: Any, **options: Any) -> str:
        under_way.append(1)
        most.append(len(under_way))
        together.wait(10)
        under_way.pop()
        return ""

    monkeypatch.setattr(transfer, "put_object", wait_for_the_others)
    upload(remote, make(tmp_path, 12), lambda *_: None, workers=4)
    assert max(most) == 4


def test_nothing_to_do_is_nothing_done(double: DerivaDouble, remote: Server, objects: ObjectStore) -> None:
    upload(remote, [], lambda *_: None)
    download(remote, [], objects)
    assert len(double.log) == 0 and not objects.folder.exists()


def test_one_name_goes_up_once(double: DerivaDouble, remote: Server, tmp_path: Path) -> None:
    """Records that share a content and a name are each reported."""
    (item,) = make(tmp_path, 1)
    reported: list[str] = []
    upload(remote, [item] * 5, lambda item, url: reported.append(url))
    assert len(double.log) == 1
    assert len(reported) == 5 and len(set(reported)) == 1


def test_going_on_after_a_stop_sends_nothing_twice(
    double: DerivaDouble, remote: Server, tmp_path: Path
) -> None:
    items = make(tmp_path, 10)
    upload(remote, items[:6], lambda *_: None)
    upload(remote, items, lambda *_: None)
    assert sum(status == 201 for _, status in statuses(double)) == 10
    assert sum(status == 412 for _, status in statuses(double)) == 6


@pytest.mark.parametrize("fault", PASSING)
def test_an_upload_survives(fault: Fault, double: DerivaDouble, remote: Server, tmp_path: Path) -> None:
    items = make(tmp_path, 10)
    double.faults.on(fault, "PUT", times=6)
    upload(remote, items, lambda *_: None)
    assert double.objects() == {item.name: (item.md5, item.length) for item in items}


def test_after_an_error_nothing_new_goes_up(double: DerivaDouble, remote: Server, tmp_path: Path) -> None:
    """What went up before is reported; the error is the one to read."""
    items = make(tmp_path, 10)
    double.faults.on(Fault.EXPIRED, "PUT", items[3].name)
    reported: list[Upload] = []
    with pytest.raises(ServerRefused, match="not logged in"):
        upload(remote, items, lambda item, url: reported.append(item), workers=1)
    assert reported == items[:3]
    assert len(double.log) == 4


def test_what_is_under_way_at_an_error_is_finished_and_reported(
    double: DerivaDouble, remote: Server, tmp_path: Path
) -> None:
    """So that it is not sent again the next time."""
    items = make(tmp_path, 10)
    double.faults.on(Fault.SLOW, "PUT", items[0].name, delay=0.3)
    items[1].source.unlink()
    reported: list[Upload] = []
    with pytest.raises(DerivaMLException, match="1.bin cannot be read"):
        upload(remote, items, lambda item, url: reported.append(item), workers=2)
    assert reported == items[:1]


UPLOADING = """
import hashlib, signal, sys
from pathlib import Path
from deriva_ml.deriva.server import Server
from deriva_ml.deriva.transfer import Upload, upload

signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite that runs in the background ignores it
url, cookie, folder = sys.argv[1:]
items = [
    Upload(path, f"/hatrac/{path.name}", hashlib.md5(path.read_bytes()).hexdigest(), path.stat().st_size, "x")
    for path in Path(folder).iterdir()
]
upload(Server(url, 1, {"cookie": cookie}), items, lambda item, url: print(url, flush=True), workers=4)
"""


def test_ctrl_c_is_not_held_up(double: DerivaDouble, tmp_path: Path) -> None:
    """By a server that does not answer: the process ends, and what was reported before is there."""
    make(tmp_path / "files", 20)
    double.faults.on(Fault.SLOW, "PUT", times=3, delay=60)
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADING, double.url, double.credential()["cookie"], tmp_path / "files"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    reported = process.stdout.readline().partition(":")[0]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert errors.endswith("KeyboardInterrupt\n")
    assert reported in double.objects()


# ------------------------------------------------------------------------------------------------------------ down


def test_contents_come_down_once(
    double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    """With one request each, read-only under their digests; what is there is not asked for again."""
    items = make(tmp_path, 30)
    wanted = put(remote, items)
    double.log.clear()
    download(remote, [*wanted, *wanted], objects)
    assert statuses(double) == [("GET", 200)] * 30
    assert files_in(objects) == {item.md5 for item in items}
    for item in items:
        held = objects.path(item.md5)
        assert held.read_bytes() == item.source.read_bytes()
        assert held.stat().st_mode & 0o222 == 0
    download(remote, wanted, objects)
    assert len(double.log) == 30


def test_an_empty_content_comes_down(remote: Server, objects: ObjectStore, tmp_path: Path) -> None:
    wanted = put(remote, make(tmp_path, 1, size=0))
    download(remote, wanted, objects)
    assert objects.path(wanted[0].md5).read_bytes() == b""


@pytest.mark.parametrize("fault", PASSING)
def test_a_download_survives(
    fault: Fault, double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    wanted = put(remote, make(tmp_path, 10))
    double.faults.on(fault, "GET", times=5)
    download(remote, wanted, objects)
    assert files_in(objects) == {item.md5 for item in wanted}


DOWNLOADING = """
import sys
from pathlib import Path
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.definitions import Asset
from deriva_ml.deriva.transfer import download

url, cookie, folder, path, md5, length = sys.argv[1:]
server = Server(url, 1, {"cookie": cookie}, RetryPolicy(pause=0.001))
download(server, [Asset("", "Image", "x.bin", int(length), md5, path)], ObjectStore(Path(folder)))
"""


def test_a_killed_download_is_gone_on_with(
    double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    """What the killed process had got is not asked for again."""
    (wanted,) = put(remote, make(tmp_path, 1, size=8 << 20))
    # Half of it comes; then the process waits for the other half, and is killed there.
    double.faults.on(Fault.TRUNCATED, "GET")
    double.faults.on(Fault.SLOW, "GET", delay=60)
    process = subprocess.Popen(
        [sys.executable, "-c", DOWNLOADING, double.url, double.credential()["cookie"], str(objects.folder)]
        + [wanted.url, wanted.md5, str(wanted.length)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    part = objects.folder / f".{wanted.md5}.{process.pid}.part"
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size >= (4 << 20) - (1 << 16)):
        assert process.poll() is None and time.monotonic() < deadline, "the download did not get half way"
        time.sleep(0.01)
    process.kill()
    process.wait()
    held = part.stat().st_size
    double.faults.clear()
    double.log.clear()
    download(remote, [wanted], objects)
    (request,) = [one for one in double.log if one.status == 206]
    assert request.sent == wanted.length - held
    assert files_in(objects) == {wanted.md5}
    assert hashlib.md5(objects.path(wanted.md5).read_bytes()).hexdigest() == wanted.md5


def test_a_damaged_part_that_was_left_does_no_harm(
    double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    """The content is fetched from the beginning then."""
    (wanted,) = put(remote, make(tmp_path, 1))
    for damaged in (b"x" * 100, b"x" * wanted.length, b"x" * wanted.length * 2):
        objects.folder.mkdir(exist_ok=True)
        (objects.folder / f".{wanted.md5}.{gone()}.part").write_bytes(damaged)
        download(remote, [wanted], objects)
        assert files_in(objects) == {wanted.md5}
        objects.path(wanted.md5).unlink()


def test_what_another_process_is_getting_is_left_to_it(
    remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    (wanted,) = put(remote, make(tmp_path, 1))
    objects.folder.mkdir()
    other = objects.folder / f".{wanted.md5}.{os.getppid()}.part"
    other.write_bytes(b"half")
    download(remote, [wanted], objects)
    assert other.read_bytes() == b"half"
    assert objects.path(wanted.md5).stat().st_size == wanted.length


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_content_that_is_not_what_its_record_says_is_not_taken_in(
    double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    """It is fetched once more, in case it was damaged on its way; then its name is told, and nothing is left."""
    first, second = put(remote, make(tmp_path, 2))
    double.log.clear()
    for wrong in (
        Asset("", "Image", "scan.png", first.length, second.md5, first.url),
        Asset("", "Image", "scan.png", first.length + 1, first.md5, first.url),
    ):
        with pytest.raises(DerivaMLException) as caught:
            download(remote, [wrong], objects)
        assert str(caught.value) == f"the content of scan.png on {double.host} is not what its record says"
        assert files_in(objects) == set()
    assert double.log.count("GET") >= 4


def delete(double: DerivaDouble, url: str) -> bool:
    """Take the content of an object away, as its owner may at any time."""
    name = url.partition(":")[0].rpartition("/")[2]
    node = double.hatrac.find(["Image", name])
    assert node is not None
    node.deleted = True
    return True


@pytest.mark.parametrize("md5", ["", "../../../../escaped", "0" * 31, None])
def test_a_record_without_a_digest_is_told(
    md5: Any, double: DerivaDouble, remote: Server, objects: ObjectStore
) -> None:
    """Before anything is asked for: a digest becomes a path."""
    with pytest.raises(DerivaMLException, match="the record of scan.png has no MD5"):
        download(remote, [Asset("", "Image", "scan.png", 1, md5, "/hatrac/x")], objects)
    assert len(double.log) == 0 and not objects.folder.exists()


def test_what_cannot_be_had_leaves_nothing_behind(
    double: DerivaDouble, remote: Server, objects: ObjectStore, tmp_path: Path
) -> None:
    """And what else was under way is taken in."""
    items = put(remote, make(tmp_path, 3, size=1 << 20))
    with pytest.raises(ServerRefused, match="does not have this"):
        download(
            remote, [items[0], Asset("", "Image", "gone", 5, "0" * 32, "/hatrac/gone")], objects, workers=1
        )
    assert files_in(objects) == {items[0].md5}
    double.faults.on(Fault.TRUNCATED, "GET")
    double.faults.add(Fault.ABORTED, lambda number, request: delete(double, items[1].url))
    with pytest.raises(ServerRefused, match="does not have this"):
        download(remote, [items[1]], objects)
    assert files_in(objects) == {items[0].md5}
    double.faults.on(Fault.ERROR, times=100)
    with pytest.raises(ServerUnreachable):
        download(remote, items[2:], objects)
    assert files_in(objects) == {items[0].md5}


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.EXPIRED])
def test_what_came_before_the_server_went_is_kept(
    fault: Fault,
    double: DerivaDouble,
    remote: Server,
    objects: ObjectStore,
    tmp_path: Path,
) -> None:
    """Or the login expired: for the next attempt of the same or of another process."""
    (wanted,) = put(remote, make(tmp_path, 1, size=4 << 20))
    double.faults.on(Fault.TRUNCATED, "GET")
    double.faults.on(fault, "GET", times=QUICK.attempts - 1)
    with pytest.raises((ServerUnreachable, ServerRefused)):
        download(remote, [wanted], objects)
    double.log.clear()
    double.faults.clear()
    download(Server(double.url, 1, double.credential(), QUICK), [wanted], objects)
    assert [(one.status, one.sent) for one in double.log] == [(206, wanted.length // 2)]
    assert files_in(objects) == {wanted.md5}


# -------------------------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_no_progress(
    remote: Server, objects: ObjectStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    download(remote, put(remote, make(tmp_path, 3, size=1 << 20)), objects)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_what_takes_a_while(
    double: DerivaDouble,
    remote: Server,
    objects: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it in the end, however often something was sent; and nothing of what is done at once."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    put(remote, make(tmp_path, 3, size=1000))
    assert terminal.getvalue() == ""
    double.faults.on(Fault.RESET_BEFORE, "PUT", times=2)
    wanted = put(remote, make(tmp_path, 3, size=1_000_000))
    download(remote, wanted, objects)
    last = [line for line in terminal.getvalue().split("\r") if "100%" in line]
    assert any("uploading" in line and "3.00M/3.00M" in line for line in last)
    assert any("downloading" in line and "3.00M/3.00M" in line for line in last)
