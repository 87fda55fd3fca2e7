"""Reading the files of a rendered project as the tools that they are for do."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import yaml


def files_of(project: Path) -> list[str]:
    """The rendered files, relative to the project, leaving out what later steps add."""
    return sorted(path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())


def parse(path: Path) -> Any:
    """Read a file as the tools that it is for do."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    text = path.read_bytes().decode("utf-8")
    match path.suffix or path.name:
        case ".toml":
            return tomllib.loads(text)
        case ".yml" | ".yaml":
            return yaml.safe_load(text)
        case ".json":
            return json.loads(text)
        case ".ipynb":
            notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
            nbformat.validate(notebook)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    compile(cell.source, path.name, "exec")
            return notebook
        case ".py":
            return compile(text, path.name, "exec")
        case ".editorconfig":
            sections = configparser.ConfigParser()
            sections.read_string(f"[top]\n{text}")
            return sections
    return text


def pyproject(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def answers_of(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))


def names_of(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}
