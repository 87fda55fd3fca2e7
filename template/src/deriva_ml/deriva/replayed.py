"""A Deriva catalog as a replay has it: datasets are as they were, and nothing is brought there."""

from __future__ import annotations

from collections.abc import Mapping

from deriva_ml.definitions import RID, Dataset
from deriva_ml.deriva.delivery import DerivaDelivery
from deriva_ml.deriva.source import DerivaSource
from deriva_ml.project import Project
from deriva_ml.untrusted import read_json


class ReadOnly(DerivaDelivery):
    """The way to a Deriva catalog that is only read."""

    def check_recording(self) -> None:
        """Nobody has to be let in."""

    def accept(self, execution: RID) -> None:
        """Nothing is noted, shown or sent."""

    show = send = accept

    def begin(self, execution: RID) -> RID:
        return execution


class PinnedSource(DerivaSource):
    """Look-ups in a Deriva catalog whose datasets have grown: without a version, the one that the record read.

    Args:
        versions: by the RIDs of datasets.
    """

    def __init__(self, delivery: DerivaDelivery, versions: Mapping[RID, str]) -> None:
        super().__init__(delivery)
        self._versions = versions

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        return super().lookup_dataset(rid, version or self._versions.get(rid))


def pinned(project: Project) -> dict[RID, str]:
    """Return the versions of datasets that a replay reads."""
    return {
        str(rid): str(version) for rid, version in read_json(project.replayed).get("datasets", {}).items()
    }
