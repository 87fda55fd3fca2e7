"""Whatever names, reasons and servers say, a terminal shows it and does nothing else."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import SOURCE
from deriva_ml import DerivaML
from deriva_ml.cli.catalog import main as catalog_command
from deriva_ml.cli.command import command
from deriva_ml.definitions import Status, Workflow
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import shown

ACTS = {
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "good\rbad": r"good\rbad",
    "one\nerror: two": r"one\nerror: two",
    "\x9b31m\x85": r"\x9b31m\x85",
    "abc\u202etxt.exe\u2066": r"abc\u202etxt.exe\u2066",
    "a\u2028b\x7f\x00\x08": r"a\u2028b\x7f\x00\x08",
    "\udcff": r"\udcff",
}
"""Texts that make a terminal do something, or turn the order of what it shows; and how they are shown."""
PLAIN = ["naïve Δx 数据 👩‍🔬", "C:\\x1b", "a [b] {c} $d"]


@pytest.mark.parametrize("text", ACTS)
def test_what_a_terminal_would_obey_is_shown_instead(text: str) -> None:
    assert shown(text) == ACTS[text]
    assert "\n" not in aligned([("name",), (text,)]).partition("\n")[2]


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("text", ACTS)
def test_an_error_is_one_harmless_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def refused(argv: Sequence[str]) -> int:
        raise DerivaMLException(f"the server said {text}")

    assert refused([]) == 1
    assert capsys.readouterr().err == f"error: the server said {ACTS[text]}\n"


@pytest.mark.parametrize("text", [text for text in ACTS if text != "\udcff"])  # which SQLite does not take
def test_records_are_shown_harmlessly(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In `list` and `show`, and as JSON they are what was recorded."""
    (tmp_path / "pyproject.toml").touch()
    ml = DerivaML(project=Project(tmp_path))
    workflow = Workflow(f"flow {text}", url=f"u{text}", checksum="c")
    execution = ml.create_execution(ExecutionConfiguration(description=f"what {text}"), workflow)
    configuration = {"parameters": {"a\u202eb": text}, "overrides": [text]}
    execution.record_circumstances({"path": text, "differences": [text]})
    path = execution.asset_file_path("Execution_Asset", "x.txt", text)
    path.write_text(json.dumps(configuration))
    execution.commit_output_assets()
    ml.catalog.update_execution(execution.execution_rid, Status.failed, f"reason {text}")
    ml.catalog.close()
    monkeypatch.chdir(tmp_path)
    for arguments in (["list"], ["show", execution.execution_rid]):
        assert catalog_command(arguments) == 0
        said = capsys.readouterr()
        assert not [one for one in said.out + said.err if shown(one) != one and one != "\n"]
        assert not [line for line in said.out.split("\n") if line.startswith("error: ")]
        assert catalog_command([*arguments, "--json"]) == 0
        assert f"reason {text}" in _texts(json.loads(capsys.readouterr().out))


def _texts(value: object) -> list[str]:
    match value:
        case dict():
            return [text for one in value.values() for text in _texts(one)]
        case list():
            return [text for one in value for text in _texts(one)]
    return [str(value)]


def test_every_module_that_prints_prints_harmlessly() -> None:
    """But for what other programs read."""
    runner = SOURCE / "deriva_ml"
    raw = []
    for path in sorted(runner.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prints = any(
            isinstance(node, ast.Call) and ast.unparse(node.func) == "print" for node in ast.walk(tree)
        )
        imports = [
            node
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == "deriva_ml.terminal"
        ]
        if prints and "print" not in {alias.name for node in imports for alias in node.names}:
            raw.append(path.relative_to(runner).as_posix())
    assert raw == ["execution/precheck.py", "sweep/checking.py", "terminal.py"]
