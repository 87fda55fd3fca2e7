"""Compares contents as files, both ways round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml.replay.compare.files import compare_files
from deriva_ml.replay.verdict import Comparison, Own, Tolerance

START = 1_795_800_000.0
"""When the recorded run began: 2026-11-27, 17:20 UTC; the other one began a week later. Each took a minute."""

WEEK = 7 * 86400.0

OWN = Own(
    {"<execution>": "2-ABCD", "<project>": "/home/ada/digits"},
    {"<execution>": "3-WXYZ", "<project>": "/tmp/replay-x/worktree"},
)

KNOWN_TIMES = Own(OWN.recorded, OWN.repeated, (START, START + 60), (START + WEEK, START + WEEK + 60))

EXACTLY = Tolerance()

Content = str | bytes
Compare = Callable[..., Comparison]


def turned(own: Own) -> Own:
    """What each run has of its own, if the repeated one were the recorded one."""
    return Own(own.repeated, own.recorded, own.repeated_span, own.recorded_span)


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Compares two contents under a name, and says the same the other way round."""

    def compared(
        recorded: Content, repeated: Content, name: str, own: Own = OWN, tolerance: Tolerance = EXACTLY
    ) -> Comparison:
        paths = tmp_path / "recorded", tmp_path / "repeated"
        for path, content in zip(paths, (recorded, repeated), strict=True):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = compare_files(*paths, name, own, tolerance)
        other = compare_files(*reversed(paths), name, turned(own), tolerance)
        assert found.verdict is other.verdict, (found, other)
        assert 0 <= found.similarity <= 1 and found.similarity == pytest.approx(other.similarity, abs=0.2)
        same = compare_files(paths[0], paths[0], name, own, tolerance)
        assert same == Comparison(same.verdict.identical)
        return found

    return compared
