"""What a run holds: it records here, reads from a source, and delivers its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Delivery, Source
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project


@dataclass(frozen=True)
class Connection:
    """The catalogs of a run.

    Attributes:
        local: the project's own, which every execution is recorded in.
        source: where inputs are looked up and fetched.
        delivery: where the record goes from here.
    """

    local: EmbeddedCatalog
    source: Source
    delivery: Delivery

    def add_execution(
        self, workflow: Workflow, description: str, owner: Owner, folder: Path | None = None, **options: Any
    ) -> tuple[RID, RID]:
        """Record a new execution, and begin its delivery; see ``EmbeddedCatalog.add_execution``.

        Returns:
            Its RID here, and the one that people know it by. The workflow's ``rid`` is set likewise.
        """
        with self.local.transaction():
            local = self.local.add_execution(workflow, description, owner, folder, **options)
            self.delivery.accept(local)
        rid = self.delivery.begin(local)
        workflow.rid = self.delivery.rid(str(workflow.rid))
        return local, rid

    def close(self) -> None:
        """Let go of files and connections."""
        self.source.close()
        self.local.close()


class Undelivered(Delivery):
    """The delivery of a run that is recorded in the project's own catalog and goes nowhere else."""

    def __init__(self, local: EmbeddedCatalog) -> None:
        self._local = local

    def check_recording(self) -> None:
        """Nobody has to be let in."""

    def accept(self, execution: RID) -> None:
        """Nothing is noted, shown or sent."""

    show = send = accept

    def begin(self, execution: RID) -> RID:
        return execution

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        return self._local.add_file(source, description, types)

    def link_input(self, execution: RID, read: Asset | Dataset) -> None:
        if isinstance(read, Asset):
            self._local.link_asset(execution, read, AssetRole.input)
        else:
            self._local.link_dataset(execution, read)

    def rid(self, local: RID) -> RID:
        return local


def open_local(project: Project, read_only: bool = False) -> EmbeddedCatalog:
    """Open the project's own catalog; ``read_only`` is for a disk that takes nothing."""
    return EmbeddedCatalog(project, read_only)
