"""A store of file contents named by their MD5 digest, each written under another name first and then renamed."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import deriva_ml.disk as disk
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.untrusted import check_inside

CHUNK = 1 << 20
"""Bytes read at a time: a file of any size costs this much memory."""


@dataclass(frozen=True)
class ObjectStore:
    """The folder that holds the contents; MD5, because that is what the schema's asset rows carry."""

    folder: Path
    fresh: list[Path] = field(default_factory=list, compare=False, repr=False)
    """Contents that may not be on the disk yet."""

    def path(self, md5: str) -> Path:
        """Return where the content with this digest is, or would be.

        Raises:
            DerivaMLException: it is no digest, or a link stands there: the path would lead elsewhere.
        """
        if not is_digest(md5):
            raise DerivaMLException(f"{md5!r} is no MD5: the record of that content is damaged")
        return check_inside(self.folder / md5[:2] / md5, self.folder)

    def add(self, source: Path) -> tuple[str, int]:
        """Take in a copy of the content of ``source`` and return its MD5 and its length in bytes.

        A copy, though a second link would be faster: whoever still has the file open could go on writing into
        what has been recorded.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with disk.temporary(self.folder) as copy:
            digest = copy_hashing(source, copy)
            length = copy.stat().st_size
            target = self.path(digest)
            # A record may name it: what is on the disk stays.
            if _content(target) == (digest, length) and self.keep(digest, length):
                with suppress(PermissionError):  # another user's
                    disk.admit(source.stat(), target, target.stat().st_mode & 0o444)
            else:
                target.parent.mkdir(exist_ok=True)
                os.replace(copy, target)
                self.fresh.append(target)
        return digest, length

    def keep(self, md5: str, length: int) -> bool:
        """True if a content of this length is there, for a row that is about to name it: nobody collects it meanwhile."""
        content, now = self.path(md5), time.time_ns()
        try:
            status = content.stat()
            # A link may be a person's own file, whose time stays: that it changed is seen all the same.
            os.utime(content, ns=(now, status.st_mtime_ns if status.st_nlink > 1 else now))
        except FileNotFoundError:
            return False
        except OSError:
            # Another user's, or the disk takes nothing: ``flush`` looks whether it is there still.
            if not self.has(md5, length):
                return False
        self.fresh.append(content)
        return self.has(md5, length)

    def flush(self) -> None:
        """Wait until the contents that were taken in are on the disk; called where no other process changes rows.

        Raises:
            DerivaMLException: one is gone again.
        """
        count = len(self.fresh)  # others may take in more meanwhile
        if gone := next((path for path in self.fresh[:count] if not path.is_file()), None):
            del self.fresh[:count]
            raise DerivaMLException(
                f"{gone} was removed by another command just when it was to be recorded: repeat the command"
            )
        disk.flush(self.fresh[:count])
        del self.fresh[:count]

    def collect(self, content: Path, seconds: float) -> int | None:
        """Remove a content that no row names, and return the bytes that this frees; None if it stays.

        To be called in a transaction: what is committed after it looks first whether its contents are there (``flush``).

        Args:
            seconds: one that was taken in, or was to be, less than so long ago stays; a run may be about to name it.
        """
        try:
            before = content.lstat()
            # A link to a person's file has that file's time, and changed when it was made.
            since = max(before.st_mtime, before.st_ctime) if before.st_nlink > 1 else before.st_mtime
            if time.time() - since < seconds:
                return None
            with disk.temporary(self.folder) as held:
                os.rename(content, held)
                after = held.lstat()
                if (after.st_atime_ns, after.st_mtime_ns) != (before.st_atime_ns, before.st_mtime_ns):
                    os.rename(held, content)  # ``keep`` was called between
                    return None
        except FileNotFoundError:  # another process was faster
            return None
        return before.st_size if before.st_nlink == 1 else 0

    def holds(self, path: Path) -> bool:
        """True if the content of a file has been taken in; False for a file that cannot be read."""
        content = _content(path)
        return content is not None and self.has(*content)

    def has(self, md5: str, length: int) -> bool:
        """True if a content of this length is there; a power cut may have left its name with less of it."""
        path = self.path(md5)
        return path.is_file() and path.stat().st_size == length

    def clear(self) -> None:
        """Remove what a process that was killed left half-copied more than a day ago."""
        disk.clear_temporary(self.folder, ".*")

    def copy_to(self, md5: str, destination: Path) -> None:
        """Write the content to ``destination``, read-only, and check it on the way.

        Raises:
            DerivaMLException: the content is missing, or is not what its name says.
        """
        source = self.path(md5)
        if not source.is_file():
            raise DerivaMLException(
                f"the content of {destination.name} (MD5 {md5}) is missing from {self.folder}:"
                " bring .deriva-ml back from a backup"
            )
        destination.parent.mkdir(parents=True, exist_ok=True)
        with disk.temporary(destination.parent) as copy:
            if copy_hashing(source, copy) != md5:
                raise DerivaMLException(
                    f"the content of {destination.name} has changed since it was recorded:"
                    f" bring {source} back from a backup"
                )
            os.replace(copy, destination)

    def lend(self, md5: str, store: ObjectStore) -> None:
        """Let another store have the content, under a second name of its file where the disk can; it is checked first.

        Raises:
            DerivaMLException: the content is missing, or is not what its name says.
        """
        source, target = self.path(md5), store.path(md5)
        found = _content(source)
        if found is None or found[0] != md5:
            raise DerivaMLException(
                f"{source} {'has changed since it was recorded' if found else 'is missing'}: bring it back from a backup"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            return
        except OSError:  # another disk
            copy_hashing(source, target)


def _content(path: Path) -> tuple[str, int] | None:
    """Return the MD5 and the length of a file's content; None if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest(), os.fstat(stream.fileno()).st_size
    except OSError:
        return None


def is_digest(md5: object) -> bool:
    """Whether this is an MD5 in hexadecimal digits, as contents are named by."""
    return isinstance(md5, str) and re.fullmatch("[0-9a-fA-F]{32}", md5) is not None


def copy_hashing(source: Path, destination: Path) -> str:
    """Copy a file, read-only and for those who can read it, and return the MD5 of what was copied."""
    digest = hashlib.md5(usedforsecurity=False)
    private = functools.partial(os.open, mode=0o600)
    with source.open("rb") as reader, open(destination, "wb", opener=private) as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        disk.admit(os.fstat(reader.fileno()), destination, 0o400)
    return digest.hexdigest()
