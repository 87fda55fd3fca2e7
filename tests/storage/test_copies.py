"""A project's folder may be copied, backed up and brought back, and clones may share records: nothing is mixed up or lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conftest import ROOT, SOURCE
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Member, Status, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.recovery import recover
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.storage import collect
from deriva_ml.storage.plan import Limits, plan
from deriva_ml.storage.verify import verify
from git_repository import Repository

WORKFLOW = {"url": "u", "checksum": "c"}


def record(project: Project, text: str) -> None:
    """Record a run with a file, and a dataset of another one that gets a second version."""
    with closing(EmbeddedCatalog(project)) as catalog:
        rid = catalog.add_execution(Workflow("W", "Training", **WORKFLOW), text, Owner("elsewhere", 1, 0.0))
        staged = catalog.stage(rid, "Execution_Asset", "x.txt", catalog.folder_of(rid) / "assets")
        staged.path.write_text(text)
        catalog.commit(rid)
        catalog.update_execution(rid, Status.uploaded)
        source = project.root / "data.csv"
        source.write_text(text)
        file = catalog.add_file(source)
        dataset = catalog.add_dataset(text, [Member("data.csv", file.rid)], execution=rid)
        source.write_text(f"{text}, corrected")
        catalog.change_dataset(dataset, [Member("data.csv", catalog.add_file(source).rid)])


def things(project: Project) -> dict[RID, str]:
    """Every record by its RID: its table and what it is, without what changes."""
    with closing(EmbeddedCatalog(project)) as catalog:
        found: dict[RID, str] = {}
        for table in catalog.database.get_all("sqlite_master", "name", type="table"):
            for row in catalog.database.select(table):
                if "RID" in row.keys():
                    assert row["RID"] not in found
                    found[row["RID"]] = f"{table} {row['RCT']}"
        return found


def copied(project: Project, target: Path) -> Project:
    """As `cp -r` does it."""
    shutil.copytree(project.root, target, symlinks=True)
    return Project(target)


def restored(project: Project, target: Path) -> Project:
    """A backup of the records alone, brought back into a clone."""
    target.mkdir()
    shutil.copy(project.root / "pyproject.toml", target)
    shutil.copytree(project.state, target / "saved")
    (target / "saved").rename(target / ".deriva-ml")
    return Project(target)


@pytest.mark.parametrize("copy", [copied, restored])
def test_two_copies_never_give_one_rid_to_two_things(
    project: Project, tmp_path: Path, copy: Callable[[Project, Path], Project]
) -> None:
    """Whatever each records after the copy was made; what both had before is the same in both."""
    record(project, "before")
    other = copy(project, tmp_path / "copy")
    before = things(project)
    assert things(other) == before
    for number in range(15):
        record(project, f"here {number % 10}")
        record(other, f"there {number % 10}")
    here, there = things(project), things(other)
    assert {rid: here[rid] for rid in here.keys() & there.keys()} == before
    assert len(here) == len(there) > len(before) + 100
    for one in (project, other):
        with closing(EmbeddedCatalog(one)) as catalog:
            assert verify(catalog).problems == []


def test_a_copy_made_while_a_run_is_open_has_it_as_ended(project: Project, tmp_path: Path) -> None:
    """The process is that of the run it was copied from, which goes on."""
    with closing(EmbeddedCatalog(project)) as catalog:
        rid = catalog.add_execution(Workflow("W", "T", **WORKFLOW), "", Owner.here(project.state))
        catalog.update_execution(rid, Status.running)
        other = copied(project, tmp_path / "copy")
        with closing(EmbeddedCatalog(other)) as there:
            assert recover(there, other) == ([rid] if sys.platform == "linux" else [])
            assert there.lookup_execution(rid).status is Status.aborted
        assert catalog.lookup_execution(rid).status is Status.running
        assert recover(catalog, project) == []


# -------------------------------------------------------------------------------------------------- a backup of a live one
WRITER = """
    import sys, time
    from pathlib import Path
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import Workflow
    from deriva_ml.process import Owner
    from deriva_ml.project import Project

    root = Path(sys.argv[1])
    catalog, number = EmbeddedCatalog(Project(root)), 0
    while not (root / "stop").exists():
        rid = catalog.add_execution(Workflow("W", "T", url="u", checksum="c"), "", Owner.of())
        for copy in range(3):
            item = catalog.stage(rid, "Execution_Asset", f"{copy}.txt", catalog.folder_of(rid))
            item.path.write_text(f"text {number} {copy}")
        catalog.commit(rid)
        number += 1
        (root / "count").write_text(str(number))
    """


def commands() -> list[str]:
    """What the page says to type for a backup."""
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```bash\n(mkdir -p ../backup.*?)```", page, re.MULTILINE | re.DOTALL)
    return [line for line in block.splitlines() if "deriva-ml-catalog" not in line]


@pytest.mark.skipif(not shutil.which("bash"), reason="the page's commands are bash's")
def test_a_backup_of_a_live_project_is_whole(project: Project, tmp_path: Path) -> None:
    """As the page says to make it: rows first, then contents, while a run records without pause."""
    EmbeddedCatalog(project).close()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(project.root)], env=environment
    )
    try:
        deadline = time.monotonic() + 60
        while not (project.root / "count").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        first = int((project.root / "count").read_text())
        script = "\n".join(commands()).replace("../backup", str(tmp_path / "backup"))
        script = script.replace("uv run python", sys.executable)
        assert script.count(str(tmp_path / "backup")) >= 3
        subprocess.run(["bash", "-ec", script], cwd=project.root, check=True)
    finally:
        (project.root / "stop").touch()
    assert writer.wait(timeout=60) == 0
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "pyproject.toml").touch()
    (tmp_path / "backup" / "deriva-ml").rename(tmp_path / "new" / ".deriva-ml")
    with closing(EmbeddedCatalog(Project(tmp_path / "new"))) as catalog:
        verdict = verify(catalog)
        assert verdict.problems == []
        assert 3 * first <= verdict.contents <= 3 * int((project.root / "count").read_text())


# ---------------------------------------------------------------------------------------------------- clones that share
@pytest.fixture
def clones(project: Project, tmp_path: Path) -> tuple[Project, Project]:
    """Two clones of one repository, whose setting leads to one folder; the page's line lets the second one in."""
    repository = Repository.create(project.root)
    (project.root / "pyproject.toml").write_text(f'[tool.deriva-ml]\nstate = "{tmp_path / "records"}"\n')
    repository.commit()
    repository.git("clone", "--quiet", str(project.root), str(tmp_path / "clone"))
    first, second = Project(project.root), Project(tmp_path / "clone")
    EmbeddedCatalog(first).close()
    with pytest.raises(DerivaMLRequestError, match="to use it from here too, add the line") as refused:
        EmbeddedCatalog(second)
    line, path = str(refused.value).partition("add the line ")[2].split(" to ")
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
    return Project(first.root), Project(second.root)


def test_two_clones_may_share_one_catalog(clones: tuple[Project, Project]) -> None:
    """Each sees what the other recorded, and goes on doing so."""
    for number in range(3):
        for clone in clones:
            record(Project(clone.root), f"of {clone.root.name} {number}")
    assert things(clones[0]) == things(clones[1])
    with closing(EmbeddedCatalog(clones[1])) as catalog:
        assert len(catalog.select_executions(Criteria())) == 6
        assert verify(catalog).problems == []


def test_a_clone_leaves_what_the_other_has_under_way(clones: tuple[Project, Project]) -> None:
    """It neither closes nor removes a run of the other one, nor what that has just taken in."""
    first, second = clones
    with closing(EmbeddedCatalog(first)) as here, closing(EmbeddedCatalog(second)) as there:
        rid = here.add_execution(Workflow("W", "T", **WORKFLOW), "", Owner.here(first.state))
        staged = here.stage(rid, "Execution_Asset", "x.txt", here.folder_of(rid) / "assets")
        staged.path.write_text("text")
        here.objects.add(staged.path)
        assert recover(there, second) == []
        assert plan(there, Limits(keep_last=0)).remove == []
        assert collect.remove_contents(there) == (0, 0)
        here.commit(rid)
        assert verify(there).problems == []


def test_a_project_that_is_moved_keeps_its_clones(clones: tuple[Project, Project], tmp_path: Path) -> None:
    first, second = clones
    record(first, "before")
    first.root.rename(tmp_path / "moved")
    record(Project(tmp_path / "moved"), "after")
    record(Project(second.root), "there")
    assert things(Project(tmp_path / "moved")) == things(Project(second.root))
