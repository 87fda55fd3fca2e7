"""What executions differ in: how each was started, its code, what it was given, and what it came to."""

from __future__ import annotations

import json
import math
import re
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
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, ExecutionRecord, MLAsset
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
from deriva_ml.untrusted import DAMAGED, read_json

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
        """Return it in types that every reader of JSON knows: what is no finite number is a text."""
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
        return dict(json.loads(json.dumps(found, default=str), parse_constant=str))


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
            "started": _started(runs),
            "code": _code(runs),
            "parameters": _differing(runs, _parameters),
            "configuration": _configuration(runs),
            "inputs": _inputs(runs),
            "packages": _packages(runs),
            "end": _differing(runs, _end),
            "metrics": _metrics(runs),
            "outputs": _outputs(runs, fetched),
        }
    sources: list[SourceDiff | None] = []
    if repository is not None:
        first, *others = [
            Code.of(run.rid, run.provenance, [patch.filename for patch in run.patches]) for run in runs
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
        read = {CONFIGURATION: read_configuration, ENVIRONMENT: read_json, HYDRA: _read_yaml}
        told = [asset for asset in assets if _describes(asset) and asset.filename in read]
        fetched.fetch(record.rid, told)
        contents: dict[str, dict[str, Any]] = {}
        for asset in sorted(told, key=lambda one: (len(one.rid), one.rid)):  # the last one says how it ended
            if path := fetched.path(asset):
                try:
                    content = read[asset.filename](path)
                    if not isinstance(content, dict):
                        raise ValueError("it is no mapping")
                    contents[asset.filename] = content
                except (OSError, *DAMAGED) as error:
                    fetched.warn(record.rid, asset, error)
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

    @property
    def patches(self) -> list[Asset]:
        return [asset for asset in self.assets if _describes(asset) and asset.filename in PATCHES]


def _describes(asset: Asset) -> bool:
    own = asset.role is AssetRole.output and asset.table == MLAsset.execution_metadata
    return own and asset.filename in DESCRIBING


def _read_yaml(path: Path) -> Any:
    import yaml  # not at the top: few commands need it

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError("it is no YAML") from error


# Facts

Facts = Mapping[str, Any]


def _differing(runs: Sequence[_Run], facts_of: Callable[[_Run], Facts | None]) -> list[Difference]:
    """Return the facts that differ among the executions of which they are known (those that are not ``None``)."""
    known = {run.rid: facts for run in runs if (facts := facts_of(run)) is not None}
    names = dict.fromkeys(name for facts in known.values() for name in facts)
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


def _mapping(content: Facts, name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _started(runs: Sequence[_Run]) -> list[Difference]:
    def recorded(run: _Run) -> Facts:
        record = run.record
        return _said(
            user=record.created_by,
            part_of=", ".join(run.sweeps),
            description=record.description,
        )

    # Older runners recorded neither of these.
    def starter(run: _Run) -> Facts | None:
        return _said(started_by=run.record.started_by or (run.configuration or {}).get("started_by")) or None

    def command(run: _Run) -> Facts | None:
        return _said(command=shlex.join((run.configuration or {}).get("argv", ()))) or None

    return [*_differing(runs, starter), *_differing(runs, command), *_differing(runs, recorded)]


def _code(runs: Sequence[_Run]) -> list[Difference]:
    def recorded(run: _Run) -> Facts:
        workflow = run.record.workflow
        return _said(workflow=workflow.name, version=run.provenance.get("version") or workflow.version)

    def provenance(run: _Run) -> Facts | None:
        told = run.provenance
        facts = _said(
            path=told.get("path"),
            commit=told.get("commit"),
            checksum=told.get("checksum"),
            what_ran="; ".join(line for line in told.get("differences", ()) if not _is_patch(line)),
        )
        return {**facts, "uncommitted changes": bool(told.get("dirty"))} if told else None

    def patches(run: _Run) -> Facts | None:  # whether there is one at all, has been said
        return {one.filename: one.md5 for one in run.patches} or None

    return [*_differing(runs, recorded), *_differing(runs, provenance), *_differing(runs, patches)]


def _is_patch(difference: str) -> bool:
    """Whether it says no more than that there are uncommitted changes, which is told as such."""
    return difference.startswith("uncommitted changes")


def _parameters(run: _Run) -> Facts | None:
    if run.configuration is None:  # what was kept of it
        return (run.summary and run.summary.parameters) or None
    return parameters_of(run.configuration)


def _configuration(runs: Sequence[_Run]) -> list[Difference]:
    def choices(run: _Run) -> Facts | None:
        if run.configuration is None:
            return (run.summary and run.summary.choices) or None
        return choices_of(run.configuration)

    def overrides(run: _Run) -> Facts | None:
        return None if run.configuration is None else {"overrides": run.configuration["overrides"]}

    def composed(run: _Run) -> Facts | None:
        told = {*TOLD_ELSEWHERE, *(_parameters(run) or ())}
        parts = None if run.hydra is None else {key: run.hydra[key] for key in run.hydra if key not in told}
        # Where the runner has a class of its own says nothing of a run.
        return parts and {
            name: value
            for name, value in flat(parts)
            if not (name.endswith("._target_") and str(value).startswith("deriva_ml."))
        }

    return [*_differing(runs, choices), *_differing(runs, overrides), *_differing(runs, composed)]


def _packages(runs: Sequence[_Run]) -> list[Difference]:
    def machine(run: _Run) -> Facts | None:
        told = run.environment
        if told is None:
            return None
        python, platform = _mapping(told, "python"), _mapping(told, "platform")
        facts = _said(
            Python=f"{python.get('implementation', '')} {python.get('version', '')}".strip(),
            platform=platform.get("description"),
            machine=platform.get("machine"),
            CPUs=told.get("usable_cpus", told.get("cpus")),
            memory=told.get("memory"),
            GPUs=told.get("gpus"),
            kernel=told.get("kernel"),
        )
        return {**facts, **{f"${name}": value for name, value in _mapping(told, "environment").items()}}

    def packages(run: _Run) -> Facts | None:
        if run.environment is None:
            return None
        # As PEP 503 has them: a release may spell its name otherwise than the one before.
        found = _mapping(run.environment, "packages").items()
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}

    def lock(run: _Run) -> Facts | None:
        locks = [one for one in run.assets if _describes(one) and one.filename == LOCK]
        return {one.filename: one.md5 for one in locks} or None

    by_name = sorted(_differing(runs, packages), key=lambda one: one.name)
    return [*_differing(runs, machine), *by_name, *_differing(runs, lock)]


def _end(run: _Run) -> Facts:
    return _said(status=run.record.status.value, reason=run.record.status_detail)


def _metrics(runs: Sequence[_Run]) -> list[Difference]:
    def last(run: _Run) -> Facts | None:
        metrics = run.summary.metrics if run.summary else None
        return None if metrics is None else {name: metric.last for name, metric in metrics.items()}

    found, first = _differing(runs, last), runs[0].rid
    for one in found:
        for rid, value in one.values.items():
            if rid != first and _is_finite(one.values.get(first)) and _is_finite(value):
                one.differences[rid] = value - one.values[first]
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Files


def _inputs(runs: Sequence[_Run]) -> list[Difference]:
    read = {run.rid: [one for one in run.assets if one.role is AssetRole.input] for run in runs}
    files = [_of_files(name, row, runs) for name, row in differing_files(read, digest)]
    return [
        *_differing(runs, lambda run: {f"dataset {one.rid}": one.version for one in run.datasets}),
        *files,
    ]


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
