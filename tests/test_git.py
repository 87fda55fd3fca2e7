"""What the runner learns from git is right for every file name, and git's errors reach the person."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import changed_files, git, has_identity, repository_root
from deriva_ml.replay import audit_hook
from git_repository import Repository, isolate_git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    isolate_git(monkeypatch, tmp_path)
    made = Repository.create(tmp_path / "a project")
    made.commit("kept.txt")
    return made


def test_output_keeps_its_spaces_and_loses_only_the_final_newline(repository: Repository) -> None:
    """A status line begins with a blank that means something, and a diff may end in blank lines."""
    repository.write("kept.txt", "changed\n")
    assert git(repository.path, "status", "--short") == " M kept.txt"
    assert git(repository.path, "log", "--format=%s%n", "-1") == "Change kept.txt\n"


def test_a_failing_command_raises_with_gits_own_words(repository: Repository) -> None:
    with pytest.raises(DerivaMLRequestError, match="pathspec 'nowhere' did not match"):
        git(repository.path, "checkout", "nowhere")
    assert git(repository.path, "checkout", "nowhere", check=False) == ""


def test_a_refused_push_names_the_ref_and_not_the_hint(repository: Repository, tmp_path: Path) -> None:
    """git prints paragraphs of hints after the line that says what happened."""
    server = Repository.create(tmp_path / "server.git", "--bare")
    repository.git("push", "--quiet", str(server.path), "main")
    repository.git("commit", "--quiet", "--amend", "--message", "Other")
    with pytest.raises(DerivaMLRequestError) as caught:
        git(repository.path, "push", str(server.path), "main")
    assert str(caught.value).split() == "! [rejected] main -> main (non-fast-forward)".split()


def test_without_git_the_error_says_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (lambda: git(tmp_path, "status", check=False), lambda: repository_root(tmp_path)):
        with pytest.raises(DerivaMLRequestError, match="git is not installed"):
            ask()


def test_a_missing_folder_is_not_taken_for_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(DerivaMLRequestError, match="no such folder"):
        git(tmp_path / "gone", "status")


def test_bytes_that_are_not_utf8_can_still_be_shown(repository: Repository) -> None:
    repository.path.joinpath("latin.txt").write_bytes("café\n".encode("latin-1"))
    repository.git("add", "--all")
    assert "caf\N{REPLACEMENT CHARACTER}" in git(repository.path, "diff", "--cached")


def test_the_root_is_found_from_a_folder_inside(repository: Repository) -> None:
    inside = repository.path / "notebooks" / "deep"
    inside.mkdir(parents=True)
    root = repository_root(inside)
    assert root is not None
    assert root.samefile(repository.path)


def test_outside_any_repository_there_is_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_git(monkeypatch, tmp_path)
    assert repository_root(tmp_path) is None


def test_a_repository_that_git_will_not_read_is_not_called_none(repository: Repository) -> None:
    """`No repository` would send a person to make a second one; git's reason is what they need."""
    repository.path.joinpath(".git", "config").write_text("[core\n", encoding="utf-8")
    with pytest.raises(DerivaMLRequestError, match="bad config"):
        repository_root(repository.path)


@pytest.mark.parametrize(
    "name", ["plain.txt", "with space.txt", "{braces}.txt", "naïve ünï 数.txt", '"quoted".txt']
)
def test_a_new_file_is_changed_whatever_its_name(repository: Repository, name: str) -> None:
    if os.name == "nt" and '"' in name:
        pytest.skip("Windows has no such file names")
    repository.write(f"sub folder/{name}", "new\n")
    assert changed_files(repository.path) == [f"sub folder/{name}"]


def test_every_kind_of_change_counts_and_ignored_files_do_not(repository: Repository) -> None:
    repository.write(".gitignore", "ignored/\n")
    repository.write("deleted.txt", "one\n")
    repository.commit("edited.txt", "one\n")
    repository.write("edited.txt", "two\n")
    repository.write("staged.txt", "new\n")
    repository.git("add", "staged.txt")
    repository.write("untracked/a.txt", "new\n")
    repository.write("untracked/b.txt", "new\n")
    repository.write("ignored/c.txt", "new\n")
    repository.path.joinpath("deleted.txt").unlink()
    assert sorted(changed_files(repository.path)) == [
        "deleted.txt", "edited.txt", "staged.txt", "untracked/a.txt", "untracked/b.txt",
    ]  # fmt: skip


def test_a_renamed_file_counts_under_both_names(repository: Repository) -> None:
    repository.git("mv", "kept.txt", "new name.txt")
    repository.write("z.txt", "after the rename\n")
    assert sorted(changed_files(repository.path)) == ["kept.txt", "new name.txt", "z.txt"]


def test_a_copys_source_is_not_changed(repository: Repository) -> None:
    repository.git("config", "status.renames", "copies")
    repository.git("config", "diff.renames", "copies")
    repository.write("copy.txt", repository.path.joinpath("kept.txt").read_text())
    repository.git("add", "copy.txt")
    assert changed_files(repository.path) == ["copy.txt"]


def test_a_clean_tree_has_no_changes(repository: Repository) -> None:
    assert changed_files(repository.path) == []


def test_a_guess_from_the_machines_name_is_no_identity(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has_identity(repository.path)
    isolate_git(monkeypatch, tmp_path, identity="")
    assert not has_identity(repository.path)


def hook(repository: Path, name: str, *lines: str) -> None:
    """A hook that says these lines and refuses."""
    path = repository / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in lines) + "exit 1\n")
    path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the hooks are shell scripts")
@pytest.mark.parametrize("atomic", [[], ["--atomic"]])
def test_a_refused_push_is_told_in_the_words_of_who_refused(
    repository: Repository, tmp_path: Path, atomic: list[str]
) -> None:
    """Git itself says no more than that a hook declined, or that some refs were not pushed."""
    there, push = (
        tmp_path / "there.git",
        ["push", *atomic, str(tmp_path / "there.git"), "HEAD:refs/heads/main"],
    )
    git(tmp_path, "init", "--quiet", "--bare", str(there))
    hook(there, "pre-receive", "===", "main is protected: ask for a review")
    with pytest.raises(DerivaMLRequestError) as refused:
        git(repository.path, *push)
    assert "hook declined" in str(refused.value)
    assert str(refused.value).endswith("; remote: main is protected: ask for a review")
    hook(repository.path / ".git", "pre-push", "checking", "notebooks have outputs")
    with pytest.raises(DerivaMLRequestError) as refused:
        git(repository.path, *push)
    assert str(refused.value) == "notebooks have outputs"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for ssh is a shell script")
@pytest.mark.parametrize("said", ["git@host: Permission denied (publickey).", "ERROR: Repository not found."])
def test_a_remote_that_cannot_be_read_is_told_in_its_own_words(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo '{said}' >&2; false")
    with pytest.raises(DerivaMLRequestError) as refused:
        git(repository.path, "ls-remote", "git@host:me/study.git")
    assert str(refused.value) == said
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    with pytest.raises(DerivaMLRequestError, match="Could not read from remote repository"):
        git(repository.path, "ls-remote", "git@host:me/study.git")


def test_the_module_needs_nothing_slow() -> None:
    """Every command imports it, so its cost is part of every --help."""
    heavy = "pandas, hydra, papermill, nbformat, jupyter_client, bumpversion".split(", ")
    code = f"import sys, deriva_ml.git; sys.exit(any(name in sys.modules for name in {heavy!r}))"
    source = Path(sys.modules["deriva_ml"].__path__[0]).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=source).returncode == 0


def test_what_git_starts_is_not_looked_at_by_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook notes what the run that is repeated starts; filters of notebooks are the runner's affair."""
    monkeypatch.setenv(audit_hook.NOTES, "notes")
    git(tmp_path, "init", "--quiet")
    assert "notes" not in git(tmp_path, "-c", f"alias.told=!echo ${audit_hook.NOTES}", "told")
