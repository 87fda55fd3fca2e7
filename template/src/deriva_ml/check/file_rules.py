"""The file itself: whether it can be read."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from deriva_ml.check.rule import Kind, Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.cells import NO_PYTHON
from deriva_ml.notebook.document import EXPECTS_ERROR

_FUNCTIONS: tuple[type[ast.stmt | ast.expr], ...] = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_BELONG: tuple[tuple[tuple[type[ast.stmt | ast.expr], ...], tuple[type[ast.stmt | ast.expr], ...]], ...] = (
    ((ast.Return, ast.Yield, ast.YieldFrom), _FUNCTIONS),
    ((ast.Break, ast.Continue), (ast.For, ast.AsyncFor, ast.While)),
)
"""Syntax, and what it has to be inside of."""


@rule("DML901", "syntax-error", reads=Kind.code)
def syntax(source: Source) -> Iterator[Problem]:
    """A cell, or a module, is no valid Python.

    **What it protects.** A run ends at the cell, after all cells above it have cost their time. Other rules cannot look
    into the cell either.

    **How to mend it.** Go to the place. A `return` outside of a function, or a `break` outside of a loop, is one, too. Lines of IPython (`%matplotlib inline`, `!ls`, `%%bash`, `help?`) are taken as
    IPython takes them, and are no errors. A cell that is meant to fail gets the tag `raises-exception`, and is left
    alone then.
    """
    for cell in source.cells:
        error = cell.error or _misplaced(cell)
        if error and EXPECTS_ERROR not in cell.tags:
            yield Problem(cell, error.lineno or 1, f"syntax error: {error.msg}")


@rule("DML902", "unreadable-file", reads=Kind.unreadable)
def unreadable(source: Source) -> Iterator[Problem]:
    """A file cannot be read, or is no notebook.

    **What it protects.** Such a notebook cannot be run, and is not checked: it has a merge conflict that nobody resolved,
    is of an old format, is damaged, or is not UTF-8.

    **How to mend it.** The message says what is wrong, and what to do.
    """
    if source.unreadable:
        yield Problem(Cell(0, "", "", None), 1, source.unreadable)


def _misplaced(cell: Cell) -> SyntaxError | None:
    """Return what Python says of a ``return`` outside of a function and the like, which the parser alone lets pass."""
    suspects = [
        node
        for kinds, around in _BELONG
        for node in cell.nodes(*kinds)
        if not any(one.lineno <= node.lineno <= (one.end_lineno or 0) for one in cell.nodes(*around))
    ]
    lines = {node.lineno for node in (*suspects, *cell.nodes(ast.Global, ast.Nonlocal))}
    for statement in cell.tree.body if cell.tree and lines else ():
        if any(statement.lineno <= line <= (statement.end_lineno or 0) for line in lines):
            try:
                with warnings.catch_warnings(action="ignore"):  # each alone, as IPython does
                    compile(ast.Module([statement], []), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            except SyntaxError as error:
                return error
            except NO_PYTHON:
                pass
    return None
