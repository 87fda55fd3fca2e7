"""Runs a sweep: records its own execution, launches its jobs until none is left, ends it."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import deriva_ml.sweep.apart as apart
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import (
    RID,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    Status,
    Workflow,
    format_duration,
)
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.closing import Output, close_execution, join_reasons, noted_for_recovery
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.notebook_end import copy_for_reader, known_as
from deriva_ml.execution.provenance import collect, workflow_of
from deriva_ml.execution.recovery import holds_records
from deriva_ml.execution.run_state import remove_run
from deriva_ml.git import git
from deriva_ml.project import Project
from deriva_ml.signals import signals_ignored, terminated_by
from deriva_ml.sweep.collecting import collecting
from deriva_ml.sweep.engines import BASIC, prepared
from deriva_ml.sweep.equipment import equipped
from deriva_ml.sweep.folder import Ended, JobFolder, SweepFolder
from deriva_ml.sweep.job import GOOD, INTERRUPTED, TERMINATED, kernels_from, submitted_here
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan
from deriva_ml.sweep.rounds import launch_all
from deriva_ml.sweep.study import quiet, recorded_trials, trials_at_once
from deriva_ml.sweep.threads import share
from deriva_ml.terminal import one_line, warn
from deriva_ml.untrusted import plain_name

PICTURE = "sweep.png"

SPEC = "sweep.json"
"""The file of a sweep's record that holds its plan."""


@dataclass(frozen=True)
class SweepEnd:
    """How a sweep ended.

    Attributes:
        execution: the sweep's, by its RID in the project's own catalog; empty where nothing is recorded.
        ends: how each job ended that did.
        count: how many jobs there are.
        stopped: why it was stopped before its end; empty if it was not.
        problem: what the launcher complained of, if jobs are left that it did not run.
        jobs: those that were made.
        direction: in which the metric was to go that was asked for.
    """

    execution: RID
    ends: dict[int, Ended]
    count: int
    stopped: str = ""
    problem: str = ""
    jobs: dict[int, Job] = field(default_factory=dict)
    direction: str = ""

    @property
    def failed(self) -> list[int]:
        """The jobs that ended, but not well."""
        return [number for number, ended in self.ends.items() if ended.status not in GOOD]

    @property
    def was_told_to(self) -> bool:
        """Whether a person or a signal stopped it."""
        return self.stopped == INTERRUPTED or self.stopped.startswith(TERMINATED)


Watch = Callable[[SweepFolder, Plan], AbstractContextManager[Callable[[JobFolder], None]]]
"""Makes a context manager that shows how jobs go while it is open, and gives what shows at once how one does."""


def run_sweep(project: Project, plan: Plan, watch: Watch) -> SweepEnd:
    """Run the jobs of a sweep, and end its record.

    Args:
        watch: shows how the jobs go.

    Raises:
        DerivaMLRequestError: the repository's state, the catalog or the engine does not allow a run; nothing was recorded.
    """
    begun = time.monotonic()
    engine, plan = equipped(project, plan)
    plan = replace(plan, commit=git(project.root, "rev-parse", "HEAD", check=False))
    if plan.kind == NOTEBOOK and engine.launcher == BASIC:
        kernels_from(project, plan)  # which loads meanwhile
    rid = "" if plan.dry_run else _start(project, plan)
    sweep = SweepFolder.of(project, rid) if rid else SweepFolder(project.new_folder(project.sweeps))
    sweep.make(plan)
    if plan.done:
        _take_over(project, sweep, plan)
    if engine.elsewhere:
        apart.lend_catalog(project, sweep)
    if engine.outlives:
        sweep.detach()
    count = len(plan.jobs) or trials_at_once(engine)
    with (
        prepared(engine, count, share(engine, count)) as words,
        quiet(engine),
        _stopped_by_signals(sweep),
        watch(sweep, plan) as show,
        collecting(project, sweep),
    ):
        submitted_here[sweep.path] = show
        problem = launch_all(project, sweep, plan, rid, engine, [*words, *plan.engine])
    if git(project.root, "rev-parse", "HEAD", check=False) != plan.commit:
        warn(
            "code was committed while the sweep went on: its jobs may have several commits, as their records say"
        )
    return finish(project, sweep, plan, time.monotonic() - begun, problem)


def _start(project: Project, plan: Plan) -> RID:
    """Record the execution that the jobs are nested in, ``Running`` until it is ended; return its RID here."""
    from deriva_ml.core import open_connection

    source = project.root / (plan.notebook or "pyproject.toml")
    provenance = collect(source, allow_dirty=plan.allow_dirty).to_json()
    about, told = Workflow(**plan.workflow), plan.masked()
    ml = open_connection(DerivaMLConfig(**plan.deriva_ml), project)
    execution = Execution(
        ml,
        ExecutionConfiguration(
            description=plan.description, argv=list(plan.command), overrides=[*told.base, *told.engine]
        ),
        workflow_of(provenance, f"{about.name} sweep", about.workflow_type, about.description),
        started_by=plan.command[0],
    )
    execution.record_circumstances(provenance)
    execution.add_metadata(SPEC, json.dumps(told.to_json(), indent=1), ExecMetadataType.execution_config)
    execution.execution_start()
    ml.connection.close()
    return execution.local_rid


def _take_over(project: Project, sweep: SweepFolder, plan: Plan) -> None:
    """Nest the executions of the jobs that ended well in the sweep that this one goes on with."""
    trials = {job.number: (job, value) for job, value in recorded_trials(project, plan)}
    with closing(open_local(project)) as catalog:
        for number, execution in plan.done.items():
            catalog.nest(sweep.rid, execution, int(number))
            folder = sweep.job(int(number))
            job, objective = trials.get(folder.number, (None, None))
            if job and not plan.jobs:
                folder.note_job(job)
            status = catalog.lookup_execution(execution).status
            folder.end(Ended(status, [execution], objective=objective))


def finish(project: Project, sweep: SweepFolder, plan: Plan, seconds: float, problem: str = "") -> SweepEnd:
    """End a sweep whose jobs have ended or will not run: its table, its picture, its status.

    Args:
        seconds: that it took.
        problem: what the launcher complained of.
    """
    end = end_of(sweep, plan, problem)
    if plan.dry_run:
        remove_run(sweep.path)
        return end
    reason = _reason_of(end)
    stopped = end.was_told_to
    status = Status.aborted if stopped else Status.failed if reason else Status.uploaded
    with signals_ignored(), noted_for_recovery(project, end.execution, status, reason):
        with closing(open_local(project)) as catalog:
            catalog.update_execution(end.execution, Execution_Duration=format_duration(seconds))
            close_execution(
                catalog, project, end.execution, status, reason, _results(catalog, project, sweep, plan)
            )
        collected = apart.is_apart(sweep)
        if not holds_records(sweep.path):  # otherwise --collect takes them in
            remove_run(sweep.path)
    _send(project, end.execution, collected)
    return end


def end_of(sweep: SweepFolder, plan: Plan, problem: str = "") -> SweepEnd:
    """Return how a sweep ended, as its folder has it."""
    ends = {job.number: ended for job in sweep.jobs() if (ended := job.ended())}
    jobs = {job.number: job for job in plan.jobs} or {
        folder.number: job for folder in sweep.jobs() if (job := folder.job())
    }
    execution, count = "" if plan.dry_run else sweep.rid, len(plan.jobs) or len(ends)
    return SweepEnd(execution, ends, count, sweep.stopped(), problem, jobs, plan.direction)


def _reason_of(end: SweepEnd) -> str:
    """Return why a sweep did not end well; empty if it did."""
    if end.was_told_to:
        return end.stopped
    failed = f"{len(end.failed)} of {end.count} jobs failed" if end.failed else ""
    missing = end.count - len(end.ends)
    return join_reasons(failed, f"{missing} did not run" if missing else "", end.stopped, end.problem)


def _results(catalog: EmbeddedCatalog, project: Project, sweep: SweepFolder, plan: Plan) -> list[Output]:
    """Write what came of the jobs, as files for the record and, in ``outputs/``, for the reader."""
    from deriva_ml.sweep.picture import draw
    from deriva_ml.sweep.table import best_of, rows_of, write_table

    rows = rows_of(catalog, sweep, plan)
    title = plan.description.partition("\n")[0]
    best = best_of(rows, plan.objective, plan.direction) if plan.objective else None
    files = write_table(rows, plan, sweep.path)
    try:
        if picture := draw(rows, title, sweep.path / PICTURE, plan.objective, best):
            files.append(picture)
    except Exception as error:  # of the library that draws: the table has all that the picture would show
        warn(f"no picture of the results: {one_line(error)}")
    outputs = [
        Output(path, MLAsset.execution_asset, ExecAssetType.output_file, for_reader=True) for path in files
    ]
    kept = project.outputs / plain_name(known_as(catalog, sweep.rid))
    try:
        project.make_outputs()
        copy_for_reader(outputs, kept)
    except (OSError, DerivaMLException) as error:  # the record is safe; these are for the reader's comfort
        warn(f"no copy for the reader in {kept}: {error}")
    return outputs


def _send(project: Project, rid: RID, with_jobs: bool) -> None:
    """Send the sweep's record to where it is to go, unless that is for later; with those of jobs that came from elsewhere."""
    from deriva_ml.execution.upload import upload

    with closing(open_local(project)) as catalog:
        meant = [*(catalog.list_execution_children(rid) if with_jobs else ()), rid]
        pending = [one for execution in meant for one in catalog.journal.pending(execution)]
        for _ in upload(catalog, project, [one for one in pending if not catalog.journal.is_held(one[0])]):
            pass


@contextmanager
def _stopped_by_signals(sweep: SweepFolder) -> Iterator[None]:
    """Tell the jobs to stop at the first SIGINT or SIGTERM that reaches this process between jobs; raise at the second.

    Processes that are started inside have SIGINT blocked: one that a launcher has waiting would end by it, and with it,
    by the launcher's own doing, all the others at once. A thread that does not block it takes it here.
    """

    def stop(number: int, _: Any) -> None:
        if sweep.stopped():
            raise KeyboardInterrupt
        sweep.stop(INTERRUPTED if number == signal.SIGINT else terminated_by())

    over = threading.Event()
    threading.Thread(target=over.wait, daemon=True).start()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    blocking = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocking else set()
    try:
        yield
    finally:
        if blocking:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
