"""``DerivaML``: a project's connection to the catalog that its executions are recorded in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deriva_ml.catalog.catalog_config import DerivaMLConfig, checked
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.datasets import changes
from deriva_ml.datasets.live import Dataset
from deriva_ml.datasets.names import found
from deriva_ml.definitions import DRY_RUN_RID, RID, Workflow
from deriva_ml.deriva.connect import connect
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.current_code import current_provenance
from deriva_ml.execution.effective import with_parameters
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration, fetch_dataset
from deriva_ml.execution.provenance import workflow_of
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.lazy import builds_of
from deriva_ml.process import shell
from deriva_ml.project import Project
from deriva_ml.records.finding import Finding
from deriva_ml.upstream import Upstream


def open_connection(
    config: DerivaMLConfig | None, project: Project, ml_class: type[DerivaML] | None = None
) -> DerivaML:
    """Return the connection that a configuration's ``deriva_ml`` describes; an ``ml_class`` if one is given.

    Raises:
        DerivaMLRequestError: the configuration has none, or the catalog cannot be told from it.
    """
    config = checked(config)
    if ml_class is not None and not isinstance(ml_class, type):
        raise DerivaMLRequestError(f"ml_class is {ml_class!r}, not a class derived from DerivaML")
    # Offline only when it is asked for: a class derived from DerivaML may know of no such runs.
    names = ("hostname", "catalog_id", "credential", *filter(vars(config).get, ("offline", "asset_tables")))
    return (ml_class or DerivaML)(project=project, **{name: getattr(config, name) for name in names})


class DerivaML(Finding, Upstream):
    """A connection to a catalog; derive from it to add a domain's own methods.

    Args:
        hostname: the Deriva server; None for the project's embedded catalog.
        catalog_id: number or alias of the catalog on that server.
        credential: instead of what ``deriva`` has stored.
        project: by default the one that the working directory is in.
        offline: do without the server, and record what is to be sent to it later.
        others: what else a ``DerivaMLConfig`` has.

    Raises:
        DerivaMLRequestError: the catalog cannot be told from the arguments, or its server does not let us in.
    """

    def __init__(
        self,
        hostname: str | None = None,
        catalog_id: str | int | None = None,
        credential: Any = None,
        project: Project | None = None,
        offline: bool = False,
        **others: Any,
    ) -> None:
        self.project = project or Project.find()
        config = DerivaMLConfig(hostname, catalog_id, credential, offline=offline, **others)
        self.connection = connect(config, self.project)

    @property
    def catalog(self) -> Source:
        """Where inputs are looked up: the project's own catalog, or the one on the server."""
        return self.connection.source

    @property
    def host_name(self) -> str:
        """The server's name; ``localhost`` for the embedded catalog."""
        return self.catalog.host_name

    @property
    def catalog_id(self) -> str:
        """The catalog's identifier on its host."""
        return self.catalog.catalog_id

    def create_workflow(self, name: str, workflow_type: str | list[str], description: str = "") -> Workflow:
        """Describe the running notebook or script, with its commit, checksum and version."""
        return workflow_of(current_provenance(self.project).to_json(), name, workflow_type, description)

    def create_execution(
        self,
        configuration: ExecutionConfiguration | None = None,
        workflow: Workflow | RID | None = None,
        dry_run: bool = False,
        **parts: Any,
    ) -> Execution:
        """Record a new execution and fetch its inputs; see ``Execution``. In a notebook with its parameters, too.

        Args:
            configuration: what it is asked to do.
            workflow: what is executed, or the RID of its record; by default the configuration's.
            dry_run: fetch and run, and record nothing.
            parts: the configuration's ``datasets``, ``assets`` and ``description`` instead of one.

        Raises:
            DerivaMLRequestError: a configuration is given, and a part of one, too.
        """
        if configuration and parts:
            raise DerivaMLRequestError(
                f"create_execution takes a configuration or {', '.join(parts)}, not both"
            )
        configuration = configuration or ExecutionConfiguration(**parts)
        workflow = self.lookup_workflow(workflow) if isinstance(workflow, str) else workflow
        run = NotebookRun.current()

        def begun(execution: Execution) -> None:
            if run:
                execution.record_circumstances(run.provenance)
                return
            from deriva_ml.execution.started import SCRIPT

            if shell() or execution.started_by == SCRIPT:
                from deriva_ml.execution.own_start import record_own_start

                record_own_start(execution)

        return Execution(self, with_parameters(configuration, run), workflow, dry_run, run, begun=begun)

    def lookup_dataset(self, dataset: RID | DatasetSpec, deleted: bool = False) -> Dataset:
        """Return a dataset, at the version that is asked for or as it is now.

        Args:
            dataset: its RID or its name, with ``@VERSION`` or without; or a specification.
            deleted: also one that has been deleted, as it was then; one of its versions is found without.
        """
        source = self.connection.source
        spec = DatasetSpec.from_shorthand(dataset) if isinstance(dataset, str) else dataset
        own = source if isinstance(source, EmbeddedCatalog) else None
        if not spec.version and not spec.rid and own and (named := own.dataset_named(spec.name)):
            spec = DatasetSpec(named)  # as it is now, and not as the newest version is
        if deleted and spec.rid and not spec.version and own:
            states = own.dataset_versions(spec.rid)
            spec = DatasetSpec(spec.rid, states[0].version if states else None)
        meant, record = found(spec, source, self.project)
        return Dataset(self, record, meant.version)

    def find_datasets(
        self, deleted: bool = False, sort: Callable[[Dataset], Any] | bool | None = None
    ) -> list[Dataset]:
        """Return the datasets, newest first.

        Args:
            deleted: also those that have been deleted, which the project's own catalog tells.
            sort: a function that gives what to sort by, instead.
        """
        source = self.connection.source
        if isinstance(source, EmbeddedCatalog):
            records = source.find_datasets(deleted=deleted)
        elif deleted:
            raise DerivaMLRequestError("deleted datasets are found in the project's own catalog only")
        else:
            records = source.find_datasets()
        datasets = [Dataset(self, record) for record in records]
        if not callable(sort):
            return datasets
        return sorted(datasets, key=sort)

    def delete_dataset(self, dataset: Dataset | RID, recurse: bool = False) -> None:
        """Delete a dataset of this project, with ``recurse`` those that are part of it, too; its versions stay readable.

        Raises:
            DerivaMLRequestError: another one contains it, or it is on a server.
        """
        live = self.lookup_dataset(dataset) if isinstance(dataset, str) else dataset
        own = live.own()
        with changes.recorded(own, "Python", f"Deletes dataset {live.name or live.rid}"):
            changes.delete(own, live.rid, recurse)

    def bag_info(self, dataset: DatasetSpec | RID) -> dict[str, Any]:
        """Return how many files a dataset has, with those of datasets that are part of it, and their ``bytes``."""
        return self.lookup_dataset(dataset).bag_info()

    estimate_bag_size = bag_info

    def download_dataset_bag(self, dataset: DatasetSpec | RID) -> DatasetBag:
        """Fetch a dataset into ``outputs/datasets``, to look at: no execution is recorded as having read it."""
        spec = DatasetSpec.from_shorthand(dataset) if isinstance(dataset, str) else dataset
        meant, record = found(spec, self.catalog, self.project)
        folder = self.project.make_outputs() / "datasets"
        return fetch_dataset(self.catalog, record, folder, meant.materialize)

    def cite(self, rid: RID | dict[str, Any], current: bool = False) -> str:
        """Return an address that names a record for good; of a dry run, which has no record, a line that says so.

        Args:
            rid: its RID, or a row that has one.
            current: the address of the record as it is now, whatever becomes of it.

        Raises:
            DerivaMLRequestError: the row has no RID.
        """
        rid = rid if isinstance(rid, str) else dict(rid or ()).get("RID", "")
        if not rid:
            raise DerivaMLRequestError("only a record can be cited: give its RID, or a row that has one")
        if rid == DRY_RUN_RID:
            return f"{rid} is a dry run: nothing was recorded, and there is nothing to cite"
        return self.catalog.link(rid) if current else self.catalog.cite(rid)

    def pathBuilder(self) -> Any:  # noqa: N802 - upstream's name
        """deriva's interface to the catalog's tables, for any query
        (https://docs.derivacloud.org/projects/deriva-py/en/latest/deriva-datapath.html).

        Raises:
            DerivaMLRequestError: this is the project's own catalog, which has none.
        """
        return self.catalog.path_builder()


__getattr__ = builds_of(__name__)
