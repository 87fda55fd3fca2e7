"""Makes an environment with the packages of a record, by uv, and adds what today's runner needs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deriva_ml.definitions import normalized_name
from deriva_ml.notebook.kernel import kill_group
from deriva_ml.project import write_atomically
from deriva_ml.redaction import HIDDEN, redact
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.terminal import complaint

READY = "deriva-ml.json"
"""The file in an environment that says that it is whole; its time is that of the last use."""

RUNNER = (
    "deriva>=1.7.12",
    "hydra-core>=1.3.2",
    "hydra-zen>=0.13",
    "ipykernel>=6.29",
    "jupyter-client>=8.6",
    "markdownify>=1.0",
    "mistune>=3",
    "nbclient>=0.10",
    "nbconvert>=7.16",
    "nbformat>=5.10",
    "nbstripout>=0.8",
    "papermill>=2.6",
    "psutil>=5.9",
    "pydantic>=2.7",
    "pyyaml>=6",
    "requests>=2.31",
    "tqdm>=4.66",
)
"""What the runner needs to run anything: a project's dependencies have the same, so that a lock of an older runner may lack
some, which are added to the environment."""

_SETTINGS = frozenset(
    """
    UV_ACTIVE UV_ALL_GROUPS UV_DEV UV_ENV_FILE UV_FROZEN UV_ISOLATED UV_LOCKED UV_NO_DEFAULT_GROUPS UV_NO_DEV
    UV_NO_EDITABLE UV_NO_GROUP UV_NO_SYNC UV_PROJECT UV_PYTHON UV_SYSTEM_PYTHON UV_WORKING_DIR
    UV_WORKING_DIRECTORY VIRTUAL_ENV
    """.split()
)
"""Variables by which a person tells uv what to do with the project as it is now."""

WORDS = 400
"""Characters of what uv says of an error."""


def python_in(place: Path) -> Path:
    """Return an environment's Python."""
    return place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make(place: Path, lock: bytes, project_folder: Path, python: str, parts: Sequence[str]) -> None:
    """Make an environment, and mark it as whole.

    Args:
        parts: options by which uv chooses extras and groups.

    Raises:
        CouldNotRun: it cannot be made; the message ends with uv's own last words.
    """
    words = ["sync", "--frozen", "--exact", "--no-install-project", "--no-editable"]
    what = f"the environment of the record (Python {python})" if python else "the environment of the record"
    masked = f", in whose uv.lock logins are masked ({HIDDEN})" if HIDDEN.encode() in lock else ""
    with _file_as(project_folder / "uv.lock", lock):
        _uv([*words, *parts, *_choosing(python)], project_folder, place, what + masked)
    lacking, old = _lacking(place)
    if old:
        raise CouldNotRun(
            f"the runner needs {', '.join(old)}, and the record has older ones: --here repeats it with what is installed"
        )
    if lacking:
        _add(place, lacking, project_folder)
    write_atomically(place / READY, json.dumps({"python": python, "added": lacking}))


def _add(place: Path, lacking: Sequence[str], folder: Path) -> None:
    """Add packages to an environment, in which every other one stays as it is.

    In the versions that are here if that can be, since uv has these in its cache, and they are known to work.
    """
    exact = place / "recorded.txt"
    exact.write_text("".join(f"{name}=={version}\n" for name, version in _installed(place).items()))
    words = ["pip", "install", "--python", str(python_in(place)), "--constraint", str(exact)]
    what = f"{', '.join(lacking)}, which the runner needs beside what the record has,"
    try:
        _uv([*words, *map(_as_here, lacking)], folder, place, what)
    except CouldNotRun:
        _uv([*words, *lacking], folder, place, what)


@contextmanager
def _file_as(path: Path, content: bytes) -> Iterator[None]:
    """Give a file another content for as long as the context."""
    before = path.read_bytes() if path.is_file() else None
    if before != content:
        path.write_bytes(content)
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        elif before != content:
            path.write_bytes(before)


def _choosing(python: str) -> list[str]:
    """Return the option by which uv takes a version of Python: this interpreter's own, where it has the same."""
    if not python:
        return []
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    same = python == platform.python_version() and platform.python_implementation() == "CPython"
    return ["--python", base if same and os.path.isfile(base) else python]


def _lacking(place: Path) -> tuple[list[str], list[str]]:
    """Return what the runner needs of which an environment has nothing, and what of it is too old there."""
    from packaging.requirements import Requirement

    installed, lacking, old = _installed(place), [], []
    for text in RUNNER:
        wanted = Requirement(text)
        version = installed.get(wanted.name)
        if version is None:
            lacking.append(text)
        elif not wanted.specifier.contains(version, prereleases=True):
            old.append(f"{text} ({version})")
    return lacking, old


def _as_here(requirement: str) -> str:
    """Return the requirement of the version of a package that is installed here."""
    from importlib.metadata import PackageNotFoundError, version

    name = requirement.partition(">")[0]
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return requirement


def _installed(place: Path) -> dict[str, str]:
    """Return the versions of an environment's packages by normalized name."""
    found = {}
    for pattern in ("lib/python*/site-packages", "Lib/site-packages"):
        for path in place.glob(f"{pattern}/*.dist-info"):
            name, _, version = path.name.removesuffix(".dist-info").rpartition("-")
            found[normalized_name(name)] = version
    return found


def find_uv() -> str | None:
    """Return the command uv: as `uv run` names itself, else on the PATH or beside the interpreter."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(os.environ.get("UV", "")) or shutil.which("uv") or shutil.which("uv", path=beside)


def _uv(words: Sequence[str], folder: Path, place: Path, what: str) -> None:
    """Run uv for an environment.

    Raises:
        CouldNotRun: it failed.
    """
    uv = find_uv()
    if uv is None:
        raise CouldNotRun(
            f"{what} is made by uv, which is not installed: https://docs.astral.sh/uv/ says how; --here does without"
        )
    variables = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    variables["UV_PROJECT_ENVIRONMENT"] = str(place)
    # In a group of its own, so that Ctrl-C reaches this process alone, which ends it with all that it started.
    process = subprocess.Popen(
        [uv, *words],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said = _waited(process, f"making {what}")
    except BaseException:
        kill_group(process.pid)
        process.wait()
        raise
    if process.returncode:
        words = complaint(said.decode(errors="replace")).removeprefix("error: ") or "uv says nothing"
        raise CouldNotRun(f"{what} cannot be made: {str(redact(words))[:WORDS]}")


def _waited(process: subprocess.Popen[bytes], title: str) -> bytes:
    """Wait for a process, with a clock on the terminal, and return what it said."""
    if not sys.stderr.isatty():
        return process.communicate()[1]
    from tqdm import tqdm

    with tqdm(desc=title, bar_format="{desc}: {elapsed}", leave=False) as clock:
        while True:
            try:
                return process.communicate(timeout=0.5)[1]
            except subprocess.TimeoutExpired:
                clock.refresh()
