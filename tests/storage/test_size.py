"""Whoever asks learns what the records take on the disk, and what takes most of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.project import Project
from deriva_ml.storage.size import measure
from storage.conftest import Command, Run, content


def test_each_byte_is_counted_once(
    project: Project, catalog: EmbeddedCatalog, run: Run, tmp_path: Path
) -> None:
    """Contents by table and by what they are, each where it is named first; those without a record by themselves."""
    run("result", "r" * 100)
    run("again", "r" * 100)  # the same content under another name
    run("log", "l" * 10, table="Execution_Metadata")
    (tmp_path / "data").write_text("d" * 1000)
    catalog.add_file(tmp_path / "data")
    for name, folder in (("loose", tmp_path), ("fetched", tmp_path)):
        (folder / name).write_text(name)
        catalog.objects.add(folder / name)
    md5 = catalog.objects.add(tmp_path / "fetched")[0]
    for path, size in (("known/host 1/asset 1.json", 0), ("runs/r/notebook.ipynb", 7), ("../outputs/x", 5)):
        target = project.state / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"md5": md5}) if not size else "x" * size)
    found = measure(catalog)
    assert found.tables == {"Execution_Asset": (1, 100), "Execution_Metadata": (1, 10), "File": (1, 1000)}
    assert found.kinds == {"outputs": 100, "metadata of runs": 10, "inputs, datasets": 1000}
    assert (found.unnamed, found.fetched) == ((1, 5), (1, 7))
    assert (found.contents, found.contents_count) == (1122, 5)
    assert found.running == 7
    assert found.outputs >= 5
    assert found.database == sum(path.stat().st_size for path in project.state.glob("catalog.db*"))
    assert found.total == found.database + found.contents + found.running + found.known + found.outputs


def test_the_largest_are_named_first(
    catalog: EmbeddedCatalog, run: Run, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = run("small", "s"), run("large", "l" * 5000)
    assert command("size", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["rid"] for one in said["executions"]] == [large, small]
    assert [one["name"] for one in said["files"]] == ["large.txt", "small.txt"]
    assert command("size") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("contents")] == [["contents", "2", "5.0", "kB"]]
    assert "largest executions by their outputs:" in lines
    assert any(large in line and "run large" in line for line in lines)


def test_no_content_is_read(catalog: EmbeddedCatalog, run: Run) -> None:
    """What is missing or damaged counts as the disk has it."""
    path = content(catalog, run("a", "four"))
    path.unlink()
    assert measure(catalog).contents == 0
    assert measure(catalog).files[0].bytes == 4


def test_an_empty_project_has_a_size(command: Command, project: Project) -> None:
    assert command("size") == 0
    assert command("verify") == 0
    assert command("gc", "--yes") == 0
