"""The terms of a comparison: what each of two runs has of its own, when it ran, and the tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from deriva_ml.replay.verdict import Own, Tolerance

OPEN, CLOSE = "\ue000", "\ue001"
"""What stands around a name in a text, so that no text can be taken for one."""

SLACK = 120.0
"""Seconds before and after a run in which a moment is still its own: a kernel starts before its execution does."""

ZONE = 900.0
"""Seconds; the offset of every time zone is a multiple of them, and at most ``ZONES`` of them."""
ZONES = 56

DAY = 86400.0


_SCALES = (1.0, 1e3, 1e6, 1e9)
"""A second, in the units in which moments are counted since the epoch."""


class RunTerms:
    """One of the two runs.

    Args:
        names: its own texts by the names that stand for them.
        span: when it began and ended, in seconds since the epoch; None if that is not known.
        others: the texts of the other run, whose folders may be named in what both were given.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        span: tuple[float, float] | None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        folders = {name: text for name, text in (others or {}).items() if "/" in text or "\\" in text}
        both = [*folders.items(), *names.items()]
        self._names = {text: f"{OPEN}{name}{CLOSE}" for name, text in both if text}
        texts = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, texts))})(?![A-Za-z0-9])")
        self.span = span

    def named(self, text: str) -> str:
        """Return a text with names for what is the run's own."""
        if not any(own in text for own in self._names):
            return text
        return self._pattern.sub(lambda found: self._names[found[0]], text)

    def is_own_moment(self, seconds: float, zone_known: bool, precision: float = 1.0) -> bool:
        """Whether a moment lies in the run's time, which is so of any where that is not known.

        Args:
            seconds: since the epoch, if it were UTC.
            zone_known: that it is; else it may be of any zone.
            precision: seconds that the text left out.
        """
        if not self.span:
            return precision < DAY  # a date alone is more often one that was worked with
        start, end = self.span[0] - SLACK - precision - seconds, self.span[1] + SLACK - seconds
        if zone_known:
            return start <= 0 <= end
        return max(math.ceil(start / ZONE), -ZONES) <= min(math.floor(end / ZONE), ZONES)

    def is_own_clock(self, seconds: float) -> bool:
        """Whether it may have been this time of day, in some zone, while the run ran."""
        if not self.span:
            return True
        start, end = self.span[0] - SLACK - 1, self.span[1] + SLACK
        return (seconds - start) % ZONE <= end - start

    def could_take(self, seconds: float) -> bool:
        """Whether something in the run can have taken that long."""
        return not self.span or seconds <= self.span[1] - self.span[0] + SLACK


class Terms:
    """What two outputs are compared by.

    Attributes:
        recorded, repeated: the runs.
        tolerance: of floating point numbers.
    """

    def __init__(self, own: Own, tolerance: Tolerance) -> None:
        self.recorded = RunTerms(own.recorded, own.recorded_span, own.repeated)
        self.repeated = RunTerms(own.repeated, own.repeated_span, own.recorded)
        self.tolerance = tolerance

    def own_stamps(self, a: float, b: float) -> bool:
        """Whether two numbers are moments since the epoch in some unit, each in its run's time, which has to be known."""
        if max(abs(a), abs(b)) > 1e20:
            return False
        sides = (self.recorded, a), (self.repeated, b)
        return any(
            all(
                bool(side.span) and side.is_own_moment(value / scale, zone_known=True)
                for side, value in sides
            )
            for scale in _SCALES
        )

    def close(self, a: float, b: float) -> bool:
        """Whether two numbers are equal within the tolerance; NaN is like NaN."""
        if a == b or (a != a and b != b):
            return True
        if math.isinf(a) or math.isinf(b) or a != a or b != b:
            return False
        return abs(a - b) <= self.tolerance.atol + self.tolerance.rtol * max(abs(a), abs(b))


def plain(text: str) -> str:
    """Return a text with names as a person reads them."""
    return text.replace(OPEN, "").replace(CLOSE, "")
