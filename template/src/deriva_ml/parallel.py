"""Work on many things by several threads, with results in order and an orderly stop."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from deriva_ml.progress import Report

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(os.cpu_count() or 1, 8)
"""Threads: for what waits for the disk and takes digests, both of which let others go on."""


@contextmanager
def meanwhile(do: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call something every so many seconds, in a thread of its own, until what runs inside has ended, or it returns True."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            if do() is True:
                return

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Stopped(BaseException):
    """Nobody waits for the result any more."""


def in_order(
    work: Callable[[T, Report], R], items: Iterable[T], report: Report, ahead: int = 64
) -> Iterator[R]:
    """Do work on each item, several at a time, and return the results in the order of the items.

    After an error, Ctrl-C, or when no more results are asked for, nothing more is begun, and what is under way ends when
    it reports next; all has ended then.

    Args:
        work: called in a thread, with an item and with what is to be told of bytes as they go.
        items: asked for when they are needed, in this thread.
        report: is told of bytes, in whichever thread.
        ahead: how many items are worked on or done while others' results are looked at.
    """
    stopped = threading.Event()

    def going_on(count: int) -> None:
        if stopped.is_set():
            raise _Stopped
        report(count)

    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item, going_on))
                while pending and (len(pending) > ahead or pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            stopped.set()
            for one in pending:
                one.cancel()
