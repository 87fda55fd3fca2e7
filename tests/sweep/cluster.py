"""Machines for the tests: each a process with another boot number and host name; run as a program, it is one of them.

python cluster.py submit              records the sweep whose plan is on standard input, and ends
python cluster.py node NAME N FOLDER  runs job N of the sweep in FOLDER
python cluster.py collect NAME RID
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing.process
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import deriva_ml.liveness as liveness
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import MODEL, Job, Plan, Swept
from git_repository import Repository
from sweep.sweep_project import SweepProject

READER = '''"""Reads what it is given, looks at what the project has, and writes a file."""

import os
import signal
import time
from pathlib import Path


def reader(x=0.0, seconds=0.0, fails=False, ml_instance=None, execution=None):
    """Sum up the inputs, and register a number."""
    read = sorted(path.read_text() for paths in execution.asset_paths.values() for path in paths)
    read += sorted(path.read_text() for bag in execution.datasets for path in bag.path.rglob("*.txt"))
    seen = [asset.filename for asset in ml_instance.catalog.find_assets("Execution_Asset")]
    Path(os.environ["NOTES"], f"read-{x}").write_text("\\\\n".join([*read, *seen]))
    out = execution.asset_file_path("Execution_Asset", f"sum-{x}.txt", "Model_File")
    Path(out).write_text(f"{x}: {read}")
    execution.log_metrics({"loss": float(x)})
    time.sleep(seconds)
    if fails:
        raise RuntimeError("not for me")
'''

CONFIGS = '''"""Inputs of the project's own, and the model that reads them."""

from hydra_zen import builds, store
from models.reader import reader
from deriva_ml.dataset import DatasetSpecConfig
from deriva_ml.execution import AssetSpecConfig, LocalFileConfig

store([AssetSpecConfig(rid="{asset}"), LocalFileConfig(path="data.csv")], group="assets", name="mine")
store([DatasetSpecConfig(rid="{dataset}", version="0.1.0")], group="datasets", name="mine")
store(builds(reader, populate_full_signature=True, zen_partial=True), group="model_config", name="reader")
'''


@dataclass
class Cluster:
    """A project with inputs, on a drive that the machines share.

    Attributes:
        asset: an input by its RID.
        dataset: another one.
        maker: the execution that made the asset.
    """

    project: SweepProject
    asset: RID
    dataset: RID
    maker: RID

    @classmethod
    def make(cls, folder: Path) -> Cluster:
        from archive.conftest import Recorder

        project = SweepProject.make(folder)
        with closing(open_local(Project(project.root))) as catalog:
            recorder = Recorder(catalog)
            maker = recorder.run("first", {"weights.npz": "weights"})
            asset = next(one.rid for one in catalog.assets_of(maker) if one.filename == "weights.npz")
            dataset = catalog.add_dataset("pets", [recorder.member("cat/1.txt", "one")], name="pets")
        repository = Repository(project.root)
        repository.write("data.csv", "1,2\n")
        repository.write("src/configs/inputs.py", CONFIGS.format(asset=asset, dataset=dataset))
        repository.commit("src/models/reader.py", READER)
        return cls(project, asset, dataset, maker)

    def plan(self, values: str, *base: str) -> Plan:
        """A sweep of the model that reads."""
        base = ("model_config=reader", "assets=mine", "datasets=mine", *base)
        jobs = [Job(place, (*base, f"model_config.x={x}")) for place, x in enumerate(values.split(","))]
        about = {"name": "Study", "workflow_type": "Training", "description": ""}
        return Plan(
            MODEL,
            config_name="deriva_model",
            base=base,
            swept=(Swept("model_config.x", values),),
            jobs=tuple(jobs),
            workflow=about,
            command=("deriva-ml-run", "--multirun", f"model_config.x={values}"),
            description="A sweep",
        )

    def start(self, *words: str, **variables: str) -> Machine:
        """Start a process on one of the machines; it is forked, which saves it the loading of everything."""
        said = self.project.root.parent / "notes" / f"said-{time.time_ns()}"
        environment = {**self.project.env, **variables}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that are not here
            process = multiprocessing.get_context("fork").Process(
                target=_on_machine, args=(words, self.project.root, environment, said)
            )
            process.start()
        return Machine(process, said)

    def run(self, *words: str, rc: int | None = 0, **variables: str) -> None:
        """Run it to its end."""
        machine = self.start(*words, **variables)
        machine.process.join(120)
        assert rc is None or machine.process.exitcode == rc, machine.said.read_text()

    def submit(self, plan: Plan) -> SweepFolder:
        """Record a sweep, by a process that is gone then; its jobs may run on machines."""
        gone = subprocess.Popen(["sleep", "0.1"])
        owner = Owner.of(gone.pid)
        gone.wait()
        with contextlib.chdir(self.project.root):
            sweep = submitted(Project(self.project.root), plan)
        with closing(self.catalog()) as catalog:
            before = catalog.owner_of(sweep.rid)
            assert before and catalog.claim(sweep.rid, before, owner)
        (sweep.path / "submitter.json").write_text(json.dumps(asdict(owner)))
        return sweep

    def catalog_says(self, *words: str) -> str:
        """What `deriva-ml-catalog` says."""
        from deriva_ml.cli.catalog import main as look

        said = io.StringIO()
        with contextlib.chdir(self.project.root), redirect_stdout(said), redirect_stderr(said):
            assert look([*words]) == 0
        return said.getvalue()

    def collect(self, rid: RID, *flags: str, rc: int | None = 0) -> str:
        """Collect a sweep on the machine that all tests run on, in this process; what it says."""
        from deriva_ml.cli.run import main as run_model

        said = io.StringIO()
        with contextlib.chdir(self.project.root), redirect_stdout(said), redirect_stderr(said):
            done = run_model(["--collect", rid, *flags])
        assert rc is None or done == rc, said.getvalue()
        return said.getvalue()

    def node(self, sweep: SweepFolder, number: int, name: str = "", **variables: str) -> None:
        """Run a job on a machine of its own."""
        self.run("node", name or f"node{number}", str(number), str(sweep.path), **variables)

    def catalog(self) -> EmbeddedCatalog:
        """The project's own."""
        return open_local(Project(self.project.root))


@dataclass
class Machine:
    """A process on a machine, and where it writes what it says."""

    process: multiprocessing.process.BaseProcess
    said: Path


def _on_machine(words: Sequence[str], root: Path, environment: Mapping[str, str], said: Path) -> None:
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(root / "src"))
    # What other tests have imported is of other projects.
    for name in [one for one in sys.modules if one.partition(".")[0] in {"configs", "models"}]:
        del sys.modules[name]
    with said.open("w") as stream:
        sys.stdout = sys.stderr = stream
        sys.exit(main([*words]))


def be(name: str) -> None:
    """Be another machine from now on."""
    liveness._kernel = lambda: f"{name.encode().hex():0<32}-"  # type: ignore[assignment]
    platform.node = lambda: name


def submitted(project: Project, plan: Plan) -> SweepFolder:
    """Record a sweep as the submitting process does, for jobs on other machines."""
    import deriva_ml.sweep.apart as apart
    from deriva_ml.sweep.running import _start

    sweep = SweepFolder.of(project, _start(project, plan))
    sweep.make(plan)
    apart.lend_catalog(project, sweep)
    sweep.detach()
    (sweep.path / "submitter.json").write_text(json.dumps(asdict(Owner.here(project.state))))
    return sweep


def run_job(number: int, folder: Path) -> Any:
    """Run a job as a launcher's process does."""
    from deriva_ml.sweep.job import Task

    sweep = SweepFolder(folder)
    plan = sweep.plan()
    if plan is None:
        return None
    submitter = Owner(**json.loads((folder / "submitter.json").read_text()))
    task = Task(Path.cwd(), folder, sweep.rid, submitter)
    return task._run(sweep, sweep.job(number), plan, plan.jobs[number])


def main(words: list[str]) -> int:
    match words:
        case ["submit"]:
            print(submitted(Project.find(), Plan.from_json(json.load(sys.stdin))).path)
        case ["node", name, number, folder]:
            be(name)
            moment = os.environ.get("PAUSE_AT", "")
            if moment:
                pause_at(moment)
            run_job(int(number), Path(folder))
        case ["collect", name, *rest]:
            from deriva_ml.cli.run import main as run_model

            if name:
                be(name)
            if moment := os.environ.get("PAUSE_AT", ""):
                pause_at(moment)
            return run_model(["--collect", *rest])
    return 0


def pause_at(moment: str) -> None:
    """Stand still, for ever, as soon as a function is called: ``module:name``; a file says that it is."""
    import importlib

    module, _, name = moment.partition(":")
    place = importlib.import_module(module)
    sleep = time.sleep  # which may be the function itself

    def stand(*_: Any, **__: Any) -> None:
        Path(os.environ["NOTES"], f"paused-{os.getpid()}").touch()
        sleep(600)

    setattr(place, name, stand)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
