"""A connection to a new project's catalog, for the tests of executions in a person's own Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml import DerivaML
from git_repository import isolate_git


@pytest.fixture
def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
    """A connection to the catalog of an empty project, from inside it."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "my {project} ü"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(root)
    return DerivaML()
