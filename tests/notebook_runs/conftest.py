"""A project for the tests of notebook runs that fail, are stopped or are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ProjectFolder


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project that the tests of this module share; each adds a notebook of its own."""
    return copy_to(tmp_path_factory.mktemp("failures") / "my project")
