"""``deriva-ml-catalog results``: one row a run, with what differs among them and what they came to."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import whole_number
from deriva_ml.cli.deriva_catalog import add_reading_flags
from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.git import listed
from deriva_ml.project import Project
from deriva_ml.table import aligned, as_csv, breadth, cell
from deriva_ml.terminal import print, print_json, print_lines, width

if TYPE_CHECKING:
    from deriva_ml.catalog.criteria import Criteria
    from deriva_ml.catalog.protocol import Source
    from deriva_ml.catalog.summaries import Result
    from deriva_ml.records.replays import Replays
    from deriva_ml.records.results import Table

WIDE = 20
"""Columns of a terminal that a value is given room for, before others are left out for it."""

NAMED = 8
"""Columns that are named of those that were left out."""

ON_A_TERMINAL = 20
"""Rows that a terminal is shown when nobody says how many; a pipe gets all."""


FILTERS = ("workflow", "sweep", "status", "since", "where")
"""What the flags of ``add_filters`` are called."""


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
    parser.add_argument("--all", action="store_true", help="also those that only made or changed datasets")


def meant(args: argparse.Namespace, **others: Any) -> Criteria:
    """Return the executions that the flags of ``add_filters`` mean."""
    from deriva_ml.records.results import criteria

    given = {name: getattr(args, name) for name in FILTERS}
    return criteria(**given, no_changes=not args.all, **others)


def narrowed(args: argparse.Namespace) -> list[str]:
    """Return which of the flags of ``add_filters`` were given."""
    return [name for name in FILTERS if getattr(args, name) is not None]


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "results",
        help="compare the results of runs in a table",
        usage="[RID ...] [options]",
        description="Show one row a run, the newest first: RID, when, the parameters, settings and choices that differ"
        " among the rows, how its latest replay came out, and the last value of each metric.",
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
    from deriva_ml.records.replays import Replays
    from deriva_ml.records.results import find_results, tabulate

    limit = args.limit
    if limit is None and sys.stdout.isatty() and not args.csv and not args.json:
        limit = ON_A_TERMINAL
    asked = meant(args, rids=args.rids or None, sort=args.sort, best=args.best, runs_only=not args.rids)
    found = find_results(source, asked, limit + 1 if limit else None)
    more = bool(limit) and len(found) > (limit or 0)
    found = found[: limit or None]
    replays = Replays(source, Project.find().state)
    if args.json:
        print_json([_as_json(result, replays) for result in found])
        return 0
    table = tabulate(found, args.best, args.columns, replays)
    if args.csv:
        print_lines(as_csv([table.columns, *table.rows]).removesuffix("\n"))
    elif found:
        asked_for = [name for name, _ in asked.order] + [one.name for one in asked.where]
        show_table(table, table.columns if args.columns else asked_for)
        if more:
            print("... and more; -n 0 shows all")
    else:
        print("no run meets that" if args.rids or narrowed(args) else "no run has been recorded yet")
    if args.sweep and not args.csv and (said := _standing(source, args.sweep)):
        print(said)
    return 0


def _standing(source: Source, sweep: str) -> str:
    """Return how far a sweep of this project is that goes on; empty for any other."""
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.sweep.standing import standing

    return standing(source.project, sweep) if isinstance(source, EmbeddedCatalog) else ""


def _as_json(result: Result, replays: Replays) -> dict[str, Any]:
    """Return all that is known of a run's results, in plain types."""
    from deriva_ml.records.replays import as_json

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
        "replays": as_json(replays.of(record.rid)),
    }


def show_table(table: Table, kept: Sequence[str] = ()) -> None:
    """Print a table; on a terminal as much of it as its width has room for, and what was left out.

    Args:
        kept: columns that are left out last.
    """
    room = width()
    rows = [[cell(value) for value in row] for row in table.rows]
    columns = [list(column) for column in zip(*rows, strict=True)]
    for place, name in enumerate(table.columns):
        if name == "when":
            columns[place] = [when[:16].replace("T", " ") for when in columns[place]]
    headings = _headings(table.columns)
    left = set(range(len(headings)))
    if room:
        widths = [
            min(WIDE, max(map(breadth, [heading, *column]))) + 2
            for heading, column in zip(headings, columns, strict=True)
        ]
        excess = sum(widths) - 2 - room
        for place in _in_order_of_worth(table, kept)[:-1]:
            if excess > 0:
                left.remove(place)
                excess -= widths[place]
    shown = [headings[place] for place in sorted(left)]
    cells = zip(*(columns[place] for place in sorted(left)), strict=True)
    print_lines(aligned([shown, *cells], room, shown))
    if out := [name for place, name in enumerate(headings) if place not in left]:
        print(f"left out, for want of room: {listed(out, NAMED)}; --columns NAMES chooses")


def _headings(names: Sequence[str]) -> list[str]:
    """Return the names without what says that they are a model's settings, where that leaves them apart."""
    short = ["when (UTC)" if name == "when" else name.removeprefix(MODEL_CONFIG) for name in names]
    counts = Counter(short)
    return [name if counts[heading] > 1 else heading for name, heading in zip(names, short, strict=True)]


def _in_order_of_worth(table: Table, kept: Sequence[str]) -> list[int]:
    """Return the columns in which order they are left out: RID last, then what was asked for, then of each kind the first."""
    before = Counter[int]()
    worths = []
    for name, worth in zip(table.columns, table.worth, strict=True):
        asked = any(name == one or name.endswith(f".{one}") for one in kept)
        worths.append((name == "RID", asked, worth > 0, -before[worth], worth))
        before[worth] += 1
    return sorted(range(len(worths)), key=worths.__getitem__)
