"""The bar on a terminal for what takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORTH_SHOWING = 1_000_000, 20
"""Bytes or items from which on progress is shown."""

Report = Callable[[int], None]
"""Takes the bytes that went."""


def is_much(files: int, size: int) -> bool:
    """Whether so many files of so many bytes take long enough for a person to be told."""
    return size > WORTH_SHOWING[0] or files > WORTH_SHOWING[1]


def amount(size: int) -> str:
    """Return a number of bytes as people say it."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


@contextmanager
def progress(title: str, files: int, size: int) -> Iterator[Report]:
    """A bar on the terminal, if there is one and enough to do; yields what takes the bytes that went, from any thread."""
    if not is_much(files, size):
        yield lambda _: None
        return
    from tqdm import tqdm

    lock = threading.Lock()
    # `None` is quiet where the output is no terminal.
    bar = tqdm(desc=title, total=size, unit="B", unit_scale=True, disable=None)

    def report(count: int) -> None:
        with lock:
            bar.update(count)

    with bar:
        yield report
