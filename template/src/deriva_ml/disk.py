"""What the runner asks of the disk: to hold what was written, to let in whom it may, and to say why it takes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_OF_SQLITE = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")


def flush(paths: Sequence[Path]) -> None:
    """Wait until files that were written, and the folders that name them, are on the disk.

    Linux is asked once for the whole file system, which for several files takes a fraction of the time that asking for
    each of them takes (https://man7.org/linux/man-pages/man2/syncfs.2.html).

    Raises:
        OSError: the disk did not take them.
    """
    if paths and not _flush_file_system(paths[0].parent):
        _flush_each([*paths, *{folder for path in paths for folder in (path.parent, path.parent.parent)}])


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder, and its own, are on the disk; none of its files is opened.

    For that of the catalog: SQLite flushes what it writes itself, and closing a file takes from a process the locks that
    SQLite holds on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        OSError: the disk did not take them.
    """
    if not _flush_file_system(folder):
        _flush_each([folder, folder.parent])


NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
"""How a file is opened that is not there yet."""


@contextmanager
def opened(path: str | Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Give the descriptor of a file or folder, which is closed in the end; a new file is its owner's alone."""
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(descriptor: int, data: bytes) -> None:
    """Write all of the data into an open file."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _flush_each(paths: Iterable[Path]) -> None:
    for path in paths:
        # Windows opens no folder, and nothing read-only, for this.
        with suppress(PermissionError), opened(path) as descriptor:
            flush_open(descriptor)


def _flush_file_system(folder: Path) -> bool:
    """Flush the file system that a folder is on; False where no call does that."""
    if sys.platform != "linux":
        return False
    import ctypes  # used at the end of a run only

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    with opened(folder) as descriptor:
        if call(descriptor) == 0:
            return True
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return False
    raise OSError(number, os.strerror(number), str(folder))


def flush_open(descriptor: int) -> None:
    """Wait until what was written into an open file is on the disk."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # not on every file system
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's memory
            return
    os.fsync(descriptor)


def private_folder(folder: Path) -> None:
    """Make a folder that is its owner's and, where the umask says so, the group's; close one that is open to others."""
    folder.mkdir(mode=0o770, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & stat.S_IRWXO and os.name == "posix":
        with suppress(OSError):  # another user's, or read-only
            folder.chmod(stat.S_IMODE(mode) & ~stat.S_IRWXO)


def copy_file(source: Path, destination: Path) -> None:
    """Copy a file for those who can read it, and nobody else; its owner may write the copy."""
    try:
        shutil.copyfile(source, destination)
    except OSError:
        destination.unlink(missing_ok=True)  # half of it is worse than none
        raise
    admit(source.stat(), destination, 0o600)


_FICLONE = 0x40049409
"""Linux's request to share another file's content (https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html)."""


def clone(source: int, destination: int) -> bool:
    """Give an empty open file the content of another by sharing its blocks; False where the file system does not.

    Neither sees what is written into the other later.

    Raises:
        OSError: the disk is full.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError as error:
        if _because(error.errno):
            raise
        return False
    return True


def can_clone(source: str | Path, folder: Path) -> bool:
    """Whether a file in a folder can share another one's content."""
    with temporary(folder) as path, opened(path, NEW) as copy, opened(source) as original:
        return clone(original, copy)


def admit(source: os.stat_result, file: Path | int, also: int) -> None:
    """Let those read a file of this user's, at a path or open, who can read ``source``, and whom ``also`` lets in."""
    here = os.stat(file)
    if here.st_gid != source.st_gid and not also & 0o077 and hasattr(os, "chown"):
        with suppress(OSError):  # a group that this user is not in
            os.chown(file, -1, source.st_gid)
            here = os.stat(file)
    mode = source.st_mode & 0o444
    if here.st_gid != source.st_gid and not mode & stat.S_IROTH:
        mode &= ~stat.S_IRGRP  # whom that lets in there are others than here
    if stat.S_IMODE(here.st_mode) != mode | also:
        os.chmod(file, mode | also)


def fault(error: BaseException, folder: Path) -> str:
    """Return why the disk did not take what was to go into ``folder``, in a few words; empty for another error."""
    error = error.__cause__ or error
    if isinstance(error, OSError):
        return _because(error.errno)
    named = getattr(error, "sqlite_errorname", "")  # without loading sqlite3 for the names of its errors
    if named == "SQLITE_FULL":
        return _because(errno.ENOSPC)
    if named.startswith(_OF_SQLITE):
        # It does not say more: a quota, say, is an error of input and output to it.
        return _tried(folder) or ("it is read-only" if "READONLY" in named else "")
    return ""


def _because(number: int | None) -> str:
    if number == errno.ENOSPC:
        return "the disk is full"
    if number == getattr(errno, "EDQUOT", -1):  # Windows has no such number
        return "the disk quota is used up"
    if number == errno.EROFS:
        return "it is read-only"
    return "the disk fails" if number == errno.EIO else ""


def refusing_folder(error: BaseException) -> Path | None:
    """Return the folder in which this user may not make what an error names; None for another error."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if not isinstance(error, PermissionError) or not isinstance(name, str | Path) or os.path.lexists(name):
        return None
    folder = Path(name).parent
    return folder if os.access(folder, os.X_OK) else None


def not_taken(place: object, why: str) -> str:
    """Return a line for a person about a place that the disk took nothing for."""
    mended = why.startswith(("the disk is full", "the disk quota"))
    return f"nothing can be written to {place}: {why}{'; make room and repeat the command' if mended else ''}"


def temporary_path(folder: Path, prefix: str = ".") -> Path:
    """Return a path that nothing has yet, for what gets its name once it is whole."""
    return folder / f"{prefix}{os.urandom(8).hex()}"


@contextmanager
def temporary(folder: Path, prefix: str = ".") -> Iterator[Path]:
    """Give the path of a file to be written, and then renamed; one that still has that name in the end is removed."""
    path = temporary_path(folder, prefix)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Make a folder in another one, and remove it in the end."""
    path = temporary_path(folder)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def written_for(target: Path, part: Path) -> Iterator[None]:
    """Let the disk's errors name what a person asked for, and not what is written for it, or nothing at all."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(part)):
            error.filename = str(target)
        raise


def clear_temporary(folder: Path, names: str = "." + "[0-9a-f]" * 16) -> None:
    """Remove what a process that was killed left in a folder, under such a path, more than a day ago."""
    for path in folder.glob(names):
        with suppress(FileNotFoundError):  # it has got its name meanwhile
            status = path.lstat()
            if time.time() - status.st_mtime <= 86_400:
                continue
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextmanager
def unless_refused(folder: Path) -> Iterator[None]:
    """Leave what is inside as far as it came when the disk does not take it."""
    try:
        yield
    except Exception as error:
        if not fault(error, folder):
            raise


def _tried(folder: Path) -> str:
    """Return what keeps a file from being written into a folder."""
    try:
        with temporary(folder) as path:
            path.write_bytes(bytes(1 << 16))
    except PermissionError:
        return "this user may not write there"
    except OSError as error:
        return _because(error.errno)
    return ""
