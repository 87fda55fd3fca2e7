"""A store of file contents named by their MD5 digest, each written under another name first and then renamed."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.exceptions import DerivaMLException

CHUNK = 1 << 20
"""Bytes read at a time: a file of any size costs this much memory."""


@dataclass(frozen=True)
class ObjectStore:
    """The folder that holds the contents; MD5, because that is what the schema's asset rows carry."""

    folder: Path

    def path(self, md5: str) -> Path:
        """Where the content with this digest is, or would be."""
        return self.folder / md5[:2] / md5

    def add(self, source: Path, *, take: bool) -> tuple[str, int]:
        """Take in the content of ``source`` and return its MD5 and its length in bytes.

        With ``take`` the file itself becomes the object (a hard link, where the file system has them), so that a
        large file is read once and not written again; the caller removes ``source`` when the row that names
        the object is safe. Otherwise the content is copied and ``source`` left alone.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        held = self.folder / f".{secrets.token_hex(8)}"
        if take and _link(source, held):
            with held.open("rb") as stream:
                digest = hashlib.file_digest(stream, "md5").hexdigest()
        else:
            digest = copy_hashing(source, held)
        length = held.stat().st_size
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True)
        held.chmod(0o444)
        os.replace(held, target)
        # Renaming one link of a file onto another of the same file does nothing and leaves both.
        held.unlink(missing_ok=True)
        return digest, length

    def copy_to(self, md5: str, destination: Path) -> None:
        """Write the content to ``destination``, read-only, and check it on the way.

        Raises:
            DerivaMLException: the content is missing, or is not what its name says.
        """
        source = self.path(md5)
        if not source.is_file():
            raise DerivaMLException(
                f"the content of {destination.name} (MD5 {md5}) is missing from {self.folder}"
            )
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = destination.with_name(f".{secrets.token_hex(4)}")
        if copy_hashing(source, temporary) != md5:
            temporary.unlink()
            raise DerivaMLException(
                f"the content of {destination.name} has changed since it was recorded: {source}"
            )
        temporary.chmod(0o444)
        os.replace(temporary, destination)


def copy_hashing(source: Path, destination: Path) -> str:
    """Copy a file and return the MD5 of what was copied."""
    digest = hashlib.md5(usedforsecurity=False)
    with source.open("rb") as reader, destination.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _link(source: Path, destination: Path) -> bool:
    """Give ``source`` a second name; False where the file system has no hard links."""
    try:
        os.link(source, destination)
    except OSError:
        return False
    return True
