"""The process from which kernels are forked: it has loaded what they load, runs no code of the project, has one thread."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from deriva_ml.notebook import kernel as kernels

LOADED = ("deriva_ml.notebook.streams", *kernels.PRELOAD)
"""Modules that a kernel loads anyway. None of them may be the project's, or come with a choice that is the project's,
such as numpy's threads."""

LOOK_SECONDS = 1.0
"""How often the server looks whether its runner lives: usually the end of their socket tells."""

PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""


def _main() -> None:
    gc.disable()  # nothing of what is being loaded is garbage
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    if request := _serve(control):
        _be_kernel(request)


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork kernels until the runner is gone, and tell it how they ended; return a request in the process forked for it."""
    runner, kernels_here = os.getppid(), dict[int, socket.socket]()
    library = ctypes.CDLL(None)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    on_ended = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    while os.getppid() == runner:
        ready, _, _ = select.select([control, woken], [], [], LOOK_SECONDS)
        if woken in ready:
            os.read(woken, 4096)
        _reap(kernels_here)
        if control not in ready:
            continue
        _, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not descriptors:
            break
        answers, log = socket.socket(fileno=descriptors[0]), descriptors[1]
        try:
            request = _read(answers)
            _check_one_thread()
            server = os.getpid()
            pid = os.fork()
        except (OSError, ValueError) as error:
            _tell(
                answers, error=[getattr(error, "errno", 0) or 0, getattr(error, "strerror", "") or str(error)]
            )
            answers.close()
            os.close(log)
            continue
        if pid:
            kernels_here[pid] = answers
            os.close(log)
            continue
        os.setsid()
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, on_ended)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for sibling in (control, *kernels_here.values()):
            sibling.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, request["mask"])
        _tell(answers, pid=os.getpid())
        answers.close()
        for number in (log, woken, wake):
            os.close(number)
        return request
    for pid in kernels_here:
        kernels.kill_group(pid)
    return None


def _check_one_thread() -> None:
    """Raise a ValueError if there is another thread, whose locks a forked process would never see opened."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise ValueError("the server from which kernels are forked has more than one thread")


def _read(answers: socket.socket) -> dict[str, Any]:
    parts = []
    while part := answers.recv(1 << 16):
        parts.append(part)
    return dict(json.loads(b"".join(parts)))


def _reap(kernels_here: dict[int, socket.socket]) -> None:
    """Tell of each kernel that has ended how it did."""
    while kernels_here:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        if answers := kernels_here.pop(pid, None):
            _tell(answers, status=os.waitstatus_to_exitcode(status))
            answers.close()


def _tell(answers: socket.socket, **said: Any) -> None:
    with suppress(OSError):  # nobody asks any more
        answers.sendall(json.dumps(said).encode() + b"\n")


def _be_kernel(request: dict[str, Any]) -> None:
    """Be what the request's command would start."""
    from deriva_ml.notebook.streams import KernelApp

    variables = {**request["environment"], "JPY_PARENT_PID": str(os.getppid())}
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
    sys.orig_argv = request["argv"]
    sys.argv = [str(kernels.__file__), *request["argv"][3:]]
    gc.enable()
    KernelApp.launch_instance(parent_handle=os.getppid())


if __name__ == "__main__":
    _main()
