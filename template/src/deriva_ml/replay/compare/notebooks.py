"""Compares executed notebooks cell by cell, by what each cell says and shows."""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.notebook.cells import assigned, literal, tree_of
from deriva_ml.notebook.document import INJECTED, source_of, tags_of
from deriva_ml.notebook.widgets import VIEW, States, displayed, states_of
from deriva_ml.replay.compare.html import compare_html
from deriva_ml.replay.compare.images import compare_images
from deriva_ml.replay.compare.json_values import compare_json_files, compare_values
from deriva_ml.replay.compare.tally import MOST, below_one, difference
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import compare_text
from deriva_ml.replay.compare.vector import compare_pdf, compare_svg
from deriva_ml.replay.verdict import Comparison, Difference, Verdict
from deriva_ml.untrusted import DAMAGED, LARGEST

ERROR_MARK = "papermill-error-cell-tag"
"""Papermill's tag of the cells that it puts before one that failed."""

LARGEST_NOTEBOOK = 4 * LARGEST


class Shown(NamedTuple):
    """A part of what a cell shows.

    Attributes:
        kind: ``stdout``, ``stderr``, ``error`` or ``data``.
        text: what was printed, or the error's message.
        data: by MIME type; an error's class by ``ename``.
    """

    kind: str
    text: str = ""
    data: Mapping[str, Any] = {}


def compare_notebook_files(recorded: Path, repeated: Path, terms: Terms) -> Comparison:
    """Compare two executed notebooks; files that are none as JSON.

    The similarity is the mean over what the cells show; a cell whose source differs counts as one part of that.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    if max(path.stat().st_size for path in (recorded, repeated)) <= LARGEST_NOTEBOOK:
        try:
            ours, theirs = (json.loads(path.read_text(encoding="utf-8-sig")) for path in (recorded, repeated))
            return compare_notebooks(ours, theirs, terms)
        except UnicodeDecodeError:
            raise
        except DAMAGED:
            pass
    return compare_json_files(recorded, repeated, terms)


def compare_notebooks(recorded: Any, repeated: Any, terms: Terms) -> Comparison:
    """Compare two documents of notebooks.

    Raises:
        One of ``DAMAGED``: one is no notebook.
    """
    documents = recorded, repeated
    states = [states_of(one) for one in documents]
    cells = [[cell for cell in one["cells"] if ERROR_MARK not in tags_of(cell)] for one in documents]
    given = [[cell for cell in some if INJECTED in tags_of(cell)] for some in cells]
    found = [*_compare_parameters(given[0], given[1], terms)]
    own = [[cell for cell in some if INJECTED not in tags_of(cell)] for some in cells]
    if len(own[0]) != len(own[1]):
        found.append(_differs(difference("number of cells", str(len(own[0])), str(len(own[1])))))
    place = 0
    for place, (one, other) in enumerate(zip(*own, strict=False), start=1):
        found += _compare_cells(one, other, _called(one, place), states, terms)
    for some in own:
        for extra, cell in enumerate(some[place:], start=place + 1):
            sources = [source_of(cell), ""] if some is own[0] else ["", source_of(cell)]
            found.append(
                _differs(difference(f"{_called(cell, extra)}, which only one of them has", *sources))
            )
    return _together(found, "the mean over what the cells show")


def _called(cell: Mapping[str, Any], place: int) -> str:
    """Return what a cell is called: by the number that Jupyter shows, else by its place in the file."""
    count = cell.get("execution_count")
    return f"cell [{count}]" if isinstance(count, int) else f"cell {place} of the file"


def _differs(*differences: Difference) -> Comparison:
    return Comparison(Verdict.different, 0.0, "", differences)


def _together(found: Sequence[Comparison], measure: str) -> Comparison:
    """Return what comes of all parts together: the worst verdict, the mean similarity, the first differences."""
    verdict = max((one.verdict for one in found), default=Verdict.identical)
    worst = [one for one in found if one.verdict is verdict]
    if verdict is Verdict.identical:
        return Comparison(verdict)
    notes = [*dict.fromkeys(one.note for one in worst if one.note)]
    if verdict is Verdict.different:
        share = sum(one.similarity for one in found) / len(found)
        differences = [line for one in worst for line in one.differences]
        notes = [measure, *(note for note in notes if "install" in note)]
        return Comparison(verdict, below_one(share), "; ".join(notes), differences[:MOST])
    masked = [line for one in worst for line in one.differences]
    return Comparison(verdict, 1.0, "; ".join(notes[:MOST]), masked[:MOST])


def _compare_parameters(
    recorded: Sequence[Mapping[str, Any]], repeated: Sequence[Mapping[str, Any]], terms: Terms
) -> Iterator[Comparison]:
    """Yield how the injected cells differ, value by value."""
    sources = [
        [side.named(source_of(cell)) for cell in cells]
        for side, cells in ((terms.recorded, recorded), (terms.repeated, repeated))
    ]
    if sources[0] == sources[1]:
        return
    ours, theirs = (
        {name: value for text in texts for name, value in assigned(text).items()} for texts in sources
    )
    if not all(map(tree_of, [*sources[0], *sources[1]])):  # nothing in it can be told from the other
        yield _differs(difference("the given parameters", "\n".join(sources[0]), "\n".join(sources[1])))
    for name in {**ours, **theirs}:
        missing = object()
        one, other = (
            literal(values[name], values[name]) if name in values else missing for values in (ours, theirs)
        )
        pair = [_written(value, value is missing) for value in (one, other)]
        if pair[0] != pair[1]:
            yield _differs(difference(f"parameter {name}", *pair))


def _written(value: Any, is_missing: bool) -> str:
    if is_missing:
        return "(not given)"
    return ast.unparse(value) if isinstance(value, ast.AST) else repr(value)


def _compare_cells(
    recorded: Mapping[str, Any],
    repeated: Mapping[str, Any],
    cell: str,
    states: Sequence[States],
    terms: Terms,
) -> Iterator[Comparison]:
    """Yield how the source and what is shown differ, a comparison each."""
    sources = terms.recorded.named(source_of(recorded)), terms.repeated.named(source_of(repeated))
    if recorded["cell_type"] != repeated["cell_type"]:
        yield _differs(difference(f"kind of {cell}", recorded["cell_type"], repeated["cell_type"]))
        return
    if sources[0] != sources[1]:
        lines = [source.split("\n") for source in sources]
        number, pair = next(
            (n, pair) for n, pair in enumerate(zip_longest(*lines), start=1) if pair[0] != pair[1]
        )
        yield _differs(difference(f"{cell}, line {number} of its source", *pair))
    if recorded.get("attachments", {}) != repeated.get("attachments", {}):
        yield _differs(difference(f"{cell}, its attached files", "", ""))
    ran = [isinstance(one.get("execution_count"), int) for one in (recorded, repeated)]
    if ran[0] != ran[1]:
        yield _differs(difference(cell, *("ran" if did else "did not run" for did in ran)))
    shown = [
        [*_shown(one.get("outputs") or (), known)]
        for one, known in zip((recorded, repeated), states, strict=True)
    ]
    # When standard error arrives among what else is shown is by chance.
    for errors in (False, True):
        parts = [[part for part in some if (part.kind == "stderr") is errors] for some in shown]
        for number, (one, other) in enumerate(zip_longest(*map(_merged, parts)), start=1):
            where = f"{cell}, output {number}" if max(map(len, parts)) > 1 else cell
            if one is None or other is None or one.kind != other.kind:
                yield _differs(difference(f"{where}, what is shown", *map(_in_short, (one, other))))
            else:
                yield _compare_shown(one, other, where, terms)


def _shown(outputs: Sequence[Any], states: States) -> Iterator[Shown]:
    """Yield the parts of what a cell shows; a widget is what is seen of it."""
    for output in outputs:
        match output:
            case {"output_type": "stream", "text": text}:
                yield Shown("stderr" if output.get("name") == "stderr" else "stdout", "".join(text))
            case {"output_type": "error"}:
                yield Shown("error", str(output.get("evalue")), {"ename": str(output.get("ename"))})
            case {"data": dict(data)} if VIEW in data:
                if seen := displayed(data, states):
                    yield from _shown(seen, states)
                else:
                    yield Shown("data", "", {kind: value for kind, value in data.items() if kind != VIEW})
            case {"data": dict(data)}:
                yield Shown("data", "", data)


def _merged(parts: Sequence[Shown]) -> list[Shown]:
    """Return the parts with what is printed in a row as one: how it was sent in pieces is by chance."""
    found: list[Shown] = []
    for part in parts:
        if found and part.kind in {"stdout", "stderr"} and found[-1].kind == part.kind:
            found[-1] = Shown(part.kind, found[-1].text + part.text)
        elif part.text or part.kind not in {"stdout", "stderr"}:
            found.append(part)
    return found


def _in_short(part: Shown | None) -> str:
    if part is None:
        return "(nothing)"
    if part.kind == "error":
        return f"{part.data['ename']}: {part.text}"
    return f"{part.kind}: {part.text}" if part.text else ", ".join(part.data)


def _compare_shown(one: Shown, other: Shown, where: str, terms: Terms) -> Comparison:
    if one.kind == "error":
        if one.data != other.data:
            return _differs(difference(f"{where}, its error", _in_short(one), _in_short(other)))
        return compare_text(one.text, other.text, terms, f"{where}, line {{}} of its error")
    if one.kind != "data":
        stream = "standard error" if one.kind == "stderr" else "its output"
        return compare_text(one.text, other.text, terms, f"{where}, line {{}} of {stream}")
    if one.data.keys() != other.data.keys():
        forms = (", ".join(sorted(part.data)) for part in (one, other))
        return _differs(difference(f"{where}, the forms that it is shown in", *forms))
    found = {kind: _compare_form(kind, one.data[kind], other.data[kind], where, terms) for kind in one.data}
    if _is_frame(one) and _is_frame(other) and found["text/html"].verdict is not Verdict.different:
        # The same table, in which nothing says what the columns are.
        plain = found.pop("text/plain", Comparison(Verdict.identical))
        if plain.verdict is not Verdict.identical and found["text/html"].verdict is Verdict.identical:
            found["text/html"] = Comparison(
                Verdict.equivalent, 1.0, "differs only in the plain form of a table"
            )
    return max(found.values(), key=lambda each: each.verdict, default=Comparison(Verdict.identical))


def _is_frame(part: Shown) -> bool:
    """Whether it is a data frame, of which the plain form tells no more than the HTML."""
    return 'class="dataframe"' in "".join(part.data.get("text/html", ""))


def _compare_form(kind: str, recorded: Any, repeated: Any, where: str, terms: Terms) -> Comparison:
    """Compare two contents of a MIME type."""
    if kind == "application/json" or kind.endswith("+json"):
        return compare_values(recorded, repeated, terms, f"{where}, $", loose=True)
    ours, theirs = (
        text if isinstance(text, str) else "".join(map(str, text)) for text in (recorded, repeated)
    )
    if ours == theirs:
        return Comparison(Verdict.identical)
    if kind == "text/html":
        return compare_html(ours, theirs, terms, where)
    if kind == "image/svg+xml":
        return compare_svg(ours, theirs, terms, where)
    if kind.startswith("text/") or kind == "application/javascript":
        return compare_text(ours, theirs, terms, f"{where}, line {{}} of its output")
    try:
        contents = base64.b64decode(ours), base64.b64decode(theirs)
    except ValueError:
        return compare_text(ours, theirs, terms, f"{where}, line {{}} of its output")
    if kind.startswith("image/"):
        return compare_images(*contents, where)
    if kind == "application/pdf":
        return compare_pdf(*contents, where)
    return (
        _differs(difference(f"{where}, its {kind}", "", ""))
        if contents[0] != contents[1]
        else Comparison(Verdict.identical)
    )
