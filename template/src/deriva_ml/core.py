"""``DerivaML``: a project's connection to the catalog that its executions are recorded in."""

from __future__ import annotations

from typing import Any

from deriva_ml.catalog.connect import DerivaMLConfig, connect
from deriva_ml.dataset import DatasetSpec
from deriva_ml.definitions import RID, Asset, Dataset, ExecutionRecord, Status, Workflow
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.notebook_run import NotebookRun, current_provenance
from deriva_ml.project import Project


class DerivaML:
    """A connection to a catalog; derive from it to add a domain's own methods.

    Args:
        hostname: the Deriva server; None for the project's embedded catalog.
        catalog_id: number or alias of the catalog on that server.
        credential: instead of what ``deriva`` has stored.
        project: by default the one that the working directory is in.

    Raises:
        DerivaMLRequestError: the catalog cannot be told from the arguments.
    """

    def __init__(
        self,
        hostname: str | None = None,
        catalog_id: str | int | None = None,
        credential: Any = None,
        project: Project | None = None,
    ) -> None:
        self.project = project or Project.find()
        self.catalog = connect(DerivaMLConfig(hostname, catalog_id, credential), self.project)

    @property
    def host_name(self) -> str:
        """The server's name; ``localhost`` for the embedded catalog."""
        return self.catalog.host_name

    @property
    def catalog_id(self) -> str:
        """The catalog's identifier on its host."""
        return self.catalog.catalog_id

    def create_workflow(self, name: str, workflow_type: str | list[str], description: str = "") -> Workflow:
        """A workflow for the running notebook or script, with its commit, checksum and version; recorded with its first execution."""
        found = current_provenance(self.project)
        return Workflow(name, workflow_type, description, found.url, found.checksum, found.version)

    def create_execution(
        self, configuration: ExecutionConfiguration, workflow: Workflow | None = None, dry_run: bool = False
    ) -> Execution:
        """Record a new execution and fetch its inputs; see ``Execution``."""
        return Execution(self, configuration, workflow, dry_run, NotebookRun.current())

    def lookup_execution(self, rid: RID) -> ExecutionRecord:
        """One execution's row, with its workflow."""
        return self.catalog.lookup_execution(rid)

    def find_executions(
        self, limit: int | None = None, status: Status | None = None
    ) -> list[ExecutionRecord]:
        """Executions, newest first."""
        return self.catalog.find_executions(limit, status)

    def lookup_asset(self, rid: RID) -> Asset:
        """An asset's row, from whichever asset table it is in."""
        return self.catalog.lookup_asset(rid)

    def lookup_dataset(self, dataset: RID | DatasetSpec) -> Dataset:
        """A dataset's record with its members, at the version asked for or the current one."""
        spec = DatasetSpec(dataset) if isinstance(dataset, str) else dataset
        return self.catalog.lookup_dataset(spec.rid, spec.version)

    def list_execution_children(self, rid: RID) -> list[RID]:
        """A sweep's executions, in order."""
        return self.catalog.list_execution_children(rid)

    def list_execution_parents(self, rid: RID) -> list[RID]:
        """The sweeps that an execution is part of."""
        return self.catalog.list_execution_parents(rid)

    def cite(self, rid: RID) -> str:
        """An address that names a record for good."""
        return self.catalog.cite(rid)
