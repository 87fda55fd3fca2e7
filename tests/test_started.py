"""What started a run, and which notebook it is of: told from the program, or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from deriva_ml.execution import started
from deriva_ml.execution.started import Start, how_started, open_notebook


class Launcher:
    """A process that started the kernel."""

    def __init__(self, command: Sequence[str], folder: Path, variables: dict[str, str]) -> None:
        self._command, self._folder, self._variables = list(command), folder, variables

    def cmdline(self) -> list[str]:
        return self._command

    def cwd(self) -> str:
        return str(self._folder)

    def environ(self) -> dict[str, str]:
        return self._variables


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notebooks, in which a program was started that runs a kernel, which is here."""
    (tmp_path / "notebooks").mkdir()
    for name in ("a.ipynb", "b.ipynb", "with space.ipynb"):
        (tmp_path / "notebooks" / name).write_text("{}")
    (tmp_path / "out.ipynb").write_text("{}")
    for name in ("JPY_SESSION_NAME", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setattr(started, "shell", lambda: SimpleNamespace(kernel=None))
    return tmp_path


def start(monkeypatch: pytest.MonkeyPatch, folder: Path, command: Sequence[str], **variables: str) -> Start:
    monkeypatch.setattr(started, "_launcher", lambda: Launcher(command, folder, variables))
    return how_started()


A = "notebooks/a.ipynb"
PYTHON = "/venv/bin/python3.11"


@pytest.mark.parametrize(
    ("command", "by", "file"),
    [
        ([PYTHON, "/venv/bin/papermill", A, "out.ipynb"], "papermill", A),
        ([PYTHON, "-m", "papermill", A, "-p", "x", "-1", "out.ipynb"], "papermill", A),
        ([PYTHON, "-X", "dev", "-Im", "papermill", "-k", "python3", A, "-"], "papermill", A),
        (
            ["/venv/bin/papermill", "--log-output", "notebooks/with space.ipynb"],
            "papermill",
            "notebooks/with space.ipynb",
        ),
        ([PYTHON, "/venv/bin/papermill", "-", "out.ipynb"], "papermill", None),
        ([PYTHON, "/venv/bin/papermill", "https://example.org/a.ipynb", "out.ipynb"], "papermill", None),
        ([PYTHON, "/venv/bin/papermill", "--no-such-option", A], "papermill", None),
        ([PYTHON, "/venv/bin/jupyter-nbconvert", "--execute", "--to", "notebook", A], "nbconvert", A),
        ([PYTHON, "/venv/bin/jupyter-nbconvert", "--output", "out.ipynb", "--execute", A], "nbconvert", A),
        ([PYTHON, "-m", "nbconvert", "notebooks/a", "--execute"], "nbconvert", A),
        ([PYTHON, "-m", "nbconvert", "notebooks/[a]*", "--execute"], "nbconvert", A),
        ([PYTHON, "-m", "nbconvert", "--execute", A, "notebooks/b.ipynb"], "nbconvert", None),
        ([PYTHON, "-m", "nbconvert", "--execute", "notebooks/*.ipynb"], "nbconvert", None),
        ([PYTHON, "-m", "nbconvert", "--execute", "notebooks/none.ipynb"], "nbconvert", None),
        ([PYTHON, "-m", "nbconvert", "--execute", "--stdin"], "nbconvert", None),
        ([PYTHON, "-c", "import papermill"], "another program (python)", None),
        ([PYTHON, "run_all.py"], "another program (run_all)", None),
        ([PYTHON, "/venv/bin/jupyter-console"], "another program (jupyter-console)", None),
        ([PYTHON, "-m", "ipykernel_launcher", "-f", "x.json"], "another program (ipykernel_launcher)", None),
        ([], "another program", None),
    ],
)
def test_what_a_command_line_tells(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: list[str], by: str, file: str | None
) -> None:
    found = start(monkeypatch, folder, command)
    assert (found.by, found.file) == (by, folder / file if file else None)


def test_what_papermill_writes_is_known_and_a_folder_that_it_moved_to_is_undone(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    command = [PYTHON, "/venv/bin/papermill", A, "out.ipynb", "--cwd", "notebooks"]
    found = start(monkeypatch, folder / "notebooks", command)
    assert (found.file, found.written) == (folder / A, folder / "out.ipynb")
    monkeypatch.setenv("PWD", "/elsewhere")
    assert start(monkeypatch, folder / "notebooks", command).file is None


@pytest.mark.parametrize(
    ("command", "by"),
    [
        ([PYTHON, "/venv/bin/jupyter-lab", "--no-browser"], "JupyterLab"),
        ([PYTHON, "-m", "jupyterlab"], "JupyterLab"),
        ([PYTHON, "/venv/bin/jupyter-notebook"], "another program (jupyter-notebook)"),
    ],
)
def test_a_jupyter_server_names_the_notebook_in_the_kernels_environment(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: list[str], by: str
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / A))
    assert start(monkeypatch, folder, command) == Start(by, folder / A)
    assert open_notebook() == folder / A
    # The same of a kernel that code of that notebook started: it is another notebook's.
    assert start(monkeypatch, folder, command, JPY_SESSION_NAME=str(folder / A)).file is None
    # Renamed since the kernel started, or no notebook.
    for gone in ("notebooks/old.ipynb", "notebooks/a.py"):
        monkeypatch.setenv("JPY_SESSION_NAME", str(folder / gone))
        assert start(monkeypatch, folder, command) == Start(by)


def test_vs_code_is_known_by_the_namespace_whatever_server_it_uses(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", str(folder / A), raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "notebooks" / "a-jvsc-1234.ipynb"))
    assert start(monkeypatch, folder, [PYTHON, "/venv/bin/jupyter-lab"]) == Start("VS Code", folder / A)


@pytest.mark.parametrize("command", [[PYTHON, "-c", "import study"], [PYTHON]])
def test_code_without_a_file_is_not_of_the_shell_that_started_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: list[str]
) -> None:
    monkeypatch.setattr(started, "shell", lambda: None)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setattr(psutil, "Process", lambda: Launcher(command, folder, {}))
    assert start(monkeypatch, folder, ["bash"]).by.startswith("another program (python")


def test_a_launcher_that_is_gone_is_another_program(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def gone() -> Any:
        raise psutil.NoSuchProcess(1)

    monkeypatch.setattr(started, "_launcher", gone)
    assert how_started() == Start("another program")


def test_the_launcher_is_the_process_that_jupyter_client_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper may stand between, such as `uv run`; a number that is no ancestor's is left aside."""
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    assert started._launcher().pid == os.getppid()
    ancestors = psutil.Process().parents()
    monkeypatch.setenv("JPY_PARENT_PID", str(ancestors[-1].pid))
    assert started._launcher().pid == ancestors[-1].pid


def test_a_script_is_told_from_what_an_environment_installed(tmp_path: Path) -> None:
    assert started._script(tmp_path / "measure.py") == Start("script", tmp_path / "measure.py")
    assert started._script(Path("/v/lib/site-packages/pytest/__main__.py")).by == "another program (pytest)"
    (tmp_path / "pyvenv.cfg").touch()
    assert started._script(tmp_path / "bin" / "tool") == Start("another program (tool)")
