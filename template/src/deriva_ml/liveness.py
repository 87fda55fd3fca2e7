"""Shows others that this process lives: a lock on a file, of which the kernel lets go however the process ends.

The file has room for what it may have to tell them when the disk is full.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

import deriva_ml.disk as disk
from deriva_ml.untrusted import READING, plain_name, read_json

FOLDER = "alive"
"""In a project's state folder: the files that processes lock, each its own."""

LOCAL = frozenset(
    "apfs bcachefs btrfs exfat ext2 ext3 ext4 f2fs fat32 hfs jfs msdos ntfs ntfs3 overlay refs reiserfs tmpfs ufs vfat"
    " xfs zfs".split()
)
"""File systems that one machine has to itself, containers on it included, so that it knows of every lock there. Any
other may be shared with machines whose locks it does not tell of."""

_shown: dict[Path, str] = {}
"""The file that this process has locked, by folder."""
_descriptors: list[int] = []
"""Which hold the locks, open as long as this process lives."""

ROOM = 4096
"""Bytes of a file, written when it is made: in their place others can be written though the disk is full."""

_notes: dict[str, str] = {}
"""What this process has to tell, by what it is about."""


def show(state: Path) -> str:
    """Hold a lock in a project's state folder from now on until this process ends.

    Returns:
        The file's name, the same each time; empty where files cannot be locked.
    """
    folder = state / FOLDER
    name = _shown.get(folder)
    return name if name and (folder / name).exists() else _take(folder)


def _take(folder: Path) -> str:
    for _ in range(5):  # ``clear`` may be at the file before it is locked
        name = f"{_kernel()}{os.urandom(8).hex()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # No program that this process starts inherits it; for processes that it forks see below.
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError:
            return ""
        locked = _lock(descriptor, alone=True)
        if locked and (folder / name).exists():
            with suppress(OSError):  # no room, either
                os.write(descriptor, b" " * ROOM)
            _descriptors.append(descriptor)
            _shown[folder] = name
            return name
        os.close(descriptor)
        (folder / name).unlink(missing_ok=True)
        if locked is None:
            break
    return ""


def is_held(state: Path, name: str) -> bool | None:
    """Whether the process that holds the lock lives; None if that cannot be told from it."""
    try:
        with disk.opened(state / FOLDER / plain_name(name), READING) as descriptor:
            free = _lock(descriptor, alone=False)
    except OSError:
        return None
    return None if free is None else not free


def note(state: Path, about: str, text: str) -> None:
    """Tell whoever finds this process gone something that cannot be recorded now; does nothing without a lock."""
    _notes[about] = text[: ROOM // 8]
    name, told = _shown.get(state / FOLDER), json.dumps(_notes).encode()
    if name and len(told) <= ROOM:
        with suppress(OSError), (state / FOLDER / name).open("r+b") as stream:
            stream.write(told.ljust(ROOM))


def noted(state: Path, name: str, about: str) -> str:
    """Return what the process that held a lock had to tell; empty if that is nothing."""
    try:
        told = read_json(state / FOLDER / plain_name(name))
    except (OSError, ValueError):
        return ""
    return str(told.get(about, "")) if isinstance(told, dict) else ""


def is_of_this_kernel(name: str) -> bool:
    """Whether the lock was taken under the operating system's kernel that runs here, whose locks all are known here."""
    kernel = _kernel()
    return bool(kernel) and name.startswith(kernel)


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "") + "-"
    except OSError:
        return ""


def is_local(state: Path) -> bool:
    """Whether no other machine can hold a lock in the folder without this one knowing of it."""
    kind, options = mount_of(state)
    return kind in LOCAL and "remote" not in options


def mount_of(place: Path) -> tuple[str, list[str]]:
    """Return the kind of the file system that a path is on, in lower case, and its options; nothing where unknown."""
    import psutil

    place = place.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if place.is_relative_to(one.mountpoint)]
    # Of several on one folder, it is the last that is seen there.
    nearest = max(reversed(mounts), key=lambda one: len(one.mountpoint), default=None)
    return (nearest.fstype.lower(), nearest.opts.split(",")) if nearest else ("", [])


def clear(state: Path, needed: Container[str]) -> None:
    """Remove the files of processes that are over, but for those that a record still names."""
    for path in (state / FOLDER).glob("*"):
        if path.name in needed:
            continue
        with suppress(OSError), disk.opened(path, READING) as descriptor:  # or it is somebody else's
            if _lock(descriptor, alone=False):
                path.unlink(missing_ok=True)  # while it is locked, so that nobody has just taken it


def _lock(descriptor: int, alone: bool) -> bool | None:
    """Lock an open file without waiting; False if another process holds it, None if files cannot be locked here."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Not by fcntl.lockf: such a lock is lost when anything in this process opens and closes the file.
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _let_go() -> None:
    """Leave the locks to the parent: a forked child shares them, and would keep them when that one has died."""
    _shown.clear()
    while _descriptors:
        with suppress(OSError):
            os.close(_descriptors.pop())


# What C code forks does not pass here, and keeps the locks as long as it lives. Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
