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


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Raise ``Terminated`` where SIGTERM would end the process at once."""
    with _handling({signal.SIGTERM: _terminate}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no SIGINT or SIGTERM interrupt what is done inside: it is short, and a record depends on it."""
    with _handling({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


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
