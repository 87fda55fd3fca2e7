"""The picture of a sweep: what is on its axes, what has colours, what is said to be left out."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import math
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.sweep import picture
from deriva_ml.sweep.picture import draw, figure_of, may_be_drawn, scale_of
from deriva_ml.sweep.table import Row

PNG = b"\x89PNG\r\n\x1a\n"


def rows_of(*jobs: tuple[dict[str, object], dict[str, float]]) -> list[Row]:
    """Jobs that ended well."""
    return [
        Row(place, {key: str(value) for key, value in swept.items()}, "Uploaded", metrics=metrics)
        for place, (swept, metrics) in enumerate(jobs)
    ]


def panels_of(rows: Sequence[Row], **options: Any) -> list[Any]:
    """The panels of a picture that are seen."""
    return [axes for axes in figure_of(rows, "A sweep", **options).axes if axes.get_visible()]


def points(panel: Any) -> list[tuple[float, float]]:
    """All points of a panel that have a shape."""
    lines = [line for line in panel.lines if line.get_marker() not in {"None", "_"}]
    return sorted((float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True))


def ticks(panel: Any) -> list[str]:
    """What stands on the horizontal axis."""
    return [label.get_text() for label in panel.get_xticklabels()]


def test_each_metric_is_a_panel_of_numbers_against_what_was_swept() -> None:
    rows = rows_of(*(({"l2": x}, {"f1": x / 2, "loss": -x}) for x in (3, 1, 2)))
    first, second = panels_of(rows)
    assert (first.get_xlabel(), first.get_ylabel(), second.get_ylabel()) == ("l2", "f1", "loss")
    assert points(first) == [(1, 0.5), (2, 1), (3, 1.5)] and ticks(first) == ["1", "2", "3"]
    assert first.get_xscale() == "linear"
    assert [panel.get_ylabel() for panel in panels_of(rows, objective="loss")] == ["loss", "f1"]


def test_the_title_says_what_is_seen_against_what() -> None:
    rows = rows_of(*(({"l2": x, "kind": kind}, {"f1": 1.0}) for x in (1, 2) for kind in "ab"))
    figure = figure_of(rows, "Which $l_2$?")
    assert figure.get_suptitle().splitlines() == [r"Which \$l_2\$?", "f1 against l2 and kind"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.001, 0.01, 0.1, 1], "log"),
        ([0.1, 1, 10], "log"),
        ([0, 0.1, 1, 10, 100], "symlog"),
        ([1, 2, 3], "linear"),
        ([1, 10], "linear"),
        ([*range(1, 1001)], "linear"),
        ([-1, 0.1, 1, 10], "linear"),
        ([0.001, 1, 2, 3, 4, 5], "linear"),
        ([5], "linear"),
        ([], "linear"),
    ],
)
def test_numbers_that_span_decades_evenly_are_on_a_logarithmic_axis(values: list[float], scale: str) -> None:
    assert scale_of(values) == scale


def test_names_have_places_in_their_order() -> None:
    rows = rows_of(
        *(({"assets": name}, {"f1": float(place)}) for place, name in enumerate(("few", "many", "all")))
    )
    [panel] = panels_of(rows)
    assert ticks(panel) == ["few", "many", "all"]
    assert points(panel) == [(0, 0), (1, 1), (2, 2)]
    assert not [line for line in panel.lines if line.get_linestyle() == "-"], "no line from name to name"


def test_a_second_key_has_colours_shapes_and_a_legend() -> None:
    rows = rows_of(
        *(
            ({"kind": kind, "l2": x}, {"f1": x + len(kind)})
            for kind in ("a", "bb", "ccc")
            for x in (1, 2, 3, 4)
        )
    )
    figure = figure_of(rows, "")
    [panel], [legend] = figure.axes, figure.legends
    assert legend.get_title().get_text() == "kind"
    assert [text.get_text() for text in legend.get_texts()] == ["a", "bb", "ccc"]
    drawn = [line for line in panel.lines if line.get_marker() != "None"]
    assert len({line.get_color() for line in drawn}) == len({line.get_marker() for line in drawn}) == 3
    assert len([line for line in panel.lines if line.get_linestyle() == "-"]) == 3, "a line for each kind"


def test_further_keys_have_axes_of_their_own_with_medians() -> None:
    jobs = itertools.product((0.01, 0.1, 1), (1, 2, 3, 4), ("adam", "sgd"), range(10))
    rows = rows_of(
        *(({"lr": a, "layers": b, "opt": c, "seed": d}, {"f1": b + d / 10}) for a, b, c, d in jobs)
    )
    figure = figure_of(rows, "")
    assert [panel.get_xlabel() for panel in figure.axes] == ["lr", "layers", "seed"]
    assert len(points(figure.axes[1])) == 240
    middles = [line.get_data() for line in figure.axes[1].lines if line.get_linestyle() == "-"]
    assert [[round(float(y), 2) for y in ys] for _, ys in middles] == [[1.45, 2.45, 3.45, 4.45]] * 2
    assert "medians of jobs that share a place" in figure.get_supxlabel()


def test_a_thousand_points_of_a_search_are_no_line_and_have_their_axes() -> None:
    chance = random.Random(1)
    rows = rows_of(
        *(
            (
                {
                    "lr": 10 ** chance.uniform(-5, 0),
                    "dropout": chance.random(),
                    "depth": chance.randint(1, 6),
                },
                {"f1": 0.5},
            )
            for _ in range(1000)
        )
    )
    lr, dropout, depth = panels_of(rows)
    assert (lr.get_xscale(), dropout.get_xscale(), depth.get_xscale()) == ("log", "linear", "linear")
    assert all(line.get_linestyle() == "None" for line in (*lr.lines, *dropout.lines))
    assert ticks(depth) == ["1", "2", "3", "4", "5", "6"]


def test_what_is_left_out_is_counted() -> None:
    rows = rows_of(*(({"l2": x}, {f"m{place}": 1.0 for place in range(9)}) for x in range(5)))
    rows += [
        Row(5, {"l2": "7"}, "Failed", metrics={"m0": 1.0}),
        Row(6, {"l2": "8"}),
        Row(7, {"l2": "9"}, "Uploaded"),
    ]
    figure = figure_of(rows, "")
    assert len(figure.axes) == 6 and len(points(figure.axes[0])) == 5
    said = figure.get_supxlabel().replace("\n", " ")
    assert said == "5 jobs; left out: 3 that did not end well or have no metric; 6 of 9 metrics"
    many = rows_of(*(({f"k{n}": place * n for n in range(1, 9)}, {"f1": 1.0}) for place in range(9)))
    assert (
        len(panels_of(many)) == 4 and "not to be seen here: k5, k6, k7" in figure_of(many, "").get_supxlabel()
    )


def test_the_best_job_has_a_ring() -> None:
    rows = rows_of(*(({"l2": x}, {"f1": x}) for x in (1.0, 2.0, 3.0)))
    figure = figure_of(rows, "", "f1", rows[2])
    [ring] = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [*map(float, ring.get_xydata()[0])] == [3, 3] and "ring: the best, job 3" in figure.get_supxlabel()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        rows_of(({"l2": 1}, {"f1": 1.0})),
        rows_of(({"l2": 1}, {"f1": 1.0}), ({"l2": 1}, {"f1": 2.0})),
        rows_of(({"l2": 1}, {}), ({"l2": 2}, {})),
        rows_of(({"l2": 1}, {"f1": math.nan}), ({"l2": 2}, {"f1": math.inf})),
        rows_of(({"l2": 1}, {"f1": 1.0}), ({"l2": 2}, {"recall": 1.0})),
    ],
    ids=["nothing", "one job", "one value", "no metrics", "no numbers", "none in common"],
)
def test_there_is_no_picture_where_there_is_nothing_to_see(rows: list[Row], tmp_path: Path) -> None:
    assert not may_be_drawn(rows) and draw(rows, "", tmp_path / "sweep.png") is None
    assert not [*tmp_path.iterdir()]


STRANGE = ["$x^", "a\nb", "", "\u6f22\u5b57", "x" * 400, "{", "\\frac", "_"]


def test_a_file_is_drawn_whatever_texts_are_in_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is said of fonts, and what others have set of matplotlib's is neither heeded nor changed."""
    import matplotlib

    before = matplotlib.rcParams["axes.facecolor"], logging.getLogger("matplotlib").level
    rows = rows_of(
        *(
            ({text: place % 2, "note": text}, {text or "f1": 1.0, "y": 2.0})
            for place, text in enumerate(STRANGE)
        )
    )
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red"}), warnings.catch_warnings():
        warnings.simplefilter("error")
        path = draw(rows, "$$ {\\x", tmp_path / "sweep.png", "y", rows[0])
        assert matplotlib.rcParams["axes.facecolor"] == "red"
    assert path and path.read_bytes().startswith(PNG)
    assert (matplotlib.rcParams["axes.facecolor"], logging.getLogger("matplotlib").level) == before
    assert capfd.readouterr() == ("", "")


def test_without_matplotlib_a_line_says_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(picture, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    rows = rows_of(({"l2": 1}, {"f1": 1.0}), ({"l2": 2}, {"f1": 2.0}))
    assert draw(rows, "", tmp_path / "sweep.png") is None
    assert capsys.readouterr().err.strip().endswith("uv add matplotlib") and not [*tmp_path.iterdir()]
