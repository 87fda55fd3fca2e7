"""Reads executions from a Deriva catalog of either generation, and knows how each spells a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deriva_ml.definitions import RID, ExecutionRecord, Status, Workflow
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server, quote

_WITHOUT_VOCABULARY = {
    Status.stopped: "Running",
    Status.pending_upload: "Pending",
    Status.uploaded: "Completed",
}
"""What deriva-ml 1.17 calls a status, whose catalogs have no vocabulary of them; the others have the same names."""

_MEANINGS = {"Completed": Status.uploaded, "Pending": Status.pending_upload, "Initializing": Status.created}


def status_name(status: Status, model: Model) -> str:
    """A status as the catalog spells it."""
    return status.value if model.statuses_are_terms else _WITHOUT_VOCABULARY.get(status, status.value)


def status_of(name: str | None) -> Status:
    """What a catalog's status means; one that no runner writes counts as ``Created``."""
    known = name if name in set(Status) else _MEANINGS.get(name or "", Status.created)
    return Status(known)


@reads
def read_executions(
    server: Server, model: Model, condition: str = "", limit: int | None = None
) -> list[ExecutionRecord]:
    """Executions with their workflows, newest first.

    Args:
        condition: a filter in ERMrest's syntax, such as ``/RID=1-ABCD``.
        limit: how many at most.
    """
    tail = "@sort(RCT::desc::,RID::desc::)" + ("" if limit is None else f"?limit={limit}")
    rows = server.get(f"/entity/{model.qualified('Execution')}{condition}{tail}")
    workflows = read_workflows(server, model, (row["Workflow"] for row in rows if row["Workflow"]))
    return [
        ExecutionRecord(
            rid=row["RID"],
            status=status_of(row["Status"]),
            status_detail=row["Status_Detail"] or "",
            description=row["Description"] or "",
            workflow=workflows.get(row["Workflow"], Workflow("")),
            created=row["RCT"],
            created_by=row["RCB"] or "",
            execution_duration=row.get("Execution_Duration", row.get("Duration")),
            download_duration=row.get("Download_Duration"),
            upload_duration=row.get("Upload_Duration"),
        )
        for row in rows
    ]


def read_workflows(server: Server, model: Model, rids: Iterable[RID]) -> dict[RID, Workflow]:
    """Workflows with these RIDs, by RID."""
    wanted = list(dict.fromkeys(rids))
    rows = server.get_any(f"/entity/{model.qualified('Workflow')}", "RID", wanted)
    types: dict[RID, list[str]] = {}
    if model.workflow_types_are_rows:
        table = model.qualified("Workflow_Workflow_Type")
        for link in server.get_any(f"/entity/{table}", "Workflow", wanted):
            types.setdefault(link["Workflow"], []).append(link["Workflow_Type"])
    return {row["RID"]: _workflow(row, types.get(row["RID"])) for row in rows}


def _workflow(row: Mapping[str, Any], types: list[str] | None) -> Workflow:
    return Workflow(
        name=row["Name"] or "",
        workflow_type=types or row.get("Workflow_Type") or [],
        description=row["Description"] or "",
        url=row["URL"] or "",
        checksum=row["Checksum"] or "",
        version=row["Version"] or "",
        rid=row["RID"],
    )


def with_status(status: Status, model: Model) -> str:
    """The filter for executions that stand so."""
    return f"/Status={quote(status_name(status, model))}"
