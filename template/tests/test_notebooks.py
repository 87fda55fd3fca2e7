"""Your notebooks can be run by `deriva-ml-run-notebook` and are committed without outputs."""

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted(
    path
    for path in (Path(__file__).parent.parent / "notebooks").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
)


every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)


def code_cells(content: bytes) -> list[dict[str, Any]]:
    """The code cells of a notebook's file."""
    return [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]


@every_notebook
def test_parameters(notebook: Path) -> None:
    """One code cell is tagged `parameters`, and it holds assignments and comments only; it may be empty."""
    cells = code_cells(notebook.read_bytes())
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1, f"{notebook.name}: tag one code cell 'parameters' (an empty one will do)"
    statements = ast.parse("".join(tagged[0]["source"])).body
    assert all(isinstance(statement, ast.Assign | ast.AnnAssign) for statement in statements)


@every_notebook
def test_no_outputs(notebook: Path) -> None:
    """Git holds no outputs: the filter that `uv run deriva-ml-init` installs strips them on the way in."""
    shown = subprocess.run(["git", "show", f":./{notebook.name}"], cwd=notebook.parent, capture_output=True)
    cells = code_cells(shown.stdout or notebook.read_bytes())
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
