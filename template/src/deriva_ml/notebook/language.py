"""Refuses notebooks and kernels of other languages than Python, by what their metadata says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.untrusted import as_mapping

_PYTHON = re.compile(r"i?python\d*([ .-].*)?|pyspark\d*", re.IGNORECASE)
_KERNELS = {
    "R": r"ir\d*|r|xr",
    "Julia": r"i?julia",
    "Bash": r"bash|calysto_bash|sh|zsh",
    "JavaScript": r"javascript|jslab|nodejs|deno",
    "TypeScript": r"typescript|tslab",
    "C++": r"xcpp\d*|xeus-cling-cpp\d*|cling-cpp\d*",
    "Scala": r"scala|almond|spylon-kernel|sparkkernel",
    "SoS": r"sos",
    "Rust": r"rust|evcxr_jupyter",
    "Go": r"gophernotes|gonb",
    "Ruby": r"i?ruby",
    "Haskell": r"i?haskell",
    "Octave": r"x?octave",
    "MATLAB": r"matlab|jupyter_matlab_kernel",
    "Stata": r"stata|nbstata",
    "SAS": r"sas",
    "C#": r"\.net-csharp",
    "F#": r"\.net-fsharp|ifsharp",
    "PowerShell": r"\.net-powershell|powershell",
    "Kotlin": r"kotlin",
    "Java": r"i?java|rapaio-jupyter-kernel",
    "Perl": r"i?perl|raku",
    "SQL": r"xsql|sql",
    "Wolfram Language": r"wolframlanguage.*|mathematica",
    "Sage": r"sagemath",
}
"""Languages by the names that their kernels are installed under, perhaps followed by a version."""


def check_language(notebook: Mapping[str, Any], path: Path) -> None:
    """See that the notebook is in Python, as far as its metadata tells.

    Raises:
        DerivaMLRequestError: it names another language, or a kernel of one.
    """
    if language := other_language(notebook.get("metadata", {})):
        raise DerivaMLRequestError(f"{path.name} is written in {language}: only Python notebooks are run")


def other_language(metadata: Mapping[str, Any]) -> str:
    """Return the language of a notebook's metadata if that is not Python; empty if it is, or cannot be told.

    The kernel that the notebook is to be run with counts, then what the last kernel said of itself
    (https://nbformat.readthedocs.io/en/latest/format_description.html#notebook-metadata).
    """
    spec, info = (as_mapping(metadata.get(key)) for key in ("kernelspec", "language_info"))
    for language in (spec.get("language"), info.get("name")):
        if isinstance(language, str) and language.strip():
            return named(language)
    return _of_kernel(str(spec.get("name") or ""))


def named(language: str) -> str:
    """Return a language as people write it; empty for Python, which kernels spell in several ways."""
    language = " ".join(language.split())
    if not language or _PYTHON.fullmatch(language):
        return ""
    known = next((name for name in _KERNELS if name.lower() == language.lower()), "")
    return known or (language.capitalize() if language.islower() else language)


def _of_kernel(name: str) -> str:
    if not name or _PYTHON.fullmatch(name):
        return ""
    for language, names in _KERNELS.items():
        if re.fullmatch(rf"(?:{names})(?:[-_ ]?v?\d[\w.]*)?", name, re.IGNORECASE):
            return language
    return ""
