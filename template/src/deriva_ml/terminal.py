"""What the runner says to a person: each text is one line, and nothing in it has the terminal do something else.

Names, reasons and servers' answers may hold escape sequences, line ends, or marks that turn the order of the text. They
are shown as Python writes them. A module that prints imports ``print`` from here.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Mapping
from typing import Any

_ACTS = re.compile(
    # Control characters of ASCII and Latin-1; marks of direction (https://www.unicode.org/reports/tr9/); line ends of
    # Unicode; tags that are not seen; halves of characters, which no output takes.
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]"
)

_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def shown(text: object) -> str:
    """Return the text as one line that is safe to print: ``\\x1b`` stands for an escape character, ``\\n`` for a line's end."""
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def one_line(text: object) -> str:
    """Return a text as one line: without a terminal's colours, and with a blank for all white space in a row."""
    return " ".join(_COLOUR.sub("", str(text)).split())


def amount(size: int, plain: str = "bytes") -> str:
    """Return a number of bytes as people say it; less than a thousand are called ``plain``."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} {plain}"


def human(size: int) -> str:
    """Return a number of bytes as tables and sums have it."""
    return amount(size, "B")


def counted(count: int, what: str) -> str:
    """Return how many there are of something."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def complaint(text: str) -> str:
    """Return what a program (uv) says of an error, which it may wrap; else its last line, as of a traceback."""
    lines = [line for raw in text.splitlines() if (line := raw.strip(" \t│├╰─▶"))]
    begun = [n for n, line in enumerate(lines) if re.match(r"(?i)×|error\b|fatal:", line)] or [-1]
    return one_line(" ".join(lines[begun[0] :])).removeprefix("× ")


def width() -> int | None:
    """Return the columns of the terminal that standard output is; None where it is none."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print(*texts: object, **options: Any) -> None:
    """Print as Python's own does, with texts as ``shown`` makes them; only ``sep`` and ``end`` may end a line."""
    builtins.print(*map(shown, texts), **options)


def tell(message: object) -> None:
    """Print a line on standard error, beside what a command answers."""
    print(message, file=sys.stderr)


def warn(message: object) -> None:
    """Tell of what a person should know, and what does not stop the work."""
    tell(f"warning: {message}")


def agreed(message: str) -> bool:
    """Ask a person on the terminal, and return whether the answer is yes."""
    print(f"{message} [y/N]", end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def print_lines(text: str) -> None:
    """Print a text whose line ends are the runner's own."""
    print(*text.split("\n"), sep="\n")


def print_json(value: Any) -> None:
    """Print a value as JSON that is safe to print, and that every reader takes: NaN and infinities are texts."""
    import json

    def escaped(found: re.Match[str]) -> str:
        units = found[0].encode("utf-16-be", errors="surrogatepass").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

    try:
        # Its line ends are all its own.
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = json.loads(json.dumps(value), parse_constant=str)
        text = json.dumps(value, indent=2, ensure_ascii=False)
    print(*(_ACTS.sub(escaped, line) for line in text.split("\n")), sep="\n")


def suggest(wanted: str, known: Mapping[str, str]) -> str:
    """Return ``(did you mean ...?)`` with what the name most like ``wanted`` stands for, whatever its case; else nothing."""
    import difflib

    folded = {name.casefold(): meant for name, meant in known.items()}
    close = difflib.get_close_matches(wanted.casefold(), folded, n=1)
    return f" (did you mean {folded[close[0]]}?)" if close else ""
