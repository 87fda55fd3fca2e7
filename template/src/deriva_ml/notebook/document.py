"""Reads a notebook's file; says what its cells hold, and how they are tagged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import suggest

TAG = "parameters"  # Papermill's convention: its injected cell follows the first cell with this tag
INJECTED = "injected-parameters"  # and that of the cell itself
# nbclient's, for a cell that is meant to raise, and for one that is not to run.
EXPECTS_ERROR, SKIPPED = "raises-exception", "skip-execution"


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the notebook document in `path` (nbformat 4) as plain dictionaries and lists.

    Raises:
        DerivaMLRequestError: The file is missing, is no notebook, or cannot be read as one.
    """
    if not path.is_file():
        folders = (Path("notebooks"), Path(), path if path.is_dir() else path.parent)
        nearby = {
            file.name: str(file)
            for folder in folders
            for file in sorted(folder.glob("*.ipynb"))
            if file.is_file()
        }
        raise DerivaMLRequestError(f"there is no notebook file {path}{suggest(path.stem + '.ipynb', nearby)}")
    if path.suffix != ".ipynb":
        raise DerivaMLRequestError(f"{path} is not a notebook: its name does not end in .ipynb")
    text = read_text(path)
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        if conflict := re.search(r"^(<{7}|>{7}) .*$", text, re.MULTILINE):
            line = text.count("\n", 0, conflict.start()) + 1
            raise DerivaMLRequestError(
                f"{path} line {line}: unresolved merge conflict ({conflict[0].strip()}): choose a side with "
                "'git checkout --ours' or '--theirs' and that file, then 'git add' it"
            ) from None
        raise DerivaMLRequestError(f"{path} is not valid JSON: {error}") from None
    match notebook:
        case {"nbformat": int(version)} if version < 4:
            raise DerivaMLRequestError(
                f"{path} has the old notebook format {version}: bring it to format 4 with "
                "'jupyter nbconvert --to notebook --inplace' and that file"
            )
        case {"nbformat": int(version)} if version > 4:
            raise DerivaMLRequestError(
                f"{path} has the notebook format {version}, which is not known here: save it in format 4"
            )
        case {"nbformat": int(), "cells": list(cells)} if not all(map(_is_cell, cells)):
            number = list(map(_is_cell, cells)).index(False) + 1
            raise DerivaMLRequestError(
                f"cell {number} of {path} is damaged:"
                " it lacks a 'cell_type', 'metadata', a 'source' of text or 'outputs'"
            )
        case {"nbformat": int(), "nbformat_minor": int(), "cells": list(), "metadata": dict()}:
            return dict(notebook)
    raise DerivaMLRequestError(
        f"{path} is no notebook:"
        " it lacks a number 'nbformat' or 'nbformat_minor', a list of 'cells' or 'metadata'"
    )


def _is_cell(cell: object) -> bool:
    """Whether a cell has what every tool relies on."""
    match cell:
        case {"cell_type": "code", "metadata": dict(), "source": source, "outputs": list(outputs)}:
            return _is_text(source) and all(isinstance(one, dict) and "output_type" in one for one in outputs)
        case {"cell_type": str(kind), "metadata": dict(), "source": source} if kind != "code":
            return _is_text(source)
    return False


def _is_text(source: object) -> bool:
    """Whether it is a text, or a list of its lines."""
    return all(isinstance(line, str) for line in (source if isinstance(source, list) else [source]))


def read_text(path: Path) -> str:
    """Return what a text file holds.

    Raises:
        DerivaMLRequestError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DerivaMLRequestError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise DerivaMLRequestError(f"{path} cannot be read: {error.strerror}") from None


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """Return the tags of a cell; none where its metadata are not as they should be."""
    match cell:
        case {"metadata": {"tags": list(tags)}}:
            return tags
    return []


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the text of a cell, which a file may have as lines."""
    return "".join(cell.get("source") or "")


def injected_earlier(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cells that earlier runs injected into a notebook: it is an executed one."""
    return [cell for cell in notebook["cells"] if INJECTED in tags_of(cell) and TAG not in tags_of(cell)]
