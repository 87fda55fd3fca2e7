"""What describes an execution has the names and types by which upstream's tools, and older and newer commands, find it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from deriva_ml import DerivaML
from deriva_ml.cli import catalog
from deriva_ml.execution import ExecutionConfiguration
from executions.runs import outputs, start


def experiment(files: dict[str, bytes]) -> dict[str, Any]:
    """What upstream's ``Experiment`` reads of an execution's metadata: it goes by the ends of the names."""
    found: dict[str, Any] = {}
    for name, content in files.items():
        if name.endswith("-config.yaml"):
            found = yaml.safe_load(content) or {}
    for name, content in files.items():
        if name.endswith("-hydra.yaml"):
            choices = (yaml.safe_load(content) or {}).get("hydra", {}).get("runtime", {}).get("choices", {})
            found["config_choices"] = {k: v for k, v in choices.items() if not k.startswith("hydra/")}
    return found


@pytest.mark.parametrize(
    ("choices", "read"),
    [
        ({"model_config": "quick", "assets": "é x"}, {"model_config": "quick", "assets": "é x"}),
        ({"datasets": OmegaConf.create(["a", "b"])}, {"datasets": ["a", "b"]}),
        ({"model_config": None, "deriva_ml": "default"}, {"deriva_ml": "default"}),
        ({}, {}),
    ],
)
def test_a_run_is_an_experiment_to_upstream(
    ml: DerivaML, choices: dict[str, Any], read: dict[str, Any]
) -> None:
    """With its settings, and the entry that was chosen in each group: ``model_config`` names it."""
    execution = start(ml)
    execution.configuration = ExecutionConfiguration(config_choices=choices)
    execution.record_circumstances({"commit": "c0ffee"}, "model_config:\n  epochs: 3\n")
    execution.commit_output_assets()
    made = outputs(ml, execution)
    assert {name: asset.types for name, (asset, _) in made.items()} == {
        "configuration.json": ("Deriva_Config",),
        "hydra-config.yaml": ("Hydra_Config",),
        "choices-hydra.yaml": ("Hydra_Config",),
    }
    found = experiment({name: content for name, (_, content) in made.items()})
    assert found == {"model_config": {"epochs": 3}, "config_choices": read}


def test_an_execution_without_a_configuration_has_no_choices(ml: DerivaML) -> None:
    """As one that a person's own Python starts."""
    execution = start(ml)
    execution.record_circumstances({})
    execution.commit_output_assets()
    assert outputs(ml, execution).keys() == {"configuration.json"}


@pytest.mark.parametrize("kind", ["Deriva_Config", "Execution_Config"])
def test_records_of_older_runners_are_shown_as_well(
    ml: DerivaML, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have their configuration under another type; a file of the user's own is not taken for it."""
    execution = start(ml)
    for types, epochs in ((kind, 3), ("Output_File", 4)):
        path = execution.asset_file_path("Execution_Metadata", "configuration.json", types)
        path.write_text(json.dumps({"parameters": {"epochs": epochs}}))
    execution.commit_output_assets()
    assert catalog.main(["show", execution.execution_rid, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == {"epochs": 3}
