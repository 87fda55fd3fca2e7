"""What the commands share: errors as lines and exit statuses, and the flags about configurations."""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from deriva_ml import disk
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Terminated, ignore_stops
from deriva_ml.project import Project
from deriva_ml.terminal import print, print_lines, shown

WRONG_REQUEST = 2
FAILED = 1
INTERRUPTED = 130

Main = Callable[[Sequence[str]], int]


def command(main: Main) -> Callable[..., int]:
    """Make ``main(argv) -> status`` a console script that never shows a traceback for a person's mistake.

    A ``DerivaMLRequestError`` ends with status 2, any other ``DerivaMLException`` with 1, Ctrl-C with 130.
    ``--debug`` among the arguments lets the traceback through.
    """

    @functools.wraps(main)
    def entry(argv: Sequence[str] | None = None) -> int:
        with _unbroken_output(), _warnings_as_lines():
            return status(list(sys.argv[1:] if argv is None else argv))

    def status(arguments: list[str]) -> int:
        debugging = "--debug" in take_parameters(arguments)[1]
        try:
            return main(arguments)
        except DerivaMLException as error:
            if debugging:
                raise
            print(f"error: {error}", file=sys.stderr)
            return WRONG_REQUEST if isinstance(error, DerivaMLRequestError) else FAILED
        except Terminated:
            ignore_stops()
            print("terminated", file=sys.stderr)
            return FAILED
        except Exception as error:
            # A disk that is full or read-only, or a damaged catalog; sqlite3 is not loaded for its errors' names.
            known = isinstance(error, OSError) or type(error).__module__ == "sqlite3"
            if debugging or not known:
                raise
            print(f"error: {_said(error)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            ignore_stops()  # another Ctrl-C, while Python shuts down, would change the exit status
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return entry


def _said(error: Exception) -> str:
    """What a person is told of an error of the disk or the catalog."""
    try:
        state = Project.find().state
    except DerivaMLException:
        state = Path.cwd()
    place = getattr(error, "filename2", None) or getattr(error, "filename", None) or state
    why = disk.fault(error, state)
    return disk.not_taken(place, why) if why else str(error)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print what a library warns of as one line, and once; what a person's own code meets, as Python does."""
    as_python_does, told = warnings.showwarning, set[str]()
    # Libraries, Python's own and others; the runner; what has no file.
    ours = (sys.prefix, os.path.dirname(os.__file__), str(Path(__file__).parents[1]), "<", "sys")

    def tell(message: Any, category: Any, filename: str, *others: Any, **named: Any) -> None:
        files, frame = [filename], sys._getframe(1)
        while frame:
            files.append(frame.f_code.co_filename)
            frame = cast(Any, frame.f_back)
        if not all(file.startswith(ours) for file in files):
            as_python_does(message, category, filename, *others, **named)
        elif (text := " ".join(str(message).split())) not in told:
            told.add(text)
            print(f"warning: {text}", file=sys.stderr)

    warnings.showwarning = tell
    try:
        yield
    finally:
        warnings.showwarning = as_python_does


def take_parameters(argv: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Each ``-p`` with the two words after it, whatever they begin with; and the other words.

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


class _Unbroken:
    """A stream that goes on, into nothing, when the reader of its pipe (head, less) has gone away.

    That is no error of the person's, and must neither stop a run nor change its exit status.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())  # what is in the stream's buffer goes there, too
        os.close(nothing)


@contextmanager
def _unbroken_output() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    out, err = _Unbroken(before[0]), _Unbroken(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.flush()  # now, and not when Python ends, which would complain and change the status
        err.flush()
        sys.stdout, sys.stderr = before


CONFIGURED = {
    "--dry-run": "dry_run=true",
    "--config": "assets=NAME or the like",
    "--config-name": 'run_notebook("NAME") in a notebook, +experiment=NAME for a model',
    "-cn": 'run_notebook("NAME") in a notebook, +experiment=NAME for a model',
    "--hostname": "--host HOST",
    "--catalog-id": "--catalog CATALOG",
    **{f"--{group}": f"{group}=NAME" for group in ("assets", "datasets", "workflow", "experiment")},
    "--description": "description=TEXT",
}
"""Flags that people know from elsewhere, such as Hydra and upstream's commands, and what is typed here instead."""


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

    def error(self, message: str) -> NoReturn:
        """Refuse the command line, with what is typed here for a flag that another program has."""
        _, _, words = message.partition("unrecognized arguments: ")
        for flag in (word.partition("=")[0] for word in words.split()):
            if here := self.elsewhere.get(flag.lower().replace("_", "-")):
                message += f" ({flag} is here: {here})"
        super().error(shown(message))


def add_overrides(parser: CommandParser) -> None:
    """The positional that notebooks and models are configured with alike."""
    parser.elsewhere |= CONFIGURED
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],  # without one, argparse would ask for it where the notebook is missing
        metavar="OVERRIDE",
        help="a Hydra override of the configuration, such as assets=my_assets or dry_run=true",
    )


def add_allow_dirty(group: argparse._ActionsContainer) -> None:
    """The flag that lets uncommitted code run."""
    group.add_argument(
        "--allow-dirty", action="store_true", help="run with uncommitted changes, and record them as a patch"
    )


INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's own ``--info`` takes."""


def add_configuration_flags(parser: argparse.ArgumentParser) -> None:
    """Flags about the configuration of a run, and the catalog that it is recorded in."""
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--list-configs", action="store_true", help="show the group=entry choices that there are, and exit"
    )
    group.add_argument(
        "--cfg",
        choices=("job", "hydra", "all"),
        help="show the composed configuration ('job'), Hydra's own ('hydra') or both ('all'), and exit",
    )
    group.add_argument(
        "--info",
        choices=INFO,
        metavar="[WHAT]",  # ``normalize`` completes a bare one
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
    """The two flags that name a Deriva catalog, with what each is for."""
    group.add_argument("--host", metavar="HOST", help=host)
    group.add_argument("--catalog", metavar="CATALOG", help=catalog)


def whole_number(least: int, unit: str) -> Callable[[str], int]:
    """A type for arguments that are a number of something, from ``least`` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit} ({least} or more)")
        return value

    return number


def normalize(argv: Sequence[str]) -> list[str]:
    """The arguments with a bare ``--info`` completed, since what follows it may be an override."""
    return [
        "--info=all" if word == "--info" and (argv[i + 1 : i + 2] or [""])[0] not in INFO else word
        for i, word in enumerate(argv)
    ]


def hydra_flags(args: argparse.Namespace) -> list[str]:
    """Hydra's overrides, with those that ``--host``, ``--catalog`` and ``--offline`` stand for."""
    from deriva_ml.execution.refusals import quoted

    flags = {"deriva_ml.hostname": args.host, "deriva_ml.catalog_id": args.catalog}
    named = [f"{key}={quoted(value)}" for key, value in flags.items() if value]
    return [*args.overrides, *named, *(["deriva_ml.offline=true"] if args.offline else [])]


def show(args: argparse.Namespace, chosen: Callable[[], tuple[str, Sequence[str]]]) -> None:
    """Print what ``--list-configs``, ``--cfg`` or ``--info`` ask of a configuration; run nothing.

    Args:
        chosen: tells which one, and with which overrides; the project's configurations have been loaded.

    Raises:
        DerivaMLRequestError: there is no such configuration, or an override does not fit it.
    """
    import hydra

    from deriva_ml.execution import hydra_config

    if args.list_configs:
        print_lines(hydra_config.menu())
        return
    name, overrides = chosen()
    hydra_config.compose(name, overrides)  # refuses in one line what Hydra would refuse in many
    sys.argv = [sys.argv[0], *overrides, *(["--cfg", args.cfg] if args.cfg else ["--info", args.info])]

    @hydra.main(version_base="1.3", config_name=name, config_path=None)
    def nothing(config: object) -> None:
        """Hydra prints before it would call this."""

    nothing()


def recover_orphans(project: Project) -> None:
    """Close what earlier commands were killed in, before this one begins."""
    from deriva_ml.execution.recovery import recover_project

    recover_project(project)


def aligned(rows: Sequence[Sequence[Any]], width: int | None = None, elastic: Sequence[Any] = ()) -> str:
    """Aligned columns, one row a line.

    Args:
        rows: the first has the headings.
        width: what a line has room for, in columns of a terminal; None for as much as there is.
        elastic: the headings of columns that are cut where a line would be longer, the widest first.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(_breadth, column)) for column in zip(*cells, strict=True)]
    places = [place for place, heading in enumerate(rows[0]) if heading in elastic]
    excess = sum(widths) + 2 * len(widths) - 2 - (width or sys.maxsize)
    while excess > 0 and places:
        widest = max(places, key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    lines = []
    for row in cells:
        cut = [
            _cut(cell, room) if place in places else cell
            for place, (cell, room) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cell + " " * (room - _breadth(cell)) for cell, room in zip(cut, widths, strict=True))
        lines.append(_cut(line.rstrip(), width or sys.maxsize))
    return "\n".join(lines)


NARROWEST = 8
"""Columns of a terminal that a cell of a table keeps, however narrow that is."""


def _breadth(text: str) -> int:
    """Columns that a text takes on a terminal: two for a character of East Asia, none for what combines with another
    (https://www.unicode.org/reports/tr11/)."""
    if text.isascii():
        return len(text)
    return sum(
        2
        if unicodedata.east_asian_width(one) in "WF"
        else unicodedata.category(one) not in {"Mn", "Me", "Cf"}
        for one in text
    )


def _cut(text: str, room: int) -> str:
    """The text, or as much of it as fits with a mark of the cut."""
    if _breadth(text) <= room:
        return text
    text = text[: 2 * room]
    while _breadth(text) > room - 1:
        text = text[:-1]
    return f"{text}…"


def say_recorded(project: Project, rid: str, took: str = "", lines: Sequence[str] = ()) -> bool:
    """Print how an execution ended and where its record is; False if it has not come to where it is to go.

    Args:
        took: a note on the time it took.
        lines: what to say before the record.
    """
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.execution.upload import recorded

    with closing(open_local(project)) as catalog:
        found = recorded(catalog, rid)
        held = found.waits and catalog.journal.is_held(found.local)
    print(f"Execution {found.rid}: {found.status}{took}")
    for line in [*lines, f"record    {found.link}"]:
        print(f"  {line}")
    if found.waits:
        print(f"  upload    uv run deriva-ml-upload {found.local}")
    return held or not found.waits


def relative(path: Path) -> Path:
    """The path as one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
