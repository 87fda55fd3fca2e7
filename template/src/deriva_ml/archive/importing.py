"""Takes in a file of records that somebody else may have written: all of it or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deriva_ml.archive.bundle as git_bundle
import deriva_ml.disk as disk
from deriva_ml.archive.container import BUNDLE, CRATE, FORMAT, Reader, object_name
from deriva_ml.archive.exporting import VERSION
from deriva_ml.catalog.carried import KINDS
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.merging import Merged, merging
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, DerivaMLRunError
from deriva_ml.git import repository_root
from deriva_ml.progress import Report
from deriva_ml.untrusted import DAMAGED


@dataclass
class Imported:
    """What was taken in.

    Attributes:
        merged: the records.
        contents: how many that were not here, and of how many bytes.
        commits: how many that were not here.
        warnings: what is not as the file has it, a line each.
    """

    merged: Merged = field(default_factory=Merged)
    contents: int = 0
    bytes: int = 0
    commits: int = 0
    warnings: list[str] = field(default_factory=list)


def take_in(
    catalog: EmbeddedCatalog,
    source: Path,
    *,
    code: bool = True,
    own: bool = False,
    progress: Callable[[int], Report] = lambda total: lambda count: None,
) -> Imported:
    """Take a file of records into a catalog; what is here stays as it is, and a second time changes nothing.

    Args:
        code: with the commits that the file has.
        own: its records are this project's, from a machine that could not write them here.
        progress: as for ``export``.

    Raises:
        DerivaMLRequestError: there is no such file, or no room.
        DerivaMLException: the file is damaged, or of a newer runner; nothing is taken in.
    """
    done = Imported()
    with closing(Reader(source)) as bag, merging(catalog) as merge, ExitStack() as stack:
        try:
            _check_format(bag)
            for name in KINDS:
                merge.read(name, bag.lines(f"records/{name}.jsonl"))
            for _ in bag.pieces(CRATE) if CRATE in bag.names else ():
                pass  # nothing of it is used, but a part of the file it is
            contents = _Contents(bag, catalog.objects)
            stack.callback(contents.forget)
            contents.take(dict(merge.contents()), progress)
            refs: list[str] = []
            if code and BUNDLE in bag.names:
                refs = _take_commits(bag, catalog, done.warnings)
            try:
                done.merged = merge.finish(bag.identity, contents.settle, own)
            except BaseException:
                git_bundle.drop(refs, catalog.project.root)
                raise
            done.commits = len(refs)
        except DAMAGED as error:
            raise bag.damaged(str(error)) from error
        done.contents, done.bytes = contents.count, contents.bytes
        if contents.lacking:
            done.warnings.append(f"contents that are neither in it nor here: {contents.lacking}")
    return done


def _check_format(bag: Reader) -> None:
    text = b"".join(bag.pieces(FORMAT))
    said: Any = json.loads(text)
    version = said.get("format")
    if not isinstance(version, int) or version < 1:
        raise ValueError("its form is not known")
    if version > VERSION:
        raise DerivaMLException(
            f"{bag.path} was written by a newer runner (form {version}, this one knows {VERSION}): bring the project up to"
            " date with copier update"
        )
    known = {FORMAT, CRATE, BUNDLE, *(f"records/{name}.jsonl" for name in KINDS)}
    names = {name for name in bag.names if not name.startswith("objects/")}
    if wrong := (names - known) | (known - names - {CRATE, BUNDLE}):
        raise ValueError(f"{min(wrong)} is missing, or not known here")


class _Contents:
    """Contents that are not here, on their way into the store of objects."""

    def __init__(self, bag: Reader, objects: ObjectStore) -> None:
        self._bag, self._objects = bag, objects
        self._parts: dict[str, Path] = {}
        self.count = self.bytes = self.lacking = 0

    def take(self, named: dict[str, int], progress: Callable[[int], Report]) -> None:
        """Write those contents of the file beside the store that are not in it; each is checked."""
        names = {object_name(md5): md5 for md5 in named}
        for name in self._bag.names:
            if name.startswith("objects/") and self._bag.size(name) != named.get(names.get(name, ""), -1):
                raise ValueError(f"{name} is a content that no row of it names, or of another length")
        lacking = {md5: length for md5, length in named.items() if not self._objects.keep(md5, length)}
        there = {*self._bag.names}
        needed = {md5: length for md5, length in lacking.items() if object_name(md5) in there}
        self.lacking = len(lacking) - len(needed)
        size = sum(needed.values())
        if size > (free := shutil.disk_usage(self._objects.folder.parent).free):
            raise DerivaMLRequestError(
                f"{self._bag.path} needs {size:,} bytes, and {free:,} are free: make room and repeat the command"
            )
        self._objects.folder.mkdir(exist_ok=True)
        report = progress(size)
        for md5 in needed:
            part = self._parts[md5] = disk.temporary_path(self._objects.folder)
            digest = hashlib.md5(usedforsecurity=False)
            with part.open("wb") as stream:
                for piece in self._bag.pieces(object_name(md5)):
                    digest.update(piece)
                    stream.write(piece)
                    report(len(piece))
            if digest.hexdigest() != md5:
                raise ValueError(f"{object_name(md5)} is not the content of its name")
        self.count, self.bytes = len(needed), size

    def settle(self) -> None:
        """Give the contents their names; called in the transaction that flushes them before its rows are."""
        for md5, part in [*self._parts.items()]:
            target = self._objects.path(md5)
            target.parent.mkdir(exist_ok=True)
            part.chmod(part.stat().st_mode & 0o444)
            os.replace(part, target)
            del self._parts[md5]
            self._objects.fresh.append(target)

    def forget(self) -> None:
        """Remove what has got no name."""
        for part in self._parts.values():
            with suppress(FileNotFoundError):
                part.unlink()


def _take_commits(bag: Reader, catalog: EmbeddedCatalog, warnings: list[str]) -> list[str]:
    root = catalog.project.root
    if repository_root(root) is None:
        warnings.append(f"the commits in it are left out, since {root} is not in a git repository")
        return []
    with disk.temporary(catalog.project.state) as path:
        with path.open("wb") as stream:
            for piece in bag.pieces(BUNDLE):
                stream.write(piece)
        try:
            return git_bundle.fetch(path, root)
        except DerivaMLRunError as error:
            raise bag.damaged(str(error)) from error
