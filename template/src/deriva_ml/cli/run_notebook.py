"""``deriva-ml-run-notebook``: execute a notebook and record it."""

from __future__ import annotations

import argparse
import atexit
import gc
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import (
    CommandParser,
    add_overrides,
    add_run_flags,
    complete_bare_info,
    overrides_from_flags,
    take_parameters,
    whole_number,
)
from deriva_ml.cli.command import FAILED, INTERRUPTED, command
from deriva_ml.cli.configuration import show_configuration
from deriva_ml.cli.summary import print_summary, relative
from deriva_ml.cli.sweep_flags import (
    add_sweep_flags,
    go_on,
    goes_on,
    is_sweep,
    notebook_sweep,
    one_job,
    see_flags,
)
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.notebook.calls import Call, call_of
from deriva_ml.notebook.declarations import Parameter, Value
from deriva_ml.notebook.document import injected_earlier, read_notebook, source_of
from deriva_ml.notebook.language import check_language
from deriva_ml.notebook.parameters import computed_from, describe, parameters_of, resolve
from deriva_ml.project import Project
from deriva_ml.terminal import print, print_lines, tell, warn

if TYPE_CHECKING:
    from deriva_ml.execution.notebook_end import Result
    from deriva_ml.sweep.plan import Plan

PAPERMILL = {
    **dict.fromkeys(("--parameters", "--parameters-raw", "-r"), "-p NAME VALUE"),
    **dict.fromkeys(("--parameters-file", "--parameters-yaml", "-y"), "--file FILE"),
    "--help-notebook": "--inspect",
    "--execution-timeout": "--timeout SECONDS",
}
"""Flags of Papermill's, and what is typed here instead."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-run-notebook",
        usage="NOTEBOOK [options] [OVERRIDE ...]",
        description="Execute a notebook from its first cell to its last, and record the execution. The notebook has to"
        " be committed, runs in a new kernel, and is recorded as executed, with its conversion to Markdown.",
        examples=[
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb",
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb --inspect",
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb -p parameter1 hello",
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb assets=my_assets dry_run=true",
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb --multirun assets=default_asset,my_assets",
            "deriva-ml-run-notebook notebooks/my-notebook.ipynb --sweep parameter1=hello,world",
        ],
    )
    parser.elsewhere |= PAPERMILL
    parser.add_argument(
        "notebook",
        nargs="?",
        type=Path,
        metavar="NOTEBOOK",
        help="the notebook's file; --resume and --collect do without it",
    )
    add_overrides(parser)
    values = parser.add_argument_group("parameters")
    values.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a value for a variable of the cell tagged 'parameters'; may be repeated, and wins over --file",
    )
    values.add_argument(
        "-f",
        "--file",
        type=Path,
        metavar="FILE",
        help="a JSON or YAML file ('.json', '.yaml', '.yml') with such values by name",
    )
    values.add_argument(
        "--inspect",
        action="store_true",
        help="show name, type, default and comment of each parameter, and exit",
    )
    how = parser.add_argument_group("execution")
    how.add_argument(
        "-k",
        "--kernel",
        metavar="NAME",
        help="an installed kernel, which has to have the project's packages (default: the project's Python)",
    )
    how.add_argument(
        "--timeout",
        type=whole_number(1, "seconds"),
        metavar="SECONDS",
        help="the longest that one cell may take, in whole seconds (default: no limit)",
    )
    how.add_argument(
        "--strict",
        action="store_true",
        help="refuse the run if deriva-ml-check finds anything but advice in the notebook",
    )
    how.add_argument(
        "--repeat",
        type=whole_number(1, "runs"),
        default=1,
        metavar="NUMBER",
        help="run it so often: what is recorded of the first run is then replayed here, and the verdicts are said"
        " (default: %(default)s)",
    )
    how.add_argument("--log-output", action="store_true", help="show what the cells print, on stderr")
    add_run_flags(parser, how)
    add_sweep_flags(parser, parameters=True)
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, 1 for a run that failed, 2 for a wrong request, 130 for Ctrl-C."""
    taken, others = take_parameters(argv)
    pairs = _pairs(taken)
    args = parser().parse_intermixed_args(complete_bare_info(others))
    args.parameter = pairs
    command_line = ["deriva-ml-run-notebook", *argv]
    words = [*([str(args.notebook)] if args.notebook else ()), *args.overrides]
    if goes_on(args):
        return go_on(args, parser().parse_args([]), Project.find(), words, command_line)
    if not words:
        parser().error("the following arguments are required: NOTEBOOK")
    args.notebook, args.overrides = _notebook_among(words)
    swept = is_sweep(args, args.overrides)
    see_flags(args, swept=swept)
    notebook = read_notebook(args.notebook)
    check_language(notebook, args.notebook)
    declared = parameters_of(notebook)
    _say_left_out(args.notebook, notebook)
    if args.inspect:
        print_lines(describe(declared))
        return 0
    project = Project.find(args.notebook.absolute().parent)
    overrides = overrides_from_flags(args)
    try:
        if args.list_configs or args.cfg or args.info:
            _show(args, project, call_of(notebook) or Call(), overrides, swept=swept)
            return 0
        from_file: dict[str, object] = {}
        if args.file:
            from deriva_ml.notebook.parameter_file import load_parameter_file

            from_file = load_parameter_file(args.file)
        if args.repeat > 1 and (args.kernel or "dry_run=true" in args.overrides):
            what = "--kernel" if args.kernel else "dry_run=true"
            raise DerivaMLRequestError(
                f"--repeat replays what is recorded, with the project's Python: it does not go with {what}"
            )
        if swept:
            found = call_of(notebook)
            plan, first = notebook_sweep(args, project, declared, from_file, overrides, command_line, found)
            _say_computed(declared or (), first)
            return _run_sweep(args, project, plan)
        values = resolve(declared, from_file, args.parameter)
        _say_computed(declared or (), values)
        plain = all(re.fullmatch("dry_run=(true|false)", word) for word in args.overrides)
        call = None if plain or args.kernel else call_of(notebook)
        names = [parameter.name for parameter in declared or ()]
        return _run(args, project, names, values, overrides, argv, call)
    except DerivaMLRequestError as error:
        _refuse_parameter(declared or (), overrides, error, swept=swept)
        raise


def _notebook_among(words: list[str]) -> tuple[Path, list[str]]:
    """Return the notebook and the overrides, which come in any order; the first word where none is a notebook's name."""

    def is_notebook(word: str) -> bool:
        return word.endswith(".ipynb") and ("=" not in word or Path(word).is_file())

    notebook = next(filter(is_notebook, words), words[0])
    words.remove(notebook)
    if second := next((word for word in words if word.endswith(".ipynb") and "=" not in word), None):
        raise DerivaMLRequestError(f"{second} is a second notebook: a run is of one, here of {notebook}")
    return Path(notebook), words


def _show(
    args: argparse.Namespace, project: Project, call: Call, overrides: list[str], *, swept: bool
) -> None:
    from deriva_ml.config.modules import configuration_of, find_configs

    def chosen() -> tuple[str, list[str]]:
        words = one_job(args, overrides) if swept else overrides
        return configuration_of(call.name, args.notebook, call.package), [*words, *call.overrides]

    find_configs(project, call.package)
    show_configuration(args, chosen)


def _pairs(taken: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Name and value of each ``-p``.

    Raises:
        DerivaMLRequestError: one lacks its value, or has it behind ``=``.
    """
    pairs = []
    for words in taken:
        name, equals, value = (words or ("",))[0].partition("=")
        if equals:
            raise DerivaMLRequestError(f"-p takes a name and a value: -p {name} {shlex.quote(value)}")
        if len(words) < 2:
            raise DerivaMLRequestError(f"-p takes a name and a value: -p {name or 'NAME'} VALUE")
        pairs.append((name, words[1]))
    return pairs


def _say_left_out(path: Path, notebook: dict[str, Any]) -> None:
    """Say what does not count any more, if the notebook is an executed one."""
    from deriva_ml.redaction import redact

    lines = [line.strip() for cell in injected_earlier(notebook) for line in source_of(cell).splitlines()]
    values = redact("; ".join(line for line in lines if line and not line.startswith("#")))
    values = values if len(values) <= 80 else f"{values[:77]}..."
    if lines:
        warn(f"{path} was executed before: the cell that set parameters then is left out ({values})")


def _check(path: Path, *, strict: bool) -> None:
    """Say in one line what keeps the run from being repeated with the same result, as far as the notebook's text tells.

    Raises:
        DerivaMLRequestError: there is something, and the run is to be refused then.
    """
    from deriva_ml.check.checking import Checker

    try:
        found = [one.code for one in Checker(only=path).check(path) if not one.advice]
    except DerivaMLException as error:
        if strict:
            raise
        warn(error)
        return
    if not found:
        return
    count = "1 finding" if len(found) == 1 else f"{len(found)} findings"
    where = f"{count} in {path} ({', '.join(sorted({*found}))}): 'deriva-ml-check {shlex.quote(str(path))}' says where"
    if strict:
        raise DerivaMLRequestError(f"not run, because of {where}")
    tell(f"check: {where}")


def _say_computed(declared: Sequence[Parameter], values: dict[str, Value]) -> None:
    """Name the parameters that the kernel will have computed before the values that are given get there."""
    derived, given = computed_from(declared, values)
    if derived:
        warn(
            f"{', '.join(derived)}: computed in the parameters cell from the default of {', '.join(given)},"
            " before the value that is given gets there: give that, too, or compute it in a cell below"
        )


def _refuse_parameter(
    declared: Sequence[Parameter], overrides: Sequence[str], error: DerivaMLRequestError, *, swept: bool
) -> None:
    """Say how a parameter is set, if ``error`` is Hydra's about one that was given as an override.

    Raises:
        DerivaMLRequestError: it is.
    """
    unknown = re.match(r"Could not override '(\w+)'", str(error))
    several = re.match(r"(\w+)=.* stands for several runs", str(error))
    found = unknown or several
    if found and found[1] in {parameter.name for parameter in declared}:
        name = found[1]
        value = next((word.partition("=")[2] for word in overrides if word.startswith(f"{name}=")), "VALUE")
        swept = swept or bool(several)
        how = f"--sweep {shlex.quote(f'{name}={value}')}" if swept else f"-p {name} {shlex.quote(value)}"
        raise DerivaMLRequestError(f"{name} is a parameter: {how}") from error


def _run(
    args: argparse.Namespace,
    project: Project,
    declared: list[str],
    values: dict[str, Value],
    overrides: list[str],
    argv: Sequence[str],
    call: Call | None,
) -> int:
    """Run the notebook; before, see to a ``call`` of ``run_notebook`` for the overrides that it is given, and check it."""
    import deriva_ml.execution.precheck as precheck

    checking = precheck.start(call, overrides, args.notebook.absolute()) if call and call.sure else None
    import deriva_ml.execution.notebook_runner  # noqa: F401 - while that composes the configuration
    from deriva_ml.execution.recovery import recover_for_run

    atexit.register(gc.freeze)  # the process is over: collecting what it loaded would only delay its end
    recover_for_run(project)
    if checking:
        precheck.finish(checking)
    if args.strict:
        _check(args.notebook, strict=True)
    return _record(args, project, declared, values, overrides, argv)


def _run_sweep(args: argparse.Namespace, project: Project, plan: Plan) -> int:
    """Check the notebook, and run it as often as the plan says."""
    import deriva_ml.cli.sweep as sweep
    from deriva_ml.execution.recovery import recover_for_run

    recover_for_run(project)
    _check(args.notebook, strict=args.strict)
    return sweep.run(project, plan)


def _record(
    args: argparse.Namespace,
    project: Project,
    declared: list[str],
    values: dict[str, Value],
    overrides: list[str],
    argv: Sequence[str],
) -> int:
    """Run the notebook, and print how it ended."""
    from deriva_ml.execution.notebook_runner import Request, record_notebook
    from deriva_ml.notebook.execute import Outcome
    from deriva_ml.redaction import redact_command
    from deriva_ml.signals import ignore_stops

    begun = time.monotonic()
    result = record_notebook(
        Request(
            notebook=args.notebook.absolute(),
            parameters=values,
            overrides=overrides,
            kernel=args.kernel,
            timeout=args.timeout,
            log_output=args.log_output,
            allow_dirty=args.allow_dirty,
            argv=redact_command(["deriva-ml-run-notebook", *argv]),
            declared=declared,
            # Not before: a run that is refused has one line, which says why; and the kernel starts meanwhile.
            begun=(lambda: None) if args.strict else (lambda: _check(args.notebook, strict=False)),
        ),
        project,
    )
    if result.outcome in {Outcome.interrupted, Outcome.terminated}:
        ignore_stops()  # there is nothing left to stop
    good = _print_end(args.notebook, project, result, f" ({time.monotonic() - begun:.1f} s)")
    if result.outcome is Outcome.interrupted:
        return INTERRUPTED
    status = 0
    if args.repeat > 1 and result.outcome in {Outcome.completed, Outcome.failed}:
        from deriva_ml.cli.replay import replay_here

        status = replay_here(project, result.executions, args.repeat - 1)
    return status if good else FAILED


def _print_end(notebook: Path, project: Project, result: Result, took: str) -> bool:
    """Print how a run of a notebook ended, and where all of it is; False if it failed or could not be sent."""
    from deriva_ml.definitions import Status

    for line in result.warnings:
        warn(line)
    good = result.status in {Status.uploaded, Status.stopped, Status.pending_upload}
    if not good:
        tell(f"error: {result.reason}")
    if result.unsent:
        tell(f"error: {result.unsent}; the record is kept in this project")
    shown = relative(result.folder)
    lines = [
        f"notebook  {shown / notebook.name}",
        f"markdown  {shown / notebook.with_suffix('.md').name}",
    ]
    for rid in result.executions:
        good &= print_summary(project, rid, took, lines if rid == result.executions[-1] else ())
    if not result.executions:
        print(*(f"  {line}" for line in lines), sep="\n")
        print(f"Dry run: nothing was recorded; its output is in {shown}")
    return good
