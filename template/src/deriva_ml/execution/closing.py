"""Ends executions: adds the files that belong to one and sets its last status; closes orphans likewise."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, StagedAsset, Status
from deriva_ml.execution.notebook_run import NotebookRun
from deriva_ml.process import Owner
from deriva_ml.project import Project

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


REASON = "the process that ran it ended without recording its end"


def recover(catalog: Catalog, project: Project) -> list[RID]:
    """Close every orphan as ``Aborted``, say so on stderr, and clear away folders that nobody needs.

    Returns:
        The RIDs of the executions that were closed.
    """
    closed = []
    for rid, owner, folder in catalog.open_executions():
        # Another command may be at it too: only the one that takes the execution over closes it.
        if owner.is_gone() and catalog.claim(rid, owner, Owner.of()):
            outputs = []
            if folder and (folder / "run.json").is_file():
                from deriva_ml.execution.recorded import run_outputs, stop_kernel_of

                run = NotebookRun.load(folder)
                stop_kernel_of(run)
                outputs = run_outputs(run)
            close_execution(catalog, project, rid, Status.aborted, REASON, outputs)
            print(f"recovered execution {rid}: {REASON}; closed as Aborted", file=sys.stderr)
            closed.append(rid)
    _clear(catalog, project)
    return closed


def _clear(catalog: Catalog, project: Project) -> None:
    """Remove working folders of executions that are over and of runs whose runner is gone."""
    still_open = {rid for rid, _, _ in catalog.open_executions()}
    for folder in _folders(project.executions):
        owner = catalog.owner_of(folder.name)
        if folder.name not in still_open and (owner is None or owner.is_gone()):
            remove_folder(folder)
    for folder in _folders(project.runs):
        begun = (folder / "run.json").is_file()
        if NotebookRun.load(folder).owner.is_gone() if begun else _is_old(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_old(folder: Path) -> bool:
    """True for what a runner that was killed in its first moment left; one in that moment now is let be."""
    return time.time() - folder.stat().st_mtime > 3600


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
