"""Guides that begin with making a project, or change what is installed for it, work as they are written."""

from __future__ import annotations

import pytest

from guides.reader import Reader
from guides.typed import FROM_NOTHING, to_type
from pages import Page


@pytest.mark.parametrize("page", FROM_NOTHING, ids=lambda page: page.name)
def test_a_guide_works_as_written(page: Page, reader: Reader) -> None:
    """Each command succeeds, or is refused where the page says so, and answers what the page shows."""
    blocks = to_type(page)
    assert blocks, f"nothing of {page.name} is typed"
    for block in blocks:
        reader.follow(block)
