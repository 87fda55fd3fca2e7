"""Kills a command of a project at the n-th moment in which it changes something that lasts.

Python imports this as it starts, with this folder on its path. Asked by ``KILL``, a JSON list of objects:

    role: which process counts moments, by a word of its command line.
    root: the folder below which paths count.
    log: a file that gets a line for each moment.
    at: the number of the moment to be killed in, from 1; 0 for none.
    part: only moments whose line this pattern is found in count.
    also: "children" or "parent", killed with it.

A moment is before a file is opened for writing, made, renamed, removed or linked, after it was renamed, in the middle of
what is written to it at once, before an SQL statement that changes something, and before a request is sent.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

CHANGING = ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "BEGIN", "COMMIT")
TWO_PATHS = {"os.rename", "os.link", "os.symlink"}
ONE_PATH = {"os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}
real_open, real_connect = io.open, sqlite3.connect


class Killer:
    """Counts moments, and ends the process in the one that was asked for."""

    def __init__(self, root: str, log: str, at: int, part: str = "", also: str = "", **_: Any) -> None:
        self.root, self.at, self.part, self.also = root, at, part, also
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.count = 0
        self.process = os.getpid()

    def is_fatal(self, what: str) -> bool:
        """Count a moment."""
        if os.getpid() != self.process or not re.search(self.part, what):  # a fork's are its own
            return False
        self.count += 1
        os.write(self.log, f"{what}\n".encode())
        return self.count == self.at

    def moment(self, what: str) -> None:
        if self.is_fatal(what):
            self.kill()

    def kill(self) -> None:
        others = []
        if self.also == "parent":
            others = [os.getppid()]
        elif self.also == "children":
            import psutil

            others = [child.pid for child in psutil.Process().children(recursive=True)]
        for process in (*others, self.process):
            os.kill(process, signal.SIGKILL)

    def below(self, path: Any) -> str | None:
        """The path from the root on, of one that is below it."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return None
        whole = os.path.abspath(path)
        return whole[len(self.root) :] if whole.startswith(f"{self.root}/") else None

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "http.client.send":
            line = bytes(arguments[1][:200]).partition(b" HTTP/")
            self.moment(f"request {line[0].decode()}" if line[1] else "request's body")
        elif event == "open":
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR) and (name := self.below(path)):
                self.moment(f"open {name}")
        elif event in TWO_PATHS and (name := self.below(arguments[1])):
            self.moment(f"{event[3:]} {name}")
        elif event in ONE_PATH and (name := self.below(arguments[0])):
            self.moment(f"{event[3:]} {name}")

    def connect(self, database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        made = real_connect(database, *arguments, **options)
        if self.root in unquote(os.fsdecode(database)):
            made.set_trace_callback(self.statement)
        return made

    def statement(self, sql: str) -> None:
        if sql.lstrip().upper().startswith(CHANGING):
            self.moment(f"sql {' '.join(sql.split())[:80]}")

    def after(self, rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **options: Any) -> None:
            rename(source, target, **options)
            if path := self.below(os.fspath(target)):
                self.moment(f"renamed {path}")

        return renamed

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        made = real_open(file, mode, *arguments, **options)
        name = self.below(os.fspath(file)) if isinstance(file, str | bytes | os.PathLike) else None
        return Halving(made, self, name) if name and not set("wax+").isdisjoint(mode) else made


class Halving:
    """A file whose writing may end in the middle."""

    def __init__(self, stream: Any, killer: Killer, name: str) -> None:
        self._stream, self._killer, self._name = stream, killer, name

    def write(self, data: Any) -> Any:
        if self._killer.is_fatal(f"write {self._name}"):
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()
            self._killer.kill()
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Halving:
        self._stream.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        return self._stream.__exit__(*raised)

    def __iter__(self) -> Any:
        return iter(self._stream)


def arm(role: str, **asked: Any) -> None:
    """Count, if this process has the role."""
    if not any(word == role or word.endswith(f"/{role}") for word in sys.orig_argv):
        return
    killer = Killer(**asked)
    sys.addaudithook(killer.audit)
    io.open = builtins.open = killer.open
    sqlite3.connect = killer.connect  # type: ignore[assignment]
    os.rename, os.replace = killer.after(os.rename), killer.after(os.replace)


for asked in json.loads(os.environ.get("KILL", "[]")):
    arm(**asked)
