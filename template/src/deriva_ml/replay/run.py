"""Runs what a record ran once more, with today's runner and the record's code, environment and inputs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deriva_ml
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.configuration_file import MODEL_COMMAND, NOTEBOOK_COMMAND
from deriva_ml.definitions import OPEN_STATUSES, RID, Asset, ExecutionRecord, MLAsset, by_age
from deriva_ml.execution.environment import VARIABLES
from deriva_ml.execution.executed_sources import NAME as EXECUTED_SOURCES
from deriva_ml.notebook.document import EXPECTS_ERROR
from deriva_ml.project import Project, write_atomically
from deriva_ml.redaction import HIDDEN
from deriva_ml.replay import audit
from deriva_ml.replay.plan import Kind, Plan
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.signals import signals_ignored
from deriva_ml.state_folder import VARIABLE
from deriva_ml.untrusted import DAMAGED, read_json
from deriva_ml.working_tree import WorkingTree

GRACE_SECONDS = 20.0
"""How long a run that was told to stop may take over recording its end."""

_PLACE = re.compile(
    "CI$|(CI|GITHUB|GITLAB|SLURM|PBS|LSB)_|(CUDA|HIP|ROCR)_VISIBLE_DEVICES$|CUDA_DEVICE_ORDER$"
)
"""Recorded variables that say where a run was, and not how it was to go; and some that would belong to this process."""

_OWN = re.compile("PYTHON|JPY_|VIRTUAL_ENV|CONDA_|UV_|DERIVA_ML_|IPYTHON")
"""Variables of this process, its environment and its command, and not of what it starts."""


@dataclass(frozen=True)
class Repeated:
    """A run that repeated a record.

    Attributes:
        project: the working tree's, with the scratch folder for its records.
        record: of the execution.
        executions: all that the notebook started.
        outputs: every file that it made.
        seconds: that all of it took, with the start of its process.
        log: what its process wrote.
        audit: what it opened, if that was noted.
    """

    project: Project
    record: ExecutionRecord
    executions: Sequence[RID]
    outputs: Sequence[Asset]
    seconds: float
    log: Path
    audit: Path

    @property
    def rid(self) -> RID:
        """The execution's, in the scratch catalog."""
        return self.record.rid


def run(
    plan: Plan,
    scratch: Project,
    python: Path,
    folder: Path,
    *,
    place: int = -1,
    more: Mapping[str, str] | None = None,
) -> Repeated:
    """Run a record's code in its working tree, and wait for its end.

    Told to stop, it sees the run ended.

    Args:
        scratch: the working tree's project, with the folder for records.
        python: the interpreter.
        folder: for files of this run, in which nothing is yet.
        place: which of the executions that a notebook starts is the one that is repeated.
        more: environment variables.

    Raises:
        CouldNotRun: no execution began, or the run was killed.
    """
    folder.mkdir(parents=True)
    (runner := folder / "runner").mkdir()
    (runner / "deriva_ml").symlink_to(Path(deriva_ml.__file__).parent)
    with closing(open_local(scratch)) as catalog:
        before = {record.rid for record in catalog.select_executions(Criteria())}
    log, begun = folder / "output.txt", time.monotonic()
    notes = folder / "audit.jsonl"
    variables = {
        **_variables(plan, scratch, python, [runner, scratch.source]),
        **audit.install(runner, notes, [top_of(scratch.root), scratch.state, folder.parent]),
        **(more or {}),
    }
    ended = _wait(_command(plan, scratch, python, folder), scratch.root, variables, log)
    seconds = time.monotonic() - begun
    with closing(open_local(scratch)) as catalog:
        made = [record for record in catalog.select_executions(Criteria()) if record.rid not in before]
        made.sort(key=by_age)
        if ended < 0 or any(record.status in OPEN_STATUSES for record in made):
            how = f"by {signal.Signals(-ended).name}" if ended < 0 else "before it had recorded its end"
            raise CouldNotRun(f"the run was ended {how} (out of memory, perhaps)")
        if not made:
            raise CouldNotRun(f"it did not begin: {_last_words(log)}")
        record = made[place if -len(made) <= place < len(made) else -1]
        made_rids = [one.rid for one in made]
        return Repeated(scratch, record, made_rids, catalog.assets_of(record.rid), seconds, log, notes)


def _command(plan: Plan, scratch: Project, python: Path, folder: Path) -> list[str]:
    """Return the command line; where it names a descriptor, ``_wait`` puts that in."""
    code = code_of(plan, scratch.root)
    if plan.kind is Kind.script:
        return [str(python), str(code), *plan.options]
    if plan.kind is Kind.interactive:
        write_atomically(code, json.dumps(_as_executed(plan.sources)))
    words = [*plan.options, *plan.overrides]
    if plan.kind is Kind.model:
        return [str(python), "-P", "-m", "deriva_ml.replay.child", MODEL_COMMAND, _DESCRIPTOR, *words]
    flags = dict(plan.flags)
    if values := {name: value for name, value in plan.parameters.items() if name not in flags}:
        write_atomically(folder / "parameters.json", json.dumps(values))
        words += ["--file", str(folder / "parameters.json")]
    for name, value in plan.flags:
        words += ["-p", name, value]
    start = [str(python), "-P", "-m", "deriva_ml.replay.child", NOTEBOOK_COMMAND, _DESCRIPTOR]
    return [*start, os.path.relpath(code, scratch.root), *words]


def code_of(plan: Plan, root: Path) -> Path:
    """Return the file that is run, in a working tree in which the project is in ``root``."""
    if plan.kind is Kind.interactive and not plan.path.endswith(".ipynb"):
        return root / EXECUTED_SOURCES
    return top_of(root) / plan.path


def top_of(root: Path) -> Path:
    """Return the top of the working tree that a project is in."""
    tree = WorkingTree.around(root)
    return tree.top if tree else root.resolve()


_DESCRIPTOR = "<descriptor>"


def _as_executed(sources: bytes) -> dict[str, object]:
    """Return a notebook of executed sources in which every cell runs, as they did, whatever became of those before."""
    try:
        document: dict[str, object] = json.loads(sources)
        for cell in document["cells"]:  # type: ignore[attr-defined]
            if cell["cell_type"] == "code":
                cell["metadata"]["tags"] = [EXPECTS_ERROR]
    except (ValueError, LookupError, TypeError) as error:
        raise CouldNotRun(f"executed-sources.ipynb of the record is damaged: {error}") from error
    return document


def _variables(plan: Plan, scratch: Project, python: Path, path: Sequence[Path]) -> dict[str, str]:
    """Return the environment variables of a run: those of the record, as far as they change what is done."""
    here = {name: value for name, value in os.environ.items() if not _OWN.match(name) or "CACHE" in name}
    same = {name for name in VARIABLES if not _PLACE.match(name)}
    variables = {name: value for name, value in here.items() if name not in same}
    told = {name: value for name, value in plan.variables.items() if HIDDEN not in value}
    if told.get("PYTHONHASHSEED") == "random":
        del told["PYTHONHASHSEED"]
    return {
        **variables,
        "PYTHONHASHSEED": "0",
        **{name: value for name, value in told.items() if name in same or name == "XLA_FLAGS"},
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
        VARIABLE: str(scratch.state),
        "DERIVA_ML_ALLOW_DIRTY": "true",  # with the recorded patch, and files of the person's own
    }


def _wait(command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path) -> int:
    """Start a process, wait for its end, and return its exit status; see all of its group ended."""
    reading, writing = os.pipe()
    try:
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [str(reading) if word == _DESCRIPTOR else word for word in command],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which sees to that one
                pass_fds=[reading],
            )
        try:
            return process.wait()
        finally:
            with signals_ignored():
                if process.poll() is None:
                    process.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(GRACE_SECONDS)
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    finally:
        os.close(reading)
        os.close(writing)


def said_by(repeated: Repeated, name: str) -> dict[str, Any]:
    """Return what a file of JSON says that a run recorded about itself; nothing where it did not come to that."""
    with closing(open_local(repeated.project)) as catalog:
        for asset in repeated.outputs:
            if asset.filename == name and asset.table == MLAsset.execution_metadata:
                with suppress(OSError, *DAMAGED):
                    return dict(read_json(catalog.objects.path(asset.md5)))
    return {}


def _last_words(log: Path) -> str:
    """Return why a command began nothing, as it said it."""
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]
