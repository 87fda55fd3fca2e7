"""How a run is told to stop: SIGINT and SIGTERM as exceptions, or ignored where a record depends on what is done."""

from __future__ import annotations

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


class Terminated(BaseException):
    """The process was asked to end (SIGTERM); like ``KeyboardInterrupt``, no handler of errors catches it."""


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
    """Take a scheduler's warning that the time is nearly over (SIGUSR2) as SIGTERM; ``terminated_by`` tells."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR2"):
        yield
        return

    def warned(*_: Any) -> None:
        _by_limit.set()
        signal.raise_signal(signal.SIGTERM)

    _by_limit.clear()
    before = signal.signal(signal.SIGUSR2, warned)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def terminated_by() -> str:
    """Return why ``Terminated`` was raised, as records say it."""
    return (
        "terminated by the scheduler's time limit (SIGUSR2)" if _by_limit.is_set() else "terminated (SIGTERM)"
    )


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let no SIGINT or SIGTERM interrupt what is done inside: it is short, and a record depends on it."""
    with _handling(signal.SIG_IGN):
        yield


def end_by(error: BaseException) -> tuple[Status, str]:
    """Return how what an error has ended is recorded: its status and the reason."""
    if isinstance(error, KeyboardInterrupt | Terminated):
        return Status.aborted, terminated_by() if _by_limit.is_set() else "interrupted"
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
