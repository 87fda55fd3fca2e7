"""Which cell is a notebook's parameters cell, which one looks like it, and where it belongs."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence

from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.cells import CONSTRUCTORS, assignments, dotted, literal
from deriva_ml.notebook.document import INJECTED, TAG, tags_of

_HEADING = r"(?i)\s*#[#\s]*(?:papermill\s+|notebook\s+)?parameters?\b"
_SHOWING = frozenset({"display", "print"})
_DECIDED_BY: dict[type[ast.AST], str] = {
    **dict.fromkeys((ast.Assign, ast.AnnAssign, ast.NamedExpr), "value"),
    **dict.fromkeys((ast.If, ast.While, ast.IfExp), "test"),
    **{ast.withitem: "context_expr", ast.Match: "subject"},
}
"""The part of syntax that decides what the names get that it sets, or whether."""


def tagged(source: Source) -> tuple[int, str]:
    """Return number and kind of the first cell with the tag, as the runner takes it; 0 if there is none."""
    found = ((n, one["cell_type"]) for n, one in enumerate(source.raw["cells"], 1) if TAG in tags_of(one))
    return next(found, (0, ""))


def parameters_cell(source: Source) -> Cell | None:
    """Return the cell of code that the runner takes parameters from."""
    number, _ = tagged(source)
    return next((cell for cell in source.cells if cell.number == number), None)


def likely(source: Source) -> Cell | None:
    """Return the cell that is obviously meant as the parameters cell of a notebook that has none.

    It holds nothing but literal values under names that other cells use, and no other cell sets these. Either it is
    the only such cell that says of itself that it has the parameters, or it comes right after the imports and has
    single values, and perhaps lists of such, rather than data.
    """
    if tagged(source)[0] or any(INJECTED in cell.tags for cell in source.cells):
        return None
    able = [cell for cell in source.cells if _holds_only_literals(cell)]
    said = [cell for cell in able if re.match(_HEADING, cell.text) or _is_announced(source, cell)]
    after = source.cells[len(_leading(source, ())) :]
    first = after[0] if after and after[0] is not source.cells[0] else None
    able = said or [cell for cell in able if cell is first and _holds_settings(cell)]
    if len(able) != 1:
        return None
    [cell] = able
    others = [one for one in source.cells if one is not cell]
    names = {name for name, *_ in sets(cell.tree)}
    if any(one.tree is None and one.text.strip() for one in others):
        return None  # what these do with names is not known
    if any(name in names for one in others for name, *_ in sets(one.tree)):
        return None
    return cell if names.issubset(name for one in others for name in reads(one.tree)) else None


def _holds_only_literals(cell: Cell) -> bool:
    if cell.tree is None or not cell.tree.body or cell.python != cell.text:
        return False
    found = [list(assignments(statement)) for statement in cell.tree.body]
    names = [name for one in found for name, *_ in one]
    values = [value for one in found for *_, value in one]
    # An empty list is there to be filled.
    return (
        all(len(one) == 1 for one in found)
        and all(value and literal(value, ...) not in (..., [], {}) for value in values)
        and len(names) == len({*names})
        and not any(name.startswith("_") for name in names)
    )


def _holds_settings(cell: Cell) -> bool:
    """Whether the values of a cell are single ones, and flat lists beside them."""
    values = [literal(vars(one)["value"], ...) for one in cell.nodes(ast.Assign, ast.AnnAssign)]
    single = [value for value in values if not isinstance(value, list | tuple)]
    listed = [item for value in values if isinstance(value, list | tuple) for item in value]
    return bool(single) and all(
        one is None or isinstance(one, str | int | float) for one in (*single, *listed)
    )


def _is_announced(source: Source, cell: Cell) -> bool:
    return is_heading(source.raw["cells"][cell.number - 2]) if cell.number > 1 else False


def is_heading(raw: dict[str, object]) -> bool:
    """Whether a cell of the document is a heading that announces the parameters, and nothing else."""
    text = "".join(raw["source"]) if raw["cell_type"] == "markdown" else ""  # type: ignore[arg-type]
    return "\n" not in text.strip() and re.match(_HEADING, text) is not None


# Where it belongs


def out_of_place(source: Source, cell: Cell) -> Cell | None:
    """Return a cell that keeps the parameters cell from standing right after the imports, if there is one."""
    place = source.cells.index(cell)
    before, after = source.cells[:place], source.cells[place + 1 :]
    led = _leading(source, _needed(cell, before))
    if len(led) < len(before):
        return before[len(led)]
    following = next((one for one in after if one.text.strip()), None)
    return following if following and _imports(source, following) else None


def proper_place(source: Source, cell: Cell) -> Cell | None:
    """Return the cell that a parameters cell can be moved behind, without a change of what any cell does."""
    place = source.cells.index(cell)
    before, after = source.cells[:place], source.cells[place + 1 :]
    led = _leading(source, _needed(cell, before))
    if cell.tree is None or cell.python != cell.text or not all(map(_is_steady, cell.tree.body)):
        return None
    if len(led) < len(before):
        led = led if any(_imports(source, one) for one in led) else []
        crossed = before[len(led) :]
    else:
        crossed = led = []
        for one in after:
            if one.text.strip() and not _imports(source, one):
                break
            crossed.append(one)
        while crossed and not crossed[-1].text.strip():
            crossed.pop()
        led = crossed
    names = {name for name, *_ in sets(cell.tree)}
    used = {*reads(cell.tree)}
    for one in crossed:
        if (one.tree is None or one.python != one.text) and one.text.strip():
            return None
        set_there = {name for name, *_ in sets(one.tree)}
        if (
            set_there & (names | used)
            or "*" in set_there
            or (one in after and names.intersection(reads(one.tree)))
        ):
            return None
    return led[-1] if led else None


def _is_steady(statement: ast.stmt) -> bool:
    """Whether a statement does the same wherever it stands, as far as its names mean the same."""
    if not any(True for _ in assignments(statement)):
        return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call | ast.Await | ast.NamedExpr))
    return all(
        isinstance(one, ast.Call) and dotted(one.func).rpartition(".")[2] in CONSTRUCTORS for one in calls
    )


def _leading(source: Source, needed: Collection[str]) -> list[Cell]:
    """Return the cells at the top that import, and what may stand there: settings of libraries, and names needed."""
    found: list[Cell] = []
    for cell in source.cells:
        if TAG in cell.tags or not _prepares(source, cell, needed):
            break
        found.append(cell)
    return found


def _imports(source: Source, cell: Cell) -> bool:
    return any(cell.nodes(ast.Import, ast.ImportFrom)) and _prepares(source, cell, ())


def _prepares(source: Source, cell: Cell, needed: Collection[str]) -> bool:
    """Whether a cell does nothing that the parameters should come before, as far as that can be told."""
    return cell.tree is None or all(_is_preparation(source, one, needed) for one in cell.tree.body)


def _is_preparation(source: Source, statement: ast.AST, needed: Collection[str]) -> bool:
    def each(*blocks: Sequence[ast.AST]) -> bool:
        return all(_is_preparation(source, one, needed) for block in blocks for one in block)

    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Assert():
            return True
        case ast.Expr(value=ast.Call(func=function)):
            return _is_setting(source, function)
        case ast.Expr():  # which shows something
            return not any(
                isinstance(one, ast.Call | ast.Await | ast.NamedExpr) for one in ast.walk(statement)
            )
        case ast.If(body=body, orelse=orelse):
            return each(body, orelse)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=last):
            return each(body, orelse, last, *(handler.body for handler in handlers))
        case ast.With(body=body):
            return each(body)
        case ast.Assign(targets=targets) if all(_is_librarys(source, one) for one in targets):
            return True
        case ast.Assign(value=ast.Call(func=function)) if source.resolve(function) == "logging.getLogger":
            return True
    names = {name for name, *_ in sets(statement)}
    return bool(names) and all(name in needed or name in source.imports or name == "_" for name in names)


def _is_setting(source: Source, function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute) and _root(function) == "get_ipython":
        return True  # a magic
    meant = source.resolve(function)
    if isinstance(function, ast.Name) and function.id in _SHOWING:
        return True
    return bool(meant or source.imports.get(_root(function))) and not meant.startswith("deriva_ml.")


def _is_librarys(source: Source, target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute | ast.Subscript) and _root(target) in source.imports


def _root(node: ast.AST) -> str:
    """Return the name that an expression such as ``a.b["c"].d()`` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _needed(cell: Cell, before: Sequence[Cell]) -> set[str]:
    """Return the names that a cell uses, and those that what defines them uses."""
    needed = {*reads(cell.tree)}
    statements = [statement for one in before if one.tree for statement in one.tree.body]
    for statement in reversed(statements):
        if needed.intersection(name for name, *_ in sets(statement)):
            needed |= {*reads(statement)}
    return needed


# Names


def reads(node: ast.AST | None) -> Iterator[str]:
    """Yield the names that syntax mentions to read them, those of functions' own variables too."""
    for one in ast.walk(node) if node else ():
        if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Store):
            yield one.id


def sets(
    node: ast.AST | None, heeds: frozenset[str] = frozenset()
) -> Iterator[tuple[str, ast.AST, frozenset[str]]]:
    """Yield the names that code sets in the notebook, where, and which names have a say in the value."""
    match node:
        case None | ast.Lambda() | ast.AnnAssign(value=None):
            return
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node, heeds
            inside = [*ast.walk(node)]
            declared = {name for one in inside if isinstance(one, ast.Global) for name in one.names}
            for one in inside:
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one.id in declared:
                    yield one.id, one, heeds
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for one in ast.walk(node):
                if isinstance(one, ast.NamedExpr):
                    yield one.target.id, one, heeds
            return
        case ast.For(target=target, iter=values) | ast.AsyncFor(target=target, iter=values):
            yield from sets(target, heeds.union(reads(values)))
            for child in (values, *node.body, *node.orelse):
                yield from sets(child, heeds)
            return
        case ast.Name(id=name, ctx=ast.Store()):
            yield name, node, heeds
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0], node, heeds
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node, heeds
        case ast.MatchMapping(rest=str(name)):
            yield name, node, heeds
    if type(node) in _DECIDED_BY:
        heeds = heeds.union(reads(getattr(node, _DECIDED_BY[type(node)])))
    for child in ast.iter_child_nodes(node):
        yield from sets(child, heeds)
