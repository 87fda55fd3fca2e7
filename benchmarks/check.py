"""How long deriva-ml-check takes on many notebooks."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import IDENTITY, TEMPLATE, Row, alternate, print_table

FIRST = """import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
from deriva_ml.execution import run_notebook

%matplotlib inline
"""
PARAMETERS = """threshold_{n}: float = 0.{n}1
epochs_{n}: int = {n}  # how often
name_{n}: str = "value {n}"
"""
CELL = """def step_{cell}(values, scale=threshold_{n}):
    return np.array([value * scale for value in values if value > epochs_{n}], dtype=float)

rng = np.random.default_rng({cell})
frame_{cell} = pd.DataFrame({{"a": rng.normal(size=10), "b": [f"{{name_{n}}}-{{k}}" for k in range(10)]}})
frame_{cell}["c"] = step_{cell}(frame_{cell}["a"]).sum()
summary_{cell} = frame_{cell}.groupby("b").agg({{"a": "mean"}}).reset_index().sort_values("a")
print(json.dumps({{"cell": {cell}, "sum": float(frame_{cell}["a"].sum())}}), summary_{cell}.shape)
frame_{cell}.plot(x="a", y="c", title="cell {cell}")
"""
"""Eight lines: as many as a cell has on average in the notebooks that packages and courses come with."""
RUN = "ml, execution, config = run_notebook()\n"
LAST = "execution.commit_output_assets()\n"


def write(path: Path, n: int) -> None:
    """Write a notebook of 20 cells that no other equals."""
    sources = [FIRST, PARAMETERS, RUN, *([CELL] * 16), LAST]
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{place}",
            "metadata": {"tags": ["parameters"]} if source is PARAMETERS else {},
            "outputs": [],
            "source": (source.format(n=n, cell=place) if source in {PARAMETERS, CELL} else source).splitlines(
                True
            ),
        }
        for place, source in enumerate(sources)
    ]
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}, indent=1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebooks", type=int, default=500)
    parser.add_argument(
        "--rounds", type=int, default=5, help="times that each command runs (default %(default)s)"
    )
    args = parser.parse_args()
    source = TEMPLATE / "template" / "src"
    program = f"import sys; sys.path.insert(0, {str(source)!r}); from deriva_ml.cli.check import main; sys.exit(main())"
    command = [sys.executable, "-c", program]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pyproject.toml").touch()
        (root / "src" / "deriva_ml").mkdir(parents=True)
        (root / "notebooks").mkdir()
        for n in range(args.notebooks):
            write(root / "notebooks" / f"analysis-{n}.ipynb", n + 1)
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Notebooks"]):
            subprocess.run(["git", *words], cwd=root, check=True, env={**os.environ, **IDENTITY})
        found = subprocess.run([*command, "--statistics"], cwd=root, capture_output=True, text=True)
        print(found.stdout + found.stderr)
        commands = {f"{args.notebooks} notebooks": command, "--help": [*command, "--help"]}
        timings = alternate(commands, root, args.rounds)
    print(f"median of {args.rounds} alternating runs")
    print_table(
        [
            Row(label, measured, (), "wall at most 3 s" if "--" not in label else "")
            for label, measured in timings.items()
        ]
    )


if __name__ == "__main__":
    main()
