"""Takes what jobs on other machines have recorded into the sweep's catalog, whenever and from wherever that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import deriva_ml.sweep.apart as apart
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Status
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.closing import remove_folder
from deriva_ml.file_lock import file_lock
from deriva_ml.parallel import meanwhile
from deriva_ml.project import Project
from deriva_ml.sweep.folder import Ended, JobFolder, SweepFolder
from deriva_ml.terminal import one_line, warn
from deriva_ml.untrusted import DAMAGED, read_json

SUBMITTER = "alive"
"""The file in the sweep's folder that the submitting process touches as long as it waits for jobs."""

LOOK_SECONDS = 2.0
"""How often is looked whether jobs have ended, while they run."""


@dataclass
class Collected:
    """What came of it.

    Attributes:
        over: the jobs whose records are here now, or that have none.
        problems: why records of jobs could not be taken in, by the job's number.
    """

    over: list[int] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


def collect(project: Project, sweep: SweepFolder, over: Collection[int] = ()) -> Collected:
    """Take in what jobs that have ended recorded apart; one whose machine went away is closed first, as far as it can be.

    It may be asked for again, at the same time, and on another machine: nothing is taken in twice.

    Args:
        over: jobs of which nothing is to be taken in any more.

    Raises:
        DerivaMLException: another process collects, and does not come to its end.
    """
    done = Collected()
    if not apart.is_apart(sweep) or not (jobs := [one for one in sweep.jobs() if one.number not in over]):
        return done
    now = apart.clock_of(sweep.path)
    with file_lock(sweep.path / "collect.lock"), closing(open_local(project)) as catalog:
        for folder in jobs:
            try:
                if _collect_job(project, catalog, sweep, folder, now):
                    done.over.append(folder.number)
            except (DerivaMLException, OSError) as error:  # the others are not to wait for it
                done.problems[folder.number] = one_line(error)
    return done


def _collect_job(
    project: Project,
    catalog: EmbeddedCatalog,
    sweep: SweepFolder,
    folder: JobFolder,
    now: Callable[[], float],
) -> bool:
    """Take in what one job recorded; False if it goes on, or has not begun."""
    known = ended = folder.ended()
    if ended is None:
        if folder.begun() is None or apart.is_alive(folder, now):
            return False
        ended = _close_gone(project, sweep, folder)
    if ended.apart:
        ended = _take_in(project, catalog, sweep, folder, ended)
    if ended != known:
        folder.end(ended)
    remove_folder(folder.state)
    for path in (folder.records, folder.path / "journal.json"):
        path.unlink(missing_ok=True)
    return True


def _close_gone(project: Project, sweep: SweepFolder, folder: JobFolder) -> Ended:
    """Close what a job recorded whose process is gone, and have it in its archive."""
    begun = folder.begun()
    assert begun is not None
    here = apart.is_of_this_machine(begun.owner)
    reason = "its process was killed" if here else f"its node, {begun.owner.host}, went away"
    state = Path(begun.state)
    if (state / "borrows.json").exists():
        executions = apart.deliver(Project(project.root, state), folder, reason)
    elif folder.records.exists():  # it was killed between its archive and the word of its end
        executions = []
    else:
        lost = "" if state == folder.state else f", and what it recorded with it, in {state}"
        return Ended(Status.aborted, [], reason + lost)
    return Ended(Status.aborted, executions, reason, apart=folder.records.exists())


def _take_in(
    project: Project, catalog: EmbeddedCatalog, sweep: SweepFolder, folder: JobFolder, ended: Ended
) -> Ended:
    """Take a job's archive into the sweep's catalog, nest what is in it, and return how it ended as that catalog has it."""
    try:
        came = take_in(catalog, folder.records, code=False, own=True)
    except DerivaMLException:
        state = folder.state
        if not (state / "borrows.json").exists():
            raise
        folder.records.unlink(
            missing_ok=True
        )  # damaged, or not there: it is made anew of what it was made of
        apart.deliver(Project(project.root, state), folder, ended.reason)
        came = take_in(catalog, folder.records, code=False, own=True)
    said = [*ended.warnings, *came.warnings]
    said += (
        f"dataset {rid} comes without its name {name}, which another one has here, or none can have"
        for rid, name in came.merged.unnamed.items()
    )
    here = came.merged.executions
    executions = [here[rid] for rid in ended.executions if rid in here] or [*here.values()]
    with catalog.database.transaction(durable=True):
        with suppress(OSError, *DAMAGED):
            catalog.journal.unpack(read_json(folder.path / "journal.json"), here)
        nested = catalog.places_in_sweep(sweep.rid)
        for rid in executions:
            if rid not in nested:
                catalog.nest(sweep.rid, rid, folder.number)
    records = [catalog.lookup_execution(rid) for rid in executions]
    for record in records:
        if record.status is Status.uploaded and catalog.journal.pending(record.rid):
            catalog.update_execution(record.rid, Status.uploaded)  # which says that it waits
    last = records[-1]
    status = catalog.lookup_execution(last.rid).status
    return replace(
        ended,
        status=status,
        executions=executions,
        reason=last.status_detail or ended.reason,
        warnings=said,
        apart=False,
    )


@contextmanager
def collecting(project: Project, sweep: SweepFolder) -> Iterator[None]:
    """Take in what jobs have recorded apart, as they end, while others go on; and in the end."""
    if not apart.is_apart(sweep):
        yield
        return
    over = set[int]()

    def look() -> None:
        with suppress(OSError):
            (sweep.path / SUBMITTER).touch()
        with suppress(DerivaMLException):  # the last time says so
            over.update(collect(project, sweep, over).over)

    try:
        with meanwhile(look, LOOK_SECONDS):
            yield
    finally:
        tell_problems(collect(project, sweep))


def tell_problems(done: Collected) -> None:
    """Say whose records could not be taken in, and why."""
    for number, why in done.problems.items():
        warn(f"the records of job {number + 1} cannot be taken in yet: {why}")


def is_submitted(catalog: EmbeddedCatalog, sweep: SweepFolder) -> bool:
    """Whether the process that submitted a sweep is there, which takes in what its jobs record, and ends it."""
    owner = catalog.owner_of(sweep.rid)
    if owner is None or owner.is_gone(sweep.state):
        return False
    if apart.is_of_this_machine(owner) or not apart.is_apart(sweep):
        return True
    signs = (sweep.path / SUBMITTER, sweep.path / "plan.json")
    return not apart.is_silent(apart.clock_of(sweep.path), *signs)
