"""Converts an executed notebook with nbconvert to one Markdown text that stands alone, without side files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi
from nbconvert.preprocessors import HighlightMagicsPreprocessor, Preprocessor
from nbformat import NotebookNode, from_dict, v4

from deriva_ml.notebook import widgets
from deriva_ml.notebook.document import SKIPPED, tags_of
from deriva_ml.notebook.from_html import figure, from_html, in_words, is_better

ERROR_MARKER = "papermill-error-cell-tag"  # on the two cells of raw HTML that Papermill adds when one fails
_SHOWN = ["text/markdown", "text/latex", "text/plain"]
# A bare repr; Altair's and Bokeh's; that of a renderer which is not there.
_SAYS_NOTHING = re.compile(
    r"(\s*(<[^<>]* (?:object|at 0x\w+)>|[\w.]+\((\.\.\.|id='[\w-]+', \.\.\.)\)|<Vega(Lite)? \d.*))?\s*",
    re.DOTALL,
)
_LONG_DATA = 10_000  # characters of JSON, more than which nobody reads
_MATHEMATICS = re.compile(r"\s*(\$|\\\(|\\\[|\\begin\{(?!Verbatim|tabular|table|longtable))")
_DRAWN = {
    "application/vnd.plotly": "a Plotly figure",
    "application/vnd.vegalite": "a Vega-Lite chart",
    "application/vnd.vega": "a Vega chart",
    "application/vnd.bokehjs_exec": "",  # the HTML before it is the figure's place, and names it
    "application/vnd.bokehjs_load": "",
    "application/vnd.holoviews_load": "",
    "application/vnd.holoviews_exec": "a HoloViews figure",
    widgets.VIEW: "a widget",
}
"""Figures as data, by how the MIME type begins; empty for one without anything to see."""
_OTHERS = {
    "application/javascript": "JavaScript",
    "application/pdf": "a PDF",
    "audio/": "an audio clip",
    "video/": "a video",
}
_LEFT_OUT = re.compile(r"remove[-_](cell|input|output)s?")  # Jupyter Book's tags, and nbconvert's
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
    output that Markdown cannot hold is represented by its text, or by a line that says what the notebook shows. A
    failed run is told before anything else.
    """
    node = from_dict({"metadata": {}, "cells": [], **notebook, "nbformat": 4, "nbformat_minor": 4})
    text, _ = _EXPORTER.from_notebook_node(node)
    return (f"# {title}\n\n" if title else "") + text.replace("\r", "").rstrip() + "\n"


class _Readable(Preprocessor):
    """Builds a valid notebook of what a reader of Markdown can use, whatever the kernel left."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        cells = [v4.new_markdown_cell(line) for line in _failure(nb.cells)]
        states = widgets.states_of(nb)
        for cell in nb.cells:
            cells += _cell(cell, states)
        language = nb.metadata.get("language_info") or {"name": "python"}
        return v4.new_notebook(cells=cells, metadata={"language_info": language}), resources


def _cell(cell: NotebookNode, states: widgets.States) -> Iterable[NotebookNode]:
    """A cell as a reader is to see it; what its tags keep from them is told of."""
    source, tags = _text(cell.get("source")), tags_of(cell)
    left_out = {found[1]: tag for tag in tags if (found := _LEFT_OUT.fullmatch(str(tag)))}
    if "cell" in left_out:
        yield v4.new_markdown_cell(in_words(f"a cell that is tagged {left_out['cell']}"))
        return
    match cell.get("cell_type"):
        case "markdown" if ERROR_MARKER not in tags:
            yield v4.new_markdown_cell(_embed(source, cell.get("attachments", {})))
        case "raw":
            yield v4.new_raw_cell(source, metadata=cell.get("metadata", {}))
        case "code":
            source = source.strip("\n") if source.strip() else ""
            outputs = _outputs(cell.get("outputs", []), states)
            if SKIPPED in tags:
                outputs = [_said(f"(this cell did not run: it is tagged {SKIPPED})")]
            if "output" in left_out and outputs:
                outputs = [_said(in_words(f"output that is tagged {left_out['output']}"))]
            if "input" in left_out and source:
                yield v4.new_markdown_cell(in_words(f"code that is tagged {left_out['input']}"))
                source = ""
            yield v4.new_code_cell(source, outputs=outputs)


def _said(line: str) -> NotebookNode:
    output: NotebookNode = v4.new_output("display_data", {"text/markdown": line})
    return output


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


def _outputs(outputs: Iterable[Mapping[str, Any]], states: widgets.States) -> list[NotebookNode]:
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
            case "display_data" | "execute_result":
                data = output.get("data") or {}
                if shown := widgets.displayed(data, states):
                    kept += _outputs(shown, states)
                elif data := _display(data):
                    kept.append(v4.new_output("display_data", data))
    for output in kept:
        if output.output_type == "stream":
            output.text = _on_screen(output.text).strip("\n")
    return [output for output in kept if output.get("text", "\n.").strip()]


def _display(data: Mapping[str, Any]) -> dict[str, str]:
    """A bundle of MIME types as text, of which the exporter takes the best; empty if there is nothing to see."""
    texts = {mime: text for mime, value in data.items() if (text := _text(value)).strip()}
    texts["text/plain"] = plain = _on_screen(texts.get("text/plain", ""))
    rich, nothing = texts.get("text/html", ""), bool(_SAYS_NOTHING.fullmatch(plain))
    images = sorted((mime for mime in texts if mime.startswith("image/")), key=lambda mime: "svg" not in mime)
    drawn = next((name for kind, name in _DRAWN.items() for mime in data if mime.startswith(kind)), None)
    if not _MATHEMATICS.match(texts.get("text/latex", "")) and not nothing:
        texts.pop("text/latex", None)
    if "text/markdown" in texts:
        pass
    elif drawn is not None and not images and (nothing or widgets.VIEW not in data):
        return {"text/markdown": in_words(drawn)} if drawn else {}
    elif is_better(rich, nothing) and not (drawn and images) and (converted := from_html(rich)):
        texts["text/markdown"] = converted
    elif images and "text/latex" not in texts:
        alt = "image" if nothing else re.sub(r"[\[\]<>\\`\s]+", " ", plain).strip()[:80]
        texts["text/markdown"] = f"![{alt}]({_data_uri(images[0], texts[images[0]])})"
    elif nothing and "text/latex" not in texts:
        return _last_resort(texts, rich)
    return {mime: texts[mime] for mime in _SHOWN if texts.get(mime, "").strip()}


def _last_resort(texts: Mapping[str, str], rich: str) -> dict[str, str]:
    """What is there to say of a bundle that has neither a text that says something, nor an image."""
    for mime, text in texts.items():
        if mime in {"application/json", "application/geo+json"} and len(text) <= _LONG_DATA:
            return {"text/plain": text}
        if mime.startswith("text/") and mime not in {"text/plain", "text/html"}:
            return {"text/plain": text}
    if rich:
        return {
            "text/markdown": in_words(figure(rich) or ("HTML with a script" if "<script" in rich else "HTML"))
        }
    for mime, text in texts.items():
        if mime != "text/plain":
            known = next((name for kind, name in _OTHERS.items() if mime.startswith(kind)), f"`{mime}`")
            long = f", {len(text):,} characters" if "json" in mime else ""
            return {"text/markdown": in_words(known + long)}
    return (
        {"text/plain": texts["text/plain"]}
        if texts["text/plain"].strip()
        else {"text/markdown": "(an empty text)"}
    )


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


# Made here because it takes as long as the import, which a runner does while the kernel is at work.
_EXPORTER = MarkdownExporter(
    default_preprocessors=[],  # some move images and attachments to side files
    preprocessors=[_Readable, HighlightMagicsPreprocessor],
    config={"NbConvertBase": {"display_data_priority": _SHOWN}},
    raw_mimetypes=["text/markdown", ""],
    raw_template=_TEMPLATE,
)
