"""How much what a run gave is like what its record has: of one output, and of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from deriva_ml.exceptions import DerivaMLException


class CouldNotRun(DerivaMLException):
    """Something that a run needs is missing, which the message names: a commit, an input, a package, a platform."""


class Verdict(IntEnum):
    """From best to worst; an execution has the worst of its outputs' verdicts.

    identical: the same bytes, or the same once RIDs and folders, of which every run has its own, are set equal and
        what a program notes of its own run in a file (an execution count, a figure's date) is left out.
    equivalent: it differs only in what must differ (times, durations, addresses in memory, other absolute paths,
        progress bars) or in numbers within the tolerance, or has the same pixels.
    different: anything else.
    could_not_run: something that the run needs is missing, and there is nothing to compare.
    """

    identical = 0
    equivalent = 1
    different = 2
    could_not_run = 3

    def __str__(self) -> str:
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Tolerance:
    """How far two floating point numbers may be apart: ``|a - b| <= atol + rtol * max(|a|, |b|)``, whichever is the recorded one."""

    rtol: float = 1e-9
    atol: float = 1e-12


@dataclass(frozen=True)
class Own:
    """What every run has its own of: what stands in the recorded and in the repeated output for the same thing.

    Attributes:
        recorded: text by the name that stands for it in both, such as ``{"<execution>": "2-ABCD"}``.
        repeated: the same for the run that repeats it.
        recorded_span: when the recorded run began and ended, in seconds since the epoch. With it only moments in that
            time, and durations that it could have held, count as the run's own; without it, all that look like it.
        repeated_span: the same for the run that repeats it.
    """

    recorded: Mapping[str, str] = field(default_factory=dict)
    repeated: Mapping[str, str] = field(default_factory=dict)
    recorded_span: tuple[float, float] | None = None
    repeated_span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Difference:
    """Where two outputs differ, and how.

    Attributes:
        where: ``cell 4, line 2 of its output``; ``row 12, column "loss"``; ``$.model.depth``.
        recorded, repeated: the two values, short; empty where there is none.
    """

    where: str
    recorded: str = ""
    repeated: str = ""


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two outputs.

    Attributes:
        verdict: never ``could_not_run``.
        similarity: in [0, 1], by the kind of output; 1 where it is identical.
        note: in what they differ though they count as the same, or which measure the similarity is.
        differences: the first ones.
    """

    verdict: Verdict
    similarity: float = 1.0
    note: str = ""
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class Compared:
    """One output of an execution, compared.

    Attributes:
        name: of the file.
        kind: its asset table, or ``notebook``.
        result: what came of it.
    """

    name: str
    kind: str
    result: Comparison


def worst(outputs: Sequence[Compared]) -> Verdict:
    """Return the verdict on all outputs; with none to compare a run gave the same by ending the same way."""
    return max((one.result.verdict for one in outputs), default=Verdict.identical)
