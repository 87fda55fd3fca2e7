"""Says how far a sweep is that goes on."""

from __future__ import annotations

from deriva_ml.definitions import RID
from deriva_ml.project import Project
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.job import GOOD
from deriva_ml.sweep.rounds import is_alive
from deriva_ml.terminal import counted


def standing(project: Project, rid: RID) -> str:
    """Return how far a sweep is, such as ``3 of 8 jobs have ended (1 not well), 2 are running``; empty if it does not go on.

    Args:
        rid: of any execution, by which the project's own catalog knows it.
    """
    sweep = SweepFolder.of(project, rid)
    plan = sweep.plan()
    if plan is None:
        return ""
    ends, running = [], 0
    for job in sweep.jobs():
        if ended := job.ended():
            ends.append(ended)
        elif job.begun() and is_alive(sweep, job):
            running += 1
    of = f"{len(ends):,} of {counted(len(plan.jobs), 'job')}" if plan.jobs else counted(len(ends), "job")
    bad = sum(ended.status not in GOOD for ended in ends)
    stopped = f"; stopped: {said}" if (said := sweep.stopped()) else ""
    return (
        f"{of} {'has' if len(ends) == 1 else 'have'} ended{f' ({bad:,} not well)' if bad else ''},"
        f" {running:,} {'is' if running == 1 else 'are'} running{stopped}"
    )
