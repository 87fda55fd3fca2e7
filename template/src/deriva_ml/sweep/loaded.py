"""Sees that the code which a process has loaded is what still lies in the project's files, as a record of a job says."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError


class LoadedCode:
    """The modules of a project that this process has loaded, and what their files held then."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._held: dict[Path, tuple[tuple[int, int], str]] = {}
        self._own: dict[str, Path | None] = {}
        self._looked_ns = 0

    def see_unchanged(self) -> None:
        """See that no file of a loaded module has other contents than when it was loaded.

        Jobs of a model run in one process, one after the other: with code that was loaded for the first. A module that
        came later was loaded since the last look, and its file may not have changed since then.

        Raises:
            DerivaMLRequestError: one has.
        """
        now = time.time_ns()
        for path in self._files():
            try:
                found = path.stat()
                state = (found.st_mtime_ns, found.st_size)
                held = self._held.get(path)
                if held and held[0] == state:
                    continue
                contents = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                self._refuse(path)
            if held[1] != contents if held else self._looked_ns and state[0] > self._looked_ns:
                self._refuse(path)
            self._held[path] = state, contents
        self._looked_ns = now

    def _files(self) -> Iterator[Path]:
        for module in [*sys.modules.values()]:
            if name := getattr(module, "__file__", None):
                if name not in self._own:  # which takes longer to find out than all else
                    path = Path(name)
                    own = path.is_relative_to(self._root) and "site-packages" not in path.parts
                    self._own[name] = path if own else None
                if found := self._own[name]:
                    yield found

    def _refuse(self, path: Path) -> None:
        raise DerivaMLRequestError(
            f"{path.relative_to(self._root).as_posix()} has changed since this sweep loaded it, and its jobs are of one"
            " code: bring it back, or let --resume, with --new-code once it is committed, run what is left"
        )
