"""What counts as the same in an archive: what its members hold."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from deriva_ml.replay.compare import archives
from replay.compare.conftest import Compare


def zipped(*members: tuple[str, str | bytes], year: int = 2020, packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as archive:
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), text, packed)
    return stream.getvalue()


def tarred(*members: tuple[str, str], time: int = 0, mode: str = "w") -> bytes:
    """A tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, text in members:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.size = time, len(text)
            if text.startswith("->"):
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, text[2:], 0
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


ONE = ("a.csv", "x,y\n1,0.5\n"), ("b.txt", "words\n")


def test_zip(compare: Compare) -> None:
    """Member by member: times and packing are left out."""
    assert str(compare(zipped(*ONE), zipped(*ONE, year=2021), "a.zip").verdict) == "identical"
    assert str(compare(zipped(*ONE), zipped(*ONE, packed=zipfile.ZIP_STORED), "a.zip").verdict) == "identical"
    assert str(compare(zipped(*ONE), zipped(*ONE[::-1]), "a.zip").verdict) == "equivalent"
    noise = ("a.csv", "x,y\n1,0.5000000000001\n")
    assert str(compare(zipped(*ONE), zipped(noise, ONE[1]), "a.zip").verdict) == "equivalent"
    found = compare(zipped(*ONE), zipped(("a.csv", "x,y\n1,0.75\n"), ONE[1]), "a.zip")
    assert (str(found.verdict), found.differences[0].where) == ("different", 'a.csv, row 1, column "y"')
    assert found.similarity == 0.75
    found = compare(zipped(*ONE), zipped(ONE[0]), "a.zip")
    assert (str(found.verdict), found.differences[0].where) == ("different", "b.txt")


def test_tar(compare: Compare) -> None:
    """Also compressed, and with links, which nobody follows."""
    assert str(compare(tarred(*ONE), tarred(*ONE, time=99), "a.tar").verdict) == "identical"
    assert (
        str(compare(tarred(*ONE, mode="w:gz"), tarred(*ONE, time=99, mode="w:gz"), "a.tar.gz").verdict)
        == "identical"
    )
    assert (
        str(compare(tarred(*ONE, mode="w:xz"), tarred(("a.csv", "x"), mode="w:xz"), "a.tar.xz").verdict)
        == "different"
    )
    links = [tarred(("a", f"->/etc/{name}")) for name in ("passwd", "group")]
    assert str(compare(*links, "a.tar").verdict) == "different"


def test_gzip(compare: Compare) -> None:
    """What is in it is compared by the name without the suffix."""
    table, noise = b"x,y\n1,0.5\n", b"x,y\n1,0.5000000000001\n"
    assert (
        str(compare(gzip.compress(table, mtime=1), gzip.compress(table, mtime=2), "a.csv.gz").verdict)
        == "identical"
    )
    assert str(compare(gzip.compress(table), gzip.compress(noise), "a.csv.gz").verdict) == "equivalent"
    assert str(compare(gzip.compress(table), gzip.compress(table)[:-9], "a.csv.gz").verdict) == "different"


def test_archives_in_archives_are_opened_to_a_depth(compare: Compare) -> None:
    """And beyond that compared by their bytes."""
    one, other = zipped(*ONE), zipped(*ONE, year=2021)
    for depth in range(1, 5):
        one, other = (zipped(("in.zip", content)) for content in (one, other))
        assert str(compare(one, other, "a.zip").verdict) == ("identical" if depth < 3 else "different")


def test_what_is_too_large_unpacked_is_not_unpacked(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small archive may hold more than a disk does."""
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1 << 20)
    bombs = [zipped(("a.txt", "0" * (3 << 20) + end)) for end in "ab"]
    assert len(bombs[0]) < 10_000
    assert str(compare(*bombs, "a.zip").verdict) == "different"
    assert (
        str(compare(*(gzip.compress(b"0" * (3 << 20) + end) for end in (b"a", b"b")), "a.gz").verdict)
        == "different"
    )


def test_names_lead_nowhere(compare: Compare) -> None:
    """A member is unpacked under a name of the comparison's own."""
    ours, theirs = (zipped(("../../../tmp/out.csv", f"x\n{value}\n")) for value in (1, 2))
    found = compare(ours, theirs, "a.zip")
    assert (str(found.verdict), found.differences[0].where) == (
        "different",
        '../../../tmp/out.csv, row 1, column "x"',
    )
