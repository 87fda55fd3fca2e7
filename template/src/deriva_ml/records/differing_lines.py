"""The first lines in which two files differ: of text, and of JSON and notebooks by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.notebook.document import source_of
from deriva_ml.untrusted import DAMAGED

LARGEST_TEXT = 4 << 20
"""Bytes of a file whose lines are compared."""

MOST_PAIRS = 4
"""How many differing lines are told."""

WINDOW = 200
"""Lines, from the first differing one on, in which those that were put in or left out are told from those changed."""

BREADTH, BEFORE = 100, 30
"""Characters that a line is cut to, and how many of them stand before the first that differs."""


@dataclass(frozen=True)
class Line:
    """A line as it is in each of two files, cut around where they part; None in the one that does not have it.

    Attributes:
        place: its number in the first file, from 1; 0 for a part of JSON or of a notebook.
        other_place: that in the other file.
    """

    place: int
    text: str | None
    other_place: int
    other_text: str | None


class Contents(NamedTuple):
    """What a file holds, as lines; ``meaning`` is JSON or a notebook, whose lines say what it holds and not how it is written."""

    lines: list[str]
    meaning: str = ""


def read_contents(path: Path) -> Contents | None:
    """Return what a file holds; None if it is not text.

    Raises:
        OSError: it cannot be read.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    suffix = path.suffix.lower()
    if suffix in {".json", ".ipynb"}:
        try:
            found = json.loads(text)
            if suffix == ".ipynb":
                cells = notebook_lines(found, outputs=True)
                return Contents([line for line in cells if line.strip()], "notebook")
            values = ((name, json.dumps(value, ensure_ascii=False)) for name, value in flat(found))
            return Contents([f"{name} = {value}" for name, value in values], "JSON")
        except DAMAGED:
            pass  # then it is a text like any other
    return Contents(text.split("\n"))


def first_differences(first: Contents, other: Contents) -> tuple[list[Line], bool]:
    """Return the first lines in which two files differ, and whether there are more."""
    ours, theirs = first.lines, other.lines
    numbered = not (first.meaning or other.meaning)
    start = len(os.path.commonprefix([ours, theirs]))
    pairs = list(islice(_pairs(ours, theirs, start), MOST_PAIRS + 1))
    lines = []
    for place, text, other_place, other_text in pairs[:MOST_PAIRS]:
        text, other_text = cut_around(text, other_text)
        lines.append(Line(place * numbered, text, other_place * numbered, other_text))
    rest = len(ours) > start + WINDOW or len(theirs) > start + WINDOW
    return lines, len(pairs) > MOST_PAIRS or (rest and ours[start + WINDOW :] != theirs[start + WINDOW :])


def _pairs(
    ours: Sequence[str], theirs: Sequence[str], start: int
) -> Iterator[tuple[int, str | None, int, str | None]]:
    end = start + WINDOW
    matcher = SequenceMatcher(None, ours[start:end], theirs[start:end], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        for i, j in zip_longest(range(start + a, start + b), range(start + c, start + d)):
            one = (0, None) if i is None else (i + 1, ours[i])
            yield (*one, *((0, None) if j is None else (j + 1, theirs[j])))


def cut_around(text: str | None, other: str | None) -> tuple[str | None, str | None]:
    """Return two lines, each cut to ``BREADTH`` around the first character in which they differ."""
    common = len(os.path.commonprefix([text, other])) if text is not None and other is not None else 0
    begin = max(0, common - BEFORE) if max(len(text or ""), len(other or "")) > BREADTH else 0

    def cut(line: str | None) -> str | None:
        if line is None:
            return None
        kept = line[begin : begin + BREADTH]
        return f"{'…' if begin else ''}{kept}{'…' if len(line) > begin + BREADTH else ''}"

    return cut(text), cut(other)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each part of a value of JSON that has no parts itself, by a name such as ``folds[3].score``."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from flat(item, f"{name}[{place}]")
    else:
        yield name, value


def notebook_lines(notebook: Any, outputs: bool) -> list[str]:
    """Return the cells of a notebook's document as lines, without counts, times and other metadata.

    Args:
        outputs: with the text of outputs, and the digest of what is none.

    Raises:
        One of ``DAMAGED``: it is no notebook.
    """
    lines = []
    for cell in notebook["cells"]:
        kind = "" if cell["cell_type"] == "code" else f" [{cell['cell_type']}]"
        lines += [f"# %%{kind}", *source_of(cell).split("\n"), ""]
        for output in cell.get("outputs", ()) if outputs else ():
            lines += _output_lines(output)
    return lines


def _output_lines(output: Any) -> Iterator[str]:
    if output.get("output_type") == "error":
        yield f"{output.get('ename')}: {output.get('evalue')}"
    yield from "".join(output.get("text") or "").split("\n")
    data = output.get("data") or {}
    for kind in ("text/markdown", "text/plain"):
        if kind in data:
            yield from "".join(data[kind]).split("\n")
            break
    for kind, content in sorted(data.items()):
        if not kind.startswith("text/"):
            text = "".join(content) if isinstance(content, list) else str(content)
            yield f"{kind} {hashlib.md5(text.encode(errors='replace'), usedforsecurity=False).hexdigest()[:8]}"
