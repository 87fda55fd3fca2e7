"""The source of two executions' code, at their commits, as a unified diff; notebooks by nbdime if it is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git, listed
from deriva_ml.records.differing_lines import notebook_lines
from deriva_ml.untrusted import DAMAGED

LARGEST_SOURCE = 2 << 20
"""Bytes of a source that is compared."""

NBDIME_SECONDS = 60
NAMED_FILES = 5
"""How many other files that differ are named."""


@dataclass(frozen=True)
class Code:
    """The code that an execution ran, by what its record says.

    Attributes:
        commit, path: empty where that is not known.
        patches: the names of the recorded patches of what was not committed.
    """

    execution: RID
    commit: str
    path: str
    patches: Sequence[str] = ()

    @classmethod
    def of(cls, execution: RID, provenance: Mapping[str, Any], patches: Sequence[str]) -> Code:
        """Return what a record's ``provenance`` says; what cannot be an id or a path is not known."""
        commit, path = str(provenance.get("commit") or ""), str(provenance.get("path") or "")
        known = re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit)  # a word on git's command line
        return cls(
            execution, commit if known else "", "" if path == "not known" or "\0" in path else path, patches
        )


@dataclass(frozen=True)
class SourceDiff:
    """How the source of an execution differs from that of the first.

    Attributes:
        notes: what keeps the source from being shown, what ran beside it, and what else the commits differ in.
        lines: of the diff.
    """

    execution: RID
    notes: list[str]
    lines: list[str]


def source_diff(repository: Path, first: Code, other: Code) -> SourceDiff | None:
    """Return how the source of ``other`` differs from that of ``first``; None where nothing is to be said.

    Args:
        repository: a folder in the repository that the commits are of.
    """
    notes = [
        f"{one.execution} ran with uncommitted changes, which its {name} has"
        for one in (first, other)
        for name in one.patches
    ]
    lines: list[str] = []
    if (first.commit, first.path) != (other.commit, other.path):
        (ours, why), (theirs, why_other) = (_text_of(repository, code) for code in (first, other))
        notes += dict.fromkeys(filter(None, (why, why_other)))
        if PurePosixPath(first.path).suffix != PurePosixPath(other.path).suffix:
            notes.append(f"{first.path} and {other.path} are not of one kind, and not compared")
        elif ours is not None and theirs is not None and ours != theirs:
            lines = _diff(first, ours, other, theirs)
        if first.commit != other.commit:
            notes += _other_files(repository, first, other)
    return SourceDiff(other.execution, notes, lines) if notes or lines else None


def _text_of(repository: Path, code: Code) -> tuple[str | None, str]:
    """Return a file's text; or None, and why there is none, in one line."""
    if not code.commit or not code.path:
        return None, f"which file {code.execution} ran at which commit is not known"
    where = f"{code.path} at commit {code.commit[:7]}, of {code.execution},"
    try:
        if not git(repository, "rev-parse", "--verify", "--quiet", f"{code.commit}^{{commit}}", check=False):
            return None, (
                f"commit {code.commit[:7]}, of {code.execution}, is not in this repository: git fetch may bring it"
            )
        name = f"{code.commit}:{code.path}"
        size = git(repository, "cat-file", "-s", name, check=False)
        if not size:
            return None, f"{where} is not there"
        if int(size) > LARGEST_SOURCE:
            return None, f"{where} is not shown: it has more than {LARGEST_SOURCE >> 20} MiB"
        text = git(repository, "cat-file", "blob", name)
    except DerivaMLRequestError as error:
        return None, f"{where} cannot be read: {error}"
    return (None, f"{where} is not text") if "\0" in text else (text, "")


def _other_files(repository: Path, first: Code, other: Code) -> list[str]:
    """Return a line that names the other files in which two commits differ, if there are any."""
    if not first.commit or not other.commit:
        return []
    # A pair that git cannot compare has been told of.
    found = git(
        repository, "diff", "--name-only", "--no-renames", "-z", first.commit, other.commit, check=False
    )
    names = [name for name in found.split("\0") if name and name not in {first.path, other.path}]
    return [f"the commits also differ in {listed(names, NAMED_FILES)}"] if names else []


def _diff(first: Code, ours: str, other: Code, theirs: str) -> list[str]:
    heads = [f"{one.path} at {one.commit[:7]} ({one.execution})" for one in (first, other)]
    contents = [ours.split("\n"), theirs.split("\n")]
    if first.path.endswith(".ipynb") and other.path.endswith(".ipynb"):
        try:
            contents = [notebook_lines(json.loads(text), outputs=False) for text in (ours, theirs)]
        except DAMAGED:
            pass  # then they are compared as the text that they are
        else:
            if contents[0] == contents[1]:
                return []
            by_cells = _by_nbdime(ours, theirs) if find_spec("nbdime") else None
            if by_cells is not None:
                return [f"--- {heads[0]}", f"+++ {heads[1]}", *by_cells]
    return list(unified_diff(contents[0], contents[1], heads[0], heads[1], lineterm=""))


def _by_nbdime(ours: str, theirs: str) -> list[str] | None:
    """Return how two notebooks' sources differ, as nbdime tells it; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("first.ipynb", ours), ("other.ipynb", theirs)):
            Path(folder, name).write_text(text, encoding="utf-8", errors="replace")
        command = [sys.executable, "-m", "nbdime", "diff", "--sources", "--no-color", "--no-git"]
        try:
            done = subprocess.run(
                [*command, "--no-use-diff", "first.ipynb", "other.ipynb"],
                cwd=folder,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=NBDIME_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
    lines = done.stdout.decode(errors="replace").rstrip("\n").split("\n")
    # Its own head names the temporary files.
    return [
        line
        for place, line in enumerate(lines)
        if place > 2 or not line.startswith(("nbdiff ", "--- ", "+++ "))
    ]
