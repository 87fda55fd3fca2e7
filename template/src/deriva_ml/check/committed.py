"""Notebooks as git has them, where a filter may have cleaned what is committed, and the working file has outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git

_LEFT_BY_A_RUN = r'"output_type"|"execution_count" *: *[0-9]'


@dataclass(eq=False)
class Committed:
    """The notebooks of a repository's index: what is staged, and else what the last commit has.

    Attributes:
        root: of the project, or the working directory.
        only: the one notebook that is asked for, where it is one.
    """

    root: Path
    only: Path | None = None

    @cached_property
    def suspects(self) -> frozenset[Path]:
        """Those that seem to have outputs or execution counts: found in one go, in all blobs."""
        paths = str(self.only.absolute()) if self.only else "*.ipynb"
        try:
            found = git(
                self.root, "grep", "--cached", "-z", "-l", "-E", _LEFT_BY_A_RUN, "--", paths, check=False
            )
        except DerivaMLRequestError:  # there is no git
            return frozenset()
        return frozenset((self.root / name).absolute() for name in found.split("\0") if name)

    def cells(self, path: Path) -> list[dict[str, Any]]:
        """Return the cells of a notebook as git has it; none if nothing seems to have been left there."""
        path = path.absolute()
        if path not in self.suspects:
            return []
        try:
            found = json.loads(git(path.parent, "show", f":./{path.name}"))
        except (DerivaMLRequestError, ValueError, RecursionError):
            return []
        cells = found.get("cells") if isinstance(found, dict) else None
        return [one for one in cells if isinstance(one, dict)] if isinstance(cells, list) else []
