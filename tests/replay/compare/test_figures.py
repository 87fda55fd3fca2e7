"""What counts as the same in a figure: what is seen of it."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy
import pytest
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deriva_ml.replay.compare.images import compare_images
from replay.compare.conftest import Compare

PIXELS = numpy.arange(300, dtype=numpy.uint8).reshape(10, 10, 3)


def picture(pixels: Any = PIXELS, form: str = "PNG", **options: Any) -> bytes:
    """An image as a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def noted(text: str) -> PngInfo:
    """What a PNG says of itself."""
    notes = PngInfo()
    notes.add_text("Creation Time", text)
    return notes


def test_pixels_decide(compare: Compare) -> None:
    """What a file says of itself is left out; how it is packed means nothing."""
    changed = PIXELS.copy()
    changed[4, 7, 1] ^= 16
    assert (
        str(compare(picture(pnginfo=noted("1")), picture(pnginfo=noted("2")), "a.png").verdict) == "identical"
    )
    assert str(compare(picture(compress_level=0), picture(compress_level=9), "a.png").verdict) == "equivalent"
    assert str(compare(picture(), picture(form="TIFF"), "a.tiff").verdict) == "equivalent"
    found = compare(picture(), picture(changed), "a.png")
    assert (str(found.verdict), found.differences[0].where) == ("different", "pixel (7, 4)")
    assert 0.99 < found.similarity < 1


def test_sizes_frames_and_depths_decide(compare: Compare) -> None:
    """And opposite pictures are not similar at all."""
    assert str(compare(picture(), picture(PIXELS[:9]), "a.png").verdict) == "different"
    black, white = (numpy.full((4, 4), value, dtype=numpy.uint8) for value in (0, 255))
    assert compare(picture(black), picture(white), "a.png").similarity < 0.3
    deep = numpy.arange(100, dtype=numpy.uint16).reshape(10, 10) * 300
    other = deep.copy()
    other[9, 9] += 1
    assert str(compare(picture(deep, "TIFF"), picture(other, "TIFF"), "a.tif").verdict) == "different"
    one, two = (Image.fromarray(PIXELS) for _ in range(2))
    two.putpixel((0, 0), (255, 255, 255))
    moving = []
    for rest in ([two], [two, one]):
        stream = io.BytesIO()
        one.save(stream, "GIF", save_all=True, append_images=rest)
        moving.append(stream.getvalue())
    assert str(compare(*moving, "a.gif").verdict) == "different"


def test_what_pillow_does_not_show_is_no_equality(compare: Compare) -> None:
    """Inks, the lower bits of deep colours, and how a photograph is turned."""
    inks = numpy.zeros((4, 4, 4), dtype=numpy.uint8)
    other = inks.copy()
    inks[..., 3], other[..., :3] = 255, 255  # black, and the three that come to it
    both = []
    for values in (inks, other):
        stream = io.BytesIO()
        Image.fromarray(values, "CMYK").save(stream, "TIFF")
        both.append(stream.getvalue())
    assert str(compare(*both, "a.tiff").verdict) == "different"

    def deep(low: int) -> bytes:
        row = b"\0" + bytes([7, low]) * 12
        parts = struct.pack(">II5B", 4, 4, 16, 2, 0, 0, 0), zlib.compress(row * 4)
        chunks = zip((b"IHDR", b"IDAT", b"IEND"), (*parts, b""), strict=True)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )

    assert str(compare(deep(1), deep(2), "a.png").verdict) == "different"
    turned = Image.Exif()
    turned[0x0112] = 6
    assert str(compare(picture(), picture(exif=turned), "a.png").verdict) == "different"


def test_a_broken_picture_is_different(compare: Compare) -> None:
    """Also one that would take more memory than there is."""
    whole = picture()
    assert str(compare(whole, whole[: len(whole) // 2], "a.png").verdict) == "different"
    header = re.sub(rb"(?s)(?<=IHDR).{8}", b"\0\1\0\0" * 2, whole, count=1)
    assert str(compare(whole, header, "a.png").verdict) == "different"


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    found = compare_images(picture_bytes := b"\x89PNG\r\n\x1a\n1", picture_bytes + b"2")
    assert (str(found.verdict), found.note) == ("different", "install Pillow to compare pixels")


def drawn(form: str, title: str = "loss", height: float = 1.0, **options: Any) -> bytes:
    """A figure of Matplotlib's as a file."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1, 2], [0, height, 0.5], marker="o")
    axes.set_title(title)
    stream = io.BytesIO()
    figure.savefig(stream, format=form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_figures_of_matplotlib(form: str, compare: Compare) -> None:
    """Drawn again they are identical, though dates and identifiers in them are not; another value is seen."""
    one, again = drawn(form), drawn(form)
    again = re.sub(
        rb"(CreationDate \(D:)\d{4}", rb"\g<1>1999", re.sub(rb"<dc:date>\d{4}", b"<dc:date>1999", again)
    )
    assert one != again or form == "png"
    assert str(compare(one, again, f"figure.{form}").verdict) == "identical"
    for changed in (drawn(form, height=1.01), drawn(form, title="lost")):
        found = compare(one, changed, f"figure.{form}")
        assert str(found.verdict) == "different"
        assert found.differences


def test_drawn_numbers_have_a_tolerance(compare: Compare) -> None:
    """A letter of a path behind a number is no unit of time."""
    path = '<svg xmlns="http://www.w3.org/2000/svg"><path id="{}" d="M 0 {} s 1.5 s 2 2"/></svg>'
    assert (
        str(compare(path.format("a", 0.5), path.format("b", 0.50000000000001), "f.svg").verdict)
        == "equivalent"
    )
    assert str(compare(path.format("a", 0.5), path.format("a", 0.5001), "f.svg").verdict) == "different"
    assert (
        str(compare(path.format("a", 0.5), path.format("a", 0.5).replace("1.5 s", "1.6 s"), "f.svg").verdict)
        == "different"
    )


def test_references_between_elements_count(compare: Compare) -> None:
    """Identifiers may be others, but have to name the same element."""
    one = '<svg><g id="a1"/><g id="b1"/><use href="#a1"/></svg>'
    assert str(compare(one, one.replace("a1", "x9").replace("b1", "y9"), "f.svg").verdict) == "identical"
    assert str(compare(one, one.replace("#a1", "#b1"), "f.svg").verdict) == "different"


def test_a_word_that_is_shown_is_no_identifier(compare: Compare) -> None:
    """Though the element has the same name."""
    one = '<svg><g id="loss"><text>loss</text></g></svg>'
    assert str(compare(one, one.replace("loss", "gain"), "f.svg").verdict) == "different"
    assert str(compare(one, one.replace('"loss"', '"gain"'), "f.svg").verdict) == "identical"


def test_pdf_streams_are_compared_unpacked(compare: Compare) -> None:
    """Compression may have changed; what is drawn may not."""

    def document(content: bytes, level: int) -> bytes:
        packed = zlib.compress(content, level)
        return b"%%PDF-1.4\n1 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
            len(packed),
            packed,
        )

    line = b"0 0 m 10 10 l 1.5 s\n" * 40
    assert str(compare(document(line, 0), document(line, 9), "f.pdf").verdict) == "equivalent"
    assert str(compare(document(line, 9), document(line + b"f", 9), "f.pdf").verdict) == "different"
