"""Compares pictures by their pixels."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

from deriva_ml.replay.compare.tally import below_one
from deriva_ml.replay.verdict import Comparison, Difference, Verdict

MOST_PIXELS = 100_000_000
"""Pixels of a picture that is decoded, over all its frames."""

PILLOW = "install Pillow to compare pixels"

_PNG = b"\x89PNG\r\n\x1a\n"
_TOO_DEEP = "more than 8 bits of several colours, which are not compared"
_NOTES = {b"tEXt", b"iTXt", b"zTXt", b"tIME"}
"""Chunks of a PNG that say something of it and show nothing (https://www.w3.org/TR/png-3/#11Ancillary-chunks)."""


def compare_images(recorded: bytes, repeated: bytes, where: str = "") -> Comparison:
    """Compare two pictures that Pillow reads.

    A PNG is identical if all that is shown has the same bytes; the similarity is 1 less the mean difference of pixels.
    """
    if recorded == repeated:
        return Comparison(Verdict.identical)
    chunks = [_shown_chunks(content) for content in (recorded, repeated)]
    if chunks[0] and chunks[0] == chunks[1]:
        return Comparison(Verdict.identical, note="but for what the files say of themselves")
    if any(
        content.startswith(_PNG) and content[24:25] == b"\x10" and content[25:26] != b"\0"
        for content in (recorded, repeated)
    ):
        return Comparison(Verdict.different, 0.0, _TOO_DEEP)  # Pillow reads 8 of the 16 bits of each colour
    try:
        from PIL import Image
    except ImportError:
        return Comparison(Verdict.different, 0.0, PILLOW)
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _pixels(Image.open(io.BytesIO(recorded)), Image.open(io.BytesIO(repeated)), where)
    except Exception as error:  # Pillow's decoders raise what they like
        return Comparison(Verdict.different, 0.0, f"the pixels cannot be read: {type(error).__name__}")


def _shown_chunks(content: bytes) -> list[bytes]:
    """Return the parts of a PNG that show something; none if it is no sound one."""
    if not content.startswith(_PNG):
        return []
    found, at = [], 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        chunk = content[at:end]
        if end > len(content) or zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
            return []
        if kind not in _NOTES:
            found.append(chunk)
        at = end
        if kind == b"IEND":
            return found if at == len(content) else []
    return []


def _pixels(ours: Any, theirs: Any, where: str) -> Comparison:
    place = f"{where}, " if where else ""
    if ours.size != theirs.size:
        sizes = [f"{image.width} × {image.height} pixels" for image in (ours, theirs)]
        return Comparison(
            Verdict.different, 0.0, "another size", [Difference(f"{where or 'the picture'}", *sizes)]
        )
    turned = [image.getexif().get(0x0112, 1) for image in (ours, theirs)]
    if turned[0] != turned[1]:
        said = (f"orientation {number}" for number in turned)
        return Comparison(
            Verdict.different, 0.0, "another orientation", [Difference(where or "the picture", *said)]
        )
    frames = [getattr(image, "n_frames", 1) for image in (ours, theirs)]
    if frames[0] != frames[1]:
        return Comparison(
            Verdict.different,
            0.0,
            "another number of frames",
            [Difference(where or "the picture", *(f"{number} frames" for number in frames))],
        )
    if ours.width * ours.height * frames[0] > MOST_PIXELS:
        return Comparison(Verdict.different, 0.0, f"more than {MOST_PIXELS:,} pixels, which are not compared")
    apart, first = 0.0, None
    for number in range(frames[0]):
        ours.seek(number)
        theirs.seek(number)
        share, spot = _frame(ours, theirs)
        times = [image.info.get("duration") for image in (ours, theirs)]
        if spot is None and times[0] != times[1]:  # it moves, but not as fast
            spot = "how long it is shown", f"{times[0]} ms", f"{times[1]} ms"
        apart += share / frames[0]
        if spot and not first:
            first = Difference(
                f"{place}{f'frame {number + 1}, ' if frames[0] > 1 else ''}{spot[0]}", *spot[1:]
            )
    if first is None:
        return Comparison(Verdict.equivalent, 1.0, "the same pixels")
    return Comparison(
        Verdict.different,
        below_one(1 - apart),
        "1 less the mean difference of pixels",
        [first],
    )


def _frame(ours: Any, theirs: Any) -> tuple[float, tuple[str, str, str] | None]:
    """Return the mean difference of two frames' pixels in [0, 1], and the first pixel that differs."""
    from PIL import ImageChops, ImageStat

    deep = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
    if (ours.mode in deep) != (theirs.mode in deep):
        return 1.0, ("how pixels are stored", ours.mode, theirs.mode)
    if _is_truncated(ours) or _is_truncated(theirs):
        return 1.0, (_TOO_DEEP, "", "")
    if ours.mode in deep:  # more than 8 bits, of which ImageChops knows nothing
        pair = [image.convert("F" if "F" in (ours.mode, theirs.mode) else "I") for image in (ours, theirs)]
        values = [image.tobytes() for image in pair]
        if values[0] == values[1]:
            return 0.0, None
        numbers = [
            memoryview(value).cast("f") if pair[0].mode == "F" else memoryview(value).cast("i")
            for value in values
        ]
        places = [n for n, (a, b) in enumerate(zip(*numbers, strict=True)) if a != b and (a == a or b == b)]
        if not places:
            return 0.0, None
        y, x = divmod(places[0], ours.width)
        said = (f"{numbers[0][places[0]]:g}", f"{numbers[1][places[0]]:g}")
        return len(places) / len(numbers[0]), (f"pixel ({x}, {y})", *said)
    plain = ours.mode == theirs.mode and ours.mode in {"L", "RGB", "RGBA", "CMYK"}
    pair = [image if plain else image.convert("RGBA") for image in (ours, theirs)]
    apart = ImageChops.difference(*pair)
    # An alpha that differs is seen by getbbox() only if it is asked for.
    box = apart.getbbox(alpha_only=False)
    if not box:
        return 0.0, None
    means = ImageStat.Stat(apart).mean
    y = box[1]
    row = apart.crop((0, y, apart.width, y + 1)).getbbox(alpha_only=False)
    x = row[0] if row else 0
    one, other = (str(image.getpixel((x, y))) for image in pair)
    return sum(means) / len(means) / 255, (f"pixel ({x}, {y})", one, other)


def _is_truncated(image: Any) -> bool:
    """Whether Pillow reads fewer bits of a colour than there are in the file."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))  # BitsPerSample, in a TIFF
    wide = max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return len(image.getbands()) > 1 and wide


def is_picture(content: bytes) -> bool:
    """Whether a content starts as a picture that Pillow reads."""
    return bool(
        re.match(
            rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|BM|RIFF....WEBP",
            content[:16],
            re.DOTALL,
        )
    )
