"""Outputs and execution counts count where git has them, and not in the working file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from check.conftest import Checkable, Checked

Check = Callable[..., Checked]
RUN: dict[str, Any] = {
    "source": "print(1)",
    "execution_count": 7,
    "outputs": [{"output_type": "stream", "name": "stdout", "text": "1\n"}],
}


@pytest.fixture
def committed(project: Checkable) -> Path:
    """A committed notebook without outputs."""
    path = project.notebook("notebooks/a.ipynb", "x = 1", "print(1)")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A notebook")
    return path


def test_outputs_in_the_working_file_are_no_finding(
    project: Checkable, committed: Path, check: Check
) -> None:
    """They are there after every run in JupyterLab, and git has none of them; neither has it of a new file."""
    project.notebook("notebooks/a.ipynb", "x = 1", RUN)
    project.notebook("notebooks/new.ipynb", RUN)
    assert check("--select", "DML3").codes == []


def test_what_is_staged_or_committed_counts(project: Checkable, committed: Path, check: Check) -> None:
    """Until it is staged without them; each cell is named."""
    project.notebook("notebooks/a.ipynb", "x = 1", RUN)
    project.git("add", "--all")
    found = ["notebooks/a.ipynb:2:1: DML301", "notebooks/a.ipynb:2:1: DML302"]
    assert [" ".join(line.split()[:2]) for line in check("--select", "DML3").lines] == found
    project.git("commit", "--quiet", "--message", "With outputs")
    project.notebook("notebooks/a.ipynb", "x = 1", "print(1)")
    assert check("--select", "DML3").codes == ["DML301", "DML302"]
    project.git("add", "--all")
    assert check("--select", "DML3").codes == []


@pytest.mark.parametrize(("left", "code"), [("outputs", "DML301"), ("execution_count", "DML302")])
def test_each_has_its_rule(project: Checkable, committed: Path, check: Check, left: str, code: str) -> None:
    """Outputs, or the number of the execution alone."""
    project.notebook("notebooks/a.ipynb", {"source": "print(1)", left: RUN[left]})
    project.git("add", "--all")
    assert check("--select", "DML3").codes == [code]


def test_what_the_filter_strips_is_no_finding(project: Checkable, committed: Path, check: Check) -> None:
    """Git has what the filter leaves of a file, whatever stands in the working tree."""
    project.write(".gitattributes", "*.ipynb filter=strip\n")
    project.git("config", "filter.strip.clean", f"cat {committed.with_suffix('.clean')}")
    committed.with_suffix(".clean").write_text(committed.read_text())
    project.notebook("notebooks/a.ipynb", "x = 1", RUN)
    project.git("add", "--all")
    assert check("--select", "DML3").codes == []


def test_words_of_outputs_in_a_cell_are_none(project: Checkable, committed: Path, check: Check) -> None:
    """A cell that speaks of them has none."""
    project.notebook("notebooks/a.ipynb", "x = {'output_type': 1}\n\"execution_count\": 3")
    project.git("add", "--all")
    assert check("--select", "DML3").codes == []


def test_other_languages_and_single_files_too(project: Checkable, committed: Path, check: Check) -> None:
    """A notebook in R is looked at, and one that is named from another folder."""
    path = project.notebook("notebooks/r b.ipynb", RUN, kernelspec={"name": "ir", "language": "R"})
    project.git("add", "--all")
    assert check(str(path), "--select", "DML3").codes == ["DML301", "DML302"]


def test_without_git_there_is_nothing_committed(
    project: Checkable, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in no repository, or a machine without git, has no such finding."""
    path = project.notebook("../elsewhere/a.ipynb", RUN)
    assert check(str(path), "--select", "DML3").codes == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check(str(path), "--select", "DML3").codes == []
