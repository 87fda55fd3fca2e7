"""Conditions mean in the page of runs what they mean to `deriva-ml-catalog results --where`."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import expect

from deriva_ml.records.results import criteria, find_results
from site_pages.conftest import Visiting
from site_pages.corpus import Corpus

CONDITIONS = (
    "accuracy > 0.875",
    "accuracy >= 0.5 and l2 <= 1",
    "model_config.l2 < 1 and model_config != quick",
    "model_config = quick",
    "l2 == 10",
    "l2 <> 10",
    "accuracy != none",
    "status = Failed",
    "status != 'Failed' and `accuracy` < 0.9",
    "converged = true",
    "accuracy > quick",
    "top_k = 3",
    "workflow = 'Train a model'",
    "__proto__ = 6",
    "`${window.pwned=1}``+(window.pwned=1)+``` > 1",
)


def test_conditions_mean_what_they_mean_to_the_command(corpus: Corpus, visiting: Visiting) -> None:
    """The same runs are found by values of any kind, also where some runs have none."""
    page = visiting().open("index.html")
    differing = {}
    for condition in CONDITIONS:
        page.evaluate("hash => { location.hash = hash; }", f"where={quote(condition)}")
        expect(page.locator("#where")).to_have_value(condition)
        fault = page.locator("#where-fault").text_content()
        shown = set(page.locator("table.long tbody th a").all_text_contents())
        meant = {result.record.rid for result in find_results(corpus.catalog, criteria(where=condition))}
        if fault or shown != meant:
            differing[condition] = fault or sorted(shown ^ meant)
    assert differing == {}
