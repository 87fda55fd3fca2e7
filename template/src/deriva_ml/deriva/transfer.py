"""Many files at once: up to a Deriva server's objects, and down into a project's own store."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.catalog.objects import CHUNK, ObjectStore
from deriva_ml.deriva.errors import ServerRefused
from deriva_ml.deriva.hatrac import Upload, get_object, put_object
from deriva_ml.deriva.parallel import Report, for_each_parallel
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException

WORKERS = 8
"""Files under way at a time: enough that the way to and from the server is not what is waited for."""


@dataclass(frozen=True)
class Download:
    """A content to get: its URL path, MD5 (hexadecimal) and length in bytes, and its name for messages."""

    url: str
    md5: str
    length: int
    filename: str


def upload(
    server: Server, items: Sequence[Upload], done: Callable[[Upload, str], None], workers: int = WORKERS
) -> None:
    """Put files into the server's store, several at a time, each content under its name once.

    Args:
        done: called here, in the calling thread, with each item and its URL as soon as it is there.

    Raises:
        DerivaMLException: one could not be put. Those under way are finished and reported, no other is begun.
            After KeyboardInterrupt (or what ``done`` raises) nothing is waited for.
    """
    named: dict[str, list[Upload]] = {}
    for item in items:
        named.setdefault(item.name, []).append(item)

    def put(same: list[Upload], report: Report) -> str:
        return put_object(server, same[0], report)

    def put_all(same: list[Upload], url: str) -> None:
        for item in same:
            done(item, url)

    for_each_parallel(list(named.values()), lambda same: same[0].length, put, put_all, workers, "uploading")


def download(server: Server, items: Sequence[Download], objects: ObjectStore, workers: int = WORKERS) -> None:
    """Get contents into the project's store, several at a time, checked; what is there is not asked for.

    What a process that was stopped had got of a content is gone on with.

    Raises:
        DerivaMLException: a content is not what its record says, or could not be got. Those under way are finished.
    """
    missing = {item.md5: item for item in items if not objects.has(_digest(item), item.length)}
    if missing:
        objects.folder.mkdir(parents=True, exist_ok=True)
        _take_over(objects, missing)

    def get(item: Download, report: Report) -> None:
        _get(server, item, objects, report)

    for_each_parallel(
        list(missing.values()), lambda item: item.length, get, lambda *_: None, workers, "downloading"
    )


def _digest(item: Download) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", item.md5 or ""):  # it becomes a path
        raise DerivaMLException(f"the record of {item.filename} has no MD5: {item.md5!r}")
    return item.md5


def _get(server: Server, item: Download, objects: ObjectStore, report: Report) -> None:
    part = _part(objects, item.md5)
    try:
        for _ in range(2):  # what was taken over may have been damaged, and any content on its way
            if _receive(server, item, part, report):
                target = objects.path(item.md5)
                target.parent.mkdir(exist_ok=True)
                part.chmod(part.stat().st_mode & 0o444)  # by the umask
                os.replace(part, target)
                objects.fresh.append(target)
                return
            part.unlink()
    except ServerRefused as refused:
        if refused.status != 401:  # whoever logs in again can go on with it
            part.unlink(missing_ok=True)
        raise
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()
    raise DerivaMLException(f"the content of {item.filename} on {server.host} is not what its record says")


def _part(objects: ObjectStore, md5: str) -> Path:
    """Where this process collects a content."""
    return objects.folder / f".{md5}.{os.getpid()}.part"


def _take_over(objects: ObjectStore, wanted: Mapping[str, Download]) -> None:
    """Make what processes that are gone had collected this one's own."""
    import psutil

    for left in objects.folder.glob(".*.part"):
        md5, _, pid = left.name.removeprefix(".").removesuffix(".part").partition(".")
        if md5 in wanted and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            with suppress(FileNotFoundError):  # another process was faster
                os.replace(left, _part(objects, md5))


def _receive(server: Server, item: Download, part: Path, report: Report) -> bool:
    """Add to a part what it lacks; True if it is the whole content then."""
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("a+b") as stream:
        stream.seek(0)
        while piece := stream.read(CHUNK):
            digest.update(piece)
            report(len(piece))
        if stream.tell() < item.length:
            for piece in get_object(server, item.url, stream.tell()):
                report(len(piece))
                digest.update(piece)
                stream.write(piece)
                if stream.tell() > item.length:  # more than its record says, however much there is
                    break
        return stream.tell() == item.length and digest.hexdigest() == item.md5
