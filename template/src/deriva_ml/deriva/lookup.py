"""Finds executions, assets and datasets of a Deriva catalog of either generation, whose spelling of a status it knows."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from deriva_ml.definitions import (
    RID,
    Asset,
    Dataset,
    DatasetState,
    ExecutionRecord,
    MLAsset,
    Row,
    Status,
    Workflow,
)
from deriva_ml.deriva.answers import ServerRefused, reads, unless_refused
from deriva_ml.deriva.manifests import Manifests
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server, quote
from deriva_ml.deriva.snapshot import Snapshot, newest, order, states_of
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, NotFound
from deriva_ml.terminal import shown

log = logging.getLogger(__name__)

_WITHOUT_VOCABULARY = {
    Status.stopped: "Running",
    Status.pending_upload: "Pending",
    Status.uploaded: "Completed",
}
"""What deriva-ml 1.17 calls a status, whose catalogs have no vocabulary of them; the others have the same names."""

_MEANINGS = {"Completed": Status.uploaded, "Pending": Status.pending_upload, "Initializing": Status.created}


def status_name(status: Status, model: Model) -> str:
    """A status as the catalog spells it."""
    return status.value if model.statuses_are_terms else _WITHOUT_VOCABULARY.get(status, status.value)


def status_of(name: str | None) -> Status:
    """What a catalog's status means; one that no runner writes counts as ``Created``."""
    known = name if name in set(Status) else _MEANINGS.get(name or "", Status.created)
    return Status(known)


@reads
def executions_of_rows(server: Server, rows: Sequence[Row]) -> list[ExecutionRecord]:
    """The executions that rows stand for, with their workflows."""
    workflows = read_workflows(server, (row["Workflow"] for row in rows if row["Workflow"]))
    return [
        ExecutionRecord(
            rid=row["RID"],
            status=status_of(row["Status"]),
            status_detail=row["Status_Detail"] or "",
            description=row["Description"] or "",
            workflow=workflows.get(row["Workflow"], Workflow("")),
            created=row["RCT"],
            created_by=row["RCB"] or "",
            execution_duration=row.get("Execution_Duration", row.get("Duration")),
            download_duration=row.get("Download_Duration"),
            upload_duration=row.get("Upload_Duration"),
        )
        for row in rows
    ]


def read_workflows(server: Server, rids: Iterable[RID]) -> dict[RID, Workflow]:
    """Workflows by RID."""
    wanted = list(dict.fromkeys(rids))
    rows = server.find_any("Workflow", "RID", wanted)
    types: dict[RID, list[str]] = {}
    if server.model.workflow_types_are_rows:
        types = server.find_linked("Workflow_Workflow_Type", "Workflow", wanted, "Workflow_Type")
    found = {}
    for row in rows:
        plain = {name.lower(): row[name] or "" for name in Workflow("").columns}
        kinds = types.get(row["RID"]) or row.get("Workflow_Type") or []
        found[row["RID"]] = Workflow(**plain, workflow_type=kinds, rid=row["RID"])
    return found


@reads
def find_assets(server: Server, rids: Sequence[RID]) -> list[Asset]:
    """The assets with these RIDs, in their order, from whichever tables they are in: three requests a table.

    Two, for the table that most are in: it is asked first.

    Raises:
        DerivaMLRequestError: one is not there, or is something else.
    """
    found: dict[RID, Asset] = {}
    waiting = list(dict.fromkeys(rids))
    if waiting and (likely := MLAsset.execution_asset.value) in server.model.asset_tables:
        found = _assets_in(server, likely, waiting)
        waiting = [one for one in waiting if one not in found]
    while waiting:
        table, rid = _place(server, waiting[0], "asset")
        made = {}
        if table in server.model.asset_tables:
            made = _assets_in(server, table, [rid, *waiting[1:]])
        if rid not in made:
            raise _mistaken(server, waiting[0], "asset", table)
        # The one that was looked up may have been written otherwise than its record has it, as 1abc for 1-ABC.
        found |= {waiting[0]: made[rid], **made}
        waiting = [one for one in waiting if one not in found]
    return [found[rid] for rid in rids]


def _assets_in(server: Server, table: str, rids: Sequence[RID]) -> dict[RID, Asset]:
    rows = server.find_any(table, "RID", rids)
    return {asset.rid: asset for asset in assets_of_rows(server, table, rows)}


def assets_of_rows(server: Server, table: str, rows: Sequence[Row]) -> list[Asset]:
    """The assets that rows of a table stand for, with their types."""
    types: dict[RID, list[str]] = {}
    if link := server.model.association(table, "Asset_Type"):
        records = (row["RID"] for row in rows)
        types = server.find_linked(link.table, link.column, records, link.other_column)
    found = (Asset.from_row(table, row, sorted(types.get(row["RID"], ()))) for row in rows)
    return [asset for asset in found if asset is not None]


@reads
def find_dataset(
    server: Server, rid: RID, version: str | None = None, manifests: Manifests | None = None
) -> Dataset:
    """A dataset at a version, by default its newest, as the catalog was when the version was made.

    A version that names no snapshot is read as the catalog is now; ``snapshot`` says which state that is.

    Args:
        manifests: say where the files lie in it, and which version of a dataset is nested in it.

    Raises:
        DerivaMLRequestError: there is no such dataset or version, or it has been deleted, or contains itself.
        DerivaMLException: the server does not have the version's snapshot.
    """
    rid = _find_dataset_rid(server, rid)
    versions = server.find("Dataset_Version", {"Dataset": rid})
    chosen = newest(row for row in versions if version in (None, row["Version"]))
    if version is not None and not chosen:
        names = ", ".join(row["Version"] for row in sorted(versions, key=order) if row["Version"])
        raise DerivaMLRequestError(f"dataset {rid} has no version {version}; it has {names or 'none'}")
    return _read_version(server, rid, chosen, manifests, ())


def _find_dataset_rid(server: Server, rid: RID) -> RID:
    """The RID of a dataset that has not been deleted, as it is written there."""
    rows = server.find("Dataset", {"RID": rid})
    if not rows:
        table, written = _place(server, rid, "dataset")
        rows = server.find("Dataset", {"RID": written}) if table == "Dataset" else []
        if not rows:
            raise _mistaken(server, rid, "dataset", table)
    rid = rows[0]["RID"]
    if rows[0]["Deleted"]:
        raise DerivaMLRequestError(f"dataset {rid} has been deleted")
    return rid


def _read_version(
    server: Server, rid: RID, version: Row, manifests: Manifests | None, above: tuple[tuple[RID, str], ...]
) -> Dataset:
    """A dataset at a version whose row is known, nested by manifests in those ``above``."""
    snapshot, name = version.get("Snapshot"), version.get("Version")
    here = (*above, (rid, name or ""))
    if here[-1] in above:
        raise DerivaMLRequestError(
            f"dataset {above[0][0]} cannot be read, since one contains itself: {' in '.join(one for one, _ in here)}"
        )
    if not snapshot:
        snapshot = server.snaptime()
        log.warning(
            "dataset %s has no snapshot for its version: it is read as it is now, %s",
            shown(rid),
            shown(snapshot),
        )
    try:
        found = Snapshot(server, snapshot).read(rid, version)
    except ServerRefused as error:
        if error.status != 409:
            raise
        raise DerivaMLException(
            f"dataset {rid} cannot be read at version {name}, whose snapshot is {snapshot}: {error}"
        ) from error
    if manifests is None:
        return found
    return manifests.laid_out(
        found, version, lambda inner, row: _read_version(server, inner, row, manifests, here)
    )


@reads
def find_dataset_states(server: Server, rid: RID, manifests: Manifests) -> list[DatasetState]:
    """A dataset's versions, newest first; the digest is known of those that have a manifest.

    So are files and bytes, unless the manifests that have to be fetched for them are large.
    """
    rid = _find_dataset_rid(server, rid)
    states = states_of(server.find("Dataset_Version", {"Dataset": rid}))
    assets = manifests.of(row for row, _ in states)
    sizes = manifests.sizes(assets.values())
    found = []
    for row, state in states:
        digest = assets[row["RID"]].md5 if row["RID"] in assets else ""
        files, size = sizes.get(digest, (0, 0))
        found.append(replace(state, digest=digest, files=files, bytes=size))
    return found[::-1]


@reads
def datasets_of(server: Server, execution: RID) -> list[Dataset]:
    """The datasets that an execution read, without members; without the version where the catalog does not say it."""
    links = server.find("Dataset_Execution", {"Execution": execution})
    read = (link["Dataset"] for link in links)
    rows = {row["RID"]: row for row in server.find_any("Dataset", "RID", read)}
    noted = (link["Dataset_Version"] for link in links if link.get("Dataset_Version"))
    versions = {row["RID"]: row for row in server.find_any("Dataset_Version", "RID", noted)}
    return [
        dataset_of(
            rows.get(link["Dataset"], {"RID": link["Dataset"]}), versions.get(link.get("Dataset_Version"))
        )
        for link in links
    ]


def dataset_of(row: Row, version: Row | None, types: Iterable[str] = ()) -> Dataset:
    """A dataset without members, by its row and that of its version."""
    version = version or {}
    return Dataset(
        row["RID"],
        version.get("Version") or "",
        row.get("Description") or "",
        tuple(sorted(types)),
        snapshot=version.get("Snapshot"),
        version_rid=version.get("RID"),
    )


@reads
def find_same_dataset(server: Server, dataset: Dataset, nested: Collection[RID]) -> tuple[RID, RID] | None:
    """A dataset that has just these files, by MD5 and name, and nested datasets at a version of the same name.

    Args:
        dataset: of the project's own catalog.
        nested: the RIDs there of those nested in it.

    Returns:
        the RIDs of the dataset and of its version; None if there is none.
    """
    files = {(row["MD5"], row["Filename"]) for row in dataset.members.get("File", ())}
    model = server.model
    link, nesting = model.qualified("Dataset_File"), model.qualified("Dataset_Dataset")
    if files:
        md5, name = min(files)
        start = f"{model.qualified('File')}/MD5={quote(md5)}&Filename={quote(name)}/(RID)=({link}:File)"
    elif nested:
        start = f"{nesting}/Nested_Dataset={quote(min(nested))}"
    else:
        return None
    versions = server.get(
        f"/entity/{start}/(Dataset)=({model.qualified('Dataset')}:RID)/Deleted=false"
        f"/(RID)=({model.qualified('Dataset_Version')}:Dataset)/Version={quote(dataset.version)}"
    )
    file = f"(File)=({model.qualified('File')}:RID)"
    others = [one for one in model.member_tables if one.other != "File"]
    # One without a snapshot is still being sent.
    for row in sorted((row for row in versions if row["Snapshot"]), key=lambda row: row["RCT"]):
        of_dataset, snapshot = {"Dataset": row["Dataset"]}, row["Snapshot"]
        with contextlib.suppress(ServerRefused):  # the catalog had other tables then
            members = server.find("Dataset_File", of_dataset, f"/{file}", snapshot=snapshot)
            if {(one["MD5"], one["Filename"]) for one in members} != files:
                continue
            children = server.find("Dataset_Dataset", of_dataset, snapshot=snapshot)
            if {one["Nested_Dataset"] for one in children} != set(nested):
                continue
            if not any(
                server.find(one.table, {one.column: row["Dataset"]}, "?limit=1", snapshot=snapshot)
                for one in others
            ):
                return row["Dataset"], row["RID"]
    return None


@reads
def find_table(server: Server, rid: RID, tables: Collection[str], wanted: str) -> tuple[str, RID]:
    """The table that a record is in, which has to be one of these, and its RID as written there.

    Raises:
        NotFound: it is in none of them.
    """
    table, written = _place(server, rid, wanted)
    if table not in tables:
        raise _mistaken(server, rid, wanted, table)
    return table, written


@reads
def not_found(server: Server, rid: RID, wanted: str) -> DerivaMLRequestError:
    """The error for an RID that names no such record, saying what it names instead, if anything."""
    try:
        return _mistaken(server, rid, wanted, _place(server, rid, wanted)[0])
    except NotFound as error:
        return error


def _place(server: Server, rid: RID, wanted: str) -> tuple[str, RID]:
    """The table that a record is in, and its RID as written there."""
    place: Row = {}
    with unless_refused(400, 404, 409):
        place = server.describe(f"/entity_rid/{quote(rid)}", RID=str, schema_name=str, table_name=str)
    if not place or "deleted_at" in place:
        gone = f": it was deleted on {place['deleted_at'][:10]}" if place else ""
        raise NotFound(f"there is no {wanted} {rid} in catalog {server.catalog_id} of {server.host}{gone}")
    return server.model.name_of(place["schema_name"], place["table_name"]), place["RID"]


def _mistaken(server: Server, rid: RID, wanted: str, table: str) -> DerivaMLRequestError:
    kind = table.lower() if server.model.has(table) else f"row of {table}"
    if table in server.model.asset_tables:
        kind = "asset"
    if kind == wanted:
        return DerivaMLRequestError(
            f"{server.host} does not let you read the {wanted} {rid}: ask the owner of catalog {server.catalog_id}"
        )
    return NotFound(
        f"{rid} names no {wanted}: in catalog {server.catalog_id} of {server.host} it is of kind {kind}"
    )
