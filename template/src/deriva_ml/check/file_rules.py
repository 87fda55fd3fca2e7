"""The file itself: whether it can be read."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_ml.check.rule import Kind, Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import EXPECTS_ERROR


@rule("DML901", "syntax-error", reads=Kind.code)
def syntax(source: Source) -> Iterator[Problem]:
    """A cell, or a module, is no valid Python.

    **What it protects.** A run ends at the cell, after all cells above it have cost their time. Other rules cannot look
    into the cell either.

    **How to mend it.** Go to the place. Lines of IPython (`%matplotlib inline`, `!ls`, `%%bash`, `help?`) are taken as
    IPython takes them, and are no errors. A cell that is meant to fail gets the tag `raises-exception`, and is left
    alone then.
    """
    for cell in source.cells:
        if cell.error and EXPECTS_ERROR not in cell.tags:
            yield Problem(cell, cell.error.lineno or 1, f"syntax error: {cell.error.msg}")


@rule("DML902", "unreadable-file", reads=Kind.unreadable)
def unreadable(source: Source) -> Iterator[Problem]:
    """A file cannot be read, or is no notebook.

    **What it protects.** Such a notebook cannot be run, and is not checked: it has a merge conflict that nobody resolved,
    is of an old format, is damaged, or is not UTF-8.

    **How to mend it.** The message says what is wrong, and what to do.
    """
    if source.unreadable:
        yield Problem(Cell(0, "", "", None), 1, source.unreadable)
