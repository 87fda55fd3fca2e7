"""What a run asks of the catalog that it reads from, and of the one that its record is delivered to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.links import Start
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, DatasetState, ExecutionRecord, Workflow


class Source(Protocol):
    """Where a run looks records up and fetches contents: the project's own catalog, or one on a Deriva server.

    Look-ups raise ``NotFound`` for an RID that is not there or is something else. Everything else that a catalog
    refuses is a ``DerivaMLException``.
    """

    @property
    def host_name(self) -> str:
        """The server's name, or ``localhost`` for the embedded catalog."""

    @property
    def catalog_id(self) -> str:
        """The catalog's identifier on its host."""

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        """One execution's row, with its workflow."""

    def select_executions(self, criteria: Criteria, limit: int | None = None) -> list[ExecutionRecord]:
        """Executions that meet criteria, in their order; raises as ``results`` does."""

    def results(self, criteria: Criteria, limit: int | None = None) -> list[Result]:
        """Executions that meet criteria, in their order, with their parameters, choices and metrics.

        Raises:
            DerivaMLRequestError: a name is that of no parameter, choice or metric.
        """

    def list_execution_children(self, rid: RID) -> list[RID]:
        """A sweep's executions, in order."""

    def list_execution_parents(self, rid: RID) -> list[RID]:
        """The sweeps that an execution is part of."""

    def find_assets(
        self,
        table: str | None = None,
        asset_type: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Asset]:
        """Assets, newest first: of a table or of all, of a type, with a name that a pattern such as ``*.csv`` fits."""

    def find_datasets(self, limit: int | None = None) -> list[Dataset]:
        """Datasets that are not deleted, newest first, without members."""

    def find_workflows(self) -> list[Workflow]:
        """Workflows, newest first."""

    def lookup_asset(self, rid: RID) -> Asset:
        """An asset's row, from whichever asset table it is in."""

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        """The rows of assets, in the order of the RIDs; at once, where each would cost a request."""

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        """A dataset at a version, by default its current one, with the datasets that are nested in it."""

    def dataset_versions(self, rid: RID) -> list[DatasetState]:
        """A dataset's versions and working states, newest first; digest and counts are empty where they are not known."""

    def find_dataset_by_digest(self, digest: str, version: str) -> tuple[RID, str] | None:
        """The RID and the version of a dataset whose version of this name has a manifest of this digest."""

    def assets_of(self, execution: RID) -> list[Asset]:
        """The assets that an execution read and made, each with its role."""

    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        """The executions that made or read an asset."""

    def datasets_of(self, execution: RID) -> list[Dataset]:
        """The datasets that an execution read, without members."""

    def links_from(self, rid: RID) -> Start:
        """The way from an execution, dataset or file to what it came from, and to what came of it."""

    def fetch(self, asset: Asset, destination: Path) -> None:
        """Write the asset's content to ``destination``, read-only, verified by MD5."""

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        """Write each asset's content to its destination, as ``fetch`` does; several at once where that is faster."""

    def locate(self, asset: Asset) -> str:
        """Where an asset's content lies: a path or an address."""

    def asset_tables(self) -> list[str]:
        """Return the names of the tables that outputs may go to."""

    def asset_columns(self, table: str) -> dict[str, bool]:
        """The columns that an asset table has beyond every asset's, each with whether it must have a value."""

    def link(self, rid: RID) -> str:
        """What shows a record to a person: an address, or a command."""

    def cite(self, rid: RID) -> str:
        """An address that names a record for good."""

    def path_builder(self) -> Any:
        """deriva's interface to the catalog's tables.

        Raises:
            DerivaMLRequestError: the catalog is no Deriva catalog.
        """

    def close(self) -> None:
        """Let go of files and connections."""


class Delivery(Protocol):
    """Where executions go that are recorded in the project's own catalog, whose RIDs these methods take."""

    def check_recording(self) -> None:
        """See that an execution can be delivered, before anything is done for one.

        Raises:
            DerivaMLRequestError: nobody is logged in, or somebody without the rights.
        """

    def accept(self, execution: RID) -> None:
        """Note, in the transaction that records an execution, that it is to be delivered."""

    def begin(self, execution: RID) -> RID:
        """Bring a new execution there, and return the RID that people know it by.

        Raises:
            DerivaMLRequestError: it was refused; nothing is to be run.
        """

    def show(self, execution: RID) -> None:
        """Let others see how an execution stands, without insisting."""

    def send(self, execution: RID) -> None:
        """Bring what is recorded of an execution there, as far as that can be done now.

        An execution that cannot be brought there stays ``Pending_Upload``, and stderr says why.
        """

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        """Record a file of the user's, to be delivered with what reads it; the same content and name once."""

    def link_input(self, execution: RID, read: Asset | Dataset) -> None:
        """Record that an execution read what a source had found."""

    def rid(self, local: RID) -> RID:
        """Return the RID that a record has where it is delivered to, or else the one here."""
