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


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def cells(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """A notebook's code cells as git has them: its filter strips outputs on the way in. A new file as it is."""
    path = request.param
    shown = subprocess.run(["git", "show", f":./{path.name}"], cwd=path.parent, capture_output=True)
    notebook = json.loads(shown.stdout or path.read_bytes())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_parameters(cells: list[dict[str, Any]]) -> None:
    """One cell is tagged `parameters`, and it holds assignments and comments only."""
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    statements = ast.parse("".join(tagged[0]["source"])).body
    assert [type(s).__name__ for s in statements if not isinstance(s, ast.Assign | ast.AnnAssign)] == []


def test_no_outputs(cells: list[dict[str, Any]]) -> None:
    """Neither outputs nor execution counts are committed: `uv run deriva-ml-init` installs the filter."""
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
