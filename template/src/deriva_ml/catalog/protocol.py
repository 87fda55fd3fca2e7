"""What a run asks of a catalog, whichever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    Dataset,
    ExecutionRecord,
    StagedAsset,
    Status,
    Workflow,
)
from deriva_ml.process import Owner


class Catalog(Protocol):
    """A place that executions are recorded in.

    Look-ups raise ``DerivaMLRequestError`` for an RID that is not there or is something else. Everything else
    that a catalog refuses is a ``DerivaMLException``. Every write is complete or did not happen.
    """

    @property
    def host_name(self) -> str:
        """The server's name, or ``localhost`` for the embedded catalog."""

    @property
    def catalog_id(self) -> str:
        """The catalog's identifier on its host."""

    def add_workflow(self, workflow: Workflow) -> RID:
        """Find the workflow by its checksum, URL, version and name, or record it; its RID either way."""

    def add_execution(self, workflow: RID, description: str, owner: Owner, folder: Path | None = None) -> RID:
        """Record a new execution as ``Created``, answered for by ``owner``, run in ``folder``."""

    def update_execution(
        self, rid: RID, status: Status | None = None, detail: str | None = None, **durations: str
    ) -> None:
        """Change an execution's status, its reason, or its duration columns."""

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        """One execution's row, with its workflow."""

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        """Executions, newest first."""

    def executions_of_run(self, folder: Path) -> list[RID]:
        """The executions that were created by the notebook run in ``folder``, oldest first."""

    def open_executions(self) -> list[tuple[RID, Owner, Path | None]]:
        """Executions that have not ended or have files staged, with who answers for each and the folder of its notebook run."""

    def owner_of(self, rid: RID) -> Owner | None:
        """Who answers, or answered, for an execution."""

    def claim(self, rid: RID, before: Owner, after: Owner) -> bool:
        """Make ``after`` answer for an execution if ``before`` still does; False if somebody else was faster."""

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        """Make ``child`` the ``sequence``-th execution of a sweep."""

    def list_execution_children(self, rid: RID) -> list[RID]:
        """A sweep's executions, in order."""

    def list_execution_parents(self, rid: RID) -> list[RID]:
        """The sweeps that an execution is part of."""

    def lookup_asset(self, rid: RID) -> Asset:
        """An asset's row, from whichever asset table it is in."""

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        """A dataset at a version, by default its current one."""

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        """Record a file of the user's in the ``File`` table; the same content and name once."""

    def link_asset(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        """Say that an execution read or made an asset."""

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        """Say that an execution read a dataset at a version."""

    def fetch(self, asset: Asset, destination: Path) -> None:
        """Write the asset's content to ``destination``, read-only, verified by MD5."""

    def asset_tables(self) -> list[str]:
        """The names that ``stage`` accepts as a table."""

    def stage(
        self,
        execution: RID,
        table: str,
        filename: str,
        folder: Path,
        types: Sequence[str] = (),
        description: str = "",
    ) -> StagedAsset:
        """Note that an execution will have this output, and make room for it under ``folder``."""

    def staged(self, execution: RID) -> list[StagedAsset]:
        """What an execution registered and has not recorded."""

    def commit(self, execution: RID, *, keep: bool = False) -> tuple[list[Asset], list[StagedAsset]]:
        """Record every staged file that exists and link it as output; return these, and those never written.

        The latter stay staged, and can still be written. The others' files are removed unless ``keep``.
        """

    def unstage(self, execution: RID) -> None:
        """Forget what is still staged: the execution is over."""

    def assets_of(self, execution: RID) -> list[Asset]:
        """The assets that an execution read and made, each with its role."""

    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        """The executions that made or read an asset."""

    def datasets_of(self, execution: RID) -> list[Dataset]:
        """The datasets that an execution read, without members."""

    def locate(self, asset: Asset) -> str:
        """Where an asset's content lies: a path or an address."""

    def cite(self, rid: RID) -> str:
        """An address that names a record for good."""

    def close(self) -> None:
        """Let go of files and connections."""
