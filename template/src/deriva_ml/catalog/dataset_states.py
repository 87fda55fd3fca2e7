"""The states of the embedded catalog's datasets: which there are, what is in each, and which executions read them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from sqlite3 import Row
from typing import Any

from deriva_ml.catalog.base import CatalogBase, file_of
from deriva_ml.dataset_version import state_with
from deriva_ml.definitions import RID, Dataset, DatasetState, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.manifest import Entry, digest_of, lines
from deriva_ml.untrusted import check_relative, well_formed

MEMBERS = (
    'SELECT m."path" AS "Path", m."nested", f.*, v."Version", v."Dataset", n."digest", n."files", n."bytes"'
    ' FROM "local_member" m LEFT JOIN "File" f ON f."RID" = m."file"'
    ' LEFT JOIN "Dataset_Version" v ON v."RID" = m."nested" LEFT JOIN "local_version" n ON n."version" = m."nested"'
    ' WHERE m."dataset" = ? AND m."since" <= ? AND (m."until" IS NULL OR m."until" > ?) ORDER BY m."path"'
)
"""What is in a dataset's state of a number, which is given twice: files with their rows, datasets with their versions."""


class DatasetStates(CatalogBase):
    """The part of ``EmbeddedCatalog`` that reads datasets; ``Source`` says what its look-ups do."""

    # Their states

    def dataset_versions(self, rid: RID) -> list[DatasetState]:
        with self._damage("dataset", rid):
            return self._states('s."Dataset" = ? ORDER BY l."number" DESC', rid)

    def _states(self, condition: str, *values: Any) -> list[DatasetState]:
        rows = self._db.query(
            'SELECT s."RID" AS "rid", s."Dataset" AS "dataset", s."Version" AS "version", s."Execution" AS "execution",'
            ' coalesce(s."Description", \'\') AS "description", s."RCT" AS "created", l."number", l."digest", l."files",'
            f' l."bytes" FROM "Dataset_Version" s JOIN "local_version" l ON l."version" = s."RID" WHERE {condition}',
            *values,
        )
        return [well_formed(DatasetState(**row)) for row in rows]

    def dataset_state(self, state: RID) -> DatasetState:
        """Return the state of a dataset that a row of ``Dataset_Version`` stands for.

        Raises:
            NotFound: there is none.
        """
        found = self._states('s."RID" = ?', state)
        if not found:
            raise NotFound(f"there is no version {state} of a dataset in this project's catalog")
        return found[0]

    def states_read(self, execution: RID) -> list[DatasetState]:
        """Return the states of datasets that an execution read."""
        read = 's."RID" IN (SELECT "Dataset_Version" FROM "Dataset_Execution" WHERE "Execution" = ?)'
        return self._states(read, execution)

    def states_made(self, execution: RID) -> list[DatasetState]:
        """Return the states of datasets that an execution made, oldest first."""
        return self._states('s."Execution" = ? ORDER BY l."dataset", l."number"', execution)

    def current_state(self, rid: RID) -> DatasetState:
        """Return the state that a dataset is in.

        Raises:
            DerivaMLRequestError: it is not there, or deleted.
        """
        row = self._row(rid)
        if row["Deleted"]:
            raise DerivaMLRequestError(f"dataset {rid} has been deleted")
        return self.dataset_state(row["Version"])

    def _row(self, rid: RID) -> Row:
        row = self._db.find("Dataset", RID=rid)
        if row is None:
            raise self._not_found(rid, "dataset")
        return row

    def _last_release(self, rid: RID) -> str:
        released = (one.version for one in self.dataset_versions(rid) if one.released)
        return next(released, "0.0.0")

    def members(self, state: RID) -> Iterator[dict[str, Any]]:
        """Return the rows of what is in a state of a dataset, in the order of their paths.

        Args:
            state: the RID of a row of ``Dataset_Version``.

        Returns:
            Of each its ``Path`` and either the row of ``File``, or ``nested`` with the RID of the version of the dataset
            that lies there.
        """
        found = self.dataset_state(state)
        for row in self._db.query(MEMBERS, found.dataset, found.number, found.number):
            yield dict(row) if row["nested"] is None else {"Path": row["Path"], "nested": row["nested"]}

    def files(self, state: RID, folder: str = "") -> Iterator[dict[str, Any]]:
        """Return the rows of a state's files and of those in datasets nested in it, with their whole paths in ``Path``.

        Args:
            folder: that all of it lies in, with a slash at its end.
        """
        for row in self.members(state):
            path = f"{folder}{row['Path']}"
            if row.get("nested"):
                yield from self.files(row["nested"], f"{path}/")
            else:
                yield row | {"Path": path}

    def manifest(self, state: RID) -> Iterator[str]:
        """Return the lines of the manifest of a state of a dataset."""
        return lines(self._entries(state))

    def manifest_digest(self, state: RID) -> str:
        """Return the digest of what is in a state of a dataset now, whatever is recorded of it."""
        return digest_of(self._entries(state))

    def _entries(self, state: RID) -> Iterator[Entry]:
        found = self.dataset_state(state)
        return map(entry_of, self._db.query(MEMBERS, found.dataset, found.number, found.number))

    def versions_with_digest(self, digest: str) -> list[tuple[RID, str]]:
        """Return the datasets and their states that have a manifest of this digest, newest first."""
        found = self._states('l."digest" = ? ORDER BY s."RCT" DESC', digest)
        return [(one.dataset, one.version) for one in found]

    def find_dataset_by_digest(self, digest: str, version: str) -> tuple[RID, str] | None:
        found = [one for one in self.versions_with_digest(digest) if one[1] == version]
        return found[0] if found else None

    def dataset_named(self, name: str) -> RID | None:
        """Return the dataset that this project calls by a name, if there is one."""
        found: RID | None = self._db.get("local_dataset", "dataset", name=name)
        return found

    def name_of_dataset(self, rid: RID) -> str:
        """Return what this project calls a dataset; empty without a name."""
        return self._db.get("local_dataset", "name", dataset=rid) or ""

    # Looking them up

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        with self._damage("dataset", rid):
            return well_formed(self._dataset(rid, version, ()))

    def _dataset(self, rid: RID, version: str | None, above: tuple[RID, ...], folder: str = "") -> Dataset:
        """Return a dataset that is nested, directly or not, in those ``above``."""
        if rid in above:
            raise DerivaMLRequestError(
                f"dataset {above[0]} cannot be read, since {rid} in it contains itself"
            )
        if version is None:
            version = self.current_state(rid).version
        described = self.describe(rid)
        states = self.dataset_versions(rid)
        state = state_with(states, version, f"dataset {rid}")
        read, files, nested = functools.partial(file_of, MLAsset.file.value), [], []
        for member in self._db.query(MEMBERS, rid, state.number, state.number):
            path = check_relative(member["Path"])
            if member["nested"] is not None:
                nested.append(self._dataset(member["Dataset"], member["Version"], (*above, rid), path))
            elif self._build(member, read, "file"):
                files.append(_file_row(member))
        return replace(
            described,
            version=version,
            members={"File": files},
            nested=tuple(nested),
            version_rid=state.rid,
            digest=state.digest,
            folder=folder,
            history=tuple(one for one in states if one.number <= state.number),
            executions=tuple(dict.fromkeys(self._db.get_all("Dataset_Execution", "Execution", Dataset=rid))),
        )

    def describe(self, rid: RID) -> Dataset:
        """Return what is said of a dataset, also of a deleted one, without a version."""
        row = self._row(rid)
        types = self._db.get_all("Dataset_Dataset_Type", "Dataset_Type", Dataset=rid)
        return Dataset(rid, "", row["Description"] or "", tuple(types), name=self.name_of_dataset(rid))

    def find_datasets(self, limit: int | None = None, deleted: bool = False) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID" AS "rid", coalesce(d."Description", \'\') AS "description", v."Version" AS "version", v."RID" AS'
            ' "version_rid", coalesce(n."name", \'\') AS "name", l."digest", (SELECT json_group_array("Dataset_Type")'
            ' FROM "Dataset_Dataset_Type" WHERE "Dataset" = d."RID") AS "types" FROM "Dataset" d JOIN "Dataset_Version" v'
            ' ON v."RID" = d."Version" JOIN "local_version" l ON l."version" = v."RID"'
            ' LEFT JOIN "local_dataset" n ON n."dataset" = d."RID"'
            ' WHERE ? OR NOT coalesce(d."Deleted", 0) ORDER BY d."RCT" DESC, d."RID" DESC LIMIT ?',
            deleted,
            -1 if limit is None else limit,
        )

        def dataset(row: Row) -> Dataset:
            return Dataset(**{**dict(row), "types": tuple(json.loads(row["types"]))})

        return self._build_all(rows, dataset, "dataset")

    def dataset_parents(self, rid: RID) -> list[RID]:
        """Return the datasets that contain one now, at whichever version, and are not deleted."""
        parents = self._db.query(
            'SELECT DISTINCT p."RID" FROM "local_member" m JOIN "Dataset_Version" v ON v."RID" = m."nested" JOIN "Dataset"'
            ' p ON p."RID" = m."dataset" WHERE v."Dataset" = ? AND m."until" IS NULL AND NOT coalesce(p."Deleted", 0)',
            rid,
        )
        return [row["RID"] for row in parents]

    def nested_states(self, state: DatasetState) -> list[DatasetState]:
        """Return the states of datasets that are nested directly in a state of one."""
        rows = self._db.query(
            'SELECT "nested" FROM "local_member" WHERE "dataset" = ? AND "nested" IS NOT NULL AND "since" <= ?'
            ' AND ("until" IS NULL OR "until" > ?) ORDER BY "path"',
            state.dataset,
            state.number,
            state.number,
        )
        return [self.dataset_state(row["nested"]) for row in rows.fetchall()]

    def _below(self, state: DatasetState) -> set[RID]:
        """Return the datasets that are nested in a state of one, directly or not."""
        found, waiting = set[RID](), [state]
        while waiting:
            inner = self.nested_states(waiting.pop())
            waiting += [each for each in inner if each.dataset not in found]
            found |= {each.dataset for each in inner}
        return found

    # Who read them

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        """Record that an execution read a dataset at a version."""
        version = self._db.get("Dataset_Version", "RID", Dataset=dataset.rid, Version=dataset.version)
        row = {"Dataset": dataset.rid, "Execution": execution, "Dataset_Version": version}
        self._link(execution, "Dataset_Execution", row)

    def datasets_of(self, execution: RID) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID" AS "rid", v."Version" AS "version", coalesce(d."Description", \'\') AS "description",'
            ' coalesce(n."name", \'\') AS "name", coalesce(s."digest", \'\') AS "digest" FROM "Dataset_Execution" l'
            ' JOIN "Dataset" d ON d."RID" = l."Dataset" JOIN "Dataset_Version" v ON v."RID" = l."Dataset_Version" LEFT JOIN'
            ' "local_version" s ON s."version" = v."RID" LEFT JOIN "local_dataset" n ON n."dataset" = d."RID"'
            ' WHERE l."Execution" = ?',
            execution,
        )

        return self._build_all(rows, lambda row: Dataset(**row), "dataset")


def entry_of(row: Row) -> Entry:
    """Return the line of a manifest that a row of ``MEMBERS`` stands for."""
    digest = row["MD5"] if row["nested"] is None else row["digest"]
    return Entry(row["Path"], digest, row["Length"] or 0, row["Version"] or "")


def _file_row(member: Row) -> dict[str, Any]:
    return {name: member[name] for name in member.keys() if name not in _BESIDE}


_BESIDE = frozenset({"nested", "Version", "Dataset", "digest", "files", "bytes"})
