"""Processes: which one answers for a run that is under way, and whether it has ended."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import deriva_ml.liveness as liveness


def shell() -> Any:
    """Return IPython's shell, if code runs here in cells; it is not loaded for the question."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module else None


@dataclass(frozen=True)
class Owner:
    """A process: its host's name, its number, and when it started (on whichever clock ``_started`` reads).

    Attributes:
        lock: by which others see that it lives, if it holds one; see ``liveness``.
    """

    host: str
    pid: int
    started: float
    lock: str = ""

    @classmethod
    def of(cls, pid: int | None = None) -> Owner:
        """Return the owner that process ``pid`` (default: this one) is."""
        pid = pid or os.getpid()
        return cls(platform.node(), pid, _started(pid))

    @classmethod
    def here(cls, state: Path) -> Owner:
        """Return this process, which holds a lock in a project's state folder from now on."""
        return replace(cls.of(), lock=liveness.show(state))

    def is_gone(self, state: Path) -> bool:
        """True when the process has surely ended.

        Host and number tell nothing of a process in another container, nor once the host has another name. A lock
        does. Where it cannot be asked, they have to do, and a process on another host is not said to be gone.
        """
        held = liveness.is_held(state, self.lock) if self.lock else None
        if held:
            return False
        if held is False and liveness.is_of_this_kernel(self.lock) and liveness.is_local(state):
            return True
        return self.host == platform.node() and self._has_ended()

    def is_here(self) -> bool:
        """True when the process is surely one that lives here, and may be sent a signal."""
        return self.host == platform.node() and self.pid > 1 and not self._has_ended()

    def variable(self, name: str) -> str:
        """Return an environment variable that the process was started with; empty if that cannot be told."""
        import psutil

        try:
            return psutil.Process(self.pid).environ().get(name, "")
        except (psutil.Error, OSError, ValueError, OverflowError):
            return ""

    def has_open(self, path: Path) -> bool:
        """Whether the process has a file open, by the path that it opened; false if that cannot be told."""
        import psutil

        try:
            return str(path) in {one.path for one in psutil.Process(self.pid).open_files()}
        except (psutil.Error, OSError, ValueError, OverflowError):
            return False

    def _has_ended(self) -> bool:
        import psutil

        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return zombie or abs(_started(self.pid) - self.started) > 1
        except (psutil.NoSuchProcess, ValueError, OverflowError):  # no number that a process can have
            return True
        except psutil.AccessDenied:
            return False


def _started(pid: int) -> float:
    """Return when a process started: in clock ticks since the machine did, where Linux tells, else by the wall clock.

    The wall clock can be set while a run is going on, and every process seems to have started at another time.
    """
    try:
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        import psutil

        return float(psutil.Process(pid).create_time())
