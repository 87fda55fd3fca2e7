"""The project's catalog as a job on another machine has it: a copy is read, and what is used of it is taken over.

SQLite's file is no place for several machines. So the machine that submits jobs copies it, once, into a file that nobody
writes any more; each job has a catalog of its own, into which rows of inputs come under their RIDs when they are looked
up. Contents stay where they are: they are named by their digests, and never change.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from sqlite3 import Row
from typing import TypeVar

import deriva_ml.state_folder as state_folder
from deriva_ml.catalog.carried import chosen
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.links import Start
from deriva_ml.catalog.merging import take_over
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    Dataset,
    DatasetState,
    ExecutionRecord,
    Member,
    Workflow,
    by_age,
)
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.project import Project, write_atomically
from deriva_ml.state_folder import STATE
from deriva_ml.untrusted import read_json

T = TypeVar("T")


def lend(project: Project, folder: Path) -> None:
    """Copy the rows of a project's catalog, as they are now, into a new folder that other machines read."""
    state_folder.make(STATE, folder, project.home)
    with closing(open_local(project)) as catalog:
        catalog.read_summaries()  # which a copy that is only read could not
        catalog.database.copy_to(folder / project.database.name)


def make_borrowing(project: Project, copy: Path, state: Path, journal: str) -> None:
    """Make the state folder of a job.

    Args:
        project: with that folder for its records.
        copy: the folder that ``lend`` filled.
        state: the project's own state folder, with the contents.
        journal: SQLite's journal mode.
    """
    project.make_state()
    write_atomically(project.borrows, json.dumps({"copy": str(copy), "state": str(state)}))
    with closing(Borrowing(project)) as catalog:
        catalog.database.query(f"PRAGMA journal_mode = {journal}")
        catalog.database.query('UPDATE "local_catalog" SET "id" = ?', catalog.lender.catalog_id)


class Borrowing(EmbeddedCatalog):
    """The catalog of a job, which finds what the project has, too; rows of inputs are taken over as they are looked up."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        said = read_json(project.borrows)
        self.lender = EmbeddedCatalog(Project(project.root, Path(said["copy"])), read_only=True)
        # What it says of places is meant of the project.
        self.lender.project = Project(project.root, Path(said["state"]))
        self.lender.objects = ObjectStore(self.lender.project.objects)
        self.make_asset_tables(self.lender.asset_tables())

    def close(self) -> None:
        self.lender.close()
        super().close()

    def is_lent(self, md5: str, length: int) -> bool:
        """Whether a content is the project's, and not this job's own."""
        return not self.objects.has(md5, length) and self.lender.objects.has(md5, length)

    def _borrow(self, rids: Collection[RID], tables: Iterable[str]) -> None:
        """Take over those of these records of some tables that the project has and this catalog has not."""
        found = set[RID]()
        for table in tables:
            here = {row["RID"] for row in self._db.select_any(table, "RID", rids)}
            there = {row["RID"] for row in self.lender.database.select_any(table, "RID", rids)}
            found |= there - here
        if found:
            with chosen(self.lender, found, alone=True) as selection:
                take_over(selection.rows, self, "the project's catalog")

    def _is_own(self, execution: RID) -> bool:
        return self._db.find("Execution", RID=execution) is not None

    def _not_found(self, rid: RID, wanted: str) -> NotFound:
        return self.lender._not_found(rid, wanted)

    # Files

    def lookup_asset(self, rid: RID) -> Asset:
        return self.lookup_assets([rid])[0]

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        self._borrow(rids, self.lender.asset_tables())
        return [self._same(rid) for rid in rids]

    def _same(self, rid: RID) -> Asset:
        with suppress(NotFound):
            return super().lookup_asset(rid)
        there = self.lender.lookup_asset(rid)  # the job has recorded the same file before
        return super().lookup_asset(str(self._db.get(there.table, "RID", URL=there.url)))

    def find_assets(
        self,
        table: str | None = None,
        asset_type: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Asset]:
        own = super().find_assets(table, asset_type, name, limit)
        if table is not None and table not in self.lender.asset_tables():
            return own
        found = _both(own, self.lender.find_assets(table, asset_type, name, limit))
        return sorted(found, key=by_age, reverse=True)[:limit]

    def assets_of(self, execution: RID) -> list[Asset]:
        return super().assets_of(execution) if self._is_own(execution) else self.lender.assets_of(execution)

    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        known = asset.table in self.lender.asset_tables()
        return [*(self.lender.executions_of(asset) if known else ()), *super().executions_of(asset)]

    def fetch(self, asset: Asset, destination: Path) -> None:
        if self.is_lent(asset.md5, asset.length):
            self.lender.fetch(asset, destination)
        else:
            super().fetch(asset, destination)

    def locate(self, asset: Asset) -> str:
        lent = self.is_lent(asset.md5, asset.length)
        return self.lender.locate(asset) if lent else super().locate(asset)

    # Datasets

    def _row(self, rid: RID) -> Row:
        self._borrow([rid], ["Dataset"])
        return super()._row(rid)

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        found = super().lookup_dataset(rid, version)
        with suppress(NotFound):
            there = self.lender.describe(rid)
            readers = self.lender.database.get_all("Dataset_Execution", "Execution", Dataset=there.rid)
            return replace(found, executions=tuple(dict.fromkeys([*found.executions, *readers])))
        return found

    def dataset_versions(self, rid: RID) -> list[DatasetState]:
        self._borrow([rid], ["Dataset"])
        return super().dataset_versions(rid)

    def dataset_state(self, state: RID) -> DatasetState:
        if self._db.find("Dataset_Version", RID=state) is None:
            self._borrow([self.lender.dataset_state(state).dataset], ["Dataset"])
        return super().dataset_state(state)

    def versions_with_digest(self, digest: str) -> list[tuple[RID, str]]:
        both = [*super().versions_with_digest(digest), *self.lender.versions_with_digest(digest)]
        return list(dict.fromkeys(both))

    def dataset_named(self, name: str) -> RID | None:
        return super().dataset_named(name) or self.lender.dataset_named(name)

    def dataset_parents(self, rid: RID) -> list[RID]:
        return list(dict.fromkeys([*super().dataset_parents(rid), *self.lender.dataset_parents(rid)]))

    def find_datasets(self, limit: int | None = None, deleted: bool = False) -> list[Dataset]:
        return _both(super().find_datasets(limit, deleted), self.lender.find_datasets(limit, deleted))[:limit]

    def datasets_of(self, execution: RID) -> list[Dataset]:
        return (
            super().datasets_of(execution) if self._is_own(execution) else self.lender.datasets_of(execution)
        )

    def _check_member(self, rid: RID, member: Member) -> None:
        if member.file:
            self._borrow([member.file], ["File"])
        super()._check_member(rid, member)

    # Executions

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        return super().lookup_execution(rid) if self._is_own(rid) else self.lender.lookup_execution(rid)

    def select_executions(self, criteria: Criteria, limit: int | None = None) -> list[ExecutionRecord]:
        there = self.lender.select_executions(criteria, limit)
        with suppress(DerivaMLRequestError):  # no execution here has what the project's have
            return [*super().select_executions(criteria, limit), *there][:limit]
        return there

    def results(self, criteria: Criteria, limit: int | None = None) -> list[Result]:
        found = self.select_executions(criteria, limit)
        rids = [record.rid for record in found]
        summaries = self.lender.summaries.of(rids) | self.summaries.of(
            [rid for rid in rids if self._is_own(rid)]
        )
        return [Result(record, summaries[record.rid]) for record in found]

    def list_execution_children(self, rid: RID) -> list[RID]:
        return [*super().list_execution_children(rid), *self.lender.list_execution_children(rid)]

    def list_execution_parents(self, rid: RID) -> list[RID]:
        return [*super().list_execution_parents(rid), *self.lender.list_execution_parents(rid)]

    def find_workflows(self) -> list[Workflow]:
        return _both(super().find_workflows(), self.lender.find_workflows())

    def links_from(self, rid: RID) -> Start:
        with suppress(NotFound):
            return self.lender.links_from(rid)
        return super().links_from(rid)

    def cite(self, rid: RID) -> str:
        return self.lender.cite(rid)


def _both(own: Iterable[T], lent: Iterable[T]) -> list[T]:
    """Return records of two catalogs, each once."""
    found = {one.rid: one for one in own}  # type: ignore[attr-defined]
    return [*found.values(), *(one for one in lent if one.rid not in found)]  # type: ignore[attr-defined]
