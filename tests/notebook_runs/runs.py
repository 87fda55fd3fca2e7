"""Runs notebooks of a few cells, and looks at what was recorded of them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from conftest import Outcome, ProjectFolder
from notebooks import write_notebook

BEFORE = "print('computed before')"
STAGED = "execution.asset_file_path('Execution_Asset', 'kept.txt').write_text('kept')"


def committed(project: ProjectFolder, name: str, *cells: str, **options: Any) -> str:
    """Write and commit a notebook; its path as one would type it."""
    write_notebook(project / "notebooks" / name, cells, **options)
    project.git("add", "-A")
    project.git("commit", "-m", f"Add {name}")
    return f"notebooks/{name}"


def latest(project: ProjectFolder) -> dict[str, Any]:
    """The newest execution with all that belongs to it."""
    [first] = project.looked_up("list", "-n", "1")
    return dict(project.looked_up("show", first["rid"]))


def contents(record: dict[str, Any]) -> dict[str, bytes]:
    """What the execution's output files hold, by name."""
    return {row["file"]: Path(row["content"]).read_bytes() for row in record["outputs"]}


def assert_kept(record: dict[str, Any], stem: str, *written: str) -> None:
    """The half-executed notebook, its Markdown and the staged file are recorded."""
    kept = contents(record)
    assert {f"{stem}.ipynb", f"{stem}.md", "kept.txt", "configuration.json", "environment.json"} <= set(kept)
    assert kept["kept.txt"] == b"kept"
    assert record["duration"].endswith("sec")
    for text in ("computed before", *written):
        assert text in kept[f"{stem}.md"].decode()


def run(project: ProjectFolder, *arguments: str) -> Outcome:
    return project.run("deriva-ml-run-notebook", *arguments)


def start_and_wait(project: ProjectFolder, path: str, marker: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run in a session of its own and wait until its last cell is being executed."""
    process = project.popen("deriva-ml-run-notebook", path, *arguments, start_new_session=True)
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the notebook never got to its last cell"
        time.sleep(0.05)
    return process


def sleeping(marker: Path) -> str:
    return f"import os, time, pathlib\nprint('pid', os.getpid())\npathlib.Path({str(marker)!r}).touch()\ntime.sleep(120)"


def kernel_of(runner: subprocess.Popen[str]) -> tuple[psutil.Process, Path]:
    """The kernel of a run that is going on, and its connection file."""
    [kernel] = psutil.Process(runner.pid).children()
    return kernel, Path(kernel.cmdline()[kernel.cmdline().index("-f") + 1])
