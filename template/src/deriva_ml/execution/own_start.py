"""Records how an execution came about that no command started, and the environment of any that its own process records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deriva_ml.definitions import ExecMetadataType, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import shell
from deriva_ml.terminal import warn

if TYPE_CHECKING:
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.provenance import Provenance

UNKNOWN_CODE = "the code that ran is in no file of this project, as far as is known"


def record_environment(execution: Execution, version: str) -> None:
    """Record the machine and the software of this process, and the project's lock file; warn of what that lacks.

    Args:
        version: the project's own, as the record has it.
    """
    from deriva_ml.execution.locked import describe, shown_lock, warnings_of

    environment = describe(execution.ml.project, version)
    for line in () if execution.dry_run else warnings_of(environment):
        warn(line)
    text = json.dumps(environment, indent=2, ensure_ascii=False)
    execution.add_metadata("environment.json", text, ExecMetadataType.runtime_env)
    with suppress(OSError):  # there is none
        lock = shown_lock(execution.ml.project)
        execution.asset_file_path(
            MLAsset.execution_metadata, "uv.lock", ExecMetadataType.execution_config
        ).write_bytes(lock)


def record_start(
    execution: Execution, provenance: Provenance, hydra_config: str, known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Record provenance, configuration and environment of an execution; warn of what they lack.

    Args:
        hydra_config: the composed configuration as YAML.
        known: what is known better than by ``provenance``.

    Returns:
        What `configuration.json` holds.
    """
    for line in () if execution.dry_run else provenance.warnings:
        warn(line)
    record = execution.record_circumstances({**provenance.to_json(), **(known or {})}, hydra_config)
    record_environment(execution, provenance.version)
    return record


def record_own_start(
    execution: Execution, known: dict[str, Any] | None = None, hydra_config: str = ""
) -> None:
    """Record provenance, configuration and environment, and from now on what the kernel executes, if cells run here.

    Args:
        known: the provenance of what runs, as JSON types; by default it is asked for, and may be unknown.
        hydra_config: the composed configuration as YAML.
    """
    from deriva_ml.execution.current_code import current_provenance
    from deriva_ml.execution.executed_sources import begin
    from deriva_ml.execution.provenance import UNCOMMITTED, Provenance

    reasons: dict[str, Any] = {}
    try:
        provenance = Provenance.from_json(known) if known else current_provenance(execution.ml.project)
    except DerivaMLRequestError as error:
        # No repository: the workflow that the execution was given says what it is.
        provenance = Provenance("", "", "", "", "", dirty=True, diff="", warnings=())
        reasons = {"differences": [str(error)]}
    if not (reasons or provenance.path or shell()):  # cells are compared at the end
        lines = [UNCOMMITTED, UNKNOWN_CODE] if provenance.dirty else [UNKNOWN_CODE]
        reasons = {"dirty": True, "differences": lines}
    record = record_start(execution, provenance, hydra_config, reasons)
    if not execution.dry_run:
        begin(execution.working_dir, execution.ml.project, record)
