"""Closes executions whose process was killed before it could, and clears away what it left."""

from __future__ import annotations

import os
import platform
import time
from contextlib import closing, suppress
from pathlib import Path

import deriva_ml.disk as disk
import deriva_ml.liveness as liveness
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import OPEN_STATUSES, RID, Status
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.execution.closing import (
    close_execution,
    commit_readable,
    join_reasons,
    remove_folder,
    salvage_unregistered,
)
from deriva_ml.execution.kept_commits import keep_commit
from deriva_ml.execution.notebook_end import (
    clear_half_copies,
    record_without_execution,
    run_outputs,
    was_refused,
)
from deriva_ml.execution.run_state import LOG, OVER, RUN_VARIABLE, NotebookRun, remove_run
from deriva_ml.network_drive import network_drive
from deriva_ml.notebook.kernel import GRACE_SECONDS, clear_connection, kill_group
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.state_folder import STATE, named_apart
from deriva_ml.terminal import tell, warn
from deriva_ml.untrusted import DAMAGED, read_json

OF_JOBS = ("records.zip", "state")
"""What the folder of a job on another machine has as long as its records are not in the project's catalog."""

REASON = "the process that ran it ended without recording its end"


def recover(catalog: EmbeddedCatalog, project: Project) -> list[RID]:
    """Close every orphan, say so on stderr, and clear away folders that nobody needs.

    On a disk that takes nothing more it does nothing, and warns.

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
        warn(f"what was left open cannot be closed yet: {why}")
    return closed


def close_left(project: Project, reason: str) -> list[RID]:
    """Close what a process left open in a state folder that was its alone, though it cannot be seen from here that it is gone.

    Args:
        reason: for the records.

    Returns:
        The RIDs of the executions that were closed.
    """
    closed: list[RID] = []
    with closing(open_local(project)) as catalog:
        _recover(catalog, project, closed, reason)
    return closed


def _recover(catalog: EmbeddedCatalog, project: Project, closed: list[RID], left: str = "") -> None:
    own, apart = project.root / STATE, project.apart or named_apart()
    if not apart and (own / "catalog.db").exists() and not own.samefile(project.state):
        warn(
            f"{own} has records that are not seen here, for the catalog is {project.database}: keep that"
            " folder, also when the working tree is removed"
        )
    waiting, recorded = _record_unstarted(catalog, project, bool(left))
    for rid, owner, folder in catalog.open_executions():
        if rid not in recorded and not left and not owner.is_gone(project.state):
            continue
        if project.detached(rid).exists():  # its jobs may go on, and --collect ends it
            continue
        here = Owner.here(project.state)
        failure = liveness.noted(project.state, owner.lock, rid) or liveness.noted(
            project.state, owner.lock, ""
        )
        if failure:
            liveness.note(project.state, rid, failure)
        # Another command may be at it too: only the one that takes the execution over closes it.
        if catalog.claim(rid, owner, here):
            try:
                _close_orphan(catalog, project, rid, folder, failure, left)
            except Exception as error:  # whatever it is, it must not keep every later command from its work
                if disk.fault(error, project.state):
                    raise
                warn(f"execution {rid} cannot be closed yet: {error}")
                continue
            closed.append(rid)
    _clear(catalog, project, waiting)


def recover_project(project: Project) -> None:
    """Recover a project for a command that has no use for the catalog itself; see ``recover``."""
    with closing(open_local(project)) as catalog:
        recover(catalog, project)


def recover_for_run(project: Project) -> None:
    """Recover a project before a run; see that no other machine writes its records now.

    SQLite keeps the processes of one machine from each other; on a network drive those of several are in each other's way.

    Raises:
        DerivaMLRequestError: another machine does.
    """
    recover_project(project)
    if not (drive := network_drive(project.state)) or not project.database.exists():
        return
    with closing(open_local(project)) as catalog:
        for rid, owner, _ in catalog.open_executions():
            # A lock that nobody holds is as good as an end: a machine that was switched off records none.
            if owner.host != platform.node() and liveness.is_held(project.state, owner.lock) is not False:
                raise DerivaMLRequestError(
                    f"execution {rid} goes on on {owner.host}, and two machines cannot write {project.database}, which is"
                    f" on a network drive ({drive}): wait for it, or give this machine records of its own with"
                    " DERIVA_ML_STATE=FOLDER"
                )


def _close_orphan(
    catalog: EmbeddedCatalog, project: Project, rid: RID, folder: Path | None, failure: str, left: str
) -> None:
    record = catalog.lookup_execution(rid)
    dropped = _drop_links(catalog, project, rid)
    if record.status not in OPEN_STATUSES:  # it had ended; only files that came later were left
        said = join_reasons(dropped, commit_readable(catalog, rid))
        catalog.unstage(rid)
        hint = _hint(catalog, rid)
        tell(f"recovered files that execution {rid} registered after it was recorded{hint}")
        if said:
            warn(said)
        return
    outputs = []
    if folder and (run := NotebookRun.found(folder)):
        _stop_kernel_of(run)
        outputs = run_outputs(run, failure or left or REASON)
    status, reason = (Status.failed, failure) if failure else (Status.aborted, left if left else REASON)
    close_execution(catalog, project, rid, status, join_reasons(reason, dropped), outputs)
    tell(f"recovered execution {rid}: {reason}; closed as {status}{_hint(catalog, rid)}")


def _stop_kernel_of(run: NotebookRun) -> None:
    """End the kernel of a runner that was killed, should it be alive here; elsewhere its number is another's."""
    # A number in a file proves nothing: the process has to be one that was started for this folder. One that was forked
    # shows the variables of the server that it came from.
    log = run.folder.resolve() / LOG
    if run.kernel.is_here() and (
        run.kernel.variable(RUN_VARIABLE) == str(run.folder) or run.kernel.has_open(log)
    ):
        kill_group(run.kernel.pid)
        deadline = time.monotonic() + GRACE_SECONDS
        while run.kernel.is_here() and time.monotonic() < deadline:
            time.sleep(0.01)


def _drop_links(catalog: EmbeddedCatalog, project: Project, rid: RID) -> str:
    """Unregister files that are links out of the project, for anybody may have put them there; return a line about them.

    The process that registered a file elsewhere follows its link; one that only finds it does not.
    """
    root = project.root.resolve()
    found = [item for item in catalog.staged(rid) if item.path.is_symlink()]
    outside = [item for item in found if not Path(os.path.realpath(item.path)).is_relative_to(root)]
    for item in outside:
        catalog.drop_staged(item)
    names = ", ".join(f"{item.filename} ({os.readlink(item.path)})" for item in outside)
    return f"not recorded, because it is a link out of the project: {names}" if outside else ""


def _hint(catalog: EmbeddedCatalog, rid: RID) -> str:
    return "; uv run deriva-ml-upload sends its record" if catalog.journal.pending(rid) else ""


def _record_unstarted(
    catalog: EmbeddedCatalog, project: Project, all_gone: bool
) -> tuple[set[Path], list[RID]]:
    """Give a run whose runner was killed before its notebook started an execution one, to be closed as the others.

    Args:
        all_gone: whatever can be seen of the runners from here.

    Returns:
        The folders of the runs for which that has to wait, and the executions.
    """
    waiting, recorded = set(), []
    for folder in _folders(project.runs):
        if folder.suffix == OVER:
            remove_run(folder)
            continue
        run = NotebookRun.found(folder)
        if run is None or not (all_gone or run.owner.is_gone(project.state)):
            continue
        try:
            recorded += _record(catalog, project, run)
        except Exception as error:  # as above
            if disk.fault(error, project.state):
                raise
            warn(f"the run in {folder} cannot be recorded yet: {error}")
            waiting.add(folder)
    return waiting, recorded


def _record(catalog: EmbeddedCatalog, project: Project, run: NotebookRun) -> list[RID]:
    _stop_kernel_of(run)  # it would go on for a moment, and may be about to start an execution
    if run.dry_run or run.reported().dry_run or was_refused(run) or not run.holds(run.executed):
        return []
    if catalog.executions_of_run(run.folder):
        return []
    place, root = run.notebook.resolve().parent, project.root.resolve()
    # What the file says of another place is nothing to git, and a working tree may have been removed.
    place = place if place.is_relative_to(root) and place.is_dir() else root
    if said := keep_commit(str(run.provenance.get("commit", "")), place):
        warn(said)
    owner = Owner.here(project.state)
    with catalog.transaction():  # a kernel elsewhere, or another command, may have been faster
        if catalog.executions_of_run(run.folder):
            return []
        rid = record_without_execution(catalog, run, owner)
    if failure := liveness.noted(project.state, run.owner.lock, ""):
        liveness.note(project.state, rid, failure)
    return [rid]


def _clear(catalog: EmbeddedCatalog, project: Project, waiting: set[Path]) -> None:
    """Remove working folders of executions that are over and of runs whose runner is gone, but those that wait."""
    open_rids = {rid for rid, _, _ in catalog.open_executions()}
    for folder in _folders(project.executions):
        owner = catalog.owner_of(folder.name)
        if folder.name not in open_rids and (owner is None or owner.is_gone(project.state)):
            salvage_unregistered(folder / "assets", project, folder.name)
            remove_folder(folder)
    ObjectStore(project.objects).clear()
    for folder in (project.state, project.executions):
        disk.clear_temporary(folder)
    still_open = catalog.open_executions()
    needed = waiting | {folder for _, _, folder in still_open if folder}
    locks = {owner.lock for _, owner, _ in still_open}
    for folder in _folders(project.runs):
        run = NotebookRun.found(folder)
        if folder not in needed and (run.owner.is_gone(project.state) if run else _is_old(folder)):
            if run:
                clear_connection(Path(run.connection), folder)
                clear_half_copies(catalog, project, run)
            remove_run(folder)
        elif run:
            locks.add(run.owner.lock)
    for folder in _folders(project.sweeps):
        if not holds_records(folder) and _is_over(catalog, folder):
            remove_run(folder)
    liveness.clear(project.state, locks)


def holds_records(sweep: Path) -> bool:
    """Whether jobs of a sweep have recorded something, on other machines, that is only in its folder yet."""
    found = (path.parent for name in OF_JOBS for path in (sweep / "jobs").glob(f"*/{name}"))
    return any(not _is_collected(job) for job in found)


def _is_collected(job: Path) -> bool:
    """Whether all that a job recorded is in the catalog; who took it in may have been killed before it removed the rest."""
    try:
        said = read_json(job / "ended.json")
    except (OSError, *DAMAGED):
        return False
    return isinstance(said, dict) and said.get("apart") is False


def _is_over(catalog: EmbeddedCatalog, sweep: Path) -> bool:
    """Whether a sweep has ended; of one that records nothing, whether no job of it has begun for a week."""
    if sweep.suffix == OVER:
        return True
    with suppress(NotFound):
        return catalog.lookup_execution(sweep.name).status not in OPEN_STATUSES
    with suppress(OSError):
        return time.time() - (sweep / "jobs").stat().st_mtime > 7 * 24 * 3600
    return _is_old(sweep)


def _is_old(folder: Path) -> bool:
    """Whether a runner that was killed in its first moment left the folder; one may be in that moment now."""
    return folder.exists() and time.time() - folder.stat().st_mtime > 3600


def _folders(parent: Path) -> list[Path]:
    """Return the folders in one, but no links to others."""
    found = parent.iterdir() if parent.is_dir() else ()
    return [path for path in found if path.is_dir() and not path.is_symlink()]
