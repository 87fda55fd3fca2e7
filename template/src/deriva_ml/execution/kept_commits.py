"""Keeps the commits that records name, each by a ref of its own, so that git's garbage collection does not take them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.git import git, push_remote, repository_root
from deriva_ml.working_tree import WorkingTree

REFS = "refs/deriva-ml"
"""Where the refs are, one a commit, named by it: beside branches and tags, so that neither lists them."""


def keep_commit(commit: str, folder: Path) -> str:
    """Keep a commit of the repository that ``folder`` is in, whatever becomes of its branch.

    Args:
        commit: full id; empty for code that is of none.

    Returns:
        Why it could not be kept, as a line for a person; empty if it is. The run goes on in any case.
    """
    # Nothing but an id: it becomes a path, and a word on git's command line.
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit) or _is_kept(commit, folder):
        return ""
    try:
        git(folder, "update-ref", f"{REFS}/{commit}", commit)
    except DerivaMLRequestError as error:
        if _is_kept(commit, folder):  # another run was faster
            return ""
        return (
            f"commit {commit[:7]} cannot be kept for this record ({error}): keep it on a branch or tag, or git"
            " deletes it some day"
        )
    return ""


def drop_commits(commits: Iterable[str], folder: Path) -> int:
    """Let git's garbage collection take commits that no record names any more; return how many were kept.

    A branch or tag that has them keeps them all the same.
    """
    count = 0
    for commit in commits:
        with suppress(DerivaMLRequestError):  # what stays kept harms nobody
            if _is_kept(commit, folder):
                git(folder, "update-ref", "-d", f"{REFS}/{commit}")
                count += 1
    return count


def _is_kept(commit: str, folder: Path) -> bool:
    """Whether the ref is there, as far as its file tells: looking takes no process, as git does (3 ms)."""
    try:
        tree = WorkingTree.around(folder)
        if tree is None:
            return False
        if (tree.common / REFS / commit).is_file():
            return True
        return f" {REFS}/{commit}\n".encode() in (tree.common / "packed-refs").read_bytes()
    except (OSError, ValueError, DerivaMLRequestError):
        return False


def push_commits(folder: Path, remote: str = "") -> str:
    """Push all kept commits of the repository that ``folder`` is in.

    Args:
        remote: name or address; by default where the current branch is pushed to.

    Returns:
        What was done, as a line for a person.

    Raises:
        DerivaMLRequestError: there is no repository or no remote.
        DerivaMLRunError: git could not push, and says why.
    """
    from deriva_ml.redaction import redact

    root = repository_root(folder)
    if root is None:
        raise DerivaMLRequestError(f"{folder} is not in a git repository: run deriva-ml-init first")
    kept = git(root, "for-each-ref", "--format=%(refname)", REFS).split()
    if not kept:
        return "no commit is kept yet: a recorded run keeps its own"
    to = remote or push_remote(root, git(root, "branch", "--show-current"))
    if to is None:
        raise DerivaMLRequestError(
            "this repository has no remote to push its commits to: git remote add origin URL"
        )
    try:
        git(root, "push", "--", to, f"{REFS}/*:{REFS}/*")
    except DerivaMLRequestError as error:
        raise DerivaMLRunError(f"the kept commits were not pushed: {error}") from error
    to = redact(to)
    count = "1 kept commit is" if len(kept) == 1 else f"{len(kept)} kept commits are"
    return f"{count} on {to}: git fetch {to} '{REFS}/*:{REFS}/*' brings them into a clone"
