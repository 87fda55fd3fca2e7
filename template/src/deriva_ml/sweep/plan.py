"""What a sweep is to run: plain data, kept in its folder and with its record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from deriva_ml.redaction import HIDDEN, redact_command, redact_override
from deriva_ml.untrusted import well_formed

Given = tuple[tuple[str, str], ...]
"""Names and texts of parameters."""

NOTEBOOK, MODEL = "notebook", "model"
"""The kinds of sweeps."""


@dataclass(frozen=True)
class Swept:
    """Something that has another value in each job.

    Attributes:
        key: an override's as Hydra has it, such as ``model_config.l2`` or ``+experiment``, or a parameter's name.
        text: the values as they were typed, such as ``0.1,0.2`` or ``interval(0,1)``.
        parameter: whether it is one of the notebook's parameters.
    """

    key: str
    text: str
    parameter: bool = False


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: its place, from 0.
        overrides: all that it is run with, Hydra's.
        given: name and text of each parameter that it is given, as after ``-p``.
    """

    number: int
    overrides: tuple[str, ...] = ()
    given: Given = ()


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        kind: ``NOTEBOOK`` or ``MODEL``.
        notebook: its path in the project, with ``/``; empty for a model.
        config_name: the configuration that a model's jobs compose.
        config_package: the folder in ``src`` with the project's configurations.
        base: overrides that all jobs have.
        given: parameters that all jobs are given, as texts.
        from_file: the same from a file, in JSON's types.
        swept: what differs between them.
        jobs: all of them; none where a sweeper makes them as it goes.
        engine: the overrides that choose and set Hydra's launcher and sweeper.
        objective: the metric that is to be optimized, or by which the best job is told.
        direction: ``minimize`` or ``maximize``.
        description: Markdown, for the sweep's own record.
        workflow: name, type and description of the jobs' workflow, as the configuration has them.
        deriva_ml: which catalog the jobs are for: fields of a ``DerivaMLConfig``, but for credentials.
        dry_run: whether nothing is recorded.
        kernel: an installed one, that a notebook runs in.
        timeout: seconds that one cell may take.
        fail_fast: whether a job that fails ends the others.
        commit: that the sweep began at.
        resumes: the sweep that this one goes on with, by its RID in the project's own catalog.
        done: the executions of that one's jobs that ended well, by the job's number, as texts.
        command: the words that it was asked for with, without values of credentials.
    """

    kind: str
    notebook: str = ""
    config_name: str = ""
    config_package: str = "configs"
    base: tuple[str, ...] = ()
    given: Given = ()
    from_file: dict[str, Any] = field(default_factory=dict)
    swept: tuple[Swept, ...] = ()
    jobs: tuple[Job, ...] = ()
    engine: tuple[str, ...] = ()
    objective: str = ""
    direction: str = ""
    description: str = ""
    workflow: dict[str, Any] = field(default_factory=dict)
    deriva_ml: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    kernel: str | None = None
    timeout: int | None = None
    allow_dirty: bool = False
    fail_fast: bool = False
    commit: str = ""
    resumes: str = ""
    done: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()

    def label(self, job: Job) -> str:
        """Return what makes a job different from the others, such as ``assets=a alpha=0.1``, without credentials."""
        return shlex.join(redact_override(f"{key}={value}") for key, value in self.values(job).items())

    def values(self, job: Job) -> dict[str, str]:
        """Return the values, as texts, that a job has of what is swept, by key."""
        overrides = dict(_split(word) for word in job.overrides)
        given = dict(job.given)
        found = {one.key: (given if one.parameter else overrides).get(one.key) for one in self.swept}
        return {key: value for key, value in found.items() if value is not None}

    def trial(self, number: int, values: Mapping[int, str]) -> Job:
        """Return the job that a sweeper asks for.

        Args:
            values: a text for each of what is swept, by its place there.
        """
        overrides = [*self.base]
        given = [*self.given]
        for place, one in enumerate(self.swept):
            if one.parameter:
                given.append((one.key, values[place]))
            else:
                overrides.append(f"{one.key}={values[place]}")
        return Job(number, tuple(overrides), tuple(given))

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return asdict(self)

    def masked(self) -> Plan:
        """Return it as it may be recorded: without values of credentials."""
        swept = [
            replace(one, text=redact_override(f"{one.key}={one.text}").partition("=")[2])
            for one in self.swept
        ]
        jobs = [replace(job, overrides=_hidden(job.overrides), given=_told(job.given)) for job in self.jobs]
        return replace(
            self,
            base=_hidden(self.base),
            given=_told(self.given),
            swept=tuple(swept),
            jobs=tuple(jobs),
            engine=_hidden(self.engine),
        )

    @property
    def is_masked(self) -> bool:
        """Whether values of credentials are left out."""
        words = [*self.base, *self.engine, *(f"{name}={text}" for name, text in self.given)]
        words += [f"{one.key}={one.text}" for one in self.swept]
        return any(HIDDEN in word for word in words)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Plan:
        """Read it; it may be somebody else's.

        Raises:
            ValueError, TypeError, LookupError: it is not one.
        """
        said = said | {
            "swept": tuple(well_formed(Swept(**one)) for one in said["swept"]),
            "jobs": tuple(job_from_json(one) for one in said["jobs"]),
            "given": _pairs(said["given"]),
            **{name: tuple(said[name]) for name in ("base", "engine", "command")},
        }
        return well_formed(cls(**said))


def command_of(plan: Plan, job: Job) -> list[str]:
    """Return the command that runs a job alone, as it may be recorded: without the values of credentials."""
    dirty = ["--allow-dirty"] if plan.allow_dirty else []
    if plan.kind == MODEL:
        words = ["deriva-ml-run"]
        if plan.config_name != "deriva_model":
            words += ["--config-name", plan.config_name]
        if plan.config_package != "configs":
            words += ["--config-dir", f"src/{plan.config_package}"]
        return redact_command([*words, *dirty, *job.overrides])
    words = ["deriva-ml-run-notebook", plan.notebook]
    if plan.kernel:
        words += ["--kernel", plan.kernel]
    if plan.timeout:
        words += ["--timeout", str(plan.timeout)]
    given = [word for name, text in job.given for word in ("-p", name, text)]
    return redact_command([*words, *dirty, *given, *job.overrides])


def job_from_json(said: dict[str, Any]) -> Job:
    """Read a job; raises as ``Plan.from_json`` does."""
    return well_formed(Job(said["number"], tuple(map(str, said["overrides"])), _pairs(said["given"])))


def _pairs(said: Any) -> Given:
    return tuple((str(name), str(text)) for name, text in said)


def _hidden(overrides: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(redact_override, overrides))


def _told(given: Given) -> Given:
    return tuple((name, redact_override(f"{name}={text}").partition("=")[2]) for name, text in given)


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value
