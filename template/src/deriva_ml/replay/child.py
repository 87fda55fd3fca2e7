"""What a replay starts: one of today's commands, which ends when the replay does, however that ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import import_module


def main() -> int:
    """Run the command that the arguments name, after the descriptor whose other end the replay has.

    Returns:
        The command's exit status.
    """
    name, pipe, *sys.argv[1:] = sys.argv[1:]
    sys.argv[0] = name
    threading.Thread(target=_watch, args=[int(pipe)], daemon=True).start()
    module = name.removeprefix("deriva-ml-").replace("-", "_")
    return int(import_module(f"deriva_ml.cli.{module}").main())


def _watch(pipe: int) -> None:
    """Wait until the replay is gone, and end this process as it would have."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
