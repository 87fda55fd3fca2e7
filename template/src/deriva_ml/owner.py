"""Who answers for a run that is under way: a process, told apart from a later one that got the same number."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass


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
