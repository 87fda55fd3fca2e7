"""The file that carries records: a bag (RFC 8493) in a ZIP file, written in one stream, and read with limits."""

from __future__ import annotations

import errno
import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.untrusted import DAMAGED

CHUNK = 1 << 20
"""Bytes read at a time."""

FORMAT, CRATE, BUNDLE = "records/format.json", "ro-crate-metadata.json", "code.bundle"
"""Files of the payload."""

RATIO, UNCOUNTED = 200, 1 << 24
"""How many times its size a compressed file may come to (texts of rows come to 20), and the bytes of which this is not asked."""

LONGEST = 1 << 24
"""Bytes of a line of rows."""

_LISTED = len(hashlib.sha256().hexdigest()) + len("  \n")
"""Bytes of a line of a list of digests beside the name."""

_TAGS = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt")
_TAG_MANIFEST = "tagmanifest-sha256.txt"
_KNOWN = re.compile(
    rf"({'|'.join(map(re.escape, (*_TAGS, _TAG_MANIFEST)))})"
    rf"|data/({'|'.join(map(re.escape, (FORMAT, CRATE, BUNDLE)))}|records/\w+\.jsonl|objects/([0-9a-f]{{2}})/\3[0-9a-f]{{30}})",
    re.ASCII,
)
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def object_name(md5: str) -> str:
    """Return the name in the payload of a content."""
    return f"objects/{md5[:2]}/{md5}"


class Writer:
    """A bag that is being written; the same payload makes the same bytes.

    Args:
        top: the folder that the bag is when the file is unpacked.
    """

    def __init__(self, path: Path, top: str) -> None:
        self._zip = zipfile.ZipFile(path, "w")
        self._top = top
        self._digests: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes], length: int | None = None) -> None:
        """Add a file to the payload.

        Args:
            length: bytes, of a content, which is stored as it is; other files are compressed.
        """
        self._digests[f"data/{name}"] = self._write(f"data/{name}", pieces, length)

    def _write(self, name: str, pieces: Iterable[bytes], length: int | None = None) -> str:
        entry = zipfile.ZipInfo(f"{self._top}/{name}", _EARLIEST)
        entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED if length is None else zipfile.ZIP_STORED
        entry.file_size = length or 0
        digest = hashlib.sha256()
        with self._zip.open(entry, "w", force_zip64=length is None) as stream:
            for piece in pieces:
                digest.update(piece)
                stream.write(piece)
        return digest.hexdigest()

    def finish(self) -> None:
        """Write what makes the payload a bag."""
        payload = sorted(self._digests)
        size = sum(entry.file_size for entry in self._zip.infolist())
        self._write_text("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        self._write_text("bag-info.txt", f"Payload-Oxum: {size}.{len(payload)}\n")
        self._write_text("manifest-sha256.txt", *self._listed(payload))
        self._write_text(_TAG_MANIFEST, *self._listed(_TAGS))

    def _write_text(self, name: str, *lines: str) -> None:
        self._digests[name] = self._write(name, (line.encode() for line in lines))

    def _listed(self, names: Iterable[str]) -> list[str]:
        return [f"{self._digests[name]}  {name}\n" for name in names]

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()


class Damaged(DerivaMLException):
    """A file of records that is not as it has to be, of which nothing is taken in."""


class Reader:
    """A bag in a ZIP file that somebody else may have written. Nothing of it is unpacked under a name that it says.

    Attributes:
        identity: the SHA-256 of the list that the bag's digests hang on.

    Raises:
        DerivaMLRequestError: there is no such file; a folder is none, nor a pipe, which would be waited for.
        Damaged: it is no file of records, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise DerivaMLRequestError(f"{path} is no file: give the name of one that was exported")
            self._size = status.st_size
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError as error:
            raise DerivaMLRequestError(f"there is no file {path}") from error
        except (zipfile.BadZipFile, NotImplementedError, *DAMAGED) as error:
            raise self.damaged("it is no ZIP file, or only a part of one") from error
        try:
            self._entries = self._checked_entries()
            self._digests = self._checked_digests()
        except BaseException:
            self._zip.close()
            raise

    def damaged(self, why: str) -> Damaged:
        """Return the error that says why nothing of the file is taken in."""
        return Damaged(f"{self.path} is not taken in: {why}")

    def _checked_entries(self) -> dict[str, zipfile.ZipInfo]:
        """Return the entries by their names in the bag."""
        entries: dict[str, zipfile.ZipInfo] = {}
        tops = set()
        for entry in self._zip.infolist():
            top, _, name = entry.filename.partition("/")
            tops.add(top)
            if entry.filename.endswith("/") and not entry.file_size:
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if not _KNOWN.fullmatch(name) or top in {"", ".", ".."} or entry.orig_filename != entry.filename:
                raise self.damaged(f"there is no place for {entry.orig_filename!r} in a file of records")
            if kind not in {0, stat.S_IFREG} or entry.flag_bits & 1:
                raise self.damaged(f"{name} is no plain file")
            if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise self.damaged(f"{name} is compressed in a way that is not known here")
            if name in entries:
                raise self.damaged(f"{name} is in it twice")
            if entry.file_size > max(entry.compress_size * RATIO, UNCOUNTED):
                raise self.damaged(f"{name} would come to more than {RATIO} times its size")
            entries[name] = entry
        if len(tops) > 1:
            raise self.damaged("it has more than one folder")
        if sum(entry.compress_size for entry in entries.values()) > self._size:
            raise self.damaged("files in it lie one over the other")
        whole = {*_TAGS, _TAG_MANIFEST, f"data/{FORMAT}"}
        if missing := whole - entries.keys():
            raise self.damaged(f"{min(missing)} is not in it")
        most = max(UNCOUNTED, sum(len(name) + _LISTED for name in entries))
        if large := [name for name in sorted(whole) if entries[name].file_size > most]:
            raise self.damaged(f"{large[0]} is larger than it can be")
        return entries

    def _checked_digests(self) -> dict[str, str]:
        """Return the digests of the bag's files, once those of the lists themselves are right."""
        self.identity = hashlib.sha256(tags := self._text(_TAG_MANIFEST)).hexdigest()
        digests = self._listed(tags)
        if digests.keys() != {*_TAGS}:
            raise self.damaged(f"{_TAG_MANIFEST} does not list what it has to")
        for name in _TAGS:
            if hashlib.sha256(self._text(name)).hexdigest() != digests[name]:
                raise self.damaged(f"{name} is not what its digest says")
        payload = self._listed(self._text("manifest-sha256.txt"))
        if payload.keys() != {name for name in self._entries if name.startswith("data/")}:
            raise self.damaged("manifest-sha256.txt lists other files than are in it")
        return payload

    def _text(self, name: str) -> bytes:
        with self._opened(name) as stream:
            return b"".join(stream)

    def _listed(self, text: bytes) -> dict[str, str]:
        found = re.findall(rb"(?m)^([0-9a-f]{64})  ([!-~]+)$", text)
        listed = {name.decode(): digest.decode() for digest, name in found}
        if len(listed) != text.count(b"\n"):
            raise self.damaged("a list of digests in it is none")
        return listed

    @contextmanager
    def _opened(self, name: str) -> Iterator[Iterator[bytes]]:
        """Give a file's content in pieces, of no more bytes than it is said to have."""
        entry = self._entries[name]
        try:
            with self._zip.open(entry) as stream:
                yield iter(lambda: stream.read(CHUNK), b"")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, *DAMAGED) as error:
            # EINVAL is a place before the file's start.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise self.damaged(f"{name} in it is damaged ({error})") from error

    # What is in it

    @property
    def names(self) -> list[str]:
        """The payload's files, by the names that it was written with."""
        return [name.removeprefix("data/") for name in self._digests]

    def size(self, name: str) -> int:
        """Return the bytes of a file of the payload."""
        return self._entries[f"data/{name}"].file_size

    def pieces(self, name: str) -> Iterator[bytes]:
        """Return the content of a file of the payload; once all of it was read it is what its digest says.

        Raises:
            Damaged: it is not.
        """
        digest, length = hashlib.sha256(), 0
        with self._opened(f"data/{name}") as pieces:
            for piece in pieces:
                digest.update(piece)
                length += len(piece)
                yield piece
        if digest.hexdigest() != self._digests[f"data/{name}"] or length != self.size(name):
            raise self.damaged(f"{name} in it is not what its digest says")

    def lines(self, name: str) -> Iterator[bytes]:
        """Return the lines of a file of the payload, without their ends."""
        rest = b""
        for piece in self.pieces(name):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST:
                raise self.damaged(f"a line of {name} has no end")
            yield from lines
        if rest:
            yield rest

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()


def from_file(stream: IO[bytes]) -> Iterator[bytes]:
    """Return a file's content in pieces."""
    return iter(lambda: stream.read(CHUNK), b"")
