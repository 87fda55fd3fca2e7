"""A small project whose models are swept, in processes of its own; run as a program, it runs the plan on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.definitions import RID, ExecutionRecord
from deriva_ml.project import Project
from deriva_ml.sweep.plan import MODEL, Job, Plan, Swept
from git_repository import Repository

SOURCE = Path(__file__).resolve().parents[2] / "template" / "src"

MODEL_CODE = '''"""Says where it runs, and registers how far a number is from 0.3."""

import json
import os
import signal
import time
from pathlib import Path


def trial(x=0.0, note="", seconds=0.0, stop="", fails="", metric=True, ml_instance=None, execution=None):
    """Run as it is told to."""
    here = {"pid": os.getpid(), "x": x, "note": note, "at": time.time(), "threads": os.environ.get("OMP_NUM_THREADS")}
    with (Path(os.environ["NOTES"]) / f"{os.getpid()}-{time.time_ns()}.json").open("w") as stream:
        json.dump(here, stream)
    first = Path(os.environ["NOTES"]) / f"stopped-{x}"
    if stop and x == fails and not first.exists():
        first.touch()
        os.kill(os.getpid(), getattr(signal, stop))
    late = time.monotonic() + 30
    while stop and x != fails and time.monotonic() < late and not first.with_name(f"stopped-{fails}").exists():
        time.sleep(0.02)  # so that this one runs when that happens
    time.sleep(seconds)
    print("this is", x)
    if not stop and x == fails:
        raise RuntimeError(f"{x} is not for me")
    if metric:
        execution.log_metrics({"loss": (float(x) - 0.3) ** 2})
'''
CONFIGS = '''"""The model's, the run's, and entries for Hydra's launchers."""

from hydra_zen import builds, store
from deriva_ml import DerivaML, DerivaMLConfig
from deriva_ml.execution import Workflow, create_model_config
from models.trial import trial

defaults = ["_self_", {"deriva_ml": "here"}, {"datasets": "none"}, {"assets": "none"}, {"workflow": "study"}, {"model_config": "trial"}]
store(create_model_config(DerivaML, description="A trial", hydra_defaults=defaults), name="deriva_model")
for group in ("datasets", "assets"):
    store([], group=group, name="none")
store(builds(DerivaMLConfig, populate_full_signature=True), group="deriva_ml", name="here")
workflow = builds(Workflow, name="Study", workflow_type="Training", populate_full_signature=True)
store(workflow, group="workflow", name="study")
store(builds(trial, populate_full_signature=True, zen_partial=True), group="model_config", name="trial")
store({"defaults": ["joblib", "_self_"], "n_jobs": 2}, group="hydra/launcher", name="two")
'''


@dataclass
class SweepProject:
    """A project, and what its sweeps left."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> SweepProject:
        repository = Repository.create(folder / "project")
        repository.write("pyproject.toml", "[project]\nname = 'swept'\nversion = '1'\n")
        repository.write(".gitignore", ".deriva-ml/\noutputs/\n__pycache__/\n")
        repository.write("src/configs/__init__.py", "")
        repository.write("src/configs/all.py", CONFIGS)
        repository.write("src/models/__init__.py", "")
        repository.commit("src/models/trial.py", MODEL_CODE)
        (folder / "notes").mkdir()
        path = os.pathsep.join([str(repository.path / "src"), str(SOURCE), str(Path(__file__).parents[1])])
        env = {"PYTHONPATH": path, "NOTES": str(folder / "notes"), "NO_COLOR": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        return cls(repository.path, kept | env)

    def popen(self, plan: Plan, **options: Any) -> subprocess.Popen[str]:
        """Start a sweep as a person's terminal does."""
        process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )
        assert process.stdin
        process.stdin.write(json.dumps(asdict(plan)))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, plan: Plan) -> tuple[int, str, str]:
        """Exit status, output and error output of a sweep."""
        process = self.popen(plan)
        out, err = process.communicate(timeout=150)
        return process.returncode, out, err

    def notes(self) -> list[dict[str, Any]]:
        """Where each job ran, in order."""
        found = []
        for path in (self.root.parent / "notes").glob("*.json"):
            text = path.read_text()
            found += [json.loads(text)] if text else []
        return sorted(found, key=lambda one: float(one["at"]))

    def wait_for(self, count: int, seconds: float = 60) -> list[dict[str, Any]]:
        """The notes, once there are so many."""
        return eventually(lambda: notes if len(notes := self.notes()) >= count else None, seconds)

    def records(self) -> tuple[ExecutionRecord, dict[int, list[ExecutionRecord]], Mapping[RID, float]]:
        """The newest sweep's record, those of its jobs by place, and their losses."""
        with closing(open_local(Project(self.root))) as catalog:
            found = [one.record for one in catalog.results(Criteria())]
            parent = [one for one in found if catalog.list_execution_children(one.rid)][0]
            jobs: dict[int, list[ExecutionRecord]] = {}
            for rid, place in catalog.places_in_sweep(parent.rid).items():
                assert place is not None
                jobs.setdefault(place, []).append(catalog.lookup_execution(rid))
            rids = [one.rid for held in jobs.values() for one in held]
            metrics = {
                one.record.rid: one.summary.metrics["loss"].last
                for one in catalog.results(Criteria(rids=rids))
                if "loss" in one.summary.metrics
            }
        return parent, jobs, metrics


def eventually(found: Callable[[], Any], seconds: float = 60) -> Any:
    """What is found in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("it never came")


def plan_of(values: str, *engine: str, base: tuple[str, ...] = (), **fields: Any) -> Plan:
    """A sweep of ``x`` through listed values, or through what a sweeper makes of them."""
    swept = (Swept("model_config.x", values),)
    numbers = () if any(word.startswith("hydra/sweeper") for word in engine) else values.split(",")
    jobs = tuple(Job(place, (*base, f"model_config.x={one}")) for place, one in enumerate(numbers))
    about = {"name": "Study", "workflow_type": "Training", "description": ""}
    return Plan(
        MODEL,
        config_name="deriva_model",
        base=base,
        swept=swept,
        jobs=jobs,
        engine=engine,
        workflow=about,
        command=("deriva-ml-run", "--multirun", f"model_config.x={values}", *engine),
        description="A sweep",
        **fields,
    )


if __name__ == "__main__":
    from deriva_ml.cli import sweep
    from deriva_ml.cli.command import command

    def run(_: list[str]) -> int:
        return sweep.run(Project.find(), Plan.from_json(json.load(sys.stdin)))

    sys.exit(command(run)([]))
