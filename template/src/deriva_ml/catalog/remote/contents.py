"""Brings files and datasets of the project's own catalog to a destination: contents, rows, types, versions, members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Remote
from deriva_ml.catalog.remote.errors import ServerRefused
from deriva_ml.catalog.remote.rows import Rows
from deriva_ml.catalog.remote.transfer import Upload, object_name, upload
from deriva_ml.definitions import RID, Asset, Dataset


def by_table(assets: Iterable[Asset]) -> dict[str, list[Asset]]:
    """Assets by the table that they are rows of."""
    found: dict[str, list[Asset]] = {}
    for asset in assets:
        found.setdefault(asset.table, []).append(asset)
    return found


def send_assets(local: EmbeddedCatalog, there: Rows, assets: Iterable[Asset]) -> bool:
    """See that assets are there, contents first, then rows, then types; True if a content had to be sent.

    One that an execution read or made also gets the type that says which.
    """
    assets = list(assets)
    new = [asset for asset in {one.rid: one for one in assets}.values() if not there.stored(asset.rid)]
    there.lease(asset.rid for asset in new)
    sent = _send_contents(local, there, new)
    for table, members in by_table(new).items():
        _store(there, table, members)
    for table, members in by_table(assets).items():
        _store_types(there, table, members)
    return sent


def _send_contents(local: EmbeddedCatalog, there: Rows, assets: Sequence[Asset]) -> bool:
    known = {asset.rid: there.known(asset.rid) or Remote("") for asset in assets}
    waiting: dict[str, list[Asset]] = {}
    for asset in assets:
        if known[asset.rid].url is None:
            waiting.setdefault(object_name(asset.table, asset.md5, asset.filename), []).append(asset)
    uploads = [
        Upload(local.objects.path(first.md5), name, first.md5, first.length, first.filename)
        for name, (first, *_) in waiting.items()
    ]

    def done(item: Upload, url: str) -> None:
        there.note({asset.rid: Remote(known[asset.rid].rid, url) for asset in waiting[item.name]})

    upload(there.server, uploads, done)
    return bool(uploads)


def _store(there: Rows, table: str, assets: Sequence[Asset]) -> None:
    """Insert the rows of contents that are there; a content that has a row keeps that one, whoever made it."""
    known = {asset.rid: there.known(asset.rid) or Remote("") for asset in assets}
    own = {asset.rid: there.journal.columns(asset.rid) for asset in assets}
    names = {name for values in own.values() for name in values}
    own = {rid: dict.fromkeys(names) | values for rid, values in own.items()}  # rows of one shape
    # By URL, which is what the table keeps apart by.
    by_url = {
        known[asset.rid].url: {
            **({"RID": known[asset.rid].rid} if known[asset.rid].rid else {}),
            "URL": known[asset.rid].url,
            "Filename": asset.filename,
            "Description": asset.description,
            "Length": asset.length,
            "MD5": asset.md5,
            **own[asset.rid],
        }
        for asset in assets
    }
    rows = list(by_url.values())
    rids = {row["URL"]: row["RID"] for row in there.insert(table, rows)}
    skipped = [str(row["URL"]) for row in rows if row["URL"] not in rids]
    for row in there.server.get_any(f"/entity/{there.model.qualified(table)}", "URL", skipped):
        rids[row["URL"]] = row["RID"]
    if lacking := [row["Filename"] for row in rows if row["URL"] not in rids]:
        raise ServerRefused(
            f"{there.server.host} did not take the row of {lacking[0]} into {table}: another row there has a key of"
            " it, such as its name, or it is there and you may not read it",
            409,
        )
    there.note({rid: Remote(rids[remote.url], remote.url, stored=True) for rid, remote in known.items()})


def _store_types(there: Rows, table: str, assets: Sequence[Asset]) -> None:
    association = there.model.association(table, "Asset_Type")
    if association is None:
        return
    types = [
        (asset, term)
        for asset in assets
        for term in (*asset.types, *([asset.role.asset_type.value] if asset.role else ()))
    ]
    rows = [
        {association.column: there.rid(asset.rid), association.other_column: term} for asset, term in types
    ]
    there.associate(association.table, rows, {"Asset_Type": [term for _, term in types]})


def files_of(local: EmbeddedCatalog, there: Rows, dataset: Dataset) -> list[Asset]:
    """The files of a dataset that is not there, with those of datasets nested in it."""
    if there.stored(dataset.rid):
        return []
    files = local.lookup_assets([row["RID"] for row in dataset.members.get("File", [])])
    return [*files, *(file for child in dataset.nested for file in files_of(local, there, child))]


def send_dataset(there: Rows, dataset: Dataset) -> None:
    """See that a dataset, whose files are there, is there with its version, its types and its members."""
    if there.stored(dataset.rid):
        return
    for child in dataset.nested:
        send_dataset(there, child)
    version = version_of(dataset)
    there.lease([dataset.rid, version])
    there.store("Dataset", dataset.rid, {"Description": dataset.description, "Deleted": False}, whole=False)
    rid = there.rid(dataset.rid)
    row = {"Dataset": rid, "Version": dataset.version, "Description": dataset.description}
    there.store("Dataset_Version", version, row)
    types = [{"Dataset": rid, "Dataset_Type": term} for term in dataset.types]
    there.associate("Dataset_Dataset_Type", types, {"Dataset_Type": dataset.types})
    files = [{"Dataset": rid, "File": there.rid(row["RID"])} for row in dataset.members.get("File", [])]
    there.associate("Dataset_File", files)
    nested = [{"Dataset": rid, "Nested_Dataset": there.rid(child.rid)} for child in dataset.nested]
    there.associate("Dataset_Dataset", nested)
    current = [{"RID": rid, "Version": there.rid(version)}]
    there.server.update(there.model.qualified("Dataset"), current)
    # A version holds what the catalog held at its snapshot, so that comes last.
    snapshot = [{"RID": there.rid(version), "Snapshot": there.server.snaptime()}]
    there.server.update(there.model.qualified("Dataset_Version"), snapshot)
    there.note({dataset.rid: Remote(rid, stored=True)})


def version_of(dataset: Dataset) -> RID:
    """The RID of the row of a dataset's version in the project's own catalog."""
    assert dataset.version_rid is not None
    return dataset.version_rid
