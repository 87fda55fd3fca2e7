"""The order of cells: whether each finds what it needs when the notebook runs from top to bottom."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from deriva_ml.check.names import Step, sets_of, steps_of
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import EXPECTS_ERROR

_GIVEN = frozenset(dir(builtins)) | frozenset(
    "In Out exit quit get_ipython display copyright credits help license WindowsError __IPYTHON__ __builtins__ __session__"
    " __annotations__ __vsc_ipynb_file__ dbutils displayHTML sc spark sqlContext unicode_literals".split()
)
"""Names that are there before the first cell: of Python, of IPython, and of some platforms' kernels."""
_HISTORY = re.compile(r"_+|_+\d+|_i+\d*|_[iods]h|_exit_code")
SKIPPED = "skip-execution"


@rule("DML401", "used-before-definition")
def used_before(source: Source) -> Iterator[Problem]:
    """A name is used above the place that defines it.

    **What it protects.** The notebook ran because its cells were run in another order, or because the kernel still had the name
    from before. From top to bottom, in a fresh kernel, it fails at this place.

    **How to mend it.** Move the cell that defines the name up, or the one that uses it down:

    ```python
    # before                        # after
    scores.mean()                   scores = score(model)
    # next cell                     # next cell
    scores = score(model)           scores.mean()
    ```

    A function may use what is defined below it; the finding is then the cell that calls the function too early.
    Nothing is said of what stands below `from module import *`, `%run`, `exec()` and other lines that may define names
    which are not in the text.
    """
    for cell, node, message, later in _missing(source):
        if later:
            yield Problem(cell, node, message)


@rule("DML402", "undefined-name")
def undefined(source: Source) -> Iterator[Problem]:
    """A name is used that no cell defines.

    **What it protects.** The kernel had the name from a cell that was deleted or renamed since. The notebook cannot
    be run again.

    **How to mend it.** Define the name in a cell above, or correct it.

    Nothing is said of what stands below `from module import *`, `%run`, `exec()` and other lines that may define names which are
    not in the text.
    """
    for cell, node, message, later in _missing(source):
        if not later:
            yield Problem(cell, node, message)


def _missing(source: Source) -> Iterator[tuple[Cell, ast.AST, str, bool]]:
    """Yield where a name is read that is not there yet, what to say, and whether some cell defines it later."""
    first = sets_of(source)
    known: set[str] = set()
    functions: dict[str, tuple[str, ...]] = {}
    is_open = False
    late: list[tuple[Cell, Step]] = []
    for cell in source.cells:
        expects_nothing = EXPECTS_ERROR in cell.tags or SKIPPED in cell.tags
        for step in steps_of(cell):
            if step.kind == "open":
                is_open = True
            elif step.kind in {"set", "define"}:
                known.add(step.name)
                functions.pop(step.name, None)
                if step.kind == "define":
                    functions[step.name] = step.surely
            elif expects_nothing or is_open:
                continue
            elif step.kind == "late":
                late.append((cell, step))
            elif step.kind == "read" and not _is_there(step.name, known):
                known.add(step.name)  # one finding a name
                yield cell, step.node, _message(step.name, cell, first), step.name in first
            elif step.kind == "call":
                for name in _needs(step.name, functions):
                    if name in first and not _is_there(name, known):
                        known.add(name)
                        message = f"{step.name}() needs '{name}', which {_place(name, cell, first)} is the first to define"
                        yield cell, step.node, f"{message}: call it below that", True
    if not is_open:
        for cell, step in late:
            if step.name not in first and not _is_there(step.name, known):
                known.add(step.name)
                yield cell, step.node, _message(step.name, cell, first), False


def _needs(function: str, functions: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the names that a function of the notebook reads whenever it is called, and those that it calls."""
    seen: set[str] = set()
    rest = [function]
    while rest:
        for name in functions.get(rest.pop(), ()):
            if name not in seen:
                seen.add(name)
                rest.append(name)
                yield name


def _is_there(name: str, known: set[str]) -> bool:
    return name in known or name in _GIVEN or bool(_HISTORY.fullmatch(name)) or hasattr(builtins, name)


def _place(name: str, cell: Cell, first: dict[str, int]) -> str:
    return "a line below in this cell" if first[name] == cell.number else f"cell {first[name]}"


def _message(name: str, cell: Cell, first: dict[str, int]) -> str:
    if name in first:
        return f"'{name}' is used here, and {_place(name, cell, first)} is the first to define it: define it above"
    return f"'{name}' is defined by no cell: define it above, or correct the name"
