"""The look-ups of a connection: results, executions, files, datasets and workflows, by RID or by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetSpec
from deriva_ml.definitions import RID, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.records.experiment import Experiment
from deriva_ml.records.lineage import read_by
from deriva_ml.records.lineage_result import LineageResult, lineage_result
from deriva_ml.records.recorded import RecordedAsset, RecordedExecution
from deriva_ml.records.replays import Replays
from deriva_ml.records.results import criteria, find_results, tabulate


class Finding:
    """The part of ``DerivaML`` that reads what was recorded."""

    project: Project

    @property
    def catalog(self) -> Source:
        """Where records are looked up."""
        raise NotImplementedError

    def results(
        self,
        rids: Sequence[RID] | None = None,
        *,
        workflow: str | None = None,
        sweep: RID | None = None,
        status: str | None = None,
        since: str | datetime | None = None,
        where: str | None = None,
        sort: str | None = None,
        best: str | None = None,
        columns: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Any:
        """Return one row a run: RID, time, what was given as far as it differs, and metrics.

        Args:
            rids: only these executions, in this order.
            workflow: a workflow's name or RID.
            sweep: only the runs of this sweep.
            status: such as ``Failed``.
            since: ``2w``, ``3d``, ``12h`` or ``30m`` ago; or a date.
            where: conditions such as ``accuracy > 0.9 and model_config.l2 < 1``.
            sort: names parted by commas; ``-NAME`` has the greatest first. By default the newest come first.
            best: ``max`` or ``min``, for each metric's greatest or least value and its step instead of its last value.
            columns: these instead of what differs.
            limit: how many rows at most.

        Returns:
            A pandas frame; a list of dictionaries where pandas is not installed.

        Raises:
            DerivaMLRequestError: an argument cannot be read, or a name is that of nothing here.
        """
        words: dict[str, Any] = {"status": status, "since": since, "where": where, "sort": sort, "best": best}
        asked = criteria(
            rids, workflow=workflow, sweep=sweep, runs_only=rids is None, no_changes=True, **words
        )
        found = find_results(self.catalog, asked, limit)
        table = tabulate(found, best, columns, Replays(self.catalog, self.project.state))
        try:
            from pandas import DataFrame
        except ImportError:
            return table.as_dicts()
        return DataFrame(table.rows, columns=table.columns)

    def lookup_execution(self, execution_rid: RID) -> RecordedExecution:
        """Return an execution's record."""
        return RecordedExecution.of(self.catalog.lookup_execution(execution_rid), self.catalog)

    def find_executions(
        self,
        workflow: Workflow | RID | None = None,
        workflow_type: str | None = None,
        status: str | None = None,
        sort: str | None = None,
        dataset: RID | DatasetSpec | None = None,
        since: str | datetime | None = None,
        limit: int | None = None,
    ) -> list[RecordedExecution]:
        """Return executions, newest first unless ``sort`` says otherwise.

        Args:
            workflow: of this workflow: its record, RID or name.
            workflow_type: of workflows of this type.
            dataset: that read or made this one.
            sort, since, limit: as for ``results``.
        """
        asked = criteria(
            workflow=(workflow.rid or workflow.name) if isinstance(workflow, Workflow) else workflow,
            workflow_type=workflow_type,
            status=status,
            sort=sort,
            dataset=dataset.rid if isinstance(dataset, DatasetSpec) else dataset,
            since=since,
        )
        found = self.catalog.select_executions(asked, limit)
        return [RecordedExecution.of(record, self.catalog) for record in found]

    def find_executions_consuming(self, rid: RID) -> list[RecordedExecution]:
        """Return the executions that read a dataset or a file.

        Raises:
            DerivaMLRequestError: the record is an execution, or not there.
        """
        found = self.catalog.select_executions(Criteria(rids=read_by(self.catalog, rid)))
        return [RecordedExecution.of(record, self.catalog) for record in found]

    def lookup_lineage(
        self, rid: RID, *, depth: int | None = None, max_executions: int = 500
    ) -> LineageResult:
        """Return which executions an execution, dataset or file came from, and what each of them read.

        A sweep and its executions do not come from each other.

        Args:
            depth: how many executions to go back from the one that made it; None for all, 0 for that one alone.
            max_executions: how many executions are looked at.
        """
        return lineage_result(self.catalog.links_from(rid), depth, max_executions)

    def lookup_experiment(self, execution_rid: RID) -> Experiment:
        """Return an execution as an experiment."""
        return Experiment(self.lookup_execution(execution_rid))

    def find_experiments(
        self, workflow_rid: RID | None = None, status: str | None = None
    ) -> list[Experiment]:
        """Return the executions that were configured, newest first."""
        asked = criteria(workflow=workflow_rid, status=status)
        found = self.catalog.results(asked)
        return [
            Experiment(RecordedExecution.of(record, self.catalog))
            for record, summary in found
            if summary.choices
        ]

    def list_execution_children(self, rid: RID) -> list[RID]:
        """Return a sweep's executions, in order."""
        return self.catalog.list_execution_children(rid)

    def list_execution_parents(self, rid: RID) -> list[RID]:
        """Return the sweeps that an execution is part of."""
        return self.catalog.list_execution_parents(rid)

    def lookup_asset(self, asset_rid: RID) -> RecordedAsset:
        """Return an asset's record, from whichever asset table it is in."""
        return RecordedAsset.of(self.catalog.lookup_asset(asset_rid), self.catalog)

    def find_assets(
        self, asset_table: str | None = None, asset_type: str | None = None
    ) -> list[RecordedAsset]:
        """Return the assets of a table, or of all, newest first; with ``asset_type`` those of this type."""
        table = None if asset_table is None else str(asset_table)
        return [RecordedAsset.of(one, self.catalog) for one in self.catalog.find_assets(table, asset_type)]

    def list_assets(self, asset_table: str) -> list[RecordedAsset]:
        """Return the assets of a table, newest first."""
        return self.find_assets(asset_table)

    def find_workflows(self) -> list[Workflow]:
        """Return the workflows, newest first."""
        return self.catalog.find_workflows()

    def lookup_workflow(self, rid: RID) -> Workflow:
        """Return the workflow with an RID."""
        for workflow in self.catalog.find_workflows():
            if workflow.rid == rid:
                return workflow
        raise DerivaMLRequestError(f"there is no workflow {rid} in this catalog")
