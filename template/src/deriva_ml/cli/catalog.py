"""``deriva-ml-catalog``: look at what was recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from deriva_ml.cli import carrying, compare, lineage, listing, opening, results, showing, site, storage
from deriva_ml.cli.arguments import CommandParser, attach_values
from deriva_ml.cli.command import command
from deriva_ml.cli.deriva_catalog import named_catalog
from deriva_ml.cli.named import rid_of
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.project import Project
from deriva_ml.terminal import warn

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog


SUBCOMMANDS = "list|results|compare|lineage|files|datasets|show|open|site|export|import|verify|size|gc"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, with one for each subcommand."""
    parser = CommandParser(
        "deriva-ml-catalog",
        usage=f"{SUBCOMMANDS} [options]",
        description="Look at what the project recorded, also of executions that were pushed to a server.",
        examples=[
            "deriva-ml-catalog list",
            "deriva-ml-catalog list --limit 0 --status Failed",
            "deriva-ml-catalog results",
            "deriva-ml-catalog lineage DEMO-W001",
        ],
    )
    # With the name given, argparse does not compose it from the usage.
    commands = parser.add_subparsers(
        prog=parser.prog, title="subcommands", dest="what", required=True, metavar=SUBCOMMANDS
    )
    listing.add_list(commands)
    results.add_to(commands)
    compare.add_to(commands)
    lineage.add_to(commands)
    listing.add_files_and_datasets(commands)
    showing.add_to(commands)
    opening.add_to(commands)
    site.add_to(commands)
    carrying.add_to(commands)
    storage.add_to(commands)
    return parser


@command
def main(argv: Sequence[str]) -> int | None:
    """Run the command; the exit status is 0, or 2 for a wrong request."""
    # A byte that is no text names nothing here; the database would not take it.
    words = [word.encode(errors="backslashreplace").decode() for word in argv]
    args = parser().parse_args(attach_values(words, "--sort"))
    project = Project.find()
    status: int | None
    if "named" in args and (config := named_catalog(args, "--from", project)):
        from deriva_ml.deriva.connect import connect

        with closing(connect(config, project)) as connection:
            status = args.run(connection.source, args)
            return status
    with closing(opened(project)) as catalog:
        for name in ("rid", "sweep"):
            if getattr(args, name, None) is not None:
                setattr(args, name, rid_of(catalog, getattr(args, name)))
        if getattr(args, "rids", None):
            args.rids = [rid_of(catalog, rid) for rid in args.rids]
        status = args.run(catalog, args)
    return status


def opened(project: Project) -> EmbeddedCatalog:
    """Open the project's catalog and close what was left open there; only read it where the disk takes nothing."""
    import deriva_ml.disk as disk
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.execution.recovery import recover

    try:
        catalog = open_local(project)
    except DerivaMLException as error:
        if not disk.fault(error, project.state) or not project.database.exists():
            raise
        warn(error)
        return open_local(project, read_only=True)
    try:
        recover(catalog, project)
    except BaseException:
        catalog.close()
        raise
    return catalog
