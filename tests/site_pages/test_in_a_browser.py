"""A site of records in a real browser: it can be read and used by everybody, and nothing that a record holds is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from site_pages import hostile
from site_pages.conftest import DESKTOP, PHONE, Visiting, build
from site_pages.corpus import TOKEN, Corpus

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


# ---------------------------------------------------------------------------------------------------- every page
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(corpus: Corpus, visiting: Visiting, name: str) -> None:
    """In light and dark no rule of WCAG is broken; on a desktop, a telephone, and in print nothing is too wide."""
    visit = visiting()
    page = visit.open(PAGES[name](corpus))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{scheme}\n{found.generate_report()}"
    for width, height in (PHONE, DESKTOP, (1600, 1000)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0, width
    page.emulate_media(media="print", color_scheme="dark")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background in {"rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"}
    assert not page.locator("nav").is_visible()
