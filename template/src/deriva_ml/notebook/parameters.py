"""Reads the parameters that a notebook declares, and turns what a person gives into their values."""

from __future__ import annotations

import ast
import json
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError

TAG = "parameters"  # Papermill's convention: its injected cell follows the first cell with this tag
HOW_TO_TAG = (
    f"put the variables in one code cell near the top and tag it '{TAG}' "
    "(JupyterLab: Property Inspector > Cell Tags; VS Code: '...' on the cell > Add Cell Tag)"
)
_IPYTHON_LINE = re.compile(r"^(\s*)(?:\w+\s*=\s*)?[%!].*")
_CONFLICT_LINE = re.compile(r"^(?:<{7}|>{7}) .*$", re.MULTILINE)


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
    """

    name: str
    annotation: str | None
    default: Any
    default_source: str
    comment: str

    @property
    def required(self) -> bool:
        """True if the cell only annotates the name, so that a run must be given a value."""
        return isinstance(self.default, Unevaluated) and not self.default.source

    @property
    def type_name(self) -> str:
        """The annotation, else the type of the default, else ``Any``."""
        if self.annotation is not None:
            return self.annotation
        untold = self.default is None or isinstance(self.default, Unevaluated)
        return "Any" if untold else type(self.default).__name__


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the notebook document in `path` (nbformat 4) as plain dictionaries and lists.

    Raises:
        DerivaMLRequestError: The file is missing, is no notebook, or cannot be read as one.
    """
    if path.is_dir():
        raise DerivaMLRequestError(f"{path} is a folder: name a notebook in it{_did_you_mean(path)}")
    if not path.exists():
        raise DerivaMLRequestError(f"there is no notebook {path}{_did_you_mean(path)}")
    if path.suffix != ".ipynb":
        raise DerivaMLRequestError(f"{path} is not a notebook: its name does not end in .ipynb")
    text = _read_text(path)
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        if conflict := _CONFLICT_LINE.search(text):
            line = text.count("\n", 0, conflict.start()) + 1
            raise DerivaMLRequestError(
                f"{path} line {line}: unresolved merge conflict ({conflict[0].strip()}): choose a side with "
                "'git checkout --ours' or '--theirs' and that file, then 'git add' it"
            ) from None
        raise DerivaMLRequestError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise DerivaMLRequestError(f"{path} holds JSON but no notebook: it has no 'nbformat' number")
    if notebook["nbformat"] < 4:
        raise DerivaMLRequestError(
            f"{path} has the old notebook format {notebook['nbformat']}: bring it to format 4 with "
            "'jupyter nbconvert --to notebook --inplace' and that file"
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise DerivaMLRequestError(f"{path} holds JSON but no notebook: it has no list of 'cells'")
    return notebook


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
    source = cell.get("source") or ""
    tree, source = _parse(source if isinstance(source, str) else "".join(source), number)
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        for name, annotation, value in _assignments(statement):
            text = _source_of(value, source) if value else _assigned_below(name, tree)
            comment = _comment_of(statement, comments)
            if name in found:
                annotation = annotation or found[name].annotation
                comment = comment or found[name].comment
            found[name] = Parameter(name, annotation, _default(value, text), text, comment)
    return list(found.values())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DerivaMLRequestError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as such"
        ) from None
    except OSError as error:
        raise DerivaMLRequestError(f"{path} cannot be read: {error.strerror}") from None


def _did_you_mean(path: Path) -> str:
    """Suggest an existing notebook: in the folder named, here, or in ``notebooks/``."""
    import difflib

    folders = (Path("notebooks"), Path(), path if path.is_dir() else path.parent)
    nearby = {file.name.casefold(): file for folder in folders for file in sorted(folder.glob("*.ipynb"))}
    wanted = (path.name if path.suffix == ".ipynb" else f"{path.name}.ipynb").casefold()
    close = difflib.get_close_matches(wanted, nearby, n=1)
    return f" (did you mean {nearby[close[0]]}?)" if close else ""


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """The tags of a cell; none where its metadata are not as they should be."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return tags if isinstance(tags, list) else []


def _parse(source: str, number: int) -> tuple[ast.Module, str]:
    """Parse a cell; lines for IPython rather than Python become ``pass``, so that line numbers stay."""
    lines = source.split("\n")
    while True:
        source = "\n".join(lines)
        try:
            return ast.parse(source), source
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = min(getattr(error, "lineno", None) or 1, len(lines))
            wrong, reason = lines[line - 1], getattr(error, "msg", error)
        lines[line - 1] = _IPYTHON_LINE.sub(r"\1pass", wrong)
        if lines[line - 1] == wrong:
            raise DerivaMLRequestError(
                f"the parameters cell (cell {number}) is not valid Python: line {line}: "
                f"{reason}: {wrong.strip()}"
            )


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, str | None, ast.expr | None]]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Constant(value=str(quoted)), value=value):
            yield name, quoted, value
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            yield name, ast.unparse(annotation), value
        case ast.Assign(targets=targets, value=value):
            yield from ((target.id, None, value) for target in targets if isinstance(target, ast.Name))


def _source_of(value: ast.expr, source: str) -> str:
    return ast.get_source_segment(source, value) or ast.unparse(value)


def _assigned_below(name: str, tree: ast.Module) -> str:
    """What stands for the default of a bare ``name: int``: "..." if an inner block sets it, else nothing."""
    blocks = (node for node in tree.body if not isinstance(node, ast.Assign | ast.AnnAssign))
    names = (node for block in blocks for node in ast.walk(block) if isinstance(node, ast.Name))
    return "..." if any(node.id == name and isinstance(node.ctx, ast.Store) for node in names) else ""


def _default(value: ast.expr | None, text: str) -> Any:
    try:
        return ast.literal_eval(value) if value else Unevaluated(text)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return Unevaluated(text)


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """Line -> (comment, whether the line holds nothing else)."""
    try:
        return {
            token.start[0]: (token.string.lstrip("#").strip(), token.line.lstrip().startswith("#"))
            for token in tokenize.generate_tokens(StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
    except (tokenize.TokenError, SyntaxError):  # a courtesy: the parameters hold without them
        return {}


def _comment_of(statement: ast.stmt, comments: Mapping[int, tuple[str, bool]]) -> str:
    for line in (statement.end_lineno or statement.lineno, statement.lineno):
        if line in comments:
            return comments[line][0]
    above: list[str] = []
    line = statement.lineno - 1
    while line in comments and comments[line][1]:
        above.insert(0, comments[line][0])
        line -= 1
    # A cell often opens with "# Parameters": the cell's heading, not the first variable's meaning.
    return " ".join(text for text in above if text.strip(" -=:").casefold() not in ("", TAG))


def resolve(
    declared: Sequence[Parameter] | None,
    from_file: Mapping[str, Any],
    from_flags: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return the values to inject: those given, coerced to the types declared, flags over the file.

    A flag repeated for one name counts with its last value, as Papermill's does. Text from a flag is taken
    as it is for ``str``; otherwise as JSON, else as a Python literal, else as text: the first that fits.
    A value from a file keeps its type, with lossless exceptions: 3.0 and "3" do for ``int``, 3 and "1e-3"
    for ``float``, ISO 8601 text for a date. A number is refused for ``str`` (YAML reads ``0012`` as 10: quote
    it), a truth value for a number. Without an annotation the default's type counts; without a telling
    default any value fits. A default None also admits None.

    The result holds what Papermill writes as Python source: str, int, float, bool, None, lists, and dicts
    with text keys. Paths and dates (ISO 8601) become text, tuples and sets become lists.

    Raises:
        DerivaMLRequestError: Values are given to a notebook that declares no parameters, a name is unknown, a
            value does not fit, or a parameter without a default is not given.
    """
    given: dict[str, tuple[Any, bool]] = {name: (value, False) for name, value in from_file.items()}
    given |= {name: (text, True) for name, text in from_flags}
    if declared is None and given:
        names = ", ".join(map(repr, given))
        raise DerivaMLRequestError(
            f"{names} cannot be set: the notebook has no parameters cell; {HOW_TO_TAG}"
        )
    known = {parameter.name: parameter for parameter in declared or ()}
    for name in given:
        if name not in known:
            raise DerivaMLRequestError(_unknown(name, known))
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


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    import difflib

    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    hint = f" (did you mean '{folded[close[0]]}'?)" if close else ""
    return f"unknown parameter '{name}'{hint}; the notebook has: {', '.join(known) or 'none'}"


def load_parameter_file(path: Path) -> dict[str, Any]:
    """Return the values in a ``.json``, ``.yaml`` or ``.yml`` file, by parameter name.

    Dates in YAML stay text, as in JSON: the notebook's annotation says whether they are dates.

    Raises:
        DerivaMLRequestError: The file is missing, has another suffix, is not valid, or maps no names.
    """
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise DerivaMLRequestError(f"parameter file {path}: its name must end in .json, .yaml or .yml")
    if not path.is_file():
        raise DerivaMLRequestError(f"there is no parameter file {path}")
    text = _read_text(path)
    try:
        values = json.loads(text) if path.suffix == ".json" and text.strip() else _from_yaml(text)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno} is not valid JSON: {error.msg} (column {error.colno})"
        raise DerivaMLRequestError(f"parameter file {path} {reason}") from None
    except (ValueError, RecursionError) as error:
        raise DerivaMLRequestError(f"parameter file {path} {error}") from None
    if values is None:
        raise DerivaMLRequestError(f"parameter file {path} is empty: write a 'name: value' in it")
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise DerivaMLRequestError(f"parameter file {path} holds a {kind}, not a mapping of names to values")
    for name in values:
        if not isinstance(name, str):
            raise DerivaMLRequestError(f"parameter file {path}: name {name!r} is not text: put it in quotes")
    return values


def _from_yaml(text: str) -> Any:
    """What a YAML text holds; ValueError with the line if it is not valid."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        loader.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in loader.yaml_implicit_resolvers.items()
        }
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{f'line {mark.line + 1} ' if mark else ''}is not valid YAML: {reason}") from None


def describe(parameters: Sequence[Parameter] | None) -> str:
    """Return a table of the parameters for a person: name, type, default and comment, in aligned columns."""
    if parameters is None:
        return f"This notebook has no parameters cell. To give it one, {HOW_TO_TAG}."
    if not parameters:
        return f"The cell tagged '{TAG}' assigns no variables."
    rows = [("name", "type", "default", "comment")]
    rows += [(p.name, p.type_name, _short_default(p), p.comment) for p in parameters]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows)


def _short_default(parameter: Parameter, width: int = 60) -> str:
    text = "(required)" if parameter.required else parameter.default_source
    if "\n" in text:
        text = ast.unparse(ast.parse(f"({text}\n)", mode="eval"))
    return text if len(text) <= width else f"{text[: width - 3]}..."
