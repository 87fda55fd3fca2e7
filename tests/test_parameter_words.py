"""What the command line of a notebook run takes for a parameter's name and value, whatever the words look like."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from declaring import arrived, notebook
from deriva_ml.cli import run_notebook
from deriva_ml.cli.run_notebook import main
from deriva_ml.notebook.parameters import Value

DECLARED = "rate: float = 0.1\nnote: str = ''\nrates: list[float] = []\ntwice = rate * 2\nother = twice"


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[str]]]:
    """The parameters and overrides of the runs that would have been started, in a project with ``n.ipynb``."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "n.ipynb").write_text(json.dumps(notebook(DECLARED)))
    monkeypatch.chdir(tmp_path)
    runs: list[tuple[dict[str, Any], list[str]]] = []

    def start(
        args: argparse.Namespace,
        project: object,
        declared: list[str],
        values: dict[str, Value],
        overrides: list[str],
        argv: Sequence[str],
        call: object,
    ) -> int:
        runs.append((arrived(values), overrides))
        return 0

    monkeypatch.setattr(run_notebook, "_run", start)
    return runs


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("-p rate -1e-3", {"rate": -0.001}),
        ("-p rate -inf", {"rate": float("-inf")}),
        ("-p rate -1_000", {"rate": -1000.0}),
        ("-p rate -.5 -p note x", {"rate": -0.5, "note": "x"}),
        ("-p note -draft", {"note": "-draft"}),
        ("-p note --help", {"note": "--help"}),
        ("-p note -h", {"note": "-h"}),
        ("-p note -p", {"note": "-p"}),
        ("-p note -p -p rate 1", {"note": "-p", "rate": 1.0}),
        ("--parameter note --file", {"note": "--file"}),
        ("-p note --debug", {"note": "--debug"}),
        ("-p note --info", {"note": "--info"}),
        ("-p note --inspect", {"note": "--inspect"}),
        ("-p note --", {"note": "--"}),
        ("-p note -", {"note": "-"}),
        ("-p note ''", {"note": ""}),
        ("-p note ' '", {"note": " "}),
        ("-p note other.ipynb", {"note": "other.ipynb"}),
        ("-p note @file", {"note": "@file"}),
        ("-p note a=b", {"note": "a=b"}),
        ("-p note =", {"note": "="}),
        ("-p note dry_run=true", {"note": "dry_run=true"}),
        ("-p rates '[-1, 2]'", {"rates": [-1.0, 2.0]}),
    ],
)
@pytest.mark.parametrize("order", ["n.ipynb assets=a {}", "{} n.ipynb assets=a", "assets=a {} n.ipynb"])
def test_the_word_after_the_name_is_the_value(
    started: list[tuple[dict[str, Any], list[str]]], words: str, values: dict[str, Any], order: str
) -> None:
    assert main(shlex.split(order.format(words))) == 0
    assert started == [(values, ["assets=a"])]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("rate=-1e-3", -0.001),
        ("note=", ""),
        ("note='a b'", "a b"),
        ("note=--x", "--x"),
        ("note=a=b", "a=b"),
        ('note="it\'s"', "it's"),
    ],
)
@pytest.mark.parametrize("flag", ["-p ", "--parameter ", "-p", "--parameter="])
def test_what_is_said_of_an_equals_sign_works_when_it_is_typed(
    started: list[tuple[dict[str, Any], list[str]]],
    capsys: pytest.CaptureFixture[str],
    words: str,
    value: Any,
    flag: str,
) -> None:
    assert main(shlex.split(f"n.ipynb {flag}{words}")) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: -p takes a name and a value: -p ")
    assert main(["n.ipynb", *shlex.split(said.partition("value: ")[2])]) == 0
    assert list(started[0][0].values()) == [value]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("n.ipynb -p", "-p NAME VALUE"),
        ("n.ipynb -p note", "-p note VALUE"),
        ("n.ipynb --parameter note", "-p note VALUE"),
        ("n.ipynb -p note x -p rate", "-p rate VALUE"),
        ("n.ipynb -p ''", "-p NAME VALUE"),
        ("n.ipynb -pnote x", "-p note VALUE"),
        ("n.ipynb --parameter=note -x", "-p note VALUE"),
    ],
)
def test_too_few_words(
    started: list[object], capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert main(shlex.split(words)) == 2
    assert capsys.readouterr().err == f"error: -p takes a name and a value: {said}\n"
    assert not started


def test_debug_as_a_value_asks_for_no_traceback(
    started: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["n.ipynb", "-p", "nothing", "--debug"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown parameter 'nothing'")


def test_what_is_computed_from_a_given_value_is_named_before_anything_runs(
    started: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["n.ipynb", "-p", "rate", "1"]) == 0
    assert capsys.readouterr().err == (
        "warning: twice, other: computed in the parameters cell from the default of rate,"
        " before the value that is given gets there: give that, too, or compute it in a cell below\n"
    )
    assert main(["n.ipynb", "-p", "twice", "1", "-p", "other", "2"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("cells", "left_out"),
    [
        (["# Parameters\na = 5\nb = 6\n"], "a = 5; b = 6"),
        (["# Parameters\na = 5\n", "# Parameters\na = 7\n"], "a = 5; a = 7"),
        (["# Parameters\n" + "a" * 100 + " = 1\n"], "a" * 77 + "..."),
    ],
)
@pytest.mark.parametrize("tags", [("parameters",), ()])
def test_what_an_earlier_run_injected_is_said_to_be_left_out(
    started: list[object],
    capsys: pytest.CaptureFixture[str],
    cells: list[str],
    left_out: str,
    tags: tuple[str, ...],
) -> None:
    document = notebook("a: int = 1", tags=tags)
    for number, source in enumerate(cells):
        cell = notebook(source, tags=("injected-parameters",))["cells"][1]
        document["cells"].insert(number + (2 if tags else 0), cell)
    Path("n.ipynb").write_text(json.dumps(document))
    for words in (["--inspect"], []):
        assert main(["n.ipynb", *words]) == 0
        said = capsys.readouterr()
        assert said.err == (
            "warning: n.ipynb was executed before: the cell that set parameters then is left out"
            f" ({left_out})\n"
        )
        assert not (words and tags) or said.out.split()[4:7] == ["a", "int", "1"]
