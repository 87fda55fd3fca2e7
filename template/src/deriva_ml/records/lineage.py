"""What a record came from, and what came of it: followed level by level, and shown as an indented tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.catalog.links import DATASET, EXECUTION, Link, Links, Node, Records, Start, order
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import grouped

INDENTED = 30
"""Levels of a tree that are indented; a line of a deeper one begins with its level, so that it has room for itself."""


@dataclass
class Walk:
    """Where the steps from a record lead, in one direction.

    Attributes:
        tables: of each record that was reached, by RID.
        steps: from each record that was followed to those beside it, in the order in which these were recorded.
        complete: False if there were more executions than were to be followed.
    """

    root: RID
    up: bool
    tables: dict[RID, str]
    steps: dict[RID, list[Link]] = field(default_factory=dict)
    complete: bool = True

    @property
    def records(self) -> dict[str, list[RID]]:
        """The records that were reached, by table."""
        return grouped((table, rid) for rid, table in self.tables.items())


def walk(
    start: Start,
    up: bool,
    depth: int | None = None,
    *,
    generations: bool = False,
    most: int | None = None,
) -> Walk:
    """Follow a record to what it came from (``up``), or to what came of it; each level with a query or two a table.

    A version of a dataset comes from the executions that made it or an earlier one, and what read it or a later one came
    of it.

    Args:
        depth: steps to follow; None for all.
        generations: count executions only, the record itself too if it is one.
        most: executions that are followed at most.
    """
    found = Walk(start.rid, up, {start.rid: start.table})
    levels = {start.rid: int(generations and start.table == EXECUTION)}
    # That datasets were reached at; empty for one that is not known, and so for all.
    versions: dict[RID, str] = {}
    level, followed = {start.rid: None}, 0
    while level:
        records: dict[str, list[RID]] = {}
        for rid in level:
            table = found.tables[rid]
            if depth is not None and levels[rid] >= depth:
                continue
            if table == EXECUTION:
                if followed == most:
                    found.complete = False
                    continue
                followed += 1
            records.setdefault(table, []).append(rid)
            found.steps[rid] = []
        level = {}
        for link in _ordered(start.links, records, up):
            rid, other, table, version = link
            limit = versions.get(rid, "")
            if limit and version and not _within(version, limit, up):
                continue
            found.steps[rid].append(link)
            known = other in found.tables
            limit = versions.get(other, "")
            if known and not (limit and not (version and _within(version, limit, up))):
                continue
            if not known:
                found.tables[other] = table
                levels[other] = levels[rid] + (table == EXECUTION or not generations)
            level[other] = None
            if table == DATASET:
                versions[other] = version
    return found


def _ordered(links: Links, records: Records, up: bool) -> list[Link]:
    """Return the steps from records, in the order in which the others were recorded, one to each."""
    if not records:
        return []
    found = {(link.rid, link.other): link for link in links.follow(records, up)}
    return links.in_order(found.values())


def _within(version: str, limit: str, up: bool) -> bool:
    """Whether what leads to a dataset's version (``up``), or from it, does so by way of another one."""
    return version == limit or (order(version) < order(limit)) == up


def beyond(start: Start, found: Walk) -> set[RID]:
    """Return the records that a walk reached and did not follow, though there is more."""
    records = grouped((table, rid) for rid, table in found.tables.items() if rid not in found.steps)
    return {link.rid for link in _ordered(start.links, records, found.up)}


def tree(found: Walk, nodes: Mapping[RID, Node], more: Collection[RID] = ()) -> Iterator[str]:
    """Return the lines of a walk: each record in full where it comes first, and then by its RID.

    Args:
        more: records whose line ends in ``...``, as there is more that was not followed.
    """
    shown = {found.root}
    waiting = [(1, link) for link in reversed(found.steps.get(found.root, []))]
    while waiting:
        level, link = waiting.pop()
        margin = "  " * min(level, INDENTED) + (f"[{level}] " if level > INDENTED else "")
        if link.other in shown:
            yield f"{margin}{link.other} (above)"
            continue
        shown.add(link.other)
        cut = " ..." if link.other in more else ""
        yield f"{margin}{link.other}  {describe(nodes[link.other], link.version)}{cut}"
        waiting += [(level + 1, one) for one in reversed(found.steps.get(link.other, []))]


def describe(node: Node, version: str = "") -> str:
    """Return what a record is: how an execution stands and its workflow, a dataset's version and description, or a file's name."""
    if node.table == EXECUTION:
        return f"execution {node.status}: {node.name}".removesuffix(": ")
    if node.table == DATASET:
        named = f"dataset {version or node.version}".rstrip()
        return f"{named}: {node.name}".removesuffix(": ") + (" (deleted)" if node.status else "")
    return f"file {node.name}" if node.name else f"file of {node.table}"


def as_graph(start: Start, walks: Collection[Walk], nodes: Mapping[RID, Node]) -> dict[str, Any]:
    """Return walks as one graph in plain types: what records are, and which came before which."""
    edges = {}
    for found in walks:
        for link in (one for steps in found.steps.values() for one in steps):
            earlier, later = (link.other, link.rid) if found.up else (link.rid, link.other)
            edges[earlier, later] = link.version
    return {
        "root": start.rid,
        "nodes": [_plain(node) for node in nodes.values()],
        "edges": [
            {"from": earlier, "to": later, **({"version": version} if version else {})}
            for (earlier, later), version in edges.items()
        ],
    }


def _plain(node: Node) -> dict[str, str]:
    kind = {EXECUTION: "execution", DATASET: "dataset"}.get(node.table, "file")
    always = {"rid": node.rid, "kind": kind, "table": node.table, "name": node.name}
    known = {name: getattr(node, name) for name in ("status", "version", "description")}
    return always | {name: value for name, value in known.items() if value}


def described(start: Start, walks: Collection[Walk]) -> dict[RID, Node]:
    """Return what the records of walks are, the one that they start at first."""
    records: dict[str, dict[RID, None]] = {}
    for found in walks:
        for table, rids in found.records.items():
            records.setdefault(table, {}).update(dict.fromkeys(rids))
    nodes = start.links.nodes(records)
    return {rid: nodes[rid] for found in walks for rid in found.tables}


def executions_beside(links: Links, records: Records, up: bool) -> dict[RID, list[RID]]:
    """Return the executions that made each of some files and datasets (``up``), or that read it."""
    steps = _ordered(links, records, up)
    return grouped((link.rid, link.other) for link in steps if link.table == EXECUTION)


def made_by(source: Source, dataset: RID) -> list[RID]:
    """Return the executions that made a dataset, or a version of it."""
    start = source.links_from(dataset)
    return executions_beside(start.links, start.records, up=True).get(start.rid, [])


def read_by(source: Source, rid: RID) -> list[RID]:
    """Return the executions that read a dataset or a file.

    Raises:
        DerivaMLRequestError: the record is an execution, or not there.
    """
    start = source.links_from(rid)
    if start.table == EXECUTION:
        raise DerivaMLRequestError(
            f"{rid} is an execution, and what is read is a dataset or a file: give the RID of one that it made"
        )
    return executions_beside(start.links, start.records, up=False).get(start.rid, [])


def makers_of_inputs(source: Source, execution: RID) -> list[dict[str, str]]:
    """Return what made the files and datasets that an execution read: a row for each maker and input."""
    start = source.links_from(execution)
    read = _ordered(start.links, start.records, up=True)
    inputs = grouped((link.table, link.other) for link in read)
    makers = executions_beside(start.links, inputs, up=True)
    executions = {rid for rids in makers.values() for rid in rids}
    nodes = start.links.nodes({**inputs, EXECUTION: executions})
    return [
        {
            "execution": maker,
            "status": nodes[maker].status,
            "workflow": nodes[maker].name,
            "made": rid,
            "name": nodes[rid].name,
        }
        for rid, rids in makers.items()
        for maker in rids
    ]
