"""Many files at once, with progress and an orderly stop: up to a Deriva server's objects, down into a project's store."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import Asset
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.hatrac import Report, Upload, get_object, put_object
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.grouping import grouped
from deriva_ml.progress import progress

T = TypeVar("T", bound=Upload | Asset)
R = TypeVar("R")

WORKERS = 8
"""Files under way at a time: enough that the way to and from the server is not what is waited for."""


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
    named = grouped((item.name, item) for item in items)

    def all_done(item: Upload, url: str) -> None:
        for same in named[item.name]:
            done(same, url)

    firsts = [same[0] for same in named.values()]
    _for_each_parallel(firsts, partial(put_object, server), all_done, workers, "uploading")


def download(server: Server, items: Sequence[Asset], objects: ObjectStore, workers: int = WORKERS) -> None:
    """Get contents into the project's store, several at a time, checked; what is there is not asked for.

    What a process that was stopped had got of a content is gone on with.

    Raises:
        DerivaMLException: a content is not what its record says, or could not be got. Those under way are finished.
    """
    missing = {item.md5: item for item in items if not objects.has(_digest(item), item.length)}
    if missing:
        objects.folder.mkdir(parents=True, exist_ok=True)
        _take_over(objects, missing)

    get = partial(_get, server, objects)
    _for_each_parallel(list(missing.values()), get, lambda *_: None, workers, "downloading")


def _digest(item: Asset) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", item.md5 or ""):  # it becomes a path
        raise DerivaMLException(f"the record of {item.filename} has no MD5: {item.md5!r}")
    return item.md5


def _get(server: Server, objects: ObjectStore, item: Asset, report: Report) -> None:
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


def _take_over(objects: ObjectStore, wanted: Mapping[str, Asset]) -> None:
    """Make what processes that are gone had collected this one's own."""
    import psutil

    for left in objects.folder.glob(".*.part"):
        md5, _, pid = left.name.removeprefix(".").removesuffix(".part").partition(".")
        if md5 in wanted and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            with suppress(FileNotFoundError):  # another process was faster
                os.replace(left, _part(objects, md5))


def _receive(server: Server, item: Asset, part: Path, report: Report) -> bool:
    """Add to a part what it lacks; True if it is the whole content then."""
    with part.open("a+b") as stream:
        stream.seek(0)
        digest = hashlib.file_digest(stream, "md5")
        report(stream.tell())
        if stream.tell() < item.length:
            for piece in get_object(server, item.url, stream.tell()):
                report(len(piece))
                digest.update(piece)
                stream.write(piece)
                if stream.tell() > item.length:  # more than its record says, however much there is
                    break
        return stream.tell() == item.length and digest.hexdigest() == item.md5


class _Abandoned(BaseException):
    """Nobody waits for this transfer any more."""


def _for_each_parallel(
    items: Sequence[T], work: Callable[[T, Report], R], done: Callable[[T, R], None], workers: int, title: str
) -> None:
    """Do work on all items in some threads, and in this one what is to be done then.

    At the first error nothing more is begun, but what is under way is ended; after KeyboardInterrupt, or what
    ``done`` raises, nothing is waited for. The threads are daemons: one that waits for an answer that does not
    come holds nobody up.

    Args:
        items: with their lengths in bytes, for the progress.
        work: called in a thread, with an item and with what is to be told of bytes as they go.
        done: called in this thread, with an item and what ``work`` returned.
        workers: threads at most.
        title: of the progress.

    Raises:
        BaseException: the first that ``work`` raised.
    """
    if not items:
        return
    running = min(workers, len(items))
    waiting: SimpleQueue[T | None] = SimpleQueue()
    finished: SimpleQueue[tuple[T, R] | None] = SimpleQueue()
    failures: list[BaseException] = []
    abandoned = threading.Event()
    for item in (*items, *[None] * running):
        waiting.put(item)

    def one(item: T) -> R:
        went = 0

        def report(count: int) -> None:
            nonlocal went
            if abandoned.is_set():
                raise _Abandoned
            went += count
            went_on(count)

        result = work(item, report)
        went_on(item.length - went)  # what was there already, or went more than once
        return result

    def worker() -> None:
        try:
            while not failures and (item := waiting.get()) is not None:
                finished.put((item, one(item)))
        except BaseException as error:
            failures.append(error)
        finished.put(None)

    with progress(title, len(items), sum(item.length for item in items)) as went_on:
        try:
            for _ in range(running):
                threading.Thread(target=worker, name=title, daemon=True).start()
            while running:
                if outcome := finished.get():
                    done(*outcome)
                else:
                    running -= 1
        except BaseException as error:
            failures.append(error)
            abandoned.set()
            raise
    if failures:
        raise failures[0]
