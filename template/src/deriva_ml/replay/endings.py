"""How two runs ended, compared."""

from __future__ import annotations

import re

from deriva_ml.definitions import ExecutionRecord, Status
from deriva_ml.replay.outcome import compare_failures
from deriva_ml.replay.verdict import Compared, Comparison, CouldNotRun, Difference, Own, Verdict

_LACKING = re.compile(r"(?:ModuleNotFoundError|FileNotFoundError): .*")
"""How a run says that a package or a file is not there."""

_FULL = re.compile(
    r"\w*Error: \[Errno (?:12|28|122)\].*|\w*MemoryError.*|the kernel died in cell .*: it was ended by SIGKILL.*|.*out of memory.*",
    re.IGNORECASE,
)
"""How it says that memory or disk do not suffice."""


def compare_endings(before: ExecutionRecord, now: ExecutionRecord, own: Own) -> Compared | None:
    """Compare how two runs ended; None where both came to their end."""
    if not _failed(before) and not _failed(now):
        return None
    if _failed(before) and _failed(now):
        result = compare_failures(before.status_detail, now.status_detail, own)
    else:
        ends = [
            f"{one.status}: {one.status_detail}" if _failed(one) else "it came to its end"
            for one in (before, now)
        ]
        differences = [Difference("how it ended", *ends)]
        result = Comparison(Verdict.different, 0.0, "one failed, and the other did not", differences)
    return Compared("how it ended", "end", result)


def check_nothing_lacked(before: ExecutionRecord, now: ExecutionRecord) -> None:
    """See that a run did not fail for want of something that the record does not bring, or of room.

    Raises:
        CouldNotRun: it did, and the recorded one did not fail.
    """
    if not _failed(now) or _failed(before):
        return
    if full := _FULL.search(now.status_detail):
        raise CouldNotRun(f"memory or disk do not suffice here: {full[0]}")
    if lacking := _LACKING.search(now.status_detail):
        raise CouldNotRun(f"something that it needs is not in its record: {lacking[0]}")


def _failed(record: ExecutionRecord) -> bool:
    return record.status in {Status.failed, Status.aborted}
