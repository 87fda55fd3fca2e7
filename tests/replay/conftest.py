"""A project whose executions are recorded, and then replayed."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import Outcome, ProjectFolder
from notebooks import write_notebook

STATUS = {"identical": 0, "equivalent": 0, "different": 1, "could not run": 3}
"""The exit status that each verdict has."""

CONFIG = """
from hydra_zen import builds, store

from deriva_ml.asset import LocalFileConfig
from deriva_ml.dataset import DatasetSpecConfig
from deriva_ml.execution import notebook_config
from models.lab import lab

notebook_config("lab", defaults={})
store(builds(lab, populate_full_signature=True, zen_partial=True), group="model_config", name="lab")
store([DatasetSpecConfig(name="drawings")], group="datasets", name="drawings")
store([LocalFileConfig("data/table.csv")], group="assets", name="mine")
"""
MODEL = """
import time
from pathlib import Path

VALUE = 1


def lab(place: str = "", text: str = "x", ml_instance=None, execution=None) -> None:
    path = execution.asset_file_path("Execution_Asset", "text.txt")
    path.write_text(f"{text} {VALUE}")
    if place:
        folder = Path(place)
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
        if (folder / "wrong").exists():
            raise ValueError((folder / "wrong").read_text())
"""
"""Writes a file; given a folder, waits there until it may go on, and fails with what it finds there."""

START = "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook('lab')"
END = "execution.commit_output_assets()"
WRITE = "def write(name, text):\n    execution.asset_file_path('Execution_Asset', name).write_text(str(text))"


class Lab:
    """A project to record executions in, and to replay them; every replay is seen to leave nothing behind."""

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project

    def commit(self, message: str = "Change something") -> str:
        """Commit all that there is, and return the commit."""
        self.project.git("add", "--all")
        self.project.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.project.git("rev-parse", "HEAD")

    def notebook(self, name: str, cells: Sequence[str], parameters: str | None = None) -> str:
        """Commit a notebook of cells between those that start an execution and commit its outputs; return its path."""
        path = f"notebooks/{name}.ipynb"
        write_notebook(self.project / path, [START, WRITE, *cells, END], parameters)
        self.commit(f"Write {name}")
        return path

    def run(self, *command: str, status: int = 0, **options: Any) -> list[str]:
        """Run one of the project's commands, and return the RIDs of the executions that it names."""
        done = self.project.run(*command, **options)
        assert done.rc == status, done.text
        return re.findall(r"^(?:Execution|Sweep) ([0-9A-Z-]+):", done.text, re.MULTILINE)

    def run_notebook(self, path: str, *words: str, status: int = 0, **options: Any) -> str:
        """Run a notebook, and return the RID of its execution."""
        [rid] = self.run("deriva-ml-run-notebook", path, *words, status=status, **options)
        return rid

    def run_model(self, *words: str, status: int = 0) -> str:
        """Run the lab's model, and return the RID of its execution."""
        [rid] = self.run("deriva-ml-run", "model_config=lab", *words, status=status)
        return rid

    def replay(self, rid: str, *words: str, here: bool = True, **options: Any) -> dict[str, Any]:
        """Replay an execution in the environment of the tests, or in its own, and return the report."""
        before = self.contents()
        done = self.replay_command(rid, "--json", *words, *(["--here"] if here else []), **options)
        report: dict[str, Any] = json.loads(done.out)
        assert done.rc == STATUS[report["verdict"]], done.text
        self.is_clean()
        if "--record" not in words:
            assert self.contents() == before
        return report

    def replay_command(self, *words: str, **options: Any) -> Outcome:
        """Run the command."""
        return self.project.run("deriva-ml-replay", *words, **options)

    def show(self, rid: str) -> dict[str, Any]:
        """Return what is shown of an execution."""
        return dict(self.project.looked_up("show", rid))

    def newest(self) -> str:
        """Return the RID of the execution that was recorded last."""
        [row] = self.project.looked_up("list", "-n", "1")
        return str(row["rid"])

    def is_clean(self) -> None:
        """See that no replay has left a working tree, nor anything in its folder."""
        left = [one for one in (self.project / ".deriva-ml" / "replaying").glob("*") if one.name != "lock"]
        assert left == []
        assert self.project.git("worktree", "list").count("\n") == 0
        assert self.project.git("stash", "list") == ""

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of the project's catalog, by table."""
        with closing(sqlite3.connect(self.project / ".deriva-ml" / "catalog.db")) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            return {
                name: database.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in tables
            }


def outputs(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a report says of each output, by its name."""
    return {one["name"]: one for one in report["outputs"]}


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    """Return the verdict on each output, by its name."""
    return {name: one["verdict"] for name, one in outputs(report).items()}


@pytest.fixture(scope="session")
def lab(copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project that the tests of replays share; each adds notebooks of its own."""
    project = copy_to(tmp_path_factory.mktemp("replay") / "my-project")
    (project / "src" / "configs" / "lab.py").write_text(CONFIG)
    (project / "src" / "models" / "lab.py").write_text(MODEL)
    with (project / ".gitignore").open("a") as ignored:
        ignored.write("data/\n")
    made = Lab(project)
    made.commit("Configure the lab")
    return made
