"""Tells from a notebook's text how it calls ``run_notebook()``, without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.notebook.cells import literal, tree_of
from deriva_ml.notebook.document import EXPECTS_ERROR, source_of, tags_of

ARGUMENTS = (
    "name",
    "overrides",
    "workflow_name",
    "workflow_type",
    "ml_class",
    "config_package",
    "config_name",
)
"""The arguments of ``run_notebook`` in order."""

CHANGES = re.compile(
    r"hydra|omegaconf|store|_config\b|load_configs|\b(exec|eval|runpy|import_module|__import__|get_ipython)\b"
    r"|sys\.path|environ|env\b|putenv|chdir|(?m:^\s*%(run|cd)\b)",
    re.IGNORECASE,
)
"""Words of cells that may change what the configuration is composed from: entries, places and variables."""


@dataclass(frozen=True)
class Call:
    """What ``run_notebook`` is called with, as far as a notebook's text tells.

    Attributes:
        name: of the configuration; None for that of the notebook's file.
        overrides: Hydra's.
        package: where the configuration modules are.
        imports: modules that are imported before, each with what is taken from it.
        sure: nothing before seems to change what the configuration is composed from.
    """

    name: str | None = None
    overrides: list[str] = field(default_factory=list)
    package: str = "configs"
    imports: list[tuple[str, list[str]]] = field(default_factory=list)
    sure: bool = True


def call_of(notebook: Mapping[str, Any]) -> Call | None:
    """Return the notebook's only call of ``run_notebook``.

    None where the text does not tell: there is no such call or more than one, the call is a part of something else
    (such as ``try``), or its arguments are no literals.
    """
    found: ast.Call | None = None
    imports: list[tuple[str, list[str]]] = []
    sure = True
    for cell in notebook["cells"]:
        source = source_of(cell)
        if cell["cell_type"] != "code":
            continue
        sure = sure and not (found is None and CHANGES.search(source))
        tree = tree_of(source)
        if tree is None:
            if "run_notebook" in source:
                return None
            continue
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_it(node.func)]
        alone = [one for one in tree.body if isinstance(one, ast.Assign | ast.Expr) and one.value in calls]
        if calls and (found or len(calls) > 1 or not alone or EXPECTS_ERROR in tags_of(cell)):
            return None
        if found is None:
            imports += _imports(tree)
        found = found or next(iter(calls), None)
    return _read(found, imports, sure) if found else None


def _is_it(function: ast.expr) -> bool:
    return getattr(function, "id", getattr(function, "attr", "")) == "run_notebook"


def _imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, []) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [name.name for name in node.names]


def _read(call: ast.Call, imports: list[tuple[str, list[str]]], sure: bool) -> Call | None:
    nodes = dict(zip(ARGUMENTS, call.args, strict=False))
    nodes |= {str(keyword.arg): keyword.value for keyword in call.keywords}
    known = ("name", "config_name", "overrides", "config_package")
    given = {name: literal(nodes[name], ...) for name in known if name in nodes}
    name = given.get("name") or given.get("config_name")
    overrides, package = given.get("overrides") or [], given.get("config_package", "configs")
    if "None" in nodes or ... in given.values() or not isinstance(overrides, list | tuple):
        return None  # **arguments, what only the kernel knows, or what will be refused
    if not all(isinstance(one, str) for one in (name or "", package, *overrides)):
        return None
    return Call(name, list(overrides), package, imports, sure)
