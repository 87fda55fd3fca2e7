"""Starts executions in a person's own Python, and looks at what they recorded."""

from __future__ import annotations

from pathlib import Path

from deriva_ml import DerivaML
from deriva_ml.definitions import Asset, Workflow
from deriva_ml.execution import Execution, ExecutionConfiguration


def start(ml: DerivaML, dry_run: bool = False, **inputs: object) -> Execution:
    workflow = Workflow("Test", "Training", url="git:abc:x.py", checksum="abc")
    execution = ml.create_execution(ExecutionConfiguration(description="a test", **inputs), workflow, dry_run)  # type: ignore[arg-type]
    execution.execution_start()
    return execution


def outputs(ml: DerivaML, execution: Execution) -> dict[str, tuple[Asset, bytes]]:
    """The recorded outputs and what they hold, by name."""
    found = [asset for asset in ml.catalog.assets_of(execution.execution_rid) if asset.role == "Output"]
    return {asset.filename: (asset, Path(ml.catalog.locate(asset)).read_bytes()) for asset in found}
