"""How soon a command answers that runs nothing, against Papermill's own."""

from __future__ import annotations

from common import Row, alternate, arguments, print_table, project, script


def main() -> None:
    args = arguments(__doc__, rounds=11).parse_args()
    with project(args.project) as root:
        notebook = str(root / "notebooks" / "my-notebook.ipynb")
        ours = script(root, "deriva-ml-run-notebook")
        commands = {
            "papermill --help-notebook": [script(root, "papermill"), "--help-notebook", notebook],
            "deriva-ml-run-notebook --help": [ours, "--help"],
            "deriva-ml-run-notebook --inspect": [ours, notebook, "--inspect"],
        }
        timings = alternate(commands, root, args.rounds)
    theirs = timings.pop("papermill --help-notebook")
    print(f"median of {args.rounds} alternating runs")
    print_table(
        [
            Row("papermill --help-notebook", theirs),
            *(Row(label, measured, theirs, "wall at most 0.5x") for label, measured in timings.items()),
        ]
    )


if __name__ == "__main__":
    main()
