"""Has kernels forked from a server process that has loaded what every kernel loads, where that is safe."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

PER_KERNEL = ("DERIVA_ML_", "JPY_PARENT_PID", "_THREADS", "_VISIBLE_DEVICES")
"""What the names begin or end with of variables that nothing reads which the server has loaded. They may be other ones
for each kernel; with any other difference, a kernel is started afresh."""

START_SECONDS = 60
"""How long a server may take to load and to answer."""

_servers = weakref.WeakSet["ForkServer"]()


class ForkedProcess:
    """A kernel that the server forked; used as a ``subprocess.Popen``, but ends with the server, and with this object."""

    stdin = stdout = stderr = None

    def __init__(self, answers: socket.socket) -> None:
        """Wait until it is there.

        Raises:
            ChildProcessError: it is not forked.
            subprocess.TimeoutExpired: the server does not answer.
        """
        self._answers = answers
        self._received = b""
        self._reading = threading.Lock()
        self.returncode: int | None = None
        told = self._answer(START_SECONDS)
        if "pid" not in told:
            raise ChildProcessError
        self.pid: int = told["pid"]

    def poll(self) -> int | None:
        """Return how it ended, as ``subprocess.Popen`` does; None while it lives."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it lives after ``timeout`` seconds.
        """
        with self._reading:
            if self.returncode is None:
                # A server that is killed takes its kernels along, and tells nothing any more.
                self.returncode = self._answer(timeout).get("status", -signal.SIGKILL)
                self._answers.close()
        return self.returncode

    def _answer(self, timeout: float | None) -> dict[str, Any]:
        """Return the next thing that is told of the process; empty if the server is gone."""
        while b"\n" not in self._received:
            try:
                self._answers.settimeout(timeout)
                received = self._answers.recv(4096)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("the kernel", timeout or 0) from None
            except OSError:
                received = b""
            if not received:
                return {}
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A process from which kernels of one folder are forked; it ends, with them, when this process does.

    If it is killed, the next kernel has another one; one that never forked any is not tried again.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder, self._variables = folder, dict(variables)
        self._asking = threading.Lock()
        self._begin()
        _servers.add(self)

    def _begin(self) -> None:
        self._proven = False
        self._control, theirs = socket.socketpair()
        try:
            with theirs, tempfile.TemporaryFile() as said:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "deriva_ml.notebook.fork_server", str(theirs.fileno())],
                    cwd=self._folder,
                    env=self._variables,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except OSError:
            self._control.close()
            raise

    @classmethod
    def start(cls, folder: Path, environment: Mapping[str, str] | None = None) -> ForkServer | None:
        """Start a server for the kernels of notebooks in ``folder``, which loads while this process goes on.

        Args:
            environment: variables to set beside this process's.

        Returns:
            The server; None where kernels are not forked. macOS's own libraries may not be used in a process that was
            forked, and Windows forks none.
        """
        if sys.platform != "linux":
            return None
        try:
            return cls(folder, {**os.environ, **(environment or {})})
        except OSError:  # a kernel that is started afresh says so
            return None

    def fork(
        self, command: Sequence[str], folder: Path, log: IO[bytes], variables: Mapping[str, str]
    ) -> ForkedProcess | None:
        """Fork a kernel, as ``command`` would start it.

        Returns:
            The process; None if this server cannot give that kernel, because it was started for another folder or
            with other variables, has a second thread or no room, does not answer, or is gone.
        """
        if folder != self._folder or not self._has(variables):
            return None
        request = {
            "argv": list(command),
            "environment": dict(variables),
            "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        }
        mine, theirs = socket.socketpair()
        try:
            with theirs, self._asking:
                if self._proven and self._process.poll() is not None:
                    self._control.close()
                    self._begin()
                socket.send_fds(self._control, [b"k"], [theirs.fileno(), log.fileno()])
            mine.sendall(json.dumps(request).encode() + b"\n")
            process = ForkedProcess(mine)
        except BaseException as error:
            mine.close()  # with which the server ends what it has forked nevertheless
            if isinstance(error, (OSError, subprocess.TimeoutExpired)):
                return None
            raise
        self._proven = True
        return process

    def _has(self, variables: Mapping[str, str]) -> bool:
        """Whether what the server has loaded is what it would load with these variables."""
        changed = dict(variables.items() ^ self._variables.items())
        return all(name.startswith(PER_KERNEL) or name.endswith(PER_KERNEL) for name in changed)

    def close(self) -> None:
        """End the server, and kernels of it that live; its processor time counts as this process's then."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # whoever else holds it
        self._control.close()
        if not self._proven:  # it may still be loading, for nobody
            self._process.kill()
        self._process.wait()


def _let_go() -> None:
    """Leave the servers to the parent: they would live as long as a forked child, which shares the sockets."""
    for server in _servers:
        server._control.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
