"""Executes a notebook with Papermill on a kernel that is already starting, and says in words how it ended."""

from __future__ import annotations

import gc
import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from deriva_ml.notebook.kernel import Kernel
from deriva_ml.notebook.parameters import INJECTED, TAG, Value, injected_earlier, tags_of
from deriva_ml.notebook.python_source import write
from deriva_ml.process import Terminated

KERNEL, LANGUAGE = "python3", "python"
"""What Papermill is told, whatever the file says: it is this project's Python that executes the notebook."""

NO_NOTEBOOK = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a saved notebook may raise if it is not there, or was damaged."""


class Outcome(Enum):
    """How an execution of a notebook ended."""

    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"
    terminated = "terminated"


@dataclass(frozen=True)
class Ended:
    """An outcome, and the reason for any but ``completed``."""

    outcome: Outcome
    reason: str = ""


def execute(
    notebook: Path,
    output: Path,
    kernel: Kernel,
    parameters: Mapping[str, Value],
    timeout: int | None = None,
    log_output: bool = False,
) -> Ended:
    """Execute every cell of ``notebook`` in order, saving to ``output`` after each.

    Args:
        parameters: values to inject after the cell tagged ``parameters``; what earlier runs injected goes.
        timeout: seconds that a cell may take; None for no limit.
        log_output: show what the cells print, on stderr.

    Returns:
        How it ended; whatever happened, ``output`` holds what had been computed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _execute(notebook, output, kernel, parameters, timeout, log_output)
    except KeyboardInterrupt:
        return Ended(Outcome.interrupted, f"interrupted (Ctrl-C){_where(output)}")
    except Terminated:
        return Ended(Outcome.terminated, f"terminated (SIGTERM){_where(output)}")


def _execute(
    notebook: Path,
    output: Path,
    kernel: Kernel,
    parameters: Mapping[str, Value],
    timeout: int | None,
    log_output: bool,
) -> Ended:
    gc.disable()  # nothing of what is being loaded is garbage, and looking takes a tenth of a small run
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    gc.freeze()
    gc.enable()
    if log_output:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    else:
        logging.getLogger("papermill").setLevel(logging.CRITICAL)
    node = _prepared(nbformat.read(notebook, as_version=4), parameters)
    try:
        executed = execute_notebook(
            node,
            # Papermill formats the path with the parameters; one that holds braces has to come through unharmed.
            str(output).replace("{", "{{").replace("}", "}}"),
            kernel_name=KERNEL,
            language=LANGUAGE,
            progress_bar=sys.stderr.isatty(),
            log_output=log_output,
            execution_timeout=timeout,
            km=kernel.manager(),
        )
    except PapermillExecutionError as error:
        raised = f"{error.ename}: {error.evalue}" if error.evalue else str(error.ename)
        if error.source == source_of(parameters):
            return Ended(
                Outcome.failed, f"{_which(error.traceback, parameters)} cannot be what was given: {raised}"
            )
        return Ended(Outcome.failed, f"cell [{error.exec_count}] raised {raised}")
    except CellTimeoutError:
        return Ended(Outcome.failed, f"a cell took longer than {timeout} seconds{_where(output)}")
    except DeadKernelError:
        return Ended(Outcome.failed, f"the kernel died{_where(output)}: {kernel.how_it_died()}")
    except OSError as error:  # a disk that is full, where the notebook is saved
        return Ended(Outcome.failed, f"the run could not go on{_where(output)}: {error}")
    except RuntimeError as error:  # what jupyter_client raises for a kernel that never answered
        if kernel.process.poll() is None:
            return Ended(Outcome.failed, f"the kernel did not start: {error}")
        return Ended(Outcome.failed, f"the kernel did not start: {kernel.how_it_died()}")
    return _after_exit(executed) or Ended(Outcome.completed)


def _after_exit(executed: Any) -> Ended | None:
    """Papermill takes ``sys.exit(0)`` for success, though the cells behind it never ran."""
    for cell in executed.cells:
        for out in cell.get("outputs", ()):
            if out.output_type == "error" and out.ename == "SystemExit":
                code = f"sys.exit({out.evalue})"
                return Ended(
                    Outcome.failed,
                    f"cell [{cell.execution_count}] called {code}: the cells after it did not run",
                )
    return None


def source_of(parameters: Mapping[str, Value]) -> str:
    """The injected cell, an assignment a line, as Papermill would write it if it knew these types."""
    return "".join(["# Parameters\n", *(f"{name} = {value.source}\n" for name, value in parameters.items())])


def _prepared(notebook: Any, parameters: Mapping[str, Value]) -> Any:
    """The notebook as it is to be executed: without what an earlier run left in it, and with the parameters."""
    import papermill
    from nbformat import v4

    for old in injected_earlier(notebook):
        notebook.cells.remove(old)
    notebook.metadata["papermill"] = {
        "default_parameters": {},
        "parameters": {name: value.plain for name, value in parameters.items()},
        "environment_variables": {},
        "version": papermill.__version__,
    }
    if parameters:
        notebook = v4.upgrade(notebook)  # which gives cells an id
        cell = v4.new_code_cell(source_of(parameters), metadata={"tags": [INJECTED]})
        at = next(n for n, other in enumerate(notebook.cells, 1) if TAG in tags_of(other))
        notebook.cells.insert(at, cell)
    return notebook


def _which(traceback: list[str], parameters: Mapping[str, Value]) -> str:
    """The parameter whose line of the injected cell raised; all of them where the traceback does not say."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback))
    line = re.search(r"^-+> \d+ (\w+) = ", text, re.MULTILINE)
    names = [line[1]] if line else list(parameters)
    return f"parameter {', '.join(map(repr, names))}"


def replace_parameters(notebook: Any, given: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Let an executed notebook say that it was given other values, such as masked ones."""
    changed = {
        name: f"{name} = {write(value, {}).source}" for name, value in shown.items() if value != given[name]
    }
    for cell in (one for one in notebook.cells if INJECTED in tags_of(one)):
        lines = cell.source.split("\n")
        cell.source = "\n".join(changed.get(line.partition(" = ")[0], line) for line in lines)
        for output in cell.outputs:
            if "traceback" in output:  # it quotes the lines
                output["traceback"] = [f"{output.ename}: {output.evalue}"]
    notebook.metadata.papermill["parameters"] = dict(shown)


def errors_of_last_cell(output: Path) -> list[str]:
    """What the last cell that was begun raised, in its own words."""
    try:
        return [out["evalue"] for cell in _begun(output)[-1:] for out in cell["outputs"] if "evalue" in out]
    except NO_NOTEBOOK:
        return []


def _where(output: Path) -> str:
    """The last cell that was begun; code cells count from 1, as Jupyter shows."""
    begun = len(_begun(output))
    return f" in cell [{begun}]" if begun else ""


def _begun(output: Path) -> list[dict[str, Any]]:
    """The code cells that were begun, as the saved notebook tells."""
    try:
        cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return [cell for cell in code if cell["metadata"].get("papermill", {}).get("start_time")]
    except NO_NOTEBOOK:
        return []
