"""Which output of a run is which in the run that repeated it, and how they compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Asset, AssetRole
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.project import Project
from deriva_ml.replay.compare.files import compare_files
from deriva_ml.replay.plan import Plan, is_executed_notebook, is_result
from deriva_ml.replay.run import Repeated
from deriva_ml.replay.verdict import Compared, Comparison, Own, Tolerance, Verdict


@dataclass
class Outputs:
    """The outputs of both runs.

    Attributes:
        compared: one each.
        lost: recorded ones whose content is not there any more, and that differ by their digests; a line each.
    """

    compared: list[Compared] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def compare_outputs(
    source: Source, plan: Plan, repeated: Repeated, own: Own, tolerance: Tolerance, folder: Path
) -> Outputs:
    """Compare every output of a record with that of the run that repeated it.

    Args:
        folder: for contents that are to be fetched.
    """
    found = Outputs()
    recorded, again = (
        _by_name(plan.outputs),
        _by_name([one for one in repeated.outputs if is_result(one, plan.kind)]),
    )
    with closing(open_local(repeated.project)) as scratch:
        for name in sorted({*recorded, *again}):
            for ours, theirs in zip_longest(recorded.get(name, ()), again.get(name, ())):
                asset = ours or theirs
                kind = "notebook" if is_executed_notebook(asset) else asset.table
                try:
                    result = _compare(source, scratch, ours, theirs, own, tolerance, folder)
                except _Lost as lost:
                    found.lost.append(str(lost))
                else:
                    found.compared.append(Compared(asset.filename, kind, result))
    return found


class _Lost(DerivaMLException):
    """A recorded content is not there any more, or not as it was."""


def _by_name(assets: Sequence[Asset]) -> Mapping[tuple[str, str], list[Asset]]:
    """Return assets by table and name; of several the first comes first."""
    found = defaultdict(list)
    for asset in sorted(assets, key=lambda one: (one.created, one.rid)):
        found[asset.table, asset.filename].append(asset)
    return found


def _compare(
    source: Source,
    scratch: EmbeddedCatalog,
    ours: Asset | None,
    theirs: Asset | None,
    own: Own,
    tolerance: Tolerance,
    folder: Path,
) -> Comparison:
    if ours is None:
        return Comparison(Verdict.different, 0.0, "the record has no such file")
    if theirs is None:
        return Comparison(Verdict.different, 0.0, "this run made no such file")
    if (ours.md5, ours.length) == (theirs.md5, theirs.length):
        return Comparison(Verdict.identical)
    content = folder / ours.rid / ours.filename
    if not content.exists():
        try:
            source.fetch(ours, content)
        except (OSError, DerivaMLException) as error:
            raise _Lost(f"{ours.filename} ({ours.rid}) cannot be compared: {error}") from error
    return compare_files(content, scratch.objects.path(theirs.md5), ours.filename, own, tolerance)


def own_of(project: Project, local: EmbeddedCatalog, source: Source, plan: Plan, repeated: Repeated) -> Own:
    """Return what each of both runs has its own of: RIDs and folders.

    Args:
        project: the person's own.
        local: its catalog.
    """
    with closing(open_local(repeated.project)) as scratch:
        ours = dict(_own_rids(source, local, plan.rid))
        theirs = dict(_own_rids(scratch, scratch, repeated.rid))
    ours |= _folders(project, local.journal.locals_of(plan.rid)[:1] or [plan.rid])
    theirs |= _folders(repeated.project, [repeated.rid])
    both = sorted(name for name in ours.keys() & theirs if ours[name] != theirs[name])
    both.sort(key=lambda name: -len(ours[name]))
    return Own({name: ours[name] for name in both}, {name: theirs[name] for name in both})


def _own_rids(source: Source, catalog: EmbeddedCatalog, rid: RID) -> Iterator[tuple[str, RID]]:
    """Return the RIDs of an execution and of what it made, by names that both runs have."""
    record = source.lookup_execution(rid)
    there = [other for _, other in catalog.journal.elsewhere(rid)] if source is catalog else []
    yield "<execution>", (there or [rid])[0]
    if record.workflow.rid:
        yield "<workflow>", record.workflow.rid
    for (table, name), assets in _by_name(
        [one for one in source.assets_of(rid) if one.role is AssetRole.output]
    ).items():
        for place, asset in enumerate(assets, 1):
            yield f"<{table} {name} {place}>", asset.rid
    if source is catalog:
        for place, state in enumerate(catalog.states_made(rid), 1):
            yield f"<dataset {place}>", state.dataset
            yield f"<version {place}>", state.rid


def _folders(project: Project, rids: Sequence[RID]) -> dict[str, str]:
    return {
        "<working folder>": str(project.executions / rids[0]),
        "<records>": str(project.state),
        "<project>": str(project.root),
    }
