"""Compares HTML that a notebook shows: its tables by their cells, the rest as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from deriva_ml.replay.compare.tables import compare_rows
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import compare_text
from deriva_ml.replay.verdict import Comparison, Verdict

_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL | re.IGNORECASE)
_NO_TEXT = re.compile(r"<(?:table\b.*<table|img|svg|script|input|canvas)\b", re.DOTALL | re.IGNORECASE)
_BETWEEN = re.compile(r">[^<]*(?=<)")
_ID = re.compile(r"""\bid=(["'])([^"'<>\s]{1,200})\1""")
_UNSEEN = re.compile(r"<style\b.*?</style>|<script\b.*?</script>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"[\w.:-]+")


def compare_html(recorded: str, repeated: str, terms: Terms, where: str) -> Comparison:
    """Compare two pieces of HTML; identifiers of elements, which libraries make anew each time, count by their order.

    The similarity is that of the first table that differs, or of the text.

    Args:
        where: what shows it: ``cell [4]``.
    """
    ours, theirs = terms.recorded.named(recorded), terms.repeated.named(repeated)
    if ours == theirs:
        return Comparison(Verdict.identical)
    ours, theirs = numbered(ours), numbered(theirs)
    tables = _TABLE.findall(ours), _TABLE.findall(theirs)
    if len(tables[0]) != len(tables[1]) or any(map(_NO_TEXT.search, [*tables[0], *tables[1]])):
        return _otherwise(compare_text(ours, theirs, terms, f"{where}, line {{}} of its HTML"))
    found = []
    for one, other in zip(*tables, strict=True):
        if one != other:
            rows = iter(_rows(one)), iter(_rows(other))
            found.append(compare_rows(rows[0], rows[1], terms, f"{where}, ", loose=True))
    # What is between the tags of tables has been compared.
    ours, theirs = (_TABLE.sub(lambda table: _BETWEEN.sub(">", table[0]), text) for text in (ours, theirs))
    found.append(_otherwise(compare_text(ours, theirs, terms, f"{where}, line {{}} of its HTML")))
    return max(found, key=lambda one: one.verdict)


def _otherwise(found: Comparison) -> Comparison:
    """Return what comes of comparing HTML whose text is not the same, where its identifiers may be all that differs."""
    if found.verdict is Verdict.identical:
        return Comparison(Verdict.equivalent, 1.0, "differs only in identifiers of elements")
    return found


def numbered(text: str) -> str:
    """Return HTML with the identifiers of its elements numbered in the order in which they are given."""
    names = {
        name: f"id-{number}" for number, (_, name) in enumerate(dict.fromkeys(_ID.findall(text)), start=1)
    }
    if not names:
        return text
    # What is shown is no identifier, though it may be the same word.
    return _UNSEEN.sub(lambda part: _WORD.sub(lambda word: names.get(word[0], word[0]), part[0]), text)


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
        self._cell = tag not in {"tr", "style"} and (self._cell or tag in {"td", "th"})

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "tr"}:
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data
        elif data.strip():  # such as a caption
            self.rows.append([data])


def _rows(table: str) -> list[list[str]]:
    """Return the texts of a table's cells, and of what is beside them."""
    parser = _Cells()
    parser.feed(table)
    parser.close()
    return parser.rows
