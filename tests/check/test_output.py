"""Findings as JSON, as GitHub's annotations and as SARIF: of the right place, whatever it is called."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from check.conftest import Checkable, Checked

Check = Callable[..., Checked]


@pytest.fixture(autouse=True)
def found(project: Checkable) -> Path:
    """A notebook with a syntax error in its third cell, second line, and a clock that is read."""
    return project.notebook(
        "notebooks/a b,c.ipynb", "x = 1", "import time\n\nt = time.time()\n", "y = 1\nx = = 1\nz = 2"
    )


def test_json_has_all_that_is_known(check: Check) -> None:
    """A list of objects, on standard output, with nothing else."""
    done = check("--select", "DML6,DML9", "--output-format", "json")
    clock, syntax = json.loads(done.out)
    assert syntax == {
        "code": "DML901",
        "name": "syntax-error",
        "message": "syntax error: invalid syntax",
        "advice": False,
        "fixable": False,
        "filename": "notebooks/a b,c.ipynb",
        "cell": 3,
        "location": {"row": 2, "column": 1},
        "end_row": 2,
    }
    assert clock["advice"] and clock["location"]["row"] == 3
    assert json.loads(check("--select", "DML902", "--output-format", "json").out) == []


def test_github_takes_each_for_an_annotation(check: Check, found: Path) -> None:
    """On the line of the notebook's file, with what would end a part of the command written otherwise."""
    notice, error = check("--select", "DML6,DML9", "--output-format", "github").out.splitlines()
    assert notice.startswith("::notice file=")
    parts = re.fullmatch(
        r"::error file=notebooks/a b%2Cc\.ipynb,line=(\d+),endLine=\1,title=(.+?)::(.+)", error
    )
    assert parts and parts[2] == "DML901 syntax-error"
    assert "x = = 1" in found.read_text().splitlines()[int(parts[1]) - 1]
    assert parts[3] == "notebooks/a b,c.ipynb:3:2: syntax error: invalid syntax"


@pytest.mark.parametrize("form", ["lines", "text", "dense"])
def test_lines_are_those_of_the_file(project: Checkable, check: Check, form: str) -> None:
    """As Jupyter writes a notebook, a line of a cell is a line of the file; else it is the line with all of the cell."""
    document = json.loads((project.path / "notebooks/a b,c.ipynb").read_text())
    if form == "lines":
        for cell in document["cells"]:
            cell["source"] = cell["source"].splitlines(keepends=True)
    text = json.dumps(document, indent=None if form == "dense" else 1)
    path = project.write("notebooks/d.ipynb", text)
    [error] = check(str(path), "--select", "DML9", "--output-format", "github").out.splitlines()
    line = int(re.findall(r"line=(\d+)", error)[0])
    assert "x = = 1" in text.splitlines()[line - 1]


def test_sarif_is_of_version_2_1_0(check: Check) -> None:
    """With what the standard asks of a log, and each result pointing at its rule and place."""
    done = check("--select", "DML6,DML9", "--output-format", "sarif")
    log: dict[str, Any] = json.loads(done.out)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["help"]["text"] and rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] in {"note", "error"}
    advice, error = run["results"]
    assert (advice["level"], error["level"]) == ("note", "error")
    assert rules[error["ruleIndex"]]["id"] == error["ruleId"] == "DML901"
    [place] = error["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "notebooks/a%20b%2Cc.ipynb"
    assert place["physicalLocation"]["region"]["startLine"] >= 1
    assert place["logicalLocations"][0]["name"] == "cell 3"


def test_a_file_elsewhere_has_a_whole_address(project: Checkable, check: Check, tmp_path: Path) -> None:
    """One that is no path below the project is named by a URI of its own."""
    path = tmp_path / "elsewhere.py"
    path.write_text("x = = 1")
    log = json.loads(check(str(path), "--select", "DML9", "--output-format", "sarif").out)
    place = log["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == path.as_uri()
    assert "logicalLocations" not in place


def test_names_do_nothing_to_a_terminal(project: Checkable, check: Check) -> None:
    """Whatever a file is called, a finding is one line."""
    project.notebook("notebooks/\x1b[31mred\n::error::x.ipynb", "x = = 1")
    for form in ("concise", "github"):
        done = check("notebooks", "--select", "DML9", "--output-format", form)
        assert "\x1b" not in done.out and not re.search("^::error::", done.out, re.MULTILINE)


def test_a_name_in_no_encoding_is_a_place_too(project: Checkable, check: Check) -> None:
    """And one with a percent sign is not taken for another."""
    names = ["50%25.ipynb", os.fsdecode(b"caf\xe9.ipynb")]
    try:
        for name in names:
            project.notebook(f"notebooks/{name}", "x = = 1")
    except (OSError, UnicodeError):
        pytest.skip("names are UTF-8 here")
    for form in ("concise", "json", "github"):
        assert check("notebooks", "--select", "DML9", "--output-format", form).rc == 1
    log = json.loads(check("notebooks", "--select", "DML9", "--output-format", "sarif").out)
    places = [one["locations"][0]["physicalLocation"] for one in log["runs"][0]["results"]]
    uris = {one["artifactLocation"]["uri"] for one in places}
    assert {"notebooks/50%2525.ipynb", "notebooks/caf%E9.ipynb"} <= uris


def test_statistics_count(project: Checkable, check: Check) -> None:
    """How often each rule found something, the most often first, instead of the findings."""
    project.notebook("notebooks/b.ipynb", "x = = 1", "y = = 2")
    rows = check("--select", "DML6,DML9", "--statistics").out.splitlines()
    assert [row.split() for row in rows[1:3]] == [
        ["3", "DML901", "syntax-error"],
        ["1", "DML604", rows[2].split()[2]],
    ]
