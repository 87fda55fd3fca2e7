"""A first look at a cell, which tells of most that no name is missing there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence, Set
from typing import Any

from deriva_ml.check.names import arguments_of
from deriva_ml.check.open_names import OPEN_ATTRIBUTES, OPEN_CALLS
from deriva_ml.check.source import Cell

_SLOW = frozenset(
    {ast.Global, ast.ClassDef, ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.ExceptHandler, ast.NamedExpr}
)
_OPEN = OPEN_ATTRIBUTES | {"modules"}


def glance(cell: Cell, known: Set[str]) -> set[str] | None:
    """Return the names that a cell sets, if it is easily told that it reads none but these, in their order, and known ones.

    Most cells are so, and this is quicker than reading them step by step.
    """
    if cell.tree is None or not _SLOW.isdisjoint(cell.by_type):
        return None
    if not OPEN_CALLS.isdisjoint(cell.last_words):
        return None
    if cell.says(_OPEN) and not _OPEN.isdisjoint({one.attr for one in cell.nodes(ast.Attribute)}):
        return None
    functions, comprehensions = _functions(cell), _comprehensions(cell)
    sets = _sets(cell, functions, {id(one) for _, _, names in comprehensions for one in names})
    if sets is None:
        return None
    inner = [
        *functions,
        *((begin, end, {one.id for one in names}) for begin, end, names in comprehensions),
    ]
    for node in cell.nodes(ast.Lambda):
        inner.append((node.lineno, node.end_lineno or 0, {one.arg for one in arguments_of(node.args)}))
    for name in _reads(cell, known):
        line = name.lineno
        if sets.get(name.id, line + 1) > line and not any(
            begin <= line <= end and name.id in own for begin, end, own in inner
        ):
            return None
    return {*sets}


Inner = tuple[int, int, set[str]]
"""The first and the last line of a function or a comprehension, and its own names."""


def _functions(cell: Cell) -> list[Inner]:
    """Return the functions, with their arguments as their names."""
    node: Any
    found = []
    for node in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        found.append((node.lineno, node.end_lineno, {one.arg for one in arguments_of(node.args)}))
    return found


def _comprehensions(cell: Cell) -> list[tuple[int, int, list[ast.Name]]]:
    """Return the first and the last line of each comprehension, and where it sets its own names."""
    found = []
    node: Any
    for node in cell.nodes(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp):
        names = [
            one for part in node.generators for one in ast.walk(part.target) if isinstance(one, ast.Name)
        ]
        found.append((node.lineno, node.end_lineno, names))
    return found


def _sets(cell: Cell, functions: Sequence[Inner], targets: Set[int]) -> dict[str, int] | None:
    """Return the names that a cell sets, with the line from which on the notebook has each; None if that is not easily told.

    Functions are given the names that they set themselves.

    Args:
        targets: the ``id`` of each name that a comprehension sets.
    """
    node: Any
    ends: dict[int, int] = {}
    for node in cell.nodes(ast.Assign, ast.AnnAssign, ast.AugAssign):
        ends[node.lineno] = node.end_lineno
    sets: dict[str, int] = {}
    for name in cell.stored:
        if id(name) not in targets:
            line = name.lineno
            local = [own for begin, end, own in functions if begin <= line <= end]
            if local:
                local[0].add(name.id)
            else:
                sets.setdefault(name.id, ends.get(line, line) + 1)
    for node in cell.nodes(ast.Import, ast.ImportFrom):
        if any(begin <= node.lineno <= end for begin, end, _ in functions):
            return None
        for alias in node.names:
            whole = alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
            sets.setdefault(alias.asname or whole, node.lineno)
    for node in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        if any(begin < node.lineno <= end for begin, end, _ in functions):
            return None
        sets.setdefault(node.name, node.lineno)
    return None if "*" in sets else sets


def _reads(cell: Cell, known: Set[str]) -> Iterator[ast.Name]:
    """Yield what reads a name that is not known."""
    for name in cell.nodes(ast.Name):
        if name.id not in known and name.ctx.__class__ is not ast.Store:
            yield name
    for node in cell.nodes(ast.AugAssign):  # which reads what it sets
        if isinstance(node.target, ast.Name) and node.target.id not in known:
            yield node.target
