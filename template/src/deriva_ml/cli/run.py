"""``deriva-ml-run``: run a model function and record it, or a sweep of them."""

from __future__ import annotations

import argparse
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
from deriva_ml.cli.sweep_flags import (
    add_sweep_flags,
    go_on,
    goes_on,
    is_sweep,
    model_sweep,
    one_job,
    see_flags,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.terminal import print

if TYPE_CHECKING:
    from deriva_ml.execution.model_run import RunContext


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
    add_run_flags(parser, how)
    how.add_argument("--config-name", metavar="NAME", help="what to compose (default: %(default)s)")
    parser.set_defaults(config_name="deriva_model")
    how.add_argument("-c", "--config-dir", type=Path, metavar="FOLDER", help="its folder in src: src/configs")
    add_sweep_flags(parser, parameters=False)
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
    if goes_on(args):
        return go_on(args, parser().parse_args([]), project, overrides, ["deriva-ml-run", *argv])
    swept = is_sweep(args, overrides)
    see_flags(args, swept=swept)
    from deriva_ml.config.modules import find_configs

    folder = (args.config_dir or project.source / "configs").resolve()
    if folder.parent != project.source.resolve():
        raise DerivaMLRequestError(f"--config-dir {folder}: configurations are in {project.source}")
    find_configs(project, folder.name)
    if args.list_configs or args.cfg or args.info:
        show_configuration(args, lambda: (args.config_name, one_job(args, overrides) if swept else overrides))
        return 0
    from deriva_ml.execution.recovery import recover_for_run

    recover_for_run(project)
    if swept:
        plan = model_sweep(args, project, folder.name, overrides, ["deriva-ml-run", *argv])
        import deriva_ml.cli.sweep as sweep

        return sweep.run(project, plan)
    from deriva_ml.execution.model_run import RunContext

    context = RunContext(
        project, overrides=overrides, allow_dirty=args.allow_dirty, config_name=args.config_name
    )
    return 0 if _run_one(context) else FAILED


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
