"""What ran is what is recorded, whichever program runs the notebook: JupyterLab, papermill, nbconvert and others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ProjectFolder
from notebooks import write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PARAMETERS = "width: int = 3"
CELLS = [
    "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook('mine')",
    "area = width * width\n%time area",
    "execution.asset_file_path('Execution_Asset', 'area.txt').write_text(str(area))",
    "execution.commit_output_assets()",
    "print('after the commit')",
]
NOTEBOOK = "notebooks/mine.ipynb"
COMMITTED = [PARAMETERS, *CELLS[:4]]


@pytest.fixture(scope="module")
def shared(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project with a committed notebook that computes an area and commits it; and one that is killed."""
    project = copy_to(tmp_path_factory.mktemp("interactive") / "my-project")
    write_notebook(project / NOTEBOOK, CELLS, PARAMETERS)
    killed = [CELLS[0], "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", CELLS[3]]
    write_notebook(project / "notebooks" / "killed.ipynb", killed, PARAMETERS)
    config = 'from deriva_ml.execution import notebook_config\n\nnotebook_config("mine", defaults={})\n'
    (project / "src" / "configs" / "mine.py").write_text(config)
    project.git("add", "--all")
    project.git("commit", "--quiet", "-m", "Measure areas")
    return project


@pytest.fixture
def project(shared: ProjectFolder) -> Iterator[ProjectFolder]:
    """The same for each test, as it is committed."""
    yield shared
    shared.git("reset", "--quiet", "--hard")
    shared.git("clean", "--quiet", "--force", "-d")


class Record:
    """The latest execution, as the commands show it."""

    def __init__(self, project: ProjectFolder) -> None:
        [listed] = project.looked_up("list", "-n", "1")
        shown = project.run("deriva-ml-catalog", "show", listed["rid"], "--json", check=True)
        self.listed: dict[str, Any] = listed
        self.facts: dict[str, Any] = json.loads(shown.out)
        self.said = shown.err
        self.files = {row["file"]: Path(row["content"]).read_text() for row in self.facts["outputs"]}
        self.provenance: dict[str, Any] = json.loads(self.files["configuration.json"])["provenance"]

    @property
    def sources(self) -> list[str]:
        """The cells of the notebook of executed sources."""
        cells = json.loads(self.files["executed-sources.ipynb"])["cells"]
        return [cell["source"] for cell in cells if cell["cell_type"] == "code"]


def is_complete(record: Record, started_by: str, project: ProjectFolder) -> None:
    """It names the program and the commit, and has what every record has."""
    assert record.listed["started_by"] == record.facts["started by"] == started_by
    assert record.provenance["commit"] == project.git("rev-parse", "HEAD")
    assert {"environment.json", "uv.lock", "hydra-config.yaml"} <= record.files.keys()


@pytest.mark.parametrize(
    ("command", "program", "folder"),
    [
        (["papermill", NOTEBOOK, "out.ipynb"], "papermill", "."),
        (["python", "-m", "papermill", "mine.ipynb", "/dev/null"], "papermill", "notebooks"),
        (["papermill", NOTEBOOK, "out.ipynb", "--cwd", "notebooks"], "papermill", "."),
        (
            ["jupyter", "nbconvert", "--execute", "--to", "notebook", "--output", "out", NOTEBOOK],
            "nbconvert",
            ".",
        ),
        (["jupyter-nbconvert", "--to=html", "--stdout", "mine.ipynb", "--execute"], "nbconvert", "notebooks"),
    ],
)
def test_a_program_that_executes_the_committed_notebook_leaves_a_clean_record(
    project: ProjectFolder, command: list[str], program: str, folder: str
) -> None:
    done = project.run(*command, cwd=project / folder, env={"PWD": str(project / folder)})
    assert done.rc == 0, done.err
    record = Record(project)
    is_complete(record, program, project)
    assert record.files["area.txt"] == "9" and record.sources == COMMITTED
    assert (record.facts["dirty"], record.facts["differs"]) == (False, [])
    assert record.facts["code"].endswith(NOTEBOOK)


def test_what_papermill_injects_is_parameters_and_no_difference(project: ProjectFolder) -> None:
    done = project.run("papermill", NOTEBOOK, "out.ipynb", "-p", "width", "16")
    assert done.rc == 0, done.err
    record = Record(project)
    is_complete(record, "papermill", project)
    assert record.files["area.txt"] == "256"
    assert record.sources == [PARAMETERS, "# Parameters\nwidth = 16", *CELLS[:4]]
    assert (record.facts["dirty"], record.facts["differs"]) == (False, [])
    assert "what ran is not what is committed" not in done.err


def test_what_papermill_injects_beyond_the_parameters_cell_is_a_difference(project: ProjectFolder) -> None:
    done = project.run("papermill", NOTEBOOK, "out.ipynb", "-p", "area", "16")
    assert done.rc == 0, done.err
    record = Record(project)
    assert record.facts["dirty"] and "in no committed cell" in record.facts["differs"][0]
    assert "what ran is not what is committed" in (project / "out.ipynb").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["jupyter", "nbconvert", "--execute", "--to", "html", "--stdout", NOTEBOOK, "notebooks/two.ipynb"],
        ["papermill", "-", "out.ipynb"],
        ["python", "-c", f"import papermill; papermill.execute_notebook('{NOTEBOOK}', 'out.ipynb')"],
    ],
)
def test_a_notebook_that_cannot_be_told_is_not_guessed(project: ProjectFolder, command: list[str]) -> None:
    write_notebook(project / "notebooks" / "two.ipynb", ["x = 1"])
    stdin = (project / NOTEBOOK).read_text() if "-" in command else None
    done = project.run(*command, stdin=stdin)
    assert done.rc == 0, done.err
    record = Record(project)
    assert record.provenance["path"] == record.provenance["checksum"] == "not known"
    assert record.facts["dirty"] and any("is not known" in line for line in record.facts["differs"])
    assert not record.facts["code"].endswith(".ipynb") and record.provenance["commit"] in record.facts["code"]
    assert record.sources == COMMITTED


def test_a_notebook_that_a_notebook_runs_is_not_taken_for_it(project: ProjectFolder) -> None:
    """A kernel's variables come to the kernels that its own code starts."""
    code = f"import papermill; papermill.execute_notebook('{NOTEBOOK}', 'out.ipynb')"
    outer = {"JPY_SESSION_NAME": str(project / "notebooks" / "my-notebook.ipynb")}
    done = project.run("python", "-c", code, env=outer)
    assert done.rc == 0, done.err
    assert Record(project).provenance["path"] == "not known"


def test_a_kernel_that_is_killed_loses_nothing_that_it_ran(project: ProjectFolder) -> None:
    done = project.run("papermill", "notebooks/killed.ipynb", "out.ipynb", "-p", "width", "4")
    assert done.rc != 0
    record = Record(project)
    assert record.listed["status"] == "Aborted"
    is_complete(record, "papermill", project)
    assert record.sources[-1].endswith("os.kill(os.getpid(), signal.SIGKILL)")
    assert not record.facts["dirty"]


def test_vs_code_names_the_notebook_in_the_namespace(project: ProjectFolder) -> None:
    """What its kernels get before the first cell, silently; then cells with its own between them."""
    code = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.kernel = None
sys.modules["__main__"] = shell.user_module
shell.run_cell("__vsc_ipynb_file__ = {str(project / NOTEBOOK)!r}", silent=True)
for cell in {["width: int = 30", *CELLS]!r}:
    shell.run_cell(cell, store_history=True)
    shell.run_cell("del_me = 1", store_history=False)
"""
    done = project.run("python", "-c", code)
    assert done.rc == 0, done.err
    record = Record(project)
    is_complete(record, "VS Code", project)
    assert record.sources == ["width: int = 30", *CELLS[:4]] and record.facts["code"].endswith(NOTEBOOK)
    assert (
        record.facts["dirty"]
        and "`width: int = 30` instead of `width: int = 3`" in record.facts["differs"][0]
    )


def test_a_script_and_the_commands_say_that_they_started_it(project: ProjectFolder) -> None:
    script = project / "measure.py"
    script.write_text(
        "from deriva_ml import DerivaML\nfrom deriva_ml.execution import ExecutionConfiguration\nml = DerivaML()\n"
        "workflow = ml.create_workflow('Measure', 'Training')\n"
        "with ml.create_execution(ExecutionConfiguration(), workflow).execute() as execution:\n"
        "    execution.asset_file_path('Execution_Asset', 'area.txt').write_text('1')\n"
        "execution.commit_output_assets()\n"
    )
    done = project.run("python", "measure.py")
    assert done.rc == 0, done.err
    record = Record(project)
    assert record.listed["started_by"] == "script" and record.facts["code"].endswith("measure.py")
    assert {"environment.json", "uv.lock"} <= record.files.keys()
    assert "executed-sources.ipynb" not in record.files
    script.unlink()

    done = project.run("deriva-ml-run-notebook", NOTEBOOK)
    assert done.rc == 0, done.err
    record = Record(project)
    assert record.listed["started_by"] == "deriva-ml-run-notebook" and not record.facts["dirty"]
    assert "executed-sources.ipynb" not in record.files and record.provenance["differences"] == []

    done = project.run("deriva-ml-run", "model_config=my_model")
    assert done.rc == 0, done.err
    assert Record(project).listed["started_by"] == "deriva-ml-run"
    table = project.run("deriva-ml-catalog", "list", check=True).out
    assert "started by" in table.splitlines()[0] and "  command  " in table and "  script  " in table


def test_a_run_by_the_command_loads_nothing_of_it(project: ProjectFolder) -> None:
    cell = "import sys\nprint('loaded', sorted(name for name in sys.modules if 'deriva_ml.' in name))"
    write_notebook(project / "notebooks" / "loads.ipynb", [*CELLS[:4], cell], PARAMETERS)
    project.git("add", "--all")
    project.git("commit", "--quiet", "-m", "See what is loaded")
    done = project.run("deriva-ml-run-notebook", "notebooks/loads.ipynb")
    assert done.rc == 0, done.err
    rid = project.looked_up("list", "-n", "1")[0]["rid"]
    loaded = (project / "outputs" / rid / "loads.md").read_text()
    assert "deriva_ml.execution.execution" in loaded
    for name in ("executed", "executed_sources", "started", "own_start"):
        assert f".{name}'" not in loaded


# --------------------------------------------------------------------------------------------------- JupyterLab
@contextmanager
def jupyterlab(project: ProjectFolder, folder: Path) -> Iterator[str]:
    """A running JupyterLab; its address, with the token."""
    runtime = folder / "runtime"
    own = {
        "JUPYTER_RUNTIME_DIR": runtime,
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += [
        "--ip=127.0.0.1",
        "--port=0",
        "--IdentityProvider.token=secret",
        "--ServerApp.open_browser=False",
    ]
    process = project.popen(
        *command, env={name: str(path) for name, path in own.items()}, stdout=subprocess.DEVNULL, stderr=None
    )
    try:
        for _ in range(600):
            if found := list(runtime.glob("jpserver-*.json")):
                break
            assert process.poll() is None, "JupyterLab did not start"
            time.sleep(0.1)
        yield json.loads(found[0].read_text())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_in_jupyterlab_a_parameter_that_was_changed_and_not_saved_is_what_the_record_says(
    project: ProjectFolder, tmp_path: Path, chromium: Browser
) -> None:
    before = (project / NOTEBOOK).read_text()
    with jupyterlab(project, tmp_path) as address:
        page = chromium.new_page()
        page.goto(f"{address}lab/tree/{NOTEBOOK}?token=secret&reset")
        page.locator(".jp-CodeCell .cm-content").first.click(timeout=120_000)
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text("width: int = 40")
        page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.get_by_text("after the commit", exact=True).wait_for(timeout=120_000)
        shown = page.locator(".jp-OutputArea").all_inner_texts()
    assert (project / NOTEBOOK).read_text() == before
    record = Record(project)
    is_complete(record, "JupyterLab", project)
    line = "cell 1 has another text than is committed: `width: int = 40` instead of `width: int = 3`"
    assert record.files["area.txt"] == "1600" and record.sources == ["width: int = 40", *CELLS[:4]]
    assert (record.facts["dirty"], record.facts["differs"]) == (True, [line])
    assert any(f"warning: what ran is not what is committed: {line}" in text for text in shown)
    assert any("<AssetFilePath Execution_Asset area.txt" in text for text in shown)
    assert record.facts["code"].endswith(NOTEBOOK)
