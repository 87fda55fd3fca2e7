"""Every way a notebook run can fail ends as a record with its reason, its notebook and its Markdown."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Outcome, ProjectFolder
from notebooks import COMMIT, START, outputs_text, write_notebook

BEFORE = "print('computed before')"
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
STAGED = "execution.asset_file_path('Execution_Asset', 'kept.txt').write_text('kept')"


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project that the tests of this module share; each adds a notebook of its own."""
    return copy_to(tmp_path_factory.mktemp("failures") / "my project")


def committed(project: ProjectFolder, name: str, *cells: str, **options: Any) -> str:
    """Write and commit a notebook; its path as one would type it."""
    write_notebook(project / "notebooks" / name, cells, **options)
    project.git("add", "-A")
    project.git("commit", "-m", f"Add {name}")
    return f"notebooks/{name}"


def latest(project: ProjectFolder) -> dict[str, Any]:
    """The newest execution with all that belongs to it."""
    [first] = json.loads(project.run("deriva-ml-catalog", "list", "-n", "1", "--json", check=True).out)
    return dict(json.loads(project.run("deriva-ml-catalog", "show", first["rid"], "--json", check=True).out))


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
    assert record["reason"] == "a cell took longer than 3 seconds in cell [4]"
    assert record["status"] == "Failed"
    assert_kept(record, "slow")


def start_and_wait(project: ProjectFolder, path: str, marker: Path) -> Any:
    """Start a run in a session of its own and wait until its last cell is being executed."""
    process = project.popen("deriva-ml-run-notebook", path, start_new_session=True)
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the notebook never got to its last cell"
        time.sleep(0.05)
    return process


def sleeping(marker: Path) -> str:
    return f"import os, time, pathlib\nprint('pid', os.getpid())\npathlib.Path({str(marker)!r}).touch()\ntime.sleep(120)"


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
    [kernel] = psutil.Process(process.pid).children()
    connection = Path(kernel.cmdline()[kernel.cmdline().index("-f") + 1]).parent
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


def test_a_notebook_that_fails_before_it_starts_an_execution(project: ProjectFolder) -> None:
    path = committed(project, "early.ipynb", "import no_such_package_at_all", START)
    done = run(project, path)
    record = latest(project)
    assert done.rc == 1
    assert record["status"] == "Failed"
    assert "ModuleNotFoundError" in record["reason"]
    assert {"early.ipynb", "early.md"} <= set(contents(record))


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
    shown = json.loads(project.run("deriva-ml-catalog", "show", "DEMO-W001", "--json", check=True).out)
    content = Path(shown["file"][0]["content"])
    good = content.read_bytes()
    path = committed(
        project, "damaged.ipynb", START.replace("'my_notebook'", "'my_notebook', ['assets=my_assets']")
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


def test_the_terminal_shows_no_stray_warnings_of_the_kernel(project: ProjectFolder) -> None:
    path = committed(project, "quiet.ipynb", START, BEFORE, COMMIT)
    done = run(project, path)
    assert done.rc == 0
    assert done.err == ""


def test_whatever_kernel_the_file_names_it_is_this_project_that_executes_it(project: ProjectFolder) -> None:
    path = committed(project, "foreign.ipynb", START, "import sys\nprint(sys.prefix)", COMMIT)
    notebook = project / path
    notebook.write_text(notebook.read_text().replace('"name": "python3"', '"name": "no-such-kernel"'))
    project.git("commit", "-am", "Name another kernel")
    done = run(project, path)
    assert done.rc == 0, done.err
    executed = project / "outputs" / latest(project)["execution"] / "foreign.ipynb"
    assert project.env["UV_PROJECT_ENVIRONMENT"] in outputs_text(executed)


def test_an_installed_kernel_can_be_named_and_an_unknown_one_is_refused(project: ProjectFolder) -> None:
    path = committed(project, "named.ipynb", START, COMMIT)
    refused = run(project, path, "--kernel", "no-such-kernel")
    assert refused.rc == 2
    assert "no kernel is named no-such-kernel; installed: " in refused.err and "python3" in refused.err
    assert run(project, path, "--kernel", "python3").rc == 0


def test_the_kernel_is_spoken_to_over_sockets_that_only_its_owner_can_open(
    project: ProjectFolder, tmp_path: Path
) -> None:
    """All five channels are Unix sockets in a private folder; a TCP port would be open to the whole machine."""
    marker = tmp_path / "started"
    path = committed(project, "private.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    try:
        [kernel] = psutil.Process(process.pid).children()
        file = Path(kernel.cmdline()[kernel.cmdline().index("-f") + 1])
        connection = json.loads(file.read_text())
        bound = {str(socket.laddr) for socket in kernel.net_connections("unix") if socket.laddr}
        channels = {f"{connection['ip']}-{connection[f'{name}_port']}" for name in CHANNELS}
        assert connection["transport"] == "ipc"
        assert channels <= bound
        assert {Path(channel).parent for channel in channels} == {file.parent}
        assert file.parent.stat().st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert not file.parent.exists()


def test_killed_before_the_notebook_started_an_execution(project: ProjectFolder, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    path = committed(project, "sooner.ipynb", BEFORE, sleeping(marker), START)
    process = start_and_wait(project, path, marker)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert "closed as Aborted" in project.run("deriva-ml-catalog", "list", check=True).err
    record = latest(project)
    assert record["status"] == "Aborted"
    assert "computed before" in contents(record)["sooner.md"].decode()


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
