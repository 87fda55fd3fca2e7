"""Finds assets and datasets of a Deriva catalog by RID, and keeps what was found for work without the server."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deriva_ml.definitions import RID, Asset, Dataset, MLAsset, Row
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.errors import ServerRefused
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server, quote
from deriva_ml.deriva.snapshot import Snapshot, newest, order
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, NotFound
from deriva_ml.project import Project, write_atomically
from deriva_ml.terminal import shown
from deriva_ml.untrusted import DAMAGED, plain_name, read_json, well_formed

log = logging.getLogger(__name__)


@reads
def find_assets(server: Server, model: Model, rids: Sequence[RID]) -> list[Asset]:
    """The assets with these RIDs, in their order, from whichever tables they are in: three requests a table.

    Two, for the table that most are in: it is asked first.

    Raises:
        DerivaMLRequestError: one is not there, or is something else.
    """
    found: dict[RID, Asset] = {}
    waiting = list(dict.fromkeys(rids))
    if waiting and (likely := MLAsset.execution_asset.value) in model.asset_tables:
        rows = server.get_any(f"/entity/{model.qualified(likely)}", "RID", waiting)
        found = {asset.rid: asset for asset in _assets(server, model, likely, rows)}
        waiting = [one for one in waiting if one not in found]
    while waiting:
        table, rid = _place(server, model, waiting[0], "asset")
        if table not in model.asset_tables:
            raise _mistaken(server, model, waiting[0], "asset", table)
        rows = server.get_any(f"/entity/{model.qualified(table)}", "RID", [rid, *waiting[1:]])
        made = {asset.rid: asset for asset in _assets(server, model, table, rows)}
        if rid not in made:
            raise _mistaken(server, model, waiting[0], "asset", table)
        # The one that was looked up may have been written otherwise than its record has it, as 1abc for 1-ABC.
        found |= {waiting[0]: made[rid], **made}
        waiting = [one for one in waiting if one not in found]
    return [found[rid] for rid in rids]


def _assets(server: Server, model: Model, table: str, rows: Sequence[Row]) -> list[Asset]:
    terms: dict[RID, list[str]] = {}
    if link := model.association(table, "Asset_Type"):
        path = f"/entity/{model.qualified(link.table)}"
        for row in server.get_any(path, link.column, (row["RID"] for row in rows)):
            terms.setdefault(row[link.column], []).append(row[link.other_column])
    found = (Asset.from_row(table, row, sorted(terms.get(row["RID"], ()))) for row in rows)
    return [asset for asset in found if asset is not None]


@reads
def find_dataset(server: Server, model: Model, rid: RID, version: str | None = None) -> Dataset:
    """A dataset at a version, by default its newest, as the catalog was when the version was made.

    A version that names no snapshot is read as the catalog is now; ``snapshot`` says which state that is.

    Raises:
        DerivaMLRequestError: there is no such dataset or version, or it has been deleted, or contains itself.
        DerivaMLException: the server does not have the version's snapshot.
    """
    path = f"/entity/{model.qualified('Dataset')}/RID="
    rows = server.get(path + quote(rid))
    if not rows:
        table, written = _place(server, model, rid, "dataset")
        if table != "Dataset":
            raise _mistaken(server, model, rid, "dataset", table)
        rows = server.get(path + quote(written))
        if not rows:
            raise _mistaken(server, model, rid, "dataset", table)
    rid = rows[0]["RID"]
    if rows[0]["Deleted"]:
        raise DerivaMLRequestError(f"dataset {rid} has been deleted")
    versions = server.get(f"/entity/{model.qualified('Dataset_Version')}/Dataset={quote(rid)}")
    chosen = newest(row for row in versions if version in (None, row["Version"]))
    if version is not None and not chosen:
        names = ", ".join(row["Version"] for row in sorted(versions, key=order) if row["Version"])
        raise DerivaMLRequestError(f"dataset {rid} has no version {version}; it has {names or 'none'}")
    snapshot = chosen.get("Snapshot")
    if not snapshot:
        snapshot = server.snaptime()
        log.warning(
            "dataset %s has no snapshot for its version: it is read as it is now, %s",
            shown(rid),
            shown(snapshot),
        )
    try:
        return Snapshot(server, snapshot).read(rid, chosen)
    except ServerRefused as error:
        if error.status != 409:
            raise
        raise DerivaMLException(
            f"dataset {rid} cannot be read at version {chosen.get('Version')}, whose snapshot is {snapshot}: {error}"
        ) from error


@reads
def datasets_of(server: Server, model: Model, execution: RID) -> list[Dataset]:
    """The datasets that an execution read, without members; without the version where the catalog does not say it."""
    links = server.get(f"/entity/{model.qualified('Dataset_Execution')}/Execution={quote(execution)}")
    read = (link["Dataset"] for link in links)
    rows = {row["RID"]: row for row in server.get_any(f"/entity/{model.qualified('Dataset')}", "RID", read)}
    noted = (link["Dataset_Version"] for link in links if link.get("Dataset_Version"))
    path = f"/entity/{model.qualified('Dataset_Version')}"
    versions = {row["RID"]: row for row in server.get_any(path, "RID", noted)}
    found = []
    for link in links:
        version = versions.get(link.get("Dataset_Version"), {})
        description = rows.get(link["Dataset"], {}).get("Description") or ""
        found.append(
            Dataset(
                link["Dataset"],
                version.get("Version") or "",
                description,
                snapshot=version.get("Snapshot"),
                version_rid=version.get("RID"),
            )
        )
    return found


@reads
def find_same_dataset(
    server: Server, model: Model, dataset: Dataset, nested: Collection[RID]
) -> tuple[RID, RID] | None:
    """A dataset that has just these files, by MD5 and name, and nested datasets at a version of the same name.

    Args:
        dataset: of the project's own catalog.
        nested: the RIDs there of those nested in it.

    Returns:
        the RIDs of the dataset and of its version; None if there is none.
    """
    files = {(row["MD5"], row["Filename"]) for row in dataset.members.get("File", ())}
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
        rid, snapshot = quote(row["Dataset"]), row["Snapshot"]
        with contextlib.suppress(ServerRefused):  # the catalog had other tables then
            members = server.get(f"/entity/{link}/Dataset={rid}/{file}", snapshot=snapshot)
            if {(one["MD5"], one["Filename"]) for one in members} != files:
                continue
            children = server.get(f"/entity/{nesting}/Dataset={rid}", snapshot=snapshot)
            if {one["Nested_Dataset"] for one in children} != set(nested):
                continue
            paths = [
                f"/entity/{model.qualified(one.table)}/{quote(one.column)}={rid}?limit=1" for one in others
            ]
            if not any(server.get(path, snapshot=snapshot) for path in paths):
                return row["Dataset"], row["RID"]
    return None


@reads
def not_found(server: Server, model: Model, rid: RID, wanted: str) -> DerivaMLRequestError:
    """The error for an RID that names no such record, saying what it names instead, if anything."""
    try:
        return _mistaken(server, model, rid, wanted, _place(server, model, rid, wanted)[0])
    except NotFound as error:
        return error


def _place(server: Server, model: Model, rid: RID, wanted: str) -> tuple[str, RID]:
    """The table that a record is in, and its RID as written there."""
    try:
        path = f"/entity_rid/{quote(rid)}"
        place = server.describe(path, RID=str, schema_name=str, table_name=str)
    except ServerRefused as error:
        if error.status not in (400, 404, 409):
            raise
        place = None
    if place is None or "deleted_at" in place:
        gone = f": it was deleted on {place['deleted_at'][:10]}" if place else ""
        raise NotFound(f"there is no {wanted} {rid} in catalog {server.catalog_id} of {server.host}{gone}")
    return model.name_of(place["schema_name"], place["table_name"]), place["RID"]


def _mistaken(server: Server, model: Model, rid: RID, wanted: str, table: str) -> DerivaMLRequestError:
    kind = (
        "asset" if table in model.asset_tables else table.lower() if model.has(table) else f"row of {table}"
    )
    if kind == wanted:
        return DerivaMLRequestError(
            f"{server.host} does not let you read the {wanted} {rid}: ask the owner of catalog {server.catalog_id}"
        )
    return NotFound(
        f"{rid} names no {wanted}: in catalog {server.catalog_id} of {server.host} it is of kind {kind}"
    )


class Recollection:
    """What a catalog said of its assets, datasets and tables, kept in a folder for when it cannot be asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_schema(self, document: Mapping[str, Any]) -> None:
        """Keep the catalog's schema document."""
        self._keep("schema", document)

    def schema(self) -> dict[str, Any] | None:
        """The schema document, if one was kept."""
        document: dict[str, Any] | None = self._read("schema")
        return document if isinstance(document, dict) and isinstance(document.get("schemas"), dict) else None

    def current_schema(self, server: Server) -> dict[str, Any]:
        """The schema document as it is now; it is sent only if the one that was kept is another."""
        kept = server.kept_schema = self.schema()
        document = server.schema()
        if document is not kept:
            self.keep_schema(document)
        return document

    def keep_asset(self, asset: Asset) -> None:
        """Keep an asset's record."""
        self._keep(f"asset {_key(asset.rid)}", asdict(asset))

    def asset(self, rid: RID) -> Asset | None:
        """An asset's record, if it was kept."""
        try:
            value = self._read(f"asset {_key(rid)}")
            return well_formed(Asset(**{**value, "types": tuple(value["types"]), "role": None}))
        except DAMAGED:
            return None

    def keep_dataset(self, dataset: Dataset, asked: str | None) -> None:
        """Keep a dataset that was found when a version, or else the newest, was asked for."""
        self._keep(f"dataset {_key(dataset.rid)} {dataset.version}", _plain(dataset))
        if asked is None:
            self._keep(f"dataset {_key(dataset.rid)}", dataset.version)

    def dataset(self, rid: RID, version: str | None = None) -> Dataset | None:
        """A dataset at a version, by default the one that was the newest when it was last asked for; if it was kept."""
        version = version or self._read(f"dataset {_key(rid)}")
        try:
            return _dataset(self._read(f"dataset {_key(rid)} {version}"))
        except DAMAGED:
            return None

    def _keep(self, name: str, value: object) -> None:
        with contextlib.suppress(OSError):  # no run fails for want of what only a later one may use
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._folder.is_symlink():
                write_atomically(
                    self._folder / f"{plain_name(name)}.json", json.dumps(value, ensure_ascii=False)
                )

    def _read(self, name: str) -> Any:
        try:
            return None if self._folder.is_symlink() else read_json(self._folder / f"{plain_name(name)}.json")
        except (OSError, ValueError):
            return None


def recollection(project: Project, host: str, catalog: str) -> Recollection:
    """What a catalog on a server, with or without ``http://`` before its name, said to this project."""
    return Recollection(project.state / "known" / f"{host.rpartition('://')[2]} {catalog}")


def _key(rid: RID) -> str:
    """An RID in one of the ways that servers take it: they read 1abc as 1-ABC."""
    return rid.replace("-", "").upper()


def _plain(dataset: Dataset) -> dict[str, Any]:
    return {**vars(dataset), "nested": [_plain(child) for child in dataset.nested]}


def _dataset(value: Mapping[str, Any]) -> Dataset:
    nested = tuple(_dataset(child) for child in value["nested"])
    return well_formed(Dataset(**{**value, "types": tuple(value["types"]), "nested": nested}))
