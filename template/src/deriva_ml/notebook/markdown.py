"""Converts an executed notebook with nbconvert to one Markdown text that stands alone, without side files."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from itertools import count, pairwise
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup
from markdownify import MarkdownConverter
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi
from nbconvert.preprocessors import HighlightMagicsPreprocessor, Preprocessor
from nbformat import NotebookNode, from_dict, v4

from deriva_ml.notebook.parameters import tags_of

ERROR_MARKER = "papermill-error-cell-tag"  # on the two cells of raw HTML that Papermill adds when one fails
_SHOWN = ["text/markdown", "text/latex", "text/plain"]
_DATA_FRAME = re.compile(r"<table[^>]*(?:class=\"[^\"]*\bdataframe\b|id=\"T_)")  # pandas, polars...; a Styler
_TOO_LONG = 1_000_000  # characters of HTML that would take seconds to convert
_SAYS_NOTHING = re.compile(r"(\s*<[^<>]* (?:object|at 0x\w+)>)?\s*")
_BAR_BELOW = re.compile(
    r"\n{1,9}\r[^\n]*?(?:\x1b\[A)+"
)  # an inner progress bar, which the outer one outlives
_NO_COLOUR = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|(?!\[)[ -/]*[0-~]?)")  # links, character sets
# As nbconvert's, but three backticks in the code do not end it, and a cell without code has no block.
_TEMPLATE = """{%- extends 'markdown/index.md.j2' -%}
{% block input %}{% if cell.source %}{% set fence = '`' * (8 if '```' in cell.source else 3) %}
{{ fence }}{{ cell.metadata.magics_language or nb.metadata.language_info.name }}
{{ cell.source }}
{{ fence }}
{% endif %}{% endblock input %}"""


def to_markdown(notebook: Mapping[str, Any], title: str | None = None) -> str:
    """Return the notebook (nbformat 4, executed or not) as Markdown, with `title` as its first heading.

    Images are data URIs, data frames tables; streams read as a terminal would show them in the end. Rich
    output that Markdown cannot hold is represented by its text. A failed run is told before anything else.
    """
    node = from_dict({"metadata": {}, "cells": [], **notebook, "nbformat": 4, "nbformat_minor": 4})
    text, _ = _EXPORTER.from_notebook_node(node)
    return (f"# {title}\n\n" if title else "") + text.replace("\r", "").rstrip() + "\n"


class _Readable(Preprocessor):
    """Builds a valid notebook of what a reader of Markdown can use, whatever the kernel left."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        cells = [v4.new_markdown_cell(line) for line in _failure(nb.cells)]
        for cell in nb.cells:
            source = _text(cell.get("source"))
            match cell.get("cell_type"):
                case "markdown" if ERROR_MARKER not in tags_of(cell):
                    cells.append(v4.new_markdown_cell(_embed(source, cell.get("attachments", {}))))
                case "raw":
                    cells.append(v4.new_raw_cell(source, metadata=cell.get("metadata", {})))
                case "code":
                    outputs = _outputs(cell.get("outputs", []))
                    cells.append(
                        v4.new_code_cell(source.strip("\n") if source.strip() else "", outputs=outputs)
                    )
        language = nb.metadata.get("language_info") or {"name": "python"}
        return v4.new_notebook(cells=cells, metadata={"language_info": language}), resources


def _failure(cells: list[NotebookNode]) -> Iterable[str]:
    """One line on the cell that ended the run, for Papermill's markers, which are raw HTML."""
    failed = [cell for cell in cells if cell.get("metadata", {}).get("papermill", {}).get("exception")]
    failed += [cell for mark, cell in pairwise(cells) if ERROR_MARKER in tags_of(mark)][-1:]
    for cell in failed[:1]:
        told = [line for line in _text(cell.get("source")).splitlines() if line.strip()][:1]
        told += [_headline(output) for output in cell.get("outputs", []) if output.get("ename")][:1]
        spans = (" ".join(text.replace("`", "'").split())[:200] for text in told)
        yield f"**This run failed** in cell [{cell.get('execution_count')}]: " + ": ".join(
            f"`{s}`" for s in spans
        )


def _headline(error: Mapping[str, Any]) -> str:
    message = _on_screen(_text(error.get("evalue"))).strip().partition("\n")[0]
    return f"{_text(error.get('ename'))}: {message}".removesuffix(": ")


def _outputs(outputs: Iterable[Mapping[str, Any]]) -> list[NotebookNode]:
    # nbconvert's CoalesceStreamsPreprocessor would repeat a progress bar after each print, and its search for
    # carriage returns takes time quadratic in the length of a line.
    kept: list[NotebookNode] = []
    last = None  # the stream written to just before
    for output in outputs:
        before, last = last, None
        match output.get("output_type"):
            case "stream":
                name, text = str(output.get("name")), _text(output.get("text"))
                last = next((stream for stream in reversed(kept) if stream.get("name") == name), None)
                # A bar that is not finished goes on.
                if last and (last is before or last is kept[-1] or "\r" in last.text.rpartition("\n")[2]):
                    last.text += text
                else:
                    last = v4.new_output("stream", name=name, text=text)
                    kept.append(last)
            case "error":
                lines = output.get("traceback")
                trace = _on_screen("\n".join(map(_text, lines)) if isinstance(lines, list) else _text(lines))
                told = dict.fromkeys([_headline(output), trace.strip("\n")])
                kept.append(v4.new_output("error", ename="", evalue="", traceback=list(filter(None, told))))
            case "display_data" | "execute_result" if data := _display(output.get("data", {})):
                kept.append(v4.new_output("display_data", data))
    for output in kept:
        if output.output_type == "stream":
            output.text = _on_screen(output.text).strip("\n")
    return [output for output in kept if output.get("text", "\n.").strip()]


def _display(data: Mapping[str, Any]) -> dict[str, str]:
    """A bundle of MIME types as text, of which the exporter takes the best."""
    texts = {mime: text for mime, value in data.items() if (text := _text(value)).strip()}
    texts["text/plain"] = plain = _on_screen(texts.get("text/plain", ""))
    rich, nothing = texts.get("text/html", ""), _SAYS_NOTHING.fullmatch(plain)
    images = sorted((mime for mime in texts if mime.startswith("image/")), key=lambda mime: "svg" not in mime)
    if "text/markdown" in texts:
        pass
    elif (nothing or _DATA_FRAME.search(rich)) and (converted := _from_html(rich)):
        texts["text/markdown"] = converted
    elif images and "text/latex" not in texts:
        alt = "image" if nothing else re.sub(r"[\[\]<>\\`\s]+", " ", plain).strip()[:80]
        texts["text/markdown"] = f"![{alt}]({_data_uri(images[0], texts[images[0]])})"
    elif nothing:
        texts["text/plain"] = texts.get("application/json", plain)
    return {mime: texts[mime] for mime in _SHOWN if texts.get(mime, "").strip()}


def _data_uri(mime: str, content: str) -> str:
    if mime == "image/svg+xml":  # the one kind of image that notebooks hold as text
        content = base64.b64encode(content.encode()).decode()
    return f"data:{mime};base64,{''.join(content.split())}"


def _embed(source: str, attachments: Mapping[str, Mapping[str, Any]]) -> str:
    for name, bundle in attachments.items():
        for mime, content in bundle.items():
            for written in {name, quote(name)}:
                source = source.replace(f"attachment:{written}", _data_uri(mime, _text(content)))
    return source


def _text(value: Any) -> str:
    """A notebook's text, which may be a list of lines on disk; anything else as JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return "" if value is None else text


def _on_screen(text: str) -> str:
    """What a terminal shows of `text` in the end; a line that is begun again is replaced as a whole."""
    lines = strip_ansi(_NO_COLOUR.sub("", _BAR_BELOW.sub("", text))).split("\n")
    for number, line in enumerate(lines):
        line = line.rstrip("\r").rpartition("\r")[2]
        while (place := line.find("\b")) >= 0:
            line = line[: max(0, place - 1)] + line[place + 1 :]
        lines[number] = line
    return "\n".join(lines)


def _from_html(text: str) -> str:
    """HTML as Markdown, without scripts and styles; empty if nothing is left, or it cannot be understood."""
    try:
        soup = BeautifulSoup(text if len(text) < _TOO_LONG else "", "html.parser")
        for tag in soup(["script", "style"]):
            tag.decompose()
        for table in soup("table"):
            for caption in table("caption"):
                table.insert_before(caption)
            table.replace_with(BeautifulSoup(_squared(table), "html.parser"))
        markdown = MarkdownConverter(heading_style="ATX", escape_misc=True).convert_soup(soup)
        return markdown.strip().replace("$", r"\$")  # which would be mathematics to many readers
    except (ParserRejectedMarkup, RecursionError):
        return ""


def _squared(table: Any) -> str:
    """A table as Markdown's are: one header row, as many cells in each row, no cell in two of them."""
    rows = [row for row in table("tr") if row.find_parent("table") is table]
    cells = [row(["td", "th"], recursive=False) for row in rows]
    widest = max(map(len, cells), default=0)
    grid: dict[tuple[int, int], str] = {}
    for y, row in enumerate(cells):
        for cell in row:
            x = next(x for x in count() if (y, x) not in grid)
            down, right = _span(cell, "rowspan", len(rows) - y), _span(cell, "colspan", widest)
            words = html.escape(cell.get_text(" ", strip=True))
            grid |= {(y + i, x + j): words for i in range(down) for j in range(right)}
    columns = range(1 + max((x for _, x in grid), default=-1))
    heads = [y for y, row in enumerate(rows) if row.parent.name == "thead"]
    # Levels of columns, and the row with the names of the index.
    lines = [[" / ".join(dict.fromkeys(filter(None, (grid.get((y, x)) for y in heads)))) for x in columns]]
    lines += [[grid.get((y, x), "") for x in columns] for y in range(len(rows)) if y not in heads]
    first, *others = ("<tr><td>" + "</td><td>".join(line) + "</td></tr>" for line in lines)
    return f"<table><thead>{first}</thead><tbody>{''.join(others)}</tbody></table>" if columns else ""


def _span(cell: Any, attribute: str, limit: int) -> int:
    value = str(cell.get(attribute, ""))
    return max(1, min(int(value), limit)) if value.isdecimal() else 1


# Made here because it takes as long as the import, which a runner does while the kernel is at work.
_EXPORTER = MarkdownExporter(
    default_preprocessors=[],  # some move images and attachments to side files
    preprocessors=[_Readable, HighlightMagicsPreprocessor],
    config={"NbConvertBase": {"display_data_priority": _SHOWN}},
    raw_mimetypes=["text/markdown", ""],
    raw_template=_TEMPLATE,
)
