"""What executions differ in: how each was started, its code, what it was given, and what it came to."""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.protocol import Source
from deriva_ml.catalog.summaries import Summary
from deriva_ml.configuration_file import CONFIGURATION, choices_of, parameters_of, read_configuration
from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    Dataset,
    ExecutionRecord,
    MLAsset,
    by_age,
    normalized_name,
)
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.records.compared_files import (
    SAME_CELLS,
    FetchedFiles,
    FileLines,
    compare_lines,
    differing_files,
    digest,
)
from deriva_ml.records.differing_lines import flat
from deriva_ml.records.source_diff import Code, SourceDiff, source_diff
from deriva_ml.untrusted import DAMAGED, as_mapping, read_json, read_yaml

ENVIRONMENT, HYDRA, LOCK = "environment.json", "hydra-config.yaml", "uv.lock"
PATCHES = ("uncommitted.diff", "uncommitted-at-end.diff")
DESCRIBING = frozenset({CONFIGURATION, ENVIRONMENT, HYDRA, LOCK, "choices-hydra.yaml", *PATCHES})
"""Files of a record that are compared by what they say, and not as outputs."""

TOLD_ELSEWHERE = frozenset(
    "datasets assets workflow model_config config_choices description dry_run ml_class _target_".split()
)
"""Parts of the composed configuration that are compared as inputs, code, parameters and the like."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        values: by execution; one that does not have it is left out. Of files, their RID, table, digest and length.
        differences: of numbers, how much more they are than that of the first execution.
        change: of files, ``added``, ``removed`` or ``other content``, from the first execution on.
        lines: of text files, where they differ.
    """

    name: str
    values: dict[RID, Any]
    differences: dict[RID, float] = field(default_factory=dict)
    change: str = ""
    lines: Sequence[FileLines] = ()


@dataclass(frozen=True)
class Comparison:
    """What executions differ in.

    Attributes:
        executions: their rows, in the order that they were asked for.
        sections: differences by what they are of; a section without any is left out.
        sources: how the source of each execution differs from that of the first, if that was asked for.
        warnings: what could not be compared, a line each.
    """

    executions: list[ExecutionRecord]
    sections: dict[str, list[Difference]]
    sources: list[SourceDiff]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it in plain types."""
        executions = [
            {
                "rid": record.rid,
                "created": record.created,
                "duration": record.execution_duration,
                "status": record.status.value,
                "workflow": record.workflow.name,
            }
            for record in self.executions
        ]
        sections = {
            name: [
                {key: value for key, value in asdict(one).items() if value or key in {"name", "values"}}
                for one in differences
            ]
            for name, differences in self.sections.items()
        }
        sources = {"source": [asdict(one) for one in self.sources]} if self.sources else {}
        found = {"executions": executions, **sections, **sources, "warnings": self.warnings}
        return dict(json.loads(json.dumps(found, default=str)))


def compare(source: Source, rids: Sequence[RID], repository: Path | None = None) -> Comparison:
    """Return what executions differ in; of files and sources, in what each differs from the first.

    What cannot be read of a record is left out, and named among the warnings.

    Args:
        repository: a folder in the repository of the code, to show how the source differs.

    Raises:
        DerivaMLRequestError: one of them is no execution, or there are fewer than two.
    """
    rids = list(dict.fromkeys(rids))
    if len(rids) < 2:
        raise DerivaMLRequestError("a comparison is of two executions or more: give their RIDs")
    records = [source.lookup_execution(rid) for rid in rids]
    summaries = {record.rid: summary for record, summary in source.results(Criteria(rids=rids))}
    with tempfile.TemporaryDirectory() as folder:
        fetched = FetchedFiles(source, Path(folder))
        runs = [_Run.of(record, summaries.get(record.rid), source, fetched) for record in records]
        sections = {
            name: [found for facts_of in parts for found in _differing(runs, facts_of)]
            for name, parts in FACTS.items()
        }
        sections["inputs"] += _inputs(runs)
        sections["outputs"] = _outputs(runs, fetched)
        _note_differences(sections["metrics"], runs[0].rid)
    sources: list[SourceDiff | None] = []
    if repository is not None:
        first, *others = [
            Code.of(run.rid, run.provenance, [patch.filename for patch in run.described(*PATCHES)])
            for run in runs
        ]
        sources = [source_diff(repository, first, other) for other in others]
    return Comparison(
        records,
        {name: found for name, found in sections.items() if found},
        [found for found in sources if found],
        fetched.warnings,
    )


# A record as it is compared


@dataclass(frozen=True)
class _Run:
    """An execution with all that is compared; None for what is not there, or cannot be read."""

    record: ExecutionRecord
    summary: Summary | None
    sweeps: list[RID]
    assets: list[Asset]
    datasets: list[Dataset]
    configuration: dict[str, Any] | None
    environment: dict[str, Any] | None
    hydra: dict[str, Any] | None

    @classmethod
    def of(
        cls, record: ExecutionRecord, summary: Summary | None, source: Source, fetched: FetchedFiles
    ) -> _Run:
        assets = source.assets_of(record.rid)
        read = {CONFIGURATION: read_configuration, ENVIRONMENT: read_json, HYDRA: read_yaml}
        told = [asset for asset in assets if _describes(asset) and asset.filename in read]
        fetched.fetch(record.rid, told)
        contents: dict[str, dict[str, Any]] = {}
        for asset in sorted(told, key=by_age):  # the last one says how it ended
            if path := fetched.path(asset):
                try:
                    content = read[asset.filename](path)
                    if not isinstance(content, dict):
                        raise ValueError("it is no mapping")
                    contents[asset.filename] = content
                except (OSError, *DAMAGED) as error:
                    fetched.leave_out(record.rid, asset, error)
        return cls(
            record,
            summary,
            source.list_execution_parents(record.rid),
            assets,
            source.datasets_of(record.rid),
            *map(contents.get, read),
        )

    @property
    def rid(self) -> RID:
        return self.record.rid

    @property
    def provenance(self) -> dict[str, Any]:
        return dict((self.configuration or {}).get("provenance", {}))

    def described(self, *names: str) -> list[Asset]:
        """Return the files that describe it and have one of these names."""
        return [asset for asset in self.assets if _describes(asset) and asset.filename in names]


def _describes(asset: Asset) -> bool:
    own = asset.role is AssetRole.output and asset.table == MLAsset.execution_metadata
    return own and asset.filename in DESCRIBING


# Facts

Facts = Mapping[str, Any]


def _differing(runs: Sequence[_Run], facts_of: Callable[[_Run], Facts | None]) -> list[Difference]:
    """Return the facts that differ among the executions of which they are known (those that are not ``None``)."""
    known = {run.rid: facts for run in runs if (facts := facts_of(run)) is not None}
    names = dict.fromkeys(name for facts in known.values() for name in facts)
    if facts_of is _packages:  # of which there are many
        names = dict.fromkeys(sorted(names))
    found = []
    for name in names:
        values = {rid: facts[name] for rid, facts in known.items() if name in facts}
        if len(values) < len(known) or len(set(map(_written, values.values()))) > 1:
            found.append(Difference(name, values))
    return found


def _written(value: Any) -> str:
    """Return a value as a text that tells it from every other: NaN is one value, 1 and True are two."""
    return json.dumps(value, sort_keys=True, default=str)


def _said(**facts: Any) -> Facts:
    """Return the facts that say something, by name."""
    return {name.replace("_", " "): value for name, value in facts.items() if value not in (None, "", {}, [])}


def _starter(run: _Run) -> Facts | None:  # older runners recorded neither this nor the command
    return _said(started_by=run.record.started_by or (run.configuration or {}).get("started_by")) or None


def _command(run: _Run) -> Facts | None:
    return _said(command=shlex.join((run.configuration or {}).get("argv", ()))) or None


def _purpose(run: _Run) -> Facts:
    record = run.record
    return _said(user=record.created_by, part_of=", ".join(run.sweeps), description=record.description)


def _workflow(run: _Run) -> Facts:
    workflow = run.record.workflow
    return _said(workflow=workflow.name, version=run.provenance.get("version") or workflow.version)


def _provenance(run: _Run) -> Facts | None:
    told = run.provenance
    # That there are uncommitted changes is told as such.
    others = [one for one in told.get("differences", ()) if not one.startswith("uncommitted changes")]
    facts = _said(
        **{name: told.get(name) for name in ("path", "commit", "checksum")}, what_ran="; ".join(others)
    )
    return {**facts, "uncommitted changes": bool(told.get("dirty"))} if told else None


def _patches(run: _Run) -> Facts | None:  # whether there is one at all, has been said
    return {one.filename: one.md5 for one in run.described(*PATCHES)} or None


def _parameters(run: _Run) -> Facts | None:
    if run.configuration is None:  # what was kept of it
        return (run.summary and run.summary.parameters) or None
    return parameters_of(run.configuration)


def _choices(run: _Run) -> Facts | None:
    if run.configuration is None:
        return (run.summary and run.summary.choices) or None
    return choices_of(run.configuration)


def _overrides(run: _Run) -> Facts | None:
    return None if run.configuration is None else {"overrides": run.configuration["overrides"]}


def _composed(run: _Run) -> Facts | None:
    told = {*TOLD_ELSEWHERE, *(_parameters(run) or ())}
    parts = None if run.hydra is None else {key: run.hydra[key] for key in run.hydra if key not in told}
    # Where the runner has a class of its own says nothing of a run.
    return parts and {
        name: value
        for name, value in flat(parts)
        if not (name.endswith("._target_") and str(value).startswith("deriva_ml."))
    }


def _datasets(run: _Run) -> Facts:
    return {f"dataset {one.name or one.rid}": one.version for one in run.datasets}


def _machine(run: _Run) -> Facts | None:
    told = run.environment
    if told is None:
        return None
    python, platform, variables = (
        as_mapping(told.get(name)) for name in ("python", "platform", "environment")
    )
    facts = _said(
        Python=f"{python.get('implementation', '')} {python.get('version', '')}".strip(),
        platform=platform.get("description"),
        machine=platform.get("machine"),
        CPUs=told.get("usable_cpus", told.get("cpus")),
        memory=told.get("memory"),
        GPUs=told.get("gpus"),
        kernel=told.get("kernel"),
    )
    return {**facts, **{f"${name}": value for name, value in variables.items()}}


def _packages(run: _Run) -> Facts | None:
    if run.environment is None:
        return None
    # A release may spell its name otherwise than the one before.
    found = as_mapping(run.environment.get("packages")).items()
    return {normalized_name(name): version for name, version in found}


def _lock(run: _Run) -> Facts | None:
    return {one.filename: one.md5 for one in run.described(LOCK)} or None


def _end(run: _Run) -> Facts:
    return _said(status=run.record.status.value, reason=run.record.status_detail)


def _last_metrics(run: _Run) -> Facts | None:
    metrics = run.summary.metrics if run.summary else None
    return None if metrics is None else {name: metric.last for name, metric in metrics.items()}


FACTS: dict[str, tuple[Callable[[_Run], Facts | None], ...]] = {
    "started": (_starter, _command, _purpose),
    "code": (_workflow, _provenance, _patches),
    "parameters": (_parameters,),
    "configuration": (_choices, _overrides, _composed),
    "inputs": (_datasets,),
    "packages": (_machine, _packages, _lock),
    "end": (_end,),
    "metrics": (_last_metrics,),
}
"""What each section compares, in the order in which it is told."""


def _note_differences(found: Sequence[Difference], first: RID) -> None:
    """Note how much more the metrics of each execution are than those of the first."""
    for one in found:
        for rid, value in one.values.items():
            if rid != first and _is_finite(one.values.get(first)) and _is_finite(value):
                one.differences[rid] = value - one.values[first]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Files


def _inputs(runs: Sequence[_Run]) -> list[Difference]:
    read = {run.rid: [one for one in run.assets if one.role is AssetRole.input] for run in runs}
    return [_of_files(name, row, runs) for name, row in differing_files(read, digest)]


def _outputs(runs: Sequence[_Run], fetched: FetchedFiles) -> list[Difference]:
    made = {
        run.rid: [one for one in run.assets if one.role is AssetRole.output and not _describes(one)]
        for run in runs
    }
    named = list(differing_files(made, lambda one: (one.filename, digest(one))))
    rows, first = [row for _, row in named], runs[0].rid
    found, notebooks = [], set[str]()
    for (name, row), lines in zip(named, compare_lines(rows, first, fetched), strict=True):
        if name.endswith(".ipynb") and lines:
            notebooks.add(name)
        elif f"{name.removesuffix('.md')}.ipynb" in notebooks:  # its Markdown would say the same once more
            lines = []
        others = [rid for rid in row if first in row and digest(row[rid]) != digest(row[first])]
        if len(row) < len(runs) or len(others) > sum(one.note == SAME_CELLS for one in lines):
            found.append(_of_files(name, row, runs, lines))
    return found


def _of_files(
    name: str, row: Mapping[RID, Asset], runs: Sequence[_Run], lines: Sequence[FileLines] = ()
) -> Difference:
    values = {
        rid: {"RID": one.rid, "table": one.table, "MD5": one.md5, "bytes": one.length}
        for rid, one in row.items()
    }
    change = "other content" if len(row) == len(runs) else "removed" if runs[0].rid in row else "added"
    return Difference(name, values, change=change, lines=lines)
