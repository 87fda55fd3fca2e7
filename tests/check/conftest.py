"""A project whose notebooks are checked, and the command in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from git_repository import Repository, isolate_git


@dataclass(frozen=True)
class Checked:
    """What the command printed, and its exit status."""

    rc: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The findings, without the sentence about all of them."""
        return self.out.splitlines()[:-1]

    @property
    def codes(self) -> list[str]:
        """The codes of the findings."""
        return [line.split(": ", 1)[1].split()[0] for line in self.lines]


class Checkable(Repository):
    """A project's folder with what tells the runner that it is one."""

    def notebook(self, name: str, *cells: Any, **metadata: Any) -> Path:
        """Write a notebook of these cells of code; one that is a dictionary has more than text."""
        made = [one if isinstance(one, dict) else {"source": one} for one in cells]
        plain = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        document = {
            "cells": [plain | {"id": f"c{n}"} | one for n, one in enumerate(made)],
            "metadata": metadata,
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return self.write(name, json.dumps(document, indent=1) + "\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkable:
    """An empty project in a repository, which commands find."""
    isolate_git(monkeypatch, tmp_path)
    made = Checkable.create(tmp_path / "project")
    made.write("pyproject.toml", "[project]\nname = 'x'\n")
    (made.path / "src" / "deriva_ml").mkdir(parents=True)
    monkeypatch.chdir(made.path)
    return made  # type: ignore[return-value]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    """``check("notebooks", "--select", "DML9")``: the command's end and output."""
    from deriva_ml.cli.check import main

    def run(*arguments: str) -> Checked:
        capsys.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as ended:  # argparse's way
            status = int(ended.code or 0)
        return Checked(status, *capsys.readouterr())

    return run
