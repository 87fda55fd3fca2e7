"""A run's catalogs, driven step by step: record here, look up at the source, deliver, as ``Execution`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.connection import Connection
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, StagedAsset, Workflow
from deriva_ml.deriva import connect as opening
from deriva_ml.deriva.model import Model
from deriva_ml.process import Owner
from deriva_ml.project import Project


def connect(config: DerivaMLConfig, project: Project) -> Recorder:
    """The catalogs that a configuration names, opened."""
    return Recorder(opening.connect(config, project))


class Recorder:
    """Executions by the RIDs that people know them by; what is not here is the source's."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.local, self.source, self.delivery = connection.local, connection.source, connection.delivery
        self.close = connection.close
        self.check_recording = self.delivery.check_recording
        self.add_file = self.delivery.add_file
        self._begun: dict[RID, RID] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    @property
    def model(self) -> Model:
        """The server's tables."""
        model: Model = self.source._delivery.server.model  # type: ignore[attr-defined]
        return model

    def add_execution(self, workflow: Workflow, description: str, owner: Owner, **options: Any) -> RID:
        local, rid = self.connection.add_execution(workflow, description, owner, **options)
        self._begun[rid] = local
        return rid

    def local_rid(self, rid: RID) -> RID:
        """The RID here of an execution, also of one that another process has begun."""
        known = self._begun.get(rid) or next(iter(self.local.journal.locals_of(rid)), rid)
        return str(known)

    def update_execution(self, rid: RID, *values: Any, **durations: str) -> None:
        self.local.update_execution(self.local_rid(rid), *values, **durations)

    def show(self, rid: RID) -> None:
        self.delivery.show(self.local_rid(rid))

    def send(self, rid: RID, recorded: Sequence[Asset] = ()) -> list[Asset]:
        self.delivery.send(self.local_rid(rid))
        return [replace(asset, rid=self.delivery.rid(asset.rid)) for asset in recorded]

    def folder_of(self, rid: RID) -> Path:
        return self.local.folder_of(self.local_rid(rid))

    def stage(self, rid: RID, table: str, *values: Any) -> StagedAsset:
        self.local.make_asset_table(table)
        return self.local.stage(self.local_rid(rid), table, *values)

    def staged(self, rid: RID) -> list[StagedAsset]:
        return self.local.staged(self.local_rid(rid))

    def commit(self, rid: RID, **options: Any) -> tuple[list[Asset], list[StagedAsset]]:
        return self.local.commit(self.local_rid(rid), **options)

    def unstage(self, rid: RID) -> None:
        self.local.unstage(self.local_rid(rid))

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        self.local.nest(self.local_rid(parent), self.local_rid(child), sequence)

    def link_asset(self, rid: RID, asset: Asset, role: AssetRole) -> None:
        if role is AssetRole.input:
            self.delivery.link_input(self.local_rid(rid), asset)
        else:
            self.local.link_asset(self.local_rid(rid), asset, role)

    def link_dataset(self, rid: RID, dataset: Dataset) -> None:
        self.delivery.link_input(self.local_rid(rid), dataset)
