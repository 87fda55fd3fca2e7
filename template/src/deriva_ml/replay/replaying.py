"""Repeats a recorded execution, and compares what came of it with what is recorded."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from deriva_ml.catalog.database import now
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID
from deriva_ml.project import Project
from deriva_ml.replay import environment, reasons, worktree
from deriva_ml.replay.compare.files import compare_files
from deriva_ml.replay.outcome import compare_failures
from deriva_ml.replay.plan import Missing, Plan, jobs_of, read_plan
from deriva_ml.replay.report import Report, Side
from deriva_ml.replay.run import Repeated, run
from deriva_ml.replay.scratch import Scratch, prepared
from deriva_ml.replay.verdict import Compared, Comparison, Difference, Own, Tolerance, Verdict, worst


@dataclass(frozen=True)
class Options:
    """How to repeat.

    Attributes:
        here: in the present environment, instead of one made from the recorded lock file.
        keep: leave the working tree and the scratch folder.
        record: take the execution that repeats into the project's own catalog.
    """

    tolerance: Tolerance = Tolerance()
    here: bool = False
    keep: bool = False
    record: bool = False


def replay(source: Source, project: Project, rid: RID, options: Options) -> Report:
    """Repeat an execution, or each job of a sweep, and say how much it gave the same.

    Raises:
        DerivaMLRequestError: there is no such execution.
    """
    record = source.lookup_execution(rid)
    begun, started = now(), time.monotonic()
    if jobs := jobs_of(source, rid):
        runs = [replay(source, project, job, options) for job in jobs]
        report = Report(rid, max(one.verdict for one in runs), "sweep", record.workflow.name, runs=runs)
    else:
        with ExitStack() as stack:
            try:
                report = _replay_one(stack, source, project, rid, options)
            except Missing as missing:
                report = Report(rid, Verdict.could_not_run, workflow=record.workflow.name, why=str(missing))
    return replace(report, begun=begun, seconds=time.monotonic() - started, tolerance=options.tolerance)


def _replay_one(stack: ExitStack, source: Source, project: Project, rid: RID, options: Options) -> Report:
    scratch = stack.enter_context(prepared(project, source, rid, options.keep))
    plan = read_plan(source, rid, scratch.folder)
    scratch.bring_inputs(source, plan)
    tree = stack.enter_context(worktree.checked_out(project, plan.commit, plan.patch))
    python = environment.prepared(project.state, plan.lock, tree / plan.home, plan.python, plan.groups)
    repeated = run(plan, scratch, tree, python)
    own = _own(plan, repeated)
    outputs = list(_compared(plan, repeated, own, options.tolerance))
    ending = compare_failures(plan.detail, repeated.detail, own)
    verdict = max(worst(outputs), ending.verdict)
    why = reasons.reasons(plan, repeated, python, tree) if verdict is Verdict.different else []
    return Report(rid, verdict, plan.kind, outputs=outputs, reasons=why)
