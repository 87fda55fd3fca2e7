"""Describes the environment of a run, and says what of it is not in ``uv.lock``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.definitions import normalized_name
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.environment import snapshot
from deriva_ml.git import listed
from deriva_ml.project import Project
from deriva_ml.redaction import redact_addresses

NAMED = 5  # how many packages a warning names
TOOLS = frozenset({"pip", "setuptools", "uv", "wheel"})
"""What installs packages: `uv sync` leaves them in an environment, too."""


def describe(
    project: Project, version: str, variables: Mapping[str, str] = os.environ, kernel: str | None = None
) -> dict[str, Any]:
    """Return what `environment.json` says of a run, as JSON types: a ``snapshot``, and what of it is not locked.

    Args:
        version: of the project as it is recorded; the installed one is that of the day when it was installed.
        variables: the environment variables, where they are another process's.
        kernel: the name of an installed kernel that ran the notebook; what is installed for it is not known here.
    """
    found = snapshot(variables)
    packages: dict[str, str] = found["packages"]
    own_name = _own_name(project)
    own = next((name for name in packages if normalized_name(name) == own_name), None)
    if own:
        packages[own] = version
    if kernel:
        return {**found, "kernel": kernel}
    try:
        locked = read_lock((project.root / "uv.lock").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return found
    return {**found, "not_locked": not_locked(packages, locked, own)} if locked else found


def shown_lock(project: Project) -> bytes:
    """Return the content of the project's `uv.lock` as it is recorded: without the logins of package indexes.

    Raises:
        OSError: there is none.
    """
    kept = (project.root / "uv.lock").read_bytes()
    if b"@" not in kept and b"?" not in kept:  # the usual one: to look at each address takes 20 ms
        return kept
    return redact_addresses(kept.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def warnings_of(environment: Mapping[str, Any]) -> list[str]:
    """Return a line about the packages that ``describe`` found not to be locked, if there are any."""
    unlocked: dict[str, str] = environment.get("not_locked", {})
    # Another version of what the project asks for says more than one of a hundred that came with some tool.
    names = sorted(unlocked, key=lambda name: " (locked " not in unlocked[name])
    named = listed([f"{name} {unlocked[name]}" for name in names], NAMED)
    mend = "run without --with" if _is_overlay() else "uv sync makes the environment the lock's"
    warnings = []
    if unlocked:
        warnings.append(
            f"not in uv.lock, and results may depend on it: {named}; {mend}, uv add NAME locks a package"
        )
    return warnings


def read_lock(text: str) -> dict[str, set[str]]:
    """Return the versions by name that a `uv.lock` has; ``""`` stands for a version that it does not tell.

    A scan of the lines that uv begins a package with: TOML would take forty times as long.
    """
    found: dict[str, set[str]] = {}
    head = r'^\[\[package\]\]\nname = "([^"\n]*)"$(?:\nversion = "([^"\n]*)"$)?'
    for name, version in re.findall(head, text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def not_locked(
    packages: Mapping[str, str], locked: Mapping[str, set[str]], own: str | None = None
) -> dict[str, str]:
    """Return the installed packages that a lock does not have, by name: ``21.0``, or ``2.1 (locked 2.2)``.

    One that is locked for other systems in other versions may have any of these. What is locked and not installed is
    not judged: it may not be for this system.

    Args:
        own: the project's own package.
    """
    found = {}
    for name, version in packages.items():
        if name == own or normalized_name(name) in TOOLS:
            continue
        versions = locked.get(normalized_name(name))
        if versions is None:
            found[name] = version
        elif not {version, ""} & versions and not _is_one_of(version, versions):
            found[name] = f"{version} (locked {' or '.join(sorted(versions))})"
    return found


def _is_one_of(version: str, others: Iterable[str]) -> bool:
    """Whether a version is one of others that are spelled otherwise, as 2024.01.02 is 2024.1.2 (PEP 440)."""
    from packaging.version import InvalidVersion, Version  # rarely needed

    try:
        return Version(version) in {Version(other) for other in others}
    except InvalidVersion:
        return False


def _own_name(project: Project) -> str | None:
    try:
        name = project.metadata().get("name")
    except DerivaMLRequestError:
        return None
    return normalized_name(str(name)) if name else None


def _is_overlay() -> bool:
    """Whether this is an environment that `uv run --with` has put upon the project's."""
    try:
        return "\nextends-environment" in (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
