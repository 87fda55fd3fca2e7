"""``deriva-ml-run``: run a model function and record it, or a sweep of them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import (
    CommandParser,
    add_overrides,
    add_run_flags,
    complete_bare_info,
    overrides_from_flags,
)
from deriva_ml.cli.command import FAILED, command
from deriva_ml.cli.configuration import show_configuration
from deriva_ml.cli.summary import print_summary, relative
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.terminal import print

if TYPE_CHECKING:
    from deriva_ml.execution.model_run import RunContext
    from deriva_ml.sweep.plan import Plan


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-run",
        usage="[options] [OVERRIDE ...]",
        description="Run a model, or a sweep of runs, and record each execution. The model is the function that"
        " model_config names; +experiment=NAME and +multirun=NAME choose an experiment or a sweep of the project's.",
        examples=[
            "deriva-ml-run",
            "deriva-ml-run assets=my_assets dry_run=true",
            "deriva-ml-run --multirun assets=default_asset,my_assets",
        ],
    )
    add_overrides(parser)
    how = parser.add_argument_group("execution")
    how.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run every combination of the values that overrides give as a=1,2",
    )
    add_run_flags(parser, how)
    how.add_argument("--config-name", metavar="NAME", help="what to compose (default: %(default)s)")
    parser.set_defaults(config_name="deriva_model")
    how.add_argument("-c", "--config-dir", type=Path, metavar="FOLDER", help="its folder in src: src/configs")
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, 1 for a run that failed, 2 for a wrong request, 130 for Ctrl-C."""
    args = parser().parse_intermixed_args(complete_bare_info(argv))
    project = Project.find()
    overrides = overrides_from_flags(args)
    for word in overrides:
        if word.endswith(".ipynb") and "=" not in word:
            raise DerivaMLRequestError(f"{word} is a notebook: uv run deriva-ml-run-notebook runs it")
    from deriva_ml.config.modules import find_configs

    folder = (args.config_dir or project.source / "configs").resolve()
    if folder.parent != project.source.resolve():
        raise DerivaMLRequestError(f"--config-dir {folder}: configurations are in {project.source}")
    find_configs(project, folder.name)
    if args.list_configs or args.cfg or args.info:
        show_configuration(args, lambda: (args.config_name, _one_job(overrides, args.multirun)))
        return 0
    from deriva_ml.execution.model_run import RunContext
    from deriva_ml.execution.recovery import recover_for_run

    recover_for_run(project)
    jobs, description = _jobs(overrides, args.multirun)
    context = RunContext(
        project, overrides=jobs[0], allow_dirty=args.allow_dirty, config_name=args.config_name
    )
    if description is None:
        return 0 if _run_one(context) else FAILED
    import deriva_ml.cli.sweep as sweep

    return sweep.run(project, _plan(context, jobs, description, argv))


def _one_job(overrides: list[str], swept: bool) -> list[str]:
    """Return the overrides of the one run whose configuration is to be shown.

    Raises:
        DerivaMLRequestError: they are those of several.
    """
    jobs, _ = _jobs(overrides, swept)
    if len(jobs) > 1:
        first = " ".join(shlex.quote(word) for word in jobs[0])
        raise DerivaMLRequestError(f"this is a sweep of {len(jobs)} runs: show one of them, such as {first}")
    return jobs[0]


def _jobs(overrides: list[str], swept: bool) -> tuple[list[list[str]], str | None]:
    """Return the overrides of each run, and the description of the sweep that they make; None for a run alone.

    Args:
        overrides: those of the command line; each ``+multirun=NAME`` stands for those of a sweep of the project's.
        swept: whether one with several values makes several runs, as it does in a named sweep.

    Raises:
        DerivaMLRequestError: there is no sweep of that name, or an override makes no runs.
    """
    from deriva_ml.config.compose import sweep_jobs
    from deriva_ml.config.entries import multiruns

    names = [word.partition("=")[2] for word in overrides if word.startswith("+multirun=")]
    if not names and not swept:
        return [overrides], None
    for name in names:
        if name not in multiruns:
            raise DerivaMLRequestError(
                f"no sweep is named {name}; there are: {', '.join(sorted(multiruns)) or 'none'}"
            )
    rest = [word for word in overrides if not word.startswith("+multirun=")]
    specs = [multiruns[name] for name in names]
    words = [*(word for spec in specs for word in spec.overrides), *rest]
    description = "\n\n".join(spec.description for spec in specs)
    return sweep_jobs(words), description or f"Sweep: {' '.join(words)}"


def _run_one(context: RunContext) -> bool:
    """Run a model and say how it ended; False if its record has not come to where it is to go."""
    from deriva_ml.execution.model_run import run_composed
    from deriva_ml.signals import Terminated, ignore_stops

    begun: list[Any] = []
    project = context.project or Project.find()
    try:
        execution = run_composed(replace(context, begun=begun.append))
    except (DerivaMLException, KeyboardInterrupt, Terminated) as error:
        if not isinstance(error, DerivaMLException):
            ignore_stops()  # its end is recorded; there is nothing left to stop
        for execution in begun:
            if not execution.dry_run:
                print_summary(project, execution.local_rid)
        raise
    if execution.dry_run:
        print(f"Dry run: nothing was recorded; its output is in {relative(execution.working_dir)}")
        return True
    return print_summary(project, execution.local_rid)


def _plan(context: RunContext, jobs: list[list[str]], description: str, argv: Sequence[str]) -> Plan:
    """Return the sweep of these jobs.

    Raises:
        DerivaMLRequestError: one cannot be composed, or they are for several catalogs.
    """
    from deriva_ml.execution.model_run import compose_model
    from deriva_ml.sweep.plan import MODEL, Job, Plan, Swept

    composed = [compose_model(context.config_name, job)[1] for job in jobs]
    places = {
        (getattr(one["deriva_ml"], "hostname", None), getattr(one["deriva_ml"], "catalog_id", None))
        for one in composed
    }
    if len(places) > 1:
        raise DerivaMLRequestError("a sweep is recorded in one catalog: leave deriva_ml out of its values")
    first = composed[0]
    keys = [word.partition("=")[0] for word in jobs[0]]
    swept = [key for place, key in enumerate(keys) if len({job[place] for job in jobs}) > 1]
    workflow, catalog = first["workflow"], first["deriva_ml"]
    return Plan(
        MODEL,
        config_name=context.config_name,
        jobs=tuple(Job(number, tuple(job)) for number, job in enumerate(jobs)),
        swept=tuple(Swept(key, "") for key in swept),
        description=description,
        workflow={name: getattr(workflow, name) for name in ("name", "workflow_type", "description")},
        deriva_ml={name: getattr(catalog, name) for name in ("hostname", "catalog_id", "offline")},
        dry_run=all(one.get("dry_run") for one in composed),
        allow_dirty=context.allow_dirty,
        command=("deriva-ml-run", *argv),
    )
