"""What a reader finds in the Markdown of an executed notebook, which is one file that stands alone."""

from __future__ import annotations

import base64
import copy
import json
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from deriva_ml.notebook.markdown import ERROR_MARKER, to_markdown

PROPERTY = settings(deadline=None, max_examples=50)  # a slow machine is no failure
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n-pixels-" * 20).decode()
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'


def shown(data: dict[str, Any]) -> str:
    """The Markdown of one displayed bundle of MIME types."""
    return converted(new_output("display_data", data))


def printed(*chunks: str, name: str = "stdout") -> str:
    """The Markdown of a cell that wrote these chunks to one stream."""
    return converted(*(new_output("stream", name=name, text=chunk) for chunk in chunks))


def converted(*outputs: Any) -> str:
    """The Markdown of a code cell without source that has these outputs."""
    return to_markdown(new_notebook(cells=[new_code_cell("", outputs=list(outputs))]))


def block(text: str) -> str:
    """An indented block that ends the Markdown, which is how output that is only text is shown."""
    return "".join(f"    {line}\n" for line in text.split("\n"))


def blocks_of(markdown: str) -> list[str]:
    """The indented blocks of the Markdown, without their indentation."""
    found = re.findall(r"(?:^ {4}.*\n)+", markdown, re.MULTILINE)
    return [re.sub(r"^ {4}", "", text, flags=re.MULTILINE).rstrip("\n") for text in found]


def rows_of(markdown: str) -> list[list[str]]:
    """The cells of the only table, read as Markdown reads them: cut at bare pipes, then unescaped."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert re.fullmatch(r"(\| --- )+\|", lines[1])
    cut = [re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in lines]
    assert len({len(row) for row in cut}) == 1
    return [
        [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell).strip() for cell in row] for row in cut[:1] + cut[2:]
    ]


class TestCells:
    """Cells come in their order, each as what it is."""

    def test_text_code_and_output_follow_each_other(self) -> None:
        notebook = new_notebook(
            cells=[
                new_markdown_cell("# Study\n\nWhy *this*."),
                new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"})]),
                new_raw_cell("as it is"),
                new_raw_cell("<hr>", metadata={"raw_mimetype": "text/html"}),
                new_code_cell("   \n"),
            ]
        )
        text = re.sub(r"\n{3,}", "\n\n", to_markdown(notebook, title="Run 7"))
        assert text == ("# Run 7\n\n# Study\n\nWhy *this*.\n\n```python\n1 + 1\n```\n\n    2\n\nas it is\n")

    def test_a_code_block_is_in_the_language_of_the_notebook_or_of_the_cell(self) -> None:
        cells = [new_code_cell("ls()"), new_code_cell("%%bash\nls"), new_code_cell("%%time\nls()")]
        notebook = new_notebook(cells=cells, metadata={"language_info": {"name": "r"}})
        assert re.findall(r"^```(\w+)$", to_markdown(notebook), re.MULTILINE) == ["r", "bash", "r"]

    def test_an_image_attached_to_a_text_cell_is_embedded(self) -> None:
        cell = new_markdown_cell(
            "![plan](attachment:my%20plan.png)", attachments={"my plan.png": {"image/png": PNG}}
        )
        assert to_markdown(new_notebook(cells=[cell])) == f"![plan](data:image/png;base64,{PNG})\n"

    def test_the_notebook_is_left_as_it_was(self) -> None:
        outputs = [
            new_output("stream", text="a\rb"),
            new_output("stream", text="c"),
            new_output("display_data"),
        ]
        notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
        before = copy.deepcopy(notebook)
        to_markdown(notebook)
        assert notebook == before

    def test_an_empty_notebook_is_no_problem(self) -> None:
        assert to_markdown(new_notebook()).strip() == ""
        assert to_markdown(new_notebook(), title="Run").strip() == "# Run"


class TestRichOutput:
    """The richest form that Markdown can hold, and never a side file."""

    @pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
    def test_an_image_is_a_data_uri_described_by_its_text(self, mime: str) -> None:
        data = {mime: f"{PNG}\n", "text/plain": "<Figure size 640x480 with 1 Axes>"}
        assert shown(data) == f"![Figure size 640x480 with 1 Axes](data:{mime};base64,{PNG})\n"

    def test_an_svg_image_is_a_data_uri_too_and_preferred(self) -> None:
        text = shown(
            {"image/png": PNG, "image/svg+xml": SVG, "text/plain": "<IPython.core.display.SVG object>"}
        )
        uri = re.fullmatch(r"!\[image\]\(data:image/svg\+xml;base64,(.*)\)\n", text)
        assert uri is not None
        assert base64.b64decode(uri[1]).decode() == SVG

    def test_markdown_and_latex_stay_what_they_are(self) -> None:
        assert (
            shown({"text/markdown": "**so**", "text/plain": "<IPython.core.display.Markdown object>"})
            == "**so**\n"
        )
        assert shown({"text/latex": "$x^2$", "image/png": PNG, "text/plain": "x**2"}) == "$x^2$\n"

    def test_rich_html_gives_way_to_a_text_that_says_the_same(self) -> None:
        html = "<style>.sk{}</style><div class='sk-top'><pre>Ridge()</pre></div>"
        assert shown({"text/html": html, "text/plain": "Ridge(alpha=2)"}) == block("Ridge(alpha=2)")

    def test_html_whose_text_says_nothing_is_converted(self) -> None:
        html = (
            "<script>alert(1)</script><h2>Result</h2><p>all <b>well</b>, see <a href='http://x.org'>there</a>"
        )
        text = shown({"text/html": html, "text/plain": "<IPython.core.display.HTML object>"})
        assert text == "## Result\n\nall **well**, see [there](http://x.org)\n"

    def test_a_widget_falls_back_to_its_text(self) -> None:
        data = {
            "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
            "text/plain": " 50%|#####     | 1/2",
        }
        assert shown(data) == block(" 50%|#####     | 1/2")

    def test_json_is_shown_when_there_is_nothing_better(self) -> None:
        data = {"application/json": {"a": [1]}, "text/plain": "<IPython.core.display.JSON object>"}
        assert json.loads(shown(data)) == {"a": [1]}

    def test_a_frame_too_big_to_read_is_left_as_text(self) -> None:
        html = f'<table class="dataframe">{"<tr><td>1</td></tr>" * 60_000}</table>'
        assert shown({"text/html": html, "text/plain": "      a\n0     1"}) == block("      a\n0     1")


class TestDataFrames:
    """A data frame is a Markdown table with a cell for each value."""

    def test_a_plain_frame(self) -> None:
        frame = pd.DataFrame({"model": ["mlp", "svm"], "accuracy": [0.91, 0.875]})
        assert rows_of(shown({"text/html": frame._repr_html_()})) == [
            ["", "model", "accuracy"],
            ["0", "mlp", "0.910"],
            ["1", "svm", "0.875"],
        ]

    def test_characters_that_mean_something_in_markdown_are_only_characters(self) -> None:
        odd = ["a|b", "<NA>", "_x_", "x_y", "*z*", "`c`", "$1 $2", "~~d~~", "a\\|b", "[l](u)", "&lt;"]
        text = shown({"text/html": pd.DataFrame({"a|b": odd})._repr_html_()})
        assert [row[1] for row in rows_of(text)] == ["a|b", *odd]
        assert re.search(r"(?<!\\)[<*`$~\[]", text) is None

    @PROPERTY
    @given(
        values=st.lists(st.text("ab1_*|\\`<>[]()~$&;#!.- ", min_size=1, max_size=12), min_size=1, max_size=4)
    )
    def test_any_text_in_a_frame_arrives_in_its_cell(self, values: list[str]) -> None:
        cells = [row[1] for row in rows_of(shown({"text/html": pd.DataFrame({"x": values})._repr_html_()}))]
        assert [" ".join(cell.split()) for cell in cells[1:]] == [" ".join(value.split()) for value in values]

    def test_levels_of_columns_and_rows_become_one_header_and_full_rows(self) -> None:
        index = pd.MultiIndex.from_product([["A", "B"], [1, 2]], names=["group", "fold"])
        columns = pd.MultiIndex.from_product([["train", "test"], ["n", "loss"]])
        frame = pd.DataFrame([[10 * row + column for column in range(4)] for row in range(4)], index, columns)
        assert rows_of(shown({"text/html": frame._repr_html_()})) == [
            ["group", "fold", "train / n", "train / loss", "test / n", "test / loss"],
            ["A", "1", "0", "1", "2", "3"],
            ["A", "2", "10", "11", "12", "13"],
            ["B", "1", "20", "21", "22", "23"],
            ["B", "2", "30", "31", "32", "33"],
        ]

    def test_a_cell_over_several_rows_and_columns_is_repeated_in_each(self) -> None:
        html = (
            '<table class="dataframe"><thead><tr><th>a</th><th>b</th><th>c</th></tr></thead>'
            '<tr><td rowspan="2" colspan="2">x</td><td>1</td></tr><tr><td>2</td></tr>'
            "<tr><td>y</td></tr></table>"
        )
        rows = rows_of(shown({"text/html": html}))
        assert rows == [["a", "b", "c"], ["x", "x", "1"], ["x", "x", "2"], ["y", "", ""]]

    def test_a_wide_and_long_frame_keeps_its_ellipses_and_its_size(self) -> None:
        with pd.option_context("display.max_rows", 10, "display.max_columns", 6):
            text = shown({"text/html": pd.DataFrame([[0] * 30] * 100)._repr_html_()})
        assert "100 rows × 30 columns" in text
        assert rows_of(text)[0] == ["", "0", "1", "2", "...", "27", "28", "29"]

    def test_a_styled_frame_is_a_table_with_its_caption(self) -> None:
        pytest.importorskip("jinja2")
        style = pd.DataFrame({"x": [1, 2]}).style.highlight_max().set_caption("The best")
        text = shown(
            {"text/html": style._repr_html_(), "text/plain": "<pandas.io.formats.style.Styler at 0x7f>"}
        )
        assert text.startswith("The best\n\n|")
        assert rows_of(text) == [["", "x"], ["0", "1"], ["1", "2"]]
        assert "background" not in text

    def test_a_frame_without_header_and_an_empty_one(self) -> None:
        assert rows_of(shown({"text/html": pd.DataFrame({"x": [1]}).to_html(header=False)})) == [
            ["", ""],
            ["0", "1"],
        ]
        assert rows_of(shown({"text/html": pd.DataFrame({"x": []})._repr_html_()})) == [["", "x"]]


class TestStreams:
    """What was printed, as a terminal shows it in the end."""

    def test_chunks_of_one_stream_are_one_block(self) -> None:
        assert printed("a\n", "b", "\n") == block("a\nb")

    def test_colours_links_and_other_terminal_codes_are_gone(self) -> None:
        assert printed("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\x1b[?25l!\x1b(B") == block(
            "red link!"
        )

    @pytest.mark.parametrize(
        ("written", "seen"),
        [
            ("\r 0%\r 50%\r100%\ndone\n", "100%\ndone"),
            ("long line\rend", "end"),
            ("kept\r", "kept"),
            ("one\r\ntwo\r\n", "one\ntwo"),
            ("12%\b\b\b13%", "13%"),
            ("wait\r\x1b[Kdone", "done"),
            ("\router 0\n\rinner 1\x1b[A\n\rinner 2\x1b[A\router 1\n", "outer 1"),
        ],
    )
    def test_a_progress_bar_is_its_last_state(self, written: str, seen: str) -> None:
        assert printed(written) == block(seen)

    def test_a_progress_bar_among_prints_is_one_line(self) -> None:
        outputs = [
            new_output("stream", name=name, text=text)
            for name, text in [("stderr", "\r 0%"), ("stdout", "a\n"), ("stderr", "\r50%"), ("stdout", "b\n")]
        ]
        text = converted(*outputs, new_output("stream", name="stderr", text="\r99%\n"))
        assert blocks_of(text) == ["99%", "a\nb"]

    def test_bars_inside_a_bar_among_prints_leave_the_outer_one(self) -> None:
        inner = ["\n", "\r 0%", "\x1b[A", "\n", "\r    ", "\x1b[A"]
        written = ["\r 0/2", *inner, "\r 1/2", "one\n", *inner, "\r 2/2", "two\n", "\n"]
        names = ["stdout" if text in ("one\n", "two\n") else "stderr" for text in written]
        outputs = [
            new_output("stream", name=name, text=text) for name, text in zip(names, written, strict=True)
        ]
        assert blocks_of(converted(*outputs)) == [" 2/2", "one\ntwo"]

    def test_streams_that_take_turns_stay_in_order(self) -> None:
        outputs = [
            new_output("stream", name=name, text=f"{name}\n") for name in ("stdout", "stderr", "stdout")
        ]
        assert blocks_of(converted(*outputs)) == ["stdout", "stderr", "stdout"]

    @PROPERTY
    @given(text=st.text("`ab \n~#", max_size=40).filter(str.strip))
    def test_no_printed_text_can_leave_its_block(self, text: str) -> None:
        lines = printed(text).split("\n")
        assert all(line.startswith("    ") for line in lines if line)
        assert [line[4:].rstrip() for line in lines] == [
            line.rstrip() for line in [*text.strip("\n").rstrip().split("\n"), ""]
        ]

    def test_code_that_holds_a_fence_stays_in_its_block(self) -> None:
        code = 'print("""\n````\n""")'
        lines = to_markdown(new_notebook(cells=[new_code_cell(code)])).splitlines()
        fence = lines[-1]
        assert re.fullmatch("`{5,}", fence)
        assert lines == [f"{fence}python", *code.splitlines(), fence]

    def test_a_long_line_beside_a_progress_bar_takes_no_time(self) -> None:
        assert printed("\r 0%\r99%\n", "x" * 1_000_000) == block("99%\n" + "x" * 1_000_000)


class TestFailures:
    """An error says first what happened; a failed run says so at the top."""

    def test_an_error_is_told_before_its_traceback_and_without_colours(self) -> None:
        trace = [
            "\x1b[31m-----\x1b[39m",
            "Cell \x1b[32mIn[3]\x1b[39m, line 1",
            "\x1b[31mKeyError\x1b[39m: 'x'",
        ]
        text = converted(new_output("error", ename="KeyError", evalue="'x'\nmore", traceback=trace))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        assert lines == ["KeyError: 'x'", "-----", "Cell In[3], line 1", "KeyError: 'x'"]
        assert all(line.startswith("    ") for line in text.splitlines() if line)

    def test_an_error_without_a_traceback_or_a_message(self) -> None:
        assert converted(new_output("error", ename="SystemExit", evalue="", traceback=[])) == block(
            "SystemExit"
        )
        told = new_output("error", ename="E", evalue="`a` is bad", traceback=["E: `a` is bad"])
        assert converted(told) == block("E: `a` is bad")

    def test_papermills_html_markers_become_one_line_that_names_the_cell(self) -> None:
        error = new_output("error", ename="ValueError", evalue="bad", traceback=["ValueError: bad"])
        marker = {"tags": [ERROR_MARKER]}
        notebook = new_notebook(
            cells=[
                new_markdown_cell(
                    '<span style="color:red">An Exception was encountered</span>', metadata=marker
                ),
                new_code_cell("x = 1", execution_count=1),
                new_markdown_cell('<span id="papermill-error-cell">here</span>', metadata=marker),
                new_code_cell("\nfit(x)\nplot(x)", execution_count=2, outputs=[error]),
            ]
        )
        text = to_markdown(notebook)
        assert text.startswith("**This run failed** in cell [2]: `fit(x)`: `ValueError: bad`\n")
        assert "<span" not in text
        assert text.count("This run failed") == 1

    def test_a_cell_that_papermill_saw_end_without_an_error_output_is_named_too(self) -> None:
        cell = new_code_cell("sleep(99)", execution_count=4, metadata={"papermill": {"exception": True}})
        assert to_markdown(new_notebook(cells=[cell])).startswith(
            "**This run failed** in cell [4]: `sleep(99)`\n"
        )

    def test_a_credential_in_an_error_is_not_said_again_by_the_runner(self) -> None:
        """What the notebook itself holds stays."""
        error = new_output(
            "error", ename="ValueError", evalue="https://bob:hunter2@h.org refused", traceback=[]
        )
        cell = new_code_cell("ask()", outputs=[error], metadata={"papermill": {"exception": True}})
        first = to_markdown(new_notebook(cells=[cell])).partition("\n")[0]
        assert "h.org refused" in first and "hunter2" not in first

    def test_an_error_that_the_notebook_expects_is_no_failed_run(self) -> None:
        error = new_output("error", ename="ValueError", evalue="bad", traceback=[])
        cell = new_code_cell("f()", outputs=[error], metadata={"tags": ["raises-exception"]})
        assert "failed" not in to_markdown(new_notebook(cells=[cell]))


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("<table class=dataframe>&\r\x1b[\\|`", max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class TestOddNotebooks:
    """Whatever a kernel sent, a reader gets a text."""

    @PROPERTY
    @given(
        data=st.dictionaries(
            st.sampled_from(["text/html", "text/plain", "image/png", "image/svg+xml", "text/latex", "x/y"]),
            ODD,
        ),
        stream=ODD,
        traceback=ODD,
        evalue=ODD,
    )
    def test_any_output_can_be_converted(
        self, data: dict[str, Any], stream: Any, traceback: Any, evalue: Any
    ) -> None:
        outputs = [
            {"output_type": "display_data", "data": data},
            {"output_type": "display_data"},
            {"output_type": "stream", "text": stream},
            {"output_type": "error", "evalue": evalue, "traceback": traceback},
            {"output_type": "unheard of"},
            {},
        ]
        cell = {"cell_type": "code", "source": ["a\n", "b"], "outputs": outputs}
        text = to_markdown({"cells": [cell, {"cell_type": "code"}, {"cell_type": "unheard of"}]})
        assert text.startswith("```python\na\nb\n```\n")

    @PROPERTY
    @given(
        html=st.lists(
            st.sampled_from(
                [
                    '<table class="dataframe">',
                    "<tr>",
                    "<td rowspan=2>",
                    "<th colspan=3>",
                    "<td colspan=99999999>",
                    "<![none",
                    "<!--",
                    "</table>",
                    "<thead>",
                    "<tbody>",
                    "WORD",
                    "<br>",
                    "</tr>",
                    "<p>",
                    "<td rowspan=-1>",
                ]
            ),
            max_size=14,
        )
    )
    def test_any_html_table_is_shown_as_one_with_all_that_its_cells_say(self, html: list[str]) -> None:
        """In rows of equal length; only what is no HTML at all gives way to the text."""
        parts = [f"word{n}|" if part == "WORD" else part for n, part in enumerate(html)]
        document = '<table class="dataframe"><tr><td>word|' + "".join(parts)
        text = shown({"text/html": document, "text/plain": "as text"})
        try:
            first = BeautifulSoup(document, "html.parser").table
        except ParserRejectedMarkup:
            assert text == block("as text")
            return
        table = [*takewhile(lambda line: line.startswith("|"), text.splitlines())]
        assert any(row[0].startswith("word|") for row in rows_of("\n".join(table)))
        rows = (row for row in first("tr") if row.find_parent("table") is first)
        cells = (cell for row in rows for cell in row(["td", "th"], recursive=False))
        said = {word for cell in cells for word in re.findall(r"word\d*", cell.get_text(" "))}
        assert said and all(f"{word}\\|" in text for word in said)

    def test_a_table_inside_a_header_that_spans_rows(self) -> None:
        inner = "<table><tr><td>in</td></tr></table>"
        head = f'<thead><tr><th rowspan="3">{inner}</th></tr></thead>'
        assert "in" in shown({"text/html": f'<table class="dataframe">{head}<tr><td>x</td></tr></table>'})

    @pytest.mark.parametrize("html", ["<div>" * 5_000, ""])
    def test_html_that_cannot_be_understood_gives_way_to_the_text(self, html: str) -> None:
        data = {"text/html": f'<table class="dataframe">{html}', "text/plain": "x  1"}
        assert shown(data) == block("x  1")

    def test_a_cell_that_claims_a_million_columns_is_not_believed(self) -> None:
        html = '<table class="dataframe"><tr><td colspan="1000000" rowspan="1000000">x</td></tr></table>'
        assert rows_of(shown({"text/html": html})) == [[""], ["x"]]

    def test_very_long_output_is_kept_whole(self) -> None:
        assert len(printed("0123456789\n" * 500_000)) > 5_000_000


def test_a_notebook_executed_for_real(tmp_path: Path) -> None:
    """An image, a progress bar among prints, colours and an exception, as Papermill leaves them."""
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    sources = [
        f"from IPython.display import Image\nImage(data={base64.b64decode(PNG)!r}, format='png')",
        "from tqdm import tqdm\nfor step in tqdm(range(50)):\n    if step % 25 == 0: print('step', step)",
        "print('\\x1b[32mgreen\\x1b[0m')",
        "raise ValueError('no convergence')",
        "print('not reached')",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    with pytest.raises(PapermillExecutionError):
        execute_notebook(notebook, str(tmp_path / "out.ipynb"), kernel_name="python3", progress_bar=False)
    text = to_markdown(nbformat.read(tmp_path / "out.ipynb", as_version=4), title="Real")
    assert text.startswith(
        "# Real\n\n**This run failed** in cell [4]: `raise ValueError('no convergence')`: "
    )
    assert f"![image](data:image/png;base64,{PNG})" in text
    assert len(re.findall(r"\d+%\|", text)) == 1
    assert "100%|" in text
    assert {"step 0\nstep 25", "green"} <= set(blocks_of(text))
    assert "\n    ValueError: no convergence\n\n    -----" in text
    assert "\x1b" not in text
    assert "<span" not in text
    assert text.endswith("```python\nprint('not reached')\n```\n")
