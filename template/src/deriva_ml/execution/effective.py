"""The values that a notebook's parameters have as its execution starts, and which of them were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.execution.values import as_json
from deriva_ml.notebook.cells import assigned, literal
from deriva_ml.process import shell
from deriva_ml.redaction import redact_override

NOT_SET = "not set yet"
"""What stands in a record for the value of a parameter that had none; ``parameters_not_set`` names those."""


@dataclass(frozen=True)
class Parameters:
    """Parameters by name, in JSON's types.

    The names are those of the fields of an ``ExecutionConfiguration``.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    parameters_given: dict[str, Any] = field(default_factory=dict)
    parameters_not_set: list[str] = field(default_factory=list)


def parameters_now(run: NotebookRun | None, notebook: Path | None) -> Parameters:
    """Return the parameters of the notebook that this kernel executes; none where there is no kernel, or no telling.

    Args:
        run: the runner's, if it started one: it knows the parameters cell, and what was injected.
        notebook: the notebook's file otherwise, if that is known.
    """
    kernel = shell()
    if kernel is None:
        return Parameters(run.parameters, run.parameters) if run else Parameters()
    manager = kernel.history_manager
    # As Python, the cell that is being executed last; the first entry stands for none.
    cells = [str(cell) for cell in (manager.input_hist_parsed[1:] if manager else ())]
    if run:
        return effective(kernel.user_ns, run.declared, run.parameters, _is_past(cells[:-1], run.parameters))
    declared, injected = _told_by(notebook) if notebook else ([], False)
    source = ""
    if injected or not _is_by_hand():
        found, source = _injected(cells, declared)
        declared = declared or found
    return effective(kernel.user_ns, declared, _given_by(source, kernel.user_ns))


def with_parameters(configuration: ExecutionConfiguration, run: NotebookRun | None) -> ExecutionConfiguration:
    """Return a configuration with the parameters of the notebook that starts an execution by itself; else as it is.

    Args:
        run: the runner's, if it started one.
    """
    if not run and shell() is None:
        return configuration
    from deriva_ml.execution.started import open_notebook  # of no use in a run by the command

    known = parameters_now(run, None if run else open_notebook())
    values = {**vars(known), "parameters": {**known.parameters, **configuration.parameters}}
    if run:
        overrides = [redact_override(override) for override in run.overrides]
        values |= {"argv": run.argv, "overrides": configuration.overrides or overrides}
    return replace(configuration, **values)


def effective(
    namespace: Mapping[str, Any],
    declared: Sequence[str],
    given: Mapping[str, Any],
    injected: bool = True,
) -> Parameters:
    """Return the values of parameters in a namespace.

    Args:
        namespace: a kernel's.
        declared: the names that the parameters cell assigns.
        given: what is injected, in JSON's types.
        injected: whether that has happened; where not, as the execution starts in or before the parameters cell, it
            is about to be, and what is given counts.
    """
    values, lacking = {}, []
    for name in dict.fromkeys([*declared, *given]):
        if name in given and not injected:
            values[name] = given[name]
        elif name in namespace:
            values[name] = as_json(namespace[name], whole=name in given)
        else:
            values[name] = NOT_SET
            lacking.append(name)
    return Parameters(values, dict(given), lacking)


def _is_past(cells: Sequence[str], given: Mapping[str, Any]) -> bool:
    """Whether the parameters cell has been executed: what is injected comes right after it."""
    return any(given.keys() <= assigned(cell).keys() for cell in cells)


def _injected(cells: Sequence[str], declared: Sequence[str]) -> tuple[list[str], str]:
    """Return the names of the parameters cell, and the cell injected after it, as far as the executed ones tell.

    Papermill heads the cell that it injects with a comment. Of several that ran, the last counts.
    """
    found: tuple[list[str], str] = [], ""
    for cell, after in zip(cells, cells[1:], strict=False):
        if after.startswith("# Parameters\n"):
            names = list(assigned(cell))
            if assigned(after).keys() & {*(declared or names)}:
                found = names, after
    return found


def _told_by(notebook: Path) -> tuple[list[str], bool]:
    """Read the names of the parameters cell in a file, and whether one was injected; none if it cannot tell."""
    from deriva_ml.notebook.document import injected_earlier, read_notebook
    from deriva_ml.notebook.parameters import parameters_of

    with suppress(DerivaMLRequestError):
        document = read_notebook(notebook)
        declared = [parameter.name for parameter in parameters_of(document) or ()]
        return declared, bool(injected_earlier(document))
    return [], False


def _given_by(cell: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that an injected cell assigns, in JSON's types; of no literal, the value now."""
    given = {name: literal(value, namespace.get(name)) for name, value in assigned(cell).items()}
    return {name: as_json(value, whole=True) for name, value in given.items()}


def _is_by_hand() -> bool:
    """Whether a person executes the cells, in JupyterLab or VS Code, which inject nothing."""
    from deriva_ml.execution.started import JUPYTERLAB, VS_CODE, how_started

    return how_started().by in {JUPYTERLAB, VS_CODE}
