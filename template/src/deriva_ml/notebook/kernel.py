"""Starts a kernel process as early as can be, talks to it over sockets that only its owner can read, ends it."""

from __future__ import annotations

import gc
import importlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.notebook.forking import ForkedProcess, ForkServer
from deriva_ml.notebook.language import named

IPC = os.name == "posix"
"""Unix sockets lie in a private folder, where a TCP port is open to everybody on the machine."""

LONGEST_SOCKET_FOLDER = 80
"""Characters; a Unix socket's whole path has room for about a hundred."""

RUN = "run"
"""The file in a kernel's private folder that names the folder of its run."""

PREFIX = "dml-"
"""What the names of the kernels' private folders begin with."""

PRELOAD = (
    "deriva_ml.config.compose",
    "hydra",
    "deriva_ml.config.modules",
    "deriva_ml.execution.execution",
    "deriva_ml.core",
)
"""What a notebook's first cells import; loaded in a thread while the kernel starts."""

GRACE_SECONDS = 5.0
"""How long a kernel that was asked to end may take over its exit handlers."""


@dataclass
class Kernel:
    """A kernel process, its connection file, the log that its own messages go to, and its environment variables.

    Attributes:
        own: whether it is the project's, and not one that was named.
    """

    process: subprocess.Popen[bytes] | ForkedProcess
    connection_file: Path
    log: Path
    environment: Mapping[str, str]
    own: bool = True
    _client: Any = None

    def shutdown(self) -> None:
        """Ask the kernel to run its exit handlers and end; do not wait for it."""
        if self.process.poll() is None:
            from jupyter_client.blocking.client import BlockingKernelClient

            # Open until the kernel has ended: closing it at once can lose the message.
            self._client = BlockingKernelClient(connection_file=str(self.connection_file))
            self._client.load_connection_file()
            self._client.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)
            self._client.shutdown()

    def kill(self, grace: float = 0.0) -> None:
        """See the kernel ended, within ``grace`` seconds by itself; processes that it started end with it."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        kill_group(self.process.pid)
        self.process.wait()
        if self._client:
            self._client.stop_channels()
            self._client.context.destroy(linger=0)
        shutil.rmtree(self.connection_file.parent, ignore_errors=True)

    def last_log_line(self) -> str:
        """The last line that the kernel process itself wrote, if any."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        return text.strip().rpartition("\n")[2].strip()

    def exit_reason(self) -> str:
        """Why the process ended, in words."""
        code = self.process.wait()
        if code < 0:
            how = f"it was ended by {signal.Signals(-code).name}"
            return f"{how} (out of memory, perhaps)" if -code == getattr(signal, "SIGKILL", None) else how
        return f"it exited with status {code}; its last words: {self.last_log_line() or 'none'}"


def start(
    name: str | None,
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    server: ForkServer | None = None,
) -> Kernel:
    """Start a kernel in ``folder``: this interpreter, or the installed kernel ``name``.

    Args:
        folder: the kernel's working directory.
        log: where the process's own output goes.
        environment: variables to set beside this process's, and over those that an installed kernel has of its own.
        server: where this interpreter's kernel may be forked from; it is started afresh if that server cannot give it.

    Raises:
        DerivaMLRequestError: no kernel of that name is installed, or it is one of another language.
        DerivaMLRunError: the process cannot be started.
    """
    private = Path(tempfile.mkdtemp(prefix=PREFIX))
    if IPC and len(str(private)) > LONGEST_SOCKET_FOLDER:
        private.rmdir()
        private = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    (private / RUN).write_text(str(log.parent), encoding="utf-8")
    connection_file = private / "kernel.json"
    if IPC:
        _write_ipc_connection(connection_file, private / "s")
    else:
        from jupyter_client.connect import write_connection_file

        write_connection_file(str(connection_file))
    command = [sys.executable, "-m", "deriva_ml.notebook.kernel", "-f", str(connection_file)]
    command.append("--HistoryManager.enabled=False")  # a recorded run is no part of a person's history
    own: dict[str, str] = {}
    try:
        if name:
            command, own = _installed(name, connection_file)
        # The kernel ends by itself when this process does, even if that is killed.
        variables = {**os.environ, **own, **environment, "JPY_PARENT_PID": str(os.getpid())}
        process: subprocess.Popen[bytes] | ForkedProcess | None = None
        with log.open("wb") as stream:
            if server and not name:
                process = server.fork(command, folder, stream, variables)
            process = process or subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches the runner alone, which then decides
            )
    except (OSError, DerivaMLRequestError) as error:
        shutil.rmtree(private)
        if isinstance(error, DerivaMLRequestError):
            raise
        raise DerivaMLRunError(f"the kernel cannot be started: {error}") from error
    return Kernel(process, connection_file, log, variables, own=not name)


def _write_ipc_connection(path: Path, socket_prefix: Path) -> None:
    """A connection file (https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files)."""
    channels = ("shell", "iopub", "stdin", "control", "hb")
    connection = {
        "transport": "ipc",
        "ip": str(socket_prefix),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python3",
        **{f"{channel}_port": number for number, channel in enumerate(channels, 1)},
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(connection))


def _installed(name: str, connection_file: Path) -> tuple[list[str], dict[str, str]]:
    """The command of an installed kernel, and the environment variables that its specification sets
    (https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs)."""
    from string import Template

    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager
    from traitlets import TraitError

    try:
        manager = KernelManager(kernel_name=name, connection_file=str(connection_file))
        command = list(manager.format_kernel_cmd())
        if not command:
            raise ValueError("its kernel.json has no argv")
    except (LookupError, ValueError, TypeError, OSError, TraitError) as error:
        known = KernelSpecManager().find_kernel_specs()
        if folder := known.get(name.lower()):
            raise DerivaMLRequestError(f"the kernel {name} in {folder} cannot be used: {error}") from error
        raise DerivaMLRequestError(
            f"no kernel is named {name}; installed: {', '.join(sorted(known)) or 'none'}"
        ) from error
    if manager.kernel_spec and (language := named(str(manager.kernel_spec.language))):
        raise DerivaMLRequestError(f"the kernel {name} runs {language}: only Python notebooks are run")
    own = manager.kernel_spec.env if manager.kernel_spec else {}
    return command, {key: Template(str(value)).safe_substitute(os.environ) for key, value in own.items()}


def clear_connection(folder: Path, run: Path) -> None:
    """Remove a kernel's private folder, which a runner that was killed left behind, if it says that it is this run's."""
    with suppress(OSError, ValueError):
        if not folder.is_symlink() and (folder / RUN).read_text(encoding="utf-8") == str(run):
            shutil.rmtree(folder, ignore_errors=True)


def kill_group(pid: int) -> None:
    """Kill a kernel and what it started, which are a process group of their own."""
    with suppress(ProcessLookupError, PermissionError, AttributeError):
        os.killpg(pid, signal.SIGKILL)


def _main() -> None:
    """Be a kernel: ipykernel, with what ``run_notebook`` needs loading while the runner still connects."""
    gc.disable()  # nothing of what is being loaded is garbage
    from deriva_ml.notebook.streams import KernelApp

    threading.Thread(target=_preload, daemon=True).start()
    KernelApp.launch_instance()


def _preload() -> None:
    try:
        for name in PRELOAD:
            importlib.import_module(name)
    finally:
        gc.freeze()  # modules outlive every collection, so that none need look at them
        gc.enable()


if __name__ == "__main__":
    _main()
