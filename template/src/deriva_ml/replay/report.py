"""What a replay found, as a report that people and programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.definitions import RID
from deriva_ml.replay.verdict import Compared, Tolerance, Verdict


@dataclass(frozen=True)
class Side:
    """A run as one side of a report: the recorded one, or the one that repeated it.

    Attributes:
        execution: its RID; that of the repeating one is known to the project only where that was recorded.
        status: how it ended: ``Uploaded``, ``Failed``, ``Aborted``.
        detail: why, where it failed.
        runner: version of the runner: ``0.1.0``; empty where that is not known.
        python, platform: as its environment says.
        seconds: of the execution; None where that is not known.
    """

    execution: RID = ""
    status: str = ""
    detail: str = ""
    runner: str = ""
    python: str = ""
    platform: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """What came of repeating an execution.

    Attributes:
        rid: of the execution, as it was asked for.
        kind: ``notebook``, ``model``, ``interactive``, ``script`` or ``sweep``.
        workflow: its name.
        commit, path: of the code; whether it was run with a patch.
        why: what was missing, where it could not run; in one line.
        ending: how the two ended, compared; None where both came to their end.
        outputs: one a file; of a sweep none.
        reasons: why it differs, as far as that can be told, a line each.
        notes: what the reader has to know though nothing differs for it, a line each (``--here``, what was left out).
        runs: of a sweep, the report on each of its jobs.
        begun: when the replay began, ISO 8601 in UTC.
        seconds: that it took, all in all.
        recorded_as: the RID of the new execution, with ``--record``.
    """

    rid: RID
    verdict: Verdict
    kind: str = ""
    workflow: str = ""
    commit: str = ""
    path: str = ""
    patched: bool = False
    why: str = ""
    ending: Compared | None = None
    outputs: Sequence[Compared] = ()
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    recorded: Side = Side()
    repeated: Side = Side()
    tolerance: Tolerance = Tolerance()
    parameters: dict[str, Any] = field(default_factory=dict)
    runs: Sequence[Report] = ()
    begun: str = ""
    seconds: float = 0.0
    recorded_as: RID = ""

    @property
    def similarity(self) -> float:
        """That of the output that is least alike; 0 where nothing was compared for want of a run."""
        if self.verdict is Verdict.could_not_run:
            return 0.0
        return min([*(one.result.similarity for one in self.outputs), *(one.similarity for one in self.runs)], default=1.0)
