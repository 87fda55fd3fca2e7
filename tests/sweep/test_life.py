"""A sweep of a notebook from its command to its record: jobs one after the other, failures, stops, going on later."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Outcome, ProjectFolder
from deriva_ml.cli import catalog
from notebooks import COMMIT, START, write_notebook

RUN = "deriva-ml-run-notebook"
NOTEBOOK = "notebooks/swept.ipynb"
WORK = """
from pathlib import Path
import os, time
if Path(folder, f"fail-{alpha}").exists():
    raise ValueError(f"no {alpha}")
while Path(folder, f"wait-{alpha}").exists():
    Path(folder, "waiting").touch()
    time.sleep(0.05)
print(os.getpid())
execution.log_metrics({"accuracy": alpha})
"""


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project with a notebook that fails or waits as files in a folder tell it."""
    project = copy_to(tmp_path_factory.mktemp("sweeps") / "my-project")
    write_notebook(project / NOTEBOOK, [START, WORK, COMMIT], 'alpha: float = 0.0\nfolder: str = ""')
    project.git("add", "-A")
    project.git("commit", "-m", "A notebook to sweep")
    return project


def looked_up(project: ProjectFolder, *words: str) -> Any:
    """What `deriva-ml-catalog` says, as JSON; without the start of a process."""
    said = io.StringIO()
    with contextlib.chdir(project.path), contextlib.redirect_stdout(said):
        assert catalog.main([*words, "--json"]) == 0
    return json.loads(said.getvalue())


def sweep_in(done: Outcome) -> str:
    """The RID of the sweep that a command told of."""
    return re.findall(r"^Sweep (\S+): ", done.out, re.MULTILINE)[-1]


def jobs_of(project: ProjectFolder, sweep: str) -> list[dict[str, Any]]:
    """The executions of a sweep, in the order of their places."""
    return [looked_up(project, "show", rid) for rid in looked_up(project, "show", sweep)["sweep of"]]


def test_each_job_is_a_run_of_its_own_in_the_record_of_the_sweep(
    project: ProjectFolder, tmp_path: Path
) -> None:
    done = project.run(
        RUN, NOTEBOOK, "--sweep", "alpha=0.5,1", "-p", "folder", str(tmp_path), "dry_run=false"
    )
    assert done.rc == 0, done.text
    assert re.findall(r"^\[\d/2\] .*", done.err, re.MULTILINE) == ["[1/2] alpha=0.5", "[2/2] alpha=1"]
    sweep = looked_up(project, "show", sweep_in(done))
    assert sweep["status"] == "Uploaded"
    jobs = jobs_of(project, sweep["execution"])
    assert [job["parameters"]["alpha"] for job in jobs] == [0.5, 1.0]
    assert all(job["part of"] == [sweep["execution"]] for job in jobs)
    assert not [*(project / ".deriva-ml" / "sweeps").iterdir()]
    # Each has a kernel of its own, which printed its number.
    notebooks = [
        Path(file["content"]) for job in jobs for file in job["outputs"] if file["file"] == "swept.ipynb"
    ]
    pids = {re.search(r'"text": \[\s*"(\d+)', path.read_text(encoding="utf-8")) for path in notebooks}
    assert len({found[1] for found in pids if found}) == 2
    # The record of a job names the command that repeats it alone.
    alone = project.run(*shlex.split(jobs[1]["repeat"].removeprefix("uv run ")))
    assert alone.rc == 0, alone.text


def test_a_job_that_fails_stops_no_other_and_is_run_again_by_itself(
    project: ProjectFolder, tmp_path: Path
) -> None:
    (tmp_path / "fail-2.0").touch()
    words = [RUN, NOTEBOOK, "--sweep", "alpha=1,2,3", "-p", "folder", str(tmp_path)]
    done = project.run(*words)
    assert done.rc == 1
    sweep = sweep_in(done)
    assert [job["status"] for job in jobs_of(project, sweep)] == ["Uploaded", "Failed", "Uploaded"]
    assert looked_up(project, "show", sweep)["status"] == "Failed"
    last = done.err.splitlines()[-2:]
    assert "job 2 (alpha=2)" in last[0] and "no 2.0" in last[0]
    again = last[1].partition("uv run ")[2].split()
    (tmp_path / "fail-2.0").unlink()
    resumed = project.run(*again)
    assert resumed.rc == 0, resumed.text
    jobs = jobs_of(project, sweep_in(resumed))
    assert [job["status"] for job in jobs] == ["Uploaded"] * 3
    assert [job["execution"] in looked_up(project, "show", sweep)["sweep of"] for job in jobs] == [
        True,
        False,
        True,
    ]
    nothing = project.run(RUN, "--resume", sweep_in(resumed))
    assert nothing.rc == 2 and "nothing is left" in nothing.err


def test_a_sweep_goes_on_from_its_own_commit(project: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "fail-2.0").touch()
    done = project.run(RUN, NOTEBOOK, "--sweep", "alpha=1,2", "-p", "folder", str(tmp_path))
    before = project.git("rev-parse", "HEAD")
    (project / "README.md").write_text("Changed.\n", encoding="utf-8")
    project.git("commit", "-am", "Change")
    now = project.git("rev-parse", "HEAD")
    (tmp_path / "fail-2.0").unlink()
    refused = project.run(RUN, "--resume", sweep_in(done))
    assert refused.rc == 2
    assert f"git switch --detach {before[:7]}" in refused.err and now[:7] in refused.err
    resumed = project.run(RUN, "--resume", sweep_in(done), "--new-code")
    assert resumed.rc == 0, resumed.text
    description = looked_up(project, "show", sweep_in(resumed))["description"]
    assert before[:7] in description and now[:7] in description


def test_fail_fast_ends_the_sweep_with_the_first_that_fails(project: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "fail-1.0").touch()
    done = project.run(RUN, NOTEBOOK, "--fail-fast", "--sweep", "alpha=1,2,3", "-p", "folder", str(tmp_path))
    assert done.rc == 1
    assert [job["status"] for job in jobs_of(project, sweep_in(done))] == ["Failed"]
    reason = looked_up(project, "show", sweep_in(done))["reason"]
    assert "2 did not run" in reason and "job 1 failed, and --fail-fast was given" in reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_stopped_closes_every_record_and_goes_on_later(
    project: ProjectFolder, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "wait-2.0").touch()
    process = project.popen(
        RUN, NOTEBOOK, "--sweep", "alpha=1,2,3", "-p", "folder", str(tmp_path), start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "waiting").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    status = {signal.SIGINT: 130, signal.SIGTERM: 1, signal.SIGKILL: -9}[number]
    assert process.returncode == status, err
    listed = looked_up(project, "list", "-n", "3")  # which closes what a killed one left
    assert [one["status"] for one in listed] == ["Aborted", "Uploaded", "Aborted"]
    (tmp_path / "wait-2.0").unlink()
    resumed = project.run(RUN, "--resume", listed[2]["rid"])
    assert resumed.rc == 0, resumed.text
    jobs = jobs_of(project, sweep_in(resumed))
    assert [job["parameters"]["alpha"] for job in jobs] == [1.0, 2.0, 3.0]
    assert jobs[0]["execution"] == listed[1]["rid"]
