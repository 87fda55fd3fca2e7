"""Whether the process that answers for an execution is still there, wherever it runs and whatever it left running."""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from conftest import SOURCE
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Status, Workflow
from deriva_ml.execution.recovery import recover_project
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.process import Owner
from deriva_ml.project import Project

RUN = """
import fcntl, multiprocessing, os, subprocess, sys, time
from pathlib import Path
from deriva_ml import DerivaML
from deriva_ml.definitions import Workflow
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.project import Project

def no_locks(*arguments):
    raise OSError(37, "No locks available")

def start():
    ml = DerivaML(project=Project(Path(sys.argv[1])))
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("Study", url="u", checksum="c"))
    execution.execution_start()
    print(execution.execution_rid, flush=True)

def first(): pass
def then(): pass
"""
FORKS = "def then(): multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start()"
SPAWNS = "def then(): subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)"
NO_LOCKS = "def first(): fcntl.flock = no_locks"
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Starts a process whose number others do not know it by, on a host of the same name."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pyproject.toml").touch()
    return Project(tmp_path)


def over(project: Project) -> str:
    """The lock of a process that is over."""
    script = "import sys; from pathlib import Path; from deriva_ml import liveness; print(liveness.show(Path(sys.argv[1])))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", script, str(project.state)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


Start = Callable[..., tuple[RID, subprocess.Popen[str]]]


@pytest.fixture
def start(project: Project) -> Iterator[Start]:
    """``start(lines, *wrapped_in)``: an execution, and the process of its own that it is running in."""
    started = []

    def start(lines: str = "", *wrapped_in: str) -> tuple[RID, subprocess.Popen[str]]:
        script = f"{RUN}\n{lines}\nfirst()\nstart()\nthen()\nprint('ready', flush=True)\ntime.sleep(120)"
        process = subprocess.Popen(
            [*wrapped_in, sys.executable, "-c", script, str(project.root)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout
        rid = process.stdout.readline().strip()
        assert process.stdout.readline() == "ready\n"
        return rid, process

    yield start
    for process in started:
        with process, suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process, and leave those that it started."""
    process.kill()
    process.wait(30)


def change(project: Project, **columns: object) -> None:
    """Let the catalog know the process that answers for its executions by something else."""
    with closing(sqlite3.connect(project.database)) as database, database:
        for name, value in columns.items():
            database.execute(f'UPDATE "local_run" SET "{name}" = ?', (value,))


def closed(project: Project) -> list[RID]:
    """What a command that is started now closes."""
    recover_project(project)
    with closing(EmbeddedCatalog(project)) as catalog:
        return [record.rid for record in catalog.select_executions(Criteria(status=Status.aborted))]


def on(monkeypatch: pytest.MonkeyPatch, file_system: str, options: str = "rw") -> None:
    """Let everything lie on one file system of a kind."""
    root = SimpleNamespace(mountpoint="/", fstype=file_system, opts=options)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [root])


@pytest.mark.parametrize(
    "known_by",
    [{}, {"pid": 2**22 - 7}, {"host": "before-it-was-renamed"}, {"started": 1.0}],
    ids=["itself", "another-number", "another-host", "another-start"],
)
def test_a_run_is_alive_until_its_process_ends_whatever_that_is_known_by(
    project: Project, start: Start, known_by: dict[str, object]
) -> None:
    rid, process = start()
    change(project, **known_by)
    assert closed(project) == []
    kill(process)
    assert closed(project) == [rid]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*CONTAINER, "true"], capture_output=True).returncode != 0,
    reason="needs the right to make a PID namespace",
)
def test_a_run_in_a_container_that_has_the_hosts_name_is_alive_until_it_ends(
    project: Project, start: Start
) -> None:
    rid, process = start("", *CONTAINER)
    inside = psutil.Process(process.pid).children()
    assert closed(project) == []
    kill(process)
    psutil.wait_procs(inside, 30)
    assert closed(project) == [rid]


@pytest.mark.parametrize("leaving", [FORKS, SPAWNS], ids=["forked", "spawned"])
def test_a_process_that_a_killed_run_left_behind_does_not_keep_it_open(
    project: Project, start: Start, leaving: str
) -> None:
    rid, process = start(leaving)
    [child] = psutil.Process(process.pid).children()
    assert closed(project) == []
    kill(process)
    deadline = time.monotonic() + 20  # the forked one lets go in its first moment
    while not closed(project) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert closed(project) == [rid]
    assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE


def assert_goes_by_host(project: Project, rid: RID, process: subprocess.Popen[str]) -> None:
    """A live run is none to close, nor one that has ended on another host; one that has ended here is."""
    assert closed(project) == []
    change(project, host="another-host")
    kill(process)
    assert closed(project) == []
    change(project, host=Owner.of().host)
    assert closed(project) == [rid]


def test_a_run_that_cannot_lock_files_goes_by_host_and_number(project: Project, start: Start) -> None:
    rid, process = start(NO_LOCKS)
    assert_goes_by_host(project, rid, process)


def test_a_command_that_cannot_look_at_locks_goes_by_host_and_number(
    project: Project, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid, process = start()

    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert_goes_by_host(project, rid, process)


@pytest.mark.parametrize(
    ("file_system", "options"),
    [("nfs4", "rw"), ("cifs", "rw"), ("virtiofs", "rw"), ("fuse.sshfs", "rw"), ("NTFS", "rw,remote")],
)
def test_a_shared_drive_may_not_tell_of_another_hosts_lock_so_its_run_is_never_taken_for_gone(
    project: Project, start: Start, monkeypatch: pytest.MonkeyPatch, file_system: str, options: str
) -> None:
    rid, process = start()
    change(project, host="another-host")
    kill(process)  # as a lock looks from here that is held there, and not passed on
    on(monkeypatch, file_system, options)
    assert closed(project) == []
    on(monkeypatch, "ext4")
    assert closed(project) == [rid]


def test_a_lock_that_a_shared_drive_does_tell_of_counts(
    project: Project, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a host of the same name as the one that the run is on."""
    _, process = start()
    change(project, pid=2**22 - 7)
    on(monkeypatch, "nfs4")
    assert closed(project) == []
    kill(process)
    assert len(closed(project)) == 1


def test_nor_is_the_runner_of_a_notebook_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project.new_folder(project.runs)
    elsewhere = Owner("another-host", 7, 1.0, over(project))
    NotebookRun(folder, Path("x.ipynb"), elsewhere, elsewhere).save()
    lock = project.state / "alive" / elsewhere.lock
    on(monkeypatch, "nfs4")
    recover_project(project)
    assert folder.exists() and lock.exists()
    on(monkeypatch, "ext4")
    recover_project(project)
    assert not folder.exists() and not lock.exists()


def test_a_free_lock_of_another_machine_on_this_ones_disk_tells_nothing(project: Project) -> None:
    """Such as a server that exports its disk, or one that has virtual machines on it, whose locks it does not see."""
    name = "f" * 32 + over(project)[32:]
    folder = project.new_folder(project.runs)
    elsewhere = Owner("another-host", 7, 1.0, name)
    (project.state / "alive" / name).touch()
    NotebookRun(folder, Path("x.ipynb"), elsewhere, elsewhere).save()
    recover_project(project)
    assert folder.exists()


def test_whose_number_a_kernel_of_another_container_had_is_let_be(project: Project) -> None:
    """A run that is over is closed; a process here which happens to have its kernel's number is somebody else's."""
    innocent = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        runner = Owner("another-container", 1, 1.0, over(project))
        folder = project.new_folder(project.runs)
        kernel = Owner("another-container", innocent.pid, 1.0)
        NotebookRun(folder, project.root / "x.ipynb", runner, kernel).save()
        with closing(EmbeddedCatalog(project)) as catalog:
            rid = catalog.add_execution(Workflow("Study", url="u", checksum="c"), "", runner, folder)
        assert closed(project) == [rid]
        with pytest.raises(subprocess.TimeoutExpired):
            innocent.wait(0.5)
    finally:
        innocent.kill()
        innocent.communicate()


def test_a_run_folder_stays_as_long_as_its_runner_lives(project: Project, start: Start) -> None:
    """A runner in a container, which is known by a number that nobody has here."""
    rid, process = start()
    with closing(EmbeddedCatalog(project)) as catalog:
        owner = catalog.owner_of(rid)
    assert owner
    stranger = Owner(owner.host, 2**22 - 7, 1.0, owner.lock)
    folder = project.new_folder(project.runs)
    NotebookRun(folder, Path("x.ipynb"), stranger, stranger).save()
    recover_project(project)
    assert folder.exists()
    kill(process)
    recover_project(project)
    assert not folder.exists()


def test_no_lock_is_left_of_what_is_over(project: Project, start: Start) -> None:
    _, one = start()
    _, other = start()
    kill(one)
    assert len(closed(project)) == 1
    left = {path.name for path in (project.state / "alive").iterdir()}
    with closing(EmbeddedCatalog(project)) as catalog:
        [(_, owner, _)] = catalog.open_executions()
    assert owner.lock in left and len(left) == 2, "the run's, and this process's own"
    kill(other)
    assert len(closed(project)) == 2
    assert len(list((project.state / "alive").iterdir())) == 1


def test_what_an_earlier_version_left_open_goes_by_host_and_number(project: Project) -> None:
    """Its records know of no lock."""
    project.state.mkdir()
    earlier = Path(__file__).parent / "data" / "embedded" / "catalog-v2.db.gz"
    project.database.write_bytes(gzip.decompress(earlier.read_bytes()))
    assert closed(project) == [], "it was on another host"
    change(project, host=Owner.of().host)
    assert closed(project) == ["M-1Q5J"]
    with closing(EmbeddedCatalog(project)) as catalog:
        assert [str(one) for _, one in catalog.journal.pending()] == ["catalog 7 of www.example.org"]


def test_a_run_of_an_earlier_version_that_is_going_on_is_let_be(project: Project, start: Start) -> None:
    rid, process = start(NO_LOCKS)
    folder = project.new_folder(project.runs)
    owner = Owner.of(process.pid)
    run = NotebookRun(folder, Path("x.ipynb"), owner, owner)
    run.save()
    noted = json.loads((folder / "run.json").read_text())
    for known in (noted["owner"], noted["kernel"]):
        del known["lock"]
    (folder / "run.json").write_text(json.dumps(noted))
    assert NotebookRun.load(folder) == run
    assert closed(project) == [] and folder.exists()
    kill(process)
    assert closed(project) == [rid] and not folder.exists()
