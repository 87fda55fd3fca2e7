"""A version of a dataset as a folder or a .zip: its files where they lie, as they were recorded, or nothing."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

import deriva_ml.disk as disk
from datasets.conftest import Put
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets.export import write
from deriva_ml.definitions import Dataset
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

TEXTS = {
    "a-b.csv": "table",
    "cat/1.png": "one",
    "cat/é ü.png": "two",
    "empty": "",
    "test/1.png": "new",
    "train/1.png": "old",
    "train/deep/twin.png": "old",
}


@pytest.fixture
def dataset(catalog: EmbeddedCatalog, put: Put) -> Dataset:
    """One with two datasets nested in it, at versions of which one is not their last."""
    parts = {}
    for name in ("train", "test"):
        parts[name] = catalog.add_dataset(name, [put("1.png", "old"), put("deep/twin.png", "old")], name=name)
    catalog.change_dataset(parts["test"], [put("1.png", "new")], ["deep/twin.png"])
    own = [put(path, text) for path, text in TEXTS.items() if not path.startswith("t")]
    whole = catalog.add_dataset("whole", own, version="1.0.0", nested=parts.values())
    catalog.change_dataset(parts["train"], [put("later.png")])
    return catalog.lookup_dataset(whole, "1.0.0")


def texts(folder: Path) -> dict[str, str]:
    """The files below a folder."""
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def damage(catalog: EmbeddedCatalog, dataset: Dataset, text: str | None) -> None:
    """Let the last content of a dataset be another, or none."""
    content = catalog.objects.path(dataset.members["File"][-2]["MD5"])
    content.unlink()
    if text is not None:
        content.write_text(text)


def test_a_folder_has_the_files_as_a_bag_has_them(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path
) -> None:
    write(catalog, dataset, tmp_path / "new" / "out")
    assert texts(tmp_path / "new" / "out") == TEXTS
    assert os.listdir(tmp_path / "new") == ["out"]
    (tmp_path / "there").mkdir()
    write(catalog, dataset, tmp_path / "there")
    assert texts(tmp_path / "there") == TEXTS
    exported = tmp_path / "there" / "cat" / "1.png"
    assert exported.stat().st_mode & stat.S_IWUSR, "it is the person's own"
    exported.write_text("changed")
    write(catalog, dataset, tmp_path / "again")
    assert texts(tmp_path / "again") == TEXTS


def test_a_zip_has_the_same_and_is_the_same_each_time(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path
) -> None:
    write(catalog, dataset, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*TEXTS]
        archive.extractall(tmp_path / "out")
    assert texts(tmp_path / "out") == TEXTS
    for content in catalog.project.objects.rglob("*"):
        if content.is_file():
            os.utime(content, (1_700_000_000, 1_700_000_000))
    write(catalog, dataset, tmp_path / "Again.ZIP")
    assert (tmp_path / "Again.ZIP").read_bytes() == (tmp_path / "out.zip").read_bytes()


def test_a_zip_takes_files_and_numbers_of_them_beyond_the_old_limits(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    write(catalog, dataset, tmp_path / "out.zip")
    assert b"PK\x06\x06" in (tmp_path / "out.zip").read_bytes()
    shutil.unpack_archive(tmp_path / "out.zip", tmp_path / "out")
    assert texts(tmp_path / "out") == TEXTS


@pytest.mark.parametrize("name", ["out", "out.zip"])
@pytest.mark.parametrize(
    ("text", "said"), [(None, "is missing from"), ("tw0", "has changed since it was recorded")]
)
def test_a_content_that_is_not_what_was_recorded_leaves_nothing(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    damage(catalog, dataset, text)
    target = tmp_path / "there" / name
    with pytest.raises(DerivaMLException, match=f"the content of cat/é ü.png .*{said}"):
        write(catalog, dataset, target)
    assert os.listdir(target.parent) == []


def test_what_is_there_is_not_written_over(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    for name in ("file", "out.zip", "empty.zip"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("out", "file", "out.zip", "empty.zip", "gone"):
        with pytest.raises(DerivaMLRequestError, match=f"{name} is there already"):
            write(catalog, dataset, tmp_path / name)
    assert (tmp_path / "out.zip").read_text() == "mine" and os.listdir(tmp_path / "out") == ["mine"]


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_interruption_leaves_nothing(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = catalog.members

    def interrupted(state: str) -> object:
        for row in members(state):
            if row["Path"] == "empty":
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(catalog, "members", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(catalog, dataset, tmp_path / "there" / name)
    assert os.listdir(tmp_path / "there") == []


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_disk_without_the_room_is_said_first(
    catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 10))
    monkeypatch.setattr(disk, "clone", lambda *_: False)
    with pytest.raises(
        DerivaMLRequestError, match=r"the dataset has 20 bytes, for which .* has no room \(10 bytes\)"
    ):
        write(catalog, dataset, tmp_path / "there" / name)
    assert not os.listdir(tmp_path / "there")


def test_a_file_is_no_place_for_it(catalog: EmbeddedCatalog, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("file/out", "file/out.zip", "file/deep/out"):
        with pytest.raises(DerivaMLRequestError, match="is no folder: choose another place"):
            write(catalog, dataset, tmp_path / place)
