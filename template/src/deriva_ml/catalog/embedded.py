"""The embedded catalog: a SQLite file and a folder of objects inside the project, safe under parallel runs.

Its executions are here; its datasets and assets are parts of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any

from deriva_ml.catalog.assets import Assets
from deriva_ml.catalog.base import OLD_PREFIX
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.datasets import Datasets
from deriva_ml.catalog.intake import Intake
from deriva_ml.catalog.journal import Destination
from deriva_ml.catalog.links import LinkedRecords
from deriva_ml.catalog.protocol import Source
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import OPEN_STATUSES, RID, ExecutionRecord, Status, Workflow, is_reserved
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.process import Owner
from deriva_ml.redaction import redact
from deriva_ml.untrusted import check_inside, plain_name, well_formed


class EmbeddedCatalog(Assets, Datasets, Intake, LinkedRecords, Source):
    """A project's own catalog; ``Source`` says what its look-ups do.

    Raises:
        DerivaMLException: the file was written by a newer runner, or is no catalog.
    """

    @property
    def host_name(self) -> str:
        return "localhost"

    @property
    def catalog_id(self) -> str:
        return str(self._db.get("local_catalog", "id"))

    # Workflows and executions

    def _workflow(self, workflow: Workflow) -> RID:
        """Return the workflow's RID: found by its checksum, URL, version and name, or recorded now."""
        key = {name: value for name, value in workflow.columns.items() if name != "Description"}
        if found := self._db.get("Workflow", "RID", **key):
            return str(found)
        # An RID that is not reserved would be one that the workflow has elsewhere.
        reserved = workflow.rid if workflow.rid and is_reserved(workflow.rid) else None
        [rid] = self._db.insert("Workflow", {"RID": reserved, **workflow.columns})
        self._insert_types("Workflow", rid, "Workflow_Type", workflow.types)
        return rid

    def add_execution(
        self,
        workflow: Workflow,
        description: str,
        owner: Owner,
        folder: Path | None = None,
        rid: RID | None = None,
        *,
        started_by: str = "",
        if_alive: bool = False,
    ) -> RID:
        """Record a new execution as ``Created``, answered for by ``owner``, run in ``folder``, started by a program.

        The workflow is found by its checksum, or recorded; its ``rid`` is set.

        Raises:
            DerivaMLRunError: ``owner`` is gone, and ``if_alive`` was asked for.
        """
        with self._db.transaction():
            if if_alive and owner.is_gone(self.project.state):  # a recovery closes the run, or has
                raise DerivaMLRunError(
                    "the runner of this notebook has ended: it starts no execution any more"
                )
            workflow.rid = self._workflow(workflow)
            row = {"RID": rid, "Workflow": workflow.rid, "Description": redact(description)}
            status = {"Status": Status.created.value, "Status_Detail": ""}
            [rid] = self._db.insert("Execution", {**row, **status})
            place = self._stored_path(folder) if folder else None
            run = {"execution": rid, "folder": place, **vars(owner), "started_by": started_by}
            self._db.add("local_run", run)
        return rid

    def forget_execution(self, rid: RID) -> None:
        """Take back an execution that was just added and has nothing yet."""
        with self._db.transaction():
            for table in ("local_destination", "local_run"):
                self._db.delete(table, execution=rid)
            self._db.delete("Execution", RID=rid)

    def folder_of(self, execution: RID) -> Path:
        """Return the execution's working folder."""
        return check_inside(self.project.executions / plain_name(execution), self.project.state)

    def update_execution(
        self, rid: RID, status: Status | None = None, detail: str | None = None, **durations: str
    ) -> None:
        """Record an execution's status, its reason, or its duration columns."""
        changes: dict[str, Any] = {**durations}
        if status is not None:
            changes["Status"] = status.value
        if detail is not None:
            changes["Status_Detail"] = redact(detail)
        # What somebody is told has ended is on the disk, and all that was recorded before.
        with self._db.transaction(durable=status is not None and status not in OPEN_STATUSES):
            self.journal.changed(rid)
            if status is Status.uploaded and self.journal.pending(rid):
                changes["Status"] = Status.pending_upload.value
            self._db.update("Execution", rid, changes)

    def cancel_push(self, rid: RID) -> None:
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

    def mark_pushed(self, rid: RID, destination: Destination, changes: int) -> None:
        """Note that an execution is at a destination as it was after so many changes; ``Uploaded`` once it is everywhere."""
        with self._db.transaction():
            self.journal.pushed(rid, destination, changes)
            waiting = self._db.get("Execution", "Status", RID=rid)
            if waiting == Status.pending_upload and not self.journal.pending(rid):
                self._db.update("Execution", rid, {"Status": Status.uploaded.value})

    def _execution_rows(self, condition: str, *values: Any) -> Iterable[Row]:
        return self._db.query(
            f'SELECT e.*, e."RCB" AS created_by, {_WORKFLOW}, r."started_by" FROM "Execution" e'
            ' JOIN "Workflow" w ON w."RID" = e."Workflow"'
            f' LEFT JOIN "local_run" r ON r."execution" = e."RID" {condition}',
            *values,
        )

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        for row in self._execution_rows('WHERE e."RID" = ?', rid):
            return self._build(row, _record, "execution")
        raise self._not_found(rid, "execution")

    def select_executions(self, criteria: Criteria, limit: int | None = None) -> list[ExecutionRecord]:
        """Return the executions that meet the criteria, in their order."""
        if criteria.where or criteria.order:
            self.read_summaries()
        rids = self.summaries.select(criteria, limit)
        places = {rid: place for place, rid in enumerate(rids)}
        rows = self._execution_rows('WHERE e."RID" IN (SELECT "value" FROM json_each(?))', json.dumps(rids))
        found = self._build_all(rows, _record, "execution")
        return sorted(found, key=lambda record: places[record.rid])

    def results(self, criteria: Criteria, limit: int | None = None) -> list[Result]:
        self.read_summaries()
        found = self.select_executions(criteria, limit)
        summaries = self.summaries.of([record.rid for record in found])
        return [Result(record, summaries[record.rid]) for record in found]

    def find_workflows(self) -> list[Workflow]:
        rows = self._db.query(f'SELECT {_WORKFLOW} FROM "Workflow" w ORDER BY w."RCT" DESC, w."RID" DESC')
        return self._build_all(rows, _workflow, "workflow")

    def executions_of_run(self, folder: Path) -> list[RID]:
        """Return the executions that were created by the notebook run in ``folder``, oldest first."""
        stored = self._stored_path(folder)
        query = 'SELECT "execution" FROM "local_run" WHERE "folder" IN (?, ?) ORDER BY rowid'
        return [row["execution"] for row in self._db.query(query, stored, OLD_PREFIX + stored)]

    def open_executions(self) -> list[tuple[RID, Owner, Path | None]]:
        """Return executions that have not ended or have files staged, who answers for each, and its notebook run's folder."""
        marks = ", ".join("?" for _ in OPEN_STATUSES)
        rows = self._db.query(  # each half reads an index: the command does this among all that was ever run
            'SELECT * FROM "local_run" WHERE "execution" IN'
            f' (SELECT "RID" FROM "Execution" WHERE "Status" IN ({marks}) UNION SELECT "execution" FROM "local_staged")',
            *(status.value for status in OPEN_STATUSES),
        )
        found = self._build_all(rows, _Open.of, "execution")
        return [(one.execution, one.owner, self._run_folder(one.folder)) for one in found]

    def _run_folder(self, stored: str | None) -> Path | None:
        """Return the folder that a row means, which lies among those of runs whatever else it says."""
        return self.project.runs / plain_name(Path(stored).name) if stored else None

    def owner_of(self, rid: RID) -> Owner | None:
        """Return who answers, or answered, for an execution."""
        row = self._db.find("local_run", execution=rid)
        return self._build(row, _owner, "execution") if row else None

    def claim(self, rid: RID, before: Owner, after: Owner) -> bool:
        """Make ``after`` answer for an execution if ``before`` still does; False if somebody else was faster."""
        with self._db.transaction():
            if self.owner_of(rid) != before:
                return False
            self._db.change("local_run", vars(after), execution=rid)
        return True

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        """Make ``child`` the ``sequence``-th execution of a sweep."""
        row = {"Execution": parent, "Nested_Execution": child, "Sequence": sequence}
        self._link(child, "Execution_Execution", row)

    def list_execution_children(self, rid: RID) -> list[RID]:
        return [*self.places_in_sweep(rid)]

    def places_in_sweep(self, parent: RID) -> dict[RID, int | None]:
        """Return which one each of a sweep's executions is, in that order; of one place, the newest comes last."""
        rows = self._db.select("Execution_Execution", 'ORDER BY "Sequence", "RCT"', Execution=parent)
        return {row["Nested_Execution"]: row["Sequence"] for row in rows}

    def list_execution_parents(self, rid: RID) -> list[RID]:
        return self._db.get_all("Execution_Execution", "Execution", Nested_Execution=rid)

    # Names

    def link(self, rid: RID) -> str:
        return f"uv run deriva-ml-catalog show {rid}"

    def path_builder(self) -> Any:
        raise DerivaMLRequestError(
            "pathBuilder() is for a Deriva catalog, and this is the project's own: choose one with deriva_ml=production"
        )

    def cite(self, rid: RID) -> str:
        return f"{self.project.database.as_uri()}#{rid}"


_WORKFLOW = (
    'w."RID" AS w_rid, w."Name" AS w_name, w."Description" AS w_description, w."URL" AS w_url,'
    ' w."Checksum" AS w_checksum, w."Version" AS w_version, (SELECT json_group_array("Workflow_Type")'
    ' FROM "Workflow_Workflow_Type" WHERE "Workflow" = w."RID") AS w_types'
)
"""The columns that ``_workflow`` reads."""


def _workflow(row: Row) -> Workflow:
    return Workflow(
        **{name: row[f"w_{name}"] or "" for name in ("name", "description", "url", "checksum", "version")},
        workflow_type=json.loads(row["w_types"]),
        rid=row["w_rid"],
    )


def _record(row: Row) -> ExecutionRecord:
    texts = {name: row[name] or "" for name in ("status_detail", "description", "created_by", "started_by")}
    durations = {name: row[name] for name in ("execution_duration", "download_duration", "upload_duration")}
    status, workflow = Status(row["Status"]), well_formed(_workflow(row))
    return ExecutionRecord(row["RID"], status, workflow=workflow, created=row["RCT"], **texts, **durations)


@dataclass(frozen=True)
class _Open:
    """An execution under way, who answers for it, and its run's folder as stored."""

    execution: RID
    owner: Owner
    folder: str | None

    @classmethod
    def of(cls, row: Row) -> _Open:
        """Return what a row of ``local_run`` says."""
        return cls(row["execution"], well_formed(_owner(row)), row["folder"])


def _owner(row: Row) -> Owner:
    return Owner(row["host"], row["pid"], row["started"], row["lock"] or "")
