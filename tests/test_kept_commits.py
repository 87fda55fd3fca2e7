"""A record's commit can be checked out as long as the repository is there, whatever becomes of its branch."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ProjectFolder
from deriva_ml import DerivaML
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.kept_commits import keep_commit, push_commits
from deriva_ml.execution.provenance import collect
from deriva_ml.execution.recovery import recover
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.process import Owner
from git_repository import Repository, isolate_git
from notebooks import COMMIT, START, write_notebook


@pytest.fixture(autouse=True)
def own_git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = isolate_git(monkeypatch, tmp_path)
    with settings.open("a") as file:  # git otherwise refuses submodules from a folder
        file.write('[protocol "file"]\n\tallow = always\n')


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "my {repo} ü")
    made.commit("first.txt")
    return made


def kept(repository: Repository) -> list[str]:
    """What `git for-each-ref`, as the guide says, lists."""
    return repository.git("for-each-ref", "--format=%(objectname)", "refs/deriva-ml").split()


def collect_garbage(repository: Repository) -> None:
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")


def is_there(repository: Repository, commit: str) -> bool:
    return not subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=repository.path, capture_output=True
    ).returncode


# --------------------------------------------------------------------------------------------- what becomes of a branch
def amended(repository: Repository) -> None:
    repository.git("commit", "--quiet", "--amend", "--message", "Better words")


def rebased(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "upstream", "HEAD~1")
    repository.commit(f"{repository.git('rev-parse', 'HEAD')}.txt")
    repository.git("switch", "--quiet", "main")
    repository.git("rebase", "--quiet", "upstream")
    repository.git("branch", "--quiet", "-D", "upstream")


def squashed(repository: Repository) -> None:
    """A feature's branch is merged as one commit, as hosts do, and deleted."""
    repository.git("branch", "feature")
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.git("merge", "--quiet", "--squash", "feature")
    repository.git("commit", "--quiet", "--message", "Feature (#1)")
    repository.git("branch", "--quiet", "-D", "feature")


def reset(repository: Repository) -> None:
    repository.git("reset", "--quiet", "--hard", "HEAD~1")


REWRITES = [amended, rebased, squashed, reset]


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_kept_commit_survives_and_one_that_is_not_kept_goes(
    repository: Repository, rewrite: Callable[[Repository], None]
) -> None:
    """The other half shows that the rewriting and the collection are what they are meant to be."""
    lost = repository.commit("lost.txt")
    rewrite(repository)
    collect_garbage(repository)
    assert not is_there(repository, lost)

    commit = repository.commit("kept.txt", "what ran\n")
    assert keep_commit(commit, repository.path) == ""
    rewrite(repository)
    collect_garbage(repository)
    assert repository.git("show", f"{commit}:kept.txt") == "what ran"


def test_all_runs_of_a_commit_share_one_ref(repository: Repository) -> None:
    first, second = repository.commit("a.txt"), repository.commit("b.txt")
    for commit in (first, second, first, first):
        assert keep_commit(commit, repository.path) == ""
    assert sorted(kept(repository)) == sorted([first, second])


@pytest.mark.parametrize("packed", [False, True])
def test_a_commit_that_is_kept_already_costs_no_git_process(
    repository: Repository, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit()
    keep_commit(commit, repository.path)
    if packed:
        repository.git("pack-refs", "--all")
        assert not (repository.path / ".git/refs/deriva-ml" / commit).exists()
    monkeypatch.setenv("PATH", "")
    assert keep_commit(commit, repository.path) == ""


# ---------------------------------------------------------------------------------------------- kinds of repositories
def linked(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    repository.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"))
    return tmp_path / "tree", repository


def of_a_bare(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repository(tmp_path / "bare.git")
    bare.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "main")
    return tmp_path / "tree", bare


def submodule(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    outer = Repository.create(tmp_path / "outer")
    outer.git("submodule", "--quiet", "add", str(repository.path), "library")
    return outer.path / "library", Repository(outer.path / "library")


def subfolder(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    (repository.path / "studies" / "one").mkdir(parents=True)
    return repository.path / "studies" / "one", repository


def of_sha256(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    modern = Repository.create(tmp_path / "modern", "--object-format=sha256")
    modern.commit("first.txt")
    return modern.path, modern


def shallow(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    repository.commit("second.txt")
    repository.git("clone", "--quiet", "--depth=1", repository.path.as_uri(), str(tmp_path / "shallow"))
    return tmp_path / "shallow", Repository(tmp_path / "shallow")


def behind_a_link(tmp_path: Path, repository: Repository) -> tuple[Path, Repository]:
    (tmp_path / "link").symlink_to(repository.path)
    return tmp_path / "link", repository


@pytest.mark.parametrize("kind", [linked, of_a_bare, submodule, subfolder, of_sha256, shallow, behind_a_link])
def test_the_ref_is_in_what_the_working_trees_share(
    tmp_path: Path,
    repository: Repository,
    kind: Callable[[Path, Repository], tuple[Path, Repository]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A working tree may be removed, a branch of another one deleted: the commit stays."""
    folder, shared = kind(tmp_path, repository)
    tree = Repository(folder)
    commit = tree.commit("ran.txt")
    assert keep_commit(commit, folder) == ""
    assert kept(shared) == [commit]
    amended(tree)
    collect_garbage(shared)
    assert is_there(shared, commit)
    monkeypatch.setenv("PATH", "")
    assert keep_commit(commit, folder) == "", "it is found where git put it"


# ------------------------------------------------------------------------------------------------- when it cannot be
def test_a_ref_that_is_locked_is_said_in_one_line(repository: Repository) -> None:
    commit = repository.commit()
    folder = repository.path / ".git" / "refs" / "deriva-ml"
    folder.mkdir(parents=True)
    lock = folder / f"{commit}.lock"
    lock.touch()
    said = keep_commit(commit, repository.path)
    assert said.startswith(f"commit {commit[:7]} cannot be kept for this record (")
    assert "File exists" in said and "\n" not in said
    lock.unlink()
    assert keep_commit(commit, repository.path) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_repository_that_is_read_only_is_said_in_one_line(repository: Repository) -> None:
    commit = repository.commit()
    refs = repository.path / ".git" / "refs"
    refs.chmod(0o500)
    said = keep_commit(commit, repository.path)
    refs.chmod(0o700)
    assert "Permission denied" in said and "\n" not in said


def test_what_stands_in_the_way_is_said_in_one_line(repository: Repository) -> None:
    commit = repository.commit()
    (repository.path / ".git" / "refs" / "deriva-ml").write_text("")
    said = keep_commit(commit, repository.path)
    assert f"commit {commit[:7]} cannot be kept" in said and "\n" not in said


def test_without_git_where_the_cells_run_it_is_said_in_one_line(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a kernel whose specification sets another PATH than the command has."""
    commit = repository.commit()
    monkeypatch.setenv("PATH", "")
    said = keep_commit(commit, repository.path)
    assert "git is not installed" in said and "\n" not in said


def test_a_commit_that_the_repository_has_not_is_said_in_one_line(repository: Repository) -> None:
    said = keep_commit("0123456789" * 4, repository.path)
    assert "commit 0123456 cannot be kept" in said and "\n" not in said
    assert kept(repository) == []


def test_two_runs_that_begin_at_once_are_both_content(repository: Repository) -> None:
    commit = repository.commit()
    said: list[str] = []
    together = [
        threading.Thread(target=lambda: said.append(keep_commit(commit, repository.path))) for _ in range(8)
    ]
    for each in together:
        each.start()
    for each in together:
        each.join()
    assert said == [""] * 8
    assert kept(repository) == [commit]


# ---------------------------------------------------------------------------------------------------- what else there is
def test_what_a_person_sees_of_git_stays_as_it_was(repository: Repository, tmp_path: Path) -> None:
    looks = (
        "status --porcelain --branch",
        "branch --all",
        "tag --list",
        "log --decorate --oneline",
        "log --branches --tags --remotes --oneline",
        "describe --tags --always",
        "stash list",
    )
    repository.git("tag", "v0.1.0")
    commit = repository.commit()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    before = [repository.git(*look.split()) for look in looks]
    keep_commit(commit, repository.path)
    keep_commit(repository.git("rev-parse", "HEAD"), repository.path)
    assert [repository.git(*look.split()) for look in looks] == before
    repository.git("clone", "--quiet", "--no-local", ".", str(tmp_path / "clone"))
    assert kept(Repository(tmp_path / "clone")) == []


class TestPush:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Repository:
        return Repository.create(tmp_path / "server.git", "--bare")

    def test_brings_what_no_branch_has_to_another_clone(
        self, repository: Repository, server: Repository, tmp_path: Path
    ) -> None:
        repository.git("remote", "add", "origin", str(server.path))
        commit = repository.commit("ran.txt", "what ran\n")
        keep_commit(commit, repository.path)
        amended(repository)
        repository.git("push", "--quiet", "origin", "main")
        assert kept(server) == [], "a push of a branch pushes none of them"
        said = push_commits(repository.path)
        assert said.startswith("1 kept commit is on origin: ")
        assert kept(server) == [commit]
        assert push_commits(repository.path) == said, "again, it is there already"

        repository.git("clone", "--quiet", str(server.path), str(tmp_path / "clone"))
        clone = Repository(tmp_path / "clone")
        fetching = said.partition(": ")[2].partition(" brings")[0]
        subprocess.run(fetching, shell=True, cwd=clone.path, check=True, capture_output=True)
        assert clone.git("show", f"{commit}:ran.txt") == "what ran"

    def test_goes_where_the_branch_is_pushed_or_where_one_says(
        self, repository: Repository, server: Repository, tmp_path: Path
    ) -> None:
        other = Repository.create(tmp_path / "other.git", "--bare")
        repository.git("remote", "add", "origin", str(server.path))
        repository.git("remote", "add", "lab", str(other.path))
        commits = [repository.commit(name) for name in ("a.txt", "b.txt")]
        for commit in commits:
            keep_commit(commit, repository.path)
        assert push_commits(repository.path, "lab").startswith("2 kept commits are on lab: ")
        assert (kept(server), sorted(kept(other))) == ([], sorted(commits))
        repository.git("config", "branch.main.pushRemote", "lab")
        assert " on lab: " in push_commits(repository.path)
        assert push_commits(repository.path, str(server.path)).startswith("2 kept commits are on ")
        assert sorted(kept(server)) == sorted(commits)

    def test_without_any_there_is_nothing_to_do(self, repository: Repository) -> None:
        assert push_commits(repository.path) == "no commit is kept yet: a recorded run keeps its own"

    @pytest.mark.parametrize("remote", ["", "nowhere", "/no/such/folder", "--mirror", "7-SDDH"])
    def test_a_remote_that_is_not_there_is_one_line(self, repository: Repository, remote: str) -> None:
        keep_commit(repository.commit(), repository.path)
        with pytest.raises(DerivaMLRunError if remote else DerivaMLRequestError) as refused:
            push_commits(repository.path, remote)
        assert "\n" not in str(refused.value)
        assert (remote or "no remote to push its commits to: git remote add origin URL") in str(refused.value)

    def test_a_server_that_refuses_is_one_line(self, repository: Repository, server: Repository) -> None:
        repository.git("remote", "add", "origin", str(server.path))
        server.git("config", "receive.hideRefs", "refs/deriva-ml")
        keep_commit(repository.commit(), repository.path)
        with pytest.raises(DerivaMLRunError, match="deny updating a hidden ref") as refused:
            push_commits(repository.path)
        assert "\n" not in str(refused.value)

    def test_outside_a_repository_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(DerivaMLRequestError, match="is not in a git repository"):
            push_commits(tmp_path)


# -------------------------------------------------------------------------------------------------- which runs keep theirs
class TestExecutions:
    """As a person's own Python starts them; those of the commands are below."""

    @pytest.fixture
    def ml(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
        repository.write("pyproject.toml", "[project]\nname = 'x'\n")
        repository.write(".gitignore", ".deriva-ml/\noutputs/\n")
        repository.commit("script.py", "print(1)\n")
        monkeypatch.chdir(repository.path)
        return DerivaML()

    def start(self, ml: DerivaML, dry_run: bool = False, assets: tuple[str, ...] = ()) -> None:
        workflow = ml.create_workflow("Study", "Training")
        ml.create_execution(ExecutionConfiguration(assets=list(assets)), workflow, dry_run)

    def test_a_recorded_one_keeps_its_commit_as_it_begins(self, ml: DerivaML, repository: Repository) -> None:
        self.start(ml)
        assert kept(repository) == [repository.git("rev-parse", "HEAD")]

    def test_a_dry_run_keeps_none(self, ml: DerivaML, repository: Repository) -> None:
        self.start(ml, dry_run=True)
        assert kept(repository) == []

    def test_one_that_is_refused_keeps_none(self, ml: DerivaML, repository: Repository) -> None:
        with pytest.raises(DerivaMLRequestError):
            self.start(ml, assets=("9-ZZZZ",))
        assert kept(repository) == []

    def test_one_whose_commit_cannot_be_kept_goes_on_with_a_line(
        self, ml: DerivaML, repository: Repository, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (repository.path / ".git" / "refs" / "deriva-ml").write_text("")
        self.start(ml)
        said = [line for line in capsys.readouterr().err.splitlines() if "cannot be kept" in line]
        assert len(said) == 1 and said[0].startswith("warning: commit ")
        assert len(ml.find_executions()) == 1

    def test_one_whose_runner_was_killed_before_it_recorded_it_keeps_its_own(
        self, ml: DerivaML, repository: Repository
    ) -> None:
        commit = repository.git("rev-parse", "HEAD")
        provenance = collect(repository.path / "script.py", allow_dirty=False).to_json()
        amended(repository)
        gone = Owner(Owner.of().host, 2**22 - 7, 1.0)
        folder = ml.project.new_folder(ml.project.runs)
        NotebookRun(folder, ml.project.root / "x.ipynb", gone, gone, provenance=provenance).save()
        (folder / "executed").mkdir()
        (folder / "executed" / "x.ipynb").write_text('{"cells": []}')
        assert len(recover(ml.catalog, ml.project)) == 1
        assert kept(repository) == [commit]


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    made = copy_to(tmp_path_factory.mktemp("kept") / "my project")
    made.git("tag", "--delete", "v0.1.0")  # it would keep the first commit
    return made


MODEL = "model_config.largest=1,2"


class TestCommands:
    """In order: each finds what the one before has left."""

    def commit(self, project: ProjectFolder, name: str) -> str:
        write_notebook(project / "notebooks" / f"{name}.ipynb", [START, COMMIT], parameters="x: int = 1")
        project.git("add", "-A")
        project.git("commit", "-m", name)
        return project.git("rev-parse", "HEAD")

    def kept(self, project: ProjectFolder) -> set[str]:
        return set(kept(Repository(project.path)))

    def test_a_dry_run_keeps_none(self, project: ProjectFolder) -> None:
        self.commit(project, "tried")
        done = project.run("deriva-ml-run-notebook", "notebooks/tried.ipynb", "dry_run=true")
        assert done.rc == 0, done.err
        assert self.kept(project) == set()

    def test_a_notebooks_commit_survives_what_people_do_to_branches(self, project: ProjectFolder) -> None:
        commit = self.commit(project, "noted")
        done = project.run("deriva-ml-run-notebook", "notebooks/noted.ipynb")
        assert done.rc == 0, done.err
        repository = Repository(project.path)
        for rewrite in (amended, rebased, squashed):
            rewrite(repository)
            collect_garbage(repository)
            assert not project.git("branch", "--contains", commit)
            assert project.git("show", f"{commit}:notebooks/noted.ipynb")
        assert self.kept(project) == {commit}

    def test_a_sweep_and_its_models_share_one(self, project: ProjectFolder) -> None:
        commit, before = self.commit(project, "swept"), self.kept(project)
        done = project.run(
            "deriva-ml-run", "--multirun", "model_config=my_model", MODEL, "datasets=default_dataset"
        )
        assert done.rc == 0, done.err
        assert self.kept(project) - before == {commit}

    def test_where_it_cannot_be_kept_the_run_is_recorded_and_says_so_once(
        self, project: ProjectFolder
    ) -> None:
        commit = self.commit(project, "locked")
        lock = project / ".git" / "refs" / "deriva-ml" / f"{commit}.lock"
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        done = project.run("deriva-ml-run-notebook", "notebooks/locked.ipynb")
        assert done.rc == 0, done.err
        assert "Uploaded" in done.out
        assert done.err.count("cannot be kept for this record") == 1, done.err
        lock.unlink()

    def test_they_are_pushed_when_one_says_so(self, project: ProjectFolder, tmp_path: Path) -> None:
        refused = project.run("deriva-ml-upload", "--commits")
        assert (refused.rc, "no remote" in refused.err) == (2, True), refused.text
        mixed = project.run("deriva-ml-upload", "--list", "--commits")
        assert (mixed.rc, "give it alone" in mixed.err) == (2, True), mixed.text
        nowhere = project.run("deriva-ml-upload", "--commits", "nowhere")
        assert (nowhere.rc, nowhere.err.count("\n")) == (1, 1), nowhere.text
        server = Repository.create(tmp_path / "server.git", "--bare")
        done = project.run("deriva-ml-upload", "--commits", str(server.path))
        assert done.rc == 0, done.err
        assert set(kept(server)) == self.kept(project) and "kept commits are on" in done.out

    def test_a_version_can_be_given_all_the_same(self, project: ProjectFolder) -> None:
        done = project.run("bump-version")
        assert done.rc == 0, done.err
        assert done.out.startswith("v0.1.0"), "none of the kept commits counts as one"
