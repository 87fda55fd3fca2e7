"""Launches the jobs of a sweep until none is left, whatever becomes of the processes that a launcher runs them in."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import deriva_ml.sweep.apart as apart
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Status
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.recovery import recover_project
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.sweep.collecting import collect as collect_apart
from deriva_ml.sweep.engines import JOBLIB, OPTUNA, Engine
from deriva_ml.sweep.folder import Ended, JobFolder, SweepFolder
from deriva_ml.sweep.job import GOOD, INTERRUPTED, LOOK_SECONDS, Task, with_objective
from deriva_ml.sweep.plan import Plan
from deriva_ml.sweep.study import all_made, space_of, trials_of, words_of, write_trials
from deriva_ml.terminal import one_line


def launch_all(
    project: Project, sweep: SweepFolder, plan: Plan, rid: RID, engine: Engine, words: list[str]
) -> str:
    """Launch jobs until each has ended or is not to run; return what the launcher complained of if some are left.

    A launcher may give all jobs up for one whose process was killed, as joblib does, and may kill the others' processes.
    Those that had not begun are launched again; those that had, by themselves, one after the other, and only once.
    """
    task = Task(project.root, sweep.path, rid, Owner.here(project.state), planned=bool(plan.jobs))
    if not plan.jobs:
        return _search(task, project, sweep, plan, engine, words)
    from deriva_ml.sweep.launching import launch_planned

    problem, alone, in_vain = "", set[int](), False
    batches = deque([[job.number for job in plan.jobs]])
    while batches and not sweep.stopped():
        batch = [number for number in batches.popleft() if not sweep.job(number).ended()]
        if not batch:
            continue
        task = replace(task, launch=task.launch + 1)
        these = functools.partial(
            launch_planned, task, batch, words, engine.at_once(), engine.turns(len(batch))
        )
        problem = _launch(task, sweep, these)
        lost = recovered(project, sweep, plan, _settled(sweep))
        again = lost if problem and len(lost) > 1 and not sweep.stopped() else []
        again = [job for job in again if job.number not in alone]
        close_lost(project, sweep, lost, again)
        alone |= {job.number for job in again}
        left = [number for number in batch if not sweep.job(number).ended() and number not in alone]
        if left == batch and (in_vain or engine.launcher != JOBLIB):
            break
        in_vain = left == batch  # once that may be: a process was killed before it came to a job
        batches += [left, *([job.number] for job in again)]
    return problem if any(not sweep.job(job.number).ended() for job in plan.jobs) else ""


def _search(
    task: Task, project: Project, sweep: SweepFolder, plan: Plan, engine: Engine, words: list[str]
) -> str:
    """Let a sweeper make and run jobs; if its launcher gives them up, go on with what is known by then."""
    from deriva_ml.sweep.launching import launch_swept

    space = space_of(plan, engine)
    while True:
        made = {folder.number for folder in sweep.jobs()}
        task = replace(task, launch=task.launch + 1, first=max(made, default=-1) + 1)
        told = words + words_of(plan, engine, len(made), write_trials(sweep, plan, engine))
        search = functools.partial(launch_swept, task, space, told)
        problem = _launch(task, sweep, search)
        close_lost(project, sweep, recovered(project, sweep, plan, _settled(sweep)))
        count = len(sweep.jobs())
        if sweep.stopped():
            return ""
        if all_made(engine, count):  # what it says then is that none of them has a value
            reason = f"no job has a value of {plan.objective}"
            return "" if any(trials_of(sweep)) else reason
        if not problem or count == len(made) or engine.sweeper != OPTUNA:
            return problem


def _launch(task: Task, sweep: SweepFolder, launch: Callable[[Path], None]) -> str:
    """Launch jobs; return what the launcher complained of, if it did not end well."""
    try:
        launch(
            sweep.path / "launcher" / str(task.launch)
        )  # new for each: a scheduler's numbers may come again
    except DerivaMLException:
        raise
    except KeyboardInterrupt:  # a second Ctrl-C: what runs is given up
        sweep.stop(INTERRUPTED)
    except Exception as error:  # the launcher's own: a pool that broke, a scheduler that refuses
        if not sweep.stopped():  # or it is how a second Ctrl-C came out of a library
            return f"{type(error).__name__}: {one_line(error)}"
    return ""


def _settled(sweep: SweepFolder) -> list[JobFolder]:
    """Wait until no job runs any more, which a launcher need not have done; return those whose process is gone."""
    while True:
        open_jobs = [job for job in sweep.jobs() if job.begun() and not job.ended()]
        if not any(is_alive(sweep, job) for job in open_jobs):
            return [job for job in open_jobs if not job.ended()]
        time.sleep(LOOK_SECONDS)


def is_alive(sweep: SweepFolder, job: JobFolder) -> bool:
    """Whether the process that took a job goes on with it."""
    if apart.is_apart(sweep):
        return apart.is_alive(job, apart.clock_of(sweep.path))
    begun = job.begun()
    # What this process itself has left without an end, in a second Ctrl-C, it does not go on with.
    return (
        begun is not None
        and replace(begun.owner, lock="") != Owner.of()
        and not begun.owner.is_gone(Path(begun.state))
    )


def recovered(project: Project, sweep: SweepFolder, plan: Plan, lost: Sequence[JobFolder]) -> list[JobFolder]:
    """Let recovery close the executions of jobs whose process is gone; return those that had not ended well before that."""
    if apart.is_apart(sweep) or not lost:
        return [*lost]
    recover_project(project)
    left = []
    for job in lost:
        with closing(open_local(project)) as catalog:
            executions = _executions_of(catalog, sweep.rid, job)
            status = catalog.lookup_execution(executions[-1]).status if executions else ""
        if status in GOOD:  # it was killed just before it could say so
            job.end(with_objective(project, plan, job.number, Ended(status, executions[-1:])))
        else:
            left.append(job)
    return left


def close_lost(
    project: Project, sweep: SweepFolder, lost: Sequence[JobFolder], again: Sequence[JobFolder] = ()
) -> None:
    """Write down the ends of jobs whose process is gone, but for those to repeat."""
    if apart.is_apart(sweep):
        collect_apart(project, sweep)
        return  # those whose records cannot be taken in stay as they are
    for job in lost:
        if job in again:
            job.release()
            continue
        with closing(open_local(project)) as catalog:
            executions = _executions_of(catalog, sweep.rid, job)
            reason = catalog.lookup_execution(executions[-1]).status_detail if executions else ""
        job.end(Ended(Status.aborted, executions[-1:], reason or "the process that ran it was killed"))


def _executions_of(catalog: EmbeddedCatalog, parent: RID, job: JobFolder) -> list[RID]:
    return [rid for rid, place in catalog.places_in_sweep(parent).items() if place == job.number]
