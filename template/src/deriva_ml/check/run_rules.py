"""Rules about the run that a notebook starts and ends: DML501 to DML505."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from deriva_ml.check.parameters_cell import parameters_cell
from deriva_ml.check.registered import ANY, Registered, also, is_plainly_registered, registered, text_of
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.calls import ARGUMENTS
from deriva_ml.notebook.document import EXPECTS_ERROR
from deriva_ml.terminal import suggest

_STARTS = re.compile(r"\b(?:run_notebook|create_execution)\b")
_COMMITS = re.compile(r"\b(?:commit_output_assets|upload_execution_outputs)\b")
_REGISTER = re.compile(r"\b(?:notebook_config|hydra_zen)\b")
_RUNS_FILE = re.compile(r"%run\b|\brunpy\b|\bexec\(")


@rule("DML501", "run-notebook-missing", own=True)
def run_notebook_missing(source: Source) -> Iterator[Problem]:
    """The notebook never calls `run_notebook()`.

    **What it protects.** That call fetches the inputs that the configuration declares, and makes an execution to which
    outputs belong. Without it the record has neither.

    **How to mend it.** Call it in the cell below the parameters. A notebook that is not meant to be recorded can be left
    out: `per-file-ignores` in `[tool.deriva-ml.check]`, or `# noqa: DML501` alone on the first line of its first cell of
    code.

    ```python
    from deriva_ml.execution import run_notebook

    ml, execution, config = run_notebook()
    ```
    """
    cells = [cell for cell in source.cells if cell.text.strip()]
    if cells and not _calls_run_notebook(source) and not _does(source, _STARTS):
        yield Problem(
            cells[0], 1, "the notebook never calls run_notebook(): call it in the cell below the parameters"
        )


@rule("DML502", "run-notebook-twice", own=True)
def run_notebook_twice(source: Source) -> Iterator[Problem]:
    """`run_notebook()` is called a second time.

    **What it protects.** Each call starts an execution of its own: what the notebook makes is divided among them, and
    the first is left without an end.

    **How to mend it.** Call it once, and keep what it returns.

    ```python
    # Before: run_notebook("a") in one cell, run_notebook("b") in another
    # After:
    ml, execution, config = run_notebook("a")
    ```
    """
    if len(_calls_run_notebook(source)) < 2:
        return
    calls = [
        (cell, call)
        for cell in _with_calls(source)
        if cell.tree and EXPECTS_ERROR not in cell.tags
        for call in _surely_called(cell.tree.body)
        if _is_run_notebook(source, call)
    ]
    for cell, call in calls[1:]:
        yield Problem(
            cell, call, f"run_notebook() is called in cell {calls[0][0].number} already: call it once"
        )


@rule("DML503", "run-notebook-in-parameters-cell", own=True)
def run_notebook_in_parameters_cell(source: Source) -> Iterator[Problem]:
    """`run_notebook()` is called in the parameters cell.

    **What it protects.** The values of a run are put into a cell below this one. A call in it does not see them, and the
    record has the defaults.

    **How to mend it.** Move the call into the next cell.

    ```python
    # Before, all in one cell. After: the second line in a cell of its own, below.
    limit: int = 10
    ml, execution, config = run_notebook()
    ```
    """
    cell = parameters_cell(source)
    for other, call in _calls_run_notebook(source):
        if other is cell:
            yield Problem(
                other, call, "run_notebook() is called in the parameters cell: call it in the cell below"
            )


@rule("DML504", "run-notebook-unknown-configuration", own=True)
def run_notebook_unknown_configuration(source: Source) -> Iterator[Problem]:
    """`run_notebook()` is called with the name of a configuration that no module registers.

    **What it protects.** Such a run is refused before it begins. Without a name, the configuration is the one that has
    the name of the notebook's file. Where a module registers under a name that its text does not say, nothing is found.

    **How to mend it.** Register the configuration in a module of `src/configs`, or correct the name.

    ```python
    # In src/configs/my_analysis.py
    notebook_config("my_analysis", defaults={"assets": "my_assets"})
    # In the notebook
    ml, execution, config = run_notebook("my_analysis")
    ```
    """
    calls = [
        (cell, call)
        for cell, call in _calls_run_notebook(source)
        if (asked := _names_asked(source, call)) and not is_plainly_registered(source, asked)
    ]
    if not calls or not (source.root / "src" / "configs").is_dir():
        return
    known = registered(source)
    if not any(_is_unknown(known, _names_asked(source, call)) for _, call in calls) or _does(
        source, _REGISTER, ()
    ):
        return
    known = also(known, source)
    for cell, call in calls:
        asked = _names_asked(source, call)
        if _is_unknown(known, asked):
            names = {name: name for name in known.names("")}
            yield Problem(
                cell,
                call,
                f"no configuration is named '{asked[0]}'{suggest(asked[0], names)}: register it with"
                f' notebook_config("{asked[0]}") in src/configs',
            )


def _is_unknown(known: Registered, asked: Sequence[str]) -> bool:
    """Whether no configuration has one of these names, which file systems may spell in several ways."""
    normal = partial(unicodedata.normalize, "NFC")
    names = {*map(normal, known.names(""))}
    return bool(asked) and not known.unsure & {"", ANY} and names.isdisjoint(map(normal, asked))


@rule("DML505", "outputs-never-committed", own=True)
def outputs_never_committed(source: Source) -> Iterator[Problem]:
    """The notebook calls `run_notebook()`, and never `commit_output_assets()`.

    **What it protects.** In JupyterLab and VS Code that call ends the execution. Without it, the next command in the
    project closes it as aborted. (A run by `deriva-ml-run-notebook` commits at its end what the notebook did not.)

    **How to mend it.** Commit in the last cell.

    ```python
    execution.commit_output_assets()
    ```
    """
    calls = _calls_run_notebook(source)
    if calls and not _does(source, _COMMITS):
        cell, call = calls[0]
        yield Problem(
            cell,
            call,
            "what this starts is never committed: call execution.commit_output_assets() in the last cell",
        )


def _with_calls(source: Source) -> list[Cell]:
    """Return the cells whose text has a name of ``run_notebook``."""
    names = {"run_notebook", *(name for name, meant in source.imports.items() if "run_notebook" in meant)}
    return [cell for cell in source.cells if cell.says(names)]


@lru_cache(maxsize=1)
def _calls_run_notebook(source: Source) -> list[tuple[Cell, ast.Call]]:
    return [
        (cell, call)
        for cell in _with_calls(source)
        for call in cell.nodes(ast.Call)
        if _is_run_notebook(source, call)
    ]


def _is_run_notebook(source: Source, call: ast.Call) -> bool:
    meant = source.resolve(call.func)
    if meant:
        return meant.startswith("deriva_ml.") and meant.endswith(".run_notebook")
    return isinstance(call.func, ast.Name) and call.func.id == "run_notebook"


def _surely_called(body: Sequence[ast.stmt]) -> Iterator[ast.Call]:
    """Yield the calls of statements that are executed whenever their cell is, once."""
    for statement in body:
        match statement:
            case (
                ast.FunctionDef()
                | ast.AsyncFunctionDef()
                | ast.ClassDef()
                | ast.If()
                | ast.For()
                | ast.AsyncFor()
                | ast.While()
                | ast.Match()
            ):
                continue
            case ast.Try(body=inner, finalbody=last):
                yield from _surely_called([*inner, *last])
            case ast.With(items=items, body=inner) | ast.AsyncWith(items=items, body=inner):
                yield from (call for item in items for call in _calls(item))
                yield from _surely_called(inner)
            case _:
                yield from _calls(statement)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in an expression that are made with it."""
    if isinstance(node, ast.Lambda | ast.IfExp | ast.BoolOp):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)


def _names_asked(source: Source, call: ast.Call) -> list[str]:
    """Return the names of which a configuration has to have one; none where the text does not tell."""
    keywords = {one.arg: one.value for one in call.keywords}
    if None in keywords or any(isinstance(one, ast.Starred) for one in call.args):
        return []
    if "config_package" in keywords or len(call.args) > ARGUMENTS.index("config_package"):
        return []  # it may be anywhere
    given = [*call.args[:1], *(keywords[key] for key in ("name", "config_name") if key in keywords)]
    for one in given:
        match one:
            case ast.Constant(value=str(name)) if name:
                return [name]
            case ast.Constant(value=None | ""):
                continue
            case _:
                return []
    stem = unicodedata.normalize("NFC", source.path.stem)
    return [stem.replace("-", "_"), stem, re.sub(r"\W", "_", stem)]


# What a notebook's other files do


def _does(source: Source, what: re.Pattern[str], cells: Sequence[Cell] | None = None) -> bool:
    """Whether the notebook's cells, or files beside it or of the project that it takes in, have one of these names."""
    for cell in source.cells if cells is None else cells:
        if what.search(cell.text) and (cell.tree is None or any(map(what.fullmatch, _words(cell)))):
            return True
    if any(_RUNS_FILE.search(cell.text) for cell in source.cells):
        return True
    tops = {meant.lstrip(".").partition(".")[0] for meant in source.imports.values()} - {"deriva_ml", ""}
    folders = {source.path.parent, source.root} | ({source.root / "src"} if cells is None else set())
    return any(
        what.search(text_of(path)) for folder in folders for top in tops for path in _modules(folder, top)
    )


def _words(cell: Cell) -> Iterator[str]:
    """Yield the names that a cell's code uses, and texts that may be used as one."""
    yield from (node.id for node in cell.nodes(ast.Name))
    yield from (node.attr for node in cell.nodes(ast.Attribute))
    yield from (node.value for node in cell.nodes(ast.Constant) if isinstance(node.value, str))


def _modules(folder: Path, top: str) -> Iterator[Path]:
    yield from (folder / top).rglob("*.py") if (folder / top / "__init__.py").exists() else ()
    if (folder / f"{top}.py").is_file():
        yield folder / f"{top}.py"
