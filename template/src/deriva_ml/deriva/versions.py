"""Brings datasets with their versions to a destination, oldest first, so that the snapshot of each shows what is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Remote
from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    DatasetState,
    ExecMetadataType,
    MLAsset,
    Row,
    is_reserved,
)
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.idempotent import Rows
from deriva_ml.deriva.lookup import find_same_dataset
from deriva_ml.deriva.manifests import Manifests
from deriva_ml.deriva.snapshot import newest, order
from deriva_ml.file_lock import file_lock
from deriva_ml.manifest import manifest_name
from deriva_ml.terminal import warn

_MEMBERS = (("Dataset_File", "File"), ("Dataset_Dataset", "Nested_Dataset"))
"""The tables that say what is in a dataset, with the column for what that is."""


def maker_of(state: DatasetState) -> RID | None:
    """The execution that made a state and goes there with it; none for the example, which is known by its files."""
    return None if is_reserved(state.dataset) else state.execution


class Versions:
    """What of the project's datasets is at one destination, and how the rest gets there.

    Methods that make requests raise ``ServerUnreachable`` and ``ServerRefused``.
    """

    def __init__(self, local: EmbeddedCatalog, there: Rows) -> None:
        self._local = local
        self._there = there
        self._server = there.server
        self._manifests = Manifests(there.server, local.objects)
        self._told: set[RID] = set()

    # What is to come there

    def stand_in(self, state: DatasetState) -> DatasetState:
        """A state as it can be there: in catalogs of deriva-ml 1.17 a version, for that library can read no other.

        It would fail at each look at a dataset that has a working state, whoever's it is.
        """
        if state.released or self._there.model.dataset_versions_are_linked:
            return state
        before = (one for one in self._local.dataset_versions(state.dataset) if one.number < state.number)
        version = next((one for one in before if one.released), state)
        if state.rid not in self._told and version != state:
            self._told.add(state.rid)
            warn(
                f"catalogs of deriva-ml 1.17, as {self._server.host} has, take no working states of datasets:"
                f" {state.version} of dataset {state.dataset} is kept in this project, and {version.version} sent"
            )
        return version

    def waiting(self, wanted: Iterable[DatasetState]) -> list[DatasetState]:
        """What is not there of these states, of the versions before them, and of what is nested in them, in that order.

        Of a dataset that is nested it is the versions up to the one that is nested: at the snapshot of what contains it,
        that one is its newest. Working states are left out, unless they are wanted themselves.
        """
        seen: set[RID] = set()
        found: list[DatasetState] = []

        def visit(state: DatasetState) -> None:
            for one in reversed(self._local.dataset_versions(state.dataset)):
                before = one.number < state.number and one.released
                if (before or one == state) and one.rid not in seen and not self._there.stored(one.rid):
                    seen.add(one.rid)
                    for nested in self._local.nested_states(one):
                        visit(self.stand_in(nested))
                    found.append(one)

        for state in wanted:
            visit(state)
        return found

    def _files_in(self, state: DatasetState) -> set[RID]:
        rows = self._local.members(state.rid)
        return {row["RID"] for row in rows if row["nested"] is None}

    def files(self, states: Sequence[DatasetState]) -> list[Asset]:
        """The files in these states, without those that have come with a version that is there."""
        rids = set().union(*map(self._files_in, states))
        for dataset in dict.fromkeys(one.dataset for one in states):
            there = (one for one in self._local.dataset_versions(dataset) if self._there.stored(one.rid))
            if last := next(there, None):
                rids -= {rid for rid in self._files_in(last) if self._there.stored(rid)}
        return self._local.lookup_assets(sorted(rids))

    def can_come(self, state: DatasetState) -> bool:
        """Whether all files of what is to come there before a state has are there."""
        return all(self._there.stored(one.rid) for one in self.files(self.waiting([state])))

    def record_manifests(self, states: Iterable[DatasetState]) -> None:
        """See that the execution that made a state has its manifest among its outputs, by which the state is found there."""
        for state in states:
            name, maker = manifest_name(state.version), maker_of(state)
            if maker is None or any(
                (one.filename, one.md5) == (name, state.digest) for one in self._local.assets_of(maker)
            ):
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "manifest")
                with path.open("w", encoding="utf-8", newline="") as file:
                    file.writelines(self._local.manifest(state.rid))
                asset = self._local.add_asset(
                    path, MLAsset.execution_metadata.value, name, [ExecMetadataType.dataset_manifest.value]
                )
            self._local.link_asset(maker, asset, AssetRole.output)

    # What is there already

    def recognize(self, states: Sequence[DatasetState]) -> None:
        """Note those of the states that are there already, as somebody else may have sent them.

        Args:
            states: as ``waiting`` gives them.
        """
        new = [one for one in states if not self._there.known(one.rid).rid]
        found = self._manifests.versions_with({one.digest for one in new if maker_of(one)})
        same = {state.rid: self._same(state, found.get(state.digest, ())) for state in new if maker_of(state)}
        for state in new:
            rows = [row for row in same.get(state.rid, ()) if self._may_be(state.dataset, row["Dataset"])]
            known = self._there.known(state.dataset).rid
            if not known and rows:  # of several datasets that with most of these versions
                counts = {
                    row["Dataset"]: sum(
                        row["Dataset"] in {other["Dataset"] for other in same.get(one.rid, ())}
                        for one in new
                        if one.dataset == state.dataset
                    )
                    for row in rows
                }
                known = max(rows, key=lambda row: counts[row["Dataset"]])["Dataset"]
            if not maker_of(state) and not known:
                self._recognize_by_members(state)
            for row in rows:
                if row["Dataset"] == known:
                    self._note(state, known, row["RID"])

    def _may_be(self, dataset: RID, there: RID) -> bool:
        """Whether a dataset there is no other one of this project, which began alike: versions of both cannot be in one."""
        return self._there.journal.local(there, self._there.destination) in {None, dataset}

    @staticmethod
    def _same(state: DatasetState, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if row["Version"] == state.version]

    def _recognize_by_members(self, state: DatasetState) -> None:
        dataset = self._local.lookup_dataset(state.dataset, state.version)
        if all(child.version_rid and self._there.stored(child.version_rid) for child in dataset.nested):
            nested = {self._there.rid(child.rid) for child in dataset.nested}
            if found := find_same_dataset(self._server, dataset, nested):
                self._note(state, *found)

    def _note(self, state: DatasetState, dataset: RID, version: RID) -> None:
        self._there.note(
            {state.dataset: Remote(dataset, stored=True), state.rid: Remote(version, stored=True)}
        )

    # How the rest gets there

    def send(self, wanted: Sequence[DatasetState]) -> None:
        """See that states, whose files and the executions that made them are there, are there, after those before them."""
        if self.waiting(wanted):
            # Two runs that changed what is in one dataset would each take a snapshot of what the other made of it.
            with file_lock(self._local.project.state / "push-datasets.lock"):
                for state in self.waiting(wanted):
                    self._send(state)

    def _send(self, state: DatasetState) -> None:
        there, server = self._there, self._server
        dataset = self._local.describe(state.dataset)
        there.lease([state.dataset, state.rid])
        row = {"Description": dataset.description, "Deleted": False}
        mark = {"Description": f"{self._local.catalog_id}/{state.dataset}"}
        rid = there.store("Dataset", state.dataset, row, mark)
        local_maker = maker_of(state)
        maker = there.rid(local_maker) if local_maker else None
        versions = server.find("Dataset_Version", {"Dataset": rid})
        self._check_free(state, rid, maker, versions)
        types = [{"Dataset": rid, "Dataset_Type": term} for term in dataset.types]
        there.associate("Dataset_Dataset_Type", types, {"Dataset_Type": dataset.types})
        files = {there.rid(one) for one in self._files_in(state)}
        nested = {there.rid(one.dataset) for one in self._local.nested_states(state)}
        self._set_members(rid, [files, nested])
        row = {"Dataset": rid, "Version": state.version, "Description": state.description, "Execution": maker}
        key = {"Dataset": rid, "Version": state.version}
        version = there.store("Dataset_Version", state.rid, row, key, complete=False)
        current = [{"RID": rid, "Version": version, "Description": dataset.description}]
        server.update(there.model.qualified("Dataset"), current)
        # A version holds what the catalog held at its snapshot, so that comes last.
        snapshot = [{"RID": version, "Snapshot": server.snaptime()}]
        server.update(there.model.qualified("Dataset_Version"), snapshot)
        last = newest(row for row in versions if row["Snapshot"])
        if last and order(last) > order({"Version": state.version}):
            self._restore(rid, last)
        self._note(state, rid, version)

    def _check_free(self, state: DatasetState, rid: RID, maker: RID | None, versions: Iterable[Row]) -> None:
        """Refuse to make a version beside another one of that name, which cannot be."""
        begun = self._there.known(state.rid).rid
        for row in versions:
            own = row["RID"] == begun or (not begun and not row["Snapshot"] and row["Execution"] == maker)
            if row["Version"] == state.version and not own:
                raise ServerRefused(
                    f"dataset {rid} on {self._server.host} has another version {state.version} already, with other"
                    f" members: what this project calls {state.version} of dataset {state.dataset} cannot be sent",
                    409,
                )

    def _set_members(self, rid: RID, members: Iterable[set[RID]]) -> None:
        """Let just these be in a dataset, by their RIDs there: files, and datasets."""
        for (table, column), wanted in zip(_MEMBERS, members, strict=True):
            now = {row[column] for row in self._server.find(table, {"Dataset": rid})}
            self._there.insert(table, [{"Dataset": rid, column: one} for one in sorted(wanted - now)])
            try:
                self._server.delete(table, {"Dataset": rid}, column, sorted(now - wanted))
            except ServerRefused as refusal:
                if refusal.status != 403:
                    raise
                warn(
                    f"dataset {rid} on {self._server.host} keeps {len(now - wanted)} members that are not in the"
                    " version that is sent, since you may not remove them; its manifest says which are"
                )

    def _restore(self, rid: RID, version: Row) -> None:
        """Let a dataset be again as its newest version, after an older one has come there."""
        then = [
            {row[column] for row in self._server.find(table, {"Dataset": rid}, snapshot=version["Snapshot"])}
            for table, column in _MEMBERS
        ]
        self._set_members(rid, then)
        self._server.update(self._there.model.qualified("Dataset"), [{"RID": rid, "Version": version["RID"]}])
