"""Optimizes: what a sweeper that chooses values is told, what it remembers of earlier trials, which job was the best."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

from deriva_ml.config.quoting import quoted
from deriva_ml.configuration_file import CONFIGURATION, read_configuration
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.sweep.engines import LOCAL, OPTUNA, SLURM, Engine
from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import Job, Plan, Swept
from deriva_ml.untrusted import DAMAGED

DIRECTIONS = ("minimize", "maximize")

STUDY = "sweep"
"""The name of a study in its storage, which holds no other."""


def see_optimizable(engine: Engine, objective: str, direction: str) -> str:
    """See that a sweeper that chooses values is told what they are for; return ``minimize`` or ``maximize``.

    Raises:
        DerivaMLRequestError: it is not, or in another way than sweeps go.
    """
    said = engine.search.get("direction") if engine.sweeper == OPTUNA else None
    if engine.sweeper and not objective:
        raise DerivaMLRequestError(
            f"hydra/sweeper={engine.sweeper} looks for the best value of a metric: name it with --objective METRIC"
        )
    if engine.sweeper != OPTUNA:
        return direction or DIRECTIONS[0]
    if isinstance(said, list):
        raise DerivaMLRequestError(
            "hydra.sweeper.direction names several: a sweep goes by one metric, with --direction minimize or maximize"
        )
    if engine.search.get("storage") is not None:
        raise DerivaMLRequestError(
            "hydra.sweeper.storage: the trials are recorded in the catalog, and --resume RID goes on with them: leave it out"
        )
    if direction and engine.is_set("hydra.sweeper.direction") and said != direction:
        raise DerivaMLRequestError(
            f"--direction {direction} and hydra.sweeper.direction={said} contradict each other: leave one out"
        )
    return direction or str(said or DIRECTIONS[0])


def names_of(plan: Plan) -> list[str]:
    """Return the name by which a sweeper knows each thing that is swept: plain, and each once."""
    names: list[str] = []
    for one in plan.swept:
        name = re.sub(r"\W+", "_", one.key, flags=re.ASCII).strip("_") or "value"
        while name in names:
            name += "_"
        names.append(name)
    return names


def space_of(plan: Plan, engine: Engine) -> list[str]:
    """Return the overrides that tell a sweeper what there is to choose from.

    Of listed values it is given the places: so they reach a job as they were typed, whatever they are.
    """
    return [
        f"+{name}={_space(one, inclusive=engine.sweeper == OPTUNA)}"
        for name, one in zip(names_of(plan), plan.swept, strict=True)
    ]


def _space(one: Swept, inclusive: bool) -> str:
    if listed := listed_values(one):
        return f"choice({','.join(str(place) for place in range(len(listed)))})"
    item = _parsed(one)
    if item.is_range_sweep() and inclusive:  # Optuna's ranges hold their end; Hydra's do not
        values, step = list(item.sweep_string_iterator()), item.value().step
        first, last = (values[0], values[-1]) if step > 0 else (values[-1], values[0])
        return f"range({first},{last},{abs(step)})"
    return one.text


def text_of(one: Swept, value: str) -> str:
    """Return the text that a job has for what a sweeper chose."""
    return listed[int(value)] if (listed := listed_values(one)) else value


def listed_values(one: Swept) -> list[str]:
    """Return the values of a sweep that lists them, as texts for overrides or parameters; none of a range or interval."""
    from deriva_ml.config.compose import typed_values

    item = _parsed(one)
    if item.is_sweep_override() and not item.is_discrete_sweep():
        return []
    if item.is_range_sweep() and not item.value().shuffle:
        return []
    if item.is_sweep_override():
        item.value().shuffle = False  # each process is to have them in the same order
    if not one.parameter:
        return list(item.sweep_string_iterator()) if item.is_sweep_override() else [one.text]
    return typed_values(item)


def _parsed(one: Swept) -> Any:
    from deriva_ml.config.refusals import read

    [item] = read([f"{one.key.lstrip('+~') if not one.parameter else 'value'}={one.text}"])
    return item


def trials_at_once(engine: Engine) -> int:
    """Return how many trials a sweeper begins before it looks at what came of them."""
    if engine.sweeper != OPTUNA or engine.is_set("hydra.sweeper.n_jobs") or engine.elsewhere:
        return int(engine.search.get("n_jobs") or 1)
    return engine.side_by_side()


def words_of(plan: Plan, engine: Engine, made: int, trials: Path | None) -> list[str]:
    """Return the overrides that a sweeper needs beside those that were given.

    Args:
        made: how many trials there are.
        trials: the file with those that have a value, as ``write_trials`` writes it.
    """
    if engine.sweeper != OPTUNA:
        return []
    words: dict[str, Any] = {
        "direction": plan.direction or DIRECTIONS[0],
        "n_jobs": trials_at_once(engine),
        "max_failure_rate": "1.0",  # a job that failed is a trial that failed
    }
    if made:
        words["n_trials"] = max(0, int(engine.search["n_trials"]) - made)
        if isinstance(seed := (engine.search.get("sampler") or {}).get("seed"), int):
            words["sampler.seed"] = seed + made  # or the same points would be tried again
    if trials:
        words["study_name"] = STUDY
        words["storage"] = f"{{_target_:{__name__}.remembered,path:{quoted(str(trials))}}}"
    return [f"hydra.sweeper.{name}={value}" for name, value in words.items()]


def all_made(engine: Engine, made: int) -> bool:
    """Whether a sweeper has made all the trials that it was to make."""
    return engine.sweeper == OPTUNA and made >= int(engine.search["n_trials"])


def recorded_trials(project: Project, plan: Plan) -> Iterator[tuple[Job, float]]:
    """Yield the trials of the sweep that this one goes on with, as far as their records tell, with what they came to."""
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.catalog.criteria import Criteria

    if not plan.done:
        return
    with closing(open_local(project)) as catalog:
        for number, rid in plan.done.items():
            metrics = [
                one.summary.metrics.get(plan.objective) for one in catalog.results(Criteria(rids=[rid]))
            ]
            for file in catalog.assets_of(rid):
                if file.filename == CONFIGURATION and metrics and metrics[0]:
                    with suppress(OSError, *DAMAGED):
                        argv = read_configuration(catalog.objects.path(file.md5))["argv"]
                        yield _job_of(int(number), argv), float(metrics[0].last)


def _job_of(number: int, argv: Sequence[str]) -> Job:
    given = [(argv[place + 1], argv[place + 2]) for place, word in enumerate(argv[:-2]) if word == "-p"]
    return Job(number, tuple(word for word in argv if "=" in word), tuple(given))


def trials_of(sweep: SweepFolder) -> Iterator[tuple[Job, float]]:
    """Yield the trials of a sweep that have a value, with it."""
    for folder in sweep.jobs():
        if (ended := folder.ended()) and ended.objective is not None and (job := folder.job()):
            yield job, ended.objective


def write_trials(sweep: SweepFolder, plan: Plan, engine: Engine) -> Path | None:
    """Write down what trials came to, for ``remembered``; None if there are none."""
    found = []
    for job, objective in trials_of(sweep):
        values = plan.values(job)
        if all(one.key in values for one in plan.swept):
            found.append(([_choice_of(one, values[one.key]) for one in plan.swept], objective))
    said = {"direction": plan.direction or DIRECTIONS[0], "space": space_of(plan, engine), "trials": found}
    path = sweep.path / "trials.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    return path if found else None


def _choice_of(one: Swept, text: str) -> str:
    """Return what a sweeper chose for a job that has this text."""
    listed = listed_values(one)
    return str(listed.index(text)) if text in listed else text


def remembered(path: str) -> Any:
    """Return a storage of Optuna's, in memory, that holds recorded trials; Hydra calls it for the sweeper."""
    import optuna
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    said = json.loads(Path(path).read_text())
    distributions, _ = create_params_from_overrides(said["space"])
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=STUDY, direction=said["direction"])
    for texts, objective in said["trials"]:
        params = {
            name: _typed(distribution, text)
            for (name, distribution), text in zip(distributions.items(), texts, strict=True)
        }
        trial = optuna.trial.create_trial(params=params, distributions=distributions, value=objective)
        study.add_trial(trial)
    return storage


def _typed(distribution: Any, text: str) -> Any:
    if choices := getattr(distribution, "choices", None):
        return next(one for one in choices if str(one) == text)
    value = float(text)
    return int(value) if type(distribution).__name__.startswith("Int") else value


def best(direction: str, values: Mapping[int, float | None]) -> int | None:
    """Return the first job with the best value of the metric that was asked for; none if no job has a finite one."""
    sign = -1 if direction == "maximize" else 1
    signed = {number: sign * one for number, one in values.items() if one is not None and isfinite(one)}
    return min(signed, key=lambda number: (signed[number], number), default=None)


@contextmanager
def quiet(engine: Engine) -> Iterator[None]:
    """Let sweepers and launchers not say on their own what the runner says of the jobs."""
    for name, used in (("optuna", engine.sweeper == OPTUNA), ("submitit", engine.launcher in {LOCAL, SLURM})):
        if used:
            import_module(name)  # which sets its level anew
    loggers = [logging.getLogger(name) for name in ("hydra_plugins", "optuna", "submitit")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
