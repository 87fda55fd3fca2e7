"""The project that the template makes keeps to its own guidelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from check.conftest import Checked


def test_the_example_has_no_finding(
    rendered: Path, check: Callable[..., Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even advice: every rule is kept by its notebooks, configurations and models, and by its tests."""
    monkeypatch.chdir(rendered)
    done = check()
    assert (done.rc, done.lines) == (0, [])
    assert int(done.out.split()[0]) >= 10
    assert check(".").lines == []
