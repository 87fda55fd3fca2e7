"""Each rule has a page, which is up to date and can be found."""

from __future__ import annotations

import re

import check_pages
from conftest import ROOT
from deriva_ml.check.catalogue import RULES


def test_the_pages_are_up_to_date() -> None:
    """`make reference` would change none; no page is of a rule that is gone."""
    written = check_pages.pages()
    stale = [str(path) for path, text in written.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert not stale, f"run scripts/check_pages.py: {stale}"
    there = {path.relative_to(ROOT) for path in (ROOT / "docs" / "checks").glob("*.md")}
    assert there == {path for path in written if path.suffix == ".md"}


def test_every_rule_is_of_a_group_and_on_the_site() -> None:
    """By its code; the index and the navigation name it once."""
    index = (ROOT / "docs" / "checks" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    for code, rule in RULES.items():
        assert code[:4] in check_pages.GROUPS
        assert index.count(f"[{code}]({code}.md) `{rule.name}`") == 1
        assert site.count(f'"checks/{code}.md"') == 1
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name) for rule in RULES.values())
