"""What a rule is, and what it finds; each rule registers itself under its code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from deriva_ml.check.source import Cell, Source

PREFIX = "DML"
"""What every rule's code begins with."""


class Problem(NamedTuple):
    """What a rule found.

    Attributes:
        cell: where; a Python file is one cell.
        node: the syntax there, or a line of the cell, counted from 1.
        message: one line: what is wrong, and how to mend it.
    """

    cell: Cell
    node: ast.AST | int
    message: str


class Kind(StrEnum):
    """What a rule reads."""

    notebook = "notebooks"
    document = "notebooks of any language"
    code = "notebooks and modules"
    configuration = "modules of configurations"
    unreadable = "files that cannot be read"


Check = Callable[[Source], Iterator[Problem]]


class Rule(NamedTuple):
    """One guideline that can be checked.

    Attributes:
        code: ``DML`` and three digits.
        name: a few words in kebab case.
        check: yields what is wrong in a file.
        reads: which files it is for.
        own: it is about conventions of a project with the runner, and says nothing of other files.
        advice: what it finds is worth a look, and no reason to fail.
        fixable: ``--fix`` can mend what it finds.
        page: what it protects and how to mend it, in Markdown: the check's docstring.
    """

    code: str
    name: str
    check: Check
    reads: Kind
    own: bool
    advice: bool
    fixable: bool
    page: str


RULES: dict[str, Rule] = {}
"""All rules by code, as their modules are imported."""


def rule(
    code: str,
    name: str,
    *,
    reads: Kind = Kind.notebook,
    own: bool = False,
    advice: bool = False,
    fixable: bool = False,
) -> Callable[[Check], Check]:
    """Register a check as the rule ``code``; its docstring is the rule's page."""

    def register(check: Check) -> Check:
        page = inspect.cleandoc(check.__doc__ or "")
        RULES[code] = Rule(code, name, check, reads, own, advice, fixable, page)
        return check

    return register
