"""Counts what is the same in two outputs and what is not, and says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from deriva_ml.records.differing_lines import cut_around
from deriva_ml.replay.compare.terms import plain
from deriva_ml.replay.verdict import Comparison, Difference, Verdict
from deriva_ml.terminal import shown

MOST = 4
"""How many differences are told."""

KINDS = {
    "moment": "times",
    "clock": "times",
    "stamp": "times",
    "timed": "durations",
    "rate": "rates",
    "loops": "durations",
    "duration": "durations",
    "uuid": "random identifiers",
    "address": "addresses in memory",
    "process": "numbers of processes",
    "port": "ports",
    "path": "paths",
    "number": "rounding",
    "picture": "how pictures are stored",
    "order": "the order of keys",
}
"""What a note calls the kinds of what may differ."""


class Tally:
    """What comes of comparing many parts.

    Attributes:
        kinds: of the parts that differ as they may.
        differences: the first ones.
    """

    def __init__(self) -> None:
        self.equal = self.total = 0.0
        self.kinds: Counter[str] = Counter()
        self.differences: list[Difference] = []

    def same(self, number: float = 1, kind: str = "") -> None:
        """Count parts that are the same, or differ only as that kind may."""
        self.equal += number
        self.total += number
        if kind:
            self.kinds[kind] += 1

    def differ(self, where: str, pair: Iterable[object], number: float = 1) -> None:
        """Count parts that differ; both values are shown as texts."""
        self.total += number
        if len(self.differences) < MOST:
            recorded, repeated = map(str, pair)
            self.differences.append(difference(where, recorded, repeated))

    def result(self, measure: str, written_otherwise: str = "the same, written otherwise") -> Comparison:
        """Return the comparison of two outputs that have not the same bytes.

        Args:
            measure: of what the similarity is the share.
            written_otherwise: the note where no value differs at all.
        """
        if self.differences:
            share = self.equal / self.total if self.total else 0.0
            return Comparison(Verdict.different, below_one(share), measure, self.differences)
        return Comparison(Verdict.equivalent, 1.0, note_of(self.kinds) if self.kinds else written_otherwise)


def note_of(kinds: Iterable[str]) -> str:
    """Return in what two outputs differ that are the same otherwise."""
    names = sorted({KINDS[kind] for kind in kinds if kind in KINDS})
    if not names:
        return "differs only in what was shown on the way: colours, bars, line ends"
    return f"differs only in {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"


def below_one(similarity: float) -> float:
    """Return the similarity of what is different, which is never all of it."""
    return min(max(round(similarity, 4), 0.0), 0.9999)


def difference(where: str, recorded: str | None, repeated: str | None) -> Difference:
    """Return a difference with its values cut to what a line holds, and harmless for a terminal."""
    pair = [None if text is None else plain(text) for text in (recorded, repeated)]
    ends = [None if text is None else text.rstrip("\n") for text in pair]
    if ends[0] != ends[1]:
        pair = ends
    first, second = (shown(text or "") for text in cut_around(*pair))
    return Difference(shown(where), first, second)
