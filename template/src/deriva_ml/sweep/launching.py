"""Hands a sweep's jobs to one of Hydra's launchers, which runs them here, on more cores or on other machines.

Hydra composes nothing of the project's: each job composes its own configuration, as a run alone does. What Hydra is given
is a number for each job, or, where one of its sweepers chooses the values, a name for each thing that is swept.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from hydra_zen import launch
from omegaconf import open_dict

from deriva_ml.config.quoting import quoted
from deriva_ml.sweep.plan import Plan
from deriva_ml.sweep.study import names_of, text_of

JOB = "+job"
"""The override by which a launcher is told a job of a plan."""

PLANNED = "planned"
"""The name of our sweeper among Hydra's."""

TARGET = "hydra_plugins.deriva_ml.PlannedSweeper"
"""What its entry names: Hydra takes plugins from that package alone, and looks for the class in its own register."""

QUIET = (
    "hydra.output_subdir=null",
    "hydra.sweep.subdir=.",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""Hydra leaves no files of its own, and says nothing: what there is to say, the runner says."""


class _Noting(ConfigLoader):
    """A job's configuration is the sweep's, with its overrides noted: composing anew costs 36 ms a job."""

    def load_sweep_config(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        config = copy.deepcopy(master_config)
        with open_dict(config):
            config.hydra.overrides.task = list(sweep_overrides)
        return config

    def load_configuration(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    get_sources = get_search_path = list_groups = get_group_options = load_configuration
    compute_defaults_list = ensure_main_config_source_available = load_configuration


class PlannedSweeper(Sweeper):
    """Launches the jobs of a plan as they are, so many at a time that what Hydra returns of them stays small.

    Where processes take turns, each of them is launched once, with all jobs: Hydra's part of a job costs 20 ms, and with
    joblib, which looks for all of its plugins in each, 100.
    """

    def __init__(self, at_a_time: int, taking_turns: int) -> None:
        self._at_a_time, self._taking_turns = at_a_time, taking_turns

    def setup(self, *, hydra_context: HydraContext, task_function: Any, config: Any) -> None:
        context = HydraContext(config_loader=_Noting(), callbacks=hydra_context.callbacks)
        self._launcher = Plugins.instance().instantiate_launcher(context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Launch the jobs with these numbers."""
        numbers = arguments[0].removeprefix(f"{JOB}=").split(",")
        jobs = [arguments] * self._taking_turns or [[f"{JOB}={number}"] for number in numbers]
        for first in range(0, len(jobs), self._at_a_time):
            for result in self._launcher.launch(jobs[first : first + self._at_a_time], initial_job_idx=first):
                _ = result.return_value  # which raises what the task did, and should not have


def launch_planned(
    task: Callable[[Any], Any],
    numbers: Sequence[int],
    words: Sequence[str],
    at_a_time: int,
    taking_turns: int,
    folder: Path,
) -> None:
    """Run the jobs of a plan that have these numbers; returns when the launcher does.

    Args:
        task: is called for each job, in whichever process, and asks ``numbers_of_jobs`` which.
        words: the overrides that choose and set the launcher.
        folder: for files of the launcher's.
        at_a_time: how many jobs the launcher is handed at once.
        taking_turns: how many processes are to be launched that take one job after the other; 0 for one a job.
    """
    Plugins.instance().class_name_to_class[TARGET] = PlannedSweeper
    node = {"_target_": TARGET, "at_a_time": at_a_time, "taking_turns": taking_turns}
    ConfigStore.instance().store(group="hydra/sweeper", name=PLANNED, node=node, provider="deriva_ml")
    swept = f"{JOB}={','.join(map(str, numbers))}"
    _launch(task, [swept, *words, f"hydra/sweeper={PLANNED}"], folder)


def launch_swept(
    task: Callable[[Any], Any], space: Sequence[str], words: Sequence[str], folder: Path
) -> None:
    """Let a sweeper make and run jobs of what there is to choose from; as ``launch_planned``, for ``trial_of_job``."""
    _launch(task, [*space, *words], folder)


def _launch(task: Callable[[Any], Any], words: list[str], folder: Path) -> None:

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "provider=hydra.searchpath .* is not available", UserWarning)
        launch(
            {},
            task,
            [*words, *QUIET, f"hydra.sweep.dir={quoted(str(folder))}"],
            multirun=True,
            version_base="1.3",
            config_name="deriva_ml_sweep",
            job_name="sweep",
            with_log_configuration=False,
        )


@contextmanager
def aside() -> Iterator[None]:
    """Put aside what Hydra holds for the sweep, so that a job can compose a configuration of its own."""
    hydra = GlobalHydra.instance()
    held, hydra.hydra = hydra.hydra, None
    try:
        yield
    finally:
        hydra.hydra = held


def numbers_of_jobs() -> list[int]:
    """Return the numbers of the jobs that the launcher runs here, as far as no other process takes them."""
    for word in HydraConfig.get().overrides.task:
        key, _, value = word.partition("=")
        if key == JOB:
            return [int(number) for number in value.split(",")]
    return [int(HydraConfig.get().job.num)]


def trial_of_job(plan: Plan) -> dict[int, str]:
    """Return what a sweeper has chosen for the job that runs here: a text for each thing that is swept, by its place."""
    chosen = dict(word.partition("=")[::2] for word in HydraConfig.get().overrides.task)
    return {
        place: text_of(one, chosen[f"+{name}"])
        for place, (name, one) in enumerate(zip(names_of(plan), plan.swept, strict=True))
        if f"+{name}" in chosen
    }
