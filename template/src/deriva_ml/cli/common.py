"""What the commands share: errors as lines and exit statuses, and the flags about configurations."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Terminated, ignore_stops
from deriva_ml.project import Project

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
        arguments = list(sys.argv[1:] if argv is None else argv)
        try:
            return main(arguments)
        except DerivaMLException as error:
            if "--debug" in arguments:
                raise
            print(f"error: {error}", file=sys.stderr)
            return WRONG_REQUEST if isinstance(error, DerivaMLRequestError) else FAILED
        except Terminated:
            ignore_stops()
            print("terminated", file=sys.stderr)
            return FAILED
        except BrokenPipeError:
            # The reader of a pipe (head, less) went away; that is no error of the person's.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            # A disk that is full or read-only, or a damaged catalog; sqlite3 is not loaded for its errors' names.
            known = isinstance(error, OSError) or type(error).__module__ == "sqlite3"
            if "--debug" in arguments or not known:
                raise
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            ignore_stops()  # another Ctrl-C, while Python shuts down, would change the exit status
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return entry


INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's own ``--info`` takes."""


def add_hydra_flags(parser: argparse.ArgumentParser) -> None:
    """The flags about configurations and the catalog, the same for notebooks and models."""
    group = parser.add_argument_group("configuration")
    group.add_argument("--list-configs", action="store_true", help="show the group=value entries and stop")
    group.add_argument(
        "--cfg", choices=("job", "hydra", "all"), help="show the composed configuration and stop"
    )
    group.add_argument("--info", choices=INFO, help="show what Hydra knows ('all' by itself) and stop")
    group.add_argument("--host", help="record into the Deriva catalog on this server")
    group.add_argument("--catalog", help="the number or alias of that catalog")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def normalize(argv: Sequence[str]) -> list[str]:
    """The arguments with a bare ``--info`` completed, since what follows it may be an override."""
    return [
        "--info=all" if word == "--info" and (argv[i + 1 : i + 2] or [""])[0] not in INFO else word
        for i, word in enumerate(argv)
    ]


def hydra_flags(args: argparse.Namespace) -> list[str]:
    """Hydra's overrides, with those that ``--host`` and ``--catalog`` stand for."""
    flags = {"deriva_ml.hostname": args.host, "deriva_ml.catalog_id": args.catalog}
    return [*args.overrides, *(f"{key}={value}" for key, value in flags.items() if value)]


def show(args: argparse.Namespace, project: Project, name: str, overrides: Sequence[str]) -> None:
    """Print what ``--list-configs``, ``--cfg`` or ``--info`` ask of the configuration ``name``; run nothing.

    Raises:
        DerivaMLRequestError: there is no such configuration, or an override does not fit it.
    """
    import hydra

    from deriva_ml.execution import hydra_config

    hydra_config.find_configs(project)
    if args.list_configs:
        print(hydra_config.menu())
        return
    hydra_config.compose(name, overrides)  # refuses in one line what Hydra would refuse in many
    sys.argv = [sys.argv[0], *overrides, *(["--cfg", args.cfg] if args.cfg else ["--info", args.info])]

    @hydra.main(version_base="1.3", config_name=name, config_path=None)
    def nothing(config: object) -> None:
        """Hydra prints before it would call this."""

    nothing()


def relative(path: Path) -> Path:
    """The path as one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
