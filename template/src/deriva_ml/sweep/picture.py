"""A picture of what a sweep's jobs came to: the registered metrics against what was swept."""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from math import isfinite, log, nan
from os.path import commonprefix
from pathlib import Path
from statistics import median
from typing import Any

from deriva_ml.git import listed
from deriva_ml.sweep.table import Row
from deriva_ml.terminal import counted, one_line, tell

PANELS = 6
"""Metrics that are drawn at most."""

ACROSS = 4
"""Swept keys that have an axis of their own at most."""

JOINED = 60
"""Places that a line joins at most."""

TICKED = 8
"""Different numbers that are all written on an axis, where there is room; of more, the library chooses."""

NAMES = 12
"""Names on an axis at most; of more, some are written."""

LOOKS = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
)
"""Colours that colour-blind people tell apart (https://doi.org/10.1038/nmeth.1618), each with a shape."""


@dataclass(frozen=True)
class Axis:
    """Where jobs stand by a key.

    Attributes:
        places: of each value.
        names: of the places 0, 1, 2, ..., if the values are no numbers.
        scale: ``linear``, ``log``, or ``symlog`` where there is a zero, too.
    """

    key: str
    places: Mapping[str, float]
    names: Sequence[str] = ()
    scale: str = "linear"


@dataclass(frozen=True)
class Layout:
    """Which swept key is seen where.

    Attributes:
        across: those that have an axis each.
        colour: the one whose values have a colour each; empty if none has.
        unseen: those for which there is no room.
    """

    across: tuple[str, ...]
    colour: str = ""
    unseen: tuple[str, ...] = ()


def draw(
    rows: Sequence[Row], title: str, path: Path, objective: str = "", best: Row | None = None
) -> Path | None:
    """Draw the metrics of the jobs that ended well, and return ``path``; None where there is nothing to tell.

    What draws is the project's own matplotlib; where there is none, a line says how to have one.

    Args:
        objective: the metric that comes first.
        best: the job that stands out.
    """
    if not may_be_drawn(rows):
        return None
    if find_spec("matplotlib") is None:
        tell("note: no picture of the results, since matplotlib is not installed: uv add matplotlib")
        return None
    with _undisturbed():
        figure_of(rows, title, objective, best).savefig(path, metadata={"Title": one_line(title)})
    return path


def may_be_drawn(rows: Sequence[Row]) -> bool:
    """Whether at least two jobs that ended well have a metric, and differ in what is swept."""
    good = _drawn(rows)
    return bool(_metrics_of(good, "") and _keys_of(good))


def _drawn(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.ended_well and any(map(isfinite, row.metrics.values()))]


def _metrics_of(rows: Sequence[Row], objective: str) -> list[str]:
    counts = Counter(name for row in rows for name, value in row.metrics.items() if isfinite(value))
    return sorted((name for name, count in counts.items() if count > 1), key=lambda name: name != objective)


def _keys_of(rows: Sequence[Row]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row.swept)
    return [key for key in keys if len(_values(rows, key)) > 1]


def figure_of(rows: Sequence[Row], title: str, objective: str = "", best: Row | None = None) -> Any:
    """Return the picture of jobs that may be drawn: a panel for each metric, and for each of several axes."""
    from matplotlib.figure import Figure

    good = _drawn(rows)
    metrics = _metrics_of(good, objective)
    layout = layout_of(good, _keys_of(good))
    shown, axes = metrics[:PANELS], [axis_of(good, key) for key in layout.across]
    cells = [(name, axis) for name in shown for axis in axes]
    columns = len(axes) if len(axes) > 1 else (1, 1, 2, 3, 2, 3, 3)[len(shown)]
    lines = -(-len(cells) // columns)
    breadth = (6.2, 4.6, 3.8, 3.6)[columns - 1] * columns
    figure = Figure((breadth + (1.6 if layout.colour else 0.2), 1.1 + 2.9 * lines), 120, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey="row" if len(axes) > 1 else False)
    for (name, axis), panel in zip(cells, panels.flat, strict=False):
        _draw_panel(panel, good, name, axis, layout.colour, best, int(11 * breadth / columns))
        if axis is axes[0]:
            panel.set_ylabel(_short(name, 34))
    for panel in panels.flat[len(cells) :]:
        panel.set_visible(False)
    room = int(12 * breadth)
    figure.suptitle(_title(title, shown, layout, room), fontsize=11)
    notes = _notes(rows, good, metrics, layout, best)
    figure.supxlabel("\n".join(textwrap.wrap(notes, room + 10)), fontsize=8, color="#444444")
    if layout.colour:
        _add_legend(figure, good, layout.colour)
    return figure


def layout_of(rows: Sequence[Row], keys: Sequence[str]) -> Layout:
    """Return which key goes where: one with few values has colours, rather names than numbers; the others an axis each."""
    numeric = {key for key in keys if _is_numeric(rows, key)}
    counts = {key: len(_values(rows, key)) for key in keys}
    # Where a sweeper chose values freely, a number belongs on an axis.
    free = any(counts[key] > max(len(LOOKS), len(rows) / 2) for key in keys)
    few = [key for key in keys if counts[key] <= (3 if free and key in numeric else len(LOOKS))]
    if len(keys) == 1:
        few = []
    colour = min(few, key=lambda key: (key in numeric, counts[key], -keys.index(key)), default="")
    across = [key for key in keys if key != colour]
    worth = sorted(across, key=lambda key: (key not in numeric, -counts[key]))[:ACROSS]
    seen = [key for key in across if key in worth]
    return Layout(tuple(seen), colour, tuple(key for key in across if key not in worth))


def axis_of(rows: Sequence[Row], key: str) -> Axis:
    """Return where jobs stand by a key: numbers as such, all else in the order in which it comes."""
    values = _values(rows, key)
    if _is_numeric(rows, key):
        places = {text: float(text) for text in values}
        return Axis(key, places, scale=scale_of(places.values()))
    return Axis(key, {text: float(place) for place, text in enumerate(values)}, values)


def scale_of(values: Iterable[float]) -> str:
    """Return the scale on which numbers stand evenly: a logarithmic one where they span two decades so."""
    numbers = sorted({*values})
    positive = [number for number in numbers if number > 0]
    if len(positive) < 3 or numbers[0] < 0 or positive[-1] / positive[0] < 99.9:
        return "linear"
    if _widest_gap([log(number) for number in positive]) >= _widest_gap(positive):
        return "linear"
    return "log" if len(positive) == len(numbers) else "symlog"


def _widest_gap(numbers: Sequence[float]) -> float:
    """Return which part of the whole range the widest gap is."""
    return max(after - before for before, after in pairwise(numbers)) / (numbers[-1] - numbers[0])


def _draw_panel(
    panel: Any, rows: Sequence[Row], metric: str, axis: Axis, colour: str, best: Row | None, room: int
) -> None:
    """Draw the jobs' points, and a line or bars through the medians of those that share a place.

    Args:
        room: how many characters the panel is wide.
    """
    rows = [row for row in rows if isfinite(row.metrics.get(metric, nan))]
    groups = _ordered(rows, colour) if colour else [""]
    size = 6.5 if len(rows) <= 60 else 4.5 if len(rows) <= 300 else 3
    for place, (value, (tint, marker)) in enumerate(zip(groups, LOOKS, strict=False)):
        # Of names, each group has its own place beside the others'.
        aside = (place - (len(groups) - 1) / 2) * min(0.15, 0.7 / len(groups)) if axis.names else 0.0
        points: dict[float, list[float]] = {}
        for row in rows:
            if not colour or row.swept.get(colour, "") == value:
                where = axis.places[row.swept.get(axis.key, "")] + aside
                points.setdefault(where, []).append(float(row.metrics[metric]))
                if row is best:
                    ring = {"markersize": 13, "markeredgecolor": "#333333", "markerfacecolor": "none"}
                    panel.plot([where], [float(row.metrics[metric])], "o", zorder=4, **ring)
        shared = any(len(found) > 1 for found in points.values())
        flat = [(where, one) for where, found in points.items() for one in found]
        panel.plot(
            *zip(*flat, strict=True) if flat else ([], []),
            color=tint,
            marker=marker,
            markersize=size if not shared else max(3, size - 2),
            markeredgewidth=0,
            linestyle="",
            alpha=0.45 if shared or len(rows) > 300 else 0.95,
        )
        middles = sorted((where, median(found)) for where, found in points.items())
        if axis.names and shared:
            panel.plot(
                *zip(*middles, strict=True), color=tint, marker="_", markersize=16, mew=2, linestyle=""
            )
        elif not axis.names and 1 < len(middles) <= JOINED and (shared or len(middles) == len(flat)):
            panel.plot(*zip(*middles, strict=True), color=tint, linewidth=1.3, alpha=0.8)
    scale = scale_of(float(row.metrics[metric]) for row in rows)
    panel.set_yscale(scale if scale == "log" else "linear")
    _label_axis(panel, axis, room)
    panel.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _label_axis(panel: Any, axis: Axis, room: int) -> None:
    panel.set_xlabel(_short(axis.key, 40))
    if axis.names:
        shown = range(0, len(axis.names), -(-len(axis.names) // NAMES))
        names = _told_apart([axis.names[place] for place in shown])
        crowded = sum(map(len, names)) + 2 * len(names) > room
        tilt = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        panel.set_xticks(list(shown), names, **tilt)
        aside = max(0.6, len(axis.names) / 50)
        panel.set_xlim(-aside, len(axis.names) - 1 + aside)
        return
    numbers = sorted({*axis.places.values()})
    least = min((number for number in numbers if number > 0), default=1.0)
    if axis.scale == "symlog":
        panel.set_xscale("symlog", linthresh=least, linscale=0.7)
    elif axis.scale == "log":
        panel.set_xscale("log")
    seen = (
        numbers
        if axis.scale == "linear"
        else [log(number / least) + 2 if number else 0 for number in numbers]
    )
    if len(numbers) <= TICKED and min(b - a for a, b in pairwise(seen)) > 0.08 * (seen[-1] - seen[0]):
        panel.set_xticks(numbers, [f"{number:g}" for number in numbers])
        panel.set_xticks([], minor=True)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names that are short, without what they all begin with."""
    common = len(commonprefix(names)) if len(names) > 1 else 0
    skipped = common - 1 if common > 9 else 0  # a mark stands for it
    return [
        _short(f"{'…' if skipped else ''}{name[skipped:]}" or "(none)", 18, middle=True) for name in names
    ]


def _add_legend(figure: Any, rows: Sequence[Row], key: str) -> None:
    from matplotlib.lines import Line2D

    values = _ordered(rows, key)
    handles = [
        Line2D([], [], color=tint, marker=marker, label=_short(value or "(none)", 24, middle=True))
        for value, (tint, marker) in zip(values, LOOKS, strict=False)
    ]
    figure.legend(
        handles=handles,
        title=_short(key, 24, middle=True),
        loc="outside right upper",
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )


def _title(title: str, metrics: Sequence[str], layout: Layout, room: int) -> str:
    keys = [*layout.across, *([layout.colour] if layout.colour else [])]
    what = f"{listed(metrics, 3)} against {' and '.join(filter(None, [', '.join(keys[:-1]), keys[-1]]))}"
    return "\n".join(_short(line, room) for line in (title, what) if line)


def _notes(
    rows: Sequence[Row], good: Sequence[Row], metrics: Sequence[str], layout: Layout, best: Row | None
) -> str:
    said = [counted(len(good), "job")]
    if left_out := len(rows) - len(good):
        said.append(f"left out: {left_out:,} that did not end well or have no metric")
    places = [{(row.swept.get(key), row.swept.get(layout.colour)) for row in good} for key in layout.across]
    if any(len(seen) < len(good) for seen in places):
        said.append("lines and bars: medians of jobs that share a place")
    if layout.unseen:
        said.append(f"not to be seen here: {listed(layout.unseen, 3)}")
    if len(metrics) > PANELS:
        said.append(f"{PANELS} of {len(metrics)} metrics")
    if best:
        said.append(f"ring: the best, job {best.number + 1}")
    return "; ".join(said)


def _values(rows: Sequence[Row], key: str) -> list[str]:
    return [*dict.fromkeys(row.swept.get(key, "") for row in rows)]


def _ordered(rows: Sequence[Row], key: str) -> list[str]:
    values = _values(rows, key)
    return sorted(values, key=float) if _is_numeric(rows, key) else values


def _is_numeric(rows: Sequence[Row], key: str) -> bool:
    try:
        return all(isfinite(float(value)) for value in _values(rows, key))
    except ValueError:
        return False


def _short(text: str, most: int, *, middle: bool = False) -> str:
    """Return a text that fits, without its end or its middle, and in which nothing begins a formula."""
    text = one_line(text)
    if len(text) > most:
        kept = most // 2 if middle else 0
        text = f"{text[: most - kept - 1]}…{text[len(text) - kept :]}"
    return text.replace("$", r"\$")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let the library draw as it does by default, whatever style a person or a model has set, and say nothing."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # as of fonts that it looks for
    try:
        import matplotlib

        with warnings.catch_warnings(), matplotlib.rc_context():
            warnings.simplefilter("ignore")
            matplotlib.rcdefaults()
            yield
    finally:
        logger.setLevel(level)
