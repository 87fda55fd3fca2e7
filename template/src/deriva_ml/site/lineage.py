"""What came from what, among the records of a site: the graph, its datasets, and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.links import DATASET, EXECUTION, METADATA
from deriva_ml.definitions import RID, AssetRole
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.grouping import grouped
from deriva_ml.site.clean import Cleaner
from deriva_ml.site.rows import Rows
from deriva_ml.site.runs import first_line
from deriva_ml.terminal import warn

LABEL = 100
"""Characters of a node's label."""


def graph(catalog: EmbeddedCatalog, rids: Sequence[RID], clean: Cleaner) -> dict[str, Any]:
    """Return the runs of a site with the files and datasets beside them, and which of them came before which."""
    if not rids:
        return {"nodes": [], "edges": []}
    links, runs = catalog.links_from(rids[0]).links, {*rids}
    tables = dict.fromkeys(rids, EXECUTION)
    edges: dict[tuple[RID, RID], str] = {}
    level: dict[str, list[RID]] = {EXECUTION: [*rids]}
    while level:
        reached: dict[str, list[RID]] = {}
        # Of a dataset only what it was made from: what read it is known by the runs.
        for up in (True, False) if EXECUTION in level else (True,):
            for rid, other, table, version in links.follow(level, up):
                if table == EXECUTION and other not in runs:
                    continue
                earlier, later = (other, rid) if up else (rid, other)
                edges[earlier, later] = version or edges.get((earlier, later), "")
                if other not in tables:
                    tables[other] = table
                    reached.setdefault(table, []).append(other)
        level = {DATASET: reached[DATASET]} if DATASET in reached else {}
    nodes = links.nodes(grouped((table, rid) for rid, table in tables.items()))
    places = {rid: place for place, rid in enumerate(tables)}
    kinds = {EXECUTION: 0, DATASET: 2}
    return {
        "nodes": [
            [clean.text(rid), kinds.get(table, 1), clean.text(first_line(nodes[rid].name))[:LABEL]]
            for rid, table in tables.items()
        ],
        "edges": [
            [places[earlier], places[later], clean.text(label)] for (earlier, later), label in edges.items()
        ],
    }


def files(rows: Mapping[RID, Rows], clean: Cleaner) -> dict[str, list[Any]]:
    """Return the files that the runs of a site made or read, by name; of those that describe runs what others read."""
    uses = grouped((one.rid, (rid, one)) for rid, its in rows.items() for one in its.files)
    found: list[tuple[Any, ...]] = []
    for rid, used in uses.items():
        one = used[0][1]
        made = [run for run, use in used if use.role == AssetRole.output]
        read = [run for run, use in used if use.role == AssetRole.input]
        if read or one.table != METADATA:
            # The newest run comes first, and the oldest one made the file.
            found.append(
                (
                    clean.text(one.name),
                    rid,
                    one.table,
                    one.size,
                    one.md5,
                    [clean.text(str(kind)) for kind in one.types],
                    made[-1:],
                    read,
                )
            )
    found.sort(key=lambda file: file[:2])
    names = ("name", "rid", "table", "size", "md5", "types", "made_by", "read_by")
    columns = {name: [file[place] for file in found] for place, name in enumerate(names)}
    return {**columns, "made_by": [next(iter(made), "") for made in columns["made_by"]]}


def datasets(catalog: EmbeddedCatalog, only: set[RID] | None, clean: Cleaner) -> list[dict[str, Any]]:
    """Return the datasets with their versions, and who made and read them, the newest first.

    Args:
        only: these; None for all.
    """
    database = catalog.database
    readers: dict[RID, list[RID]] = {}
    for state, execution in database.query(
        'SELECT "Dataset_Version", "Execution" FROM "Dataset_Execution" ORDER BY "RCT", "RID"'
    ):
        readers.setdefault(state, []).append(execution)
    found = []
    for rid, deleted in database.query(
        'SELECT "RID", coalesce("Deleted", 0) FROM "Dataset" ORDER BY "RCT" DESC, "RID" DESC'
    ).fetchall():
        if only is not None and rid not in only:
            continue
        try:
            described, known = catalog.describe(rid), catalog.dataset_versions(rid)
        except DerivaMLException as error:
            warn(f"left out: {error}")
            continue
        versions = [
            {
                "version": one.version,
                "when": one.created,
                "description": clean.text(one.description),
                "digest": one.digest,
                "files": one.files,
                "bytes": one.bytes,
                "made_by": one.execution or "",
                "read_by": readers.get(one.rid, []),
            }
            for one in known
            if one.released or one.rid in readers
        ]
        found.append(
            {
                "rid": rid,
                "name": clean.text(str(described.name or first_line(described.description))),
                "description": clean.text(described.description),
                "types": [clean.text(one) for one in described.types],
                "deleted": bool(deleted),
                "versions": versions,
            }
        )
    return found
