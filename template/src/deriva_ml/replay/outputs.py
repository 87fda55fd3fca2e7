"""Which output of a run is which in the run that repeated it, and how they compare."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Asset, AssetRole, ExecMetadataType, by_age
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.manifest import parse
from deriva_ml.project import Project
from deriva_ml.replay.compare.files import compare_files
from deriva_ml.replay.compare.terms import RunTerms, Terms
from deriva_ml.replay.compare.tokens import STAMP, timeless
from deriva_ml.replay.plan import Kind, is_executed_notebook, is_result
from deriva_ml.replay.run import Repeated
from deriva_ml.replay.verdict import Compared, Comparison, Difference, Own, Tolerance, Verdict
from deriva_ml.untrusted import plain_name


@dataclass
class Outputs:
    """The outputs of both runs.

    Attributes:
        compared: one each.
        lost: recorded ones whose content is not there any more, and that differ by their digests; a line each.
    """

    compared: list[Compared] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A run as one side of a comparison.

    Attributes:
        project: whose folders it had.
        local: the catalog there.
        source: the same, or the Deriva catalog that the record is in.
        executions: all that the notebook started, in that; of another run, the one.
        outputs: of the one that is compared.
        delivered: whether its code knew records by the RIDs that they have elsewhere.
    """

    project: Project
    local: EmbeddedCatalog
    source: Source
    executions: Sequence[RID]
    outputs: Sequence[Asset]
    delivered: bool = False

    def known_as(self, rid: RID) -> RID:
        """Return the RID by which its code knew a record."""
        there = self.local.journal.elsewhere(rid) if self.delivered else []
        return there[0][1] if there else rid


@contextmanager
def side_of(repeated: Repeated, kind: Kind) -> Iterator[Run]:
    """Give a run that repeated another as a side of a comparison."""
    with closing(open_local(repeated.project)) as scratch:
        results = [one for one in repeated.outputs if is_result(one, kind)]
        yield Run(repeated.project, scratch, scratch, repeated.executions, results)


def compare_outputs(ours: Run, theirs: Run, own: Own, tolerance: Tolerance, folder: Path) -> Outputs:
    """Compare every output of a run with that of the run that repeated it.

    Args:
        folder: for contents that are to be fetched.
    """
    found = Outputs()
    terms = Terms(own, tolerance)
    sides = terms.recorded, terms.repeated
    recorded, again = (
        _by_name(run.outputs, partial(_shared, side=side))
        for run, side in zip((ours, theirs), sides, strict=True)
    )
    for name in sorted({*recorded, *again}):
        for one, other in zip_longest(recorded.get(name, ()), again.get(name, ())):
            asset = one or other
            kind = "notebook" if is_executed_notebook(asset) else asset.table
            try:
                result = _compare(ours, theirs, one, other, own, tolerance, folder)
            except _Lost as lost:
                found.lost.append(str(lost))
            else:
                names = [
                    side.named(each.filename) for side, each in zip(sides, (one, other), strict=True) if each
                ]
                if names[0] != names[-1] and result.verdict is Verdict.identical:
                    result = Comparison(
                        Verdict.equivalent, note="differs only in the time that its name holds"
                    )
                found.compared.append(Compared(asset.filename, kind, result))
    return found


class _Lost(DerivaMLException):
    """A recorded content is not there any more, or not as it was."""


def _shared(name: str, side: RunTerms) -> str:
    """Return of a file's name what both runs have in common: it may hold an RID, or the time."""
    return timeless(side.named(name), side)


def _placeholder(name: str, own: str) -> str:
    """Return the same where nothing is known of the other run, by the RID of the execution."""
    return STAMP.sub("*", name.replace(own, "*"))


def _by_name(assets: Sequence[Asset], shared: Callable[[str], str]) -> Mapping[tuple[str, str], list[Asset]]:
    """Return assets by table and name; of several the first comes first.

    Args:
        shared: returns of a name what both runs have in common.
    """
    found = defaultdict(list)
    for asset in sorted(assets, key=by_age):
        found[asset.table, shared(asset.filename)].append(asset)
    return found


def _compare(
    first: Run,
    second: Run,
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
    recorded = folder / plain_name(ours.rid) / plain_name(ours.filename)
    if not recorded.exists():
        try:
            first.source.fetch(ours, recorded)
        except (OSError, DerivaMLException) as error:
            raise _Lost(f"{ours.filename} ({ours.rid}) cannot be compared: {error}") from error
    again = second.local.objects.path(theirs.md5)
    if ExecMetadataType.dataset_manifest in ours.types:
        return _compare_manifests(first, second, recorded, again, own, tolerance)
    return compare_files(recorded, again, ours.filename, own, tolerance)


def _compare_manifests(
    first: Run, second: Run, recorded: Path, again: Path, own: Own, tolerance: Tolerance
) -> Comparison:
    """Compare two versions of a dataset, file by file."""
    try:
        ours, theirs = (
            {entry.path: entry for entry in parse(path.read_text(encoding="utf-8"))}
            for path in (recorded, again)
        )
    except ValueError as error:
        return Comparison(Verdict.different, 0.0, f"a manifest cannot be read: {error}")
    results: dict[str, Comparison] = {}
    for path in sorted({*ours, *theirs}):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            results[path] = Comparison(
                Verdict.different, 0.0, "there is no such file" if other is None else "a new file"
            )
        elif (one.digest, one.version) == (other.digest, other.version):
            results[path] = Comparison(Verdict.identical)
        elif one.version or other.version or not first.local.objects.has(one.digest, one.length):
            results[path] = Comparison(Verdict.different, 0.0, "other content")
        else:
            contents = first.local.objects.path(one.digest), second.local.objects.path(other.digest)
            results[path] = compare_files(*contents, PurePosixPath(path).name, own, tolerance)
    odd = {path: one for path, one in results.items() if one.verdict is not Verdict.identical}
    return Comparison(
        max((one.verdict for one in odd.values()), default=Verdict.identical),
        sum(one.similarity for one in results.values()) / max(1, len(results)),
        "the mean over the files of the dataset",
        [Difference(path, *_said(one)) for path, one in list(odd.items())[:SHOWN]],
    )


def _said(result: Comparison) -> tuple[str, str]:
    """Return what is said of two files on either side of a table."""
    first = next(iter(result.differences), None)
    return (
        (first.recorded, f"{first.repeated} ({first.where})")
        if first
        else ("", result.note or str(result.verdict))
    )


SHOWN = 10
"""Files of a dataset that are named."""


def own_of(ours: Run, theirs: Run) -> Own:
    """Return what each of both runs has its own of: RIDs, folders, and the time in which it ran."""
    first, second = (dict(_own_texts(run)) for run in (ours, theirs))
    both = sorted(name for name in first.keys() & second if first[name] != second[name])
    both.sort(key=lambda name: -len(first[name]))
    return Own(
        {name: first[name] for name in both},
        {name: second[name] for name in both},
        _span(ours),
        _span(theirs),
    )


def _span(run: Run) -> tuple[float, float] | None:
    """Return when a run began and ended, in seconds since the epoch; None if that is not recorded."""
    starts, ends = [], []
    for rid in run.executions:
        record = run.source.lookup_execution(rid)
        made = [one.created for one in run.source.assets_of(rid) if one.role is AssetRole.output]
        try:
            starts.append(datetime.fromisoformat(record.created).timestamp())
            ends += [datetime.fromisoformat(created).timestamp() for created in made if created]
        except ValueError:
            return None
        ends.append(starts[-1] + (seconds_of(record.execution_duration) or 0.0))
    return min(starts), max(ends)


def seconds_of(duration: str | None) -> float | None:
    """Return how many seconds a duration as rows have it is; None for none."""
    found = re.fullmatch(r"(\d+)H (\d+)min ([\d.]+)sec", duration or "")
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _own_texts(run: Run) -> Iterator[tuple[str, str]]:
    """Return the RIDs of executions and of what they made, and the folders, by names that both runs have."""
    for number, rid in enumerate(run.executions, 1):
        of = f" of {number}" if len(run.executions) > 1 else ""
        record = run.source.lookup_execution(rid)
        yield f"<execution{of}>", run.known_as(rid)
        if record.workflow.rid and number == 1:
            yield "<workflow>", run.known_as(record.workflow.rid)
        made = [one for one in run.source.assets_of(rid) if one.role is AssetRole.output]
        own = run.known_as(rid)
        for (table, name), assets in _by_name(made, partial(_placeholder, own=own)).items():
            for place, asset in enumerate(assets, 1):
                yield f"<{table} {name} {place}{of}>", run.known_as(asset.rid)
        here = rid
        if run.source is run.local:
            for place, state in enumerate(run.local.states_made(rid), 1):
                yield f"<dataset {place}{of}>", run.known_as(state.dataset)
                yield f"<version {place}{of}>", run.known_as(state.rid)
        else:
            here = (run.local.journal.locals_of(rid) or [rid])[0]
        yield f"<working folder{of}>", str(run.project.executions / plain_name(here))
    yield "<records>", str(run.project.state)
    yield "<project>", str(run.project.root)
