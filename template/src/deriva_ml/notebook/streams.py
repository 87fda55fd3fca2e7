"""What a kernel of the project prints: all of it arrives, in order, in few messages. Imported in that kernel alone."""

from __future__ import annotations

import asyncio
import codecs
import os
import select
import sys
import threading
import time
from contextlib import suppress
from itertools import count
from typing import Any

import zmq
from ipykernel.iostream import BackgroundSocket, OutStream
from ipykernel.kernelapp import IPKernelApp

INTERVAL = 0.05
"""Seconds between two messages of a stream that is flushed all the time."""

AT_ONCE = 20
"""Flushes that send at once all the same, before a crash perhaps; as many a second, and no more, later."""

LARGEST = 1 << 18
"""Characters of a message, about: while it is made it takes five times its text, here and in the runner."""

PIPE = 1 << 16
"""Bytes that a pipe holds (https://man7.org/linux/man-pages/man7/pipe.7.html)."""

CHILDREN_SECONDS = 1.0
"""How long a kernel that ends waits for the processes that it started; the runner ends those that are left, then."""


class Stream(OutStream):
    """``stdout`` or ``stderr``: a message at most every ``INTERVAL``, however often it is flushed.

    A message a line would cost a hundred times its text, here, in the runner and in the notebook.
    """

    flush_interval = INTERVAL
    flush_timeout = None  # type: ignore[assignment]  # however long the runner has no time to read
    other: Stream | None = None
    _order = threading.RLock()
    _reading = threading.Lock()

    def __init__(self, *args: Any, **options: Any) -> None:
        self._numbers = count(1)
        self._written = self._sent = self._size = 0
        self._waits = False
        self._allowance, self._allowed = float(AT_ONCE), time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]

    def write(self, string: str) -> int | None:  # type: ignore[override]
        if isinstance(string, str) and len(string) > LARGEST:
            return sum(self.write(string[at : at + LARGEST]) or 0 for at in range(0, len(string), LARGEST))
        length = super().write(string)
        self._written = next(self._numbers)
        self._size += len(string)
        if self._size > LARGEST and self._is_master_process():  # type: ignore[no-untyped-call]
            super().flush()  # type: ignore[no-untyped-call]
        return length

    def flush(self) -> None:
        """Send what was written; after many others, within ``INTERVAL``."""
        if self._is_master_process():  # type: ignore[no-untyped-call]
            if self._sent == self._written:
                return
            if self.other and self.other._waits:  # what went there was printed before this
                self.other.send()
            if not self._may_send():
                with self._order:
                    self._waits = self._sent != self._written
                return
        super().flush()  # type: ignore[no-untyped-call]

    def send(self) -> None:
        """Send what was written; whatever is sent later comes behind it."""
        if self._is_master_process():  # type: ignore[no-untyped-call]
            self.take()
            if self._sent != self._written:
                super().flush()  # type: ignore[no-untyped-call]

    def _may_send(self) -> bool:
        now = time.monotonic()
        self._allowance = min(self._allowance + (now - self._allowed) / INTERVAL, AT_ONCE)
        self._allowed = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _flush(self) -> None:  # in the thread that sends
        if not self._is_master_process():  # type: ignore[no-untyped-call]
            super()._flush()  # type: ignore[no-untyped-call]
            return
        with self._order:
            self._waits, self._size, written = False, 0, self._written
            if self.other and self.other._waits:  # what went there was printed before this
                self.other._flush()
            super()._flush()  # type: ignore[no-untyped-call]
            self._sent = written

    def _watch_pipe_fd(self) -> None:
        """Take what is written to the file descriptor itself, by programs that cells start, as it comes."""
        if self._fid is None:
            return
        os.set_blocking(self._fid, False)
        waiting = select.poll()
        waiting.register(self._fid, select.POLLIN)
        while waiting.poll() and self._should_watch:
            for stream in Publisher.streams or (self,):  # of both that are there, the same first
                stream.take()

    def take(self) -> None:
        """Take what has been written to the file descriptor until now, and keep a copy in the kernel's log."""
        if self._fid is None:
            return
        with self._reading, suppress(BlockingIOError):
            found = os.read(self._fid, PIPE)
            self.write(self._decoder.decode(found))
            with suppress(OSError):  # a full disk: the notebook has it
                os.write(self._original_stdstream_copy, found)


def _without_multiprocessings(children: list[Any]) -> list[Any]:
    """Return the kernel's children without those that Python's own exit handlers end: they would wait for ever.

    A pool has others in place of its workers, and of a killed one a lock that is never opened. What there is for things
    that are shared takes no signal.
    """
    loaded = sys.modules.get("multiprocessing")
    own = {one.pid for one in loaded.active_children() if one.daemon} if loaded else set()
    return [one for one in children if one.pid not in own and not _is_tracker(one)]


def _is_tracker(process: Any) -> bool:
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except Exception:  # it has ended
        return False


def _send_all() -> None:
    for stream in Publisher.streams:
        stream.send()


class Publisher(BackgroundSocket):
    """Where all but the streams is sent: what was printed before it goes first."""

    streams: tuple[Stream, ...] = ()

    def send_multipart(self, *args: Any, **options: Any) -> Any:
        _send_all()
        return super().send_multipart(*args, **options)  # type: ignore[no-untyped-call]


class KernelApp(IPKernelApp):
    """ipykernel, whose output waits for a runner that is slow to read instead of being thrown away."""

    outstream_class = f"{__name__}.Stream"

    def init_iopub(self, context: Any) -> None:
        context.setsockopt(zmq.XPUB_NODROP, 1)  # for the sockets that are made from now on
        super().init_iopub(context)  # type: ignore[no-untyped-call]
        self.iopub_socket = Publisher(self.iopub_thread)  # type: ignore[no-untyped-call]

    def init_io(self) -> None:
        super().init_io()  # type: ignore[no-untyped-call]
        out, err = sys.stdout, sys.stderr
        if isinstance(out, Stream) and isinstance(err, Stream):
            out.other, err.other = err, out
            Publisher.streams = (out, err)
            # A process that is forked would send it once more.
            os.register_at_fork(before=_send_all)

    def init_kernel(self) -> None:
        super().init_kernel()  # type: ignore[no-untyped-call]
        children = getattr(self.kernel, "_process_children", None)
        end = getattr(self.kernel, "_progressively_terminate_all_children", None)
        if not (children and end):
            return

        async def end_children() -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(end(), CHILDREN_SECONDS)

        # ipykernel asks them to end, for half a minute, before any exit handler runs.
        self.kernel._process_children = lambda: _without_multiprocessings(children())
        self.kernel._progressively_terminate_all_children = end_children

    def start(self) -> None:
        super().start()  # type: ignore[no-untyped-call]
        # The control thread sends its last message through the output thread, which ends as the interpreter
        # does; were that one faster, the control thread would wait for it until the kernel is killed.
        if self.control_thread and self.control_thread.is_alive():
            self.control_thread.stop()
            self.control_thread.join()
