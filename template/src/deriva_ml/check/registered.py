"""What a project's modules register, as far as their text says it: entries by group, and notebooks' configurations."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

from deriva_ml.check.committed import Committed
from deriva_ml.check.source import Cell, Source, read_source
from deriva_ml.exceptions import DerivaMLRequestError

STORE = "hydra_zen.store"
ANY = "*"
"""In place of a group: what is registered may be in any."""
_BY_ITSELF = frozenset({"deriva_base", "deriva_model"})
"""What the runner stores beside the groups."""
_LOADERS = frozenset({"hydra_zen", "hydra", "omegaconf", "deriva_ml"})
_REGISTERS = r"(?i)\b(?:conf\w*|stores?|experiments?)\b|hydra"
"""What is in the name of somebody else's module that may register something."""
_UNTOLD = r"\b(?:exec|eval|importlib|__import__|globals|ConfigStore|searchpath)\b"

_PLAIN_CALL = re.compile(r"""\bnotebook_config\(\s*(?:name\s*=\s*)?["']([^"'\n]+)["']""")
_TAKES_PART = r"\b(?:configs|hydra_zen|notebook_config|ConfigStore)\b"
"""What is in the text of any module that registers something."""

Keywords = dict[str, ast.expr]


@dataclass
class Registered:
    """What is registered, and where more may be than the text says.

    Attributes:
        entries: group and name of each; of those outside of any group, an empty group.
        unsure: groups that may have entries of other names, ``ANY`` for all; an empty one for the entries in none.
    """

    entries: set[tuple[str, str]] = field(default_factory=lambda: {("", name) for name in _BY_ITSELF})
    unsure: set[str] = field(default_factory=set)

    def lacks(self, group: str, name: str) -> bool:
        """Whether nothing is registered under this name in this group, for sure."""
        return not self.unsure & {group, ANY} and not {(group, name), (ANY, name)} & self.entries

    def names(self, group: str) -> set[str]:
        """Return the names of the entries of a group."""
        return {name for one, name in self.entries if one == group}

    @property
    def groups(self) -> set[str]:
        """The groups that have entries, or may have."""
        return {group for group, _ in self.entries} | self.unsure


_known: WeakKeyDictionary[Committed, Registered] = WeakKeyDictionary()
"""What was found, by what stands for one check of a project's files."""


def registered(asking: Source) -> Registered:
    """Return what the modules in a project's ``src`` register, but for the runner's own."""
    if asking.committed and asking.committed in _known:
        return _known[asking.committed]
    found = Registered()
    modules: list[tuple[str, Source]] = []
    configs = asking.root / "src" / "configs"
    for path in _files(asking.root / "src"):
        if not path.is_relative_to(configs) and not re.search(_TAKES_PART, text_of(path)):
            continue
        name = ".".join(path.relative_to(asking.root / "src").with_suffix("").parts)
        try:
            modules.append((name, read_source(path, asking.root)))
        except DerivaMLRequestError:
            found.unsure.add(ANY)
    if any(cell.error for _, source in modules for cell in source.cells):
        found.unsure.add(ANY)
    aliases = _aliases(modules)
    for name, source in modules:
        _scan(found, name, source, aliases)
    if asking.committed:
        _known[asking.committed] = found
    return found


def is_plainly_registered(asking: Source, names: Sequence[str]) -> bool:
    """Whether the text of a configuration has ``notebook_config("NAME"`` for one of these names; no syntax is read."""
    return not _plainly_registered(asking.root, asking.committed or object()).isdisjoint(names)


@lru_cache(maxsize=1)
def _plainly_registered(root: Path, check: object) -> frozenset[str]:
    """Return the names for which the configurations' text has ``notebook_config("NAME"``; it is read once a check."""
    text = "\n".join(text_of(path) for path in _files(root / "src" / "configs"))
    return frozenset(
        found[1]
        for found in _PLAIN_CALL.finditer(text)
        if "#" not in text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    )


def also(found: Registered, source: Source) -> Registered:
    """Return what is registered together with what a notebook registers itself."""
    whole = Registered({*found.entries}, {*found.unsure})
    _scan(whole, "", source, _aliases([("", source)]))
    return whole


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name != "__pycache__" and Path(parent, name) != folder / "deriva_ml"
        )
        yield from (Path(parent, name) for name in sorted(names) if name.endswith(".py"))


def text_of(path: Path) -> str:
    """Return what a module says, as far as it can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def qualified(module: str, source: Source, node: ast.AST) -> str:
    """Return what a name stands for, with the module that it is from; names of the module itself are so, too."""
    meant = source.resolve(node)
    if meant.startswith("."):
        level = len(meant) - len(meant.lstrip("."))
        base = module.split(".")
        if source.path.name == "__init__.py":
            base = base[:-1] if base[-1] == "__init__" else base
            level -= 1
        return ".".join([*base[: len(base) - level], meant.lstrip(".")])
    return meant or (f"{module}.{node.id}" if isinstance(node, ast.Name) else "")


def _aliases(modules: list[tuple[str, Source]]) -> dict[str, Keywords]:
    """Return the names that stand for a store, each with the arguments that are bound to it."""
    found: dict[str, Keywords] = {STORE: {}}
    before = -1
    while before != len(found):
        before = len(found)
        for module, source in modules:
            for cell in source.cells:
                for targets, value in assigned(cell):
                    if (keywords := _store(module, source, value, found)) is not None:
                        for target in targets:
                            if isinstance(target, ast.Name):
                                found.setdefault(qualified(module, source, target), keywords)
    return found


def assigned(cell: Cell) -> Iterator[tuple[list[ast.expr], ast.expr | None]]:
    """Yield targets and value of a cell's assignments."""
    yield from ((node.targets, node.value) for node in cell.nodes(ast.Assign))
    for node in cell.nodes(ast.AnnAssign):
        targets: list[ast.expr] = [node.target]
        yield targets, node.value


def _store(
    module: str, source: Source, node: ast.AST | None, aliases: dict[str, Keywords]
) -> Keywords | None:
    """Return the arguments that are bound to a store, if an expression is one; None if it is not."""
    if isinstance(node, ast.Name | ast.Attribute):
        return aliases.get(qualified(module, source, node))
    if isinstance(node, ast.Call):
        if source.resolve(node.func) == "hydra_zen.ZenStore":
            return {}
        before = _store(module, source, node.func, aliases)
        if before is not None and not node.args:
            return before | _keywords(node)
    return None


def _keywords(call: ast.Call) -> Keywords:
    """Return the arguments by keyword; those by ``**`` under an empty one."""
    return {one.arg or "": one.value for one in call.keywords}


def _scan(found: Registered, module: str, source: Source, aliases: dict[str, Keywords]) -> None:
    """Add what a module registers, or a notebook."""
    for cell in source.cells:
        if (
            re.search(_UNTOLD, cell.text)
            if module.startswith("configs")
            else cell.tree is None and "store" in cell.text
        ):
            found.unsure.add(ANY)
        for call in cell.nodes(ast.Call):
            meant = source.resolve(call.func)
            if meant.startswith("deriva_ml.") and meant.endswith(".notebook_config"):
                _add(found, "", call.args[0] if call.args else _keywords(call).get("name"))
            elif meant.startswith("deriva_ml.") and meant.endswith(".get_notebook_configuration"):
                _add(found, "", [*call.args, None, None][1] or _keywords(call).get("config_name"))
            elif call.args and (bound := _store(module, source, call.func, aliases)) is not None:
                _add_stored(found, bound | _keywords(call))
        for decorator, name in _decorated(cell):
            if (bound := _store(module, source, decorator, aliases)) is not None:
                _add_stored(found, {"name": ast.Constant(name)} | bound)
        if _hands_on(module, source, cell, aliases):
            found.unsure.add(ANY)
    for meant in _imported(source):
        if meant.endswith(".*") and (module or meant.startswith(("hydra_zen.", "deriva_ml."))):
            found.unsure.add(ANY)
        elif re.search(_REGISTERS, meant) and _is_others(source.root, meant.partition(".")[0]):
            found.unsure.add(ANY)


def _imported(source: Source) -> Iterator[str]:
    """Yield the modules that are imported, and what is taken from them, with their names."""
    for cell in source.cells:
        yield from (one.name for node in cell.nodes(ast.Import) for one in node.names)
        for node in cell.nodes(ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{one.name}" for one in node.names)


def _decorated(cell: Cell) -> Iterator[tuple[ast.expr, str]]:
    """Yield the decorators of a cell's functions and classes, with the names of these."""
    for function in cell.nodes(ast.FunctionDef):
        yield from ((one, function.name) for one in function.decorator_list)
    for kind in cell.nodes(ast.ClassDef):
        yield from ((one, kind.name) for one in kind.decorator_list)


def _hands_on(module: str, source: Source, cell: Cell, aliases: dict[str, Keywords]) -> bool:
    """Whether a store, or what registers, is used other than by a call or under another name."""
    called = {id(call.func) for call in cell.nodes(ast.Call)}
    told = called | {id(node.value) for node in cell.nodes(ast.Attribute)}
    told |= {id(decorator) for decorator, _ in _decorated(cell)}
    told |= {id(node.value) for node in cell.nodes(ast.Expr)}
    for targets, value in assigned(cell):
        told |= {id(value)} if all(isinstance(one, ast.Name) for one in targets) else set()
    for name in cell.nodes(ast.Name):
        meant = qualified(module, source, name) if isinstance(name.ctx, ast.Load) else ""
        if meant in aliases and id(name) not in told:
            return True
        if meant.startswith("deriva_ml.") and meant.endswith(".notebook_config") and id(name) not in called:
            return True
    return any(
        id(call) not in told and _store(module, source, call, aliases) is not None
        for call in cell.nodes(ast.Call)
        if not call.args
    )


def _is_others(root: Path, top: str) -> bool:
    """Whether a package is neither Python's, the project's, nor one of those that are known here."""
    if not top or top in _LOADERS or top in sys.stdlib_module_names:
        return False
    return not (root / "src" / top).exists() and not (root / "src" / f"{top}.py").exists()


def _add_stored(found: Registered, keywords: Keywords) -> None:
    """Add an entry that is stored with these arguments."""
    if "" in keywords:
        found.unsure.add(ANY)
        return
    match keywords.get("group"):
        case None | ast.Constant(value=None):
            group = ""
        case ast.Constant(value=str(text)):
            group = text
        case _:
            group = ANY
    _add(found, group, keywords.get("name"))


def _add(found: Registered, group: str, name: ast.expr | None) -> None:
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        found.entries.add((group, name.value))
    else:
        found.unsure.add(group)


def stored_in(source: Source, call: ast.Call) -> str:
    """Return the group in which a call stores an entry, as far as its own module says; empty if it does not."""
    bound = _store("", source, call.func, _aliases([("", source)])) if call.args else None
    group = (bound | _keywords(call)).get("group") if bound is not None else None
    return group.value if isinstance(group, ast.Constant) and isinstance(group.value, str) else ""
