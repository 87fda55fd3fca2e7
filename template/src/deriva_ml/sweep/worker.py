"""Ends a process that a launcher keeps for jobs when the process is gone that would give it any."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml.process import Owner
from deriva_ml.sweep.folder import JobFolder, SweepFolder

LOOK_SECONDS = 1.0
"""How often a process looks whether that one lives."""

_at_work = set[Path]()
"""The folders of the jobs that run here."""


def is_forsaken(sweep: SweepFolder, submitter: Owner) -> bool:
    """Whether the submitting process is gone, and no job is to go on without it."""
    return submitter.is_gone(sweep.state) and not sweep.is_detached()


@contextmanager
def at_work(sweep: SweepFolder, job: JobFolder, submitter: Owner) -> Iterator[None]:
    """Do a job inside; this process, if it is not that one, ends when the sweep is forsaken and no job runs here any more.

    A launcher's own process ends when the launcher tells it to. If the submitting process is killed nobody does, and it
    would wait for its next job for ever. With it ends what it has started, such as kernels.
    """
    _at_work.add(job.path)
    if submitter != Owner.here(sweep.state):
        _watch(sweep.path, submitter)
    try:
        yield
    finally:
        _at_work.remove(job.path)


@functools.cache
def _watch(folder: Path, submitter: Owner) -> None:
    sweep = SweepFolder(folder)

    def look() -> None:
        while not is_forsaken(sweep, submitter) or _at_work:  # a job that begins after that does not run
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, name=f"sweep {sweep.rid}", daemon=True).start()
