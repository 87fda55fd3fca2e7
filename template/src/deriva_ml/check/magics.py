"""What IPython makes of a cell: magics, lines for the shell, and a lone ``pip install`` without its ``%``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from contextlib import suppress

from deriva_ml.notebook.cells import NO_PYTHON, PYTHON_MAGICS, parse

PYTHON_CELLS = PYTHON_MAGICS | {"timeit"}
"""Cell magics that run the rest of the cell; what is set under ``%%timeit`` is gone afterwards."""

_CELL_MAGIC = re.compile(r"\s*%%(\w+)(?!\w|\?)[ \t]*(.*)")
_TIMED = r"(?m)^([ \t]*)%time[ \t]+(?![-?])"
_TIMEITS_OPTIONS = r"\A(?:-[nrvp]\s*\d+\s*|-[tcpqov]+\s*)*"
_ONE_LINE = re.compile(r"(\s*)(\w+)(?:[ \t]*|[ \t]*(?![\w.*=,\s]).*|[ \t]+(?![=,]).*)\s*\Z")
_PLAIN_LINE = r"(?m)^([ \t]*)(?:%(\w+)(?: (.*))?|(!!?)(.*))$"
_NO_PLAIN_LINES = r"\"\"\"|'''|(?m:[?\\][ \t]*$)"
_AUTOMAGICS = frozenset(
    "alias alias_magic autoawait autocall automagic bookmark cat cd code_wrap colors conda config cp debug dhist dirs"
    " doctest_mode ed edit env gui hist history killbgscripts ldir less lf lk ll load load_ext loadpy logoff logon"
    " logstart logstate logstop ls lsmagic lx macro magic mamba man matplotlib micromamba mkdir more mv notebook page"
    " pastebin pdb pdef pdoc pfile pinfo pinfo2 pip popd pprint precision prun psearch psource pushd pwd pycat pylab"
    " quickref recall rehashx reload_ext rep rerun reset reset_selective rm rmdir run save sc set_env sx system tb time"
    " timeit unalias unload_ext uv who who_ls whos xdel xmode".split()
)
"""Line magics that IPython takes without ``%`` where a cell has one line, and no variable has the name."""


def take_cell_magics(text: str) -> tuple[str, str]:
    """Return the name of a cell's magic, and the Python below it with lines numbered as before; none where it is no Python."""
    magic = ""
    while found := _CELL_MAGIC.match(text):
        magic = found[1]
        if magic not in PYTHON_CELLS:
            return magic, ""
        words = [word for word in found[2].split() if not word.startswith("-")]
        name = words[:1] if magic == "capture" else []  # what it captures gets this name
        bound = f"{name[0]} = get_ipython()" if name and name[0].isidentifier() else ""
        if magic == "timeit":  # what stands beside it runs before the cell does
            bound = re.sub(_TIMEITS_OPTIONS, "", found[2])
        text = "\n" * found[0].count("\n") + bound + text[found.end() :]
    return magic, text


def parse_as_ipython(text: str, is_variable: Callable[[str], bool]) -> tuple[ast.Module, str]:
    """Parse a cell below its cell magics; also return the Python that IPython makes of it, line by line.

    Args:
        text: of the cell.
        is_variable: whether the notebook gives a value to a name.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is no Python.
    """
    word = _ONE_LINE.match(text)
    if word and word[2] in _AUTOMAGICS and not is_variable(word[2]):
        text = f"{word[1]}%{text[word.start(2) :]}"
    if "%" in text or "!" in text:
        with suppress(*NO_PYTHON):
            return ast.parse(text), text
        text = re.sub(_TIMED, r"\1", text)  # a statement of the notebook, that is timed
        if not re.search(_NO_PLAIN_LINES, text):
            plain = re.sub(_PLAIN_LINE, _plain_line, text)
            with suppress(*NO_PYTHON):
                return ast.parse(plain), plain
    return parse(text, "<cell>")


def _plain_line(found: re.Match[str]) -> str:
    """Return what IPython makes of most lines of its own; IPython itself takes a fifth of a second to load."""
    indent, magic, rest, shell, line = found.groups()
    if magic:
        return f"{indent}get_ipython().run_line_magic({magic!r}, {(rest or '').rstrip()!r})"
    return f"{indent}get_ipython().{'system' if shell == '!' else 'getoutput'}({line.rstrip()!r})"
