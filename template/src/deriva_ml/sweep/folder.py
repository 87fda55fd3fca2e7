"""A sweep's folder, through which its processes tell each other what they do, on one machine or on several."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import deriva_ml.disk as disk
from deriva_ml.definitions import RID
from deriva_ml.process import Owner
from deriva_ml.project import DETACHED, Project, replacing, write_atomically
from deriva_ml.sweep.plan import Job, Plan, job_from_json
from deriva_ml.untrusted import DAMAGED, plain_name, read_json, well_formed

T = TypeVar("T")

ROOM = 4096
"""Bytes that a job's folder has in advance, in which its end can be written down though the disk is full."""


@dataclass(frozen=True)
class Begun:
    """A process has taken a job.

    Attributes:
        owner: the process.
        state: the state folder that its lock is in, and that it records into.
        at: seconds since the epoch, by its clock.
        launch: which launch of the engine it came with, from 1.
    """

    owner: Owner
    state: str
    at: float
    launch: int = 1


@dataclass(frozen=True)
class Ended:
    """A job has ended.

    Attributes:
        status: that its execution ended with; ``Failed`` where it was refused, and has none.
        executions: in the catalog that it recorded into.
        reason: for any but success.
        objective: the last value of the metric that is asked for.
        apart: whether its records are not in the sweep's catalog yet.
        warnings: lines for the person.
    """

    status: str
    executions: list[RID] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0
    objective: float | None = None
    apart: bool = False
    warnings: list[str] = field(default_factory=list)


class JobFolder:
    """What is known of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = int(path.name)

    @property
    def state(self) -> Path:
        """A state folder of the job's own, where it records apart."""
        return self.path / "state"

    @property
    def records(self) -> Path:
        """The archive of what it recorded apart."""
        return self.path / "records.zip"

    @property
    def alive(self) -> Path:
        """The file that its process touches again and again where it runs on another machine."""
        return self.path / "alive"

    def claim(self, begun: Begun) -> bool:
        """Take the job; False if another process has it. It is whole as soon as it is there, on shared drives too."""
        self.path.mkdir(parents=True, exist_ok=True)
        with disk.temporary(self.path, ".begun-") as held:
            held.write_text(json.dumps(asdict(begun)), encoding="utf-8")
            self._room.write_bytes(b" " * ROOM)
            try:
                os.link(held, self._begun)
            except FileExistsError:
                return False
        return True

    def release(self) -> None:
        """Let the job be taken again: the process that had it is gone."""
        with suppress(FileNotFoundError):
            os.replace(self._begun, self.path / f"begun-{time.time_ns()}.json")

    def begun(self) -> Begun | None:
        """Return who took the job."""

        def read(said: Any) -> Begun:
            begun = well_formed(Begun(**(said | {"owner": Owner(**said["owner"])})))
            return replace(begun, owner=well_formed(begun.owner))

        return _read(self._begun, read)

    def note_job(self, job: Job) -> None:
        """Write down what the job is, where a sweeper made it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "job.json", json.dumps(asdict(job)))

    def job(self) -> Job | None:
        """Return what the job is, where a sweeper made it."""
        return _read(self.path / "job.json", job_from_json)

    def end(self, ended: Ended) -> None:
        """Write down how it ended; that is all that the others need to know. Who has taken the job can on a full disk, too."""
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "ended.json"
        try:
            write_atomically(path, json.dumps(asdict(ended)))
        except OSError:
            text = json.dumps(asdict(replace(ended, reason=ended.reason[: ROOM // 8], warnings=[])))
            with self._room.open("r+b") as stream:
                stream.write(text.encode().ljust(ROOM))
            os.replace(self._room, path)

    def ended(self) -> Ended | None:
        """Return how it ended."""
        return _read(self.path / "ended.json", lambda said: well_formed(Ended(**said)))

    @property
    def _begun(self) -> Path:
        return self.path / "begun.json"

    @property
    def _room(self) -> Path:
        return self.path / ".room"


class SweepFolder:
    """The folder of a sweep that goes on, or whose jobs do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, project: Project, rid: RID) -> SweepFolder:
        """Return the folder of the sweep with this RID in the project's own catalog."""
        return cls(project.sweeps / plain_name(rid))

    @property
    def state(self) -> Path:
        """The state folder that it lies in: the submitting process's."""
        return self.path.parent.parent

    @property
    def lent(self) -> Path:
        """The project's catalog as it was when the sweep began, for jobs on other machines; not there for one without."""
        return self.path / "lent"

    @property
    def rid(self) -> RID:
        """The sweep's execution, by its RID in the project's own catalog; no RID for a dry run."""
        return self.path.name

    def make(self, plan: Plan) -> None:
        """Make the folder."""
        (self.path / "jobs").mkdir(parents=True, exist_ok=True)
        with replacing(self.path / "plan.json") as temporary:
            temporary.write_text(json.dumps(plan.to_json()), encoding="utf-8")

    def is_removed(self) -> bool:
        """Whether the sweep has ended, and its folder with it; a drive that does not answer says nothing of that."""
        try:
            (self.path / "plan.json").stat()
        except FileNotFoundError:
            return True
        except OSError:
            pass
        return False

    def plan(self) -> Plan | None:
        """Return what it is to run; None where there is no folder, or it is damaged."""
        return _read(self.path / "plan.json", Plan.from_json)

    def job(self, number: int) -> JobFolder:
        """Return the folder of a job, which may not be there yet."""
        return JobFolder(self.path / "jobs" / str(number))

    def jobs(self) -> list[JobFolder]:
        """Return the folders of the jobs that were made, in order."""
        with suppress(FileNotFoundError):
            names = (one.name for one in (self.path / "jobs").iterdir() if one.name.isdigit())
            return [self.job(number) for number in sorted(map(int, names))]
        return []

    def stop(self, reason: str) -> None:
        """Tell all jobs to stop, wherever they run; the first reason stays."""
        with suppress(FileExistsError), (self.path / "stop").open("x", encoding="utf-8") as stream:
            stream.write(reason)

    def stopped(self) -> str:
        """Return why the jobs are to stop; empty if they are not."""
        try:
            return (self.path / "stop").read_text(encoding="utf-8") or "stopped"
        except OSError:
            return ""

    def detach(self, on: bool = True) -> None:
        """Note that jobs may go on when the process that submitted them is gone, or that they do not any more."""
        if on:
            (self.path / DETACHED).touch()
        else:
            (self.path / DETACHED).unlink(missing_ok=True)

    def is_detached(self) -> bool:
        """Whether they may."""
        return (self.path / DETACHED).exists()


def _read(path: Path, make: Callable[[Any], T]) -> T | None:
    try:
        return make(read_json(path))
    except (OSError, *DAMAGED):
        return None
