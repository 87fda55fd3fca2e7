"""Recorded files side by side: which of them differ, and in which lines."""

from __future__ import annotations

import mimetypes
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Asset
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.grouping import grouped
from deriva_ml.records.differing_lines import LARGEST_TEXT, Line, first_differences, read_contents
from deriva_ml.untrusted import plain_name

MOST_FILES = 50
"""Of how many files the lines are compared."""

NO_TEXT = ("image", "audio", "video", "font")


class FetchedFiles:
    """Contents of recorded files, each fetched once into a folder.

    Attributes:
        warnings: what cannot be read, a line each.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._paths: dict[str, Path | None] = {}
        self.warnings: list[str] = []

    def fetch(self, execution: RID, assets: Iterable[Asset]) -> None:
        """Fetch files of an execution; one that cannot be is warned of, and not there."""
        missing = {asset.url: asset for asset in assets if asset.url not in self._paths}
        pairs = [
            (asset, self._folder / str(number) / plain_name(asset.filename))
            for number, asset in enumerate(missing.values(), start=len(self._paths))
        ]
        try:
            self._source.fetch_all(pairs)
            self._paths.update((asset.url, path) for asset, path in pairs)
        except (OSError, DerivaMLException):  # of which one is not known, and the others are there
            for asset, path in pairs:
                try:
                    self._source.fetch(asset, path)
                    self._paths[asset.url] = path
                except (OSError, DerivaMLException) as error:
                    self._paths[asset.url] = None
                    self.leave_out(execution, asset, error)

    def path(self, asset: Asset) -> Path | None:
        """Return where a file's content is; None if it could not be fetched."""
        return self._paths.get(asset.url)

    def leave_out(self, execution: RID, asset: Asset, error: Exception) -> None:
        """Note that what a file says is not compared."""
        self.warnings.append(f"what {asset.filename} of execution {execution} says is left out: {error}")


def digest(asset: Asset) -> str:
    """Return what tells a content from every other: its MD5, or the address of one that is only referred to."""
    return asset.md5 or asset.url


def differing_files(
    files: Mapping[RID, Sequence[Asset]], same: Callable[[Asset], Any]
) -> Iterator[tuple[str, dict[RID, Asset]]]:
    """Yield the files that not all executions have, beside those of the same name, by execution.

    Args:
        same: what two files have in common that are taken for one.
    """
    counts = [Counter(map(same, assets)) for assets in files.values()]
    common = counts[0]
    for others in counts[1:]:
        common = common & others
    rows: dict[tuple[str, int], dict[RID, Asset]] = {}
    for rid, assets in files.items():
        left, numbers = common.copy(), Counter[str]()
        for asset in sorted(assets, key=lambda one: (one.filename, digest(one))):
            if left[same(asset)]:
                left[same(asset)] -= 1
            else:
                rows.setdefault((asset.filename, numbers[asset.filename]), {})[rid] = asset
                numbers[asset.filename] += 1
    for (name, _), row in sorted(rows.items()):
        yield name, row


@dataclass(frozen=True)
class FileLines:
    """In which lines a file of an execution differs from that of the first.

    Attributes:
        more: there are more such lines.
        note: why there are none.
    """

    execution: RID
    lines: Sequence[Line] = ()
    more: bool = False
    note: str = ""


SAME_CELLS = "the same cells and outputs, at another time"
SAME_VALUES = "the same values, written otherwise"
TOO_LARGE = f"more than {LARGEST_TEXT >> 20} MiB: the lines are not compared"


def compare_lines(
    rows: Sequence[Mapping[RID, Asset]], first: RID, fetched: FetchedFiles
) -> list[list[FileLines]]:
    """Return, for each row of files, in which lines those that are text differ from the first execution's."""
    paired = [[(rid, one) for rid, one in row.items() if _may_be_text(row.get(first), one)] for row in rows]
    chosen = [place for place, pairs in enumerate(paired) if pairs]
    if more := len(chosen[MOST_FILES:]):
        fetched.warnings.append(f"the lines of {more} more outputs are not compared")
    chosen = chosen[:MOST_FILES]
    read = (pair for place in chosen for pair in [(first, rows[place][first]), *paired[place]])
    for rid, assets in grouped(pair for pair in read if pair[1].length <= LARGEST_TEXT).items():
        fetched.fetch(rid, assets)
    found: list[list[FileLines]] = [[] for _ in rows]
    for place in chosen:
        compared = (_compare(rows[place][first], asset, rid, fetched) for rid, asset in paired[place])
        found[place] = [lines for lines in compared if lines]
    return found


def _may_be_text(first: Asset | None, other: Asset) -> bool:
    """Whether a file of another execution has to be read to see how it differs from the first one's."""
    if first is None or digest(first) == digest(other):
        return False
    kind = mimetypes.guess_type(other.filename)[0] or ""
    return kind == "image/svg+xml" or kind.partition("/")[0] not in NO_TEXT


def _compare(first: Asset, other: Asset, execution: RID, fetched: FetchedFiles) -> FileLines | None:
    """Return in which lines two files differ; None where one cannot be read, or is not text."""
    if max(first.length, other.length) > LARGEST_TEXT:
        return FileLines(execution, note=TOO_LARGE)
    paths = fetched.path(first), fetched.path(other)
    ours, theirs = (read_contents(path) if path else None for path in paths)
    if ours is None or theirs is None:
        return None
    lines, more = first_differences(ours, theirs)
    note = "" if lines else SAME_CELLS if ours.meaning == "notebook" else SAME_VALUES
    return FileLines(execution, lines, more, note)
