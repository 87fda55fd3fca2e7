"""A dataset that was found becomes a folder of files and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import Asset, Dataset
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution import inputs
from remote_datasets.study import Study, file_row, md5_of


class Contents:
    """As much of a catalog as fetching asks for: it writes a file's name into it, and notes what was asked at once."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        self.batches.append([asset.filename for asset, _ in pairs])
        for asset, destination in pairs:
            destination.parent.mkdir(parents=True)
            destination.write_text(asset.filename)


def fetched(dataset: Dataset, folder: Path, materialize: bool = True) -> tuple[DatasetBag, Contents]:
    contents = Contents()
    bag = inputs.fetch_dataset(contents, dataset, folder, materialize)  # type: ignore[arg-type]
    return bag, contents


@pytest.fixture
def published(study: Study) -> Dataset:
    """A dataset whose members, nested members and the rows that they refer to have files."""
    [ada] = study.add("Subject", {"Name": "Ada"})
    [visit] = study.add("Visit", {"Subject": ada})
    [scan] = study.files("Scan Image", "b.tif", Visit=visit)
    elsewhere = {**file_row("File", "far.csv"), "URL": "https://www.example.org/far.csv"}
    inner = study.dataset("inner", Scan_Image=[scan])
    outer = study.dataset(
        "outer",
        Dataset=[inner],
        Scan_Image=[scan, *study.files("Scan Image", "c.tif")],
        File=study.files("File", "a.csv") + study.add("File", elsewhere),
    )
    study.version(inner, "0.3.0")
    study.version(outer, "1.0.0")
    return study.find(outer)


def test_a_bag_has_all_its_files_fetched_in_one_batch(published: Dataset, tmp_path: Path) -> None:
    bag, contents = fetched(published, tmp_path)
    assert [sorted(batch) for batch in contents.batches] == [["a.csv", "b.tif", "c.tif"]]
    paths = {table: [path.name for path in paths] for table, paths in bag.asset_paths.items()}
    assert {table: sorted(found) for table, found in paths.items()} == {
        "File": ["a.csv"],
        "Scan Image": ["b.tif", "c.tif"],
    }
    for path in (path for paths in bag.asset_paths.values() for path in paths):
        assert path.read_text() == path.name
        assert path == bag.path / path.asset_table / str(path.asset_rid) / path.name
    _, again = fetched(published, tmp_path)
    assert again.batches == [], "what is there is not fetched again"


def test_a_file_that_the_catalog_only_refers_to_stays_a_reference(published: Dataset, tmp_path: Path) -> None:
    bag, _ = fetched(published, tmp_path)
    [row] = [row for row in bag.list_dataset_members()["File"] if not row["URL"].startswith("/hatrac/")]
    assert (row["Filename"], row["URL"]) == ("far.csv", "https://www.example.org/far.csv")


def test_a_bag_shows_its_tables_with_what_nested_datasets_and_references_bring(
    published: Dataset, tmp_path: Path
) -> None:
    bag, _ = fetched(published, tmp_path)
    assert set(bag.list_tables()) == {"File", "Scan Image", "Visit", "Subject", "a", "far"}, (
        "and the files that are tables"
    )
    assert set(bag.list_dataset_members()) == {"File", "Scan Image"}
    assert len(bag.list_dataset_members(recurse=True)["Scan Image"]) == 2, (
        "a row that both have is there once"
    )
    assert [row["Name"] for row in bag.get_table_as_dict("Subject")] == ["Ada"]
    assert list(bag.get_table_as_dataframe("Scan Image")["Length"]) == [5, 5]
    [child] = bag.list_dataset_children()
    assert (child.dataset_rid, child.version, child.description) == (
        published.nested[0].rid,
        "0.3.0",
        "inner",
    )
    assert [path.name for path in child.asset_paths["Scan Image"]] == ["b.tif"]
    assert child.asset_paths["Scan Image"][0].exists()
    with pytest.raises(DerivaMLRequestError, match="has no table Mood; it has File, "):
        list(bag.get_table_as_dict("Mood"))


def test_without_materializing_the_rows_are_there_and_no_file(published: Dataset, tmp_path: Path) -> None:
    bag, contents = fetched(published, tmp_path, materialize=False)
    assert contents.batches == []
    assert bag.asset_paths == {"File": [], "Scan Image": []}
    row = bag.list_dataset_members()["Scan Image"][0]
    assert (row["Filename"], row["MD5"]) == ("b.tif", md5_of("b.tif")) and row["URL"].startswith("/hatrac/")


def test_a_bag_never_leaves_its_folder_whatever_the_catalog_calls_things(tmp_path: Path) -> None:
    """Neither what is fetched, nor what a row calls its file without having been fetched."""
    row = {**file_row("x", "x"), "RID": "../..", "Filename": "../../up.txt"}
    absolute = {**file_row("y", "y"), "RID": "1-A", "Filename": "/etc/passwd", "URL": "tag:y"}
    dataset = Dataset(
        "../up", "1/2", members={"../../T": [row, absolute], "Plain": [{"RID": "1", "Filename": "/x"}]}
    )
    bag, _ = fetched(dataset, tmp_path / "inputs")
    [path] = bag.asset_paths["../../T"]
    assert path.resolve().is_relative_to(tmp_path / "inputs") and path.read_text() == ".._.._up.txt"
    assert {one.relative_to(tmp_path).parts[0] for one in tmp_path.rglob("*")} == {"inputs"}
    assert list(bag.asset_paths) == ["../../T"]


def test_versions_of_one_dataset_do_not_share_a_folder(published: Dataset, tmp_path: Path) -> None:
    one, _ = fetched(published, tmp_path)
    other, contents = fetched(replace(published, version="2.0.0"), tmp_path)
    assert one.path != other.path and len(contents.batches) == 1


def test_a_dataset_can_be_written_as_json(published: Dataset) -> None:
    """Rows hold what JSON can hold, so that they can be kept and recorded."""
    assert json.loads(json.dumps(published.members)) == published.members


@pytest.mark.parametrize(("digest", "place"), [("", "File/1-AA/a.csv"), ("0" * 32, "x/a.csv")])
def test_only_a_manifest_says_where_a_file_lies(digest: str, place: str, tmp_path: Path) -> None:
    """A table of a server may have a column of that name for something else."""
    row = {"RID": "1-AA", **file_row("File", "a.csv"), "Path": "x/a.csv"}
    scan = {"RID": "1-BB", **file_row("Scan", "b.tif"), "Path": "/data/../b.tif"}
    dataset = Dataset("2-AA", "1.0.0", members={"File": [row], "Scan": [scan]}, digest=digest)
    bag, _ = fetched(dataset, tmp_path)
    found = {str(path.relative_to(bag.path)) for path in bag.path.rglob("*") if path.is_file()}
    assert found == {place, "Scan/1-BB/b.tif"}
