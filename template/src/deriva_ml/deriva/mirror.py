"""The newest executions of a Deriva catalog with what they came to, kept in a file that can be asked as the project's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from deriva_ml.catalog.criteria import Criteria, parse_since
from deriva_ml.catalog.database import Database
from deriva_ml.catalog.objects import ObjectStore, is_digest
from deriva_ml.catalog.summaries import RecordedFile, Result, Summaries, Summary, summarize
from deriva_ml.catalog.tables import VERSION, statements
from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    ExecMetadataType,
    ExecutionRecord,
    MLAsset,
    Row,
    Status,
)
from deriva_ml.deriva.answers import ServerUnreachable, reads
from deriva_ml.deriva.lookup import assets_of_rows, executions_of_rows
from deriva_ml.deriva.server import Server
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.terminal import tell, warn

NEWEST = 500
"""Executions of a Deriva catalog that are looked at, the newest ones, where none are named."""

_OF_THE_DISK = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
)
"""Errors that a new file would meet, too."""

Records = Mapping[RID, ExecutionRecord]

_ENDED = {Status.uploaded, Status.failed, Status.aborted}


class Mirror:
    """The executions of a Deriva catalog, in tables like those of the project's own.

    The rows are read anew each time. What an execution came to is read from its files after it has ended, and kept until
    its row changes.

    Args:
        path: of the file; one that is damaged, or another runner's, is made anew.
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
        rows = self._rows(criteria)
        records = dict(zip((row["RID"] for row in rows), executions_of_rows(self._server, rows), strict=True))
        changed = {row["RID"]: row["RMT"] for row in rows}
        files = files or bool(criteria.where or criteria.order)  # which may be by what they came to
        order = criteria.order or ([("when", True)] if criteria.rids is None else [])
        chosen = replace(criteria, rids=[*records], order=order)
        try:
            return self._results(chosen, limit, files, records, changed)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "").startswith(_OF_THE_DISK):
                raise
        # It holds nothing that the server does not have.
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            path.unlink(missing_ok=True)
        return self._results(chosen, limit, files, records, changed)

    def _results(
        self, criteria: Criteria, limit: int | None, files: bool, records: Records, changed: Mapping[RID, str]
    ) -> list[Result]:
        with closing(Database(self._path)) as database:
            self._make_tables(database)
            summaries = Summaries(database)
            with database.transaction():
                self._keep(database, records, changed, criteria)
            if files:
                self._read(database, summaries, records)
            chosen = summaries.select(criteria, limit)
            known = summaries.of(chosen) if files else {}
        return [Result(records[rid], known.get(rid, Summary())) for rid in chosen]

    def _rows(self, criteria: Criteria) -> list[Row]:
        """Return the rows of the executions that are meant: those named, or else the newest."""
        wanted = criteria.rids
        if criteria.sweep is not None and self._model.executions_nest:
            links = self._server.find("Execution_Execution", {"Execution": criteria.sweep})
            jobs = [link["Nested_Execution"] for link in links]
            wanted = jobs if wanted is None else [rid for rid in wanted if rid in jobs]
        elif criteria.sweep is not None:
            wanted = []
        if wanted is None:
            found = self._server.newest("Execution", NEWEST)
            if len(found) == NEWEST:
                tell(f"note: only the newest {NEWEST} executions are looked at")
            return found
        found = self._server.find_any("Execution", "RID", wanted)
        places = {rid: place for place, rid in enumerate(wanted)}
        return sorted(found, key=lambda row: places[row["RID"]])

    def _make_tables(self, database: Database) -> None:
        """Make the tables in a new file.

        Raises:
            sqlite3.DatabaseError: they are those of another version.
        """
        database.query("PRAGMA foreign_keys = OFF")  # of what rows refer to only a part is here
        with database.transaction():  # of two processes one makes them
            if database.value("SELECT count(*) FROM sqlite_master") == 0:
                for statement in statements():
                    database.query(statement)
                database.query(f"PRAGMA user_version = {VERSION}")
            if database.value("PRAGMA user_version") != VERSION:
                raise sqlite3.DatabaseError(f"{self._path} has the tables of another version")

    def _keep(
        self, database: Database, records: Records, changed: Mapping[RID, str], criteria: Criteria
    ) -> None:
        known = {row["RID"]: row["RMT"] for row in database.select("Execution")}
        for record in records.values():
            workflow, rid = record.workflow, record.workflow.rid or ""
            times = {"RCT": _in_utc(record.created), "RMT": changed[record.rid]}
            execution = {"RID": record.rid, **times, "Workflow": rid, "Description": record.description}
            database.put("Execution", {**execution, "Status": record.status.value})
            database.put("Workflow", {"RID": rid, **times, **workflow.columns})
            for name in workflow.types:
                link = {"RID": f"{rid} {name}", **times, "Workflow": rid, "Workflow_Type": name}
                database.put("Workflow_Workflow_Type", link)
            if known.get(record.rid) != changed[record.rid]:  # how it ended may be there before its files
                database.query('INSERT OR IGNORE INTO "local_unread" VALUES (?)', record.rid)
        above = [*(records if criteria.runs_only else ()), *filter(None, [criteria.sweep])]
        above = above if self._model.executions_nest else []
        data = [*filter(None, [criteria.dataset])]
        for table, column, other, rids in (
            ("Execution_Execution", "Execution", "Nested_Execution", above),
            ("Dataset_Execution", "Dataset", "Execution", data),
            ("Dataset_Version", "Dataset", "Execution", data),
        ):
            for row in self._server.find_any(table, column, rids):
                database.put(table, {name: row[name] for name in ("RID", "RCT", "RMT", column, other)})

    def _read(self, database: Database, summaries: Summaries, records: Records) -> None:
        """Read the files of executions that have ended and were not read since they changed."""
        waiting = set(database.get_all("local_unread", "execution"))
        ended = [rid for rid, record in records.items() if rid in waiting and record.status in _ENDED]
        files = self._files(ended)
        self._fetch([asset for assets in files.values() for asset in assets])
        for rid in ended:
            known = files.get(rid, [])
            there = [one for one in known if self._objects.has(one.md5, one.length)]
            recorded = (RecordedFile(one.filename, one.types, self._objects.path(one.md5)) for one in there)
            summary = summarize(rid, recorded)
            if len(there) == len(known):
                summaries.fill(rid, summary)
            else:  # what lacks is asked for again
                with database.transaction():
                    summaries.add(rid, summary)

    def _files(self, executions: Sequence[RID]) -> dict[RID, list[Asset]]:
        """Return the files that say what executions were given and came to."""
        table = MLAsset.execution_metadata.value
        association = self._model.association(table, "Execution")
        if association is None or not executions:
            return {}
        links = self._server.find_any(association.table, association.other_column, executions)
        links = [link for link in links if link.get("Asset_Role") != AssetRole.input]
        rows = self._server.find_any(table, "RID", (link[association.column] for link in links))
        assets = {asset.rid: asset for asset in assets_of_rows(self._server, table, rows)}
        found: dict[RID, list[Asset]] = {}
        for link in sorted(links, key=lambda one: one["RCT"]):
            asset = assets.get(link[association.column])
            if asset is None:  # not shown to us
                continue
            wanted = asset.filename == CONFIGURATION or ExecMetadataType.metrics_file in asset.types
            if wanted and is_digest(asset.md5) and asset.url.startswith("/hatrac/"):
                found.setdefault(link[association.other_column], []).append(asset)
        return found

    def _fetch(self, assets: Sequence[Asset]) -> None:
        """Fetch contents; one that is refused or damaged is warned of, and does not keep the others back.

        Raises:
            ServerUnreachable, ServerRefused: the server has gone away, or nobody is logged in any more.
        """
        missing = [one for one in assets if not self._objects.has(one.md5, one.length)]
        for some in (missing, *([one] for one in missing)):
            try:
                download(self._server, some, self._objects)
                if some is missing:
                    return
            except DerivaMLException as error:
                if isinstance(error, ServerUnreachable) or getattr(error, "status", None) == 401:
                    raise
                if some is missing:
                    continue
                [one] = some
                warn(f"{one.filename} is left out: {error}")


def _in_utc(time: str) -> str:
    """Return a time as the project's own rows have it, whatever the server's zone is."""
    with contextlib.suppress(DerivaMLException):
        return parse_since(time)
    return time
