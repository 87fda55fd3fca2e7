"""Runs a sweep for a command, and says how its jobs go and how it ended."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml.cli.command import FAILED
from deriva_ml.cli.summary import print_summary
from deriva_ml.project import Project
from deriva_ml.signals import Terminated
from deriva_ml.sweep.folder import Ended, JobFolder, SweepFolder
from deriva_ml.sweep.job import INTERRUPTED, TERMINATED
from deriva_ml.sweep.plan import Job, Plan
from deriva_ml.sweep.running import SweepEnd, run_sweep
from deriva_ml.terminal import print, tell, warn

LOOK_SECONDS = 0.2
"""How often is looked what the jobs do."""


def run(project: Project, plan: Plan) -> int:
    """Run a sweep; the exit status is 0, 1 if a job failed or could not be sent, 130 for Ctrl-C."""
    shown = _Shown(project)
    end = run_sweep(project, plan, shown.watching)
    return _print_end(project, plan, end, shown.unsent)


class _Shown:
    """What a person was told of the jobs."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._begun = set[int]()
        self._ended = set[int]()
        self.unsent = 0

    @contextmanager
    def watching(self, sweep: SweepFolder, plan: Plan) -> Iterator[None]:
        """Tell of jobs as they begin and end."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                self._look(sweep, plan)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._look(sweep, plan)

    def _look(self, sweep: SweepFolder, plan: Plan) -> None:
        for folder in sweep.jobs():
            if folder.number in self._ended:
                continue
            job = plan.jobs[folder.number] if plan.jobs else folder.job()
            ended = folder.ended()
            if job and (ended or folder.begun()) and folder.number not in self._begun:
                self._begun.add(folder.number)
                total = f"/{len(plan.jobs)}" if plan.jobs else ""
                tell(f"[{folder.number + 1}{total}] {plan.label(job)}")
            if job and ended:
                self._ended.add(folder.number)
                self._tell_end(folder, job, ended)

    def _tell_end(self, folder: JobFolder, job: Job, ended: Ended) -> None:
        for line in ended.warnings:
            warn(line)
        if ended.reason:
            tell(f"error: {ended.reason}")
        for rid in ended.executions:
            self.unsent += not print_summary(self._project, rid, f" ({ended.seconds:.1f} s)")


def _print_end(project: Project, plan: Plan, end: SweepEnd, unsent: int) -> int:
    for number in end.failed:
        job = plan.jobs[number] if plan.jobs else None
        tell(f"failed: job {number + 1}{f' ({plan.label(job)})' if job else ''}: {end.ends[number].reason}")
    if end.failed and end.execution:
        tell(f"to run these again: uv run {shlex.join(_again(plan, end))}")
    if end.problem:
        tell(f"error: {end.problem}")
    if end.execution:
        said = f", {len(end.failed)} of {end.count} jobs failed" if end.failed else ""
        print(f"Sweep {end.execution}: {len(end.ends)} executions{said}")
        unsent += not print_summary(project, end.execution)
    if end.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    if end.stopped == TERMINATED:
        raise Terminated
    return FAILED if end.failed or unsent or end.problem or len(end.ends) < end.count else 0


def _again(plan: Plan, end: SweepEnd) -> list[str]:
    command = ["deriva-ml-run-notebook", str(Path(plan.notebook))] if plan.notebook else ["deriva-ml-run"]
    return [*command, "--resume", end.execution]
