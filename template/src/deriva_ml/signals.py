"""Turns a request to stop into an exception that a run ends with, and keeps one from cutting its record short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """The process was asked to end (SIGTERM); like ``KeyboardInterrupt``, no handler of errors catches it."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` or ``Terminated`` on the first SIGINT or SIGTERM, and ignore any further one.

    What ends the run has then as long as it takes, however impatient the person is.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        ignore_stops()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    with _handling({signal.SIGINT: stop, signal.SIGTERM: stop}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no SIGINT or SIGTERM interrupt what is done inside: it is short, and a record depends on it."""
    with _handling({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


def ignore_stops() -> None:
    """Ignore SIGINT and SIGTERM from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _handling(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
