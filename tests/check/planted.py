"""Projects with notebooks and configurations that tests plant something in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deriva_ml.check.checking import Checker, Finding

PARAMETERS = "parameters"


def code(source: str | list[str], *tags: str, **more: Any) -> dict[str, Any]:
    """A cell of code."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": source,
        **more,
    }


def markdown(source: str, *tags: str) -> dict[str, Any]:
    """A cell of text."""
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)} if tags else {}, "source": source}


def parameters(source: str) -> dict[str, Any]:
    """The parameters cell."""
    return code(source, PARAMETERS)


def document(*cells: dict[str, Any] | str) -> dict[str, Any]:
    """A notebook; a text is a cell of code."""
    return {
        "cells": [code(one) if isinstance(one, str) else one for one in cells],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def project(folder: Path, **configs: str) -> Path:
    """A project with the runner's folder, and configurations by the names of their modules."""
    (folder / "src" / "deriva_ml").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "configs").mkdir(exist_ok=True)
    (folder / "notebooks").mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    for name, text in configs.items():
        (folder / "src" / "configs" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def planted(
    root: Path, *cells: dict[str, Any] | str, rules: Sequence[str] = (), name: str = "nb"
) -> list[Finding]:
    """What these rules find in a notebook of these cells."""
    path = project(root) / "notebooks" / f"{name}.ipynb"
    path.write_text(json.dumps(document(*cells)), encoding="utf-8")
    return Checker(rules).check(path)


def places(found: list[Finding]) -> list[tuple[int, int]]:
    """Cell and line of findings."""
    return [(one.cell, one.line) for one in found]
