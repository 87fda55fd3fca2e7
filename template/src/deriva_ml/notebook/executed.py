"""The sources that a kernel executed: as a notebook, and compared with the cells that are committed."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from deriva_ml.notebook.cells import assigned, literal, tree_of
from deriva_ml.notebook.document import INJECTED, SKIPPED, TAG, tags_of

INJECTED_HEAD = "# Parameters"
"""The first line of the cell that Papermill injects."""

_FLOAT = re.compile(r"""\bfloat\((['"])[-+]?(?:nan|inf)\1\)""")
"""A value that is no literal, as Papermill and the runner write it."""

MOST_LINES = 20
"""How many differences are told one by one."""


@dataclass(frozen=True)
class CodeCell:
    """A code cell: its source with plain line ends and no final ones, and its tags."""

    source: str
    tags: tuple[str, ...] = ()


def _normalized(source: str) -> str:
    """Return a cell's text as it is compared: how lines end, and empty ones at its end, mean nothing."""
    return source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def code_cells(notebook: Any) -> list[CodeCell] | None:
    """Return the code cells of a notebook's document that are not empty; None if it is no notebook."""
    match notebook:
        case {"cells": list(cells)}:
            code = [cell for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
            texts = ["".join(map(str, cell.get("source") or "")) for cell in code]
            return [
                CodeCell(_normalized(text), tuple(map(str, tags_of(cell))))
                for cell, text in zip(code, texts, strict=True)
                if text.strip()
            ]
    return None


def compare(executed: Sequence[str], committed: Sequence[CodeCell]) -> list[str]:
    """Say in which respects the cells that a kernel executed, from its start on, are not the committed ones.

    No difference are empty cells, how lines end, a cell that is repeated right after itself, committed cells after
    the last one that ran, cells tagged to be skipped, and what Papermill injects where that only sets parameters.

    Returns:
        A line each, which says a cell by its place among the executed ones; none if nothing differs.
    """
    wanted = [cell for cell in committed if INJECTED not in cell.tags]
    kept, exact = _matched(list(_own(executed, committed)), wanted)
    if exact:
        return []
    lines = list(_differences(wanted, kept)) or ["the cells ran in another order than they are committed in"]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more} more"] if more > 0 else ())]


def _own(executed: Sequence[str], committed: Sequence[CodeCell]) -> Iterator[tuple[int, str]]:
    """Yield the executed cells that say something of their own, with their places from 1."""
    declared = [cell.source for cell in committed if TAG in cell.tags]
    names = assigned(declared[0]).keys() if declared else set()
    injected = {cell.source for cell in committed if INJECTED in cell.tags}
    before = ""
    for place, text in enumerate(map(_normalized, executed), start=1):
        if not text.strip():
            continue
        at_its_place = before in declared or bool(injected)
        if text in injected or (at_its_place and _only_sets(text, names)):
            continue
        before = text
        yield place, text


def _only_sets(text: str, names: Collection[str]) -> bool:
    """Whether a cell is one of Papermill's that gives plain values to some of these names, and does nothing else."""
    if text.split("\n", 1)[0].strip() != INJECTED_HEAD:
        return False
    body = tree.body if (tree := tree_of(_FLOAT.sub("0", text))) else []
    return bool(body) and all(
        isinstance(one, ast.Assign)
        and all(isinstance(target, ast.Name) and target.id in names for target in one.targets)
        and literal(one.value, one) is not one
        for one in body
    )


def _matched(
    executed: Sequence[tuple[int, str]], committed: Sequence[CodeCell]
) -> tuple[list[tuple[int, str]], bool]:
    """Return the executed cells without repetitions, and whether they are the committed ones up to some point."""
    kept: list[tuple[int, str]] = []
    at, exact = 0, True
    for place, text in executed:
        rest = enumerate(committed[at:], start=at + 1)
        after, cell = next(
            ((n, one) for n, one in rest if one.source == text or SKIPPED not in one.tags), (0, None)
        )
        if cell and cell.source == text:
            at = after
        elif kept and kept[-1][1] == text:
            continue
        else:
            exact = False
        kept.append((place, text))
    return kept, exact


def _differences(committed: Sequence[CodeCell], executed: Sequence[tuple[int, str]]) -> Iterator[str]:
    old, new = [cell.source for cell in committed], [text for _, text in executed]
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        gone = [cell for cell in committed[a:b] if cell.source not in new and SKIPPED not in cell.tags]
        for place, text in executed[c:d]:
            if text in old:
                yield f"cell {place} ran out of order: {_first_line(text)}"
            elif gone:
                said, meant = _where_they_part(text, gone.pop(0).source)
                yield f"cell {place} has another text than is committed: {said} instead of {meant}"
            else:
                yield f"cell {place} is in no committed cell: {_first_line(text)}"
        if d < len(new):  # what is committed after the last cell that ran is no matter
            yield from (f"a committed cell was left out: {_first_line(cell.source)}" for cell in gone)


def _where_they_part(text: str, other: str) -> tuple[str, str]:
    """Return the first lines that two texts do not have in common."""
    pairs = zip_longest(text.split("\n"), other.split("\n"))
    ours, theirs = next(pair for pair in pairs if pair[0] != pair[1])
    return _short(ours), _short(theirs)


def _first_line(text: str) -> str:
    return _short(next(line for line in text.split("\n") if line.strip()))


def _short(line: str | None, width: int = 60) -> str:
    if line is None:
        return "nothing"
    line = line.strip()
    return f"`{line if len(line) <= width else line[: width - 1] + '…'}`"


def as_notebook(executed: Sequence[str], heading: str) -> dict[str, Any]:
    """Return a notebook (nbformat 4.5) of what was executed, each cell counted as Jupyter counts; the heading is Markdown."""
    first: Mapping[str, Any] = {"cell_type": "markdown", "id": "heading", "metadata": {}, "source": heading}
    cells = [
        {
            "cell_type": "code",
            "id": f"executed-{place}",
            "metadata": {},
            "execution_count": place,
            "outputs": [],
            "source": source,
        }
        for place, source in enumerate(executed, start=1)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "cells": [first, *cells],
    }
