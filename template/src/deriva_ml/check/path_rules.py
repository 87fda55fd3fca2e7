"""Paths in cells: absolute ones, and files that are read without being declared."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from deriva_ml.check.literal_paths import files_read, files_written, takes_path
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.cells import NO_PYTHON
from deriva_ml.notebook.document import TAG

_HOME = r"/(?:home|Users|root|mnt|media|scratch|gpfs|lustre|nfs|Volumes|content|kaggle|workspaces?|data|srv)/[\w.@~-]"
_ABSOLUTE = rf"(?:file://)?{_HOME}|[A-Za-z]:[\\/](?![\\/])[\w. ~-]|\\\\[\w.-]+\\\w|~[\w-]*/\w"
"""Paths of one machine or one person."""
_NO_PATH = r"[<>|*?{}()]|\s{2}|://"
_ROOTED = r"/[\w.@-]+/[\w.@/ -]+\Z"
_EVERYWHERE = r"/(tmp|dev|proc|sys|etc|usr|bin|sbin|lib\w*|run)(/|\Z)"


@rule("DML202", "absolute-path")
def absolute_path(source: Source) -> Iterator[Problem]:
    """A cell names an absolute path, or one in somebody's home.

    **What it protects.** On another machine, or for another person, the path leads nowhere, or to another file. What is
    read there is in no record.

    **How to mend it.** Declare inputs in the configuration (`LocalFile` for a file of the project, an RID for a recorded
    one) and take their paths from `execution.asset_paths`. Register outputs with `execution.asset_file_path()`.

    ```text
    # before                                          # after
    rows = pd.read_csv("/data/eva/rows.csv")          path, = execution.asset_paths["File"]
                                                      rows = pd.read_csv(path)
    ```

    Paths that any machine has (`/tmp`, `/dev/null`, `/usr/bin`), and those in the parameters cell are left alone.
    """
    for cell in source.cells:
        if TAG not in cell.tags and (found := [*_absolute(cell)]):
            shown = _only_shown(cell)
            paths = _path_arguments(cell, source) if any(not sure for _, _, sure in found) else set()
            for node, text, sure in found:
                if id(node) not in shown and (sure or id(node) in paths):
                    message = f"absolute path {text!r}: declare the file, or make the path a parameter"
                    yield Problem(cell, node, message)


def _absolute(cell: Cell) -> Iterator[tuple[ast.Constant, str, bool]]:
    """Yield texts that are absolute paths, or may be: it is sure of those that no other text looks like."""
    for node in cell.nodes(ast.Constant):
        text = node.value
        if (
            text.__class__ is str
            and len(text) > 3
            and (text[0] in "/~\\" or text[1] == ":" or text.startswith("file:"))
        ):
            if "\n" in text or re.search(_NO_PATH, text.removeprefix("file://")):
                continue
            if re.match(_ABSOLUTE, text):
                yield node, text, True
            elif re.match(_ROOTED, text) and not re.match(_EVERYWHERE, text):
                yield node, text, False


def _only_shown(cell: Cell) -> set[int]:
    """Return texts that are no values: documentation, what is printed or displayed, and commands."""
    found: set[int] = set()
    for node in cell.nodes(ast.Expr):
        found.add(id(node.value))
    for call in cell.nodes(ast.Call):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in {
            "print",
            "display",
            "HTML",
            "Markdown",
            "system",
            "getoutput",
            "run_line_magic",
            "run_cell_magic",
            "warn",
        } or (name in {"info", "debug", "warning", "error"}):
            found.update(id(one) for argument in call.args for one in ast.walk(argument))
        elif name.endswith(
            ("Error", "Exception", "compile", "sub", "match", "replace", "startswith", "endswith", "strip")
        ):
            found.update(map(id, call.args))
    for sum_of in cell.nodes(ast.BinOp):  # something is before it
        found.add(id(sum_of.right))
    for text in cell.nodes(ast.JoinedStr):
        found.update(map(id, text.values[1:]))
    for raised in cell.nodes(ast.Raise):
        found.update(id(one) for one in ast.walk(raised))
    for compared in cell.nodes(ast.Compare):
        found.update(map(id, (compared.left, *compared.comparators)))
    return found


def _path_arguments(cell: Cell, source: Source) -> set[int]:
    """Return what calls take as the path of a file."""
    found: set[int] = set()
    for call in cell.nodes(ast.Call):
        if call.args and takes_path(source.resolve(call.func) or getattr(call.func, "id", "")):
            found.add(id(call.args[0]))
    return found


@rule("DML205", "undeclared-file", own=True)
def undeclared(source: Source) -> Iterator[Problem]:
    """A cell reads a file by a literal path that no input declares.

    **What it protects.** The record does not know the file: neither that it was read nor what was in it. In a clone it may
    be missing, or another.

    **How to mend it.** Declare it, and take the path from the execution:

    ```text
    # before                                   # after
    rows = pd.read_csv("../data/rows.csv")     path, = execution.asset_paths["File"]
                                               rows = pd.read_csv(path)
    ```

    ```text
    # src/configs/assets.py
    assets_store([LocalFileConfig(path="data/rows.csv")], name="rows")
    ```

    Files that the notebook wrote itself, or may have unpacked or fetched, are left alone, and so are those that a module in
    `src/configs` names.
    """
    reads = [*files_read(source)]
    if not reads:
        return
    writes = [*files_written(source)]
    for cell, call, text in reads:
        before = [one for place, one in writes if place < (cell.number, call.lineno)]
        if None in before:  # anything
            return
        path = _plain(text)
        known = {_plain(one) for one in before if one}
        if (
            path in known
            or PurePosixPath(path).stem in known
            or any(path.startswith(f"{one}/") for one in known)
        ):
            continue
        if TAG not in cell.tags and not _is_declared(source, path):
            yield Problem(cell, call, f"reads {text!r}, which no input declares: declare it in src/configs")


def _plain(path: str) -> str:
    return str(PurePosixPath(path.replace("\\", "/")))


def _is_declared(source: Source, path: str) -> bool:
    there = (source.path.absolute().parent / path).resolve()
    return any(there == one or one in there.parents for one in _declared(source.root.absolute()))


@lru_cache(maxsize=4)
def _declared(root: Path) -> frozenset[Path]:
    """Return the paths that a project's modules of configurations name, as far as there is something."""
    found = set()
    for module in sorted((root / "src" / "configs").glob("**/*.py")):
        try:
            tree = ast.parse(module.read_bytes())
        except (OSError, *NO_PYTHON):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 300:
                found.add((root / node.value).resolve())
    return frozenset(found - {root.resolve()})
