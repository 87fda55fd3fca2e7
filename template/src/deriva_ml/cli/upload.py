"""``deriva-ml-upload``: push recorded executions to a Deriva catalog, or go on where a push was interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import CommandParser, add_server_flags
from deriva_ml.cli.command import FAILED, WRONG_REQUEST, command
from deriva_ml.cli.deriva_catalog import named_catalog
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import print, print_lines, tell, warn

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.catalog.journal import Destination
    from deriva_ml.deriva.push import Push

    Pending = Sequence[tuple[str, Destination]]  # executions, by their RIDs here, and where each is to go


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-upload",
        usage="[RID ...] [options]",
        description="Push recorded executions to a Deriva catalog. What is there is not sent again, so that a push"
        " which was stopped goes on where it was. An execution of the project's own catalog is pushed where --to, or"
        " --host with --catalog, says.",
        examples=[
            "deriva-ml-upload",
            "deriva-ml-upload --list",
        ],
    )
    parser.add_argument(
        "rids",
        nargs="*",
        metavar="RID",
        help="an execution, by its RID here or where it was pushed to (default: all that wait)",
    )
    parser.add_argument(
        "--to",
        dest="named",
        metavar="NAME",
        help="the catalog of an entry in src/configs/deriva.py, such as 'production'",
    )
    add_server_flags(
        parser,
        host="the server of the Deriva catalog, instead of --to",
        catalog="the number or alias of the catalog on --host",
    )
    parser.add_argument(
        "--forget",
        action="store_true",
        help="do not push these executions, now or later; their records stay in the project",
    )
    parser.add_argument("--list", action="store_true", help="show what would be pushed, and exit")
    parser.add_argument(
        "--set",
        action="append",
        dest="columns",
        metavar="COLUMN=VALUE",
        help="give the asset RID, whose row the server did not take, another value for a column of its table before the"
        " next push, and exit; nothing after = is no value; may be repeated",
    )
    parser.add_argument(
        "--commits",
        nargs="?",
        const="",
        metavar="REMOTE",
        help="push to a git remote the commits that records name and that git keeps for them, also those that no"
        " branch has any more, and exit (default: the remote of the current branch)",
    )
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, 1 if a server cannot be reached or refuses, 2 for a wrong request."""
    args = parser().parse_args(argv)
    project = Project.find()
    if args.commits is not None:
        return _push_commits(args, project)
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.execution.recovery import recover

    with closing(open_local(project)) as catalog:
        if args.columns:
            return _set(args, catalog, project)
        recover(catalog, project)
        return _upload(args, catalog, project)


def _set(args: argparse.Namespace, catalog: EmbeddedCatalog, project: Project) -> int:
    """Give an asset other values."""
    from deriva_ml.execution.upload import set_columns

    if len(args.rids) != 1 or args.named or args.host or args.catalog or args.forget or args.list:
        raise DerivaMLRequestError(
            "--set is for one asset: give its RID, --set COLUMN=VALUE, and nothing else"
        )
    values = {}
    for text in args.columns:
        name, given, value = text.partition("=")
        if not name or not given:
            raise DerivaMLRequestError(f"{text!r} sets nothing: write --set COLUMN=VALUE")
        values[name] = value
    rid = set_columns(catalog, project, args.rids[0], values)
    print(f"{rid} has {', '.join(args.columns)} from now on; uv run deriva-ml-upload sends it")
    return 0


def _push_commits(args: argparse.Namespace, project: Project) -> int:
    """Push the commits that are kept; records go another way."""
    from deriva_ml.execution.kept_commits import push_commits

    if args.rids or args.named or args.host or args.catalog or args.forget or args.list or args.columns:
        raise DerivaMLRequestError(
            "--commits pushes to a git remote, and nothing to a catalog: give it alone, or with the remote"
        )
    print(push_commits(project.root, args.commits))
    return 0


def _upload(args: argparse.Namespace, catalog: EmbeddedCatalog, project: Project) -> int:
    from deriva_ml.definitions import OPEN_STATUSES
    from deriva_ml.execution.upload import recorded

    rids = [recorded(catalog, rid).local for rid in args.rids]
    if args.forget:
        return _forget(catalog, rids)
    waiting: Pending
    opened = None
    config = named_catalog(args, "--to", project)
    if config is None:
        waiting = [one for one in catalog.journal.pending() if not rids or one[0] in rids]
        waiting = [one for one in waiting if catalog.lookup_execution(one[0]).status not in OPEN_STATUSES]
        _refuse_local(catalog, rids)
    elif not rids:
        raise DerivaMLRequestError(
            "say which executions to push there: uv run deriva-ml-catalog list shows what there is"
        )
    else:
        from deriva_ml.deriva.push import destination_of

        destination, noted = destination_of(config)
        waiting = _wanted(catalog, rids, destination)
        if waiting and not args.list:
            waiting, opened = _send_to(catalog, waiting, destination, config.credential, noted)
    _say_there(catalog, rids, waiting)
    print_lines(_listing(catalog, waiting) if waiting else "nothing waits to be pushed")
    return 0 if args.list else _push(catalog, project, waiting, opened)


def _push(catalog: EmbeddedCatalog, project: Project, waiting: Pending, opened: Push | None) -> int:
    """Push, say of each how it went, and return the exit status."""
    from deriva_ml.execution.upload import upload

    failed, wrong, said = 0, 0, set()
    for pushed in upload(catalog, project, waiting, opened):
        if pushed.error is None:
            print(f"pushed {pushed.local}  {pushed.link}", flush=True)
            continue
        failed += 1
        wrong += isinstance(pushed.error, DerivaMLRequestError)  # as without a login: nothing was tried
        if str(pushed.error) not in said:
            said.add(str(pushed.error))
            tell(f"error: {pushed.local}: {pushed.error}")
    _note_names(catalog)
    if failed:
        tell(f"{failed} of {len(waiting)} still wait: uv run deriva-ml-upload goes on")
    return WRONG_REQUEST if 0 < wrong == len(waiting) else FAILED if failed else 0


def _note_names(catalog: EmbeddedCatalog) -> None:
    """Note in ``datasets.toml`` where datasets with names have been sent."""
    from deriva_ml.cli.dataset_named import told_to_commit
    from deriva_ml.datasets.names import note

    # What is wrong there, each change of one says.
    with suppress(DerivaMLRequestError), told_to_commit(catalog):
        for dataset in catalog.find_datasets():
            note(catalog, dataset.rid)


def _forget(catalog: EmbeddedCatalog, rids: Sequence[str]) -> int:
    """Let executions be recorded here only."""
    if not rids:
        raise DerivaMLRequestError(
            "say which executions are not to be pushed: deriva-ml-upload --list shows them"
        )
    for rid in rids:
        catalog.cancel_push(rid)
        print(f"{rid} stays in this project's own catalog")
    return 0


def _wanted(catalog: EmbeddedCatalog, rids: Sequence[str], destination: Destination) -> Pending:
    """Return executions, and those of a sweep, that are not at the destination as they are here."""
    from deriva_ml.definitions import OPEN_STATUSES

    wanted = dict.fromkeys(one for rid in rids for one in (rid, *catalog.list_execution_children(rid)))
    for rid in wanted:
        if catalog.lookup_execution(rid).status in OPEN_STATUSES:
            raise DerivaMLRequestError(f"execution {rid} is still going on: push it when it has ended")
    there = {
        rid
        for rid in wanted
        if destination in catalog.journal.destinations(rid)
        and (rid, destination) not in catalog.journal.pending(rid)
    }
    return [(rid, destination) for rid in wanted if rid not in there]


def _send_to(
    catalog: EmbeddedCatalog, wanted: Pending, destination: Destination, credential: Any, noted: str | None
) -> tuple[Pending, Push]:
    """Note that executions are to be pushed, once the destination is known to be there; what is to be done, and by what."""
    from deriva_ml.deriva.answers import ServerRefused
    from deriva_ml.deriva.push import Push

    try:
        push = Push.open(catalog, destination, credential)
    except ServerRefused as refusal:
        raise DerivaMLRequestError(str(refusal)) from refusal
    for rid, _ in wanted:
        _warn_of_inputs(catalog, rid, push.destination)
        catalog.journal.send_to(rid, push.destination, noted)
    waiting = [one for rid, _ in wanted for one in catalog.journal.pending(rid) if one[1] == push.destination]
    return waiting, push


def _warn_of_inputs(catalog: EmbeddedCatalog, rid: str, destination: Destination) -> None:
    """Say that what an execution read from one server cannot be linked on another."""
    for other in catalog.journal.destinations(rid):
        read = catalog.journal.inputs(rid, other) if other != destination else []
        if read:
            names = ", ".join(one.rid for one in read[:5])
            warn(
                f"execution {rid} read records of {other} ({names}), which {destination} does not have:"
                " they are not linked there"
            )


def _refuse_local(catalog: EmbeddedCatalog, rids: Sequence[str]) -> None:
    """Refuse an execution that is for no catalog but the project's own, for it is not said where it is to go."""
    for rid in rids:
        if not catalog.journal.destinations(rid):
            raise DerivaMLRequestError(
                f"execution {rid} was recorded in this project's own catalog: say where to push it, --to production"
            )


def _say_there(catalog: EmbeddedCatalog, rids: Iterable[str], waiting: Pending) -> None:
    """Say of executions that need no push where they are."""
    for rid in rids:
        if rid not in {one for one, _ in waiting}:
            for destination, remote in catalog.journal.elsewhere(rid):
                print(f"{rid} is in {destination} already, as {remote}")


def _listing(catalog: EmbeddedCatalog, waiting: Pending) -> str:
    """Return what waits as a table."""
    rows = [("RID", "status", "when (UTC)", "workflow", "for")]
    for rid, destination in waiting:
        record = catalog.lookup_execution(rid)
        when = record.created[:19].replace("T", " ")
        rows.append((rid, record.status.value, when, record.workflow.name, str(destination)))
    return aligned(rows)
