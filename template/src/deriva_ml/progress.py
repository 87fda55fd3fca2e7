"""The bar on a terminal for what takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

WORTH_SHOWING = 1_000_000, 20
"""Bytes or items from which on progress is shown."""

Report = Callable[[int], None]
"""Takes the bytes that went."""


def is_much(files: int, size: int) -> bool:
    """Whether so many files of so many bytes take long enough for a person to be told."""
    return size > WORTH_SHOWING[0] or files > WORTH_SHOWING[1]


def progress(title: str, files: int, size: int, unit: str = "B") -> AbstractContextManager[Report]:
    """Return a ``bar`` if there is enough to do, or what shows nothing."""
    return bar(title, size, unit) if is_much(files, size) else nullcontext(lambda _: None)


@contextmanager
def bar(title: str, size: int, unit: str = "B") -> Iterator[Report]:
    """Show a bar on the terminal, if there is one; give what takes the bytes, or other units, that went, from any thread."""
    from tqdm import tqdm

    lock = threading.Lock()
    # `None` is quiet where the output is no terminal.
    shown = tqdm(desc=title, total=size, unit=unit, unit_scale=unit == "B", disable=None)

    def report(count: int) -> None:
        with lock:
            shown.update(count)

    with shown:
        yield report
