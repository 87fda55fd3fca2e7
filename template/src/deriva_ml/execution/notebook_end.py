"""Ends a notebook run: its files, its executions, and what the reader finds in ``outputs/``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.configuration_file import NOTEBOOK_COMMAND
from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, Status, format_duration
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.closing import Output, close_execution, join_reasons
from deriva_ml.execution.kept_commits import keep_commit
from deriva_ml.execution.provenance import workflow_of
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.notebook.execute import ExecutionResult, Outcome, errors_of_last_cell
from deriva_ml.process import Owner
from deriva_ml.project import PARTIAL, Project, copy_atomically, write_atomically
from deriva_ml.redaction import redact, redact_override
from deriva_ml.terminal import warn
from deriva_ml.untrusted import check_inside, is_inside, plain_name

if TYPE_CHECKING:
    from nbformat import NotebookNode

STATUS = {
    Outcome.completed: Status.uploaded,
    Outcome.failed: Status.failed,
    Outcome.interrupted: Status.aborted,
    Outcome.terminated: Status.aborted,
}
"""What an execution becomes by how its notebook ended."""

LARGE = 10 << 20
"""Bytes of an executed notebook from which on its lines are not written one by one: each costs 70 bytes of memory."""


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        executions: RIDs, or none for a dry run.
        status: that the executions ended with.
        outcome: of the notebook itself.
        reason: for any but success.
        folder: where the reader finds the executed notebook and its Markdown.
        warnings: lines about the code's provenance, and about a refusal that did not end the notebook.
        unsent: why something that is to be pushed to a Deriva catalog has not been; empty if that is for later.
    """

    executions: list[RID]
    status: Status
    outcome: Outcome
    reason: str
    folder: Path
    warnings: Sequence[str] = ()
    unsent: str = ""


def end_run(
    catalog: EmbeddedCatalog, project: Project, run: NotebookRun, ended: ExecutionResult, seconds: float
) -> Result:
    """End every execution of a run whose kernel has ended; a run that started none gets one, unless it was a dry run.

    Args:
        ended: how the notebook ended.
        seconds: that it took.

    Raises:
        DerivaMLRequestError: ``run_notebook`` refused to start, and the notebook failed for that.
    """
    report, executions = run.reported(), catalog.executions_of_run(run.folder)
    refused = None if executions else report.refused
    if refused and ended.evalue == refused:
        raise DerivaMLRequestError(refused)
    ended = replace(ended, reason=redact(ended.reason))
    warnings = []
    if refused and refused not in ended.reason:
        warnings.append(f"run_notebook() was refused, and the notebook went on: {redact(refused)}")
    reason = join_reasons(ended.reason, *warnings)
    outputs = run_outputs(run, ended.reason)
    if not executions and (report.dry_run or run.dry_run):
        return _end_dry_run(project, run, ended, outputs, warnings)
    warnings = [*run.provenance["warnings"], *_environment_warnings(run), *warnings]
    if not executions:
        executions = [record_without_execution(catalog, run, run.owner)]
    if said := keep_commit(run.provenance.get("commit", ""), run.notebook.resolve().parent):
        warnings.append(said)
    status = final_status(
        [
            _end_execution(catalog, project, rid, STATUS[ended.outcome], reason, seconds, outputs)
            for rid in executions
        ]
    )
    kept = project.make_outputs() / plain_name(known_as(catalog, executions[0]))
    try:
        for output in outputs:
            check_inside(kept / output.path.name, project.outputs)
        copy_for_reader(outputs, kept)
    except (OSError, DerivaMLException) as error:  # the record is safe; these are for the reader's comfort
        warn(f"no copy for the reader in {kept}: {error}")
    reason = catalog.lookup_execution(executions[0]).status_detail
    return Result(executions, status, ended.outcome, reason, kept, warnings)


def _end_dry_run(
    project: Project,
    run: NotebookRun,
    ended: ExecutionResult,
    outputs: Sequence[Output],
    warnings: Sequence[str],
) -> Result:
    kept = project.new_folder(project.make_outputs(), "dry-run")
    copy_for_reader(outputs, kept)
    for number, made in enumerate(run.dry_run_folders(), 1):
        if (made / "assets").is_dir():
            to = kept if number == 1 else kept / f"execution-{number}"
            shutil.copytree(made / "assets", to, dirs_exist_ok=True)
    status = Status.stopped if ended.outcome is Outcome.completed else Status.failed
    return Result([], status, ended.outcome, ended.reason, kept, warnings)


def _end_execution(
    catalog: EmbeddedCatalog,
    project: Project,
    rid: RID,
    status: Status,
    reason: str,
    seconds: float,
    outputs: Sequence[Output],
) -> Status:
    record = catalog.lookup_execution(rid)
    if record.execution_duration is None:  # it never got to its own end
        catalog.update_execution(rid, Execution_Duration=format_duration(seconds))
    if status is Status.uploaded and record.status in {Status.failed, Status.aborted}:
        # What the notebook itself made of its execution stands.
        status, reason = record.status, record.status_detail
    return close_execution(catalog, project, rid, status, reason, outputs)


def final_status(ends: Iterable[Status]) -> Status:
    """Return the first status that is not success, of those that the executions of a run ended with."""
    return next((end for end in ends if end is not Status.uploaded), Status.uploaded)


def _environment_warnings(run: NotebookRun) -> list[str]:
    from deriva_ml.execution.locked import warnings_of

    try:
        return warnings_of(json.loads((run.folder / "environment.json").read_text(encoding="utf-8")))
    except OSError:  # it could not be written
        return []


def was_refused(run: NotebookRun) -> bool:
    """Whether the notebook failed as ``run_notebook`` refused to start; it may also have caught that and gone on."""
    return run.holds(run.executed) and run.reported().refused in errors_of_last_cell(run.executed)


def known_as(catalog: EmbeddedCatalog, rid: RID) -> RID:
    """Return the RID that people know an execution by: of the catalog that it is for, if it has one there."""
    there = (catalog.journal.remote(rid, one) for one in catalog.journal.destinations(rid))
    return next((known.rid for known in there if known and known.rid), rid)


def clear_half_copies(catalog: EmbeddedCatalog, project: Project, run: NotebookRun) -> None:
    """Remove what a runner that was killed in its last copies for the reader had not written to its end."""
    for rid in catalog.executions_of_run(run.folder):
        kept = project.outputs / plain_name(known_as(catalog, rid))
        for half in kept.glob(f"{PARTIAL}*") if is_inside(kept, project.outputs) else ():
            with suppress(OSError):  # another user's, left by a container
                half.unlink()


def copy_for_reader(outputs: Sequence[Output], folder: Path) -> None:
    """Copy those of an execution's files that a person reads into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for output in outputs:
        if output.for_reader:
            copy_atomically(output.path, folder / output.path.name)


def record_without_execution(catalog: EmbeddedCatalog, run: NotebookRun, owner: Owner) -> RID:
    """Record an execution for a notebook that never called ``run_notebook``, or failed before it did.

    Its parameters are those that were injected: what they became, only the kernel knew.
    """
    from deriva_ml.execution.configuration_record import described, texts_of
    from deriva_ml.execution.inputs import ExecutionConfiguration

    name = run.notebook.stem.replace("-", " ").replace("_", " ").title()
    workflow = workflow_of(run.provenance, name, "Analysis Notebook", "")
    configuration = ExecutionConfiguration(
        description=described(f"Execution of {run.notebook.name}", run.parameters, run.overrides),
        argv=run.argv,
        parameters=run.parameters,
        parameters_given=run.parameters,
        overrides=[redact_override(one) for one in run.overrides],
    )
    with catalog.transaction():
        rid = catalog.add_execution(
            workflow, configuration.description, owner, run.folder, started_by=NOTEBOOK_COMMAND
        )
        if run.sweep:
            catalog.nest(run.sweep, rid, run.place)
        created = catalog.lookup_execution(rid).created
        texts = texts_of(configuration, workflow, run.provenance, NOTEBOOK_COMMAND, created=created)
        files = []
        for file, (text, kind) in texts.items():
            write_atomically(run.folder / file, text)
            files.append(Output(run.folder / file, MLAsset.execution_metadata, kind).of(rid))
        catalog.commit(rid, beside=files)
    return rid


def run_outputs(run: NotebookRun, reason: str = "") -> list[Output]:
    """Return the files of a run that belong to its executions' records: the notebook, its Markdown, then metadata.

    Args:
        reason: why the run did not complete; the Markdown says it first.
    """
    executed = run.executed
    markdown = executed.with_suffix(".md")
    if run.holds(executed):
        if markdown.is_symlink():  # which would be followed
            markdown.unlink()
        _complete(run, markdown, reason)
        for path in (executed, markdown):  # which the run's folder keeps for its owner yet
            if path.is_file() and run.notebook.is_file():
                disk.admit(run.notebook.stat(), path, 0o600)
    metadata = MLAsset.execution_metadata
    log, lock = run.folder / "kernel.log", run.folder / "uv.lock"
    listed = [
        Output(executed, MLAsset.execution_asset, ExecAssetType.notebook_output, for_reader=True),
        Output(markdown, MLAsset.execution_asset, ExecAssetType.notebook_output, for_reader=True),
        Output(run.folder / "environment.json", metadata, ExecMetadataType.runtime_env),
        Output(lock, metadata, ExecMetadataType.execution_config),
        Output(log, metadata, ExecMetadataType.log_file),
    ]
    held = [output for output in listed if run.holds(output.path)]
    return [output for output in held if output.path != log or log.stat().st_size]


def _complete(run: NotebookRun, markdown: Path, reason: str) -> None:
    """Make the executed notebook fit to be recorded, and convert it.

    One that cannot be converted is still recorded itself, unless a credential stands in it.
    """
    from deriva_ml.notebook.markdown import to_markdown

    executed = run.executed
    shown = redact(run.parameters)
    may_stay = shown == run.parameters
    try:
        notebook = _clean(run, shown)
        may_stay = True
        text = to_markdown(notebook)
        if reason and "**This run failed**" not in text:
            text = f"**This run did not complete:** {reason}\n\n{text}"
        write_atomically(markdown, text)
    except Exception as error:
        warn(f"{executed.name} could not be converted to Markdown: {error}")
    finally:
        if not may_stay:
            executed.unlink()


def _clean(run: NotebookRun, shown: dict[str, Any]) -> NotebookNode:
    """Save the executed notebook without paths of this machine, and with the parameters as they may be shown."""
    import nbformat

    from deriva_ml.execution.values import as_json
    from deriva_ml.notebook.engine import write_notebook
    from deriva_ml.notebook.execute import replace_parameters

    executed = run.executed
    notebook: NotebookNode = nbformat.read(executed, as_version=4)
    # Papermill notes absolute paths of this machine, which say nothing to a reader elsewhere.
    notebook.metadata.papermill.update(input_path=run.provenance["path"], output_path=executed.name)
    if shown != run.parameters:
        replace_parameters(notebook, run.parameters, shown)
    notebook.metadata.papermill["parameters"] = as_json(shown, whole=True)  # JSON knows no NaN
    write_notebook(notebook, executed, split_lines=executed.stat().st_size < LARGE)
    return notebook
