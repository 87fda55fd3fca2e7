"""The flags of sweeps, for notebooks and models alike: what they are, which go together, and the plan that they make."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import CommandParser
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.calls import Call
from deriva_ml.notebook.declarations import Parameter, Value
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.sweep.checking import Asked, Seen
    from deriva_ml.sweep.plan import Plan

ALONE = {"inspect": "--inspect", "log_output": "--log-output", "repeat": "--repeat"}
"""Flags that are about one run."""
OF_JOBS = ("objective", "direction", "fail_fast", "yes")
"""Those that are about the jobs of a sweep."""


def add_sweep_flags(parser: CommandParser, *, parameters: bool) -> None:
    """Add them to a command's parser.

    Args:
        parameters: whether it runs what has parameters.
    """
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run every combination of the values that overrides give as a=1,2",
    )
    if parameters:
        group.add_argument(
            "--sweep",
            action="append",
            default=[],
            metavar="NAME=VALUES",
            help="values of a parameter, such as alpha=0.1,0.2 or 'alpha=range(1,4)'; may be repeated, and combined"
            " with --multirun",
        )
    else:
        parser.elsewhere["--sweep"] = "--multirun model_config.NAME=VALUES"
    group.add_argument(
        "--objective",
        metavar="METRIC",
        help="the metric by which the best job is told, and that hydra/sweeper=optuna goes by: its last value",
    )
    group.add_argument("--direction", choices=("minimize", "maximize"), help="where the best one is")
    group.add_argument("--fail-fast", action="store_true", help="end the sweep with the first job that fails")
    group.add_argument("--yes", action="store_true", help="run a sweep of more than 1,000 jobs")
    group.add_argument(
        "--resume", metavar="RID", help="run the jobs of this sweep that failed or did not run, in a new one"
    )
    group.add_argument(
        "--new-code",
        action="store_true",
        help="with --resume: from today's commit, though the sweep's was another",
    )
    group.add_argument(
        "--collect",
        metavar="RID",
        help="take in what the jobs of this sweep have recorded on other machines; with --fail-fast, end it though some"
        " have not begun",
    )


def is_sweep(args: argparse.Namespace, overrides: Sequence[str]) -> bool:
    """Whether several runs are asked for, or a named sweep."""
    return args.multirun or bool(getattr(args, "sweep", ())) or any(map(_is_named, overrides))


def goes_on(args: argparse.Namespace) -> bool:
    """Whether an earlier sweep is meant."""
    return bool(args.resume or args.collect)


def _is_named(word: str) -> bool:
    return word.startswith("+multirun=")


def see_flags(args: argparse.Namespace, *, swept: bool) -> None:
    """See that the flags of sweeps go with the others.

    Args:
        swept: whether a new sweep is asked for.

    Raises:
        DerivaMLRequestError: they do not.
    """
    from deriva_ml.config.refusals import for_sweeps

    if args.new_code:
        raise DerivaMLRequestError("--new-code goes with --resume RID: a new sweep runs today's code anyhow")
    if not swept:
        for name in OF_JOBS:
            if getattr(args, name):
                raise DerivaMLRequestError(for_sweeps(f"--{name.replace('_', '-')}"))
        return
    for name, flag in ALONE.items():
        value = getattr(args, name, None)
        if value is True or (value or 0) > 1:
            raise DerivaMLRequestError(f"{flag} is about one run: leave it out of a sweep")
    if args.direction and not args.objective:
        raise DerivaMLRequestError(f"--direction {args.direction} goes with --objective METRIC")
    if not args.overrides and not getattr(args, "sweep", ()):
        raise DerivaMLRequestError("--multirun has nothing to sweep: give values, such as assets=NAME,OTHER")


def go_on(
    args: argparse.Namespace,
    usual: argparse.Namespace,
    project: Project,
    words: Sequence[str],
    command: Sequence[str],
) -> int:
    """Go on with an earlier sweep, or collect what its jobs have recorded; returns the exit status.

    Args:
        usual: what the arguments are where none is given.
        words: the positionals.
        command: the command line.

    Raises:
        DerivaMLRequestError: there is no such sweep, or nothing to do, or it goes with something that was given.
    """
    import deriva_ml.cli.sweep as sweep
    from deriva_ml.config.refusals import ENGINE
    from deriva_ml.execution.recovery import recover_for_run
    from deriva_ml.redaction import redact_command
    from deriva_ml.sweep.resuming import resumed

    flag = "resume" if args.resume else "collect"
    taken = {"notebook", "overrides", "debug", flag} | (
        {"new_code", "fail_fast", "allow_dirty"} if args.resume else {"fail_fast"}
    )
    notebooks = [word for word in words if word.endswith(".ipynb") and "=" not in word]
    engine = [word for word in words if args.resume and ENGINE.match(word)]
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in vars(args).items()
        if name not in taken and value != getattr(usual, name)
    ]
    for word in [*given, *(word for word in words if word not in notebooks and word not in engine)]:
        raise DerivaMLRequestError(
            f"{word} does not go with --{flag}, which is about a sweep whose jobs are known: leave it out"
        )
    recover_for_run(project)
    if args.collect:
        return sweep.collect(project, args.collect, args.fail_fast)
    plan = resumed(
        project,
        args.resume,
        engine,
        new_code=args.new_code,
        fail_fast=args.fail_fast,
        allow_dirty=args.allow_dirty,
        command=tuple(redact_command(command)),
    )
    for word in notebooks:
        if Path(word).resolve() != (project.root / plan.notebook).resolve():
            raise DerivaMLRequestError(
                f"{args.resume} is a sweep of {plan.notebook or 'a model'}, not of {word}"
            )
    return sweep.run(project, plan)


def model_sweep(
    args: argparse.Namespace,
    project: Project,
    package: str,
    overrides: Sequence[str],
    command: Sequence[str],
) -> Plan:
    """Return the plan of a sweep of models; the project's configurations have been imported.

    Args:
        package: of these.
        command: the command line.

    Raises:
        DerivaMLRequestError: it cannot be run as it is asked for.
    """
    from deriva_ml.sweep.checking import look_at_model
    from deriva_ml.sweep.plan import MODEL

    engine, asked = _asked(args, overrides)
    seen = look_at_model(project, args.config_name, asked)
    fields = {"kind": MODEL, "config_name": args.config_name, "config_package": package}
    return _plan(args, seen, engine, asked.continuous, command, fields)


def notebook_sweep(
    args: argparse.Namespace,
    project: Project,
    declared: Sequence[Parameter] | None,
    from_file: Mapping[str, Any],
    overrides: Sequence[str],
    command: Sequence[str],
    call: Call | None,
) -> tuple[Plan, dict[str, Value]]:
    """Return the plan of a sweep of a notebook, and the values that its first job has.

    Args:
        declared: what its parameters cell assigns.
        from_file: values by parameter.
        command: the command line.
        call: of ``run_notebook``, as far as the text tells.

    Raises:
        DerivaMLRequestError: it cannot be run as it is asked for.
    """
    from concurrent.futures import ThreadPoolExecutor

    from deriva_ml.config.modules import find_configs
    from deriva_ml.sweep.checking import ask_about_notebook
    from deriva_ml.sweep.plan import NOTEBOOK
    from deriva_ml.sweep.space import given_to_all, swept_parameters

    package = call.package if call else "configs"
    if any(_is_engine(word) or _is_named(word) for word in overrides):
        find_configs(project, package)  # which have the named sweeps, and may have entries for the engine
    engine, asked = _asked(args, overrides)
    parameters = swept_parameters(args.sweep, asked.continuous)
    given, first = given_to_all(declared, from_file, args.parameter, parameters)
    asked = replace(asked, others=prod(len(values) for _, values in parameters.values()))
    notebook = args.notebook.absolute()
    sure = call is not None and call.sure and not args.kernel
    with ThreadPoolExecutor(1) as asking:
        answer = asking.submit(ask_about_notebook, notebook, call, asked, refuse=sure)
        import deriva_ml.cli.sweep  # noqa: F401 - meanwhile
        import deriva_ml.core
        import deriva_ml.sweep.launching  # noqa: F401

        with suppress(ImportError):  # which is refused by what it lacks, later
            import_module(
                "joblib" if any("joblib" in word for word in engine) else "deriva_ml.notebook.engine"
            )
        seen = answer.result()
    fields = {
        "kind": NOTEBOOK,
        "notebook": notebook.resolve().relative_to(project.root.resolve()).as_posix(),
        "config_package": package,
        "kernel": args.kernel,
        "timeout": args.timeout,
    }
    return _plan(args, seen, engine, asked.continuous, command, fields, given, parameters), first


def one_job(args: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of the one run whose configuration is to be shown.

    Raises:
        DerivaMLRequestError: they are those of several.
    """
    from deriva_ml.sweep.checking import choices_asked

    choices = choices_asked(replace(_asked(args, overrides)[1], yes=True))
    first = [choice.words[0] for choice in choices]
    if (count := prod(len(choice.words) for choice in choices)) > 1:
        raise DerivaMLRequestError(
            f"this is a sweep of {count} runs: show one of them, such as {shlex.join(first)}"
        )
    return first


def _asked(args: argparse.Namespace, overrides: Sequence[str]) -> tuple[list[str], Asked]:
    """Return the overrides of the engine, and what is asked of the configuration.

    Raises:
        DerivaMLRequestError: the engine is not known or not installed, or makes too many jobs.
    """
    from deriva_ml.sweep.checking import Asked, named, refuse_many
    from deriva_ml.sweep.engines import engine_of
    from deriva_ml.sweep.study import see_optimizable

    whole, description = named(overrides)
    said = {word.lstrip("+").partition("=")[0]: word for word in whole if _is_engine(word)}
    words = [*said.values()]  # of what a named sweep says, too, the last holds
    engine = engine_of(words)
    see_optimizable(engine, args.objective or "", args.direction or "")
    if args.objective and not args.direction and not engine.is_set("hydra.sweeper.direction"):
        raise DerivaMLRequestError(
            f"--objective {args.objective}: add --direction maximize if more of it is better, else --direction minimize"
        )
    if engine.sweeper:
        refuse_many(int(engine.search.get("n_trials") or 0), yes=args.yes)
    rest = [word for word in whole if not _is_engine(word)]
    return words, Asked(rest, description, yes=args.yes, continuous=bool(engine.sweeper))


def _is_engine(word: str) -> bool:
    from deriva_ml.config.refusals import ENGINE

    return bool(ENGINE.match(word))


def _plan(
    args: argparse.Namespace,
    seen: Seen,
    engine: Sequence[str],
    continuous: bool,
    command: Sequence[str],
    fields: Mapping[str, Any],
    given: Sequence[tuple[str, str]] = (),
    parameters: Mapping[str, tuple[str, list[str]]] | None = None,
) -> Plan:
    from deriva_ml.redaction import redact_command, redact_override
    from deriva_ml.sweep.plan import Plan
    from deriva_ml.sweep.space import jobs_of

    made = jobs_of(seen.choices, given, parameters or {}, continuous)
    if continuous and not made["swept"]:
        raise DerivaMLRequestError(
            f"{' '.join(engine)}: there is nothing to choose: give values, such as a=1,2"
        )
    swept = [f"{one.key}={one.text}" for one in made["swept"]]
    return Plan(
        **fields,
        **made,
        engine=tuple(engine),
        objective=args.objective or "",
        direction=args.direction or "",
        description=seen.description or f"Sweep: {' '.join(map(redact_override, [*made['base'], *swept]))}",
        workflow=seen.workflow,
        deriva_ml=seen.deriva_ml,
        dry_run=seen.dry_run,
        allow_dirty=args.allow_dirty,
        fail_fast=args.fail_fast,
        command=tuple(redact_command(command)),
    )
