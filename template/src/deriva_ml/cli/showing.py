"""``deriva-ml-catalog show``: one execution, asset or dataset with all that belongs to it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.named import elsewhere
from deriva_ml.cli.results import show_table
from deriva_ml.configuration_file import is_configuration, read_configuration, repeat_command
from deriva_ml.definitions import OPEN_STATUSES, by_age
from deriva_ml.exceptions import DerivaMLException, NotFound
from deriva_ml.table import aligned
from deriva_ml.terminal import print, print_json, warn

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.catalog.journal import Destination
    from deriva_ml.catalog.summaries import Summary
    from deriva_ml.definitions import Asset


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show",
        help="show one execution, asset or dataset",
        usage="RID [options]",
        description="Show one execution, asset or dataset with all that belongs to it; of a sweep, the results of its"
        " runs too.",
    )
    parser.add_argument(
        "rid",
        metavar="RID",
        help="the execution, asset or dataset, by its RID here or where it was pushed to, or by its name",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    parser.set_defaults(run=show)


def show(catalog: EmbeddedCatalog, args: argparse.Namespace) -> int:
    """Show a record."""
    facts = _facts(catalog, args.rid)
    if args.json:
        print_json(facts)
        return 0
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
    if runs := facts.get("sweep of"):
        from deriva_ml.catalog.criteria import Criteria
        from deriva_ml.records.replays import Replays
        from deriva_ml.records.results import tabulate

        print()
        print("results:")
        replays = Replays(catalog, catalog.project.state)
        show_table(tabulate(catalog.results(Criteria(rids=runs)), replays=replays))
    return 0


def _facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    """Return what there is to know about an execution, or else an asset or a dataset, in plain types."""
    refusals = []
    for facts in (_execution_facts, _asset_facts, _dataset_facts):
        try:
            return facts(catalog, rid)
        except NotFound as error:
            refusals.append(error)
    from deriva_ml.storage.removed import line_about

    if removed := line_about(catalog.project, rid):
        raise NotFound(removed)
    raise refusals[0]


def _asset_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    asset = catalog.lookup_asset(rid)
    uses = catalog.executions_of(asset)
    return {
        "asset": rid,
        "pushed to": elsewhere(catalog, rid),
        "description": asset.description,
        "made by": [execution for execution, role in uses if role == "Output"],
        "read by": [execution for execution, role in uses if role == "Input"],
        "file": [_asset_row(catalog, asset)],
    }


def _dataset_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    from deriva_ml.catalog.carried import imported
    from deriva_ml.definitions import Asset
    from deriva_ml.records.lineage import made_by, read_by

    dataset = catalog.lookup_dataset(rid)
    members = [(row, Asset.from_row(table, row)) for table, rows in dataset.members.items() for row in rows]
    return {
        "dataset": rid,
        "pushed to": elsewhere(catalog, rid),
        "name": dataset.name,
        "version": dataset.version,
        "versions": [one.version for one in catalog.dataset_versions(rid) if one.released],
        "manifest": dataset.digest,
        "imported": imported(catalog, rid),
        "description": dataset.description,
        "types": list(dataset.types),
        "made by": made_by(catalog, rid),
        "read by": read_by(catalog, rid),
        "nested": [child.rid for child in dataset.nested],
        "members": {table: len(rows) for table, rows in dataset.members.items()},
        "files": [{**_asset_row(catalog, asset), "file": row["Path"]} for row, asset in members if asset],
    }


def _execution_facts(catalog: EmbeddedCatalog, rid: str) -> dict[str, Any]:
    from deriva_ml.catalog.carried import imported
    from deriva_ml.cli.named import collecting
    from deriva_ml.records.lineage import makers_of_inputs
    from deriva_ml.records.replays import Replays, as_json
    from deriva_ml.sweep.standing import standing

    record = catalog.lookup_execution(rid)
    replays = Replays(catalog, catalog.project.state)
    assets = catalog.assets_of(rid)
    configuration = _configuration_of(catalog, rid, assets)
    provenance = configuration.get("provenance", {})
    datasets = [
        {
            "RID": item.rid,
            "what": "Dataset",
            "name": item.name or item.description.split("\n")[0],
            "version": item.version,
            "manifest": item.digest,
        }
        for item in catalog.datasets_of(rid)
    ]
    place = next(iter(catalog.journal.destinations(rid)), None)
    jobs = catalog.list_execution_children(rid)
    # What ran; the workflow is the commit's, whatever differed from it.
    version = provenance.get("version") or record.workflow.version
    return {
        "execution": rid,
        "pushed to": elsewhere(catalog, rid),
        "waits for": [str(destination) for _, destination in catalog.journal.pending(rid)],
        "status": record.status.value,
        "jobs": standing(catalog.project, rid) if record.status in OPEN_STATUSES else "",
        "reason": record.status_detail,
        "to collect": collecting(catalog, rid) if record.status in OPEN_STATUSES else "",
        "description": record.description,
        "created": record.created,
        "by": record.created_by,
        "duration": record.execution_duration or "",
        "started by": record.started_by,
        "imported": imported(catalog, rid),
        "workflow": f"{record.workflow.name} {version}".strip(),
        "code": record.workflow.url,
        "dirty": bool(provenance.get("dirty")),
        "differs": provenance.get("differences", []),
        "cite": "" if catalog.journal.elsewhere(rid) else catalog.cite(rid),
        "repeat": repeat_command(configuration, is_sweep=bool(jobs)),
        "replay of": replays.replayed_by(rid),
        "replays": as_json(replays.of(rid)),
        "parameters": configuration.get("parameters", {}),
        "given": configuration.get("parameters_given", {}),
        "not set yet": configuration.get("parameters_not_set", []),
        "overrides": configuration.get("overrides", []),
        "choices": configuration.get("config_choices", {}),
        "metrics": {name: metric.last for name, metric in _summary(catalog, rid).metrics.items()},
        "sweep of": jobs,
        "part of": catalog.list_execution_parents(rid),
        "datasets": datasets,
        "read there": [
            destination.link(one.rid)
            for destination in catalog.journal.destinations(rid)
            for one in catalog.journal.inputs(rid, destination)
        ],
        "inputs": [_asset_row(catalog, asset, place) for asset in assets if asset.role == "Input"],
        "made its inputs": makers_of_inputs(catalog, rid),
        "outputs": [_asset_row(catalog, asset, place) for asset in assets if asset.role == "Output"],
    }


def _summary(catalog: EmbeddedCatalog, rid: str) -> Summary:
    catalog.read_summaries()
    return catalog.summaries.of([rid])[rid]


def _configuration_of(catalog: EmbeddedCatalog, rid: str, assets: Sequence[Asset]) -> dict[str, Any]:
    """Return an execution's configuration as it was recorded; empty where it is lost or damaged."""
    found: dict[str, Any] = {}
    # Of several, which a notebook with several commits may have, the last one says how it ended.
    for asset in sorted(assets, key=by_age):
        if asset.role == "Output" and is_configuration(asset.filename, asset.types):
            try:
                found = read_configuration(Path(catalog.locate(asset)))
            except (OSError, ValueError, DerivaMLException) as error:
                warn(f"the configuration of {rid} cannot be shown: {error}")
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
