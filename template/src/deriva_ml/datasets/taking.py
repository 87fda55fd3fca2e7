"""Takes a person's file into the store of contents: what is named by a digest there is what was read."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import deriva_ml.disk as disk
from deriva_ml.catalog.objects import CHUNK, ObjectStore
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.progress import Report
from deriva_ml.untrusted import READING

SMALLEST_CLONE = 1 << 12
"""Bytes from which on a clone takes less of the disk than a copy."""


class Taken(NamedTuple):
    """A content that is in the store, and what the disk says of the file that it came from."""

    md5: str
    stat: os.stat_result


class Store:
    """A store of contents that many files are taken into, from several threads.

    Args:
        link: let the store's file be the person's own, which becomes read-only, instead of a copy.
    """

    def __init__(self, objects: ObjectStore, link: bool = False) -> None:
        self._objects = objects
        self._link = link
        self._name, self._numbers = os.urandom(8).hex(), itertools.count()
        self._folders: set[str] = set()
        self._without_clones: set[int] = set()
        objects.folder.mkdir(parents=True, exist_ok=True)

    def place(self, md5: str) -> str:
        """Return where a content is, or would be; the way there leads through no link."""
        shard = md5[:2]
        if shard not in self._folders:
            folder = self._objects.path(md5).parent
            folder.mkdir(exist_ok=True)
            self._folders.add(shard)
        return f"{self._objects.folder}/{shard}/{md5}"

    def has(self, md5: str, length: int) -> bool:
        """True if a content of this length is there; a power cut may have left its name with less of it."""
        try:
            status = os.lstat(self.place(md5))
        except FileNotFoundError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == length

    def take(self, source: str, report: Report) -> Taken:
        """Take in a file's content.

        Args:
            report: takes the bytes that were read, and may raise to stop.

        Raises:
            DerivaMLRequestError: it cannot be read, or linked, or something was written into it meanwhile.
            OSError: the disk does not take it.
        """
        try:
            reader = os.open(source, READING)
        except OSError as error:
            raise _unread(source, error) from error
        try:
            before = os.fstat(reader)
            if not stat.S_ISREG(before.st_mode):
                raise DerivaMLRequestError(f"{source} is no file any more")
            md5 = self._keep(source, reader, before, report)
            after = os.fstat(reader)
        finally:
            os.close(reader)
        same = ("st_size", "st_mtime_ns") if self._link else ("st_size", "st_mtime_ns", "st_ctime_ns")
        if any(getattr(before, name) != getattr(after, name) for name in same):
            raise _changed(source)
        return Taken(md5, after)

    def _keep(self, source: str, reader: int, before: os.stat_result, report: Report) -> str:
        """Have the content in the store, and return its MD5."""
        if self._link:
            md5, length = _digest(_read(source, reader, before, report))
            return md5 if self._is_here(md5, length, before) else self._link_to(source, md5, before)
        share = before.st_size >= SMALLEST_CLONE and before.st_dev not in self._without_clones

        def fill(writer: int) -> tuple[str, int]:
            if share and disk.clone(reader, writer):
                return _digest(_read(source, writer, before, report))
            self._without_clones.add(before.st_dev)
            return _digest(_written(writer, _read(source, reader, before, report)))

        if share or before.st_size >= CHUNK:
            return self._put(before, fill)
        data = b"".join(_read(source, reader, before, report))
        content = _digest([data])

        def write(writer: int) -> tuple[str, int]:
            disk.write(writer, data)
            return content

        if not self._is_here(*content, before):  # what is there is not written once more
            self._put(before, write, absent=True)
        return content[0]

    def _is_here(self, md5: str, length: int, source: os.stat_result) -> bool:
        """True if the content is there, and nothing else under its name; who can read the file can read that, too."""
        if not self.has(md5, length):
            return False
        path = self._objects.path(md5)
        if os.path.samestat(path.stat(), source):  # it was linked
            self._objects.fresh.append(path)
            return True
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != md5:
                return False
        if not self._objects.keep(md5, length):
            return False
        with suppress(PermissionError):  # another user's
            disk.admit(source, path, path.stat().st_mode & 0o444)
        return True

    def _put(
        self, source: os.stat_result, fill: Callable[[int], tuple[str, int]], absent: bool = False
    ) -> str:
        """Have a content in the store under its digest, which what fills a new file returns with the length."""
        copy = f"{self._objects.folder}/.{self._name}{next(self._numbers)}"  # as ``clear`` finds it
        try:
            with disk.opened(copy, disk.NEW) as writer:
                md5, length = fill(writer)
                disk.admit(source, writer, 0o400)
            if absent or not self._is_here(md5, length, source):
                self._rename(copy, md5)
                return md5
        except BaseException:
            os.unlink(copy)
            raise
        os.unlink(copy)
        return md5

    def _rename(self, copy: str, md5: str) -> None:
        place = self.place(md5)
        os.replace(copy, place)
        self._objects.fresh.append(Path(place))

    def _link_to(self, source: str, md5: str, before: os.stat_result) -> str:
        """Let the store have the person's own file, which nobody is to write any more."""
        with disk.temporary(self._objects.folder) as copy:
            try:
                os.link(source, copy, follow_symlinks=False)
                copy.chmod(stat.S_IMODE(before.st_mode) & ~0o222)
            except OSError as error:
                far = error.errno == errno.EXDEV
                why = "it is on another file system than the records" if far else error.strerror
                raise DerivaMLRequestError(
                    f"{source} cannot be linked: {why}; repeat the command without --link, which copies it"
                ) from error
            if os.lstat(copy).st_ino != before.st_ino:
                raise _changed(source)
            self._rename(str(copy), md5)
        return md5


def _changed(source: str) -> DerivaMLRequestError:
    return DerivaMLRequestError(
        f"{source} changed while it was read: repeat the command when nothing writes to it any more"
    )


def _unread(source: str, error: OSError) -> DerivaMLRequestError:
    return DerivaMLRequestError(f"{source} cannot be read: {error.strerror}")


def _read(source: str, reader: int, before: os.stat_result, report: Report) -> Iterator[bytes]:
    """Return what an open file has, piece by piece; of one that grows little more than it had."""
    size = min(before.st_size + 1, CHUNK)
    left = before.st_size
    try:
        while data := os.read(reader, size):
            yield data
            left -= len(data)
            report(len(data))
            if left <= 0 < before.st_size:  # if there is more by now, the times say so
                return
    except OSError as error:
        raise _unread(source, error) from error


def _written(writer: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Write each piece before it is given on."""
    for data in pieces:
        disk.write(writer, data)
        yield data


def _digest(pieces: Iterable[bytes]) -> tuple[str, int]:
    digest, length = hashlib.md5(usedforsecurity=False), 0
    for data in pieces:
        digest.update(data)
        length += len(data)
    return digest.hexdigest(), length
