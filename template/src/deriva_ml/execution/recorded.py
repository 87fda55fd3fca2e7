"""A recorded run of a notebook, from the runner's side: start the kernel, execute, and end every execution well."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from deriva_ml import alive, disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination
from deriva_ml.definitions import (
    RID,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    Status,
    format_duration,
    plain_name,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.closing import Output, close_execution
from deriva_ml.execution.kept_commits import keep_commit
from deriva_ml.execution.provenance import Provenance, collect, workflow_of
from deriva_ml.execution.run_folder import (
    NOTEBOOK_COMMAND,
    RUN_VARIABLE,
    NotebookRun,
    asks_for_dry_run,
    remove_run,
)
from deriva_ml.execution.upload import upload
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.execute import Ended, Outcome, errors_of_last_cell, execute
from deriva_ml.notebook.parameters import Value
from deriva_ml.process import Owner, Terminated, stoppable, undisturbed
from deriva_ml.project import PARTIAL, Project, copy_atomically, write_atomically
from deriva_ml.redaction import redact, redact_override
from deriva_ml.terminal import print
from deriva_ml.untrusted import check_inside, is_inside

LARGE = 10 << 20
"""Bytes of an executed notebook from which on its lines are not written one by one: each costs 70 bytes of memory."""


@dataclass(frozen=True)
class Request:
    """What to run: all of it checked already.

    Attributes:
        notebook: absolute path.
        parameters: values to inject.
        declared: the names that the parameters cell assigns.
        overrides: Hydra's.
        kernel: an installed kernel's name; None for this interpreter.
        timeout: seconds that a cell may take.
    """

    notebook: Path
    parameters: dict[str, Value] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    kernel: str | None = None
    timeout: int | None = None
    log_output: bool = False
    allow_dirty: bool = False
    argv: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)


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


def record_notebook(request: Request, project: Project) -> Result:
    """Execute a notebook and see every execution that it started recorded to its end.

    A notebook that fails before it starts an execution gets one, so that the failure is a record too.

    Raises:
        DerivaMLRequestError: the repository's state does not allow a run, or the notebook's configuration was
            refused; nothing has been recorded.
    """
    # A dry run is for working on the notebook, before it is committed.
    trying = asks_for_dry_run(request.overrides)
    provenance = collect(request.notebook, allow_dirty=request.allow_dirty or trying)
    folder = project.new_folder(project.runs)
    with stoppable(once=True):
        try:
            result = _run(request, project, folder, provenance)
        except DerivaMLRequestError:
            remove_run(folder)
            raise
        except Exception as error:
            if why := disk.fault(error, project.state):
                alive.note(project.state, "", why)
            raise
        # Only now: after any other error the folder is what the next command recovers the run from.
        remove_run(folder)
    return _send(result, project)


def _send(result: Result, project: Project) -> Result:
    """Push what was recorded to where it is to go, unless that is for later; what cannot be pushed now waits."""
    with closing(EmbeddedCatalog(project)) as catalog:
        waiting = [one for rid in result.executions for one in catalog.journal.pending(rid)]
        return _push(result, project, catalog, waiting) if waiting else result


def _push(
    result: Result, project: Project, catalog: EmbeddedCatalog, waiting: list[tuple[RID, Destination]]
) -> Result:
    unsent, outcome = "", result.outcome
    if not catalog.journal.is_held(result.executions[0]):
        try:
            with stoppable():
                errors = [str(pushed.error) for pushed in upload(catalog, project, waiting) if pushed.error]
            unsent = "; ".join(dict.fromkeys(errors))
        except (KeyboardInterrupt, Terminated) as stop:
            unsent = "the upload was interrupted"
            interrupted = isinstance(stop, KeyboardInterrupt)
            outcome = Outcome.interrupted if interrupted else Outcome.terminated
    ends = [catalog.lookup_execution(rid).status for rid in result.executions]
    status = next((end for end in ends if end is not Status.uploaded), Status.uploaded)
    return replace(result, status=status, unsent=unsent, outcome=outcome)


def _run(request: Request, project: Project, folder: Path, provenance: Provenance) -> Result:
    kernel = kernels.start(
        request.kernel, request.notebook.parent, folder / "kernel.log", {RUN_VARIABLE: str(folder)}
    )
    run = NotebookRun(
        folder=folder,
        notebook=request.notebook,
        owner=Owner.here(project.state),
        kernel=Owner.of(kernel.process.pid),
        parameters={name: value.plain for name, value in request.parameters.items()},
        overrides=request.overrides,
        provenance=provenance.to_json(),
        argv=request.argv,
        connection=str(kernel.connection_file.parent),
        declared=request.declared,
    )
    try:
        run.save()
    except BaseException:
        kernel.end()
        raise
    begun = time.monotonic()
    # Loaded while the kernel boots and the cells run, not after them.
    told = (folder, project, provenance.version, kernel.environment, request.kernel)
    ahead = threading.Thread(target=_prepare, args=told, daemon=True)
    ahead.start()
    try:
        ended = execute(
            request.notebook, run.executed, kernel, request.parameters, request.timeout, request.log_output
        )
    except BaseException as error:
        kernel.end()
        if not (why := disk.fault(error, project.state)):
            raise
        ended = Ended(Outcome.failed, why)
    with undisturbed():
        if ended.outcome in {Outcome.completed, Outcome.failed}:
            kernel.ask_to_end()
        else:
            kernel.end()
        ahead.join()
        # Its exit handlers flush what the notebook left open; only then are the files what they will be.
        kernel.end(kernels.GRACE_SECONDS)
        return _finish(project, run, ended, time.monotonic() - begun)


def _prepare(
    folder: Path, project: Project, version: str, variables: Mapping[str, str], kernel: str | None
) -> None:
    import deriva_ml.notebook.markdown  # noqa: F401
    from deriva_ml.execution.locked import describe, shown_lock

    with suppress(OSError):  # there is none
        write_atomically(folder / "uv.lock", shown_lock(project))
    environment = describe(project, version, variables, kernel)
    with disk.unless_refused(project.state):  # the run itself says so
        write_atomically(folder / "environment.json", json.dumps(environment, indent=2, ensure_ascii=False))


def _finish(project: Project, run: NotebookRun, ended: Ended, seconds: float) -> Result:
    with closing(EmbeddedCatalog(project)) as catalog:
        return _end(catalog, project, run, ended, seconds)


def _end(
    catalog: EmbeddedCatalog, project: Project, run: NotebookRun, ended: Ended, seconds: float
) -> Result:
    report = run.reported()
    executions = catalog.executions_of_run(run.folder)
    refused = None if executions else report.get("refused")
    if refused and ended.outcome is Outcome.failed and was_refused(run):
        raise DerivaMLRequestError(refused)
    failed = ended.outcome is not Outcome.completed
    dry_run = not executions and (report.get("dry_run") or run.dry_run)
    warnings = [] if dry_run else [*run.provenance["warnings"], *_environment_warnings(run)]
    ended = replace(ended, reason=redact(ended.reason))
    reason = ended.reason
    if refused and refused not in reason:
        warnings.append(f"run_notebook() was refused, and the notebook went on: {redact(refused)}")
        reason = "; ".join(filter(None, [reason, warnings[-1]]))
    outputs = run_outputs(run, ended.reason)
    if dry_run:
        kept = project.new_folder(project.make_outputs(), "dry-run")
        _copy_for_reader(outputs, kept)
        for number, made in enumerate(run.dry_run_folders(), 1):
            if (made / "assets").is_dir():
                to = kept if number == 1 else kept / f"execution-{number}"
                shutil.copytree(made / "assets", to, dirs_exist_ok=True)
        status = Status.failed if failed else Status.stopped
        return Result([], status, ended.outcome, ended.reason, kept, warnings)
    if not executions:
        executions = [record_without_execution(catalog, run, run.owner)]
    if said := keep_commit(run.provenance.get("commit", ""), run.notebook.resolve().parent):
        warnings.append(said)
    status = {
        Outcome.completed: Status.uploaded,
        Outcome.failed: Status.failed,
    }.get(ended.outcome, Status.aborted)
    ends: list[Status] = []
    for rid in executions:
        if catalog.lookup_execution(rid).execution_duration is None:  # it never got to its own end
            catalog.update_execution(rid, Execution_Duration=format_duration(seconds))
        record = catalog.lookup_execution(rid)
        own = status is Status.uploaded and record.status in {Status.failed, Status.aborted}
        # What the notebook itself made of its execution stands.
        last, detail = (record.status, record.status_detail) if own else (status, reason)
        ends.append(close_execution(catalog, project, rid, last, detail, outputs))
    status = next((end for end in ends if end is not Status.uploaded), status)
    kept = project.make_outputs() / plain_name(_shown(catalog, executions[0]))
    try:
        for output in outputs:
            check_inside(kept / output.path.name, project.outputs)
        _copy_for_reader(outputs, kept)
    except (OSError, DerivaMLException) as error:  # the record is safe; these are for the reader's comfort
        print(f"warning: no copy for the reader in {kept}: {error}", file=sys.stderr)
    reason = catalog.lookup_execution(executions[0]).status_detail
    return Result(executions, status, ended.outcome, reason, kept, warnings)


def clear_half_copies(catalog: EmbeddedCatalog, project: Project, run: NotebookRun) -> None:
    """Remove what a runner that was killed in its last copies for the reader had not written to its end."""
    for rid in catalog.executions_of_run(run.folder):
        kept = project.outputs / plain_name(_shown(catalog, rid))
        for half in kept.glob(f"{PARTIAL}*") if is_inside(kept, project.outputs) else ():
            with suppress(OSError):  # another user's, left by a container
                half.unlink()


def _environment_warnings(run: NotebookRun) -> list[str]:
    from deriva_ml.execution.locked import warnings_of

    try:
        return warnings_of(json.loads((run.folder / "environment.json").read_text(encoding="utf-8")))
    except OSError:  # it could not be written
        return []


def was_refused(run: NotebookRun) -> bool:
    """Whether the notebook failed as ``run_notebook`` refused to start; it may also have caught that and gone on."""
    return run.holds(run.executed) and run.reported().get("refused") in errors_of_last_cell(run.executed)


def _shown(catalog: EmbeddedCatalog, rid: RID) -> RID:
    """The RID that the notebook knew its execution by: of the catalog that it is for, if it has one there."""
    there = (catalog.journal.remote(rid, one) for one in catalog.journal.destinations(rid))
    return next((known.rid for known in there if known and known.rid), rid)


def _copy_for_reader(outputs: list[Output], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for output in outputs:
        if output.for_reader:
            copy_atomically(output.path, folder / output.path.name)


def record_without_execution(catalog: EmbeddedCatalog, run: NotebookRun, owner: Owner) -> RID:
    """An execution for a notebook that never called ``run_notebook``, or failed before it did.

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
        created = catalog.lookup_execution(rid).created
        texts = texts_of(configuration, workflow, run.provenance, NOTEBOOK_COMMAND, created=created)
        files = []
        for file, (text, kind) in texts.items():
            write_atomically(run.folder / file, text)
            files.append(Output(run.folder / file, MLAsset.execution_metadata, kind).of(rid))
        catalog.commit(rid, beside=files)
    return rid


def run_outputs(run: NotebookRun, reason: str = "") -> list[Output]:
    """The files of a run that belong to its executions' records: the notebook, its Markdown, then metadata.

    Args:
        reason: why the run did not complete; the Markdown says it first.
    """
    executed = run.executed
    markdown = executed.with_suffix(".md")
    if run.holds(executed):
        if markdown.is_symlink():  # which would be followed
            markdown.unlink()
        _complete(run, executed, markdown, reason)
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
        *(
            [Output(log, metadata, ExecMetadataType.log_file)]
            if run.holds(log) and log.stat().st_size
            else ()
        ),
    ]
    return [output for output in listed if run.holds(output.path)]


def _complete(run: NotebookRun, executed: Path, markdown: Path, reason: str) -> None:
    """Make the executed notebook fit to be recorded, and convert it.

    One that cannot be converted is still recorded itself, unless a credential stands in it.
    """
    import nbformat

    from deriva_ml.execution.values import as_json
    from deriva_ml.notebook.engine import write_notebook
    from deriva_ml.notebook.execute import replace_parameters
    from deriva_ml.notebook.markdown import to_markdown

    shown = redact(run.parameters)
    may_stay = shown == run.parameters
    try:
        node = nbformat.read(executed, as_version=4)
        # Papermill notes absolute paths of this machine, which say nothing to a reader elsewhere.
        node.metadata.papermill.update(input_path=run.provenance["path"], output_path=executed.name)
        if not may_stay:
            replace_parameters(node, run.parameters, shown)
        node.metadata.papermill["parameters"] = as_json(shown, whole=True)  # JSON knows no NaN
        write_notebook(node, executed, split_lines=executed.stat().st_size < LARGE)
        may_stay = True
        text = to_markdown(node)
        if reason and "**This run failed**" not in text:
            text = f"**This run did not complete:** {reason}\n\n{text}"
        write_atomically(markdown, text)
    except Exception as error:
        print(f"warning: {executed.name} could not be converted to Markdown: {error}", file=sys.stderr)
    finally:
        if not may_stay:
            executed.unlink()


def stop_kernel_of(run: NotebookRun) -> None:
    """End the kernel of a runner that was killed, should it be alive here; elsewhere its number is another's."""
    # A number in a file proves nothing: the process has to be one that was started for this folder.
    if run.kernel.is_here() and run.kernel.variable(RUN_VARIABLE) == str(run.folder):
        kernels.kill_group(run.kernel.pid)
        deadline = time.monotonic() + kernels.GRACE_SECONDS
        while run.kernel.is_here() and time.monotonic() < deadline:
            time.sleep(0.01)
