"""Conditions, orders and times, as a person writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deriva_ml.catalog.criteria import Comparison, parse_order, parse_since, parse_where
from deriva_ml.exceptions import DerivaMLRequestError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 0.9", [Comparison("a", ">", 0.9)]),
        ("a>0.9 and model_config.l2<1", [Comparison("a", ">", 0.9), Comparison("model_config.l2", "<", 1)]),
        (
            "`my metric (%)` >= -1e-3 AND b != x",
            [Comparison("my metric (%)", ">=", -0.001), Comparison("b", "<>", "x")],
        ),
        ("a == 'it''s'", None),
        ('a = "it\'s"', [Comparison("a", "=", "it's")]),
        ("a = 'it\\'s'", [Comparison("a", "=", "it's")]),
        ("`and` = and", [Comparison("and", "=", "and")]),
        ("a = nan", [Comparison("a", "=", "NaN")]),
        ("a < inf", [Comparison("a", "<", float("inf"))]),
        ("when >= 2026-11-01", [Comparison("when", ">=", "2026-11-01")]),
        ("a", None),
        ("", None),
        ("a >", None),
        ("> 1", None),
        ("a > 1 b < 2", None),
        ("a > 1 or b < 2", None),
        ("a > 1 and", None),
        ("a > > 1", None),
        ("__import__('os').system('x')", None),
        ("a = 1; DROP TABLE Execution", None),
        ("`a = 1", None),
        ("a = 'x", None),
        ("'a' = 1", None),
    ],
)
def test_conditions_are_comparisons_joined_by_and(text: str, expected: list[Comparison] | None) -> None:
    if expected is None:
        with pytest.raises(DerivaMLRequestError, match="cannot be read"):
            parse_where(text)
    else:
        assert parse_where(text) == expected


def test_names_are_sorted_by_with_the_greatest_first_where_a_hyphen_says_so() -> None:
    assert parse_order("-accuracy, l2,`-odd`") == [("accuracy", True), ("l2", False), ("-odd", False)]
    for text in ("", "-", "a,,b"):
        with pytest.raises(DerivaMLRequestError, match="names nothing to sort by"):
            parse_order(text)


@pytest.mark.parametrize(
    ("text", "ago"), [("2w", 14 * 24 * 60), ("3d", 3 * 24 * 60), ("12h", 12 * 60), ("30 m", 30)]
)
def test_a_time_is_as_long_ago_as_it_says(text: str, ago: int) -> None:
    moment = datetime.fromisoformat(parse_since(text))
    assert abs(datetime.now(UTC) - timedelta(minutes=ago) - moment) < timedelta(minutes=1)


def test_a_date_is_a_time_in_utc() -> None:
    assert parse_since("2026-11-28T12:00:00+02:00") == "2026-11-28T10:00:00.000000+00:00"
    for text in ("yesterday", "2y", "999999w", "2026-13-01", ""):
        with pytest.raises(DerivaMLRequestError, match="is no time: give 2w"):
            parse_since(text)
