"""How a run is told to stop: SIGINT and SIGTERM as exceptions, or ignored where a record depends on what is done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from deriva_ml.definitions import Status
from deriva_ml.exceptions import DerivaMLException

_STOPS = (signal.SIGINT, signal.SIGTERM)

_by_limit = threading.Event()
"""A scheduler has told this process that its time is nearly over."""

_expected: list[str] = []
"""Why this process is about to be terminated, where it knows; the first counts."""


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM); like ``KeyboardInterrupt``, no handler of errors catches it.

    A ``SystemExit``, since an event loop keeps what else is raised in its callbacks and tasks to itself. One that is
    not caught ends the process with 1.
    """

    def __init__(self, status: int = 1) -> None:
        super().__init__(status)


@contextmanager
def raise_on_signals(once: bool = False) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` or ``Terminated`` on SIGINT or SIGTERM.

    With ``once``, further ones are ignored: what ends the run has as long as it takes, however impatient the
    person is.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if once:
            ignore_stops()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    with _handling(stop):
        yield


@contextmanager
def time_limit_heeded() -> Iterator[None]:
    """Take a scheduler's warning that the time is nearly over (SIGUSR2) as SIGTERM; ``terminated_by`` tells.

    Reasons of before are forgotten: a process may do many things, one after the other.
    """
    _by_limit.clear()
    _expected.clear()
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR2"):
        yield
        return

    def warned(*_: Any) -> None:
        _by_limit.set()
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGUSR2, warned)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def terminated_by() -> str:
    """Return why ``Terminated`` was raised, as records say it."""
    if _expected:
        return _expected[0]
    how = "by the scheduler's time limit (SIGUSR2)" if _by_limit.is_set() else "(SIGTERM)"
    return f"terminated {how}{_scheduled()}"


def expect_end(reason: str) -> None:
    """Have ``terminated_by`` give a reason for the SIGTERM that comes next."""
    _expected.append(reason)


def _scheduled() -> str:
    """Return which job of a scheduler this process is, which may have sent the signal: the signal does not tell."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    return f" in job {job} of Slurm" if job else ""


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let no SIGINT or SIGTERM interrupt what is done inside: it is short, and a record depends on it."""
    with _handling(signal.SIG_IGN):
        yield


def end_by(error: BaseException) -> tuple[Status, str]:
    """Return how what an error has ended is recorded: its status and the reason."""
    if isinstance(error, KeyboardInterrupt | Terminated):
        return Status.aborted, terminated_by() if isinstance(error, Terminated) else "interrupted"
    text = str(error) if isinstance(error, DerivaMLException) else f"{type(error).__name__}: {error}"
    return Status.failed, text


def ignore_stops() -> None:
    """Ignore SIGINT and SIGTERM from now on."""
    _set(signal.SIG_IGN)


def _set(handler: Any) -> dict[signal.Signals, Any]:
    """Handle both signals so, and return how each was handled before."""
    return {number: signal.signal(number, handler) for number in _STOPS}


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = _set(handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
