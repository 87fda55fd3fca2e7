"""Notes what a Python process reads and starts. ``audit.install`` puts it where Python runs it as ``sitecustomize``.

It imports nothing but what every interpreter has loaded by then, and disturbs nothing: what goes wrong here is passed
over.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NOTES, KNOWN = "DERIVA_ML_AUDIT", "DERIVA_ML_AUDIT_KNOWN"
"""The variables that name the file for the notes, and the folders of the run; the first is the working tree."""


def install(notes: str, known: list[str], since: float) -> None:
    """Note from now on, each thing once, as a line of JSON: of what kind it is, and which.

    ``read`` is a file outside the known folders, ``missed`` one that is not in the first of them, and ``code`` a module
    that is; ``connected`` has a host and a port, ``started`` a program.

    Args:
        since: when the run began: a file that is as new is its own.
    """
    own, library = os.path.abspath(__file__), os.path.dirname(os.__file__)
    runner = os.path.dirname(own)
    tree = known[0] + os.sep
    # Where the interpreter looks for modules now is its environment; what is added later is not.
    folders = {*known, *map(os.path.realpath, known), library, runner, "/proc", "/sys", "/dev"}
    folders |= {path for path in sys.path if os.path.isabs(path)}
    if sys.prefix != sys.base_prefix:
        folders.add(sys.prefix)
    inside = tuple(path.rstrip(os.sep) + os.sep for path in folders if path)
    seen: set[tuple[str, str]] = set()
    hosts: dict[Any, str] = {}

    def note(kind: str, what: str) -> None:
        seen.add((kind, what))
        from json import dumps

        # Opened each time: a descriptor that is kept might be closed, and then be another file's.
        descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{dumps({kind: what})}\n".encode())
        finally:
            os.close(descriptor)

    # What Python's library does is done for the code that calls it; but programs that it starts by itself are its own.
    starting = tuple(
        os.path.join(library, name) for name in ("subprocess.py", "os.py", "pty.py", f"asyncio{os.sep}")
    )

    def is_of_the_run(*passing: str) -> bool:
        """Whether neither the runner nor, but for modules that pass something on, Python itself is doing this."""
        frame = sys._getframe()
        while (
            frame
            and frame.f_code.co_filename.startswith((own, "<frozen ", *passing))
            and (f"-packages{os.sep}" not in frame.f_code.co_filename)
        ):
            frame = frame.f_back  # type: ignore[assignment]
        file = frame.f_code.co_filename if frame else ""
        return not file.startswith((library + os.sep, runner + os.sep)) or f"-packages{os.sep}" in file

    def opened(path: Any, mode: Any, flags: int) -> None:
        if flags & 3 == os.O_WRONLY or isinstance(path, int) or path is None:
            return
        path = os.fsdecode(path)
        if path[:1] != os.sep or f"{os.sep}.." in path:
            path = os.path.abspath(path)
        if path.endswith(".pyc"):
            return
        if path.startswith(tree):
            if not os.path.exists(path):
                if flags & 3 == os.O_RDONLY and ("missed", path) not in seen and is_of_the_run(library):
                    note("missed", path)
            elif path.endswith(".py") and ("code", path) not in seen:
                note("code", path)
        elif not path.startswith(inside) and ("read", path) not in seen:
            status = os.stat(
                path
            )  # the time of its inode, since a copy may have the other one of the original
            if stat.S_ISREG(status.st_mode) and status.st_ctime < since and is_of_the_run(library):
                note("read", path)

    def database(path: Any) -> None:
        path = os.fsdecode(path)
        path = path[5:].partition("?")[0] if path[:5] == "file:" else path
        if path not in {"", ":memory:"}:
            opened(path, None, os.O_RDONLY)

    def resolved(host: Any, port: Any, *rest: Any) -> None:
        hosts[port] = os.fsdecode(host or "")

    def connected(_: Any, address: Any) -> None:
        if isinstance(address, tuple):  # and no Unix socket
            place = f"{hosts.get(address[1]) or address[0]}:{address[1]}"
            if ("connected", place) not in seen and is_of_the_run(library):
                note("connected", place)

    def started(program: Any, *rest: Any) -> None:
        name = os.fsdecode(program)
        if ("started", name) not in seen and is_of_the_run(*starting):
            note("started", name)

    def executed(program: Any, *rest: Any) -> None:
        os.stat(program)  # which is tried in each folder of the path
        started(program)

    def process(program: Any, words: Any, *rest: Any) -> None:
        started(program or (words[0] if isinstance(words, list | tuple) else words))

    handlers: dict[str, Callable[..., None]] = {
        "open": opened,
        "sqlite3.connect": database,
        "socket.getaddrinfo": resolved,
        "socket.connect": connected,
        "subprocess.Popen": process,
        "os.exec": executed,
        "os.posix_spawn": started,
        "os.spawn": lambda mode, program, *rest: started(program),
        "os.system": lambda command: started(os.fsdecode(command).split()[0]),
    }

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in handlers:  # first, and fast: Python tells even of each `id()`
            try:
                handlers[event](*arguments)
            except Exception:  # nothing that is run may fail by this
                pass

    sys.addaudithook(hook)


def chain() -> None:
    """Run the ``sitecustomize`` that Python would have run without this one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    own = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != own])
    if spec and spec.loader:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if NOTES in os.environ:
        try:
            install(os.environ[NOTES], os.environ[KNOWN].split(os.pathsep), os.stat(__file__).st_mtime)
        except Exception:  # an interpreter that is started with other variables is one that is not looked at
            pass
    chain()
