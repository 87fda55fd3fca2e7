"""A release of the template is made in one step, from a state that is fit for it, or not at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from conftest import ROOT, Outcome, ProjectFolder

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- Something new.

## [0.1.0] - 2026-11-22

- The first.
"""


@pytest.fixture(scope="module")
def fit(plain: Path, clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A repository of this template that could be released, with a remote."""
    folder = tmp_path_factory.mktemp("release")
    repository = ProjectFolder(folder / "template", clean_env)
    shutil.copytree(plain, repository.path)
    shutil.copytree(ROOT / "scripts", repository / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, repository.path)
    settings = repository / "pyproject.toml"
    settings.write_text(
        re.sub(r'^version = ".*"$', 'version = "0.1.0"', settings.read_text(), flags=re.MULTILINE)
    )
    (repository / "CHANGELOG.md").write_text(CHANGELOG)
    run_script(repository, "digests.py")
    repository.git("init", "--quiet")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "First")
    repository.git("tag", "--annotate", "v0.1.0", "--message", "Version 0.1.0")
    subprocess.run(["git", "clone", "--quiet", "--bare", repository.path, folder / "remote"], check=True)
    repository.git("remote", "add", "origin", str(folder / "remote"))
    return repository


@pytest.fixture
def repository(fit: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    """Such a repository for one test."""
    shutil.copytree(fit.path, tmp_path / "template")
    copied = ProjectFolder(tmp_path / "template", fit.env)
    copied.run("git", "update-index", "--refresh")
    return copied


def run_script(repository: ProjectFolder, *command: str) -> Outcome:
    name, *arguments = command
    return repository.run(sys.executable, str(repository / "scripts" / name), *arguments)


def commit(repository: ProjectFolder, name: str, text: str) -> None:
    (repository / name).write_text(text)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", f"Change {name}")


def state_of(repository: ProjectFolder) -> tuple[str, ...]:
    """Every ref, what differs from the last commit, and the released archives."""
    archives = sorted(path.name for path in repository.path.glob("tests/data/released/*"))
    return repository.git("for-each-ref"), repository.git("status", "--porcelain"), *archives


# ------------------------------------------------------------------------------------------------------- what it makes


def test_a_release_is_a_commit_and_a_tag_with_everything_that_belongs_to_it(
    repository: ProjectFolder,
) -> None:
    """The changelog's heading, the version, and the template as it is, for tests of updates from it."""
    before = repository.git("rev-parse", "HEAD")
    remote = repository.git("ls-remote", "origin")
    days = [date.today()]
    done = run_script(repository, "release.py", "0.2.0")
    days.append(date.today())  # midnight may have come meanwhile
    assert done.rc == 0, done.text
    assert repository.git("rev-parse", "HEAD~1") == before
    assert repository.git("cat-file", "-t", "v0.2.0") == "tag"
    assert repository.git("rev-parse", "v0.2.0^{commit}") == repository.git("rev-parse", "HEAD")
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("show", "--name-only", "--format=", "HEAD").splitlines() == [
        "CHANGELOG.md",
        "pyproject.toml",
        "tests/data/released/0.2.0.tar.gz",
    ]
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == "0.2.0"
    changelog = (repository / "CHANGELOG.md").read_text()
    assert any(
        f"## [Unreleased]\n\n## [0.2.0] - {day}\n\n### Added\n\n- Something new.\n" in changelog
        for day in days
    )
    with tarfile.open(repository / "tests/data/released/0.2.0.tar.gz") as archive:
        archived = {member.name for member in archive if member.isfile()}
    template = repository.git(
        "ls-tree", "-r", "-z", "--name-only", "HEAD", "copier.yml", "extensions", "template"
    )
    assert archived == set(template.strip("\0").split("\0"))
    assert done.out.splitlines()[-1] == "to publish it: git push --atomic origin main v0.2.0"
    assert repository.git("ls-remote", "origin") == remote, "nothing is pushed"


def test_a_pre_release_leaves_the_changelog_to_the_release(repository: ProjectFolder) -> None:
    """It is only a version and a tag, which Copier takes when it is asked for pre-releases; the release comes after it."""
    assert run_script(repository, "release.py", "0.2.0-rc.1").rc == 0
    assert repository.git("show", "--name-only", "--format=", "HEAD") == "pyproject.toml"
    assert repository.git("tag", "--points-at", "HEAD") == "v0.2.0-rc.1"
    assert (repository / "CHANGELOG.md").read_text() == CHANGELOG
    assert run_script(repository, "release.py", "0.2.0").rc == 0
    assert run_script(repository, "release.py", "0.2.0-rc.2").rc == 2


# ----------------------------------------------------------------------------------------------------- what it refuses


def stale(repository: ProjectFolder) -> None:
    commit(repository, "template/src/deriva_ml/core.py", "# newer\n")


def nothing_new(repository: ProjectFolder) -> None:
    commit(repository, "CHANGELOG.md", CHANGELOG.replace("- Something new.\n", ""))


def another_branch(repository: ProjectFolder) -> None:
    repository.git("switch", "--quiet", "--create", "other")


def no_branch(repository: ProjectFolder) -> None:
    repository.git("switch", "--quiet", "--detach")


def dirty(repository: ProjectFolder) -> None:
    (repository / "note.txt").touch()


def later_tag(repository: ProjectFolder) -> None:
    repository.git("switch", "--quiet", "--create", "other")
    commit(repository, "note.txt", "later\n")
    repository.git("tag", "v0.10.0")
    repository.git("switch", "--quiet", "main")


@pytest.mark.parametrize(
    ("version", "change", "said"),
    [
        ("0.2.0", dirty, "uncommitted changes (note.txt)"),
        ("0.2.0", another_branch, "git switch main"),
        ("0.2.0", no_branch, "git switch main"),
        ("0.2.0", stale, "make digests"),
        ("0.2.0", nothing_new, "nothing under Unreleased"),
        ("0.9.0", later_tag, "not newer than 0.10.0"),
        ("0.1.0", None, "not newer than 0.1.0"),
        ("0.1.0-rc.1", None, "not newer than 0.1.0"),
        ("1", None, "not a version such as"),
        ("v0.2.0", None, "not a version such as"),
        ("0.02.0", None, "not a version such as"),
        ("0.2.0rc1", None, "not a version such as"),
        ("0.2.0; true", None, "not a version such as"),
        ("", None, "VERSION=1.2.3"),
    ],
)
def test_what_is_not_fit_is_refused_in_one_line(
    repository: ProjectFolder, version: str, change: Callable[[ProjectFolder], None] | None, said: str
) -> None:
    """Exit status 2, and nothing has changed."""
    if change:
        change(repository)
    before = state_of(repository)
    done = run_script(repository, "release.py", version)
    assert (done.rc, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and said in done.err
    assert state_of(repository) == before


def no_commit(repository: ProjectFolder) -> Callable[[], object]:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho fatal: not today >&2\nexit 1\n")
    hook.chmod(0o755)
    return hook.unlink


def no_tag(repository: ProjectFolder) -> Callable[[], object]:
    repository.git("config", "tag.gpgSign", "true")
    repository.git("config", "gpg.program", "false")
    return lambda: repository.git("config", "tag.gpgSign", "false")


@pytest.mark.parametrize(("prevent", "said"), [(no_commit, "fatal: not today"), (no_tag, "unable to sign")])
def test_a_release_that_fails_half_way_leaves_nothing_behind(
    repository: ProjectFolder, prevent: Callable[[ProjectFolder], Callable[[], object]], said: str
) -> None:
    """A hook refuses the commit, or the tag cannot be signed after it; the line is git's own."""
    allow = prevent(repository)
    before = state_of(repository)
    done = run_script(repository, "release.py", "0.2.0")
    assert done.rc == 2 and said in done.err and done.err.count("error:") == 1, done.text
    assert done.err.count("\n") == 1
    assert state_of(repository) == before
    allow()
    assert run_script(repository, "release.py", "0.2.0").rc == 0


# ---------------------------------------------------------------------------------------------- this repository's own


def test_make_knows_how(clean_env: dict[str, str]) -> None:
    """`make release` and `make digests` run the scripts that are tested here."""
    for target in ("release", "digests"):
        done = ProjectFolder(ROOT, clean_env).run("make", "--dry-run", target, "VERSION=0.2.0", check=True)
        assert f"scripts/{target}.py" in done.out and (ROOT / "scripts" / f"{target}.py").exists()


def test_every_release_has_its_section_in_the_changelog_and_its_archive() -> None:
    """So that updates from each of them are tested."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[([^\]]+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert changelog.count("\n## [Unreleased]\n") == 1 and released
    archives = {path.name.removesuffix(".tar.gz") for path in (ROOT / "tests/data/released").glob("*.tar.gz")}
    assert set(released) == archives
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] in released
    )
