"""``deriva-ml-catalog results``: one row a run, with what differs among them and what they came to."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import whole_number
from deriva_ml.cli.deriva_catalog import add_reading_flags
from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.table import aligned, breadth
from deriva_ml.terminal import one_line, print, print_json, print_lines

if TYPE_CHECKING:
    from deriva_ml.catalog.criteria import Criteria
    from deriva_ml.catalog.protocol import Source
    from deriva_ml.catalog.summaries import Result
    from deriva_ml.records.results import Table

ON_A_TERMINAL = 20
"""Rows that a terminal is shown when nobody says how many; a pipe gets all."""


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which executions are meant."""
    parser.add_argument("--workflow", metavar="NAME", help="only of this workflow, by its name or RID")
    parser.add_argument("--sweep", metavar="RID", help="only the runs of this sweep")
    parser.add_argument("--status", metavar="STATUS", help="only those with this status, such as 'Failed'")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only those since 2w, 3d, 12h or 30m ago, or since a date such as 2026-11-28",
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help='only those that meet it, such as "accuracy > 0.9 and model_config.l2 < 1": parameters, choices and metrics'
        " compared by = != < <= > >= and joined by and; a name with odd characters stands in backquotes",
    )


def meant(args: argparse.Namespace, **others: Any) -> Criteria:
    """Return the executions that the flags of ``add_filters`` mean."""
    from deriva_ml.records.results import criteria

    return criteria(
        workflow=args.workflow,
        sweep=args.sweep,
        status=args.status,
        since=args.since,
        where=args.where,
        **others,
    )


def narrowed(args: argparse.Namespace) -> list[str]:
    """Return which of the flags of ``add_filters`` were given."""
    return [
        name for name in ("workflow", "sweep", "status", "since", "where") if getattr(args, name) is not None
    ]


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "results",
        help="compare the results of runs in a table",
        usage="[RID ...] [options]",
        description="Show one row a run, the newest first: RID, when, the parameters, settings and choices that differ"
        " among the rows, and the last value of each metric.",
    )
    parser.add_argument("rids", nargs="*", metavar="RID", help="only these executions, in this order")
    add_filters(parser)
    parser.add_argument(
        "--sort",
        metavar="NAMES",
        help="order by these, parted by commas; -NAME has the greatest first (default: the newest first)",
    )
    parser.add_argument(
        "--best",
        choices=("max", "min"),
        help="take each metric's greatest or least value, and name its step (default: its last value)",
    )
    parser.add_argument("--columns", metavar="NAMES", help="show these columns, parted by commas")
    parser.add_argument(
        "-n",
        "--limit",
        type=whole_number(0, "executions"),
        metavar="NUMBER",
        help=f"how many rows, 0 for all (default: {ON_A_TERMINAL} on a terminal, all elsewhere)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="write CSV, with numbers as they are")
    form.add_argument(
        "--json", action="store_true", help="write JSON: all of each run, for a program to read"
    )
    add_reading_flags(parser)
    parser.set_defaults(run=run)


def run(source: Source, args: argparse.Namespace) -> int:
    """Show the results that the arguments ask for."""
    from deriva_ml.records.results import tabulate

    limit = args.limit
    if limit is None and sys.stdout.isatty() and not args.csv and not args.json:
        limit = ON_A_TERMINAL
    asked = meant(args, rids=args.rids, sort=args.sort, best=args.best, runs_only=not args.rids)
    found = source.results(asked, limit + 1 if limit else None)
    more = bool(limit) and len(found) > (limit or 0)
    found = found[: limit or None]
    if args.json:
        print_json([as_json(result) for result in found])
        return 0
    columns = args.columns.split(",") if args.columns else None
    table = tabulate(found, args.best, [name.strip().strip("`") for name in columns] if columns else None)
    if args.csv:
        text = io.StringIO()
        rows = ([cell(value, whole=True) for value in row] for row in table.rows)
        csv.writer(text, lineterminator="\n").writerows([table.columns, *rows])
        print_lines(text.getvalue().removesuffix("\n"))
    elif found:
        kept = (
            [name for name, _ in asked.order] + [one.name for one in asked.where]
            if not columns
            else table.columns
        )
        show_table(table, kept)
        if more:
            print("... and more; -n 0 shows all")
    else:
        print("no run meets that" if args.rids or narrowed(args) else "no run has been recorded yet")
    return 0


def as_json(result: Result) -> dict[str, Any]:
    """Return all that is known of a run's results, in plain types."""
    record, summary = result
    return {
        "rid": record.rid,
        "created": record.created,
        "status": record.status.value,
        "workflow": record.workflow.name,
        "version": record.workflow.version,
        "description": record.description,
        "parameters": summary.parameters,
        "choices": summary.choices,
        "metrics": {name: metric._asdict() for name, metric in summary.metrics.items()},
    }


def cell(value: Any, whole: bool = False) -> str:
    """Return a value as a table shows it: numbers with six digits, unless ``whole``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not whole:
        return f"{value:.6g}"
    if isinstance(value, str):
        return value if whole else one_line(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def show_table(table: Table, kept: Sequence[str] = ()) -> None:
    """Print a table; on a terminal as much of it as its width has room for, and what was left out.

    Args:
        kept: columns that are left out last.
    """
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    rows = [[cell(value) for value in row] for row in table.rows]
    columns = [list(column) for column in zip(*rows, strict=True)]
    for place, name in enumerate(table.columns):
        if name == "when":
            columns[place] = [when[:16].replace("T", " ") for when in columns[place]]
    headings = _headings(table.columns)
    left = list(range(len(headings)))
    if room:
        widths = [
            max(map(breadth, [heading, *column])) for heading, column in zip(headings, columns, strict=True)
        ]
        order = sorted(left, key=lambda place: _worth(table, place, kept))
        while sum(widths[place] + 2 for place in left) - 2 > room and len(left) > 1:
            left.remove(order.pop(0))
    shown = [[headings[place] for place in left], *zip(*(columns[place] for place in left), strict=True)]
    print_lines(aligned(shown, room))
    if out := [name for place, name in enumerate(headings) if place not in left]:
        print(f"left out, for want of room: {', '.join(out)}; --columns NAMES chooses")


def _headings(names: Sequence[str]) -> list[str]:
    """Return the names without what says that they are a model's settings, where that leaves them apart."""
    short = [name.removeprefix(MODEL_CONFIG) for name in names]
    headings = ["when (UTC)" if name == "when" else name for name in short]
    return [
        name if short.count(heading) > 1 else heading for name, heading in zip(names, headings, strict=True)
    ]


def _worth(table: Table, place: int, kept: Sequence[str]) -> tuple[bool, bool, bool, int, int]:
    """Return how late a column is left out: RID last, then what was asked for, then of each kind the first ones."""
    name, worth = table.columns[place], table.worth[place]
    asked = any(name == one or name.endswith(f".{one}") for one in kept)
    return name == "RID", asked, worth > 0, -table.worth[:place].count(worth), worth
