"""Repeats a recorded execution, and compares what came of it with what is recorded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import deriva_ml.disk as disk
from deriva_ml.catalog.database import now
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.definitions import RID, AssetRole, ExecutionRecord, by_age
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project, project_around
from deriva_ml.records.comparison import ENVIRONMENT
from deriva_ml.replay import environment
from deriva_ml.replay.audit import seen
from deriva_ml.replay.endings import check_nothing_lacked, compare_endings
from deriva_ml.replay.extras import installed_parts
from deriva_ml.replay.outputs import Outputs, Run, compare_outputs, own_of, seconds_of, side_of
from deriva_ml.replay.plan import (
    Kind,
    Plan,
    is_executed_notebook,
    jobs_of,
    platform_of,
    python_of,
    read_plan,
)
from deriva_ml.replay.reasons import Again, Evidence, reasons
from deriva_ml.replay.recording import take_in
from deriva_ml.replay.report import Report, Side
from deriva_ml.replay.run import Repeated, code_of, run, said_by, top_of
from deriva_ml.replay.scratch import make_scratch, place_files
from deriva_ml.replay.verdict import Compared, CouldNotRun, Tolerance, Verdict, worst
from deriva_ml.replay.workspace import workspace
from deriva_ml.replay.worktree import checked_out, remove_new, untracked
from deriva_ml.untrusted import as_mapping


@dataclass(frozen=True)
class Options:
    """How to repeat.

    Attributes:
        here: in the present environment, instead of one made from the recorded lock file.
        keep: leave the working tree and the scratch folder.
        record: take the execution that repeats into the project's own catalog.
        once: do not run it again to tell why it differs.
        say: is told what is being done.
    """

    tolerance: Tolerance = Tolerance()
    here: bool = False
    keep: bool = False
    record: bool = False
    once: bool = False
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Records:
    """Where a record is read.

    Attributes:
        project: the person's own.
        local: its catalog.
        source: the same, or a Deriva catalog.
    """

    project: Project
    local: EmbeddedCatalog
    source: Source


def replay(records: Records, rid: RID, options: Options) -> Report:
    """Repeat an execution, or each job of a sweep, and say how much it gave the same.

    Raises:
        DerivaMLRequestError: there is no such execution, or it has not ended.
    """
    workflow = records.source.lookup_execution(rid).workflow.name
    begun, started = now(), time.monotonic()
    try:
        if jobs := jobs_of(records.source, rid):
            runs = [replay(records, job, options) for job in jobs]
            verdict = _of_all([one.verdict for one in runs])
            report = Report(rid, verdict, "sweep", workflow, runs[0].commit, runs=runs)
        else:
            report = _replay_one(records, rid, options)
    except DerivaMLRequestError:
        raise
    except Exception as error:
        full = disk.fault(error, records.project.state)
        if not full and not isinstance(error, DerivaMLException):
            raise
        # Else what is missing, a server that does not answer, or a damaged catalog.
        why = f"memory or disk do not suffice here: {full}" if full else str(error)
        report = Report(rid, Verdict.could_not_run, workflow=workflow, why=why)
    return replace(report, begun=begun, seconds=time.monotonic() - started, tolerance=options.tolerance)


def _of_all(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on several runs: what differs counts more than what could not be run."""
    return Verdict.different if Verdict.different in verdicts else max(verdicts)


def _replay_one(records: Records, rid: RID, options: Options) -> Report:
    with ExitStack() as stack:
        folder = stack.enter_context(workspace(records.project, options.keep))
        folder.mkdir()
        plan = read_plan(records.source, rid, folder / "record")
        report, places = _base(plan), [folder]
        try:
            options.say("checking its code out")
            top = stack.enter_context(checked_out(records.project, plan.commit, plan.patch, options.keep))
            places.append(top)
            report = _replay_in(records, plan, report, top, folder, options)
        except CouldNotRun as missing:
            report = replace(report, verdict=Verdict.could_not_run, why=str(missing))
        kept = [f"kept for you to look at: {' and '.join(map(str, places))}"] if options.keep else []
        return replace(report, notes=[*report.notes, *kept])


def _base(plan: Plan) -> Report:
    """Return what a report says of a record, whatever comes of it."""
    record = plan.record
    return Report(
        rid=plan.rid,
        verdict=Verdict.identical,
        kind=plan.kind.value,
        workflow=record.workflow.name,
        commit=plan.commit,
        path=plan.path,
        patched=bool(plan.patch),
        notes=plan.notes,
        recorded=_side(record, plan.python, plan.environment),
        parameters=dict(plan.configuration.get("parameters", {})),
    )


def _side(record: ExecutionRecord, python: str, described: Mapping[str, Any], runner: str = "") -> Side:
    """Return what a report says of one of the two runs; ``described`` is what its `environment.json` says."""
    return Side(
        execution=record.rid,
        status=record.status.value,
        detail=record.status_detail,
        runner=runner,
        python=python,
        platform=platform_of(described),
        seconds=seconds_of(record.execution_duration),
    )


def _replay_in(
    records: Records, plan: Plan, report: Report, top: Path, folder: Path, options: Options
) -> Report:
    tree = _project_in(top, plan, records.project)
    report = replace(report, recorded=replace(report.recorded, runner=Project(tree.root).runner_version))
    options.say("bringing its inputs")
    scratch = make_scratch(tree, records.source, plan, records.local, folder / "state")
    place_files(records.source, plan, tree.root, top)
    options.say("preparing its environment")
    python = _python(records.project, plan, tree, options)
    options.say("running it")
    files = untracked(top)
    executions = _executions(records.source, plan)
    repeated = run(plan, scratch, python, folder / "run", place=_place(plan, executions))
    check_nothing_lacked(plan.record, repeated.record)
    options.say("comparing")
    record = Run(
        records.project,
        records.local,
        records.source,
        executions,
        plan.outputs,
        delivered=plan.was_delivered and records.source is records.local,
    )
    with side_of(repeated, plan.kind) as side:
        compared = _compare(record, plan.record, side, repeated.record, options.tolerance, folder)
    verdict, why, lost = compared.verdict, "", compared.outputs.lost
    if lost and verdict is not Verdict.different:
        verdict, why = Verdict.could_not_run, lost[0]
    there = said_by(repeated, ENVIRONMENT)
    own_name = str(tree.metadata().get("name") or "")
    told: list[str] = []
    if verdict is Verdict.different:
        evidence = Evidence(
            recorded=plan.environment,
            repeated=there,
            own=own_name,
            top=top,
            sources=[code_of(plan, tree.root)],
            project=top_of(records.project.root),
            seen=seen(repeated.audit),
            outputs=compared.outputs.compared,
            inputs=[
                *_other_runner(report.recorded.runner, records.project.runner_version),
                *_given_otherwise(plan, repeated),
            ],
            patch=plan.patch,
            ran=plan.record.created,
        )
        again = _Again(record, plan, scratch, python, folder, options, repeated, top, files)
        told = _reasons(evidence, None if options.once else again)
    return replace(
        report,
        verdict=verdict,
        why=why,
        ending=compared.ending,
        outputs=compared.outputs.compared,
        reasons=told,
        notes=[*plan.notes, *environment.compared(plan.environment, there, own_name), *lost],
        repeated=_side(repeated.record, python_of(there), there, records.project.runner_version),
        recorded_as=take_in(records.local, repeated, plan.rid) if options.record else "",
    )


class _Compared(NamedTuple):
    """How two runs compare: their ends, if one of them failed, and their outputs."""

    ending: Compared | None
    outputs: Outputs

    @property
    def verdict(self) -> Verdict:
        return worst([*self.outputs.compared, *([self.ending] if self.ending else [])])


def _compare(
    ours: Run, before: ExecutionRecord, theirs: Run, now: ExecutionRecord, tolerance: Tolerance, folder: Path
) -> _Compared:
    own = own_of(ours, theirs)
    ending = compare_endings(before, now, own)
    return _Compared(ending, compare_outputs(ours, theirs, own, tolerance, folder / "recorded"))


def _reasons(evidence: Evidence, again: _Again | None) -> list[str]:
    try:
        return reasons(evidence, again)
    except CouldNotRun as error:
        return [f"why is not known, since it could not be run once more: {error}"]


@dataclass
class _Again:
    """Runs a record once more, and says how that compares; see ``reasons.Repeat``."""

    record: Run
    plan: Plan
    scratch: Project
    python: Path
    folder: Path
    options: Options
    before: Repeated
    top: Path
    files: set[str]

    def __call__(self, what: str, variables: Mapping[str, str]) -> Again:
        self.options.say(f"running it once more, {what}")
        remove_new(self.top, self.files)
        folder = next(path for n in count(2) if not (path := self.folder / f"run-{n}").exists())
        place = _place(self.plan, self.record.executions)
        repeated = run(self.plan, self.scratch, self.python, folder, place=place, more=variables)
        with side_of(self.before, self.plan.kind) as before, side_of(repeated, self.plan.kind) as now:
            return Again(
                self._verdict(before, self.before.record, now, repeated.record),
                self._verdict(self.record, self.plan.record, now, repeated.record),
            )

    def _verdict(self, ours: Run, first: ExecutionRecord, theirs: Run, second: ExecutionRecord) -> Verdict:
        return _compare(ours, first, theirs, second, self.options.tolerance, self.folder).verdict


def _given_otherwise(plan: Plan, repeated: Repeated) -> list[str]:
    """Return a line about the parameters that had other values, though they were given the same."""
    before, now = (
        plan.configuration.get("parameters", {}),
        said_by(repeated, CONFIGURATION).get("parameters", {}),
    )
    changed = [
        f"{name} is {now[name]!r}, and was {value!r}"
        for name, value in before.items()
        if now.get(name, value) != value
    ]
    return [f"parameters that the code computes: {'; '.join(changed)}"] if changed else []


def _other_runner(before: str, now: str) -> list[str]:
    return [f"the runner is {now} here, and was {before}"] if before and now and before != now else []


def _python(project: Project, plan: Plan, tree: Project, options: Options) -> Path:
    """Return the interpreter that a record is repeated with.

    Raises:
        CouldNotRun: there is none with the recorded packages.
    """
    if options.here:
        return Path(sys.executable)
    parts = installed_parts(plan.lock, as_mapping(plan.environment.get("packages")), plan.python)
    return environment.prepared(project.state, plan.lock, tree.root, plan.python, parts)


def _project_in(top: Path, plan: Plan, project: Project) -> Project:
    """Return the project that the code of a record is of, in its working tree."""
    code = top / plan.path if plan.path else top / project.root.resolve().relative_to(top_of(project.root))
    home = project_around(code, top)
    if home is None:
        raise CouldNotRun("there is no project (pyproject.toml) around its code at that commit")
    return Project(home)


def _executions(source: Source, plan: Plan) -> list[RID]:
    """Return all executions that a notebook started, in order; of another run, the one."""
    executed = next((one for one in plan.outputs if is_executed_notebook(one)), None)
    siblings = source.executions_of(executed) if executed else []
    made = {rid for rid, role in siblings if role is AssetRole.output} | {plan.rid}
    if len(made) == 1:
        return [plan.rid]
    return [record.rid for record in sorted(map(source.lookup_execution, made), key=by_age)]


def _place(plan: Plan, executions: Sequence[RID]) -> int:
    """Return which one of its executions a record is; of an interactive kernel the last one, whatever ran before it."""
    return -1 if plan.kind is Kind.interactive else executions.index(plan.rid)
