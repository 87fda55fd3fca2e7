"""Rules about the modules of configurations: DML701 and DML702."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from deriva_ml.check.registered import Registered, assigned, registered, stored_in
from deriva_ml.check.rule import Kind, Problem, rule
from deriva_ml.check.source import Source
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git
from deriva_ml.terminal import suggest

_OVERRIDE = r"\+{0,2}/?(?P<group>[\w/-]+)(?:@[\w.]+)?=(?P<names>[\w./-]+(?:\s*,\s*[\w./-]+)*)"
_NO_NAME = frozenset({"", "???", "null", "_self_"})


@rule("DML701", "input-file-missing", reads=Kind.configuration, own=True)
def input_file_missing(source: Source) -> Iterator[Problem]:
    """An entry names a file that does not exist.

    **What it protects.** A run that chooses the entry is refused, perhaps on another machine and months later. Paths are
    relative to the project's root. A path in a folder that is not here, and that git ignores or that lies outside of the
    project, is not found: the folder may be on the machine that runs.

    **How to mend it.** Correct the path, or add the file. What is too large for git is better recorded once, and read by
    its RID.

    ```python
    # Before, where the file is data/measurements.csv
    assets_store([LocalFileConfig(path="measurements.csv")], name="measured")
    # After
    assets_store([LocalFileConfig(path="data/measurements.csv")], name="measured")
    ```
    """
    for node, text in _paths(source):
        path = source.root / Path(text).expanduser()
        if path.is_file() or (not path.parent.is_dir() and _may_be_elsewhere(source.root, path)):
            continue
        what = "is a folder, and no file" if path.is_dir() else "does not exist"
        shown = text if path.is_relative_to(source.root) else str(path)
        near = (
            {one.name: one.name for one in path.parent.iterdir() if one.is_file()}
            if path.parent.is_dir()
            else {}
        )
        yield Problem(
            source.cells[0],
            node,
            f"the input file {shown} {what}{suggest(path.name, near)}: correct the path, or add the file",
        )


@rule("DML702", "entry-not-registered", reads=Kind.configuration, own=True)
def entry_not_registered(source: Source) -> Iterator[Problem]:
    """A defaults list or an override names an entry that no module registers.

    **What it protects.** Hydra refuses such a configuration only when it is composed, which for an experiment or a sweep
    is when somebody runs it again. Where a module registers entries under names that its text does not say, in a loop
    for instance, nothing is found.

    **How to mend it.** Correct the name, or register the entry.

    ```python
    # Before, where src/configs/datasets.py stores "training_data"
    notebook_config("my_analysis", defaults={"datasets": "trainingdata"})
    # After
    notebook_config("my_analysis", defaults={"datasets": "training_data"})
    ```
    """
    named = [*_named(source)]
    known = registered(source) if named else Registered()
    for node, group, name in named:
        if _is_missing(known, group, name):
            there = {one: one for one in known.names(group)}
            entry = f"{group}={name}" if group else f"'{name}'"
            yield Problem(
                source.cells[0],
                node,
                f"no module registers {entry}{suggest(name, there)}: correct the name, or store such an entry",
            )


# Files


def _paths(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Yield the literal paths of local files, and where they stand."""
    for cell in source.cells:
        for call in cell.nodes(ast.Call):
            meant = source.resolve(call.func)
            if meant.startswith("deriva_ml.") and meant.rpartition(".")[2] in {
                "LocalFile",
                "LocalFileConfig",
            }:
                given = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "path")]
                yield from ((one, path) for one in given if (path := _path(source, one)))
            if stored_in(source, call) == "assets":
                for item in ast.walk(call):
                    keys = item.keys if isinstance(item, ast.Dict) else []
                    for key, value in zip(
                        keys, item.values if isinstance(item, ast.Dict) else [], strict=True
                    ):
                        if isinstance(key, ast.Constant) and key.value == "path":
                            yield from ((value, path) for path in [_path(source, value)] if path)


def _path(source: Source, node: ast.expr) -> str:
    """Return a literal path, also one that is made a ``Path``; empty for another expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text if "${" not in text and "\0" not in text else ""
        case ast.Call(func=function, args=[one], keywords=[]) if source.resolve(function) in {
            "pathlib.Path",
            "pathlib.PurePath",
        }:
            return _path(source, one)
        case ast.Call(func=ast.Name(id="str"), args=[ast.Call() as one], keywords=[]):
            return _path(source, one)
    return ""


def _may_be_elsewhere(root: Path, path: Path) -> bool:
    """Whether a folder that is not here may be on another machine: outside of the project, or not in git."""
    if not path.resolve().is_relative_to(root.resolve()):
        return True
    try:
        return bool(git(root, "check-ignore", "--", str(path), check=False))
    except DerivaMLRequestError:  # there is no git
        return True


# Entries


def _is_missing(known: Registered, group: str, name: str) -> bool:
    """Whether no module registers an entry; a group may be named without the groups that it is in."""
    if not group:  # it may be in the same group, which is not told
        return not known.unsure and not any(name == one for _, one in known.entries)
    inner = [one for one in known.groups if one.endswith(f"/{group}")]
    return all(known.lacks(one, name) for one in (group, *inner))


def _named(source: Source) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield the literal names of entries, with their groups, and where they stand."""
    for cell in source.cells:
        for call in cell.nodes(ast.Call):
            keywords = {one.arg: one.value for one in call.keywords}
            yield from _in_defaults(source, keywords.get("hydra_defaults"))
            meant = source.resolve(call.func)
            if not meant.startswith("deriva_ml."):
                continue
            if meant.endswith(".notebook_config"):
                yield from _in_defaults(source, keywords.get("defaults") or [*call.args, *[None] * 3][2])
            elif meant.endswith(".multirun_config"):
                given = keywords.get("overrides") or [*call.args, None, None][1]
                yield from _in_overrides(source, given)


def _in_defaults(source: Source, node: ast.expr | None) -> Iterator[tuple[ast.AST, str, str]]:
    match _meaning(source, node):
        case ast.List(elts=items) | ast.Tuple(elts=items):
            for item in items:
                yield from _in_defaults(source, item)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _in_defaults(source, left)
            yield from _in_defaults(source, right)
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield from _in_group(key.value, value)
        case ast.Constant(value=str(text)) as constant if _is_name(text) and isinstance(node, ast.Constant):
            group, _, name = text.removeprefix("/").partition("@")[0].rpartition("/")
            if not group.startswith("hydra"):
                yield constant, group, name


def _in_group(key: str, value: ast.expr) -> Iterator[tuple[ast.AST, str, str]]:
    words = key.partition("@")[0].split()
    group = words[-1].strip("/") if words else ""
    if not group or "optional" in words[:-1] or group.split("/")[0] == "hydra" or "$" in group:
        return
    for one in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and _is_name(one.value):
            inner, _, name = one.value.rpartition("/")
            yield one, "/".join(filter(None, (group, inner))), name


def _in_overrides(source: Source, node: ast.expr | None) -> Iterator[tuple[ast.AST, str, str]]:
    items = _meaning(source, node)
    groups = registered(source).groups
    for one in items.elts if isinstance(items, ast.List | ast.Tuple) else ():
        text = one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else ""
        found = re.fullmatch(_OVERRIDE, text)
        # What is no group is a setting.
        if found and found["group"] in groups and found["group"].split("/")[0] != "hydra":
            for name in re.split(r"\s*,\s*", found["names"]):
                yield from ((one, found["group"], name) for _ in [0] if _is_name(name))


def _is_name(text: str) -> bool:
    return text not in _NO_NAME and "${" not in text


def _meaning(source: Source, node: ast.expr | None) -> ast.expr | None:
    """Return the expression that a name stands for, if it gets it once, and nothing but that; others as they are."""
    if not isinstance(node, ast.Name):
        return node
    names = [one for cell in source.cells for one in cell.nodes(ast.Name) if one.id == node.id]
    given = [
        value
        for cell in source.cells
        for targets, value in assigned(cell)
        if any(target is name for name in names for target in targets)
    ]
    return given[0] if len(given) == 1 == sum(isinstance(one.ctx, ast.Store) for one in names) else None
