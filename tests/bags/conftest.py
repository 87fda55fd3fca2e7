"""Bags made by hand: of files in a folder, as they are without a server."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import Dataset

_numbers = itertools.count(1)
Make = Callable[..., DatasetBag]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the bag of a dataset with files, by path, and of the bags nested in it."""

    def make(
        files: dict[str, str | bytes],
        *nested: tuple[str, dict[str, str | bytes]],
        types: tuple[str, ...] = (),
        nested_types: tuple[tuple[str, ...], ...] = (),
        fetched: bool = True,
        path: Path | None = None,
        folder: str = "",
    ) -> DatasetBag:
        path = path or tmp_path / "bag"
        rows = [row(path, one, content, fetched) for one, content in files.items()]
        bags = [
            make(held, path=path / place, folder=place, fetched=fetched, types=kinds)
            for (place, held), kinds in itertools.zip_longest(nested, nested_types, fillvalue=())
        ]
        dataset = Dataset(
            f"1-{next(_numbers):04}",
            "1.0.0",
            types=types,
            members={"File": rows} if rows else {},
            nested=tuple(bag.dataset for bag in bags),
            folder=folder,
        )
        return DatasetBag(dataset, path, tuple(bags))

    return make


def row(bag: Path, path: str, content: str | bytes, fetched: bool = True) -> dict[str, Any]:
    """The row of a file, which lies in the bag's folder if it was fetched."""
    data = content.encode() if isinstance(content, str) else content
    place = bag / path
    if fetched:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    md5 = hashlib.md5(data).hexdigest()
    return {
        "RID": f"2-{next(_numbers):04}",
        "URL": f"/hatrac/File/{md5}.{place.name}",
        "Filename": str(place) if fetched else place.name,
        "Length": len(data),
        "MD5": md5,
        "Path": path,
    }
