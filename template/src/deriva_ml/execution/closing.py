"""Ends executions: adds the files that belong to one and sets its last status."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import deriva_ml.disk as disk
import deriva_ml.liveness as liveness
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, StagedAsset, Status
from deriva_ml.project import PARTIAL, Project
from deriva_ml.redaction import redact
from deriva_ml.untrusted import DAMAGED, check_inside, is_inside, plain_name

DETAIL_LIMIT = 2000
"""Characters of a reason that are kept: an exception's text can be a whole array."""


@dataclass(frozen=True)
class Output:
    """A file of the runner's own that belongs to an execution's record.

    Attributes:
        for_reader: a person reads it; ``outputs/`` gets a copy.
    """

    path: Path
    table: MLAsset
    kind: ExecAssetType | ExecMetadataType
    for_reader: bool = False

    def of(self, rid: RID) -> StagedAsset:
        """Return it as a file of an execution."""
        return StagedAsset(0, rid, self.table.value, self.path.name, self.path, (self.kind.value,), "")


def close_execution(
    catalog: EmbeddedCatalog,
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
    removes the folder. ``outputs`` are recorded in the moment in which it ends, or not at all: what was killed before
    is ended anew, with another reason in them.

    On a disk that takes nothing more it ends as ``Failed``, and what it staged waits for a recovery. If not even that
    can be recorded, the reason is noted for the recovery that will.

    Returns:
        The status that it ended with; ``Pending_Upload`` where that is to become ``Uploaded``.
    """
    with noted_for_recovery(project, rid, status, detail):
        folder = catalog.folder_of(rid)
        detail = join_reasons(detail, _conclude_sources(catalog, project, rid))
        registered = {item.path for item in catalog.staged(rid)}

        def end(missing: list[StagedAsset], unreadable: list[StagedAsset]) -> None:
            said = _describe_unrecorded(missing, unreadable)
            left = salvage_unregistered(folder / "assets", project, rid, registered) if clear else ""
            last = Status.failed if said and status == Status.uploaded else Status(status)
            catalog.unstage(rid)
            reason = join_reasons(detail, said, left)
            catalog.update_execution(rid, last, redact(reason)[:DETAIL_LIMIT])  # not cut before it is masked

        try:
            if clear:
                # Here, where no other run waits for it: only unreadable files are left for the end.
                salvage_unregistered(folder / "assets", project, rid, registered)
            commit_readable(
                catalog, rid, [output.of(rid) for output in outputs if output.path.is_file()], end
            )
        except Exception as error:
            if not (why := disk.fault(error, project.state)):
                raise
            last = Status.failed if status == Status.uploaded else Status(status)
            reason = join_reasons(detail, why, "its files could not be recorded at its end")
            catalog.update_execution(rid, last, redact(reason)[:DETAIL_LIMIT])
            return catalog.lookup_execution(rid).status
        if clear:
            remove_folder(folder)
        return catalog.lookup_execution(rid).status


def _conclude_sources(catalog: EmbeddedCatalog, project: Project, rid: RID) -> str:
    """Record what a kernel without a runner noted of its cells; return a line if that is damaged."""
    folder = catalog.folder_of(rid)
    noted = folder / "executed.jsonl"
    if not is_inside(noted, folder) or not noted.is_file():
        return ""
    from deriva_ml.execution.executed_sources import finish

    try:
        finish(catalog, project, rid)
    except DAMAGED as error:
        return f"what ran is not known, since {noted.name} is damaged ({error})"
    return ""


@contextmanager
def noted_for_recovery(project: Project, rid: RID, status: Status, detail: str) -> Iterator[None]:
    """Note why an execution failed, if the disk does not let even that be recorded."""
    try:
        yield
    except Exception as error:
        why = disk.fault(error, project.state)
        if why and status is not Status.aborted:
            liveness.note(project.state, rid, join_reasons(detail, why))
        raise


def join_reasons(*reasons: str) -> str:
    """Return reasons as one line, each of them once."""
    line = ""
    for reason in reasons:
        if reason not in line:
            line = f"{line}; {reason}" if line else reason
    return line


def commit_readable(
    catalog: EmbeddedCatalog,
    rid: RID,
    beside: Sequence[StagedAsset] = (),
    then: Callable[[list[StagedAsset], list[StagedAsset]], None] = lambda missing, unreadable: None,
) -> str:
    """Record what an execution staged, except files that cannot be read: one of them must not keep the others back.

    Args:
        beside: further files to record.
        then: called in the same transaction, with those that were never written and those that cannot be read.

    Returns:
        A line about these, if there are any.
    """
    unreadable: list[StagedAsset] = []

    def record() -> list[StagedAsset]:
        return catalog.commit(rid, beside=beside, then=lambda missing: then(missing, unreadable))[1]

    try:
        missing = record()
    except OSError:
        unreadable += [
            item for item in catalog.staged(rid) if item.path.is_file() and not _is_readable(item.path)
        ]
        if not unreadable:  # it is the catalog that fails
            raise
        for item in unreadable:
            if item.path.is_symlink():  # a person's own file: it stays where it is
                item.path.unlink()
            else:
                item.path.rename(item.path.with_name(f"{item.filename}.unreadable"))
        missing = record()
    return _describe_unrecorded(missing, unreadable)


def _describe_unrecorded(missing: Sequence[StagedAsset], unreadable: Sequence[StagedAsset]) -> str:
    numbers = {item.number for item in unreadable}
    missing = [item for item in missing if item.number not in numbers]
    lines = [f"not recorded, because it cannot be read: {_listed(unreadable)}"] if unreadable else []
    return "; ".join([*lines, *([describe_missing(missing)] if missing else ())])


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            while stream.read(1 << 20):
                pass
    except OSError:
        return False
    return True


def salvage_unregistered(folder: Path, project: Project, rid: RID, registered: Collection[Path] = ()) -> str:
    """Move files that nobody registered out of a folder that is about to go; return a line about them, if any.

    Those that the runner had not written to their end are nobody's. The line is the same if it is asked for again.
    """
    objects = ObjectStore(project.objects)
    if not is_inside(folder, project.state):
        return ""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    files = [path for path in files if path not in registered and not path.name.startswith(PARTIAL)]
    left = [path for path in files if not objects.holds(path)]
    to = (project.make_outputs() if left else project.outputs) / plain_name(rid) / "not-recorded"
    for path in left:
        target = check_inside(to / path.relative_to(folder), project.outputs)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):  # another user's, left by a container: it is as lost as it was
            shutil.move(path, target)
    names = ", ".join(sorted({path.name for path in to.rglob("*") if path.is_file()})[:5])
    return f"not registered, and kept in {to.relative_to(to.parents[2])}: {names}" if names else ""


def describe_missing(missing: Sequence[StagedAsset]) -> str:
    """Say which registered files were never written, and what to do about it."""
    return (
        f"registered but never written: {_listed(missing)}; write to the path that asset_file_path() returns"
    )


def _listed(items: Sequence[StagedAsset]) -> str:
    return ", ".join(f"{item.filename} ({item.table})" for item in items)


def clear_work(project: Project, rid: RID) -> None:
    """Remove the working folder of an execution that has ended; files that it did not register move to ``outputs``."""
    folder = project.executions / plain_name(rid)
    salvage_unregistered(folder / "assets", project, rid)
    remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a working folder, inputs too, which are read-only."""
    for parent, _, _ in os.walk(folder):  # which follows no links
        with suppress(OSError):  # another user's, left by a container
            os.chmod(parent, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
