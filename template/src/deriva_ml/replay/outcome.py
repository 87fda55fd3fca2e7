"""Compares how two runs failed: in which cell, with which error, and what it said."""

from __future__ import annotations

import re

from deriva_ml.replay.compare.tally import below_one, difference
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import compare_text
from deriva_ml.replay.verdict import Comparison, Own, Tolerance, Verdict

_WHERE = re.compile(
    r"^(?P<cell>cell \[\d+\]) (?P<did>raised|showed|called) (?:(?P<error>[A-Za-z_][\w.]*)(?::\s*|\b))?"
)


def compare_failures(
    recorded: str,
    repeated: str,
    own: Own,
    tolerance: Tolerance = Tolerance(),  # noqa: B008
) -> Comparison:
    """Compare the reasons for which two runs did not complete; empty for one that did.

    They are the same if the cell and the class of the error are, and the message is but for what must differ in it.
    """
    terms = Terms(own, tolerance)
    if bool(recorded.strip()) != bool(repeated.strip()):
        ends = (reason.strip() or "(completed)" for reason in (recorded, repeated))
        return Comparison(Verdict.different, 0.0, "", [difference("how it ended", *ends)])
    said = [_WHERE.match(reason) for reason in (recorded, repeated)]
    parts = [found.groupdict() if found else {} for found in said]
    if parts[0] != parts[1]:
        agree = sum(parts[0].get(name) == parts[1].get(name) for name in ("cell", "did", "error"))
        share = below_one(agree / 3 if all(parts) else 0.0)
        return Comparison(
            Verdict.different,
            share,
            "cell, kind and class of the error",
            [difference("how it ended", recorded, repeated)],
        )
    return compare_text(recorded, repeated, terms, "why it ended, line {}")
