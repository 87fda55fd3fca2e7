"""The newest files, datasets and workflows of a Deriva catalog."""

from __future__ import annotations

from fnmatch import fnmatchcase

from deriva_ml.definitions import RID, Asset, Dataset, Workflow
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.executions import read_workflows
from deriva_ml.deriva.lookup import assets_of_rows
from deriva_ml.deriva.model import UNKNOWN_SOURCE, Model
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLRequestError

NEWEST = 1000
"""Rows of a table that are looked at."""

_NEWEST_FIRST = "@sort(RCT::desc::,RID::desc::)?limit="


@reads
def find_newest_assets(
    server: Server,
    model: Model,
    table: str | None = None,
    asset_type: str | None = None,
    name: str | None = None,
    limit: int | None = None,
) -> list[Asset]:
    """The newest files; see ``Source.find_assets``."""
    if table is not None and table not in model.asset_tables:
        tables = ", ".join(model.asset_tables)
        raise DerivaMLRequestError(f"there is no asset table {table}; the catalog has {tables}")
    found: list[Asset] = []
    for one in model.asset_tables if table is None else [table]:
        rows = server.get(f"/entity/{model.qualified(one)}{_NEWEST_FIRST}{NEWEST}")
        found += [
            asset
            for asset in assets_of_rows(server, model, one, rows)
            if asset.url != UNKNOWN_SOURCE
            and (name is None or fnmatchcase(asset.filename, name))
            and (asset_type is None or asset_type in asset.types)
        ]
    return sorted(found, key=lambda asset: (asset.created, asset.rid), reverse=True)[:limit]


@reads
def find_newest_datasets(server: Server, model: Model, limit: int | None = None) -> list[Dataset]:
    """The newest datasets; see ``Source.find_datasets``."""
    rows = server.get(f"/entity/{model.qualified('Dataset')}{_NEWEST_FIRST}{NEWEST}")
    rows = [row for row in rows if not row["Deleted"]][:limit]
    path = f"/entity/{model.qualified('Dataset_Version')}"
    versions = {
        row["RID"]: row
        for row in server.get_any(path, "RID", (row["Version"] for row in rows if row["Version"]))
    }
    types: dict[RID, list[str]] = {}
    path = f"/entity/{model.qualified('Dataset_Dataset_Type')}"
    for link in server.get_any(path, "Dataset", (row["RID"] for row in rows)):
        types.setdefault(link["Dataset"], []).append(link["Dataset_Type"])
    found = []
    for row in rows:
        version = versions.get(row["Version"], {})
        found.append(
            Dataset(
                row["RID"],
                version.get("Version") or "",
                row["Description"] or "",
                tuple(sorted(types.get(row["RID"], ()))),
                snapshot=version.get("Snapshot"),
                version_rid=version.get("RID"),
            )
        )
    return found


@reads
def find_newest_workflows(server: Server, model: Model) -> list[Workflow]:
    """The newest workflows."""
    rows = server.get(f"/entity/{model.qualified('Workflow')}{_NEWEST_FIRST}{NEWEST}")
    known = read_workflows(server, model, (row["RID"] for row in rows))
    return [known[row["RID"]] for row in rows if row["RID"] in known]
