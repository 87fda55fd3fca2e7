"""A value as a script that hands it to the pages: browsers let a page on a disk read scripts, and no other files."""

from __future__ import annotations

import json
import math
from typing import Any

EXACT = 2**53
"""From here on a browser's numbers are not exact."""


def script(name: str, value: Any) -> bytes:
    """Return the script that gives a page a value of JSON's types under a name; all of it is ASCII.

    The value stands in it as text, of which ``JSON.parse`` makes plain data whatever names there are in it. What a
    damaged row has in place of such a value is a text.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=str)
    literal = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"site.take({json.dumps(name)}, '{literal}')\n".encode("ascii")


def number(value: Any) -> Any:
    """Return a number as JSON and a browser can have it: what they have not is a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        return _digits(value)
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more than Python turns into text
        return f"{'-' if value < 0 else ''}0x{abs(value):x}"
