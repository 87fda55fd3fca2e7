"""A whole recorded run of a 12-cell notebook, against bare Papermill on the same less its DerivaML cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from common import Row, alternate, arguments, print_table, project, run, script

DERIVA_ML = (
    'from deriva_ml.execution import run_notebook\n\nml, execution, config = run_notebook("my_notebook")'
)
CELLS = [
    "import math\nimport random",
    "count: int = 1000\nseed: int = 7",
    DERIVA_ML,
    "random.seed(seed)\nvalues = [random.gauss(0, 1) for _ in range(count)]",
    "mean = sum(values) / count\nmean",
    "deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / count)\ndeviation",
    "ordered = sorted(values)",
    "{'median': ordered[count // 2], 'least': ordered[0], 'greatest': ordered[-1]}",
    "for value in ordered[:10]:\n    print(f'{value:.3f}')",
    "inside = sum(abs(value - mean) < deviation for value in values) / count",
    "print(f'{inside:.1%} within one standard deviation')",
    "assert 0.5 < inside < 0.9",
]


def notebook(cells: Sequence[str]) -> str:
    """A notebook of code cells, the second one that was given tagged as the parameters."""
    made = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": str(number),
            "metadata": {"tags": ["parameters"]} if source == CELLS[1] else {},
            "outputs": [],
            "source": source.splitlines(keepends=True),
        }
        for number, source in enumerate(cells)
    ]
    spec = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    content = {"cells": made, "metadata": spec, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def commit(root: Path, path: Path) -> None:
    """A run is traced to a commit, so the notebook has to be in one."""
    run(["git", "add", "--", str(path)], root)
    run(["git", "commit", "--quiet", "--allow-empty", "--message", "Benchmark", "--", str(path)], root)


def main() -> None:
    args = arguments(__doc__, rounds=9).parse_args()
    with project(args.project) as root:
        recorded = root / "notebooks" / "benchmark.ipynb"
        recorded.write_text(notebook(CELLS))
        commit(root, recorded)
        scratch = root / "outputs"
        scratch.mkdir(exist_ok=True)
        bare = scratch / "bare.ipynb"
        bare.write_text(notebook([cell for cell in CELLS if cell != DERIVA_ML]))
        commands = {
            "papermill": [script(root, "papermill"), str(bare), str(scratch / "executed.ipynb")],
            "deriva-ml-run-notebook": [script(root, "deriva-ml-run-notebook"), str(recorded)],
        }
        timings = alternate(commands, root, args.rounds)
    ours, theirs = timings["deriva-ml-run-notebook"], timings["papermill"]
    print(f"12-cell notebook, median of {args.rounds} alternating runs")
    print_table(
        [
            Row("papermill (11 cells)", theirs),
            Row("deriva-ml-run-notebook (12 cells, recorded)", ours, theirs, "wall at most 1.0x"),
        ]
    )


if __name__ == "__main__":
    main()
