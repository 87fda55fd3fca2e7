"""How long `copier copy` takes to render the template, and another one beside it."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from common import Row, Timing, copier, print_table, run, template

START = "copier --version"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="TEMPLATE", help="another template: a folder or a git address")
    parser.add_argument(
        "--trust", action="store_true", help="let the other template run its tasks and Jinja extensions"
    )
    parser.add_argument("--rounds", type=int, default=7, help="times that each renders (default %(default)s)")
    args = parser.parse_args()

    with template() as source, tempfile.TemporaryDirectory(prefix="rendered-") as folder:
        sources = {"this template": [str(source)]}
        if args.against:
            sources[args.against] = [*(["--trust"] if args.trust else []), args.against]
        timings: dict[str, list[Timing]] = {label: [] for label in (START, *sources)}
        files: dict[str, int] = {}
        for turn, (label, words) in itertools.product(range(args.rounds + 1), sources.items()):
            rendered = Path(folder, f"{len(files)}-{turn}")
            timing = run(copier("copy", "--defaults", "--quiet", *words, str(rendered)), Path(folder))
            files[label] = sum(path.is_file() and ".git" not in path.parts for path in rendered.rglob("*"))
            if turn:  # the first one only warms up
                timings[label].append(timing)
                timings[START].append(run(copier("--version"), Path(folder)))

    other = timings.get(args.against, ())
    budget = "wall at most 1.0x of copier-uv's"
    rows = [Row(f"this template ({files['this template']} files)", timings["this template"], other, budget)]
    rows.insert(0, Row(f"{START} (nothing rendered)", timings[START]))
    if other:
        rows.insert(1, Row(f"{args.against[-30:]} ({files[args.against]} files)", other))
    print(f"copier copy, median of {args.rounds} runs")
    print_table(rows)
    if not other:
        print("for reference: copier-uv, 59 files in 0.54 s on the 2-core machine that the budget was set on")


if __name__ == "__main__":
    main()
