"""The lists of runs, datasets and files: what one chooses stays, addresses say what is shown, and nothing is nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from site_pages.conftest import PHONE, Visiting
from site_pages.corpus import Corpus


def test_runs_are_chosen_many_at_once_and_columns_stay(corpus: Corpus, visiting: Visiting) -> None:
    """With Shift those between, or all that are shown; both, and the columns, are still so on the next visit."""
    visit = visiting()
    page = visit.open("index.html")
    boxes = page.locator("tbody").get_by_role("checkbox")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    chosen = page.get_by_role("region", name="Chosen runs")
    expect(chosen).to_contain_text("4 chosen")
    page.get_by_label("Choose all shown").check()
    expect(chosen).to_contain_text(f"{corpus.count} chosen")
    page.get_by_role("button", name="Choose none").click()
    expect(chosen).to_be_hidden()
    boxes.nth(0).click()
    expect(chosen.get_by_role("link", name="Compare")).to_be_hidden()
    page.get_by_text("Columns (").click()
    page.locator(".menu").get_by_label("Description", exact=True).uncheck()
    page = visit.open("index.html")
    expect(page.get_by_role("columnheader", name="Workflow")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Description")).to_have_count(0)
    expect(page.get_by_role("region", name="Chosen runs")).to_contain_text("1 chosen")


@pytest.mark.parametrize(
    "place", ["%E0%A4%A", "shown=many&sort=-nothing&status=None", "where=%60", "__proto__=1"]
)
def test_no_address_breaks_the_list(visiting: Visiting, place: str) -> None:
    """An address that somebody cut or typed shows a list, if one of no runs."""
    page = visiting().open(f"index.html#{place}")
    expect(page.locator("#found")).to_contain_text("runs")
    expect(page.locator(".fault")).to_have_count(0)


def test_a_dataset_says_who_made_and_read_each_version(corpus: Corpus, visiting: Visiting) -> None:
    """Among all, which are searched as one types, and by itself at its own address."""
    page = visiting().open("datasets.html")
    expect(page.get_by_role("heading", level=2)).to_have_count(2)
    page.get_by_label("Search").fill(f"handwritten {corpus.example}")
    expect(page.get_by_role("heading", level=2)).to_have_text(["digits"])
    page.get_by_role("link", name="digits", exact=True).last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("digits")
    assert page.url.endswith(f"datasets.html#{corpus.digits}")
    first = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="1.0.0"))
    expect(first.get_by_role("link", name=corpus.example)).to_have_attribute(
        "href", f"run.html#{corpus.example}"
    )
    page.go_back()
    expect(page.get_by_label("Search")).to_have_value(f"handwritten {corpus.example}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Datasets")


def test_what_a_list_does_is_told_without_being_seen(corpus: Corpus, visiting: Visiting) -> None:
    """A dataset that is opened takes the focus from the link that is gone; records that are found are counted aloud."""
    visit = visiting()
    page = visit.open("datasets.html")
    page.get_by_role("link", name="digits", exact=True).last.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("digits")
    expect(page.locator("#main")).to_be_focused()
    page = visit.open("lineage.html")
    page.get_by_label("Find a run, dataset or file").fill(corpus.example)
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 found")


def test_an_accent_is_found_however_it_was_typed(site: Path, visiting: Visiting, tmp_path: Path) -> None:
    """Some systems name files with it as a character of its own, which keyboards do not type."""
    copied = shutil.copytree(site, tmp_path / "site")
    files = copied / "data" / "files.js"
    files.write_text(files.read_text("utf-8").replace("logistic.npz", "cafe\u0301.npz"), "utf-8")
    page = visiting(of=copied).open("files.html")
    page.get_by_label("Search").fill("caf\u00e9")
    expect(page.locator("#found")).to_contain_text("1 file, of")


@pytest.mark.parametrize("size", [(1280, 800), PHONE], ids=["desktop", "phone"])
def test_a_file_is_found_by_its_name(corpus: Corpus, visiting: Visiting, size: tuple[int, int]) -> None:
    """At an address with its name, or as one types; its maker and its readers are a step away."""
    page = visiting(size=size).open("files.html#logistic.npz")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="logistic.npz"))
    expect(page.get_by_label("Search")).to_have_value("logistic.npz")
    expect(row.get_by_role("link").nth(0)).to_have_text(corpus.weights[0])
    expect(row.get_by_role("link").nth(1)).to_have_text(corpus.example)
    page.get_by_label("Search").fill("no such file")
    expect(page.get_by_text("No files match.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    row.get_by_role("link", name=corpus.example).click()
    expect(page.get_by_text(corpus.example).first).to_be_visible()


def test_where_nothing_is_recorded_pages_say_what_to_do(
    site: Path, visiting: Visiting, tmp_path: Path
) -> None:
    """Rather than an empty table; also where the site was built of runs that are not."""
    for page in site.glob("*.html"):
        shutil.copy(page, tmp_path)
    shutil.copytree(site / "assets", tmp_path / "assets")
    (tmp_path / "data").mkdir()
    nothing = {"rid": [], "name": [], "columns": [], "parents": [], "nodes": [], "edges": []}
    info = {"project": "new", "made": "2026-11-29T00:00:00+00:00", "runner": "1", "charts": False, "count": 0}
    info |= {"of": 0, "since": "", "runs": [], "datasets": []}

    def write(name: str, data: object) -> None:
        (tmp_path / "data" / f"{name}.js").write_text(f"site.take({json.dumps(name)}, '{json.dumps(data)}')")

    for name in ("runs", "files", "graph"):
        write(name, nothing)
    write("datasets", [])
    write("info", info)
    visit = visiting(of=tmp_path)
    assert "deriva-ml-run-notebook" in visit.open("index.html").inner_text("main")
    assert "deriva-ml-dataset create" in visit.open("datasets.html").inner_text("main")
    assert "No run" in visit.open("files.html").inner_text("main")
    write("info", info | {"of": 3, "since": "2030-01-01"})
    assert "None of the recorded runs" in visit.open("index.html").inner_text("main")
