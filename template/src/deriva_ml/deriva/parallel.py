"""Work on many items in a few threads, with its progress on the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

WORTH_SHOWING = 1_000_000, 20
"""Bytes or items from which on progress is shown."""

T = TypeVar("T")
R = TypeVar("R")
Report = Callable[[int], None]


class _Abandoned(BaseException):
    """Nobody waits for this transfer any more."""


def for_each_parallel(
    items: Sequence[T],
    length: Callable[[T], int],
    work: Callable[[T, Report], R],
    done: Callable[[T, R], None],
    workers: int,
    title: str,
) -> None:
    """Do work on all items in some threads, and in this one what is to be done then.

    At the first error nothing more is begun, but what is under way is ended; after KeyboardInterrupt, or what
    ``done`` raises, nothing is waited for. The threads are daemons: one that waits for an answer that does not
    come holds nobody up.

    Args:
        length: bytes of an item, for the progress.
        work: called in a thread, with an item and with what is to be told of bytes as they go.
        done: called in this thread, with an item and what ``work`` returned.
        workers: threads at most.
        title: of the progress.

    Raises:
        BaseException: the first that ``work`` raised.
    """
    if not items:
        return
    running = min(workers, len(items))
    waiting: SimpleQueue[T | None] = SimpleQueue()
    finished: SimpleQueue[tuple[T, R] | None] = SimpleQueue()
    failures: list[BaseException] = []
    abandoned = threading.Event()
    for item in (*items, *[None] * running):
        waiting.put(item)

    def one(item: T) -> R:
        went = 0

        def report(count: int) -> None:
            nonlocal went
            if abandoned.is_set():
                raise _Abandoned
            went += count
            progress(count)

        result = work(item, report)
        progress(length(item) - went)  # what was there already, or went more than once
        return result

    def worker() -> None:
        try:
            while not failures and (item := waiting.get()) is not None:
                finished.put((item, one(item)))
        except BaseException as error:
            failures.append(error)
        finished.put(None)

    with _progress(title, len(items), sum(map(length, items))) as progress:
        try:
            for _ in range(running):
                threading.Thread(target=worker, name=title, daemon=True).start()
            while running:
                if outcome := finished.get():
                    done(*outcome)
                else:
                    running -= 1
        except BaseException as error:
            failures.append(error)
            abandoned.set()
            raise
    if failures:
        raise failures[0]


@contextmanager
def _progress(title: str, files: int, size: int) -> Iterator[Report]:
    """A bar on the terminal, if there is one and enough to do; yields what takes the bytes that went."""
    from tqdm import tqdm

    enough = size > WORTH_SHOWING[0] or files > WORTH_SHOWING[1]
    lock = threading.Lock()
    # `None` is quiet where the output is no terminal.
    bar = tqdm(desc=title, total=size, unit="B", unit_scale=True, disable=None if enough else True)

    def progress(count: int) -> None:
        with lock:
            bar.update(count)

    with bar:
        yield progress
