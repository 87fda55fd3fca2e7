"""Compares a recorded file with the one that a repeated run gave, in the way of its kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from deriva_ml.replay.compare.archives import compare_archives, compare_compressed, is_compressed
from deriva_ml.replay.compare.arrays import compare_array_files, compare_sparse, different_objects
from deriva_ml.replay.compare.html import compare_html
from deriva_ml.replay.compare.images import compare_images, is_picture
from deriva_ml.replay.compare.json_values import compare_json_files, compare_json_lines
from deriva_ml.replay.compare.notebooks import compare_notebook_files
from deriva_ml.replay.compare.parquet import compare_parquet
from deriva_ml.replay.compare.tables import compare_tables
from deriva_ml.replay.compare.tally import below_one
from deriva_ml.replay.compare.terms import Terms
from deriva_ml.replay.compare.text import compare_text_files, same_text
from deriva_ml.replay.compare.vector import compare_pdf, compare_svg
from deriva_ml.replay.verdict import Comparison, Difference, Own, Tolerance, Verdict
from deriva_ml.untrusted import LARGEST

HEAD = 512
"""Bytes at the start that tell a kind."""

DEEPEST = 3
"""Archives in archives."""

CompareTexts = Callable[[Path, Path, Terms], Comparison]


def compare_files(recorded: Path, repeated: Path, name: str, own: Own, tolerance: Tolerance) -> Comparison:
    """Compare two files: their bytes first, then what they hold.

    Args:
        name: what tells the kind of files whose contents do not.

    Raises:
        OSError: one cannot be read.
    """
    return _compare(recorded, repeated, name, Terms(own, tolerance), 0)


def _compare(recorded: Path, repeated: Path, name: str, terms: Terms, depth: int) -> Comparison:
    byte = _first_difference(recorded, repeated)
    if byte is None:
        return Comparison(Verdict.identical)
    found = _by_kind(recorded, repeated, name, terms, depth)
    if found is not None:
        return found
    sizes = [path.stat().st_size for path in (recorded, repeated)]
    where = Difference(f"byte {byte:,}", f"{sizes[0]:,} bytes in all", f"{sizes[1]:,} bytes in all")
    return Comparison(
        Verdict.different,
        below_one(byte / max(sizes)),
        "bytes; the share of those before the first that differs",
        [where],
    )


def _first_difference(recorded: Path, repeated: Path) -> int | None:
    """Return the place of the first byte that differs; None if none does."""
    at = 0
    with recorded.open("rb") as ours, repeated.open("rb") as theirs:
        while True:
            one, other = ours.read(1 << 20), theirs.read(1 << 20)
            if one != other:
                pairs = enumerate(zip(one, other, strict=False))
                return at + next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
            if not one:
                return None
            at += len(one)


def _by_kind(recorded: Path, repeated: Path, name: str, terms: Terms, depth: int) -> Comparison | None:
    """Compare two files whose bytes differ; None if nothing is known of their kind."""
    heads = []
    for path in (recorded, repeated):
        with path.open("rb") as stream:
            heads.append(stream.read(HEAD))
    inside = partial(_compare, terms=terms, depth=depth + 1)
    sizes = max(path.stat().st_size for path in (recorded, repeated))

    def both(start: bytes) -> bool:
        return all(head.startswith(start) for head in heads)

    if all(map(is_picture, heads)) and sizes <= LARGEST:
        return compare_images(recorded.read_bytes(), repeated.read_bytes())
    if both(b"%PDF") and sizes <= LARGEST:
        return compare_pdf(recorded.read_bytes(), repeated.read_bytes())
    if both(b"\x93NUMPY"):
        try:
            return compare_array_files(recorded, repeated, terms) or different_objects()
        except ImportError:
            return Comparison(Verdict.different, 0.0, "install NumPy to compare values")
    if both(b"PAR1"):
        return compare_parquet(recorded, repeated, terms)
    if depth < DEEPEST:
        if both(b"PK\x03\x04") or all(head[257:262] == b"ustar" for head in heads):
            found = compare_archives(recorded, repeated, inside)
            if found and found.verdict is Verdict.different and name.endswith(".npz"):
                return _sparse(recorded, repeated, terms) or found
            return found
        if all(map(is_compressed, heads)):
            within = name.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
            within = f"{within[:-4]}.tar" if within.endswith(".tgz") else within
            return compare_compressed(recorded, repeated, within, inside)
    if any(b"\0" in head for head in heads):
        return None
    return _texts(recorded, repeated, name.lower(), terms, sizes)


def _texts(recorded: Path, repeated: Path, name: str, terms: Terms, size: int) -> Comparison | None:
    """Compare two files that seem to be texts; None if they are none."""
    kinds: dict[tuple[str, ...], CompareTexts] = {
        (".ipynb",): compare_notebook_files,
        (".json", ".geojson"): compare_json_files,
        (".jsonl", ".ndjson"): compare_json_lines,
        (".csv", ".tsv", ".tab"): compare_tables,
        (".svg",): _whole(compare_svg, size),
        (".html", ".htm"): _whole(partial(compare_html, where="the page"), size),
    }
    compare = next((one for ends, one in kinds.items() if name.endswith(ends)), compare_text_files)
    try:
        if same_text(recorded, repeated, terms):
            return Comparison(Verdict.identical)
        return compare(recorded, repeated, terms)
    except UnicodeDecodeError:
        return None


def _whole(compare: Callable[[str, str, Terms], Comparison], size: int) -> CompareTexts:
    """Return a comparison of files by one of texts that are held as a whole, unless they are too large for that."""

    def compared(recorded: Path, repeated: Path, terms: Terms) -> Comparison:
        ours, theirs = (path.read_text(encoding="utf-8-sig") for path in (recorded, repeated))
        return compare(ours, theirs, terms)

    return compared if size <= LARGEST else compare_text_files


def _sparse(recorded: Path, repeated: Path, terms: Terms) -> Comparison | None:
    """Compare two files as sparse matrices; None if they are none."""
    import zipfile

    try:
        import numpy

        loaded = []
        for path in (recorded, repeated):
            with zipfile.ZipFile(path) as archive:
                if (
                    sum(one.file_size for one in archive.infolist()) > 16 * LARGEST
                    or "format.npy" not in archive.namelist()
                ):
                    return None
            with numpy.load(path, allow_pickle=False) as arrays:
                loaded.append({name: arrays[name] for name in arrays.files})
        return compare_sparse(loaded[0], loaded[1], terms)
    except (ImportError, ValueError, OSError, zipfile.BadZipFile):
        return None
