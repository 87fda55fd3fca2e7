"""Changes of a project's datasets: each in one step, by an execution, its releases with their manifests."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.datasets.names import check_name, check_new, note
from deriva_ml.definitions import (
    DATASET_MANAGEMENT,
    RID,
    AssetRole,
    ExecMetadataType,
    Member,
    MLAsset,
    Status,
    Workflow,
    format_duration,
    is_release,
)
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import differing_files, git, repository_root, version_of
from deriva_ml.manifest import manifest_name
from deriva_ml.process import Owner
from deriva_ml.redaction import redact
from deriva_ml.signals import end_by, raise_on_signals, signals_ignored
from deriva_ml.web_address import workflow_url

COMMAND = "deriva-ml-dataset"


# The execution that a change is


@contextmanager
def recorded(catalog: EmbeddedCatalog, command: str, description: str) -> Iterator[RID]:
    """Record what is done inside as an execution: who did it, when, by which command, at which commit if there is one.

    It needs no repository, and no clean tree: what is recorded of a dataset is its manifest, which no code decides. A
    request that is refused before anything was done leaves no execution.

    Args:
        command: what made the change: a command's name, or that of a script.
        description: Markdown.

    Yields:
        The execution's RID.
    """
    project = catalog.project
    project.make_state()
    code = _code(project.root)
    workflow = Workflow(COMMAND, DATASET_MANAGEMENT, "Makes and changes datasets", code["url"])
    workflow.checksum, workflow.version = code["checksum"], code["version"]
    begun = time.monotonic()

    def close(status: Status, reason: str = "") -> None:
        duration = format_duration(time.monotonic() - begun)
        record = {"argv": argv, "started_by": command, "workflow": asdict(workflow), "provenance": code}
        with signals_ignored(), catalog.transaction():
            row = catalog.lookup_execution(rid)
            text = redact({"description": row.description, **record, "created": row.created})
            lines = [json.dumps(text, indent=2, ensure_ascii=False)]
            _add_output(catalog, rid, CONFIGURATION, lines, ExecMetadataType.deriva_config)
            catalog.update_execution(rid, status, reason, Execution_Duration=duration)

    argv = [Path(sys.argv[0]).name, *sys.argv[1:]]
    with raise_on_signals():
        rid = catalog.add_execution(workflow, description, Owner.here(project.state), started_by=command)
        catalog.update_execution(rid, Status.running)
        try:
            yield rid
        except BaseException as error:
            if not (isinstance(error, DerivaMLRequestError) and _taken_back(catalog, rid)):
                with disk.unless_refused(project.state):
                    close(*end_by(error))
            raise
        close(Status.uploaded)


def _taken_back(catalog: EmbeddedCatalog, execution: RID) -> bool:
    """Forget an execution that was refused, unless it had done something before."""
    try:
        catalog.forget_execution(execution)
    except sqlite3.Error:  # a record refers to it, or the disk takes nothing any more
        return False
    return True


def _code(root: Path) -> dict[str, Any]:
    """Return which commit a project is at, as records have it; nothing where there is none."""
    top = repository_root(root)
    commit = git(top, "rev-parse", "--verify", "--quiet", "HEAD", check=False) if top else ""
    if not top or not commit:
        return {"url": "", "checksum": "", "version": "", "commit": ""}
    path = (root.resolve() / "pyproject.toml").relative_to(top.resolve()).as_posix()
    remotes = dict(re.findall(r"^(\S+)\t(.*) \(fetch\)", git(top, "remote", "-v"), re.MULTILINE))
    describe = git(top, "describe", "--tags", "--long", "--match", "v[0-9]*", check=False)
    return {
        "url": workflow_url(remotes, commit, path),
        "checksum": git(top, "rev-parse", "--verify", "--quiet", f"HEAD:{path}", check=False),
        "version": version_of(describe, commit, dirty=False),
        "commit": commit,
        "dirty": bool(differing_files(top)),
        "path": path,
    }


def _add_output(
    catalog: EmbeddedCatalog, execution: RID, name: str, lines: Iterable[str], kind: ExecMetadataType
) -> None:
    """Record a text as a metadata file that an execution made."""
    disk.private_folder(catalog.project.executions)
    with disk.temporary(catalog.project.executions) as path:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
        asset = catalog.add_asset(path, MLAsset.execution_metadata.value, name, [kind.value])
        catalog.link_asset(execution, asset, AssetRole.output)


# Changes


def create(
    catalog: EmbeddedCatalog,
    execution: RID,
    name: str = "",
    members: Iterable[Member] = (),
    types: Sequence[str] = (),
    description: str = "",
    version: str = "0.1.0",
) -> RID:
    """Make a dataset, with a first version, and return its RID.

    Args:
        name: what this project calls it, which ``datasets.toml`` says; it may have none.

    Raises:
        DerivaMLRequestError: the name is taken or cannot be one, or so is the version, or a member cannot be.
    """
    if not is_release(version):
        raise DerivaMLRequestError(
            f"{version!r} is no version to begin with: give three numbers, such as 1.0.0"
        )
    if name:
        check_name(name)
        check_new(catalog.project, name)
    with catalog.transaction():
        rid = catalog.add_dataset(description, members, types, version, execution, name=name)
        _released(catalog, execution, rid)
    return rid


def add(
    catalog: EmbeddedCatalog, execution: RID, rid: RID, members: Iterable[Member], description: str = ""
) -> str:
    """Add members to a dataset, in place of what is at their paths; return its new working state."""
    return catalog.change_dataset(rid, add=members, description=description, execution=execution)


def remove(
    catalog: EmbeddedCatalog, execution: RID, rid: RID, paths: Iterable[str], description: str = ""
) -> str:
    """Take out of a dataset what is at paths, of a folder all that is below it; return its new working state.

    Raises:
        DerivaMLRequestError: there is nothing at one of them.
    """
    with catalog.transaction():
        there = [row["Path"] for row in catalog.members(catalog.current_state(rid).rid)]
        out = dict[str, None]()
        for path in paths:
            path = path.strip("/")
            found = [one for one in there if one == path or one.startswith(f"{path}/")]
            out |= dict.fromkeys(found or [path])
        return catalog.change_dataset(rid, remove=out, description=description, execution=execution)


def part(
    catalog: EmbeddedCatalog, rid: RID, nested: RID, version: str | None = None, into: str = ""
) -> Member:
    """Return a dataset at a version as a member of another: where it is part of that already, or in a folder of its name.

    Raises:
        DerivaMLRequestError: it has no such version, or is deleted.
    """
    known = catalog.dataset_versions(nested) if version else [catalog.current_state(nested)]
    chosen = next((one for one in known if version in (None, one.version)), None)
    if chosen is None:
        raise DerivaMLRequestError(f"dataset {nested} has no version {version} that could be part of another")
    path = into.strip("/")
    if not path:
        parts = (row for row in catalog.members(catalog.current_state(rid).rid) if row["nested"])
        same = (one["Path"] for one in parts if catalog.dataset_state(one["nested"]).dataset == nested)
        path = next(same, "") or catalog.name_of_dataset(nested) or nested
    return Member(path, nested=chosen.rid)


def release(
    catalog: EmbeddedCatalog, execution: RID, rid: RID, bump: str = "minor", description: str = ""
) -> str:
    """Make a version of a dataset's working state, which never changes, and return it; see ``release_dataset``."""
    with catalog.transaction():
        version = catalog.release_dataset(rid, bump, description, execution)
        _released(catalog, execution, rid)
    return version


def delete(catalog: EmbeddedCatalog, rid: RID, recurse: bool = False) -> None:
    """Mark a dataset as deleted; see ``delete_dataset``. Its entry in ``datasets.toml`` stays, for those who have it."""
    catalog.delete_dataset(rid, recurse)


def _released(catalog: EmbeddedCatalog, execution: RID, rid: RID) -> None:
    """Record the manifest of the version that was just made, and note it under the dataset's name."""
    state = catalog.current_state(rid)
    lines = catalog.manifest(state.rid)
    kind = ExecMetadataType.dataset_manifest
    _add_output(catalog, execution, manifest_name(state.version), lines, kind)
    note(catalog, rid)
