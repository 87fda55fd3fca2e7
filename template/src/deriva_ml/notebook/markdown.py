"""Converts an executed notebook to one Markdown text that stands alone: no side files, no raw HTML.

By hand rather than with nbconvert: its Markdown leaves images in side files, data frames in HTML and fences
open to break. All that would have to be replaced, and its import takes a quarter of a small notebook's run.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from deriva_ml.notebook.parameters import tags_of

ERROR_MARKER = "papermill-error-cell-tag"  # on the two cells of raw HTML that Papermill adds when one fails
_DATA_FRAME = re.compile(r"<table[^>]*(?:class=\"[^\"]*\bdataframe\b|id=\"T_)")  # pandas, polars...; a Styler
_TOO_LONG = 1_000_000  # characters of HTML that would take seconds to convert
_BARE_OBJECT = re.compile(r"\s*<[^<>]* (?:object|at 0x\w+)>\s*")  # a repr that says nothing to a reader
_CELL_LANGUAGES = {"bash", "sh", "html", "javascript", "js", "latex", "markdown", "perl", "ruby", "sql", "R"}
_TERMINAL = re.compile(
    r"\x1b\[(?P<up>\d*)A"
    r"|(?P<erase>\x1b\[\d*K)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]?"  # colours, links, the rest
    r"|(?P<move>[\r\n\b])"
    r"|(?P<text>[^\x1b\r\n\b]+)"
)
# What would be Markdown where a person meant the characters; an underscore inside a word is harmless.
_SPECIAL = re.compile(r"[\\`*\[\]<>~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def to_markdown(notebook: Mapping[str, Any], title: str | None = None) -> str:
    """Return the notebook (nbformat 4, executed or not) as Markdown, with `title` as its first heading.

    Images are data URIs, data frames tables; streams read as a terminal would show them in the end. Rich
    output that Markdown cannot hold is represented by its text. A failed run is told before anything else.
    """
    cells = list(notebook.get("cells", ()))
    language = _language(notebook.get("metadata") or {})
    blocks = [f"# {title}" if title else "", _failure(cells)]
    for cell in cells:
        if ERROR_MARKER not in tags_of(cell):
            blocks += _cell(cell, language)
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def _language(metadata: Mapping[str, Any]) -> str:
    info = metadata.get("language_info") or {}
    kernel = metadata.get("kernelspec") or {}
    return str(info.get("name") or kernel.get("language") or "python")


def _cell(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    source = _text(cell.get("source"))
    match cell.get("cell_type"):
        case "markdown":
            yield _with_attachments(source, cell.get("attachments") or {})
        case "raw":
            if (cell.get("metadata") or {}).get("raw_mimetype", "") in ("", "text/markdown"):
                yield source
        case "code":
            magic = re.match(r"%%(\w+)", source)
            yield _fenced(source, magic[1] if magic and magic[1] in _CELL_LANGUAGES else language)
            yield from _outputs(cell.get("outputs") or [])


def _failure(cells: list[Mapping[str, Any]]) -> str:
    """One line on the cell that ended the run, for Papermill's markers, which are raw HTML."""
    marked = [place for place, cell in enumerate(cells) if ERROR_MARKER in tags_of(cell)]
    failed = [
        cell for cell in cells if ((cell.get("metadata") or {}).get("papermill") or {}).get("exception")
    ]
    failed += [cell for cell in cells[marked[-1] + 1 :][:1] if marked] if marked else []
    if not failed:
        return ""
    cell = failed[0]
    lines = [line.strip() for line in _text(cell.get("source")).splitlines() if line.strip()]
    errors = [output for output in cell.get("outputs") or [] if output.get("output_type") == "error"]
    where = f"in cell [{cell.get('execution_count') or ' '}]"
    where += f", {_code(lines[0][:80])}" if lines else ""
    return f"**This run failed** {where}" + (f": {_error_line(errors[0])}" if errors else "")


def _outputs(outputs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    blocks: list[list[str]] = []  # [stream, its text] or ["", Markdown]
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            name, text = str(output.get("name")), _text(output.get("text"))
            own = [block for block in blocks if block[0] == name]
            # What starts with a carriage return goes on with the line that its stream left unfinished: a
            # progress bar among prints.
            unfinished = own and text.startswith("\r") and not own[-1][1].endswith("\n")
            if own and (own[-1] is blocks[-1] or unfinished):
                own[-1][1] += text
            else:
                blocks.append([name, text])
        elif kind == "error":
            blocks.append(["", _error(output)])
        else:
            blocks.append(["", _display(output.get("data") or {})])
    for name, text in blocks:
        yield _fenced(_as_on_screen(text)) if name else text


def _error(output: Mapping[str, Any]) -> str:
    lines = output.get("traceback")
    trace = _as_on_screen("\n".join(map(_text, lines)) if isinstance(lines, list) else _text(lines))
    told = trace.strip() in ("", f"{output.get('ename')}: {_text(output.get('evalue'))}".strip())
    return f"**Error:** {_error_line(output)}" + ("" if told else f"\n\n{_fenced(trace)}")


def _error_line(output: Mapping[str, Any]) -> str:
    message = _as_on_screen(_text(output.get("evalue"))).strip().partition("\n")[0]
    return _code(f"{output.get('ename')}: {message}" if message else _text(output.get("ename")))


def _display(data: Mapping[str, Any]) -> str:
    """The best that a bundle of MIME types has for Markdown."""
    texts = {mime: text for mime, value in data.items() if (text := _text(value)).strip()}
    plain = _as_on_screen(texts.get("text/plain", ""))
    html = texts.get("text/html", "")
    html = html if len(html) < _TOO_LONG else ""
    if "text/markdown" in texts:
        return texts["text/markdown"]
    if _DATA_FRAME.search(html):
        return _from_html(html)
    if "text/latex" in texts:
        return texts["text/latex"]
    for mime in sorted(texts, key=lambda mime: mime != "image/svg+xml"):
        if mime.startswith("image/"):
            return _image(mime, texts[mime], plain)
    if not plain or _BARE_OBJECT.fullmatch(plain):
        if html and (converted := _from_html(html)):
            return converted
        if "application/json" in texts:
            return _fenced(texts["application/json"], "json")
    return _fenced(plain)


def _image(mime: str, content: str, description: str) -> str:
    said = "" if _BARE_OBJECT.fullmatch(description) else description
    alt = re.sub(r"[\[\]<>\\`\s]+", " ", said).strip()[:80]
    return f"![{alt or 'image'}]({_data_uri(mime, content)})"


def _data_uri(mime: str, content: str) -> str:
    if mime == "image/svg+xml":  # the one kind of image that notebooks hold as text
        content = base64.b64encode(content.encode()).decode()
    return f"data:{mime};base64,{''.join(content.split())}"


def _with_attachments(source: str, attachments: Mapping[str, Mapping[str, Any]]) -> str:
    for name, bundle in attachments.items():
        for mime, content in bundle.items():
            for written in {name, quote(name)}:
                source = source.replace(f"attachment:{written}", _data_uri(mime, _text(content)))
    return source


def _text(value: Any) -> str:
    """A notebook's text, which may be a list of lines on disk; anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _as_on_screen(text: str) -> str:
    """What a terminal shows of `text` in the end: no colours; returns, backspaces, cursor moves done.

    A line that is begun again is replaced as a whole, whatever the lengths.
    """
    if not re.search(r"[\x1b\r\b]", text):
        return text
    rows, row, again = [""], 0, False
    for token in _TERMINAL.finditer(text):
        if token["text"]:
            rows[row] = token["text"] if again else rows[row] + token["text"]
            again = False
        elif token["move"] == "\n":
            row, again = row + 1, False
            rows += [""] * (row == len(rows))
        elif token["move"] == "\r":
            again = True
        elif token["move"] == "\b":
            rows[row] = rows[row][:-1]
        elif token["up"] is not None:
            row, again = max(0, row - int(token["up"] or 1)), True
        elif token["erase"] and (again or token["erase"] != "\x1b[K"):
            rows[row] = ""
    return "\n".join(line.rstrip() for line in rows)


def _fenced(text: str, language: str = "") -> str:
    """A code block, whose fence is longer than any run of backticks in it."""
    if not text.strip():
        return ""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def _code(text: str) -> str:
    """A code span in a line."""
    text = " ".join(text.split())
    ticks = "`" * max([1, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def _from_html(html: str) -> str:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    for tag in soup(["script", "style"]):
        tag.decompose()
    for table in soup("table"):
        _square(table, soup)
    return str(_converter().convert_soup(soup)).strip()


@cache
def _converter() -> Any:
    from markdownify import MarkdownConverter

    class Converter(MarkdownConverter):
        def escape(self, text: str, parent_tags: set[str]) -> str:
            return _SPECIAL.sub(r"\\\g<0>", text)

        def convert_td(self, element: Any, text: str, parent_tags: set[str]) -> str:
            # Rows are cut at bare pipes before anything else is looked at; one after "\\\\" is bare, too.
            text = re.sub(r"(?<!\\)((?:\\\\)*)\|", r"\1\\|", text)
            return str(super().convert_td(element, text, parent_tags))  # type: ignore[misc]

        convert_th = convert_td

    return Converter(heading_style="ATX")


def _square(table: Any, soup: Any) -> None:
    """Make a table what Markdown's are: one header row, as many cells in each row, no cell in two of them."""
    rows = table("tr")
    widest = max((len(row(["td", "th"], recursive=False)) for row in rows), default=0)
    grid: dict[tuple[int, int], Any] = {}
    for y, row in enumerate(rows):
        x = 0
        for cell in row(["td", "th"], recursive=False):
            while (y, x) in grid:
                x += 1
            height, width = _span(cell, "rowspan", len(rows) - y), _span(cell, "colspan", widest)
            grid |= {(y + down, x + right): cell for down in range(height) for right in range(width)}
    columns = range(1 + max((x for _, x in grid), default=0))
    heads = [y for y, row in enumerate(rows) if row.parent.name == "thead"]
    placed: set[int] = set()
    for y, row in enumerate(rows):
        cells = [grid.get((y, x)) for x in columns]
        row.clear()
        if y in heads[1:]:
            row.decompose()
            continue
        for x, cell in enumerate(cells):
            if y in heads:  # levels of columns, and the row with the names of the index
                levels = (_words(grid.get((head, x))) for head in heads)
                cell = _new_cell(soup, "th", " / ".join(dict.fromkeys(filter(None, levels))))
            elif cell is None or id(cell) in placed:
                cell = _new_cell(soup, "td", _words(cell))
            placed.add(id(cell))
            row.append(cell)


def _span(cell: Any, attribute: str, limit: int) -> int:
    value = str(cell.attrs.pop(attribute, ""))
    return max(1, min(int(value), limit)) if value.isdecimal() else 1


def _words(cell: Any) -> str:
    return "" if cell is None else str(cell.get_text(" ", strip=True))


def _new_cell(soup: Any, name: str, text: str) -> Any:
    cell = soup.new_tag(name)
    cell.string = text
    return cell
