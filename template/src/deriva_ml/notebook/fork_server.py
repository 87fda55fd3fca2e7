"""The process that kernels are forked from: it has loaded what they load, runs no code of the project, has one thread."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deriva_ml.notebook import kernel as kernels

LOADED = (
    "deriva_ml.notebook.streams",
    *kernels.PRELOAD,
    "deriva_ml.execution.notebook_api",
    "deriva_ml.execution.configuration_record",
    "deriva_ml.execution.kept_commits",
    "deriva_ml.execution.model_run",
    "tomllib",
)
"""What a kernel loads anyway. None of it is the project's, or takes a choice that is the project's, as numpy does of its
threads."""

LOADED_LATER = (
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.core.logger",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "encodings.idna",
    "faulthandler",
)
"""What ipykernel and IPython load as they start, in the versions that have it."""

COMPOSING = "deriva_ml.config.compose"
"""What kernels compose with, among what they load."""

LOOK_SECONDS = 1.0
"""How often the server looks whether its runner lives: usually the end of their socket tells."""

PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""


def _main() -> None:
    gc.disable()  # nothing of what is being loaded is garbage
    server, before = Server(socket.socket(fileno=int(sys.argv[1]))), dict(os.environ)
    for name in LOADED:
        importlib.import_module(name)
    for name in LOADED_LATER:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    _compose_nothing()
    gc.collect()
    gc.freeze()
    set_by_loading = dict(os.environ.items() - before.items())
    if request := server.serve():
        _be_kernel(request["argv"], {**request["environment"], **set_by_loading})
    else:
        os._exit(0)  # to take down all that was loaded takes as long as to load a part of it


def _compose_nothing() -> None:
    """Compose an empty configuration, after which each kernel's takes half as long: parsers and types know their ways.

    Of Hydra's plugins this uses its own alone, and forgets them: others may be the project's.
    """
    from hydra.core.singleton import Singleton
    from omegaconf.basecontainer import BaseContainer

    held = dict(Singleton._instances), dict(BaseContainer._resolvers)
    sys.modules["hydra_plugins"] = None  # type: ignore[assignment]  # an import of it raises
    with suppress(Exception):  # a kernel's composition says what is wrong
        importlib.import_module(COMPOSING).warm_up()
    del sys.modules["hydra_plugins"]
    Singleton._instances, BaseContainer._resolvers = held


class Server:
    """Forks kernels for its runner and tells it how they ended.

    Each kernel has a socket of its own for that. One whose socket the runner has closed is ended; one that has ended
    stays a zombie until then, so that its number means it that long, as with ``subprocess``.
    """

    def __init__(self, control: socket.socket) -> None:
        control.set_inheritable(False)
        self._control, self._runner = control, os.getppid()
        self._kernels: dict[int, socket.socket] = {}
        self._ended: set[int] = set()
        self._dropped: set[int] = set()
        self._library = ctypes.CDLL(None)

    def serve(self) -> dict[str, Any] | None:
        """Go on until the runner is gone, and end kernels that live then.

        Returns:
            A request, in the process that was forked for it; None in the server.
        """
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for answers, log in self._asked(woken):
            try:
                request = _read(answers)
                _check_one_thread()
                server, pid = os.getpid(), os.fork()
            except (
                OSError,
                ValueError,
            ):  # the runner starts one afresh, and says what is wrong if that fails
                answers.close()
                os.close(log)
                continue
            if pid:
                os.close(log)
                self._kernels[pid] = answers
                continue
            os.setsid()
            self._library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, before)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for number in (log, woken, wake):
                os.close(number)
            for other in (self._control, *self._kernels.values()):
                other.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, request["mask"])
            _tell(answers, pid=os.getpid())
            answers.close()
            return request
        for pid in self._kernels.keys() - self._ended:
            kernels.kill_group(pid)
        return None

    def _asked(self, woken: int) -> Iterator[tuple[socket.socket, int]]:
        """Yield, for each kernel that is to be, the socket for answers and the open log; see to the others meanwhile."""
        while os.getppid() == self._runner:
            held = {one.fileno(): pid for pid, one in self._kernels.items() if pid not in self._dropped}
            control = self._control.fileno()
            ready, _, _ = select.select([control, woken, *held], [], [], LOOK_SECONDS)
            for pid in (held[number] for number in ready if number in held):  # it can read the end alone
                self._dropped.add(pid)
                if pid not in self._ended:
                    kernels.kill_group(pid)
            if woken in ready:
                os.read(woken, 4096)
            self._see_to_ended()
            if control in ready:
                _, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
                if not descriptors:
                    return
                yield socket.socket(fileno=descriptors[0]), descriptors[1]

    def _see_to_ended(self) -> None:
        for pid, answers in [*self._kernels.items()]:
            if pid not in self._ended and (
                ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            ):
                self._ended.add(pid)
                exited = ended.si_code == os.CLD_EXITED
                _tell(answers, status=ended.si_status if exited else -ended.si_status)
            if pid in self._ended & self._dropped:
                os.waitpid(pid, 0)
                self._kernels.pop(pid).close()
                self._ended.remove(pid)
                self._dropped.remove(pid)


def _check_one_thread() -> None:
    """Raise a ValueError if there is another thread, whose locks a forked process would never see opened."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise ValueError("the server that kernels are forked from has more than one thread")


def _read(answers: socket.socket) -> dict[str, Any]:
    with answers.makefile("rb") as stream:
        return dict(json.loads(stream.readline()))


def _tell(answers: socket.socket, **said: Any) -> None:
    with suppress(OSError):  # nobody asks any more
        answers.sendall(json.dumps(said).encode() + b"\n")


def _be_kernel(command: list[str], variables: dict[str, str]) -> None:
    """Be what a command would start."""
    from deriva_ml.notebook.streams import KernelApp

    loaded = {*sys.modules}
    variables["JPY_PARENT_PID"] = str(os.getppid())
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
    sys.orig_argv = command
    sys.argv = [str(kernels.__file__), *command[3:]]
    now = time.time_ns()  # from which on the records of loggers count
    vars(logging)["_startTime"] = now if isinstance(vars(logging)["_startTime"], int) else now / 1e9
    gc.enable()
    KernelApp.launch_instance(parent_handle=os.getppid())
    _end(loaded)


def _end(loaded: set[str]) -> None:
    """End as the interpreter does, but without taking down what the server has loaded, which takes longer than a small run.

    Threads are waited for, exit handlers run, what cells and the project's modules hold goes, and files that are open get
    what was written to them, whoever holds them; then whatever is not Python's ends as always.

    Args:
        loaded: names of the modules that the server has loaded.
    """
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()  # with IPython's, what cells hold goes
    _flush_files()  # of what goes in a cycle the interpreter may close the file before
    others = loaded | sys.stdlib_module_names
    for name, module in reversed([*sys.modules.items()]):  # what came later may need what was there before
        if name not in loaded and name.partition(".")[0] not in others:
            if "site-packages" not in (getattr(module, "__file__", None) or ""):
                vars(module).update(dict.fromkeys(vars(module).keys() - {"__builtins__"}))
    gc.collect()
    _flush_files()
    ctypes.PyDLL(None).exit(0)  # with the interpreter's lock: no other thread goes on


def _flush_files() -> None:
    for one in gc.get_objects():
        if isinstance(one, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)):
            with suppress(OSError, ValueError):  # it is closed, or takes nothing more
                one.flush()


if __name__ == "__main__":
    _main()
