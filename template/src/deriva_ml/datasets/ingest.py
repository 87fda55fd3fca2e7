"""Takes a person's files into a project's catalog: several at a time, none read twice, each recorded as it was read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.intake import Seen
from deriva_ml.datasets.taking import SMALLEST_CLONE, Store
from deriva_ml.datasets.walk import Found
from deriva_ml.definitions import Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import parted
from deriva_ml.parallel import in_order
from deriva_ml.progress import Report, is_much, progress
from deriva_ml.terminal import amount, counted, tell

GROUP = 64, 1 << 26
"""Files, and bytes from which on there are fewer, that a thread is given at a time."""
BATCH = 4096, 1 << 30
"""Files, or bytes, that are recorded at a time: what an interruption costs at most, and how often the disk is waited for."""
SETTLED = 2.0
"""Seconds: a file that changed so shortly before it was read may change again without another time being seen."""


class Needed(NamedTuple):
    """What there is to take in.

    Attributes:
        files: how many.
        bytes: of all.
        new: bytes of those whose content is not known to be in the catalog.
    """

    files: int
    bytes: int
    new: int


class _Done(NamedTuple):
    """A file whose content is in the store, and what is known of it from now on, unless it was known before."""

    found: Found
    md5: str
    length: int
    seen: Seen | None


def needed(catalog: EmbeddedCatalog, found: Iterable[Found]) -> Needed:
    """Return how much there is to take in; nothing is read.

    Raises:
        DerivaMLRequestError: as those that were found do.
    """
    store = Store(catalog.objects)
    files = size = new = 0
    for group in _groups(found):
        known = catalog.seen(one.source for one in group)
        files += len(group)
        for one in group:
            size += one.stat.st_size
            if not _known(store, one, known):
                new += one.stat.st_size
    return Needed(files, size, new)


def take_in(catalog: EmbeddedCatalog, found: Iterable[Found], link: bool = False) -> list[Member]:
    """Record files in the catalog, and return them as members of a dataset, in their order.

    They are recorded some thousands at a time. Whatever interrupts this, a second call goes on: what was recorded is
    not read again. Says first, on stderr, how much there is, if it is much.

    Args:
        found: as ``walk.found`` returns them; gone through twice.
        link: let the catalog have the person's own files, which become read-only, instead of copies.

    Raises:
        DerivaMLRequestError: a file cannot be a member, changes while it is read, or the disk has not the room for all.
    """
    if isinstance(found, Iterator):
        found = [*found]
    todo = needed(catalog, found)
    _check_room(catalog, found, todo, link)
    members: list[Member] = []
    with progress("taking in", todo.files, todo.bytes) as report:
        done = _taken(catalog, found, Store(catalog.objects, link), report)
        with closing(parted(done, lambda one: one.length, BATCH)) as batches:
            for batch in batches:
                members += _record(catalog, batch, link)
    return members


def _check_room(catalog: EmbeddedCatalog, found: Iterable[Found], todo: Needed, link: bool) -> None:
    """Say how much there is to take in, and refuse what the disk cannot hold."""
    first = next((one.source for one in found if one.stat.st_size >= SMALLEST_CLONE), None)
    share = link or (first is not None and disk.can_clone(first, catalog.project.objects))
    how = "linked" if link else "cloned" if share else "copied"
    if is_much(todo.files, todo.bytes):
        new = f"; {amount(todo.new)} are new and will be {how}" if todo.new else "; nothing of it is new"
        tell(f"{counted(todo.files, 'file')}, {amount(todo.bytes)}{new}")
    free = shutil.disk_usage(catalog.project.state).free
    if todo.new > free and not share:
        raise DerivaMLRequestError(
            f"{catalog.project.state} has room for {amount(free)}, and {amount(todo.new)} are new: make room, or repeat"
            " the command with --link, which takes no copies"
        )


def _groups(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Return files as a thread is given them."""
    return parted(found, lambda one: one.stat.st_size, GROUP)


def _known(store: Store, one: Found, seen: Mapping[str, Seen]) -> Seen | None:
    """Return what is known of a file, if it is as it was then and its content is in the store."""
    known, now = seen.get(one.source), one.stat
    if (
        known is None
        or (known.size, known.mtime, known.ctime) != (now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        or (known.inode, known.device) != _identity(now)
        or max(known.mtime, known.ctime) >= (known.noted - SETTLED) * 1e9
        or not store.has(known.md5, known.size)
    ):
        return None
    return known


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return a file's inode and device as SQLite can hold them, which has no more than 63 bits."""
    return status.st_ino & (1 << 63) - 1, status.st_dev & (1 << 63) - 1


def _taken(catalog: EmbeddedCatalog, found: Iterable[Found], store: Store, report: Report) -> Iterator[_Done]:
    """Take files into the store, several at a time, and return them in their order."""

    def take(given: tuple[Sequence[Found], Mapping[str, Seen]], report: Report) -> list[_Done]:
        group, seen = given
        return [_take(store, one, seen, report) for one in group]

    groups = ((group, catalog.seen(one.source for one in group)) for group in _groups(found))
    # So many that nobody waits while a batch is recorded.
    for done in in_order(take, groups, report, ahead=BATCH[0] // GROUP[0]):
        yield from done


def _take(store: Store, one: Found, seen: Mapping[str, Seen], report: Report) -> _Done:
    noted = time.time()
    if known := _known(store, one, seen):
        report(known.size)
        return _Done(one, known.md5, known.size, None)
    taken = store.take(one.source, report)
    status = taken.stat
    times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return _Done(
        one, taken.md5, status.st_size, Seen(one.source, *times, *_identity(status), taken.md5, noted)
    )


def _record(catalog: EmbeddedCatalog, batch: Sequence[_Done], link: bool) -> list[Member]:
    """Record files whose contents are in the store."""
    store = Store(catalog.objects, link)
    with catalog.transaction():  # in which nobody else removes a content
        batch = [
            one if one.seen or store.has(one.md5, one.length) else _take(store, one.found, {}, lambda _: None)
            for one in batch
        ]
        names = (one.found.path.rpartition("/")[2] for one in batch)
        rids = catalog.record_files(
            [(name, one.md5, one.length) for name, one in zip(names, batch, strict=True)],
            [one.seen for one in batch if one.seen],
        )
    return [Member(one.found.path, rid) for one, rid in zip(batch, rids, strict=True)]
