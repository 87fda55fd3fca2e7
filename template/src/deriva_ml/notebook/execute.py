"""Executes a notebook with Papermill on a kernel that is already starting, and says in words how it ended."""

from __future__ import annotations

import gc
import json
import re
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from deriva_ml.notebook.declarations import Value
from deriva_ml.notebook.document import EXPECTS_ERROR, INJECTED, SKIPPED, TAG, injected_earlier, tags_of
from deriva_ml.notebook.kernel import Kernel
from deriva_ml.notebook.python_source import write
from deriva_ml.signals import Terminated, terminated_by
from deriva_ml.terminal import one_line

SHOWN_CODE = 100
"""Characters of a cell that a message shows."""

NO_NOTEBOOK = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a saved notebook may raise if it is not there, or was damaged."""


class Outcome(Enum):
    """How an execution of a notebook ended."""

    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"
    terminated = "terminated"


@dataclass(frozen=True)
class ExecutionResult:
    """An outcome, and the reason for any but ``completed``.

    Attributes:
        cell: the number, as Jupyter shows it, of the cell whose error ended the run; None if none did.
        ename: the class of that error.
        evalue: its message.
    """

    outcome: Outcome
    reason: str = ""
    cell: int | None = None
    ename: str = ""
    evalue: str = ""


def execute(
    notebook: Path,
    output: Path,
    kernel: Kernel,
    parameters: Mapping[str, Value],
    timeout: int | None = None,
    log_output: bool = False,
    bar: bool = True,
) -> ExecutionResult:
    """Execute every cell of ``notebook`` in order, saving to ``output`` as it goes.

    Args:
        parameters: values to inject after the cell tagged ``parameters``; what earlier runs injected goes.
        timeout: seconds that a cell may take; None for no limit.
        log_output: show what the cells print, on stderr.
        bar: show how far it is, on a terminal.

    Returns:
        How it ended; whatever happened, ``output`` holds what had been computed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    cells: list[Any] = []
    try:
        gc.disable()  # nothing of what is being loaded is garbage, and looking takes a tenth of a small run
        from deriva_ml.notebook.engine import execute_cells, mark_error, write_notebook

        node = _prepared(notebook, parameters)
        if not gc.get_freeze_count():  # what a former run of a sweep has left is garbage
            gc.freeze()
        gc.enable()
        cells += node.cells
        try:
            execute_cells(node, output, kernel, timeout, log_output, bar)
            if stopped := [number for number, cell in enumerate(cells) if _stopped_the_run(cell)]:
                mark_error(node, stopped[0])
                write_notebook(node, output)
        except Exception as error:
            return ExecutionResult(Outcome.failed, _why(error, kernel, timeout, cells))
        return _judge(cells)
    except KeyboardInterrupt:
        return ExecutionResult(Outcome.interrupted, f"interrupted (Ctrl-C){_where(cells)}")
    except Terminated:
        return ExecutionResult(Outcome.terminated, f"{terminated_by()}{_where(cells)}")


def _why(error: Exception, kernel: Kernel, timeout: int | None, cells: list[Any]) -> str:
    """Return why an execution ended before its last cell, though no cell raised anything.

    A cell took too long; the kernel died, or never answered; the disk is full, where the notebook is saved; output is
    none by the notebook's format. What had been computed is recorded all the same.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    where = _where(cells)
    if isinstance(error, CellTimeoutError):
        return f"a cell took longer than {timeout} seconds{where}: {_code_of(cells)}"
    if isinstance(error, DeadKernelError):
        return f"the kernel died{where}: {kernel.exit_reason()}"
    failed = f"the run could not go on{where}" if where else "the kernel did not start"
    if kernel.process.poll() is not None:
        return f"{failed}: {kernel.exit_reason()}"
    said = str(error) if isinstance(error, (OSError, RuntimeError)) else f"{type(error).__name__}: {error}"
    return f"{failed}: {one_line(said)}"


def _judge(cells: list[Any]) -> ExecutionResult:
    """How a notebook ended whose kernel lives: an error fails it, unless its cell is tagged as meant to raise.

    Papermill's own judgement knows no such tag, and takes ``sys.exit(0)`` for success, though the cells behind it
    never ran.
    """
    for number, cell in enumerate(cells):
        errors = [out for out in cell.get("outputs", ()) if out.output_type == "error"]
        if EXPECTS_ERROR in tags_of(cell) or not (errors or _stopped_the_run(cell)):
            continue
        name, text = (str(errors[-1].ename), str(errors[-1].evalue)) if errors else (_group_of(cell), "")
        what = f"{name}: {one_line(text)}" if text.strip() else name
        where = f"cell [{cell.execution_count}]"
        if not _stopped_the_run(cell):
            return ExecutionResult(Outcome.failed, f"{where} showed {what}, and the cells after it ran")
        reason = f"{where} raised {what}"
        if name == "SystemExit":
            rest = any(map(_is_executed, cells[number + 1 :]))
            unrun = ": the cells after it did not run" if rest else ""
            reason = f"{where} called sys.exit({one_line(text)}){unrun}"
        elif parameter := _parameter_of(cell, errors):
            reason = f"parameter {parameter!r} cannot be what was given: {what}"
        return ExecutionResult(Outcome.failed, reason, cell.execution_count, name, text)
    return ExecutionResult(Outcome.completed)


def _stopped_the_run(cell: Any) -> bool:
    return cell.metadata.get("papermill", {}).get("exception") is True


def _group_of(cell: Any) -> str:
    """What a cell without an error among its outputs raised: IPython only prints the traceback of a group."""
    printed = "".join(out.text for out in cell.get("outputs", ()) if out.get("name") == "stderr")
    names = re.findall(r"(?m)^ +\| ([A-Za-z_][\w.]*(?:: .*)?)$", printed)
    return "; ".join(names) or "an error"


def _parameter_of(cell: Any, errors: list[Any]) -> str:
    """The parameter whose assignment failed, if the cell is the injected one, which nobody has written."""
    if INJECTED in tags_of(cell) and errors:
        trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(errors[-1].traceback))
        if found := re.search(r"(?m)^-+> *\d+ (\w+) *=", trace):
            return found[1]
    return ""


def source_of(parameters: Mapping[str, Value]) -> str:
    """The injected cell, an assignment a line, as Papermill would write it if it knew these types."""
    return "".join(["# Parameters\n", *(f"{name} = {value.source}\n" for name, value in parameters.items())])


def _prepared(path: Path, parameters: Mapping[str, Value]) -> Any:
    """Return a notebook as it is to be executed: without what an earlier run left in it, and with the parameters."""
    import nbformat
    import papermill
    from nbformat import v4
    from papermill.execute import remove_error_markers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ids of cells that are missing or used twice: reading mends them
        notebook = nbformat.read(path, as_version=4)
    remove_error_markers(notebook)
    for old in injected_earlier(notebook):
        notebook.cells.remove(old)
    notebook.metadata["papermill"] = {
        "default_parameters": {},
        "parameters": {name: value.plain for name, value in parameters.items()},
        "environment_variables": {},
        "version": papermill.__version__,
    }
    notebook = v4.upgrade(notebook)  # which gives cells an id
    if parameters:
        cell = v4.new_code_cell(source_of(parameters), metadata={"tags": [INJECTED]})
        at = next(n for n, other in enumerate(notebook.cells, 1) if TAG in tags_of(other))
        notebook.cells.insert(at, cell)
    for cell in notebook.cells:  # as in every notebook that Papermill wrote, for those who read it
        cell.metadata.setdefault("tags", [])
    return notebook


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
    """What the last cell that was begun raised in a run whose runner is gone, in its own words."""
    try:
        cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
        return [out["evalue"] for cell in _begun(cells)[-1:] for out in cell["outputs"] if "evalue" in out]
    except NO_NOTEBOOK:
        return []


def _where(cells: list[Any]) -> str:
    """The last cell that was begun, by the number that Jupyter shows."""
    begun = _begun(cells)
    return f" in cell [{begun[-1].get('execution_count') or len(begun)}]" if begun else ""


def _code_of(cells: list[Any]) -> str:
    """The code of the last cell that was begun, as far as it fits on a line."""
    return textwrap.shorten(_begun(cells)[-1].source, SHOWN_CODE, placeholder="...")


def _begun(cells: list[Any]) -> list[Any]:
    """The code cells that were begun."""
    begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    return list(filter(_is_executed, begun))


def _is_executed(cell: Mapping[str, Any]) -> bool:
    """Whether a kernel is asked to run a cell: only then does Jupyter count it."""
    return (
        cell["cell_type"] == "code" and "".join(cell["source"]).strip() != "" and SKIPPED not in tags_of(cell)
    )
