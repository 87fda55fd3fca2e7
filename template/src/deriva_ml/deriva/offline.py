"""What a Deriva catalog said of its assets, datasets and tables, kept for work without the server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.definitions import (
    RID,
    Asset,
    Dataset,
    DatasetState,
    FeatureDefinition,
    ForeignKey,
    TableDefinition,
)
from deriva_ml.deriva.server import Server
from deriva_ml.project import Project, write_atomically
from deriva_ml.untrusted import DAMAGED, plain_name, read_json, well_formed


class OfflineCache:
    """What a catalog said of its assets, datasets and tables, kept in a folder for when it cannot be asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def schema(self) -> dict[str, Any] | None:
        """The schema document, if one was kept."""
        document: dict[str, Any] | None = self._read("schema")
        return document if isinstance(document, dict) and isinstance(document.get("schemas"), dict) else None

    def current_schema(self, server: Server) -> dict[str, Any]:
        """The schema document as it is now; it is sent only if the one that was kept is another."""
        kept = server.kept_schema = self.schema()
        document = server.schema()
        if document is not kept:
            self._keep("schema", document)
        return document

    def keep_asset(self, asset: Asset) -> None:
        """Keep an asset's record."""
        self._keep(f"asset {_key(asset.rid)}", asset)

    def asset(self, rid: RID) -> Asset | None:
        """An asset's record, if it was kept."""
        with contextlib.suppress(*DAMAGED):
            value = self._read(f"asset {_key(rid)}")
            return well_formed(Asset(**{**value, "types": tuple(value["types"]), "role": None}))
        return None

    def keep_dataset(self, dataset: Dataset, asked: str | None) -> None:
        """Keep a dataset that was found when a version, or else the newest, was asked for."""
        self._keep(f"dataset {_key(dataset.rid)} {dataset.version}", dataset)
        if asked is None:
            self._keep(f"dataset {_key(dataset.rid)}", dataset.version)

    def dataset(self, rid: RID, version: str | None = None) -> Dataset | None:
        """A dataset at a version, by default the one that was the newest when it was last asked for; if it was kept."""
        version = version or self._read(f"dataset {_key(rid)}")
        with contextlib.suppress(*DAMAGED):
            return _dataset(self._read(f"dataset {_key(rid)} {version}"))
        return None

    def keep_states(self, rid: RID, states: Sequence[DatasetState]) -> None:
        """Keep which versions a dataset has."""
        self._keep(f"versions {_key(rid)}", states)

    def states(self, rid: RID) -> list[DatasetState] | None:
        """The versions that a dataset had when that was last asked for, if they were kept."""
        with contextlib.suppress(*DAMAGED):
            return [well_formed(DatasetState(**one)) for one in self._read(f"versions {_key(rid)}")]
        return None

    def keep_digest(self, digest: str, version: str, dataset: RID) -> None:
        """Keep which dataset has a version with a manifest of this digest."""
        self._keep(f"manifest {digest} {version}", dataset)

    def dataset_by_digest(self, digest: str, version: str) -> RID | None:
        """The dataset whose version has a manifest of this digest, if it was kept."""
        found = self._read(f"manifest {digest} {version}")
        return found if isinstance(found, str) else None

    def _keep(self, name: str, value: object) -> None:
        with contextlib.suppress(OSError):  # no run fails for want of what only a later one may use
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._folder.is_symlink():
                text = json.dumps(value, ensure_ascii=False, default=vars)
                write_atomically(self._folder / f"{plain_name(name)}.json", text)

    def _read(self, name: str) -> Any:
        try:
            return None if self._folder.is_symlink() else read_json(self._folder / f"{plain_name(name)}.json")
        except (OSError, ValueError):
            return None


def offline_cache(project: Project, host: str, catalog: str) -> OfflineCache:
    """What a catalog on a server, with or without ``http://`` before its name, said to this project."""
    return OfflineCache(project.state / "known" / f"{host.rpartition('://')[2]} {catalog}")


def _key(rid: RID) -> str:
    """An RID in one of the ways that servers take it: they read 1abc as 1-ABC."""
    return rid.replace("-", "").upper()


def _dataset(value: Mapping[str, Any]) -> Dataset:
    read = {
        "types": tuple(value["types"]),
        "nested": tuple(_dataset(child) for child in value["nested"]),
        "tables": {name: _table(one) for name, one in value.get("tables", {}).items()},
        "history": tuple(well_formed(DatasetState(**one)) for one in value.get("history", ())),
        "executions": tuple(value.get("executions", ())),
    }
    return well_formed(Dataset(**{**value, **read}))


def _table(value: Mapping[str, Any]) -> TableDefinition:
    references, feature = tuple(map(_reference, value["references"])), value["feature"]
    if feature is None:
        return TableDefinition(value["columns"], references)
    parts = {name: tuple(feature[name]) for name in ("terms", "assets", "qualifiers")}
    made = FeatureDefinition(feature["name"], _reference(feature["target"]), **parts)
    return TableDefinition(value["columns"], references, well_formed(made))


def _reference(value: Mapping[str, Any]) -> ForeignKey:
    return well_formed(ForeignKey(tuple(value["columns"]), value["table"], tuple(value["key"])))
