"""What a bag of the project's own catalog has: files where they were, tables, versions, parents and readers."""

from __future__ import annotations

from pathlib import Path

from datasets.conftest import Put
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import Workflow
from deriva_ml.execution import inputs
from deriva_ml.process import Owner


def fetched(catalog: EmbeddedCatalog, rid: str, folder: Path, version: str | None = None) -> DatasetBag:
    return inputs.fetch_dataset(catalog, catalog.lookup_dataset(rid, version), folder)


def test_a_bag_has_its_files_tables_and_labels(catalog: EmbeddedCatalog, put: Put, tmp_path: Path) -> None:
    labels = "file,species\ncat/1.png,cat\ndog/1.png,dog\n"
    inner = catalog.add_dataset(
        "inner", [put("cat/1.png", "1"), put("dog/1.png", "2"), put("labels.csv", labels)], types=["Training"]
    )
    outer = catalog.add_dataset("outer", [put("notes.txt")], nested=[inner], types=["Split"])
    bag = fetched(catalog, outer, tmp_path / "inputs")
    [child] = bag.list_dataset_children()
    folder = child.dataset.folder
    assert bag.list_tables() == ["File", f"{folder}/labels"]
    assert (bag.path / folder / "cat" / "1.png").read_text() == "1"
    rows = bag.get_table_as_dict("File")
    assert all(Path(row["Filename"]) == bag.path / row["Path"] for row in rows)
    placed = bag.restructure_assets(tmp_path / "out", targets=["species"])
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in placed.values()) == [
        *("Unknown/notes.txt", "training/cat/1.png", "training/dog/1.png"),
    ]
    wide = child.get_denormalized_as_dict(["File", "labels"])
    assert {row["File.Path"]: row["labels.species"] for row in wide} == {
        "cat/1.png": "cat",
        "dog/1.png": "dog",
    }


def test_a_bag_knows_its_parents_and_kinds_of_members(
    catalog: EmbeddedCatalog, put: Put, tmp_path: Path
) -> None:
    inner = catalog.add_dataset("inner", [put("a.txt")])
    middle = catalog.add_dataset("middle", [], nested=[inner])
    bag = fetched(catalog, catalog.add_dataset("outer", [put("b.txt")], nested=[middle]), tmp_path / "inputs")
    [between, below] = bag.list_dataset_children(recurse=True)
    assert bag.list_dataset_parents() == []
    assert [one.dataset_rid for one in below.list_dataset_parents()] == [middle]
    assert {one.dataset_rid for one in below.list_dataset_parents(recurse=True)} == {middle, bag.dataset_rid}
    assert [kind.name for kind in bag.list_dataset_element_types()] == ["Dataset", "File"]
    assert below.list_dataset_element_types() == ["File"] == between.list_dataset_element_types()[1:]
    assert bag.list_dataset_members(recurse=True, limit=1)["File"][0]["Path"] == "b.txt"


def test_a_bag_knows_the_versions_up_to_its_own_and_who_read_it(
    catalog: EmbeddedCatalog, put: Put, tmp_path: Path
) -> None:
    """A version's bag says the same whatever is made later."""
    rid = catalog.add_dataset("", [put("a.txt")], version="1.0.0")
    first = fetched(catalog, rid, tmp_path / "first")
    catalog.change_dataset(rid, add=[put("b.txt")], description="one more")
    catalog.release_dataset(rid, "minor", "with b")
    execution = catalog.add_execution(Workflow("reads", url="here", checksum="1"), "", Owner.of())
    catalog.link_dataset(execution, catalog.lookup_dataset(rid))
    newest = fetched(catalog, rid, tmp_path / "newest")
    assert newest.current_version == "1.1.0"
    assert [str(one.dataset_version) for one in newest.dataset_history()] == ["1.0.0", "1.1.0.dev1", "1.1.0"]
    assert [one.description for one in newest.dataset_history()][1:] == ["one more", "with b"]
    again = fetched(catalog, rid, tmp_path / "again", "1.0.0")
    assert again.dataset_history() == first.dataset_history() != []
    assert (newest.list_executions(), first.list_executions()) == ([execution], [])
