"""The environment of a record: made anew by uv from the recorded lock file, kept for the next replay; or how another differs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import deriva_ml.liveness as liveness
from deriva_ml.definitions import normalized_name
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.environment import snapshot
from deriva_ml.file_lock import file_lock
from deriva_ml.git import git, listed
from deriva_ml.project import Project
from deriva_ml.redaction import redact_addresses
from deriva_ml.replay.installing import READY, make, python_in
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.replay.workspace import remove_tree
from deriva_ml.signals import raise_on_signals
from deriva_ml.terminal import one_line, tell
from deriva_ml.untrusted import as_mapping

NAMED = 20
"""Packages that a line names."""

KEPT = 8
"""Environments that stay; of more, those that were not used for the longest time go."""

_LOCAL = re.compile(rb'^source = \{ (?:editable|directory|path) = "(?!\.")', re.MULTILINE)
"""A package of a lock that is made from files of the repository, and is not the project itself."""


def prepared(state: Path, lock: bytes, project_folder: Path, python: str, parts: Sequence[str] = ()) -> Path:
    """Return the Python of an environment with exactly the packages that a record has, without the project itself.

    It is made by `uv sync` in the state folder, unless it is there from before: once, also if two replays begin at the
    same time. Of what a replay left that was killed nothing is used.

    Args:
        state: the project's state folder.
        lock: `uv.lock` as it is recorded.
        project_folder: the project as it was, in a working tree of its commit; it holds the same files afterwards.
        python: the version that ran; empty for any that the project takes.
        parts: options by which uv chooses extras and groups beside those that it installs by itself.

    Raises:
        CouldNotRun: it cannot be made; the message ends with uv's own last words.
    """
    if not lock:
        raise CouldNotRun(
            "its record has no uv.lock: --here repeats it with the packages that are installed now"
        )
    lock = _with_logins(lock, project_folder)
    folder = state / "environments"
    folder.mkdir(mode=0o770, parents=True, exist_ok=True)
    key = _key(lock, project_folder, python, parts)
    with raise_on_signals():
        if found := _ready(folder, key, state):
            return found
        with _alone(folder):
            if found := _ready(folder, key, state):  # another replay has just made it
                return found
            for path in folder.iterdir():
                if path.is_dir() and not (path / READY).exists():
                    remove_tree(path)
            place = folder / f"{key}-{os.urandom(4).hex()}"
            try:
                make(place, lock, project_folder, python, parts)
            except BaseException:
                remove_tree(place)
                raise
            if not (found := _ready(folder, key, state)):
                raise CouldNotRun(f"{place} has no environment, though uv says that it made one")
            _drop(folder, state, KEPT)
            return found


def clear(project: Project) -> int:
    """Remove all environments that no replay uses now; return how many."""
    if not project.environments.is_dir():
        return 0
    with _alone(project.environments):
        return _drop(project.environments, project.state, 0)


# ---------------------------------------------------------------------------------------------------------- what is kept
def _key(lock: bytes, project_folder: Path, python: str, parts: Sequence[str]) -> str:
    """Return what tells environments apart: all that uv goes by."""
    try:
        settings = Project(project_folder).pyproject()
    except (OSError, DerivaMLRequestError) as error:
        raise CouldNotRun(f"the project's settings at that commit cannot be read: {error}") from error
    said = [
        settings.get("tool", {}).get("uv"),
        settings.get("dependency-groups"),
        python,
        [*parts] or None,
        [sysconfig.get_platform(), platform.libc_ver()],
    ]
    if _LOCAL.search(lock):  # packages that are made from files of the commit, or of what differed from it
        said += [
            git(project_folder, *words, check=False) for words in (("rev-parse", "HEAD"), ("diff", "HEAD"))
        ]
    return hashlib.sha256(lock + json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _ready(folder: Path, key: str, state: Path) -> Path | None:
    """Return the Python of the environment that was made for a key, and note that this process uses it."""
    for ready in folder.glob(f"{key}-*/{READY}"):
        with suppress(OSError):  # it is just being removed
            os.utime(ready)
            if name := liveness.show(state):
                (ready.parent / f"{READY}-{name}").touch()
            _users(ready, state)
            if (python := python_in(ready.parent)).exists():
                return python
            ready.unlink()  # the Python that it is made of has gone: it is none any more
    return None


def _users(ready: Path, state: Path) -> list[Path]:
    """Return the notes of processes that use an environment; those of processes that are over go."""
    notes = [*ready.parent.glob(f"{READY}-*")]
    held = [one for one in notes if liveness.is_held(state, one.name.removeprefix(f"{READY}-"))]
    for one in {*notes} - {*held}:
        one.unlink(missing_ok=True)
    return held


def _drop(folder: Path, state: Path, kept: int) -> int:
    """Remove environments but those of the last uses and those that are in use; return how many."""
    ready = sorted(folder.glob(f"*/{READY}"), key=lambda path: path.stat().st_mtime, reverse=True)
    count = 0
    for place, path in enumerate(ready):
        if not _users(path, state) and place >= kept:
            path.unlink()  # from now on it is none, whatever happens
            remove_tree(path.parent)
            count += 1
    return count


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time make or remove environments; another one waits, and can be stopped."""
    with ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(file_lock(folder / "lock", 0.5))
                break
            except DerivaMLException:
                if not told and sys.stderr.isatty():
                    tell("waiting for another replay, which makes its environment")
                told = True
        yield


def _with_logins(lock: bytes, project_folder: Path) -> bytes:
    """Return the commit's lock file if the recorded one is the same without logins of package indexes; else that."""
    with suppress(OSError):
        committed = (project_folder / "uv.lock").read_bytes()
        if committed == lock:  # the usual one: to look at each address takes 20 ms
            return lock
        text = committed.decode(errors="surrogateescape")
        if redact_addresses(text).encode(errors="surrogateescape") == lock:
            return committed
    return lock


# ----------------------------------------------------------------------------------------------------------- differences
def described(python: Path) -> dict[str, Any]:
    """Return what a record would say of a Python and this machine.

    Raises:
        CouldNotRun: it does not start.
    """
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        return snapshot()
    source = str(Path(__file__).resolve().parents[2])
    code = "import json; from deriva_ml.execution.environment import snapshot; print(json.dumps(snapshot()))"
    done = subprocess.run(
        [python, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    try:
        return dict(json.loads(done.stdout))
    except ValueError as error:
        words = one_line(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        raise CouldNotRun(f"{python} does not start: {words}") from error


def differences(recorded: Mapping[str, Any], python: Path, own: str = "") -> list[str]:
    """Return in what a Python and this machine differ from what a record says, a line each.

    Args:
        recorded: what its `environment.json` says.
        own: the name of the project's own package, whose version is that of the code.
    """
    return compared(recorded, described(python), own)


def compared(recorded: Mapping[str, Any], found: Mapping[str, Any], own: str = "") -> list[str]:
    """Return in what two descriptions of environments differ, as `environment.json` has them, a line each."""
    lines = []
    for what, path in _FACTS.items():
        before, now = _at(recorded, path), _at(found, path)
        if before is not None and before != now:
            lines.append(f"{what} is {_word(now)} here, and was {_word(before)}")
    before, now = (
        {normalized_name(name): str(version) for name, version in as_mapping(one.get("packages")).items()}
        for one in (recorded, found)
    )
    if not before:
        return lines
    names = sorted((before.keys() | now.keys()) - {normalized_name(own)})
    changed = [
        f"{n} {now[n]} (was {before[n]})" for n in names if n in before and n in now and before[n] != now[n]
    ]
    gone = [f"{n} {before[n]}" for n in names if n not in now]
    new = [f"{n} {now[n]}" for n in names if n not in before]
    for what, packages in (
        ("packages in other versions", changed),
        ("packages that are not here", gone),
        ("packages that were not there", new),
    ):
        if packages:
            lines.append(f"{what}: {listed(packages, NAMED)}")
    return lines


PROCESSORS = "the number of processors that may be used"

_FACTS = {
    "Python": ("python", "version"),
    "the kind of Python": ("python", "implementation"),
    "the operating system": ("platform", "system"),
    "the kind of processor": ("platform", "machine"),
    PROCESSORS: ("usable_cpus",),
    "what is known of NVIDIA cards": ("gpus",),
}
"""What is compared beside the packages, by where it stands."""


def _at(record: Any, path: Sequence[str]) -> Any:
    for name in path:
        record = as_mapping(record).get(name)
    return record


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "not known" if value is None else json.dumps(value)
