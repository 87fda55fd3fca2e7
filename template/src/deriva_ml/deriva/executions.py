"""Reads executions from a Deriva catalog of either generation, and knows how each spells a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deriva_ml.definitions import RID, ExecutionRecord, Row, Status, Workflow
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server

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
    server: Server, values: Mapping[str, str], limit: int | None = None
) -> list[ExecutionRecord]:
    """Executions with their workflows, newest first.

    Args:
        values: of columns, which those executions have; of none, for all.
        limit: how many at most.
    """
    tail = "@sort(RCT::desc::,RID::desc::)" + ("" if limit is None else f"?limit={limit}")
    rows = server.find("Execution", values, tail)
    workflows = _workflows(server, (row["Workflow"] for row in rows if row["Workflow"]))
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


def _workflows(server: Server, rids: Iterable[RID]) -> dict[RID, Workflow]:
    wanted = list(dict.fromkeys(rids))
    rows = server.find_any("Workflow", "RID", wanted)
    types: dict[RID, list[str]] = {}
    if server.model.workflow_types_are_rows:
        types = server.find_linked("Workflow_Workflow_Type", "Workflow", wanted, "Workflow_Type")
    return {row["RID"]: _workflow(row, types.get(row["RID"])) for row in rows}


def _workflow(row: Row, types: list[str] | None) -> Workflow:
    return Workflow(
        name=row["Name"] or "",
        workflow_type=types or row.get("Workflow_Type") or [],
        description=row["Description"] or "",
        url=row["URL"] or "",
        checksum=row["Checksum"] or "",
        version=row["Version"] or "",
        rid=row["RID"],
    )
