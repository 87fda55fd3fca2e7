"""Texts as anybody may read them: without credentials, and without the paths of a machine."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deriva_ml.redaction import is_credential, redact, redact_diff
from deriva_ml.site.scripts import number

SHORT = 400
"""Characters of a text that is remembered with what became of it: many are in thousands of records."""

_FOLDERS = (
    "tmp|private|var|scratch|Volumes|mnt|media|work|workspaces?|builds|runner|gpfs|lustre|nfs|srv|opt|data"
)
"""Where machines keep files, beside homes: of a path below one of them its last name stays."""

# A path begins where nothing of a longer path, an address, or an encoded content stands before it; a letter may be that
# of a compiler's flag, of a line's end as JSON and Python have it, or the end of a terminal's colour.
_BEGIN = r"(?:(?<![\w.~+/\\-])|(?<=-[IL])|(?<=\\[nrt])|(?<=\dm))(?:file://)?"
_SEP, _WORD = r"(?:/|\\+)", r"[^\s/\\\"'`<>|:;,()\[\]{}*?&#]+"
_USERS = rf"/?[A-Za-z]:{_SEP}(?:Users|Documents and Settings){_SEP}"
_HOME = re.compile(
    rf"{_BEGIN}(?:/(?:home|Users)/{_WORD}|/root(?![\w.-])|{_USERS}(?:[^\\/:*?\"<>|\r\n]+(?=[\\/])|{_WORD}))"
)
_PATH = re.compile(rf"{_BEGIN}(?:/(?:{_FOLDERS})|[A-Za-z]:)(?:{_SEP}{_WORD})*{_SEP}({_WORD})")


class Cleaner:
    """Takes out of texts what says on which machine they were made.

    Args:
        roots: folders of the project, by any of their names: a path below one begins there.
    """

    def __init__(self, roots: Collection[Path]) -> None:
        spellings = {spelling for root in roots if len(root.parts) > 1 for spelling in _spelled(root)}
        longest = sorted(spellings, key=len, reverse=True)
        any_of = "|".join(map(re.escape, longest)) or r"(?!)"
        self._roots = re.compile(rf"(?<![.~+])(?:file://)?(?:{any_of})(?:([/\\]+)|(?![\w-]))")
        self._is_credential = functools.lru_cache(1 << 12)(is_credential)
        self._short = functools.lru_cache(1 << 16)(self._cleaned)

    def text(self, text: str) -> str:
        """Return a text that anybody may read."""
        return self._short(text) if len(text) <= SHORT else self._cleaned(text)

    def _cleaned(self, text: str) -> str:
        return self.without_paths(redact(text))

    def diff(self, text: str) -> str:
        """Return a patch that anybody may read; it need not apply any more."""
        return self.without_paths(redact_diff(text))

    def without_paths(self, text: str) -> str:
        """Return a text in which paths begin at the project, at a home, or are a file's name."""
        if "/" not in text and "\\" not in text:
            return text
        text = self._roots.sub(lambda found: "" if found[1] else ".", text)
        return _PATH.sub(r"…/\1", _HOME.sub("~", text))

    def named(self, name: str, value: Any) -> Any:
        """Return a value of JSON's types that anybody may read, given its name, and that JSON can hold."""
        if value is None or isinstance(value, bool):
            return value
        # Most values are numbers, and most names those of many.
        if isinstance(value, int | float) and not self._is_credential(name):
            return number(value)
        return self._plain(*redact({name: value}).values())

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self._plain(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        return number(value) if isinstance(value, int | float | None) else self.text(str(value))


def brief(value: Any, most: int) -> Any:
    """Return a value of JSON's types, or of one that is longer as text its beginning."""
    if not isinstance(value, str | list | dict):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= most else f"{text[:most]}…"


def of_project(root: Path, state: Path, outputs: Path) -> Cleaner:
    """Return what cleans the texts of a project's records."""
    folders = {root, state.parent if state.name == ".deriva-ml" else state, outputs.parent}
    return Cleaner([*folders, *map(Path, map(os.path.realpath, folders))])


def _spelled(root: Path) -> set[str]:
    """Return how texts have a path: as it is, in JSON, in an address."""
    plain, posix = str(root), root.as_posix()
    return {plain, posix, json.dumps(plain)[1:-1], json.dumps(posix)[1:-1], quote(posix)}
