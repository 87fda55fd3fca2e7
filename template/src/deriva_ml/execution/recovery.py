"""Closes executions whose process was killed before it could, and clears away what it left."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

from deriva_ml import alive, disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import OPEN_STATUSES, RID, Status
from deriva_ml.execution.closing import close_execution, commit_readable, remove_folder, rescue
from deriva_ml.execution.kept_commits import keep_commit
from deriva_ml.execution.recorded import record_without_execution, run_outputs, stop_kernel_of, was_refused
from deriva_ml.execution.run_folder import NotebookRun
from deriva_ml.notebook.kernel import clear_connection
from deriva_ml.process import Owner
from deriva_ml.project import Project

REASON = "the process that ran it ended without recording its end"


def recover(catalog: EmbeddedCatalog, project: Project) -> list[RID]:
    """Close every orphan, say so on stderr, and clear away folders that nobody needs; nothing on a disk that takes nothing.

    An orphan is ``Aborted``, unless its process noted that the disk did not let it record how it failed.

    Returns:
        The RIDs of the executions that were closed.
    """
    closed: list[RID] = []
    try:
        _recover(catalog, project, closed)
    except Exception as error:
        if not (why := disk.fault(error, project.state)):
            raise
        print(f"warning: what was left open cannot be closed yet: {why}", file=sys.stderr)
    return closed


def _recover(catalog: EmbeddedCatalog, project: Project, closed: list[RID]) -> None:
    waiting = _record_unstarted(catalog, project)
    for rid, owner, folder in catalog.open_executions():
        if not owner.is_gone(project.state):
            continue
        here = Owner.here(project.state)
        failure = alive.noted(project.state, owner.lock, rid) or alive.noted(project.state, owner.lock, "")
        if failure:
            alive.note(project.state, rid, failure)
        # Another command may be at it too: only the one that takes the execution over closes it.
        if catalog.claim(rid, owner, here):
            try:
                _close_orphan(catalog, project, rid, folder, failure)
            except Exception as error:  # whatever it is, it must not keep every later command from its work
                if disk.fault(error, project.state):
                    raise
                print(f"warning: execution {rid} cannot be closed yet: {error}", file=sys.stderr)
                continue
            closed.append(rid)
    _clear(catalog, project, waiting)


def recover_project(project: Project) -> None:
    """``recover`` for a command that has no use for the catalog itself."""
    with closing(EmbeddedCatalog(project)) as catalog:
        recover(catalog, project)


def _close_orphan(
    catalog: EmbeddedCatalog, project: Project, rid: RID, folder: Path | None, failure: str
) -> None:
    record = catalog.lookup_execution(rid)
    if record.status not in OPEN_STATUSES:  # it had ended; only files that came later were left
        said = commit_readable(catalog, rid)
        catalog.unstage(rid)
        hint = _hint(catalog, rid)
        print(f"recovered files that execution {rid} registered after it was recorded{hint}", file=sys.stderr)
        if said:
            print(f"warning: {said}", file=sys.stderr)
        return
    outputs = []
    if folder and (run := NotebookRun.found(folder)):
        stop_kernel_of(run)
        outputs = run_outputs(run, failure or REASON)
    status, reason = (Status.failed, failure) if failure else (Status.aborted, REASON)
    close_execution(catalog, project, rid, status, reason, outputs)
    print(f"recovered execution {rid}: {reason}; closed as {status}{_hint(catalog, rid)}", file=sys.stderr)


def _hint(catalog: EmbeddedCatalog, rid: RID) -> str:
    return "; uv run deriva-ml-upload sends its record" if catalog.journal.pending(rid) else ""


def _record_unstarted(catalog: EmbeddedCatalog, project: Project) -> set[Path]:
    """Give a run whose runner was killed before its notebook started an execution one, to be closed as the others.

    Returns:
        The folders of the runs for which that has to wait.
    """
    waiting = set()
    for folder in _folders(project.runs):
        run = NotebookRun.found(folder)
        if run is None or not run.owner.is_gone(project.state):
            continue
        try:
            _record(catalog, run)
        except Exception as error:  # as above
            if disk.fault(error, project.state):
                raise
            print(f"warning: the run in {folder} cannot be recorded yet: {error}", file=sys.stderr)
            waiting.add(folder)
    return waiting


def _record(catalog: EmbeddedCatalog, run: NotebookRun) -> None:
    if run.dry_run or run.reported().get("dry_run") or was_refused(run):
        return
    if run.executed.is_file() and not catalog.executions_of_run(run.folder):
        taken = run.folder / "recovering"
        try:
            taken.mkdir()  # one of several commands at once
        except FileExistsError:
            return
        try:
            record_without_execution(catalog, run)
            if said := keep_commit(run.provenance.get("commit", ""), run.notebook.resolve().parent):
                print(f"warning: {said}", file=sys.stderr)
        except BaseException:
            taken.rmdir()
            raise


def _clear(catalog: EmbeddedCatalog, project: Project, waiting: set[Path]) -> None:
    """Remove working folders of executions that are over and of runs whose runner is gone, but those that wait."""
    objects = ObjectStore(project.objects)
    open_rids = {rid for rid, _, _ in catalog.open_executions()}
    for folder in _folders(project.executions):
        owner = catalog.owner_of(folder.name)
        if folder.name not in open_rids and (owner is None or owner.is_gone(project.state)):
            rescue(folder / "assets", project.outputs / folder.name / "not-recorded", objects)
            remove_folder(folder)
    objects.clear()
    still_open = catalog.open_executions()
    needed = waiting | {folder for _, _, folder in still_open if folder}
    locks = {owner.lock for _, owner, _ in still_open}
    for folder in _folders(project.runs):
        run = NotebookRun.found(folder)
        if folder not in needed and (run.owner.is_gone(project.state) if run else _is_old(folder)):
            if run:
                clear_connection(Path(run.connection))
            shutil.rmtree(folder, ignore_errors=True)
        elif run:
            locks.add(run.owner.lock)
    alive.clear(project.state, locks)


def _is_old(folder: Path) -> bool:
    """True for what a runner that was killed in its first moment left; one in that moment now is let be."""
    return folder.exists() and time.time() - folder.stat().st_mtime > 3600


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
