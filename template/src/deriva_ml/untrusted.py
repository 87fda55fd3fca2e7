"""What rows and files say that somebody else may have written: paths that have to stay where they are, types, sizes."""

from __future__ import annotations

import functools
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from deriva_ml.exceptions import DerivaMLException

DAMAGED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading raises where something is not as it has to be; ``ValueError`` is also that of JSON and of Unicode."""

READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""How a file is opened: a pipe would be waited for, where a link or a device could have no end."""

LARGEST = 1 << 26
"""Bytes of a file that is read as a whole; the largest that a run writes have a tenth of that."""

DEEPEST = 100
"""Levels of a value of JSON."""

T = TypeVar("T")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies below a folder, by its parts, and neither is a link nor leads through one below the folder."""
    parts = path.parts[len(folder.parts) :]
    if path.parts[: len(folder.parts)] != folder.parts or not parts or ".." in parts:
        return False
    return not any(folder.joinpath(*parts[:n]).is_symlink() for n in range(1, len(parts) + 1))


def check_inside(path: Path, folder: Path) -> Path:
    """Return the path.

    Raises:
        DerivaMLException: it does not lie inside the folder.
    """
    if not is_inside(path, folder):
        raise DerivaMLException(
            f"{path} leads out of {folder}, or is a link, and nothing below that is followed: remove it"
        )
    return path


def check_relative(path: str) -> str:
    """Return a path with ``/`` as datasets have them, if it leads to a place of its own below any folder.

    Raises:
        ValueError: it does not.
    """
    if "\0" in path or {"", ".", ".."} & {*path.split("/")}:
        raise ValueError(f"{path!r} is no path in a dataset")
    return path


def plain_name(text: str) -> str:
    """Return ``text`` as the name of one file; what a catalog calls a file or a table may hold anything, and be long."""
    name = re.sub(r"[/\\\x00-\x1f\x7f]", "_", text)
    name = name.encode(errors="replace")[-200:].decode(errors="ignore")  # the end of it: there the suffix is
    return "_" if name in {"", ".", ".."} else name


def read_json(path: Path) -> Any:
    """Return what a JSON file of the runner's own holds.

    Raises:
        OSError: it cannot be read, or is a link.
        ValueError: it is not JSON, not a file, or too large to be one of the runner's.
    """
    with open(os.open(path, READING), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError(f"{path} is no file, or one of more than {LARGEST} bytes")
        try:
            found = json.loads(stream.read())
        except RecursionError as error:
            raise ValueError(f"{path} is nested too deeply") from error
    if is_deep(found):
        raise ValueError(f"{path} is nested too deeply")
    return found


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return a value that is to be a mapping; an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else {}


def is_deep(value: Any) -> bool:
    """Whether a value of JSON has more levels than what reads and writes it can be trusted with."""
    level = [value]
    for _ in range(DEEPEST):
        parts = (
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        )
        level = [item for part in parts for item in part]
        if not level:
            return False
    return True


def read_yaml(path: Path) -> Any:
    """Return what a YAML file of the runner's own holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML.
    """
    import yaml  # not at the top: few commands need it

    try:
        text = path.read_text(encoding="utf-8")
        # What is meant again, as Hydra writes nothing, may be in itself, or more than memory holds.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ValueError("it refers to itself")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("it is no YAML") from error


_KINDS: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, int, bool, Path, list, tuple, dict)},
    **{"RID": str, "float": (int, float), "None": NoneType},
}


def well_formed(record: T) -> T:
    """Return a dataclass's instance whose fields have the types that it declares.

    Raises:
        ValueError: one has another.
    """
    for name, kinds, text_only, bool_too in _declared(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        good = isinstance(value, kinds) and (bool_too or not isinstance(value, bool))
        if good and text_only and isinstance(value, list | tuple | dict):
            good = all(isinstance(one, str) for one in value)
        if not good:
            raise ValueError(f"its {name} cannot be {str(value)[:40]!r}")
    return record


@functools.cache
def _declared(kind: type) -> list[tuple[str, tuple[type, ...], bool, bool]]:
    """Return a dataclass's fields whose types are known here: name, types, whether texts are in it, and truth values."""
    found = []
    for field in fields(kind):
        declared = str(field.type)
        names = [name.strip() for name in declared.split("|")]
        kinds = [_KINDS[one] for name in names if (one := name.partition("[")[0]) in _KINDS]
        if len(kinds) == len(names):  # a type of the runner's own is looked at where it is made
            flat = [one for known in kinds for one in (known if isinstance(known, tuple) else (known,))]
            found.append((field.name, tuple(flat), "[str" in declared, "bool" in names))
    return found
