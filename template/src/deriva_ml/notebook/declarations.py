"""One parameter as a notebook declares it, and the value that a run is given for it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.notebook.cells import Names


@dataclass(frozen=True)
class Unevaluated:
    """The source of a default that is an expression, known to the kernel only; empty for no default."""

    source: str


@dataclass(frozen=True)
class Parameter:
    """One variable that the parameters cell assigns.

    Attributes:
        name: The variable's name.
        annotation: Its type annotation as written, or None.
        default: The literal it is assigned, or an `Unevaluated` expression.
        default_source: The right-hand side as written.
        comment: The trailing comment, else the comment lines right above, without ``#``.
        uses: The names that its default is computed from, also by way of others.
        names: What names in its annotation and default stand for.
    """

    name: str
    annotation: str | None
    default: Any
    default_source: str
    comment: str
    uses: frozenset[str] = frozenset()
    names: Names = field(default_factory=Names, compare=False, repr=False)

    @property
    def required(self) -> bool:
        """True if the cell only annotates the name, so that a run must be given a value."""
        return isinstance(self.default, Unevaluated) and not self.default.source

    @property
    def type_name(self) -> str:
        """Return the annotation, else the type of the default, else ``Any``."""
        if self.annotation is not None:
            return self.annotation
        if isinstance(self.default, Unevaluated):
            return self.names.type_made(self.expression) or "Any"
        return "Any" if self.default is None else type(self.default).__name__

    @property
    def expression(self) -> ast.expr:
        """Return the default's syntax tree."""
        return ast.parse(f"({self.default_source or '...'}\n)", mode="eval").body


@dataclass(frozen=True)
class Value:
    """What a run is given for a parameter.

    Attributes:
        source: The Python that makes it, in one line, as the injected cell has it.
        plain: The same as JSON types, for records.
    """

    source: str
    plain: Any
