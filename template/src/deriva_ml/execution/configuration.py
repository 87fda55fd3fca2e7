"""What an execution is asked to do: its inputs, its workflow, and how it was started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deriva_ml.asset import AssetSpec, LocalFile
from deriva_ml.dataset import DatasetSpec
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.records import Workflow


@dataclass
class ExecutionConfiguration:
    """An execution's declared inputs and description.

    Attributes:
        datasets: specifications, or RIDs standing for a current version.
        assets: specifications or RIDs of recorded assets, and local files. A plain text is always an RID and
            never a path, so that no text from elsewhere makes the runner read a file.
        workflow: what is executed; may be given to ``create_execution`` instead.
        description: Markdown.
        argv: the command line.
        config_choices: the entry chosen in each configuration group.
        parameters: values that were injected or overridden.
        overrides: Hydra's, as typed.
    """

    datasets: list[Any] = field(default_factory=list)
    assets: list[Any] = field(default_factory=list)
    workflow: Workflow | None = None
    description: str = ""
    argv: list[str] = field(default_factory=lambda: list(sys.argv))
    config_choices: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.datasets = [_specification(item, DatasetSpec) for item in self.datasets or []]
        self.assets = [
            _specification(item, LocalFile if isinstance(item, Mapping) and "path" in item else AssetSpec)
            for item in self.assets or []
        ]

    def to_json(self) -> dict[str, Any]:
        """A plain form of it, as recorded with the execution."""
        return asdict(self)


def _specification(item: Any, kind: type) -> Any:
    if isinstance(item, (DatasetSpec, AssetSpec, LocalFile)):
        return item
    if isinstance(item, Mapping):
        return kind(**item)
    if isinstance(item, str) and item:
        return kind(rid=item)
    raise DerivaMLRequestError(
        f"{item!r} does not name an input: give an RID, a {kind.__name__} or a LocalFile"
    )
