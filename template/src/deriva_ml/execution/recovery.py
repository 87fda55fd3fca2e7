"""Finds executions whose process ended without a word, and closes them with what they had staged."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import RID, Status
from deriva_ml.execution.closing import close_execution, remove_folder
from deriva_ml.execution.notebook_run import NotebookRun
from deriva_ml.owner import Owner
from deriva_ml.project import Project

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
