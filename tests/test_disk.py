"""A record survives a power cut and a disk that takes nothing more, and lets in nobody who could not read its sources."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from deriva_ml import DerivaML, disk
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.cli import catalog as catalog_command
from deriva_ml.definitions import RID, ExecAssetType, MLAsset, Status, Workflow
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.closing import Output, close_execution
from deriva_ml.execution.recovery import recover
from deriva_ml.process import Owner
from deriva_ml.project import Project, write_atomically
from executions.conftest import ml as ml  # noqa: PLC0414
from executions.runs import start

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount, on Linux"
)

WORKFLOW = Workflow("Test", ["Training"], url="git:abc:x.py", checksum="c")


def sh(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return done.stdout


@contextmanager
def mounted(folder: Path, *options: object) -> Iterator[Path]:
    """A file system on a folder; where this machine cannot mount one, the test is skipped and says so."""
    folder.mkdir()
    try:
        sh("mount", *options, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', error)}")
    try:
        yield folder
    finally:
        sh("umount", "--lazy", folder)


def project_in(folder: Path) -> Project:
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return Project(folder)


# ---------------------------------------------------------------------------------------------------------- a power cut


def in_another_process(work: Callable[[], object]) -> None:
    """Do something in a process that then ends as if it were killed."""
    if not (child := os.fork()):
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    os.waitpid(child, 0)


def record_until(cut: str, root: Path) -> None:
    catalog = EmbeddedCatalog(Project(root))
    if cut != "a new catalog":
        os.sync()
    rid = catalog.add_execution(WORKFLOW, "d", Owner.here(root / ".deriva-ml"))
    if cut == "a new catalog":
        source = root / "input.bin"
        source.write_bytes(os.urandom(200_000))
        catalog.add_file(source)
        catalog.update_execution(rid, Status.failed)
    else:
        for number in range(5):
            staged = catalog.stage(rid, "Execution_Asset", f"{number}.bin", catalog.folder_of(rid) / "assets")
            staged.path.write_bytes(os.urandom(100_000 + number))
        catalog.commit(rid)
    if cut == "the end":
        catalog.update_execution(rid, Status.uploaded)
        again = root / "again.bin"  # whose content is a record's already
        again.write_bytes(catalog.objects.path(catalog.assets_of(rid)[0].md5).read_bytes())
        catalog.objects.add(again)
    write_atomically(root / "whole.json", "1" * 9000)


@as_root
@pytest.mark.parametrize("cut", ["the end", "the commit", "a new catalog"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_rows_name_is_on_the_disk_before_they_are(kind: str, cut: str, tmp_path: Path) -> None:
    """A device that is copied as it stands is what a power cut leaves."""
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"this machine makes no {kind}")
    image, copied = tmp_path / "image", tmp_path / "copied"
    with image.open("wb") as stream:
        stream.truncate((320 if kind == "xfs" else 48) << 20)
    sh(f"mkfs.{kind}", "-q", image)
    with mounted(tmp_path / "disk", "-o", "loop", image) as folder:
        project_in(folder)
        in_another_process(lambda: record_until(cut, folder))
        sh("cp", "--sparse=always", image, copied)
    options = "loop,nouuid" if kind == "xfs" else "loop"
    with mounted(tmp_path / "after", "-o", options, copied) as folder:
        with closing(EmbeddedCatalog(Project(folder))) as catalog:
            [record] = catalog.select_executions(Criteria())
            if cut == "a new catalog":
                assert record.status is Status.failed
                rows = catalog._db.query('SELECT "MD5", "Length" FROM "File"').fetchall()
                expected = 1
            else:
                if cut != "the commit":
                    assert record.status is Status.uploaded
                rows = [(asset.md5, asset.length) for asset in catalog.assets_of(record.rid)]
                expected = 5
            assert len(rows) == expected
            for md5, length in rows:
                content = catalog.objects.path(md5).read_bytes()
                assert (hashlib.md5(content).hexdigest(), len(content)) == (md5, length)
        # Its name may be lost; half of it may not stand under that.
        assert not (whole := folder / "whole.json").exists() or whole.read_text() == "1" * 9000


def test_without_a_call_for_the_whole_disk_every_file_and_folder_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(disk, "_flush_file_system", lambda folder: False)
    monkeypatch.setattr(
        disk, "flush_open", lambda number: flushed.append(Path(os.readlink(f"/proc/self/fd/{number}")))
    )
    if not Path("/proc/self/fd").exists():
        pytest.skip("which file is open cannot be told here")
    store = ObjectStore(tmp_path / "objects")
    for text in ("one", "two"):
        (tmp_path / "source").write_text(text)
        store.add(tmp_path / "source")
    held = [path for path in store.folder.rglob("*")]
    store.flush()
    assert set(flushed) == {store.folder, *held}
    flushed.clear()
    store.flush()
    assert not flushed


def test_the_catalogs_own_file_is_not_opened_to_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing it again would drop the locks that SQLite holds on it (https://www.sqlite.org/howtocorrupt.html)."""
    flushed: list[int] = []
    monkeypatch.setattr(disk, "_flush_file_system", lambda folder: False)
    monkeypatch.setattr(disk, "flush_open", lambda number: flushed.append(os.fstat(number).st_ino))
    EmbeddedCatalog(Project(tmp_path)).close()
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / ".deriva-ml")} <= {*flushed}
    assert (tmp_path / ".deriva-ml" / "catalog.db").stat().st_ino not in flushed


def test_a_disk_that_cannot_be_flushed_keeps_the_staged_file(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid, staged = staged_file(ml)

    def full(paths: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(disk, "flush", full)
    with pytest.raises(OSError, match="no room"):
        ml.catalog.commit(rid)
    assert staged.read_text() == "computed" and not ml.catalog.assets_of(rid)
    monkeypatch.undo()
    [asset], _ = ml.catalog.commit(rid)
    assert asset.filename == "result.txt" and not staged.exists()


@pytest.mark.parametrize("left", [b"", b"recor"])
def test_what_a_power_cut_left_of_a_content_does_not_count_as_one(left: bytes, tmp_path: Path) -> None:
    store, source = ObjectStore(tmp_path / "objects"), tmp_path / "source"
    source.write_bytes(b"recorded")
    digest, length = store.add(source)
    store.path(digest).chmod(0o600)
    store.path(digest).write_bytes(left)
    assert not store.has(digest, length) and not store.holds(source)
    store.add(source)
    assert store.holds(source) and store.path(digest).read_bytes() == b"recorded"


def staged_file(ml: DerivaML) -> tuple[RID, Path]:
    rid = ml.catalog.add_execution(WORKFLOW, "", Owner.of())
    staged = ml.catalog.stage(rid, "Execution_Asset", "result.txt", ml.catalog.folder_of(rid) / "assets")
    staged.path.write_text("computed")
    return rid, staged.path


# ----------------------------------------------------------------------------------------------------------- a full disk


def fill(path: Path) -> None:
    for size in (4096, 1):
        with suppress(OSError), path.open("ab", buffering=0) as stream:
            while True:
                stream.write(bytes(size))


def run_until(when: str, root: Path) -> None:
    os.chdir(root)
    execution = start(DerivaML())
    with execution.execute():
        execution.asset_file_path("Execution_Asset", "kept.txt").write_text("kept")
        if when == "the model writes":
            with execution.asset_file_path("Execution_Asset", "big.bin").open("wb", buffering=0) as big:
                while True:
                    big.write(bytes(4096))
        fill(root.parent / "hog")
        if when == "something else does":
            raise ValueError("computed nothing")
    execution.end(Status.uploaded)


@as_root
@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("the model writes", "OSError: [Errno 28] No space left on device"),
        ("something else does", "ValueError: computed nothing; the disk is full"),
        ("it ends", "the disk is full"),
    ],
)
def test_a_run_on_a_full_disk_ends_as_failed_with_that_reason(
    when: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the first command that can write again; until then, every command says that in one line."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as folder:
        (folder / "p").mkdir()
        project = project_in(folder / "p")
        EmbeddedCatalog(project).close()
        in_another_process(lambda: run_until(when, project.root))
        capsys.readouterr()
        with closing(EmbeddedCatalog(project)) as catalog:
            assert recover(catalog, project) == []
            [line] = capsys.readouterr().err.splitlines()
            assert line == "warning: what was left open cannot be closed yet: the disk is full"
        for path in (folder / "hog", *project.executions.rglob("big.bin")):
            path.unlink(missing_ok=True)
        with closing(EmbeddedCatalog(project)) as catalog:
            recover(catalog, project)
            [record] = catalog.select_executions(Criteria())
            assert record.status is Status.failed and record.status_detail.startswith(reason)
            kept = {asset.filename: Path(catalog.locate(asset)) for asset in catalog.assets_of(record.rid)}
            assert kept["kept.txt"].read_text() == "kept"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        OSError(errno.EIO, "x"),
        DerivaMLException("wrapped"),
    ],
)
def test_contents_for_which_there_is_no_room_are_recorded_later(
    error: Exception, ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The execution has ended as ``Failed`` with that reason, and nothing that it wrote is lost."""
    error.__cause__ = OSError(errno.ENOSPC, "x") if isinstance(error, DerivaMLException) else None
    rid, staged = staged_file(ml)
    ml.catalog.claim(rid, Owner.of(), Owner(Owner.of().host, 2**22 - 7, 1.0))

    def add(self: ObjectStore, source: Path) -> tuple[str, int]:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "add", add)
        assert close_execution(ml.catalog, ml.project, rid, Status.uploaded) is Status.failed
    assert staged.read_text() == "computed"
    why = disk.fault(error, ml.project.state)
    assert why.startswith("the disk")
    assert ml.lookup_execution(rid).status_detail == f"{why}; its files could not be recorded at its end"
    recover(ml.catalog, ml.project)
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["result.txt"]
    assert ml.lookup_execution(rid).status is Status.failed


def test_another_error_of_the_catalog_is_none_of_the_disk(tmp_path: Path) -> None:
    assert disk.fault(ValueError("x"), tmp_path) == ""
    assert disk.fault(OSError(errno.ENOENT, "x"), tmp_path) == ""
    with sqlite3.connect(":memory:") as database, pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("SELECT * FROM nothing")
    assert disk.fault(caught.value, tmp_path) == ""


@as_root
@pytest.mark.parametrize("full", [False, True])
def test_half_a_file_is_never_left(full: bool, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as folder:
        source = tmp_path / "source"
        source.write_bytes(bytes(400_000 if full else 1000))
        (folder / "old.json").write_text("old")
        store, before = ObjectStore(folder / "objects"), {folder / "old.json", folder / "objects"}
        writes: list[Callable[[], object]] = [
            lambda: write_atomically(folder / "old.json", source.read_bytes()),
            lambda: disk.copy_file(source, folder / "copied"),
            lambda: store.add(source),
        ]
        for write in writes:
            with pytest.raises(OSError, match="No space") if full else nullcontext():
                write()
        if full:
            assert set(folder.rglob("*")) == before and (folder / "old.json").read_text() == "old"
        else:
            assert (folder / "copied").stat().st_size == (folder / "old.json").stat().st_size == 1000


# ------------------------------------------------------------------------------------------------- a read-only project


def recorded(project: Project, ended: bool) -> RID:
    """An execution in a project's catalog, which is closed, or as a process that was killed left it."""

    def record() -> None:
        catalog = EmbeddedCatalog(project)
        rid = catalog.add_execution(WORKFLOW, "a run", Owner.of())
        (project.root / "rid").write_text(rid)
        if ended:
            catalog.update_execution(rid, Status.uploaded)
            catalog.close()

    in_another_process(record)
    return (project.root / "rid").read_text()


def shown(
    project: Project, rid: RID, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """What commands that read say on stderr; each has to show the execution."""
    monkeypatch.chdir(project.root)
    said = ""
    for words in (["list"], ["show", rid], ["results"], ["results", "--sort", "when"], ["lineage", rid]):
        assert catalog_command.main(words) == 0
        captured = capsys.readouterr()
        assert rid in captured.out and len(captured.err.splitlines()) <= 1
        said += captured.err
    return said


@as_root
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("how", ["read-only", "full"])
def test_list_and_show_work_where_nothing_can_be_written(
    how: str, ended: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as folder:
        project = project_in(folder)
        rid = recorded(project, ended)
        log = Path(f"{project.database}-wal")
        assert log.exists() is not ended
        if how == "full":
            fill(folder / "hog")
        else:
            sh("mount", "-o", "remount,ro", folder)
        assert {"full": "the disk is full", "read-only": "it is read-only"}[how] in shown(
            project, rid, capsys, monkeypatch
        )
        if not ended and how == "read-only":
            assert "Created" in catalog_command.opened(project).lookup_execution(rid).status.value


@pytest.mark.parametrize("ended", [True, False])
def test_list_and_show_work_in_a_folder_that_may_not_be_written(
    ended: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # one that another user gets to
    try:
        folder.chmod(0o755)
        project = project_in(folder)
        rid = recorded(project, ended)
        for name in ("cli.catalog", "execution.recovery", "catalog.embedded", "definitions"):
            importlib.import_module(f"deriva_ml.{name}")  # another user may not read the module's files
        for path in (project.state, *project.state.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
            path.chmod(0o500 if path.is_dir() else 0o400)
        monkeypatch.chdir(folder)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            said = shown(project, rid, capsys, monkeypatch)
        finally:
            if root:
                os.seteuid(0)
        assert "this user may not write there" in said or "it is read-only" in said
    finally:
        for path in folder.rglob("*/"):
            path.chmod(0o700)
        shutil.rmtree(folder)


@as_root
@pytest.mark.parametrize(("how", "why"), [("full", "the disk is full"), ("read-only", "it is read-only")])
def test_other_commands_say_why_they_cannot_record(
    how: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deriva_ml.cli import upload

    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as folder:
        project = project_in(folder)
        recorded(project, True)
        if how == "full":
            fill(folder / "hog")
        else:
            sh("mount", "-o", "remount,ro", folder)
        monkeypatch.chdir(folder)
        assert upload.main([]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: nothing can be written to {project.state}: {why}")


# ------------------------------------------------------------------------------------------------------ who may read it


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o444, 0o755, 0o666, 0o604])
@pytest.mark.parametrize("way", ["add_file", "linked", "copied", "outputs"])
def test_a_content_is_readable_by_those_who_could_read_its_source(way: str, mode: int, ml: DerivaML) -> None:
    source = ml.project.root / "source.txt"
    source.write_text("private?")
    source.chmod(mode)
    readers = mode & 0o444
    if way == "add_file":
        asset = ml.catalog.add_file(source)
    else:
        rid = ml.catalog.add_execution(WORKFLOW, "", Owner.of())
        if way == "outputs":
            own = Output(source, MLAsset.execution_asset, ExecAssetType.notebook_output)
            close_execution(ml.catalog, ml.project, rid, Status.uploaded, outputs=[own])
        else:
            staged = ml.catalog.stage(rid, "Execution_Asset", "x", ml.catalog.folder_of(rid) / "assets").path
            staged.symlink_to(source) if way == "linked" else disk.copy_file(source, staged)
            ml.catalog.commit(rid)
        [asset] = ml.catalog.assets_of(rid)
    assert stat.S_IMODE(Path(ml.catalog.locate(asset)).stat().st_mode) == readers
    copy = ml.project.outputs / "x" / "source.txt"
    ml.catalog.fetch(asset, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == readers


@pytest.mark.parametrize("modes", [(0o600, 0o644), (0o644, 0o600), (0o640, 0o600), (0o600, 0o640)])
def test_of_several_sources_the_widest_counts(modes: tuple[int, int], tmp_path: Path) -> None:
    store, source = ObjectStore(tmp_path / "objects"), tmp_path / "source"
    source.write_text("same")
    for mode in modes:
        source.chmod(mode)
        digest, _ = store.add(source)
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == (modes[0] | modes[1]) & 0o444


@as_root
@pytest.mark.parametrize(("mode", "group"), [(0o640, 12345), (0o600, 12345), (0o644, 12345)])
def test_the_group_that_may_read_a_content_is_its_sources(mode: int, group: int, tmp_path: Path) -> None:
    store, source = ObjectStore(tmp_path / "objects"), tmp_path / "source"
    source.write_text("a group's")
    os.chown(source, -1, group)
    source.chmod(mode)
    held = store.path(store.add(source)[0]).stat()
    assert (held.st_gid, stat.S_IMODE(held.st_mode)) == (group, mode & 0o444)


def test_a_group_that_this_user_is_not_in_is_replaced_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    monkeypatch.setattr(os, "chown", lambda *_: (_ for _ in ()).throw(PermissionError()), raising=False)
    found = list(path.stat())
    found[stat.ST_GID] += 1
    for mode, readers in ((0o640, 0o400), (0o644, 0o444), (0o600, 0o400)):
        found[stat.ST_MODE] = stat.S_IFREG | mode
        disk.admit(os.stat_result(found), path, 0o400)
        assert stat.S_IMODE(path.stat().st_mode) == readers


@pytest.mark.parametrize(
    ("mask", "folder", "file"), [(0o022, 0o750, 0o640), (0o077, 0o700, 0o600), (0o002, 0o770, 0o660)]
)
def test_the_state_folder_is_its_owners_and_the_groups_as_the_umask_says(
    mask: int, folder: int, file: int, tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(mask)
    project = project_in(tmp_path)
    with closing(EmbeddedCatalog(project)) as catalog:
        catalog.add_execution(WORKFLOW, "", Owner.here(project.state))
        assert stat.S_IMODE(project.state.stat().st_mode) == folder
        files = list(project.state.glob("catalog.db*"))
        assert len(files) == 3
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {file}


def test_a_state_folder_that_is_open_to_everybody_is_closed(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    project = project_in(tmp_path)
    project.state.mkdir(mode=0o755)
    EmbeddedCatalog(project).close()
    assert stat.S_IMODE(project.state.stat().st_mode) == 0o750


def test_what_goes_while_half_copied_contents_are_removed_stops_nobody(tmp_path: Path) -> None:
    """Another process's copy gets its name meanwhile; a link that leads nowhere is as good as one."""
    store = ObjectStore(tmp_path)
    (tmp_path / ".gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".old").touch()
    os.utime(tmp_path / ".old", (0, 0))
    (tmp_path / ".new").touch()
    store.clear()
    assert not (tmp_path / ".old").exists() and (tmp_path / ".new").exists()


def test_a_folder_in_which_nothing_can_be_made_is_named_and_not_a_file_of_ours(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from deriva_ml.cli.command import command

    def made(name: str) -> str:
        @command
        def main(_: object) -> int:
            raise PermissionError(13, "Permission denied", str(tmp_path / name))

        assert main([]) == 1
        return capsys.readouterr().err

    assert made(".deriva-ml-90676fab") == (
        f"error: nothing can be written to {tmp_path}: this user may not write there\n"
    )
    (tmp_path / "unreadable").touch()
    assert "unreadable" in made("unreadable"), "it is there, and perhaps not to be read"
