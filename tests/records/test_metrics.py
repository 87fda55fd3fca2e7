"""Metrics: logged or written to a file, and what each came to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deriva_ml import DerivaML
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.metrics import LOGGED_METRICS, Metric, metrics_line, read_metrics
from executions.runs import outputs, start

inf, nan = math.inf, math.nan


def of(tmp_path: Path, text: str | bytes) -> tuple[dict[str, Metric], str]:
    """What a file with this text comes to, and what is wrong with it."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_metrics(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}\n{"a": 3}\n{"a": 2}', (2, 2, 1, 0, 3, 1)),
        ('{"step": 10, "a": 1}\n\n{"step": 20, "a": 1}\n', (1, 20, 1, 10, 1, 10)),
        ('{"epoch": 1, "a": 5.5}\n{"epoch": 2, "a": -1}\n', (-1, 2, -1, 2, 5.5, 1)),
        ('{"step": 7, "epoch": 1, "a": 0}\n', (0, 7, 0, 7, 0, 7)),
        ('{"a": 2}\n{"a": NaN}\n{"a": 1}\n', (1, 2, 1, 2, 2, 0)),
        ('{"a": NaN}\n{"a": 1}\n', (1, 1, 1, 1, 1, 1)),
        ('{"a": -Infinity}\n{"a": Infinity}\n', (inf, 1, -inf, 0, inf, 1)),
        ('{"a": false}\n', (False, 0, False, 0, False, 0)),
    ],
)
def test_a_metric_comes_to_its_last_least_and_greatest_value(
    tmp_path: Path, text: str, expected: tuple[Any, ...]
) -> None:
    """Each with its step: what the line calls step or epoch, or else the line's place."""
    assert of(tmp_path, text) == ({"a": Metric(*expected)}, "")


def test_nan_is_what_a_metric_comes_to_where_there_is_nothing_else(tmp_path: Path) -> None:
    found, _ = of(tmp_path, '{"a": 1}\n{"a": NaN, "b": NaN}\n')
    assert math.isnan(found["a"].last) and (found["a"].least, found["a"].greatest) == (1, 1)
    assert all(math.isnan(value) for value in (found["b"].last, found["b"].least, found["b"].greatest))


def test_what_is_no_number_is_no_metric(tmp_path: Path) -> None:
    """Objects are read into; texts, lists and null are passed over."""
    text = '{"phase": "train", "layers": [1, 2], "none": null, "train": {"loss": 0.5, "step": 3}, "é ü": 1}\n'
    found, wrong = of(tmp_path, text)
    assert {name: metric.last for name, metric in found.items()} == {
        "train.loss": 0.5,
        "train.step": 3,
        "é ü": 1,
    }
    assert wrong == ""


@pytest.mark.parametrize("line", [b"no", b"[1]", b"1", b'"a"', b"\xff\xfe", b"[" * 100_000, b'{"a": 1'])
def test_a_line_that_is_no_object_is_named_and_the_others_count(tmp_path: Path, line: bytes) -> None:
    found, wrong = of(tmp_path, b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert found["a"].last == 2
    assert wrong == "line 2 is no JSON object"


def test_logged_metrics_are_a_file_of_their_own(ml: DerivaML) -> None:
    """Beside the metrics file, which may be written as a whole at any time; both count."""
    execution = start(ml)
    execution.log_metrics({"loss": 0.5, "accuracy": np.float32(0.25)}, step=1)
    execution.metrics_file().write_text('{"f1": 0.75}\n')
    execution.log_metrics({"loss": np.array(0.125), "accuracy": 0.5}, step=2)
    execution.commit_output_assets()
    execution.log_metrics({"loss": 0.25}, step=3)  # after a commit a new file begins
    execution.commit_output_assets()
    made = outputs(ml, execution)
    assert made["metrics.jsonl"][1] == b'{"f1": 0.75}\n'
    files = [
        one for one in ml.connection.local.assets_of(execution.local_rid) if one.filename == LOGGED_METRICS
    ]
    texts = [ml.connection.local.objects.path(one.md5).read_text() for one in files]
    assert sorted([json.loads(line)["step"] for line in text.splitlines()] for text in texts) == [[1, 2], [3]]
    record = ml.lookup_execution(execution.execution_rid)
    assert record.metrics == {"loss": 0.25, "accuracy": 0.5, "f1": 0.75}
    loss = record.metric_summaries["loss"]
    assert (loss.least, loss.least_step, loss.greatest, loss.greatest_step) == (0.125, 2, 0.5, 1)


@pytest.mark.parametrize("value", ["high", None, [1], np.array([1, 2]), object(), {"a": 1}])
def test_what_is_no_number_cannot_be_logged(value: object) -> None:
    with pytest.raises(DerivaMLRequestError, match="metric 'a' is .*, and has to be one number"):
        metrics_line({"a": value})
    with pytest.raises(DerivaMLRequestError, match="cannot name a metric"):
        metrics_line({3: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [nan, inf, -inf, 2**80, -(10**400), True, 0.1])
def test_every_number_is_kept_as_it_is(ml: DerivaML, value: float) -> None:
    """NaN and infinities too; a whole number that is too large for the tables is nearly so."""
    execution = start(ml)
    execution.log_metrics({"a": value})
    execution.commit_output_assets()
    kept = ml.lookup_execution(execution.execution_rid).metrics["a"]
    expected = {-(10**400): -inf}.get(value, value)  # type: ignore[call-overload]
    assert (math.isnan(kept) and math.isnan(value)) or kept == expected
    assert isinstance(kept, bool) == isinstance(value, bool)
