"""The commits that records name, as a git bundle: out of one repository and into another."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import deriva_ml.disk as disk
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.execution.kept_commits import REFS, keep_commit
from deriva_ml.git import git, listed, repository_root

_SAFELY = ("core.hooksPath=/dev/null", "fetch.fsckObjects=true", "transfer.fsckObjects=true", "gc.auto=0")


def bundle(commits: Collection[str], folder: Path, target: Path) -> str:
    """Write the commits of the repository that ``folder`` is in, with all that they are made of.

    Returns:
        Which could not be written, as a line for a person; empty if all were. The file is not there if none was.

    Raises:
        DerivaMLRequestError: there is no repository.
    """
    if repository_root(folder) is None:
        raise DerivaMLRequestError(f"{folder} is not in a git repository, so that there is no code to export")
    missing = [commit for commit in sorted(commits) if keep_commit(commit, folder)]
    if refs := [f"{REFS}/{commit}" for commit in sorted({*commits} - {*missing})]:
        git(folder, "-c", "pack.threads=1", "bundle", "create", "--quiet", str(target), *refs)
    if missing:
        return f"commits that are not in this repository are left out: {listed(missing, 5)}"
    return ""


def fetch(source: Path, folder: Path) -> list[str]:
    """Bring a bundle's commits into the repository that ``folder`` is in, under the refs that keep them.

    Its objects are checked; no hook is run, and no other ref is written.

    Returns:
        The refs that are new.

    Raises:
        DerivaMLRunError: the bundle is damaged, or has other refs than those.
    """
    before, heads = _kept(folder), set()
    try:
        for line in git(folder, "bundle", "list-heads", str(source)).splitlines():
            commit, _, ref = line.partition(" ")
            if ref != f"{REFS}/{commit}" or not re.fullmatch("[0-9a-f]+", commit):
                raise DerivaMLRequestError(f"it has the ref {ref}")
            heads.add(ref)
        with disk.temporary_folder(source.parent) as between:
            # Objects that come out of a bundle are checked by git 2.46 and later, those of a repository by all.
            form = git(folder, "rev-parse", "--show-object-format")
            git(folder, "init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(between))
            _fetch(between, source)
            _fetch(folder, between)
    except BaseException as error:
        drop(heads & _kept(folder) - before, folder)
        if not isinstance(error, DerivaMLRequestError):
            raise
        raise DerivaMLRunError(f"the commits in it are not taken into this repository: {error}") from error
    return sorted(heads & _kept(folder) - before)  # a run beside it keeps its own meanwhile


def _fetch(folder: Path, source: Path) -> None:
    settings = (word for setting in _SAFELY for word in ("-c", setting))
    flags = ("--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-write-fetch-head")
    git(folder, *settings, "fetch", *flags, str(source), f"{REFS}/*:{REFS}/*")


def drop(refs: Collection[str], folder: Path) -> None:
    """Take back refs that were just fetched."""
    for ref in refs:
        git(folder, "update-ref", "-d", ref)


def _kept(folder: Path) -> set[str]:
    return {*git(folder, "for-each-ref", "--format=%(refname)", REFS).split()}
