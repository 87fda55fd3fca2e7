"""A catalog with a domain's schema, and what the tests put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from catalog_kinds import delete
from deriva_double import DerivaDouble
from deriva_ml.definitions import RID, Dataset
from deriva_ml.deriva.lookup import find_dataset
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server, quote
from domain_schema import DOMAIN


class Study:
    """A catalog with a domain's schema, filled by the tests."""

    def __init__(self, double: DerivaDouble, generation: str, *schemas: dict[str, Any]) -> None:
        self.double = double
        self.catalog = double.create_catalog(generation)
        self.server = Server(double.url, self.catalog, double.credential(), RetryPolicy(pause=0.001))
        self.server.request("post", f"/ermrest/catalog/{self.catalog}/schema", json=[DOMAIN, *schemas])
        self.model = self.server.model

    def add(self, table: str, *rows: dict[str, Any]) -> list[RID]:
        """Insert rows of the same columns; their RIDs."""
        return [row["RID"] for row in self.server.insert(self.model.qualified(table), rows, given=())]

    def change(self, table: str, rid: RID, **columns: Any) -> None:
        self.server.update(self.model.qualified(table), [{"RID": rid, **columns}])

    def remove(self, table: str, **columns: str) -> None:
        condition = "&".join(f"{name}={quote(value)}" for name, value in columns.items())
        delete(self.server, f"/entity/{self.model.qualified(table)}/{condition}")

    def files(self, table: str, *names: str, **columns: Any) -> list[RID]:
        """Rows of files whose content is their name."""
        return self.add(table, *(file_row(table, name, **columns) for name in names))

    def dataset(self, description: str, **members: Sequence[RID]) -> RID:
        """A dataset without a version; members by table, with ``_`` for a space."""
        [rid] = self.add("Dataset", {"Description": description})
        self.extend(rid, **members)
        return rid

    def extend(self, dataset: RID, **members: Sequence[RID]) -> None:
        for name, rids in members.items():
            table = "Scan Image" if name == "Scan_Image" else name
            column = "Nested_Dataset" if table == "Dataset" else table
            self.add(f"Dataset_{table}", *({"Dataset": dataset, column: rid} for rid in rids))

    def version(self, dataset: RID, version: str, snapshot: bool = True) -> str:
        """Make a version as deriva-ml does: the row first, then its snapshot, so that the snapshot has the row."""
        row = {"Dataset": dataset, "Version": version, "Description": f"is {version}"}
        [rid] = self.add("Dataset_Version", row)
        snaptime = self.server.snaptime()
        if snapshot:
            self.change("Dataset_Version", rid, Snapshot=snaptime)
        self.change("Dataset", dataset, Version=rid)
        return snaptime

    def find(self, rid: RID, version: str | None = None) -> Dataset:
        return find_dataset(self.server, rid, version)

    def requests(self, rid: RID, version: str | None = None) -> int:
        """How many requests finding a dataset takes."""
        self.double.log.clear()
        self.find(rid, version)
        return len(self.double.log)


def md5_of(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()


def file_row(table: str, name: str, **columns: Any) -> dict[str, Any]:
    url = f"/hatrac/{table}/{md5_of(name)}.{name}"
    return {"URL": url, "Filename": name, "Length": len(name), "MD5": md5_of(name), **columns}


def rids(rows: Sequence[dict[str, Any]]) -> list[RID]:
    return sorted(row["RID"] for row in rows)


def names(tables: dict[str, list[dict[str, Any]]], table: str, column: str = "Name") -> set[str]:
    return {row[column] for row in tables.get(table, [])}


def workflow_type(study: Study) -> dict[str, str]:
    if study.model.workflow_types_are_rows:
        return {}
    study.add("Workflow_Type", {"Name": "T", "Description": "", "ID": "x:1", "URI": "/id/1"})
    return {"Workflow_Type": "T"}
