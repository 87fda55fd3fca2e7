"""Which kernel executes a notebook, with which variables, and how it is spoken to."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from conftest import ProjectFolder
from notebook_runs.runs import (
    BEFORE,
    STAGED,
    committed,
    contents,
    kernel_of,
    latest,
    run,
    sleeping,
    start_and_wait,
)
from notebooks import COMMIT, START, beside_findings, outputs_text

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def test_the_terminal_shows_no_stray_warnings_of_the_kernel(project: ProjectFolder) -> None:
    path = committed(project, "quiet.ipynb", START, BEFORE, COMMIT)
    done = run(project, path)
    assert done.rc == 0
    assert beside_findings(done.err) == ""


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


def test_a_named_kernel_has_the_variables_that_its_specification_sets(
    project: ProjectFolder, tmp_path: Path
) -> None:
    """Those that name others too; they are recorded, and do not hide the runner from its kernel."""
    folder = tmp_path / "kernels" / "with-variables"
    folder.mkdir(parents=True)
    specification = {
        "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "With variables",
        "language": "python",
        "env": {
            "GREETING": "hello ${PERSON}, $NOBODY",
            "OMP_NUM_THREADS": "3",
            "DERIVA_ML_RUN": "/nowhere",
            "JPY_PARENT_PID": "1",
        },
    }
    (folder / "kernel.json").write_text(json.dumps(specification))
    shown = "import os\nprint(os.environ['GREETING'], os.environ['OMP_NUM_THREADS'])"
    path = committed(project, "with-variables.ipynb", START, shown, COMMIT)
    around = {"JUPYTER_PATH": str(tmp_path), "PERSON": "Ada", "OMP_NUM_THREADS": "1"}
    done = project.run("deriva-ml-run-notebook", path, "--kernel", "with-variables", env=around)
    assert done.rc == 0, done.err
    record = latest(project)
    assert record["status"] == "Uploaded"
    kept = contents(record)
    assert "hello Ada, $NOBODY 3" in kept["with-variables.md"].decode()
    assert json.loads(kept["environment.json"])["environment"]["OMP_NUM_THREADS"] == "3"
    assert kept["configuration.json"], "the notebook's own execution, which the runner found"


def test_the_kernel_is_spoken_to_over_sockets_that_only_its_owner_can_open(
    project: ProjectFolder, tmp_path: Path
) -> None:
    """All five channels are Unix sockets in a private folder; a TCP port would be open to the whole machine."""
    marker = tmp_path / "started"
    path = committed(project, "private.ipynb", START, BEFORE, STAGED, sleeping(marker))
    process = start_and_wait(project, path, marker)
    try:
        kernel, file = kernel_of(process)
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
