"""The report on a replay: the same in Markdown, HTML and JSON, and harmless whatever a name or an output holds."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from conftest import ROOT
from deriva_ml.replay.junit import write_junit
from deriva_ml.replay.report import Report, Side, percent, write
from deriva_ml.replay.verdict import Compared, Comparison, Difference, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>&lt; ]]> --> \x1b[31m\x00\u202e\ud800\ufffe"
    "|`*_~~[x](javascript:alert(1)) ![y](http://e.example/p.png) http://e.example www.e.example a@e.example $x$\n# H\n"
)
WITHIN = r"<script>alert(1)</script>"


def same(name: str) -> Compared:
    return Compared(name, "Execution_Asset", Comparison(Verdict.identical))


def other(name: str, *differences: Difference, note: str = "") -> Compared:
    return Compared(name, "Execution_Asset", Comparison(Verdict.different, 0.5, note, differences))


DIFFERENT = Report(
    "2-ABCD",
    Verdict.different,
    "notebook",
    "My analysis",
    "c0ffee",
    "notebooks/my-notebook.ipynb",
    outputs=[same("figure.png"), other("counts.csv", Difference('row 12, column "loss"', "0.25", "0.75"))],
    reasons=["cell 4 draws from numpy.random without a seed"],
    notes=["the present environment was used"],
    recorded=Side("2-ABCD", "Uploaded", runner="1.0.0"),
    repeated=Side("", "Uploaded", runner="1.1.0", seconds=2.5),
    parameters={"top_k": 3},
    begun="2026-11-28T18:40:00.000000+00:00",
    seconds=7.25,
)
GONE = Report(
    "3-GONE", Verdict.could_not_run, "model", "Training", why="the input 4-XYZ is not in this catalog"
)
SWEEP = Report(
    "9-SW",
    Verdict.could_not_run,
    "sweep",
    "Training",
    runs=[GONE, Report("3-OK", Verdict.identical, outputs=[same("a")])],
)
FULL_OF_HARM = Report(
    HOSTILE,
    Verdict.different,
    HOSTILE,
    HOSTILE,
    HOSTILE,
    HOSTILE,
    True,
    HOSTILE,
    Compared(
        HOSTILE, HOSTILE, Comparison(Verdict.different, 0.0, HOSTILE, [Difference(HOSTILE, HOSTILE, HOSTILE)])
    ),
    [other(HOSTILE, Difference(HOSTILE, HOSTILE, HOSTILE), note=HOSTILE)],
    [HOSTILE],
    [HOSTILE],
    Side(*[HOSTILE] * 6),
    Side(*[HOSTILE] * 6),
    parameters={HOSTILE: [HOSTILE, float("nan")]},
    begun=HOSTILE,
    recorded_as=HOSTILE,
)
REPORTS = {"different": DIFFERENT, "gone": GONE, "sweep": SWEEP}


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w.]+", text))


@pytest.mark.parametrize("name", REPORTS)
def test_the_three_forms_say_the_same(name: str, tmp_path: Path) -> None:
    """What stands in the JSON stands on the pages, and the pages have the same words."""
    report = REPORTS[name]
    assert write(report, tmp_path / "new") == tmp_path / "new" / "report.md"
    told = json.loads((tmp_path / "new" / "report.json").read_text())
    assert (told["rid"], told["verdict"], told["why"]) == (report.rid, str(report.verdict), report.why)
    page = BeautifulSoup((tmp_path / "new" / "report.html").read_text("utf-8"), "html.parser").main
    rendered = MarkdownIt().enable("table").render((tmp_path / "new" / "report.md").read_text("utf-8"))
    marked = BeautifulSoup(rendered, "html.parser")
    assert page and words(page.get_text(" ")) == words(marked.get_text(" "))
    assert [one.name for one in page.select("h1, h2, h3, h4, td, li")] == [
        one.name
        for one in marked.select("h1, h2, h3, h4, td, li")
        if one.name != "td" or one.find_previous_sibling("td")
    ]
    for output in (one for part in [told, *told["runs"]] for one in part["outputs"]):
        assert output["name"] in page.get_text()
        assert all(place["recorded"] in page.get_text() for place in output["differences"])


def test_a_failed_record_says_how_it_ended(tmp_path: Path) -> None:
    """Ending in the same way is a verdict, too, and counts in the similarity."""
    ending = Compared(
        "failure", "", Comparison(Verdict.different, 0.25, "", [Difference("cell 3", "KeyError", "OSError")])
    )
    report = replace(DIFFERENT, outputs=[], ending=ending)
    text = write(report, tmp_path).read_text()
    assert (
        "## How it ended" in text and "KeyError" in text and "OSError" in text and report.similarity == 0.25
    )


def test_only_what_is_alike_in_all_is_at_100_percent() -> None:
    assert [percent(value) for value in (1, 0.99999999, 0.5, 0.0625, 1e-9, 0)] == [
        "100%",
        "99.9%",
        "50%",
        "6.2%",
        "0.1%",
        "0%",
    ]


def test_no_name_and_no_output_does_anything_on_a_page(tmp_path: Path) -> None:
    """Neither in HTML, whose policy forbids what might have been overlooked, nor as Markdown that others render."""
    path = write(FULL_OF_HARM, tmp_path)
    source = (tmp_path / "report.html").read_text("utf-8")
    page = BeautifulSoup(source, "html.parser")
    assert not page.select("script, img, a, b, iframe, link, form, [onerror], [style], [src], [href]")
    [style] = page.select("style")
    policy = page.select_one("meta[http-equiv=Content-Security-Policy]")
    assert (
        policy
        and str(policy["content"]).startswith("default-src 'none'; style-src 'sha256-")
        and "unsafe" not in str(policy)
    )
    assert not re.search(r"url\(|@import|http", style.get_text())
    assert WITHIN in page.get_text() and not re.search(r"[\x00\x1b\u202e]", source)
    assert html.escape(WITHIN) in source
    text = path.read_text("utf-8")
    rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    marked = BeautifulSoup(rendered, "html.parser")
    assert not marked.select("script, img, a, b, em, s, code, [onerror]") and WITHIN in marked.get_text()
    assert not re.search(r"https?://|(?<!\\)@|www\.", text)  # what GitHub makes links of
    columns = {len(row.select("td, th")) for row in marked.select("tr")}
    assert columns == {2, 3, 5} and len(marked.select("h1")) == 1


def test_the_report_as_json_is_what_every_reader_takes(tmp_path: Path) -> None:
    """Also with NaN among the parameters, and halves of characters."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    write(FULL_OF_HARM, tmp_path)
    text = (tmp_path / "report.json").read_bytes()
    told = json.loads(text.decode("ascii"), parse_constant=refuse)
    assert told["parameters"][HOSTILE][1] == "NaN" and told["outputs"][0]["name"] == HOSTILE


def fields(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of a report's fields; those of a list's items have ``[]`` before them."""
    if isinstance(value, dict) and prefix != "parameters.":
        for name, item in value.items():
            yield from fields(item, f"{prefix}{name}.")
    elif isinstance(value, list) and value and isinstance(value[0], dict) and prefix != "runs.":
        yield from fields(value[0], f"{prefix[:-1]}[].")
    else:
        yield prefix[:-1]


def test_the_guide_names_every_field(tmp_path: Path) -> None:
    """The table of the report's fields in docs/reproducing.md: those that there are, and no other."""
    write(
        replace(DIFFERENT, ending=other("failure", Difference("a")), outputs=[other("a", Difference("b"))]),
        tmp_path,
    )
    told = json.loads((tmp_path / "report.json").read_text())
    page = (ROOT / "docs/reproducing.md").read_text("utf-8")
    table = page.partition("### The report as JSON")[2].partition("\n#")[0]
    named = {
        name
        for row in re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", table, re.MULTILINE)
        for name in re.findall("`([^`]+)`", row)
    }
    assert named == {one.replace("ending.", "outputs[].") for one in fields(told)} | {"ending"}


def test_each_record_is_a_test_case_of_the_junit_file(tmp_path: Path) -> None:
    """Different failed, could not run is an error, and what XML cannot hold is shown."""
    write_junit(
        [DIFFERENT, GONE, FULL_OF_HARM, replace(DIFFERENT, verdict=Verdict.equivalent)], tmp_path / "r.xml"
    )
    [suite] = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "2",
        "errors": "1",
        "skipped": "0",
    }
    cases = [(case.get("classname"), case.get("name"), [one.tag for one in case]) for case in suite]
    assert (
        cases[:2] == [("My analysis", "2-ABCD", ["failure"]), ("Training", "3-GONE", ["error"])]
        and cases[3][2] == []
    )
    failure, error = suite[0][0], suite[1][0]
    assert "0.75" in str(failure.text) and error.get("message") == GONE.why
    assert WITHIN in str(suite[2].get("name")) and "\\x1b" in str(suite[2].get("name"))


def test_the_page_fits_a_telephone_and_a_screen_in_light_and_dark(tmp_path: Path, chromium: Browser) -> None:
    """Nothing is wider than the window, the policy lets the style through, and nothing else happens."""
    write(replace(FULL_OF_HARM, runs=[DIFFERENT, GONE]), tmp_path)
    for width, scheme in ((390, "light"), (390, "dark"), (1600, "light"), (1600, "dark")):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda one, said=said: said.append(one.text))
        page.on("dialog", lambda one, said=said: said.append(one.message))
        page.on("request", lambda one, said=said: said.append(one.url))
        page.goto((tmp_path / "report.html").as_uri())
        assert said == [(tmp_path / "report.html").as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
