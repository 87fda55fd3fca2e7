"""What holds for all texts and values, not just for those that somebody thought of."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deriva_ml.replay.compare.json_values import compare_values
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import compare_text
from deriva_ml.replay.verdict import Own, Tolerance, Verdict
from replay.compare.conftest import KNOWN_TIMES, turned

EXACT, USUAL, WIDE = (Terms(Own(), Tolerance(*both)) for both in ((0.0, 0.0), (1e-9, 1e-12), (1e-3, 1e-3)))

WORDS = st.sampled_from(
    ["loss", "0.5", "0.50000000000001", "0.6", "1", "2", "12:20:01", "3 s", "took", "\n", "  ", "\r", "100%|██| 2/2 [00:01<00:00, 1it/s]"]
    + ["0x7f0011223344", "/tmp/tmpab12cd34/x", "/data/a/b", "2026-11-27 17:20:01", "[", "nan", "1e-3", "\x1b[1m", "-", "half-life", "2-ABCD"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=12).map(" ".join)
NUMBERS = st.one_of(st.integers(-5, 5), st.floats(width=16), st.booleans(), st.none(), st.text(max_size=2))
VALUES = st.recursive(
    NUMBERS,
    lambda some: st.one_of(
        st.lists(some, max_size=3), st.dictionaries(st.sampled_from("abc"), some, max_size=3)
    ),
    max_leaves=8,
)
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(TEXTS, TEXTS)
def test_texts(one: str, other: str) -> None:
    """A text is identical with itself alone; the verdict is the same both ways, and no worse with more tolerance."""
    assert compare_text(one, one, USUAL).verdict is Verdict.identical
    found = compare_text(one, other, USUAL)
    assert (found.verdict is Verdict.identical) == (one == other)
    assert compare_text(other, one, USUAL).verdict is found.verdict
    assert compare_text(one, other, WIDE).verdict <= found.verdict <= compare_text(one, other, EXACT).verdict
    assert 0 <= found.similarity <= 1
    assert bool(found.differences) or found.verdict is not Verdict.different
    said = "".join(f"{line.where}{line.recorded}{line.repeated}" for line in found.differences)
    assert said.isprintable() or not set(said) & {chr(n) for n in range(32)}


@FEW
@given(TEXTS, TEXTS)
def test_known_times_are_stricter(one: str, other: str) -> None:
    """Whoever knows when the runs ran takes no more for their own, dates without a time aside."""
    known, mirrored = (Terms(own, Tolerance()) for own in (KNOWN_TIMES, turned(KNOWN_TIMES)))
    loose = Terms(Own(KNOWN_TIMES.recorded, KNOWN_TIMES.repeated), Tolerance())
    found = compare_text(one, other, known).verdict
    assert found is compare_text(other, one, mirrored).verdict
    assert found >= compare_text(one, other, loose).verdict


@FEW
@given(VALUES, VALUES)
def test_values(one: Any, other: Any) -> None:
    """A value of JSON counts as the same as itself; the verdict is the same both ways, and no worse with more tolerance."""
    assert compare_values(one, one, USUAL).verdict is not Verdict.different
    found = compare_values(one, other, USUAL).verdict
    assert compare_values(other, one, USUAL).verdict is found
    assert compare_values(one, other, WIDE).verdict <= found <= compare_values(one, other, EXACT).verdict
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert found is not Verdict.different
