"""A first look at a cell, which tells of most that no name is missing there."""

from __future__ import annotations

import ast
from collections.abc import Set
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
    node: Any
    inner: list[tuple[int, int, set[str]]] = []  # lines of functions and comprehensions, and their own names
    for node in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        inner.append((node.lineno, node.end_lineno, {one.arg for one in arguments_of(node.args)}))
    functions = [*inner]
    for node in cell.nodes(ast.Lambda):
        inner.append((node.lineno, node.end_lineno or 0, {one.arg for one in arguments_of(node.args)}))
    targets: set[int] = set()
    for node in cell.nodes(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp):
        names = [
            one for part in node.generators for one in ast.walk(part.target) if isinstance(one, ast.Name)
        ]
        targets.update(map(id, names))
        inner.append((node.lineno, node.end_lineno, {one.id for one in names}))
    ends: dict[int, int] = {}
    for node in cell.nodes(ast.Assign, ast.AnnAssign, ast.AugAssign):
        ends[node.lineno] = node.end_lineno
    sets: dict[str, int] = {}  # from which line on the notebook has a name
    reads = [
        one for one in cell.nodes(ast.Name) if one.id not in known and one.ctx.__class__ is not ast.Store
    ]
    for name in cell.stored:
        if id(name) not in targets:
            line = name.lineno
            local = [own for begin, end, own in functions if begin <= line <= end]
            if local:
                local[0].add(name.id)
            else:
                sets.setdefault(name.id, ends.get(line, line) + 1)
    for node in cell.nodes(ast.AugAssign):  # which reads what it sets
        if isinstance(node.target, ast.Name) and node.target.id not in known:
            reads.append(node.target)
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
    if "*" in sets:
        return None
    for name in reads:
        line = name.lineno
        if sets.get(name.id, line + 1) > line and not any(
            begin <= line <= end and name.id in own for begin, end, own in inner
        ):
            return None
    return {*sets}
