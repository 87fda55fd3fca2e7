"""The embedded catalog's datasets: their versions, members and parts, and which executions read them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from sqlite3 import Row

from deriva_ml.catalog.base import CatalogBase, file_of
from deriva_ml.definitions import RID, Dataset, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.untrusted import well_formed


class Datasets(CatalogBase):
    """The part of ``EmbeddedCatalog`` that keeps datasets; ``Source`` says what its look-ups do."""

    def add_dataset(
        self,
        description: str,
        files: Sequence[RID],
        types: Sequence[str] = (),
        version: str = "0.1.0",
        execution: RID | None = None,
        nested: Sequence[RID] = (),
        rid: RID | None = None,
    ) -> RID:
        """Record a dataset with its first version.

        Args:
            files: RIDs of its members, which are rows of ``File``.
            nested: RIDs of datasets that are part of this one.
            rid: a reserved RID, for content that configurations name.
        """
        with self._db.transaction():
            [rid] = self._db.insert("Dataset", {"RID": rid, "Description": description, "Deleted": 0})
            row = {"Version": version, "Description": description, "Dataset": rid, "Execution": execution}
            [version_rid] = self._db.insert("Dataset_Version", row)
            self._db.update("Dataset", rid, {"Version": version_rid})
            self._insert_types("Dataset", rid, "Dataset_Type", types)
            self._db.insert(
                "Dataset_Dataset", *({"Dataset": rid, "Nested_Dataset": child} for child in nested)
            )
            self._db.insert("Dataset_File", *({"Dataset": rid, "File": member} for member in files))
        return rid

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        with self._damage("dataset", rid):
            return well_formed(self._dataset(rid, version, ()))

    def _dataset(self, rid: RID, version: str | None, above: tuple[RID, ...]) -> Dataset:
        """Return a dataset that is nested, directly or not, in those ``above``."""
        if rid in above:
            raise DerivaMLRequestError(
                f"dataset {above[0]} cannot be read, since {rid} in it contains itself"
            )
        row = self._db.find("Dataset", RID=rid)
        if row is None:
            raise self._not_found(rid, "dataset")
        if row["Deleted"]:
            raise DerivaMLRequestError(f"dataset {rid} has been deleted")
        versions = {row["Version"]: row["RID"] for row in self._db.select("Dataset_Version", Dataset=rid)}
        if version is None:
            version = self._db.get("Dataset_Version", "Version", RID=row["Version"])
        elif version not in versions:
            raise DerivaMLRequestError(
                f"dataset {rid} has no version {version}; it has {', '.join(versions)}"
            )
        files = self._db.query(
            'SELECT f.* FROM "File" f JOIN "Dataset_File" m ON m."File" = f."RID" WHERE m."Dataset" = ?'
            ' ORDER BY f."Filename"',
            rid,
        )
        read = functools.partial(file_of, MLAsset.file.value)
        types = self._db.get_all("Dataset_Dataset_Type", "Dataset_Type", Dataset=rid)
        nested = self._db.get_all("Dataset_Dataset", "Nested_Dataset", Dataset=rid)
        return Dataset(
            rid=rid,
            version=version,
            description=row["Description"] or "",
            types=tuple(types),
            members={"File": [dict(file) for file in files if self._build(file, read, "file")]},
            nested=tuple(self._dataset(child, None, (*above, rid)) for child in nested),
            version_rid=versions.get(version),
        )

    def find_datasets(self, limit: int | None = None) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID", d."Description", v."Version", v."RID" AS version_rid, (SELECT'
            ' json_group_array("Dataset_Type") FROM "Dataset_Dataset_Type" WHERE "Dataset" = d."RID") AS types'
            ' FROM "Dataset" d JOIN "Dataset_Version" v ON v."RID" = d."Version"'
            ' WHERE NOT coalesce(d."Deleted", 0) ORDER BY d."RCT" DESC, d."RID" DESC LIMIT ?',
            -1 if limit is None else limit,
        )

        def dataset(row: Row) -> Dataset:
            return Dataset(
                row["RID"],
                row["Version"],
                row["Description"] or "",
                tuple(json.loads(row["types"])),
                version_rid=row["version_rid"],
            )

        return self._build_all(rows, dataset, "dataset")

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        """Record that an execution read a dataset at a version."""
        version = self._db.get("Dataset_Version", "RID", Dataset=dataset.rid, Version=dataset.version)
        row = {"Dataset": dataset.rid, "Execution": execution, "Dataset_Version": version}
        self._link(execution, "Dataset_Execution", row)

    def datasets_of(self, execution: RID) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID", v."Version", coalesce(d."Description", \'\') FROM "Dataset_Execution" l'
            ' JOIN "Dataset" d ON d."RID" = l."Dataset" JOIN "Dataset_Version" v ON v."RID" = l."Dataset_Version"'
            ' WHERE l."Execution" = ?',
            execution,
        )
        return self._build_all(rows, lambda row: Dataset(*row), "dataset")
