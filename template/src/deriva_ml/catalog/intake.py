"""The embedded catalog's rows of files that are taken in by the thousand, and what is known of where these came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from deriva_ml.catalog.base import CatalogBase
from deriva_ml.definitions import RID, MLAsset

_SEEN = ("path", "size", "mtime", "ctime", "inode", "device", "md5", "noted")


class Seen(NamedTuple):
    """A file whose content is known.

    Attributes:
        path: absolute.
        size: bytes.
        mtime, ctime: nanoseconds.
        md5: its content's.
        noted: seconds; when it was about to be read.
    """

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int
    md5: str
    noted: float


class Intake(CatalogBase):
    """The part of ``EmbeddedCatalog`` that records files of a person's, many at a time."""

    def seen(self, paths: Iterable[str]) -> dict[str, Seen]:
        """Return what is known of files, by their paths."""
        rows = self._db.select_any("local_seen", "path", paths)
        return {row["path"]: Seen(*(row[name] for name in _SEEN)) for row in rows}

    def record_files(self, contents: Sequence[tuple[str, str, int]], seen: Sequence[Seen] = ()) -> list[RID]:
        """Record contents of the store under names in the ``File`` table; the same content and name once.

        Args:
            contents: name, MD5 and length of each.
            seen: what is known from now on of where they came from.
        """
        table = MLAsset.file.value
        urls = [f"/hatrac/{table}/{md5}.{name}" for name, md5, _ in contents]
        with self._db.transaction():
            known = self._rids(table, urls)
            new = {
                url: {"URL": url, "Filename": name, "Description": "", "Length": length, "MD5": md5}
                for url, (name, md5, length) in zip(urls, contents, strict=True)
                if url not in known
            }
            self._db.insert(table, *new.values())
            known |= self._rids(table, new) if new else {}
            last = {one.path: one for one in seen}  # a file may have several paths in a dataset
            self._db.query(
                'DELETE FROM "local_seen" WHERE "path" IN (SELECT "value" FROM json_each(?))',
                json.dumps([*last]),
            )
            self._db.add_all("local_seen", _SEEN, last.values())
        return [known[url] for url in urls]

    def _rids(self, table: str, urls: Iterable[str]) -> dict[str, RID]:
        return {row["URL"]: row["RID"] for row in self._db.select_any(table, "URL", urls)}

    def roots(self, dataset: RID) -> list[tuple[Path, str]]:
        """Return the folders that a dataset was made from, each with the folder in it that its contents lie in."""
        return [(Path(row["folder"]), row["into"]) for row in self._db.select("local_root", dataset=dataset)]

    def add_roots(self, dataset: RID, roots: Iterable[tuple[Path, str]]) -> None:
        """Note folders that a dataset was made from."""
        with self._db.transaction():
            for folder, into in roots:
                row = {"dataset": dataset, "folder": str(folder), "into": into}
                self._db.add("local_root", row, "ON CONFLICT DO NOTHING")
