"""Ends a sweep whose submitting process is gone: from another one, later, also on another machine."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from deriva_ml.catalog.connection import open_local
from deriva_ml.definitions import OPEN_STATUSES
from deriva_ml.execution.recovery import holds_records
from deriva_ml.execution.run_state import remove_run
from deriva_ml.file_lock import file_lock
from deriva_ml.project import Project
from deriva_ml.sweep.collecting import collect, is_submitted, tell_problems
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import Plan
from deriva_ml.sweep.rounds import close_lost, is_alive, recovered
from deriva_ml.sweep.running import SweepEnd, end_of, finish

LOCK = "finish.lock"
"""The file in a sweep's folder by which one process ends it."""

GIVEN_UP = "its jobs that had not begun were given up"
"""Why a sweep is stopped whose jobs a scheduler has dropped."""


@dataclass(frozen=True)
class Open:
    """A sweep that has not ended.

    Attributes:
        submitted: the process that submitted it goes on, and is going to end it.
        running: the jobs that go on, each with the machine that it runs on.
        waiting: the jobs that no process has taken.
        ended: how many jobs have ended.
    """

    submitted: bool
    running: dict[int, str] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    ended: int = 0


def end_later(project: Project, sweep: SweepFolder, plan: Plan, *, give_up: bool = False) -> SweepEnd | Open:
    """Take in what jobs have recorded apart, and end the sweep if all have ended and its submitter is gone.

    It may be asked for again, and at the same time: one process ends the sweep, once.

    Args:
        give_up: jobs that no process has taken are not waited for, and do not begin any more.
    """
    if give_up:
        sweep.stop(GIVEN_UP)
    tell_problems(collect(project, sweep))
    with file_lock(sweep.path / LOCK), closing(open_local(project)) as catalog:
        record = catalog.lookup_execution(sweep.rid)
        if record.status not in OPEN_STATUSES:  # another process has ended it, or it waited for records alone
            end = end_of(sweep, plan)
            if sweep.path.exists() and not holds_records(sweep.path):
                remove_run(sweep.path)
            return end
        begun = [job for job in sweep.jobs() if job.begun() and not job.ended()]
        running = {job.number: job.begun() for job in begun if is_alive(sweep, job)}
        waiting = [job.number for job in plan.jobs if not sweep.job(job.number).begun()]
        waiting = [number for number in waiting if not sweep.job(number).ended()]
        submitted = is_submitted(catalog, sweep)
        if submitted or running or (waiting and not sweep.stopped()):
            hosts = {number: one.owner.host for number, one in running.items() if one}
            return Open(submitted, hosts, waiting, sum(job.ended() is not None for job in sweep.jobs()))
        close_lost(project, sweep, recovered(project, sweep, plan, begun))
        sweep.detach(False)
        seconds = (datetime.now(UTC) - datetime.fromisoformat(record.created)).total_seconds()
        return finish(project, sweep, plan, seconds)
