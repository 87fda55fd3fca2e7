"""Rules about the parameters cell: DML101 to DML108."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from deriva_ml.check.parameter_uses import unread
from deriva_ml.check.parameters_cell import likely, out_of_place, parameters_cell, sets, tagged
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.cells import BUILTINS, assignments, is_ipythons, literal
from deriva_ml.notebook.declarations import Parameter
from deriva_ml.notebook.document import INJECTED, TAG
from deriva_ml.notebook.parameters import parameters_of


@rule("DML101", "parameters-cell-missing", own=True, fixable=True)
def parameters_cell_missing(source: Source) -> Iterator[Problem]:
    """No cell of code is tagged `parameters`.

    **What it protects.** A run sets values in that cell only, and the record says which they were. Without it nothing
    can be set from the command line, and another value needs another commit.

    **How to mend it.** Put what may change from run to run into one cell right after the imports, and tag it
    `parameters` (JupyterLab: Property Inspector, Cell Tags; VS Code: "..." on the cell, Add Cell Tag). A cell that
    obviously is the one is tagged by `--fix`: it holds nothing but literal values under names that other cells use,
    and stands after the imports or says "Parameters" of itself. In a notebook that has nothing to set, the first
    code cell begins with a line that has `# noqa: DML101` alone.

    ```python
    # In the cell that is tagged `parameters`
    threshold: float = 0.5
    limit: int = 100
    ```
    """
    number, kind = tagged(source)
    if number and kind != "code":
        yield Problem(
            Cell(number, "", "", None),
            1,
            f"this {kind} cell is tagged '{TAG}': move the tag to the code cell that has the parameters",
        )
    elif not number and (cells := [cell for cell in source.cells if cell.text.strip()]):
        found = likely(source)
        mend = (
            f"cell {found.number} looks like it: --fix tags it" if found else "tag the one that assigns them"
        )
        yield Problem(found or cells[0], 1, f"no cell is tagged '{TAG}': {mend}")


@rule("DML102", "parameters-cell-twice", own=True)
def parameters_cell_twice(source: Source) -> Iterator[Problem]:
    """A second cell is tagged `parameters`.

    **What it protects.** The values that a run is given are put behind the first such cell. What the second one assigns
    takes their place, and nobody is told.

    **How to mend it.** Bring all parameters into one cell, right after the imports, and remove the other's tag.

    ```python
    # Before: two tagged cells, the second with `limit = 10`. After: one.
    threshold: float = 0.5
    limit: int = 10
    ```
    """
    first, _ = tagged(source)
    for cell in source.cells:
        if TAG in cell.tags and cell.number != first:
            yield Problem(
                cell, 1, f"cell {first} is tagged '{TAG}' already: bring the parameters into one cell"
            )


@rule("DML103", "parameters-cell-misplaced", own=True, fixable=True)
def parameters_cell_misplaced(source: Source) -> Iterator[Problem]:
    """The parameters cell does not stand right after the imports.

    **What it protects.** Code above the cell runs before the values of a run arrive, and so without them: an execution
    that `run_notebook()` starts there is recorded without its parameters. Imports below it may give its names another
    meaning. Settings of libraries, and definitions that the cell itself uses (an `Enum`, say), may stand above it.

    **How to mend it.** Move the cell. `--fix` does where no cell on the way sets or uses what the cell sets.

    ```python
    # Before: import json | data = json.load(...) | limit: int = 10
    # After:  import json | limit: int = 10       | data = json.load(...)
    ```
    """
    cell = parameters_cell(source)
    other = out_of_place(source, cell) if cell else None
    if cell and other:
        how = (
            f"cell {other.number} does more than import, and stands above it"
            if other.number < cell.number
            else f"cell {other.number} imports, and stands below it"
        )
        yield Problem(cell, 1, f"the parameters cell is not right after the imports: {how}")


@rule("DML104", "parameters-cell-holds-more", own=True)
def parameters_cell_holds_more(source: Source) -> Iterator[Problem]:
    """The parameters cell has a statement that is no assignment of one value to a name.

    **What it protects.** What the cell computes is computed before the values of a run arrive. Only plain and annotated
    assignments to single names are parameters: an unpacking, `a, b = 1, 2`, declares none.

    **How to mend it.** Move imports into the cell above, and what is computed into the cell below.

    ```python
    # Before
    low, high = 0.1, 0.9
    # After
    low: float = 0.1
    high: float = 0.9
    ```
    """
    cell = parameters_cell(source)
    if cell is None:
        return
    if cell.magic:
        yield Problem(cell, 1, f"the parameters cell begins with %%{cell.magic}: it is for assignments alone")
        return
    for statement in cell.tree.body if cell.tree else ():
        found = [*assignments(statement)]
        match statement:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                continue
            case ast.Assign(targets=targets, value=value) if len(found) == len(targets):
                whole = not is_ipythons(value)
            case ast.AnnAssign(value=given) if found:
                whole = given is None or not is_ipythons(given)
            case _:
                whole = False
        if not whole:
            text = ast.unparse(statement).partition("\n")[0]
            shown = cell.text.splitlines()[statement.lineno - 1].strip() if "get_ipython" in text else text
            yield Problem(
                cell,
                statement,
                f"'{shown[:60]}' declares no parameter: move it out of the parameters cell, which is for"
                " assignments of one value to a name",
            )


@rule("DML105", "parameter-without-annotation", own=True, advice=True, fixable=True)
def parameter_without_annotation(source: Source) -> Iterator[Problem]:
    """A parameter has no type.

    **What it protects.** Given values are checked against the type before a kernel starts. Without an annotation the
    type of the default counts, which is too narrow for `limit = None` and too wide for `mode = "low"`.

    **How to mend it.** Write the type. `--fix` writes that of a literal default, which is what counted before.

    ```python
    # Before
    rate = 0.5
    # After
    rate: float = 0.5
    ```
    """
    cell, declared = _declared(source)
    for one in declared:
        statement = _last(cell, one.name)
        if one.annotation is None and statement:
            kind = one.type_name
            shown = f"such as '{one.name}: {kind}'" if kind != "Any" else f"'{one.name}: TYPE'"
            yield Problem(
                cell, statement, f"parameter '{one.name}' has no annotation: write its type, {shown}"
            )


@rule("DML106", "parameter-assigned-again", own=True)
def parameter_assigned_again(source: Source) -> Iterator[Problem]:
    """A cell below the parameters cell assigns a parameter again.

    **What it protects.** The value that a run was given is gone there, but the record names it. A value that is made
    of the given one, as in `folder = Path(folder)`, is not found, and neither is one that is set depending on it,
    as in `if limit is None: limit = len(rows)`.

    **How to mend it.** Use another name, or leave the parameter as it is.

    ```python
    # Before, below the parameters cell
    limit = 10
    # After
    shown = min(limit, 10)
    ```
    """
    cell, declared = _declared(source)
    names = {one.name for one in declared}
    if not names:
        return
    for other in source.cells[source.cells.index(cell) + 1 :]:
        if TAG in other.tags or INJECTED in other.tags or not other.says(names):
            continue
        if names.isdisjoint(other.stores):
            continue
        for name, node, heeds in sets(other.tree):
            if name in names and name not in heeds:
                yield Problem(
                    other, node, f"'{name}' is a parameter, and is assigned again here: use another name"
                )


@rule("DML107", "parameter-never-used", own=True)
def parameter_never_used(source: Source) -> Iterator[Problem]:
    """A parameter is used by no cell.

    **What it protects.** A value that is given for such a parameter changes nothing, but the record says that the run
    had it. Often its name was changed in one place only.

    **How to mend it.** Use it, or remove it.

    ```python
    # Before: the cell below still says `head(10)`
    limit: int = 10
    # After: it says `head(limit)`
    ```
    """
    cell, declared = _declared(source)
    unused = unread(source, [one.name for one in declared])
    for name in unused:
        yield Problem(cell, _last(cell, name) or 1, f"parameter '{name}' is never used: use it, or remove it")


@rule("DML108", "parameter-computed", own=True)
def parameter_computed(source: Source) -> Iterator[Problem]:
    """A parameter's default is computed from another parameter.

    **What it protects.** The default is computed before the values of a run arrive: given `width`, `area` is still that
    of the default width.

    **How to mend it.** Compute it in the cell below the parameters.

    ```python
    # Before, in the parameters cell
    area = width * width
    # After: the same line, in the cell below
    ```
    """
    cell, declared = _declared(source)
    names = {one.name for one in declared}
    for one in declared:
        others = sorted((one.uses & names) - {one.name})
        if others and not re.match(r"lambda\b[^=]*:", one.default_source):
            listed = "', '".join(others)
            yield Problem(
                cell,
                _last(cell, one.name) or 1,
                f"the default of '{one.name}' is computed from '{listed}', before a given value gets there:"
                " compute it in the cell below",
            )


@lru_cache(maxsize=1)
def _declared(source: Source) -> tuple[Cell, list[Parameter]]:
    """Return the parameters cell and what it declares, as the runner takes it; nothing where it refuses the cell."""
    cell = parameters_cell(source)
    if cell is None or cell.tree is None:
        return Cell(0, "", "", None), []
    try:
        return cell, parameters_of(source.raw) or []
    except DerivaMLRequestError:
        return cell, []


def _last(cell: Cell, name: str) -> ast.stmt | None:
    """Return the last assignment of a parameters cell to a name."""
    body = cell.tree.body if cell.tree else []
    found = [one for one in body if any(name == other for other, *_ in assignments(one))]
    return found[-1] if found else None


def annotation_of(source: Source, name: str, value: ast.expr | None) -> str:
    """Return the type of a literal default as an annotation that changes nothing else; empty if there is none."""
    found = literal(value, None)
    kind = type(found).__name__
    if found is None or kind not in BUILTINS:
        return ""
    return (
        ""
        if any(kind == one for cell in source.cells for one, *_ in sets(cell.tree)) or kind == name
        else kind
    )
