"""A run as an experiment, as upstream looks at one: its choices, its model's settings, its inputs and outputs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml.configuration_file import MODEL_CONFIG
from deriva_ml.definitions import Dataset
from deriva_ml.records.recorded import RecordedExecution
from deriva_ml.untrusted import DAMAGED, LARGEST, read_yaml
from deriva_ml.upstream import Upstream


@dataclass(frozen=True)
class Experiment(Upstream):
    """A run that was configured.

    Attributes:
        execution: its record.
        execution_rid, description, status, config_choices: those of its record.
        input_assets, output_assets: the files that it read and made.
    """

    execution: RecordedExecution

    @property
    def name(self) -> str:
        """The chosen ``experiment`` or ``model_config``, or else the workflow's name."""
        choices = self.execution.config_choices
        return choices.get("experiment") or choices.get("model_config") or self.execution.workflow.name

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

    def get_chaise_url(self) -> str:
        """Return what shows its record: an address, or for the project's own catalog a command."""
        return self.execution.source.link(self.execution.rid)

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of it, in plain types."""
        return {
            "name": self.name,
            "execution_rid": self.execution.rid,
            "description": self.execution.description,
            "status": self.execution.status.value,
            "config_choices": self.execution.config_choices,
            "model_config": self.model_config,
            "metrics": self.execution.metrics,
            "input_datasets": [{"rid": one.rid, "version": one.version} for one in self.input_datasets],
            "input_assets": [{"rid": one.rid, "filename": one.filename} for one in self.execution.inputs],
            "output_assets": [{"rid": one.rid, "filename": one.filename} for one in self.execution.outputs],
            "url": self.get_chaise_url(),
        }

    def to_markdown(self, show_datasets: bool = True, show_assets: bool = True) -> str:
        """Return it as Markdown."""
        facts = self.summary()
        lines = [
            f"### {self.name} ({facts['execution_rid']})",
            "",
            facts["description"],
            "",
            f"- Status: {facts['status']}",
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
            lines += [f"- Input: {one.filename} ({one.rid})" for one in self.execution.inputs]
            lines += [f"- Output: {one.filename} ({one.rid})" for one in self.execution.outputs]
        return "\n".join(lines) + "\n"

    def display_markdown(self, show_datasets: bool = True, show_assets: bool = True) -> None:
        """Display it in a notebook."""
        from IPython.display import Markdown, display

        display(Markdown(self.to_markdown(show_datasets, show_assets)))  # type: ignore[no-untyped-call]
