"""A notebook's job on another machine: its kernel records where the job does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from conftest import ProjectFolder
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.definitions import AssetRole, Status
from deriva_ml.project import Project
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan, Swept
from notebooks import COMMIT, START, write_notebook
from sweep import cluster

READ = 'execution.log_metrics({"read": sum(map(len, execution.asset_paths.values())), "alpha": alpha})'
WEIGHTS = {"DEMO-W001", "DEMO-W002"}


def test_a_notebook_on_another_machine_is_recorded_as_here(
    copy_to: Callable[[Path], ProjectFolder], tmp_path: Path
) -> None:
    project = copy_to(tmp_path / "my-project")
    write_notebook(project / "notebooks" / "swept.ipynb", [START, READ, COMMIT], "alpha: float = 0.0")
    project.git("add", "-A")
    project.git("commit", "-m", "A notebook to sweep")
    plan = Plan(
        NOTEBOOK,
        notebook="notebooks/swept.ipynb",
        swept=(Swept("alpha", "0.5", parameter=True),),
        jobs=(Job(0, ("assets=comparison_weights",), (("alpha", "0.5"),)),),
        workflow={"name": "Swept", "workflow_type": "Training", "description": ""},
        command=("deriva-ml-run-notebook", "notebooks/swept.ipynb", "--sweep", "alpha=0.5"),
    )
    program = cluster.__file__
    paths = os.pathsep.join([str(project / "src"), str(Path(program).parents[1])])
    env = {"PYTHONPATH": paths, "NOTES": str(tmp_path)}
    done = project.run("python", program, "submit", env=env, stdin=json.dumps(asdict(plan)), check=True)
    sweep = SweepFolder(Path(done.out.splitlines()[0]))
    with closing(open_local(Project(project.path))) as catalog:
        known = {record.rid for record in catalog.select_executions(Criteria())}
        project.run("python", program, "node", "node7", "0", str(sweep.path), env=env, check=True)
        assert known == {record.rid for record in catalog.select_executions(Criteria())}
        project.run("deriva-ml-run-notebook", "--collect", sweep.rid, check=True)
        [rid] = catalog.list_execution_children(sweep.rid)
        [result] = catalog.results(Criteria(rids=[rid]))
        assert result.record.status is Status.uploaded
        assert result.record.started_by == "deriva-ml-run-notebook"
        assert {name: metric.last for name, metric in result.summary.metrics.items()} == {
            "read": 2,
            "alpha": 0.5,
        }
        assert {one.rid for one in catalog.assets_of(rid) if one.role is AssetRole.input} == WEIGHTS
        assert (project / "outputs" / rid / "swept.md").exists()
