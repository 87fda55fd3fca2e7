"""A Deriva catalog as the place where a run looks up and fetches what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from deriva_ml.catalog.objects import is_digest
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, ExecutionRecord, Status
from deriva_ml.deriva import lookup
from deriva_ml.deriva.access import look_up
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.delivery import DerivaDelivery
from deriva_ml.deriva.errors import unless_refused
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.server import quote
from deriva_ml.deriva.site import Site
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLRequestError


class DerivaSource(Source):
    """Look-ups in a Deriva catalog; ``Source`` says what its methods do.

    RIDs are those of the server. What only the project's own catalog has, such as the demonstration and executions
    of this run that wait, is found there.
    """

    def __init__(self, site: Site, delivery: DerivaDelivery) -> None:
        self._site = site
        self._local = site.local
        self._delivery = delivery
        self.host = site.host

    @property
    def host_name(self) -> str:
        return self.host

    @property
    def catalog_id(self) -> str:
        return self._site.destination.catalog

    def close(self) -> None:
        self._site.close()

    # Look-ups

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        if local := self._delivery.recorded(rid):
            record = self._local.lookup_execution(local)
            workflow = replace(record.workflow, rid=self._delivery.rid(str(record.workflow.rid)))
            return replace(record, rid=rid, workflow=workflow)

        def find() -> ExecutionRecord:
            found = lookup.read_executions(self._site.server, {"RID": rid})
            if not found:
                raise lookup.not_found(self._site.server, rid, "execution")
            return found[0]

        return look_up(self._site.server, find)

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        values = {"Status": lookup.status_name(status, self._site.server.model)} if status else {}
        return lookup.read_executions(self._site.server, values, limit)

    @reads
    def list_execution_children(self, rid: RID) -> list[RID]:
        rows = self._nested("Execution", rid)
        rows.sort(key=lambda row: row["Sequence"] or 0)
        return [row["Nested_Execution"] for row in rows]

    @reads
    def list_execution_parents(self, rid: RID) -> list[RID]:
        return [row["Execution"] for row in self._nested("Nested_Execution", rid)]

    def _nested(self, column: str, rid: RID) -> list[dict[str, Any]]:
        if not self._site.server.model.executions_nest:
            return []
        return self._site.server.find("Execution_Execution", {column: rid})

    def lookup_asset(self, rid: RID) -> Asset:
        return self.lookup_assets([rid])[0]

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        here = {rid: self._local.lookup_asset(rid) for rid in rids if self._delivery.is_here(rid)}
        wanted = [rid for rid in rids if rid not in here]
        if self._site.offline:
            there = [self._site.known.asset(rid) or self._refuse(f"asset {rid}") for rid in wanted]
        else:
            there = look_up(self._site.server, lambda: lookup.find_assets(self._site.server, wanted))
            for asset in there:
                self._site.known.keep_asset(asset)
        # A server reads 1abc as 1-ABC, so that what was asked for tells which is which.
        found = here | dict(zip(wanted, there, strict=True))
        return [found[rid] for rid in rids]

    def _refuse(self, what: str) -> NoReturn:
        raise self._site.needs_server(what)

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        if self._delivery.is_here(rid):
            dataset = self._local.lookup_dataset(rid, version)
            model = self._site.kept_model
            cannot_lease = model and model.may("ERMrest_RID_Lease", "insert") is False
            if cannot_lease and (self._site.offline or not self._delivery.push.recognize(dataset)):
                raise DerivaMLRequestError(
                    f"{self.host} does not let you lease RIDs, which sending this project's dataset {rid} takes: ask"
                    " the catalog's owner for the right to insert into public:ERMrest_RID_Lease"
                )
            return dataset
        if self._site.offline:
            return self._site.known.dataset(rid, version) or self._refuse(f"dataset {rid}")
        dataset = look_up(self._site.server, lambda: lookup.find_dataset(self._site.server, rid, version))
        self._site.known.keep_dataset(dataset, version)
        return dataset

    @reads
    def assets_of(self, execution: RID) -> list[Asset]:
        found = []
        for table in self._site.server.model.asset_tables:
            association = self._site.server.model.association(table, "Execution")
            if association is None:
                continue
            links = self._site.server.find(association.table, {association.other_column: execution})
            roles = {link[association.column]: _role(link) for link in links}
            linked = [one for one in self.lookup_assets(list(roles)) if one.url != UNKNOWN_SOURCE]
            found += [replace(asset, role=roles[asset.rid]) for asset in linked]
        return sorted(found, key=lambda asset: (asset.table, str(asset.role), asset.filename))

    @reads
    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        association = self._site.server.model.association(asset.table, "Execution")
        if association is None:
            return []
        links = self._site.server.find(association.table, {association.column: asset.rid}, "@sort(RCT)")
        return [(link[association.other_column], _role(link)) for link in links]

    def datasets_of(self, execution: RID) -> list[Dataset]:
        return lookup.datasets_of(self._site.server, execution)

    def asset_tables(self) -> list[str]:
        return self._site.kept_model.asset_tables if self._site.kept_model else self._local.asset_tables()

    def asset_columns(self, table: str) -> dict[str, bool]:
        return self._site.kept_model.columns(table) if self._site.kept_model else {}

    # Contents and names

    def fetch(self, asset: Asset, destination: Path) -> None:
        self.fetch_all([(asset, destination)])

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        missing = [asset for asset, _ in pairs if not self._held(asset)]
        if missing and self._site.offline:
            raise self._site.needs_server(f"the content of {missing[0].filename} ({missing[0].rid})")
        if missing:
            download(self._site.server, missing, self._local.objects)
        self._local.fetch_all(pairs)

    def locate(self, asset: Asset) -> str:
        return str(self._held(asset) or f"{self._site.url}{asset.url}")

    def _held(self, asset: Asset) -> Path | None:
        """Where the content is in this project; None if it is not, as that of a file which is known by reference only."""
        known = is_digest(asset.md5) and self._local.objects.has(asset.md5, asset.length)
        return self._local.objects.path(asset.md5) if known else None

    def cite(self, rid: RID) -> str:
        if self._delivery.is_here(rid):
            return self._local.cite(rid)
        local = self._delivery.recorded(rid)
        if self._site.offline or (local and self._local.journal.pending(local)):
            return self.link(rid)  # there is no state of the catalog yet that has it
        with unless_refused(404):
            self._site.server.describe(f"/entity_rid/{quote(rid)}")
            return f"{self.link(rid)}@{self._site.server.snaptime()}"
        raise lookup.not_found(self._site.server, rid, "record")

    def path_builder(self) -> Any:
        return self._site.server.path_builder()

    def link(self, rid: RID) -> str:
        return self._delivery.link(rid)


def _role(link: Mapping[str, Any]) -> AssetRole:
    """Return an asset's role by an association's row: output, where a domain's table has no column for it."""
    return AssetRole(link.get("Asset_Role") or AssetRole.output)
