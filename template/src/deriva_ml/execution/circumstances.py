"""Records how an execution came about that no command started, and the environment of any that its own process records."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from deriva_ml.definitions import ExecMetadataType, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError

if TYPE_CHECKING:
    from deriva_ml.execution.execution import Execution


def record_environment(execution: Execution) -> None:
    """Record the machine and the software of this process, and the project's lock file."""
    from deriva_ml.execution.environment import snapshot

    text = json.dumps(snapshot(), indent=2, ensure_ascii=False)
    execution.add_metadata("environment.json", text, ExecMetadataType.runtime_env)
    lock = execution.ml.project.root / "uv.lock"
    if lock.is_file():
        execution.asset_file_path(
            MLAsset.execution_metadata, lock, ExecMetadataType.lock_file, copy_file=True
        )


def record_own_start(
    execution: Execution, provenance: dict[str, Any] | None = None, hydra_config: str = ""
) -> None:
    """Record provenance, configuration and environment, and from now on what the kernel executes, if cells run here.

    Args:
        provenance: of what runs, as JSON types; by default it is asked for, and may be unknown.
        hydra_config: the composed configuration as YAML.
    """
    from deriva_ml.execution.executed_sources import begin

    provenance = provenance or _provenance(execution)
    for line in provenance["warnings"]:
        print(f"warning: {line}", file=sys.stderr)
    record = execution.record_circumstances(provenance, hydra_config)
    record_environment(execution)
    if not execution.dry_run:
        begin(execution.working_dir, execution.ml.project, record)


def _provenance(execution: Execution) -> dict[str, Any]:
    from deriva_ml.execution.provenance import Provenance, current_provenance

    try:
        return current_provenance(execution.ml.project).to_json()
    except (
        DerivaMLRequestError
    ) as error:  # there is no repository: the execution's workflow is not asked for by it
        unknown = Provenance("", "", "", "", "", dirty=True, diff="", warnings=())
        return {**unknown.to_json(), "differences": [str(error)]}
