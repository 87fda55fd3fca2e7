"""``deriva-ml-catalog list``, ``files`` and ``datasets``: what there is, the newest first."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import add_limit
from deriva_ml.cli.deriva_catalog import add_reading_flags
from deriva_ml.cli.named import collecting, elsewhere, rids_there
from deriva_ml.cli.results import add_filters, meant, narrowed
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import one_line, print, print_json, print_lines, tell, width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deriva_ml.catalog.protocol import Source


def add_list(commands: Any) -> None:
    """Add the subcommand that lists executions."""
    parser = commands.add_parser(
        "list",
        help="list executions",
        usage="[options]",
        description="List executions, the newest first: RID here and where it was pushed to, status, time, duration,"
        " what started it, workflow, how its latest replay came out, and the description or the reason of a failure.",
    )
    add_filters(parser)
    _add_shared(parser, list_executions, "executions")


def add_files_and_datasets(commands: Any) -> None:
    """Add the subcommands that list what executions read and made."""
    parser = commands.add_parser(
        "files",
        help="list files",
        usage="[options]",
        description="List the files that executions read and made, the newest first: RID, time, name, size, types and"
        " table. Those that describe a run, such as its configuration, are left out unless --type asks for them.",
    )
    parser.add_argument("--name", metavar="PATTERN", help="only files whose name it fits, such as '*.csv'")
    parser.add_argument(
        "--type", metavar="TYPE", help="only files of this type, such as Model_File or Metrics_File"
    )
    _add_shared(parser, list_files, "files")
    parser = commands.add_parser(
        "datasets",
        help="list datasets",
        usage="[options]",
        description="List the datasets, the newest first: RID, name, version, types and description.",
    )
    _add_shared(parser, list_datasets, "datasets")


def _add_shared(parser: argparse.ArgumentParser, run: Callable[..., int], what: str) -> None:
    add_limit(parser, what)
    parser.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    add_reading_flags(parser)
    parser.set_defaults(run=run)


NARROW = 100
"""Columns of a terminal below which a list has no room for durations and seconds, which ``show`` has."""


def list_executions(catalog: Source, args: argparse.Namespace) -> int:
    """List executions."""
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import OPEN_STATUSES
    from deriva_ml.records.replays import Replays, as_json

    replays = Replays(catalog, Project.find().state)
    own = catalog if isinstance(catalog, EmbeddedCatalog) else None
    found = catalog.select_executions(meant(args), args.limit + 1 if args.limit else None)
    room = width()
    narrow = room is not None and room < NARROW
    columns = {
        "RID": [record.rid for record in found],
        "there": [rids_there(own, record.rid) if own else "" for record in found],
        "status": [record.status.value for record in found],
        "when (UTC)": [record.created[: 16 if narrow else 19].replace("T", " ") for record in found],
        "duration": [record.execution_duration or "" for record in found],
        "started by": [
            "command" if record.started_by.startswith("deriva-ml-") else record.started_by for record in found
        ],
        "workflow": [record.workflow.name for record in found],
        "replayed": [replays.said(record.rid) for record in found],
        "description": [
            one_line((record.status_detail or record.description).strip().split("\n")[0]) for record in found
        ],
    }
    if narrow:
        del columns["duration"]
    for name in ("there", "replayed"):
        if not any(columns[name]):
            del columns[name]
    listed = [
        asdict(record)
        | {"pushed_to": elsewhere(own, record.rid) if own else []}
        | {"replays": as_json(replays.of(record.rid))}
        for record in found
    ]
    nothing = "nothing has been recorded yet; uv run deriva-ml-run-notebook NOTEBOOK records a run"
    if narrowed(args):
        nothing = (
            f"no execution is {args.status}" if narrowed(args) == ["status"] else "no execution meets that"
        )
    status = _print_columns(
        columns, listed, args, nothing, ("started by", "workflow", "replayed", "description")
    )
    for record in found:
        if own and record.status in OPEN_STATUSES and (how := collecting(own, record.rid)):
            tell(
                f"the jobs of sweep {record.rid} may go on; once they have ended, it is ended, with what they recorded, by {how}"
            )
    return status


def list_files(source: Source, args: argparse.Namespace) -> int:
    """List files."""
    from deriva_ml.definitions import MLAsset, by_age

    limit = args.limit + 1 if args.limit else None
    if args.type is None:
        tables = [table for table in source.asset_tables() if table != MLAsset.execution_metadata]
        found = [
            asset for table in tables for asset in source.find_assets(table, name=args.name, limit=limit)
        ]
        found.sort(key=by_age, reverse=True)
    else:
        found = source.find_assets(None, args.type, args.name, limit)
    columns = {
        "RID": [asset.rid for asset in found],
        "when (UTC)": [asset.created[:16].replace("T", " ") for asset in found],
        "name": [asset.filename for asset in found],
        "bytes": [str(asset.length) for asset in found],
        "types": [", ".join(asset.types) for asset in found],
        "table": [asset.table for asset in found],
    }
    listed = [asdict(asset) for asset in found]
    return _print_columns(columns, listed, args, "no file is here that fits", ("name", "types", "table"))


def list_datasets(source: Source, args: argparse.Namespace) -> int:
    """List datasets."""
    found = source.find_datasets(args.limit + 1 if args.limit else None)
    columns = {
        "RID": [dataset.rid for dataset in found],
        **({"name": [dataset.name for dataset in found]} if any(one.name for one in found) else {}),
        "version": [dataset.version for dataset in found],
        "types": [", ".join(dataset.types) for dataset in found],
        "description": [one_line(dataset.description.strip().split("\n")[0]) for dataset in found],
    }
    listed = [
        {name: getattr(one, name) for name in ("rid", "name", "version", "types", "description")}
        for one in found
    ]
    return _print_columns(columns, listed, args, "no dataset is here", ("name", "types", "description"))


def _print_columns(
    columns: dict[str, list[str]],
    listed: Sequence[dict[str, Any]],
    args: argparse.Namespace,
    nothing: str,
    elastic: Sequence[str],
) -> int:
    """Print a list, as a table that fits a terminal or as JSON; one row more than ``args.limit`` stands for more."""
    if args.json:
        print_json(listed[: args.limit or None])
    elif not listed:
        print(nothing)
    else:
        room = width()
        rows = [*zip(*columns.values(), strict=True)][: args.limit or None]
        print_lines(aligned([tuple(columns), *rows], room, elastic))
        if args.limit and len(listed) > args.limit:
            print("... and more; -n 0 shows all")
    return 0
