"""Files as members of datasets, as Python names them: by path, or by upstream's ``FileSpec``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Member, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError


@dataclass
class FileSpec:
    """A file on this machine that becomes a member of a dataset.

    Attributes:
        url: its path, or that as an address: ``file:`` or upstream's ``tag:``.
        md5: hexadecimal digest of its content, if that is known: a file that has changed since is refused.
        length: bytes.
        description: Markdown.
        file_types: terms of the ``Asset_Type`` vocabulary.
        root: the folder that its path in the dataset begins below; by default the one that all files given share.
    """

    url: str
    md5: str = ""
    length: int = 0
    description: str = ""
    file_types: Sequence[str] = ()
    root: Path | None = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The file.

        Raises:
            DerivaMLRequestError: it is on no disk of this machine.
        """
        scheme, _, rest = self.url.partition(":")
        if scheme == "tag":
            rest = self.url.partition("file://")[2]
            return Path(unquote(rest))
        if scheme == "file":
            return Path(unquote(urlsplit(self.url).path))
        if "://" in self.url:
            raise DerivaMLRequestError(f"{self.url} is no file on this machine: fetch it, and give its path")
        return Path(self.url)

    @classmethod
    def create_filespecs(
        cls,
        path: Path | str,
        description: str = "",
        file_types: Sequence[str] | Callable[[Path], Sequence[str]] | None = None,
    ) -> Iterator[FileSpec]:
        """Return a file, or each of the files in a folder and those below it, with its digest.

        Args:
            file_types: of all, or a function that tells those of a path.
        """
        top = Path(path)
        for file in _files(top):
            with file.open("rb") as content:
                md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            types = file_types(file) if callable(file_types) else file_types
            yield cls(
                file.absolute().as_uri(),
                md5,
                file.stat().st_size,
                description,
                list(types or ()),
                top.absolute() if top.is_dir() else None,
            )


def _files(path: Path) -> list[Path]:
    """Return a file, or the files of a folder in order, without links that lead elsewhere."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DerivaMLRequestError(f"there is no file or folder {path}")
    found = []
    for folder, _, names in os.walk(path):
        found += [Path(folder, name) for name in names]
    top = path.resolve()
    for file in found:
        if not file.resolve().is_relative_to(top):
            raise DerivaMLRequestError(f"{file} is a link that leads out of {path}: give what it leads to")
    return sorted(file for file in found if file.is_file())


def take_in(catalog: EmbeddedCatalog, given: Iterable[FileSpec | Path | str]) -> list[Member]:
    """Record files, and return them as members: those of a folder at their paths below it.

    Args:
        given: files as specifications or paths, or paths of folders.

    Raises:
        DerivaMLRequestError: one is not there, or not what its specification says.
    """
    specs = list[FileSpec]()
    for one in [given] if isinstance(given, FileSpec | Path | str) else given:
        if isinstance(one, FileSpec):
            specs.append(one)
        else:
            root = Path(one).absolute() if Path(one).is_dir() else None
            specs += [FileSpec(str(file.absolute()), root=root) for file in _files(Path(one))]
    lonely = [str(spec.path.absolute().parent) for spec in specs if spec.root is None]
    shared = Path(os.path.commonpath(lonely)) if lonely else None
    members = []
    for spec in specs:
        path = spec.path.absolute()
        if not path.is_file():
            raise DerivaMLRequestError(f"there is no file {path}")
        types = list(spec.file_types)
        asset = catalog.add_asset(path, MLAsset.file.value, path.name, types, spec.description)
        if spec.md5 and spec.md5 != asset.md5:
            raise DerivaMLRequestError(f"{path} has changed since its specification was made: make that anew")
        below = path.relative_to(spec.root or shared or path.parent)
        members.append(Member(below.as_posix(), asset.rid))
    return members
