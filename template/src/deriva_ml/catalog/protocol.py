"""What a run asks of a catalog, whichever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

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

    Look-ups raise ``NotFound`` for an RID that is not there or is something else. Everything else
    that a catalog refuses is a ``DerivaMLException``. Every write is complete or did not happen.
    """

    @property
    def host_name(self) -> str:
        """The server's name, or ``localhost`` for the embedded catalog."""

    @property
    def catalog_id(self) -> str:
        """The catalog's identifier on its host."""

    def check_recording(self) -> None:
        """See that an execution can be recorded here, before anything is done for one.

        Raises:
            DerivaMLRequestError: nobody is logged in, or somebody without the rights.
        """

    def add_execution(
        self,
        workflow: Workflow,
        description: str,
        owner: Owner,
        folder: Path | None = None,
        *,
        started_by: str = "",
        if_alive: bool = False,
    ) -> RID:
        """Record a new execution as ``Created``, answered for by ``owner``, run in ``folder``, started by a program.

        The workflow is found by its checksum, or recorded; its ``rid`` is set.

        Raises:
            DerivaMLRunError: ``owner`` is gone, and ``if_alive`` was asked for.
        """

    def folder_of(self, execution: RID) -> Path:
        """The execution's working folder."""

    def send(self, execution: RID, recorded: Sequence[Asset] = ()) -> list[Asset]:
        """Bring what is recorded of an execution to where the catalog is, as far as that can be done now.

        An execution that cannot be brought there stays ``Pending_Upload``, and stderr says why.

        Returns:
            ``recorded``, by the RIDs that these assets have now.
        """

    def update_execution(
        self, rid: RID, status: Status | None = None, detail: str | None = None, **durations: str
    ) -> None:
        """Record an execution's status, its reason, or its duration columns."""

    def show(self, rid: RID) -> None:
        """Let others see how an execution stands, where that takes more than recording it; without insisting."""

    def local_rid(self, rid: RID) -> RID:
        """The RID in the project's own catalog of an execution that this project recorded."""

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        """One execution's row, with its workflow."""

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        """Executions, newest first."""

    def nest(self, parent: RID, child: RID, sequence: int) -> None:
        """Make ``child`` the ``sequence``-th execution of a sweep."""

    def list_execution_children(self, rid: RID) -> list[RID]:
        """A sweep's executions, in order."""

    def list_execution_parents(self, rid: RID) -> list[RID]:
        """The sweeps that an execution is part of."""

    def lookup_asset(self, rid: RID) -> Asset:
        """An asset's row, from whichever asset table it is in."""

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        """The rows of assets, in the order of the RIDs; at once, where each would cost a request."""

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        """A dataset at a version, by default its current one, with the datasets that are nested in it."""

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        """Record a file of the user's in the ``File`` table; the same content and name once."""

    def link_asset(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        """Say that an execution read or made an asset."""

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        """Say that an execution read a dataset at a version."""

    def fetch(self, asset: Asset, destination: Path) -> None:
        """Write the asset's content to ``destination``, read-only, verified by MD5."""

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        """Write each asset's content to its destination, as ``fetch`` does; several at once where that is faster."""

    def asset_tables(self) -> list[str]:
        """The names that ``stage`` accepts as a table."""

    def asset_columns(self, table: str) -> dict[str, bool]:
        """The columns that an asset table has beyond every asset's, each with whether it must have a value."""

    def stage(
        self,
        execution: RID,
        table: str,
        filename: str,
        folder: Path,
        types: Sequence[str] = (),
        description: str = "",
        columns: Mapping[str, Any] | None = None,
    ) -> StagedAsset:
        """Note that an execution will have this output, and make room for it under ``folder``."""

    def staged(self, execution: RID) -> list[StagedAsset]:
        """What an execution registered and has not recorded."""

    def commit(
        self,
        execution: RID,
        *,
        keep: bool = False,
        beside: Sequence[StagedAsset] = (),
        then: Callable[[list[StagedAsset]], None] | None = None,
    ) -> tuple[list[Asset], list[StagedAsset]]:
        """Record every staged file that exists and link it as output; return these, and those never written.

        The latter stay staged, and can still be written. The others' files are removed unless ``keep``.

        Args:
            beside: files to record with them that were never staged, and stay where they are.
            then: what else becomes true in the same moment; called in the transaction with those never written.
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

    def link(self, rid: RID) -> str:
        """What shows a record to a person: an address, or a command."""

    def path_builder(self) -> Any:
        """deriva's interface to the catalog's tables.

        Raises:
            DerivaMLRequestError: the catalog is no Deriva catalog.
        """

    def cite(self, rid: RID) -> str:
        """An address that names a record for good."""

    def close(self) -> None:
        """Let go of files and connections."""
