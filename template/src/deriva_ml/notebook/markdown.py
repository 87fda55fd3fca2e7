"""Writes an executed notebook as one Markdown text that stands alone, without side files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from deriva_ml.notebook import widgets
from deriva_ml.notebook.displayed_html import figure, in_words, is_better
from deriva_ml.notebook.document import SKIPPED, tags_of
from deriva_ml.redaction import redact

ERROR_MARKER = "papermill-error-cell-tag"  # on the two cells of raw HTML that Papermill adds when one fails
_SHOWN = ("text/markdown", "text/latex", "text/plain")
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
# An inner progress bar, which the outer one outlives.
_BAR_BELOW = re.compile(r"\n{1,9}\r[^\n]*?(?:\x1b\[A)+")
_NO_COLOUR = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|(?!\[)[ -/]*[0-~]?)")  # links, character sets
_ESCAPES = re.compile(r"\x1b\[.*?[@-~]")  # colours, and what moves the cursor
_REWRITTEN = re.compile(r"(?m)^[^\n]*[\r\b][^\n]*")
_MAGIC = re.compile(r"\s*%%(R|bash|cython|javascript|julia|latex|octave|perl|ruby|sh|sql)\s")


def to_markdown(notebook: Mapping[str, Any], title: str | None = None) -> str:
    """Return the notebook (nbformat 4, executed or not) as Markdown, with `title` as its first heading.

    Images are data URIs, data frames tables; streams read as a terminal would show them in the end. Rich
    output that Markdown cannot hold is represented by its text, or by a line that says what the notebook shows. A
    failed run is told before anything else.
    """
    cells: Sequence[Mapping[str, Any]] = notebook.get("cells") or []
    language = "python"
    match notebook:
        case {"metadata": {"language_info": {"name": str(language)}}}:
            pass
    states = widgets.states_of(notebook)
    blocks = [f"# {title}"] if title else []
    blocks += _failure(cells)
    for cell in cells:
        blocks += _cell(cell, language, states)
    blocks = [block.replace("\r", "").strip("\n") for block in blocks]
    return "\n\n".join(filter(None, blocks)).rstrip() + "\n"


def _cell(cell: Mapping[str, Any], language: str, states: widgets.States) -> Iterator[str]:
    """A cell as a reader is to see it; what its tags keep from them is told of."""
    source, tags = _text(cell.get("source")), tags_of(cell)
    left_out = {found[1]: tag for tag in tags if (found := _LEFT_OUT.fullmatch(str(tag)))}
    if "cell" in left_out:
        yield in_words(f"a cell that is tagged {left_out['cell']}")
        return
    match cell:
        case {"cell_type": "markdown"} if ERROR_MARKER not in tags:
            yield embed_attachments(source, cell.get("attachments") or {})
        case {"cell_type": "raw", "metadata": {"raw_mimetype": kind} | {"format": kind}}:
            yield source if kind == "text/markdown" else ""
        case {"cell_type": "raw"}:
            yield source
        case {"cell_type": "code"}:
            if "input" in left_out and source.strip():
                yield in_words(f"code that is tagged {left_out['input']}")
            elif source.strip():
                yield _fenced(source.strip("\n"), language)
            if SKIPPED in tags:
                yield f"(this cell did not run: it is tagged {SKIPPED})"
                return
            outputs = _outputs(cell.get("outputs") or [], states)
            if "output" in left_out and outputs:
                outputs = [in_words(f"output that is tagged {left_out['output']}")]
            yield from outputs


def _fenced(source: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`{3,}", source)), default=0))
    magic = _MAGIC.match(source)
    return f"{fence}{magic[1].lower() if magic else language}\n{source}\n{fence}"


def _indented(text: str) -> str:
    """A text as a block of code, which nothing in it can end."""
    return "    " + text.strip("\n").replace("\n", "\n    ") if text.strip() else ""


def _failure(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line on the cell that ended the run, for Papermill's markers, which are raw HTML."""
    failed = [cell for cell in cells if cell.get("metadata", {}).get("papermill", {}).get("exception")]
    failed += [cell for mark, cell in pairwise(cells) if ERROR_MARKER in tags_of(mark)][-1:]
    for cell in failed[:1]:
        told = [line for line in _text(cell.get("source")).splitlines() if line.strip()][:1]
        told += [_headline(output) for output in cell.get("outputs", []) if output.get("ename")][:1]
        # The runner's own words, unlike what the notebook holds.
        words = (redact(text).replace("`", "'").split() for text in told)
        spans = (f"`{' '.join(some)[:200]}`" for some in words)
        yield f"**This run failed** in cell [{cell.get('execution_count')}]: {': '.join(spans)}"


def _headline(error: Mapping[str, Any]) -> str:
    message = render_terminal(_text(error.get("evalue"))).strip().partition("\n")[0]
    return f"{_text(error.get('ename'))}: {message}".removesuffix(": ")


class _Stream:
    """What was written to a stream in a row; ``begun`` says that its last line may yet be begun again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = False
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        self._parts.append(text)
        self.begun = "\r" in text.rpartition("\n")[2] or (self.begun and "\n" not in text)

    def __str__(self) -> str:
        return _indented(render_terminal("".join(self._parts)))


def _outputs(outputs: Iterable[Mapping[str, Any]], states: widgets.States) -> list[str]:
    """The outputs of a cell as blocks of Markdown; what was printed is one as long as nothing comes between."""
    kept: list[_Stream | str] = []
    last = None  # the stream written to just before
    for output in outputs:
        before, last = last, None
        match output.get("output_type"):
            case "stream":
                name = str(output.get("name"))
                streams = (one for one in reversed(kept) if isinstance(one, _Stream) and one.name == name)
                last = next(streams, None)
                # A bar that is not finished goes on.
                if not last or not (last is before or last is kept[-1] or last.begun):
                    kept.append(last := _Stream(name))
                last.write(_text(output.get("text")))
            case "error":
                lines = output.get("traceback")
                trace = render_terminal("\n".join(map(_text, lines if isinstance(lines, list) else [lines])))
                kept += map(_indented, dict.fromkeys([_headline(output), trace.strip("\n")]))
            case "display_data" | "execute_result":
                data = output.get("data") or {}
                if shown := widgets.displayed(data, states):
                    kept += _outputs(shown, states)
                else:
                    kept.append(_display(data))
    return list(filter(None, map(str, kept)))


def _display(data: Mapping[str, Any]) -> str:
    """The best of a bundle of MIME types as Markdown; empty if there is nothing to see."""
    texts = _texts(data)
    best = next((mime for mime in _SHOWN if texts.get(mime, "").strip()), None)
    return "" if best is None else _indented(texts[best]) if best == "text/plain" else texts[best]


def _texts(data: Mapping[str, Any]) -> Mapping[str, str]:
    """What there is to show of a bundle, as text; if anything is better than that, as Markdown or LaTeX."""
    texts = {mime: text for mime, value in data.items() if (text := _text(value)).strip()}
    texts["text/plain"] = plain = render_terminal(texts.get("text/plain", ""))
    rich, nothing = texts.get("text/html", ""), bool(_SAYS_NOTHING.fullmatch(plain))
    images = sorted((mime for mime in texts if mime.startswith("image/")), key=lambda mime: "svg" not in mime)
    drawn = next((name for kind, name in _DRAWN.items() for mime in data if mime.startswith(kind)), None)
    if not _MATHEMATICS.match(texts.get("text/latex", "")) and not nothing:
        texts.pop("text/latex", None)
    if "text/markdown" in texts:
        pass
    elif drawn is not None and not images and (nothing or widgets.VIEW not in data):
        return {"text/markdown": in_words(drawn)} if drawn else {}
    elif is_better(rich, nothing) and not (drawn and images) and (converted := _from_html(rich)):
        texts["text/markdown"] = converted
    elif images and "text/latex" not in texts:
        alt = "image" if nothing else re.sub(r"[\[\]<>\\`\s]+", " ", plain).strip()[:80]
        texts["text/markdown"] = f"![{alt}]({_data_uri(images[0], texts[images[0]])})"
    elif nothing and "text/latex" not in texts:
        return _last_resort(texts, rich)
    return texts


def _last_resort(texts: Mapping[str, str], rich: str) -> dict[str, str]:
    """What is there to say of a bundle that has neither a text that says something, nor an image."""
    for mime, text in texts.items():
        if mime in {"application/json", "application/geo+json"} and len(text) <= _LONG_DATA:
            return {"text/plain": text}
        if mime.startswith("text/") and mime not in {"text/plain", "text/html"}:
            return {"text/plain": text}
    if rich:
        html = "HTML with a script" if "<script" in rich else "HTML"
        return {"text/markdown": in_words(figure(rich) or html)}
    for mime, text in texts.items():
        if mime != "text/plain":
            known = next((name for kind, name in _OTHERS.items() if mime.startswith(kind)), f"`{mime}`")
            long = f", {len(text):,} characters" if "json" in mime else ""
            return {"text/markdown": in_words(known + long)}
    plain = texts["text/plain"]
    return {"text/plain": plain} if plain.strip() else {"text/markdown": "(an empty text)"}


def _data_uri(mime: str, content: str) -> str:
    if mime == "image/svg+xml":  # the one kind of image that notebooks hold as text
        content = base64.b64encode(content.encode()).decode()
    return f"data:{mime};base64,{''.join(content.split())}"


def embed_attachments(source: str, attachments: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a cell's Markdown with the images that are attached to it as data."""
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


def _from_html(text: str) -> str:
    from deriva_ml.notebook.from_html import from_html  # which loads a parser

    return from_html(text)


def render_terminal(text: str) -> str:
    """What a terminal shows of `text` in the end; a line that is begun again is replaced as a whole."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", _NO_COLOUR.sub("", _BAR_BELOW.sub("", text)))
    return _REWRITTEN.sub(_rewritten, text) if "\r" in text or "\b" in text else text


def _rewritten(line: re.Match[str]) -> str:
    shown: list[str] = []
    for char in line[0].rstrip("\r").rpartition("\r")[2]:
        if char != "\b":
            shown.append(char)
        elif shown:
            shown.pop()
    return "".join(shown)
