"""Finds the files of the paths that a person gives, with the paths that they are to have in a dataset; reads none."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.untrusted import check_relative

_OTHERS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Found(NamedTuple):
    """A file that was found.

    Attributes:
        path: in the dataset: relative, with ``/``.
        source: where it is, without links on the way.
        stat: what the disk said of it.
    """

    path: str
    source: str
    stat: os.stat_result


class _Folder(NamedTuple):
    """A folder on the disk: the given one that it was found in, and those that it lies in from there on."""

    path: str
    top: str
    above: tuple[str, ...] = ()


@dataclass
class _Given:
    """What was given for a folder of the dataset."""

    folders: list[_Folder] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    below: dict[str, _Given] = field(default_factory=dict)

    def at(self, path: str) -> _Given:
        """Return the folder at a path below this one."""
        here = self
        for part in path.split("/") if path else ():
            here = here.below.setdefault(part, _Given())
        return here


class Files:
    """The files below given paths, in the order of the paths that they have in a dataset.

    Each iteration looks at the disk anew, and holds the names of the folders that it is in.

    Attributes:
        roots: the folders among what was given, each with the folder of the dataset that its contents lie in.
    """

    def __init__(self, given: _Given, left_out: frozenset[str], roots: Sequence[tuple[Path, str]]) -> None:
        self._given = given
        self._left_out = left_out
        self.roots = roots

    def __iter__(self) -> Iterator[Found]:
        """Find the files.

        Raises:
            DerivaMLRequestError: one cannot be a member, or be read, or has the path of another.
        """
        levels = [self._level("", [self._given])]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif isinstance(found, Found):
                yield found
            else:
                levels.append(self._level(*found))

    def _level(
        self, prefix: str, places: Sequence[_Given | _Folder]
    ) -> Iterator[Found | tuple[str, Sequence[_Given | _Folder]]]:
        """Return the files of one folder of the dataset, and what its folders are made of."""
        files: dict[str, str] = {}
        folders: dict[str, list[_Given | _Folder]] = {}
        for place in places:
            self._look(prefix, place, files, folders)
        for name in files.keys() & folders.keys():
            raise DerivaMLRequestError(
                f"{prefix}{name} would be a file and a folder: {files[name]} is given beside others below that name;"
                " give them into different folders"
            )
        # As a folder's files sort among the others, which is by the whole path.
        for name in sorted([*files, *(f"{name}/" for name in folders)]):
            if name.endswith("/"):
                yield f"{prefix}{name}", folders[name[:-1]]
            else:
                yield Found(f"{prefix}{name}", files[name], _status(files[name]))

    def _look(
        self,
        prefix: str,
        place: _Given | _Folder,
        files: dict[str, str],
        folders: dict[str, list[_Given | _Folder]],
    ) -> None:
        """Add what is in one place of those that a folder of the dataset is made of."""

        def add(name: str, source: str) -> None:
            if files.setdefault(name, source) != source:
                raise DerivaMLRequestError(
                    f"two files would be {prefix}{name}: {files[name]} and {source}; give them into different folders"
                )

        if isinstance(place, _Given):
            for name, source in place.files:
                add(name, source)
            for name, below in place.below.items():
                folders.setdefault(name, []).append(below)
            for folder in place.folders:
                self._look(prefix, folder, files, folders)
            return
        above = (*place.above, place.path)
        try:
            entries = os.scandir(place.path)
        except OSError as error:
            raise _unread(place.path, error) from error
        with entries:
            for entry in entries:
                if not entry.is_symlink():
                    path, is_folder = entry.path, entry.is_dir(follow_symlinks=False)
                else:
                    path = _followed(entry.path, place.top, above)
                    is_folder = os.path.isdir(path)
                if path in self._left_out:
                    continue
                if not entry.name.isascii():
                    _check_text(entry.path)
                if is_folder:
                    folders.setdefault(entry.name, []).append(_Folder(path, place.top, above))
                else:
                    add(entry.name, path)


def _unread(path: str, error: OSError) -> DerivaMLRequestError:
    """Return what is said of a path that could not be looked at."""
    if isinstance(error, FileNotFoundError):
        return DerivaMLRequestError(f"{path} is not there")
    return DerivaMLRequestError(f"{path} cannot be read: {error.strerror}")


def _status(path: str) -> os.stat_result:
    """Return what the disk says of a file that can be a member."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise _unread(path, error) from error
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for is_one, name in _OTHERS if is_one(mode)), "no file any more")
        raise DerivaMLRequestError(f"{path} is {kind}, and a dataset is of files: move it elsewhere")
    if mode & 0o444 != 0o444 and not os.access(path, os.R_OK):
        raise DerivaMLRequestError(f"{path} cannot be read: its mode is {stat.filemode(mode)}; chmod u+r")
    return status


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DerivaMLRequestError(f"the name of {path} is not valid UTF-8: rename it") from error


def _followed(link: str, top: str, above: Sequence[str]) -> str:
    """Return what a link leads to, which is in the given folder and none of those that the link lies in."""
    try:
        path = os.path.realpath(link, strict=True)
    except OSError as error:
        raise DerivaMLRequestError(
            f"{link} is a link to {os.readlink(link)}, which cannot be found: remove the link"
        ) from error
    if not f"{path}/".startswith(f"{top.rstrip('/')}/"):
        raise DerivaMLRequestError(
            f"{link} is a link that leads out of {top}, to {path}: put a copy in its place, or give {path} as well"
        )
    if path in above:
        raise DerivaMLRequestError(f"{link} is a link to a folder that it lies in, {path}: remove the link")
    return path


def found(
    paths: Iterable[str | Path],
    roots: Iterable[tuple[str | Path, str]] = (),
    into: str = "",
    project: Project | None = None,
) -> Files:
    """Return the files below paths, with the paths that they are to have in a dataset; nothing is looked at below them yet.

    A folder gives its contents, at their paths below it, and beside others a folder of its name with these in it; a file
    its own name. What lies in a folder that the dataset was made from before gets the path that it has there. The project's own ``.git``, records and outputs are left out.

    Args:
        roots: folders that the dataset was made from, each with the folder of the dataset that its contents lie in.
        into: the folder of the dataset that all is to lie in; then ``roots`` say nothing.

    Raises:
        DerivaMLRequestError: a path is not there, or one of the project's own records, or ``into`` is no path in a dataset.
    """
    into = into.strip("/")
    if into:
        try:
            check_relative(into).encode()
        except ValueError as error:
            raise DerivaMLRequestError(f"{into!r} cannot be a folder in a dataset") from error
    before = [] if into else [(os.path.realpath(one), to) for one, to in roots]
    given, new, paths = _Given(), list[tuple[Path, str]](), [*paths]
    files = list[tuple[str, str]]()
    for one in paths:
        path = os.path.realpath(one)
        try:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except OSError as error:
            raise _unread(str(one), error) from error
        if project and _is_kept(path, project):
            raise DerivaMLRequestError(
                f"{one} is among this project's own records, which change and are no data: give files of yours"
            )
        # A link that is given is a file of its own name, whatever it leads to is called.
        named = path if is_folder else os.path.join(os.path.realpath(Path(one).parent), Path(one).name)
        _check_text(named)
        if not is_folder:
            files.append((named, path))
            continue
        place = _place(path, before)
        if place is None:
            place = "/".join(
                part for part in (into, os.path.basename(path) if len(paths) > 1 else "") if part
            )
        given.at(place).folders.append(_Folder(path, path))
        new.append((Path(path), place))
    before += [(str(folder), place) for folder, place in new]
    for named, path in files:
        place = _place(named, before)
        folder, _, name = (f"{into}/{os.path.basename(named)}" if place is None else place).rpartition("/")
        given.at(folder.strip("/")).files.append((name, path))
    return Files(given, _own(project), new)


def _own(project: Project | None) -> frozenset[str]:
    """Return what of a project's folder is no data of the person's."""
    own = (project.root / ".git", project.state, project.outputs) if project else ()
    return frozenset(map(os.path.realpath, own))


def _is_kept(path: str, project: Project) -> bool:
    """Whether something is git's or the catalog's; what executions write while they go on is data as any other."""
    kept = (project.root / ".git", project.state)
    work = (project.executions, project.runs)
    return any(_is_in(path, os.path.realpath(one)) for one in kept) and not any(
        _is_in(path, os.path.realpath(one)) for one in work
    )


def _place(path: str, roots: Iterable[tuple[str, str]]) -> str | None:
    """Return where in a dataset something lies by the innermost folder that holds it; None where there is none."""
    holding = [(top, to) for top, to in roots if _is_in(path, top)]
    return _below(path, *max(holding, key=lambda root: len(root[0]))) if holding else None


def _is_in(path: str, top: str) -> bool:
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def _below(path: str, top: str, to: str) -> str:
    """Return where in a dataset something lies whose folder's contents lie at ``to``."""
    return "/".join(part for part in (to, path[len(top) :].strip("/")) if part)
