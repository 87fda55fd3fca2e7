"""Whole recorded runs against bare Papermill: of a 12-cell notebook, less its DerivaML cell, and of many cells."""

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


MANY = 250
"""Cells at which Papermill's processor time is measured, and at twice as many; ours at four times, too."""


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


def notebooks_in(root: Path) -> tuple[Path, Path]:
    """The notebook that is recorded, committed, and the one of Papermill's side, without its DerivaML cell."""
    recorded = root / "notebooks" / "benchmark.ipynb"
    recorded.write_text(notebook(CELLS))
    commit(root, recorded)
    scratch = root / "outputs"
    scratch.mkdir(exist_ok=True)
    bare = scratch / "bare.ipynb"
    bare.write_text(notebook([cell for cell in CELLS if cell != DERIVA_ML]))
    return recorded, bare


def measure_many(root: Path, scratch: Path) -> dict[str, list[tuple[int, float]]]:
    """Processor seconds of one run each, by the number of cells."""
    measured: dict[str, list[tuple[int, float]]] = {"papermill": [], "recorded": []}
    for cells in (MANY, 2 * MANY, 4 * MANY):
        sources = [*CELLS[:3], *(f"print({number})" for number in range(cells))]
        recorded, bare = root / "notebooks" / "many.ipynb", scratch / "many.ipynb"
        recorded.write_text(notebook(sources))
        commit(root, recorded)
        timing = run([script(root, "deriva-ml-run-notebook"), str(recorded)], root)
        measured["recorded"].append((cells, timing.cpu))
        if cells < 4 * MANY:
            bare.write_text(notebook([one for one in sources if one != DERIVA_ML]))
            timing = run([script(root, "papermill"), str(bare), str(scratch / "executed.ipynb")], root)
            measured["papermill"].append((cells, timing.cpu))
    return measured


def main() -> None:
    args = arguments(__doc__, rounds=9).parse_args()
    with project(args.project) as root:
        recorded, bare = notebooks_in(root)
        scratch = bare.parent
        commands = {
            "papermill": [script(root, "papermill"), str(bare), str(scratch / "executed.ipynb")],
            "deriva-ml-run-notebook": [script(root, "deriva-ml-run-notebook"), str(recorded)],
        }
        timings = alternate(commands, root, args.rounds)
        many = measure_many(root, scratch)
    ours, theirs = timings["deriva-ml-run-notebook"], timings["papermill"]
    print(f"12-cell notebook, median of {args.rounds} alternating runs")
    print_table(
        [
            Row("papermill (11 cells)", theirs),
            Row("deriva-ml-run-notebook (12 cells, recorded)", ours, theirs, "CPU at most 1.25x, wall 0.85x"),
        ]
    )
    # Papermill writes the whole file twice a cell, so that its time is a parabola through what was measured.
    (_, once), (_, twice) = many["papermill"]
    start = min(timing.cpu for timing in theirs)
    expected = 6 * twice - 8 * once + 3 * start
    print(f"cells, processor time: papermill {once:.1f} s at {MANY}, {twice:.1f} s at {2 * MANY}")
    ratio = many["recorded"][-1][1] / expected
    print(f"papermill at {4 * MANY}, extrapolated: {expected:.1f} s; recorded, at most 0.1x: {ratio:.3f}x")
    for cells, seconds in many["recorded"]:
        print(f"recorded, {cells:5} cells: {seconds:6.2f} s")


if __name__ == "__main__":
    main()
