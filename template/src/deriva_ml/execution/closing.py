"""Ends executions: adds the files that belong to one and sets its last status; closes orphans likewise."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import (
    OPEN_STATUSES,
    RID,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    StagedAsset,
    Status,
)
from deriva_ml.exceptions import DerivaMLException
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
    clear: bool = True,
) -> Status:
    """Record ``outputs`` and whatever the execution staged, then end it with ``status`` and ``detail``.

    An execution that would have succeeded, but registered a file that it never wrote, ends as ``Failed``. Files
    in its working folder that it did not register are moved to ``outputs``, and the reason says so. ``clear``
    removes the folder.

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
    if clear:
        left = _rescue(
            folder / "assets", project.outputs / rid / "not-recorded", ObjectStore(project.objects)
        )
        detail = "; ".join(filter(None, [detail, left]))
    catalog.unstage(rid)
    catalog.update_execution(rid, status, detail[:DETAIL_LIMIT])
    if clear:
        remove_folder(folder)
    return status


def _rescue(folder: Path, to: Path, objects: ObjectStore) -> str:
    """Move files that nobody registered out of a folder that is about to go; a line about them, if there are any."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    left = [path for path in files if not objects.holds(path)]
    for path in left:
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    names = ", ".join(sorted({path.name for path in left})[:5])
    return f"not registered, and kept in {to.relative_to(to.parents[2])}: {names}" if left else ""


def describe_missing(missing: Sequence[StagedAsset]) -> str:
    """Say which registered files were never written, and what to do about it."""
    names = ", ".join(f"{item.filename} ({item.table})" for item in missing)
    return f"registered but never written: {names}; write to the path that asset_file_path() returns"


def remove_folder(folder: Path) -> None:
    """Remove a working folder, inputs too, which are read-only."""
    for path in folder.glob("**/"):
        with suppress(OSError):  # another user's, left by a container
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


REASON = "the process that ran it ended without recording its end"


def recover(catalog: Catalog, project: Project) -> list[RID]:
    """Close every orphan as ``Aborted``, say so on stderr, and clear away folders that nobody needs.

    Returns:
        The RIDs of the executions that were closed.
    """
    _record_unstarted(catalog, project)
    closed = []
    for rid, owner, folder in catalog.open_executions():
        # Another command may be at it too: only the one that takes the execution over closes it.
        if owner.is_gone() and catalog.claim(rid, owner, Owner.of()):
            try:
                _close_orphan(catalog, project, rid, folder)
            except (DerivaMLException, OSError) as error:
                print(f"warning: execution {rid} cannot be closed yet: {error}", file=sys.stderr)
                continue
            closed.append(rid)
    _clear(catalog, project)
    return closed


def _close_orphan(catalog: Catalog, project: Project, rid: RID, folder: Path | None) -> None:
    record = catalog.lookup_execution(rid)
    if record.status not in OPEN_STATUSES:  # it had ended; only files that came later were left
        catalog.commit(rid)
        catalog.unstage(rid)
        print(f"recovered files that execution {rid} had registered after it was recorded", file=sys.stderr)
        return
    outputs = []
    if folder and (run := NotebookRun.found(folder)):
        from deriva_ml.execution.recorded import run_outputs, stop_kernel_of

        stop_kernel_of(run)
        outputs = run_outputs(run, REASON)
    close_execution(catalog, project, rid, Status.aborted, REASON, outputs)
    print(f"recovered execution {rid}: {REASON}; closed as Aborted", file=sys.stderr)


def _record_unstarted(catalog: Catalog, project: Project) -> None:
    """Give a run whose runner was killed before its notebook started an execution one, to be closed as the others."""
    for folder in _folders(project.runs):
        run = NotebookRun.found(folder)
        over = run and run.owner.is_gone() and run.executed.is_file() and not run.reported()
        if run and over and not run.dry_run and not catalog.executions_of_run(folder):
            try:
                (folder / "recovering").mkdir()  # one of several commands at once
            except FileExistsError:
                continue
            from deriva_ml.execution.recorded import record_without_execution

            record_without_execution(catalog, run)


def _clear(catalog: Catalog, project: Project) -> None:
    """Remove working folders of executions that are over and of runs whose runner is gone."""
    objects = ObjectStore(project.objects)
    still_open = {rid for rid, _, _ in catalog.open_executions()}
    for folder in _folders(project.executions):
        owner = catalog.owner_of(folder.name)
        if folder.name not in still_open and (owner is None or owner.is_gone()):
            _rescue(folder / "assets", project.outputs / folder.name / "not-recorded", objects)
            remove_folder(folder)
    objects.clear()
    needed = {folder for _, _, folder in catalog.open_executions()}
    for folder in _folders(project.runs):
        run = NotebookRun.found(folder)
        if folder not in needed and (run.owner.is_gone() if run else _is_old(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_old(folder: Path) -> bool:
    """True for what a runner that was killed in its first moment left; one in that moment now is let be."""
    return folder.exists() and time.time() - folder.stat().st_mtime > 3600


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
