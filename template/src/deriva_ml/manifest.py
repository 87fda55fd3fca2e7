"""The manifest of a dataset's version: its paths with the digests of what lies there, one text for one content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from deriva_ml.untrusted import DAMAGED, check_relative

MD5 = frozenset("0123456789abcdef")


def manifest_name(version: str) -> str:
    """Return the name of the file that a version's manifest is recorded as."""
    return f"dataset-manifest-{version}.jsonl"


class Entry(NamedTuple):
    """What lies at a path: a file, or a dataset at a version.

    Attributes:
        path: relative, with ``/``.
        digest: the MD5 of a file's content; of a dataset the digest of its manifest.
        length: bytes of a file.
        version: a dataset's; empty for a file.
    """

    path: str
    digest: str
    length: int = 0
    version: str = ""


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Return the manifest's lines, each with its end, of entries that are in the order of their paths' code points."""
    for path, digest, length, version in entries:
        what = {"dataset": digest, "version": version} if version else {"length": length, "md5": digest}
        yield (
            json.dumps({**what, "path": path}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            + "\n"
        )


def digest_of(entries: Iterable[Entry]) -> str:
    """Return the MD5 of a manifest, by which a version is known in every catalog; MD5 is what these keep of files."""
    digest = hashlib.md5(usedforsecurity=False)
    for line in lines(entries):
        digest.update(line.encode())
    return digest.hexdigest()


def parse(text: str) -> list[Entry]:
    """Return what a manifest says, which somebody else may have written.

    Raises:
        ValueError: it is no manifest, two entries have one path, or a path leads out of the dataset.
    """
    try:
        entries = [_entry(json.loads(line)) for line in text.splitlines()]
    except DAMAGED as error:
        raise ValueError(f"it is no manifest: {error}") from error
    if "".join(lines(entries)) != text or [e.path for e in entries] != sorted({e.path for e in entries}):
        raise ValueError("it is no manifest: not in the one form that it has")
    return entries


def _entry(said: dict[str, object]) -> Entry:
    digest, length = said.get("md5", said.get("dataset")), said.get("length", 0)
    version, path = said.get("version", ""), said["path"]
    if not isinstance(path, str) or not isinstance(digest, str) or not isinstance(version, str):
        raise ValueError("a path, digest or version is no text")
    if not isinstance(length, int) or length < 0 or not set(digest) <= MD5 or len(digest) != 32:
        raise ValueError("a length or digest is none")
    return Entry(check_relative(path), digest, length, version)
