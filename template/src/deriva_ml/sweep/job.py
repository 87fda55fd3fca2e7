"""One job of a sweep, in whichever process a launcher runs it: taken once, run as a run alone is, its end written down."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deriva_ml.disk as disk
import deriva_ml.sweep.apart as apart
from deriva_ml.catalog.connection import open_local
from deriva_ml.definitions import OPEN_STATUSES, RID, Status
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.closing import clear_work, remove_folder
from deriva_ml.parallel import meanwhile
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.signals import (
    Terminated,
    expect_end,
    raise_on_signals,
    signals_ignored,
    terminated_by,
    time_limit_heeded,
)
from deriva_ml.sweep.folder import Begun, Ended, JobFolder, SweepFolder
from deriva_ml.sweep.loaded import LoadedCode
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan, command_of
from deriva_ml.sweep.worker import at_work, is_forsaken
from deriva_ml.terminal import one_line

if TYPE_CHECKING:
    from deriva_ml.config.compose import Composer
    from deriva_ml.notebook.forking import ForkServer

LOOK_SECONDS = 0.5
"""How often a job looks whether it is to stop."""

GOOD = {Status.uploaded, Status.pending_upload}
"""The statuses of executions that ended well."""


INTERRUPTED = "interrupted"
"""Why a sweep is stopped by a person."""

TERMINATED = "terminated"
"""What a reason begins with if it is stopped by a signal."""

submitted_here: dict[Path, Callable[[JobFolder], None]] = {}
"""The folders of the sweeps that this process has submitted, with what tells of a job; in the launcher's own processes
there are none."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=submitted_here.clear)


@dataclass(frozen=True)
class Task:
    """What a launcher carries to the processes that run jobs; called there for each.

    Attributes:
        root: the project's folder.
        folder: the sweep's.
        parent: the sweep's execution; empty for one that records nothing.
        submitter: the process that launches the jobs.
        launch: which launch of the engine this is, from 1.
        planned: whether the jobs are those of the plan; otherwise a sweeper makes them, and wants the objective.
        first: the number of the first job that a sweeper makes here.
    """

    root: Path
    folder: Path
    parent: RID
    submitter: Owner
    launch: int = 1
    planned: bool = True
    first: int = 0

    def __call__(self, _: Any) -> float | None:
        """Run the job, or those that are left; return its objective for a sweeper, which takes None for a failure."""
        from deriva_ml.sweep.launching import numbers_of_jobs, trial_of_job

        sweep = SweepFolder(self.folder)
        plan = _plan(sweep.path)
        if plan is None:  # the sweep is over
            return None
        ended = None
        for number in numbers_of_jobs():
            number += 0 if self.planned else self.first
            folder = sweep.job(number)
            if not (folder.begun() and self.planned):  # else another process has it
                ended = self._here(sweep, folder, plan, {} if self.planned else trial_of_job(plan))
        return ended.objective if ended else None

    def _here(
        self, sweep: SweepFolder, folder: JobFolder, plan: Plan, chosen: dict[int, str]
    ) -> Ended | None:
        """Run a job, whatever is wrong; return how it ended."""
        from deriva_ml.sweep.launching import aside

        with aside(), at_work(sweep, folder, self.submitter):
            try:
                if self.planned:
                    job = plan.jobs[folder.number]
                else:
                    job = plan.trial(folder.number, chosen)
                    folder.note_job(job)
                return self._run(sweep, folder, plan, job)
            except Exception as error:  # of the sweep's folder: launchers say it their own way
                ended = folder.ended() or Ended(Status.failed, reason=_fault_of(error, sweep.state))
                with suppress(OSError):
                    folder.end(ended)
                self._tell_of(folder)
                return ended

    def _run(self, sweep: SweepFolder, folder: JobFolder, plan: Plan, job: Job) -> Ended | None:
        """Run a job that nobody else runs or has run, unless all are to stop; return how it ended."""
        if self._is_over(sweep, folder):
            return folder.ended()
        project, parent = Project(self.root), self.parent
        place: AbstractContextManager[None] = nullcontext()
        if apart.is_apart(sweep):
            try:
                project, parent = apart.job_project(self.root, sweep, folder), ""
            except (DerivaMLException, OSError) as error:
                folder.end(Ended(Status.failed, reason=str(error)))
                return folder.ended()
            place = apart.alone(project, folder)
        if not folder.claim(Begun(Owner.here(project.state), str(project.state), time.time(), self.launch)):
            return folder.ended()
        self._tell_of(folder)  # now, for what the job prints comes next
        with place:
            ended = self._recorded(sweep, folder, plan, job, project, parent)
        self._tell_of(folder)
        if self.folder in submitted_here and ended.status == Status.aborted:
            sweep.stop(terminated_by() if ended.reason.startswith(TERMINATED) else INTERRUPTED)
        elif plan.fail_fast and ended.status not in GOOD:
            sweep.stop(f"job {job.number + 1} failed, and --fail-fast was given")
        return ended

    def _tell_of(self, folder: JobFolder) -> None:
        if show := submitted_here.get(self.folder):
            show(folder)

    def _recorded(
        self, sweep: SweepFolder, folder: JobFolder, plan: Plan, job: Job, project: Project, parent: RID
    ) -> Ended:
        """Run a job that was taken, and write down how it ended; where it records apart, also its archive."""
        begun, ended = time.monotonic(), None
        try:
            with _signals_let_in(), raise_on_signals(), time_limit_heeded(), self._stopped(sweep, folder):
                ended = run_job(project, plan, job, parent)
        except (KeyboardInterrupt, Terminated) as error:
            ended = ended or Ended(Status.aborted, reason=_stop_reason(error))  # or it came too late
        except Exception as error:  # whatever it is, the other jobs go on
            ended = Ended(Status.failed, reason=_fault_of(error, project.state))
        ended = replace(ended, seconds=round(time.monotonic() - begun, 3))
        with signals_ignored():
            removed = sweep.is_removed()
            if removed or folder.ended():  # it was taken for gone, and what came after is nobody's
                remove_folder(sweep.path if removed else folder.state)
            else:
                if apart.is_apart(sweep):
                    ended = replace(ended, apart=bool(apart.deliver(project, folder, ended.reason)))
                folder.end(ended)
            apart.remove_own(project, folder)
        return ended

    def _is_over(self, sweep: SweepFolder, folder: JobFolder) -> bool:
        """Whether a job is not to begin, or go on: all are to stop, or nobody is there any more to whom it matters."""
        return bool(
            sweep.stopped() or folder.ended() or sweep.is_removed() or is_forsaken(sweep, self.submitter)
        )

    @contextmanager
    def _stopped(self, sweep: SweepFolder, folder: JobFolder) -> Iterator[None]:
        """Interrupt what runs inside, on the main thread, as soon as it is not to go on."""

        def look() -> bool:
            if not self._is_over(sweep, folder):
                return False
            number = signal.SIGINT if sweep.stopped() == INTERRUPTED else signal.SIGTERM
            expect_end(_why_stopped(sweep))
            # To that thread, so that what it waits for is interrupted, too.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return True

        if threading.current_thread() is not threading.main_thread() or os.name != "posix":
            yield
            return
        with meanwhile(look, LOOK_SECONDS):
            yield


def run_job(project: Project, plan: Plan, job: Job, parent: RID) -> Ended:
    """Run a job in this process and say how it ended; raises what running alone would."""
    run = _run_notebook if plan.kind == NOTEBOOK else _run_model
    return with_objective(project, plan, job.number, run(project, plan, job, parent))


def with_objective(project: Project, plan: Plan, number: int, ended: Ended) -> Ended:
    """Return how a job ended with the last value of the metric that is asked for, or a line about why there is none."""
    if plan.objective and ended.executions and ended.status in GOOD:
        metrics = _metrics(project, ended.executions)
        objective = metrics.get(plan.objective)
        if objective is not None and isfinite(objective):
            return replace(ended, objective=objective)
        if ended.status in GOOD:
            known = f" ({', '.join(sorted(metrics))} it has)" if metrics else ""
            said = (
                f"no value of {plan.objective}{known}"
                if objective is None
                else f"{plan.objective}={objective}"
            )
            line = f"job {number + 1} has {said}"
            return replace(ended, warnings=[*ended.warnings, line])
    return ended


def _run_notebook(project: Project, plan: Plan, job: Job, parent: RID) -> Ended:
    from deriva_ml.execution.notebook_runner import Request, record_notebook
    from deriva_ml.notebook.document import read_notebook
    from deriva_ml.notebook.parameters import parameters_of, resolve

    path = project.root / plan.notebook
    declared = parameters_of(read_notebook(path))
    result = record_notebook(
        Request(
            notebook=path,
            parameters=resolve(declared, plan.from_file, job.given),
            overrides=list(job.overrides),
            kernel=plan.kernel,
            timeout=plan.timeout,
            allow_dirty=plan.allow_dirty,
            argv=command_of(plan, job),
            declared=[one.name for one in declared or ()],
            bar=False,  # the sweep has one
            parent=(parent, job.number) if parent else None,
        ),
        project,
        kernels_from(project, plan),
    )
    warnings = [*result.warnings, *([result.unsent] if result.unsent else ())]
    status = Status.uploaded if result.status is Status.stopped else result.status  # a dry run's end
    return Ended(status, result.executions, result.reason, warnings=warnings)


def _run_model(project: Project, plan: Plan, job: Job, parent: RID) -> Ended:
    from deriva_ml.config.modules import find_configs
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.model_run import RunContext, run_composed

    find_configs(project, plan.config_package)
    if not plan.dry_run:
        _loaded(project.root).see_unchanged()
    begun: list[Execution] = []
    context = RunContext(
        project,
        overrides=job.overrides,
        allow_dirty=plan.allow_dirty,
        argv=command_of(plan, job),
        parent=(parent, job.number) if parent else None,
        config_name=plan.config_name,
        begun=begun.append,
    )
    try:
        run_composed(context, _composer(plan.config_name))
    except (DerivaMLException, OSError) as error:
        if not begun or begun[0].dry_run:
            raise
        return _as_recorded(project, begun[0].local_rid, str(error))
    except (KeyboardInterrupt, Terminated) as error:
        if not begun or begun[0].dry_run:
            raise
        with signals_ignored():  # a terminal's and the sweep's own may both come
            return replace(_as_recorded(project, begun[0].local_rid), reason=_stop_reason(error))
    return _as_recorded(project, begun[0].local_rid) if not begun[0].dry_run else Ended(Status.uploaded)


@functools.lru_cache(1)
def _plan(folder: Path) -> Plan | None:
    """Return what a sweep is to run, which each process reads once."""
    return SweepFolder(folder).plan()


def kernels_from(project: Project, plan: Plan) -> ForkServer | None:
    """Return what forks the kernels of a plan's jobs in this process; it is started by the first call."""
    return None if plan.kernel else _fork_server((project.root / plan.notebook).parent)


@functools.cache
def _fork_server(folder: Path) -> ForkServer | None:
    """Return what forks the kernels of this process, as long as it lives."""
    from deriva_ml.notebook.forking import ForkServer

    server = ForkServer.start(folder)
    if server:
        atexit.register(server.close)
    return server


@functools.cache
def _loaded(root: Path) -> LoadedCode:
    """Return what is known of the code that the jobs of this process run."""
    return LoadedCode(root)


@functools.cache
def _composer(name: str) -> Composer:
    """Return what composes the jobs of this process."""
    from deriva_ml.config.compose import Composer

    return Composer(name)


def _why_stopped(sweep: SweepFolder) -> str:
    """Return why a job is terminated that the sweep does not let go on."""
    why = sweep.stopped()
    if why.startswith(TERMINATED):
        return why
    return f"terminated: {why}" if why else "terminated: the process that submitted it is gone"


def _stop_reason(error: BaseException) -> str:
    return terminated_by() if isinstance(error, Terminated) else INTERRUPTED


def _fault_of(error: Exception, state: Path) -> str:
    """Return why a job failed, as a person would say it where the disk is at fault, or another program's words."""
    if why := disk.fault(error, state):
        return why
    said = isinstance(error, DerivaMLException | OSError)
    return str(error) if said else f"{type(error).__name__}: {one_line(error)}"


def _as_recorded(project: Project, rid: RID, reason: str = "") -> Ended:
    """Return how an execution ended; nobody needs its working folder any more."""
    with closing(open_local(project)) as catalog:
        record = catalog.lookup_execution(rid)
    if record.status not in OPEN_STATUSES:
        clear_work(project, rid)
    return Ended(record.status, [rid], record.status_detail or reason)


def _metrics(project: Project, executions: list[RID]) -> dict[str, float]:
    """Return the last value of each metric that one of these executions registered."""
    from deriva_ml.catalog.criteria import Criteria

    with closing(open_local(project)) as catalog:
        return {
            name: float(metric.last)
            for result in catalog.results(Criteria(rids=executions))
            for name, metric in result.summary.metrics.items()
        }


@contextmanager
def _signals_let_in() -> Iterator[None]:
    """Let SIGINT reach a job; between jobs it is the submitting process's alone, which blocks it for those it starts."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
