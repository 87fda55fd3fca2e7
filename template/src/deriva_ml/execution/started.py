"""How the code that runs here was started, and which file it is: where that is certain, and else not at all."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml.process import shell

if TYPE_CHECKING:
    import psutil

JUPYTERLAB, VS_CODE, SCRIPT, OTHER = "JupyterLab", "VS Code", "script", "another program"

_JUPYTERLAB = {"jupyter-lab", "jupyterlab", "jupyter-labhub"}
_NBCONVERT = {"jupyter-nbconvert", "nbconvert"}
_PYTHON = re.compile(r"(?i)(?:python|pypy)[\d.]*w?(?:\.exe)?")


@dataclass(frozen=True)
class Start:
    """How the code was started.

    Attributes:
        by: the command, JupyterLab, VS Code, papermill, nbconvert, a script, or another program and its name.
        file: the notebook or script; None where it is not known.
        written: what the program that executes the notebook writes it to.
    """

    by: str
    file: Path | None = None
    written: Path | None = None


def how_started() -> Start:
    """Find out how what runs in this process was started, unless it was by the project's own commands.

    Jupyter Server 2 puts the notebook's path into its kernels' environment, and VS Code into the namespace; papermill
    and nbconvert have it in their own command line only.
    """
    main = sys.modules["__main__"]
    cells = shell()
    if cells is None and getattr(main, "__file__", None):
        return _script(Path(str(main.__file__)).absolute())
    import psutil

    program, inherited = "", ""
    arguments: list[str] = []
    folder: Path | None = None
    try:
        process = _launcher() if hasattr(cells, "kernel") else psutil.Process()
        program, arguments = _program(process.cmdline())
        folder = Path(process.cwd())
        inherited = process.environ().get("JPY_SESSION_NAME", "")
    except (psutil.Error, OSError):  # it is gone, or another user's
        pass
    if program == "papermill":
        return Start(program, *_papermill(arguments, folder))
    if program in _NBCONVERT:
        return Start("nbconvert", _nbconvert(arguments, folder))
    other = f"{OTHER} ({program})" if program else OTHER
    if named := getattr(main, "__vsc_ipynb_file__", None):
        return Start(VS_CODE, _notebook(named))
    # A kernel that a notebook's own code starts has the variable from it, and means another file.
    named = os.environ.get("JPY_SESSION_NAME")
    file = _notebook(named) if named and named != inherited else None
    return Start(JUPYTERLAB if program in _JUPYTERLAB else other, file)


def open_notebook() -> Path | None:
    """Return the file of the notebook whose kernel this is, where that is known."""
    file = how_started().file
    return file if file and file.suffix == ".ipynb" else None


def _script(path: Path) -> Start:
    """Return the start of a file that Python was given; one that an environment installed is another program's."""
    if {"site-packages", "dist-packages"} & set(path.parts) or (path.parent.parent / "pyvenv.cfg").is_file():
        name = path.parent.name if path.stem == "__main__" else path.stem
        return Start(f"{OTHER} ({name})")
    return Start(SCRIPT, path)


def _notebook(named: str) -> Path | None:
    path = Path(named).absolute()
    return path if path.suffix == ".ipynb" and path.is_file() else None


def _launcher() -> psutil.Process:
    """Return the process that started this kernel: jupyter_client notes it, since a wrapper may stand between."""
    import psutil

    here = psutil.Process()
    noted = os.environ.get("JPY_PARENT_PID", "")
    for process in here.parents():
        if str(process.pid) == noted:
            return process
    return psutil.Process(os.getppid())


def _program(command: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the program, script or module that a command line runs, and its arguments."""
    rest = list(command)
    if rest and _PYTHON.fullmatch(Path(rest[0]).name):
        interpreter = rest.pop(0)
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if re.fullmatch("-[A-Za-z]*m", option):
                break
            if re.fullmatch("-[A-Za-z]*c", option) or option == "-":
                return "python", []
            if option in {"-X", "-W"} and rest:
                rest.pop(0)
        rest = rest or [interpreter]
    if not rest:
        return "", []
    name = Path(rest[0]).name
    return re.sub(r"(?i)\.(exe|py|pyw)$", "", name), rest[1:]


def _papermill(arguments: list[str], folder: Path | None) -> tuple[Path | None, Path | None]:
    """Return the notebooks that a command line of Papermill's reads and writes, as its own parser reads it."""
    try:
        from papermill.cli import papermill

        given = papermill.make_context("papermill", list(arguments), resilient_parsing=True).params
    except (Exception, SystemExit):  # another version's, or an option of a plug-in
        return None, None
    source, written, moved = (given.get(name) or "" for name in ("notebook_path", "output_path", "cwd"))
    # It has left the folder that its paths are relative to.
    if moved and folder and not Path(source).is_absolute():
        before = Path(os.environ.get("PWD", ""))
        certain = not Path(moved).is_absolute() and before.is_absolute()
        folder = before if certain and (before / moved).resolve() == folder.resolve() else None
    if folder is None and not Path(source).is_absolute():
        return None, None
    paths = [(folder or Path()) / name for name in (source, written)]
    return (paths[0] if paths[0].is_file() else None), (paths[1] if written else None)


def _nbconvert(arguments: list[str], folder: Path | None) -> Path | None:
    """Return the one notebook that a command line of nbconvert's names, as its own parser reads it."""
    try:
        from nbconvert.nbconvertapp import NbConvertApp

        application = NbConvertApp()
        application.parse_command_line(list(arguments))
        named = [str(name) for name in application.extra_args]
    except (Exception, SystemExit):
        return None
    if folder is None or application.from_stdin:
        return None
    found = {
        (folder / path).resolve()
        for name in named
        for path in glob.glob(name, root_dir=folder) + glob.glob(f"{name}.ipynb", root_dir=folder)
    }
    return found.pop() if len(found) == 1 else None
