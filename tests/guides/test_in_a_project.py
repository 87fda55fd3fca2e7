"""Guides that are read in a project work as they are written, and the Python that they show does what they say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from conftest import ROOT, ProjectFolder
from guides.reader import Reader
from guides.typed import IN_A_PROJECT, NOT_TYPED, to_type, typed_lines
from notebooks import write_notebook
from pages import Page, read


@pytest.mark.parametrize("page", IN_A_PROJECT, ids=lambda page: page.name)
def test_a_guide_works_as_written(page: Page, reader: Reader) -> None:
    """Each command succeeds, or is refused where the page says so, and answers what the page shows."""
    blocks = to_type(page)
    assert blocks, f"nothing of {page.name} is typed"
    for block in blocks:
        reader.follow(block)


@pytest.mark.parametrize("name", NOT_TYPED)
def test_what_is_not_typed_is_on_its_page(name: str) -> None:
    """No exception outlives the line that it is for."""
    assert set(NOT_TYPED[name]) <= typed_lines(read(ROOT / name))


def test_the_cells_of_the_notebooks_page_are_a_notebook(
    project_copy: Callable[..., ProjectFolder],
) -> None:
    """Its Python, in its order and cell by cell, runs: parameters, inputs, outputs."""
    project = project_copy()
    parameters, *rest = read(ROOT / "docs" / "notebooks.md").blocks("python")
    cells = [cell for cell in rest if "notebook_config" not in cell]
    write_notebook(project / "notebooks" / "my_analysis.ipynb", cells, parameters)
    project.git("commit", "-qam", "The page's cells")
    given = ("-p", "limit", "3", "-p", "names", '["c"]')
    done = project.run("deriva-ml-run-notebook", "notebooks/my_analysis.ipynb", *given, check=True)
    rid = re.findall(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)[0]
    shown = project.looked_up("show", rid)
    assert shown["parameters"] == {"threshold": 0.5, "names": ["c"], "limit": 3}
    assert shown["given"] == {"limit": 3, "names": ["c"]}
    assert {file["file"] for file in shown["inputs"]} == {"logistic.npz", "mlp_small.npz"}
    assert {"scores.csv", "metrics.jsonl"} <= {file["file"] for file in shown["outputs"]}


def test_the_entries_of_the_configuration_page_can_be_used(
    project_copy: Callable[..., ProjectFolder],
) -> None:
    """Its Python, kept in modules as it says, registers each name; its notebook gets from them what it says."""
    project = project_copy()
    (project / "data").mkdir()
    (project / "data" / "measurements.csv").write_text("length\n5.1\n")
    blocks = read(ROOT / "docs" / "configuration.md").blocks("python")
    [cell] = [block for block in blocks if "run_notebook(" in block]
    blocks.remove(cell)
    there = {"my_analysis": "my_analysis", "train_digits": "digits"}  # modules that a project starts with
    for number, block in enumerate(blocks):
        module = next((there[name] for name in there if name in block), f"page_{number}")
        (project / "src" / "configs" / f"{module}.py").write_text(block)
    write_notebook(project / "notebooks" / "thresholds.ipynb", [cell])
    project.git("add", "-A")
    project.git("commit", "-qm", "The page's entries")

    assert project.run("ruff", "format", "--check", "src").rc == 0
    menu = project.run("deriva-ml-run", "--list-configs", check=True).out
    names = re.findall(r'name="(\w+)"|(?:notebook|multirun)_config\(\s*"(\w+)"', "\n".join(blocks))
    assert len(names) == 9
    assert all(re.search(rf"\b{one or other}\b", menu) for one, other in names)
    composed = project.run("deriva-ml-run", "--cfg", "job", "+experiment=wide_layer", check=True).out
    assert "hidden_layer: 96" in composed
    run = ("deriva-ml-run-notebook", "notebooks/thresholds.ipynb", "threshold=0.7", "--log-output")
    assert "0.7 training_data" in project.run(*run, check=True).text
