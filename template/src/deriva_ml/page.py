"""A page of facts and tables, written as Markdown and as HTML: whatever a text holds, it is shown and does nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deriva_ml.terminal import shown

LONGEST = 2_000
"""Characters of a text that are shown."""


class Mark(str):
    """A word that stands out, in the colour that the style sheet has for it."""


@dataclass(frozen=True)
class Heading:
    """A part's heading; the page's own has level 1."""

    text: str
    level: int = 2
    mark: Mark | None = None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list, an item a text."""

    items: Sequence[str]


@dataclass(frozen=True)
class Rows:
    """A table; its first column names what a row is about."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Text | Items | Rows


def facts(values: Mapping[str, str], headings: tuple[str, str] = ("", "")) -> Rows:
    """Return a table of two columns, without what is empty."""
    return Rows(headings, [(name, value) for name, value in values.items() if value])


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return the page as Markdown, GitHub's with tables."""
    return "\n\n".join("\n".join(_markdown(block)) for block in blocks) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        mark = f": {_as_markdown(block.mark)}" if block.mark else ""
        yield f"{'#' * block.level} {_as_markdown(block.text)}{mark}"
    elif isinstance(block, Text):
        yield _as_markdown(block.text)
    elif isinstance(block, Items):
        yield from (f"- {_as_markdown(item)}" for item in block.items)
    else:
        yield f"| {' | '.join(map(_as_markdown, block.headings))} |"
        yield f"|{' --- |' * len(block.headings)}"
        yield from (f"| {' | '.join(map(_as_markdown, row))} |" for row in block.rows)


def _as_markdown(text: str) -> str:
    """Return a text that reads as it is in Markdown; an address in it becomes no link."""
    escaped = re.sub(r"([\\`*_\[\]<>#|~&!$])", r"\\\1", _short(text))
    escaped = re.sub(r"(?<=:)//|(?<=www)\.|@", lambda found: f"\\{found[0]}", escaped)
    return f"**{escaped}**" if isinstance(text, Mark) else escaped


def _short(text: str) -> str:
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return shown(text)


def to_html(blocks: Sequence[Block]) -> str:
    """Return the page as one HTML file that fetches nothing, runs nothing, and fits a telephone and a dark room.

    The policy in it has the browser refuse all but its own style sheet (https://www.w3.org/TR/CSP3/#meta-element).
    """
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = "\n".join(part for block in blocks for part in _html(block))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{_as_html(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _html(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        mark = f" {_as_html(block.mark)}" if block.mark else ""
        yield f"<h{block.level}>{_as_html(block.text)}{mark}</h{block.level}>"
    elif isinstance(block, Text):
        yield f"<p>{_as_html(block.text)}</p>"
    elif isinstance(block, Items):
        yield "<ul>"
        yield from (f"<li>{_as_html(item)}</li>" for item in block.items)
        yield "</ul>"
    else:
        yield f'<table class="of{len(block.headings)}">'
        if any(block.headings):
            cells = "".join(f'<th scope="col">{_as_html(one)}</th>' for one in block.headings)
            yield f"<thead><tr>{cells}</tr></thead>"
        yield "<tbody>"
        for first, *others in block.rows:
            cells = "".join(
                f'<td data-of="{_as_html(heading)}">{_as_html(cell)}</td>' if cell else "<td></td>"
                for heading, cell in zip(block.headings[1:], others, strict=True)
            )
            yield f'<tr><th scope="row">{_as_html(first)}</th>{cells}</tr>'
        yield "</tbody></table>"


def _as_html(text: str) -> str:
    escaped = html.escape(_short(text))
    if isinstance(text, Mark):
        return f'<strong class="{re.sub("[^a-z]", "-", text)}">{escaped}</strong>'
    return escaped


STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --quiet: #57606a; --line: #d0d7de;
  --good: #116329; --on-good: #dafbe1; --near: #0550ae; --on-near: #ddf4ff; --bad: #a40e26; --on-bad: #ffebe9;
  --none: #7d4e00; --on-none: #fff8c5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --quiet: #9aa4af; --line: #30363d;
  --good: #7ee787; --on-good: #12261e; --near: #79c0ff; --on-near: #10243c; --bad: #ffa198; --on-bad: #33151a;
  --none: #e3b341; --on-none: #2b2111 } }
body { margin: 0; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 64rem; margin: 0 auto; padding: 1rem 1rem 3rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.3 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem } h3 { font-size: 1rem }
table { border-collapse: collapse; table-layout: fixed; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line);
  white-space: pre-wrap }
thead th, .of2 th { color: var(--quiet); font-weight: normal }
.of2 th { width: 10rem }
:is(.of4, .of5) thead :is(th:nth-child(2), th:nth-child(3)) { width: 7.5rem }
strong { padding: .1em .5em; border-radius: 1em; font-weight: 600; white-space: nowrap }
.identical { color: var(--good); background: var(--on-good) }
.equivalent { color: var(--near); background: var(--on-near) }
.different { color: var(--bad); background: var(--on-bad) }
.could-not-run { color: var(--none); background: var(--on-none) }
@media (max-width: 40rem) {
  table, tbody, tr, th, td { display: block; width: auto }
  .of2 tr { display: flex } .of2 th { flex: 0 0 7rem }
  thead { display: none }
  th, td { border: 0; padding: .1rem 0 }
  td:empty { display: none }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0 }
  td[data-of]:not([data-of=""])::before { content: attr(data-of) ": "; color: var(--quiet) }
}
"""
