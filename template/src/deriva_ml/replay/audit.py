"""What a repeated run read and started that its record does not name, as far as Python tells.

Python calls a hook when it opens a file or a socket, or starts a process (https://peps.python.org/pep-0578/). Libraries
in C that open files by themselves pass it by, and so do other programs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import deriva_ml.replay.audit_hook as audit_hook
from deriva_ml.untrusted import LARGEST

_OF_THE_SYSTEM = (
    "/etc/",
    "/usr/share/zoneinfo/",
    "/usr/share/locale/",
    "/usr/lib/locale/",
    "/usr/share/mime/",
)
"""Where files are that nearly every program reads, and of which results seldom depend."""

_OF_TOOLS = (".ipython", ".jupyter", ".config", ".cache/matplotlib", ".matplotlib", ".pyenv")
"""The same in a person's home."""


@dataclass
class Seen:
    """What was seen.

    Attributes:
        read: files outside of the run's own folders.
        missed: files of the working tree that were to be read and are not there.
        code: modules of the working tree.
        connected: hosts with their ports.
        started: programs.
    """

    read: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)


def install(folder: Path, notes: Path, known: Sequence[Path]) -> dict[str, str]:
    """Put the hook into a folder that comes first on the path of Python's modules; return the variables that it goes by.

    Args:
        folder: also that of the runner.
        notes: the file that is written.
        known: the folders of the run, in which nothing is noted but code and what is missing in the first one, the
            working tree.
    """
    shutil.copyfile(
        audit_hook.__file__, folder / "sitecustomize.py"
    )  # of whose time it goes by, so not copied
    return {
        audit_hook.NOTES: str(notes),
        audit_hook.KNOWN: os.pathsep.join(os.path.abspath(path) for path in (*known, folder)),
    }


def seen(notes: Path) -> Seen:
    """Return what the processes of a run noted, without what is of the system or of tools."""
    found = Seen()
    with suppress(OSError):  # nothing was seen
        with notes.open("rb") as stream:
            lines = stream.read(LARGEST).splitlines()
        tools = tuple(os.path.join(os.path.expanduser("~"), name) + os.sep for name in _OF_TOOLS)
        for line in dict.fromkeys(lines):
            with suppress(ValueError, AttributeError, TypeError):  # the disk took half of it
                for kind, what in json.loads(line).items():
                    if not (kind == "read" and what.startswith((*_OF_THE_SYSTEM, *tools))):
                        getattr(found, kind).append(what)
    return found
