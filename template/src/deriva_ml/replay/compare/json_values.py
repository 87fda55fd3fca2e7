"""Compares values of JSON, and files with one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from deriva_ml.replay.compare.tally import Tally
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import alike, compare_text_files, named_lines
from deriva_ml.replay.compare.values import same_numbers, same_strings
from deriva_ml.replay.verdict import Comparison, Verdict
from deriva_ml.untrusted import DAMAGED, LARGEST, is_deep

MEASURE = "the share of equal values"
WRITTEN = "the same values, written otherwise"


def loads(text: str) -> Any:
    """Return a value of JSON.

    Raises:
        One of ``DAMAGED``: it is none, has a name twice, or too many levels.
    """
    value = json.loads(text, object_pairs_hook=_once)
    if is_deep(value):
        raise ValueError("nested too deeply")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def compare_json_files(recorded: Path, repeated: Path, terms: Terms) -> Comparison:
    """Compare two files of JSON whose texts differ; what is no JSON, or too large, by its lines.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    if max(path.stat().st_size for path in (recorded, repeated)) > LARGEST:
        return compare_text_files(recorded, repeated, terms, only="number")
    try:
        ours, theirs = (loads(path.read_text(encoding="utf-8-sig")) for path in (recorded, repeated))
    except UnicodeDecodeError:
        raise
    except DAMAGED:
        return compare_text_files(recorded, repeated, terms, only="number")
    return compare_values(ours, theirs, terms)


def compare_values(
    recorded: Any, repeated: Any, terms: Terms, where: str = "$", loose: bool = False
) -> Comparison:
    """Compare two values of JSON that may be written otherwise.

    Args:
        where: what the value is.
        loose: texts are shown, and are no data: what differs in them from run to run may differ.
    """
    texts = (json.dumps(value, ensure_ascii=False) for value in (recorded, repeated))
    if loose and terms.recorded.named(next(texts)) == terms.repeated.named(next(texts)):
        return Comparison(Verdict.identical)
    tally = Tally()
    _compare(recorded, repeated, where, "", terms, loose, tally)
    return tally.result(MEASURE, WRITTEN)


def compare_json_lines(recorded: Path, repeated: Path, terms: Terms) -> Comparison:
    """Compare two files with a value of JSON a line, whose texts differ.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    tally, counts = Tally(), [0, 0]
    lines = zip_longest(named_lines(recorded, terms.recorded), named_lines(repeated, terms.repeated))
    for number, (one, other) in enumerate(lines, start=1):
        counts[0] += one is not None
        counts[1] += other is not None
        if one is None or other is None:
            tally.total += 1
        elif one == other:
            tally.same()
        else:
            try:
                values = loads(one), loads(other)
            except DAMAGED:
                tally.differ(f"line {number}", (one, other))
                continue
            _compare(*values, f"line {number}, $", "", terms, False, tally)
    if counts[0] != counts[1]:
        tally.differ("number of lines", counts, 0)
    return tally.result(MEASURE, WRITTEN)


def _compare(
    recorded: Any, repeated: Any, where: str, name: str, terms: Terms, loose: bool, tally: Tally
) -> None:
    """Compare two values; ``name`` is the last word of ``where``."""
    if isinstance(recorded, dict) and isinstance(repeated, dict):
        _compare_dicts(recorded, repeated, where, terms, loose, tally)
    elif isinstance(recorded, list) and isinstance(repeated, list):
        for place, (one, other) in enumerate(zip(recorded, repeated, strict=False)):
            _compare(one, other, f"{where}[{place}]", name, terms, loose, tally)
        if len(recorded) != len(repeated):
            more = abs(len(recorded) - len(repeated))
            tally.differ(where, (f"{len(one)} elements" for one in (recorded, repeated)), more)
        elif not recorded:
            tally.same()
    else:
        kind = _same(recorded, repeated, name, terms, loose)
        if kind is None:
            tally.differ(where, (_said(recorded), _said(repeated)))
        else:
            tally.same(kind=kind)


def _compare_dicts(
    recorded: dict[str, Any], repeated: dict[str, Any], where: str, terms: Terms, loose: bool, tally: Tally
) -> None:
    ours = {terms.recorded.named(key): value for key, value in recorded.items()}
    theirs = {terms.repeated.named(key): value for key, value in repeated.items()}
    if loose and ours.keys() != theirs.keys() and len(ours) == len(theirs):
        # Keys may be identifiers that are made anew each time: then they pair up by their places.
        pairs = [*zip(ours, theirs, strict=True)]
        if all(alike(one, other, terms) is not None for one, other in pairs):
            theirs = {one: theirs[other] for one, other in pairs}
            tally.kinds["uuid"] += 1
    if not ours and not theirs:
        tally.same()
    for key, value in ours.items():
        if key in theirs:
            _compare(value, theirs[key], _below(where, key), key, terms, loose, tally)
        else:
            tally.differ(_below(where, key), (_said(value), "(not there)"))
    for key in theirs:
        if key not in ours:
            tally.differ(_below(where, key), ("(not there)", _said(theirs[key])))
    if [*ours] != [*theirs] and ours.keys() == theirs.keys():
        tally.kinds["order"] += 1


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if key.isidentifier() else f"{where}[{json.dumps(key, ensure_ascii=False)}]"


def _same(recorded: Any, repeated: Any, name: str, terms: Terms, loose: bool) -> str | None:
    """Return the kind of difference that two values without parts may have; None if they differ otherwise."""
    match recorded, repeated:
        case (bool() | None, _) | (_, bool() | None):
            return "" if recorded is repeated else None
        case ((int() | float()), (int() | float())):
            return same_numbers(recorded, repeated, name, terms)
        case str(), str():
            ours, theirs = terms.recorded.named(recorded), terms.repeated.named(repeated)
            if kind := same_strings(ours, theirs, terms):
                return kind
            found = alike(ours, theirs, terms) if loose else [""] if ours == theirs else None
            return None if found is None else "".join(found[:1])
    return None


def _said(value: Any) -> str:
    """Return a value as JSON, as much of it as is shown."""
    return (
        json.dumps(value, ensure_ascii=False)[:1000] if not isinstance(value, dict | list) else _shape(value)
    )


def _shape(value: Iterable[Any]) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
