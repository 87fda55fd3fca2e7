"""Two runs failed in the same way, or not."""

from __future__ import annotations

import pytest

from deriva_ml.replay.outcome import compare_failures
from replay.compare.conftest import OWN

ENDINGS = [
    ("", "", "identical"),
    ("cell [3] raised ValueError: bad", "cell [3] raised ValueError: bad", "identical"),
    ("cell [3] raised ValueError: no 2-ABCD", "cell [3] raised ValueError: no 3-WXYZ", "identical"),
    (
        "cell [3] raised KeyError: at 0x7f0011223344",
        "cell [3] raised KeyError: at 0x7f0011223355",
        "equivalent",
    ),
    ("cell [3] raised KeyError: after 1.2 s", "cell [3] raised KeyError: after 1.3 s", "equivalent"),
    ("cell [3] raised ValueError: bad", "cell [3] raised ValueError: worse", "different"),
    ("cell [3] raised ValueError: bad", "cell [4] raised ValueError: bad", "different"),
    ("cell [3] raised ValueError: bad", "cell [3] raised KeyError: bad", "different"),
    ("cell [3] raised ValueError: bad", "cell [3] showed ValueError: bad", "different"),
    ("cell [3] raised ValueError: bad", "", "different"),
    ("", "cell [3] raised ValueError: bad", "different"),
    ("cell [3] raised ValueError: 3 rows", "cell [3] raised ValueError: 4 rows", "different"),
    ("the kernel died in cell [3]: signal 9", "the kernel died in cell [3]: signal 11", "different"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), ENDINGS)
def test_endings(recorded: str, repeated: str, verdict: str) -> None:
    """By cell, class and message, of which only what must differ may."""
    found = compare_failures(recorded, repeated, OWN)
    assert str(found.verdict) == verdict
    assert bool(found.differences) == (verdict != "identical")
