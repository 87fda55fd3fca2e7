"""What a page shows of a recorded file without opening it: a picture, the head of a table, the beginning of a text."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import stat
import struct
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

from deriva_ml.catalog.objects import is_digest
from deriva_ml.redaction import HIDDEN, is_credential
from deriva_ml.site.harmless import (
    Clean,
    Write,
    beside_data,
    defused,
    harmless_page,
    height_of,
    shows_something,
)
from deriva_ml.site.pictures import is_picture, read_picture
from deriva_ml.table import cell
from deriva_ml.terminal import one_line
from deriva_ml.untrusted import DAMAGED, READING

LARGEST = 2_000_000
"""Bytes of a picture, or of a page, that is shown."""

LARGEST_PAGE = 8_000_000
"""Bytes of a page with its scripts, which are left out."""

PIXELS = 25_000_000
"""Pixels of a picture that is shown: a browser needs four bytes for each."""

HEAD = 256_000
"""Bytes that are read of a table."""

ROWS, COLUMNS, CELL = 20, 30, 120
"""What is shown of a table: rows, columns, characters of a cell."""

LINES, TEXT = 200, 20_000
"""What is shown of a text: lines, bytes."""

LARGEST_COLUMNS = 64_000_000
"""Bytes that the first columns of a Parquet file may have in memory."""

Preview = dict[str, Any]

_PAGES = {".htm", ".html", ".svg", ".xhtml"}
_TABLES = {".csv", ".tab", ".tsv"}
_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def preview(content: Path, name: str, md5: str, write: Write, clean: Clean) -> Preview | None:
    """Return what to show of a file: its ``kind`` is ``picture``, ``table``, ``text`` or ``page``; None for nothing.

    What the file is, its first bytes say for a picture, and its name for a text. A file that is cut off, or is not what
    it says it is, has no preview.

    Args:
        content: where the content lies, if it is there.
        name: the file's name.
        md5: the content's digest, which names what is shown of it in the site.
        write: is given pictures and pages.
    """
    try:
        with open(os.open(content, READING), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or not status.st_size or not is_digest(md5):
                return None
            shown, suffix, data = _looked_at(stream, name, status.st_size, clean)
    except (OSError, csv.Error, struct.error, NotImplementedError, *DAMAGED):
        return None
    if suffix:
        shown["src"] = f"previews/{md5}{suffix}"
        write(shown["src"], data)
    return shown


def _looked_at(stream: BinaryIO, name: str, size: int, clean: Clean) -> tuple[Preview, str, bytes]:
    """Return what to show; and of a file that the site needs for it, the suffix and the content.

    Raises:
        ValueError, IndexError, struct.error, csv.Error, OSError: it is nothing to be shown.
    """
    suffix = Path(name).suffix.lower()
    head = stream.read(min(HEAD, TEXT + 4) if suffix not in _TABLES else HEAD)
    if is_picture(head):
        if size > LARGEST:
            raise ValueError  # it is too large
        _, width, height, data = picture = read_picture(head + stream.read(LARGEST))
        if width * height > PIXELS:
            raise ValueError  # it has too many pixels
        return {"kind": "picture", "width": width, "height": height}, picture.suffix, data
    if suffix in _PAGES:
        if size > LARGEST_PAGE:
            raise ValueError  # it is too large
        page = _svg if suffix == ".svg" else _html
        made, height = page(_text(head + stream.read(LARGEST_PAGE), True), clean)
        if len(made) > LARGEST:
            raise ValueError  # it is too large
        return {"kind": "page", "height": height}, ".html", made
    if suffix == ".parquet":
        return _of_parquet(stream, clean), "", b""
    text = _text(head, len(head) == size)
    if suffix in _TABLES:
        return _separated(text, suffix, len(head) == size, clean), "", b""
    if suffix == ".ipynb":
        raise ValueError  # a notebook has a page of its own
    lines = text.splitlines()
    shown = _plain(clean("\n".join(lines[:LINES])))
    return {"kind": "text", "text": shown, "more": len(lines) > LINES or size > len(head)}, "", b""


def _text(data: bytes, whole: bool) -> str:
    """Return what bytes say as UTF-8; where they are not ``whole``, a character at their end may be cut off.

    Raises:
        ValueError: they are no text.
    """
    if b"\0" in data:
        raise ValueError  # it is no text
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if whole or error.start < len(data) - 3:
            raise
        return data[: error.start].decode("utf-8-sig")


def _plain(text: str) -> str:
    """Return a text without a terminal's colours, and without characters that nobody sees."""
    return _CONTROLS.sub("", _COLOURS.sub("", text))


def _separated(text: str, suffix: str, whole: bool, clean: Clean) -> Preview:
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count) if suffix == ".csv" else "\t"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [*islice(filter(None, reader), ROWS + 2)]
    if not rows:
        raise ValueError  # it is empty
    if len(rows) == ROWS + 2:
        more: int | None = sum(1 for _ in filter(None, reader)) + 1 if whole else None
    else:
        more = 0 if whole else None
        rows = rows if whole else rows[:-1] or rows  # the last one may be cut off
    return _table(rows[0], rows[1 : ROWS + 1], more, len(rows[0]), clean)


def _of_parquet(stream: BinaryIO, clean: Clean) -> Preview:
    """Return the first rows of a Parquet file, if there is a library for it, and they do not take much memory."""
    if find_spec("pyarrow") is None:
        raise ValueError  # nothing here reads it
    file = import_module("pyarrow.parquet").ParquetFile(stream)
    names = list(file.schema_arrow.names)
    if file.num_row_groups:
        group = file.metadata.row_group(0)
        if sum(group.column(n).total_uncompressed_size for n in range(group.num_columns)) > LARGEST_COLUMNS:
            raise ValueError  # it is too large
    batch = next(file.iter_batches(batch_size=ROWS, columns=names[:COLUMNS]), None)
    columns = [column.to_pylist() for column in batch.columns] if batch is not None else []
    rows = [*zip(*columns, strict=True)]
    return _table(names, rows, file.metadata.num_rows - len(rows), len(names), clean)


def _table(
    headings: Sequence[Any], rows: Sequence[Sequence[Any]], more: int | None, columns: int, clean: Clean
) -> Preview:
    """Return a table; ``more`` rows are left out, None if nobody counted; ``more_columns`` likewise."""
    texts = [[_cell(value) for value in row[:COLUMNS]] for row in [headings, *rows]]
    for row in texts[1:]:
        row[:] = [
            HIDDEN if value and is_credential(name, value) else value
            for name, value in zip_longest(texts[0], row, fillvalue="")
        ][: len(row)]
    # All at once, which takes a fraction of the time; unless what is found reaches from one into another.
    cleaned = clean("\n".join("\n".join(row) for row in texts)).split("\n")
    if len(cleaned) != sum(map(len, texts)):
        cleaned = [clean(text) for row in texts for text in row]
    cells = iter(cleaned)
    headings, *rows = [[next(cells) for _ in row] for row in texts]
    return {
        "kind": "table",
        "headings": headings,
        "rows": rows,
        "more": more,
        "more_columns": max(0, columns - COLUMNS),
    }


def _cell(value: Any) -> str:
    text = one_line(_plain(cell(value)))
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _svg(text: str, clean: Clean) -> tuple[bytes, int]:
    """Return a drawing as a page, in which it is an image: one runs nothing, and fetches nothing; and its height."""
    tag = re.search(r"<(?:\w+:)?svg\b[^>]*", text)
    if not tag:
        raise ValueError  # it is no drawing
    height = re.search(r"\sheight=[\"'](\d{1,5})(?:\.\d*)?(px|pt)?[\"']", tag[0])
    data = base64.b64encode(beside_data(text, clean).encode(errors="replace"))
    image = f'<img alt="" src="data:image/svg+xml;base64,{data.decode()}">'
    page = harmless_page(
        "A recorded file", image, "body { margin: 0 } img { display: block; max-width: 100% }"
    )
    return page, int(height[1]) * 4 // (3 if height[2] == "pt" else 4) if height else height_of(image)


def _html(text: str, clean: Clean) -> tuple[bytes, int]:
    body = defused(text)
    if not shows_something(body):
        raise ValueError  # without its scripts it shows nothing
    return harmless_page("A recorded file", beside_data(body, clean)), height_of(body)
