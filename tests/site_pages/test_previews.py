"""Previews of recorded files: what each kind shows, and that a damaged, huge or hostile file has none and does nothing."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from deriva_ml.site import previews
from deriva_ml.site.harmless import defused
from site_pages import hostile

MD5 = "0123456789abcdef0123456789abcdef"
SECRET = "/home/ada/secret.py"


class Previewed:
    """Makes previews of contents, and keeps what the site would be given.

    Attributes:
        written: the site's files.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "content"
        self.written: dict[str, bytes] = {}

    def __call__(self, content: bytes | str, name: str) -> dict[str, Any] | None:
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.written.clear()
        return previews.preview(
            self.path, name, MD5, self.written.__setitem__, lambda text: text.replace(SECRET, "…")
        )


@pytest.fixture
def previewed(tmp_path: Path) -> Previewed:
    """``previewed(content, name)``: the preview of a file."""
    return Previewed(tmp_path)


def picture(form: str, **options: Any) -> bytes:
    """A picture of 30 × 20 pixels that are all different."""
    image = Image.frombytes("RGB", (30, 20), bytes(range(256)) * 7 + bytes(8))
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


# ------------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize(
    ("form", "suffix", "options"),
    [
        ("PNG", ".png", {}),
        ("JPEG", ".jpg", {}),
        ("JPEG", ".jpg", {"progressive": True}),
        ("GIF", ".gif", {}),
        ("WEBP", ".webp", {"lossless": True}),
        ("WEBP", ".webp", {"lossless": False}),
        ("WEBP", ".webp", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    ],
)
def test_a_picture_is_known_by_its_bytes(
    previewed: Previewed, form: str, suffix: str, options: dict[str, Any]
) -> None:
    """Whatever it is called; its size is read, and what the site shows is the same picture."""
    content = picture(form, **options)
    src = f"previews/{MD5}{suffix}"
    assert previewed(content, "called.txt") == {"kind": "picture", "src": src, "width": 30, "height": 20}
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(previewed.written[src])) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_is_cut_off_is_not_shown(previewed: Previewed, form: str) -> None:
    """At whatever byte; nothing is written."""
    content = picture(form)
    for end in range(1, len(content), 19):
        found = previewed(content[:end], "a.png")
        assert found is None or found["kind"] == "text"
        assert not previewed.written


def test_a_damaged_picture_is_not_shown(previewed: Previewed) -> None:
    """A byte of a PNG has changed; a text is called a picture."""
    content = bytearray(picture("PNG"))
    content[len(content) // 2] ^= 1
    assert previewed(bytes(content), "a.png") is None
    assert previewed(b"\x89PNG\r\n\x1a\nno picture", "a.png") is None


def test_a_picture_that_needs_too_much_memory_is_not_shown(
    previewed: Previewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes may stand for a thousand million pixels; and a file may be too large for a site."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert previewed(bomb, "a.png") is None
    monkeypatch.setattr(previews, "LARGEST", 100)
    assert previewed(picture("PNG"), "a.png") is None


def test_texts_in_a_picture_are_left_out(previewed: Previewed) -> None:
    """Programs write into pictures where they ran; which way up one is stays."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Source", SECRET)
    texts.add_itxt("Comment", SECRET, zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = SECRET, 6
    for form, options in (
        ("PNG", {"pnginfo": texts, "exif": exif}),
        ("JPEG", {"exif": exif, "comment": SECRET}),
        ("WEBP", {"exif": exif, "xmp": SECRET.encode()}),
    ):
        content = picture(form, **options)
        assert previewed(content, "a")
        (shown,) = previewed.written.values()
        assert len(shown) < len(content) and SECRET.encode() not in shown
        with Image.open(io.BytesIO(shown)) as image:
            assert image.info.get("Comment") is None and 0x010E not in image.getexif()
            assert form != "JPEG" or dict(image.getexif()) == {0x0112: 6}


# --------------------------------------------------------------------------------------------------------- tables
def test_the_head_of_a_table_is_shown(previewed: Previewed) -> None:
    """Its headings, 20 rows, and how many are left out; with the separator that its first line has."""
    rows = [["0", "zero; nought"], *([str(n), f"n {n}"] for n in range(1, 50))]
    for name, separator in (("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")):
        lines = [f"n{separator}what", *(f'{n}{separator}"{what}"' for n, what in rows)]
        assert previewed("\r\n".join(lines), name) == {
            "kind": "table",
            "headings": ["n", "what"],
            "rows": rows[:20],
            "more": 30,
            "more_columns": 0,
        }
    assert previewed("n\n1\n2\n", "a.csv") == {
        "kind": "table", "headings": ["n"], "rows": [["1"], ["2"]], "more": 0, "more_columns": 0,
    }  # fmt: skip


def test_a_large_table_is_cut(previewed: Previewed) -> None:
    """Columns, long cells, and rows that nobody counts; its last row is not one that was cut off."""
    wide = ",".join(f"c{n}" for n in range(40))
    found = previewed(f"{wide}\n{'x' * 500},{SECRET}\n", "a.csv")
    assert found is not None and found["more_columns"] == 10 and len(found["headings"]) == 30
    assert [len(found["rows"][0][0]), found["rows"][0][1]] == [previews.CELL, "…"]
    found = previewed("a,b\n" + "1234567890,2\n" * 40_000, "a.csv")
    assert found is not None and found["more"] is None and len(found["rows"]) == 20
    found = previewed("a,b\n" + f"{'1' * 60_000},2\n" * 10, "a.csv")
    assert found is not None and {row[1] for row in found["rows"]} == {"2"}


def test_a_credential_in_a_table_is_masked(previewed: Previewed) -> None:
    """By the heading of its column, as a parameter is by its name."""
    found = previewed("user,api_key,key\nada,abc,1\nbob,,2\nx\n", "a.csv")
    assert found is not None and found["rows"] == [["ada", "***", "1"], ["bob", "", "2"], ["x"]]


def test_a_table_of_parquet_is_shown_where_it_can_be_read(previewed: Previewed, tmp_path: Path) -> None:
    """With the library for it; else, as one that is damaged, it has no preview."""
    assert previewed(b"PAR1 no more PAR1", "a.parquet") is None
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"n": range(50), "what": ["x"] * 50}), tmp_path / "a.parquet")
    found = previewed((tmp_path / "a.parquet").read_bytes(), "a.parquet")
    assert found is not None and found["headings"] == ["n", "what"] and found["more"] == 30
    assert found["rows"][:2] == [["0", "x"], ["1", "x"]] and len(found["rows"]) == 20


# ---------------------------------------------------------------------------------------------------------- texts
def test_the_beginning_of_a_text_is_shown(previewed: Previewed) -> None:
    """Without colours of a terminal, and without what no page may show."""
    assert previewed(f"\x1b[31mread\x1b[0m {SECRET}\r\n\tdone\x07", "a.log") == {
        "kind": "text",
        "text": "read …\n\tdone",
        "more": False,
    }
    found = previewed("line\n" * 1000, "a.txt")
    assert found is not None and found["more"] and found["text"].count("\n") == previews.LINES - 1
    found = previewed("é€" * 20_000, "a.md")  # the last of the characters that are read is cut off
    assert found is not None and found["more"] and set(found["text"]) == {"é", "€"}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.txt"),
        (b"\0\1\2", "a.txt"),
        (b"\x80\x81", "a.csv"),
        (b"text \xff text", "a.txt"),
        ('a,"' + "x" * 200_000, "a.csv"),
        (hostile.notebook(), "a.ipynb"),
        (
            "<html><head><title>T</title><style>b{}</style></head><script>draw()</script><div id=x></div>",
            "a.html",
        ),
        ("no drawing", "a.svg"),
        (b"PK\3\4" + bytes(100), "a.zip"),
    ],
)
def test_what_cannot_be_shown_has_no_preview(previewed: Previewed, content: bytes | str, name: str) -> None:
    """An empty file, a binary one, one that is not what it is called, a page that only its script draws."""
    assert previewed(content, name) is None
    assert not previewed.written


def test_only_a_file_is_read(previewed: Previewed, tmp_path: Path) -> None:
    """None that is missing, no folder, no link, no pipe; nor is a path made of what is no digest."""
    previewed("text", "a.txt")

    def found(path: Path, md5: str = MD5) -> Any:
        return previews.preview(path, "a.txt", md5, previewed.written.__setitem__, str)

    os.symlink(previewed.path, tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    assert found(previewed.path)
    assert [found(tmp_path / one) for one in ("gone", "link", "pipe", ".")] == [None] * 4
    assert found(previewed.path, "../../out") is None


def test_a_full_disk_is_told_of(previewed: Previewed, tmp_path: Path) -> None:
    """That the site cannot be written is no fault of a file."""

    def full(name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    previewed.path.write_bytes(picture("PNG"))
    with pytest.raises(OSError, match="No space"):
        previews.preview(previewed.path, "a.png", MD5, full, str)


# ---------------------------------------------------------------------------------------------------------- pages
def test_a_page_does_nothing(previewed: Previewed) -> None:
    """Its policy comes before anything of its own; of its tags none acts, and nothing of it asks for anything."""
    found = previewed(f"{hostile.HTML}<p>{SECRET}</p>", "report.html")
    assert found is not None and found["kind"] == "page" and found["src"] == f"previews/{MD5}.html"
    page = previewed.written[found["src"]].decode()
    policy = page.index("Content-Security-Policy")
    assert page[:policy].count("<") == 4, "the document's type, html, head, and the policy itself"
    assert "default-src 'none'" in page[policy : policy + 80] and "script-src" not in page
    own = page.partition("<main>")[2]
    assert "A report" in own and SECRET not in own
    tags = {name.lower() for name in re.findall(r"<([a-zA-Z][\w-]*)", own)}
    assert not tags & {"script", "meta", "base", "link", "iframe", "object", "form", "embed"}
    assert not re.findall(r"(?i)[\s\"'](?:src|href|on\w+|formaction)\s*=", own)
    assert "url(" not in own.replace("x-url(", "") and "@import" not in own


def test_a_drawing_is_an_image(previewed: Previewed) -> None:
    """In which a browser runs nothing, and for which it fetches nothing; its height is the frame's."""
    found = previewed(hostile.SVG, "drawing.svg")
    assert found == {"kind": "page", "src": f"previews/{MD5}.html", "height": 40}
    own = previewed.written[found["src"]].decode().partition("<main>")[2]
    assert re.fullmatch(
        r'\s*<img alt="" src="data:image/svg\+xml;base64,[\w+/=]+">\s*</main></body></html>\s*', own
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<scr<script></script>ipt>x</script>", "<x-script>x</x-script>"),
        ("<me<script></script>ta http-equiv=refresh>", "<x-meta http-equiv=refresh>"),
        ("<SCRIPT src=x>", "<x-SCRIPT data-x-src=x>"),
        ("<header><p>header</p></header>", None),
        ('<a href="#b">b</a> <a class=x>c</a>', None),
        ('<a target=_top href="https://x.example/">a</a>', '<a target="_blank" target=_top href="https://x.example/">a</a>'),
        ('<img src="data:image/png;base64,AAAA" alt="a">', None),
        ("src=x onload=y url(z) @import <b>1 < 2</b>", None),
        ('<img/src=x/onerror=y><svg><use xlink:href="z#a">', '<img/data-x-src=x/data-x-onerror=y><svg><use data-x-xlink:href="z#a">'),
    ],
)  # fmt: skip
def test_only_what_acts_is_changed(text: str, expected: str | None) -> None:
    """Tags that are put together of others as well; texts, links and images that are data stay."""
    assert defused(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    "part", ["<script ", '<a "', "<style ", "<a x=", "url(", "<x src=", "data:a;base64,A"]
)
def test_hostile_html_takes_no_more_time_than_other(part: str) -> None:
    """The time grows as its length does."""
    measured: Callable[[int], float] = lambda count: min(_seconds(part * count) for _ in range(2))  # noqa: E731
    assert measured(10_000) < 40 * measured(1_000) + 0.05


def _seconds(text: str) -> float:
    import time

    start = time.process_time()
    defused(text)
    return time.process_time() - start
