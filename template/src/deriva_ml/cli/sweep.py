"""Runs a sweep for a command, and says how its jobs go and how it ended."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import deriva_ml.sweep.later as later
from deriva_ml.catalog.connection import open_local
from deriva_ml.cli.command import FAILED
from deriva_ml.cli.summary import find, print_summary, relative
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.upload import recorded
from deriva_ml.parallel import meanwhile
from deriva_ml.project import Project
from deriva_ml.signals import Terminated
from deriva_ml.sweep.folder import Ended, JobFolder, SweepFolder
from deriva_ml.sweep.job import GOOD, INTERRUPTED, TERMINATED
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan
from deriva_ml.sweep.running import SweepEnd, run_sweep
from deriva_ml.sweep.study import best
from deriva_ml.terminal import counted, print, tell, warn
from deriva_ml.untrusted import plain_name

LOOK_SECONDS = 0.2
"""How often is looked what the jobs do."""


def run(project: Project, plan: Plan) -> int:
    """Run a sweep; the exit status is 0, 1 if a job failed or could not be sent, 130 for Ctrl-C."""
    shown = _Shown(project)
    end = run_sweep(project, plan, shown.watching)
    return _print_end(project, plan, end, shown.unsent)


def collect(project: Project, rid: str, give_up: bool = False) -> int:
    """Take in what the jobs of a sweep have recorded, and end it if all have ended; the exit status is as for ``run``.

    Args:
        give_up: those that have not begun are not waited for.

    Raises:
        DerivaMLRequestError: there is no such sweep, or nothing of it to collect.
    """
    with closing(open_local(project)) as catalog:
        local = recorded(catalog, rid).local
    sweep = SweepFolder.of(project, local)
    plan = sweep.plan()
    if plan is None:
        raise DerivaMLRequestError(
            f"nothing of {rid} is to be collected: deriva-ml-catalog show {rid} tells how it ended"
        )
    end = later.end_later(project, sweep, plan, give_up=give_up)
    if isinstance(end, later.Open):
        return _print_open(rid, end)
    return _print_end(project, plan, end, 0)


def _print_open(rid: str, found: later.Open) -> int:
    running = ", ".join(sorted({host for host in found.running.values()}))
    count = found.ended + len(found.running) + len(found.waiting)
    said = [f"{found.ended} of {counted(count, 'job')} have ended"]
    if found.running:
        said.append(f"{len(found.running)} {'goes' if len(found.running) == 1 else 'go'} on ({running})")
    if found.waiting:
        said.append(f"{len(found.waiting)} have not begun")
    print(f"Sweep {rid}: {', '.join(said)}")
    if found.submitted:
        tell("the process that submitted them takes the others in")
    elif found.waiting and not found.running:
        tell(
            "repeat this once they have ended; if nobody will begin them any more, such as a scheduler that does not know of"
            " them, add --fail-fast: they are given up, and the sweep is ended"
        )
    else:
        tell("repeat this once more have ended")
    return 0


class _Shown:
    """What a person was told of the jobs: a bar and a line each on a terminal, plain lines elsewhere."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._looking = threading.Lock()
        self._begun = set[int]()
        self._ended = set[int]()
        self._warned = set[str]()
        self._failed = 0
        self._named = -1
        self.unsent = 0

    @contextmanager
    def watching(self, sweep: SweepFolder, plan: Plan) -> Iterator[Callable[[JobFolder], None]]:
        """Tell of jobs as they begin and end; gives what tells of one at once, where it runs in this process.

        So what it prints, and what is said of it, come in their order.
        """
        from tqdm import tqdm

        self._ended = {folder.number for folder in sweep.jobs() if folder.ended()}
        if self._ended:
            tell(
                f"jobs of sweep {plan.resumes} that ended well, and are part of this one, too: {len(self._ended)}"
            )
        total = len(plan.jobs) or None
        # `None` is quiet where the output is no terminal.
        with tqdm(desc="Sweep", total=total, unit="job", initial=len(self._ended), disable=None) as bar:

            def look() -> None:
                for folder in sweep.jobs():
                    self._look(folder, plan, bar)

            try:
                with meanwhile(look, LOOK_SECONDS):
                    yield lambda folder: self._look(folder, plan, bar)
            finally:
                look()

    def _look(self, folder: JobFolder, plan: Plan, bar: Any) -> None:
        with self._looking:
            if folder.number in self._ended:
                return
            ended = folder.ended()
            if ended and ended.apart:  # it is told once its records are here
                ended = None
            job = plan.jobs[folder.number] if plan.jobs else folder.job()
            if not job or not (ended or folder.begun()):
                return
            begins = folder.number not in self._begun
            self._begun.add(folder.number)
            if ended or (begins and bar.disable):
                sys.stdout.flush()  # in a pipe the job's output would come later
                with bar.external_write_mode():
                    self._tell(folder.number, plan, job, ended, begins, bar)
                sys.stdout.flush()
            running = len(self._begun) - len(self._ended & self._begun)
            bar.set_postfix_str(f"{running} running" + (f", {self._failed} failed" if self._failed else ""))

    def _tell(self, number: int, plan: Plan, job: Job, ended: Ended | None, begins: bool, bar: Any) -> None:
        name = f"[{number + 1}{f'/{len(plan.jobs)}' if plan.jobs else ''}] {plan.label(job)}"
        # Once more where another was told of since: what is said of its end does not name the job.
        if bar.disable and (begins or self._named != number):
            tell(name)
            self._named = number
        if ended:
            self._ended.add(number)
            self._failed += ended.status not in GOOD
            self._tell_end(name, plan, ended, in_one_line=not bar.disable)
            bar.update()

    def _tell_end(self, name: str, plan: Plan, ended: Ended, *, in_one_line: bool) -> None:
        for line in ended.warnings:
            if line not in self._warned:
                warn(line)
            self._warned.add(line)
        took = f" ({ended.seconds:.1f} s)"
        if in_one_line:
            known = [find(self._project, one) for one in ended.executions]
            self.unsent += sum(not sent for _, sent in known)
            rids = "".join(f" {found.rid}" for found, _ in known)
            print(f"{name}: {ended.status}{rids}{took}{f': {ended.reason}' if ended.reason else ''}")
            return
        if ended.reason:
            tell(f"error: {ended.reason}")
        for rid in ended.executions:
            self.unsent += not print_summary(self._project, rid, took if plan.kind == NOTEBOOK else "")


def _print_end(project: Project, plan: Plan, end: SweepEnd, pending: int) -> int:
    for number in end.failed:
        job = end.jobs.get(number)
        tell(f"failed: job {number + 1}{f' ({plan.label(job)})' if job else ''}: {end.ends[number].reason}")
    if end.failed and end.execution and not plan.masked().is_masked:
        tell(f"to run these again: uv run {shlex.join(_again(plan, end))}")
    if end.problem:
        tell(f"error: {end.problem}")
    if plan.objective and end.ends:
        _print_best(project, plan, end)
    if end.execution:
        said = f", {end.stopped}" if end.stopped else ""
        said += f", {len(end.failed)} of {end.count} jobs failed" if end.failed and not end.stopped else ""
        count = sum(bool(ended.executions) for ended in end.ends.values())
        print(f"Sweep {end.execution}: {counted(count, 'execution')}{said}")
        pending += not print_summary(project, end.execution)
        for line in _results_of(project, end):
            print(f"  {line}")
    else:
        print(
            f"Dry run: nothing was recorded of {counted(len(end.ends), 'job')}; outputs of notebooks are in outputs/"
        )
    if end.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    if end.stopped.startswith(TERMINATED):
        raise Terminated
    return FAILED if end.failed or pending or end.problem or len(end.ends) < end.count else 0


def _print_best(project: Project, plan: Plan, end: SweepEnd) -> None:
    """Say which job came to the best value of the metric that the sweep is for."""
    objectives = {number: ended.objective for number, ended in end.ends.items()}
    if (number := best(end.direction, objectives)) is None:
        return
    ended, job = end.ends[number], end.jobs.get(number)
    rids = " ".join(find(project, one)[0].rid for one in ended.executions)
    which = f"job {number + 1}{f' ({plan.label(job)})' if job else ''}"
    print(f"best {plan.objective} ({end.direction}): {ended.objective:g}, {which}: {rids}")


def _results_of(project: Project, end: SweepEnd) -> list[str]:
    """Return the lines that say where the results of a sweep are for the reader."""
    kept = project.outputs / plain_name(find(project, end.execution)[0].rid)
    files = {"table": kept / "sweep.md", "picture": kept / "sweep.png"}
    return [f"{what:10}{relative(path)}" for what, path in files.items() if path.is_file()]


def _again(plan: Plan, end: SweepEnd) -> list[str]:
    command = ["deriva-ml-run-notebook", str(Path(plan.notebook))] if plan.notebook else ["deriva-ml-run"]
    return [*command, "--resume", end.execution]
