"""Standard output and error, which go on, into nothing, when the reader of their pipe has gone away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())  # what is in the stream's buffer goes there, too
        os.close(nothing)


@contextmanager
def unbroken_output() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    out, err = _Unbroken(before[0]), _Unbroken(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.flush()  # now, and not when Python ends, which would complain and change the status
        err.flush()
        sys.stdout, sys.stderr = before
