"""Mends in a notebook's file what is mechanical about its parameters cell; every other byte stays as it is."""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import deriva_ml.disk as disk
from deriva_ml.check.parameters_cell import (
    is_heading,
    likely,
    out_of_place,
    parameters_cell,
    proper_place,
)
from deriva_ml.check.parameters_rules import annotation_of
from deriva_ml.check.source import Cell, Source, read_source
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.cells import assignments
from deriva_ml.notebook.document import TAG

FIXED = ("DML101", "DML103", "DML105")
"""The rules whose findings can be mended, in the order in which they are."""

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_INDENTED = re.compile(r"(\r?\n)([ \t]*)\Z")
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]"
)
_decode = json.JSONDecoder().raw_decode


class _Unfit(Exception):
    """The text is not as it has to be for a change of a part of it."""


class _Value(NamedTuple):
    """Where a value stands in the text; of an object's member also its key, and where that begins."""

    start: int
    end: int
    key: str = ""
    key_start: int = -1


class _Changed(NamedTuple):
    """A notebook's text after a change, what that is to say, and what was done, in a few words."""

    text: str
    document: dict[str, Any]
    done: str


def fix(path: Path, root: Path, found: Mapping[str, Collection[int]]) -> list[str]:
    """Mend a notebook in its file.

    Args:
        path: of the notebook.
        root: of the project.
        found: the lines in the parameters cell of what is to be mended, by the rule's code.

    Returns:
        What was done, a few words each. What cannot be mended without a look at it stays.

    Raises:
        DerivaMLRequestError: the file cannot be changed, or not without a change of something else; it is as it was.
    """
    done: list[str] = []
    for code in FIXED:
        if code not in found:
            continue
        content = path.read_bytes()
        source = read_source(path, root)
        try:
            text = content.removeprefix(_BOM).decode()
            changed = _mend(code, text, source, found[code])
            if changed is None:
                continue
            if not _is_same(json.loads(changed.text), changed.document):
                raise _Unfit
        except (_Unfit, ValueError, LookupError):
            raise DerivaMLRequestError(
                f"{path} is left as it is: its text is not as notebooks are saved"
            ) from None
        bom = _BOM if content.startswith(_BOM) else b""
        _replace(path, content, bom + changed.text.encode())
        done.append(changed.done)
    return done


def _mend(code: str, text: str, source: Source, lines: Collection[int]) -> _Changed | None:
    cell = parameters_cell(source)
    if code == "DML101":
        meant = likely(source)
        return _tag(text, source, meant) if meant else None
    if cell is None:
        return None
    return _move(text, source, cell) if code == "DML103" else _annotate(text, source, cell, lines)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two documents say the same; for Python, 1 and True and 1.0 would be."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Replace what a file holds in one step."""
    path = path.resolve()  # a link stays one
    if not os.access(path, os.W_OK):
        raise DerivaMLRequestError(f"{path} is left as it is: this user may not write it")
    with disk.temporary(path.parent) as part, disk.written_for(path, part):
        with part.open("xb") as file:
            file.write(after)
            file.flush()
            disk.flush_open(file.fileno())
        shutil.copymode(path, part)
        with suppress(OSError, AttributeError):  # another user's, or Windows
            os.chown(part, path.stat().st_uid, path.stat().st_gid)
        if path.read_bytes() != before:
            raise DerivaMLRequestError(f"{path} is left as it is: it changed meanwhile")
        os.replace(part, path)


# What is done


def _tag(text: str, source: Source, cell: Cell) -> _Changed:
    """Tag a cell; its tags stand where Jupyter would put them."""
    document = copy.deepcopy(source.raw)
    tagged = document["cells"][cell.number - 1]["metadata"].setdefault("tags", [])
    if not isinstance(tagged, list):
        raise _Unfit
    tagged.append(TAG)
    start = _cells(text)[cell.number - 1].start
    members = _members(text, start)
    metadata = _member(members, "metadata")
    style = _Style.of(text, start, members)
    inside = _members(text, metadata.start)
    depth = style.deeper(text, metadata, inside)
    if any(one.key == "tags" for one in inside):
        tags = _member(inside, "tags")
        items = _items(text, tags.start)
        new = _extended(text, tags, items, json.dumps(TAG), depth)
        changed = text[: tags.start] + new + text[tags.end :]
    else:
        member = f'"tags"{style.colon}{_wrapped("[]", json.dumps(TAG), depth)}'
        keys = [one.key for one in inside]
        later = next((one for one in inside if one.key > "tags"), None) if keys == sorted(keys) else None
        between = depth.line if depth.line is not None else style.gap
        if later:
            changed = f"{text[: later.key_start]}{member},{between}{text[later.key_start :]}"
        elif inside:
            changed = f"{text[: inside[-1].end]},{between}{member}{text[inside[-1].end :]}"
        else:
            whole = _wrapped("{}", member, style)
            changed = text[: metadata.start] + whole + text[metadata.end :]
    return _Changed(changed, document, f"tagged cell {cell.number} '{TAG}'")


def _move(text: str, source: Source, cell: Cell) -> _Changed | None:
    """Move the parameters cell, and a heading right above that announces it, to behind the imports."""
    behind = proper_place(source, cell) if out_of_place(source, cell) else None
    if behind is None:
        return None
    raws = source.raw["cells"]
    first = cell.number - 1
    if first and is_heading(raws[first - 1]):
        first -= 1
    moved = [*range(first, cell.number)]
    rest = [place for place in range(len(raws)) if place not in moved]
    place = rest.index(behind.number - 1) + 1
    order = [*rest[:place], *moved, *rest[place:]]
    document = {**source.raw, "cells": [raws[place] for place in order]}
    spans = _cells(text)
    gaps = [text[one.end : other.start] for one, other in zip(spans, spans[1:], strict=False)]
    parts = [text[spans[place].start : spans[place].end] for place in order]
    between = "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))
    changed = text[: spans[0].start] + between + text[spans[-1].end :]
    return _Changed(changed, document, f"moved the parameters cell behind cell {behind.number}")


def _annotate(text: str, source: Source, cell: Cell, lines: Collection[int]) -> _Changed | None:
    """Write the types of literal defaults."""
    if cell.tree is None or cell.python != cell.text or re.search(r"\r(?!\n)", cell.text):
        return None  # for Python, a carriage return alone ends a line
    found: list[tuple[int, str]] = []
    rows = cell.text.split("\n")
    names = [name for statement in cell.tree.body for name, *_ in assignments(statement)]
    for statement in cell.tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name) as target], value=value, lineno=number):
                at = sum(len(row) + 1 for row in rows[: number - 1])
                at += _characters(rows[number - 1], target.end_col_offset)
                kind = annotation_of(source, name, value)
                is_plain = cell.text[at - len(name) : at] == name and re.match(r"[ \t]*=", cell.text[at:])
                if kind and number in lines and names.count(name) == 1 and is_plain:
                    found.append((at, f": {kind}"))
    if not found:
        return None
    document = copy.deepcopy(source.raw)
    span = _cells(text)[cell.number - 1]
    written = _member(_members(text, span.start), "source")
    pieces = [written] if text[written.start] == '"' else _items(text, written.start)
    raw = source.raw["cells"][cell.number - 1]["source"]
    sources = [raw] if isinstance(raw, str) else [*raw]
    for at, added in reversed(found):
        place = 0
        while at > len(sources[place]):  # behind a name's last letter, and so in the piece that has it
            at -= len(sources[place])
            place += 1
        piece = pieces[place]
        position = _position(text, piece, at)
        sources[place] = sources[place][:at] + added + sources[place][at:]
        text = text[:position] + added + text[position:]
    document["cells"][cell.number - 1]["source"] = sources[0] if isinstance(raw, str) else sources
    count = f"{len(found)} parameter{'s' if len(found) > 1 else ''}"
    return _Changed(text, document, f"annotated {count}")


def _characters(line: str, offset: int | None) -> int:
    """Return how many characters of a line its first bytes are, which syntax trees count."""
    return len(line.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "surrogatepass"))


# The text of JSON


class _Style(NamedTuple):
    """How the members of an object or array are written.

    Attributes:
        line: what begins a line for each; None where they follow each other.
        end: what begins the line of the closing bracket.
        gap: what follows a comma where they follow each other.
        colon: what stands between key and value.
    """

    line: str | None
    end: str
    gap: str
    colon: str

    @classmethod
    def of(cls, text: str, start: int, members: Sequence[_Value]) -> _Style:
        """Return the style of an object that has members."""
        first = members[0]
        colon = text[first.key_start + len(json.dumps(first.key)) : first.start]
        if ":" not in colon or colon.strip() != ":":
            colon = ": "
        gap = " " if colon.endswith(" ") else ""
        indented = _INDENTED.search(text[start + 1 : first.key_start])
        if not indented:
            return cls(None, "", gap, colon)
        closing = _INDENTED.search(text[members[-1].end : _decode(text, start)[1] - 1])
        return cls(indented[0], closing[0] if closing else indented[0], gap, colon)

    def deeper(self, text: str, value: _Value, members: Sequence[_Value]) -> _Style:
        """Return the style of what is in a member, which has members itself or none yet."""
        if members:
            return _Style.of(text, value.start, members)
        if self.line is None:
            return self
        return _Style(self.line_inside, self.line, self.gap, self.colon)

    @property
    def line_inside(self) -> str:
        """What begins a line for each member of a member."""
        line = self.line or ""
        return line + (line.removeprefix(self.end) if line.startswith(self.end) else " ")


def _wrapped(brackets: str, inside: str, outer: _Style) -> str:
    """Return an object or array of one member, as the value of a member that is written in a style."""
    if outer.line is None:
        return brackets[0] + inside + brackets[1]
    return f"{brackets[0]}{outer.line_inside}{inside}{outer.line}{brackets[1]}"


def _extended(text: str, array: _Value, items: Sequence[_Value], item: str, outer: _Style) -> str:
    """Return an array with an item more."""
    if not items:
        return _wrapped("[]", item, outer)
    before = text[array.start + 1 : items[0].start]
    gap = before if "\n" in before else outer.gap
    if len(items) > 1:
        gap = text[items[-2].end : items[-1].start].replace(",", "", 1)
    return f"{text[array.start : items[-1].end]},{gap}{item}{text[items[-1].end : array.end]}"


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _cells(text: str) -> list[_Value]:
    """Return where the cells stand."""
    return _items(text, _member(_members(text, _skip(text, 0)), "cells").start)


def _member(members: Sequence[_Value], key: str) -> _Value:
    found = [one for one in members if one.key == key]
    if len(found) != 1:
        raise _Unfit
    return found[0]


def _members(text: str, start: int) -> list[_Value]:
    """Return where the members of an object stand."""
    return _values(text, start, "{}")


def _items(text: str, start: int) -> list[_Value]:
    """Return where the items of an array stand."""
    return _values(text, start, "[]")


def _values(text: str, start: int, brackets: str) -> list[_Value]:
    """Return where the values of an object or array stand, which begins with the first of its brackets."""
    if text[start] != brackets[0]:
        raise _Unfit
    found: list[_Value] = []
    at = _skip(text, start + 1)
    while text[at] != brackets[1]:
        key, value, key_start = "", at, at
        if brackets == "{}":
            key, end = _decode(text, at)
            value = _skip(text, _skip(text, end) + 1)  # behind the colon
        _, after = _decode(text, value)
        found.append(_Value(value, after, key, key_start))
        at = _skip(text, after)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _position(text: str, string: _Value, count: int) -> int:
    """Return where in the text the first characters of a string end."""
    at = string.start + 1
    for _ in range(count):
        found = _CHARACTER.match(text, at, string.end - 1)
        if not found:
            raise _Unfit
        at = found.end()
    return at
