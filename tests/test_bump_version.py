"""`bump-version` names exactly one committed state, publishes it, and says what it did not do."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml.cli.bump_version import main, version_tags
from git_repository import Repository, isolate_git

PYPROJECT = """\
[project]
name = "example"
dynamic = ["version"]

[tool.bumpversion]
tag = true
tag_name = "v{new_version}"
tag_message = "Version {new_version}"
commit = false
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository with one commit and no version, as the working directory."""
    isolate_git(monkeypatch, tmp_path)
    repository = Repository.create(tmp_path / "my {project} ü")
    repository.commit("pyproject.toml", PYPROJECT)
    monkeypatch.chdir(repository.path)
    return repository


@pytest.fixture
def server(project: Repository, tmp_path: Path) -> Repository:
    """A bare repository that the project knows as `origin`; nothing was pushed yet."""
    bare = Repository.create(tmp_path / "server.git", "--bare")
    project.git("remote", "add", "origin", str(bare.path))
    return bare


def hook(server: Repository, name: str, script: str) -> None:
    path = server.path / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_repository_without_versions_starts_at_0_1_0(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Starting is the whole bump, whichever part was asked for."""
    assert main(["major"]) == 0
    assert project.tags() == ["v0.1.0"]
    assert project.git("cat-file", "-t", "v0.1.0") == "tag", "versions are annotated tags"
    assert "the first version" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "version"),
    [
        ({"START": "1.0.0"}, "v1.0.0"),
        ({"PREFIX": "v"}, "v0.1.0"),
        ({"START": "2.1.0", "PREFIX": "v"}, "v2.1.0"),
        ({"START": "one"}, None),
        ({"PREFIX": "rel-"}, None),
    ],
)
def test_variables_say_where_versions_start(
    project: Repository,
    variables: dict[str, str],
    version: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would be no version is refused; where there is one, it is stepped from, whatever they say."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([]) == (0 if version else 2)
    assert project.tags() == ([version] if version else [])
    if version:
        assert project.git("describe", "--tags") == version  # upstream's users ask setuptools_scm for it
        project.commit()
        assert main(["minor"]) == 0
        monkeypatch.setenv("PREFIX", "/usr/local")  # of another program's, and of no concern any more
        project.commit("b.txt")
        assert main([]) == 0
        assert len(project.tags()) == 3 and version_tags("\n".join(project.tags()))[-1] > version
    else:
        assert "of PREFIX and START, is no version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "version"),
    [([], "v1.2.4"), (["patch"], "v1.2.4"), (["minor"], "v1.3.0"), (["major"], "v2.0.0")],
)
def test_each_part_steps_as_semantic_versioning_says(
    project: Repository, arguments: list[str], version: str
) -> None:
    project.git("tag", "v1.2.3")
    head = project.commit()
    assert main(arguments) == 0
    assert project.tags() == ["v1.2.3", version]
    assert project.git("rev-parse", f"{version}^{{commit}}") == head
    assert project.git("tag", "--list", "--format=%(contents:subject)", version) == f"Version {version[1:]}"
    assert project.git("status", "--porcelain") == ""


def test_the_current_version_is_the_highest_and_other_tags_are_ignored(project: Repository) -> None:
    """9 is below 10, and a tag that only looks like a version is none."""
    for tag in ("v0.9.0", "v0.10.0", "v0.11.0-rc1", "v1", "vendor-7.0.0", "2.0.0", "v01.0.0"):
        project.git("tag", tag)
    project.commit()
    project.git("tag", "nearest")
    assert main(["patch"]) == 0
    assert "v0.10.1" in project.tags()


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), unique=True))
def test_versions_sort_by_number(versions: list[tuple[int, int, int]]) -> None:
    names = ["v{}.{}.{}".format(*version) for version in versions]
    assert version_tags("\n".join([*names, "other"])) == [
        "v{}.{}.{}".format(*version) for version in sorted(versions)
    ]


def test_it_works_from_a_subfolder(project: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    project.git("tag", "v1.0.0")
    project.commit("notebooks/a.txt")
    monkeypatch.chdir(project.path / "notebooks")
    assert main([]) == 0
    assert project.tags() == ["v1.0.0", "v1.0.1"]


def test_a_dirty_tree_is_refused_and_its_files_are_named(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("pyproject.toml", PYPROJECT + "\n")
    project.write("notebooks/new one.ipynb", "{}")
    assert main(["patch"]) == 2
    error = capsys.readouterr().err
    assert "pyproject.toml" in error
    assert "notebooks/new one.ipynb" in error
    assert len(error.splitlines()) == 1
    assert project.tags() == []


def test_a_very_dirty_tree_names_ten_files_and_counts_the_rest(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(25):
        project.write(f"file{number:02}.txt", "new\n")
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.count(".txt") == 10
    assert "and 15 more" in error


@pytest.mark.parametrize("tracked", [True, False])
def test_a_lone_changed_lock_file_is_committed_first(project: Repository, tracked: bool) -> None:
    """uv rewrites it by the way, and a version without its lock file could not be reproduced."""
    if tracked:
        project.commit("uv.lock", "one\n")
    project.write("uv.lock", "two\n")
    assert main([]) == 0
    assert project.git("show", "v0.1.0:uv.lock") == "two"
    assert project.git("show", "--format=%s", "--name-only", "HEAD").split("\n") == [
        "Update uv.lock", "", "uv.lock",
    ]  # fmt: skip


def test_a_changed_lock_file_among_others_is_not_committed(project: Repository) -> None:
    before = project.refs()
    project.write("uv.lock", "two\n")
    project.write("other.txt", "two\n")
    assert main([]) == 2
    assert project.refs() == before


def test_without_a_remote_it_says_what_it_did_not_do(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert "not pushed: this repository has no remote" in capsys.readouterr().out


def test_commits_and_tag_go_to_the_remote(
    project: Repository, server: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first time the branch gets its upstream; versions made before there was a remote go along."""
    project.git("tag", "--annotate", "v0.1.0", "--message", "first")
    head = project.commit()
    assert main(["minor"]) == 0
    assert server.git("rev-parse", "main", "v0.2.0^{commit}").split() == [head, head]
    assert server.tags() == ["v0.1.0", "v0.2.0"]
    assert project.git("rev-parse", "--abbrev-ref", "main@{upstream}") == "origin/main"
    assert "pushed main, v0.1.0, v0.2.0 to origin" in capsys.readouterr().out
    head = project.commit("b.txt")
    assert main([]) == 0
    assert server.git("rev-parse", "main", "v0.2.1^{commit}").split() == [head, head]


def test_a_branch_that_follows_another_is_pushed_under_its_own_name(
    project: Repository, server: Repository
) -> None:
    """Work on a branch cut from `origin/main` must not land on main because of a version."""
    assert main([]) == 0
    main_before = server.git("rev-parse", "main")
    project.git("checkout", "--quiet", "-b", "idea", "--track", "origin/main")
    head = project.commit()
    assert main([]) == 0
    assert server.git("rev-parse", "main", "idea").split() == [main_before, head]


def test_the_branchs_own_remote_is_used(project: Repository, server: Repository, tmp_path: Path) -> None:
    lab = Repository.create(tmp_path / "lab.git", "--bare")
    project.git("remote", "add", "lab", str(lab.path))
    project.git("push", "--quiet", "--set-upstream", "lab", "main")
    assert main([]) == 0
    assert lab.tags() == ["v0.1.0"]
    assert server.tags() == []


def test_on_a_detached_head_only_the_tag_is_pushed(
    project: Repository, server: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    project.git("checkout", "--quiet", "--detach")
    assert main([]) == 0
    assert server.git("for-each-ref", "--format=%(refname)") == "refs/tags/v0.1.0"
    assert "HEAD is detached" in capsys.readouterr().out


def test_a_refused_push_keeps_the_tag_and_gives_the_command_for_later(
    project: Repository, server: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(server, "pre-receive", "echo no releases on Fridays >&2; exit 1")
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "v0.1.0 exists here but was not pushed" in error
    assert "pre-receive hook declined" in error
    assert len(error.splitlines()) == 1
    assert project.tags() == ["v0.1.0"]
    (server.path / "hooks" / "pre-receive").unlink()
    command = error.strip().rpartition(": ")[2].split()
    assert command[:2] == ["git", "push"]
    project.git(*command[1:])
    assert server.tags() == ["v0.1.0"]
    assert server.git("rev-parse", "main") == project.git("rev-parse", "HEAD")


def test_a_tag_does_not_go_out_ahead_of_its_refused_branch(
    project: Repository, server: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(server, "update", 'case "$1" in refs/heads/*) exit 1;; esac')
    assert main([]) == 1
    assert "main -> main (hook declined)" in capsys.readouterr().err
    assert server.refs() == ""


def test_a_server_without_atomic_pushes_is_pushed_to_all_the_same(
    project: Repository, server: Repository
) -> None:
    server.git("config", "receive.advertiseAtomic", "false")
    assert main([]) == 0
    assert server.tags() == ["v0.1.0"]


def test_an_unreachable_remote_is_a_push_that_failed(
    project: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "v0.1.0 exists here but was not pushed" in error
    assert "git push --set-upstream origin main v0.1.0" in error
    assert project.tags() == ["v0.1.0"]


def test_a_version_that_a_colleague_pushed_is_not_given_again(
    project: Repository, server: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    colleague = Repository(tmp_path / "colleague")
    project.git("clone", "--quiet", str(server.path), str(colleague.path))
    colleague.commit("theirs.txt")
    colleague.git("tag", "--annotate", "v0.1.1", "--message", "theirs")
    colleague.git("push", "--quiet", "origin", "main", "v0.1.1")
    project.commit("ours.txt")
    before = project.refs()
    capsys.readouterr()

    assert main([]) == 2
    assert "the remote has v0.1.1" in capsys.readouterr().err
    assert project.refs() == before

    project.git("fetch", "--quiet", "--tags")
    assert main([]) == 2
    assert "v0.1.1 names" in capsys.readouterr().err

    project.git("merge", "--quiet", "--no-edit", "origin/main")
    assert main([]) == 0
    assert server.tags() == ["v0.1.0", "v0.1.1", "v0.1.2"]


def test_a_shallow_clone_does_not_start_over(
    project: Repository, server: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A CI checkout has one commit and no tags: its next version is not the first."""
    project.git("tag", "--annotate", "v3.0.0", "--message", "x")
    project.commit()
    project.git("push", "--quiet", "origin", "main", "v3.0.0")
    shallow = Repository(tmp_path / "shallow")
    project.git("clone", "--quiet", "--depth=1", "--no-tags", server.path.as_uri(), str(shallow.path))
    monkeypatch.chdir(shallow.path)
    assert main([]) == 2
    assert "v3.0.0" in capsys.readouterr().err
    shallow.git("fetch", "--quiet", "--tags", "--depth=1")
    assert main([]) == 2
    assert "git fetch --unshallow" in capsys.readouterr().err
    shallow.git("fetch", "--quiet", "--unshallow")
    assert main([]) == 0
    assert server.tags() == ["v3.0.0", "v3.0.1"]


def test_bumping_twice_gives_both_versions_and_says_that_they_are_one_commit(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calling the tested v0.1.0 by the name v1.0.0 is a decision of the person's; it is done, and noted."""
    assert main([]) == 0
    assert "note" not in capsys.readouterr().out
    assert main(["major"]) == 0
    assert project.tags() == ["v0.1.0", "v1.0.0"]
    assert "nothing was committed since v0.1.0" in capsys.readouterr().out
    project.commit()
    assert main(["minor"]) == 0
    assert project.tags() == ["v0.1.0", "v1.0.0", "v1.1.0"]


@pytest.mark.parametrize("versions", [[], ["v0.1.0"]])
def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    project: Repository, server: Repository, versions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for version in versions:
        project.git("tag", version)
    project.commit()
    project.write("uv.lock", "new\n")
    before = project.refs()
    assert main(["minor", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "would commit uv.lock" in told
    assert f"as {'v0.2.0' if versions else 'v0.1.0'}" in told
    assert "would push main" in told
    assert project.refs() == before
    assert server.refs() == ""
    assert project.git("status", "--porcelain") == "?? uv.lock"


def test_files_that_the_table_lists_are_rewritten_in_the_tagged_commit(project: Repository) -> None:
    """The table in pyproject.toml is bump-my-version's own, with all that it can do."""
    table = PYPROJECT.replace("commit = false", 'commit = true\nmessage = "Release {new_version}"')
    project.write("CITATION.cff", "version: 1.0.0\n")
    project.commit("pyproject.toml", table + '\n[[tool.bumpversion.files]]\nfilename = "CITATION.cff"\n')
    project.git("tag", "v1.0.0")
    assert main(["minor"]) == 0
    assert project.git("show", "v1.1.0:CITATION.cff") == "version: 1.1.0"
    assert project.git("log", "-1", "--format=%s") == "Release 1.1.0"
    assert project.git("rev-parse", "v1.1.0^{commit}") == project.git("rev-parse", "HEAD")


def test_without_a_table_the_tag_is_made_all_the_same(project: Repository) -> None:
    project.git("tag", "v1.0.0")
    project.commit("pyproject.toml", '[project]\nname = "example"\n')
    assert main([]) == 0
    assert project.tags() == ["v1.0.0", "v1.0.1"]


def test_what_bump_my_version_refuses_is_one_line(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(Repository(project.path / ".git"), "reference-transaction", "echo frozen >&2; exit 1")
    project.git("config", "core.hooksPath", "nowhere")
    project.git("tag", "v1.0.0")
    project.git("config", "--unset", "core.hooksPath")
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: bump-my-version: ")
    assert "hook" in error
    assert len(error.splitlines()) == 1


def test_outside_a_repository_it_names_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolate_git(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "not in a git repository: run deriva-ml-init" in capsys.readouterr().err


def test_a_repository_without_commits_has_nothing_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolate_git(monkeypatch, tmp_path)
    monkeypatch.chdir(Repository.create(tmp_path / "empty").path)
    assert main([]) == 2
    assert "has no commit" in capsys.readouterr().err


def test_without_an_identity_the_two_commands_are_named(
    project: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolate_git(monkeypatch, tmp_path, identity="")
    assert main([]) == 2
    error = capsys.readouterr().err
    assert "git config --global user.name" in error
    assert "git config --global user.email" in error
    assert project.tags() == []


def test_an_unknown_part_is_a_wrong_request(project: Repository) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["huge"])
    assert stopped.value.code == 2
    assert project.tags() == []


def test_help_loads_no_bump_my_version() -> None:
    code = (
        "import sys; from deriva_ml.cli.bump_version import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: sys.exit('bumpversion' in sys.modules or 'pydantic' in sys.modules)"
    )
    source = Path(sys.modules["deriva_ml"].__path__[0]).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True).returncode == 0
