"""The recorded code is checked out as it ran, beside the person's own, and nothing of that stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import SOURCE
from deriva_ml.execution.provenance import collect
from deriva_ml.project import Project
from deriva_ml.redaction import redact_diff
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.replay.workspace import FOLDER, workspace
from deriva_ml.replay.worktree import checked_out, left_out, pointers
from git_repository import Repository, isolate_git

CODE = "src/models/model.py"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A project with one commit."""
    isolate_git(monkeypatch, tmp_path)
    made = Repository.create(tmp_path / "project")
    made.write("pyproject.toml", '[project]\nname = "p"\n')
    made.write(".gitignore", ".deriva-ml/\noutputs/\n")
    made.commit(CODE, "depth = 1\n")
    return made


@pytest.fixture
def project(repository: Repository) -> Project:
    return Project(repository.path)


def worktrees(repository: Repository) -> list[str]:
    return repository.git("worktree", "list", "--porcelain").split("\n\n")


def left(project: Project) -> list[str]:
    """What lies in the folder of replays."""
    return [path.name for path in (project.state / FOLDER).iterdir()]


def patch_of(project: Project, name: str = CODE) -> bytes:
    """What a run's record has of uncommitted changes."""
    return redact_diff(collect(project.root / name, allow_dirty=True).diff).encode()


def test_the_commit_is_checked_out_and_gone_afterwards(repository: Repository, project: Project) -> None:
    """Whatever is checked out by now, and whatever the run made there."""
    commit = repository.git("rev-parse", "HEAD")
    repository.commit(CODE, "depth = 2\n")
    refs = repository.refs()
    with checked_out(project, commit) as top:
        assert (top / CODE).read_text() == "depth = 1\n"
        assert Project.find(top / "src").root == top
        assert len(worktrees(repository)) == 2
        (top / "closed").mkdir()
        (top / "closed" / "file").write_text("")
        (top / "closed").chmod(0o500)
    assert not left(project)
    assert len(worktrees(repository)) == 1
    assert (repository.path / CODE).read_text() == "depth = 2\n"
    assert (repository.refs(), repository.git("status", "--short")) == (refs, "")


def test_hooks_and_filters_have_no_part(repository: Repository, project: Project) -> None:
    """A hook is not run; a filter whose program has gone changes and refuses nothing."""
    repository.write(".gitattributes", "*.ipynb filter=nbstripout\n*.bin filter=lfs\n")
    repository.write("data.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    commit = repository.commit("a.ipynb", '{"cells": []}\n')
    hook = repository.write(".git/hooks/post-checkout", f"#!/bin/sh\ntouch {repository.path}/hooked\n")
    hook.chmod(0o755)
    for name in ("nbstripout", "lfs"):
        for way in ("clean", "smudge", "process"):
            repository.git("config", f"filter.{name}.{way}", "/gone/python")
        repository.git("config", f"filter.{name}.required", "true")
    with checked_out(project, commit) as top:
        assert (top / "a.ipynb").read_text() == '{"cells": []}\n'
        assert (top / "data.bin").read_text().startswith("version ")
    assert not (repository.path / "hooked").exists()


def test_large_files_are_those_that_the_clone_has(repository: Repository, project: Project) -> None:
    """Git LFS keeps them beside the commits; of another one the pointer stays."""
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    oids = {"here.bin": "ab" * 32, "else where.bin": "cd" * 32}
    for name, oid in oids.items():
        repository.write(name, f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 4\n")
    commit = repository.commit("plain.bin", "no pointer\n")
    repository.write(f".git/lfs/objects/ab/ab/{oids['here.bin']}", "data")
    with checked_out(project, commit) as top:
        assert (top / "here.bin").read_text() == "data"
        assert [*pointers(top)] == [("else where.bin", oids["else where.bin"])]
        (top / "here.bin").write_text("changed")
    assert (repository.path / f".git/lfs/objects/ab/ab/{oids['here.bin']}").read_text() == "data"


def test_uncommitted_changes_are_applied(repository: Repository, project: Project) -> None:
    """A change, a new file, a renamed and a deleted one, a link, and bytes that are no text."""
    (repository.path / "old.bin").write_bytes(bytes(range(256)))
    repository.write("gone.py", "x = 1\n")
    commit = repository.commit("long.py", "".join(f"line{n} = {n}\n" for n in range(30)))
    repository.write(CODE, "depth = 7\n")
    repository.write("src/models/new name ü.py", "new = True\n")
    repository.write("src/models/empty.py", "")
    repository.write("src/secret/.env", "user: me\n")
    (repository.path / "old.bin").write_bytes(bytes(range(255, -1, -1)))
    repository.git("mv", "long.py", "longer.py")
    os.symlink("model.py", repository.path / "src" / "models" / "link.py")
    repository.git("add", "src/models/link.py")
    (repository.path / "gone.py").unlink()
    patch = patch_of(project)
    assert left_out(patch) == ["src/secret/.env"]
    repository.git("stash", "--include-untracked")
    with checked_out(project, commit, patch) as top:
        assert (top / CODE).read_text() == "depth = 7\n"
        assert (top / "src/models/new name ü.py").read_text() == "new = True\n"
        assert (top / "src/models/empty.py").exists()
        assert (top / "old.bin").read_bytes() == bytes(range(255, -1, -1))
        assert (top / "longer.py").exists() and not (top / "long.py").exists()
        assert os.readlink(top / "src/models/link.py") == "model.py"
        assert not (top / "gone.py").exists()


def test_a_notebook_with_outputs_is_what_ran(repository: Repository, project: Project) -> None:
    """Its patch has none of its outputs, in the commit or not."""
    cell = {
        "cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "source": ["1"],
        "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1"]}],
    }  # fmt: skip
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    commit = repository.commit("notebooks/a.ipynb", json.dumps(notebook, indent=1) + "\n")
    cell["source"] = ["2"]
    repository.write("notebooks/a.ipynb", json.dumps(notebook, indent=1) + "\n")
    repository.git("config", "filter.nbstripout.clean", f"{sys.executable} -m nbstripout")
    patch = patch_of(project, "notebooks/a.ipynb")
    with checked_out(project, commit, patch) as top:
        (found,) = json.loads((top / "notebooks" / "a.ipynb").read_text())["cells"]
        assert (found["source"], found["outputs"]) == (["2"], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("api_key = 'qwertz-8273-uiop'\n", "the record does not have src/models/model.py as it ran"),
        ("# ***\n", ""),  # nothing is masked here
    ],
)
def test_a_masked_credential_is_named(repository: Repository, project: Project, text: str, said: str) -> None:
    """The code that ran is not in the record then."""
    repository.write(CODE, f"depth = 1\n{text}")
    patch = patch_of(project)
    assert b"***" in patch
    try:
        with checked_out(project, repository.git("rev-parse", "HEAD"), patch) as top:
            assert (top / CODE).read_text() == f"depth = 1\n{text}"
            assert not said
    except CouldNotRun as error:
        assert said and str(error).startswith(said)
    assert (left(project), len(worktrees(repository))) == ([], 1)


def test_a_patch_that_does_not_fit_is_named(repository: Repository, project: Project) -> None:
    """One of another commit, or one that was cut off."""
    repository.write(CODE, "depth = 7\nwidth = 2\n")
    patch, commit = patch_of(project), repository.git("rev-parse", "HEAD")
    other = repository.commit(CODE, "depth = 3\n")
    for given, to in ((patch, other), (patch[:-10], commit)):
        with pytest.raises(CouldNotRun, match="uncommitted.diff of the record does not fit commit"):
            with checked_out(project, to, given):
                pass
    assert (left(project), len(worktrees(repository))) == ([], 1)


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path, repository: Repository) -> None:
    """The top is the repository's, to which the paths of records are relative; the records are the project's."""
    repository.write("sub/pyproject.toml", '[project]\nname = "sub"\n')
    commit = repository.commit("sub/notebooks/a.py", "x = 1\n")
    project = Project(repository.path / "sub")
    with checked_out(project, commit) as top:
        assert (top / "sub/notebooks/a.py").exists()
        assert top.is_relative_to(project.state)
    assert len(worktrees(repository)) == 1


def test_from_a_linked_working_tree(tmp_path: Path, repository: Repository) -> None:
    """Its project's records are in the main one, and its repository is the same."""
    repository.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
    project = Project(tmp_path / "linked")
    with checked_out(project, repository.git("rev-parse", "HEAD")) as top:
        assert top.is_relative_to(repository.path / ".deriva-ml")
    assert len(worktrees(repository)) == 2


def test_a_missing_commit_is_named(tmp_path: Path, repository: Repository, project: Project) -> None:
    """With what brings it: also in a shallow clone."""
    first = repository.git("rev-parse", "HEAD")
    repository.commit(CODE, "depth = 2\n")
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(tmp_path / "shallow"))
    cases = [
        (project, "0" * 40, "is not in this repository: git fetch"),
        (Project(tmp_path / "shallow"), first, "shallow: git fetch --unshallow"),
        (project, "", "the record names no commit"),
        (project, "--all", "the record names no commit"),
        (project, repository.git("rev-parse", "HEAD^{tree}"), "is not in this repository"),
    ]
    for where, commit, said in cases:
        with pytest.raises(CouldNotRun, match=said), checked_out(where, commit):
            pass
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(CouldNotRun, match="in no git repository"), checked_out(Project(outside), first):
        pass


def test_a_commit_that_only_its_record_keeps(repository: Repository, project: Project) -> None:
    """Its branch is deleted, and git has collected what no ref has."""
    repository.git("checkout", "--quiet", "-b", "idea")
    commit = repository.commit(CODE, "depth = 9\n")
    repository.git("update-ref", f"refs/deriva-ml/{commit}", commit)
    repository.git("checkout", "--quiet", "main")
    repository.git("branch", "-D", "idea")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    with checked_out(project, commit) as top:
        assert (top / CODE).read_text() == "depth = 9\n"


def test_submodules_come_from_the_clone(
    tmp_path: Path, repository: Repository, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the commit's own, without a network, with what was changed there; git's settings stay as they are."""
    inner, outer = Repository.create(tmp_path / "inner"), Repository.create(tmp_path / "outer")
    inner.commit("i.py", "i = 1\n")
    allow = ("-c", "protocol.file.allow=always")
    outer.git(*allow, "submodule", "--quiet", "add", str(inner.path), "in side")
    outer.commit("o.py", "o = 1\n")
    repository.git(*allow, "submodule", "--quiet", "add", str(outer.path), "libs/outer")
    repository.git(*allow, "submodule", "--quiet", "add", "--name", "none", str(inner.path), "libs/none")
    repository.git(*allow, "submodule", "--quiet", "update", "--init", "--recursive")
    commit = repository.commit("a.txt")
    Repository(repository.path / "libs/outer").write("o.py", "o = 2\n")
    patch = patch_of(project)
    Repository(repository.path / "libs/outer").commit("o.py", "o = 3\n")
    shutil.rmtree(repository.path / ".git/modules/none")  # not cloned
    shutil.rmtree(repository.path / "libs/none")
    (repository.path / "libs/none").mkdir()
    shutil.rmtree(inner.path)
    shutil.rmtree(outer.path)
    settings = (repository.path / ".git/config").read_text()
    with checked_out(project, commit, patch) as top:
        assert (top / "libs/outer/o.py").read_text() == "o = 2\n"
        assert (top / "libs/outer/in side/i.py").read_text() == "i = 1\n"
        assert not any((top / "libs/none").iterdir())
        changed = Repository(top).git("status", "--short", "--ignore-submodules=none")
        assert changed == " m libs/outer" or changed == "m libs/outer"
    assert (repository.path / ".git/config").read_text() == settings
    assert len(worktrees(repository)) == 1


HOLDING = f"""
import sys, time
sys.path.insert(0, {str(SOURCE)!r})
from pathlib import Path
from deriva_ml.project import Project
from deriva_ml.replay.worktree import checked_out
with checked_out(Project(Path(sys.argv[1])), sys.argv[2]) as top:
    print(top, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_goes_also_when_the_replay_is_stopped(
    repository: Repository, project: Project, number: signal.Signals
) -> None:
    """At once, or with the next one if it was killed; what a living one uses stays."""
    commit = repository.git("rev-parse", "HEAD")
    command = [sys.executable, "-c", HOLDING, str(project.root), commit]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    top = Path(process.stdout.readline().strip())
    with checked_out(project, commit):
        assert top.is_dir()
    process.send_signal(number)
    process.wait(20)
    assert top.exists() == (number == signal.SIGKILL)
    with checked_out(project, commit):
        assert len(worktrees(repository)) == 2
    assert (left(project), len(worktrees(repository))) == ([], 1)


def test_what_was_killed_halfway_goes(repository: Repository, project: Project) -> None:
    """Before git had made the working tree, or after it was half removed; an unreadable note after a day."""
    commit = repository.git("rev-parse", "HEAD")
    with checked_out(project, commit) as top:
        note = json.loads(top.with_name(f"{top.name}.json").read_text())
    note |= {"pid": 2**22 + 1, "lock": "gone"}
    folder = project.state / FOLDER
    (folder / "replay-1.json").write_text(json.dumps(note))
    (folder / "replay-2.json").write_text("{")
    (folder / "replay-3.json").write_text("[]")
    (folder / "replay-3").mkdir()
    os.utime(folder / "replay-3.json", (time.time() - 100_000,) * 2)
    with checked_out(project, commit):
        pass
    assert left(project) == ["replay-2.json"]


def test_what_a_run_left_running_ends(project: Project) -> None:
    """Also what has a session of its own; it is known by where its records were to go."""
    with workspace(project) as place:
        started = {
            name: subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"],
                env={**os.environ, "DERIVA_ML_STATE": str(state)},
                start_new_session=True,
            )
            for name, state in {"its": place / "state", "other": project.state}.items()
        }
    try:
        assert started["its"].wait(20) == -signal.SIGKILL
        assert started["other"].poll() is None
    finally:
        for process in started.values():
            process.kill()
            process.wait()
