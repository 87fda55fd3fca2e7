"""A recorded run can be traced to the very code that made it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.provenance import (
    Provenance,
    collect,
    workflow_of,
)
from deriva_ml.git import version_of
from deriva_ml.web_address import web_url, workflow_url
from git_repository import isolate_git

SECRET = "s3cr3t-t0ken"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"git {args}: {done.stderr}"
    return done.stdout.strip()


def notebook(source: str, output: str = "") -> str:
    """A one-cell notebook as nbformat writes it, with the output that running it left."""
    outputs = [{"name": "stdout", "output_type": "stream", "text": [output]}] if output else []
    cell = {"cell_type": "code", "execution_count": 7 if output else None, "id": "0", "metadata": {}}
    cells = [{**cell, "outputs": outputs, "source": [source]}]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


@pytest.fixture(autouse=True)
def own_git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests neither read nor change the settings of the person who runs them."""
    settings = isolate_git(monkeypatch, tmp_path)
    with settings.open("a") as file:  # git otherwise refuses submodules from a folder
        file.write('[protocol "file"]\n\tallow = always\n')


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A project with one commit: a notebook, a script, and the attributes that name the output filter."""
    root = tmp_path / "project"
    (root / "notebooks").mkdir(parents=True)
    (root / "src").mkdir()
    git(tmp_path, "init", "--quiet", "project")
    (root / ".gitattributes").write_text("*.ipynb filter=nbstripout diff=ipynb\n")
    (root / ".gitignore").write_text("outputs/\n")
    (root / "pyproject.toml").write_text("[project]\nname = 'project'\n")
    (root / "notebooks" / "analysis.ipynb").write_text(notebook("print(1)"))
    (root / "src" / "train.py").write_text("print(1)\n")
    commit(root)
    return root


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "work")
    return git(root, "rev-parse", "HEAD")


def install_filter(root: Path) -> None:
    git(root, "config", "filter.nbstripout.clean", f'"{Path(sys.executable).as_posix()}" -m nbstripout')
    git(root, "config", "filter.nbstripout.required", "true")


class TestCommittedCode:
    def test_names_commit_path_and_blob_of_the_file(self, repo: Path) -> None:
        found = collect(repo / "notebooks" / "analysis.ipynb", allow_dirty=False)
        assert found.commit == git(repo, "rev-parse", "HEAD")
        assert found.path == "notebooks/analysis.ipynb"
        assert found.checksum == git(repo, "hash-object", "notebooks/analysis.ipynb")
        assert (found.dirty, found.diff, found.warnings) == (False, "", ())

    def test_survives_the_way_from_the_runner_to_the_kernel(self, repo: Path) -> None:
        (repo / "src" / "train.py").write_text("print('ü')\n")
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert Provenance.from_json(json.loads(json.dumps(found.to_json()))) == found

    def test_same_content_has_the_same_checksum_at_every_commit(self, repo: Path) -> None:
        script = repo / "src" / "train.py"
        before = collect(script, allow_dirty=False)
        (repo / "README.md").write_text("more\n")
        commit(repo)
        after = collect(script, allow_dirty=False)
        assert before.checksum == after.checksum
        assert before.commit != after.commit

    def test_outputs_left_in_a_notebook_do_not_make_the_tree_dirty_once_the_filter_is_installed(
        self, repo: Path
    ) -> None:
        install_filter(repo)
        path = repo / "notebooks" / "analysis.ipynb"
        before = collect(path, allow_dirty=False)
        path.write_text(notebook("print(1)", output="1\n"))
        after = collect(path, allow_dirty=False)
        assert after == before

    def test_ignored_files_do_not_count(self, repo: Path) -> None:
        (repo / "outputs").mkdir()
        (repo / "outputs" / "table.csv").write_text("1\n")
        assert not collect(repo / "src" / "train.py", allow_dirty=False).dirty

    @pytest.mark.parametrize(
        "name",
        [
            "with space.py",
            "{braces} {0}.py",
            "naïve-Ω-日本.py",
            "it's.py",
            'say "x".py',
            "a#b%20?.py",
            "-v.py",
            "a:b.py",
        ],
    )
    def test_any_file_name_works(self, repo: Path, name: str) -> None:
        folder = repo / "src" / "a {b} ü"
        folder.mkdir()
        (folder / name).write_text("x = 1\n")
        git(repo, "remote", "add", "origin", "https://github.com/lab/project.git")
        commit(repo)
        found = collect(folder / name, allow_dirty=False)
        assert found.path == f"src/a {{b}} ü/{name}"
        assert found.checksum == git(folder, "rev-parse", f"HEAD:./{name}")
        assert unquote(urlsplit(found.url).path).endswith(f"/{found.commit}/{found.path}")

    def test_a_link_stands_for_the_file_it_points_to(self, repo: Path, tmp_path: Path) -> None:
        (tmp_path / "link.py").symlink_to(repo / "src" / "train.py")
        assert collect(tmp_path / "link.py", allow_dirty=False).path == "src/train.py"

    def test_detached_head(self, repo: Path) -> None:
        git(repo, "checkout", "--quiet", "--detach")
        assert collect(repo / "src" / "train.py", allow_dirty=False).commit == git(repo, "rev-parse", "HEAD")

    def test_worktree(self, repo: Path, tmp_path: Path) -> None:
        git(repo, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"))
        (tmp_path / "tree" / "src" / "train.py").write_text("print(2)\n")
        made = commit(tmp_path / "tree")
        found = collect(tmp_path / "tree" / "src" / "train.py", allow_dirty=False)
        assert (found.commit, found.path) == (made, "src/train.py")

    def test_file_of_a_submodule_belongs_to_the_submodule(self, repo: Path, tmp_path: Path) -> None:
        made = submodule(repo, tmp_path)
        found = collect(repo / "library" / "code.py", allow_dirty=False)
        assert (found.commit, found.path) == (made, "code.py")
        assert not collect(repo / "src" / "train.py", allow_dirty=False).dirty

    def test_repository_with_sha256_ids(self, tmp_path: Path) -> None:
        root = tmp_path / "modern"
        git(tmp_path, "init", "--quiet", "--object-format=sha256", "modern")
        (root / "train.py").write_text("print(1)\n")
        made = commit(root)
        assert len(made) == 64
        assert collect(root / "train.py", allow_dirty=False).commit == made


def submodule(repo: Path, tmp_path: Path) -> str:
    library = tmp_path / "library"
    git(tmp_path, "init", "--quiet", "library")
    (library / "code.py").write_text("x = 1\n")
    made = commit(library)
    git(repo, "submodule", "--quiet", "add", str(library), "library")
    commit(repo)
    return made


class TestRefusals:
    def test_outside_a_repository_says_how_to_make_one(self, tmp_path: Path) -> None:
        (tmp_path / "alone.py").write_text("")
        with pytest.raises(DerivaMLRequestError, match=r"alone\.py is in no git repository.*deriva-ml-init"):
            collect(tmp_path / "alone.py", allow_dirty=True)

    def test_before_the_first_commit_says_how_to_make_it(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "--quiet", "young")
        (tmp_path / "young" / "train.py").write_text("")
        with pytest.raises(DerivaMLRequestError, match=r"no commit yet.*deriva-ml-init"):
            collect(tmp_path / "young" / "train.py", allow_dirty=True)

    def test_missing_file_is_named(self, repo: Path) -> None:
        with pytest.raises(DerivaMLRequestError, match=r"no such file.*nowhere\.py"):
            collect(repo / "nowhere.py", allow_dirty=True)

    def test_uncommitted_notebook(self, repo: Path) -> None:
        (repo / "notebooks" / "new.ipynb").write_text(notebook("print(2)"))
        with pytest.raises(
            DerivaMLRequestError, match=r"not committed: notebooks/new\.ipynb; .*--allow-dirty"
        ):
            collect(repo / "notebooks" / "new.ipynb", allow_dirty=False)

    def test_notebook_that_git_ignores_counts_as_uncommitted(self, repo: Path) -> None:
        (repo / "outputs").mkdir()
        (repo / "outputs" / "copy.ipynb").write_text(notebook("print(2)"))
        with pytest.raises(DerivaMLRequestError, match=r"not committed: outputs/copy\.ipynb"):
            collect(repo / "outputs" / "copy.ipynb", allow_dirty=False)

    @pytest.mark.parametrize("change", ["edit", "delete", "add", "stage", "rename"])
    def test_any_change_in_the_tree_is_named(self, repo: Path, change: str) -> None:
        other = repo / "src" / "other.py"
        other.write_text("x = 1\n" * 10)
        commit(repo)
        if change == "edit":
            other.write_text("x = 2\n")
        elif change == "delete":
            other.unlink()
        elif change == "add":
            other = repo / "helper.py"
            other.write_text("x = 1\n")
        elif change == "stage":
            other.write_text("x = 3\n")
            git(repo, "add", "src/other.py")
        else:
            git(repo, "mv", "src/other.py", "src/renamed.py")
            other = repo / "src" / "renamed.py"
        with pytest.raises(DerivaMLRequestError, match=other.name):
            collect(repo / "src" / "train.py", allow_dirty=False)

    def test_a_file_that_was_only_deleted_is_one_to_bring_back(self, repo: Path) -> None:
        """As the message says; a deletion that git was told of, or another change beside it, is one to commit."""
        (repo / "data.csv").write_text("1\n")
        commit(repo)
        (repo / "data.csv").unlink()
        with pytest.raises(
            DerivaMLRequestError, match=r"^deleted, and not committed: data\.csv; git restore brings it back"
        ):
            collect(repo / "src" / "train.py", allow_dirty=False)
        (repo / "new.py").write_text("x = 1\n")
        with pytest.raises(DerivaMLRequestError, match=r"^not committed: data\.csv, new\.py; commit"):
            collect(repo / "src" / "train.py", allow_dirty=False)
        (repo / "new.py").unlink()
        git(repo, "restore", "data.csv")
        collect(repo / "src" / "train.py", allow_dirty=False)
        git(repo, "rm", "--quiet", "data.csv")
        with pytest.raises(DerivaMLRequestError, match=r"^not committed: data\.csv; commit"):
            collect(repo / "src" / "train.py", allow_dirty=False)

    def test_names_a_few_of_many_changed_files_and_the_executed_one_first(self, repo: Path) -> None:
        for number in range(9):
            (repo / f"a{number}.py").write_text("")
        (repo / "src" / "train.py").write_text("print(2)\n")
        with pytest.raises(DerivaMLRequestError) as raised:
            collect(repo / "src" / "train.py", allow_dirty=False)
        assert "src/train.py, a0.py, a1.py, a2.py, a3.py and 5 more" in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_changed_notebook_without_the_filter_says_what_installs_it(self, repo: Path) -> None:
        path = repo / "notebooks" / "analysis.ipynb"
        path.write_text(notebook("print(1)", output="1\n"))
        with pytest.raises(DerivaMLRequestError, match=r"deriva-ml-init installs the filter"):
            collect(path, allow_dirty=False)
        install_filter(repo)
        path.write_text(notebook("print(2)", output="2\n"))
        with pytest.raises(DerivaMLRequestError) as raised:
            collect(path, allow_dirty=False)
        assert "installs the filter" not in str(raised.value)

    def test_changed_submodule(self, repo: Path, tmp_path: Path) -> None:
        submodule(repo, tmp_path)
        (repo / "library" / "code.py").write_text("x = 2\n")
        with pytest.raises(DerivaMLRequestError, match="not committed: library"):
            collect(repo / "src" / "train.py", allow_dirty=False)


NO_CODE = ["run.log", "nohup.out", "new.csv", "data/new.csv", "data/py", "a.py.txt", "notes.md", "src.txt"]
"""What lies about in a project while runs go on, and has no part in them."""


class TestUntrackedFiles:
    @pytest.mark.parametrize("allow_dirty", [False, True])
    def test_files_that_are_no_code_are_named_and_make_nothing_dirty(
        self, repo: Path, allow_dirty: bool
    ) -> None:
        """As of `deriva-ml-run-notebook ... | tee run.log`, whose log is there before the run is."""
        clean = collect(repo / "src" / "train.py", allow_dirty=allow_dirty)
        (repo / "data").mkdir()
        for name in NO_CODE:
            (repo / name).write_text("1\n")
        found = collect(repo / "src" / "train.py", allow_dirty=allow_dirty)
        assert sorted(found.untracked) == sorted(NO_CODE)
        assert replace(found, untracked=()) == clean
        assert not found.dirty

    @pytest.mark.parametrize(
        "name",
        [
            "src/table.csv",
            "src/deep/er/weights.bin",
            "notebooks/first.yaml",
            "notebooks/data/x.csv",
            "helper.py",
            "scripts/helper.py",
            "data/HELPER.PY",
            ".hidden.py",
            "scratch.ipynb",
            "data/scratch.ipynb",
            "ruff.toml",
            "data/settings.toml",
            "other/pyproject.toml",
            "uv.lock",
        ],
    )
    def test_what_may_be_code_stops_a_run_and_is_named(self, repo: Path, name: str) -> None:
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("x = 1\n")
        (repo / "run.log").write_text("")
        with pytest.raises(DerivaMLRequestError, match=rf"^not committed: {re.escape(name)}; commit"):
            collect(repo / "src" / "train.py", allow_dirty=False)
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert (found.dirty, found.untracked) == (True, ("run.log",))
        assert name in found.diff
        assert found.version.endswith(".dirty")

    def test_a_new_file_that_git_was_told_of_stops_a_run_whatever_it_is(self, repo: Path) -> None:
        (repo / "new.csv").write_text("1\n")
        git(repo, "add", "new.csv")
        with pytest.raises(DerivaMLRequestError, match=r"^not committed: new\.csv; commit"):
            collect(repo / "src" / "train.py", allow_dirty=False)

    def test_a_repository_inside_stops_a_run_for_git_does_not_look_into_it(self, repo: Path) -> None:
        (repo / "library").mkdir()
        git(repo / "library", "init", "--quiet")
        (repo / "library" / "code.py").write_text("x = 1\n")
        commit(repo / "library")
        with pytest.raises(DerivaMLRequestError, match=r"^not committed: library/; commit"):
            collect(repo / "src" / "train.py", allow_dirty=False)

    def test_in_a_larger_repository_src_and_notebooks_are_those_of_the_project(self, repo: Path) -> None:
        """Code that lies anywhere may be imported; what lies beside another project's code is not ours to judge."""
        for name in ("one", "two"):
            (repo / name / "src").mkdir(parents=True)
            (repo / name / "pyproject.toml").write_text("")
            (repo / name / "src" / "train.py").write_text("")
        commit(repo)
        (repo / "two" / "src" / "table.csv").write_text("1\n")
        (repo / "src" / "table.csv").write_text("1\n")
        found = collect(repo / "one" / "src" / "train.py", allow_dirty=False)
        assert (found.dirty, sorted(found.untracked)) == (False, ["src/table.csv", "two/src/table.csv"])
        with pytest.raises(DerivaMLRequestError, match=r"not committed: two/src/table\.csv;"):
            collect(repo / "two" / "src" / "train.py", allow_dirty=False)
        (repo / "two" / "src" / "table.csv").unlink()
        (repo / "two" / "new.py").write_text("x = 1\n")
        with pytest.raises(DerivaMLRequestError, match=r"not committed: two/new\.py;"):
            collect(repo / "one" / "src" / "train.py", allow_dirty=False)

    def test_of_very_many_the_record_names_some_and_says_how_many_more(self, repo: Path) -> None:
        for number in range(130):
            (repo / f"{number:03}.csv").write_text("")
        named = collect(repo / "src" / "train.py", allow_dirty=False).untracked
        assert named[:2] == ("000.csv", "001.csv")
        assert (len(named), named[-1]) == (101, "... and 30 more")

    def test_code_beside_src_is_in_the_diff_and_settings_are_not(self, repo: Path) -> None:
        (repo / "helper.py").write_text("helping = True\n")
        (repo / "secrets.toml").write_text(f'word = "{SECRET}"\n')
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert "+helping = True" in found.diff
        assert SECRET not in found.diff
        assert "# untracked, recorded by name only: secrets.toml\n" in found.diff


class TestWorkflowOfARun:
    """What a run is filed under is the commit's, also when something differed from it."""

    def test_is_that_of_the_clean_commit_whatever_was_changed(self, repo: Path) -> None:
        git(repo, "remote", "add", "origin", "git@github.com:lab/project.git")
        git(repo, "tag", "v1.2.0")
        script = repo / "src" / "train.py"
        clean = workflow_of(collect(script, allow_dirty=False).to_json(), "Training", ["A", "B"], "why")
        assert (clean.version, clean.checksum) == ("1.2.0", git(repo, "rev-parse", "HEAD:src/train.py"))
        assert (clean.name, clean.types, clean.description) == ("Training", ["A", "B"], "why")
        for changed in ("src/train.py", "pyproject.toml", "new.py"):
            (repo / changed).write_text("print(2)\n")
            found = collect(script, allow_dirty=True)
            assert found.dirty and found.version == "1.2.0+dirty"
            made = workflow_of(json.loads(json.dumps(found.to_json())), "Training", ["A", "B"], "why")
            assert (made, made.commit) == (clean, found.commit)
        assert found.checksum == git(repo, "hash-object", "src/train.py") != found.blob

    def test_after_the_tag_it_is_the_commits_version(self, repo: Path) -> None:
        (repo / "src" / "train.py").write_text("print(2)\n")
        made = workflow_of(collect(repo / "src" / "train.py", allow_dirty=True).to_json(), "T", "A", "")
        assert made.version == f"0.0.0+g{made.commit[:7]}"

    @pytest.mark.parametrize("staged", [False, True])
    def test_of_a_file_in_no_commit_has_the_checksum_of_what_ran(self, repo: Path, staged: bool) -> None:
        new = repo / "notebooks" / "new.ipynb"
        new.write_text(notebook("print(2)", output="2\n"))
        if staged:
            git(repo, "add", "notebooks/new.ipynb")
        found = collect(new, allow_dirty=True)
        assert found.blob == ""
        made = workflow_of(found.to_json(), "New", "A", "")
        new.write_text(notebook("print(2)"))
        assert made.checksum == git(repo, "hash-object", "notebooks/new.ipynb")

    def test_of_a_run_that_an_older_runner_began(self) -> None:
        """Its folder does not say what was committed; a later command still records it."""
        told = {"url": "u", "checksum": "c", "version": "1.0+dirty", "path": "x.ipynb"}
        made = workflow_of(told, "X", "A", "")
        assert (made.url, made.checksum, made.version, made.commit) == ("u", "c", "1.0", "")


class TestDirtyRuns:
    def test_the_diff_restores_what_was_executed(self, repo: Path, tmp_path: Path) -> None:
        (repo / "src" / "moved.py").write_text("".join(f"line {n}\n" for n in range(40)))
        (repo / "src" / "data.bin").write_bytes(bytes(range(256)))
        commit(repo)
        (repo / "src" / "train.py").write_text("print(2)")  # no newline at its end
        (repo / "src" / "data.bin").write_bytes(bytes(reversed(range(256))))
        (repo / "src" / 'neu "ü" {x}.py').write_text("new = True\n")
        (repo / "src" / "raw.bin").write_bytes(b"\0\1\2\xff")
        git(repo, "mv", "src/moved.py", "src/there.py")
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert found.dirty
        assert found.checksum == git(repo, "hash-object", "src/train.py")

        git(tmp_path, "clone", "--quiet", str(repo), "again")
        (tmp_path / "run.diff").write_text(found.diff, newline="")
        git(tmp_path / "again", "apply", str(tmp_path / "run.diff"))
        files = {each.name: each.read_bytes() for each in (repo / "src").iterdir()}
        assert files == {each.name: each.read_bytes() for each in (tmp_path / "again" / "src").iterdir()}

    def test_a_persons_own_diff_settings_do_not_change_the_record(self, repo: Path) -> None:
        (repo / "src" / "train.py").write_text("print(2)\n")
        plain = collect(repo / "src" / "train.py", allow_dirty=True)
        for name, value in {
            "diff.noprefix": "true",
            "color.ui": "always",
            "diff.external": "false",
            "diff.mnemonicPrefix": "true",
        }.items():
            git(repo, "config", name, value)
        assert collect(repo / "src" / "train.py", allow_dirty=True) == plain

    def test_untracked_files_elsewhere_are_recorded_by_name_only(self, repo: Path) -> None:
        (repo / "keys.txt").write_text(SECRET)
        (repo / ".env").write_text(SECRET)
        (repo / "src" / ".netrc").write_text(SECRET)
        (repo / "src" / "large.csv").write_text("1\n" * 600_000)
        (repo / "src" / "new.py").write_text("kept = True\n")
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert SECRET not in json.dumps(found.to_json())
        assert "+kept = True" in found.diff
        assert len(found.diff) < 10_000
        for name in ["keys.txt", ".env", "src/.netrc", "src/large.csv"]:
            assert f"# untracked, recorded by name only: {name}\n" in found.diff

    def test_a_project_in_a_folder_of_a_larger_repository_keeps_its_code(self, repo: Path) -> None:
        project = repo / "studies" / "one"
        (project / "src").mkdir(parents=True)
        (project / "pyproject.toml").write_text("")
        (project / "src" / "train.py").write_text("")
        commit(repo)
        (project / "src" / "new.py").write_text("kept = True\n")
        found = collect(project / "src" / "train.py", allow_dirty=True)
        assert "+kept = True" in found.diff

    def test_a_new_file_that_is_staged_is_in_the_diff_once(self, repo: Path, tmp_path: Path) -> None:
        (repo / "src" / "new.py").write_text("new = True\n")
        git(repo, "add", "src/new.py")
        found = collect(repo / "src" / "new.py", allow_dirty=True)
        git(tmp_path, "clone", "--quiet", str(repo), "again")
        (tmp_path / "run.diff").write_text(found.diff, newline="")
        git(tmp_path / "again", "apply", str(tmp_path / "run.diff"))
        assert (tmp_path / "again" / "src" / "new.py").read_text() == "new = True\n"

    @pytest.mark.parametrize("place", ["scratch.ipynb", "outputs/scratch.ipynb"])
    def test_the_executed_file_itself_is_always_recorded(self, repo: Path, place: str) -> None:
        (repo / "outputs").mkdir()
        (repo / place).write_text(notebook("answer = 42"))
        found = collect(repo / place, allow_dirty=True)
        assert found.dirty
        assert "answer = 42" in found.diff
        assert found.checksum == git(repo, "hash-object", "--no-filters", place)

    @pytest.mark.parametrize("installed", [True, False], ids=["filter installed", "no filter"])
    @pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "no attributes"])
    def test_notebooks_are_recorded_without_their_outputs(
        self, repo: Path, installed: bool, attributes: bool
    ) -> None:
        if not attributes:
            git(repo, "rm", "--quiet", ".gitattributes")
            commit(repo)
        if installed:
            install_filter(repo)
        path = repo / "notebooks" / "analysis.ipynb"
        path.write_text(notebook("print(2)", output=SECRET))
        (repo / "notebooks" / "new.ipynb").write_text(notebook("print(3)", output=SECRET))
        found = collect(path, allow_dirty=True)
        assert SECRET not in found.diff
        assert "print(2)" in found.diff
        assert "print(3)" in found.diff

        path.write_text(notebook("print(2)"))
        (repo / "notebooks" / "new.ipynb").unlink()
        commit(repo)
        assert collect(path, allow_dirty=False).checksum == found.checksum

    def test_broken_notebook_does_not_stop_a_dirty_run(self, repo: Path) -> None:
        (repo / "notebooks" / "analysis.ipynb").write_text("<<<<<<< not a notebook\n")
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert "+<<<<<<< not a notebook" in found.diff

    def test_changes_inside_a_submodule_are_in_the_diff(self, repo: Path, tmp_path: Path) -> None:
        submodule(repo, tmp_path)
        (repo / "library" / "code.py").write_text("x = 'changed'\n")
        assert "+x = 'changed'" in collect(repo / "src" / "train.py", allow_dirty=True).diff

    def test_the_person_is_told(self, repo: Path) -> None:
        (repo / "src" / "train.py").write_text("print(2)\n")
        (said,) = collect(repo / "src" / "train.py", allow_dirty=True).warnings
        assert "recorded as a diff: src/train.py" in said


class TestVersion:
    def test_follows_the_tags(self, repo: Path) -> None:
        script = repo / "src" / "train.py"

        def version() -> str:
            return collect(script, allow_dirty=True).version

        first = git(repo, "rev-parse", "HEAD")[:7]
        assert version() == f"0.0.0+g{first}"
        git(repo, "tag", "--annotate", "v0.1.0", "--message", "release")
        git(repo, "tag", "data-2024")
        assert version() == "0.1.0"
        (repo / "README.md").write_text("more\n")
        second = commit(repo)[:7]
        assert version() == f"0.1.0.post1+g{second}"
        script.write_text("print(2)\n")
        assert version() == f"0.1.0.post1+g{second}.dirty"
        git(repo, "stash", "--quiet")
        git(repo, "tag", "v0.2.0")
        (repo / "scratch.py").write_text("")
        assert version() == "0.2.0+dirty"

    @pytest.mark.parametrize(
        "describe",
        [
            "",
            "v1-0-gabc1234",
            "v1.2.3-0-gabc1234",
            "v1.2.3-14-gabc1234",
            "v2.0.0rc1-2-gabc1234",
            "v2.0.0-rc.1-2-gabc1234",
            "v2.0.0.post1-2-gabc1234",
            "v2.0.0.dev4-2-gabc1234",
            "v3-data-2-gabc1234",
            "v1.0é-1-gabc1234",
        ],
    )
    @pytest.mark.parametrize("dirty", [True, False])
    def test_is_always_a_valid_python_version(self, describe: str, dirty: bool) -> None:
        version = Version(version_of(describe, COMMIT, dirty=dirty))
        assert (version.local or "").endswith("dirty") == dirty

    def test_later_commits_sort_after_the_tag(self) -> None:
        versions = [f"v0.1.0-{distance}-gabc1234" for distance in (0, 1, 2, 10)] + ["v0.1.1-0-gabc1234"]
        made = [Version(version_of(each, COMMIT, dirty=False)) for each in versions]
        assert made == sorted(made)

    def test_shallow_clone_says_that_it_holds_no_tag(self, repo: Path, tmp_path: Path) -> None:
        git(repo, "tag", "v0.1.0")
        (repo / "README.md").write_text("more\n")
        made = commit(repo)
        git(tmp_path, "clone", "--quiet", "--depth=1", repo.as_uri(), "shallow")
        found = collect(tmp_path / "shallow" / "src" / "train.py", allow_dirty=False)
        assert found.version == f"0.0.0+g{made[:7]}"
        assert any("git fetch --unshallow --tags" in said for said in found.warnings)
        git(tmp_path / "shallow", "fetch", "--quiet", "--unshallow", "--tags")
        found = collect(tmp_path / "shallow" / "src" / "train.py", allow_dirty=False)
        assert (found.version, found.warnings) == (f"0.1.0.post1+g{made[:7]}", ())


class TestUrl:
    @pytest.mark.parametrize(
        ("remote", "page"),
        [
            ("https://github.com/lab/project.git", "https://github.com/lab/project"),
            ("https://github.com/lab/project", "https://github.com/lab/project"),
            ("https://github.com/lab/project/", "https://github.com/lab/project"),
            (f"https://person:{SECRET}@github.com/lab/project.git", "https://github.com/lab/project"),
            (f"https://{SECRET}@github.com/lab/project.git", "https://github.com/lab/project"),
            (f"https://github.com/lab/project.git?private_token={SECRET}", "https://github.com/lab/project"),
            ("https://git.lab.org:8443/a/b.git", "https://git.lab.org:8443/a/b"),
            ("http://git.lab.org/a/b.git", "http://git.lab.org/a/b"),
            ("ssh://git@github.com/lab/project.git", "https://github.com/lab/project"),
            ("ssh://git@git.lab.org:2222/lab/project.git", "https://git.lab.org/lab/project"),
            ("ssh://git@ssh.github.com:443/lab/project.git", "https://github.com/lab/project"),
            ("git+ssh://git@github.com/lab/project.git", "https://github.com/lab/project"),
            ("git@github.com:lab/project.git", "https://github.com/lab/project"),
            ("git@github.com:/lab/project.git", "https://github.com/lab/project"),
            ("github.com:lab/project.git", "https://github.com/lab/project"),
            ("git@gitlab.com:group/sub/deeper/project.git", "https://gitlab.com/group/sub/deeper/project"),
            ("git@[2001:db8::1]:lab/project.git", "https://[2001:db8::1]/lab/project"),
            ("git://github.com:9418/lab/project.git", "https://github.com/lab/project"),
            ("https://github.com/lab/my%20project.git", "https://github.com/lab/my%20project"),
            ("git@github.com:lab/my project.git", "https://github.com/lab/my%20project"),
            ("/srv/git/project.git", None),
            ("../project.git", None),
            ("./odd:name", None),
            ("C:/projects/one", None),
            (r"C:\projects\one", None),
            ("file:///srv/git/project.git", None),
            ("ext::sh -c anything", None),
            ("https://github.com", None),
            (f"https://person:pa/{SECRET}@github.com/lab/project.git", None),
            (f"https://person:12/{SECRET}@github.com/lab/project.git", None),
            (f"https://person:12#{SECRET}@github.com/lab/project.git", None),
            (f"person:{SECRET}@github.com:lab/project.git", None),
            ("https://github.com:port/lab/project.git", None),
            ("", None),
        ],
    )
    def test_web_page_of_a_remote(self, remote: str, page: str | None) -> None:
        assert web_url(remote) == page

    @pytest.mark.parametrize(
        ("remote", "url"),
        [
            ("git@github.com:o/r.git", f"https://github.com/o/r/blob/{COMMIT}/src/a.py"),
            ("git@gitlab.com:g/s/r.git", f"https://gitlab.com/g/s/r/-/blob/{COMMIT}/src/a.py"),
            ("https://gitlab.lab.org/g/r.git", f"https://gitlab.lab.org/g/r/-/blob/{COMMIT}/src/a.py"),
            ("https://me@bitbucket.org/o/r.git", f"https://bitbucket.org/o/r/src/{COMMIT}/src/a.py"),
            ("https://codeberg.org/o/r.git", f"https://codeberg.org/o/r/src/commit/{COMMIT}/src/a.py"),
            ("git@code.lab.org:o/gitlab.git", f"https://code.lab.org/o/gitlab/blob/{COMMIT}/src/a.py"),
            ("/srv/git/r.git", f"git:{COMMIT}:src/a.py"),
        ],
    )
    def test_form_of_each_host(self, remote: str, url: str) -> None:
        assert workflow_url({"origin": remote}, COMMIT, "src/a.py") == url

    def test_prefers_origin_then_the_first_remote_with_a_web_page(self) -> None:
        remotes = {
            "backup": "/srv/r.git",
            "fork": "git@github.com:me/r.git",
            "origin": "git@github.com:lab/r.git",
        }
        assert "/lab/r/" in workflow_url(remotes, COMMIT, "a.py")
        del remotes["origin"]
        assert "/me/r/" in workflow_url(remotes, COMMIT, "a.py")

    def test_without_a_remote_git_itself_finds_the_file(self, repo: Path) -> None:
        found = collect(repo / "src" / "train.py", allow_dirty=False)
        assert found.url == f"git:{found.commit}:src/train.py"
        assert git(repo, "show", unquote(found.url.removeprefix("git:"))) == "print(1)"

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
    def test_any_path_is_encoded_and_can_be_read_back(self, path: str) -> None:
        for remotes in ({"origin": "git@github.com:o/r.git"}, {}):
            url = workflow_url(remotes, COMMIT, path)
            assert url.isascii()
            assert not set(url) & set(' \t\r\n"<>?#{}|\\^`')
            assert unquote(url).endswith(path)

    def test_token_in_a_remote_is_nowhere_in_the_record(self, repo: Path) -> None:
        git(repo, "remote", "add", "origin", f"https://oauth2:{SECRET}@github.com/lab/project.git")
        git(repo, "remote", "add", "other", f"https://{SECRET}@gitlab.com/lab/project.git")
        (repo / "src" / "train.py").write_text("print(2)\n")
        found = collect(repo / "src" / "train.py", allow_dirty=True)
        assert found.url.startswith("https://github.com/lab/project/blob/")
        assert SECRET not in json.dumps(found.to_json())

    def test_short_forms_that_the_person_configured_are_written_out(self, repo: Path) -> None:
        git(repo, "config", f"url.https://{SECRET}@github.com/.insteadOf", "gh:")
        git(repo, "remote", "add", "origin", "gh:lab/project")
        found = collect(repo / "src" / "train.py", allow_dirty=False)
        assert found.url == f"https://github.com/lab/project/blob/{found.commit}/src/train.py"


class TestUnpublishedCommit:
    def test_warns_until_the_commit_is_on_a_remote_branch(self, repo: Path, tmp_path: Path) -> None:
        script = repo / "src" / "train.py"
        git(tmp_path, "init", "--quiet", "--bare", "server.git")
        git(repo, "remote", "add", "origin", str(tmp_path / "server.git"))
        (said,) = collect(script, allow_dirty=False).warnings
        assert "is on no remote branch" in said
        assert "\n" not in said
        git(repo, "push", "--quiet", "origin", "main")
        assert collect(script, allow_dirty=False).warnings == ()
        script.write_text("print(2)\n")
        commit(repo)
        (said,) = collect(script, allow_dirty=False).warnings
        assert "is on no remote branch" in said

    def test_an_older_published_commit_is_published(self, repo: Path, tmp_path: Path) -> None:
        (repo / "README.md").write_text("more\n")
        commit(repo)
        git(tmp_path, "clone", "--quiet", str(repo), "clone")
        git(tmp_path / "clone", "checkout", "--quiet", "--detach", "HEAD~1")
        assert collect(tmp_path / "clone" / "src" / "train.py", allow_dirty=False).warnings == ()
