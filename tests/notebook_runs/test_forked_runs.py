"""A run whose kernel is forked is recorded as any other, also when its runner is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil

from conftest import ProjectFolder
from notebook_runs.runs import BEFORE, STAGED, committed, contents, latest, sleeping
from notebooks import COMMIT, START

RUNS = """
import sys
from pathlib import Path
from deriva_ml.execution.notebook_runner import Request, record_notebook
from deriva_ml.notebook import kernel
from deriva_ml.notebook.forking import ForkedProcess, ForkServer
from deriva_ml.project import Project

project, path = Project(Path.cwd()), Path(sys.argv[1]).absolute()
server = ForkServer.start(path.parent)
started, start = [], kernel.start
kernel.start = lambda *arguments: started.append(start(*arguments)) or started[-1]
for number in range(int(sys.argv[2])):
    result = record_notebook(Request(path, argv=["deriva-ml-run-notebook", sys.argv[1]]), project, server)
    print(result.status, isinstance(started[-1].process, ForkedProcess), flush=True)
"""


def test_runs_with_forked_kernels_are_recorded_as_others(project: ProjectFolder) -> None:
    path = committed(project, "forked.ipynb", START, "import numpy", BEFORE, STAGED, COMMIT)
    alone = project.run("deriva-ml-run-notebook", path, check=True)
    reference = latest(project)
    done = project.run("python", "-c", RUNS, path, "2", check=True)
    assert done.out.splitlines() == ["Uploaded True"] * 2, alone.err
    record = latest(project)
    assert record["execution"] != reference["execution"]
    assert set(contents(record)) == set(contents(reference))
    texts = [json.loads(contents(one)["configuration.json"]) for one in (record, reference)]
    assert texts[0].keys() == texts[1].keys()
    shown, expected = (
        contents(one)["forked.md"].decode().count("computed before") for one in (record, reference)
    )
    assert shown == expected == 2
    environments = [json.loads(contents(one)["environment.json"]) for one in (record, reference)]
    assert environments[0] == environments[1]


def test_a_runner_that_is_killed_leaves_no_forked_kernel_and_is_recovered(
    project: ProjectFolder, tmp_path: Path
) -> None:
    """Also by a command that comes before the server has noticed, or that finds the server stopped."""
    marker = tmp_path / "started"
    path = committed(project, "killed.ipynb", START, BEFORE, STAGED, sleeping(marker))
    runner = project.popen("python", "-c", RUNS, path, "1", start_new_session=True)
    while not marker.exists():
        assert runner.poll() is None, runner.communicate()
    [server] = [
        one for one in psutil.Process(runner.pid).children() if "fork_server" in " ".join(one.cmdline())
    ]
    [kernel] = server.children()
    server.suspend()
    try:
        os.kill(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=30)
        assert kernel.is_running()
        listed = project.run("deriva-ml-catalog", "list", "-n", "1", check=True)
        assert "closed as Aborted" in listed.err
        assert not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE
        assert {"killed.ipynb", "killed.md", "kept.txt"} <= set(contents(latest(project)))
    finally:
        server.resume()
    assert psutil.wait_procs([server, kernel], timeout=5)[1] == []
