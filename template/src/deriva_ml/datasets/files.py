"""Files as members of datasets, as Python names them: by path, or by upstream's ``FileSpec``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Member, MLAsset
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
        from deriva_ml.datasets import walk

        top = Path(path)
        for one in walk.found([top]):
            file = Path(one.source)
            with file.open("rb") as content:
                md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            types = file_types(file) if callable(file_types) else file_types
            yield cls(
                file.as_uri(),
                md5,
                one.stat.st_size,
                description,
                list(types or ()),
                top.resolve() if top.is_dir() else None,
            )


class Taken(NamedTuple):
    """Files that have been recorded.

    Attributes:
        members: these, at the paths that they are to have.
        roots: the folders among what was given, each with the folder of the dataset that its contents lie in.
    """

    members: list[Member]
    roots: Sequence[tuple[Path, str]]


def take_in(
    catalog: EmbeddedCatalog,
    given: Iterable[FileSpec | Path | str] | FileSpec | Path,
    dataset: RID | None = None,
) -> Taken:
    """Record files, to be members of a dataset.

    Args:
        given: specifications, whose files lie at their paths below the folder that these share; or paths, as
            ``walk.found`` takes them.
        dataset: the one that they are added to, if there is one.

    Raises:
        DerivaMLRequestError: one is not there, or not what its specification says.
    """
    from deriva_ml.datasets import ingest, walk

    every = [given] if isinstance(given, FileSpec | Path | str) else list(given)
    specs = [one for one in every if isinstance(one, FileSpec)]
    paths = [one for one in every if not isinstance(one, FileSpec)]
    found = walk.found(paths, catalog.roots(dataset) if dataset else (), "", catalog.project)
    members = ingest.take_in(catalog, found)
    lonely = [str(spec.path.absolute().parent) for spec in specs if spec.root is None]
    shared = Path(os.path.commonpath(lonely)) if lonely else None
    for spec in specs:
        path = spec.path.absolute()
        if not path.is_file():
            raise DerivaMLRequestError(f"{path} is not there")
        types = list(spec.file_types)
        asset = catalog.add_asset(path, MLAsset.file.value, path.name, types, spec.description)
        if spec.md5 and spec.md5 != asset.md5:
            raise DerivaMLRequestError(f"{path} has changed since its specification was made: make that anew")
        below = path.relative_to(spec.root or shared or path.parent)
        members.append(Member(below.as_posix(), asset.rid))
    return Taken(members, found.roots)
