"""Why a repeated run differs from its record, as far as that can be told: a line each, the likeliest first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from math import isclose
from pathlib import Path
from typing import Any

import deriva_ml.replay.environment as environment
from deriva_ml.check.catalogue import RULES
from deriva_ml.check.checking import problems
from deriva_ml.check.rule import Problem
from deriva_ml.check.source import Cell, Source, read_source
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.environment import THREADS
from deriva_ml.git import listed
from deriva_ml.replay.audit import Seen
from deriva_ml.replay.verdict import Compared, CouldNotRun, Verdict
from deriva_ml.replay.worktree import left_out, pointers
from deriva_ml.untrusted import as_mapping

SHOWN = 5
"""Files, programs or places in the code that a line names."""

RANDOM = ("DML602", "DML603")
"""Rules that find what draws other numbers each time."""

CIRCUMSTANCES = ("DML604", "DML605")
"""Rules that find what reads the clock or the environment."""

CLOSE = 1e-2
"""How far numbers are apart, relatively, that differ by the order in which they were added up."""


@dataclass(frozen=True)
class Again:
    """What came of running it once more: how that compares with the run before, and with the record."""

    itself: Verdict
    record: Verdict


Repeat = Callable[[str, Mapping[str, str]], Again]
"""Runs it once more with some environment variables; is told for a person what for."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a record and the run that repeated it.

    Attributes:
        recorded, repeated: what ``environment.json`` of each says.
        own: the name of the project's own package.
        top: the working tree's.
        sources: the notebook or module that ran, in the working tree; what it imports from there is known by ``seen``.
        project: the top of the person's own working tree.
        seen: what the run read and started.
        outputs: compared.
        inputs: those that changed, a line each.
        patch: as it is recorded.
        ran: when the recorded run was, ISO 8601; empty where that is not known.
    """

    recorded: Mapping[str, Any]
    repeated: Mapping[str, Any]
    own: str
    top: Path
    sources: Sequence[Path]
    project: Path
    seen: Seen = field(default_factory=Seen)
    outputs: Sequence[Compared] = ()
    inputs: Sequence[str] = ()
    patch: bytes = b""
    ran: str = ""


def reasons(evidence: Evidence, repeat: Repeat | None) -> list[str]:
    """Return why a run differs; it is run again twice at most, or not at all without ``repeat``."""
    found = [*evidence.inputs, *_environment(evidence), *_not_recorded(evidence)]
    if repeat is None:
        threads = [
            f"it may depend on the number of threads: {line}" for line in _threads(evidence)[:1] if line
        ]
        return [*found, *threads, *_some(_findings(evidence, (*RANDOM, *CIRCUMSTANCES)))]
    try:
        again = repeat("to see whether it gives the same each time", {})
        look = _each_time if again.itself is Verdict.different else _same_each_time
        for line in look(evidence, repeat):
            found.append(line)
    except CouldNotRun as error:
        found.append(f"it could not be run once more to tell: {error}")
    if len(found) == 1:
        found.append(f"nothing else is known of it: it read no file from outside of its record, {_BLIND}")
    return found


# ------------------------------------------------------------------------------------------------- without another run
def _environment(evidence: Evidence) -> Iterator[str]:
    for line in environment.compared(evidence.recorded, evidence.repeated, evidence.own):
        if not line.startswith(environment.PROCESSORS):  # they matter by the threads
            yield line


def _not_recorded(evidence: Evidence) -> Iterator[str]:
    """Yield what had a part in the run and is in no record."""
    if names := left_out(evidence.patch):
        yield f"untracked files, of which the record has the names only: {listed(names, SHOWN)}"
    if large := [name for name, _ in pointers(evidence.top)]:
        yield f"files of Git LFS whose contents this clone has not (git lfs fetch --all): {listed(large, SHOWN)}"
    if lacking := [*_lacking(evidence)]:
        yield (
            f"files that were in the project's folder, and are neither committed nor inputs: {listed(lacking, SHOWN)}"
        )
    seen, since = evidence.seen, _time(evidence.ran)
    changed = [path for path in seen.read if since and _modified(path) > since]
    others = [path for path in seen.read if path not in changed]
    if changed:
        yield f"files that no input declares, and that changed after the recorded run: {listed(changed, SHOWN)}"
    if others:
        yield f"files that no input declares were read: {listed(others, SHOWN)} ({_BLIND})"
    if seen.connected:
        yield f"it was connected to {listed(seen.connected, SHOWN)}, of which nothing is recorded"
    if seen.started:
        yield f"it started other programs, of which nothing is recorded: {listed(seen.started, SHOWN)}"


_BLIND = "as far as Python opens them: libraries in C that open files themselves are not seen"


def _lacking(evidence: Evidence) -> Iterator[str]:
    """Yield the files that the run looked for in the working tree, and that only the person's own has."""
    for path in evidence.seen.missed:
        name = os.path.relpath(path, evidence.top)
        if not name.startswith("..") and (evidence.project / name).is_file():
            yield name


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _findings(evidence: Evidence, codes: Sequence[str]) -> list[str]:
    """Return what rules find in the code that ran, whether somebody silenced them or not.

    All of it is looked at as one notebook, since a module may draw random numbers that a notebook seeds.
    """
    paths: dict[int, Path] = {}
    cells: list[Cell] = []
    for path in dict.fromkeys([*map(Path, evidence.seen.code), *evidence.sources]):
        with suppress(DerivaMLRequestError):  # it is no Python, or has gone
            found = read_source(path, evidence.top).cells
            paths.update((id(cell), path) for cell in found)
            cells += found
    lines, code = [], Source(evidence.top, evidence.top, cells, is_notebook=True)
    for one in codes:
        with suppress(DerivaMLException):  # the rule is wrong
            for problem in problems(RULES[one], code):
                place = _place(evidence.top, paths[id(problem.cell)], problem)
                lines.append(f"{place}: {problem.message} ({one})")
    return lines


def _place(top: Path, path: Path, problem: Problem) -> str:
    line = problem.node if isinstance(problem.node, int) else getattr(problem.node, "lineno", 1)
    name = path.relative_to(top) if path.is_relative_to(top) else path.name
    cell = f" cell {problem.cell.number}," if problem.cell.number else ""
    return f"{name},{cell} line {line}"


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"and {more} more of these, which deriva-ml-check finds"] if more > 0 else [])]


# ---------------------------------------------------------------------------------------------------- with another run
def _each_time(evidence: Evidence, repeat: Repeat) -> Iterator[str]:
    """Yield why it may give something else each time."""
    yield "it gives something else each time: repeated twice, in one environment, it differed from itself"
    if found := _findings(evidence, RANDOM):
        yield from _some(found)
        return
    one = repeat("with one thread", dict.fromkeys(THREADS, "1"))
    if one.record is not Verdict.different:
        yield "with one thread it gives what is recorded: it depends on the order in which threads come to their ends"
        return
    yield "no unseeded source of random numbers is found in its code, and with one thread it gives something else, too"
    yield from _some(_findings(evidence, CIRCUMSTANCES[:1]))


def _same_each_time(evidence: Evidence, repeat: Repeat) -> Iterator[str]:
    """Yield why it may give something else than it did, though it is the same each time."""
    yield "repeated twice it gave the same: no random number has a part in that it differs from the record"
    threads, count = _threads(evidence)
    fixed = _variables(evidence.recorded).get("PYTHONHASHSEED", "random") != "random"
    if threads and (fixed or _are_close(evidence.outputs)):
        again = repeat(f"with {count} threads", dict.fromkeys(THREADS, count))
        if again.record is not Verdict.different:
            yield f"with {count} threads it gives what is recorded: {threads}"
            return
        if again.itself is Verdict.different:
            yield f"it depends on the number of threads: {threads}"
            return
    elif not fixed:
        seed = "1" if _variables(evidence.repeated).get("PYTHONHASHSEED") != "1" else "2"
        if repeat("with another PYTHONHASHSEED", {"PYTHONHASHSEED": seed}).itself is Verdict.different:
            yield (
                "it depends on the order of a set, or on hash(): with another PYTHONHASHSEED it gives something else;"
                " sort what is iterated over"
            )
            return
        if threads:
            yield f"it may depend on the number of threads: {threads}"
    yield from _some(_findings(evidence, CIRCUMSTANCES))


def _variables(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(record.get("environment"))


def _threads(evidence: Evidence) -> tuple[str, str]:
    """Return how the numbers of threads differ, and how many the recorded run had; empty if they do not."""
    counts = []
    for record in (evidence.recorded, evidence.repeated):
        said = [value for name in THREADS if (value := _variables(record).get(name))]
        counts.append(str((said or [record.get("usable_cpus") or ""])[0]))
    before, now = counts
    if not (before.isdigit() and now.isdigit()) or before == now:
        return "", ""
    return f"it had {before} processors, or was told to use as many, and here it has {now}", before


def _are_close(outputs: Sequence[Compared]) -> bool:
    """Whether all that differs is numbers that are nearly the same."""
    pairs = [
        (one.recorded, one.repeated)
        for output in outputs
        if output.result.verdict is Verdict.different
        for one in output.result.differences
    ]
    try:
        return bool(pairs) and all(isclose(float(a), float(b), rel_tol=CLOSE) for a, b in pairs)
    except ValueError:
        return False
