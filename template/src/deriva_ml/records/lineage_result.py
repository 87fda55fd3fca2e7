"""Which executions a record came from, as upstream's ``lookup_lineage`` returns it: a tree of executions and their inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from deriva_ml.catalog.links import DATASET, EXECUTION, Node, Start
from deriva_ml.definitions import RID
from deriva_ml.records.lineage import Walk, described, walk


@dataclass(frozen=True)
class WorkflowSummary:
    """A workflow in short."""

    rid: RID
    name: str | None = None


@dataclass(frozen=True)
class ExecutionSummary:
    """An execution in short."""

    rid: RID
    status: str
    description: str | None = None
    workflow: WorkflowSummary | None = None


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset that an execution read, with the version that it read, or else the current one."""

    rid: RID
    description: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class AssetSummary:
    """A file that an execution read."""

    rid: RID
    asset_table: str
    filename: str | None = None


@dataclass
class LineageNode:
    """An execution, what it read, and the executions that this came from.

    Attributes:
        already_shown: it stands elsewhere in the tree with its parents, which it has none of here.
    """

    execution: ExecutionSummary
    consumed_datasets: list[DatasetSummary] = field(default_factory=list)
    consumed_assets: list[AssetSummary] = field(default_factory=list)
    parents: list[LineageNode] = field(default_factory=list, repr=False)  # which may go very deep
    already_shown: bool = False


@dataclass(frozen=True)
class RootDescriptor:
    """The record that was asked for.

    Attributes:
        type: ``Execution``, ``Dataset`` or ``Asset``.
        producing_execution: the execution that made it, or for an execution itself; None if none is recorded.
    """

    rid: RID
    type: str
    description: str | None = None
    producing_execution: ExecutionSummary | None = None


@dataclass(frozen=True)
class LineageResult:
    """What a record came from.

    Attributes:
        lineage: the execution that made it, with those before it; None if none is recorded.
        executions_visited: how many executions the tree has.
        walked_complete: False if there are more than ``max_executions``.
        cycle_detected: an execution came from its own outputs, as with files of one content.
        depth_capped: there are more than ``depth`` let through.
    """

    root: RootDescriptor
    lineage: LineageNode | None = None
    executions_visited: int = 0
    walked_complete: bool = True
    cycle_detected: bool = False
    depth_capped: bool = False


def lineage_result(start: Start, depth: int | None = None, max_executions: int = 500) -> LineageResult:
    """Return which executions a record came from; see ``Finding.lookup_lineage``."""
    # One generation more than is shown tells whether there are more.
    generations = None if depth is None else depth + 2
    found = walk(start, True, generations, generations=True, most=max_executions)
    nodes = described(start, [found])
    made = _Tree(found, nodes)
    root = nodes[start.rid]
    kinds = {EXECUTION: "Execution", DATASET: "Dataset"}
    producer = made.root.execution if made.root else None
    return LineageResult(
        root=RootDescriptor(start.rid, kinds.get(start.table, "Asset"), root.description or None, producer),
        lineage=made.root,
        executions_visited=len(made.shown),
        walked_complete=found.complete,
        cycle_detected=made.cycle,
        depth_capped=made.cut and depth is not None,
    )


class _Tree:
    """The executions of a walk, each with its parents where it comes first.

    Of several executions that made the record itself, the others are parents of the first.
    """

    def __init__(self, found: Walk, nodes: Mapping[RID, Node]) -> None:
        self._found = found
        self._nodes = nodes
        self.root: LineageNode | None = None
        self.shown: set[RID] = set()
        self.cycle = False
        self.cut = False
        is_execution = found.tables[found.root] == EXECUTION
        makers = [found.root] if is_execution else self._makers([found.root])
        if makers and makers[0] in found.steps:
            self._grow(makers[0], makers[1:])

    def _makers(self, records: Collection[RID]) -> list[RID]:
        """Return the executions that records came from, also by way of datasets' parts and members."""
        makers = dict[RID, None]()
        seen, waiting = {*records}, [*records]
        for rid in waiting:
            for link in self._found.steps.get(rid, []):
                if link.table == EXECUTION:
                    if link.other in self._found.steps:
                        makers[link.other] = None
                    else:
                        self.cut = True
                elif link.other not in seen:
                    seen.add(link.other)
                    waiting.append(link.other)
        return [*makers]

    def _grow(self, first: RID, beside: Collection[RID]) -> None:
        """Make the tree; without recursion, as a line of executions may be very long."""
        self.root = self._node(first)
        self.shown.add(first)
        path = {first: None}
        waiting = [(self.root, iter(dict.fromkeys([*self._parents(first), *beside])))]
        while waiting:
            node, parents = waiting[-1]
            rid = next(parents, None)
            if rid is None:
                waiting.pop()
                del path[node.execution.rid]
                continue
            again = rid in self.shown
            parent = self._node(rid, again)
            node.parents.append(parent)
            self.cycle = self.cycle or rid in path
            if not again:
                self.shown.add(rid)
                path[rid] = None
                waiting.append((parent, iter(self._parents(rid))))

    def _parents(self, rid: RID) -> list[RID]:
        read = [link.other for link in self._found.steps[rid]]
        return [one for one in self._makers(read) if one != rid]

    def _node(self, rid: RID, again: bool = False) -> LineageNode:
        node = self._nodes[rid]
        workflow = WorkflowSummary(node.workflow, node.name or None) if node.workflow else None
        made = LineageNode(ExecutionSummary(rid, node.status, node.description or None, workflow))
        made.already_shown = again
        for link in () if again else self._found.steps[rid]:
            read = self._nodes[link.other]
            if link.table == DATASET:
                version = link.version or read.version or None
                made.consumed_datasets.append(DatasetSummary(read.rid, read.description or None, version))
            else:
                made.consumed_assets.append(AssetSummary(read.rid, read.table, read.name or None))
        return made
