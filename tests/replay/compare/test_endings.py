"""Two runs failed in the same way, or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deriva_ml.definitions import ExecutionRecord, Status, Workflow
from deriva_ml.replay.endings import check_nothing_lacked
from deriva_ml.replay.outcome import compare_failures
from deriva_ml.replay.verdict import CouldNotRun
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


@pytest.mark.parametrize(
    "detail",
    [
        "the kernel died in cell [4]: it was ended by SIGKILL (out of memory, perhaps)",
        "cell [4] raised OSError: [Errno 28] No space left on device",
        "cell [4] raised MemoryError: ",
        "cell [4] raised numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1. TiB",
        "cell [4] raised OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
        "cell [4] raised FileNotFoundError: [Errno 2] No such file or directory: 'a.csv'",
        "cell [4] raised ModuleNotFoundError: No module named 'a'",
    ],
)
def test_what_a_machine_lacks_is_no_other_result(detail: str) -> None:
    """A run that came to its end there could not run here; one that failed there is compared."""
    now = ExecutionRecord("1-A", Status.failed, detail, "", Workflow("w", "t"), "", "")
    with pytest.raises(CouldNotRun):
        check_nothing_lacked(replace(now, status=Status.uploaded, status_detail=""), now)
    check_nothing_lacked(now, now)
    check_nothing_lacked(now, replace(now, status_detail="cell [4] raised ValueError: bad"))
