"""A state folder for one replay: it holds the inputs of a record under their RIDs, and nothing is sent from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import deriva_ml.state_folder as state_folder
from deriva_ml.catalog.carried import Selection, chosen
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.merging import take_over
from deriva_ml.catalog.objects import is_digest
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Asset, Dataset, MLAsset
from deriva_ml.exceptions import DerivaMLException, NotFound
from deriva_ml.project import Project, copy_atomically, write_atomically
from deriva_ml.replay.plan import Plan, declared
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.state_folder import STATE
from deriva_ml.untrusted import plain_name

_ELSEWHERE = ("Remote", "Input", "Destination")
"""Rows about other catalogs: a replay has nothing to do with those."""


def make_scratch(
    project: Project, source: Source, plan: Plan, local: EmbeddedCatalog, folder: Path
) -> Project:
    """Make a state folder with the inputs of an execution, as they were for it.

    Args:
        project: the working tree's, in which the code runs.
        source: which catalog the record is of.
        local: the person's own, which is only read.
        folder: where it is to be.

    Returns:
        The project with that folder for its records.

    Raises:
        CouldNotRun: an input is not there any more, or its content is not.
    """
    scratch = Project(project.root, folder)
    state_folder.make(STATE, folder, project.home)
    rids = [*_inputs(plan), *_changed(local, plan)]
    versions = {one.rid: one.version for one in plan.datasets}
    write_atomically(folder / scratch.replayed.name, json.dumps({"datasets": versions}))
    with closing(open_local(scratch)) as catalog:
        catalog.database.query('UPDATE "local_catalog" SET "id" = ?', local.catalog_id)
        catalog.make_asset_tables(source.asset_tables())
        _carry(local, plan, rids, catalog)
        needed = list(_contents(source, plan))
        for asset in needed:
            here = is_digest(asset.md5) and local.objects.has(asset.md5, asset.length)
            if here or source is local:
                try:
                    local.objects.lend(asset.md5, catalog.objects)
                except DerivaMLException as error:
                    raise CouldNotRun(
                        f"the input {asset.filename} ({asset.rid}) is not as it was: {error}"
                    ) from error
    return scratch


def _inputs(plan: Plan) -> list[RID]:
    """Return the RIDs of all inputs, read or declared."""
    rids = [*(one.rid for one in plan.inputs), *(one.rid for one in plan.datasets)]
    for item in (*declared(plan, "assets"), *declared(plan, "datasets")):
        rid = item.get("rid") if isinstance(item, dict) else item
        if isinstance(rid, str) and rid:
            rids.append(rid)
    return list(dict.fromkeys(rids))


def _changed(local: EmbeddedCatalog, plan: Plan) -> dict[RID, int]:
    """Return the datasets that were there before and that an execution changed, each with the number of its last state then."""
    made: dict[RID, int] = {}
    for state in local.states_made(plan.rid):
        made[state.dataset] = min(state.number - 1, made.get(state.dataset, state.number))
    return {dataset: number for dataset, number in made.items() if number}


def _carry(local: EmbeddedCatalog, plan: Plan, rids: Sequence[RID], catalog: EmbeddedCatalog) -> None:
    """Bring the rows of inputs, and of what made them, from one catalog into another."""
    with chosen(local, rids) as selection:
        try:
            take_over(_AsItWas(selection, local, plan).of, catalog, f"the catalog that {plan.rid} is in")
        except ValueError as error:
            raise CouldNotRun(f"the rows of its inputs cannot be read: {error}") from error


class _AsItWas:
    """Rows without the execution that is repeated, and without states of datasets that came after those it read."""

    def __init__(self, selection: Selection, local: EmbeddedCatalog, plan: Plan) -> None:
        self._selection, self._execution = selection, plan.rid
        self._limits = _changed(local, plan)
        for state in local.states_read(plan.rid):
            self._limits[state.dataset] = max(state.number, self._limits.get(state.dataset, 0))
        self._versions = {
            row["RID"]: (row["Dataset"], row["number"]) for row in selection.rows("Dataset_Version")
        }
        if self._limits:
            for row in selection.rows("Member"):  # what is nested in what it read is there, too
                if row["nested"] and row["since"] <= self._limits.get(row["dataset"], row["since"]):
                    dataset, number = self._versions[row["nested"]]
                    if dataset in self._limits:
                        self._limits[dataset] = max(self._limits[dataset], number)

    def _is_later(self, version: RID | None) -> bool:
        dataset, number = self._versions.get(version or "", ("", 0))
        return bool(number > self._limits.get(dataset, number))

    def of(self, name: str) -> Iterator[dict[str, Any]]:
        """Return the rows of a kind."""
        for row in () if name in _ELSEWHERE else self._selection.rows(name):
            if name == "Dataset_Version":
                if self._is_later(row["RID"]):
                    continue
                row["Execution"] = row["Execution"] if row["Execution"] != self._execution else None
            elif self._execution in row.values() or self._is_later(row.get("Dataset_Version")):
                continue
            elif name == "Member" and (last := self._limits.get(row["dataset"])):
                if row["since"] > last:
                    continue
                row["until"] = row["until"] if row["until"] and row["until"] <= last else None
            yield row


def _contents(source: Source, plan: Plan) -> Iterator[Asset]:
    """Return the files that a run reads.

    Raises:
        CouldNotRun: a dataset or a version of it is not there any more.
    """
    yield from plan.inputs
    by_reference = {
        item.get("rid")
        for item in declared(plan, "datasets")
        if isinstance(item, dict) and item.get("materialize") is False
    }
    for read in plan.datasets:
        if read.rid not in by_reference:
            try:
                yield from _files(source.lookup_dataset(read.rid, read.version))
            except NotFound as error:
                raise CouldNotRun(f"the input {read.rid} at version {read.version}: {error}") from error


def _files(dataset: Dataset) -> Iterator[Asset]:
    for table, rows in dataset.members.items():
        for row in rows:
            if (asset := Asset.from_row(table, row)) and asset.url.startswith("/hatrac/"):
                yield asset
    for nested in dataset.nested:
        yield from _files(nested)


def place_files(source: Source, plan: Plan, home: Path, top: Path) -> None:
    """Put the files of the person's own that the run was given where it looks for them, as far as they are not there.

    Args:
        home: the project's folder in the working tree; paths are relative to it.
        top: of the working tree, out of which nothing is written.

    Raises:
        CouldNotRun: such a file is not there any more.
    """
    recorded = [one for one in plan.inputs if one.table == MLAsset.file]
    for item in declared(plan, "assets"):
        if not isinstance(item, dict) or not (said := item.get("path")):
            continue
        path = Path(os.path.normpath(home / os.path.expanduser(str(said))))
        named = [one for one in recorded if one.filename == path.name]
        there = _md5(path)
        if found := next((one for one in named if one.md5 == there), None):
            recorded.remove(found)
            continue
        if not named or not path.is_relative_to(top):
            raise CouldNotRun(f"the input file {said} is not what it was, and its record does not have it")
        asset = named[0]
        recorded.remove(asset)
        held = top / plain_name(f".{asset.rid}")
        try:
            source.fetch(asset, held)
            path.parent.mkdir(parents=True, exist_ok=True)
            copy_atomically(held, path)
        except (OSError, DerivaMLException) as error:
            raise CouldNotRun(f"the input file {said} is not there any more: {error}") from error
        finally:
            held.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    except OSError:
        return ""
