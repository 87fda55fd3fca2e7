"""Compares figures that are drawn: SVG by its elements, PDF by its objects. Neither is interpreted."""

from __future__ import annotations

import re
import zlib

from deriva_ml.replay.compare.html import numbered
from deriva_ml.replay.compare.tally import Tally
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import alike
from deriva_ml.replay.verdict import Comparison, Verdict

LARGEST_STREAM = 1 << 26
"""Bytes of a PDF's stream that is decompressed."""

_METADATA = re.compile(r"<metadata\b.*?</metadata>", re.DOTALL)
_TAG = re.compile(r"(<[^>]*>)")
_NOTED = re.compile(
    rb"/(?:CreationDate|ModDate|Producer|Creator)\s*\((?:\\.|[^\\()])*\)|/ID\s*\[\s*<[^>]*>\s*<[^>]*>\s*\]"
)
_NOTED_IN_XMP = re.compile(
    rb"<(?:xmp|pdf|xmpMM):(?:CreateDate|ModifyDate|MetadataDate|CreatorTool|Producer|DocumentID|InstanceID)>[^<]*<"
)
_OFFSETS = re.compile(
    rb"\b\d{10} \d{5} [nf]\b|startxref\s+\d+|(?<=/Length )\d+(?! \d+ R)|(?<=obj)\s+\d+\s+(?=endobj)"
)
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\n?endstream", re.DOTALL)


def compare_svg(recorded: str, repeated: str, terms: Terms, where: str = "") -> Comparison:
    """Compare two SVG texts.

    What they say of themselves is left out, and identifiers, which Matplotlib makes anew each time, count by their
    order: one that differs in nothing else is identical. The similarity is the share of equal elements.
    """
    ours, theirs = (
        numbered(_METADATA.sub("", side.named(text)))
        for side, text in ((terms.recorded, recorded), (terms.repeated, repeated))
    )
    if ours == theirs:
        return Comparison(Verdict.identical, note="but for identifiers, and what the files say of themselves")
    pieces = _TAG.split(ours), _TAG.split(theirs)
    tally, line, place = Tally(), 1, f"{where}, " if where else ""
    if len(pieces[0]) != len(pieces[1]):
        counts = (f"{len(some) // 2} elements" for some in pieces)
        tally.differ(f"{place}what is drawn", counts, abs(len(pieces[0]) - len(pieces[1])))
    for one, other in zip(*pieces, strict=False):
        # In a tag a number may stand before the name of a command, as a duration stands before its unit.
        drawn = one.startswith("<") and "base64," not in one
        kinds = alike(one, other, terms, only="number" if drawn else "")
        if kinds is None:
            tally.differ(f"{place}line {line} of the SVG", (one, other))
        else:
            tally.same(kind="".join(kinds[:1]))
        line += one.count("\n")
    return tally.result("the share of equal elements")


def compare_pdf(recorded: bytes, repeated: bytes, where: str = "") -> Comparison:
    """Compare two PDF files without what they say of themselves; streams by what they hold.

    The similarity is the share of equal streams.
    """
    tally, place = Tally(), where or "the PDF"
    streams = [[*map(_without_notes, _STREAM.findall(content))] for content in (recorded, repeated)]
    outside = [_OFFSETS.sub(b"", _NOTED.sub(b"", _STREAM.sub(b"", one))) for one in (recorded, repeated)]
    if outside[0] == outside[1]:
        if streams[0] == streams[1]:
            return Comparison(Verdict.identical, note="but for what the files say of themselves")
        tally.same()
    else:
        tally.differ(f"{place}, its objects", _first(outside[0], outside[1]))
    if len(streams[0]) != len(streams[1]):
        counts = (f"{len(some)} streams" for some in streams)
        tally.differ(place, counts, abs(len(streams[0]) - len(streams[1])))
    for number, (one, other) in enumerate(zip(*streams, strict=False), start=1):
        contents = [_inflated(stream) for stream in (one, other)]
        if contents[0] == contents[1]:
            tally.same()
        else:
            tally.differ(f"{place}, stream {number}", _first(contents[0], contents[1]))
    return tally.result("the share of equal streams", "the same streams, compressed otherwise")


def _without_notes(stream: bytes) -> bytes:
    return _NOTED_IN_XMP.sub(b"", stream) if b"<x:xmpmeta" in stream else stream


def _inflated(stream: bytes) -> bytes:
    """Return what a stream holds; as it is, where it is not deflated or holds too much."""
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(stream, LARGEST_STREAM)
        return content if inflater.eof else stream
    except zlib.error:
        return stream


def _first(ours: bytes, theirs: bytes) -> tuple[str, str]:
    """Return the lines in which two contents first differ."""
    left, right = ours.splitlines(), theirs.splitlines()
    pairs = ((one, other) for one, other in zip(left, right, strict=False) if one != other)
    one, other = next(pairs, (b"", b""))
    return one[:500].decode("latin-1"), other[:500].decode("latin-1")
