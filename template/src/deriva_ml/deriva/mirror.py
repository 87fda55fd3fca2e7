"""The newest executions of a Deriva catalog with what they came to, kept in a file that can be asked as the project's own."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.database import Database
from deriva_ml.catalog.objects import ObjectStore, is_digest
from deriva_ml.catalog.summaries import RecordedFile, Result, Summaries, Summary, summarize
from deriva_ml.catalog.tables import VERSION, statements
from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.definitions import RID, Asset, AssetRole, ExecMetadataType, ExecutionRecord, MLAsset, Status
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.lookup import find_assets, read_executions
from deriva_ml.deriva.server import Server, any_of
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.terminal import print

NEWEST = 500
"""Executions of a Deriva catalog that are looked at, the newest ones, where none are named."""

_ENDED = {Status.uploaded, Status.failed, Status.aborted}


class Mirror:
    """The executions of a Deriva catalog, in tables like those of the project's own.

    The rows are read anew each time. What an execution came to is read from its files once, after it has ended, and kept.

    Args:
        path: of the file; one that cannot be read is made anew.
        objects: where contents are kept.
    """

    def __init__(self, path: Path, server: Server, objects: ObjectStore) -> None:
        self.host = server.host
        self._path = path
        self._server = server
        self._model = server.model
        self._objects = objects

    @reads
    def results(self, criteria: Criteria, limit: int | None = None, files: bool = True) -> list[Result]:
        """Return the executions that meet the criteria; without ``files`` nothing of what they came to."""
        records = self._records(criteria)
        with closing(self._opened()) as database:
            summaries = Summaries(database)
            with database.transaction():
                self._keep(database, records.values(), criteria)
            if files or criteria.where or criteria.order:
                self._read(database, summaries, records)
            chosen = summaries.select(replace(criteria, rids=[*records]), limit)
            known = summaries.of(chosen) if files else {}
        return [Result(records[rid], known.get(rid, Summary())) for rid in chosen]

    def _records(self, criteria: Criteria) -> dict[RID, ExecutionRecord]:
        """Return the rows of the executions that are meant, by RID: those named, or else the newest."""
        wanted = criteria.rids
        if criteria.sweep is not None:
            links = []
            if self._model.executions_nest:
                links = self._server.find("Execution_Execution", {"Execution": criteria.sweep})
            links.sort(key=lambda row: row["Sequence"] or 0)
            wanted = [row["Nested_Execution"] for row in links]
        if wanted is None:
            found = read_executions(self._server, limit=NEWEST)
            if len(found) == NEWEST:
                print(f"note: only the newest {NEWEST} executions are looked at", file=sys.stderr)
            return {record.rid: record for record in found}
        found = [
            record
            for condition in any_of("RID", dict.fromkeys(wanted))
            for record in read_executions(self._server, f"/{condition}")
        ]
        by_rid = {record.rid: record for record in found}
        return {rid: by_rid[rid] for rid in wanted if rid in by_rid}

    def _opened(self) -> Database:
        """Open the file; it holds nothing that the server does not have, and is made anew where it is of no use."""
        for _ in range(2):
            try:
                database = Database(self._path)
                database.query("PRAGMA foreign_keys = OFF")  # of what rows refer to only a part is here
                if database.value("PRAGMA user_version") == VERSION:
                    return database
                if database.value("SELECT count(*) FROM sqlite_master") == 0:
                    with database.transaction():
                        for statement in statements():
                            database.query(statement)
                        database.query(f"PRAGMA user_version = {VERSION}")
                    return database
                database.close()
            except sqlite3.DatabaseError:
                pass
            self._path.unlink(missing_ok=True)
        raise DerivaMLException(f"{self._path} cannot be used: remove it")

    def _keep(self, database: Database, records: Iterable[ExecutionRecord], criteria: Criteria) -> None:
        known = set(database.get_all("Execution", "RID"))
        for record in records:
            workflow = record.workflow
            row = {
                "RID": record.rid,
                "RCT": record.created,
                "RMT": record.created,
                "Workflow": workflow.rid or "",
            }
            _replace(
                database,
                "Execution",
                {**row, "Status": record.status.value, "Description": record.description},
            )
            times = {"RCT": record.created, "RMT": record.created}
            _replace(database, "Workflow", {"RID": workflow.rid or "", **times, **workflow.columns})
            for name in workflow.types:
                link = {"RID": f"{workflow.rid} {name}", **times, "Workflow": workflow.rid or ""}
                _replace(database, "Workflow_Workflow_Type", {**link, "Workflow_Type": name})
            if record.rid not in known:
                database.query('INSERT OR IGNORE INTO "local_unread" VALUES (?)', record.rid)
        rids = [record.rid for record in records]
        if self._model.executions_nest and criteria.runs_only:
            self._copy(
                database,
                "Execution_Execution",
                "Execution",
                rids,
                ("Execution", "Nested_Execution", "Sequence"),
            )
        if criteria.sweep is not None:
            for place, rid in enumerate(rids):
                link = {"RID": f"{criteria.sweep} {rid}", "RCT": "", "RMT": "", "Execution": criteria.sweep}
                _replace(
                    database, "Execution_Execution", {**link, "Nested_Execution": rid, "Sequence": place}
                )
        if criteria.dataset is not None:
            self._copy(database, "Dataset_Execution", "Dataset", [criteria.dataset], ("Dataset", "Execution"))
            self._copy(
                database,
                "Dataset_Version",
                "Dataset",
                [criteria.dataset],
                ("Dataset", "Execution", "Version"),
            )

    def _copy(
        self, database: Database, table: str, column: str, values: Sequence[str], columns: Sequence[str]
    ) -> None:
        for row in self._server.find_any(table, column, values):
            _replace(database, table, {name: row[name] for name in ("RID", "RCT", "RMT", *columns)})

    def _read(self, database: Database, summaries: Summaries, records: dict[RID, ExecutionRecord]) -> None:
        """Read the files of executions that have ended and were not read before."""
        waiting = set(database.get_all("local_unread", "execution"))
        ended = [rid for rid, record in records.items() if rid in waiting and record.status in _ENDED]
        files = self._files(ended)
        self._fetch([asset for assets in files.values() for asset in assets])
        for rid in ended:
            there = [one for one in files.get(rid, ()) if self._objects.has(one.md5, one.length)]
            recorded = (RecordedFile(one.filename, one.types, self._objects.path(one.md5)) for one in there)
            summaries.fill(rid, summarize(rid, recorded))

    def _files(self, executions: Sequence[RID]) -> dict[RID, list[Asset]]:
        """Return the files that say what executions were given and came to."""
        table = MLAsset.execution_metadata.value
        association = self._model.association(table, "Execution")
        if association is None or not executions:
            return {}
        links = self._server.find_any(association.table, association.other_column, executions)
        links = [link for link in links if link.get("Asset_Role") != AssetRole.input]
        rids = dict.fromkeys(link[association.column] for link in links)
        assets = {asset.rid: asset for asset in find_assets(self._server, [*rids])}
        found: dict[RID, list[Asset]] = {}
        for link in sorted(links, key=lambda one: one["RCT"]):
            asset = assets[link[association.column]]
            wanted = asset.filename == CONFIGURATION or ExecMetadataType.metrics_file in asset.types
            if wanted and is_digest(asset.md5) and asset.url.startswith("/hatrac/"):
                found.setdefault(link[association.other_column], []).append(asset)
        return found

    def _fetch(self, assets: Sequence[Asset]) -> None:
        """Fetch contents; one that cannot be fetched is warned of, and does not keep the others back."""
        missing = [one for one in assets if not self._objects.has(one.md5, one.length)]
        with contextlib.suppress(DerivaMLException):
            download(self._server, missing, self._objects)
            return
        for one in missing:
            try:
                download(self._server, [one], self._objects)
            except DerivaMLException as error:
                print(f"warning: {one.filename} is left out: {error}", file=sys.stderr)


def _replace(database: Database, table: str, row: dict[str, object]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" for _ in row)
    database.query(f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({marks})', *row.values())
