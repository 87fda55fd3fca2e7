"""Wherever a run, its kernel, a model or a recovery is killed: one closed execution, whole files, nothing lost or doubled.

A few moments of each are tried, and every one with `make sweeps`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import ProjectFolder
from notebook_runs.runs import BEFORE, STAGED, committed
from notebooks import COMMIT, START
from production.site import TINY
from sweeps.killed import Records, Told, armed, moments, sweep, was_killed

NOTEBOOK, KERNEL = "deriva-ml-run-notebook", "deriva_ml.notebook.kernel"
MODEL, CATALOG = "deriva-ml-run", "deriva-ml-catalog"
STATE = (".deriva-ml", "outputs")
ENDED = {"Uploaded", "Failed", "Aborted"}
SETTINGS = """from hydra_zen import builds, store
from models.tiny import tiny
store(builds(tiny, populate_full_signature=True, zen_partial=True), group="model_config", name="tiny")
"""


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    made = copy_to(tmp_path_factory.mktemp("killed") / "my project")
    (made / "src/models/tiny.py").write_text(TINY)
    (made / "src/configs/tiny.py").write_text(SETTINGS)
    committed(made, "swept.ipynb", START, BEFORE, STAGED, COMMIT, "print('last')")
    return made


class Trial:
    """A command that is killed in a project, and what has to be true afterwards.

    Attributes:
        done: what the processes of each role do undisturbed, moment by moment.
        whole: the files that the command records then.
    """

    def __init__(self, project: ProjectFolder, folder: Path, *command: str, roles: Sequence[str]) -> None:
        self.project, self.folder, self.command = project, folder, command
        self.records = Records(project)
        counting = [self.asked(role) for role in roles]
        project.run(
            *command, check=True
        )  # the first run in a project does more, and would count moments too many
        before = self.records.executions()
        project.run(*command, env=armed(project.env, *counting), check=True)
        self.done = {role: moments(self.log(role)) for role in roles}
        [made] = self.records.executions().keys() - before.keys()
        self.whole = set(self.records.outputs(made))

    def log(self, role: str) -> Path:
        return self.folder / role

    def asked(self, role: str, at: int = 0, **more: str) -> dict[str, Any]:
        return {"role": role, "root": str(self.project.path), "log": str(self.log(role)), "at": at, **more}

    def kill(self, role: str, at: int, also: str = "") -> str | None:
        """Run the command and kill it; what is wrong then. See ``sweep``."""
        before = self.records.executions()
        outcome = self.project.run(
            *self.command, env=armed(self.project.env, self.asked(role, at, also=also))
        )
        done = moments(self.log(role))
        if len(done) < at:  # threads do not take the same turns each time
            return None
        alive = not also and role == KERNEL  # its runner says what happened
        ended = "" if was_killed(outcome) != alive else f"ended with {outcome.rc}: {outcome.text}"
        wrong = f"{ended} {self.wrong(before)}".strip()
        return wrong and f"{done[-1]}: {wrong}"

    def wrong(self, before: dict[str, str]) -> str:
        """What is not as promised, once the next command has run; empty if all is."""
        state = self.records.state
        # What a person's code was writing is recorded as far as it came.
        written = {path.name: path.read_bytes() for path in state.glob("executions/*/assets/**/kept.txt")}
        # Before the notebook is saved for the first time, no cell has run, and there is nothing to record.
        begun = [*state.glob("runs/*/executed/*.ipynb"), *(self.records.executions().keys() - before.keys())]
        try:
            self.list()
            new = {rid: status for rid, status in self.records.executions().items() if rid not in before}
            assert len(new) == bool(begun), f"executions: {new}"
            for rid, status in new.items():
                self.check(rid, status, written)
            self.records.age_unborn()
            again = self.list()
            assert again == "", again
            assert self.records.left() == []
            assert {**before, **new} == self.records.executions(), "a second recovery changed something"
        except (AssertionError, pytest.fail.Exception) as error:
            return str(error)
        return ""

    def check(self, rid: str, status: str, written: dict[str, bytes]) -> None:
        assert status in ENDED, status
        found = self.records.outputs(rid)
        # A kernel that outlives its runner may say so in its log.
        possible = self.whole if status == "Uploaded" else self.whole | {"kernel.log"}
        begun = {name for name, content in written.items() if content}
        assert begun <= set(found) <= possible, f"{status}: {sorted(found)}"
        if status == "Uploaded":
            assert set(found) == self.whole, sorted(found)
        if "kept.txt" in found:
            assert found["kept.txt"] == written.get("kept.txt", b"kept")
            assert b"kept".startswith(found["kept.txt"])
        for name, content in found.items():
            if name.endswith(".md"):
                assert (b"did not complete" in content) == (status != "Uploaded"), f"{status}, and {name}"
        for path in (self.project / "outputs" / rid).glob("*"):
            assert path.name in found, f"{status}: outputs has {path.name}"
            assert path.read_bytes() == found[path.name], f"outputs has another {path.name}"

    def list(self) -> str:
        """Run a command that recovers; what it said that it did."""
        return self.project.run("deriva-ml-catalog", "list", "--json", check=True).err


@pytest.fixture(scope="module")
def notebook(project: ProjectFolder, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("moments")
    return Trial(project, folder, NOTEBOOK, "notebooks/swept.ipynb", roles=[NOTEBOOK, KERNEL])


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("role", "also", "sample"),
    [(NOTEBOOK, "", 2), (KERNEL, "", 1), (NOTEBOOK, "children", 1), (KERNEL, "parent", 1)],
    ids=["the runner", "the kernel", "the runner and its kernel", "the kernel and its runner"],
)
def test_a_notebook_run_that_is_killed(
    notebook: Trial, told: Told, role: str, also: str, sample: int
) -> None:
    def kill(at: int) -> str | None:
        return notebook.kill(role, at, also)

    assert sweep(kill, len(notebook.done[role]), sample, told) == {}


@pytest.mark.timeout(3600)
def test_a_model_run_that_is_killed(project: ProjectFolder, tmp_path: Path, told: Told) -> None:
    trial = Trial(project, tmp_path, MODEL, "model_config=tiny", roles=[MODEL])
    assert sweep(lambda at: trial.kill(MODEL, at), len(trial.done[MODEL]), 1, told) == {}


@pytest.mark.timeout(3600)
def test_a_recovery_that_is_killed(notebook: Trial, tmp_path: Path, told: Told) -> None:
    """The next one goes on with it."""
    project, list_them = notebook.project, (CATALOG, "list", "--json")
    before = notebook.records.executions()
    killed = armed(project.env, notebook.asked(NOTEBOOK, 1, also="children", part=r"\.md"))
    assert was_killed(project.run(*notebook.command, env=killed))
    moments(notebook.log(NOTEBOOK))
    for name in STATE:
        shutil.copytree(project / name, tmp_path / name, symlinks=True)

    def recover(at: int) -> bool:
        """Recover, from the same beginning; whether it was killed."""
        for name in STATE:
            shutil.rmtree(project / name)
            shutil.copytree(tmp_path / name, project / name, symlinks=True)
        return was_killed(project.run(*list_them, env=armed(project.env, notebook.asked(CATALOG, at))))

    def kill(at: int) -> str | None:
        killed, done = recover(at), moments(notebook.log(CATALOG))
        if len(done) < at:
            return None
        wrong = notebook.wrong(before)
        return wrong and f"{done[-1]}: {wrong}" if killed else "was not killed"

    recover(0)
    assert sweep(kill, len(moments(notebook.log(CATALOG))), 2, told) == {}
