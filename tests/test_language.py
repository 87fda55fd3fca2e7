"""Only Python notebooks are run: what a notebook or a kernel says of its language, in the ways that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.cli.run_notebook import main
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.language import other_language


def spec(name: str, language: str | None = None, said: str | None = None) -> dict[str, Any]:
    """A notebook's metadata."""
    metadata: dict[str, Any] = {"kernelspec": {"name": name, "display_name": name}}
    if language is not None:
        metadata["kernelspec"]["language"] = language
    if said is not None:
        metadata["language_info"] = {"name": said}
    return metadata


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        (spec("ir", "R", "R"), "R"),
        (spec("ir", "R", "python"), "R"),
        (spec("ir"), "R"),
        (spec("ir42"), "R"),
        (spec("conda-env-stats-r", "R"), "R"),
        (spec("julia-1.10", "julia", "julia"), "Julia"),
        (spec("julia-1.9"), "Julia"),
        (spec("bash", "bash"), "Bash"),
        (spec("bash"), "Bash"),
        (spec("python3", said="R"), "R"),
        (spec("deno", "typescript"), "TypeScript"),
        (spec("deno"), "JavaScript"),
        (spec("jslab", "javascript"), "JavaScript"),
        (spec("xcpp17", "C++17"), "C++17"),
        (spec("xcpp17"), "C++"),
        (spec(".net-csharp", "C#", "polyglot-notebook"), "C#"),
        (spec("sos", "sos"), "SoS"),
        (spec("sagemath", "sage", "python"), "Sage"),
        (spec("lab-kernel", "brainfuck"), "Brainfuck"),
        ({"language_info": {"name": "scala"}}, "Scala"),
    ],
)
def test_another_language_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: dict[str, Any], language: str
) -> None:
    """Before anything else of the notebook is read as Python, and by ``--inspect`` as well."""
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a <- 1", "outputs": []}
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": [cell]}
    (path := tmp_path / "other.ipynb").write_text(json.dumps(notebook))
    for more in ([], ["--inspect"], ["-p", "a", "2"], ["--kernel", "python3"]):
        assert main([str(path), *more]) == 2
        told = capsys.readouterr()
        assert told.err == f"error: other.ipynb is written in {language}: only Python notebooks are run\n"
        assert told.out == ""
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": None, "language_info": "odd"},
        spec("python3", "python", "python"),
        spec("python3", "Python"),
        spec("conda-env-study-py", "python"),
        spec("xpython", "python", "python"),
        spec("python3", "python", "R"),  # a kernel of Python has been chosen since it ran
        spec("my-study", said="ipython"),
        spec("my-study"),
        spec("rust-belt"),
        spec("r-study", "", ""),
        spec("java-island", "python"),
        spec("pysparkkernel", "python", "pyspark"),
        {"language_info": {"name": "ipython", "version": "3.11"}},
    ],
)
def test_python_and_what_does_not_tell_is_run(metadata: dict[str, Any]) -> None:
    assert other_language(metadata) == ""


@pytest.mark.parametrize(("language", "named"), [("bash", "Bash"), ("R", "R"), ("c++", "C++")])
def test_a_kernel_of_another_language_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, named: str
) -> None:
    folder = tmp_path / "kernels" / "other"
    folder.mkdir(parents=True)
    described = {"argv": ["touch", str(tmp_path / "started")], "display_name": "Other", "language": language}
    (folder / "kernel.json").write_text(json.dumps(described))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(DerivaMLRequestError) as refused:
        kernels.start("other", tmp_path, tmp_path / "kernel.log", {})
    assert str(refused.value) == f"the kernel other runs {named}: only Python notebooks are run"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("described", ["{", "[]", "{}", '{"argv": []}', '{"argv": 3}'])
def test_a_kernel_whose_description_is_damaged_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: str
) -> None:
    folder = tmp_path / "kernels" / "odd"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(described)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(DerivaMLRequestError) as refused:
        kernels.start("odd", tmp_path, tmp_path / "kernel.log", {})
    assert str(refused.value).startswith(f"the kernel odd in {folder} cannot be used: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["no-such-kernel", "not a name", "../odd"])
def test_a_kernel_that_is_not_there_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DerivaMLRequestError, match=f"^no kernel is named {name}; installed: "):
        kernels.start(name, tmp_path, tmp_path / "kernel.log", {})
