"""What counts as the same in an executed notebook: what each cell says and shows."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from deriva_ml.replay.verdict import Comparison, Verdict
from replay.compare.conftest import KNOWN_TIMES, Compare
from replay.compare.test_figures import PIXELS, drawn, noted, picture

Output = dict[str, Any]


def code(
    source: str, *outputs: Output, count: int | None = 1, tags: tuple[str, ...] = (), **metadata: Any
) -> Output:
    """An executed cell."""
    return {
        "cell_type": "code",
        "source": source.splitlines(keepends=True),
        "outputs": [*outputs],
        "execution_count": count,
        "metadata": {"tags": [*tags], **metadata},
    }


def notebook(*cells: Output, **metadata: Any) -> str:
    """A notebook as a file."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [*cells]})


def printed(text: str, name: str = "stdout") -> Output:
    """What a cell printed."""
    return {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}


def displayed(**forms: Any) -> Output:
    """What a cell shows, by the last word of each form's type."""
    kinds = {
        "plain": "text/plain", "html": "text/html", "png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf",
        "json": "application/json", "plotly": "application/vnd.plotly.v1+json", "latex": "text/latex",
        "view": "application/vnd.jupyter.widget-view+json", "other": "application/x-other",
    }  # fmt: skip
    data = {kinds[form]: value for form, value in forms.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def raised(name: str, value: str, *trace: str) -> Output:
    """The error that ended a cell."""
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [*trace]}


def coded(content: bytes) -> str:
    """Bytes as a notebook holds them."""
    return base64.b64encode(content).decode()


def frame(*rows: str, ident: str = "") -> str:
    """A data frame as pandas shows it."""
    cells = ("".join(f"<td>{cell}</td>" for cell in row.split(",")) for row in rows)
    head = "<tr><th></th><th>loss</th><th>fit_time</th></tr>"
    return f'<div id="{ident}">\n<table class="dataframe">{head}{"".join(f"<tr>{row}</tr>" for row in cells)}</table></div>'


OUTPUTS = [
    # How what is printed came in pieces means nothing
    ([printed("a\nb\n")], [printed("a\n"), printed("b\n")], "identical"),
    ([printed("a\n"), printed("w\n", "stderr"), printed("b\n")], [printed("a\nb\n"), printed("w\n", "stderr")], "identical"),
    ([printed("2-ABCD")], [printed("3-WXYZ")], "identical"),
    ([printed("took 1.2 s")], [printed("took 1.3 s")], "equivalent"),
    ([printed("loading\rloading.\rdone\n")], [printed("loading\rdone\n")], "equivalent"),
    ([printed("loss 0.5")], [printed("loss 0.6")], "different"),
    ([printed("a\n")], [printed("a\n", "stderr")], "different"),
    ([printed("a\n"), displayed(plain="x"), printed("b\n")], [printed("a\nb\n"), displayed(plain="x")], "different"),
    ([printed("a\n")], [], "different"),
    ([], [printed("w\n", "stderr")], "different"),
    ([printed("")], [], "identical"),
    # Values and their forms
    ([displayed(plain="0.5")], [displayed(plain="0.50000000000001")], "equivalent"),
    ([displayed(plain="0.5")], [displayed(plain="0.50001")], "different"),
    ([displayed(plain="{'a', 'b'}")], [displayed(plain="{'b', 'a'}")], "different"),
    ([displayed(plain="<f at 0x7f0011223344>")], [displayed(plain="<f at 0x7f0011223355>")], "equivalent"),
    ([displayed(plain="x", html="<b>x</b>")], [displayed(plain="x")], "different"),
    ([displayed(plain="x", html="<b>x</b>")], [displayed(plain="x", html="<i>x</i>")], "different"),
    ([displayed(plain="1", html="<b>x</b>")], [displayed(plain="2", html="<b>x</b>")], "different"),
    ([displayed(latex="$0.5$")], [displayed(latex="$0.6$")], "different"),
    ([displayed(json={"a": 1, "b": 0.5})], [displayed(json={"b": 0.5000000000001, "a": 1})], "equivalent"),
    ([displayed(json={"a": 1})], [displayed(json={"a": 2})], "different"),
    ([displayed(json={"run": "2-ABCD"})], [displayed(json={"run": "3-WXYZ"})], "identical"),
    (
        [displayed(plotly={"data": [{"y": [1.5, 2.5], "uid": "0b0f3ae4-61c1-4b83-9b52-b9f9a1f2a3c4"}]})],
        [displayed(plotly={"data": [{"y": [1.5, 2.5], "uid": "1b0f3ae4-61c1-4b83-9b52-b9f9a1f2a3c4"}]})],
        "equivalent",
    ),
    ([displayed(plotly={"data": [{"y": [1.5, 2.5]}]})], [displayed(plotly={"data": [{"y": [1.5, 2.6]}]})], "different"),
    ([displayed(other="AAAA")], [displayed(other="AAAB")], "different"),
    # Data frames
    ([displayed(html=frame("a,0.5,1.2"))], [displayed(html=frame("a,0.50000000000001,1.2"))], "equivalent"),
    ([displayed(html=frame("a,0.5,1.2"))], [displayed(html=frame("a,0.5,1.3"))], "equivalent"),
    ([displayed(html=frame("a,0.5,1.2", ident="T_a1"))], [displayed(html=frame("a,0.5,1.2", ident="T_b2"))], "equivalent"),
    ([displayed(html=frame("a,0.5,1.2"))], [displayed(html=frame("a,0.6,1.2"))], "different"),
    ([displayed(html=frame("a,1,1.2"))], [displayed(html=frame("a,2,1.2"))], "different"),
    ([displayed(html=frame("a,0.5,1.2"))], [displayed(html=frame("a,0.5,1.2", "b,1,1"))], "different"),
    ([displayed(html=frame("a,0.5,1.2"))], [displayed(html=frame("a,0.5,1.2").replace("<td>a", "<td class='x'>a"))], "different"),
    (
        [displayed(html=frame("a,0.5,1.2"), plain="loss fit_time\na 0.5 1.2")],
        [displayed(html=frame("a,0.5,1.3"), plain="loss fit_time\na 0.5 1.3")],
        "equivalent",
    ),
    (
        [displayed(html=frame("a,0.5,1.2"), plain="loss fit_time\na 0.5 1.2")],
        [displayed(html=frame("a,0.6,1.2"), plain="loss fit_time\na 0.6 1.2")],
        "different",
    ),
    ([displayed(html="<p>3 items</p>")], [displayed(html="<p>4 items</p>")], "different"),
    ([displayed(html='<i id="a"></i><b for="a">')], [displayed(html='<i id="z"></i><b for="z">')], "equivalent"),
    ([displayed(html='<i id="a"></i><b for="a">')], [displayed(html='<i id="a"></i><b for="b">')], "different"),
    ([displayed(html='<h1 id="loss">loss</h1>')], [displayed(html='<h1 id="gain">gain</h1>')], "different"),
    ([displayed(html=frame("a,0.5,1.2").replace("<tr>", "<caption>one</caption><tr>", 1))],
     [displayed(html=frame("a,0.5,1.2").replace("<tr>", "<caption>two</caption><tr>", 1))], "different"),
    # Figures
    ([displayed(png=coded(picture(pnginfo=noted("1"))))], [displayed(png=coded(picture(pnginfo=noted("2"))))], "identical"),
    ([displayed(png=coded(picture(compress_level=1)))], [displayed(png=coded(picture(compress_level=9)))], "equivalent"),
    ([displayed(png=coded(picture()))], [displayed(png=coded(picture(255 - PIXELS)))], "different"),
    # Errors
    ([raised("ValueError", "bad 2-ABCD", "a")], [raised("ValueError", "bad 3-WXYZ", "b")], "identical"),
    ([raised("ValueError", "at 0x7f0011223344")], [raised("ValueError", "at 0x7f0011223355")], "equivalent"),
    ([raised("ValueError", "bad")], [raised("KeyError", "bad")], "different"),
    ([raised("ValueError", "bad")], [raised("ValueError", "worse")], "different"),
    ([raised("ValueError", "bad")], [], "different"),
    ([raised("ValueError", "bad")], [printed("ValueError: bad", "stderr")], "different"),
]  # fmt: skip


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), OUTPUTS)
def test_outputs(recorded: list[Output], repeated: list[Output], verdict: str, compare: Compare) -> None:
    """Each by its kind and its forms."""
    found = compare(notebook(code("x", *recorded)), notebook(code("x", *repeated)), "n.ipynb")
    assert str(found.verdict) == verdict
    assert bool(found.differences) or verdict != "different"
    assert all(one.where.startswith("cell [1]") for one in found.differences)


def test_what_jupyter_notes_is_left_out(compare: Compare) -> None:
    """Counts, times, identifiers and the notebook's own metadata."""
    cells = code("x = 1", printed("1"), count=3, papermill={"duration": 1.5}), code("y", displayed(plain="2"))
    ours = notebook(*cells, papermill={"start_time": "1"})
    other = copy.deepcopy([*cells])
    other[0] |= {"execution_count": 5, "metadata": {"papermill": {"duration": 2.5}}, "id": "abc"}
    other[1]["outputs"][0] |= {
        "output_type": "execute_result",
        "execution_count": 9,
        "transient": {"display_id": "1"},
    }
    theirs = notebook(*other, papermill={"start_time": "2"})
    assert compare(ours, theirs, "n.ipynb") == Comparison(Verdict.identical)


def given(text: str) -> Output:
    """The cell that a run injects."""
    return code(f"# Parameters\n{text}", tags=("injected-parameters",), count=2)


PARAMETERS = [
    ("rate = 0.001\n", "rate = 1e-3\n", "identical"),
    ("a = 1\nb = 2\n", "b = 2\na = 1\n", "identical"),
    ("rate = 0.001\n", "rate = 0.002\n", "different"),
    ("rate = 1\n", "rate = True\n", "different"),
    ('rate = float("nan")\n', "rate = float('nan')\n", "identical"),
    ('where = "/home/ada/digits/x"\n', 'where = "/tmp/replay-x/worktree/x"\n', "identical"),
    ("rate = 1\n", "rate = 1\nmore = 2\n", "different"),
    ("rate =\n", "rate +\n", "different"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), PARAMETERS)
def test_given_parameters(recorded: str, repeated: str, verdict: str, compare: Compare) -> None:
    """By their values, however they are written."""
    both = [notebook(code("rate = 1", tags=("parameters",)), given(text)) for text in (recorded, repeated)]
    assert str(compare(*both, "n.ipynb").verdict) == verdict


def test_cells(compare: Compare) -> None:
    """Sources exactly, and which there are; each difference names its cell."""
    first, second = code("a = 1\nb = 2", printed("x"), count=1), code("c", count=2)
    text = {"cell_type": "markdown", "metadata": {}, "source": "words"}
    whole = notebook(text, first, second)
    cases = {
        'cell [1], line 2 of its source: "b = 2" "b = 3"': notebook(
            text, code("a = 1\nb = 3", printed("x")), second
        ),
        'number of cells: "3" "2"': notebook(text, first),
        'cell [2]: "ran" "did not run"': notebook(text, first, code("c", count=None)),
        'cell 1 of the file, line 1 of its source: "words" "other"': notebook(
            {**text, "source": "other"}, first, second
        ),
        'kind of cell 1 of the file: "markdown" "raw"': notebook({**text, "cell_type": "raw"}, first, second),
    }
    for said, other in cases.items():
        found = compare(whole, other, "n.ipynb")
        one = found.differences[0]
        assert (str(found.verdict), f'{one.where}: "{one.recorded}" "{one.repeated}"') == ("different", said)


def test_a_difference_in_a_table_is_told_by_row_and_column(compare: Compare) -> None:
    """And one in what was printed by its line."""
    ours = notebook(code("x", printed("a\nb\n"), displayed(html=frame("a,0.5,1", "b,0.25,1")), count=4))
    theirs = notebook(code("x", printed("a\nc\n"), displayed(html=frame("a,0.5,1", "b,0.75,1")), count=4))
    found = compare(ours, theirs, "n.ipynb")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences] == [
        ("cell [4], output 1, line 2 of its output", "b", "c"),
        ('cell [4], output 2, row 2, column "loss"', "0.25", "0.75"),
    ]


def test_similarity_is_the_mean_over_what_cells_show(compare: Compare) -> None:
    """A notebook with one output of four that differs altogether is similar to three quarters."""
    same = [code("x", printed(f"out {n}\n")) for n in range(3)]
    both = [notebook(*same, code("y", printed(word))) for word in ("one", "two")]
    assert compare(*both, "n.ipynb").similarity == 0.75


def widgets(model: str, value: float, text: str = "fit") -> dict[str, Any]:
    """The state of a bar and its text, as a notebook keeps it."""
    state = {
        model: {
            "model_name": "HBoxModel",
            "state": {"children": [f"IPY_MODEL_{model}1", f"IPY_MODEL_{model}2"]},
        },
        f"{model}1": {"model_name": "HTMLModel", "state": {"value": text}},
        f"{model}2": {"model_name": "FloatProgressModel", "state": {"value": value, "max": 10.0}},
    }
    return {"application/vnd.jupyter.widget-state+json": {"state": state}}


def test_widgets_are_compared_by_what_they_show(compare: Compare) -> None:
    """Their identifiers are others each time."""

    def shown(model: str, *state: Any) -> str:
        view = {"model_id": model, "version_major": 2}
        return notebook(code("x", displayed(view=view, plain="HBox()")), widgets=widgets(model, *state))

    assert str(compare(shown("a", 10.0), shown("b", 10.0), "n.ipynb").verdict) == "identical"
    assert str(compare(shown("a", 10.0), shown("b", 9.0), "n.ipynb").verdict) == "different"
    assert str(compare(shown("a", 10.0, "fit"), shown("b", 10.0, "test"), "n.ipynb").verdict) == "different"
    none = [notebook(code("x", displayed(view={"model_id": one}, plain="HBox()"))) for one in "ab"]
    assert str(compare(*none, "n.ipynb").verdict) == "identical"


def test_figures_in_every_form(compare: Compare) -> None:
    """SVG and PDF are compared as files of these kinds are."""
    for form, kind in (("svg", "svg"), ("pdf", "pdf")):
        one, again, other = (drawn(form, height=height) for height in (1.0, 1.0, 1.5))
        texts = [
            notebook(code("x", displayed(**{kind: content.decode() if form == "svg" else coded(content)})))
            for content in (one, again, other)
        ]
        assert str(compare(texts[0], texts[1], "n.ipynb").verdict) == "identical"
        assert str(compare(texts[0], texts[2], "n.ipynb").verdict) == "different"


def test_a_failed_run_is_compared_without_papermills_marks(compare: Compare) -> None:
    """The cells that it puts before the one that failed are no cells of the notebook."""
    mark = {
        "cell_type": "markdown",
        "metadata": {"tags": ["papermill-error-cell-tag"]},
        "source": "An Exception",
    }
    failed = code("x", raised("ValueError", "bad"))
    assert str(compare(notebook(mark, mark, failed), notebook(failed), "n.ipynb").verdict) == "identical"


def test_pictures_in_the_notebooks_markdown(compare: Compare) -> None:
    """A picture in a text is compared by its pixels, a date in it by when the runs ran."""
    text = "# Title\n\n![](data:image/png;base64,{})\n\n{}\n"
    one, other = (
        text.format(coded(picture(compress_level=n)), at) for n, at in ((1, "17:20:01"), (9, "17:20:09"))
    )
    assert str(compare(one, other, "n.md", KNOWN_TIMES).verdict) == "equivalent"
    changed = text.format(coded(picture(255 - PIXELS)), "17:20:01")
    assert str(compare(one, changed, "n.md", KNOWN_TIMES).verdict) == "different"


def test_what_is_no_notebook_is_compared_as_json_or_text(compare: Compare) -> None:
    """Whatever its name says."""
    assert str(compare('{"cells": 1, "a": 1}', '{"a": 1, "cells": 1}', "n.ipynb").verdict) == "equivalent"
    assert str(compare("not json", "no json", "n.ipynb").verdict) == "different"
    deep = "[" * 5000 + "]" * 5000
    assert str(compare(deep, deep + " ", "n.ipynb").verdict) == "different"
