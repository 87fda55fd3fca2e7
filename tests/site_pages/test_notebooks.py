"""Pages of executed notebooks: all that a notebook shows is in them, and nothing that it holds does anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nbformat import writes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from deriva_ml.notebook.markdown import to_markdown
from deriva_ml.site import notebooks
from site_pages import hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGNg+M/wHwAEAQH/7yMK/gAAAABJRU5ErkJggg=="
SECRET = "/home/ada/project"
RID = "1-ABCD"

Rendered = Callable[..., str]


@pytest.fixture(params=["notebook", "markdown"])
def source(request: pytest.FixtureRequest) -> str:
    """What a page is made from."""
    return str(request.param)


@pytest.fixture
def rendered(tmp_path: Path, source: str) -> Rendered:
    """``rendered(notebook)``: the page of a notebook's JSON, made from its file or its Markdown; empty if there is none."""

    def render(text: str) -> str:
        path, written = tmp_path / "content", dict[str, bytes]()
        make = notebooks.from_notebook if source == "notebook" else notebooks.from_markdown
        path.write_text(text if source == "notebook" else to_markdown(json.loads(text)))
        found = make(
            path, RID, f"A run in {SECRET}", written.__setitem__, lambda text: text.replace(SECRET, "…")
        )
        if found is None:
            assert not written
            return ""
        assert (found["src"], found["from"], [*written]) == (f"notebooks/{RID}.html", source, [found["src"]])
        return written[found["src"]].decode()

    return render


def shown(**data: Any) -> Any:
    """An output with what is there of each MIME type; ``_`` stands for its slash."""
    return new_output("display_data", {name.replace("_", "/", 1): value for name, value in data.items()})


def notebook(*outputs: Any, text: str = "# Digits", **cell: Any) -> str:
    """A notebook with a text, and a cell that has these outputs."""
    cells = [
        new_markdown_cell(text, **cell),
        new_code_cell("fit(0.1)", outputs=[*outputs], execution_count=3),
    ]
    return str(writes(new_notebook(cells=cells)))


def test_what_a_notebook_shows_is_in_its_page(rendered: Rendered, source: str) -> None:
    """Texts, code, what was printed, tables, pictures, and why it failed; without the paths of a machine."""
    page = rendered(
        notebook(
            new_output("stream", text=f"10%\r\x1b[32m100%\x1b[0m of {SECRET}/data\n"),
            shown(text_html="<table class='dataframe'><tr><td>0.9</td></tr></table>", text_plain="0.9"),
            shown(image_png=PICTURE, text_plain="<Figure size 2x1>"),
            shown(image_svg="", text_plain="plain & simple"),
            new_output("error", ename="KeyError", evalue="'x'", traceback=["\x1b[31mKeyError\x1b[0m: 'x'"]),
            text="# Digits\n\n**How** they are read: ![a](attachment:a.png)",
            attachments={"a.png": {"image/png": PICTURE}},
        )
    )
    for expected in (
        "<h1>Digits",
        "<strong>How",
        "100% of …/data",
        "plain &amp; simple",
        "KeyError",
        "0.9</t",
    ):
        assert expected in page, expected
    assert page.count(f"data:image/png;base64,{PICTURE}") == 2
    assert SECRET not in page and "\x1b" not in page and "10%\r" not in page
    assert "<title>A run in …</title>" in page
    assert "fit" in page and ("[3]:" in page) == (source == "notebook")


def test_a_widget_shows_what_it_did_in_the_end(rendered: Rendered) -> None:
    """Its script is not there, its last state is."""
    state = {
        "model_name": "IntSliderModel",
        "state": {"description": "depth", "value": 4, "_model_name": "IntSliderModel"},
    }
    made = json.loads(
        notebook(
            shown(
                **{"application_vnd.jupyter.widget-view+json": {"model_id": "m"}, "text_plain": "IntSlider()"}
            )
        )
    )
    made["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"m": state}}}
    assert "depth: 4" in rendered(json.dumps(made))


def test_a_figure_that_a_script_would_draw_is_named(rendered: Rendered) -> None:
    """It is said what is missing."""
    html = "<div id=a class='plotly-graph-div'></div><script>Plotly.newPlot('a', [])</script>"
    page = rendered(notebook(shown(text_html=html, text_plain="<Figure object at 0x1>")))
    assert "a Plotly figure: see the notebook" in page and "newPlot" not in page


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "{not json", '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": [{}]}'
     , '{"nbformat": 4, "cells": [{"cell_type": "code", "outputs": [{"output_type": "stream"}]}]}'
     , '{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": {"a": ' + "[" * 500 + "]" * 500 + "}}]}"],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_notebook_has_no_page(tmp_path: Path, text: str) -> None:
    """Nor has a file that is missing, one that is no text, and one that is too large; nothing is raised."""
    path = tmp_path / "content"
    path.write_text(text)

    def never(name: str, content: bytes) -> None:
        pytest.fail(name)

    assert notebooks.from_notebook(path, RID, "", never, str) is None
    path.write_bytes(b"\xff\xfe")
    assert notebooks.from_markdown(path, RID, "", never, str) is None
    assert notebooks.from_notebook(tmp_path / "gone", RID, "", never, str) is None
    with path.open("wb") as stream:
        stream.truncate(notebooks.LARGEST + 1)
    assert notebooks.from_notebook(path, RID, "", never, str) is None
    assert notebooks.from_markdown(path, RID, "", never, str) is None


def test_an_old_notebook_may_have_cells_of_odd_types(rendered: Rendered) -> None:
    """What a cell has that is no text is shown as JSON, as in the Markdown."""
    assert "Digits" in rendered(notebook(shown(application_json={"a": [1]})))


def test_a_hostile_notebook_does_nothing_in_a_browser(
    rendered: Rendered, tmp_path: Path, chromium: Browser
) -> None:
    """Opened alone, or in a sandboxed frame: no script runs, nothing is asked for, and one stays on the page."""
    page = rendered(hostile.notebook())
    assert page.index("Content-Security-Policy") < page.index("<title>") and len(page) < 60_000
    (tmp_path / "alone.html").write_text(page)
    (tmp_path / "framed.html").write_text('<iframe sandbox src="alone.html" width=900 height=900></iframe>')
    window = chromium.new_page()
    asked, told = list[str](), list[str]()
    window.on("request", lambda request: asked.append(request.url))
    window.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
    window.on("popup", lambda popup: told.append(popup.url))
    window.on("console", lambda message: told.append(message.text))
    for name in ("alone.html", "framed.html"):
        address = (tmp_path / name).as_uri()
        window.goto(address)
        for frame in window.frames:
            assert frame.evaluate("window.pwned") is None
            acts = "document.querySelectorAll('script, iframe[srcdoc], object, form, base').length"
            assert frame.evaluate(acts) == 0
        if name == "alone.html":
            for part in window.locator("a:not([href^='#'], [href^='http']), button, svg, img").all():
                part.dispatch_event("click")
                part.dispatch_event("error")
            assert window.evaluate("window.pwned") is None
        window.wait_for_timeout(100)
        assert window.url == address
    window.close()
    assert [url for url in asked if not url.startswith((tmp_path.as_uri(), "data:"))] == []
    assert told == []
