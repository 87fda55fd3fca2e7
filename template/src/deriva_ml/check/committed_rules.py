"""The file in the repository: what a run left in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deriva_ml.check.rule import Kind, Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import source_of

_MEND = "'deriva-ml-init' sets git up to strip it, then 'git add --renormalize' the notebook and commit"


@rule("DML301", "committed-outputs", reads=Kind.document)
def outputs(source: Source) -> Iterator[Problem]:
    """A cell's output is in the committed notebook.

    **What it protects.** Outputs in the repository are of some earlier run, of code that may have been another. They make
    every difference unreadable, let a merge conflict, and may hold data that is not to leave the machine. What a run
    gave is in its record.

    **How to mend it.** `uv run deriva-ml-init` sets up nbstripout, a filter that takes outputs off what is committed
    and leaves them in your working file. Once for what was committed before: `git add --renormalize notebooks`, and a
    commit.

    What is looked at is the file that git has (what is staged, else the last commit), so that outputs in your working
    file are no finding.
    """
    for cell, raw in _committed(source):
        if raw.get("outputs"):
            yield Problem(cell, 1, f"its output is committed: {_MEND}")


@rule("DML302", "committed-execution-count", reads=Kind.document)
def execution_counts(source: Source) -> Iterator[Problem]:
    """A cell's execution count is in the committed notebook.

    **What it protects.** The number says in which order cells were run once. Each run changes it, so that a notebook
    differs from its commit though nobody edited it, and the record of a run has a difference that is none.

    **How to mend it.** As for [DML301](DML301.md): `uv run deriva-ml-init`, then `git add --renormalize notebooks`.
    """
    for cell, raw in _committed(source):
        if raw.get("execution_count") is not None:
            yield Problem(cell, 1, f"its execution count is committed: {_MEND}")


def _committed(source: Source) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield the cells of code that git has, each with its number there."""
    for number, raw in enumerate(source.committed.cells(source.path) if source.committed else (), 1):
        if raw.get("cell_type") == "code":
            text = source_of(raw)
            yield Cell(number, text, text, None, raw=raw), raw
