"""A lock on a file, for what one process at a time may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from deriva_ml.exceptions import DerivaMLException


@contextmanager
def file_lock(path: Path, seconds: float = 300.0) -> Iterator[None]:
    """Let one process at a time do what is inside, by a lock on a file that ends with the process, however it ends.

    Raises:
        DerivaMLException: another process does not come to its end.
    """
    import sqlite3  # whose lock works alike on every system

    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise DerivaMLException(
                f"another process of this project has held {path.name} for {seconds:.0f} seconds: try again when it has"
                f" ended ({error})"
            ) from error
        yield
