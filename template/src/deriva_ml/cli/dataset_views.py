"""``deriva-ml-dataset list``, ``show`` and ``history``: what datasets there are, and what is in them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import add_limit, subcommand
from deriva_ml.cli.dataset_named import meant, state_of
from deriva_ml.table import aligned
from deriva_ml.terminal import counted, human, one_line, print, print_json, print_lines, width

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog

WITHIN = {"dataset", "name", "version", "released", "bytes"}
"""Facts that a person is shown within others."""


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    parser = subcommand(
        commands,
        list_datasets,
        "list",
        "",
        "list datasets",
        "List the datasets, the newest first: name, RID, version, files, size, types and description.",
        json=True,
    )
    parser.add_argument("--all", action="store_true", help="with those that were deleted")
    add_limit(parser, "datasets")
    parser = subcommand(
        commands,
        show,
        "show",
        "NAME[@VERSION]",
        "show a dataset",
        "Show what is known of a dataset: its versions, types,"
        " files, tables and nested datasets, who made it and who read it. Without a version it is what it is now.",
        json=True,
    )
    add_limit(parser, "files")
    subcommand(
        commands,
        history,
        "history",
        "NAME",
        "show a dataset's versions",
        "Show the states of a dataset, the newest first:"
        " version, when and by whom it was made, files, size and what changed.",
        json=True,
    )


def list_datasets(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """List datasets."""

    found = catalog.find_datasets(args.limit + 1 if args.limit else None, deleted=args.all)
    states = [catalog.dataset_state(str(one.version_rid)) for one in found]
    listed: list[dict[str, Any]] = [
        {
            "name": one.name,
            "rid": one.rid,
            "version": state.version,
            "files": state.files,
            "bytes": state.bytes,
            "types": list(one.types),
            "description": one.description,
            "digest": state.digest,
        }
        for one, state in zip(found, states, strict=True)
    ]
    if args.json:
        print_json(listed[: args.limit or None])
        return
    if not listed:
        print("no dataset is here yet; uv run deriva-ml-dataset create NAME PATH makes one")
        return
    rows = [
        (
            one["name"],
            one["rid"],
            one["version"],
            f"{one['files']:,}",
            human(one["bytes"]),
            ", ".join(one["types"]),
            one_line(one["description"].strip().split("\n")[0]),
        )
        for one in listed[: args.limit or None]
    ]
    heads = ("name", "RID", "version", "files", "size", "types", "description")
    print_lines(aligned([heads, *rows], width(), ("name", "types", "description")))
    if args.limit and len(listed) > args.limit:
        print("... and more; -n 0 shows all")


def show(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Show what is known of a dataset."""
    from deriva_ml.cli.named import elsewhere
    from deriva_ml.datasets.rows import is_table
    from deriva_ml.records.lineage import made_by, read_by

    rid, version = meant(catalog, args.name)
    state = state_of(catalog, rid, version)
    dataset = catalog.describe(rid)
    nested = [
        (row["Path"], catalog.dataset_state(row["nested"]))
        for row in catalog.members(state.rid)
        if row.get("nested")
    ]
    facts: dict[str, Any] = {
        "dataset": rid,
        "name": dataset.name,
        "version": state.version,
        "released": state.released,
        "digest": state.digest,
        "types": list(dataset.types),
        "versions": [one.version for one in catalog.dataset_versions(rid) if one.released],
        "files": state.files,
        "bytes": state.bytes,
        "tables": [row["Path"] for row in catalog.files(state.rid) if is_table(row["Path"])],
        "nested": [
            {
                "folder": folder,
                "name": catalog.name_of_dataset(one.dataset),
                "rid": one.dataset,
                "version": one.version,
            }
            for folder, one in nested
        ],
        "part of": catalog.dataset_parents(rid),
        "pushed to": elsewhere(catalog, rid),
        "made by": made_by(catalog, rid),
        "read by": read_by(catalog, rid),
        "description": dataset.description,
    }
    listed: Iterator[dict[str, Any]] = (
        {"path": row["Path"], "bytes": row["Length"], "md5": row["MD5"], "rid": row["RID"]}
        for row in catalog.files(state.rid)
    )
    if args.json:
        print_json(facts | {"members": list(listed)})
        return
    said = {
        "dataset": f"{dataset.name or rid} {state.version}",
        "RID": rid if dataset.name else "",
        **{name: value for name, value in facts.items() if name not in WITHIN},
        "files": f"{counted(state.files, 'file')}, {human(state.bytes)}",
        "nested": [
            f"{one['folder']}: {one['name'] or one['rid']} {one['version']}" for one in facts["nested"]
        ],
    }
    for name, value in said.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if text:
            print(f"{name + ':':13}{one_line(text)}")
    rows = [(one["path"], f"{one['bytes']:,}", one["md5"]) for one in islice(listed, args.limit or None)]
    if rows:
        print_lines(aligned([("path", "bytes", "MD5"), *rows], width(), ("path",)))
    if args.limit and next(listed, None):
        print("... and more; -n 0 shows all")


def history(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Show a dataset's states."""

    rid, _ = meant(catalog, args.name)
    states = catalog.dataset_versions(rid)
    makers = {
        one.execution: catalog.lookup_execution(one.execution).created_by for one in states if one.execution
    }
    if args.json:
        print_json(
            [
                asdict(one) | {"released": one.released, "by": makers.get(one.execution or "", "")}
                for one in states
            ]
        )
        return
    rows = [
        (
            one.version,
            one.created[:16].replace("T", " "),
            makers.get(one.execution or "", ""),
            f"{one.files:,}",
            human(one.bytes),
            one.digest[:8],
            one.execution or "",
            one_line(one.description),
        )
        for one in states
    ]
    heads = ("version", "when (UTC)", "by", "files", "size", "digest", "execution", "what changed")
    print_lines(aligned([heads, *rows], width(), ("by", "what changed")))
