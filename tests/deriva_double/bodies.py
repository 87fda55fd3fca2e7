"""Where objects' contents are: small ones in memory, larger ones in files, the largest, if wished, only as digests."""

from __future__ import annotations

import binascii
import hashlib
import itertools
import os
import re
from base64 import b32encode, b64decode
from dataclasses import dataclass
from pathlib import Path

from .errors import ServiceError, unsupported
from .http import FileBody, Request, remove

IN_MEMORY = 1 << 18


@dataclass(frozen=True)
class Body:
    """A content: its digest, and its bytes, or the file that has them, or neither where they were dropped."""

    md5: bytes
    length: int
    data: bytes | None
    path: Path | None

    def part(self, start: int, length: int) -> bytes | FileBody:
        """What an answer sends.

        Raises:
            ServiceError: 501, the store was told to drop contents of this size.
        """
        if self.data is not None:
            return self.data[start : start + length]
        if self.path is None:
            raise unsupported("reading contents that it was told to drop")
        return FileBody(self.path, start, length)


class Store:
    """Receives contents; never holds more than a mebibyte of a large one in memory."""

    def __init__(self, folder: Path) -> None:
        self.drop_over: int | None = None
        self._folder = folder
        self._numbers = itertools.count()

    def name(self) -> str:
        """A new version's identifier."""
        return b32encode(os.urandom(16)).decode().rstrip("=")

    def file(self) -> Path:
        """A path that nothing is at."""
        return self._folder / f"content-{next(self._numbers)}"

    def keeps(self, length: int) -> bool:
        """Whether contents of that size are kept, and not only their digests."""
        return self.drop_over is None or length <= self.drop_over

    def receive(self, request: Request, expected: bytes | None) -> Body:
        """The body of a request.

        Raises:
            ServiceError: 400, its MD5 is not the expected one.
        """
        if request.length <= IN_MEMORY:
            data = request.body()
            md5 = hashlib.md5(data).digest()
            refuse_other(md5, expected)
            return Body(md5, len(data), data, None)
        digest = hashlib.md5()
        path = self.file() if self.keeps(request.length) else None
        try:
            with open(path or os.devnull, "wb") as target:
                for piece in request.pieces():
                    digest.update(piece)
                    target.write(piece)
            refuse_other(digest.digest(), expected)
        except BaseException:
            if path is not None:
                remove(path)
            raise
        return Body(digest.digest(), request.length, None, path)


def check(metadata: dict[str, str]) -> bytes | None:
    """The MD5 that metadata promise; refuses with 400 metadata that the service cannot read.

    A SHA-256 has to be well formed, but is not compared with the content, as in the real service.
    """
    decoded = {}
    for name, size in (("content-md5", 16), ("content-sha256", 32)):
        if name in metadata:
            decoded[name] = _decode(metadata[name], name, size)
    disposition = metadata.get("content-disposition", "filename*=UTF-8''x")
    if not re.fullmatch(r"filename\*=UTF-8''[-_.~A-Za-z0-9%]+", disposition):
        raise ServiceError(400, f'Cannot accept content-disposition "{disposition}".')
    return decoded.get("content-md5")


def _decode(text: str, name: str, size: int) -> bytes:
    try:
        digest = bytes.fromhex(text) if len(text) == 2 * size else b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise ServiceError(400, f'Could not base64 decode "{text}". {error}') from None
    if len(digest) != size:
        message = f'Could not decode "{text}" for {name} into {size} bytes using hex nor base64.'
        raise ServiceError(400, message)
    return digest


def refuse_other(md5: bytes, expected: bytes | None) -> None:
    """Refuse content with another MD5 than the expected one."""
    if expected is not None and md5 != expected:
        raise ServiceError(400, f"Received content MD5 {md5!r} does not match expected {expected!r}.")
