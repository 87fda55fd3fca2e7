"""Comments in cells that silence rules: ``# noqa: DML602``."""

from __future__ import annotations

import re

from deriva_ml.check.rule import Problem

_COMMENT = r"(?i)#\s*noqa(?::\s*(?P<codes>\w+\d+(?:[\s,]+\w+\d+)*))?(?![\w-])"
_ALONE = r"\s*#"


def is_silenced(problem: Problem, code: str) -> bool:
    """Whether a comment silences this rule there.

    It stands on the first or the last line of what the rule found, or alone on the first line of the cell, for all of it.
    There it has to name codes. Without codes it silences every rule on its line.
    """
    if "noqa" not in problem.cell.text.lower():
        return False
    lines = problem.cell.text.splitlines()
    begin, end = lines_of(problem)
    for number in {begin, end}:
        if 0 < number <= len(lines) and (found := re.search(_COMMENT, lines[number - 1])):
            if found["codes"] is None or _names(found["codes"], code):
                return True
    first = next((line for line in lines if line.strip()), "")
    found = re.search(_COMMENT, first) if re.match(_ALONE, first) else None
    return bool(found and _names(found["codes"] or "", code))


def lines_of(problem: Problem) -> tuple[int, int]:
    """Return the first and the last line of what was found, in its cell."""
    if isinstance(problem.node, int):
        return problem.node, problem.node
    begin = getattr(problem.node, "lineno", 1)
    return begin, getattr(problem.node, "end_lineno", None) or begin


def _names(codes: str, code: str) -> bool:
    return code in re.split(r"[\s,]+", codes.upper())
