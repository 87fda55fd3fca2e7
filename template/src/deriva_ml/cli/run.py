"""``deriva-ml-run``: run a model function and record it, or a sweep of them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from deriva_ml.definitions import Status
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.terminal import print, tell


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
    from deriva_ml.execution.model_run import RunContext, run_context
    from deriva_ml.execution.recovery import recover_project

    recover_project(project)
    run_context.set(RunContext(project, allow_dirty=args.allow_dirty, config_name=args.config_name))
    jobs, description = _jobs(overrides, args.multirun)
    if description is None:
        return 0 if _run_job(jobs[0]) else FAILED
    return _run_sweep(project, jobs, description)


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


def _compose(overrides: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the composition of ``deriva_model``, and the arguments for ``run_model`` that it describes.

    Raises:
        DerivaMLRequestError: it has something that no model run takes, such as an experiment of a project without any,
            or that this model does not take.
    """
    import inspect

    from deriva_ml.config.compose import compose
    from deriva_ml.execution.model_run import check_settings, run_context, run_model

    composed = compose(run_context.get().config_name, overrides)
    arguments = composed.arguments()
    parameters = inspect.signature(run_model).parameters
    if unknown := sorted(arguments.keys() - parameters.keys()):
        raise DerivaMLRequestError(
            f"a model run takes no {', '.join(unknown)}: --list-configs shows what can be chosen, --cfg job what can be set"
        )
    needed = [name for name, one in parameters.items() if one.default is one.empty and name not in arguments]
    if needed:
        raise DerivaMLRequestError(f"a model run needs {', '.join(needed)}: leave ~{' ~'.join(needed)} out")
    check_settings(arguments.get("script_config") or arguments.get("model_config"))
    return composed, arguments


def _run_job(overrides: Sequence[str], parent: tuple[str, int] | None = None) -> bool:
    """Run one job and say how it ended; False if its record has not come to where it is to go."""
    from deriva_ml.execution.model_run import run_context, run_model
    from deriva_ml.signals import Terminated, ignore_stops

    composed, arguments = _compose(overrides)
    begun: list[Any] = []
    context = replace(
        run_context.get(),
        overrides=overrides,
        choices=composed.choices,
        config=composed.yaml,
        settings=composed.part("script_config") or composed.part("model_config") or {},
        parent=parent,
        begun=begun.append,
    )
    token = run_context.set(context)
    project = context.project or Project.find()
    try:
        execution = run_model(**arguments)
    except (DerivaMLException, KeyboardInterrupt, Terminated) as error:
        if not isinstance(error, DerivaMLException):
            ignore_stops()  # its end is recorded; there is nothing left to stop
        for execution in begun:
            if not execution.dry_run:
                print_summary(project, execution.local_rid)
        raise
    finally:
        run_context.reset(token)
    if execution.dry_run:
        print(f"Dry run: nothing was recorded; its output is in {relative(execution.working_dir)}")
        return True
    return print_summary(project, execution.local_rid)


def _run_sweep(project: Project, jobs: list[list[str]], description: str) -> int:
    """Run the jobs one after the other, nested in an execution of their own; go on past one that fails."""
    from deriva_ml.execution.model_run import start_sweep
    from deriva_ml.signals import Terminated

    composed = [_compose(job)[1] for job in jobs]  # one that cannot be composed stops all before any starts
    first = composed[0]
    places = {
        (getattr(one["deriva_ml"], "hostname", None), getattr(one["deriva_ml"], "catalog_id", None))
        for one in composed
    }
    if len(places) > 1:
        raise DerivaMLRequestError("a sweep is recorded in one catalog: leave deriva_ml out of its values")
    parent = None
    if not all(one.get("dry_run") for one in composed):
        parent = start_sweep(project, description, first["workflow"], first["deriva_ml"])
    failed = waiting = 0
    try:
        for number, job in enumerate(jobs):
            tell(f"[{number + 1}/{len(jobs)}] {' '.join(job)}")
            try:
                waiting += not _run_job(job, (parent.local_rid, number) if parent else None)
            except (DerivaMLException, OSError) as error:
                failed += 1
                tell(f"error: {error}")
    except (KeyboardInterrupt, Terminated):
        if parent:
            parent.end(Status.aborted, "interrupted")
            print(f"Sweep {parent.execution_rid}: interrupted")
            print_summary(project, parent.local_rid)
        raise
    reason = f"{failed} of {len(jobs)} jobs failed" if failed else ""
    if parent:
        parent.end(Status.failed if failed else Status.uploaded, reason)
        print(f"Sweep {parent.execution_rid}: {len(jobs)} executions{', ' + reason if reason else ''}")
        waiting += not print_summary(project, parent.local_rid)
    return FAILED if failed or waiting else 0
