"""Records that know what belongs to them: an execution's inputs, outputs and results, and a file's executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.protocol import Source
from deriva_ml.catalog.summaries import Summary
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, ExecutionRecord
from deriva_ml.metrics import Metric, Number


@dataclass(frozen=True)
class RecordedExecution(ExecutionRecord):
    """An execution's row, and what belongs to it, which is read when it is asked for.

    Attributes:
        source: the catalog that it is in.
    """

    source: Source = field(default=None, repr=False, compare=False, kw_only=True)  # type: ignore[assignment]

    @classmethod
    def of(cls, record: ExecutionRecord, source: Source) -> RecordedExecution:
        """Return a row that knows its catalog."""
        return cls(**vars(record), source=source)

    @cached_property
    def _summary(self) -> Summary:
        found = self.source.results(Criteria(rids=[self.rid]))
        return found[0].summary if found else Summary()

    @property
    def parameters(self) -> dict[str, Any]:
        """A notebook's parameters; a model's settings, as ``model_config.NAME``."""
        return self._summary.parameters

    @property
    def config_choices(self) -> dict[str, str]:
        """The entry that was chosen in each configuration group."""
        return self._summary.choices

    @property
    def metrics(self) -> dict[str, Number]:
        """The last value of each metric."""
        return {name: metric.last for name, metric in self._summary.metrics.items()}

    @property
    def metric_summaries(self) -> dict[str, Metric]:
        """What each metric came to: its last, least and greatest value, with their steps."""
        return self._summary.metrics

    @property
    def inputs(self) -> list[RecordedAsset]:
        """The files that it read."""
        return self.list_assets(AssetRole.input)

    @property
    def outputs(self) -> list[RecordedAsset]:
        """The files that it made, those that describe it among them."""
        return self.list_assets(AssetRole.output)

    def list_assets(self, asset_role: str | None = None) -> list[RecordedAsset]:
        """Return its files: all, or those with the role ``Input`` or ``Output``."""
        found = self.source.assets_of(self.rid)
        return [RecordedAsset.of(one, self.source) for one in found if asset_role in (None, one.role)]

    def list_input_datasets(self) -> list[Dataset]:
        """Return the datasets that it read, without members."""
        return self.source.datasets_of(self.rid)

    def list_execution_children(self, recurse: bool = False) -> list[RecordedExecution]:
        """Return the executions that are nested in it, in order; with ``recurse`` those nested in them, too."""
        return self._related(self.source.list_execution_children, recurse)

    def list_execution_parents(self, recurse: bool = False) -> list[RecordedExecution]:
        """Return the sweeps that it is part of; with ``recurse`` those that they are part of, too."""
        return self._related(self.source.list_execution_parents, recurse)

    def _related(self, related: Callable[[RID], Sequence[RID]], recurse: bool) -> list[RecordedExecution]:
        found, waiting = dict[RID, None](), [*related(self.rid)]
        while waiting:
            rid = waiting.pop(0)
            if rid not in found and rid != self.rid:
                found[rid] = None
                waiting += related(rid) if recurse else ()
        return [self.of(self.source.lookup_execution(rid), self.source) for rid in found]

    def is_nested(self) -> bool:
        """Whether it is part of a sweep."""
        return bool(self.source.list_execution_parents(self.rid))

    def is_parent(self) -> bool:
        """Whether executions are nested in it."""
        return bool(self.source.list_execution_children(self.rid))


@dataclass(frozen=True)
class RecordedAsset(Asset):
    """A recorded file that knows the executions that made and read it.

    Attributes:
        source: the catalog that it is in.
    """

    source: Source = field(default=None, repr=False, compare=False, kw_only=True)  # type: ignore[assignment]

    @classmethod
    def of(cls, asset: Asset, source: Source) -> RecordedAsset:
        """Return a row that knows its catalog."""
        return cls(**vars(asset), source=source)

    @property
    def execution_rid(self) -> RID | None:
        """The execution that made it first, if one did."""
        made = (rid for rid, role in self.source.executions_of(self) if role is AssetRole.output)
        return next(made, None)

    def list_executions(self, asset_role: str | None = None) -> list[RecordedExecution]:
        """Return the executions that made or read it: all, or those in the role ``Output`` or ``Input``."""
        found = dict.fromkeys(
            rid for rid, role in self.source.executions_of(self) if asset_role in (None, role)
        )
        return [RecordedExecution.of(self.source.lookup_execution(rid), self.source) for rid in found]

    def download(self, dest_dir: Path) -> Path:
        """Write its content, verified, into a folder under its own name, and return the path."""
        path = Path(dest_dir) / self.filename
        self.source.fetch(self, path)
        return path
