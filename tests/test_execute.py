"""How the execution of a notebook is said to have ended, by real kernels: every reason is true, and of one line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from conftest import SOURCE
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.execute import ExecutionResult, Outcome, execute
from deriva_ml.notebook.markdown import to_markdown
from deriva_ml.notebook.parameters import Value

RAISES, SKIP = "raises-exception", "skip-execution"
Cell = str | tuple[str, str]
Ran = tuple[ExecutionResult, Any]
Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Execute these cells, each a source or a source and its tag; how it ended, and the executed notebook."""

    def executed(*cells: Cell, parameters: dict[str, Any] | None = None, timeout: int | None = None) -> Ran:
        notebook = new_notebook(cells=[made(cell) for cell in cells])
        return executed_file(write(tmp_path / "in.ipynb", notebook), parameters, timeout)

    def executed_file(path: Path, parameters: dict[str, Any] | None, timeout: int | None) -> Ran:
        kernel = kernels.start(None, tmp_path, tmp_path / "kernel.log", {"PYTHONPATH": str(SOURCE)})
        try:
            ended = execute(path, tmp_path / "out.ipynb", kernel, parameters or {}, timeout)
        finally:
            kernel.kill()
        return ended, nbformat.read(tmp_path / "out.ipynb", as_version=4)

    return executed


def made(cell: Cell) -> Any:
    source, *tags = (cell,) if isinstance(cell, str) else cell
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def write(path: Path, notebook: Any) -> Path:
    nbformat.write(notebook, path)
    return path


def printed(notebook: Any) -> list[str]:
    """What the cells printed."""
    return [out.text.strip() for cell in notebook.cells for out in cell.get("outputs", ()) if "text" in out]


AFTER = "print('the end')"


@pytest.mark.parametrize(
    "expected",
    [
        "int('seven')",
        "raise ExceptionGroup('several', [ValueError('one')])",
        "import sys; sys.exit(3)",
        "raise KeyboardInterrupt",
        "this is no Python",
        "x = 'does not raise at all'",
    ],
)
def test_an_error_in_a_tagged_cell_is_expected(run: Run, expected: str) -> None:
    ended, notebook = run((expected, RAISES), AFTER)
    assert ended == ExecutionResult(Outcome.completed)
    assert printed(notebook)[-1] == "the end"
    assert "failed" not in to_markdown(notebook) and "exception here" not in nbformat.writes(notebook)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["raise ValueError('a\\n  b')"], "cell [1] raised ValueError: a b"),
        ([("1 / 0", RAISES), "raise KeyError"], "cell [2] raised KeyError"),
        (
            ["", "  \n", ("raise ValueError", SKIP), "1 / 0"],
            "cell [1] raised ZeroDivisionError: division by zero",
        ),
        (["raise KeyboardInterrupt"], "cell [1] raised KeyboardInterrupt"),
        (["raise OSError('mine')"], "cell [1] raised OSError: mine"),
        (["raise ValueError('\\x1b[31mred\\x1b[0m')"], "cell [1] raised ValueError: red"),
        (["import sys; sys.exit(0)", AFTER], "cell [1] called sys.exit(0): the cells after it did not run"),
        (["import sys; sys.exit('no data')", ""], "cell [1] called sys.exit(no data)"),
        (
            ["raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])"],
            "cell [1] raised ExceptionGroup: several (2 sub-exceptions); ValueError: one; KeyError: 'two'",
        ),
        (
            ["try:\n    1 / 0\nexcept ArithmeticError:\n    get_ipython().showtraceback()", AFTER],
            "cell [1] showed ZeroDivisionError: division by zero, and the cells after it ran",
        ),
        (
            ["", ("x", SKIP), "print(1)", "", "import os; os._exit(7)"],
            "the kernel died in cell [2]: it exited with status 7; its last words: none",
        ),
        (
            ["from IPython.display import display", "display({'text/plain': 3}, raw=True)", AFTER],
            "the run could not go on in cell [2]: NotebookValidationError: 3 is not valid under any of the given",
        ),
    ],
)
def test_a_failure_says_what_happened_and_in_which_cell(run: Run, cells: Sequence[Cell], reason: str) -> None:
    ended, _ = run(*cells)
    assert ended.outcome is Outcome.failed
    assert ended.reason.startswith(reason) and "\n" not in ended.reason
    assert ended.reason == reason or "NotebookValidationError" in reason


def test_a_tagged_cell_may_not_take_longer_than_any_other(run: Run) -> None:
    slow = "import time; time.sleep(60)"
    ended, _ = run("1", (slow, RAISES), timeout=1)
    assert ended == ExecutionResult(Outcome.failed, f"a cell took longer than 1 seconds in cell [2]: {slow}")


def test_a_value_that_cannot_be_assigned_is_told_by_its_parameter(run: Run) -> None:
    """Such as a member of an Enum that the notebook imports, which nobody knows before."""
    given = {"width": Value("2", 2), "day": Value("date(2024, 2, 3)", "2024-02-03")}
    ended, _ = run(("width = 1\nday = None", "parameters"), AFTER, parameters=given)
    assert ended.reason == "parameter 'day' cannot be what was given: NameError: name 'date' is not defined"


def test_a_cell_that_is_left_out_is_said_not_to_have_run(run: Run) -> None:
    ended, notebook = run(("print('never')", SKIP), AFTER)
    assert ended == ExecutionResult(Outcome.completed)
    assert printed(notebook) == ["the end"]
    assert "(this cell did not run: it is tagged skip-execution)" in to_markdown(notebook)


@pytest.mark.parametrize(("minor", "ids"), [(0, "none"), (4, "none"), (5, "none"), (5, "the same")])
def test_ids_of_cells_are_no_matter_to_a_person(
    tmp_path: Path, minor: int, ids: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Cells without ids, and with the same, in older and newer formats: nothing is said, all is run."""
    from deriva_ml.notebook.document import read_notebook

    cells = [
        new_code_cell("a = 1"),
        new_markdown_cell("text"),
        new_raw_cell("raw"),
        new_code_cell("print(a)"),
    ]
    for number, cell in enumerate(cells):
        del cell["id"]
        if ids != "none":
            cell["id"] = "one" if ids == "the same" else f"c{number}"
    (path := tmp_path / "in.ipynb").write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": cells})
    )
    assert len(read_notebook(path)["cells"]) == 4
    kernel = kernels.start(None, tmp_path, tmp_path / "kernel.log", {"PYTHONPATH": str(SOURCE)})
    try:
        ended = execute(path, tmp_path / "out.ipynb", kernel, {})
    finally:
        kernel.kill()
    assert ended == ExecutionResult(Outcome.completed)
    assert [str(one.message) for one in recwarn if "id" in str(one.message)] == []
    assert capfd.readouterr().err == ""
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert printed(executed) == ["1"]
    assert len({cell["id"] for cell in executed.cells}) == 4


def test_a_run_leaves_no_thread_and_no_open_file_to_the_next(run: Run) -> None:
    """A sweep has many in one process, which may not have many files open."""

    def held() -> tuple[int, int]:
        return threading.active_count(), len([*Path("/proc/self/fd").iterdir()])

    run("print(1)")
    before = held()
    run("print(2)")
    assert held() <= before
