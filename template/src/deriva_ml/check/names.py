"""What a notebook's cells do with global names, in the order in which they run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from deriva_ml.check.source import Cell, Source

_NEUTRAL_MAGICS = frozenset(
    "alias autoawait autoreload autosave bash bookmark cat cd colors conda config cp debug dhist dirs doctest_mode echo"
    " edit env file gui hist history html HTML javascript js latex ldir less lf lk ll load lprun ls lsmagic lx man"
    " markdown matplotlib memit mkdir more mprun mv nbagg notebook page pastebin pdb pdef pdoc perl pfile pinfo pinfo2"
    " pip popd pprint precision prun psearch psource pushd pwd pycat python python2 python3 quickref recall rehashx"
    " reload_ext rm rmdir ruby sc script set_env sh svg SVG sx system tb tensorboard time timeit unalias unload_ext uv"
    " watermark who who_ls whos writefile xdel xmode cmd load_ext".split()
)
"""Magics that give no names to the notebook, but for those that they are asked to."""
_NEUTRAL_EXTENSIONS = re.compile(
    r"[\s'\"]*(autoreload|tensorboard\S*|memory_profiler|line_profiler|watermark|rpy2\.ipython|sql|cython|Cython|\w*black\w*)"
    r"[\s'\"]*"
)
_GIVES_OUTPUT = re.compile(r"%%.*(--out|--err|-o\b|<<|>>)")
_INTO_THE_NAMESPACE = frozenset(
    {"user_ns", "user_global_ns", "run_cell", "run_code", "safe_execfile", "ex", "push"}
)
_OPEN_CALLS = frozenset(
    {
        "exec",
        "execfile",
        "globals",
        "init_session",
        "install_import_hook",
        "locals",
        "run_path",
        "vars",
        "var",
    }
)
_LOOPS = ast.For | ast.AsyncFor | ast.While
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_CATCHES = frozenset({"NameError", "Exception", "BaseException"})


class Step(NamedTuple):
    """What happens to a name as a cell runs.

    Attributes:
        kind: ``set``; ``read``; ``late``, read when a function is called; ``define``, the function gets this name; ``call``;
            ``open``, names may be set that the text does not tell.
        name: of what.
        node: where.
        surely: as a function runs, its reads that no condition may leave out.
    """

    kind: str
    name: str
    node: ast.AST
    surely: tuple[str, ...] = ()


class _Scope(NamedTuple):
    hidden: frozenset[str] = frozenset()
    """Names that are not the notebook's here."""
    closure: frozenset[str] = frozenset()
    """Those that functions in here see, which do not see names of a class."""
    late: bool = False
    """Runs when a function is called."""
    caught: bool = False
    """A name that is not there is caught."""


def steps_of(cell: Cell) -> Iterator[Step]:
    """Yield what happens to names as a cell runs, from top to bottom."""
    if cell.tree is not None:
        yield from _each(cell.tree.body, _Scope())
    elif cell.error or cell.magic not in _NEUTRAL_MAGICS or _GIVES_OUTPUT.match(cell.text.lstrip()):
        yield Step("open", "", ast.Pass())


def sets_of(source: Source) -> dict[str, int]:
    """Return the number of the first cell that sets each name."""
    found: dict[str, int] = {}
    for cell in source.cells:
        for step in steps_of(cell):
            if step.kind in {"set", "define"}:
                found.setdefault(step.name, cell.number)
    return found


def _each(nodes: Iterable[ast.AST | None], scope: _Scope) -> Iterator[Step]:
    for node in nodes:
        if node is not None:
            yield from _steps(node, scope)


def _set(name: str | None, node: ast.AST, scope: _Scope) -> Iterator[Step]:
    if name and name not in scope.hidden and not scope.late:
        yield Step("set", name, node)


def _steps(node: ast.AST, scope: _Scope) -> Iterator[Step]:
    """Yield the steps of a piece of syntax, as it is evaluated."""
    match node:
        case ast.Constant() | ast.Pass() | ast.expr_context() | ast.operator():
            pass
        case ast.Name(id=name, ctx=ast.Store()):
            yield from _set(name, node, scope)
        case ast.Name(id=name):
            if name not in scope.hidden and not scope.caught:
                yield Step("late" if scope.late else "read", name, node)
        case ast.Attribute(value=value, attr=attr):
            yield from _steps(value, scope)
            if attr in _INTO_THE_NAMESPACE and "get_ipython" in ast.unparse(value):
                yield Step("open", "", node)
            elif attr in {"user_ns", "user_global_ns"} or (attr == "modules" and ast.unparse(value) == "sys"):
                yield Step("open", "", node)
        case ast.Call(func=func, args=args, keywords=keywords):
            yield from _each((func, *args, *(one.value for one in keywords)), scope)
            if _may_set_names(node):
                yield Step("open", "", node)
            if isinstance(func, ast.Name) and not scope.late and not scope.caught:
                yield Step("call", func.id, node)
        case ast.Assign(targets=targets, value=value):
            yield from _each((value, *targets), scope)
        case ast.AugAssign(target=target, value=value):
            if isinstance(target, ast.Name):
                yield from _steps(ast.copy_location(ast.Name(target.id, ast.Load()), target), scope)
            yield from _each((value, target), scope)
        case ast.AnnAssign(target=target, annotation=annotation, value=value):
            yield from _steps(annotation, scope._replace(late=True))
            yield from _each((value, target), scope)
        case ast.NamedExpr(target=target, value=value):
            yield from _each((value, target), scope)
        case ast.For() | ast.AsyncFor() | ast.While():
            yield from _loop(node, scope)
        case ast.Try() | ast.TryStar():
            yield from _try(node, scope)
        case ast.If(test=ast.Constant(value=value), body=body, orelse=orelse):
            yield from _each(body if value else orelse, scope)
            yield from (
                one for one in _each(orelse if value else body, scope) if one.kind not in {"read", "call"}
            )
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _function(node, scope)
        case ast.ClassDef(name=name, bases=bases, keywords=keywords, body=body, decorator_list=decorators):
            inner = scope.hidden | {one.id for one in _types(node)}
            yield from _each((*decorators, *bases, *keywords), scope._replace(hidden=inner))
            own = _bound(body)
            yield from _each(
                body, scope._replace(hidden=inner | own, closure=scope.closure | inner | {"__class__"})
            )
            yield from _set(name, node, scope)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehension(node, scope)
        case ast.Import(names=names):
            for one in names:
                yield from _set(one.asname or one.name.partition(".")[0], node, scope)
        case ast.ImportFrom(names=names):
            for one in names:
                if one.name == "*":
                    yield Step("open", "", node)
                else:
                    yield from _set(one.asname or one.name, node, scope)
        case ast.MatchAs(pattern=pattern, name=name):
            yield from _each((pattern,), scope)
            yield from _set(name, node, scope)
        case ast.MatchStar(name=name):
            yield from _set(name, node, scope)
        case ast.MatchMapping(keys=keys, patterns=patterns, rest=rest):
            yield from _each((*keys, *patterns), scope)
            yield from _set(rest, node, scope)
        case _:
            yield from _each(ast.iter_child_nodes(node), scope)


def _loop(node: _LOOPS, scope: _Scope) -> Iterator[Step]:
    """What a turn sets, the next can read."""
    if isinstance(node, ast.While):
        yield from _steps(node.test, scope)
    else:
        yield from _each((node.iter, node.target), scope)
    for name in _bound(node.body):
        yield from _set(name, node, scope)
    yield from _each((*node.body, *node.orelse), scope)


def _try(node: ast.Try | ast.TryStar, scope: _Scope) -> Iterator[Step]:
    """What is not there may be what the statement finds out."""
    caught = scope.caught or any(
        one.type is None or _CATCHES & {part.id for part in ast.walk(one.type) if isinstance(part, ast.Name)}
        for one in node.handlers
    )
    yield from _each(node.body, scope._replace(caught=caught))
    for handler in node.handlers:
        yield from _each((handler.type,), scope)
        yield from _set(handler.name, handler, scope)
        yield from _each(handler.body, scope)
    yield from _each((*node.orelse, *node.finalbody), scope)


def _function(node: _FUNCTIONS, scope: _Scope) -> Iterator[Step]:
    arguments = node.args
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    own = {one.arg for one in every if one} | _bound(body) | {one.id for one in _types(node)}
    shared = {name for one in _own_nodes(body) if isinstance(one, ast.Global) for name in one.names}
    yield from _each((*arguments.defaults, *arguments.kw_defaults), scope)
    inside = (scope.closure if scope.closure else scope.hidden) | own
    inner = _Scope(frozenset(inside - shared), frozenset(), late=True, caught=scope.caught)
    if not isinstance(node, ast.Lambda):
        yield from _each(node.decorator_list, scope)
        yield from _each((one.annotation for one in every if one), inner)
        yield from _each((node.returns,), inner)
        for name in shared:
            yield Step("set", name, node)
    within = [*_each(body, inner)]
    yield from (one for one in within if one.kind in {"late", "open", "set"})
    if not isinstance(node, ast.Lambda) and node.name not in scope.hidden and not scope.late:
        surely = dict.fromkeys(
            one.name for part in _surely(body) for one in _each((part,), inner) if one.kind == "late"
        )
        yield Step("define" if not node.decorator_list else "set", node.name, node, tuple(surely))


def _surely(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the parts of a function that run whenever it is called."""
    for statement in body:
        match statement:
            case ast.With(items=items, body=inner):
                yield from (one.context_expr for one in items)
                yield from _surely(inner)
            case ast.For(iter=first) | ast.If(test=first) | ast.While(test=first):
                yield from _unconditional(first)
            case ast.Expr(value=value) | ast.Assign(value=value) | ast.AugAssign(value=value):
                yield from _unconditional(value)
            case ast.Return(value=value):
                yield from _unconditional(value) if value else ()
        if any(
            isinstance(one, ast.Return | ast.Raise | ast.Yield | ast.YieldFrom) for one in ast.walk(statement)
        ):
            return


def _unconditional(node: ast.AST) -> Iterator[ast.AST]:
    """Yield names that an expression reads in any case."""
    if isinstance(node, ast.Name):
        yield node
    elif not isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | _COMPREHENSIONS):
        for one in ast.iter_child_nodes(node):
            yield from _unconditional(one)


def _comprehension(node: _COMPREHENSIONS, scope: _Scope) -> Iterator[Step]:
    first, *rest = node.generators
    yield from _steps(first.iter, scope)
    own = {one.id for part in node.generators for one in ast.walk(part.target) if isinstance(one, ast.Name)}
    late = scope.late or isinstance(node, ast.GeneratorExp)
    inner = scope._replace(
        hidden=scope.hidden | own, closure=scope.closure and scope.closure | own, late=late
    )
    yield from _each((*first.ifs, *(part for one in rest for part in (one.iter, *one.ifs))), inner)
    parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    yield from _each(parts, inner)


def _types(node: ast.AST) -> Iterator[ast.Name]:
    """Yield the type parameters of a function or class, as names."""
    for one in getattr(node, "type_params", ()):
        yield ast.Name(one.name)


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a body, without those in functions and classes that it defines."""
    rest = [*body]
    while rest:
        node = rest.pop()
        yield node
        if not isinstance(node, _FUNCTIONS | ast.ClassDef):
            rest.extend(ast.iter_child_nodes(node))


def _bound(body: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names that a body sets, without those of functions and classes in it."""
    found: set[str | None] = set()
    for node in _own_nodes(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {one.asname or one.name.partition(".")[0] for one in names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
                found.add(name)
            case ast.MatchMapping(rest=name):
                found.add(name)
    return frozenset(name for name in found if name)


def _may_set_names(node: ast.Call) -> bool:
    """Whether a call may give the notebook names that its text does not tell."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _OPEN_CALLS:
            # locals() of an object, or vars(args), is no matter of the notebook's names
            return name not in {"locals", "vars", "var"} or name == "var" or not node.args
        case ast.Call(func=ast.Name(id="dir")):
            return not node.args
        case ast.Call(
            func=ast.Attribute(attr="run_line_magic"), args=[ast.Constant(value=str(magic)), *rest]
        ):
            words = rest[0].value if rest and isinstance(rest[0], ast.Constant) else ""
            if magic in {"load_ext", "reload_ext"}:
                return not _NEUTRAL_EXTENSIONS.fullmatch(str(words))
            return magic not in _NEUTRAL_MAGICS
        case ast.Call(func=ast.Attribute(attr="run_cell_magic" | "magic")):
            return True
    return False
