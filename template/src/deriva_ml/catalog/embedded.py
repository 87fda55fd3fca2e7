"""The embedded catalog: a SQLite file and a folder of objects inside the project, safe under parallel runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deriva_ml.catalog.database import Database, Row
from deriva_ml.catalog.journal import Destination, Journal
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import (
    OPEN_STATUSES,
    RID,
    Asset,
    AssetRole,
    Dataset,
    ExecutionRecord,
    MLAsset,
    StagedAsset,
    Status,
    Workflow,
    is_reserved,
    plain_name,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project


class EmbeddedCatalog(Catalog):
    """A project's own catalog; what its methods do is said in ``Catalog``.

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.objects = ObjectStore(project.objects)
        self._db = Database(project.database)
        self.journal = Journal(self._db)

    @property
    def host_name(self) -> str:
        return "localhost"

    @property
    def catalog_id(self) -> str:
        return str(self._db.value('SELECT "id" FROM "local_catalog"'))

    def close(self) -> None:
        self._db.close()

    # Workflows and executions

    def _workflow(self, workflow: Workflow) -> RID:
        """The workflow's RID: found by its checksum, URL, version and name, or recorded now."""
        found = self._db.value(
            'SELECT "RID" FROM "Workflow" WHERE "Checksum" = ? AND "URL" = ? AND "Version" = ? AND "Name" = ?',
            workflow.checksum,
            workflow.url,
            workflow.version,
            workflow.name,
        )
        if found:
            return str(found)
        # An RID that is not reserved would be one that the workflow has elsewhere.
        reserved = workflow.rid if workflow.rid and is_reserved(workflow.rid) else None
        [rid] = self._db.insert("Workflow", _reserved(reserved, workflow.columns))
        self._db.insert_terms("Workflow_Type", workflow.types)
        links = ({"Workflow": rid, "Workflow_Type": name} for name in workflow.types)
        self._db.insert("Workflow_Workflow_Type", *links)
        return rid

    def add_execution(
        self,
        workflow: Workflow,
        description: str,
        owner: Owner,
        folder: Path | None = None,
        rid: RID | None = None,
    ) -> RID:
        with self._db.transaction():
            workflow.rid = self._workflow(workflow)
            row = {
                "Workflow": workflow.rid,
                "Description": description,
                "Status": Status.created.value,
                "Status_Detail": "",
            }
            [rid] = self._db.insert("Execution", _reserved(rid, row))
            self._db.query(
                'INSERT INTO "local_run" VALUES (?, ?, ?, ?, ?)',
                rid,
                self._stored(folder) if folder else None,
                owner.host,
                owner.pid,
                owner.started,
            )
        return rid

    def forget_execution(self, rid: RID) -> None:
        """Take back an execution that was just added and has nothing yet."""
        with self._db.transaction():
            for table in ("local_destination", "local_run"):
                self._db.query(f'DELETE FROM "{table}" WHERE "execution" = ?', rid)
            self._db.query('DELETE FROM "Execution" WHERE "RID" = ?', rid)

    def folder_of(self, execution: RID) -> Path:
        return self.project.executions / execution

    def send(self, execution: RID, recorded: Sequence[Asset] = ()) -> list[Asset]:
        return list(recorded)

    def update_execution(
        self, rid: RID, status: Status | None = None, detail: str | None = None, **durations: str
    ) -> None:
        changes: dict[str, Any] = {**durations}
        if status is not None:
            changes["Status"] = status.value
        if detail is not None:
            changes["Status_Detail"] = detail
        with self._db.transaction():
            self.journal.changed(rid)
            if status is Status.uploaded and self.journal.pending(rid):
                changes["Status"] = Status.pending_upload.value
            self._db.update("Execution", rid, changes)

    def local_rid(self, rid: RID) -> RID:
        return rid

    def show(self, rid: RID) -> None:
        pass

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        with self._db.transaction():
            yield

    def keep_here(self, rid: RID) -> None:
        """Let an execution that waits to be pushed be recorded here only."""
        with self._db.transaction():
            for one, destination in self.journal.pending(rid):
                self.journal.forget(one, destination)
            if self.lookup_execution(rid).status is Status.pending_upload:
                self._db.update("Execution", rid, {"Status": Status.uploaded.value})

    def note_upload(self, rid: RID, duration: str) -> None:
        """Record how long it took to push an execution, which is no news to any other destination."""
        with self._db.transaction():
            self._db.update("Execution", rid, {"Upload_Duration": duration})

    def settle(self, rid: RID, destination: Destination, changes: int) -> None:
        """Note that an execution is at a destination as it was after so many changes; ``Uploaded`` once it is everywhere."""
        with self._db.transaction():
            self.journal.pushed(rid, destination, changes)
            waiting = self._db.value('SELECT "Status" FROM "Execution" WHERE "RID" = ?', rid)
            if waiting == Status.pending_upload and not self.journal.pending(rid):
                self._db.update("Execution", rid, {"Status": Status.uploaded.value})

    def _execution_records(self, condition: str, *values: Any) -> list[ExecutionRecord]:
        rows = self._db.query(
            'SELECT e.*, w."Name" AS w_name, w."Description" AS w_description, w."URL" AS w_url,'
            ' w."Checksum" AS w_checksum, w."Version" AS w_version, (SELECT json_group_array("Workflow_Type")'
            ' FROM "Workflow_Workflow_Type" WHERE "Workflow" = w."RID") AS w_types'
            f' FROM "Execution" e JOIN "Workflow" w ON w."RID" = e."Workflow" {condition}',
            *values,
        )
        return [
            ExecutionRecord(
                rid=row["RID"],
                status=Status(row["Status"]),
                status_detail=row["Status_Detail"] or "",
                description=row["Description"] or "",
                workflow=Workflow(
                    name=row["w_name"],
                    workflow_type=json.loads(row["w_types"]),
                    description=row["w_description"],
                    url=row["w_url"],
                    checksum=row["w_checksum"],
                    version=row["w_version"],
                    rid=row["Workflow"],
                ),
                created=row["RCT"],
                created_by=row["RCB"],
                execution_duration=row["Execution_Duration"],
                download_duration=row["Download_Duration"],
                upload_duration=row["Upload_Duration"],
            )
            for row in rows
        ]

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        found = self._execution_records('WHERE e."RID" = ?', rid)
        if not found:
            raise self._not_found(rid, "execution")
        return found[0]

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        where, values = ('WHERE e."Status" = ?', [status.value]) if status else ("", [])
        order = 'ORDER BY e."RCT" DESC, e."RID" DESC LIMIT ?'
        return self._execution_records(f"{where} {order}", *values, -1 if limit is None else limit)

    def executions_of_run(self, folder: Path) -> list[RID]:
        """The executions that were created by the notebook run in ``folder``, oldest first."""
        return self._db.column(
            'SELECT "execution" FROM "local_run" WHERE "folder" = ? ORDER BY rowid', self._stored(folder)
        )

    def open_executions(self) -> list[tuple[RID, Owner, Path | None]]:
        """Executions that have not ended or have files staged, with who answers for each and the folder of its notebook run."""
        marks = ", ".join("?" for _ in OPEN_STATUSES)
        rows = self._db.query(
            'SELECT r.* FROM "Execution" e JOIN "local_run" r ON r."execution" = e."RID"'
            f' WHERE e."Status" IN ({marks}) OR EXISTS (SELECT 1 FROM "local_staged" WHERE "execution" = e."RID")',
            *(status.value for status in OPEN_STATUSES),
        )
        return [
            (row["execution"], _owner(row), row["folder"] and self.project.root / row["folder"])
            for row in rows
        ]

    def owner_of(self, rid: RID) -> Owner | None:
        """Who answers, or answered, for an execution."""
        row = self._db.first('SELECT * FROM "local_run" WHERE "execution" = ?', rid)
        return _owner(row) if row else None

    def claim(self, rid: RID, before: Owner, after: Owner) -> bool:
        """Make ``after`` answer for an execution if ``before`` still does; False if somebody else was faster."""
        with self._db.transaction():
            changed = self._db.query(
                'UPDATE "local_run" SET "host" = ?, "pid" = ?, "started" = ?'
                ' WHERE "execution" = ? AND "host" = ? AND "pid" = ? AND "started" = ?',
                *(after.host, after.pid, after.started, rid, before.host, before.pid, before.started),
            )
        return changed.rowcount == 1

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        with self._db.transaction():
            row = {"Execution": parent, "Nested_Execution": child, "Sequence": sequence}
            self._db.insert("Execution_Execution", row)
            self.journal.changed(child)

    def list_execution_children(self, rid: RID) -> list[RID]:
        query = (
            'SELECT "Nested_Execution" FROM "Execution_Execution" WHERE "Execution" = ? ORDER BY "Sequence"'
        )
        return self._db.column(query, rid)

    def place_in_sweep(self, parent: RID, child: RID) -> int | None:
        """Which one of a sweep's executions this is."""
        query = (
            'SELECT "Sequence" FROM "Execution_Execution" WHERE "Execution" = ? AND "Nested_Execution" = ?'
        )
        place: int | None = self._db.value(query, parent, child)
        return place

    def list_execution_parents(self, rid: RID) -> list[RID]:
        return self._db.column(
            'SELECT "Execution" FROM "Execution_Execution" WHERE "Nested_Execution" = ?', rid
        )

    # Datasets

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
            [rid] = self._db.insert("Dataset", _reserved(rid, {"Description": description, "Deleted": 0}))
            row = {"Version": version, "Description": description, "Dataset": rid, "Execution": execution}
            [version_rid] = self._db.insert("Dataset_Version", row)
            self._db.update("Dataset", rid, {"Version": version_rid})
            self._db.insert_terms("Dataset_Type", types)
            self._db.insert(
                "Dataset_Dataset_Type", *({"Dataset": rid, "Dataset_Type": name} for name in types)
            )
            self._db.insert(
                "Dataset_Dataset", *({"Dataset": rid, "Nested_Dataset": child} for child in nested)
            )
            self._db.insert("Dataset_File", *({"Dataset": rid, "File": member} for member in files))
        return rid

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        return self._dataset(rid, version, ())

    def _dataset(self, rid: RID, version: str | None, above: tuple[RID, ...]) -> Dataset:
        """A dataset that is nested, directly or not, in those ``above``."""
        if rid in above:
            raise DerivaMLRequestError(
                f"dataset {above[0]} cannot be read, since {rid} in it contains itself"
            )
        row = self._db.first(
            'SELECT d.*, v."Version" AS current FROM "Dataset" d LEFT JOIN "Dataset_Version" v'
            ' ON v."RID" = d."Version" WHERE d."RID" = ?',
            rid,
        )
        if row is None:
            raise self._not_found(rid, "dataset")
        if row["Deleted"]:
            raise DerivaMLRequestError(f"dataset {rid} has been deleted")
        versions = {
            found["Version"]: found["RID"]
            for found in self._db.query('SELECT * FROM "Dataset_Version" WHERE "Dataset" = ?', rid)
        }
        if version is not None and version not in versions:
            raise DerivaMLRequestError(
                f"dataset {rid} has no version {version}; it has {', '.join(versions)}"
            )
        files = self._db.query(
            'SELECT f.* FROM "File" f JOIN "Dataset_File" m ON m."File" = f."RID" WHERE m."Dataset" = ?'
            ' ORDER BY f."Filename"',
            rid,
        )
        types = self._db.column('SELECT "Dataset_Type" FROM "Dataset_Dataset_Type" WHERE "Dataset" = ?', rid)
        nested = self._db.column('SELECT "Nested_Dataset" FROM "Dataset_Dataset" WHERE "Dataset" = ?', rid)
        return Dataset(
            rid=rid,
            version=version or row["current"],
            description=row["Description"] or "",
            types=tuple(types),
            members={"File": [dict(found) for found in files]},
            nested=tuple(self._dataset(child, None, (*above, rid)) for child in nested),
            version_rid=versions.get(version or row["current"]),
        )

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        with self._db.transaction():
            found = self._db.value(
                'SELECT "RID" FROM "Dataset_Version" WHERE "Dataset" = ? AND "Version" = ?',
                dataset.rid,
                dataset.version,
            )
            row = {"Dataset": dataset.rid, "Execution": execution, "Dataset_Version": found}
            self._db.insert("Dataset_Execution", row)
            self.journal.changed(execution)

    def datasets_of(self, execution: RID) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID", d."Description", v."Version" FROM "Dataset_Execution" l'
            ' JOIN "Dataset" d ON d."RID" = l."Dataset" JOIN "Dataset_Version" v ON v."RID" = l."Dataset_Version"'
            ' WHERE l."Execution" = ?',
            execution,
        )
        return [Dataset(row["RID"], row["Version"], row["Description"] or "") for row in rows]

    # Assets

    def asset_tables(self) -> list[str]:
        return self._db.asset_tables()

    def asset_columns(self, table: str) -> dict[str, bool]:
        return {}

    def make_asset_table(self, name: str) -> None:
        """Make an asset table as a destination has it, so that files for it can be staged; one that is there is kept."""
        with self._db.transaction():
            self._db.make_asset_table(name)

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        return [self.lookup_asset(rid) for rid in rids]

    def lookup_asset(self, rid: RID) -> Asset:
        for table in self._db.asset_tables():
            if row := self._db.first(f'SELECT * FROM "{table}" WHERE "RID" = ?', rid):
                return self._asset(table, row)
        raise self._not_found(rid, "asset")

    def _asset(self, table: str, row: Row, role: str | None = None) -> Asset:
        types = self._db.column(
            f'SELECT "Asset_Type" FROM "{table}_Asset_Type" WHERE "{table}" = ?', row["RID"]
        )
        return Asset(
            rid=row["RID"],
            table=table,
            filename=row["Filename"],
            length=row["Length"],
            md5=row["MD5"],
            url=row["URL"],
            description=row["Description"] or "",
            types=tuple(types),
            role=AssetRole(role) if role else None,
        )

    def assets_of(self, execution: RID) -> list[Asset]:
        return [
            self._asset(table, row, row["Asset_Role"])
            for table in self._db.asset_tables()
            for row in self._db.query(
                f'SELECT a.*, l."Asset_Role" FROM "{table}" a JOIN "{table}_Execution" l ON l."{table}" = a."RID"'
                ' WHERE l."Execution" = ? ORDER BY l."Asset_Role", a."Filename"',
                execution,
            )
        ]

    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        query = f'SELECT "Execution", "Asset_Role" FROM "{asset.table}_Execution" WHERE "{asset.table}" = ? ORDER BY "RCT"'
        return [(row["Execution"], AssetRole(row["Asset_Role"])) for row in self._db.query(query, asset.rid)]

    def _insert_asset(
        self,
        table: str,
        filename: str,
        content: tuple[str, int],
        types: Sequence[str],
        description: str,
        rid: RID | None = None,
    ) -> Asset:
        """The row of a content (MD5 and length) under a name: the one that is there, or a new one."""
        md5, length = content
        url = f"/hatrac/{table}/{md5}.{filename}"
        row = {"URL": url, "Filename": filename, "Description": description, "Length": length, "MD5": md5}
        self._db.insert(table, _reserved(rid, row))
        found = self._db.first(f'SELECT * FROM "{table}" WHERE "URL" = ?', url)
        if found is None:
            raise DerivaMLException(f"{rid} is recorded with another content than that of {filename}")
        self._db.insert_terms("Asset_Type", types)
        self._db.insert(f"{table}_Asset_Type", *({table: found["RID"], "Asset_Type": name} for name in types))
        return self._asset(table, found)

    def add_asset(
        self,
        source: Path,
        table: str,
        filename: str,
        types: Sequence[str] = (),
        description: str = "",
        rid: RID | None = None,
    ) -> Asset:
        """Record a copy of ``source`` under ``filename``; the same content and name once. ``rid`` as elsewhere."""
        content = self.objects.add(source)
        with self._db.transaction():
            return self._insert_asset(table, filename, content, types, description, rid)

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        return self.add_asset(source, MLAsset.file.value, source.name, types, description)

    def link_asset(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        with self._db.transaction():
            self._link(execution, asset, role)

    def _link(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        row = {asset.table: asset.rid, "Execution": execution, "Asset_Role": role.value}
        self._db.insert(f"{asset.table}_Execution", row)
        self.journal.changed(execution)

    def fetch(self, asset: Asset, destination: Path) -> None:
        self.objects.copy_to(asset.md5, destination)

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        for asset, destination in pairs:
            self.fetch(asset, destination)

    def locate(self, asset: Asset) -> str:
        return str(self.objects.path(asset.md5))

    # Files of executions that are under way

    def stage(
        self,
        execution: RID,
        table: str,
        filename: str,
        folder: Path,
        types: Sequence[str] = (),
        description: str = "",
        columns: Mapping[str, Any] | None = None,
    ) -> StagedAsset:
        with self._db.transaction():
            number = self._db.value(
                'INSERT INTO "local_staged" ("execution", "table", "filename", "path", "types", "description")'
                ' VALUES (?, ?, ?, "", ?, ?) RETURNING "number"',
                *(execution, table, filename, json.dumps(list(types)), description),
            )
            # A folder of its own keeps two outputs of one name apart.
            path = folder / plain_name(table) / str(number) / plain_name(filename)
            self._db.query(
                'UPDATE "local_staged" SET "path" = ? WHERE "number" = ?', self._stored(path), number
            )
            self.journal.stage_columns(number, columns or {})
            path.parent.mkdir(parents=True, exist_ok=True)  # there, if a process was killed right here before
        return StagedAsset(number, execution, table, filename, path, tuple(types), description)

    def staged(self, execution: RID) -> list[StagedAsset]:
        rows = self._db.query(
            'SELECT * FROM "local_staged" WHERE "execution" = ? ORDER BY "number"', execution
        )
        return [
            StagedAsset(
                number=row["number"],
                execution=execution,
                table=row["table"],
                filename=row["filename"],
                path=self.project.root / row["path"],
                types=tuple(json.loads(row["types"])),
                description=row["description"],
            )
            for row in rows
        ]

    def commit(self, execution: RID, *, keep: bool = False) -> tuple[list[Asset], list[StagedAsset]]:
        staged = self.staged(execution)
        written = [item for item in staged if item.path.is_file()]
        contents = [self.objects.add(item.path) for item in written]
        recorded = []
        with self._db.transaction():
            for item, content in zip(written, contents, strict=True):
                asset = self._insert_asset(item.table, item.filename, content, item.types, item.description)
                self._link(execution, asset, AssetRole.output)
                self.journal.keep_columns(item.number, asset.rid)
                recorded.append(asset)
            for item in written:
                self._db.query('DELETE FROM "local_staged" WHERE "number" = ?', item.number)
        if not keep:
            for item in written:
                item.path.unlink()
        return recorded, [item for item in staged if item not in written]

    def unstage(self, execution: RID) -> None:
        with self._db.transaction():
            self._db.query('DELETE FROM "local_staged" WHERE "execution" = ?', execution)

    def _stored(self, path: Path) -> str:
        """A path as rows hold it: relative to the project, which may be moved between a run and its recovery."""
        return str(path.relative_to(self.project.root) if path.is_relative_to(self.project.root) else path)

    # Names

    def link(self, rid: RID) -> str:
        return f"uv run deriva-ml-catalog show {rid}"

    def path_builder(self) -> Any:
        raise DerivaMLRequestError(
            "pathBuilder() is for a Deriva catalog, and this is the project's own: choose one with deriva_ml=production"
        )

    def cite(self, rid: RID) -> str:
        return f"{self.project.database.as_uri()}#{rid}"

    def _not_found(self, rid: RID, wanted: str) -> DerivaMLRequestError:
        """The error for an RID that is not what was asked for, saying what it is instead."""
        for table in ("Dataset", "Execution", "Workflow", *self._db.asset_tables()):
            if self._db.first(f'SELECT 1 FROM "{table}" WHERE "RID" = ?', rid):
                what = "asset" if table in self._db.asset_tables() else table.lower()
                return DerivaMLRequestError(f"{rid} names no {wanted}: in the catalog it is of kind {what}")
        return DerivaMLRequestError(
            f"there is no {wanted} {rid} in this project's catalog ({self.project.database}):"
            " uv run deriva-ml-catalog list shows what there is"
        )


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(row["host"], row["pid"], row["started"])


def _reserved(rid: RID | None, row: Row) -> Row:
    """The row with the RID that is reserved for it, if one is."""
    return {**row, "RID": rid} if rid else row
