"""A notebook that is refused an execution records nothing, unless it goes on without."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from conftest import ProjectFolder
from notebook_runs.runs import (
    BEFORE,
    STAGED,
    assert_kept,
    committed,
    contents,
    latest,
    run,
    sleeping,
    start_and_wait,
)
from notebooks import COMMIT, START, beside_findings

CAUGHT = """from deriva_ml import DerivaMLException
from deriva_ml.execution import run_notebook
try:
    ml, execution, config = run_notebook('no_such_configuration')
except DerivaMLException as error:
    print('computed before, without it')"""


WENT_ON = (
    "run_notebook() was refused, and the notebook went on: no notebook configuration is named no_such_config"
)


def test_a_refusal_that_ends_the_notebook_records_nothing(project: ProjectFolder) -> None:
    path = committed(project, "refused.ipynb", BEFORE, START.replace("my_notebook", "no_such_configuration"))
    before = latest(project)
    done = run(project, path)
    assert done.rc == 2
    assert beside_findings(done.err).startswith(
        "error: no notebook configuration is named no_such_configuration"
    )
    assert latest(project) == before


def test_a_notebook_that_catches_a_refusal_and_goes_on_is_recorded_and_said_so(
    project: ProjectFolder,
) -> None:
    path = committed(project, "catches.ipynb", CAUGHT, "print('went', 'on')")
    done = run(project, path)
    record = latest(project)
    assert (done.rc, record["status"]) == (0, "Uploaded"), done.err
    assert f"warning: {WENT_ON}" in done.err
    assert record["reason"].startswith(WENT_ON)
    text = contents(record)["catches.md"].decode()
    assert "went on" in text and "did not complete" not in text


def test_one_that_catches_a_refusal_and_fails_later_has_both_reasons(project: ProjectFolder) -> None:
    path = committed(project, "needs-it.ipynb", CAUGHT, "execution.metrics_file()")
    done = run(project, path)
    record = latest(project)
    reason = "cell [2] raised NameError: name 'execution' is not defined"
    assert (done.rc, record["status"]) == (1, "Failed")
    assert record["reason"].startswith(f"{reason}; {WENT_ON}")
    assert "computed before" in contents(record)["needs-it.md"].decode()


def test_cells_after_a_refusal_that_is_tagged_to_be_allowed_are_recorded(project: ProjectFolder) -> None:
    name = "allowed.ipynb"
    path = committed(project, name, START.replace("my_notebook", "no_such_configuration"), BEFORE)
    notebook = json.loads((project / path).read_text())
    notebook["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    (project / path).write_text(json.dumps(notebook))
    project.git("commit", "-qam", "Allow it to fail")
    done = run(project, path)
    record = latest(project)
    assert (done.rc, record["status"]) == (0, "Uploaded"), "an error in a cell with this tag is expected"
    assert record["reason"].count("no_such_configuration:") == 1
    assert record["reason"].startswith(WENT_ON) and f"warning: {WENT_ON}" in done.err
    assert "computed before" in contents(record)["allowed.md"].decode()


def test_a_notebook_that_tries_another_configuration_is_recorded_as_if_it_had_been_the_first(
    project: ProjectFolder,
) -> None:
    path = committed(project, "tries.ipynb", CAUGHT, START, STAGED, COMMIT)
    before = latest(project)["execution"]
    done = run(project, path)
    record = latest(project)
    assert (done.rc, beside_findings(done.err), record["status"], record["reason"]) == (
        0,
        "",
        "Uploaded",
        "",
    )
    assert record["execution"] != before
    assert_kept(record, "tries")


@pytest.mark.parametrize("cells", [(CAUGHT, BEFORE), (CAUGHT, START, BEFORE)], ids=["without", "another"])
def test_a_dry_run_that_catches_a_refusal_is_one_all_the_same(
    project: ProjectFolder, cells: tuple[str, ...]
) -> None:
    path = committed(project, f"tries-dry-{len(cells)}.ipynb", *cells)
    before = latest(project)
    done = run(project, path, "dry_run=true")
    assert done.rc == 0, done.err
    assert "Dry run: nothing was recorded" in done.out
    assert latest(project) == before
    assert (WENT_ON in done.err) is (len(cells) == 2)


def test_killed_after_a_refusal_that_was_caught(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "later.ipynb", CAUGHT, sleeping(marker))
    process = start_and_wait(project, path, marker)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    record = latest(project)
    assert record["status"] == "Aborted"
    assert "computed before" in contents(record)["later.md"].decode()
