"""A run as an experiment, as upstream looks at one: its choices, its model's settings, its inputs and outputs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.definitions import RID, Dataset
from deriva_ml.records.recorded import RecordedAsset, RecordedExecution
from deriva_ml.untrusted import DAMAGED, LARGEST, read_yaml
from deriva_ml.upstream import Upstream


@dataclass(frozen=True)
class Experiment(Upstream):
    """A run that was configured.

    Attributes:
        execution: its record.
    """

    execution: RecordedExecution

    @property
    def execution_rid(self) -> RID:
        """The RID of its execution."""
        return self.execution.rid

    @property
    def name(self) -> str:
        """The chosen ``experiment`` or ``model_config``, or else the workflow's name."""
        choices = self.config_choices
        return choices.get("experiment") or choices.get("model_config") or self.execution.workflow.name

    @property
    def description(self) -> str:
        """Its execution's description."""
        return self.execution.description

    @property
    def status(self) -> str:
        """Where its execution stands."""
        return self.execution.status.value

    @property
    def config_choices(self) -> dict[str, str]:
        """The entry that was chosen in each configuration group."""
        return self.execution.config_choices

    @property
    def model_config(self) -> dict[str, Any]:
        """The model's settings by name, or the notebook's parameters."""
        return {name.removeprefix(MODEL_CONFIG): value for name, value in self.execution.parameters.items()}

    @cached_property
    def hydra_config(self) -> dict[str, Any]:
        """The composed configuration; empty where none was recorded, or what was is none."""
        import tempfile  # not at the top: every run would load it

        for asset in self.execution.outputs:
            if asset.filename == "hydra-config.yaml" and asset.length <= LARGEST:
                with tempfile.TemporaryDirectory() as folder:
                    with suppress(*DAMAGED):
                        return dict(read_yaml(asset.download(Path(folder))))
        return {}

    @property
    def input_datasets(self) -> list[Dataset]:
        """The datasets that it read."""
        return self.execution.list_input_datasets()

    @property
    def input_assets(self) -> list[RecordedAsset]:
        """The files that it read."""
        return self.execution.inputs

    @property
    def output_assets(self) -> list[RecordedAsset]:
        """The files that it made."""
        return self.execution.outputs

    def get_chaise_url(self) -> str:
        """Return what shows its record: an address, or for the project's own catalog a command."""
        return self.execution.source.link(self.execution_rid)

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of it, in plain types."""
        return {
            "name": self.name,
            "execution_rid": self.execution_rid,
            "description": self.description,
            "status": self.status,
            "config_choices": self.config_choices,
            "model_config": self.model_config,
            "metrics": self.execution.metrics,
            "input_datasets": [{"rid": one.rid, "version": one.version} for one in self.input_datasets],
            "input_assets": [{"rid": one.rid, "filename": one.filename} for one in self.input_assets],
            "output_assets": [{"rid": one.rid, "filename": one.filename} for one in self.output_assets],
            "url": self.get_chaise_url(),
        }

    def to_markdown(self, show_datasets: bool = True, show_assets: bool = True) -> str:
        """Return it as Markdown."""
        facts = self.summary()
        lines = [
            f"### {self.name} ({self.execution_rid})",
            "",
            self.description,
            "",
            f"- Status: {self.status}",
        ]
        for title, name in (
            ("Choices", "config_choices"),
            ("Settings", "model_config"),
            ("Metrics", "metrics"),
        ):
            if facts[name]:
                lines.append(
                    f"- {title}: " + ", ".join(f"`{key}={value}`" for key, value in facts[name].items())
                )
        if show_datasets:
            lines += [f"- Dataset: {one.rid} at {one.version}" for one in self.input_datasets]
        if show_assets:
            lines += [f"- Input: {one.filename} ({one.rid})" for one in self.input_assets]
            lines += [f"- Output: {one.filename} ({one.rid})" for one in self.output_assets]
        return "\n".join(lines) + "\n"

    def display_markdown(self, show_datasets: bool = True, show_assets: bool = True) -> None:
        """Display it in a notebook."""
        from IPython.display import Markdown, display

        display(Markdown(self.to_markdown(show_datasets, show_assets)))  # type: ignore[no-untyped-call]
