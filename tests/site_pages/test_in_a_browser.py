"""A site of records in a real browser: it can be read and used by everybody, and nothing that a record holds is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from site_pages import hostile
from site_pages.conftest import DESKTOP, PHONE, Visit, Visiting, build
from site_pages.corpus import TOKEN, Corpus
from test_site import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES: dict[str, Callable[[Corpus], str]] = {
    "runs": lambda corpus: "index.html",
    "the example": lambda corpus: f"run.html#{corpus.example}",
    "a sweep": lambda corpus: f"run.html#{corpus.sweep}",
    "a failed run": lambda corpus: f"run.html#{corpus.failed}",
    "a run of release 0.1.0": lambda corpus: f"run.html#{corpus.released[1]}",
    "an imported run": lambda corpus: f"run.html#{corpus.imported}",
    "a hostile run": lambda corpus: f"run.html#{corpus.hostile}",
    "a comparison": lambda corpus: f"compare.html#{','.join([*corpus.jobs, corpus.hostile])}",
    "a lineage": lambda corpus: f"lineage.html#{corpus.example}",
    "datasets": lambda corpus: "datasets.html",
    "a dataset": lambda corpus: f"datasets.html#{corpus.digits}",
    "files": lambda corpus: "files.html",
    "a file": lambda corpus: "files.html#predictions.csv",
}
"""Every page, as it is for what it has to show."""

LIKE_ANOTHER = {"a run of release 0.1.0", "an imported run", "a dataset", "a file"}
"""Those that are made of what others have as well, by rules that cost a second each."""

RULES: dict[Literal["light", "dark"], dict[str, object]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},
}
"""In the dark only colours are others."""

PAPER = {"rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"}


# ---------------------------------------------------------------------------------------------------- every page
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(corpus: Corpus, visiting: Visiting, name: str) -> None:
    """In light and dark no rule of WCAG is broken; on a desktop, a telephone, and in print nothing is too wide."""
    visit = visiting()
    page = visit.open(PAGES[name](corpus))
    for scheme, rules in RULES.items() if name not in LIKE_ANOTHER else ():
        page.emulate_media(color_scheme=scheme)
        asked = {"preload": False, "resultTypes": ["violations"], **rules}
        found = Axe().run(page, options=asked).response["violations"]
        assert [f"{scheme}: {one['id']}: {node['target']}" for one in found for node in one["nodes"]] == []
    for width, height in (PHONE, DESKTOP, (1600, 1000)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0, width
    page.emulate_media(media="print", color_scheme="dark")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background in PAPER
    assert page.locator("nav").evaluate_all("all => all.every(e => !e.checkVisibility())")


# ---------------------------------------------------------------------------------------------- the table of runs
def rids(page: Page) -> list[str]:
    """The runs of the table, in its order."""
    return page.locator("table.long tbody th a").all_text_contents()


def column(page: Page, name: str) -> list[str]:
    """What stands in a column of the table, which is shown for it."""
    page.get_by_text("Columns (").click()
    page.locator(".menu").get_by_label(name, exact=True).check()
    page.keyboard.press("Escape")
    return page.locator(f'table.long tbody td[data-label="{name}"]').all_text_contents()


def settled(page: Page, count: int) -> list[str]:
    """The runs of the table, once there are so many; a change while one types waits for a moment."""
    expect(page.locator("table.long tbody th")).to_have_count(count)
    return rids(page)


def test_runs_are_sorted_by_what_they_came_to(corpus: Corpus, visiting: Visiting) -> None:
    """The greatest first or the least, numbers as numbers; a run without a value comes last either way; Back undoes it."""
    page = visiting().open("index.html")
    newest = rids(page)
    assert len(newest) == corpus.count and newest[0] == corpus.hostile and newest[-1] == corpus.released[0]
    column(page, "accuracy")
    heading = page.get_by_role("columnheader", name="accuracy")
    for direction, best in (("ascending", corpus.released[0]), ("descending", corpus.released[2])):
        heading.get_by_role("button").click()
        page.wait_for_selector(f'th[aria-sort="{direction}"]')
        shown = [text for text in page.locator('td[data-label="accuracy"]').all_text_contents()]
        given = [float(text) for text in shown if text]
        assert given == sorted(given, reverse=direction == "descending") and len(given) == 12
        assert shown[len(given) :] == [""] * (corpus.count - len(given))
        assert rids(page)[0] == best
    page.go_back()
    page.wait_for_selector('th[aria-sort="ascending"]')
    assert rids(page)[0] == corpus.released[0]


def test_runs_are_found_as_one_types(corpus: Corpus, visiting: Visiting) -> None:
    """By words, by a condition, by their status, or all of these; what cannot be read of a condition is said."""
    page = visiting().open("index.html")
    page.locator("#search").press_sequentially("elsewhere")
    assert settled(page, 1) == [corpus.imported]
    page.locator("#search").fill("")
    settled(page, corpus.count)
    page.locator("#where").fill("accuracy > 0.875 and l2 <= 1 and model_config = quick")
    assert settled(page, 2) == [corpus.jobs[1], corpus.jobs[0]]
    page.locator("#where").fill("accuracy >")
    page.wait_for_selector("#where-fault:not(:empty)")
    page.locator("#where").fill("")
    page.locator("#status").select_option("Failed")
    assert settled(page, 4) == [corpus.hostile, corpus.failed, corpus.jobs[5], corpus.released[2]]
    page.get_by_role("button", name="Clear filters").click()
    settled(page, corpus.count)
    page.get_by_role("link", name="6 runs").click()
    assert settled(page, 7) == [*corpus.jobs[::-1], corpus.sweep]


# ------------------------------------------------------------------------------------------------------- comparing
def test_chosen_runs_are_compared(corpus: Corpus, visiting: Visiting) -> None:
    """What was chosen stays while one looks elsewhere; what differs stands in a table, charts are drawn of it."""
    visit = visiting()
    page = visit.open("index.html")
    for rid in corpus.jobs[:3]:
        page.get_by_label(f"Choose {rid}").check()
    page.get_by_role("link", name=corpus.example).click()
    page.wait_for_selector(f"text={corpus.example}")
    page = visit.open("index.html")
    page.get_by_role("link", name="Compare").click()
    page.wait_for_selector("table.compared")
    table = page.locator("table.compared")
    assert [rid for rid in corpus.jobs if rid in table.inner_text()] == corpus.jobs[:3]
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="l2"))
    assert [float(text) for text in row.get_by_role("cell").all_text_contents()] == [0.1, 1, 10]
    assert "seed" not in table.inner_text(), "it is the same"
    page.get_by_label("also what is the same").check()
    assert "seed" in table.inner_text()
    page.wait_for_selector("#parallel svg")
    assert page.locator("#charts svg").count() >= 3


def test_a_sweep_is_compared_by_its_runs(corpus: Corpus, visiting: Visiting) -> None:
    """Also those that failed; and an RID that is nowhere is named."""
    page = visiting().open(f"compare.html#{corpus.sweep},XX-0000-0000")
    page.wait_for_selector("table.compared")
    said = page.locator("#said").inner_text()
    assert "its 6 runs" in said and "XX-0000-0000" in said
    assert corpus.jobs[5] in page.locator("table.compared").inner_text()


# --------------------------------------------------------------------------------------------------------- lineage
def test_a_lineage_is_followed(corpus: Corpus, visiting: Visiting) -> None:
    """From a run to the file that it read, and on to the run that made this: by the lists, and in the drawing."""
    visit = visiting()
    page = visit.open(f"run.html#{corpus.example}")
    page.get_by_role("link", name="Lineage").first.click()
    page.wait_for_selector("#graph svg")
    page.locator(".tree").get_by_role("link", name="logistic.npz").first.click()
    expect(page.locator("#title")).not_to_contain_text(corpus.example)
    page.wait_for_selector("#details dl")
    assert "logistic.npz" in page.locator("#details").inner_text()
    maker = page.locator(".tree").get_by_role("link", name="Train a model").first
    maker.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_contain_text(corpus.weights[0])
    page.wait_for_selector("#graph svg")
    box = page.locator("#graph svg").bounding_box()
    assert box and box["width"] > 300
    page.locator("#graph svg").get_by_text("logistic.npz").first.click(force=True)
    expect(page.locator("#title")).not_to_contain_text(corpus.weights[0])
    page.go_back()
    expect(page.locator("#title")).to_contain_text(corpus.weights[0])


# --------------------------------------------------------------------------------------------------- for everybody
def test_the_keyboard_is_enough(corpus: Corpus, visiting: Visiting) -> None:
    """From the skip link through the table: search, sort, choose two runs, compare them. Where one is can be seen."""
    page = visiting().open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")

    def to(condition: str) -> None:
        """Press Tab until the element that has the focus meets a condition, which it does soon."""
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate(f"(e => {condition})(document.activeElement)"):
                outline = page.evaluate(
                    "(s => parseFloat(s.outlineWidth) && s.outlineStyle !== 'none' || s.boxShadow !== 'none')"
                    "(getComputedStyle(document.activeElement))"
                )
                assert outline, condition
                return
        pytest.fail(f"not reached by Tab: {condition}")

    to("e.id === 'search'")
    page.keyboard.type("quick")
    settled(page, 5)
    to("e.value === 'when'")
    page.keyboard.press("Enter")
    page.wait_for_selector("th[aria-sort=ascending]")
    assert page.evaluate("document.activeElement.value") == "when", "the focus stays where it was"
    for rid in corpus.jobs[:2]:
        to(f"e.ariaLabel === 'Choose {rid}'")
        page.keyboard.press("Space")
    to("e.id === 'compare'")
    page.keyboard.press("Enter")
    page.wait_for_selector("table.compared")
    assert all(rid in page.locator("table.compared").inner_text() for rid in corpus.jobs[:2])


def test_dark_is_the_systems_or_ones_own(visiting: Visiting) -> None:
    """A page is dark where the system is; the button turns that, on the next page as well; paper is white."""
    visit = visiting(color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor"
    dark = visit.open("index.html").evaluate(ground)
    visit.page.get_by_role("button", name="Light").click()
    light = visit.page.evaluate(ground)
    assert light != dark
    assert visit.open("datasets.html").evaluate(ground) == light
    visit.page.get_by_role("button", name="Dark").click()
    assert visit.page.evaluate(ground) == dark
    visit.page.emulate_media(media="print")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") in PAPER


# ------------------------------------------------------------------------------------------------- a notebook, files
def test_a_notebook_is_read_as_it_was_executed(
    corpus: Corpus, site: Path, in_full: Path, visiting: Visiting
) -> None:
    """In a frame that may do nothing; in full, with code and pictures, where it was asked for, or from its Markdown."""
    for of in (site, in_full):
        page = visiting(of=of).open(f"run.html#{corpus.example}")
        frame = page.frame_locator("iframe[src*='notebooks/']")
        frame.get_by_role("table").get_by_text("logistic").wait_for()
        assert page.locator("iframe").evaluate_all(
            "all => all.every(e => e.sandbox && e.sandbox.length === 0)"
        )
        assert page.locator("iframe").first.get_attribute("title")
    frame.get_by_text("compare(top_k)").wait_for()
    assert frame.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 60


def test_previews_show_what_is_in_the_files(corpus: Corpus, visiting: Visiting) -> None:
    """A picture, the first rows of a table, the beginning of a text; and how a metric went."""
    page = visiting().open(f"run.html#{corpus.example}")
    text = page.locator("main").inner_text()
    for expected in (
        "predictions.csv",
        "figure.png",
        "train.log",
        "top_k",
        "comparison_weights",
        "different",
        "f1.macro",
    ):
        assert expected in text, expected
    assert "deriva-ml-run-notebook notebooks/my_analysis.ipynb" in text


# --------------------------------------------------------------------------------------------------------- security
def test_nothing_that_a_record_holds_is_run(
    corpus: Corpus, site: Path, in_full: Path, visiting: Visiting
) -> None:
    """On each page that shows it, pressed and pointed at; and of each file that is shown in a frame, opened by itself."""
    visit = visiting()
    for name in ("a hostile run", "a comparison", "runs", "files"):
        page = visit.open(PAGES[name](corpus))
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        page.wait_for_timeout(200)
        visit.check()
    page = visit.open(f"lineage.html#{corpus.hostile}")
    page.wait_for_selector("#graph svg")
    visit.check()
    framed = ("notebooks/*", "previews/*.html", "previews/*.svg")
    for path in [path for of in (site, in_full) for pattern in framed for path in sorted(of.glob(pattern))]:
        visit.address = (site if path.is_relative_to(site) else in_full).as_uri()
        visit.page.goto(path.as_uri())
        for link in visit.page.locator("a[href^='javascript:']").all():
            link.dispatch_event("click")
        visit.page.wait_for_timeout(50)
        assert visit.page.url == path.as_uri()
        visit.check()


def test_no_path_and_no_credential_is_in_the_site(corpus: Corpus, site: Path, in_full: Path) -> None:
    """Of the folder and the home that it was made in, of the project that records came from, and of tokens that were left in records."""
    assert TOKEN.encode() in b"".join(
        path.read_bytes() for path in (corpus.root / ".deriva-ml/objects").rglob("*/*")
    )
    secrets = [str(corpus.root), str(corpus.root.parent), "home-of-bob", TOKEN, TOKEN[4:]]
    found = [
        f"{path.name}: {secret}"
        for path in [*site.rglob("*"), *in_full.rglob("*")]
        if path.is_file()
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]
    assert found == []


def test_what_a_record_could_do_is_noticed(chromium: Browser, tmp_path: Path) -> None:
    """Each of the hostile files, opened as it is, does what the tests above would see."""
    for name, text in {"report.html": hostile.HTML, "drawing.svg": hostile.SVG}.items():
        (tmp_path / name).write_text(text)
        page = chromium.new_page()
        visit = Visit(page, tmp_path.as_uri())
        page.goto(f"{visit.address}/{name}", wait_until="commit")
        page.wait_for_timeout(300)
        page.close()
        assert {"a dialog: 1", f"asked for: {hostile.CALL}"} <= {
            fault.rpartition("/")[0] or fault for fault in visit.faults
        }


# ------------------------------------------------------------------------------------------------- where it may lie
def test_without_the_library_tables_stand(
    corpus: Corpus, tmp_path: Path, visiting: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one line says what to install."""
    monkeypatch.setattr("deriva_ml.site.vega.version", lambda: "")
    without = build(corpus, tmp_path / "site", *corpus.jobs[:2])
    assert not (without / "assets/vega.js").exists()
    visit = visiting(of=without)
    page = visit.open(f"compare.html#{','.join(corpus.jobs[:2])}")
    page.wait_for_selector("table.compared")
    assert page.get_by_text("uv sync --extra site").count() == 1
    assert page.locator("main .drawing").count() == 0


def test_a_docs_site_takes_it_in(site: Path, visiting: Visiting, tmp_path: Path) -> None:
    """Below another page, through a web server, and every file as it is; Zensical finds nothing wrong."""
    shutil.copytree(site, tmp_path / "docs/records")
    (tmp_path / "docs/index.md").write_text("# Home\n\n[What was recorded](records/index.html)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "digits"\n')
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    taken = tmp_path / "site/records"
    for path in site.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert (taken / path.relative_to(site)).read_bytes() == path.read_bytes()
    with served(tmp_path / "site") as url:
        page = visiting(at=f"{url}records").open("index.html")
        page.get_by_role("link", name="Files").click()
        expect(page.locator("table.long")).to_be_visible()


@pytest.mark.parametrize("name", ["index", "run", "compare", "lineage", "datasets", "files"])
def test_an_address_that_means_nothing_is_said_to(visiting: Visiting, name: str) -> None:
    """Whatever somebody puts behind the page's name is a text, and the page stands."""
    visit = visiting()
    for place in (
        "NO-SUCH-RUNX",
        f"__proto__,constructor,{hostile.NAME}",
        "../../index%E0%A4%A",
        "sort=__proto__&where=constructor%20%3D%201&status=%3Cimg%3E&of=toString&shown=-1&shown=1e9",
    ):
        page = visit.open(f"{name}.html#{quote(place, safe='%&=,/_-.')}")
        assert len(page.locator("main").inner_text()) > 20, place
        visit.check()
