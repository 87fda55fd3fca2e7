"""Commands in a terminal: run in one, and what it then shows as an SVG picture."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

COLUMNS = 92
CHARACTER, LINE, MARGIN = 7.83, 19, 18
"""A character's width in the widest of the usual fonts, a line's height, and the room around: in pixels."""
MORE = "…"
"""A line that stands for others."""
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
"""Sequences that move or colour (ECMA-48), and titles of windows."""

STYLE = """\
    .page { fill: #ffffff; stroke: #c9d1d9; }
    text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1f2933; white-space: pre; }
    .command { font-weight: 600; }
    .prompt, .more { fill: #6b7580; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12171d; stroke: #3a4450; }
      text { fill: #e6ebf0; }
      .prompt, .more { fill: #9aa5b1; }
    }"""


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> list[str]:
    """Run a command in a terminal of its own, and return the lines that stand there when it has ended.

    Raises:
        subprocess.CalledProcessError: it failed; ``output`` has the lines.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(command, cwd=cwd, env=dict(env), stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 1 << 16):
            shown += part
    except OSError:  # how Linux says that nobody has the other end any more
        pass
    os.close(ours)
    lines = on_screen(shown.decode())
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, "\n".join(lines))
    return lines


def on_screen(written: str) -> list[str]:
    """The lines that stand after all of a command's output, in which lines such as a progress bar's are rewritten."""
    lines = ESCAPE.sub("", written).replace("\r\n", "\n").rstrip().split("\n")
    return [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines]


def picture(session: Iterable[tuple[str, Sequence[str]]], title: str, description: str) -> str:
    """An SVG picture of a session, as text; it follows the page's light or dark scheme and fetches nothing.

    Args:
        session: each command with the lines that it showed. A line that is too long is cut.
        title: of the picture.
        description: what there is to see, for those who do not.
    """
    rows: list[str] = []
    for command, lines in session:
        rows.append(f' class="command"><tspan class="prompt">$ </tspan>{escape(command)}')
        rows += [' class="more">…' if line == MORE else f">{escape(cut(line))}" for line in lines]
        rows.append("")
    width, height = round(COLUMNS * CHARACTER) + 2 * MARGIN, (len(rows) - 1) * LINE + 2 * MARGIN
    texts = [
        f'  <text x="{MARGIN}" y="{MARGIN + 13 + LINE * number}"{row}</text>'
        for number, row in enumerate(rows)
        if row
    ]
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc" xml:space="preserve">',
            f'  <title id="title">{escape(title)}</title>',
            f'  <desc id="desc">{escape(description)}</desc>',
            f"  <style>\n{STYLE}\n  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *texts,
            "</svg>",
            "",
        ]
    )


def cut(line: str) -> str:
    """A line that fits into the terminal, with a mark where it went on."""
    return line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1].rstrip()}…"
