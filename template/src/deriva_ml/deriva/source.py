"""A Deriva catalog as the place where a run looks up and fetches what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.links import Start
from deriva_ml.catalog.objects import is_digest
from deriva_ml.catalog.protocol import Source
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, DatasetState, ExecutionRecord, Workflow
from deriva_ml.deriva import lookup
from deriva_ml.deriva.answers import ServerRefused, reads, unless_refused
from deriva_ml.deriva.delivery import DerivaDelivery
from deriva_ml.deriva.links import start_at
from deriva_ml.deriva.manifests import Manifests, find_version
from deriva_ml.deriva.mirror import Mirror
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.newest import find_newest_assets, find_newest_datasets, find_newest_workflows
from deriva_ml.deriva.retry import not_logged_in
from deriva_ml.deriva.server import Server, quote
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.untrusted import plain_name

T = TypeVar("T")


class DerivaSource(Source):
    """Look-ups in a Deriva catalog; ``Source`` says what its methods do.

    RIDs are those of the server. What only the project's own catalog has, such as the demonstration and executions
    of this run that wait, is found there.
    """

    def __init__(self, delivery: DerivaDelivery) -> None:
        self._delivery = delivery
        self._local = delivery.local
        self.host = delivery.host

    @property
    def host_name(self) -> str:
        return self.host

    @property
    def catalog_id(self) -> str:
        return self._delivery.destination.catalog

    def close(self) -> None:
        self._delivery.close()

    # Look-ups

    def _look_up(self, find: Callable[[Server], T], listing: bool = False) -> T:
        """What a look-up finds. What is not shown to who is not logged in any more may be there all the same.

        Args:
            listing: it finds fewer records then, and does not fail.
        """
        server = self._delivery.server
        try:
            found = find(server)
            if not listing or server.anonymous or server.logged_in():
                return found
        except (DerivaMLRequestError, ServerRefused):
            if server.anonymous or server.logged_in():
                raise
        if not server.renew_login():
            raise DerivaMLRequestError(not_logged_in(server.host))
        return find(server)

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        if local := self._delivery.recorded(rid):
            record = self._local.lookup_execution(local)
            workflow = replace(record.workflow, rid=self._delivery.rid(str(record.workflow.rid)))
            return replace(record, rid=rid, workflow=workflow)

        def find(server: Server) -> ExecutionRecord:
            rows = server.find("Execution", {"RID": rid})
            if not rows:
                raise lookup.not_found(server, rid, "execution")
            return lookup.executions_of_rows(server, rows)[0]

        return self._look_up(find)

    def select_executions(self, criteria: Criteria, limit: int | None = None) -> list[ExecutionRecord]:
        return [record for record, _ in self._mirrored(criteria, limit, files=False)]

    def results(self, criteria: Criteria, limit: int | None = None) -> list[Result]:
        return self._mirrored(criteria, limit)

    def _mirrored(self, criteria: Criteria, limit: int | None, files: bool = True) -> list[Result]:
        name = plain_name(f"{self.host.rpartition('://')[2]} {self.catalog_id}.db")
        path = self._local.project.state / "known" / name
        objects = self._local.objects
        return self._look_up(
            lambda server: Mirror(path, server, objects).results(criteria, limit, files), listing=True
        )

    def find_assets(
        self,
        table: str | None = None,
        asset_type: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Asset]:
        return self._look_up(
            lambda server: find_newest_assets(server, table, asset_type, name, limit), listing=True
        )

    def find_datasets(self, limit: int | None = None) -> list[Dataset]:
        return self._look_up(lambda server: find_newest_datasets(server, limit), listing=True)

    def find_workflows(self) -> list[Workflow]:
        return self._look_up(find_newest_workflows, listing=True)

    @reads
    def list_execution_children(self, rid: RID) -> list[RID]:
        rows = self._nested("Execution", rid)
        rows.sort(key=lambda row: row["Sequence"] or 0)
        return [row["Nested_Execution"] for row in rows]

    @reads
    def list_execution_parents(self, rid: RID) -> list[RID]:
        return [row["Execution"] for row in self._nested("Nested_Execution", rid)]

    def _nested(self, column: str, rid: RID) -> list[dict[str, Any]]:
        if not self._delivery.server.model.executions_nest:
            return []
        return self._delivery.server.find("Execution_Execution", {column: rid})

    def lookup_asset(self, rid: RID) -> Asset:
        return self.lookup_assets([rid])[0]

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        here = {rid: self._local.lookup_asset(rid) for rid in rids if self._delivery.is_here(rid)}
        wanted = [rid for rid in rids if rid not in here]
        if self._delivery.offline:
            there = [
                self._delivery.known.asset(rid) or self._delivery.refuse_offline(f"asset {rid}")
                for rid in wanted
            ]
        else:
            there = self._look_up(lambda server: lookup.find_assets(server, wanted))
            for asset in there:
                self._delivery.known.keep_asset(asset)
        # A server reads 1abc as 1-ABC, so that what was asked for tells which is which.
        found = here | dict(zip(wanted, there, strict=True))
        return [found[rid] for rid in rids]

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        if self._delivery.is_here(rid):
            return self._local.lookup_dataset(rid, version)
        if self._delivery.offline:
            return self._delivery.known.dataset(rid, version) or self._delivery.refuse_offline(
                f"dataset {rid}"
            )
        dataset = self._look_up(
            lambda server: lookup.find_dataset(server, rid, version, self._manifests(server))
        )
        self._delivery.known.keep_dataset(dataset, version)
        return dataset

    def dataset_versions(self, rid: RID) -> list[DatasetState]:
        if self._delivery.is_here(rid):
            return self._local.dataset_versions(rid)
        if self._delivery.offline:
            return self._delivery.known.states(rid) or self._delivery.refuse_offline(f"dataset {rid}")
        found = self._look_up(lambda server: lookup.find_dataset_states(server, rid, self._manifests(server)))
        self._delivery.known.keep_states(rid, found)
        return found

    def find_dataset_by_digest(self, digest: str, version: str) -> tuple[RID, str] | None:
        found = self._delivery.known.dataset_by_digest(digest, version)
        if not self._delivery.offline:
            found = self._look_up(
                lambda server: find_version(server, digest, version, self._manifests(server))
            )
            if found:
                self._delivery.known.keep_digest(digest, version, found)
        if found:
            return found, version
        # The project's own goes there with the first execution that reads it.
        here = self._local.find_dataset_by_digest(digest, version)
        if here:
            self._delivery.take_along(here[0])
        return here

    def _manifests(self, server: Server) -> Manifests:
        return Manifests(server, self._local.objects)

    @reads
    def assets_of(self, execution: RID) -> list[Asset]:
        found = []
        for association in self._delivery.server.model.asset_tables.values():
            links = self._delivery.server.find(association.table, {association.other_column: execution})
            roles = {link[association.column]: _role(link) for link in links}
            linked = [one for one in self.lookup_assets(list(roles)) if one.url != UNKNOWN_SOURCE]
            found += [replace(asset, role=roles[asset.rid]) for asset in linked]
        return sorted(found, key=lambda asset: (asset.table, str(asset.role), asset.filename))

    @reads
    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        association = self._delivery.server.model.asset_tables.get(asset.table)
        if association is None:
            return []
        links = self._delivery.server.find(association.table, {association.column: asset.rid}, "@sort(RCT)")
        return [(link[association.other_column], _role(link)) for link in links]

    def datasets_of(self, execution: RID) -> list[Dataset]:
        return lookup.datasets_of(self._delivery.server, execution)

    def links_from(self, rid: RID) -> Start:
        if self._delivery.is_here(rid):
            return self._local.links_from(rid)
        try:
            return self._look_up(lambda server: start_at(server, rid))
        except NotFound:
            if local := self._delivery.recorded(rid):  # and not brought there yet
                return self._local.links_from(local)
            raise

    def asset_tables(self) -> list[str]:
        model = self._delivery.kept_model
        return list(model.asset_tables) if model else self._local.asset_tables()

    def asset_columns(self, table: str) -> dict[str, bool]:
        return self._delivery.kept_model.columns(table) if self._delivery.kept_model else {}

    # Contents and names

    def fetch(self, asset: Asset, destination: Path) -> None:
        self.fetch_all([(asset, destination)])

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        missing = [asset for asset, _ in pairs if not self._held(asset)]
        if missing and self._delivery.offline:
            self._delivery.refuse_offline(f"the content of {missing[0].filename} ({missing[0].rid})")
        if missing:
            download(self._delivery.server, missing, self._local.objects)
        self._local.fetch_all(pairs)

    def locate(self, asset: Asset) -> str:
        return str(self._held(asset) or f"{self._delivery.url}{asset.url}")

    def _held(self, asset: Asset) -> Path | None:
        """Where the content is in this project; None if it is not, as that of a file which is known by reference only."""
        known = is_digest(asset.md5) and self._local.objects.has(asset.md5, asset.length)
        return self._local.objects.path(asset.md5) if known else None

    def cite(self, rid: RID) -> str:
        if self._delivery.is_here(rid):
            return self._local.cite(rid)
        local = self._delivery.recorded(rid)
        if self._delivery.offline or (local and self._local.journal.pending(local)):
            return self.link(rid)  # there is no state of the catalog yet that has it
        with unless_refused(404):
            self._delivery.server.describe(f"/entity_rid/{quote(rid)}")
            return f"{self.link(rid)}@{self._delivery.server.snaptime()}"
        raise lookup.not_found(self._delivery.server, rid, "record")

    def path_builder(self) -> Any:
        return self._delivery.server.path_builder()

    def link(self, rid: RID) -> str:
        return self._delivery.link(rid)


def _role(link: Mapping[str, Any]) -> AssetRole:
    """Return an asset's role by an association's row: output, where a domain's table has no column for it."""
    return AssetRole(link.get("Asset_Role") or AssetRole.output)
