"""What a notebook's cells do with global names, in the order in which they run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from deriva_ml.check.open_names import OPEN_ATTRIBUTES, cell_may_set_names, may_set_names
from deriva_ml.check.source import Cell, children

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_OWN_NAMES = {*_FUNCTIONS, ast.ClassDef, ast.Name, ast.Constant}
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_ENDS = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
_CATCHES = frozenset({"NameError", "Exception", "BaseException"})


class Step(NamedTuple):
    """What happens to a name as a cell runs.

    Attributes:
        kind: ``set``; ``read``; ``late``, read when a function is called, or if a condition holds; ``define``, a function gets this name; ``call``;
            ``open``, names may be set that the text does not tell.
        name: of what.
        node: where.
        reads: what a function does as it is called.
    """

    kind: str
    name: str
    node: ast.AST
    reads: frozenset[str] = frozenset()


class _Scope(NamedTuple):
    """Where code stands.

    Attributes:
        hidden: names that are not the notebook's here.
        closure: those of them that a function in here sees, which does not see names of a class.
        late: it runs when a function is called.
        maybe: it runs if a condition holds.
        caught: that a name is not there is caught.
    """

    hidden: frozenset[str] = frozenset()
    closure: frozenset[str] = frozenset()
    late: bool = False
    maybe: bool = False
    caught: bool = False


def steps_of(cell: Cell) -> list[Step]:
    """Return what happens to names as a cell runs, from top to bottom."""
    reading = _Reading()
    if cell.tree is not None:
        reading.all(cell.tree.body, _Scope())
    elif cell_may_set_names(cell):
        reading.steps.append(Step("open", "", ast.Pass()))
    return reading.steps


class _Reading:
    """Reads syntax in the order in which it is evaluated."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def all(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        for node in nodes:
            if node is not None:
                self.one(node, scope)
                if isinstance(node, _LEAVES):  # nothing below it runs
                    return

    def one(self, node: ast.AST, scope: _Scope) -> None:
        read = _READERS.get(node.__class__)
        if read:
            read(self, node, scope)
        else:
            for child in reversed(children(node)):
                self.one(child, scope)

    def set(self, name: str | None, node: ast.AST, scope: _Scope) -> None:
        if name and not scope.late and name not in scope.hidden:
            self.steps.append(Step("set", name, node))

    def open(self, node: ast.AST) -> None:
        self.steps.append(Step("open", "", node))

    def skip(self, node: ast.AST, scope: _Scope) -> None:
        """Read nothing: there are no names."""

    def name(self, node: ast.Name, scope: _Scope) -> None:
        if node.id in scope.hidden:
            return
        if isinstance(node.ctx, ast.Store):
            self.set(node.id, node, scope)
        elif not scope.caught:
            self.steps.append(Step("late" if scope.late or scope.maybe else "read", node.id, node))

    def attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        self.one(node.value, scope)
        if node.attr in OPEN_ATTRIBUTES or (node.attr == "modules" and ast.unparse(node.value) == "sys"):
            self.open(node)

    def call(self, node: ast.Call, scope: _Scope) -> None:
        self.one(node.func, scope)
        self.all(node.args, scope)
        self.all(node.keywords, scope)
        if may_set_names(node):
            self.open(node)
        if isinstance(node.func, ast.Name) and not (scope.late or scope.maybe or scope.caught):
            self.steps.append(Step("call", node.func.id, node))

    def assign(self, node: ast.Assign | ast.NamedExpr | ast.AnnAssign, scope: _Scope) -> None:
        if isinstance(node, ast.AnnAssign):
            self.one(node.annotation, scope._replace(late=True))
        self.all([node.value], scope)
        self.all(node.targets if isinstance(node, ast.Assign) else [node.target], scope)

    def augmented(self, node: ast.AugAssign, scope: _Scope) -> None:
        if isinstance(node.target, ast.Name):
            self.one(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target), scope)
        self.all((node.value, node.target), scope)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While, scope: _Scope) -> None:
        self.all([node.test] if isinstance(node, ast.While) else [node.iter, node.target], scope)
        for name in _bound(node.body):  # what a turn sets, the next can read
            self.set(name, node, scope)
        self.all(node.body, scope)
        self.all(node.orelse, scope)

    def attempt(self, node: ast.Try, scope: _Scope) -> None:
        caught = scope.caught or any(
            one.type is None
            or _CATCHES & {part.id for part in ast.walk(one.type) if isinstance(part, ast.Name)}
            for one in node.handlers
        )
        self.all(node.body, scope._replace(caught=caught))
        for block in (node.handlers, node.orelse, node.finalbody):
            self.all(block, scope)

    def handler(self, node: ast.ExceptHandler, scope: _Scope) -> None:
        self.all([node.type], scope)
        self.set(node.name, node, scope)
        self.all(node.body, scope)

    def condition(self, node: ast.If | ast.IfExp, scope: _Scope) -> None:
        self.one(node.test, scope)
        is_other_python = "version" in ast.unparse(node.test)  # with other names
        for branch, runs in ((node.body, True), (node.orelse, False)):
            never = isinstance(node.test, ast.Constant) and bool(node.test.value) is not runs
            nodes: Any = branch if isinstance(branch, list) else [branch]
            self.all(nodes, scope._replace(maybe=True, caught=scope.caught or never or is_other_python))

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: _Scope) -> None:
        arguments = arguments_of(node.args)
        body: list[Any] = [node.body] if isinstance(node, ast.Lambda) else node.body
        own = _bound(body).union((one.arg for one in arguments), _type_parameters(node))
        shared = {name for one in _nodes(body) if isinstance(one, ast.Global) for name in one.names}
        self.all((*node.args.defaults, *node.args.kw_defaults), scope)
        seen = (scope.closure | own) - shared
        inner = _Scope(seen, seen, late=True, caught=scope.caught)
        if not isinstance(node, ast.Lambda):
            self.all(node.decorator_list, scope)
            self.all((*(one.annotation for one in arguments), node.returns), inner)
            for name in sorted(shared):
                self.set(name, node, scope._replace(late=False))
        begin = len(self.steps)
        self.all(body, inner)
        if not isinstance(node, ast.Lambda) and not scope.late and node.name not in scope.hidden:
            reads = frozenset(one.name for one in self.steps[begin:] if one.kind == "late")
            # A decorator may do anything with it.
            self.steps.append(Step("set" if node.decorator_list else "define", node.name, node, reads))

    def definition(self, node: ast.ClassDef, scope: _Scope) -> None:
        types = scope.hidden.union(_type_parameters(node))
        self.all((*node.decorator_list, *node.bases, *node.keywords), scope._replace(hidden=types))
        inner = types | _bound(node.body)
        closure = scope.closure.union(_type_parameters(node), {"__class__"})
        self.all(
            node.body,
            scope._replace(hidden=inner | {"__module__", "__qualname__"}, closure=closure),
        )
        self.set(node.name, node, scope)

    def comprehension(self, node: Any, scope: _Scope) -> None:
        first, *rest = node.generators
        self.one(first.iter, scope)
        own = {
            one.id for part in node.generators for one in ast.walk(part.target) if isinstance(one, ast.Name)
        }
        inner = scope._replace(
            hidden=scope.hidden | own,
            closure=scope.closure | own,
            late=scope.late or isinstance(node, ast.GeneratorExp),  # which may be used later
        )
        self.all((*first.ifs, *(part for one in rest for part in (one.iter, *one.ifs))), inner)
        self.all((node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,), inner)

    def imports(self, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
        for one in node.names:
            if one.name == "*":
                self.open(node)
            else:
                self.set(_imported(node, one), node, scope)

    def pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping, scope: _Scope) -> None:
        self.all(
            (*node.keys, *node.patterns)
            if isinstance(node, ast.MatchMapping)
            else [getattr(node, "pattern", None)],
            scope,
        )
        self.set(node.rest if isinstance(node, ast.MatchMapping) else node.name, node, scope)


_READERS: dict[type, Any] = {
    ast.Constant: _Reading.skip,
    ast.Pass: _Reading.skip,
    ast.Name: _Reading.name,
    ast.Attribute: _Reading.attribute,
    ast.Call: _Reading.call,
    **dict.fromkeys((ast.Assign, ast.NamedExpr, ast.AnnAssign), _Reading.assign),
    ast.AugAssign: _Reading.augmented,
    **dict.fromkeys((ast.For, ast.AsyncFor, ast.While), _Reading.loop),
    **dict.fromkeys((ast.Try, getattr(ast, "TryStar", ast.Try)), _Reading.attempt),
    ast.ExceptHandler: _Reading.handler,
    **dict.fromkeys((ast.If, ast.IfExp), _Reading.condition),
    **dict.fromkeys(_FUNCTIONS, _Reading.function),
    ast.ClassDef: _Reading.definition,
    **dict.fromkeys(_COMPREHENSIONS, _Reading.comprehension),
    **dict.fromkeys((ast.Import, ast.ImportFrom), _Reading.imports),
    **dict.fromkeys((ast.MatchAs, ast.MatchStar, ast.MatchMapping), _Reading.pattern),
}


def arguments_of(node: ast.arguments) -> list[ast.arg]:
    every = [*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg]
    return [one for one in every if one]


def _type_parameters(node: ast.AST) -> list[str]:
    return [one.name for one in getattr(node, "type_params", ())]


def surely_read(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names that a function reads whenever it is called, its own among them."""
    return {node.id for node in _surely(function.body) if isinstance(node, ast.Name)}


def _surely(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the names of a function's body that are read whenever it is called."""
    for statement in body:
        match statement:
            case ast.With(items=items, body=inner):
                for one in items:
                    yield from _unconditional(one.context_expr)
                yield from _surely(inner)
            case ast.For(iter=first) | ast.If(test=first) | ast.While(test=first):
                yield from _unconditional(first)
            case ast.Expr(value=value) | ast.Assign(value=value) | ast.AugAssign(value=value):
                yield from _unconditional(value)
            case ast.Return(value=value) if value:
                yield from _unconditional(value)
        if any(isinstance(one, _ENDS) for one in _nodes([statement])):
            return


def _unconditional(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the names that an expression reads in any case."""
    if isinstance(node, ast.Name):
        yield node
    elif not isinstance(node, (ast.BoolOp, ast.IfExp, ast.Lambda, *_COMPREHENSIONS)):
        for one in ast.iter_child_nodes(node):
            yield from _unconditional(one)


def _nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a body, without those in functions and classes that it defines."""
    rest = [*body]
    while rest:
        node = rest.pop()
        yield node
        if node.__class__ not in _OWN_NAMES:
            rest.extend(children(node))


def _bound(body: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names that a body sets, without those of functions and classes in it."""
    found: set[str | None] = set()
    node: Any
    for node in _nodes(body):
        if node.__class__ is ast.Name:
            if node.ctx.__class__ is not ast.Load:
                found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {_imported(node, one) for one in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            found.add(node.name)
        elif isinstance(node, ast.MatchAs | ast.MatchStar):
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping):
            found.add(node.rest)
    return frozenset(name for name in found if name)


def _imported(node: ast.Import | ast.ImportFrom, one: ast.alias) -> str:
    """Return the name that an import sets."""
    return one.asname or (one.name.partition(".")[0] if isinstance(node, ast.Import) else one.name)
