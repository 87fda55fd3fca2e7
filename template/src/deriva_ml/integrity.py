"""Whether a project's runner is as the template brought it: its files against the digests in ``SHA256SUMS``."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git
from deriva_ml.project import Project

DIGESTS = "SHA256SUMS"
"""The list of digests, in the runner's folder; ``sha256sum --check SHA256SUMS`` reads it there as well."""

EDITED, MISSING, ADDED = "edited", "missing", "added"

_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^\s\ufffd][^\ufffd]*)")  # U+FFFD is what was not UTF-8


@dataclass(frozen=True)
class Difference:
    """A file of the runner that is not as the template brought it.

    Attributes:
        kind: ``edited``, ``missing`` or ``added``.
        path: relative to the project's root.
        commit: of the project, in which the file is as it was brought; empty where there is none.
    """

    kind: str
    path: str
    commit: str = ""


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file as git stores it: a checkout on Windows may end a text's lines otherwise."""
    text = b"\0" not in content  # as git tells one
    return hashlib.sha256(content.replace(b"\r\n", b"\n") if text else content).hexdigest()


def digests(runner: Path) -> dict[str, str]:
    """Return the digests of the runner's files by name, but for caches, hidden files, and the list itself."""
    files = {path.relative_to(runner).as_posix(): path for path in runner.rglob("*") if path.is_file()}
    return {name: digest(files[name].read_bytes()) for name in sorted(files) if not _ignored(name)}


def compare(project: Project) -> list[Difference]:
    """Return the files of the project's runner that are not as they came, by name.

    Raises:
        DerivaMLRequestError: there is no list of digests to compare with, or it is damaged.
    """
    runner = project.runner
    came, found = brought(runner / DIGESTS), digests(runner)
    kinds = {
        name: MISSING if name not in found else ADDED if name not in came else EDITED
        for name in sorted({*came, *found})
        if came.get(name) != found.get(name)
    }
    folder = runner.relative_to(project.root)
    return [
        Difference(kind, (folder / name).as_posix(), _commit_of(runner, name, came))
        for name, kind in kinds.items()
    ]


def brought(path: Path) -> dict[str, str]:
    """Return the digests that came with the runner, by name.

    Raises:
        DerivaMLRequestError: the list is not there, or has a line that is none of its own.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise DerivaMLRequestError(
            f"{path} is not there, so the runner cannot be checked: take it back from git if you have deleted it,"
            " or update the project (uvx copier update), which brings it"
        ) from error
    matches = [_LINE.fullmatch(line) for line in lines]
    if None in matches:
        raise DerivaMLRequestError(
            f"line {matches.index(None) + 1} of {path} is not a digest and a name: take the file back from git"
        )
    return {match[2]: match[1] for match in matches if match}


def _ignored(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
    return hidden or name == DIGESTS or name.endswith((".pyc", ".pyo"))


def _commit_of(runner: Path, name: str, came: Mapping[str, str]) -> str:
    """Return the newest commit in which the file has the content that the template brought, in git's short spelling.

    The commit that brought the file is not always one: what Copier merged with an edit is committed merged.
    """
    if name not in came or not shutil.which("git"):
        return ""
    commits = git(runner, "log", "--no-show-signature", "--format=%h", "--", name, check=False)
    for commit in commits.splitlines():
        shown = subprocess.run(["git", "show", f"{commit}:./{name}"], cwd=runner, capture_output=True)
        if shown.returncode == 0 and digest(shown.stdout) == came[name]:
            return commit
    return ""
