"""Standard output and error, which go on, into nothing, when the reader of their pipe has gone away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast


class _Unbroken:
    """A stream that goes on, into nothing, when the reader of its pipe (head, less) has gone away.

    That is no error of the person's, and must neither stop a run nor change its exit status.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._or_into_nothing():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._or_into_nothing():
            self._stream.flush()

    @contextmanager
    def _or_into_nothing(self) -> Iterator[None]:
        """Let the stream, with what is in its buffer, go into nothing once nobody reads it."""
        try:
            yield
        except BrokenPipeError:
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())


@contextmanager
def unbroken_output() -> Iterator[None]:
    """Have standard output and error go on, whoever stops reading them."""
    out, err = cast(TextIO, _Unbroken(sys.stdout)), cast(TextIO, _Unbroken(sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()  # now, and not when Python ends, which would complain and change the status
            err.flush()
