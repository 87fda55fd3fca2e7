"""The folder of a site: what is written into it, only where it changed, and what of it is not needed any more."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.file_lock import file_lock
from deriva_ml.project import replacing
from deriva_ml.untrusted import DAMAGED, check_inside, is_inside, read_json, well_formed

BUILT, LOCK = "data/built.json", "data/.lock"
"""The list of what was written, and the file that one build at a time holds."""

FORM = "deriva-ml-site"
"""What that list says that it is."""

_NAME = re.compile(r"(?:[a-z]+/){0,2}[\w-]+(?:\.[\w-]+)*", re.ASCII)
"""The names of a site's files: below the folder, and none that is hidden."""


@dataclass
class Made:
    """What a run's page was made of.

    Attributes:
        key: differs once it has to be made again.
        files: that it has beside its data.
        missing: digests of contents that were not there.
    """

    key: str
    files: list[str]
    missing: list[str]


class SiteFolder:
    """A site that is being written.

    Attributes:
        runs: of each run that was written, what it was made of.
        marks: of what else was written, what it was made of.
        written: how many files were written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: dict[str, Made] = {}
        self.marks: dict[str, str] = {}
        self.written = self.removed = 0
        self._new: list[Path] = []
        self._names = dict[str, None]()
        self._listed: list[str] = []
        self._there = {
            f"{part}{entry.name}"
            for part in ("", "assets/", "data/", "data/runs/", "previews/", "notebooks/")
            if (root / part).is_dir()
            for entry in os.scandir(root / part)
        }

    @staticmethod
    def can_name(rid: str) -> bool:
        """Whether an RID, which somebody else may have written, can name a file."""
        return isinstance(rid, str) and re.fullmatch(r"[\w-]{1,100}", rid, re.ASCII) is not None

    def has(self, name: str) -> bool:
        """Whether a file was there when the build began."""
        return name in self._there

    def write(self, name: str, content: bytes) -> None:
        """Write a file whose content is another one, in one step.

        Raises:
            DerivaMLException: the name leads elsewhere.
        """
        path = self._path(name)
        self._names[name] = None
        if self.has(name):
            with suppress(OSError):
                if path.stat().st_size == len(content) and path.read_bytes() == content:
                    return
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)
        self._there.add(name)
        self._new.append(path)
        self.written += 1

    def keep(self, *names: str) -> None:
        """Leave files as they are."""
        self._names |= dict.fromkeys(names)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise DerivaMLException(f"{name!r} cannot be the name of a file of a site")
        return check_inside(self.root / name, self.root)

    def read_list(self) -> None:
        """Read what an earlier build wrote; nothing of it where the list is damaged."""
        with suppress(OSError, *DAMAGED):
            found = read_json(self.root / BUILT)
            self._listed = [name for name in found["files"] if isinstance(name, str)]
            self.runs = {one[0]: well_formed(Made(*one[1:])) for one in found["runs"]}
            self.marks = {str(name): str(mark) for name, mark in found["marks"].items()}

    def save_list(self) -> None:
        """Write down what has been written, and what an earlier build had, so that the next one goes on from here."""
        disk.flush(self._new)  # what is listed is on the disk
        self._new.clear()
        files = [*dict.fromkeys([*self._listed, *self._names])]
        runs = [[rid, one.key, one.files, one.missing] for rid, one in self.runs.items()]
        told = json.dumps({"form": FORM, "files": files, "runs": runs, "marks": self.marks}).encode()
        path = check_inside(self.root / BUILT, self.root)
        with suppress(OSError):
            if path.read_bytes() == told:
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(told)

    def remove_stale(self) -> None:
        """Remove what an earlier build wrote and this one did not."""
        for name in self._listed:
            path = self.root / name
            if name not in self._names and _NAME.fullmatch(name) and is_inside(path, self.root):
                if path.is_file():
                    path.unlink()
                    self.removed += 1
        self._listed = []


class Beside:
    """The files that lie beside a run's data, and that several runs may share.

    Attributes:
        names: theirs.
    """

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder
        self.names: dict[str, None] = {}

    def write(self, name: str, content: bytes) -> None:
        """Write one."""
        self._folder.write(name, content)
        self.names[name] = None

    def share(self, name: str) -> None:
        """Have one that this build wrote for another run."""
        self._folder.keep(name)
        self.names[name] = None


@contextmanager
def opened(root: Path) -> Iterator[SiteFolder]:
    """Give the folder of a site, new or built before, to one build at a time.

    Raises:
        DerivaMLRequestError: there is something else, or it has files in it and is no site.
        DerivaMLException: another build does not come to its end.
    """
    if root.exists() and not root.is_dir():
        raise DerivaMLRequestError(f"{root} is no folder: give another one to --out")
    lock = root / LOCK
    # Another build may just have begun, and locked it: what is there is known once that has ended.
    if not lock.exists():
        _check(root)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DerivaMLRequestError(f"no folder {root} can be made: give another one to --out") from error
    with file_lock(check_inside(lock, root)):
        _check(root)
        folder = SiteFolder(root)
        folder.read_list()
        folder.save_list()  # by which it is known, however this build ends
        yield folder


def _check(root: Path) -> None:
    """Refuse a folder that is not empty, and that no build began in.

    Raises:
        DerivaMLRequestError: so it is.
    """
    with suppress(OSError, ValueError):
        found: Any = read_json(root / BUILT)
        if isinstance(found, dict) and found.get("form") == FORM:
            return
    begun = {"data", LOCK, f"{LOCK}-journal"}
    if any(path.relative_to(root).as_posix() not in begun for path in root.rglob("*")):
        raise DerivaMLRequestError(
            f"{root} has files in it and is no site that was built: give a new or an empty folder to --out"
        )
