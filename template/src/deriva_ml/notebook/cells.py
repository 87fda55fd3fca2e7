"""What the code of a notebook's cells says, read as IPython reads it and never run."""

from __future__ import annotations

import ast
import dis
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError

PYTHON_MAGICS = frozenset({"capture", "prun", "time"})
"""Cell magics that run the rest of the cell in the notebook's own namespace."""
CONSTRUCTORS = {
    **dict.fromkeys(("date", "datetime", "time", "timedelta"), "datetime"),
    **dict.fromkeys(("Path", "PurePath"), "pathlib"),
    **{"Decimal": "decimal", "UUID": "uuid"},
}
"""Types whose values are written as a call, and their modules."""
BUILTINS = frozenset(
    {"bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"}
)
NO_PYTHON = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
"""What ``ast`` raises for a text that is no Python, or more than it can take, and for what is no literal."""
_IPYTHONS_LINE = re.compile(r"(?m)^(\s*)(?:[\w, ]+=\s*)?[%!].*")
_COMPILED_AS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | annotations.compiler_flag  # which only notes annotations
_ENUMS = frozenset({"Enum", "Flag", "IntEnum", "IntFlag", "ReprEnum", "StrEnum"})
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BODIES = ("body", "orelse", "finalbody", "handlers")


def tree_of(source: str) -> ast.Module | None:
    """Return the syntax of a cell without IPython's own lines, and without loading IPython; None if it is no Python."""
    magic = re.match(r"\s*%%(\w*)", source)
    if magic and magic[1] not in PYTHON_MAGICS:
        return None
    for text in (source, _IPYTHONS_LINE.sub(r"\1pass", source)):
        with suppress(*NO_PYTHON):
            return ast.parse(text)
    return None


def literal(value: ast.expr | None, otherwise: Any) -> Any:
    """Return the value of a literal; ``otherwise`` for any other expression, or none."""
    try:
        return ast.literal_eval(value or "")
    except NO_PYTHON:
        return otherwise


def parse(source: str, name: str) -> tuple[ast.Module, str]:
    """Parse a cell; also return the Python that IPython makes of it.

    Raises:
        DerivaMLRequestError: A cell magic hands the cell to something else than Python.
        SyntaxError, ValueError, RecursionError, MemoryError: It is not valid.
    """
    try:
        return ast.parse(source, name), source
    except SyntaxError:
        text = _transformed(source)
    return ast.parse(text, name), text


def _transformed(source: str) -> str:
    """Return what IPython makes of its own syntax in a cell; lines keep their numbers."""
    from IPython.core.inputtransformer2 import TransformerManager  # takes a fifth of a second

    before = ""
    text = source
    while magic := re.match(r"\s*%%(\w+)(?!\w|\?).*\n?", text):
        if magic[1] not in PYTHON_MAGICS:
            raise DerivaMLRequestError(
                f"the parameters cell begins with %%{magic[1]}, and so is no Python: put that into another cell"
            )
        before += "\n" * magic[0].count("\n")
        text = text[magic.end() :]
    blank = re.match(r"(?:[ \t]*\n)*", text)
    before += "\n" * (blank[0].count("\n") if blank else 0)
    manager: Any = TransformerManager
    return before + str(manager().transform_cell(text))


def is_ipythons(value: ast.AST) -> bool:
    """Whether IPython puts the value there, as for ``files = !ls``."""
    return any(isinstance(node, ast.Name) and node.id == "get_ipython" for node in ast.walk(value))


def dotted(node: ast.AST | None) -> str:
    """Return ``a.b.c`` as text; empty if it is anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name) if before := dotted(value):
            return f"{before}.{name}"
    return ""


@dataclass
class Names:
    """What names in the parameters cell stand for, as far as the cells up to it say.

    Attributes:
        sources: of these cells, the parameters cell last.
        assigned: by the parameters cell.
    """

    sources: Sequence[str] = ()
    assigned: set[str] = field(default_factory=set)

    @cached_property
    def bound(self) -> dict[str, str | ast.stmt | ast.expr]:
        """By name: what is imported (``module.name``), the class, or the expression that is assigned."""
        found: dict[str, str | ast.stmt | ast.expr] = {}
        for source in self.sources:
            try:
                tree, _ = parse(source, "cell")
            except (DerivaMLRequestError, *NO_PYTHON):
                continue
            for statement in _statements(tree.body):
                for name, meaning in _bindings(statement):
                    # A variable of the same name, as in `date: date = ...`, says nothing of the type.
                    if not isinstance(meaning, ast.expr) or isinstance(found.get(name), ast.expr | None):
                        found[name] = meaning
        return found

    def meaning(self, name: str) -> str | ast.stmt | ast.expr | None:
        """Return what a dotted name stands for; None if that is not said."""
        root, _, rest = name.partition(".")
        found = self.bound.get(root)
        if rest and found is not None:
            return f"{found}.{rest}" if isinstance(found, str) else f"?.{rest}"
        return found

    def known(self, name: str, modules: Sequence[str]) -> str:
        """Return the last word of a dotted name, if it is from one of the modules or nothing is said of it; else empty."""
        found = self.meaning(name)
        if found is None:
            return name.rpartition(".")[2]
        module, _, last = found.rpartition(".") if isinstance(found, str) else ("", "", "")
        return last if module in modules else ""

    def spelled(self, name: str, last: str) -> str:
        """Return how the injected cell may call a type of ``CONSTRUCTORS``: ``name``, if that still means it there."""
        root = name.partition(".")[0]
        if root in self.bound and root not in self.assigned:
            return name
        return f'__import__("{CONSTRUCTORS[last]}").{last}'

    def members(self, name: str) -> dict[str, Any] | None:
        """Return the members of an Enum that the notebook itself defines: literal values, ``...`` for others; else None."""
        found = self.meaning(name)
        if not isinstance(found, ast.ClassDef) or not self._is_enum(found):
            return None
        members: dict[str, Any] = {}
        for statement in found.body:
            for member, _, value in assignments(statement):
                if value and not member.startswith("_"):
                    members[member] = literal(value, ...)
        return members

    def may_be_enum(self, name: str) -> bool:
        """Whether only the kernel can tell: it is imported, derived from what is, or made by a call."""
        found = self.meaning(name)
        return (
            bool(found.bases) if isinstance(found, ast.ClassDef) else isinstance(found, str | ast.Call | None)
        )

    def _is_enum(self, node: ast.ClassDef, depth: int = 0) -> bool:
        for base in map(dotted, node.bases):
            found = self.meaning(base)
            if isinstance(found, ast.ClassDef) and depth < 10 and self._is_enum(found, depth + 1):
                return True
            if self.known(base, ("enum",)) in _ENUMS:
                return True
        return False

    def type_made(self, value: ast.expr | None) -> str:
        """Return the type that an expression surely makes, as it is spelled there; empty if that is not known."""
        match value:
            case ast.Call(func=func):
                name = dotted(func)
                last = self.known(name, ("datetime", "pathlib", "decimal", "uuid"))
                builtin = name in BUILTINS and name not in self.bound
                return name if name and (last in CONSTRUCTORS or builtin) else ""
            case ast.BinOp(left=left, op=ast.Div()):
                name = self.type_made(left)
                return name if name.rpartition(".")[2].endswith("Path") else ""
            case ast.Attribute(value=owner):
                name = dotted(owner)
                return name if name and self.members(name) is not None else ""
        return ""


def _statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements in order, with those of blocks, but not of functions and classes."""
    for statement in body:
        yield statement
        if not isinstance(statement, _DEFINITIONS):
            for block in _BODIES:
                yield from _statements(getattr(statement, block, ()))


def _bindings(statement: ast.AST) -> Iterator[tuple[str, str | ast.stmt | ast.expr]]:
    match statement:
        case ast.Import(names=names):
            for one in names:
                yield (one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2
        case ast.ImportFrom(module=module, names=names, level=level):
            for one in names:
                yield one.asname or one.name, f"{'.' * level}{module or ''}.{one.name}"
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name, statement
        case ast.Assign() | ast.AnnAssign():
            yield from ((name, value) for name, _, value in assignments(statement) if value)


def assignments(statement: ast.AST) -> Iterator[tuple[str, str | None, ast.expr | None]]:
    """Yield name, annotation and value of plain and annotated assignments to single names."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            yield name, ast.unparse(annotation).strip("'\""), value  # some people quote it
        case ast.Assign(targets=targets, value=value):
            yield from ((target.id, None, value) for target in targets if isinstance(target, ast.Name))


def assigned(source: str) -> dict[str, ast.expr | None]:
    """Return what a cell assigns to single names, by name; nothing where it is no Python."""
    tree = tree_of(source) or ast.Module([], [])
    return {name: value for one in tree.body for name, _, value in assignments(one)}


def dependencies(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Return for each name that a cell sets the names that it is computed from, also by way of others."""
    found: dict[str, frozenset[str]] = {}
    for statement in tree.body:
        used, stored = _names(statement)
        used = used.union(*(found[name] for name in used if name in found))
        # It replaces what was there.
        certain = isinstance(statement, ast.Assign | ast.AnnAssign | _DEFINITIONS)
        for name in stored:
            found[name] = used if certain else used | found.get(name, frozenset())
    return found


def _names(statement: ast.stmt) -> tuple[frozenset[str], set[str]]:
    """Return the cell's names that a statement reads, in functions too, and those that it sets, by Python's compiler.

    It knows which names are arguments, or the variables of comprehensions. Annotations compute nothing.
    """
    match statement:  # as most parameters are
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant())
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant())
        ):
            return frozenset(), {name}
    used, stored = set(), set()
    with suppress(*NO_PYTHON):
        codes = [compile(ast.Module([statement], []), "cell", "exec", _COMPILED_AS)]
        for code in codes:  # and then those of the functions in it
            codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
            for step in dis.get_instructions(code):
                if step.opname in {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}:
                    used.add(step.argval)
                elif step.opname == "STORE_GLOBAL" or (step.opname == "STORE_NAME" and code is codes[0]):
                    stored.add(step.argval)
    return frozenset(used - {"__annotations__"}), stored  # where Python notes an annotation
