"""``deriva-ml-catalog lineage``: what a record came from, and what came of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand, whole_number
from deriva_ml.cli.deriva_catalog import add_reading_flags
from deriva_ml.table import aligned
from deriva_ml.terminal import print_json, print_lines, width

if TYPE_CHECKING:
    from deriva_ml.catalog.protocol import Source

DIRECTIONS = {True: "came from", False: "led to"}


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = subcommand(
        commands,
        run,
        "lineage",
        "RID",
        "show what a record came from, and what came of it",
        "Show what an execution, dataset or file came from, and what came of it, as indented trees: the executions that"
        " made it, what these read, and so on. What is reached on several ways is shown once in full and then by its RID,"
        " with (above). Files that describe a run are left out, unless another execution read them.",
    )
    parser.add_argument(
        "rid",
        metavar="RID",
        help="the execution, dataset or file, by its RID here or where it was pushed to, or by its name",
    )
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--up", action="store_true", help="only what it came from")
    direction.add_argument("--down", action="store_true", help="only what came of it")
    parser.add_argument(
        "--depth",
        type=whole_number(0, "steps"),
        metavar="NUMBER",
        help="how many steps to follow: from a file to the execution that made it is one, and from that to what it read"
        " is another (default: all)",
    )
    parser.add_argument(
        "--json", action="store_true", help="write JSON, for a program to read: one graph of nodes and edges"
    )
    add_reading_flags(parser)


def run(source: Source, args: argparse.Namespace) -> int:
    """Show the lineage that the arguments ask for."""
    from deriva_ml.records.lineage import as_graph, beyond, describe, described, tree, walk

    start = source.links_from(args.rid)
    chosen = [up for up in DIRECTIONS if not (args.down if up else args.up)]
    walks = [walk(start, up, args.depth) for up in chosen]
    nodes = described(start, walks)
    if args.json:
        print_json(as_graph(start, walks, nodes))
        return 0
    lines = [f"{start.rid}  {describe(nodes[start.rid])}"]
    for found in walks:
        more = beyond(start, found)
        below = list(tree(found, nodes, more))
        nothing = "" if below else " ..." if more else " nothing that is recorded"
        lines += [f"{DIRECTIONS[found.up]}:{nothing}", *below]
    print_lines(aligned([[line] for line in lines], width()))
    return 0
