"""An executed notebook as a page of its own, from its file or from the Markdown that was recorded of it."""

from __future__ import annotations

import functools
import html
import json
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.notebook import widgets
from deriva_ml.notebook.displayed_html import figure, in_words
from deriva_ml.notebook.markdown import embed_attachments, render_terminal
from deriva_ml.site.harmless import (
    Clean,
    Write,
    beside_data,
    defused,
    harmless_page,
    height_of,
    shows_something,
)
from deriva_ml.site.notebook_style import STYLE
from deriva_ml.untrusted import DAMAGED, READING, is_deep

LARGEST = 20_000_000
"""Bytes of a notebook, or of its Markdown, that is made a page."""

LONGEST = 1_000_000
"""Characters of Markdown, without the pictures in it."""

DISPLAYED = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]
"""What is shown of an output: the first of these that says something. None of them needs a script."""

_PICTURE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_PLACE = "picture-{}.data"


def from_notebook(content: Path, rid: str, title: str, write: Write, clean: Clean) -> dict[str, Any] | None:
    """Write the page of an executed notebook's file, and return where it is in the site; None if it is none.

    Args:
        content: where the notebook's content lies, if it is there.
        rid: of its execution.
        title: of the page.
    """
    try:
        notebook = json.loads(_read(content))
        if is_deep(notebook) or notebook["nbformat"] != 4:
            return None
        cells = [*_cells(notebook, clean)]
    except (OSError, *DAMAGED):
        return None
    try:
        body = _exported(cells)
    except Exception:  # of the several libraries that take part, for a cell that no notebook would have
        return None
    return _written(body, rid, title, "notebook", write, clean)


def from_markdown(content: Path, rid: str, title: str, write: Write, clean: Clean) -> dict[str, Any] | None:
    """Write the page of a notebook's recorded Markdown, and return where it is in the site; None if it is no text.

    It takes a fraction of the time of the other one. HTML in it is shown as text.
    """
    try:
        text = _read(content).decode()
        pictures = list[str]()

        def kept(found: re.Match[str]) -> str:
            pictures.append(found[0])
            return _PLACE.format(len(pictures) - 1)

        # A parser would look at each of their characters.
        text = clean(_PICTURE.sub(kept, text))
        if len(text) > LONGEST:
            return None
        body = _markdown()(text)
    except (OSError, *DAMAGED):
        return None
    for number, picture in enumerate(pictures):
        body = body.replace(f'src="{_PLACE.format(number)}"', f'src="{picture}"', 1)
    return _written(body, rid, title, "markdown", write, clean)


def _read(content: Path) -> bytes:
    with open(os.open(content, READING), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError  # it is no file, or too large
        return stream.read()


def _written(body: str, rid: str, title: str, source: str, write: Write, clean: Clean) -> dict[str, Any]:
    place = f"notebooks/{rid}.html"
    write(place, harmless_page(clean(title), body, STYLE))
    return {"src": place, "from": source, "height": height_of(body)}


# ------------------------------------------------------------------------------------------------------- Markdown
@functools.cache
def _markdown() -> Any:
    """Return what makes HTML of Markdown: its own tags only."""
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def image(self, text: str, url: str, title: str | None = None) -> str:
            # One that is elsewhere would not be fetched.
            known = re.fullmatch(_PLACE.format(r"\d+").replace(".", r"\."), url)
            return (
                f'<img alt="{text}" src="{url}">' if known else f"({text or 'picture'}: {html.escape(url)})"
            )

    return mistune.create_markdown(
        escape=True, renderer=Renderer(escape=True), plugins=["strikethrough", "table"]
    )


# ------------------------------------------------------------------------------------------------------- nbconvert
@functools.cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config({"NbConvertBase": {"display_data_priority": DISPLAYED}})
    exporter = HTMLExporter(config=config, template_name="basic", exclude_anchor_links=True)
    exporter.log = logging.getLogger("deriva_ml.site.notebooks")
    exporter.log.disabled = True
    return exporter


def _exported(cells: list[dict[str, Any]]) -> str:
    import nbformat

    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    notebook = nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})
    return str(_exporter().from_notebook_node(notebook)[0])


def _cells(notebook: Mapping[str, Any], clean: Clean) -> Iterator[dict[str, Any]]:
    """The cells with no more in them than is shown, cleaned."""
    states = widgets.states_of(notebook)
    for cell in notebook["cells"]:
        kind, source = cell["cell_type"], beside_data(_joined(cell.get("source", "")), clean)
        if kind == "code":
            count = cell.get("execution_count")
            yield {
                "cell_type": "code",
                "source": source,
                "metadata": {},
                "execution_count": count if isinstance(count, int) else None,
                "outputs": [*_outputs(cell.get("outputs") or [], states, count, clean)],
            }
        elif kind == "markdown":
            source = embed_attachments(source, cell.get("attachments") or {}).replace("attachment:", "")
            yield {"cell_type": "markdown", "source": source, "metadata": {}}
        else:
            yield {"cell_type": "raw", "source": source, "metadata": {}}


def _outputs(
    outputs: Iterable[Mapping[str, Any]], states: widgets.States, count: Any, clean: Clean
) -> Iterator[dict[str, Any]]:
    for output in outputs:
        kind, metadata = output["output_type"], output.get("metadata") or {}
        if kind == "stream":
            text = clean(render_terminal(_joined(output["text"])))
            yield {
                "output_type": "stream",
                "name": "stdout" if output.get("name") != "stderr" else "stderr",
                "text": text,
            }
        elif kind == "error":
            trace = render_terminal("\n".join(map(_joined, output.get("traceback") or [])))
            told = trace or f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
            yield {"output_type": "error", "ename": "", "evalue": "", "traceback": [clean(told)]}
        elif shown := widgets.displayed(output.get("data") or {}, states):
            yield from _outputs(shown, states, count, clean)
        else:
            mime, text = _best(output.get("data") or {}, clean)
            found = metadata.get(mime)
            sizes: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
            kept = {name: sizes[name] for name in ("width", "height") if isinstance(sizes.get(name), int)}
            yield {
                "output_type": kind if kind == "display_data" else "execute_result",
                "execution_count": count if isinstance(count, int) else None,
                "data": {mime: text},
                "metadata": {mime: {**kept, "alt": f"what cell {count} shows"}},
            }


def _best(data: Mapping[str, Any], clean: Clean) -> tuple[str, str]:
    """Return the MIME type and the text of what is shown of an output."""
    drawn = ""
    for mime in DISPLAYED:
        text = _joined(data[mime]) if mime in data else ""
        if mime == "text/html" and text:
            drawn = in_words(figure(text) or "HTML with a script")
            text = defused(text)
            if not shows_something(text):
                continue
        if mime == "image/svg+xml" and text.strip():
            return mime, clean(text)
        if mime.startswith("image/"):
            if _BASE64.fullmatch(text):
                return mime, text
            continue
        if text.strip() and not (mime == "text/plain" and drawn):
            return mime, beside_data(render_terminal(text) if mime == "text/plain" else text, clean)
    return "text/plain", drawn or in_words(f"`{next(iter(data))}`" if data else "nothing")


def _joined(value: Any) -> str:
    """Return a notebook's text, which may be a list of lines.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str | list):
        value = json.dumps(value, indent=2, ensure_ascii=False)
    return value if isinstance(value, str) else "".join(value)
