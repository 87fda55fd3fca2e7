"""The newest files, datasets and workflows of a Deriva catalog."""

from __future__ import annotations

from fnmatch import fnmatchcase

from deriva_ml.definitions import Asset, Dataset, Workflow, by_age
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.lookup import assets_of_rows, dataset_of, read_workflows
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import tell

NEWEST = 1000
"""Rows of a table that are looked at."""


@reads
def find_newest_assets(
    server: Server,
    table: str | None = None,
    asset_type: str | None = None,
    name: str | None = None,
    limit: int | None = None,
) -> list[Asset]:
    """The newest files; see ``Source.find_assets``."""
    if table is not None and table not in server.model.asset_tables:
        tables = ", ".join(server.model.asset_tables)
        raise DerivaMLRequestError(f"there is no asset table {table}; the catalog has {tables}")
    found: list[Asset] = []
    for one in server.model.asset_tables if table is None else [table]:
        rows = server.newest(one, NEWEST)
        if len(rows) == NEWEST and (name is not None or asset_type is not None):
            tell(f"note: only the newest {NEWEST} files of {one} are looked at")
        found += [
            asset
            for asset in assets_of_rows(server, one, rows)
            if asset.url != UNKNOWN_SOURCE
            and (name is None or fnmatchcase(asset.filename, name))
            and (asset_type is None or asset_type in asset.types)
        ]
    return sorted(found, key=by_age, reverse=True)[:limit]


@reads
def find_newest_datasets(server: Server, limit: int | None = None) -> list[Dataset]:
    """The newest datasets; see ``Source.find_datasets``."""
    rows = server.newest("Dataset", NEWEST)
    rows = [row for row in rows if not row["Deleted"]][:limit]
    current = [row["Version"] for row in rows if row["Version"]]
    versions = {row["RID"]: row for row in server.find_any("Dataset_Version", "RID", current)}
    rids = [row["RID"] for row in rows]
    types = server.find_linked("Dataset_Dataset_Type", "Dataset", rids, "Dataset_Type")
    return [dataset_of(row, versions.get(row["Version"]), types.get(row["RID"], ())) for row in rows]


@reads
def find_newest_workflows(server: Server) -> list[Workflow]:
    """The newest workflows."""
    rows = server.newest("Workflow", NEWEST)
    known = read_workflows(server, (row["RID"] for row in rows))
    return [known[row["RID"]] for row in rows if row["RID"] in known]
