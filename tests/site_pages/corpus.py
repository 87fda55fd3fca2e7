"""A project with records of every kind that a site has to show, made without running a notebook.

The example, a sweep with a failed job, a failed run, runs of release 0.1.0, records of another project, a dataset with
versions, a replay, a run of every hostile name and file, and credentials and paths where runs may leave them.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import writes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from deriva_ml.archive.exporting import export
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, Member, Status, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.records import replays
from git_repository import Repository
from records.test_released import RUNS
from site_pages import hostile
from template_versions import RELEASED

TOKEN = "ghp_" + "0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0kP9lO"
"""A credential by its form, which a runner of old, or somebody's own code, left in records."""

DATASET_RUNS = (("Collect digits", "create"), ("Correct digits", "add"), ("Release digits", "release"))
"""The executions that make and change the dataset, by their workflows and subcommands."""

METADATA, OUTPUT = "Execution_Metadata", "Execution_Asset"
KINDS = {
    "configuration.json": (METADATA, "Deriva_Config"),
    "hydra-config.yaml": (METADATA, "Hydra_Config"),
    "environment.json": (METADATA, "Runtime_Env"),
    "metrics.jsonl": (METADATA, "Metrics_File"),
    "uv.lock": (METADATA, "Execution_Config"),
    "sweep.json": (METADATA, "Execution_Config"),
    ".ipynb": (OUTPUT, "Notebook_Output"),
    ".md": (OUTPUT, "Notebook_Output"),
    ".npz": (OUTPUT, "Model_File"),
}
"""The table and the type of a file, by its name or its end."""


@dataclass
class Corpus:
    """A project's catalog with its records.

    Attributes:
        example: a run of the example notebook, which read the dataset and two files of weights.
        weights: the runs of a model that made them.
        sweep: one of six jobs, in ``jobs``, the last of which failed.
        failed: a notebook run that ended with an error.
        released: three runs that release 0.1.0 recorded.
        imported: the execution of another project.
        hostile: the run that is full of hostile names and files.
        digits: the dataset, with versions 1.0.0 and 1.1.0; ``parts`` is in it.
    """

    catalog: EmbeddedCatalog
    example: RID = ""
    weights: list[RID] = field(default_factory=list)
    sweep: RID = ""
    jobs: list[RID] = field(default_factory=list)
    failed: RID = ""
    released: list[RID] = field(default_factory=list)
    imported: RID = ""
    hostile: RID = ""
    digits: RID = ""
    parts: RID = ""

    @property
    def root(self) -> Path:
        """The project's folder, whose path must not be in the site."""
        return self.catalog.project.root

    @property
    def count(self) -> int:
        """How many executions there are."""
        runs = (self.example, self.sweep, self.failed, self.imported, self.hostile)
        return len(DATASET_RUNS) + len(runs) + len(self.weights) + len(self.jobs) + len(self.released)


def make(folder: Path) -> Corpus:
    """Make the project in a folder; its catalog is open."""
    root = folder / "home-of-ada" / "digits"
    commit = _repository(root)
    released = _released(folder, root)
    catalog = EmbeddedCatalog(Project(root))
    catalog.read_summaries()
    corpus, recorder = Corpus(catalog, released=released), _Recorder(catalog, commit)
    _datasets(corpus, recorder)
    _example(corpus, recorder)
    _sweep(corpus, recorder)
    corpus.failed = _failed(recorder)
    corpus.imported = _imported(folder, catalog)
    corpus.hostile = _hostile(recorder)
    verdict = replays.Note(corpus.example, "2026-11-28T12:00:00+00:00", "different", 0.96, "0.2.0", commit)
    replays.note(
        catalog.project.state,
        replays.Note(corpus.weights[0], verdict.when, "identical", 1.0, "0.2.0", commit),
    )
    replays.note(catalog.project.state, verdict)
    return corpus


def picture(width: int = 60, height: int = 40) -> bytes:
    """A PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x30\x80\x70" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def _repository(root: Path) -> str:
    """Make the project's folder a repository, and return its commit."""
    repository = Repository.create(root)
    repository.write(".gitignore", ".deriva-ml\noutputs\n")
    repository.write("notebooks/my_analysis.ipynb", "{}\n")
    return repository.commit("pyproject.toml", '[project]\nname = "digits"\n')


def _released(folder: Path, root: Path) -> list[RID]:
    """Let the runner of release 0.1.0 record its runs in the project, and return their RIDs."""
    with tarfile.open(RELEASED / "0.1.0.tar.gz") as archive:
        archive.extractall(folder / "released", filter="data")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(root.parent)}
    env["PYTHONPATH"] = str(folder / "released/template/src")
    command = [sys.executable, "-c", RUNS]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


class _Recorder:
    """Records executions as runs do."""

    def __init__(self, catalog: EmbeddedCatalog, commit: str) -> None:
        self.catalog, self.commit = catalog, commit

    def run(
        self,
        workflow: str,
        command: str = "deriva-ml-run",
        *words: str,
        files: Mapping[str, str | bytes] | None = None,
        inputs: Iterable[Asset] = (),
        datasets: Iterable[Dataset] = (),
        metrics: Iterable[Mapping[str, Any]] = (),
        status: Status = Status.uploaded,
        reason: str = "",
        url: str = "",
        description: str = "",
        choices: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        seconds: float = 2.5,
    ) -> RID:
        """Record an execution with its configuration, environment, metrics, inputs and outputs, and return its RID."""
        catalog, path = self.catalog, "notebooks/my_analysis.ipynb"
        made = Workflow(
            workflow,
            ["Training"] if command == "deriva-ml-run" else ["Analysis Notebook"],
            url=url or f"https://git.example.org/ada/digits/blob/{self.commit}/{path}",
            checksum=workflow[:40],
            version="0.1.0.post4+g3bb81af",
        )
        rid = catalog.add_execution(
            made, description or f"A run of {workflow}", Owner.of(), started_by=command
        )
        for one in inputs:
            catalog.link_asset(rid, one, AssetRole.input)
        for dataset in datasets:
            catalog.link_dataset(rid, dataset)
        configuration = {
            "workflow": {"name": workflow},
            "argv": [command, *words],
            "started_by": command,
            "provenance": {"commit": self.commit, "path": path, "dirty": False, "differences": []},
            "parameters": parameters or {},
            "parameters_given": given or {},
            "config_choices": choices or {},
            "overrides": [word for word in words if "=" in word and not word.endswith(".ipynb")],
        }
        environment = {
            "python": {"version": "3.12.3", "implementation": "CPython"},
            "platform": {"system": "Linux", "machine": "x86_64"},
            "cpus": 8,
            "packages": {"numpy": "2.3.1", "scikit-learn": "1.7.0"},
            "variables": {"PYTHONPATH": f"{catalog.project.root}/src", "OMP_NUM_THREADS": "2"},
        }
        texts: dict[str, str | bytes] = {
            "configuration.json": json.dumps(configuration),
            "environment.json": json.dumps(environment),
            "hydra-config.yaml": f"model_config:\n  l2: 0.1\npath: {catalog.project.root}/data\n",
        }
        if lines := "".join(json.dumps(one) + "\n" for one in metrics):
            texts["metrics.jsonl"] = lines
        for name, content in (texts | dict(files or {})).items():
            table, kind = KINDS.get(name) or KINDS.get(Path(name).suffix) or (OUTPUT, "Output_File")
            staged = catalog.stage(
                rid, table, name, catalog.folder_of(rid), [kind], f"{Path(name).stem[:40]} of it"
            )
            staged.path.write_bytes(content.encode() if isinstance(content, str) else content)
        catalog.commit(rid)
        catalog.update_execution(rid, status, reason, Execution_Duration=f"0H 0min {seconds}sec")
        return rid

    def output(self, rid: RID, name: str) -> Asset:
        """A file that an execution made."""
        return next(asset for asset in self.catalog.assets_of(rid) if asset.filename == name)

    def member(self, path: str, text: str) -> Member:
        """A file to be in a dataset."""
        source = self.catalog.project.root / "files" / path.replace("/", "-")
        source.parent.mkdir(exist_ok=True)
        source.write_text(text)
        return Member(path, self.catalog.add_file(source).rid)


def _datasets(corpus: Corpus, recorder: _Recorder) -> None:
    catalog = corpus.catalog
    corpus.parts = catalog.add_dataset(
        "Labels of the digits", [recorder.member("labels.csv", "image,label\n1,7\n2,3\n")], name="labels"
    )
    maker, corrector, releaser = (
        recorder.run(name, "deriva-ml-dataset", word) for name, word in DATASET_RUNS
    )
    members = [recorder.member(f"images/{number}.txt", f"digit {number}") for number in range(3)]
    corpus.digits = catalog.add_dataset(
        "Handwritten digits",
        members,
        ["Training"],
        "1.0.0",
        execution=maker,
        nested=[corpus.parts],
        name="digits",
    )
    corrected = [recorder.member("images/1.txt", "digit 1, corrected")]
    catalog.change_dataset(corpus.digits, corrected, ["images/2.txt"], "One image was wrong", corrector)
    catalog.release_dataset(corpus.digits, description="One image was wrong", execution=releaser)


def _example(corpus: Corpus, recorder: _Recorder) -> None:
    for name, accuracy in (("logistic", 0.91), ("mlp_small", 0.94)):
        losses = [{"step": step, "loss": 2 * 0.9**step, "accuracy": accuracy} for step in range(40)]
        corpus.weights.append(
            recorder.run(
                "Train a model",
                "deriva-ml-run",
                f"model_config={name}",
                files={f"{name}.npz": b"weights of " + name.encode()},
                datasets=[corpus.catalog.lookup_dataset(corpus.digits, "1.0.0")],
                metrics=losses,
                choices={"model_config": name},
                parameters={"l2": 0.1, "seed": 7},
            )
        )
    weights = [
        recorder.output(rid, f"{name}.npz")
        for rid, name in zip(corpus.weights, ("logistic", "mlp_small"), strict=True)
    ]
    steps = [
        {"step": step, "loss": math.exp(-step / 300) if step != 700 else math.nan, "rate": 0.1}
        for step in range(1200)
    ]
    corpus.example = recorder.run(
        "My Analysis",
        "deriva-ml-run-notebook",
        "notebooks/my_analysis.ipynb",
        "-p",
        "top_k",
        "3",
        "assets=comparison_weights",
        files={
            "my_analysis.ipynb": _notebook(corpus.root),
            "my_analysis.md": f"# Digits\n\n| model | right |\n|---|---|\n| logistic | 0.91 |\n\nread {corpus.root}/data\n",
            "predictions.csv": "image,digit,sure\n"
            + "".join(f"{n},{n % 10},0.{n % 90 + 10}\n" for n in range(300)),
            "figure.png": picture(),
            "report.html": "<h1>Report</h1><p>Two models</p>",
            "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><circle r="20"/></svg>',
            "train.log": f"reading {corpus.root}/data/train.csv\nlogged in with {TOKEN}\ndone\n",
        },
        inputs=weights,
        datasets=[corpus.catalog.lookup_dataset(corpus.digits, "1.0.0")],
        metrics=[*steps, {"step": 1200, "accuracy": 0.94, "f1.macro": 0.93, "converged": True}],
        choices={"assets": "comparison_weights", "datasets": "training_data"},
        parameters={
            "top_k": 3,
            "show_errors": True,
            "names": ["logistic", "mlp_small"],
            "folder": f"{corpus.root}/data",
        },
        given={"top_k": 3},
        seconds=8.25,
    )


def _notebook(root: Path) -> str:
    """The example as it was executed: a formula, a table, a picture, and what it printed."""
    table = "<table><tr><th>model</th><th>right</th></tr><tr><td>logistic</td><td>0.91</td></tr></table>"
    encoded = base64.b64encode(picture()).decode()
    outputs = [
        new_output("stream", text=f"reading {root}/data with {TOKEN}\n"),
        new_output("display_data", {"text/html": table, "text/plain": "model right"}),
        new_output("display_data", {"image/png": encoded, "text/plain": "<Figure>"}),
    ]
    cells = [
        new_markdown_cell("# Digits\n\nTwo models *read* handwritten digits: $a^2$.", id="a"),
        new_code_cell("top_k = 3", id="b", execution_count=1, metadata={"tags": ["parameters"]}),
        new_code_cell("compare(top_k)", id="c", execution_count=2, outputs=outputs),
    ]
    return str(writes(new_notebook(cells=cells)))


def _sweep(corpus: Corpus, recorder: _Recorder) -> None:
    values = [(l2, entry) for entry in ("quick", "default_model") for l2 in (0.1, 1.0, 10.0)]
    table = "job,RID,status,model_config.l2\n1,,Uploaded,0.1\n"
    corpus.sweep = recorder.run(
        "Train a model sweep",
        "deriva-ml-run",
        "--multirun",
        "model_config=quick,default_model",
        "model_config.l2=0.1,1,10",
        files={
            "sweep.csv": table,
            "sweep.png": picture(90, 60),
            "sweep.json": json.dumps(
                {"kind": "model", "swept": [], "jobs": [{"number": n} for n in range(6)]}
            ),
        },
        description="Sweep: model_config=quick,default_model model_config.l2=0.1,1,10",
    )
    for number, (l2, entry) in enumerate(values):
        good = number < 5
        right = round(0.9 - 0.01 * number, 4)
        job = recorder.run(
            "Train a model",
            "deriva-ml-run",
            f"model_config={entry}",
            f"model_config.l2={l2}",
            metrics=[{"step": step, "accuracy": right * step / 9} for step in range(10)] if good else (),
            status=Status.uploaded if good else Status.failed,
            reason="" if good else "ValueError: no good",
            datasets=[corpus.catalog.lookup_dataset(corpus.digits)],
            choices={"model_config": entry},
            parameters={"l2": l2, "seed": 7},
            seconds=0.5 + number,
        )
        corpus.catalog.nest(corpus.sweep, job, number)
        corpus.jobs.append(job)


def _failed(recorder: _Recorder) -> RID:
    root = recorder.catalog.project.root
    error = new_output(
        "error",
        ename="FileNotFoundError",
        evalue=f"{root}/data/gone.csv",
        traceback=[f'\x1b[31mFile "{root}/src/models/digits.py", line 3', "FileNotFoundError"],
    )
    cells = [new_code_cell("open(path)", id="a", execution_count=1, outputs=[error])]
    return recorder.run(
        "My Analysis",
        "deriva-ml-run-notebook",
        "notebooks/my_analysis.ipynb",
        files={"my_analysis.ipynb": str(writes(new_notebook(cells=cells)))},
        status=Status.failed,
        reason=f"FileNotFoundError: {root}/data/gone.csv (cell 1 of {root}/notebooks/my_analysis.ipynb)",
        parameters={"top_k": 2, "show_errors": True},
    )


def _imported(folder: Path, catalog: EmbeddedCatalog) -> RID:
    root = folder / "home-of-bob" / "elsewhere"
    other = EmbeddedCatalog(Project(root)) if (commit := _repository(root)) else None
    assert other
    rid = _Recorder(other, commit).run(
        "Elsewhere",
        files={"shared.txt": "from another project\n"},
        metrics=[{"accuracy": 0.5}],
        parameters={"l2": 3.0},
    )
    export(other, None, folder / "records.zip")
    other.close()
    take_in(catalog, folder / "records.zip")
    return rid


def _hostile(recorder: _Recorder) -> RID:
    texts = hostile.TEXTS
    return recorder.run(
        f"<script>{hostile.DEED}</script>",
        "deriva-ml-run-notebook",
        "notebooks/<img src=x onerror=window.pwned=1>.ipynb",
        f"assets={hostile.NAME}",
        files=hostile.files(),
        metrics=[
            {"step": step} | {text: number + step for number, text in enumerate(texts)} for step in range(3)
        ],
        status=Status.failed,
        reason=f"{hostile.NAME}: <script>{hostile.DEED}</script>",
        url=f"javascript:{hostile.DEED}//",
        description=hostile.MARKDOWN,
        choices={text: f"<b>{text}</b>" for text in texts},
        parameters={text: texts[number - 1] for number, text in enumerate(texts)} | {"own_token": TOKEN},
        given={hostile.NAME: hostile.NAME},
    )
