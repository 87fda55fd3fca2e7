"""A project with runs whose parameters and metrics differ, for the tests of what is read from records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.definitions import Workflow
from deriva_ml.execution import Execution, ExecutionConfiguration
from git_repository import isolate_git

Make = Callable[..., Execution]


@pytest.fixture
def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
    """A connection to the catalog of an empty project, from inside it."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(root)
    return DerivaML()


@pytest.fixture
def recorded(ml: DerivaML) -> Make:
    """Records a run with parameters, choices and lines of metrics, and returns it."""

    def make(
        *metrics: dict[str, Any],
        choices: dict[str, str] | None = None,
        workflow: str = "Train",
        **parameters: Any,
    ) -> Execution:
        configuration = ExecutionConfiguration(
            description=f"a run of {workflow}", config_choices=choices or {}, parameters=parameters
        )
        execution = ml.create_execution(
            configuration, Workflow(workflow, "Training", url="u", checksum=workflow)
        )
        with execution.execute():
            execution.record_circumstances({"commit": "c0ffee"})
            if metrics:
                execution.metrics_file().write_text("".join(json.dumps(one) + "\n" for one in metrics))
        execution.commit_output_assets()
        return execution

    return make
