"""Makes a function a command: errors and warnings as lines, exit statuses, output that no closed pipe stops."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.cli.arguments import take_parameters
from deriva_ml.cli.output import unbroken_output
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.signals import Terminated, ignore_stops
from deriva_ml.terminal import one_line, tell, warn

WRONG_REQUEST = 2
COULD_NOT_RUN = 3
FAILED = 1
INTERRUPTED = 130

Main = Callable[[Sequence[str]], int | None]


def command(main: Main) -> Callable[..., int]:
    """Make ``main(argv) -> status`` a console script that never shows a traceback for a person's mistake.

    Returning no status is 0, as for the subcommands that a ``main`` calls. A ``DerivaMLRequestError`` ends with status 2, any other ``DerivaMLException`` with 1, Ctrl-C with 130.
    ``--debug`` among the arguments lets the traceback through.
    """

    @functools.wraps(main)
    def entry(argv: Sequence[str] | None = None) -> int:
        with unbroken_output(), _warnings_as_lines():
            return status(list(sys.argv[1:] if argv is None else argv))

    def status(arguments: list[str]) -> int:
        debugging = "--debug" in take_parameters(arguments)[1]
        try:
            return main(arguments) or 0
        except DerivaMLException as error:
            if debugging:
                raise
            tell(f"error: {error}")
            return WRONG_REQUEST if isinstance(error, DerivaMLRequestError) else FAILED
        except Terminated:
            ignore_stops()
            tell("terminated")
            return FAILED
        except Exception as error:
            # A disk that is full or read-only, or a damaged catalog; sqlite3 is not loaded for its errors' names.
            known = isinstance(error, OSError) or type(error).__module__ == "sqlite3"
            if debugging or not known:
                raise
            tell(f"error: {_said(error)}")
            return FAILED
        except KeyboardInterrupt:
            ignore_stops()  # another Ctrl-C, while Python shuts down, would change the exit status
            tell("interrupted")
            return INTERRUPTED

    return entry


def _said(error: Exception) -> str:
    """Return what a person is told of an error of the disk or the catalog."""
    if folder := disk.refusing_folder(error):
        return disk.not_taken(folder, "this user may not write there")
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
        from traceback import walk_stack

        files = [filename, *(frame.f_code.co_filename for frame, _ in walk_stack(sys._getframe(1)))]
        if not all(file.startswith(ours) for file in files):
            as_python_does(message, category, filename, *others, **named)
        elif (text := one_line(message)) not in told:
            told.add(text)
            warn(text)

    with warnings.catch_warnings():
        warnings.showwarning = tell
        yield
