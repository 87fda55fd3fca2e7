"""Processes: who answers for a run that is under way, and how a run is told to stop."""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A process: its host's name, its number, and when it started (seconds since the epoch)."""

    host: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> Owner:
        """The owner that process ``pid`` (default: this one) is."""
        import psutil

        pid = pid or os.getpid()
        return cls(platform.node(), pid, psutil.Process(pid).create_time())

    def is_gone(self) -> bool:
        """True when the process has surely ended. One on another host is never said to be gone."""
        import psutil

        if self.host != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > 1 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


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
