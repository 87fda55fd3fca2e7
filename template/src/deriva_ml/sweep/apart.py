"""A job that runs on another machine than the catalog is written by: it records into a state folder of its own, apart."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import deriva_ml.liveness as liveness
import deriva_ml.state_folder as state_folder
from deriva_ml.archive.exporting import export
from deriva_ml.catalog.lent import Borrowing, lend, make_borrowing
from deriva_ml.definitions import RID
from deriva_ml.disk import temporary
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.closing import clear_work, remove_folder
from deriva_ml.execution.recovery import close_left
from deriva_ml.parallel import meanwhile
from deriva_ml.process import Owner
from deriva_ml.project import Project, write_atomically
from deriva_ml.sweep.folder import JobFolder, SweepFolder

VARIABLE = "DERIVA_ML_JOB_STATE"
"""The environment variable that names a folder of the machine's own for what jobs record while they go on."""

BEAT_SECONDS = 10.0
"""How often a job shows that it goes on."""

SILENT_SECONDS = 180.0
"""After how long without a sign a job is taken for gone; a file server's news may take a minute."""


def lend_catalog(project: Project, sweep: SweepFolder) -> None:
    """Let jobs of a sweep record apart, and read what the project has now."""
    lend(project, sweep.lent)


def is_apart(sweep: SweepFolder) -> bool:
    """Whether the jobs of a sweep record apart."""
    return sweep.lent.is_dir()


def job_project(root: Path, sweep: SweepFolder, folder: JobFolder) -> Project:
    """Return the project as a job has it that records apart, with a state folder of its own.

    Raises:
        DerivaMLRequestError: the folder that is named for it is not there.
    """
    project = Project(root, _state(sweep, folder))
    if not project.borrows.exists():
        # Its log would be read through memory that machines do not share, should another one have to close it.
        journal = "DELETE" if project.state == folder.state.resolve() else "WAL"
        make_borrowing(project, sweep.lent, sweep.state, journal)
    return project


def _state(sweep: SweepFolder, folder: JobFolder) -> Path:
    named = os.path.expandvars(os.environ.get(VARIABLE, ""))
    if not named:
        folder.path.mkdir(parents=True, exist_ok=True)
        return folder.state
    place = Path(named)
    if not place.is_absolute() or not place.is_dir():
        raise DerivaMLRequestError(
            f"{VARIABLE} is {named}, which is no folder of this machine: name one, by an absolute path, or leave it out"
        )
    return place / f"deriva-ml-{sweep.rid}-{folder.number}"


@contextmanager
def alone(project: Project, folder: JobFolder) -> Iterator[None]:
    """Let processes that are started inside record where the job does, and others see that it goes on."""

    def beat() -> None:
        with suppress(OSError):  # the drive may be away for a moment
            folder.alive.touch()

    before = os.environ.get(state_folder.VARIABLE)
    os.environ[state_folder.VARIABLE] = str(project.state)
    beat()
    try:
        with meanwhile(beat, BEAT_SECONDS):
            yield
    finally:
        if before is None:
            del os.environ[state_folder.VARIABLE]
        else:
            os.environ[state_folder.VARIABLE] = before


def is_alive(folder: JobFolder, now: Callable[[], float]) -> bool:
    """Whether a job that has begun, and records apart, goes on; of one on another machine its silence has to tell.

    Args:
        now: tells the time by the clock of the drive that its folder is on.
    """
    begun = folder.begun()
    if begun is None:
        return False
    state = Path(begun.state)
    if is_of_this_machine(begun.owner) and state.is_dir():
        return not begun.owner.is_gone(state)
    return not is_silent(now, folder.alive, folder.path / "begun.json")


def is_of_this_machine(owner: Owner) -> bool:
    """Whether a process ran under the operating system's kernel that runs here."""
    return liveness.is_of_this_kernel(owner.lock)


def clock_of(folder: Path) -> Callable[[], float]:
    """Return what tells the time by the clock of the drive that a folder is on; it is asked for it once."""

    @functools.cache
    def now() -> float:
        with temporary(folder) as probe:
            probe.touch()
            return probe.stat().st_mtime

    return now


def is_silent(now: Callable[[], float], *signs: Path) -> bool:
    """Whether none of some files has been touched for long."""
    times = [path.stat().st_mtime for path in signs if path.exists()]
    return bool(times) and now() - max(times) > SILENT_SECONDS


def deliver(project: Project, folder: JobFolder, reason: str) -> list[RID]:
    """Write what a job has recorded into its archive, whole; return its executions.

    Args:
        project: with the job's state folder.
        reason: with which what it has left open is closed.
    """
    with closing(Borrowing(project)) as catalog:
        if catalog.open_executions():  # whatever has let it fail
            close_left(project, reason)
        rids = [row["RID"] for row in catalog.database.select("Execution", 'ORDER BY "RCT", "RID"')]
        if rids and not folder.records.exists():
            write_atomically(folder.path / "journal.json", json.dumps(catalog.journal.packed(rids)))
            export(catalog, rids, folder.records, elsewhere=catalog.is_lent)
    for rid in rids:
        clear_work(project, rid)
    return rids


def remove_own(project: Project, folder: JobFolder) -> None:
    """Remove a job's state folder that lies on this machine alone, now that what it holds is where others find it."""
    if project.borrows.exists() and project.state != folder.state.resolve():
        remove_folder(project.state)
