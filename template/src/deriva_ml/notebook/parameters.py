"""Reads the parameters that a notebook declares, and turns what a person gives into their values."""

from __future__ import annotations

import ast
import re
import tokenize
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from io import StringIO
from itertools import takewhile
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.cells import NO_PYTHON, Names, assignments, dependencies, is_ipythons, literal, parse
from deriva_ml.notebook.declarations import Parameter, Unevaluated, Value
from deriva_ml.notebook.document import TAG, source_of, tags_of
from deriva_ml.table import aligned
from deriva_ml.terminal import suggest

HOW_TO_TAG = (
    f"put the variables in one code cell near the top and tag it '{TAG}' "
    "(JupyterLab: Property Inspector > Cell Tags; VS Code: '...' on the cell > Add Cell Tag)"
)


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
    except NO_PYTHON as error:
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
            default = literal(value, Unevaluated(text))
            comment = _comment_of(statement, comments)
            if before := found.get(name):
                annotation, comment = annotation or before.annotation, comment or before.comment
            used = uses.get(name, frozenset())
            found[name] = Parameter(name, annotation, default, text, comment, used, names)
    return list(found.values())


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """Return line -> (comment, whether the line holds nothing else)."""
    if "#" not in source:
        return {}
    return {
        token.start[0]: (token.string.lstrip("#").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }


def _comment_of(statement: ast.stmt, comments: Mapping[int, tuple[str, bool]]) -> str:
    """Return the comment at the end of a statement or of its first line, else the comment lines right above it."""
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
    flags: Mapping[str, str] | None = None,
) -> dict[str, Value]:
    """Return the values to inject: those given, coerced to the types declared, the last flag over the file.

    A flag's text is taken as it is for text, paths and dates, else as JSON, a Python literal or text: the first
    that fits. A value from a file is converted only where nothing is lost: "3" does for ``int``, 3 not for ``str``.
    Without an annotation the default's type counts; a default None admits None. Names are compared as Python
    compares them (NFKC).

    Args:
        flags: which one gave the text of a parameter, if that was not ``-p``; for messages.

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
        hint = suggest(name, {other: f"'{other}'" for other in known})
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

    named = flags or {}
    return {
        name: coerce(known[name], value, is_text=is_text, flag=named.get(name, "-p"))
        for name, (value, is_text) in given.items()
    }


def computed_from(declared: Sequence[Parameter], given: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the names of parameters that are not given but computed from given ones, and the names of those.

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
    return aligned(rows)
