"""The order of cells: whether each finds what it needs when the notebook runs from top to bottom."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import NamedTuple

from deriva_ml.check.glance import glance
from deriva_ml.check.names import Step, steps_of, surely_read
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import EXPECTS_ERROR, SKIPPED

_GIVEN = frozenset(dir(builtins)) | frozenset(
    "In Out exit quit get_ipython display copyright credits help license WindowsError __IPYTHON__ __builtins__ __session__"
    " __annotations__ __vsc_ipynb_file__ dbutils displayHTML sc spark sqlContext unicode_literals".split()
)
"""Names that are there before the first cell: of Python, of IPython, and of some platforms' kernels."""
_HISTORY = re.compile(r"_+|_+\d+|_i+\d*|_[iods]h|_exit_code")


@rule("DML401", "used-before-definition")
def used_before(source: Source) -> Iterator[Problem]:
    """A name is used above the place that defines it.

    **What it protects.** The notebook ran because its cells were run in another order, or because the kernel still had the name
    from before. From top to bottom, in a fresh kernel, it fails at this place.

    **How to mend it.** Move the cell that defines the name up, or the one that uses it down:

    ```text
    # before                        # after
    scores.mean()                   scores = score(model)
    # next cell                     # next cell
    scores = score(model)           scores.mean()
    ```

    A function may use what is defined below it; the finding is then the cell that calls the function too early.
    Nothing is said of what stands below `from module import *`, `%run`, `exec()` and other lines that may define names
    which are not in the text.
    """
    for one in _missing(source):
        if one.comes:
            yield Problem(one.cell, one.node, one.says)


@rule("DML402", "undefined-name")
def undefined(source: Source) -> Iterator[Problem]:
    """A name is used that no cell defines.

    **What it protects.** The kernel had the name from a cell that was deleted or renamed since. The notebook cannot
    be run again.

    **How to mend it.** Define the name in a cell above, or correct it.

    Nothing is said of what stands below `from module import *`, `%run`, `exec()` and other lines that may define names which are
    not in the text.
    """
    for one in _missing(source):
        if not one.comes:
            yield Problem(one.cell, one.node, one.says)


class _Missing(NamedTuple):
    """A name that is not there when the notebook runs: where it is read, and what to say."""

    cell: Cell
    node: ast.AST
    says: str
    comes: bool
    """A cell below defines it."""


@lru_cache(maxsize=1)
def _missing(source: Source) -> list[_Missing]:
    """Return what is missing when the cells run from top to bottom: one finding a name."""
    known = set(_GIVEN)
    read: list[tuple[Cell, Step]] = []
    functions: dict[str, Step] = {}
    opened = False
    found: list[tuple[Cell, str, ast.AST, str]] = []
    for cell in source.cells:
        waits = bool(functions) and not functions.keys().isdisjoint(cell.called)
        sets = None if waits else glance(cell, known)
        if sets is not None:
            known |= sets
            continue
        expected = opened or EXPECTS_ERROR in cell.tags or SKIPPED in cell.tags
        for step in steps_of(cell):
            name = step.name
            if step.kind == "open":
                opened = expected = True
            elif step.kind in {"set", "define"}:
                known.add(name)
                functions.pop(name, None)
                if not known.issuperset(step.reads):
                    functions[name] = step
            elif expected:
                continue
            elif step.kind == "late":
                read.append((cell, step))
            elif step.kind == "read" and not _is_there(name, known):
                known.add(name)
                found.append((cell, name, step.node, ""))
            elif step.kind == "call":
                for needed in _needs(name, functions):
                    if not _is_there(needed, known):
                        found.append((cell, needed, step.node, name))
    found += [
        (cell, step.name, step.node, "")
        for cell, step in read
        if not opened and not _is_there(step.name, known)
    ]
    return [*_told(source, found)] if found else []


def _told(source: Source, found: list[tuple[Cell, str, ast.AST, str]]) -> Iterator[_Missing]:
    """Yield what is missing, each name once, with what to say."""
    first: dict[str, int] = {}
    for cell in source.cells:
        for step in steps_of(cell):
            if step.kind in {"set", "define"}:
                first.setdefault(step.name, cell.number)
    told: set[str] = set()
    for cell, name, node, function in found:
        place = "a line below in this cell" if first.get(name) == cell.number else f"cell {first.get(name)}"
        if name in told or (function and name not in first):
            continue
        told.add(name)
        if function:
            says = f"{function}() needs '{name}', which {place} is the first to define: call it below that"
        elif name in first:
            says = f"'{name}' is used here, and {place} is the first to define it: define it above"
        else:
            says = f"'{name}' is defined by no cell: define it above, or correct the name"
        yield _Missing(cell, node, says, name in first)


def _needs(function: str, functions: dict[str, Step]) -> Iterator[str]:
    """Yield the names that a function of the notebook reads whenever it is called, and those that it calls."""
    seen: set[str] = set()
    rest = [function]
    while rest:
        step = functions.get(rest.pop())
        if step:
            needed = (surely_read(step.node) & step.reads) - seen  # type: ignore[arg-type]
            seen |= needed
            rest += needed
            yield from sorted(needed)


def _is_there(name: str, known: Set[str]) -> bool:
    return name in known or bool(_HISTORY.fullmatch(name))
