"""Reads the parameters that a notebook declares, and turns what a person gives into their values."""

from __future__ import annotations

import ast
import json
import re
import tokenize
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.cells import Names, assignments, dependencies, is_ipythons, parse, source_of

TAG = "parameters"  # Papermill's convention: its injected cell follows the first cell with this tag
# nbclient's, for a cell that is meant to raise, and for one that is not to run.
EXPECTS_ERROR, SKIPPED = "raises-exception", "skip-execution"
INJECTED = "injected-parameters"  # and that of the cell itself
HOW_TO_TAG = (
    f"put the variables in one code cell near the top and tag it '{TAG}' "
    "(JupyterLab: Property Inspector > Cell Tags; VS Code: '...' on the cell > Add Cell Tag)"
)


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
        """The annotation, else the type of the default, else ``Any``."""
        if self.annotation is not None:
            return self.annotation
        if isinstance(self.default, Unevaluated):
            return self.names.type_made(self.expression) or "Any"
        return "Any" if self.default is None else type(self.default).__name__

    @property
    def expression(self) -> ast.expr:
        """The default's syntax tree."""
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


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the notebook document in `path` (nbformat 4) as plain dictionaries and lists.

    Raises:
        DerivaMLRequestError: The file is missing, is no notebook, or cannot be read as one.
    """
    if not path.is_file():
        folders = (Path("notebooks"), Path(), path if path.is_dir() else path.parent)
        nearby = {file.name: str(file) for folder in folders for file in sorted(folder.glob("*.ipynb"))}
        raise DerivaMLRequestError(
            f"there is no notebook file {path}{_nearest(path.stem + '.ipynb', nearby)}"
        )
    if path.suffix != ".ipynb":
        raise DerivaMLRequestError(f"{path} is not a notebook: its name does not end in .ipynb")
    text = read_text(path)
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        if conflict := re.search(r"^(<{7}|>{7}) .*$", text, re.MULTILINE):
            line = text.count("\n", 0, conflict.start()) + 1
            raise DerivaMLRequestError(
                f"{path} line {line}: unresolved merge conflict ({conflict[0].strip()}): choose a side with "
                "'git checkout --ours' or '--theirs' and that file, then 'git add' it"
            ) from None
        raise DerivaMLRequestError(f"{path} is not valid JSON: {error}") from None
    match notebook:
        case {"nbformat": int(version)} if version < 4:
            raise DerivaMLRequestError(
                f"{path} has the old notebook format {version}: bring it to format 4 with "
                "'jupyter nbconvert --to notebook --inplace' and that file"
            )
        case {"nbformat": int(version)} if version > 4:
            raise DerivaMLRequestError(
                f"{path} has the notebook format {version}, which is not known here: save it in format 4"
            )
        case {"nbformat": int(), "cells": list(cells)} if not all(map(_is_cell, cells)):
            number = list(map(_is_cell, cells)).index(False) + 1
            raise DerivaMLRequestError(
                f"cell {number} of {path} is damaged:"
                " it lacks a 'cell_type', 'metadata', a 'source' of text or 'outputs'"
            )
        case {"nbformat": int(), "nbformat_minor": int(), "cells": list(), "metadata": dict()}:
            return dict(notebook)
    raise DerivaMLRequestError(
        f"{path} is no notebook:"
        " it lacks a number 'nbformat' or 'nbformat_minor', a list of 'cells' or 'metadata'"
    )


def _is_cell(cell: object) -> bool:
    """Whether a cell has what every tool relies on."""
    match cell:
        case {"cell_type": "code", "metadata": dict(), "source": source, "outputs": list(outputs)}:
            return _is_text(source) and all(isinstance(one, dict) and "output_type" in one for one in outputs)
        case {"cell_type": str(kind), "metadata": dict(), "source": source} if kind != "code":
            return _is_text(source)
    return False


def _is_text(source: object) -> bool:
    """Whether it is a text, or a list of its lines."""
    return all(isinstance(line, str) for line in (source if isinstance(source, list) else [source]))


def read_text(path: Path) -> str:
    """What a file holds.

    Raises:
        DerivaMLRequestError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DerivaMLRequestError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise DerivaMLRequestError(f"{path} cannot be read: {error.strerror}") from None


def _nearest(wanted: str, known: Mapping[str, str]) -> str:
    """Suggest what the name most like `wanted` stands for, whatever its case."""
    import difflib

    folded = {name.casefold(): meant for name, meant in known.items()}
    close = difflib.get_close_matches(wanted.casefold(), folded, n=1)
    return f" (did you mean {folded[close[0]]}?)" if close else ""


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """The tags of a cell; none where its metadata are not as they should be."""
    match cell:
        case {"metadata": {"tags": list(tags)}}:
            return tags
    return []


def parameters_of(notebook: Mapping[str, Any]) -> list[Parameter] | None:
    """Return what the first cell tagged ``parameters`` assigns, in order; None if there is no such cell.

    Only plain and annotated assignments to single names count, as for Papermill; unpackings, calls, imports
    and IPython's ``%`` and ``!`` lines are passed over. A name assigned twice has its last value.

    Raises:
        DerivaMLRequestError: The tagged cell is not a code cell, or is not valid Python.
    """
    tagged = ((n, cell) for n, cell in enumerate(notebook["cells"], start=1) if TAG in tags_of(cell))
    number, cell = next(tagged, (0, None))
    if cell is None:
        return None
    if (kind := cell.get("cell_type")) != "code":
        raise DerivaMLRequestError(
            f"cell {number} is tagged '{TAG}' but is a {kind} cell: move the tag to the code cell"
        )
    try:
        tree, source = parse(source_of(cell), f"cell {number}")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "text", None) or ""
        raise DerivaMLRequestError(
            f"the parameters cell is not valid Python: {error}: {line.strip()}"
        ) from None
    comments = _comments(source)
    stored = [
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and type(node.ctx) is ast.Store
    ]
    code = (source_of(one) for one in notebook["cells"][:number] if one.get("cell_type") == "code")
    names, uses = Names([*code], {*stored}), dependencies(tree)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        for name, annotation, value in assignments(statement):
            if value and is_ipythons(value):
                continue
            if value:
                text = ast.get_source_segment(source, value) or ""
                text = ast.unparse(value) if "\n" in text else text
            else:  # a bare `name: int`; something else in the cell may set it
                text = "..." if stored.count(name) > 1 else ""
            try:
                default = ast.literal_eval(value or "")
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                default = Unevaluated(text)
            comment = _comment_of(statement, comments)
            if before := found.get(name):
                annotation, comment = annotation or before.annotation, comment or before.comment
            used = uses.get(name, frozenset())
            found[name] = Parameter(name, annotation, default, text, comment, used, names)
    return list(found.values())


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """Line -> (comment, whether the line holds nothing else)."""
    return {
        token.start[0]: (token.string.lstrip("#").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }


def _comment_of(statement: ast.stmt, comments: Mapping[int, tuple[str, bool]]) -> str:
    """The comment at the end of a statement or of its first line, else the comment lines right above it."""
    for line in (statement.end_lineno or statement.lineno, statement.lineno):
        if line in comments:
            return comments[line][0]
    above = takewhile(lambda line: line in comments and comments[line][1], range(statement.lineno - 1, 0, -1))
    texts = [comments[line][0] for line in above][::-1]
    # A cell often opens with "# Parameters": the cell's heading, not the first variable's meaning.
    return " ".join(text for text in texts if text.strip(" -=:").casefold() not in ("", TAG))


def resolve(
    declared: Sequence[Parameter] | None,
    from_file: Mapping[str, Any],
    from_flags: Sequence[tuple[str, str]],
) -> dict[str, Value]:
    """Return the values to inject: those given, coerced to the types declared, the last flag over the file.

    A flag's text is taken as it is for text, paths and dates, else as JSON, a Python literal or text: the first
    that fits. A value from a file is converted only where nothing is lost: "3" does for ``int``, 3 not for ``str``.
    Without an annotation the default's type counts; a default None admits None. Names are compared as Python
    compares them (NFKC).

    Raises:
        DerivaMLRequestError: Values are given to a notebook that declares no parameters, a name is unknown, a
            value does not fit, or a parameter without a default is not given.
    """
    normal = partial(unicodedata.normalize, "NFKC")
    given: dict[str, tuple[Any, bool]] = {normal(name): (value, False) for name, value in from_file.items()}
    given |= {normal(name): (text, True) for name, text in from_flags}
    if declared is None and given:
        names = ", ".join(given)
        raise DerivaMLRequestError(f"cannot set {names}: the notebook has no parameters cell; {HOW_TO_TAG}")
    known = {parameter.name: parameter for parameter in declared or ()}
    for name in given.keys() - known.keys():
        hint = _nearest(name, {other: f"'{other}'" for other in known})
        raise DerivaMLRequestError(
            f"unknown parameter {name!r}{hint}; the notebook has: {', '.join(known) or 'none'}"
        )
    for parameter in known.values():
        if parameter.required and parameter.name not in given:
            raise DerivaMLRequestError(
                f"parameter '{parameter.name}' ({parameter.type_name}) has no default: "
                f"give it with -p {parameter.name} VALUE"
            )
    if not given:
        return {}
    from deriva_ml.notebook.coercion import coerce

    return {name: coerce(known[name], value, is_text=is_text) for name, (value, is_text) in given.items()}


def computed_from(declared: Sequence[Parameter], given: Collection[str]) -> tuple[list[str], list[str]]:
    """Names of parameters that are not given and whose defaults are computed from given ones; and those.

    The kernel computes them in the parameters cell, before the values that are given get there.
    """
    derived = [
        one
        for one in declared
        # A function reads the names when it is called, which is later.
        if one.name not in given
        and one.uses.intersection(given)
        and not re.match(r"lambda\b[^=]*:", one.default_source)
    ]
    return [one.name for one in derived], [
        one.name for one in declared if one.name in given and any(one.name in other.uses for other in derived)
    ]


def injected_earlier(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cells that earlier runs injected into a notebook: it is an executed one."""
    return [cell for cell in notebook["cells"] if INJECTED in tags_of(cell) and TAG not in tags_of(cell)]


def describe(parameters: Sequence[Parameter] | None) -> str:
    """Return a table of the parameters for a person: name, type, default and comment, in aligned columns."""
    if parameters is None:
        return f"This notebook has no parameters cell. To give it one, {HOW_TO_TAG}."
    if not parameters:
        return f"The cell tagged '{TAG}' assigns no variables."
    rows = [("name", "type", "default", "comment")]
    for p in parameters:
        default = "(required)" if p.required else p.default_source
        shown = default if len(default) <= 60 else f"{default[:57]}..."
        rows.append((p.name, p.type_name, shown, p.comment))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows)
