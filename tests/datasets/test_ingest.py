"""How a person's files are taken into the catalog: as they were read, read once, and none half."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import deriva_ml.disk as disk
import deriva_ml.parallel as parallel
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets import ingest, taking
from deriva_ml.datasets.ingest import needed, take_in
from deriva_ml.datasets.walk import found
from deriva_ml.definitions import Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import shown

LONG_AGO = 1_700_000_000


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder with files of several sizes, two of which have one content."""
    folder = tmp_path / "pets"
    for path, content in {
        "cat/1.png": b"cat one",
        "cat/2.png": b"c" * 10_000,
        "dog/1.png": b"dog one",
        "dog/empty": b"",
        "dog/twin.png": b"dog one",
        "large.bin": os.urandom(3_000_000),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read."""
    read: list[str] = []
    take = taking.Store.take

    def noted(store: taking.Store, source: str, report: Callable[[int], None]) -> taking.Taken:
        read.append(Path(source).name)
        return take(store, source, report)

    monkeypatch.setattr(taking.Store, "take", noted)
    return read


def settle(catalog: EmbeddedCatalog) -> None:
    """Let all that is known have been noted a while after the files were written."""
    with catalog._db.transaction():
        catalog._db.query('UPDATE "local_seen" SET "noted" = "noted" + 10')


def content(catalog: EmbeddedCatalog, member: Member) -> bytes:
    """What a member holds."""
    assert member.file is not None
    asset = catalog.lookup_asset(member.file)
    data = Path(catalog.locate(asset)).read_bytes()
    assert (asset.md5, asset.length) == (hashlib.md5(data).hexdigest(), len(data))
    return data


def rows(catalog: EmbeddedCatalog, table: str) -> int:
    """How many rows a table has."""
    return int(catalog._db.value(f'SELECT count(*) FROM "{table}"'))


def leftovers(catalog: EmbeddedCatalog) -> list[Path]:
    """What is in the store that is no content."""
    return [*catalog.project.objects.glob(".*")]


def test_files_are_recorded_as_they_are(catalog: EmbeddedCatalog, pets: Path) -> None:
    members = take_in(catalog, iter(found([pets])))
    assert {member.path: content(catalog, member) for member in members} == {
        str(path.relative_to(pets)): path.read_bytes() for path in pets.rglob("*") if path.is_file()
    }
    assert [member.path for member in members] == sorted(member.path for member in members)
    assert not leftovers(catalog)
    dataset = catalog.lookup_dataset(catalog.add_dataset("Pets", members, version="1.0.0"))
    assert len(dataset.members["File"]) == 6


def test_a_file_at_several_paths_is_as_many_members(catalog: EmbeddedCatalog, pets: Path) -> None:
    (pets / "again").symlink_to("cat")
    (pets / "last.bin").symlink_to("large.bin")
    members = take_in(catalog, found([pets, pets / "dog"]))
    paths = [one.path for one in members]
    assert {"pets/cat/1.png", "pets/again/1.png", "pets/last.bin", "pets/dog/1.png", "dog/1.png"} <= {*paths}
    assert len(paths) == len({*paths}) == 12
    assert len(catalog.seen(map(str, pets.rglob("*")))) == 6
    assert take_in(catalog, found([pets, pets / "dog"])) == members


def test_a_content_has_one_row_for_each_name(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    for path in ("a/__init__.py", "b/__init__.py", "b/other.py"):
        (tmp_path / "code" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / path).write_text("")
    one, twin, other = take_in(catalog, found([tmp_path / "code"]))
    assert one.file == twin.file != other.file
    assert rows(catalog, "File") == 2
    (member,) = take_in(catalog, found([tmp_path / "code" / "a"]))
    assert member.file == one.file, "as is one that was recorded before"


def test_a_file_that_did_not_change_is_not_read_again(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str]
) -> None:
    first = take_in(catalog, found([pets]))
    assert sorted(reads) == ["1.png", "1.png", "2.png", "empty", "large.bin", "twin.png"]
    settle(catalog)
    reads.clear()
    assert take_in(catalog, found([pets])) == first
    assert take_in(catalog, found([pets / "cat"], into="more"))[0] == Member("more/1.png", first[0].file)
    assert not reads
    assert needed(catalog, found([pets])) == (6, 3_010_021, 0)


def _rewritten(path: Path) -> None:
    """Another content of the same length, with the old times."""
    before = path.stat()
    path.write_bytes(b"CAT ONE")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    os.replace(other, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"cat two!"),
        lambda path: os.utime(path, (LONG_AGO, LONG_AGO)),
        _rewritten,
        _replaced,
    ],
    ids=["length", "time", "content and not time", "another file"],
)
def test_a_file_that_may_have_changed_is_read_again(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str], change: Callable[[Path], None]
) -> None:
    take_in(catalog, found([pets]))
    settle(catalog)
    reads.clear()
    change(pets / "cat" / "1.png")
    members = take_in(catalog, found([pets]))
    assert reads == ["1.png"]
    assert content(catalog, members[0]) == (pets / "cat" / "1.png").read_bytes()


def test_a_file_that_was_written_just_before_is_read_again(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str]
) -> None:
    """Its times may stay as they are when it is written once more in the same moment."""
    take_in(catalog, found([pets / "cat"]))
    reads.clear()
    take_in(catalog, found([pets / "cat"]))
    assert reads == ["1.png", "2.png"]


def test_a_content_that_is_gone_or_damaged_is_brought_back(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str]
) -> None:
    members = take_in(catalog, found([pets / "cat"]))
    settle(catalog)
    reads.clear()
    one, other = (
        catalog.objects.path(hashlib.md5(pets.joinpath(p).read_bytes()).hexdigest())
        for p in ("cat/1.png", "cat/2.png")
    )
    one.unlink()
    other.chmod(0o600)
    other.write_bytes(b"half")
    assert take_in(catalog, found([pets / "cat"])) == members
    assert reads == ["1.png", "2.png"]
    assert [content(catalog, member) for member in members] == [b"cat one", b"c" * 10_000]
    other.chmod(0o600)
    other.write_bytes(b"d" * 10_000)  # the length is right: it is seen when the file is read again
    (pets / "cat" / "2.png").touch()
    assert content(catalog, take_in(catalog, found([pets / "cat"]))[1]) == b"c" * 10_000


def test_a_content_that_is_removed_before_it_is_recorded_is_taken_in_again(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = take_in(catalog, found([pets / "cat"]))
    settle(catalog)
    reads.clear()
    record = ingest._record

    def removed(*args: object) -> list[Member]:
        catalog.objects.path(hashlib.md5(b"cat one").hexdigest()).unlink()
        return record(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest, "_record", removed)
    assert take_in(catalog, found([pets / "cat"])) == members
    assert reads == ["1.png"]
    assert content(catalog, members[0]) == b"cat one"


@pytest.mark.parametrize("name", ["cat/2.png", "large.bin"])
@pytest.mark.parametrize("change", ["grows", "is written over", "is cut"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: str
) -> None:
    path = pets / name
    os.utime(path, (LONG_AGO, LONG_AGO))
    read = os.read

    def while_reading(descriptor: int, count: int) -> bytes:
        data = read(descriptor, count)
        if change == "is cut":
            os.truncate(path, 5)
        else:
            with path.open("ab" if change == "grows" else "r+b") as stream:
                stream.write(b"more")
        return data

    monkeypatch.setattr(os, "read", while_reading)
    with pytest.raises(DerivaMLRequestError, match=f"{name} changed while it was read"):
        take_in(catalog, found([path]))
    assert rows(catalog, "File") == rows(catalog, "local_seen") == 0
    assert not leftovers(catalog)


def test_a_file_that_is_gone_before_it_is_read_is_refused(catalog: EmbeddedCatalog, pets: Path) -> None:
    all_found = [*found([pets])]
    (pets / "dog" / "1.png").unlink()
    os.mkfifo(pets / "dog" / "1.png")
    with pytest.raises(DerivaMLRequestError, match=r"1\.png is no file any more"):
        take_in(catalog, all_found)
    (pets / "dog" / "1.png").unlink()
    with pytest.raises(DerivaMLRequestError, match=r"1\.png cannot be read: No such file"):
        take_in(catalog, all_found)
    (pets / "dog" / "1.png").symlink_to("/etc/passwd")
    with pytest.raises(DerivaMLRequestError, match=r"1\.png cannot be read"):
        take_in(catalog, all_found)


def test_what_was_taken_in_before_an_interruption_is_not_read_again(
    catalog: EmbeddedCatalog, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}").write_text(f"content {number}")
    monkeypatch.setattr(ingest, "GROUP", (5, 1 << 20))
    monkeypatch.setattr(ingest, "BATCH", (10, 1 << 20))
    record, calls = catalog.record_files, []

    def interrupted(*args: object) -> list[str]:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return record(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog, "record_files", interrupted)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        take_in(catalog, found([folder]))
    assert threading.active_count() == threads and not leftovers(catalog)
    assert rows(catalog, "File") == rows(catalog, "local_seen") == 30
    settle(catalog)
    reads.clear()
    assert len(take_in(catalog, found([folder]))) == 60
    assert len(reads) == 30
    assert rows(catalog, "File") == 60


def test_a_large_file_is_let_go_of_at_once(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C does not wait for the rest of it."""
    begun, go_on, read = threading.Event(), threading.Event(), os.read
    sizes: list[int] = []

    def slow(descriptor: int, count: int) -> bytes:
        begun.set()
        go_on.wait(10)
        sizes.append(count)
        return read(descriptor, count)

    class Interrupted:
        def __iter__(self) -> object:
            yield from found([pets / "large.bin"])
            if started:
                begun.wait(10)
                go_on.set()
                raise KeyboardInterrupt
            started.append(True)

    started: list[bool] = []
    monkeypatch.setattr(os, "read", slow)
    monkeypatch.setattr(ingest, "GROUP", (1, 1))
    with pytest.raises(KeyboardInterrupt):
        take_in(catalog, Interrupted())  # type: ignore[arg-type]
    assert len(sizes) <= 2 and not leftovers(catalog)


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_read(
    catalog: EmbeddedCatalog,
    pets: Path,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 2_500_000))
    monkeypatch.setattr(disk, "clone", lambda *_: False)
    with pytest.raises(DerivaMLRequestError, match=r"has room for 2\.5 MB, and 3\.0 MB are new"):
        take_in(catalog, found([pets]))
    assert not reads
    assert capsys.readouterr().err == "6 files, 3.0 MB; 3.0 MB are new and will be copied\n"
    take_in(catalog, found([pets / "cat"]))
    assert capsys.readouterr().err == "", "nobody waits for two files"


def test_a_disk_that_becomes_full_leaves_nothing_half(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 9_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as error:
        take_in(catalog, found([pets]))
    assert disk.fault(error.value, pets) == "the disk is full"
    assert not leftovers(catalog) and rows(catalog, "File") == 0


def test_who_cannot_read_the_file_cannot_read_what_was_taken_in(catalog: EmbeddedCatalog, pets: Path) -> None:
    (pets / "cat" / "1.png").chmod(0o640)
    (pets / "large.bin").chmod(0o700)
    (pets / "cat" / "2.png").chmod(0o644)
    modes = {
        Path(row.path).name: stat.S_IMODE(
            Path(catalog.locate(catalog.lookup_asset(row.file or ""))).stat().st_mode
        )
        for row in take_in(catalog, found([pets / "cat", pets / "large.bin"]))
    }
    assert modes == {"1.png": 0o440, "2.png": 0o444, "large.bin": 0o400}


def test_contents_are_cloned_where_the_file_system_can(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloned: list[int] = []

    def clone(source: int, destination: int) -> bool:
        data = os.pread(source, 1 << 24, 0)
        cloned.append(len(data))
        assert os.pwrite(destination, data, 0) == len(data)
        return True

    monkeypatch.setattr(disk, "clone", clone)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    members = take_in(catalog, found([pets]))
    assert capsys.readouterr().err == "6 files, 3.0 MB; 3.0 MB are new and will be cloned\n"
    assert sorted(cloned[1:]) == [10_000, 3_000_000], "a copy of less than a block takes no more"
    assert {member.path: content(catalog, member) for member in members} == {
        str(path.relative_to(pets)): path.read_bytes() for path in pets.rglob("*") if path.is_file()
    }


def test_a_clone_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Where the file system clones; elsewhere it says that it does not, and leaves the file empty."""
    (tmp_path / "a").write_bytes(b"x" * 8192)
    with disk.opened(tmp_path / "a") as source, disk.opened(tmp_path / "b", os.O_RDWR | os.O_CREAT) as copy:
        cloned = disk.clone(source, copy)
    (tmp_path / "a").write_bytes(b"y")
    assert (tmp_path / "b").read_bytes() == (b"x" * 8192 if cloned else b"")


def test_a_file_system_is_asked_for_clones_once(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(disk, "clone", lambda *_: asked.append(1) or False)
    monkeypatch.setattr(parallel, "WORKERS", 1)
    take_in(catalog, found([pets]))
    assert len(asked) == 2, "once to say how, once to do it"


def test_a_link_makes_the_file_itself_the_content(
    catalog: EmbeddedCatalog, pets: Path, reads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "dog" / "twin.png").unlink()
    members = take_in(catalog, found([pets]), link=True)
    assert capsys.readouterr().err.endswith("are new and will be linked\n")
    for member in members:
        path = pets / member.path
        assert path.samefile(catalog.locate(catalog.lookup_asset(member.file or "")))
        assert not path.stat().st_mode & 0o222
    settle(catalog)
    reads.clear()
    assert take_in(catalog, found([pets]), link=True) == take_in(catalog, found([pets])) == members
    assert not reads


def test_a_link_across_file_systems_is_refused(
    catalog: EmbeddedCatalog, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def far(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", far)
    with pytest.raises(DerivaMLRequestError, match="cannot be linked: it is on another file system") as error:
        take_in(catalog, found([pets]), link=True)
    assert "\n" not in shown(error.value) and not leftovers(catalog)
    assert (pets / "cat" / "1.png").stat().st_mode & 0o200, "the person's file stays as it was"


def test_a_linked_file_is_taken_in_again_as_any_other(catalog: EmbeddedCatalog, pets: Path) -> None:
    members = take_in(catalog, found([pets]), link=True)
    assert take_in(catalog, found([pets])) == members
    assert take_in(catalog, found([pets]), link=True) == members
