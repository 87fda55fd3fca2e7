"""Records executions with the files that a run leaves, without running anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Asset, AssetRole, Status, Workflow
from deriva_ml.process import Owner

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROVENANCE = {
    "version": "0.1.0",
    "commit": COMMIT,
    "path": "src/models/digits.py",
    "checksum": "c0ffee",
    "dirty": False,
    "differences": [],
}
METADATA = {
    "configuration.json": "Deriva_Config",
    "environment.json": "Runtime_Env",
    "hydra-config.yaml": "Hydra_Config",
    "uv.lock": "Execution_Config",
    "uncommitted.diff": "Source_Diff",
    "metrics.jsonl": "Metrics_File",
}
"""The files that describe a run, and their types."""


def configuration(
    provenance: Mapping[str, Any] | None = None, started_by: str = "deriva-ml-run-notebook", **parts: Any
) -> str:
    """What `configuration.json` says."""
    return json.dumps(
        {
            "started_by": started_by,
            "argv": [started_by],
            "parameters": {},
            "config_choices": {},
            "overrides": [],
            "provenance": {**PROVENANCE, **(provenance or {})},
            **parts,
        }
    )


def environment(packages: Mapping[str, str], python: str = "3.12.1", **parts: Any) -> str:
    """What `environment.json` says."""
    return json.dumps(
        {
            "python": {"version": python, "implementation": "CPython"},
            "platform": {"description": "Linux-6.1-x86_64", "machine": "x86_64"},
            "packages": packages,
            "environment": {},
            **parts,
        }
    )


def run(
    catalog: EmbeddedCatalog,
    files: Mapping[str, str | bytes] | None = None,
    inputs: Sequence[Asset] = (),
    description: str = "a run",
    status: Status = Status.uploaded,
    detail: str = "",
    **given: Any,
) -> RID:
    """A recorded execution.

    Args:
        files: its outputs by name; those that describe a run as such. A configuration by default.
        given: parts of the configuration.
    """
    workflow = Workflow("Digits", "Training", url="git:abc:x.py", checksum="abc", version="0.1.0")
    started_by = given.get("started_by", "deriva-ml-run-notebook")
    rid = catalog.add_execution(workflow, description, Owner.of(), started_by=started_by)
    for name, content in {"configuration.json": configuration(**given), **(files or {})}.items():
        if content:
            table = "Execution_Metadata" if name in METADATA else "Execution_Asset"
            types = [METADATA.get(name, "Output_File")]
            # Two outputs of one name are told apart by what follows a slash.
            item = catalog.stage(rid, table, name.partition("/")[0], catalog.folder_of(rid), types)
            item.path.write_bytes(content if isinstance(content, bytes) else content.encode())
    catalog.commit(rid)
    for asset in inputs:
        catalog.link_asset(rid, asset, AssetRole.input)
    catalog.update_execution(rid, status, detail)
    return rid


def notebook(*cells: str, output: str = "", time: str = "12:00") -> str:
    """A notebook's file as a run leaves it: each cell has an output, and the time when it ran."""
    made = [
        {
            "cell_type": "code",
            "execution_count": number,
            "metadata": {"papermill": {"start_time": time}},
            "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else [],
            "source": cell.splitlines(keepends=True),
        }
        for number, cell in enumerate(cells, start=1)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"time": time}, "cells": made})
