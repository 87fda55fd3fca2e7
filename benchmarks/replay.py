"""A replay of the example's notebook, its environment cached, against the recorded run itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from common import Row, alternate, arguments, print_table, project, run, script

NOTEBOOK = "notebooks/my_analysis.ipynb"


def newest(root: Path) -> str:
    """The RID of the newest execution."""
    command = [script(root, "deriva-ml-catalog"), "list", "--limit", "1", "--json"]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return str(json.loads(found.stdout)[0]["rid"])


def main() -> None:
    args = arguments(__doc__, rounds=5).parse_args()
    with project(args.project) as root:
        recorded = [script(root, "deriva-ml-run-notebook"), NOTEBOOK]
        run(recorded, root)
        replayed = [script(root, "deriva-ml-replay"), newest(root)]
        commands = {
            "recorded run": recorded,
            "replay, environment cached": replayed,
            "replay --here": [*replayed, "--here"],
        }
        timings = alternate(commands, root, args.rounds)
    print(f"median of {args.rounds} alternating runs")
    against = timings["recorded run"]
    print_table(
        [
            Row(label, measured, () if measured is against else against, "" if measured is against else "1.3")
            for label, measured in timings.items()
        ]
    )


if __name__ == "__main__":
    main()
