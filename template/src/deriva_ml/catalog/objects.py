"""A store of file contents named by their MD5 digest, each written under another name first and then renamed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.exceptions import DerivaMLException
from deriva_ml.untrusted import check_inside

CHUNK = 1 << 20
"""Bytes read at a time: a file of any size costs this much memory."""


@dataclass(frozen=True)
class ObjectStore:
    """The folder that holds the contents; MD5, because that is what the schema's asset rows carry."""

    folder: Path

    def path(self, md5: str) -> Path:
        """Where the content with this digest is, or would be.

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
        held = self.folder / f".{secrets.token_hex(8)}"
        try:
            digest = copy_hashing(source, held)
            length = held.stat().st_size
            target = self.path(digest)
            target.parent.mkdir(exist_ok=True)
            held.chmod(0o444)
            os.replace(held, target)
        except BaseException:
            held.unlink(missing_ok=True)
            raise
        return digest, length

    def holds(self, path: Path) -> bool:
        """True if the content of a file has been taken in."""
        with path.open("rb") as stream:
            return self.path(hashlib.file_digest(stream, "md5").hexdigest()).is_file()

    def clear(self) -> None:
        """Remove what a process that was killed left half-copied more than a day ago."""
        for held in self.folder.glob(".*"):
            if time.time() - held.stat().st_mtime > 86_400:
                held.unlink(missing_ok=True)

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
        temporary = destination.with_name(f".{secrets.token_hex(4)}")
        if copy_hashing(source, temporary) != md5:
            temporary.unlink()
            raise DerivaMLException(
                f"the content of {destination.name} has changed since it was recorded:"
                f" bring {source} back from a backup"
            )
        temporary.chmod(0o444)
        os.replace(temporary, destination)


def is_digest(md5: object) -> bool:
    """Whether this is an MD5 in hexadecimal digits, as contents are named by."""
    return isinstance(md5, str) and re.fullmatch("[0-9a-fA-F]{32}", md5) is not None


def copy_hashing(source: Path, destination: Path) -> str:
    """Copy a file and return the MD5 of what was copied."""
    digest = hashlib.md5(usedforsecurity=False)
    with source.open("rb") as reader, destination.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
