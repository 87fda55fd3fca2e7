"""Runs a notebook as a recorded execution in three steps: prepare, execute, end.

The end is in ``notebook_end.py``, where recovery takes it from for a run whose runner is gone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
import deriva_ml.liveness as liveness
from deriva_ml.catalog.connection import open_local
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.notebook_end import Result, end_run, final_status
from deriva_ml.execution.provenance import collect
from deriva_ml.execution.run_state import LOG, RUN_VARIABLE, NotebookRun, asks_for_dry_run, remove_run
from deriva_ml.execution.upload import upload
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.declarations import Value
from deriva_ml.notebook.execute import ExecutionResult, Outcome, execute
from deriva_ml.notebook.forking import ForkServer
from deriva_ml.process import Owner
from deriva_ml.project import Project, write_atomically
from deriva_ml.signals import Terminated, raise_on_signals, signals_ignored

INTERRUPTED = "the upload was interrupted"


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
        bar: show how far it is, on a terminal.
        parent: the sweep's execution that this is a job of, by its RID here, and its place there.
        begun: called once nothing refuses the run any more, while the kernel starts.
    """

    notebook: Path
    parameters: dict[str, Value] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    kernel: str | None = None
    timeout: int | None = None
    log_output: bool = False
    bar: bool = True
    allow_dirty: bool = False
    argv: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    parent: tuple[RID, int] | None = None
    begun: Callable[[], None] = lambda: None


def record_notebook(request: Request, project: Project, server: ForkServer | None = None) -> Result:
    """Execute a notebook, and see every execution that it started recorded to its end and sent where it is to go.

    A notebook that fails before it starts an execution gets one, so that the failure is a record too.

    Args:
        server: where its kernel may be forked from, for one of many runs.

    Raises:
        DerivaMLRequestError: the repository's state does not allow a run, or the notebook's configuration was
            refused; nothing has been recorded.
    """
    # A dry run is for working on the notebook, before it is committed.
    allow_dirty = request.allow_dirty or asks_for_dry_run(request.overrides)
    provenance = collect(request.notebook, allow_dirty=allow_dirty).to_json()
    folder = project.new_folder(project.runs)
    with raise_on_signals(once=True):
        try:
            result = _run(request, project, folder, provenance, server)
        except DerivaMLRequestError:
            remove_run(folder)
            raise
        except Exception as error:
            if why := disk.fault(error, project.state):
                liveness.note(project.state, "", why)
            raise
        # Only now: after any other error the folder is what the next command recovers the run from.
        remove_run(folder)
    return _send(result, project)


def _run(
    request: Request, project: Project, folder: Path, provenance: dict[str, Any], server: ForkServer | None
) -> Result:
    run, kernel = _prepare(request, project, folder, provenance, server)
    begun = time.monotonic()
    # While the kernel boots and the cells run, not after them.
    arguments = (run, project, kernel.environment, request.kernel)
    describing = threading.Thread(target=_describe_environment, args=arguments, daemon=True)
    describing.start()
    ended = _execute(request, project, run, kernel)
    with signals_ignored():
        if ended.outcome in {Outcome.completed, Outcome.failed}:
            kernel.shutdown()
        else:
            kernel.kill()
        describing.join()
        # Its exit handlers flush what the notebook left open; only then are the files what they will be.
        kernel.kill(kernels.GRACE_SECONDS)
        with closing(open_local(project)) as catalog:
            return end_run(catalog, project, run, ended, time.monotonic() - begun)


def _prepare(
    request: Request, project: Project, folder: Path, provenance: dict[str, Any], server: ForkServer | None
) -> tuple[NotebookRun, kernels.Kernel]:
    """Start the kernel, and note in the run's folder what it and a later recovery have to know."""
    variables = {
        RUN_VARIABLE: str(folder),
        # What upstream's command tells a notebook, for cells that ask:
        **{f"DERIVA_ML_WORKFLOW_{one}": provenance.get(one.lower()) or "" for one in ("URL", "CHECKSUM")},
        "DERIVA_ML_NOTEBOOK_PATH": str(request.notebook),
        "DERIVA_ML_HYDRA_OVERRIDES": json.dumps(request.overrides),
        "DERIVA_ML_SAVE_EXECUTION_RID": str(folder / "execution_rid.json"),
    }
    kernel = kernels.start(request.kernel, request.notebook.parent, folder / LOG, variables, server)
    run = NotebookRun(
        folder=folder,
        notebook=request.notebook,
        owner=Owner.here(project.state),
        kernel=Owner.of(kernel.process.pid),
        parameters={name: value.plain for name, value in request.parameters.items()},
        overrides=request.overrides,
        provenance=provenance,
        argv=request.argv,
        connection=str(kernel.connection_file.parent),
        declared=request.declared,
        sweep=request.parent[0] if request.parent else "",
        place=request.parent[1] if request.parent else 0,
    )
    try:
        run.save()
        request.begun()
    except BaseException:
        kernel.kill()
        raise
    return run, kernel


def _describe_environment(
    run: NotebookRun, project: Project, variables: Mapping[str, str], kernel: str | None
) -> None:
    import deriva_ml.notebook.markdown  # noqa: F401 - for the end, which would wait for it
    from deriva_ml.execution.locked import describe, shown_lock

    with suppress(OSError):  # there is none
        write_atomically(run.folder / "uv.lock", shown_lock(project))
    environment = describe(project, run.provenance["version"], variables, kernel)
    with disk.unless_refused(project.state):  # the run itself says so
        write_atomically(
            run.folder / "environment.json", json.dumps(environment, indent=2, ensure_ascii=False)
        )


def _execute(request: Request, project: Project, run: NotebookRun, kernel: kernels.Kernel) -> ExecutionResult:
    """Execute the notebook in the kernel; a disk that takes nothing more is a way to fail, too."""
    try:
        return execute(
            request.notebook,
            run.executed,
            kernel,
            request.parameters,
            request.timeout,
            request.log_output,
            request.bar,
        )
    except BaseException as error:
        kernel.kill()
        if not (why := disk.fault(error, project.state)):
            raise
        return ExecutionResult(Outcome.failed, why)


def _send(result: Result, project: Project) -> Result:
    """Push what was recorded to where it is to go, unless that is for later; what cannot be pushed now waits."""
    unsent, outcome = "", result.outcome
    with closing(open_local(project)) as catalog:
        pending = [one for rid in result.executions for one in catalog.journal.pending(rid)]
        if not pending or catalog.journal.is_held(result.executions[0]):
            return result
        try:
            with raise_on_signals():
                errors = [str(pushed.error) for pushed in upload(catalog, project, pending) if pushed.error]
            unsent = "; ".join(dict.fromkeys(errors))
        except KeyboardInterrupt:
            unsent, outcome = INTERRUPTED, Outcome.interrupted
        except Terminated:
            unsent, outcome = INTERRUPTED, Outcome.terminated
        status = final_status(catalog.lookup_execution(rid).status for rid in result.executions)
    return replace(result, status=status, unsent=unsent, outcome=outcome)
