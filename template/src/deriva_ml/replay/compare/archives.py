"""Compares archives member by member, without their times; what is too large unpacked, by its bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from deriva_ml.replay.compare.tally import Tally
from deriva_ml.replay.compare.terms import RunTerms
from deriva_ml.replay.verdict import Comparison, Difference, Verdict
from deriva_ml.untrusted import plain_name

LARGEST_MEMBER = 1 << 30
"""Bytes of a member that is unpacked."""

MOST_MEMBERS = 100_000

BROKEN = (
    OSError, EOFError, ValueError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What reading a damaged, encrypted or unknown archive raises."""

CompareFiles = Callable[[Path, Path, str], Comparison]


class Member(NamedTuple):
    """A member of an archive.

    Attributes:
        says: what it is, if that is no file: where a link leads, or a folder.
        size: bytes, as the archive has it.
        opened: opens its content.
    """

    name: str
    says: str
    size: int
    opened: Callable[[], AbstractContextManager[IO[bytes]]]


def compare_archives(
    recorded: Path, repeated: Path, compare: CompareFiles, sides: Sequence[RunTerms]
) -> Comparison | None:
    """Compare two ZIP or tar archives; None if one cannot be read as such. The similarity is the mean of the members'.

    Args:
        compare: what compares two files, of that name.
        sides: the two runs, whose RIDs may be in members' names.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = (_opened(path) for path in (recorded, repeated))
            with ours[0], theirs[0]:
                return _compare_members(ours[1], theirs[1], Path(folder), compare, sides)
    except BROKEN:
        return None


def _opened(path: Path) -> tuple[Any, list[Member]]:
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        listed = archive.infolist()
        members = [
            Member(one.filename, "folder" if one.is_dir() else "", one.file_size, _zip_opener(archive, one))
            for one in listed[: MOST_MEMBERS + 1]
        ]
    else:
        tar = tarfile.open(path)
        members = []
        for entry in tar:
            says = "" if entry.isfile() else f"{entry.type!r} {entry.linkname}"
            members.append(Member(entry.name, says, entry.size, _tar_opener(tar, entry)))
            if len(members) > MOST_MEMBERS:
                break
        archive = cast(Any, tar)
    if len(members) > MOST_MEMBERS:
        raise ValueError("too many members")
    return archive, members


def _zip_opener(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> Callable[[], Any]:
    return lambda: archive.open(one)


def _tar_opener(archive: tarfile.TarFile, one: tarfile.TarInfo) -> Callable[[], Any]:
    return lambda: archive.extractfile(one)


def _compare_members(
    ours: list[Member], theirs: list[Member], folder: Path, compare: CompareFiles, sides: Sequence[RunTerms]
) -> Comparison:
    """Compare members by name; those of the same name in their order."""
    names = [
        [side.named(member.name) for member in members]
        for side, members in zip(sides, (ours, theirs), strict=True)
    ]
    others: dict[str, list[Member]] = {}
    for name, member in zip(names[1], theirs, strict=True):
        others.setdefault(name, []).append(member)
    found: list[tuple[str, Comparison]] = []
    for name, member in zip(names[0], ours, strict=True):
        if others.get(name):
            found.append((member.name, _compare_member(member, others[name].pop(0), folder, compare)))
        else:
            found.append((member.name, _only(member.name, "there", "(not there)")))
    for left in others.values():
        found += [(member.name, _only(member.name, "(not there)", "there")) for member in left]
    verdict = max((one.verdict for _, one in found), default=Verdict.identical)
    if verdict is Verdict.identical:
        if names[0] == names[1]:
            return Comparison(verdict, note="but for the times of its members, and how they are packed")
        return Comparison(Verdict.equivalent, 1.0, "the same members in another order")
    worst = [(name, one) for name, one in found if one.verdict is verdict]
    tally = Tally()
    for name, one in worst:
        for line in one.differences or ([Difference("")] if verdict is Verdict.different else []):
            where = f"{name}, {line.where}" if line.where and line.where != name else name
            tally.differ(where, (line.recorded, line.repeated))
    notes = [*dict.fromkeys(one.note for _, one in worst if one.note)]
    if verdict is Verdict.equivalent:
        return Comparison(verdict, 1.0, "; ".join(notes[:4]), tally.differences)
    tally.equal, tally.total = sum(one.similarity for _, one in found), len(found)
    return tally.result(
        "; ".join(
            [
                "the mean over its members",
                *(note for note in notes if "install" in note or "not loaded" in note),
            ]
        )
    )


def _only(name: str, recorded: str, repeated: str) -> Comparison:
    return Comparison(Verdict.different, 0.0, "", [Difference(name, recorded, repeated)])


def _compare_member(one: Member, other: Member, folder: Path, compare: CompareFiles) -> Comparison:
    if one.says or other.says:
        same = one.says == other.says
        return Comparison(Verdict.identical) if same else _only(one.name, one.says, other.says)
    with one.opened() as left, other.opened() as right:
        if one.size == other.size and all(a == b for a, b in zip(_pieces(left), _pieces(right), strict=True)):
            return Comparison(Verdict.identical)
    if max(one.size, other.size) > LARGEST_MEMBER:
        return Comparison(Verdict.different, 0.0, "too large to be unpacked")
    name = plain_name(Path(one.name).name)
    paths = folder / "recorded", folder / "repeated"
    for member, path in ((one, paths[0]), (other, paths[1])):
        with member.opened() as stream, path.open("wb") as copy:
            for piece in _pieces(stream):
                copy.write(piece)
    return compare(*paths, name)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    read = 0
    while piece := stream.read(1 << 20):
        read += len(piece)
        if read > LARGEST_MEMBER:
            raise ValueError("too large to be unpacked")
        yield piece


_OPENERS: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": lambda path: cast("IO[bytes]", gzip.open(path)),
    b"BZh": lambda path: cast("IO[bytes]", bz2.open(path)),
    b"\xfd7zXZ\0": lambda path: cast("IO[bytes]", lzma.open(path)),
}
"""How a file is opened that starts so."""


def is_compressed(head: bytes) -> bool:
    """Whether a file that starts so is one that is compressed as a whole."""
    return head.startswith(tuple(_OPENERS))


def compare_compressed(recorded: Path, repeated: Path, name: str, compare: CompareFiles) -> Comparison | None:
    """Compare what two compressed files hold; None if one cannot be read.

    Args:
        name: of what is in them.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder) / "recorded", Path(folder) / "repeated"
            for path, copy in zip((recorded, repeated), paths, strict=True):
                with path.open("rb") as file:
                    head = file.read(6)
                opener = next(one for start, one in _OPENERS.items() if head.startswith(start))
                with opener(path) as stream, copy.open("wb") as out:
                    for piece in _pieces(stream):
                        out.write(piece)
            return compare(*paths, name)
    except BROKEN:
        return None
