"""A picture of what a sweep's jobs came to: the registered metrics against what was swept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deriva_ml.definitions import Status
from deriva_ml.sweep.table import Row
from deriva_ml.terminal import one_line

PANELS = 6
"""Metrics that are drawn at most, the first ones."""

LINES = 7
"""Values of a second key that have a colour and a marker each; more are drawn as one cloud."""

LINED = 40
"""Points that a line joins at most."""

TICKS = 12
"""Names on an axis; of more only some are written."""

# Wong's colours, which colour-blind people tell apart (https://doi.org/10.1038/nmeth.1618), and a shape with each.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Axis:
    """What stands on the horizontal axis.

    Attributes:
        places: of each row.
        names: of the places, where they are no numbers.
        logarithmic: whether the numbers span so much that they are told apart only so.
    """

    places: list[float]
    names: list[str]
    logarithmic: bool = False


def may_draw() -> bool:
    """Whether what draws is installed."""
    return find_spec("matplotlib") is not None


def draw(rows: Sequence[Row], title: str, path: Path) -> Path | None:
    """Draw the metrics of jobs that ended well against what was swept; None where there is nothing to tell.

    A first key is on the axis, a second one has colours; of more, each combination of the others has one.
    """
    good = [row for row in rows if row.status in {Status.uploaded, Status.pending_upload} and row.metrics]
    keys = [key for key in dict.fromkeys(k for row in good for k in row.swept) if len(_values(good, key)) > 1]
    metrics = list(dict.fromkeys(name for row in good for name in row.metrics))[:PANELS]
    if len(good) < 2 or not keys or not metrics:
        return None
    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.figure import Figure

    first = max(keys, key=lambda key: (_is_numeric(good, key), len(_values(good, key))))
    others = [key for key in keys if key != first]
    with rc_context(dict(rcParamsDefault)):
        wide = 2 if len(metrics) > 1 else 1
        high = math.ceil(len(metrics) / wide)
        figure = Figure(figsize=(5.2 * wide + 0.6, 3.4 * high + 0.7), dpi=120, layout="constrained")
        figure.suptitle(_short(title, 45 * wide), fontsize=11)
        for place, name in enumerate(metrics, 1):
            axes = figure.add_subplot(high, wide, place)
            _draw_metric(axes, [row for row in good if name in row.metrics], name, first, others)
        left_out = len(rows) - len(good)
        if left_out:
            figure.supxlabel(f"left out: {left_out} of {len(rows)} jobs, which did not end well", fontsize=8)
        figure.savefig(path)
    return path


def _draw_metric(axes: Any, rows: list[Row], name: str, key: str, others: Sequence[str]) -> None:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(", ".join(row.swept.get(other, "") for other in others), []).append(row)
    if len(groups) > LINES:
        groups = {"": rows}
    axis = axis_of(rows, key)
    place = {id(row): where for row, where in zip(rows, axis.places, strict=True)}
    for (label, some), colour, marker in zip(groups.items(), COLOURS, MARKERS, strict=False):
        some = sorted(some, key=lambda row: place[id(row)])
        few = len(some) <= LINED and not axis.names
        line = "-" if few and len({place[id(row)] for row in some}) == len(some) else ""
        axes.plot(
            [place[id(row)] for row in some],
            [float(row.metrics[name]) for row in some],
            color=colour,
            marker=marker,
            linestyle=line,
            linewidth=1,
            markersize=6 if len(some) <= 50 else 3,
            label=_short(label, 24) or None,
        )
    if axis.logarithmic:
        axes.set_xscale("log")
    if axis.names:
        step = math.ceil(len(axis.names) / TICKS)
        shown = range(0, len(axis.names), step)
        crowded = sum(len(axis.names[n]) for n in shown) > 40
        axes.set_xticks(
            list(shown),
            [_short(axis.names[n], 18) for n in shown],
            rotation=30 if crowded else 0,
            ha="right" if crowded else "center",
        )
        axes.margins(x=0.08)
    axes.set_xlabel(_short(key, 40))
    axes.set_ylabel(_short(name, 34))
    axes.grid(visible=True, alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(groups) > 1:
        axes.legend(title=_short(", ".join(others), 28), fontsize=8, title_fontsize=8, frameon=False)


def axis_of(rows: Sequence[Row], key: str) -> Axis:
    """Return where rows stand by a key: numbers as such, all else in the order in which it comes."""
    texts = [row.swept.get(key, "") for row in rows]
    if _is_numeric(rows, key):
        numbers = [float(text) for text in texts]
        different = sorted({*numbers})
        # Evenly by their size, half of them would be below the middle.
        uneven = different[0] > 0 and different[len(different) // 2] < different[-1] / 5
        return Axis(numbers, [], uneven and different[-1] / different[0] >= 50 and len(different) > 2)
    names = list(dict.fromkeys(texts))
    return Axis([float(names.index(text)) for text in texts], names)


def _is_numeric(rows: Sequence[Row], key: str) -> bool:
    try:
        return all(math.isfinite(float(row.swept.get(key, ""))) for row in rows)
    except ValueError:
        return False


def _values(rows: Sequence[Row], key: str) -> set[str]:
    return {row.swept.get(key, "") for row in rows}


def _short(text: str, most: int) -> str:
    text = one_line(text).replace("$", r"\$")  # which would begin a formula
    return text if len(text) <= most else f"{text[: most - 1]}…"
