"""Brings executions of the project's own catalog to a Deriva catalog, in steps that can be stopped and repeated anywhere.

A record is given its RID there before anything of it is sent, the RID is noted here, and rows are inserted under it
unless they are there: whatever the network does, nothing comes to be there twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.definitions import (
    OPEN_STATUSES,
    RID,
    AssetRole,
    DatasetState,
    ExecutionRecord,
    MLAsset,
    Status,
    Workflow,
    format_duration,
)
from deriva_ml.deriva import contents
from deriva_ml.deriva.access import check_recording
from deriva_ml.deriva.answers import ServerRefused, reads
from deriva_ml.deriva.idempotent import Rows
from deriva_ml.deriva.login import catalog_name, server_name
from deriva_ml.deriva.lookup import status_name
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.offline import offline_cache
from deriva_ml.deriva.retry import LIVE, RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.deriva.versions import Versions, maker_of
from deriva_ml.file_lock import file_lock
from deriva_ml.terminal import warn

IN_CONFIG = "config "
"""What is noted for a credential that stands in a configuration, before the catalog's number or alias there."""
NO_TYPE = "Analysis Notebook"
"""The type of a workflow that was given none: catalogs of deriva-ml 1.17 ask for one."""


def destination_of(config: DerivaMLConfig) -> tuple[Destination, str | None]:
    """The destination that a configuration means, and where its credential is: its file, or ``config``; no secret."""
    credential = config.credential
    destination = Destination(server_name(str(config.hostname)), catalog_name(str(config.catalog_id)))
    if isinstance(credential, str | Path):
        return destination, str(Path(credential).absolute())
    # By the catalog's name in the configuration, where it is found again.
    return destination, credential and f"{IN_CONFIG}{destination.catalog}"


class Push:
    """Pushes executions to one catalog.

    Methods raise ``ServerUnreachable`` when the server cannot be reached or does not answer for long, and
    ``ServerRefused`` when it does not allow what is asked; what they had done by then is noted, and a repetition
    goes on from there.
    """

    def __init__(self, local: EmbeddedCatalog, server: Server, destination: Destination) -> None:
        self.host = server.host
        self.destination = destination
        self._local = local
        self._server = server
        self._model = server.model
        self.there = Rows(local.journal, server, destination)
        self._versions = Versions(local, self.there)
        self._admitted: set[RID] = set()
        self._under_way: set[RID] = set()

    @classmethod
    def open(cls, local: EmbeddedCatalog, destination: Destination, credential: Any = None) -> Push:
        """Connect to a destination. Raises as the methods do."""
        server = Server(destination.host, destination.catalog, credential)
        offline_cache(local.project, server.host, server.catalog_id).current_schema(server)
        check_recording(server)
        return cls(local, server, local.journal.rename(destination, server.canonical_id()))

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()

    # The execution itself

    @reads
    def begin(self, execution: RID) -> RID:
        """See that the execution's row is there, and its workflow's; its RID there."""
        if not self.there.stored(execution):
            # Where no RID can be leased, two processes at it would insert two rows.
            with file_lock(self._local.project.state / "push.lock"):
                if not self.there.stored(execution):
                    self._begin(execution)
        return self.there.rid(execution)

    def _begin(self, execution: RID) -> None:
        record = self._local.lookup_execution(execution)
        workflow = record.workflow
        local = str(workflow.rid)
        if not self.there.known(local).rid and (found := self._find_workflow(workflow)):
            self.there.note({local: Remote(found, stored=True)})
        self.there.lease([local, execution])
        self._store_workflow(local, workflow)
        row = {"Workflow": self.there.rid(local), "Description": record.description}
        row |= self._columns(record)
        over = record.status not in {Status.created, Status.running}
        may = self._model.may  # of a column, the right does not tell that only who owns its table may say RCT
        if over and may("Execution", "owner") is True and may("Execution", "insert", "RCT") is not False:
            row["RCT"] = record.created  # it happened before it came to be there
        lookup_columns = {"Status_Detail": f"{self._local.catalog_id}/{execution}"}
        # All statuses: where one is missing as an execution begins, none shall be when it ends.
        terms = {"Execution_Status": list(Status)} if self._model.statuses_are_terms else {}
        self.there.store("Execution", execution, row, lookup_columns, terms)

    @reads
    def follow(self, execution: RID) -> None:
        """Show there how an execution stands; with little patience, for it holds up the run."""
        self._update(execution, self._columns(self._local.lookup_execution(execution)), LIVE)

    @reads
    def finish(self, execution: RID) -> RID:
        """See that everything about an execution is there, its end last; its RID there."""
        self._versions.record_manifests(self._made(execution))
        changes = self._local.journal.changes(execution, self.destination)
        if self.there.stored(execution):
            # First how it ended: no file that cannot be sent shall keep that back.
            self._update(execution, self._columns(self._local.lookup_execution(execution)))
        begun = time.monotonic()
        sent, refused = self._send_files(execution)
        if sent:
            self._local.note_upload(execution, format_duration(time.monotonic() - begun))
        self._link_sweep(execution)
        self._admit_unknown_source(execution)
        if refused:
            raise refused
        record = self._local.lookup_execution(execution)
        columns = self._columns(record)
        if record.status is Status.pending_upload:
            columns["Status"] = status_name(Status.uploaded, self._model)
        self._update(execution, columns)
        self._local.mark_pushed(execution, self.destination, changes)
        return self.there.rid(execution)

    def _update(self, execution: RID, columns: dict[str, Any], patience: RetryPolicy | None = None) -> None:
        rows = [{"RID": self.there.rid(execution), **columns}]
        self._server.update(self._model.qualified("Execution"), rows, patience)

    def _columns(self, record: ExecutionRecord) -> dict[str, Any]:
        """What changes in an execution's row, in the columns that the catalog has."""
        columns = {
            "Status": status_name(record.status, self._model),
            "Status_Detail": record.status_detail,
            "Execution_Duration": record.execution_duration,
            "Download_Duration": record.download_duration,
            "Upload_Duration": record.upload_duration,
            "Duration": record.execution_duration,
        }
        return {name: value for name, value in columns.items() if self._model.has("Execution", name)}

    # The workflow

    def _find_workflow(self, workflow: Workflow) -> RID | None:
        """A workflow with the same checksum, URL and name; the first, if there are several.

        By the checksum alone, a notebook that many projects begin with would be taken for another project's, and one
        that did not change between two versions, while a module that it imports did, for that of the older one.
        """
        if not workflow.checksum:
            return None
        rows = self._server.find("Workflow", {"Checksum": workflow.checksum})
        rows = [row for row in rows if (row["Name"], row["URL"] or "") == (workflow.name, workflow.url)]
        return min(rows, key=lambda row: row["RCT"])["RID"] if rows else None

    def _store_workflow(self, local: RID, workflow: Workflow) -> None:
        if self.there.stored(local):
            return
        row = workflow.columns
        terms = {"Workflow_Type": workflow.types or [NO_TYPE]}
        if not self._model.workflow_types_are_rows:
            row["Workflow_Type"] = terms["Workflow_Type"][0]
        lookup_columns = {name: str(row[name]) for name in ("Checksum", "Name", "URL") if row[name]}
        rid = self.there.store("Workflow", local, row, lookup_columns, terms, complete=False)
        if self._model.workflow_types_are_rows:
            links = [{"Workflow": rid, "Workflow_Type": name} for name in terms["Workflow_Type"]]
            self.there.associate("Workflow_Workflow_Type", links, terms)
        self.there.note({local: Remote(rid, stored=True)})

    # Files and datasets

    @reads
    def send_files(self, execution: RID) -> None:
        """See that the files and datasets that an execution read and made are there.

        Raises:
            ServerRefused: also when a row was not taken; everything else is there then.
        """
        _, refused = self._send_files(execution)
        if refused:
            raise refused

    def _send_files(self, execution: RID) -> tuple[bool, ServerRefused | None]:
        """See that files and datasets are there; whether any had to be sent, and what is wrong with rows not taken."""
        rid = self.begin(execution)
        self._under_way.add(execution)
        self._link_remote_inputs(execution)
        read = [self._versions.stand_in(one) for one in self._local.states_read(execution)]
        wanted = [*read, *self._made(execution)]
        self._versions.recognize(self._versions.waiting(wanted))
        waiting = self._versions.waiting(wanted)
        self._versions.record_manifests(waiting)
        for maker in dict.fromkeys(filter(None, map(maker_of, waiting))):
            self._bring_along(maker, execution)
        assets = self._local.assets_of(execution)
        files = self._versions.files(self._versions.waiting(wanted))
        sent, refused = contents.send_assets(self._local, self.there, [*assets, *files])
        for table, members in contents.by_table(one for one in assets if self.there.stored(one.rid)).items():
            contents.link_assets(
                self.there, rid, table, {self.there.rid(one.rid): one.role for one in members}
            )
        self._versions.send([one for one in wanted if not refused or self._versions.can_come(one)])
        read = [one for one in read if self.there.stored(one.rid)]
        self._link_datasets(rid, {self.there.rid(one.dataset): self.there.rid(one.rid) for one in read})
        self._under_way.discard(execution)
        return sent, refused

    def _made(self, execution: RID) -> list[DatasetState]:
        """The versions of datasets that an execution made."""
        return [one for one in self._local.states_made(execution) if one.released and maker_of(one)]

    def _bring_along(self, maker: RID, execution: RID) -> None:
        """See that the execution that made a version of a dataset is there, as another one is to be that read it."""
        if maker in self._under_way:
            return
        journal = self._local.journal
        if self.destination not in journal.destinations(maker):
            journal.send_to(maker, self.destination, journal.credential(execution, self.destination))
        if any(destination == self.destination for _, destination in journal.pending(maker)):
            over = self._local.lookup_execution(maker).status not in OPEN_STATUSES
            self.finish(maker) if over else self.send_files(maker)

    def _link_datasets(self, execution: RID, versions: Mapping[RID, RID | None]) -> None:
        linked = self._model.dataset_versions_are_linked
        rows = [
            {"Dataset": dataset, "Execution": execution, **({"Dataset_Version": version} if linked else {})}
            for dataset, version in versions.items()
        ]
        self.there.associate("Dataset_Execution", rows)

    def _link_remote_inputs(self, execution: RID) -> None:
        """Link what the execution read from this catalog itself."""
        rid = self.there.rid(execution)
        inputs = self._local.journal.inputs(execution, self.destination)
        for table, members in contents.by_table(inputs).items():
            if table == "Dataset":
                self._link_datasets(rid, {one.rid: one.version_rid for one in members})
            else:
                assets = [one.rid for one in members]
                contents.link_assets(self.there, rid, table, dict.fromkeys(assets, AssetRole.input))
                self._mark_as_read(rid, table, assets)

    def _mark_as_read(self, execution: RID, table: str, assets: Sequence[RID]) -> None:
        """Give assets that were there before the type of what executions read."""
        with _as_far_as_allowed(execution):
            contents.add_types(self.there, table, [(asset, AssetRole.input.asset_type) for asset in assets])

    def _admit_unknown_source(self, execution: RID) -> None:
        """Say of an execution that made files and read nothing that where they come from is unknown.

        So upstream's provenance contract has it, for which current catalogs are made with a `File` to link.
        """
        assets, journal = self._local.assets_of(execution), self._local.journal
        status = self._local.lookup_execution(execution).status
        ended_well = status in {Status.pending_upload, Status.uploaded}
        made = any(one.role is AssetRole.output and one.table != MLAsset.execution_metadata for one in assets)
        read = any(one.role is AssetRole.input for one in assets) or self._local.datasets_of(execution)
        if not ended_well or not made or read or execution in self._admitted:
            return
        if journal.inputs(execution, self.destination):
            return
        rid = self.there.rid(execution)
        for row in self._server.find(MLAsset.file, {"URL": UNKNOWN_SOURCE}):
            with _as_far_as_allowed(rid):
                contents.link_assets(self.there, rid, MLAsset.file, {row["RID"]: AssetRole.input})
            self._mark_as_read(rid, MLAsset.file, [row["RID"]])
        self._admitted.add(execution)
        if not any(journal.inputs(execution, other) for other in journal.destinations(execution)):
            warn(
                f"execution {rid} made files and read none that the record knows of: declare what it depends"
                " on, with datasets= or assets="
            )

    # Sweeps

    def _link_sweep(self, execution: RID) -> None:
        """Nest an execution in its sweep, and a sweep's executions in it, as far as both ends are there."""
        if not self._model.executions_nest:
            return
        pairs = [(execution, child) for child in self._local.list_execution_children(execution)]
        pairs += [(parent, execution) for parent in self._local.list_execution_parents(execution)]
        rows = []
        for parent, child in pairs:
            if self.there.stored(parent) and self.there.stored(child):
                ends = {"Execution": self.there.rid(parent), "Nested_Execution": self.there.rid(child)}
                rows.append({**ends, "Sequence": self._local.places_in_sweep(parent)[child]})
        self.there.associate("Execution_Execution", rows)


@contextmanager
def _as_far_as_allowed(execution: RID) -> Iterator[None]:
    """Goes on, with a warning, where the client may not say of an execution's inputs what its record can do without."""
    try:
        yield
    except ServerRefused as refusal:
        if refusal.status != 403:
            raise
        warn(f"the inputs of execution {execution} could not all be marked there: {refusal}")
