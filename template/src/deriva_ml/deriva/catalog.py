"""A Deriva catalog as a place that executions are recorded in: first in the project's own catalog, then there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import is_digest
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.definitions import (
    OPEN_STATUSES,
    RID,
    Asset,
    AssetRole,
    Dataset,
    ExecutionRecord,
    StagedAsset,
    Status,
    Workflow,
    is_reserved,
)
from deriva_ml.deriva.access import check_reading, check_recording, look_up
from deriva_ml.deriva.answers import reading, reads
from deriva_ml.deriva.datasets import (
    datasets_of,
    find_assets,
    find_dataset,
    not_found,
    recollection,
)
from deriva_ml.deriva.errors import ServerRefused, ServerUnreachable
from deriva_ml.deriva.executions import read_executions, with_status
from deriva_ml.deriva.model import UNKNOWN_SOURCE, Model
from deriva_ml.deriva.push import Push, destination_of
from deriva_ml.deriva.retry import Patience
from deriva_ml.deriva.server import Server, quote
from deriva_ml.deriva.transfer import Download, download
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.terminal import print

AWAY_SECONDS = 60.0
"""How long a run does without a server that was not there when it was last asked."""

IN_A_RUN = Patience(attempts=4, longest=5.0, read=30.0)
"""For what a run waits for: about two and a half minutes at most for a server that takes requests and does not answer."""


class DerivaCatalog(Catalog):
    """A catalog on a Deriva server; what its methods do is said in ``Catalog``.

    Whatever is recorded is recorded in the project's own catalog before it is sent, and RIDs are those of the server.
    Records that no server has, which are the demonstration's and files that are not sent yet, are found in the
    project's own catalog, and sent with the first execution that reads them.

    Args:
        config: names the server and the catalog on it. With ``offline`` no request is made: inputs are those that
            were fetched before, and what is recorded waits.

    Raises:
        DerivaMLRequestError: the server cannot be reached, refuses the login, or has no such catalog.
    """

    def __init__(self, project: Project, config: DerivaMLConfig) -> None:
        self.local = EmbeddedCatalog(project)
        self.offline = config.offline
        self._server = Server(str(config.hostname), str(config.catalog_id), config.credential, IN_A_RUN)
        self.destination, self._credential = destination_of(config)
        self._away_since: float | None = None
        self._said: set[str] = set()
        self._unsent: set[RID] = set()
        self._mine: dict[RID, RID] = {}
        self._known = recollection(project, self._server.host, self._server.catalog_id)
        if self.offline:
            document = self._known.schema()
        else:
            try:
                document = self._known.current_schema(self._server)
                self.destination = self.local.journal.rename(self.destination, self._server.canonical_id())
            except ServerUnreachable as error:
                raise DerivaMLRequestError(f"{error}; --offline runs without it") from error
            except DerivaMLException as error:  # it refuses, or is no Deriva server
                raise DerivaMLRequestError(str(error)) from error
        with reading(self._server.host):
            self._model = Model(document) if document else None
        if self._model and not self._model.has("Execution"):
            raise DerivaMLRequestError(
                f"catalog {self.catalog_id} on {self.host_name} has no deriva-ml schema: is it the right one?"
            )
        self._check(check_reading)

    def _check(self, check: Callable[[Server, Model], None]) -> None:
        if not self.offline:
            try:
                check(self._server, self.model)
            except ServerUnreachable as error:
                raise DerivaMLRequestError(f"{error}; --offline runs without it") from error

    def check_recording(self) -> None:
        self._check(check_recording)

    @property
    def host_name(self) -> str:
        return self._server.host

    host = host_name

    @property
    def catalog_id(self) -> str:
        return self.destination.catalog

    @property
    def model(self) -> Model:
        """What the catalog consists of."""
        if self._model is None:
            raise self._needs_server("its tables")
        return self._model

    @property
    def server(self) -> Server:
        """The way to the server.

        Raises:
            DerivaMLRequestError: this run does without it.
        """
        if self.offline:
            raise self._needs_server("this")
        return self._server

    @cached_property
    def push(self) -> Push:
        """What brings executions there."""
        return Push(self.local, self.server, self.model, self.destination)

    def close(self) -> None:
        self.local.close()
        self._server.close()

    def _needs_server(self, what: str) -> DerivaMLRequestError:
        return DerivaMLRequestError(
            f"{what} has not been fetched from {self.host_name} before, and this run is offline: leave --offline out"
        )

    # Executions, which this project records

    def add_execution(
        self,
        workflow: Workflow,
        description: str,
        owner: Owner,
        folder: Path | None = None,
        *,
        started_by: str = "",
        if_alive: bool = False,
    ) -> RID:
        with self.local.transaction():
            local = self.local.add_execution(
                workflow, description, owner, folder, started_by=started_by, if_alive=if_alive
            )
            self.local.journal.send_to(local, self.destination, self._credential, held=self.offline)
        shown = local
        if not self.offline:
            self._begin(local)
            shown = self._remote(local)
            workflow.rid = self._remote(str(workflow.rid))
        self._mine[shown] = local
        return shown

    def _begin(self, local: RID) -> None:
        try:
            self.push.begin(local)
        except ServerRefused as error:
            if error.repeated:  # and may have begun it
                self.local.update_execution(local, Status.aborted, str(error))
            else:
                self.local.forget_execution(local)
            raise DerivaMLRequestError(f"{error}; nothing has been run") from error
        except DerivaMLException as error:
            self._goes_away(error)

    def update_execution(
        self, rid: RID, status: Status | None = None, detail: str | None = None, **durations: str
    ) -> None:
        self.local.update_execution(self._local(rid), status, detail, **durations)

    def show(self, rid: RID) -> None:
        local = self._local(rid)
        known = None if self._is_away else self.local.journal.remote(local, self.destination)
        if known and known.stored:
            self._try(lambda: self.push.follow(local))

    def send(self, execution: RID, recorded: Sequence[Asset] = ()) -> list[Asset]:
        local = self._local(execution)
        over = self.local.lookup_execution(local).status not in OPEN_STATUSES
        if not self.offline and (over or not self._is_away):  # what it ends with is always tried
            self._try(lambda: self.push.finish(local) if over else self.push.send_files(local))
        return [replace(asset, rid=self._remote(asset.rid)) for asset in recorded]

    def _try(self, action: Callable[[], object]) -> None:
        """Do what the run goes on without if it fails."""
        try:
            action()
        except DerivaMLException as error:
            self._goes_away(error)
        else:
            self._away_since = None

    def _goes_away(self, error: DerivaMLException) -> None:
        """Let the server be for a while, so that it does not hold the run up again and again, and say why, once."""
        self._away_since = time.monotonic()
        if str(error) not in self._said:
            self._said.add(str(error))
            hint = "the record is kept in this project, and uv run deriva-ml-upload sends it"
            print(f"warning: {error}; {hint}", file=sys.stderr)

    @property
    def _is_away(self) -> bool:
        """Whether to do without the server now."""
        since = self._away_since
        return self.offline or (since is not None and time.monotonic() - since < AWAY_SECONDS)

    def local_rid(self, rid: RID) -> RID:
        return self._local(rid)

    def folder_of(self, execution: RID) -> Path:
        return self.local.folder_of(self._local(execution))

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
        self.local.make_asset_table(table)
        local = self._local(execution)
        return self.local.stage(local, table, filename, folder, types, description, columns)

    def staged(self, execution: RID) -> list[StagedAsset]:
        return self.local.staged(self._local(execution))

    def commit(self, execution: RID, **options: Any) -> tuple[list[Asset], list[StagedAsset]]:
        return self.local.commit(self._local(execution), **options)

    def unstage(self, execution: RID) -> None:
        self.local.unstage(self._local(execution))

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        self.local.nest(self._local(parent), self._local(child), sequence)

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        asset = self.local.add_file(source, description, types)
        self._unsent.add(asset.rid)
        return asset

    def link_asset(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        local = self._local(execution)
        if self._is_here(asset.rid):
            self.local.link_asset(local, asset, role)
        else:
            self.local.journal.add_input(local, self.destination, asset)

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        local = self._local(execution)
        if self._is_here(dataset.rid):
            self.local.link_dataset(local, dataset)
        else:
            self.local.journal.add_input(local, self.destination, dataset)

    # RIDs here and there

    def _is_here(self, rid: RID) -> bool:
        """Whether an RID names a record of the project's own catalog: one that no server can have, or one not sent yet."""
        return is_reserved(rid.upper()) or rid in self._unsent  # servers take 1-abc for 1-ABC

    def _local(self, execution: RID) -> RID:
        """The RID in the project's own catalog of an execution that this project recorded for this one."""
        found = self._mine.get(execution) or self.local.journal.local(execution, self.destination)
        if found is None and self.destination in self.local.journal.destinations(execution):
            found = execution  # it has no RID there yet
        if found is None:
            raise DerivaMLRequestError(
                f"this project has not recorded an execution {execution} for {self.destination}"
            )
        return found

    def _remote(self, local: RID) -> RID:
        """The RID there of a record of the project's own catalog, or else the one here."""
        known = self.local.journal.remote(local, self.destination)
        return known.rid if known and known.rid else local

    def _recorded(self, execution: RID) -> RID | None:
        """The RID here of an execution of this process, or of one that is not there as it is here."""
        local = self.local.journal.local(execution, self.destination)
        waits = local and self.local.journal.pending(local)
        return self._mine.get(execution) or (local if waits else None)

    # Look-ups

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        if local := self._recorded(rid):
            record = self.local.lookup_execution(local)
            workflow = replace(record.workflow, rid=self._remote(str(record.workflow.rid)))
            return replace(record, rid=rid, workflow=workflow)

        def find() -> ExecutionRecord:
            found = read_executions(self.server, self.model, f"/RID={quote(rid)}")
            if not found:
                raise not_found(self.server, self.model, rid, "execution")
            return found[0]

        return look_up(self.server, find)

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        condition = with_status(status, self.model) if status else ""
        return read_executions(self.server, self.model, condition, limit)

    @reads
    def list_execution_children(self, rid: RID) -> list[RID]:
        rows = self._nested("Execution", rid)
        rows.sort(key=lambda row: row["Sequence"] or 0)
        return [row["Nested_Execution"] for row in rows]

    @reads
    def list_execution_parents(self, rid: RID) -> list[RID]:
        return [row["Execution"] for row in self._nested("Nested_Execution", rid)]

    def _nested(self, column: str, rid: RID) -> list[dict[str, Any]]:
        if not self.model.executions_nest:
            return []
        table = self.model.qualified("Execution_Execution")
        return list(self.server.get(f"/entity/{table}/{column}={quote(rid)}"))

    def lookup_asset(self, rid: RID) -> Asset:
        return self.lookup_assets([rid])[0]

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        here = {rid: self.local.lookup_asset(rid) for rid in rids if self._is_here(rid)}
        wanted = [rid for rid in rids if rid not in here]
        if self.offline:
            there = [self._known.asset(rid) or self._refuse(f"asset {rid}") for rid in wanted]
        else:
            there = look_up(self.server, lambda: find_assets(self.server, self.model, wanted))
            for asset in there:
                self._known.keep_asset(asset)
        # A server reads 1abc as 1-ABC, so that what was asked for tells which is which.
        found = here | dict(zip(wanted, there, strict=True))
        return [found[rid] for rid in rids]

    def _refuse(self, what: str) -> NoReturn:
        raise self._needs_server(what)

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        if self._is_here(rid):
            dataset = self.local.lookup_dataset(rid, version)
            leases = self._model is None or self._model.may_insert("ERMrest_RID_Lease")
            if not leases and (self.offline or not self.push.recognize(dataset)):
                raise DerivaMLRequestError(
                    f"{self.host_name} does not let you lease RIDs, which sending this project's dataset {rid} takes: ask"
                    " the catalog's owner for the right to insert into public:ERMrest_RID_Lease"
                )
            return dataset
        if self.offline:
            return self._known.dataset(rid, version) or self._refuse(f"dataset {rid}")
        dataset = look_up(self.server, lambda: find_dataset(self.server, self.model, rid, version))
        self._known.keep_dataset(dataset, version)
        return dataset

    @reads
    def assets_of(self, execution: RID) -> list[Asset]:
        found = []
        for table in self.model.asset_tables:
            association = self.model.association(table, "Execution")
            if association is None:
                continue
            condition = f"{association.other_column}={quote(execution)}"
            links = self.server.get(f"/entity/{self.model.qualified(association.table)}/{condition}")
            roles = {link[association.column]: _role(link) for link in links}
            linked = [one for one in self.lookup_assets(list(roles)) if one.url != UNKNOWN_SOURCE]
            found += [replace(asset, role=roles[asset.rid]) for asset in linked]
        return sorted(found, key=lambda asset: (asset.table, str(asset.role), asset.filename))

    @reads
    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        association = self.model.association(asset.table, "Execution")
        if association is None:
            return []
        path = f"/entity/{self.model.qualified(association.table)}/{association.column}={quote(asset.rid)}"
        links = self.server.get(f"{path}@sort(RCT)")
        return [(link[association.other_column], _role(link)) for link in links]

    def datasets_of(self, execution: RID) -> list[Dataset]:
        return datasets_of(self.server, self.model, execution)

    def asset_tables(self) -> list[str]:
        return self._model.asset_tables if self._model else self.local.asset_tables()

    def asset_columns(self, table: str) -> dict[str, bool]:
        return self._model.columns(table) if self._model else {}

    # Contents and names

    def fetch(self, asset: Asset, destination: Path) -> None:
        self.fetch_all([(asset, destination)])

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        missing = [asset for asset, _ in pairs if not self._held(asset)]
        if missing and self.offline:
            raise self._needs_server(f"the content of {missing[0].filename} ({missing[0].rid})")
        if missing:
            wanted = [Download(asset.url, asset.md5, asset.length, asset.filename) for asset in missing]
            download(self.server, wanted, self.local.objects)
        self.local.fetch_all(pairs)

    def locate(self, asset: Asset) -> str:
        return str(self._held(asset) or f"{self._server.url}{asset.url}")

    def _held(self, asset: Asset) -> Path | None:
        """Where the content is in this project; None if it is not, as that of a file which is known by reference only."""
        known = is_digest(asset.md5) and self.local.objects.has(asset.md5, asset.length)
        return self.local.objects.path(asset.md5) if known else None

    def cite(self, rid: RID) -> str:
        if self._is_here(rid):
            return self.local.cite(rid)
        local = self._recorded(rid)
        if self.offline or (local and self.local.journal.pending(local)):
            return self.link(rid)  # there is no state of the catalog yet that has it
        try:
            self.server.describe(f"/entity_rid/{quote(rid)}")
        except ServerRefused as error:
            if error.status != 404:
                raise
            raise not_found(self.server, self.model, rid, "record") from None
        return f"{self.link(rid)}@{self.server.snaptime()}"

    def path_builder(self) -> Any:
        return self.server.path_builder()

    def link(self, rid: RID) -> str:
        if rid not in self._mine or self._mine[rid] != rid:
            return self.destination.link(rid)
        return self.local.link(rid)  # it has no RID there yet


def _role(link: Mapping[str, Any]) -> AssetRole:
    """How an asset took part, by an association's row; a domain's own may not say, and then it was made."""
    return AssetRole(link.get("Asset_Role") or AssetRole.output)
