"""What the benchmarks share: a project to measure in, timed commands, and the table that is printed."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

TEMPLATE = Path(__file__).resolve().parents[1]
TEMPLATE_PARTS = ("copier.yml", "extensions", "template")

# Of the caller's: the environment that uv works in, and what containers set, so that each process would compile anew
# whatever has no bytecode yet, above all the project's own modules.
LEFT_OUT = {"VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}

# A machine made for measuring often has no git identity.
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in {"NAME": "Benchmark", "EMAIL": "benchmark@example.org"}.items()
}


@dataclass(frozen=True)
class Timing:
    """Seconds that a process took: by the clock, and of processor time with all processes it waited for."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, its timings, and those it is compared with."""

    label: str
    timings: Sequence[Timing]
    against: Sequence[Timing] = ()
    budget: str = ""


def arguments(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark of commands has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--project",
        type=Path,
        help="a project made for measuring; rendered and set up there when it is not there",
    )
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="times that each command runs (default %(default)s)"
    )
    return parser


@contextmanager
def project(folder: Path | None) -> Iterator[Path]:
    """A rendered, synced and initialised project: in ``folder``, where it stays, or in a temporary one."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        root = (folder or Path(temporary) / "project").resolve()
        if not root.exists():
            print(f"setting up a project in {root}", file=sys.stderr)
            try:
                _set_up(root)
            except BaseException:
                shutil.rmtree(root, ignore_errors=True)  # half a project is none to measure in
                raise
        yield root


def _set_up(root: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv") or sys.exit("uv is needed: https://docs.astral.sh/uv")
    with template() as source:
        run(copier("copy", "--defaults", "--quiet", str(source), str(root)), TEMPLATE)
    run([uv, "sync", "--quiet"], root)
    run([uv, "run", "deriva-ml-init"], root)


@contextmanager
def template() -> Iterator[Path]:
    """The template as it stands in the working tree, whatever is committed of it."""
    with tempfile.TemporaryDirectory(prefix="template-") as folder:
        for name in TEMPLATE_PARTS:
            source = TEMPLATE / name
            if source.is_dir():
                shutil.copytree(
                    source, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
                )
            else:
                shutil.copy(source, folder)
        yield Path(folder)


def copier(*args: str) -> list[str]:
    """The command line of the Copier that is installed beside this interpreter."""
    return [sys.executable, "-m", "copier", *args]


def script(root: Path, name: str) -> str:
    """A console script of the project's environment, called without ``uv run``."""
    return str(root / ".venv" / ("Scripts" if os.name == "nt" else "bin") / name)


def run(command: Sequence[str], cwd: Path) -> Timing:
    """Run a command to its end and time it; ends the benchmark with what it printed when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT} | IDENTITY
    with tempfile.TemporaryFile() as output:
        begun = perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')}")
    return Timing(wall, usage.ru_utime + usage.ru_stime)


def alternate(commands: Mapping[str, Sequence[str]], cwd: Path, rounds: int) -> dict[str, list[Timing]]:
    """Time commands in turn, so that what else the machine does falls on all; the first turn warms up."""
    timings: dict[str, list[Timing]] = {label: [] for label in commands}
    for turn in range(rounds + 1):
        for label, command in commands.items():
            timing = run(command, cwd)
            if turn:
                timings[label].append(timing)
    return timings


def print_table(rows: Sequence[Row]) -> None:
    """Medians, and each one's ratio to what it is compared with."""
    print(f"{'':44}{'wall':>9}{'CPU':>9}{'wall':>9}{'CPU':>9}  budget")
    for row in rows:
        line = f"{row.label:44}"
        for part in ("wall", "cpu"):
            line += f"{_median(row.timings, part):8.3f}s"
        for part in ("wall", "cpu") if row.against else ():
            line += f"{_median(row.timings, part) / _median(row.against, part):8.2f}x"
        print(f"{line}  {row.budget}".rstrip())


def _median(timings: Sequence[Timing], part: str) -> float:
    return float(statistics.median(getattr(timing, part) for timing in timings))
