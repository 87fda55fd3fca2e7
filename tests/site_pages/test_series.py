"""Metrics over their steps, as a chart shows them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.metrics import read_metrics
from deriva_ml.site.scripts import number, script
from deriva_ml.site.series import MOST, read_series, told


def series(tmp_path: Path, *files: list[dict[str, Any]]) -> dict[str, Any]:
    """What a page takes of files of metrics, by name."""
    paths = []
    for place, lines in enumerate(files):
        paths.append(tmp_path / f"{place}.jsonl")
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return dict(told(read_metrics(paths[0])[0], read_series(paths)))


def test_a_metric_has_its_values_over_their_steps(tmp_path: Path) -> None:
    lines = [{"epoch": 10 * place, "loss": value} for place, value in enumerate([3, math.nan, math.inf, 1])]
    found = series(tmp_path, [*lines, {"f1": 0.5}])
    assert found["loss"]["series"] == [[0, 10, 20, 30], [3, "NaN", "Infinity", 1]]
    assert found["f1"]["series"] == [] and found["f1"]["last"] == 0.5


def test_files_of_one_run_go_on_from_each_other(tmp_path: Path) -> None:
    found = series(tmp_path, [{"step": 0, "loss": 3}], [{"step": 1, "loss": 2}])
    assert found["loss"]["series"] == [[0, 1], [3, 2]]


@pytest.mark.parametrize("count", [2, MOST - 1, MOST, MOST + 1, 2 * MOST, 2 * MOST + 1, 12_345])
def test_a_long_series_is_thinned_evenly(tmp_path: Path, count: int) -> None:
    """Its first and last points are kept."""
    [steps, values] = series(tmp_path, [{"step": step, "loss": -step} for step in range(count)])["loss"][
        "series"
    ]
    assert (steps[0], steps[-1]) == (0, count - 1) and values == [-step for step in steps]
    assert len(steps) == count if count <= MOST else MOST / 2 <= len(steps) <= MOST
    apart = {after - before for before, after in zip(steps[:-2], steps[1:-1], strict=True)}
    assert not apart or max(apart) - min(apart) <= max(1, max(apart) / 2)


# ------------------------------------------------------------------------------------------------- values as scripts
@pytest.mark.parametrize(
    "value",
    [
        {"__proto__": 1, "a'b": "\\'", 'c"d': '\\"'},
        "</script><!-- \u2028 \ud800 \0 \x1b \U0001f600",
        ["'); alert(1); ('", "\\", "\n"],
    ],
)
def test_a_script_is_one_literal_of_ascii(value: Any) -> None:
    text = script("runs", value).decode("ascii")
    assert text.startswith('site.take("runs", \'') and text.endswith("')\n")
    literal = text.removeprefix('site.take("runs", \'').removesuffix("')\n")
    assert "\n" not in literal
    plain, escaped = "", False
    for one in literal:  # as JavaScript reads it
        assert escaped or one != "'"
        escaped = one == "\\" and not escaped
        plain += "" if escaped else one
    assert not escaped and json.loads(plain) == value


def test_numbers_that_a_browser_has_not_are_texts() -> None:
    assert [number(one) for one in (math.nan, -math.inf, 2**53, 2**53 + 1, -(2**60), True, 0.5)] == [
        "NaN",
        "-Infinity",
        2**53,
        str(2**53 + 1),
        str(-(2**60)),
        True,
        0.5,
    ]
    assert number(10**5000).startswith("0x")
