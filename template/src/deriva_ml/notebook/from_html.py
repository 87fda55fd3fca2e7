"""Turns the HTML that a library displays into Markdown: its text, tables, links and images, and a word for the rest."""

from __future__ import annotations

import base64
import html
import re
from itertools import count
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup
from bs4.element import NavigableString
from bs4.exceptions import ParserRejectedMarkup
from markdownify import MarkdownConverter

from deriva_ml.notebook.displayed_html import figure, in_words

_TOO_LONG = 1_000_000  # characters of HTML that would take seconds to convert
_SVG = re.compile(r"<svg\b.*?</svg\s*>", re.DOTALL | re.IGNORECASE)
_MEDIA = {
    "video": "a video",
    "audio": "an audio clip",
    "iframe": "a page",
    "embed": "a file",
    "object": "a file",
}


def from_html(text: str) -> str:
    """HTML as Markdown, without scripts and styles; empty if nothing is left, or it cannot be understood."""
    try:
        text = _SVG.sub(_image, text) if len(text) < _TOO_LONG else ""
        soup = BeautifulSoup(text, "html.parser")
        _tell_of_scripts(soup)
        for tag in soup(list(_MEDIA)):
            tag.replace_with(BeautifulSoup(_media(tag), "html.parser"))
        for tag in soup.select("img:not([src])"):
            tag.decompose()
        for tag in soup.select("a[href], img"):
            name = "src" if tag.name == "img" else "href"
            # Where Markdown ends a link.
            tag[name] = re.sub(r"[\s()<>]", lambda found: quote(found[0]), str(tag[name]).strip())
        for table in soup("table"):
            for caption in table("caption"):
                table.insert_before(caption)
            table.replace_with(BeautifulSoup(_expand_spans(table), "html.parser"))
        markdown = MarkdownConverter(heading_style="ATX", escape_misc=True, autolinks=False).convert_soup(
            soup
        )
        return markdown.strip().replace("$", r"\$")  # which would be mathematics to many readers
    except (ParserRejectedMarkup, RecursionError):
        return ""


def _tell_of_scripts(soup: BeautifulSoup) -> None:
    """Put a line where a script draws, and take scripts and styles away."""
    places = soup.select("[data-root-id]")
    drawn = {"a Bokeh figure": places[-1]} if places else {}
    scripts = soup("script")
    drawn |= {name: tag for tag in scripts if (name := figure(tag.get_text()))}
    if scripts and not drawn and (place := soup.find(_is_a_place)):
        drawn["what a script shows"] = place
    for name, tag in drawn.items():
        tag.insert_before(BeautifulSoup(f"<p>{html.escape(in_words(name))}</p>", "html.parser"))
    for tag in [*scripts, *soup("style"), *soup("span", string=re.compile("Make this Notebook Trusted"))]:
        tag.decompose()


def _is_a_place(tag: Any) -> bool:
    """Whether an element is empty and has a name, by which scripts fill it."""
    return (
        tag.name in {"div", "span", "canvas", "p", "figure", "table"} and tag.get("id") and not tag.contents
    )


def _image(svg: re.Match[str]) -> str:
    """A drawing as an image; as it was written, because a parser of HTML does not keep upper case in it."""
    drawn = (
        svg[0] if "xmlns=" in svg[0] else svg[0].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    )
    return f'<img alt="image" src="data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}">'


def _media(tag: Any) -> str:
    """What is played, or is a page of its own: a link to it, if it is not in the HTML itself."""
    inner = tag.find("source")
    source = str(tag.get("src") or tag.get("data") or (inner and inner.get("src")) or "")
    name = figure(str(tag.get("srcdoc", ""))) or _MEDIA[tag.name]
    if not source or source.startswith(("data:", "blob:")):
        return f"<p>{in_words(name)}</p>"
    return f'<p>({name}: <a href="{html.escape(source)}">{html.escape(source)}</a>)</p>'


def _expand_spans(table: Any) -> str:
    """A table as Markdown's are: one header row, as many cells in each row, no cell in two of them."""
    rows = [row for row in table("tr") if row.find_parent("table") is table]
    cells = [row(["td", "th"], recursive=False) for row in rows]
    widest = max(map(len, cells), default=0)
    grid: dict[tuple[int, int], str] = {}
    for y, row in enumerate(cells):
        for cell in row:
            x = next(x for x in count() if (y, x) not in grid)
            down, right = _span(cell, "rowspan", len(rows) - y), _span(cell, "colspan", widest)
            words = _words(cell)
            grid |= {(y + i, x + j): words for i in range(down) for j in range(right)}
    columns = range(1 + max((x for _, x in grid), default=-1))
    heads = [y for y, row in enumerate(rows) if row.parent.name == "thead"]
    if not heads and len(rows) > 1 and all(cell.name == "th" for cell in cells[0]):
        heads = [0]
    # Levels of columns, and the row with the names of the index.
    lines = [[" / ".join(dict.fromkeys(filter(None, (grid.get((y, x)) for y in heads)))) for x in columns]]
    lines += [[grid.get((y, x), "") for x in columns] for y in range(len(rows)) if y not in heads]
    first, *others = ("<tr><td>" + "</td><td>".join(line) + "</td></tr>" for line in lines)
    return f"<table><thead>{first}</thead><tbody>{''.join(others)}</tbody></table>" if columns else ""


def _words(cell: Any) -> str:
    """The text of a table's cell, with the links and images in it."""
    said = []
    for node in cell.descendants if cell.find(["a", "img"]) else ():
        if node.name == "img":
            said.append(f'<img alt="{html.escape(node.get("alt", ""))}" src="{html.escape(node["src"])}">')
        elif node.name == "a" and node.get("href") and (text := node.get_text(" ", strip=True)):
            said.append(f'<a href="{html.escape(node["href"])}">{html.escape(text)}</a>')
        elif type(node) is NavigableString and not node.find_parent("a", href=True):
            said.append(html.escape(node.strip()))
    return " ".join(filter(None, said)) or html.escape(cell.get_text(" ", strip=True))


def _span(cell: Any, attribute: str, limit: int) -> int:
    value = str(cell.get(attribute, ""))
    return max(1, min(int(value), limit)) if value.isdecimal() else 1
