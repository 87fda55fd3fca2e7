"""``deriva-ml-catalog``: look at what was recorded."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import CommandParser, whole_number
from deriva_ml.cli.command import command
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, NotFound
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import one_line, print, print_lines
from deriva_ml.untrusted import check_inside, plain_name, read_json

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.catalog.journal import Destination
    from deriva_ml.definitions import Asset


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, with one for each of `list`, `show` and `open`."""
    parser = CommandParser(
        "deriva-ml-catalog",
        usage="list|show|open [options]",
        description="Look at what the project recorded, also of executions that were pushed to a server.",
        examples=["deriva-ml-catalog list", "deriva-ml-catalog list --limit 0 --status Failed"],
    )
    # With the name given, argparse does not compose it from the usage.
    commands = parser.add_subparsers(
        prog=parser.prog, title="subcommands", dest="what", required=True, metavar="list|show|open"
    )
    listing = commands.add_parser(
        "list",
        help="list executions",
        usage="[options]",
        description="List executions, the newest first: RID here and where it was pushed to, status, time, duration,"
        " what started it, workflow, and the description or the reason of a failure.",
    )
    listing.add_argument(
        "-n",
        "--limit",
        type=whole_number(0, "executions"),
        default=20,
        metavar="NUMBER",
        help="how many executions, 0 for all (default: %(default)s)",
    )
    listing.add_argument(
        "--status",
        metavar="STATUS",
        help="only executions with this status, such as 'Failed' (default: with any)",
    )
    showing = commands.add_parser(
        "show",
        help="show one execution, asset or dataset",
        usage="RID [options]",
        description="Show one execution, asset or dataset with all that belongs to it.",
    )
    opening = commands.add_parser(
        "open",
        help="open an execution's notebook, or an asset",
        usage="RID [options]",
        description="Open an execution's notebook, or an asset, with the desktop's program. Copies of the execution's"
        " outputs, or of the asset, are put into outputs/ under their own names.",
    )
    for each, what in ((showing, "execution, asset or dataset"), (opening, "execution or asset")):
        each.add_argument("rid", metavar="RID", help=f"the {what}, by its RID here or where it was pushed to")
    for each in (listing, showing):
        each.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, or 2 for a wrong request."""
    args = parser().parse_args(argv)
    project = Project.find()
    with closing(_opened(project)) as catalog:
        if args.what == "list":
            _list(catalog, args)
            return 0
        args.rid = _here(catalog, args.rid)
        if args.what == "show":
            _show(catalog, args)
        else:
            _open(catalog, project, args.rid)
    return 0


def _opened(project: Project) -> EmbeddedCatalog:
    """Open the project's catalog and close what was left open there; only read it where the disk takes nothing."""
    import deriva_ml.disk as disk
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.execution.recovery import recover

    try:
        catalog = open_local(project)
    except DerivaMLException as error:
        if not disk.fault(error, project.state) or not project.database.exists():
            raise
        print(f"warning: {error}", file=sys.stderr)
        return open_local(project, read_only=True)
    try:
        recover(catalog, project)
    except BaseException:
        catalog.close()
        raise
    return catalog


NARROW = 100
"""Columns of a terminal below which a list has no room for durations and seconds, which ``show`` has."""


def _list(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    from deriva_ml.definitions import Status

    if args.status and args.status not in set(Status):
        raise DerivaMLRequestError(f"no status is called {args.status}; there are: {', '.join(Status)}")
    status = Status(args.status) if args.status else None
    found = catalog.find_executions(args.limit + 1 if args.limit else None, status)
    more = bool(args.limit) and len(found) > args.limit
    found = found[: args.limit or None]
    if args.json:
        listed = [asdict(record) | {"pushed_to": _elsewhere(catalog, record.rid)} for record in found]
        print_lines(json.dumps(listed, indent=2))
        return
    if not found and args.status:
        print(f"no execution is {args.status}")
        return
    if not found:
        print("nothing has been recorded yet; uv run deriva-ml-run-notebook NOTEBOOK records a run")
        return
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    narrow = room is not None and room < NARROW
    columns = {
        "RID": [record.rid for record in found],
        "there": [_rids_there(catalog, record.rid) for record in found],
        "status": [record.status.value for record in found],
        "when (UTC)": [record.created[: 16 if narrow else 19].replace("T", " ") for record in found],
        "duration": [record.execution_duration or "" for record in found],
        "started by": [
            "command" if record.started_by.startswith("deriva-ml-") else record.started_by for record in found
        ],
        "workflow": [record.workflow.name for record in found],
        "description": [
            one_line((record.status_detail or record.description).strip().split("\n")[0]) for record in found
        ],
    }
    if narrow:
        del columns["duration"]
    if not any(columns["there"]):
        del columns["there"]
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    print_lines(aligned(rows, room, ("started by", "workflow", "description")))
    if more:
        print("... and more; -n 0 shows all")


def _show(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    facts = _facts(catalog, args.rid)
    if args.json:
        print_lines(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [tuple(value[0]), *(tuple(str(cell) for cell in row.values()) for row in value)]
            print(f"{name}:", *(f"  {line}" for line in aligned(rows).split("\n")), sep="\n")
        elif isinstance(value, dict) and value:
            lines = (f"  {key} = {json.dumps(item, ensure_ascii=False)}" for key, item in value.items())
            print(f"{name}:", *lines, sep="\n")
        elif value:
            said = ("; " if name == "differs" else ", ").join(value) if isinstance(value, list) else value
            first, *others = ("yes" if said is True else str(said)).split("\n")
            # A line's end in a description or a reason begins no other fact.
            print(f"{name + ':':13}{first}", *(f"{'':13}{line}" for line in others), sep="\n")


def _here(catalog: EmbeddedCatalog, rid: str) -> str:
    """Return the RID here of a record, which may be given by the one that it has where it was pushed to."""
    for look_up in (catalog.lookup_execution, catalog.lookup_asset, catalog.lookup_dataset):
        with suppress(NotFound):
            look_up(rid)
            return rid
    known = catalog.journal.locals_of(rid)
    return known[0] if len(known) == 1 else rid


def _elsewhere(catalog: EmbeddedCatalog, rid: str) -> list[str]:
    """Return addresses of a record in the catalogs that it was pushed to."""
    return [destination.link(remote) for destination, remote in catalog.journal.elsewhere(rid)]


def _rids_there(catalog: EmbeddedCatalog, rid: str) -> str:
    """Return the RIDs of a record in the catalogs that it was pushed to, where they are not the one here."""
    return ", ".join(remote for _, remote in catalog.journal.elsewhere(rid) if remote != rid)


def _facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    """Return what there is to know about an execution, or else an asset or a dataset, in plain types."""
    refusals = []
    for facts in (_execution_facts, _asset_facts, _dataset_facts):
        try:
            return facts(catalog, rid)
        except NotFound as error:
            refusals.append(error)
    raise refusals[0]


def _asset_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    asset = catalog.lookup_asset(rid)
    uses = catalog.executions_of(asset)
    return {
        "asset": rid,
        "pushed to": _elsewhere(catalog, rid),
        "description": asset.description,
        "made by": [execution for execution, role in uses if role == "Output"],
        "read by": [execution for execution, role in uses if role == "Input"],
        "file": [_asset_row(catalog, asset)],
    }


def _dataset_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    from deriva_ml.definitions import Asset

    dataset = catalog.lookup_dataset(rid)
    files = (Asset.from_row(table, row) for table, rows in dataset.members.items() for row in rows)
    return {
        "dataset": rid,
        "pushed to": _elsewhere(catalog, rid),
        "version": dataset.version,
        "description": dataset.description,
        "types": list(dataset.types),
        "nested": [child.rid for child in dataset.nested],
        "members": {table: len(rows) for table, rows in dataset.members.items()},
        "files": [_asset_row(catalog, asset) for asset in files if asset],
    }


def _execution_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    record = catalog.lookup_execution(rid)
    assets = catalog.assets_of(rid)
    configuration = _configuration_of(catalog, rid, assets)
    provenance = configuration.get("provenance", {})
    datasets = [
        {
            "RID": item.rid,
            "what": "Dataset",
            "name": item.description.split("\n")[0],
            "size": "",
            "version": item.version,
        }
        for item in catalog.datasets_of(rid)
    ]
    place = next(iter(catalog.journal.destinations(rid)), None)
    # What ran; the workflow is the commit's, whatever differed from it.
    version = provenance.get("version") or record.workflow.version
    return {
        "execution": rid,
        "pushed to": _elsewhere(catalog, rid),
        "waits for": [str(destination) for _, destination in catalog.journal.pending(rid)],
        "status": record.status.value,
        "reason": record.status_detail,
        "description": record.description,
        "created": record.created,
        "by": record.created_by,
        "duration": record.execution_duration or "",
        "started by": record.started_by,
        "workflow": f"{record.workflow.name} {version}".strip(),
        "code": record.workflow.url,
        "dirty": bool(provenance.get("dirty")),
        "differs": provenance.get("differences", []),
        "cite": "" if catalog.journal.elsewhere(rid) else catalog.cite(rid),
        "parameters": configuration.get("parameters", {}),
        "given": configuration.get("parameters_given", {}),
        "not set yet": configuration.get("parameters_not_set", []),
        "overrides": configuration.get("overrides", []),
        "choices": configuration.get("config_choices", {}),
        "sweep of": catalog.list_execution_children(rid),
        "part of": catalog.list_execution_parents(rid),
        "datasets": datasets,
        "read there": [
            destination.link(one.rid)
            for destination in catalog.journal.destinations(rid)
            for one in catalog.journal.inputs(rid, destination)
        ],
        "inputs": [_asset_row(catalog, asset, place) for asset in assets if asset.role == "Input"],
        "outputs": [_asset_row(catalog, asset, place) for asset in assets if asset.role == "Output"],
    }


def _configuration_of(catalog: EmbeddedCatalog, rid: str, assets: Sequence[Asset]) -> dict[str, Any]:
    """Return an execution's configuration as it was recorded; empty where it is lost or damaged."""
    types = {"Deriva_Config", "Execution_Config"}  # the latter of older runners
    found: dict[str, Any] = {}
    # Of several, which a notebook with several commits may have, the last one says how it ended.
    for asset in sorted(assets, key=lambda one: (len(one.rid), one.rid)):
        if (
            asset.filename == "configuration.json"
            and asset.role == "Output"
            and types.intersection(asset.types)
        ):
            try:
                found = _configuration(Path(catalog.locate(asset)))
            except (OSError, ValueError, DerivaMLException) as error:
                print(f"warning: the configuration of {rid} cannot be shown: {error}", file=sys.stderr)
    return found


def _configuration(path: Path) -> dict[str, Any]:
    """Return what a configuration file says, each part of the type that it has to have; others are left out."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    for name in ("provenance", "parameters", "parameters_given", "config_choices"):
        if not isinstance(found.get(name), dict):
            found.pop(name, None)
    told = found.get("provenance", {})
    for part, name in ((told, "differences"), (found, "parameters_not_set"), (found, "overrides")):
        part[name] = [str(one) for one in part[name]] if isinstance(part.get(name), list) else []
    return found


def _asset_row(catalog: EmbeddedCatalog, asset: Asset, place: Destination | None = None) -> dict[str, Any]:
    """Return an asset's columns; with its RID at the place that its execution was, or is to be, pushed to."""
    there = catalog.journal.remote(asset.rid, place) if place else None
    return {
        "RID": asset.rid,
        **({"there": there.rid if there else ""} if place else {}),
        "table": asset.table,
        "file": asset.filename,
        "bytes": asset.length,
        "types": ", ".join(asset.types),
        "MD5": asset.md5,
        "content": catalog.locate(asset),
    }


def _open(catalog: EmbeddedCatalog, project: Project, rid: str) -> None:
    """Put named copies of what was asked for under ``outputs/`` and open the one a person would read."""
    import webbrowser

    try:
        catalog.lookup_execution(rid)
        assets = [asset for asset in catalog.assets_of(rid) if asset.role == "Output"]
    except NotFound:
        assets = [catalog.lookup_asset(rid)]
    folder = project.make_outputs() / plain_name(rid)
    names = Counter(asset.filename for asset in assets)
    paths = []
    for asset in assets:
        # Of several with one name, each has a folder of its own.
        own = folder if names[asset.filename] == 1 else folder / plain_name(asset.rid)
        path = check_inside(own / plain_name(asset.filename), project.outputs)
        if not path.exists():
            catalog.fetch(asset, path)
        paths.append((_rank(asset), path))
    if not paths:
        raise DerivaMLRequestError(f"execution {rid} has no outputs to open")
    best = min(paths, key=lambda pair: pair[0])[1]
    print(best)
    if sys.stdout.isatty():
        webbrowser.open(best.as_uri())


def _rank(asset: Asset) -> int:
    """Return an output's place among those to read: the notebook's Markdown, a report, a picture, a text, the rest."""
    import mimetypes

    from deriva_ml.definitions import ExecAssetType, ExecMetadataType, MLAsset

    kind = mimetypes.guess_type(asset.filename)[0] or ""
    own = ExecAssetType.notebook_output.value in asset.types
    text = kind.startswith("text/") or kind == "application/json"
    if asset.table == MLAsset.execution_metadata:
        if ExecMetadataType.metrics_file.value in asset.types:
            return 3
        return 6 if ExecMetadataType.log_file.value in asset.types else 7
    if own and asset.filename.endswith(".md"):
        return 0
    if kind in {"text/markdown", "text/html", "application/pdf"}:
        return 1
    if kind.startswith("image/"):
        return 2
    return 3 if text else 4 if own else 5
