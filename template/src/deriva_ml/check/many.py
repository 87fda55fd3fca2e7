"""Many files checked: by several processes, since what takes the time is Python's own work."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deriva_ml.check.checking import Checker, Finding

WORTH_A_PROCESS = 40
"""Files for which another process is started: as many as are checked while it starts."""


def check_all(checker: Checker, files: Sequence[Path]) -> Iterator[list[Finding]]:
    """Yield what is found in each file, in order.

    Raises:
        DerivaMLRequestError: a project's settings are not as they have to be.
    """
    _keep_garbage()
    workers = min(os.cpu_count() or 1, len(files) // WORTH_A_PROCESS)
    if workers < 2:
        yield from map(checker.check, files)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Elsewhere than on Linux a copy of a process is not safe.
    context = get_context("fork" if sys.platform == "linux" else None)
    chunk = max(len(files) // (workers * 8), 1)
    gc.freeze()  # so that no process looks for garbage in what it shares with the others
    with ProcessPoolExecutor(workers, context, _begin, (checker,)) as pool:
        yield from pool.map(_check, files, chunksize=chunk)
    gc.unfreeze()


_checkers: list[Checker] = []
"""That of this process, which keeps what it learns of a project from file to file."""


def _begin(checker: Checker) -> None:
    _keep_garbage()
    _checkers[:] = [checker]


def _check(path: Path) -> list[Finding]:
    return _checkers[0].check(path)


def _keep_garbage() -> None:
    """Look for garbage rarely: syntax trees are many objects, none of which refer back, and go as soon as nobody has them."""
    gc.set_threshold(100_000, 50, 50)
