"""Writes a version of a dataset out, as a folder or as a .zip: its files at their paths, each checked on the way."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import CHUNK, ObjectStore
from deriva_ml.definitions import RID, Dataset
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.parallel import in_order
from deriva_ml.progress import Report, progress
from deriva_ml.project import PARTIAL, replacing
from deriva_ml.terminal import amount
from deriva_ml.untrusted import READING, check_relative

GROUP = 64
"""Files that a thread is given at a time."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all files in a .zip, the earliest that it can have: one dataset makes one file, byte for byte."""


class _File(NamedTuple):
    """A file of a dataset: where it lies, counted from the dataset itself, and its content."""

    path: str
    md5: str
    length: int


def write(catalog: EmbeddedCatalog, dataset: Dataset, target: Path) -> None:
    """Write a version of a dataset to a new folder, or to a new file if the name ends with ``.zip``.

    Files lie as a bag has them, those of nested datasets in the folders of these. The .zip is the same wherever it is
    made: files are in the order of their paths, all of one time, and not compressed.

    Raises:
        DerivaMLRequestError: something is there, or there is not the room.
        DerivaMLException: a content is missing, or is not what was recorded; then nothing is left there.
    """
    is_zip = target.suffix.lower() == ".zip"
    _check_free(target, is_zip)
    assert dataset.version_rid is not None  # of this catalog
    state = catalog.dataset_state(dataset.version_rid)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DerivaMLRequestError(f"{target.parent} is no folder: choose another place") from error
    free = shutil.disk_usage(target.parent).free
    if state.bytes > free and (is_zip or not disk.can_clone(catalog.project.database, target.parent)):
        raise DerivaMLRequestError(
            f"the dataset has {amount(state.bytes)}, for which {target.parent} has no room ({amount(free)}): make room, or"
            " choose another place"
        )
    files = _files(catalog, state.rid)
    with progress("writing", state.files, state.bytes) as report:
        (_write_zip if is_zip else _write_folder)(catalog.objects, files, target, report)


def _check_free(target: Path, is_zip: bool) -> None:
    if target.is_dir() and not is_zip and not any(target.iterdir()):
        return
    if os.path.lexists(target):
        raise DerivaMLRequestError(f"{target} is there already: choose another name, or remove it")


def _files(catalog: EmbeddedCatalog, state: RID) -> Iterator[_File]:
    """Return the files of a dataset's state and of those nested in it."""
    for row in catalog.files(state):
        yield _File(check_relative(row["Path"]), row["MD5"], row["Length"] or 0)


@contextmanager
def _content(objects: ObjectStore, file: _File) -> Iterator[int]:
    """Give a file's content, open."""
    path = objects.path(file.md5)
    if not path.exists():
        raise DerivaMLException(
            f"the content of {file.path} (MD5 {file.md5}) is missing from {objects.folder}:"
            " bring .deriva-ml back from a backup, or import it"
        )
    with disk.opened(path, READING) as descriptor:
        yield descriptor


def _checked(objects: ObjectStore, file: _File, descriptor: int, report: Report) -> Iterator[bytes]:
    """Return what is read, piece by piece.

    Raises:
        DerivaMLException: it was not what was recorded; after the last piece.
    """
    digest = hashlib.md5(usedforsecurity=False)
    while data := os.read(descriptor, CHUNK):
        digest.update(data)
        yield data
        report(len(data))
    if digest.hexdigest() != file.md5:
        raise DerivaMLException(
            f"the content of {file.path} has changed since it was recorded: bring {objects.path(file.md5)} back from a"
            " backup"
        )


def _write_zip(objects: ObjectStore, files: Iterator[_File], target: Path, report: Report) -> None:
    with replacing(target) as temporary, disk.written_for(target, temporary), temporary.open("wb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for file in files:
                info = zipfile.ZipInfo(file.path, EPOCH)
                # Unix, whatever this is.
                info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                info.file_size = file.length  # which tells whether the entry has to be one for large files
                with _content(objects, file) as content, archive.open(info, "w") as entry:
                    for data in _checked(objects, file, content, report):
                        entry.write(data)
        stream.flush()
        disk.flush_open(stream.fileno())


def _write_folder(objects: ObjectStore, files: Iterator[_File], target: Path, report: Report) -> None:
    temporary = disk.temporary_path(target.parent, PARTIAL)
    made: set[str] = set()

    def groups() -> Iterator[list[_File]]:
        while group := [*islice(files, GROUP)]:
            for folder in {file.path.rpartition("/")[0] for file in group} - made:
                (temporary / folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            yield group

    def copy(group: list[_File], report: Report) -> None:
        for file in group:
            _copy(objects, file, f"{temporary}/{file.path}", report)

    try:
        with disk.written_for(target, temporary):
            temporary.mkdir()
            for _ in in_order(copy, groups(), report):
                pass
            disk.flush_names(temporary)
            if target.is_dir():
                target.rmdir()  # it is empty; not every system renames over it
            temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _copy(objects: ObjectStore, file: _File, destination: str, report: Report) -> None:
    """Write one file, which its owner may write, for those who can read the content."""
    with _content(objects, file) as content, disk.opened(destination, disk.NEW) as writer:
        shared = file.length > 0 and disk.clone(content, writer)
        for data in _checked(objects, file, writer if shared else content, report):
            if not shared:
                disk.write(writer, data)
        disk.admit(os.fstat(content), writer, 0o600)
