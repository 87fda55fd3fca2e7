"""The guide to a person's own data works as it is written, from a folder of pictures to a colleague and a server."""

from __future__ import annotations

import dataclasses

import pytest

from conftest import ROOT
from deriva_double import DerivaDouble
from guides.reader import Reader
from guides.typed import to_type
from pages import Page, read

PAGE = read(ROOT / "docs" / "your-data.md")


@pytest.mark.parametrize("page", [PAGE], ids=["your-data"])
def test_the_guide_works_as_written(page: Page, reader: Reader, double: DerivaDouble) -> None:
    """Each command succeeds, or is refused where the page says so; both versions of the dataset are sent, once."""
    # Each clone's own sources come first, wherever the terminal is.
    reader = dataclasses.replace(reader, env={**reader.env, "PYTHONPATH": "src"})
    for block in to_type(page):
        reader.follow(block)
    versions = [row["Version"] for row in double.rows("1", "Dataset_Version")]
    assert sorted(versions) == ["1.0.0", "1.1.0"]
