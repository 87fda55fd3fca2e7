"""A project as the upstream model template leaves one, with what the page about moving shows in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat

from catalog_kinds import Place
from conftest import ROOT, ProjectFolder
from deriva_double import DerivaDouble
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.deriva.server import Server
from deriva_ml.project import Project
from pages import Page

DATA = ROOT / "tests" / "data" / "upstream"


def files(page: Page) -> dict[str, str]:
    """The Python that the page says works as it is, by the file that it is in."""
    blocks = (block.partition("\n") for block in page.blocks("python"))
    return {
        head.removeprefix("# "): content
        for head, _, content in blocks
        if head.startswith(("# src/", "# notebooks/"))
    }


def make(folder: Path, page: Page, env: dict[str, str], as_here: Callable[[str], str]) -> ProjectFolder:
    """The project, committed at version 0.3.0; a notebook gets what the page shows as its imports and its last cell.

    Args:
        as_here: replaces the server and the RIDs that a file names by those that there are.
    """
    shutil.copytree(DATA, folder)
    for name, content in files(page).items():
        path = folder / name
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            imports, _, work = content.partition("\n\n")
            notebook.cells.insert(1, nbformat.v4.new_code_cell(imports, id="imports"))
            notebook.cells.append(nbformat.v4.new_code_cell(work, id="work"))
            nbformat.write(notebook, path)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
    for path in folder.rglob("*.py"):
        path.write_text(as_here(path.read_text(encoding="utf-8")), encoding="utf-8")
    project = ProjectFolder(folder, env)
    for command in ("init -q", "add -A", "commit -qm Upstream", "tag v0.3.0"):
        project.git(*command.split())
    return project


def inputs(folder: Path, double: DerivaDouble, catalog: str) -> dict[str, str]:
    """Put an asset and a dataset, as the page names them, into the catalog; their RIDs there by those on the page."""
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    credential = double.credential("admin")
    curator = Server(double.url, catalog, credential)
    place = Place(Project(folder), "head", DerivaMLConfig(double.url, catalog, credential), curator, double)
    line = place.add_file("line.json", b'{"degree": 1}', ["Input_File"])
    spring = place.add_file("spring.txt", b"1 2 3", ["Input_File"])
    return {"3XM": line, "3SY": place.add_dataset("Spring", [spring], ["Complete"])}
