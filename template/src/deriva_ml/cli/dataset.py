"""``deriva-ml-dataset``: makes datasets with versions of a person's own files, changes them, and shows what is in them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

from deriva_ml.cli import dataset_changes, dataset_contents, dataset_views
from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.catalog import opened
from deriva_ml.cli.command import command
from deriva_ml.project import Project

SUBCOMMANDS = "create|add|remove|nest|release|split|delete|list|show|history|diff|export|verify"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, with one for each subcommand."""
    parser = CommandParser(
        "deriva-ml-dataset",
        usage=f"{SUBCOMMANDS} [options]",
        description="Make datasets with versions of your own files. A version never changes; between versions a dataset has a"
        " working state, such as 1.1.0.dev2. NAME is a dataset's name or its RID.",
        examples=[
            "deriva-ml-dataset list",
            "deriva-ml-dataset create settings src/configs --description 'How runs are configured'",
            "deriva-ml-dataset show settings@1.0.0",
            "deriva-ml-dataset split settings --fractions 0.8,0.2",
        ],
    )
    commands = parser.add_subparsers(
        prog=parser.prog, title="subcommands", dest="what", required=True, metavar=SUBCOMMANDS
    )
    dataset_changes.add_to(commands)
    dataset_views.add_to(commands)
    dataset_contents.add_to(commands)
    return parser


@command
def main(argv: Sequence[str]) -> int | None:
    """Run the command; the exit status is 0, 1 if ``verify`` found something wrong, or 2 for a wrong request."""
    args = parser().parse_args(list(argv))
    with closing(opened(Project.find())) as catalog:
        status: int | None = args.run(catalog, args)
    return status
