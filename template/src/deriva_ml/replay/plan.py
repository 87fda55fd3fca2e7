"""What a recorded execution needs to be run again, as its record says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from deriva_ml.catalog.protocol import Source
from deriva_ml.configuration_file import CONFIGURATION, MODEL_COMMAND, NOTEBOOK_COMMAND, read_configuration
from deriva_ml.definitions import (
    OPEN_STATUSES,
    RID,
    Asset,
    AssetRole,
    Dataset,
    ExecAssetType,
    ExecMetadataType,
    ExecutionRecord,
    MLAsset,
    Status,
    by_age,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.executed_sources import NAME as EXECUTED_SOURCES
from deriva_ml.execution.started import OTHER, SCRIPT
from deriva_ml.records.comparison import DESCRIBING, ENVIRONMENT
from deriva_ml.redaction import HIDDEN
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.untrusted import DAMAGED, as_mapping, check_relative, read_json

RESULTS = frozenset({ExecMetadataType.metrics_file, ExecMetadataType.dataset_manifest})
OWN_METADATA = frozenset({*ExecMetadataType} - RESULTS)
"""Types of metadata files that are results of a run, and of those that the runner writes about it."""


class Kind(StrEnum):
    """What was executed."""

    notebook = "notebook"
    model = "model"
    interactive = "interactive"
    script = "script"


@dataclass(frozen=True)
class Plan:
    """A recorded execution, and what it needs.

    Attributes:
        commit: full id.
        patch: what was not committed, as it is recorded.
        path: of the code, relative to the repository's top; empty where that is not known.
        parameters: values that were given for parameters, by name, in JSON's types.
        flags: values that were given by ``-p``, as they were typed; they are among the parameters.
        overrides: Hydra's.
        options: further words of the command line that matter for what it does, such as ``--config-name``.
        sources: the notebook that an interactive kernel executed.
        configuration, environment: what ``configuration.json`` and ``environment.json`` say.
        lock: the content of ``uv.lock``; empty where there is none.
        inputs, datasets: what it read.
        outputs: what it made, without what the runner writes about a run.
        record: as it is in the catalog.
    """

    kind: Kind
    record: ExecutionRecord
    commit: str
    patch: bytes
    path: str
    parameters: Mapping[str, Any]
    flags: Sequence[tuple[str, str]]
    overrides: Sequence[str]
    options: Sequence[str]
    sources: bytes
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any]
    lock: bytes
    inputs: Sequence[Asset] = ()
    datasets: Sequence[Dataset] = ()
    outputs: Sequence[Asset] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def rid(self) -> RID:
        """The execution's."""
        return self.record.rid

    @property
    def was_delivered(self) -> bool:
        """Whether what it made had RIDs of another catalog while it ran: its workflow tells, which is recorded with it."""
        workflow = self.configuration.get("workflow")
        known = workflow.get("rid") if isinstance(workflow, dict) else None
        return bool(known) and known != self.record.workflow.rid

    @property
    def python(self) -> str:
        """The version of Python that ran it; empty where that is not known."""
        return python_of(self.environment)

    @property
    def variables(self) -> dict[str, str]:
        """The recorded environment variables."""
        return {
            str(name): str(value) for name, value in as_mapping(self.environment.get("environment")).items()
        }


def python_of(environment: Mapping[str, Any]) -> str:
    """Return the version of Python by what ``environment.json`` says; empty where it does not."""
    return str(as_mapping(environment.get("python")).get("version", ""))


def platform_of(environment: Mapping[str, Any]) -> str:
    """Return what ``environment.json`` says of the platform, in short."""
    return str(as_mapping(environment.get("platform")).get("description", ""))


def jobs_of(source: Source, rid: RID) -> list[RID]:
    """Return the executions of a sweep, in order; none if it is not one.

    Raises:
        CouldNotRun: it is a sweep that has none.
    """
    record = source.lookup_execution(rid)
    jobs = source.list_execution_children(rid)
    if record.workflow.url.rpartition("/")[2].rpartition(":")[2] != "pyproject.toml":
        return []  # a run that has others below it all the same
    if not jobs:
        raise CouldNotRun("it is a sweep without any run")
    return jobs


def read_plan(source: Source, rid: RID, folder: Path) -> Plan:
    """Read from a record what it needs to be run again.

    Args:
        folder: where the files of the record that say it are put.

    Raises:
        CouldNotRun: the record does not say all of it; the message names what is missing.
        DerivaMLRequestError: there is no such execution, or it has not ended.
    """
    record = source.lookup_execution(rid)
    if record.status in OPEN_STATUSES:
        raise DerivaMLRequestError(f"execution {rid} has not ended: replay it once it has")
    if record.status is Status.aborted:
        raise CouldNotRun("it was interrupted, and came to no end that could be repeated")
    assets = source.assets_of(rid)
    files = _Files(source, [one for one in assets if _describes(one)], folder)
    configuration = files.configuration()
    told = configuration.get("provenance", {})
    path = str(told.get("path") or "")
    argv = configuration["argv"]
    kind = _kind(record, configuration, files)
    plan = Plan(
        kind=kind,
        record=record,
        commit=str(told.get("commit") or ""),
        patch=files.content("uncommitted.diff"),
        path="" if path == "not known" else _relative(path),
        parameters=_given(kind, configuration),
        flags=[*_flags(argv)] if kind is Kind.notebook else [],
        overrides=[word for word in configuration["overrides"] if not word.startswith("deriva_ml.offline=")],
        options=_options(kind, argv),
        sources=files.content(EXECUTED_SOURCES) if kind is Kind.interactive else b"",
        configuration=configuration,
        environment=files.environment(),
        lock=files.content("uv.lock"),
        inputs=[one for one in assets if one.role is AssetRole.input],
        datasets=source.datasets_of(rid),
        outputs=[one for one in assets if is_result(one, kind)],
    )
    _check_complete(plan)
    if kernel := plan.environment.get("kernel"):
        plan.notes.append(f"it was run by the installed kernel {kernel}, whose packages are not recorded")
    return plan


def is_result(asset: Asset, kind: Kind) -> bool:
    """Whether a file is a result of an execution that is compared.

    What the runner says about a run is none. The Markdown of an executed notebook is compared with that. An interactive
    run has none recorded.
    """
    if asset.role is not AssetRole.output:
        return False
    if asset.table == MLAsset.execution_metadata and RESULTS.isdisjoint(asset.types):
        # Of which type they are has changed since version 0.1.0.
        if asset.filename in DESCRIBING or not OWN_METADATA.isdisjoint(asset.types):
            return False
    own = is_executed_notebook(asset)
    return not own or (kind is not Kind.interactive and asset.filename.endswith(".ipynb"))


def is_executed_notebook(asset: Asset) -> bool:
    """Whether a file is a notebook as the runner executed it, or its Markdown."""
    return asset.table == MLAsset.execution_asset and ExecAssetType.notebook_output in asset.types


def _describes(asset: Asset) -> bool:
    return asset.role is AssetRole.output and asset.table == MLAsset.execution_metadata


class _Files:
    """The files that describe an execution."""

    def __init__(self, source: Source, assets: Sequence[Asset], folder: Path) -> None:
        self._source, self._folder = source, folder
        # Of several with one name the last one says how it ended.
        self._assets = {one.filename: one for one in sorted(assets, key=by_age)}

    def has(self, name: str) -> bool:
        return name in self._assets

    def path(self, name: str) -> Path | None:
        """Return where a file is now; None if there is none.

        Raises:
            CouldNotRun: its content is not there any more.
        """
        if name not in self._assets:
            return None
        path = self._folder / name
        if not path.exists():
            try:
                self._source.fetch(self._assets[name], path)
            except (OSError, DerivaMLException) as error:
                raise CouldNotRun(f"{name} of the record cannot be read: {error}") from error
        return path

    def content(self, name: str) -> bytes:
        path = self.path(name)
        return path.read_bytes() if path else b""

    def configuration(self) -> dict[str, Any]:
        if not self.has(CONFIGURATION):
            raise CouldNotRun(f"its record has no {CONFIGURATION}, which says how it was run")
        path = self.path(CONFIGURATION)
        try:
            return read_configuration(path) if path else {}
        except (OSError, *DAMAGED) as error:
            raise CouldNotRun(f"{CONFIGURATION} of the record is damaged: {error}") from error

    def environment(self) -> Mapping[str, Any]:
        try:
            path = self.path(ENVIRONMENT)
            found = read_json(path) if path else {}
        except (OSError, *DAMAGED) as error:
            raise CouldNotRun(f"{ENVIRONMENT} of the record is damaged: {error}") from error
        return as_mapping(found)


def _relative(path: str) -> str:
    if not path:
        return ""
    try:
        return check_relative(path)
    except DAMAGED as error:
        raise CouldNotRun(f"the code's path {path!r} in its record leads out of the repository") from error


def _kind(record: ExecutionRecord, configuration: Mapping[str, Any], files: _Files) -> Kind:
    """Return what was executed, by what started it; records of version 0.1.0 say that by the command line only.

    Raises:
        CouldNotRun: it is nothing that can be started again.
    """
    words = [Path(word).name for word in configuration["argv"][:1]]
    by = record.started_by or str(configuration.get("started_by") or "") or "".join(words) or OTHER
    path = str(configuration.get("provenance", {}).get("path") or "")
    if by == NOTEBOOK_COMMAND:
        return Kind.notebook
    if by == MODEL_COMMAND:
        return Kind.model
    if files.has(EXECUTED_SOURCES):
        return Kind.interactive
    if by == SCRIPT and path.endswith(".py"):
        return Kind.script
    if by.startswith("deriva-ml-") or by == "create-demo-catalog":
        raise CouldNotRun(f"it was {by}, which runs no code of the project")
    raise CouldNotRun(f"it was started by {by}, and its record has not what ran")


def _given(kind: Kind, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are to be given: what was executed in an interactive kernel sets its own.

    Records from before given ones were told from the others have those only.
    """
    given = configuration.get("parameters_given", configuration.get("parameters", {}))
    return dict(given) if kind is Kind.notebook else {}


def _flags(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(argv[1:])
    for word in words:
        if word in {"-p", "--parameter"}:
            yield next(words, ""), next(words, "")


_OPTIONS: Mapping[Kind, Mapping[str, str]] = {
    Kind.notebook: {"--timeout": "--timeout"},
    Kind.model: {"--config-name": "--config-name", "-c": "--config-dir", "--config-dir": "--config-dir"},
}
"""Flags with a value that a run is repeated with, by how they may be typed."""


def _options(kind: Kind, argv: Sequence[str]) -> list[str]:
    if kind is Kind.script:
        return list(argv[1:])
    found = []
    for word, after in zip(argv[1:], [*argv[2:], ""], strict=False):
        name, equals, value = word.partition("=")
        if flag := _OPTIONS.get(kind, {}).get(name):
            found.append(f"{flag}={value if equals else after}")
    return found


def _check_complete(plan: Plan) -> None:
    """See that the record has values for all that was given.

    Raises:
        CouldNotRun: it has not.
    """
    for name, value in plan.parameters.items():
        if HIDDEN in str(value):
            raise CouldNotRun(
                f"the value of the parameter {name} is a credential, which its record does not have"
            )
    for override in plan.overrides:
        if override.startswith("-"):  # it would be a flag of the command
            raise CouldNotRun(f"{override} in its record is no override")
        if HIDDEN in override:
            raise CouldNotRun(
                f"the override {override} was given a credential, which its record does not have"
            )
    if not plan.path and plan.kind is not Kind.interactive:
        raise CouldNotRun("its record does not say which file ran")


def declared(plan: Plan, name: str) -> list[Any]:
    """Return what the configuration says under ``datasets`` or ``assets``."""
    found = plan.configuration.get(name)
    return found if isinstance(found, list) else []
