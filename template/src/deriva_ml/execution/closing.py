"""Ends an execution: adds the files that belong to it, records everything staged, sets its last status."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, Status
from deriva_ml.project import Project
from deriva_ml.records import StagedAsset

DETAIL_LIMIT = 2000
"""Characters of a reason that are kept: an exception's text can be a whole array."""


@dataclass(frozen=True)
class Output:
    """A file of the runner's own that belongs to an execution's record."""

    path: Path
    table: MLAsset
    kind: ExecAssetType | ExecMetadataType
    name: str = ""


def close_execution(
    catalog: Catalog,
    project: Project,
    rid: RID,
    status: Status,
    detail: str = "",
    outputs: Sequence[Output] = (),
) -> Status:
    """Record ``outputs`` and whatever the execution staged, then end it with ``status`` and ``detail``.

    An execution that would have succeeded, but registered a file that it never wrote, ends as ``Failed``.

    Returns:
        The status that it ended with.
    """
    folder = project.executions / rid
    for output in outputs:
        if output.path.is_file():
            name = output.name or output.path.name
            staged = catalog.stage(rid, output.table.value, name, folder / "assets", [output.kind.value])
            shutil.copyfile(output.path, staged.path)
    _, missing = catalog.commit(rid)
    if missing:
        detail = "; ".join(filter(None, [detail, describe_missing(missing)]))
        status = Status.failed if status is Status.uploaded else status
    catalog.update_execution(rid, status, detail[:DETAIL_LIMIT])
    remove_folder(folder)
    return status


def describe_missing(missing: Sequence[StagedAsset]) -> str:
    """Say which registered files were never written, and what to do about it."""
    names = ", ".join(f"{item.filename} ({item.table})" for item in missing)
    return f"registered but never written: {names}; write to the path that asset_file_path() returns"


def remove_folder(folder: Path) -> None:
    """Remove a working folder, inputs too, which are read-only."""
    for path in folder.glob("**/"):
        path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
