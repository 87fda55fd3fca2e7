"""A project's catalog, and files to make datasets of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Member
from deriva_ml.project import Project

Put = Callable[..., Member]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[EmbeddedCatalog]:
    """The catalog of a project that has nothing yet."""
    (tmp_path / "project").mkdir()
    with closing(EmbeddedCatalog(Project(tmp_path / "project"))) as catalog:
        yield catalog


@pytest.fixture
def put(catalog: EmbeddedCatalog, tmp_path: Path) -> Put:
    """Records a file with this text, to be a dataset's member at a path."""

    def put(path: str, text: str = "text") -> Member:
        source = tmp_path / "files" / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        return Member(path, catalog.add_file(source).rid)

    return put
