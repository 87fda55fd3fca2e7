"""Every way a notebook run can fail ends as a record with its reason, its notebook and its Markdown."""

from __future__ import annotations

import json
import time
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
)
from notebooks import COMMIT, START, beside_findings


def test_a_cell_that_raises(project: ProjectFolder) -> None:
    path = committed(project, "raises.ipynb", START, BEFORE, STAGED, "1 / 0", "print('never')")
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert "error: cell [4] raised ZeroDivisionError: division by zero" in done.err
    assert "Traceback" not in done.text
    assert (record["status"], record["reason"]) == (
        "Failed",
        "cell [4] raised ZeroDivisionError: division by zero",
    )
    assert_kept(record, "raises", "ZeroDivisionError")
    assert f"outputs/{record['execution']}/raises.md" in done.out
    assert b"never" not in contents(record)["raises.md"].split(b"ZeroDivisionError")[-1].replace(
        b"print('never')", b""
    )


def test_a_cell_that_is_meant_to_raise_fails_nothing(project: ProjectFolder) -> None:
    """Tagged as nbclient knows it; the ids that the cells lack are nobody's concern either."""
    path = committed(project, "expected.ipynb", START, BEFORE, STAGED, "int('seven')", "print('after it')")
    notebook = json.loads((project / path).read_text())
    notebook["cells"][3]["metadata"]["tags"] = ["raises-exception"]
    for cell in notebook["cells"]:
        del cell["id"]
    (project / path).write_text(json.dumps(notebook))
    project.git("commit", "-am", "Expect the error")
    done = run(project, path)
    record = latest(project)
    assert (done.rc, beside_findings(done.err), record["status"]) == (0, "", "Uploaded")
    assert_kept(record, "expected", "ValueError: invalid literal", "after it")
    assert b"failed" not in contents(record)["expected.md"]


@pytest.mark.parametrize("code", ["", "0", "3"])
def test_sys_exit_in_a_cell(project: ProjectFolder, code: str) -> None:
    path = committed(
        project, f"exits{code}.ipynb", START, BEFORE, STAGED, f"import sys\nsys.exit({code})", "print(1)"
    )
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "cell [4]" in record["reason"] and (
        "SystemExit" in record["reason"] or "sys.exit" in record["reason"]
    )
    assert_kept(record, f"exits{code}")


def test_a_kernel_that_is_killed(project: ProjectFolder) -> None:
    killing = (
        "import os, signal, time\nprint('last words')\ntime.sleep(0.5)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    path = committed(project, "killed.ipynb", START, BEFORE, STAGED, killing)
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "the kernel died in cell [4]" in record["reason"] and "SIGKILL" in record["reason"]
    assert_kept(record, "killed")


def test_a_kernel_that_ends_itself(project: ProjectFolder) -> None:
    path = committed(project, "ends.ipynb", START, BEFORE, STAGED, "import os\nos._exit(7)")
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert "exited with status 7" in record["reason"]
    assert_kept(record, "ends")


def test_a_cell_that_takes_longer_than_it_may(project: ProjectFolder) -> None:
    path = committed(project, "slow.ipynb", START, BEFORE, STAGED, "import time\ntime.sleep(60)")
    begun = time.monotonic()
    done = run(project, path, "--timeout", "3")
    record = latest(project)
    assert done.rc == 1
    assert time.monotonic() - begun < 45
    assert record["reason"] == "a cell took longer than 3 seconds in cell [4]: import time time.sleep(60)"
    assert record["status"] == "Failed"
    assert_kept(record, "slow")


def test_a_notebook_that_fails_before_it_starts_an_execution(project: ProjectFolder) -> None:
    path = committed(project, "early.ipynb", "import no_such_package_at_all", START, parameters="x: int = 1")
    done = run(project, path, "-p", "x", "7", "assets=my_assets")
    record = latest(project)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "ModuleNotFoundError" in record["reason"]
    assert {"early.ipynb", "early.md"} <= set(contents(record))
    assert (record["parameters"], record["given"]) == ({"x": 7}, {"x": 7})
    assert record["overrides"] == ["assets=my_assets"]


def test_an_asset_that_was_registered_and_never_written(project: ProjectFolder) -> None:
    never = "path = execution.asset_file_path('Execution_Asset', 'never.txt')"
    path = committed(project, "forgot.ipynb", START, BEFORE, STAGED, never, COMMIT)
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "registered but never written: never.txt (Execution_Asset)" in record["reason"]
    assert_kept(record, "forgot")


def test_the_same_when_the_notebook_leaves_committing_to_the_runner(project: ProjectFolder) -> None:
    never = "path = execution.asset_file_path('Execution_Asset', 'never.txt')"
    path = committed(project, "forgot-too.ipynb", START, BEFORE, STAGED, never)
    done = run(project, path)
    record = latest(project)
    assert (done.rc, record["status"]) == (1, "Failed")
    assert "never.txt" in record["reason"] and "never.txt" in done.err
    assert_kept(record, "forgot-too")


def test_damaged_inputs_fail_the_run_and_say_so(project: ProjectFolder) -> None:
    shown = project.looked_up("show", "DEMO-W001")
    content = Path(shown["file"][0]["content"])
    good = content.read_bytes()
    path = committed(
        project,
        "damaged.ipynb",
        START.replace("'my_notebook'", "'my_notebook', ['assets=my_assets']"),
        parameters="x: int = 1",
    )
    content.chmod(0o644)
    content.write_bytes(b"damaged")
    try:
        done = run(project, path)
        record = latest(project)
    finally:
        content.write_bytes(good)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "logistic.npz has changed since it was recorded" in record["reason"]
    assert record["parameters"] == {"x": 1}


def test_a_file_that_the_notebook_left_open_is_recorded_whole(project: ProjectFolder) -> None:
    lines = (
        "log = open(execution.asset_file_path('Execution_Asset', 'kept.txt'), 'w')\nlog.write('unflushed')"
    )
    path = committed(project, "unclosed.ipynb", START, lines)
    assert run(project, path).rc == 0
    assert contents(latest(project))["kept.txt"] == b"unflushed"


def test_a_status_that_the_notebook_gave_itself_stands(project: ProjectFolder) -> None:
    own = "from deriva_ml import Status\nexecution.update_status(Status.failed, 'did not converge')"
    path = committed(project, "own-status.ipynb", START, STAGED, own)
    done = run(project, path)
    record = latest(project)
    assert (done.rc, record["status"], record["reason"]) == (1, "Failed", "did not converge")


def test_exit_handlers_run_though_processes_of_multiprocessing_are_left(project: ProjectFolder) -> None:
    """A pool that nobody closed, and what keeps track of shared memory, take no signal of the kernel's."""
    path = committed(
        project,
        "pool.ipynb",
        START,
        "import atexit, multiprocessing\npool = multiprocessing.get_context('spawn').Pool(1)\nprint(pool.map(abs, [-1]))",
        "late = execution.asset_file_path('Execution_Asset', 'late.txt')\nlate.write_text('')\natexit.register(late.write_text, 'flushed')",
    )
    done = run(project, path)
    assert done.rc == 0, done.text
    assert contents(latest(project))["late.txt"] == b"flushed"
