"""The values of metrics over their steps, thinned to as many as a chart shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.metrics import Metric, Number, metric_lines
from deriva_ml.site.scripts import number

MOST = 500
"""Points of a series."""


class Series:
    """Takes the points of one metric, and keeps a few that lie evenly among them."""

    def __init__(self) -> None:
        self._kept: list[tuple[Number, Number]] = []
        self._every, self._count = 1, 0
        self._last: tuple[Number, Number] = (0, 0)

    def add(self, step: Number, value: Number) -> None:
        """Take the next point."""
        self._last = step, value
        if self._count % self._every == 0:
            self._kept.append(self._last)
            if len(self._kept) == 2 * MOST:  # however long a file is, no more is held of it
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._count += 1

    def points(self) -> list[tuple[Number, Number]]:
        """Return the points, the first and the last among them, at most ``MOST``."""
        kept = [*self._kept]
        if (self._count - 1) % self._every:
            kept.append(self._last)
        if len(kept) <= MOST:
            return kept
        return [kept[round(place * (len(kept) - 1) / (MOST - 1))] for place in range(MOST)]


def read_series(paths: Iterable[Path]) -> dict[str, Series]:
    """Read the files of one run's metrics, which go on from each other.

    Raises:
        OSError: one cannot be read.
    """
    found: dict[str, Series] = {}
    for path in paths:
        for step, numbers in metric_lines(path, []):
            for name, value in numbers:
                found.setdefault(name, Series()).add(step, value)
    return found


def told(metrics: Mapping[str, Metric], series: Mapping[str, Series]) -> list[list[Any]]:
    """Return each metric's name, what it came to, and its points where there are several, as pages take them."""
    found = []
    for name, metric in metrics.items():
        points = series[name].points() if name in series else []
        both = (
            [[number(one) for one in part] for part in zip(*points, strict=True)] if len(points) > 1 else []
        )
        summary = {key: number(value) for key, value in metric._asdict().items()}
        found.append([name, {**summary, "series": both}])
    return found
