"""A model and a notebook in the form of upstream's template run as they are, here and on a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ProjectFolder
from deriva_double import DerivaDouble
from notebooks import write_notebook

MODEL = '''
"""Counts, in the form of upstream's models."""

import json

from deriva_ml import DerivaML, ExecAssetType, MLAsset
from deriva_ml.execution.execution import Execution


def count(scale: float = 1.0, ml_instance: DerivaML = None, execution: Execution | None = None) -> None:
    assert list(execution.datasets.keys()) == list(execution.datasets.items()) == []
    path = execution.asset_file_path(MLAsset.execution_asset, "count.json", ExecAssetType.output_file)
    path.set_asset_types([ExecAssetType.model_file])
    assert path.asset_name == "Execution_Asset" and path.metadata == {}
    path.write_text(json.dumps({"count": 3 * scale}))
    with execution.metrics_file(filename="metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 0, "count": 3 * scale}) + "\\n")
'''

CONFIGURATION = """
from dataclasses import dataclass

from hydra_zen import builds, store

from deriva_ml.asset.aux_classes import AssetSpecConfig
from deriva_ml.execution import BaseConfig, DerivaMLModel, DescribedList, with_description
from deriva_ml.execution.multirun_config import get_multirun_config, list_multirun_configs
from deriva_ml.execution.runner import reset_multirun_state
from models.count import count

for group in ("model_config", "script_config"):
    store(builds(count, populate_full_signature=True, zen_partial=True), group=group, name="count")
store(with_description([AssetSpecConfig(rid="RID", cache=True)], "What was counted"), group="assets", name="counted")


@dataclass
class ReviewConfig(BaseConfig):
    threshold: float = 0.5


Review = builds(
    ReviewConfig,
    populate_full_signature=True,
    hydra_defaults=["_self_", {"deriva_ml": "default_deriva"}, {"datasets": "default_dataset"}, {"assets": "counted"}],
)
store(Review, name="review")
"""

IMPORTS = """
import json
import os
from pathlib import Path

from deriva_ml.core.definitions import DerivaMLException, ExecAssetType, MLAsset
from deriva_ml.execution import run_notebook
from deriva_ml.execution.state_store import ExecutionStatus
"""
START = 'ml, execution, config = run_notebook("review", workflow_type="Review Notebook")'
CELLS = [
    """
assert config.threshold == 0.5 and config.assets.description == "What was counted"
assert Path(os.environ["DERIVA_ML_NOTEBOOK_PATH"]).name == "review.ipynb"
workflow = ml.lookup_execution(execution.execution_rid).workflow
assert os.environ["DERIVA_ML_WORKFLOW_URL"] == workflow.url
assert os.environ["DERIVA_ML_WORKFLOW_CHECKSUM"] == workflow.checksum
assert "threshold=0.5" in json.loads(os.environ["DERIVA_ML_HYDRA_OVERRIDES"])
Path(os.environ["DERIVA_ML_SAVE_EXECUTION_RID"]).write_text(json.dumps(execution.execution_rid))
for path in execution.asset_paths["Execution_Asset"]:
    assert path.file_name.name == "count.json" and path.file_name.read_text() == '{"count": 6.0}'
    asset = ml.lookup_asset(asset_rid=path.asset_rid)
    made = asset.list_executions(asset_role="Output")[0].execution_rid
    experiment = ml.lookup_experiment(execution_rid=made)
    assert experiment.config_choices[GROUP] == "count" and experiment.model_config["scale"] == 2.0
    assert experiment.execution.parameters == {"model_config.scale": 2.0}
    fresh = execution.download_asset(
        asset_rid=path.asset_rid, dest_dir=Path(execution.working_dir) / path.asset_rid, update_catalog=False
    )
    assert fresh.read_text() == path.read_text() and asset.asset_table == "Execution_Asset"
    print(ml.cite({"RID": path.asset_rid}), ml.lookup_execution(execution_rid=made).status)
""",
    """
try:
    ml.feature_values("Image", "Image_Classification")
except DerivaMLException as error:
    print(error)
assert execution.status == ExecutionStatus.Running
""",
    """
table = execution.asset_file_path(MLAsset.execution_asset, "review.csv", ExecAssetType.output_file)
table.write_text("count\\n6\\n")
report = execution.commit_output_assets(progress_callback=print)
assert report.total_uploaded >= 1
""",
]


@pytest.mark.parametrize("server", [False, True], ids=["here", "on a server"])
def test_a_model_and_a_notebook_run_unchanged(
    server: bool, project_copy: Callable[..., ProjectFolder], double: DerivaDouble, tmp_path: Path
) -> None:
    """The notebook reads what the model made, by every form that upstream's template uses."""
    made = project_copy()
    variables = {"HOME": str(tmp_path / "home"), "DERIVA_ML_ALLOW_DIRTY": "true"}
    project = ProjectFolder(made.path, {**made.env, **variables})
    where = ["--host", double.url, "--catalog", "1"] if server else []
    (project / "src" / "models" / "count.py").write_text(MODEL.lstrip())
    configuration = project / "src" / "configs" / "review.py"
    configuration.write_text(CONFIGURATION.lstrip())
    group = "script_config" if server else "model_config"  # a script runs instead of the model, and is one
    chosen = f"+{group}=count" if server else f"{group}=count"
    words = [chosen, f"{group}.scale=2.0", "datasets=default_dataset", *where]
    done = project.run("deriva-ml-run", *words, check=True)
    [model] = re.findall(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)
    look = "from deriva_ml import DerivaML; ml = DerivaML({}); print('made', *(one.rid for one in ml.lookup_execution('{}').outputs if one.filename == 'count.json'))"
    named = f"'{double.url}', '1'" if server else ""
    found = project.run("python", "-c", look.format(named, model), check=True).out
    configuration.write_text(CONFIGURATION.lstrip().replace('"RID"', f'"{found.split()[-1]}"'))
    imports = f"{IMPORTS}\nGROUP = {group!r}\n"
    write_notebook(project / "notebooks" / "review.ipynb", CELLS, START, imports)
    done = project.run(
        "deriva-ml-run-notebook", "notebooks/review.ipynb", "threshold=0.5", *where, check=True
    )
    assert re.search(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)
