"""A file of metrics, one JSON object a line, and what each metric came to: its last, least and greatest value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from deriva_ml.exceptions import DerivaMLRequestError

LOGGED_METRICS = "logged_metrics.jsonl"
"""The file that ``Execution.log_metrics`` writes."""

STEPS = ("step", "epoch")
"""What a line may call its step; the first that it has counts. A line without is counted by its place in the file, from 0."""

Number = bool | int | float


class Metric(NamedTuple):
    """What the values of one metric came to. NaN is least and greatest only where there is nothing else.

    Attributes:
        last: the value of the last line that has it; ``last_step`` is that line's step. The others likewise.
    """

    last: Number
    last_step: Number
    least: Number
    least_step: Number
    greatest: Number
    greatest_step: Number

    def then(self, later: Metric) -> Metric:
        """Return what this metric and its later values came to together."""
        least = self if self.least <= later.least or math.isnan(later.least) else later
        greatest = self if self.greatest >= later.greatest or math.isnan(later.greatest) else later
        return Metric(*later[:2], *least[2:4], *greatest[4:])


def read_metrics(path: Path) -> tuple[dict[str, Metric], str]:
    """Read a file of metrics, a line at a time.

    Objects in a line are read as metrics with dotted names. What is no number, such as a text, is no metric.

    Returns:
        What each metric came to; and what is wrong with the file, in half a sentence, if anything is.
    """
    found: dict[str, list[Number]] = {}
    wrong: list[int] = []
    for step, numbers in metric_lines(path, wrong):
        for name, value in numbers:
            known = found.get(name)
            if known is None:
                found[name] = [value, step] * 3
                continue
            known[0:2] = value, step
            if value < known[2] or known[2] != known[2]:  # as it is for NaN alone
                known[2:4] = value, step
            if value > known[4] or known[4] != known[4]:
                known[4:6] = value, step
    metrics = {name: Metric._make(values) for name, values in found.items()}
    if not wrong:
        return metrics, ""
    more = f", as {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return metrics, f"line {wrong[0]} is no JSON object{more}"


def metric_lines(path: Path, wrong: list[int]) -> Iterator[tuple[Number, list[tuple[str, Number]]]]:
    """Return the step of each line of a file of metrics, with what it has by name.

    Args:
        wrong: takes the numbers, from 1, of the lines that are no JSON objects.
    """
    with path.open("rb") as stream:
        for place, line in enumerate(stream):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                found = _step(values, place), list(_numbers(values))
            except (ValueError, AttributeError, RecursionError):
                wrong.append(place + 1)
                continue
            yield found


def _step(values: Mapping[str, Any], place: int) -> Number:
    steps = (values.get(name) for name in STEPS)
    return next(
        (step for step in steps if isinstance(step, int | float) and not isinstance(step, bool)), place
    )


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Number]]:
    for name, value in values.items():
        if isinstance(value, int | float):
            if prefix or name not in STEPS:
                yield f"{prefix}{name}", value
        elif isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")


def metrics_line(metrics: Mapping[str, Any], step: Any = None) -> str:
    """Return metrics as a line of such a file.

    Args:
        metrics: numbers by name, also those of NumPy or PyTorch, which have one ``item()``.
        step: a number, if there is one.

    Raises:
        DerivaMLRequestError: a name is no text, or a value is no number.
    """
    named = {"step": step} if step is not None else {}
    for name, value in {**named, **metrics}.items():
        if not isinstance(name, str) or not name:
            raise DerivaMLRequestError(f"{name!r} cannot name a metric: give a text")
        named[name] = _number(name, value)
    if step is not None and not named.keys() - {"step"}:
        raise DerivaMLRequestError("log_metrics() needs a metric: give {NAME: NUMBER}")
    return json.dumps(named, ensure_ascii=False) + "\n"


def _number(name: str, value: Any) -> Number:
    try:
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, int | float):
            number = float(number) if hasattr(number, "__float__") else None
    except (TypeError, ValueError, RuntimeError):  # an array, or a tensor, of several
        number = None
    if number is None:
        raise DerivaMLRequestError(f"metric {name!r} is {str(value)[:40]!r}, and has to be one number")
    return cast(Number, number)
