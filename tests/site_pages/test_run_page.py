"""The page of a run in a browser: the ways through it, its place in a sweep, what it shows on paper and in the dark."""

from __future__ import annotations

from site_pages.conftest import PHONE, Visiting
from site_pages.corpus import Corpus


def test_the_contents_lead_to_the_parts(corpus: Corpus, visiting: Visiting) -> None:
    """By keyboard: the part is on the screen, its heading has the focus, and the address is still that of the run."""
    page = visiting(PHONE).open(f"run.html#{corpus.example}")
    headings = page.locator("main h2").all_text_contents()
    contents = page.get_by_role("navigation", name="On this page")
    assert contents.get_by_role("button").all_text_contents() == headings
    assert headings[0] == "How it ran" and {"Parameters", "Notebook", "Outputs", "Repeating it"} < {*headings}
    address = page.url
    contents.get_by_role("button", name="Environment").press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Environment"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") < PHONE[1]
    assert page.url == address


def test_a_job_leads_to_the_sweep_and_to_the_jobs_beside_it(corpus: Corpus, visiting: Visiting) -> None:
    """Jobs are told from 1; the first has none before it, the last none after it."""
    page = visiting().open(f"run.html#{corpus.jobs[0]}")
    place = page.get_by_role("region", name="Its place in a sweep")
    for number, rid in enumerate(corpus.jobs, start=1):
        page.locator(".summary .rid", has_text=rid).wait_for()
        assert f"job {number}, one of {len(corpus.jobs)}" in place.inner_text()
        assert place.get_by_role("link", name="Previous").count() == (rid != corpus.jobs[0])
        if rid != corpus.jobs[-1]:
            place.get_by_role("link", name="Next").click()
    place.get_by_role("link", name=corpus.sweep).click()
    jobs = page.get_by_role("region", name="Jobs").get_by_role("row")
    jobs.first.wait_for()
    assert [row.split("\t")[:2] for row in jobs.all_inner_texts()[1:]] == [
        [rid, str(number)] for number, rid in enumerate(corpus.jobs, start=1)
    ]
    assert {"model_config.l2", "accuracy"} < {*jobs.first.inner_text().split("\t")}
    page.wait_for_selector("[data-chart=parallel] svg")


def test_the_command_that_repeats_it_is_copied(corpus: Corpus, visiting: Visiting) -> None:
    """And that is said."""
    visit = visiting(permissions=["clipboard-read", "clipboard-write"])
    page = visit.open(f"run.html#{corpus.example}")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb")
    assert command == page.locator(".command pre").inner_text()


def test_packages_are_searched(corpus: Corpus, visiting: Visiting) -> None:
    """Those stay that have all the words, by name or version, and it is said how many."""
    page = visiting().open(f"run.html#{corpus.example}")
    page.locator("summary", has_text="Packages").click()
    rows = page.locator(".packages tbody tr:visible")
    count = rows.count()
    assert count > 1
    page.get_by_role("searchbox", name="Packages").fill("SCIKIT 1.")
    assert rows.count() == 1 and "scikit-learn" in rows.first.inner_text()
    assert page.get_by_text(f"1 of {count}").is_visible()


def test_on_paper_everything_is_open(corpus: Corpus, visiting: Visiting) -> None:
    """What opens is open, what comes late is there; afterwards it is as it was."""
    page = visiting().open(f"run.html#{corpus.example}")
    opened, late = (
        "document.querySelectorAll('main details[open]').length",
        "document.querySelectorAll('[loading=lazy]').length",
    )
    assert page.evaluate(opened) == 0 and page.evaluate(late) > 0
    page.emulate_media(media="print")
    page.locator("main details:not([open])").first.wait_for(state="detached")
    assert page.evaluate(late) == 0 and page.evaluate(opened) > 1
    page.emulate_media(media="screen")
    page.locator("main details[open]").first.wait_for(state="detached")


def test_a_notebook_is_dark_where_its_page_is(corpus: Corpus, visiting: Visiting) -> None:
    """Also where that is one's own choice, which the system does not know of."""
    page = visiting().open(f"run.html#{corpus.example}")
    page.locator("iframe").first.scroll_into_view_if_needed()
    page.frame_locator("iframe[src*='notebooks/']").get_by_text("logistic").first.wait_for()
    frame = next(one for one in page.frames if "/notebooks/" in one.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert frame.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark").click()
    for _ in range(50):  # what waits in the page itself is refused there
        if frame.evaluate(ground) == "rgb(13, 17, 23)":
            break
        page.wait_for_timeout(50)
    assert frame.evaluate(ground) == "rgb(13, 17, 23)"


def test_a_run_that_is_not_there_is_told_of(visiting: Visiting) -> None:
    """In a line, with a way on."""
    page = visiting().open("run.html#XX-0000-0000")
    assert "XX-0000-0000" in page.locator(".empty").inner_text()
    page.get_by_role("link", name="All runs").click()
    page.wait_for_selector("table.long")
