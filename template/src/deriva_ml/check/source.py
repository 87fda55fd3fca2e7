"""A file that is checked: its cells, each parsed and walked once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)


@dataclass
class Cell:
    """A cell of code.

    Attributes:
        number: its place among all cells of the notebook, from 1, as everywhere in the runner; 0 in a Python file.
        text: as it stands in the file.
        python: what IPython makes of it, line by line; as ``text`` where nothing is IPython's own.
        tree: its syntax; None where it is no Python (``%%bash``) or is wrong.
        error: what is wrong with its syntax.
        tags: of the cell.
        raw: the cell in the file, with outputs.
    """

    number: int
    text: str
    python: str
    tree: ast.Module | None
    error: SyntaxError | None = None
    tags: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def by_type(self) -> dict[type[ast.AST], list[ast.AST]]:
        """All nodes of the tree in the order of the text, by type."""
        found: dict[type[ast.AST], list[ast.AST]] = {}
        for node in ast.walk(self.tree) if self.tree else ():
            found.setdefault(type(node), []).append(node)
        return found

    def nodes(self, *types: type[Node]) -> Iterator[Node]:
        """Yield the nodes of these types."""
        for one in types:
            yield from self.by_type.get(one, ())  # type: ignore[misc]


@dataclass
class Source:
    """A notebook, or a Python file as one cell.

    Attributes:
        path: of the file.
        root: of the project, or the working directory.
        cells: of code, in order.
        is_notebook: whether it is one.
        raw: the notebook's document.
    """

    path: Path
    root: Path
    cells: list[Cell]
    is_notebook: bool
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

    def resolve(self, node: ast.AST | None) -> str:
        """Return what ``np.random.rand`` stands for, ``numpy.random.rand``; empty where it is nothing imported."""
        match node:
            case ast.Name(id=name):
                return self.imports.get(name, "")
            case ast.Attribute(value=value, attr=name) if before := self.resolve(value):
                return f"{before}.{name}"
        return ""
