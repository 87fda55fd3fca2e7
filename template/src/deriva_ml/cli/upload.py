"""``deriva-ml-upload``: push recorded executions to a Deriva catalog, or go on where a push was interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from deriva_ml.cli.common import aligned, command, recover_orphans
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.catalog.connect import DerivaMLConfig
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.catalog.journal import Destination

EXAMPLES = """\
examples:
  deriva-ml-upload                         go on with all that waits
  deriva-ml-upload --list                  show what waits
  deriva-ml-upload 1-A2B3 --to production  send an execution of this project's own catalog
"""


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="deriva-ml-upload",
        description="Push recorded executions to a Deriva catalog. What is there is not sent again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("rids", nargs="*", metavar="RID", help="executions; by default all that wait")
    parser.add_argument("--to", metavar="NAME", help="an entry of the deriva_ml configurations: production")
    parser.add_argument("--host", help="the Deriva server, instead of --to")
    parser.add_argument("--catalog", help="the number or alias of the catalog on --host")
    parser.add_argument("--list", action="store_true", help="show what would be pushed, and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, 1 if a server cannot be reached or refuses, 2 for a wrong request."""
    args = build_parser().parse_args(argv)
    project = Project.find()
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import OPEN_STATUSES
    from deriva_ml.execution.upload import upload

    recover_orphans(project)
    catalog = EmbeddedCatalog(project)
    rids = [_execution(catalog, rid) for rid in args.rids]
    config = _destination(args, project)
    if config is None:
        waiting = [one for one in catalog.journal.pending() if not rids or one[0] in rids]
        waiting = [one for one in waiting if catalog.lookup_execution(one[0]).status not in OPEN_STATUSES]
        _say_unsent(catalog, rids, waiting)
    else:
        waiting = _send_to(catalog, rids, config)
    print(_listing(catalog, waiting) if waiting else "nothing waits to be pushed")
    if args.list or not waiting:
        return 0
    left = len(waiting)
    try:
        for rid, link in upload(catalog, project, waiting):
            left -= 1
            print(f"pushed {rid}  {link}", flush=True)
    except DerivaMLRequestError:
        raise
    except DerivaMLException as error:
        if args.debug:
            raise
        raise DerivaMLException(
            f"{error}; {left} of {len(waiting)} still wait: uv run deriva-ml-upload"
        ) from error
    return 0


def _execution(catalog: EmbeddedCatalog, rid: str) -> str:
    """The execution here that an RID means, which may be the one where it was pushed to."""
    from deriva_ml.execution.upload import recorded

    return recorded(catalog, rid).local


def _destination(args: argparse.Namespace, project: Project) -> DerivaMLConfig | None:
    """The connection that the arguments name, if they name one."""
    from deriva_ml.catalog.connect import DerivaMLConfig, check_server
    from deriva_ml.execution.upload import connection

    if args.to and (args.host or args.catalog):
        raise DerivaMLRequestError("give either --to, or --host and --catalog")
    if args.to or args.host or args.catalog:
        config = connection(project, args.to) if args.to else DerivaMLConfig(args.host or "", args.catalog)
        check_server(config)
        if not args.rids:
            raise DerivaMLRequestError(
                "say which executions to push there: uv run deriva-ml-catalog list shows what there is"
            )
        return config
    return None


def _send_to(
    catalog: EmbeddedCatalog, rids: Sequence[str], config: DerivaMLConfig
) -> list[tuple[str, Destination]]:
    """Note that executions, and those of a sweep, are to be pushed; those that are not there as they are here."""
    from deriva_ml.catalog.remote.push import destination_of
    from deriva_ml.definitions import OPEN_STATUSES

    destination, credential = destination_of(config)
    wanted = dict.fromkeys(one for rid in rids for one in (rid, *catalog.list_execution_children(rid)))
    for rid in wanted:
        if catalog.lookup_execution(rid).status in OPEN_STATUSES:
            raise DerivaMLRequestError(f"execution {rid} is still going on: push it when it has ended")
    for rid in wanted:
        catalog.journal.send_to(rid, destination, credential)
    waiting = [one for rid in wanted for one in catalog.journal.pending(rid) if one[1] == destination]
    _say_there(catalog, wanted, waiting)
    return waiting


def _say_unsent(
    catalog: EmbeddedCatalog, rids: Sequence[str], waiting: Sequence[tuple[str, Destination]]
) -> None:
    """Refuse an execution that is for no catalog but the project's own; say of others that they are there."""
    for rid in rids:
        if not catalog.journal.destinations(rid):
            raise DerivaMLRequestError(
                f"execution {rid} was recorded in this project's own catalog: say where to push it, --to production"
            )
    _say_there(catalog, rids, waiting)


def _say_there(
    catalog: EmbeddedCatalog, rids: Iterable[str], waiting: Sequence[tuple[str, Destination]]
) -> None:
    for rid in rids:
        if rid not in {one for one, _ in waiting}:
            for destination, remote in catalog.journal.elsewhere(rid):
                print(f"{rid} is in {destination} already, as {remote}")


def _listing(catalog: EmbeddedCatalog, waiting: Sequence[tuple[str, Destination]]) -> str:
    rows = [("RID", "status", "when (UTC)", "workflow", "for")]
    for rid, destination in waiting:
        record = catalog.lookup_execution(rid)
        when = record.created[:19].replace("T", " ")
        rows.append((rid, record.status.value, when, record.workflow.name, str(destination)))
    return aligned(rows)
