"""A picture's form and size as its own bytes have them, and its bytes without the texts that programs put into them."""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS_OF_PNG = {b"tEXt", b"zTXt", b"iTXt", b"eXIf"}
_SIZES_OF_JPEG = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# JFIF, colours (ICC), how they are coded (Adobe). An Exif says which way up the picture is, and only that is of use here.
_KEPT_OF_JPEG = {0xE0, 0xE2, 0xEE}
_EXIF = re.compile(rb"(?s)Exif\0\0(?:(II)\*\0|MM\0\*)")


class Picture(NamedTuple):
    """A picture as a page shows it.

    Attributes:
        suffix: of its form, with the dot.
        width, height: in pixels.
        content: its bytes.
    """

    suffix: str
    width: int
    height: int
    content: bytes


def is_picture(head: bytes) -> bool:
    """Whether a file that begins like this says that it is a PNG, a JPEG, a GIF or a WebP."""
    return head.startswith((_PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (
        head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    )


def read_picture(data: bytes) -> Picture:
    """Return the picture that a whole file holds.

    Raises:
        ValueError: it is cut off, or none of those forms.
        struct.error: it is cut off.
        IndexError: likewise.
    """
    if data.startswith(_PNG):
        found = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        found = _jpeg(data)
    elif data.startswith(b"GIF8"):
        found = _gif(data)
    elif data.startswith(b"RIFF"):
        found = _webp(data)
    else:
        raise ValueError  # it is no picture, or cut off
    if not found.width or not found.height:
        raise ValueError  # it has no size
    return found


def _png(data: bytes) -> Picture:
    """https://www.w3.org/TR/png-3/#5DataRep: chunks with a length, a type and a check."""
    kept, at, kind = [_PNG], len(_PNG), b""
    if data[12:16] != b"IHDR":
        raise ValueError  # it begins with no header
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        kind, chunk = data[at + 4 : at + 8], data[at:end]
        if len(chunk) != 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ValueError  # a chunk is cut off, or damaged
        if kind not in _TEXTS_OF_PNG:
            kept.append(chunk)
        at = end
    width, height = struct.unpack_from(">II", data, 16)
    return Picture(".png", width, height, b"".join(kept))


def _jpeg(data: bytes) -> Picture:
    """ITU T.81, B.1.1: segments with a marker and a length, then the scans."""
    kept, at, size = [data[:2]], 2, (0, 0)
    while True:
        start, marker = at, data[at + 1]
        if data[at] != 0xFF:
            raise ValueError  # a segment is damaged
        if marker == 0xFF:  # a byte that fills
            at += 1
            continue
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        segment = data[start:at]
        if marker in _SIZES_OF_JPEG:
            height, width = struct.unpack_from(">HH", segment, 5)
            size = width, height
        if marker == 0xDA:
            break
        if marker == 0xE1 and (turned := _turned(segment[4:])):
            kept.append(turned)
        elif marker in _KEPT_OF_JPEG or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
    end = data.rindex(b"\xff\xd9") + 2
    if end <= at:
        raise ValueError  # it is cut off
    return Picture(".jpg", *size, b"".join([*kept, data[start:end]]))


def _turned(exif: bytes) -> bytes:
    """Return an Exif that says no more than which way up the picture is (tag 0x0112); empty if it is not turned."""
    found = _EXIF.match(exif)
    if not found:
        return b""
    order = "<" if found[1] else ">"
    tiff = exif[6:]
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
        if tag == 0x0112 and kind == 3 and 1 < value < 9:
            said = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
            return b"\xff\xe1" + struct.pack(">H", len(said) + 2) + said
    return b""


def _gif(data: bytes) -> Picture:
    """https://www.w3.org/Graphics/GIF/spec-gif89a.txt: blocks with a sign, in parts that say how long they are."""
    width, height = struct.unpack_from("<HH", data, 6)
    at = 13 + _colours(data[10])
    kept = [data[:at]]
    while (sign := data[at]) != 0x3B:
        start, is_text = at, sign == 0x21 and data[at + 1] in {0x01, 0xFE}
        if sign not in {0x21, 0x2C}:
            raise ValueError  # a block is damaged
        at += 2 if sign == 0x21 else 11 + _colours(data[at + 9])
        while length := data[at]:
            at += 1 + length
        at += 1
        if not is_text:
            kept.append(data[start:at])
    return Picture(".gif", width, height, b"".join([*kept, b";"]))


def _colours(flags: int) -> int:
    """Return the length of the table of colours that follows."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Picture:
    """https://developers.google.com/speed/webp/docs/riff_container: chunks with a type and a length, which may be odd."""
    last = 8 + int.from_bytes(data[4:8], "little")
    kept, at = [data[8:12]], 12
    if last > len(data):
        raise ValueError  # it is cut off
    while (start := at) < last:
        kind, length = struct.unpack_from("<4sI", data, at)
        at += 8 + length + length % 2
        if kind == b"VP8X":  # and whether there are texts
            kept.append(data[start : start + 8] + bytes([data[start + 8] & ~0b1100]) + data[start + 9 : at])
        elif kind not in {b"EXIF", b"XMP "}:
            kept.append(data[start:at])
    if at > last:
        raise ValueError  # a chunk is cut off
    content = b"".join(kept)
    return Picture(".webp", *_size_of_webp(data), b"RIFF" + struct.pack("<I", len(content)) + content)


def _size_of_webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError  # it is no WebP
