"""A disk that takes nothing more is no difference between two runs."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from deriva_ml.project import Project
from deriva_ml.replay import replaying
from deriva_ml.replay.replaying import Options, Records, replay
from deriva_ml.replay.verdict import Verdict


def records(root: Path) -> Records:
    """One execution, and nothing else of a catalog."""
    record = SimpleNamespace(workflow=SimpleNamespace(name="Study", url=""))
    source = cast(
        Any, SimpleNamespace(lookup_execution=lambda rid: record, list_execution_children=lambda rid: [])
    )
    return Records(Project(root), source, source)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_replay_that_finds_no_room_could_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(number, "no room")

    monkeypatch.setattr(replaying, "_replay_one", full)
    report = replay(records(tmp_path), "1-ABCD", Options())
    assert report.verdict is Verdict.could_not_run
    assert report.why.startswith("memory or disk do not suffice here: the disk")


def test_another_error_of_the_system_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise OSError(errno.EINVAL, "broken")

    monkeypatch.setattr(replaying, "_replay_one", broken)
    with pytest.raises(OSError, match="broken"):
        replay(records(tmp_path), "1-ABCD", Options())
