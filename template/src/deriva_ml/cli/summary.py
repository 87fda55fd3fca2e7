"""What a command says of an execution when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml.project import Project
from deriva_ml.terminal import print

if TYPE_CHECKING:
    from deriva_ml.execution.upload import Recorded


def print_summary(project: Project, rid: str, took: str = "", lines: Sequence[str] = ()) -> bool:
    """Print how an execution ended and where its record is; False if it has not come to where it is to go.

    Args:
        took: a note on the time it took.
        lines: what to say before the record.
    """
    found, sent = find(project, rid)
    print(f"Execution {found.rid}: {found.status}{took}")
    for line in [*lines, f"record    {found.link}"]:
        print(f"  {line}")
    if found.waits:
        print(f"  upload    uv run deriva-ml-upload {found.local}")
    return sent


def find(project: Project, rid: str) -> tuple[Recorded, bool]:
    """Return where an execution is recorded, and whether its record has come to where it is to go, or is not to go yet."""
    from deriva_ml.catalog.connection import open_local
    from deriva_ml.execution.upload import recorded

    with closing(open_local(project)) as catalog:
        found = recorded(catalog, rid)
        return found, not found.waits or catalog.journal.is_held(found.local)


def relative(path: Path) -> Path:
    """Return the path as one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
