"""Records lie where they outlive a branch: in the main working tree, or where a project says, and in nobody else's."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conftest import SOURCE, ProjectFolder, on_environment_of
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.tables import VERSION
from deriva_ml.cli import bump_version, init
from deriva_ml.cli.catalog import main as catalog_command
from deriva_ml.definitions import Status, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.recovery import recover_project
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.git import changed_files, git, repository_root
from deriva_ml.process import Owner
from deriva_ml.project import Project
from git_repository import Repository, isolate_git

GONE = Owner("nobody's", 0, 0.0)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_git(monkeypatch, tmp_path)


def commit_project(repository: Repository, folder: str = "") -> None:
    for name in ("pyproject.toml", "notebooks/nb.ipynb"):
        repository.write(f"{folder}/{name}".lstrip("/"), "")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "A project")


@pytest.fixture
def main(tmp_path: Path) -> Repository:
    """A repository with a project at its top and one in a subfolder; nothing of its own is ignored in it."""
    made = Repository.create(tmp_path / "main")
    commit_project(made)
    commit_project(made, "studies/digits")
    return made


def record(project: Project, name: str = "Study") -> str:
    """Record an execution; returns its RID."""
    with closing(EmbeddedCatalog(project)) as catalog:
        rid = catalog.add_execution(Workflow(name, checksum="c"), "", Owner.here(project.state))
        catalog.update_execution(rid, Status.uploaded)
    return rid


def records(project: Project) -> set[str]:
    with closing(EmbeddedCatalog(project)) as catalog:
        return {one.rid for one in catalog.select_executions(Criteria())}


def refused(action: Callable[[], object]) -> str:
    """The one line with which it is refused."""
    with pytest.raises(DerivaMLRequestError) as raised:
        action()
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ------------------------------------------------------------------------------------------------------ working trees
def moved(tree: Path, main: Repository) -> Path:
    main.git("worktree", "move", str(tree), str(tree.with_name("elsewhere")))
    return tree.with_name("elsewhere")


def relative(tree: Path, main: Repository) -> Path:
    """As git writes the link with `worktree.useRelativePaths`."""
    file = tree / ".git"
    place = Path(file.read_text().removeprefix("gitdir: ").strip())
    file.write_text(f"gitdir: {os.path.relpath(place, tree)}\n")
    return tree


def linked(tree: Path, main: Repository) -> Path:
    tree.with_name("link").symlink_to(tree)
    return tree.with_name("link")


def test_a_working_tree_may_lie_at_a_path_that_is_not_unicode(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("there the names of files are Unicode")
    main = Repository.create(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    commit_project(main)
    main.git("worktree", "add", "--quiet", "../try")
    assert Project(tmp_path / "try").home == main.path


@pytest.mark.parametrize("folder", ["", "studies/digits"])
@pytest.mark.parametrize("change", [None, moved, relative, linked])
def test_a_linked_working_tree_uses_the_catalog_of_the_main_one_which_outlives_it(
    main: Repository, tmp_path: Path, folder: str, change: Callable[[Path, Repository], Path] | None
) -> None:
    tree = tmp_path / "trees" / "try"
    main.git("worktree", "add", "--quiet", str(tree))
    place = change(tree, main) if change else tree
    before = record(Project(main.path / folder))
    there = Project(place / folder)
    during = record(there)
    assert records(there) == {before, during}
    assert there.make_outputs() == place.resolve() / folder / "outputs"
    assert main.git("status", "--porcelain") == ""
    assert Repository(place).git("status", "--porcelain") == ""
    main.git("worktree", "remove", str(place.resolve()))
    assert records(Project(main.path / folder)) == {before, during}


def test_a_project_that_only_a_branch_has_is_kept_in_the_main_working_tree_too(
    main: Repository, tmp_path: Path
) -> None:
    main.git("worktree", "add", "--quiet", str(tmp_path / "try"))
    commit_project(Repository(tmp_path / "try"), "studies/letters")
    rid = record(Project(tmp_path / "try" / "studies/letters"))
    assert main.git("status", "--porcelain") == ""
    main.git("worktree", "remove", str(tmp_path / "try"))
    main.git("merge", "--quiet", "try")
    assert records(Project(main.path / "studies/letters")) == {rid}


def test_a_run_in_a_working_tree_is_in_the_list_when_the_tree_is_gone(
    synced: ProjectFolder, project_copy: Callable[..., ProjectFolder], tmp_path: Path
) -> None:
    project = project_copy()
    project.run("git", "worktree", "add", "--quiet", str(tmp_path / "try"), check=True)
    tree = ProjectFolder(tmp_path / "try", on_environment_of(synced, tmp_path / "try"))
    ran = tree.run("deriva-ml-run-notebook", "notebooks/my-notebook.ipynb")
    assert ran.rc == 0, ran.text
    rid = ran.out.split()[1].rstrip(":")
    assert (tree / "outputs" / rid).is_dir() and not (tree / ".deriva-ml").exists()
    project.run("git", "worktree", "remove", str(tree.path), check=True)
    shown = project.run("deriva-ml-catalog", "show", rid)
    assert shown.rc == 0 and "my-notebook.md" in shown.out, shown.text


def submodule(main: Repository, tmp_path: Path) -> Path:
    """The project in a submodule of another repository."""
    outer = Repository.create(tmp_path / "outer")
    outer.commit()
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(main.path), "sub")
    return outer.path / "sub"


def separate(main: Repository, tmp_path: Path) -> Path:
    main.git("init", "--quiet", "--separate-git-dir", str(tmp_path / "kept.git"))
    return main.path


def no_repository(main: Repository, tmp_path: Path) -> Path:
    shutil.rmtree(main.path / ".git")
    return main.path


def damaged_repository(main: Repository, tmp_path: Path) -> Path:
    """Git passes by a folder of its name that holds no repository."""
    (main.path / "studies/digits/.git").mkdir()
    return main.path / "studies/digits"


def in_work_tree_variables(main: Repository, tmp_path: Path) -> Path:
    (main.path / ".git").rename(tmp_path / "kept")
    os.environ.update(GIT_DIR=str(tmp_path / "kept"), GIT_WORK_TREE=str(main.path))
    return main.path


@pytest.mark.parametrize(
    "make", [submodule, separate, no_repository, damaged_repository, in_work_tree_variables]
)
def test_any_other_folder_has_its_own(
    main: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Repository, Path], Path],
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, "")  # so that they are taken back
        monkeypatch.delenv(name)
    place = make(main, tmp_path)
    project = Project(place)
    rid = record(project)
    assert project.database == place / ".deriva-ml" / "catalog.db" and records(project) == {rid}


def test_a_working_tree_of_a_submodule_uses_the_catalog_of_the_submodule(
    main: Repository, tmp_path: Path
) -> None:
    place = submodule(main, tmp_path)
    Repository(place).git("worktree", "add", "--quiet", str(tmp_path / "try"))
    assert Project(tmp_path / "try" / "studies/digits").home == place / "studies/digits"


@pytest.mark.parametrize("name", ["digits.git", "digits/.git", "digits/.bare"])
def test_the_working_trees_of_a_bare_repository_have_one_each_and_init_says_so(
    main: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:  # fmt: skip
    main.git("clone", "--quiet", "--bare", str(main.path), str(tmp_path / name))
    bare = Repository(tmp_path / name)
    found = []
    for branch in ("one", "two"):
        tree = tmp_path / branch
        bare.git("worktree", "add", "--quiet", "-b", branch, str(tree))
        found.append(record(Project(tree)))
        assert records(Project(tree)) == {found[-1]}
    said = embedded_catalog(tmp_path / "two", monkeypatch, capsys)
    assert said.startswith("already there (of this working tree alone") and "worktree remove" in said


def embedded_catalog(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What `deriva-ml-init` says of the catalog."""
    return said_by_init(folder, monkeypatch, capsys)["embedded catalog"]


def said_by_init(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, str]:
    for step in ("notebook_filter", "jupyter_kernel", "lock_file", "demo_content"):
        monkeypatch.setattr(init, step, lambda project: "made elsewhere")
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert init.main(arguments) == 0
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def test_init_says_which_catalog_a_linked_working_tree_uses(
    main: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main.git("worktree", "add", "--quiet", str(tmp_path / "try"))
    said = embedded_catalog(tmp_path / "try", monkeypatch, capsys)
    assert said == f"done (that of the main working tree, in {main.path / '.deriva-ml'})"


def test_a_working_tree_that_has_lost_its_repository_is_refused_by_every_command(
    main: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "try"
    main.git("worktree", "add", "--quiet", str(tree))
    main.path.rename(tmp_path / "new place")
    assert "git worktree repair" in refused(lambda: Project(tree).state)
    monkeypatch.chdir(tree)
    assert catalog_command(["list"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tree / ".deriva-ml").exists()
    Repository(tmp_path / "new place").git("worktree", "repair", str(tree))
    assert Project(tree).home == tmp_path / "new place"


def test_no_git_is_started_for_it(main: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main.git("worktree", "add", "--quiet", str(tmp_path / "try"))
    monkeypatch.setenv("PATH", "")
    assert record(Project(tmp_path / "try")) in records(Project(main.path))


def test_records_that_an_older_runner_made_in_a_linked_working_tree_are_not_passed_over(
    main: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.git("worktree", "add", "--quiet", str(tmp_path / "try"))
    own = tmp_path / "try" / ".deriva-ml"
    own.mkdir()
    (own / "catalog.db").touch()
    recover_project(Project(tmp_path / "try"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {own} has records that are not seen here")
    recover_project(Project(main.path))
    assert capsys.readouterr().err == ""


def test_a_run_that_was_killed_in_a_working_tree_is_recorded_when_that_has_been_removed(
    main: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main.git("worktree", "add", "--quiet", str(tmp_path / "try"))
    there, commit = Project(tmp_path / "try"), main.git("rev-parse", "HEAD")
    EmbeddedCatalog(there).close()
    provenance = {"path": "notebooks/nb.ipynb", "commit": commit, "url": "", "checksum": "c", "version": "0"}
    run = NotebookRun(
        there.new_folder(there.runs), there.root / "notebooks/nb.ipynb", GONE, GONE, provenance=provenance
    )
    run.save()
    run.executed.parent.mkdir()
    run.executed.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    main.git("worktree", "remove", str(there.root))
    monkeypatch.setattr(Owner, "is_gone", lambda self, state: self == GONE)
    recover_project(Project(main.path))
    [rid] = records(Project(main.path))
    assert f"recovered execution {rid}" in capsys.readouterr().err
    assert commit in main.git("for-each-ref", "refs/deriva-ml")


def test_git_asks_the_repository_of_the_folder_also_in_a_hook(
    main: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's hooks have a variable with which git would take whichever folder it is started in for the whole tree."""
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert repository_root(main.path / "notebooks") == main.path
    monkeypatch.setenv("GIT_DIR", str(main.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(main.path / "studies"))
    assert repository_root(main.path / "studies") == main.path / "studies", "the person's own word"


# ---------------------------------------------------------------------------------------------- folders in other places
def link(project: Project, folder: Path) -> None:
    (project.root / ".deriva-ml").symlink_to(folder)


def relative_link(project: Project, folder: Path) -> None:
    link(project, Path(os.path.relpath(folder, project.root)))


def setting(project: Project, folder: Path) -> None:
    (project.root / "pyproject.toml").write_text(f'[tool.deriva-ml]\nstate = "{folder}"\n')


def relative_setting(project: Project, folder: Path) -> None:
    place = os.path.relpath(folder, project.root)
    (project.root / "pyproject.toml").write_text(f"[tool]\nderiva-ml = {{ 'state' = '{place}' }}\n")


def setting_below_home(project: Project, folder: Path) -> None:
    os.environ["HOME"] = str(folder.parent)
    (project.root / "pyproject.toml").write_text(f"[tool]\nderiva-ml.state = '~/{folder.name}'\n")


PLACES = [link, relative_link, setting, relative_setting, setting_below_home]


@pytest.fixture
def project(main: Repository, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HOME", os.environ["HOME"])  # so that it is taken back
    return Project(main.path)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_records_may_lie_in_an_empty_folder_elsewhere(
    project: Project, tmp_path: Path, place: Callable[[Project, Path], None], there: bool
) -> None:
    folder = tmp_path / "disk"
    if there:
        folder.mkdir()
    place(project, folder)
    rid = record(project)
    assert (folder / "catalog.db").is_file() and records(Project(project.root)) == {rid}
    assert [name for name in changed_files(project.root) if name != "pyproject.toml"] == []
    tree = tmp_path / "try"
    git(project.root, "worktree", "add", "--quiet", str(tree))
    assert records(Project(tree)) == {rid}


def test_a_process_may_be_told_to_record_elsewhere(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It and what it starts; the folder is the project's from then on, and none but an absolute path will do."""
    apart = tmp_path / "apart"
    monkeypatch.setenv("DERIVA_ML_STATE", str(apart))
    record(project)
    assert (apart / "catalog.db").is_file() and not (project.root / ".deriva-ml").exists()
    (other := tmp_path / "other").mkdir()
    (other / "pyproject.toml").touch()
    with pytest.raises(DerivaMLRequestError, match="is that of the project in"):
        _ = Project(other).state
    monkeypatch.setenv("DERIVA_ML_STATE", "apart")
    with pytest.raises(DerivaMLRequestError, match="absolute path"):
        _ = Project(project.root).state


def test_records_may_be_moved_to_another_place_which_is_then_named(project: Project, tmp_path: Path) -> None:
    rid = record(project)
    setting(project, tmp_path / "disk")
    assert "move that folder there" in refused(lambda: Project(project.root).state)
    project.state.rename(tmp_path / "disk")
    assert records(Project(project.root)) == {rid}


def foreign(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").touch()


def hidden(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / ".profile").touch()


def of_another_project(folder: Path, tmp_path: Path) -> None:
    commit_project(Repository.create(tmp_path / "other"))
    link(Project(tmp_path / "other"), folder)
    record(Project(tmp_path / "other"))


def of_another_project_that_is_gone(folder: Path, tmp_path: Path) -> None:
    of_another_project(folder, tmp_path)
    shutil.rmtree(tmp_path / "other")


def of_a_copy(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "main", tmp_path / "other")
    link(Project(tmp_path / "other"), folder)
    record(Project(tmp_path / "other"))


def of_an_older_runner(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "catalog.db").touch()


def a_file(folder: Path, tmp_path: Path) -> None:
    folder.touch()


def nowhere(folder: Path, tmp_path: Path) -> None:
    folder.parent.rmdir()


def in_a_circle(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(folder)


@pytest.mark.parametrize("place", [link, relative_setting])
@pytest.mark.parametrize(
    "fill",
    [
        foreign,
        hidden,
        of_another_project,
        of_another_project_that_is_gone,
        of_a_copy,
        of_an_older_runner,
        a_file,
        nowhere,
        in_a_circle,
    ],
)
def test_a_folder_that_is_not_the_projects_is_refused_and_left_as_it_is(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fill: Callable[[Path, Path], None],
    place: Callable[[Project, Path], None],
) -> None:
    EmbeddedCatalog(project).close()  # it has an identity
    shutil.rmtree(project.state)
    (tmp_path / "disk").mkdir()
    folder = tmp_path / "disk" / "state"
    fill(folder, tmp_path)
    before = sorted(tmp_path.glob("disk/**/*"))
    place(project, folder)
    assert str(folder) in refused(lambda: Project(project.root).state)
    monkeypatch.chdir(project.root)
    capsys.readouterr()
    assert catalog_command(["list"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.glob("disk/**/*")) == before


def test_what_a_refusal_says_lets_the_folder_be_used(project: Project, tmp_path: Path) -> None:
    of_an_older_runner(tmp_path / "disk", tmp_path)
    link(project, tmp_path / "disk")
    line = refused(lambda: project.state)
    [text, path] = line.partition("add the line ")[2].split(" to ")
    with Path(path).open("a") as file:
        file.write(text + "\n")
    assert records(Project(project.root)) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("place", [link, setting])
def test_another_users_folder_is_refused(
    project: Project, tmp_path: Path, place: Callable[[Project, Path], None]
) -> None:
    (tmp_path / "disk").mkdir()
    os.chown(tmp_path / "disk", 4321, -1)
    place(project, tmp_path / "disk")
    assert "another user's" in refused(lambda: Project(project.root).state)


@pytest.mark.parametrize("place", [link, setting])
def test_a_project_that_is_moved_or_renamed_keeps_its_records(
    project: Project, tmp_path: Path, place: Callable[[Project, Path], None]
) -> None:
    place(project, tmp_path / "disk")
    rid = record(project)
    project.root.rename(tmp_path / "renamed")
    assert records(Project(tmp_path / "renamed")) == {rid}
    git(tmp_path / "renamed", "mv", "-k", "studies", "study")
    shutil.copytree(tmp_path / "renamed", tmp_path / "copy", symlinks=True)
    assert str(tmp_path / "renamed") in refused(lambda: Project(tmp_path / "copy").state)


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_project_that_is_moved_or_copied_with_its_records_finds_staged_files(
    project: Project, tmp_path: Path, move: Callable[[Path, Path], object]
) -> None:
    with closing(EmbeddedCatalog(project)) as catalog:
        rid = catalog.add_execution(Workflow("Study", checksum="c"), "", GONE, project.runs / "run")
        staged = catalog.stage(rid, "Execution_Asset", "a.txt", catalog.folder_of(rid) / "assets")
        staged.path.write_text("text")
    move(project.root, tmp_path / "new")
    project = Project(tmp_path / "new")
    with closing(EmbeddedCatalog(project)) as catalog:
        [item] = catalog.staged(rid)
        assert item.path.is_relative_to(project.state) and item.path.read_text() == "text"
        assert catalog.executions_of_run(project.runs / "run") == [rid]
        assert [folder for _, _, folder in catalog.open_executions()] == [project.runs / "run"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state = ['x']", "state of [tool.deriva-ml]"),
        ("state = true", "state of [tool.deriva-ml]"),
        ("state = ''", "not marked"),
        ("state = 'notebooks'", "not marked"),
        ("state = 'outputs'", "not marked"),
        ("state = '~nobody-of-this-name/x'", "no folder"),
        ("state = x", "cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(project: Project, text: str, said: str) -> None:
    project.make_outputs()
    (project.root / "pyproject.toml").write_text(f"[tool.deriva-ml]\n{text}\n")
    assert said in refused(lambda: Project(project.root).state)


@pytest.mark.parametrize("text", ["# state = 'x'", "stateful = 'x'", "[tool.other]\nstate = 'x'"])
def test_what_is_no_setting_changes_nothing(project: Project, text: str) -> None:
    (project.root / "pyproject.toml").write_text(f"[tool.deriva-ml]\n{text}\n")
    assert project.state == project.root / ".deriva-ml"


def test_settings_are_read_only_where_there_are_some(project: Project) -> None:
    """Reading TOML takes longer than all else that a command needs to find the records."""
    code = (
        "import sys; from pathlib import Path; from deriva_ml.project import Project;"
        f" Project(Path({str(project.root)!r})).state; sys.exit('tomllib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SOURCE).returncode == 0
    setting(project, project.root.parent / "disk")
    assert subprocess.run([sys.executable, "-c", code], cwd=SOURCE).returncode == 1


# ------------------------------------------------------------------------------------------------------------ outputs
def test_outputs_may_be_a_link_to_an_empty_folder_and_to_no_other(project: Project, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (project.root / "outputs").symlink_to(tmp_path / "disk")
    assert project.make_outputs() == tmp_path / "disk"
    assert project.outputs == tmp_path / "disk", "it is the project's now"
    assert changed_files(project.root) == []
    (project.root / "outputs").unlink()
    (project.root / "outputs").symlink_to(tmp_path)
    assert "not marked" in refused(lambda: EmbeddedCatalog(project)), "before anything runs"


@pytest.mark.parametrize("folder", ["", "studies/digits"])
def test_what_an_older_runner_made_is_no_change_either(main: Repository, folder: str) -> None:
    for name in (".deriva-ml/objects/a", "outputs/RID/nb.ipynb"):
        main.write(f"{folder}/{name}".lstrip("/"), "")
    main.write("outputs.py", "")
    main.write("other/outputs/model.py", "")
    assert changed_files(main.path) == ["other/outputs/model.py", "outputs.py"]


# --------------------------------------------------------------------------------------------------------- migrations
def test_paths_of_older_runners_are_understood_and_bringing_them_up_to_date_is_said(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.state.mkdir()
    written = Path(__file__).parent / "data" / "embedded" / "catalog-v4.db.gz"
    project.database.write_bytes(gzip.decompress(written.read_bytes()))
    with closing(EmbeddedCatalog(project)) as catalog:
        [(rid, _, folder)] = catalog.open_executions()
        assert folder == project.runs / "20260101-000000-abcd"
        assert catalog.executions_of_run(folder) == [rid]
        [staged] = catalog.staged(rid)
        assert staged.path == catalog.folder_of(rid) / "assets/Execution_Asset/1/table.csv"
    [line] = capsys.readouterr().err.splitlines()
    assert f"schema 4 to {VERSION}" in line and "catalog.db.v4" in line and "older runners" in line
    EmbeddedCatalog(project).close()
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------------------------ monorepo
def test_a_project_in_a_folder_of_a_repository_is_set_up_there(
    main: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest of the repository, and what is being prepared for its next commit, stays as it is."""
    for name in ("studies/letters/pyproject.toml", "studies/letters/src/configs/base.py", "README.md"):
        main.write(name, "")
    (main.path / "studies/letters/.deriva-ml").symlink_to(main.path.parent / "disk")
    main.git("add", "README.md")
    said = said_by_init(main.path / "studies/letters", monkeypatch, capsys)
    assert said["git repository"] == f"already there ({main.path}, of which this project is a folder)"
    assert said["first commit"].startswith("done (this folder only")
    assert main.git("show", "--name-only", "--format=").split() == [
        "studies/letters/pyproject.toml",
        "studies/letters/src/configs/base.py",
    ]
    assert main.git("diff", "--cached", "--name-only") == "README.md"
    assert main.tags() == []
    again = said_by_init(main.path / "studies/letters", monkeypatch, capsys)
    assert again["first commit"] == "already there"
    main.write("studies/new/pyproject.toml", "")
    assert said_by_init(main.path / "studies/new", monkeypatch, capsys, "--no-commit")["first commit"]
    assert "studies/new" not in main.git("ls-files")


def test_versions_go_by_the_lock_file_of_the_project_in_its_folder(
    main: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = '[tool.bumpversion]\npre_commit_hooks = ["touch hooked"]\ncommit = false\n'
    main.commit("studies/digits/pyproject.toml", settings)
    main.git("tag", "v1.0.0")
    main.write("studies/digits/uv.lock", "version = 1\n")
    monkeypatch.chdir(main.path / "studies/digits/notebooks")
    assert bump_version.main([]) == 0
    assert "committed studies/digits/uv.lock" in capsys.readouterr().out
    assert main.tags() == ["v1.0.0", "v1.0.1"]
    assert (main.path / "studies/digits/hooked").is_file(), "by the settings of that project"
    main.git("clean", "--quiet", "--force")
    main.write("uv.lock", "version = 1\n")
    assert bump_version.main([]) == 2, "another project's"
