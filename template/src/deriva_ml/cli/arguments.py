"""The arguments of commands: their parser, and the flags that several of them take."""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NoReturn

from deriva_ml.config.quoting import quoted
from deriva_ml.terminal import shown

CONFIGURED = {
    "--dry-run": "dry_run=true",
    "--config": "assets=NAME or the like",
    "--config-name": 'run_notebook("NAME") in a notebook',
    "--config-dir": 'run_notebook("NAME", config_package="PACKAGE") in a notebook',
    "-cn": 'run_notebook("NAME") in a notebook, --config-name NAME for a model',
    "--hostname": "--host HOST",
    "--catalog-id": "--catalog CATALOG",
    **{f"--{group}": f"{group}=NAME" for group in ("assets", "datasets", "workflow", "experiment")},
    "--description": "description=TEXT",
}
"""Flags that people know from elsewhere, such as Hydra and upstream's commands, and what is typed here instead."""


INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's own ``--info`` takes."""


class CommandParser(argparse.ArgumentParser):
    """The arguments of a command, with what every command takes. ``docs/cli-reference.md`` is made from it.

    Args:
        usage: what follows the command's name: its positionals, and ``[options]`` for all the rest.
        description: whole sentences, of which the first says what the command is for.
        examples: command lines that work in a project that has just been set up.
        others: what argparse itself passes on to the parser of a subcommand.
    """

    def __init__(
        self, prog: str, usage: str, description: str, examples: Sequence[str] = (), **others: Any
    ) -> None:
        super().__init__(
            prog=prog,
            usage=f"%(prog)s {usage}".rstrip(),
            description=textwrap.fill(description, 78),
            epilog="\n  ".join(["examples:", *examples]) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,  # an example is one line
            allow_abbrev=False,
            **others,
        )
        self.examples = tuple(examples)
        self.elsewhere: dict[str, str] = {}  # flags that other programs have, and what is typed here instead
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse short flags that another program has and that argparse would take for one of this and its value."""
        if unknown := {*(args or ())} & self.elsewhere.keys() - self._option_string_actions.keys():
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line, with what is typed here for a flag that another program has."""
        _, _, words = message.partition("unrecognized arguments: ")
        for flag in (word.partition("=")[0] for word in words.split()):
            if here := self.elsewhere.get(flag.lower().replace("_", "-")):
                message += f" ({flag} is here: {here})"
        super().error(shown(message))


def add_overrides(parser: CommandParser) -> None:
    """Add the positional that notebooks and models are configured with alike."""
    parser.elsewhere |= CONFIGURED
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],  # without one, argparse would ask for it where the notebook is missing
        metavar="OVERRIDE",
        help="a Hydra override of the configuration, such as assets=my_assets or dry_run=true",
    )


def add_run_flags(parser: CommandParser, execution: argparse._ActionsContainer) -> None:
    """Add the flags that runs of notebooks and models take alike: about the configuration, and the Deriva catalog.

    Args:
        execution: the group of the flags about how it is run, whose last one is added.
    """
    execution.add_argument(
        "--allow-dirty", action="store_true", help="run with uncommitted changes, and record them as a patch"
    )
    parser.set_defaults(allow_dirty=os.environ.get("DERIVA_ML_ALLOW_DIRTY", "").lower() == "true")
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--list-configs", action="store_true", help="show the group=entry choices that there are, and exit"
    )
    group.add_argument(
        "--cfg",
        choices=("job", "hydra", "all"),
        help="show the composed configuration ('job'), Hydra's own ('hydra') or both ('all'), and exit",
    )
    group.add_argument("--resolve", action="store_true", help="with --cfg: show what references stand for")
    group.add_argument("--package", metavar="NAME", help="with --cfg job: show this part alone")
    group.add_argument(
        "--info",
        choices=INFO,
        metavar="[WHAT]",  # ``complete_bare_info`` completes a bare one
        help="show what Hydra knows about one of these, and exit: %(choices)s (default: all)",
    )
    group = parser.add_argument_group("Deriva catalog")
    add_server_flags(
        group,
        host="record into a Deriva catalog on this server (default: that of the chosen deriva_ml entry)",
        catalog="the number or alias of that catalog (default: that of the chosen deriva_ml entry)",
    )
    group.add_argument(
        "--offline",
        action="store_true",
        help="do without the server: read what was fetched before, and let the record wait for deriva-ml-upload",
    )


def add_server_flags(group: argparse._ActionsContainer, host: str, catalog: str) -> None:
    """Add the two flags that name a Deriva catalog, with what each is for."""
    group.add_argument("--host", metavar="HOST", help=host)
    group.add_argument("--catalog", metavar="CATALOG", help=catalog)


def subcommand(
    commands: Any,
    run: Callable[..., int | None],
    name: str,
    usage: str,
    summary: str,
    description: str,
    json: bool = False,
) -> CommandParser:
    """Add a subcommand and return its parser.

    Args:
        run: does it; it is called with the catalog and the arguments.
        usage: of its positionals; a ``NAME`` that comes first is that of a dataset, and is added.
        json: it lists things, which programs may read.
    """
    parser: CommandParser = commands.add_parser(
        name, help=summary, usage=f"{usage} [options]".strip(), description=description
    )
    if usage.startswith("NAME"):
        parser.add_argument("name", metavar=usage.split()[0], help="the dataset's name, or its RID")
    if json:
        parser.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    parser.set_defaults(run=run)
    return parser


def add_limit(parser: argparse._ActionsContainer, what: str) -> None:
    """Add the flag that says how many of a list are shown."""
    parser.add_argument(
        "-n",
        "--limit",
        type=whole_number(0, what),
        default=20,
        metavar="NUMBER",
        help=f"how many {what}, 0 for all (default: %(default)s)",
    )


def whole_number(least: int, unit: str) -> Callable[[str], int]:
    """Return a type for arguments that are a number of something, from ``least`` on."""

    def number(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= least:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit} ({least} or more)")

    return number


def complete_bare_info(argv: Sequence[str]) -> list[str]:
    """Return the arguments with a bare ``--info`` completed, since what follows it may be an override."""
    return [
        "--info=all" if word == "--info" and (argv[i + 1 : i + 2] or [""])[0] not in INFO else word
        for i, word in enumerate(argv)
    ]


def overrides_from_flags(args: argparse.Namespace) -> list[str]:
    """Return Hydra's overrides, with those that ``--host``, ``--catalog`` and ``--offline`` stand for."""
    flags = {"deriva_ml.hostname": args.host, "deriva_ml.catalog_id": args.catalog}
    named = [f"{key}={quoted(value)}" for key, value in flags.items() if value]
    return [*args.overrides, *named, *(["deriva_ml.offline=true"] if args.offline else [])]


def attach_values(argv: Sequence[str], flag: str) -> list[str]:
    """Return the arguments with the word after ``flag`` attached to it, though it begins with a hyphen."""
    words = iter(argv)
    joined = []
    for word in words:
        value = next(words, None) if word == flag else None
        joined.append(word if value is None else f"{word}={value}")
    return joined


def take_parameters(argv: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return each ``-p`` with the two words after it, whatever they begin with; and the other words.

    Argparse would take a value that begins with ``-`` for a flag. Fewer words are given where the line ends before,
    or the name is not a word of its own.
    """
    taken: list[tuple[str, ...]] = []
    others: list[str] = []
    words = iter(argv)
    for word in words:
        if word in {"-p", "--parameter"}:
            taken.append(tuple(islice(words, 2)))
        elif attached := re.match(r"(?:-p|--parameter=)(.+)", word, re.DOTALL):
            taken.append((attached[1],))
        else:
            others.append(word)
            others.extend(words if word == "--" else ())
    return taken, others
