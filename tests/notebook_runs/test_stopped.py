"""A run that is interrupted or killed is recorded with what it had done; one that goes on is let be."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from conftest import ProjectFolder
from notebook_runs.runs import (
    BEFORE,
    STAGED,
    assert_kept,
    committed,
    contents,
    kernel_of,
    latest,
    sleeping,
    start_and_wait,
)
from notebooks import START


@pytest.mark.parametrize(
    ("number", "rc", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 1, "SIGTERM")]
)
def test_a_person_or_a_scheduler_stops_the_run(
    project: ProjectFolder, tmp_path: Path, number: signal.Signals, rc: int, word: str
) -> None:
    marker = tmp_path / "started"
    path = committed(project, f"stopped{rc}.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    record = latest(project)
    assert process.returncode == rc, err
    assert "Traceback" not in err
    assert record["status"] == "Aborted"
    assert word in record["reason"] and "in cell [4]" in record["reason"]
    assert_kept(record, f"stopped{rc}")
    psutil.wait_procs(kernels, timeout=10)
    assert not [
        kernel for kernel in kernels if kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE
    ]


def test_an_impatient_person_does_not_lose_the_record(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "impatient.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    for _ in range(10):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
    process.communicate(timeout=60)
    record = latest(project)
    assert (process.returncode, record["status"]) == (130, "Aborted")
    assert_kept(record, "impatient")


def test_after_kill_9_the_next_command_closes_the_orphan(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "orphan.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    kernels = psutil.Process(process.pid).children(recursive=True)
    connection = kernel_of(process)[1].parent
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert connection.is_dir()

    listed = project.run("deriva-ml-catalog", "list", "-n", "1", check=True)
    assert "closed as Aborted" in listed.err
    record = latest(project)
    assert record["status"] == "Aborted"
    assert record["reason"] == "the process that ran it ended without recording its end"
    assert {"orphan.ipynb", "orphan.md", "kept.txt", "configuration.json"} <= set(contents(record))
    psutil.wait_procs(kernels, timeout=10)
    assert not [
        kernel for kernel in kernels if kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE
    ]
    again = project.run("deriva-ml-catalog", "list", "-n", "1", check=True)
    assert again.err == ""
    assert not any((project / ".deriva-ml" / "runs").iterdir())
    assert not any((project / ".deriva-ml" / "executions").iterdir())
    assert not connection.exists()


def test_a_run_that_is_still_going_is_no_orphan(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "going.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    assert latest(project)["status"] == "Running"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert latest(project)["status"] == "Aborted"


def test_a_run_that_is_known_by_a_number_nobody_has_here_is_no_orphan_either(
    project: ProjectFolder, tmp_path: Path
) -> None:
    """Such as one in a container that has the name of its host."""
    marker = tmp_path / "started"
    path = committed(project, "contained.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    with closing(sqlite3.connect(project / ".deriva-ml" / "catalog.db")) as database, database:
        database.execute('UPDATE "local_run" SET "pid" = ? WHERE "pid" = ?', (2**22 - 7, process.pid))
    [file] = (project / ".deriva-ml" / "runs").glob("*/run.json")
    noted = json.loads(file.read_text())
    noted["owner"]["pid"] = noted["kernel"]["pid"] = 2**22 - 7
    file.write_text(json.dumps(noted))
    assert latest(project)["status"] == "Running"
    assert process.poll() is None and file.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert latest(project)["status"] == "Aborted"


def test_killed_before_the_notebook_started_an_execution(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "sooner.ipynb", BEFORE, sleeping(marker), START, parameters="x: int = 1")
    process = start_and_wait(project, path, marker, "-p", "x", "7")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert "closed as Aborted" in project.run("deriva-ml-catalog", "list", check=True).err
    record = latest(project)
    assert record["status"] == "Aborted"
    assert "computed before" in contents(record)["sooner.md"].decode()
    assert record["parameters"] == {"x": 7}
