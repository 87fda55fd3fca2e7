"""Which of a notebook's variables no cell reads, by any of the ways in which that can be told."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.cells import NO_PYTHON
from deriva_ml.notebook.document import TAG

_READS_ANY = r"\b(?:globals|locals|vars|dir)\(\s*\)|\buser_ns\b|%run\b|%who|\b(?:exec|eval)\("
"""What may read a variable without naming it."""
_TAKES_CODE = frozenset({"evaluate", "execute", "query", "sql", "timeit"})
"""Functions and methods whose texts may name variables."""


def unread(source: Source, names: Sequence[str]) -> list[str]:
    """Return those of the names that nothing reads, as far as the text tells for sure."""
    if not names:
        return []
    cells = [one for one in source.cells if one.says(names)]
    used = {name for one in cells for name in _mentioned(one)}
    others = {node.arg for one in cells for node in one.nodes(ast.arg)}
    others.update(*(one.stores for one in cells if TAG not in one.tags))
    found = [name for name in names if name not in used or (name in others and not _is_global(source, name))]
    if not found or any(re.search(_READS_ANY, one.text) for one in source.cells):
        return []
    return [name for name in found if not _is_in_text(source, name)]


def _mentioned(cell: Cell) -> Iterator[str]:
    """Yield the names that a cell's code reads, or changes in place."""
    yield from [node.id for node in cell.nodes(ast.Name) if node.ctx.__class__ is not ast.Store]
    yield from _changed(cell)


def _changed(cell: Cell) -> Iterator[str]:
    for one in cell.nodes(ast.AugAssign):
        if isinstance(one.target, ast.Name):
            yield one.target.id


def _is_global(source: Source, name: str) -> bool:
    """Whether code uses the notebook's variable, and not only a function's own that has its name."""
    return any(_uses(cell, name) for cell in source.cells if name in cell.text)


def _uses(cell: Cell, name: str) -> bool:
    if cell.tree is None:
        return False
    import symtable  # takes a millisecond, and is for few notebooks

    try:
        tables = [symtable.symtable(cell.python, "cell", "exec")]
    except NO_PYTHON:
        return name in _mentioned(cell)
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if name in table.get_identifiers():
            symbol = table.lookup(name)
            if symbol.is_referenced() and (table.get_type() != "function" or symbol.is_global()):
                return True
    return name in _changed(cell)


def _is_in_text(source: Source, name: str) -> bool:
    """Whether a text may name a variable: of another language, of IPython's own lines, or one that is read as code."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    marked = re.compile(rf"[@{{$:]{re.escape(name)}(?!\w)")
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for cell in source.cells
        for node in cell.nodes(ast.Call)
    }
    for cell in source.cells:
        if (
            (cell.tree is None or cell.python != cell.text)
            and TAG not in cell.tags
            and word.search(cell.text)
        ):
            return True
        for node in cell.nodes(ast.Constant):
            if isinstance(node.value, str) and (
                marked.search(node.value) or (called & _TAKES_CODE and word.search(node.value))
            ):
                return True
    return False
