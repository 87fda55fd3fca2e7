"""Small notebooks that the tests make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat

START = "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook('my_notebook')"
COMMIT = "execution.commit_output_assets()"


def write_notebook(path: Path, cells: Sequence[str], parameters: str | None = None, before: str = "") -> Path:
    """A notebook with these code cells; the parameters cell, if there is one, comes first, or after `before`."""
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    if parameters is not None:
        node.cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    if before:
        node.cells.insert(0, nbformat.v4.new_code_cell(before))
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell-{number}"
    node.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(node, path)
    return path


def outputs_text(notebook: Path) -> str:
    """Everything that the cells of an executed notebook wrote, errors too."""
    texts = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", ()):
            texts.append(output.get("text", ""))
            texts.append(output.get("data", {}).get("text/plain", ""))
            texts.append(f"{output.get('ename', '')}: {output.get('evalue', '')}")
    return "\n".join(texts)


def beside_findings(said: str) -> str:
    """What a command said on standard error, but for the line that tells what a check finds in the notebook."""
    return "".join(line for line in said.splitlines(keepends=True) if not line.startswith("check: "))
