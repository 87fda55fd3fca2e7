"""Which paths files have in a dataset that are given as folders, as several paths, or from a folder given before."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml.datasets.rows import Files
from deriva_ml.datasets.walk import found


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of pictures, and a table that names them."""
    for name in ("cat/1.png", "dog/1.png"):
        picture = tmp_path / "pictures" / name
        picture.parent.mkdir(parents=True)
        picture.write_text(name)
    (tmp_path / "labels.csv").write_text("file,label\npictures/cat/1.png,cat\n")
    return tmp_path


def test_a_folder_alone_gives_its_contents(pets: Path) -> None:
    assert [one.path for one in found([pets / "pictures"])] == ["cat/1.png", "dog/1.png"]


def test_beside_others_a_folder_keeps_its_name(pets: Path) -> None:
    """So that a table beside it names its files as it did before."""
    files = found([pets / "pictures", pets / "labels.csv"])
    assert [one.path for one in files] == ["labels.csv", "pictures/cat/1.png", "pictures/dog/1.png"]
    again = found([pets / "pictures" / "cat" / "1.png"], files.roots)
    assert [one.path for one in again] == ["pictures/cat/1.png"]
    within = found([pets / "pictures", pets / "labels.csv"], into="raw")
    assert [one.path for one in within][0] == "raw/labels.csv"


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("cat/1.png", "pictures/cat/1.png"),
        ("/home/ada/pictures/cat/1.png", "pictures/cat/1.png"),
        ("2.png", "pictures/cat/2.png"),
        ("1.png", None),
        ("at/1.png", None),
        ("cat", None),
    ],
)
def test_a_table_names_a_file_by_as_much_of_its_path_as_one_has(cell: str, path: str | None) -> None:
    files = Files(["pictures/cat/1.png", "pictures/dog/1.png", "pictures/cat/2.png"])
    assert files.named(cell, "labels.csv") == path
