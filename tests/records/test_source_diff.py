"""The source of two executions at their commits: as a unified diff, a notebook's by cells, or a line why there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deriva_ml.records import source_diff as module
from deriva_ml.records.source_diff import Code, source_diff
from git_repository import Repository, isolate_git
from records.recorded import COMMIT, notebook


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository with a commit."""
    isolate_git(monkeypatch, tmp_path)
    made = Repository.create(tmp_path / "my {project} ü")
    made.commit()
    return made


def code(commit: str, path: str, execution: str = "1-A", *patches: str) -> Code:
    """What an execution ran."""
    return Code.of(execution, {"commit": commit, "path": path}, patches)


def shown(repository: Repository, first: Code, other: Code) -> tuple[list[str], list[str]]:
    """The notes and the lines of a diff."""
    found = source_diff(repository.path, first, other)
    return (found.notes, found.lines) if found else ([], [])


def test_a_models_source_is_a_unified_diff(repository: Repository) -> None:
    first = repository.commit("src/m.py", "a\nb\nc\n")
    repository.write("helper.py", "1")
    other = repository.commit("src/m.py", "a\nB\nc\n")
    notes, lines = shown(repository, code(first, "src/m.py"), code(other, "src/m.py", "1-B"))
    assert notes == ["the commits also differ in helper.py"]
    assert lines == [
        f"--- src/m.py at {first[:7]} (1-A)",
        f"+++ src/m.py at {other[:7]} (1-B)",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+B",
        " c",
    ]


def test_the_same_source_is_not_shown(repository: Repository) -> None:
    first = repository.commit("m.py", "a\n")
    assert source_diff(repository.path, code(first, "m.py"), code(first, "m.py")) is None
    patched = code(first, "m.py", "1-B", "uncommitted.diff")
    notes, lines = shown(repository, code(first, "m.py"), patched)
    assert (notes, lines) == (["1-B ran with uncommitted changes, which its uncommitted.diff has"], [])


def test_a_notebooks_source_is_that_of_its_cells(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    first = repository.commit("a.ipynb", notebook("x = 1\ny = 2", output="1", time="1"))
    again = repository.commit("a.ipynb", notebook("x = 1\ny = 2", output="2", time="2"))
    other = repository.commit("a.ipynb", notebook("x = 3\ny = 2", output="3"))
    assert source_diff(repository.path, code(first, "a.ipynb"), code(again, "a.ipynb")) is None
    _, lines = shown(repository, code(first, "a.ipynb"), code(other, "a.ipynb", "1-B"))
    assert [line for line in lines[2:] if line[0] != "@"] == [" # %%", "-x = 1", "+x = 3", " y = 2", " "]


def test_a_notebook_is_shown_by_nbdime_where_it_is_installed(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages" / "nbdime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    program = package / "__main__.py"
    program.write_text("import sys; print('nbdiff a b', '--- a', '+++ b', *sys.argv[1:], sep='\\n')")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.syspath_prepend(package.parent)
    first = repository.commit("a.ipynb", notebook("x = 1"))
    other = repository.commit("a.ipynb", notebook("x = 2"))
    _, lines = shown(repository, code(first, "a.ipynb"), code(other, "a.ipynb", "1-B"))
    assert lines[:2] == [f"--- a.ipynb at {first[:7]} (1-A)", f"+++ a.ipynb at {other[:7]} (1-B)"]
    assert (lines[2], lines[-2:]) == ("diff", ["first.ipynb", "other.ipynb"])
    program.write_text("import sys; sys.exit(1)")
    _, lines = shown(repository, code(first, "a.ipynb"), code(other, "a.ipynb", "1-B"))
    assert "-x = 1" in lines, "where it fails, by cells"
    sys.modules.pop("nbdime", None)


def test_a_notebook_that_is_none_is_a_text(repository: Repository) -> None:
    first, other = repository.commit("a.ipynb", "{\n"), repository.commit("a.ipynb", "[\n")
    _, lines = shown(repository, code(first, "a.ipynb"), code(other, "a.ipynb"))
    assert lines[-2:] == ["-{", "+["]


def test_a_commit_that_is_gone_is_told(repository: Repository) -> None:
    kept = repository.commit("m.py", "a\n")
    gone = repository.commit("m.py", "b\n")
    repository.git("reset", "--quiet", "--hard", kept)
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    notes, lines = shown(repository, code(kept, "m.py"), code(gone, "m.py", "1-B"))
    assert lines == []
    assert notes == [f"commit {gone[:7]}, of 1-B, is not in this repository: git fetch may bring it"]


def test_what_is_not_there_or_no_text_or_large_is_told(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_SOURCE", 10)
    first = repository.commit("m.py", "a\n")
    (repository.path / "binary.py").write_bytes(b"\0\1")
    other = repository.commit("large.py", "a\n" * 10)
    for path, why in {
        "nothing.py": "is not there",
        "binary.py": "is not text",
        "large.py": "is not shown: it has more than 0 MiB",
    }.items():
        notes, lines = shown(repository, code(first, "m.py"), code(other, path, "1-B"))
        assert notes[0] == f"{path} at commit {other[:7]}, of 1-B, {why}"
        assert lines == []
    notes, _ = shown(repository, code(first, "m.py"), code(other, "a.txt"))
    assert "m.py and a.txt are not of one kind, and not compared" in notes


@pytest.mark.parametrize("commit", ["", "--output=x", "HEAD", "f" * 39, None])
def test_what_is_no_commit_is_not_asked_of_git(repository: Repository, commit: str) -> None:
    known = repository.commit("m.py", "a\n")
    notes, lines = shown(repository, code(known, "m.py"), code(commit, "m.py", "1-B"))
    assert (notes, lines) == (["which file 1-B ran at which commit is not known"], [])


def test_outside_a_repository_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    found = source_diff(tmp_path, code(COMMIT, "m.py"), code("f" * 40, "m.py", "1-B"))
    assert found is not None and found.lines == []
    assert [note.partition(", of")[0] for note in found.notes] == [f"commit {COMMIT[:7]}", "commit fffffff"]
