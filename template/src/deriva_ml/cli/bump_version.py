"""`bump-version`: give the committed state its next semantic version, as a git tag, and publish it.

The versions are the tags named like `v1.2.3`; nothing else stores one. bump-my-version does the step, so
that its table in `pyproject.toml` can add files to rewrite, hooks, or signed tags.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.command import command
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.git import (
    IDENTITY_HELP,
    changed_files,
    git,
    has_identity,
    listed,
    push_remote,
    repository_root,
)
from deriva_ml.project import project_around
from deriva_ml.terminal import print

FIRST_VERSION = "v0.1.0"
PARTS = ("major", "minor", "patch")
SHOWN_FILES = 10  # how many changed files a message names
# https://semver.org, item 2: three numbers without leading zeros. Pre-releases are not ours to bump.
_VERSION_TAG = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "bump-version",
        usage="[{major,minor,patch}] [options]",
        description="Tag the last commit with the next semantic version. Where there is a remote, the branch and the"
        " tag are pushed there.",
        examples=["bump-version --dry-run", "bump-version minor"],
    )
    parser.add_argument(
        "part",
        nargs="?",
        default="patch",
        choices=PARTS,
        help="which number of the version to raise (default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, and change nothing")
    return parser


@command
def main(argv: Sequence[str]) -> None:
    """Tag HEAD with the next version and push it, or say which part of that was not done."""
    options = parser().parse_args(argv)
    root = _committed_root(Path.cwd())
    home = _home(root)
    lock_file = (home / "uv.lock").relative_to(root).as_posix()
    lock_first = _check_clean(root, lock_file)
    branch = git(root, "branch", "--show-current")
    remote = push_remote(root, branch)
    here = version_tags(git(root, "tag", "--list", "--merged", "HEAD"))
    there = _tags_on(remote, root)
    tag = _next_tag(here, options.part)
    _check_free(tag, root, here, there)
    refs = [*([branch] if branch else []), *(old for old in here if remote and old not in there), tag]

    if here and not lock_first and here[-1] in git(root, "tag", "--points-at", "HEAD").splitlines():
        print(f"note: nothing was committed since {here[-1]}: both versions name the same commit")
    was = f" (was {here[-1]})" if here else " (the first version: a repository without one starts here)"
    if options.dry_run:
        if lock_first:
            print(f"would commit {lock_file}")
        print(f"would tag {_commit(root)} as {tag}{was}")
        print(f"would push {', '.join(refs)} to {remote}" if remote else "would not push: there is no remote")
        return

    if lock_first:
        git(root, "add", lock_file)
        git(root, "commit", "--quiet", "--message", f"Update {lock_file}", "--", lock_file)
        print(f"committed {lock_file}")
    _make_tag(home, options.part, here, tag)
    print(f"{tag}{was} is {_commit(root)}")
    if remote is None:
        print("not pushed: this repository has no remote (later: git remote add origin URL, then")
        print(f"  git push --set-upstream origin {branch or tag} --follow-tags)")
        return
    _push(root, remote, branch, tag, refs)
    print(f"pushed {', '.join(refs)} to {remote}")
    if not branch:
        print("note: HEAD is detached, so no branch was pushed with the tag")


def version_tags(names: str) -> list[str]:
    """Return the versions (`v1.2.3`) among the lines of `names`, lowest first; every other tag is left out."""
    found = filter(None, map(_VERSION_TAG.fullmatch, names.splitlines()))
    return [match[0] for match in sorted(found, key=lambda match: [int(number) for number in match.groups()])]


def _committed_root(cwd: Path) -> Path:
    """Return the repository of `cwd`, if it has a commit, and git knows the person."""
    root = repository_root(cwd)
    if root is None:
        raise DerivaMLRequestError(f"{cwd} is not in a git repository: run deriva-ml-init first")
    if not git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
        raise DerivaMLRequestError(
            f"{root} has no commit to give a version to: run deriva-ml-init, or commit"
        )
    if not has_identity(root):
        raise DerivaMLRequestError(IDENTITY_HELP)
    return root


def _home(root: Path) -> Path:
    """Return the project here: a repository may hold several, each with a lock file and settings of its own."""
    return project_around(Path.cwd(), root) or root


def _check_clean(root: Path, lock_file: str) -> bool:
    """True when the lock file alone has changed (it follows the environment, so it is committed first).

    Raises:
        DerivaMLRequestError: other files differ from the last commit; they are named.
    """
    changed = changed_files(root)
    if changed and changed != [lock_file]:
        names = listed(changed, SHOWN_FILES)
        raise DerivaMLRequestError(
            f"not committed yet: {names}; commit or stash first, a version names a commit"
        )
    return bool(changed)


def _tags_on(remote: str | None, root: Path) -> list[str]:
    """Return the version tags that the remote has; none where it does not answer (the push will say why)."""
    if remote is None:
        return []
    lines = git(root, "ls-remote", "--tags", "--refs", remote, check=False)
    return version_tags(re.sub(r"(?m)^.*refs/tags/", "", lines))


def _next_tag(here: list[str], part: str) -> str:
    """Return the next version's tag; the first one is of upstream's variables.

    Raises:
        DerivaMLRequestError: PREFIX and START are no version.
    """
    if not here:
        first = f"{os.environ.get('PREFIX', 'v')}{os.environ.get('START', FIRST_VERSION[1:])}"
        if not _VERSION_TAG.fullmatch(first):
            raise DerivaMLRequestError(f"{first}, of PREFIX and START, is no version, such as v1.0.0")
        return first
    numbers = [int(number) for number in here[-1][1:].split(".")]
    place = PARTS.index(part)
    return "v{}.{}.{}".format(*numbers[:place], numbers[place] + 1, *[0] * (2 - place))


def _check_free(tag: str, root: Path, here: list[str], there: list[str]) -> None:
    """Refuse a version that would be given twice, by this clone or by another one.

    Raises:
        DerivaMLRequestError: the remote or another branch has versions that this branch knows nothing of.
    """
    local = version_tags(git(root, "tag", "--list"))
    if unknown := [other for other in there if other not in local]:
        raise DerivaMLRequestError(
            f"the remote has {unknown[-1]}, which this clone does not know: run git fetch --tags,"
            " merge what is new, then bump again"
        )
    if tag in local or (local and not here):
        other = tag if tag in local else local[-1]
        raise DerivaMLRequestError(
            f"{other} names {_commit(root, other)}, which is not in the history of this branch:"
            " merge it first (in a shallow clone: git fetch --unshallow), then bump again"
        )


def _make_tag(home: Path, part: str, here: list[str], tag: str) -> None:
    """Make the tag with bump-my-version (the first one with git: there is nothing to step from).

    Raises:
        DerivaMLRunError: bump-my-version failed, or made another version; the message is its own.
    """
    if not here:
        git(home, "tag", "--annotate", tag, "--message", f"Version {tag[1:]}")
        return
    # -P: a file of the project's must not stand in for a module that bump-my-version imports.
    bump = [sys.executable, "-P", "-m", "bumpversion", "bump", part, "--current-version", here[-1][1:]]
    # Said here and not left to the table: without a tag, or with one of another form, there is no version.
    bump += ["--tag", "--no-push-tag", "--tag-name", "v{new_version}"]
    # It frames and wraps its messages to the terminal's width; one long line is easier to quote.
    environment = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        bump, cwd=home, env=environment, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        said = [line for line in (raw.strip(" │╭╮╰╯─") for raw in done.stderr.splitlines()) if line]
        raise DerivaMLRunError(f"bump-my-version: {said[-1] if said else 'failed'}")
    if not git(home, "tag", "--list", tag):
        raise DerivaMLRunError(f"bump-my-version made no tag {tag}: see [tool.bumpversion] in pyproject.toml")


def _push(root: Path, remote: str, branch: str, tag: str, refs: list[str]) -> None:
    """Push all refs or none, where the server can do that: a tag must not go out ahead of its branch."""
    no_upstream = branch and not git(root, "config", f"branch.{branch}.merge", check=False)
    push = [*(["--set-upstream"] if no_upstream else []), remote, *refs]
    for atomic in ("--atomic",), ():
        try:
            git(root, "push", *atomic, *push)
            return
        except DerivaMLRequestError as error:
            if atomic and any("--atomic" in note for note in getattr(error, "__notes__", ())):
                continue
            raise DerivaMLRunError(
                f"{tag} exists here but was not pushed ({error}); when that is mended: git push {' '.join(push)}"
            ) from error


def _commit(root: Path, revision: str = "HEAD") -> str:
    """Return the commit's short hash and subject, as git prints them."""
    return git(root, "log", "-1", "--format=%h (%s)", revision)
