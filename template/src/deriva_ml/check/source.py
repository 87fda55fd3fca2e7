"""A file that is checked: its cells, each parsed and walked once."""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from deriva_ml.check.committed import Committed
from deriva_ml.check.magics import PYTHON_CELLS, parse_as_ipython, take_cell_magics
from deriva_ml.notebook.cells import NO_PYTHON
from deriva_ml.notebook.document import read_notebook, read_text, source_of, tags_of
from deriva_ml.notebook.language import other_language

Node = TypeVar("Node", bound=ast.AST)

_TEXTS = frozenset(
    "attr conversion ctx id is_async kind kwd_attrs level module op ops simple str tag type_ignores".split()
)
"""Fields of syntax that hold no nodes, or only an operator or a context."""
_NAMED = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)
"""Syntax with a ``name`` that gets a value."""
_LEAVES = ast.Constant | ast.Global | ast.MatchSingleton | ast.Nonlocal | ast.alias


def _fields(kind: type[ast.AST]) -> list[str]:
    """Return the fields of a kind of syntax that hold nodes, the last first."""
    if issubclass(kind, _LEAVES):
        return []
    names = [name for name in kind._fields if name not in _TEXTS]
    # A name is a text everywhere but in ``type X = ...``, and the argument of a keyword is one.
    return [
        name
        for name in reversed(names)
        if name not in {"arg", "rest", "name", "type_comment"} or kind.__name__ == "TypeAlias"
    ]


class _FieldsByKind(dict[type, list[str]]):
    """The fields that hold nodes by kind of syntax, as these are met."""

    def __missing__(self, kind: type[ast.AST]) -> list[str]:
        self[kind] = found = _fields(kind)
        return found


_FIELDS = _FieldsByKind({type(None): []})  # the key of ``**more`` in a dictionary


def children(node: ast.AST) -> list[Any]:
    """Return the nodes that are directly in another, but operators and contexts, the last first."""
    found: list[Any] = []
    for name in _FIELDS[node.__class__]:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found.extend([one for one in reversed(value) if one is not None])
        elif value is not None:
            found.append(value)
    return found


@dataclass(eq=False)
class Cell:
    """A cell of code.

    Attributes:
        number: its place among all cells of the notebook, from 1, as everywhere in the runner; 0 in a Python file.
        text: as it stands in the file.
        python: what IPython makes of it, line by line; as ``text`` where nothing is IPython's own.
        tree: its syntax; None where it is no Python (``%%bash``) or is wrong.
        error: what is wrong with its syntax.
        magic: the name of the cell magic at its top (``bash``, ``capture``), which is no part of ``python``.
        tags: of the cell.
        raw: the cell in the file, with outputs.
    """

    number: int
    text: str
    python: str
    tree: ast.Module | None
    error: SyntaxError | None = None
    magic: str = ""
    tags: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def by_type(self) -> dict[type[ast.AST], list[ast.AST]]:
        """All nodes of the tree but operators and contexts, a node before what is in it, by type."""
        found: defaultdict[type, list[ast.AST]] = defaultdict(list)
        rest: list[Any] = [self.tree] if self.tree else []
        pop, push = rest.pop, rest.append
        while rest:
            node = pop()
            kind = node.__class__
            found[kind].append(node)
            for name in _FIELDS[kind]:
                value = getattr(node, name, None)
                if value.__class__ is list:
                    if value:
                        rest += value[::-1]
                elif value is not None:
                    push(value)
        found.pop(type(None), None)
        return dict(found)

    @cached_property
    def called(self) -> frozenset[str]:
        """The plain names that are called."""
        return frozenset(one.func.id for one in self.nodes(ast.Call) if isinstance(one.func, ast.Name))

    def nodes(self, first: type[Node], *more: type[Node]) -> Sequence[Node]:
        """Return the nodes of these types."""
        found: Any = self.by_type.get(first, ())
        for one in more:
            if others := self.by_type.get(one):
                found = [*found, *others]
        return found  # type: ignore[no-any-return]

    @cached_property
    def calls(self) -> list[tuple[ast.Call, str]]:
        """All calls, each with the last word of the name that is called."""
        found: list[tuple[ast.Call, str]] = []
        for call in self.nodes(ast.Call):
            func: Any = call.func
            kind = func.__class__
            found.append((call, func.attr if kind is ast.Attribute else func.id if kind is ast.Name else ""))
        return found

    @cached_property
    def last_words(self) -> frozenset[str]:
        """Those of the names that are called."""
        return frozenset([word for _, word in self.calls])

    def says(self, words: Iterable[str]) -> bool:
        """Whether its text has, or may have, one of these, which is much sooner told than a pattern is searched for."""
        # Python takes letters such as a ligature for those that they are made of.
        return not self.text.isascii() or any(word in self.text for word in words)

    @cached_property
    def stored(self) -> list[ast.Name]:
        """The names in it that get a value."""
        return [one for one in self.nodes(ast.Name) if one.ctx.__class__ is ast.Store]

    @cached_property
    def stores(self) -> frozenset[str]:
        """The names that get a value anywhere in it, those of functions' own variables too."""
        names = {one.id for one in self.stored}
        names |= {one.asname or one.name.partition(".")[0] for one in self.nodes(ast.alias)}
        for kind in _NAMED:
            names |= {vars(one)["name"] or "" for one in self.by_type.get(kind, ())}
        return frozenset(names | {one.rest or "" for one in self.nodes(ast.MatchMapping)})


@dataclass(eq=False)
class Source:
    """A notebook, or a Python file as one cell.

    Attributes:
        path: of the file.
        root: of the project, or the working directory.
        cells: of code, in order; without their syntax in another language than Python.
        is_notebook: whether it is one.
        is_own: whether ``root`` is that of a project with the runner, so that its conventions hold.
        language: of the notebook, where that is not Python.
        unreadable: why there is nothing in it to look at.
        committed: tells what git has of the notebook.
        raw: the notebook's document.
    """

    path: Path
    root: Path
    cells: list[Cell]
    is_notebook: bool
    is_own: bool = False
    language: str = ""
    unreadable: str = ""
    committed: Committed | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def imports(self) -> dict[str, str]:
        """What imported names stand for, in any cell: ``np`` is ``numpy``, ``rand`` is ``numpy.random.rand``."""
        found: dict[str, str] = {}
        for cell in self.cells:
            for node in cell.nodes(ast.Import):
                for one in node.names:
                    found[one.asname or one.name.partition(".")[0]] = (
                        one.name if one.asname else one.name.partition(".")[0]
                    )
            for origin in cell.nodes(ast.ImportFrom):
                for one in origin.names:
                    found[one.asname or one.name] = f"{'.' * origin.level}{origin.module or ''}.{one.name}"
        return found

    @cached_property
    def calls(self) -> list[tuple[Cell, ast.Call, str]]:
        """All calls, each with what imports say is called."""
        resolve = self.resolve
        return [(cell, call, resolve(call.func)) for cell in self.cells for call in cell.nodes(ast.Call)]

    @cached_property
    def variables(self) -> list[tuple[Cell, ast.Subscript]]:
        """Where variables of the environment are read or set by their names, as in ``os.environ["HOME"]``."""
        cells = self.cells
        if "os.environ" not in self.imports.values():
            cells = [cell for cell in cells if cell.says(("environ",))]
        return [
            (cell, node)
            for cell in cells
            for node in cell.nodes(ast.Subscript)
            if self.resolve(node.value) == "os.environ"
        ]

    @cached_property
    def values(self) -> dict[str, list[ast.expr | None]]:
        """What names are set to but by imports, in any cell and function; None where that is no expression of its own."""
        found: dict[str, list[ast.expr | None]] = {}
        node: Any
        for cell in self.cells:
            simple = set()
            for node in cell.nodes(ast.Assign, ast.AnnAssign, ast.NamedExpr):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        simple.add(id(target))
                        found.setdefault(target.id, []).append(node.value)
            for node in cell.stored:
                if id(node) not in simple:
                    found.setdefault(node.id, []).append(None)
            for node in cell.nodes(ast.arg):
                found.setdefault(node.arg, []).append(None)
            for node in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
                found.setdefault(node.name, []).append(None)
        return found

    def means(self, node: ast.AST) -> str:
        """Return what ``resolve`` does, if the name has no other meaning anywhere."""
        found = self.resolve(node)
        while isinstance(node, ast.Attribute):
            node = node.value
        return found if found and getattr(node, "id", "") not in self.values else ""

    def resolve(self, node: ast.AST | None) -> str:
        """Return what ``np.random.rand`` stands for, ``numpy.random.rand``; empty where it is nothing imported."""
        first: Any = node
        while first.__class__ is ast.Attribute:
            first = first.value
        if first.__class__ is not ast.Name or not (found := self.imports.get(first.id, "")):
            return ""
        after = ""
        outer: Any = node
        while outer is not first:
            after = f".{outer.attr}{after}"
            outer = outer.value
        return found + after


def read_source(path: Path, root: Path) -> Source:
    """Read a notebook, or a Python file; nothing in it is run.

    IPython is loaded for cells only that are no plain Python.

    Args:
        path: of the file, which is a notebook if its name ends in ``.ipynb``.
        root: of the project, or the working directory.

    Raises:
        DerivaMLRequestError: it cannot be read, or is no notebook.
    """
    is_own = (root / "src" / "deriva_ml").is_dir() and path.absolute().is_relative_to(root.absolute())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that are none, which are not looked for here
        if path.suffix != ".ipynb":
            return Source(path, root, [_plain(read_text(path))], False, is_own)
        document = read_notebook(path)
        language = other_language(document["metadata"])
        raws = [
            (number, raw) for number, raw in enumerate(document["cells"], 1) if raw["cell_type"] == "code"
        ]
        cells = [Cell(n, source_of(raw), "", None, tags=_tags(raw), raw=raw) for n, raw in raws]
        for cell in () if language else cells:
            _parse(cell, cells)
    return Source(path, root, cells, True, is_own, language, raw=document)


def _plain(text: str) -> Cell:
    """Return a Python file as a cell."""
    try:
        return Cell(0, text, text, ast.parse(text))
    except NO_PYTHON as error:
        return Cell(0, text, text, None, _syntax_error(error))


def _tags(raw: dict[str, Any]) -> list[str]:
    return [tag for tag in tags_of(raw) if isinstance(tag, str)]


def _parse(cell: Cell, others: Sequence[Cell]) -> None:
    """Parse a cell as IPython would, among the others of its notebook."""
    cell.magic, cell.python = take_cell_magics(cell.text)
    if cell.magic and cell.magic not in PYTHON_CELLS:
        return
    try:
        cell.tree, cell.python = parse_as_ipython(cell.python, lambda name: _is_variable(name, others))
    except NO_PYTHON as error:
        cell.error = _syntax_error(error)


def _is_variable(name: str, cells: Sequence[Cell]) -> bool:
    """Whether a notebook seems to give a value to a name anywhere."""
    sets = re.compile(
        rf"\b(?:import|as|def|class|for|global)\s+{name}\b|\b{name}\s*(?:=(?!=)|,|:=| in\b)|import.*\b{name}\b"
    )
    return any(sets.search(cell.text) for cell in cells)


def _syntax_error(error: Exception) -> SyntaxError:
    """Return the error as one of syntax, which some of a cell that cannot be parsed are not."""
    return error if isinstance(error, SyntaxError) else SyntaxError(str(error) or type(error).__name__)
