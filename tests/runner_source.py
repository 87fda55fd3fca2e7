"""Finds the messages in the runner's source, without running it.

A message is what stands in an error, a warning, or the reason of an execution's end. Its text is followed through
constants, local variables, conditions, and functions that return it.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from messages import Hole, Message, Part, Text, alternatives, chosen, holes, joined, words

CARRIERS = frozenset({"reason", "detail", "message", "msg", "refused", "unsent"})
"""Parameters and fields that hold a message, whatever has them."""
TOLD = CARRIERS | {"status_detail", "error"}
"""Attributes that hold a message which is made, and found, elsewhere."""
LISTS = frozenset({"warnings"})
"""Lists of messages."""
LOGGERS = frozenset({"log", "_log", "logger", "_logger", "logging", "warnings"})
LOG_METHODS = frozenset({"warn", "warning", "error", "critical", "exception", "log"})
OPENINGS = ("skipped because ", "note: ", "warning: ", "error: ", "not pushed: ")
"""What a text begins with that is a message wherever it is printed."""
DEEPEST = 6
"""How far a text is followed."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """A file of the source, and what its names stand for."""

    file: str
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.constants[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.constants[name] = value
        for found in ast.walk(self.tree):
            if isinstance(found, ast.ImportFrom) and found.module:
                self.imports |= {alias.asname or alias.name: found.module for alias in found.names}


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its module, the functions around it, and what has been followed to get there."""

    module: Module
    functions: tuple[Function, ...] = ()
    followed: frozenset[tuple[str, str]] = frozenset()

    def following(self, owner: str, name: str) -> Scope:
        """The same place, after one more step."""
        return replace(self, followed=self.followed | {(owner, name)})

    def may_follow(self, owner: str, name: str) -> bool:
        """False for a circle, and where it goes too deep."""
        return (owner, name) not in self.followed and len(self.followed) < DEEPEST


class Source:
    """The runner's source, read once."""

    def __init__(self, folder: Path) -> None:
        self.modules = [
            Module(path.relative_to(folder).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
            for path in sorted(folder.rglob("*.py"))
        ]
        self.functions: dict[str, list[tuple[Module, Function, bool]]] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for module in self.modules:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name] = node
                if isinstance(node, ast.ClassDef | ast.Module):
                    for child in node.body:
                        if isinstance(child, Function):
                            is_method = isinstance(node, ast.ClassDef)
                            self.functions.setdefault(child.name, []).append((module, child, is_method))
        self.exceptions = self._exceptions()

    def _exceptions(self) -> dict[str, int]:
        """The runner's own exceptions and argparse's, with the message's position among the arguments."""
        found = {"ArgumentTypeError": 0}
        before = -1
        while before != len(found):
            before = len(found)
            for name, node in self.classes.items():
                bases = {_name(base) for base in node.bases}
                if bases & {"Exception", *found}:
                    inherited = next((found[base] for base in bases if base in found), 0)
                    found[name] = _parameters(node).get("message", inherited)
        return found

    def messages(self) -> list[Message]:
        """Every message wherever it is made, also where one is only handed on."""
        return [
            Message(
                text,
                module.file,
                getattr(node, "lineno", 0),
                scope.functions[-1].name if scope.functions else "",
            )
            for module in self.modules
            for node, scope in _nodes(module.tree, Scope(module))
            for whole in self._texts(node, scope)
            for text in alternatives(whole)
        ]

    # Where messages are

    def _texts(self, node: ast.AST, scope: Scope) -> Iterator[Text]:
        match node:
            case ast.Call():
                yield from self._handed_over(node, scope)
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[first, *_])) if _is_pythons_error(name):
                yield self.text(first, scope)
            case ast.Constant(value=str()) | ast.JoinedStr():
                text = self.text(node, scope)
                if text and isinstance(text[0], str) and text[0].startswith(OPENINGS):
                    yield text
            case ast.Dict(values=values) if values and not scope.functions:  # a table to look messages up in
                texts = [self.text(value, scope) for value in values]
                if all(len(words(text)) > 2 and not holes(text) for text in texts):
                    yield from texts

    def _handed_over(self, call: ast.Call, scope: Scope) -> Iterator[Text]:
        """The messages among a call's arguments."""
        name = _name(call.func)
        owner = _name(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        given = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
        if name in self.exceptions:
            place = self.exceptions[name]
            yield from (
                self.text(one, scope) for one in [*given[place : place + 1], *_values(keywords, "message")]
            )
        elif name == "print":
            if "file" in keywords and ast.unparse(keywords["file"]) == "sys.stderr":
                yield joined([text for one in given for text in ((" ",), self.text(one, scope))][1:])
        elif (name == "error" and owner.endswith("parser")) or (name == "exit" and owner == "sys"):
            yield from (self.text(one, scope) for one in given[:1] if not _is_number(one))
        elif name in LOG_METHODS and owner in LOGGERS:
            yield _percent(self.text(given[int(name == "log")], scope))
        elif name == "append" and owner in LISTS:
            yield self.text(given[0], scope)
        else:
            yield from (self.text(one, scope) for one in _values(keywords, *sorted(CARRIERS)))
            places = {
                places[carrier] for places in self._meant(name) for carrier in CARRIERS if carrier in places
            }
            yield from (self.text(one, scope) for place, one in enumerate(given) if place in places)

    def _meant(self, name: str) -> Iterator[dict[str, int]]:
        """The parameters of what may be called: any function or class of the source that has the name."""
        if name in self.classes:
            yield _parameters(self.classes[name])
        for _, function, is_method in self.functions.get(name, ()) if name != "__init__" else ():
            yield _parameters(function, is_method)

    # What their texts are

    def text(self, node: ast.expr, scope: Scope) -> Text:
        """What an expression makes, as far as the source says it."""
        match node:
            case ast.Constant(value=str(value)):
                return (value,)
            case ast.Constant(value=None):
                return ()
            case ast.JoinedStr(values=values):
                return joined([self.text(value, scope) for value in values])
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self.text(value, scope)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if not _is_number(right):
                return joined([self.text(left, scope), self.text(right, scope)])
            case ast.BinOp(left=ast.Constant(value=str()) as left, op=ast.Mod()):
                return _percent(self.text(left, scope))
            case ast.IfExp(body=body, orelse=orelse):
                return chosen([self.text(body, scope), self.text(orelse, scope)])
            case ast.BoolOp(op=ast.Or(), values=values):
                return chosen([self.text(value, scope) for value in values])
            case ast.NamedExpr(value=value) | ast.Subscript(value=value, slice=ast.Slice()):
                return self.text(value, scope)
            case ast.Name():
                return self._named(node, scope)
            case ast.Call():
                return self._returned(node, scope)
            case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
                return (Hole(ast.unparse(node), name in TOLD),)
        return (Hole(ast.unparse(node)),)

    def _returned(self, call: ast.Call, scope: Scope) -> Text:
        """What a call returns."""
        unknown: Text = (Hole(ast.unparse(call)),)
        match call:
            case ast.Call(func=ast.Name(id="str" | "redact" | "shown"), args=[one]):
                return self.text(one, scope)
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(key)), *_]):
                return (Hole(ast.unparse(call), key in TOLD),)
            case ast.Call(func=ast.Name(id="next"), args=[_, default]):
                return chosen([unknown, self.text(default, scope)])
            case ast.Call(
                func=ast.Attribute(value=ast.Constant(value=str(between)), attr="join"), args=[parts]
            ):
                # With a semicolon between them, they are several messages; otherwise one line that is put together.
                items = self._items(parts, scope) if ";" in between else []
                return chosen([*items, ()]) if any(map(words, items)) else _nothing_new(call, items)
            case ast.Call(func=ast.Name(id="join_reasons"), args=parts):
                items = self._items(ast.List(elts=parts), scope)
                return chosen([*items, ()]) if any(map(words, items)) else _nothing_new(call, items)
        name = _name(call.func)
        known = self.functions.get(name, [])
        if len(known) != 1 or not scope.may_follow(name, ""):
            return unknown
        [(module, function, _)] = known
        if not function.returns or ast.unparse(function.returns) != "str":
            return unknown
        inside = Scope(module, (function,), scope.followed).following(name, "")
        returns = (node.value for node in _own_nodes(function) if isinstance(node, ast.Return))
        texts = [self.text(value, inside) for value in returns if value]
        return chosen(texts) if any(map(words, texts)) else _nothing_new(call, texts)

    def _items(self, node: ast.expr, scope: Scope) -> list[Text]:
        """What a list that is to be joined holds."""
        match node:
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [text for item in items for text in self._item(item, scope)]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._items(body, scope), *self._items(orelse, scope)]
            case ast.Call(func=ast.Name(id="filter"), args=[_, one]):
                return self._items(one, scope)
            case ast.Call(func=ast.Attribute(attr="fromkeys"), args=[one]):
                return self._items(one, scope)
            case ast.ListComp(elt=one) | ast.GeneratorExp(elt=one):
                return [self.text(one, scope)]
            case ast.Name(id=name) if scope.functions and scope.may_follow(name, "items"):
                given = _assigned(scope.functions[-1], name)
                return [text for one in given for text in self._items(one, scope.following(name, "items"))]
        return [(Hole(ast.unparse(node)),)]

    def _item(self, node: ast.expr, scope: Scope) -> list[Text]:
        return self._items(node.value, scope) if isinstance(node, ast.Starred) else [self.text(node, scope)]

    def _named(self, node: ast.Name, scope: Scope) -> Text:
        """What a name stands for: a local variable, a parameter, a caught exception, or a constant."""
        name = node.id
        unknown: Text = (Hole(name, name in CARRIERS),)
        owner = scope.functions[-1].name if scope.functions else ""
        if not scope.may_follow(owner, name):
            return unknown
        inside = scope.following(owner, name)
        for function in reversed(scope.functions):
            for one in _own_nodes(function):
                if isinstance(one, ast.ExceptHandler) and one.name == name and _is_inside(node, one):
                    return (Hole(name, {_name(kind) for kind in _elements(one.type)} <= {*self.exceptions}),)
                if isinstance(one, ast.For) and _name(one.target) == name and _is_inside(node, one):
                    return (Hole(name, any(_name(part) in LISTS for part in ast.walk(one.iter))),)
            texts = [self.text(value, inside) for value in _assigned(function, name)]
            if name in {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}:
                texts.insert(0, unknown)
            if texts:
                added = [
                    self.text(value, inside) if always else chosen([self.text(value, inside), ()])
                    for value, always in _added(function, name)
                ]
                return joined([chosen(texts), *added])
        home = scope.module.imports.get(name, "").removeprefix("deriva_ml.").replace(".", "/")
        for module in (scope.module, *(one for one in self.modules if one.file == f"{home}.py")):
            if name in module.constants:
                return self.text(module.constants[name], Scope(module, (), inside.followed))
        return unknown


def _parameters(node: ast.ClassDef | Function, is_method: bool = False) -> dict[str, int]:
    """A callable's parameters by position; those of a class are its constructor's, or its fields."""
    if isinstance(node, ast.ClassDef):
        for one in node.body:
            if isinstance(one, Function) and one.name == "__init__":
                return _parameters(one, is_method=True)
        names = [_name(one.target) for one in node.body if isinstance(one, ast.AnnAssign)]
    else:
        names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]][int(is_method) :]
    return {name: place for place, name in enumerate(names)}


def _nothing_new(call: ast.Call, texts: list[Text]) -> Text:
    """A hole for a call that returns no words of the source."""
    found = [hole for text in texts for hole in holes(text)]
    return (Hole(ast.unparse(call), bool(found) and all(hole.told for hole in found)),)


def _percent(text: Text) -> Text:
    """A text with the places of %-formatting as holes."""
    parts: list[Part] = []
    for part in text:
        pieces = re.split(r"%[a-z]", part) if isinstance(part, str) else [part]
        for number, piece in enumerate(pieces):
            parts += [Hole("%"), piece] if number else [piece]
    return joined([(part,) for part in parts])


def _name(node: ast.AST) -> str:
    """The last word of a name, such as that of a function which is called."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _values(keywords: dict[str | None, ast.expr], *names: str) -> list[ast.expr]:
    return [keywords[name] for name in names if name in keywords]


def _elements(node: ast.expr | None) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node] if node else []


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _is_inside(node: ast.expr, of: ast.stmt | ast.ExceptHandler) -> bool:
    return of.lineno <= node.lineno <= (of.end_lineno or of.lineno)


def _is_pythons_error(name: str) -> bool:
    """Python's own exceptions, but for the one that ``__getattr__`` has to raise, in Python's words."""
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException) and found is not AttributeError


def _nodes(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
    """Every node with its scope, but for docstrings, and the pieces of an f-string, which is one text."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        inner = replace(scope, functions=(*scope.functions, child)) if isinstance(child, Function) else scope
        yield child, inner
        pieces = child.values if isinstance(child, ast.JoinedStr) else [child]
        for piece in pieces:
            if not isinstance(piece, ast.Constant):
                yield from _nodes(piece, inner)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, Function | ast.Lambda):
            yield from _own_nodes(child)


def _assigned(function: Function, name: str) -> Iterator[ast.expr]:
    """The values that a function gives a variable."""
    for node in _own_nodes(function):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _given(target, value, name)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ):
                yield from _given(target, value, name)


def _given(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    match target, value:
        case ast.Name(id=found), _ if found == name:
            yield value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for one, its in zip(targets, values, strict=True):
                yield from _given(one, its, name)
        case ast.Tuple(), ast.IfExp(body=body, orelse=orelse):
            yield from _given(target, body, name)
            yield from _given(target, orelse, name)


def _added(function: Function, name: str) -> Iterator[tuple[ast.expr, bool]]:
    """What a function adds to the end of a variable, and whether it always does."""
    parts = (
        getattr(node, part, None) for node in ast.walk(function) for part in ("body", "orelse", "finalbody")
    )
    for block in (part for part in parts if isinstance(part, list)):
        for place, statement in enumerate(block):
            match statement:
                case ast.AugAssign(target=ast.Name(id=found), op=ast.Add(), value=value) if found == name:
                    if not _is_number(value):
                        before = (one for one in block[:place] if isinstance(one, ast.Assign))
                        yield value, any(_name(one.targets[0]) == name for one in before)
