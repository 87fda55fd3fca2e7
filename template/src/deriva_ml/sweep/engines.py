"""Which of Hydra's launchers and sweepers runs a sweep: what its overrides name, whether it can, how it is set."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError

BASIC, JOBLIB, LOCAL, SLURM, RAY = "basic", "joblib", "submitit_local", "submitit_slurm", "ray"
"""Hydra's launchers: one job after the other here, on this machine's cores, or on a cluster."""

OPTUNA = "optuna"
"""The sweeper that chooses values by what came of others."""

PLUGINS = {
    JOBLIB: ("parallel", "hydra_joblib_launcher", "joblib_launcher.JoblibLauncher"),
    LOCAL: ("slurm", "hydra_submitit_launcher", "submitit_launcher.LocalLauncher"),
    SLURM: ("slurm", "hydra_submitit_launcher", "submitit_launcher.SlurmLauncher"),
    RAY: ("ray", "hydra_ray_launcher", "ray_launcher.RayLauncher"),
    OPTUNA: ("optuna", "hydra_optuna_sweeper", "optuna_sweeper.OptunaSweeper"),
}
"""The extra of the project that installs each, the package that it is, and its class there."""

KEPT = 1000
"""Jobs that a launcher of other machines is handed at once: what a scheduler takes in one array."""

AHEAD = 32
"""Jobs for each that runs, that one of this machine is handed at once: Hydra keeps what it returns of each."""

YEAR = 365 * 24 * 60
"""In minutes."""


@dataclass(frozen=True)
class Engine:
    """A launcher and a sweeper, with their settings.

    Attributes:
        launcher: one of those above, or the class that an entry of the project's names.
        sweeper: ``OPTUNA``, or such a class; empty for the sweep's own, which runs the jobs of a plan.
        settings: the launcher's, as Hydra composed them.
        search: the sweeper's.
        words: the overrides that they come of.
    """

    launcher: str = BASIC
    sweeper: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    @property
    def elsewhere(self) -> bool:
        """Whether jobs may run on other machines."""
        return not (self.launcher in {BASIC, JOBLIB, LOCAL} or self._is_own_ray)

    @property
    def outlives(self) -> bool:
        """Whether jobs go on when the process that submitted them is gone."""
        return self.launcher not in {BASIC, JOBLIB, RAY}

    @property
    def is_parallel(self) -> bool:
        """Whether jobs run at the same time."""
        return self.launcher != BASIC

    def side_by_side(self, jobs: int = sys.maxsize) -> int:
        """Return how many of so many jobs this machine runs at the same time; 1 where they run elsewhere."""
        if self.launcher == JOBLIB:
            wanted = int(self.settings.get("n_jobs") or 1)
            most = wanted if wanted > 0 else usable_cpus() + 1 + wanted
        elif self.launcher == LOCAL:  # it knows no limit of its own
            most = usable_cpus() // int(self.settings.get("cpus_per_task") or 1)
        elif self._is_own_ray:
            most = int(int(self._ray("init").get("num_cpus") or usable_cpus()) / self._ray_cpus)
        else:
            most = 1
        return max(1, min(most, jobs))

    def at_once(self) -> int:
        """Return how many jobs the launcher is to be handed at once."""
        if self.launcher in {BASIC, LOCAL}:
            return self.side_by_side()
        return KEPT if self.elsewhere else AHEAD * self.side_by_side()

    def turns(self, jobs: int) -> int:
        """Return how many processes take one of so many jobs after the other; 0 if the launcher gives out each."""
        if self.launcher == BASIC:
            return 1
        set_so = self.settings.get("batch_size"), self.settings.get("timeout")  # which are meant of a job
        return self.side_by_side(jobs) if self.launcher == JOBLIB and set_so == ("auto", None) else 0

    def cpus_of_job(self, jobs: int) -> int:
        """Return how many cores each of so many jobs may compute with; 0 if that is for itself to see."""
        if self.launcher == SLURM:
            return int(self.settings.get("cpus_per_task") or 1)
        if self.launcher == RAY:
            return max(1, int(self._ray_cpus))
        side_by_side = self.side_by_side(jobs)
        return max(1, usable_cpus() // side_by_side) if side_by_side > 1 else 0

    def counts(self) -> Iterator[tuple[str, Any]]:
        """Yield the settings that say how many jobs there are, and how many of what each has."""
        for name in ("n_jobs", "cpus_per_task", "timeout_min", "array_parallelism"):
            value = self.settings.get(name)
            if not (
                self.launcher == JOBLIB and isinstance(value, int) and value < 0
            ):  # but for so many cores
                yield f"hydra.launcher.{name}", value
        for name in ("n_trials", "n_jobs"):
            yield f"hydra.sweeper.{name}", self.search.get(name)

    @property
    def _is_own_ray(self) -> bool:
        """Whether Ray is started for the sweep, on this machine; otherwise it is a cluster that runs."""
        return self.launcher == RAY and self._ray("init").get("address") in {None, "local"}

    @property
    def _ray_cpus(self) -> float:
        return float(self._ray("remote").get("num_cpus") or 1)

    def _ray(self, part: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.settings.get("ray") or {}).get(part) or {}
        return found

    def is_set(self, key: str) -> bool:
        """Whether an override sets this, such as ``hydra.launcher.timeout_min``."""
        return any(word.lstrip("+").startswith(f"{key}=") for word in self.words)


def usable_cpus() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engine_of(words: Sequence[str]) -> Engine:
    """Return the engine that overrides name; the configurations of the project have been imported.

    Raises:
        DerivaMLRequestError: it is not installed, or Hydra knows none of the name, or no such setting.
    """
    if not words:
        return Engine()
    from deriva_ml.config.compose import compose_hydra
    from deriva_ml.config.refusals import read, shorten

    for item in read(words):
        if item.key_or_group.startswith("hydra.sweeper.params"):
            raise DerivaMLRequestError(
                f"{shorten(item.input_line)}: what is swept is given by itself, as model_config.NAME=VALUES or with"
                " --sweep NAME=VALUES"
            )
        if item.is_sweep_override():
            raise DerivaMLRequestError(
                f"{shorten(item.input_line)}: a sweep has one launcher and one sweeper, and one value of each setting"
            )
    try:
        node = compose_hydra(words)
    except DerivaMLRequestError as error:
        for name in re.findall(r"hydra/(?:launcher|sweeper)[/=](\w+)", f"{' '.join(words)} {error}"):
            _see_installed(name, error)
        if found := re.search(r"Could not find '(hydra/\w+)/(\w+)'", str(error)):
            names = str(error).partition("options in ")[2].partition(":")[2]
            raise DerivaMLRequestError(
                f"{found[1]}={found[2]}: there is none of that name; there are: {', '.join(names.split())}"
            ) from error
        raise
    launcher, sweeper = node["launcher"], node["sweeper"]
    engine = Engine(_kind(launcher), _kind(sweeper), launcher, sweeper, tuple(words))
    for name in (engine.launcher, engine.sweeper):
        _see_installed(name)
    return engine


def _kind(node: Mapping[str, Any]) -> str:
    target = str(node.get("_target_", ""))
    if target.startswith("hydra._internal.core_plugins.basic_"):
        return BASIC if target.endswith("BasicLauncher") else ""
    known = {f"hydra_plugins.{package}.{place}": name for name, (_, package, place) in PLUGINS.items()}
    return known.get(target, target)


def _see_installed(name: str, cause: Exception | None = None) -> None:
    if name not in PLUGINS:
        return
    extra, package, _ = PLUGINS[name]
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.{package}") is None:
        part = "sweeper" if name == OPTUNA else "launcher"
        raise DerivaMLRequestError(
            f"hydra/{part}={name} is not installed: uv sync --extra {extra} installs it"
        ) from cause


def see_usable(engine: Engine) -> None:
    """See that jobs can be run so, before anything starts.

    Raises:
        DerivaMLRequestError: they cannot; the line says how to mend it.
    """
    said = engine.settings
    for name, value in engine.counts():
        if isinstance(value, int) and value < 1:
            raise DerivaMLRequestError(f"{name}={value}: no job could run: give 1 or more")
    if engine.launcher == SLURM and not (shutil.which("srun") and shutil.which("sbatch")):
        raise DerivaMLRequestError(
            "hydra/launcher=submitit_slurm needs Slurm's commands, and there is no sbatch and srun here: run it on a"
            " machine that submits jobs, or on this one's cores with hydra/launcher=joblib"
        )
    for name in ("nodes", "tasks_per_node"):
        if engine.launcher in {LOCAL, SLURM} and int(said.get(name) or 1) > 1:
            raise DerivaMLRequestError(
                f"hydra.launcher.{name}={said[name]}: a job is one process, which would run several times: leave it out"
            )
    limit, before = 60 * int(said.get("timeout_min") or 60), int(said.get("signal_delay_s") or 0)
    if engine.launcher == LOCAL:
        before = 30
    if engine.launcher in {LOCAL, SLURM} and limit <= before:
        raise DerivaMLRequestError(
            f"hydra.launcher.timeout_min={said['timeout_min']}: jobs are told {before} s before that time is over to"
            " stop, which is at once: give them more"
        )


@contextmanager
def prepared(engine: Engine, jobs: int, environment: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Have what the launcher needs, until all of its jobs have ended; yields further overrides for it.

    Args:
        jobs: how many there are, as far as that is known.
        environment: variables that this process, and with it the jobs, are to have.
    """
    words: list[str] = []
    ends: list[Callable[[], Any]] = []
    if engine.launcher == JOBLIB:
        import multiprocessing.resource_tracker as tracker

        from joblib.externals.loky.backend import resource_tracker as own_tracker

        # Started later, they would let in the signals that a sweep keeps from processes that are started for it.
        tracker.ensure_running()
        own_tracker.ensure_running()
    if engine.launcher == LOCAL:
        from submitit.local.local import LocalJob

        LocalJob._results_timeout_s = 1  # a file on this machine is there, or never will be: not 15 s
    if engine.launcher == SLURM:
        from deriva_ml.sweep.queue import watch_queue

        watch_queue()
    if engine.launcher == LOCAL and not engine.is_set("hydra.launcher.timeout_min"):
        if engine.settings.get("timeout_min") == 60:  # its own default, which nobody expects
            words.append(f"hydra.launcher.timeout_min={YEAR}")
    if engine.launcher == RAY:
        ends.append(_end_ray)
        if engine._is_own_ray:
            # There are sockets in it, whose paths may have some hundred bytes.
            short = None if len(tempfile.gettempdir()) < 30 or os.name != "posix" else "/tmp"
            folder = Path(tempfile.mkdtemp(prefix="ray-", dir=short))
            environment = {**_ray_environment(folder), **environment}
            ends.append(lambda: shutil.rmtree(folder, ignore_errors=True))
            words += _ray_words(engine, jobs, folder)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield tuple(words)
    finally:
        for end in ends:
            end()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _ray_environment(folder: Path) -> dict[str, str]:
    """Return variables with which Ray sends nothing home, listens on this machine alone, and to this sweep alone."""
    # Its own token would be one file of the user's for all time.
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: 127.0.0.1
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _ray_words(engine: Engine, jobs: int, folder: Path) -> list[str]:
    init: dict[str, Any] = {
        "address": "local",  # not one that happens to run here
        "num_cpus": max(1, round(engine.side_by_side(jobs) * engine._ray_cpus)),
        "include_dashboard": "false",
        "log_to_driver": "false",
        "logging_level": "error",
        "_temp_dir": folder,
    }
    wanted: dict[str, dict[str, Any]] = {
        "init": init,
        "remote": {"max_retries": 0},
    }  # which jobs run again is for us to say
    return [
        f"++hydra.launcher.ray.{part}.{name}={value}"
        for part, values in wanted.items()
        for name, value in values.items()
        if engine._ray(part).get(name) is None
    ]


def _end_ray() -> None:
    if ray := sys.modules.get("ray"):
        ray.shutdown()
