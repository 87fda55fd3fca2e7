"""What the Markdown says of output that it cannot show, as libraries really emit it (shortened), and of widgets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from deriva_ml.notebook.markdown import to_markdown
from test_markdown import block, converted, rows_of, shown

HTML = {"text/plain": "<IPython.core.display.HTML object>"}
SEE = "see the notebook)\n"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"application/vnd.plotly.v1+json": {"data": [], "layout": {}}}, "(a Plotly figure: "),
        (
            {
                "application/vnd.plotly.v1+json": {"data": []},
                "text/plain": "Figure({\n    'data': [" + "1, " * 5000,
            },
            "(a Plotly figure: ",
        ),
        (
            {
                "text/html": '<div><script>window.PlotlyConfig = {};</script><div id="f" class="plotly-graph-div">'
                '</div><script>Plotly.newPlot("f", [])</script></div>'
            },
            "(a Plotly figure: ",
        ),
        (
            {
                "text/html": "<style>#a.vega-embed {}</style><div id='a'></div><script>vegaEmbed('#a')</script>",
                "text/plain": "alt.Chart(...)",
            },
            "(a Vega chart: ",
        ),
        (
            {
                "application/vnd.vegalite.v5+json": {},
                "text/plain": "<VegaLite 5 object>\n\nIf you see this message",
            },
            "(a Vega-Lite chart: ",
        ),
        (
            {"text/html": '\n  <div id="aebb" data-root-id="p1008" style="display: contents;"></div>\n'},
            "(a Bokeh figure: ",
        ),
        (
            {
                "application/vnd.holoviews_exec.v0+json": "",
                "text/html": "<div id='x'></div>",
                "text/plain": ":Curve",
            },
            "(a HoloViews figure: ",
        ),
        (
            {
                "text/html": '<div><span style="color:#565656">Make this Notebook Trusted to load map: File</span>'
                '<iframe srcdoc="&lt;script src=&quot;https://x.org/leaflet.js&quot;&gt;"></iframe></div>',
                "text/plain": "<folium.folium.Map at 0x7f65ec3e8b50>",
            },
            "(a map: ",
        ),
        (
            {"text/html": '<audio controls><source src="data:audio/wav;base64,UklG"></audio>', **HTML},
            "(an audio clip: ",
        ),
        (
            {"text/html": '<video controls src="data:video/mp4;base64,AAAA">no video</video>', **HTML},
            "(a video: ",
        ),
        (
            {"text/html": "<div id='graph'></div><script>draw('graph')</script>", **HTML},
            "(what a script shows: ",
        ),
        ({"text/html": "<script>document.write('x')</script>", **HTML}, "(HTML with a script: "),
        ({"text/html": f"<script>{'x' * 1_100_000}</script>", **HTML}, "(HTML with a script: "),
        ({"text/html": f"<script>Plotly.newPlot(){'x' * 1_100_000}</script>", **HTML}, "(a Plotly figure: "),
        ({"text/html": f"<p>{'x ' * 600_000}</p>", **HTML}, "(HTML: "),
        (
            {"application/javascript": "alert(1)", "text/plain": "<IPython.core.display.Javascript object>"},
            "(JavaScript: ",
        ),
        ({"application/pdf": "JVBERg==", "text/plain": "<__main__.P at 0x7f65cb4b2090>"}, "(a PDF: "),
        ({"audio/mpeg": "AAAA"}, "(an audio clip: "),
        ({"application/x-custom+json": {"a": 1}}, "(`application/x-custom+json`, 12 characters: "),
        ({"application/x-custom": "abc"}, "(`application/x-custom`: "),
        ({"application/json": [0] * 5_000}, "(`application/json`, 25,002 characters: "),
        ({"application/vnd.jupyter.widget-view+json": {"model_id": "gone"}}, "(a widget: "),
    ],
)
def test_what_markdown_cannot_show_leaves_one_line(data: dict[str, Any], line: str) -> None:
    text = shown(data)
    assert text.startswith(line) and text.endswith(SEE) and text.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ({"text/html": "<a href='my r.csv' target='_blank'>my r.csv</a><br>", "text/plain": "/home/me/my r.csv"},
         "[my r.csv](my%20r.csv)\n"),
        ({"text/html": "dd/<br>\n&nbsp;&nbsp;<a href='dd/x.txt'>x.txt</a><br>", "text/plain": "dd/\n  x.txt"},
         "[x.txt](dd/x.txt)"),
        ({"text/html": '<iframe width="4" src="https://x.org/a.html"></iframe>',
          "text/plain": "<IPython.lib.display.IFrame at 0x7f>"}, "(a page: [https://x.org/a.html](https://x.org/a.html))"),
        ({"text/html": '<video src="runs/v.mp4" controls></video>', **HTML}, "(a video: [runs/v.mp4](runs/v.mp4))"),
        ({"text/html": '<img src="data:image/png;base64,AAAA">', "text/plain": "Thing(3)"},
         "![](data:image/png;base64,AAAA)"),
        ({"text/html": "<ul><li>one</li><li>two</li></ul>", "text/plain": "<__main__.A at 0x7f65cb42ec50>"},
         "* one\n* two"),
        ({"text/html": "<h3>Graph</h3><div id='g'></div><script>draw('g')</script>", **HTML},
         "### Graph\n\n(what a script shows: see the notebook)"),
        ({"text/latex": r"\begin{Verbatim}x=1\end{Verbatim}", "text/plain": "x=1", "text/html": "<pre>x=1</pre>"},
         block("x=1")),
        ({"application/geo+json": {"type": "Point"}, "text/plain": "<IPython.display.GeoJSON object>"},
         block('{\n  "type": "Point"\n}')),
        ({"text/vnd.mermaid": "graph LR; a-->b"}, block("graph LR; a-->b")),
        ({"text/plain": ""}, "(an empty text)"),
        ({"text/html": '<div class="sk-top"><table><tr><td>alpha</td></tr></table><a href="d">?</a></div>',
          "text/plain": "Ridge(alpha=2)"}, block("Ridge(alpha=2)")),
        ({"application/vnd.plotly.v1+json": {}, "image/png": "AAAA"}, "![image](data:image/png;base64,AAAA)"),
    ],
)  # fmt: skip
def test_what_it_can_show_is_shown(data: dict[str, Any], seen: str) -> None:
    assert seen in shown(data)


def test_loading_a_library_of_scripts_leaves_nothing() -> None:
    assert (
        shown({"application/javascript": "load()", "application/vnd.bokehjs_load.v0+json": "load()"}) == "\n"
    )


def test_a_table_of_any_library_is_one_with_its_links() -> None:
    html = (
        "<div id='gt'><style>#gt table {}</style><table class='gt_table'><tr><th>file</th><th>n</th></tr>"
        "<tr><td><a href='a.csv'>a.csv</a> first</td><td>1</td></tr></table></div>"
    )
    text = shown({"text/html": html, "text/plain": "GT(_tbl_data=   a\n0  1" + "x" * 9_000})
    assert rows_of(text) == [["file", "n"], ["[a.csv](a.csv) first", "1"]]


def test_a_drawing_in_html_keeps_its_upper_case() -> None:
    import base64
    import re

    text = shown({"text/html": '<div><svg viewBox="0 0 1 1"><path/></svg></div>', **HTML})
    found = re.search(r"data:image/svg\+xml;base64,([^)]+)\)", text)
    assert (
        found
        and 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"' in base64.b64decode(found[1]).decode()
    )


# ------------------------------------------------------------------------------------------------------------- widgets
def model(name: str, **state: Any) -> dict[str, Any]:
    return {"model_name": f"{name}Model", "state": {"_model_name": f"{name}Model", **state}}


STATES: dict[str, dict[str, Any]] = {
    "bar": model("HBox", children=["IPY_MODEL_left", "IPY_MODEL_middle", "IPY_MODEL_right"]),
    "left": model("HTML", value="epochs:\u2007100%", description=""),
    "middle": model("FloatProgress", min=0.0, max=30.0, value=30.0, description="", bar_style="success"),
    "right": model("HTML", value="\u200730/30\u2007[00:00&lt;00:00,\u20072895.62it/s]", description=""),
    "stopped": model("HBox", children=["IPY_MODEL_percent", "IPY_MODEL_third", "IPY_MODEL_right"]),
    "percent": model("HTML", value="30%"),
    "third": model("FloatProgress", min=0.0, max=10.0, value=3.0),
    "output": model("Output", outputs=[{"output_type": "stream", "name": "stdout", "text": "RESULT 42\n"}]),
    "failing": model("Output", outputs=[{"output_type": "error", "ename": "E", "evalue": "bad", "traceback": []}]),
    "slider": model("IntSlider", value=5, description="depth"),
    "unlabelled": model("IntSlider", value=5, description=""),
    "range": model("IntRangeSlider", value=[1, 7], description="rows"),
    "choice": model("Dropdown", _options_labels=["a", "b"], index=1, description="pick"),
    "several": model("SelectMultiple", _options_labels=["p", "q", "r"], index=[0, 2], description="m"),
    "none": model("Dropdown", _options_labels=["a"], index=None, description="pick"),
    "day": model("DatePicker", value={"year": 2024, "month": 1, "date": 3}, description="from"),
    "check": model("Checkbox", value=True, description="ok"),
    "button": model("Button", description="Go"),
    "label": model("Label", value="x < y & z"),
    "html": model("HTML", value="<b>bold</b> &amp; <i>x</i>"),
    "box": model("VBox", children=["IPY_MODEL_slider", "IPY_MODEL_output", "IPY_MODEL_hidden", "IPY_MODEL_box"]),
    "hidden": model("Label", value="secret", layout="IPY_MODEL_layout"),
    "layout": model("Layout", display="none"),
    "tabs": model("Tab", children=["IPY_MODEL_check", "IPY_MODEL_label"], titles=["A", "B"]),
    "image": {**model("Image", format="png"), "buffers": [{"path": ["value"], "data": "YWJj", "encoding": "base64"}]},
    "canvas": model("MPLCanvas", _data_url="data:image/png;base64,YWJj"),
    "map": model("LeafletMap", center=[0, 0]),
    "any": model("Any", _anywidget_id="plotly.basewidget.FigureWidget"),
}  # fmt: skip


def widget(name: str, states: Any = STATES, plain: str = "at first") -> str:
    """The Markdown of a cell that displays the widget of this name."""
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": name}, "text/plain": plain}
    kept = {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "state": copy.deepcopy(states)}}
    cell = new_code_cell("", outputs=[new_output("display_data", view)])
    return to_markdown(new_notebook(cells=[cell], metadata={"widgets": kept}))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("bar", "epochs: 100%|██████████| 30/30 [00:00<00:00, 2895.62it/s]"),
        ("stopped", "30%|███       | 30/30 [00:00<00:00, 2895.62it/s]"),
        ("third", "|███       | 3/10"),
        ("output", "RESULT 42"),
        ("failing", "E: bad"),
        ("slider", "depth: 5"),
        ("unlabelled", "IntSlider: 5"),
        ("range", "rows: 1, 7"),
        ("choice", "pick: b"),
        ("several", "m: p, r"),
        ("none", "pick: none"),
        ("day", "from: 2024-02-03"),
        ("check", "ok: True"),
        ("button", "[Go]"),
        ("label", "x < y & z"),
        ("html", "bold & x"),
        ("tabs", "A:\nok: True\nB:\nx < y & z"),
        ("map", "(a widget, LeafletMap: see the notebook)"),
        ("any", "(a widget, FigureWidget: see the notebook)"),
        ("gone", "at first"),
    ],
)
def test_a_widget_is_shown_as_it_was_in_the_end(name: str, lines: str) -> None:
    assert widget(name) == block(lines)


def test_a_box_shows_what_is_in_it_once_and_nothing_that_is_hidden() -> None:
    text = widget("box")
    assert text.index("depth: 5") < text.index("RESULT 42")
    assert "secret" not in text and text.count("depth") == 1


@pytest.mark.parametrize("name", ["image", "canvas"])
def test_a_picture_in_a_widget_is_a_picture(name: str) -> None:
    assert widget(name) == "![image](data:image/png;base64,YWJj)\n"


@pytest.mark.parametrize(
    "states", [None, [], {"bar": 3}, {"bar": {}}, {"bar": {"state": {"children": ["IPY_MODEL_x"]}}}]
)
def test_states_that_are_damaged_leave_the_text(states: Any) -> None:
    assert "at first" in widget("bar", states) or SEE in widget("bar", states)


def test_output_that_a_tag_leaves_out_is_told_of() -> None:
    cells = [
        new_code_cell("1", outputs=[new_output("stream", text="out")], metadata={"tags": [tag]})
        for tag in ("remove-output", "remove_input", "remove-cell")
    ]
    text = to_markdown(new_notebook(cells=cells))
    assert [line for line in text.splitlines() if line] == [
        "```python", "1", "```", "(output that is tagged remove-output: see the notebook)",
        "(code that is tagged remove_input: see the notebook)", "    out",
        "(a cell that is tagged remove-cell: see the notebook)",
    ]  # fmt: skip


def test_two_figures_of_a_cell_are_two_lines() -> None:
    figure = new_output("display_data", {"application/vnd.plotly.v1+json": {}})
    assert converted(figure, figure).count("(a Plotly figure: see the notebook)") == 2
