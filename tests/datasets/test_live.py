"""Datasets from Python, by the names that code written for upstream calls them by."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from deriva_ml.core.definitions import DatasetVersion, FileSpec, VersionPart
from deriva_ml.dataset.aux_classes import DatasetHistory
from deriva_ml.dataset.dataset import Dataset

from deriva_ml import DatasetSpec, DerivaML, DerivaMLRequestError, Execution, Workflow
from deriva_ml.definitions import Status
from deriva_ml.project import Project


@pytest.fixture
def ml(tmp_path: Path) -> DerivaML:
    """A connection to a new project's catalog."""
    (tmp_path / "project").mkdir()
    return DerivaML(project=Project(tmp_path / "project"))


@pytest.fixture
def execution(ml: DerivaML) -> Execution:
    """An execution that goes on."""
    execution = ml.create_execution(workflow=Workflow("Make pets", "Training"))
    execution.execution_start()
    return execution


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with pictures of which two have one name."""
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "pictures"


def paths(dataset: Dataset, **options: object) -> list[str]:
    """Where the files of a dataset are in it."""
    return [row["Path"] for row in dataset.list_dataset_members(**options).get("File", [])]  # type: ignore[arg-type]


def rids(dataset: Dataset) -> dict[str, str]:
    """The RIDs of a dataset's files by their paths."""
    return {row["Path"]: row["RID"] for row in dataset.list_dataset_members()["File"]}


def test_files_become_a_dataset_that_is_changed_and_released(
    ml: DerivaML, execution: Execution, pictures: Path
) -> None:
    pets = execution.add_files([pictures], "Training", "Pets", name="pets")
    assert isinstance(pets, Dataset) and pets.dataset_types == ["Training"]
    assert paths(pets) == ["cat/1.png", "cat/2.png", "dog/1.png"]
    assert (pets.current_version, pets.is_dirty(), pets.release_diff()) == ("0.1.0", False, {})
    pets.delete_dataset_members([rids(pets)["dog/1.png"]], description="No dogs")
    assert (pets.current_version, pets.is_dirty()) == ("0.2.0.dev1", True)
    assert pets.release_diff() == {"File": 1}
    assert pets.release(VersionPart.major, "Cats only") == DatasetVersion(1, 0, 0)
    assert paths(pets) == ["cat/1.png", "cat/2.png"] and len(paths(pets, version="0.1.0")) == 3
    assert pets.compare_versions("0.1.0", DatasetVersion(1)) == {"File": 1}
    history = pets.dataset_history()
    assert [one.dataset_version for one in history] == ["0.1.0", "0.2.0.dev1", "1.0.0"]
    assert isinstance(history[-1], DatasetHistory) and history[-1].description == "Cats only"
    assert {one.execution_rid for one in history} == {execution.execution_rid}
    assert [one.execution_rid for one in pets.list_executions()] == [execution.execution_rid]
    execution.commit_output_assets()
    assert ml.lookup_dataset("pets@0.1.0").version == "0.1.0" and ml.lookup_dataset("pets").version == "1.0.0"


def test_outside_an_execution_each_change_is_one_of_its_own(
    ml: DerivaML, execution: Execution, pictures: Path
) -> None:
    pets = execution.add_files([pictures / "cat"])
    execution.commit_output_assets()
    pets.add_files([pictures / "dog"], "One of a dog instead")
    (pictures / "cat" / "2.png").write_text("better")
    pets.add_files(pictures / "cat" / "2.png")
    pets.release("minor", "Better")
    made = {one.execution_rid for one in pets.dataset_history()}
    assert len(made) == 4 and execution.execution_rid in made
    own = [ml.lookup_execution(rid) for rid in made if rid and rid != execution.execution_rid]
    assert all(one.status == Status.uploaded and one.workflow.types == ["Dataset_Management"] for one in own)
    other = ml.create_execution(workflow=Workflow("Another", "Training"))
    pets.mark_dev("Labels are to be looked at", execution=other)
    assert pets.dataset_history()[-1].execution_rid == other.execution_rid


def test_members_are_added_by_rid_and_never_in_place_of_others(execution: Execution, pictures: Path) -> None:
    source = rids(execution.add_files([pictures]))
    pets = execution.create_dataset(["Testing"], description="Pets")
    pets.add_dataset_members([source["cat/1.png"]])
    pets.add_dataset_members({"File": [source["dog/1.png"]]}, description="Also a dog")
    assert sorted(paths(pets)) == sorted(["1.png", f"{source['dog/1.png']}/1.png"])
    with pytest.raises(DerivaMLRequestError, match="is a member of .* already"):
        pets.add_dataset_members([source["cat/1.png"]])
    pets.add_dataset_members([source["cat/1.png"], source["cat/2.png"]], validate=False)
    assert len(paths(pets)) == 3 and pets.list_members("File") == [row for row in rids(pets).values()]
    with pytest.raises(DerivaMLRequestError, match="no members of Image"):
        pets.add_dataset_members({"Image": ["1-ABC"]})
    with pytest.raises(DerivaMLRequestError, match="is no member of"):
        pets.delete_dataset_members(["1-ABC"])
    with pytest.raises(DerivaMLRequestError):
        pets.add_dataset_members(["1-ABC"])


def test_a_member_at_several_paths_is_not_replaced_at_any(execution: Execution, tmp_path: Path) -> None:
    """Neither where a file has two paths, nor for what is no RID."""
    for place, text in (("one/x", "same"), ("one/y/x", "same"), ("other/x", "another")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    one, other = execution.add_files([tmp_path / "one"]), execution.add_files([tmp_path / "other"])
    assert rids(one)["x"] == rids(one)["y/x"]
    [added] = rids(other).values()
    one.add_dataset_members([added])
    assert paths(one) == sorted(["x", "y/x", f"{added}/x"])
    one.add_dataset_members([other.dataset_rid])
    with pytest.raises(DerivaMLRequestError, match="there is no dataset None"):
        one.add_dataset_members([None])


def test_what_an_execution_made_is_added_as_a_file(ml: DerivaML, execution: Execution) -> None:
    execution.asset_file_path("Execution_Asset", "scores.csv").write_text("1")
    [asset] = execution.commit_output_assets()["Execution_Asset"]
    pets = ml.create_execution(workflow=Workflow("Another", "Training")).create_dataset()
    with pytest.raises(DerivaMLRequestError, match="Execution_Asset.*add_files"):
        pets.add_dataset_members([str(asset.asset_rid)])


def test_datasets_are_nested_at_their_versions(ml: DerivaML, execution: Execution, pictures: Path) -> None:
    cats, dogs = (execution.add_files([pictures / kind], name=kind) for kind in ("cat", "dog"))
    pets, all_ = execution.create_dataset(), execution.create_dataset()
    pets.add_dataset_members([cats.rid, dogs.rid])
    all_.add_dataset_members({"Dataset": [pets.rid]})
    cats.add_files([pictures / "dog" / "1.png"])
    assert all_.list_dataset_children_rids() == [pets.rid]
    assert all_.list_dataset_children_rids(recurse=True) == [pets.rid, cats.rid, dogs.rid]
    nested = all_.list_dataset_children(recurse=True)[1]
    assert (nested.version, nested.current_version) == ("0.1.0", "0.2.0.dev1")
    assert paths(nested) == ["1.png", "2.png"]
    assert [one.rid for one in cats.list_dataset_parents()] == [pets.rid]
    assert [one.rid for one in cats.list_dataset_parents(recurse=True)] == [pets.rid, all_.rid]
    assert cats.list_dataset_parents(version="0.2.0.dev1") == []
    rows = all_.list_dataset_members(recurse=True)
    assert {row["RID"] for row in rows["Dataset"]} == {pets.rid, cats.rid, dogs.rid} and len(
        rows["File"]
    ) == 3
    assert len(all_.list_dataset_members(recurse=True, limit=1)["File"]) == 1
    assert all_.list_dataset_children(version="0.1.0") == []
    with pytest.raises(DerivaMLRequestError, match="would contain itself"):
        cats.add_dataset_members([all_.rid])
    markdown = pets.to_markdown(show_children=True).splitlines()
    assert markdown[1].startswith("  - **Dataset cat ") and len(markdown) == 3


def test_specifications_of_files_keep_what_they_say(
    execution: Execution, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = list(
        FileSpec.create_filespecs(pictures, "A pet", lambda path: ["Cat"] if "cat" in path.parts else [])
    )
    assert specs[0].md5 == hashlib.md5(b"cat/1.png").hexdigest() and specs[0].length == 9
    pets = execution.add_files(specs)
    assert paths(pets) == ["cat/1.png", "cat/2.png", "dog/1.png"]
    asset = execution.ml.lookup_asset(rids(pets)["cat/1.png"])
    assert (asset.description, asset.types) == ("A pet", ("Cat",))
    by_hand = [
        FileSpec(str(pictures / "cat" / "1.png")),
        FileSpec(f"tag://host,2026-01-01:file://{pictures}/dog/1.png"),
    ]
    assert paths(execution.add_files(by_hand)) == ["cat/1.png", "dog/1.png"]
    assert paths(execution.add_files([pictures / "cat" / "2.png"])) == ["2.png"]
    monkeypatch.chdir(pictures)
    assert paths(execution.add_files(["cat"], root_name="x")) == ["1.png", "2.png"]
    with pytest.raises(DerivaMLRequestError, match="two files would be 1.png"):
        execution.add_files(["cat/1.png", "dog/1.png"])
    assert paths(execution.add_files(["cat", "dog/1.png"])) == ["1.png", "cat/1.png", "cat/2.png"]


@pytest.mark.parametrize("wrong", ["nothing", "changed", "far", "leading out"])
def test_files_that_cannot_be_taken_are_refused_in_one_line(
    ml: DerivaML, execution: Execution, pictures: Path, wrong: str
) -> None:
    given: list[object] = {
        "nothing": [pictures / "bird"],
        "changed": [FileSpec(str(pictures / "cat" / "1.png"), "0" * 32)],
        "far": [FileSpec("https://example.org/1.png")],
        "leading out": [pictures],
    }[wrong]  # type: ignore[assignment]
    if wrong == "leading out":
        (pictures / "link.png").symlink_to("/etc/hostname")
    with pytest.raises(DerivaMLRequestError) as refused:
        execution.add_files(given)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value) and ml.find_datasets() == []


def test_types_and_description_are_changed(ml: DerivaML, execution: Execution) -> None:
    pets = execution.create_dataset("Training", "1.0.0", "Pets")
    pets.add_dataset_types(["Testing", "Labelled"])
    pets.remove_dataset_type("Training")
    pets.description = "Animals"
    found = ml.lookup_dataset(pets.dataset_rid)
    assert sorted(found.dataset_types) == ["Labelled", "Testing"] and found.description == "Animals"
    assert found.current_version == "1.0.0"


def test_a_bag_is_fetched_without_an_execution(ml: DerivaML, execution: Execution, pictures: Path) -> None:
    pets = execution.add_files([pictures])
    bag = pets.download_dataset_bag("0.1.0")
    assert (bag.path / "cat" / "1.png").read_text() == "cat/1.png"
    assert pets.bag_info("0.1.0") == {"rid": pets.rid, "version": "0.1.0", "files": 3, "bytes": 27}
    assert ml.estimate_bag_size(DatasetSpec(pets.rid)) == pets.estimate_bag_size()
    again = ml.download_dataset_bag(DatasetSpec(pets.rid, "0.1.0"))
    assert again.path == bag.path and again.path.is_relative_to(ml.project.outputs)


def test_deleted_datasets_are_found_when_asked_for(
    ml: DerivaML, execution: Execution, pictures: Path
) -> None:
    cats = execution.add_files([pictures / "cat"], name="cats")
    pets = execution.create_dataset()
    pets.add_dataset_members([cats.rid])
    with pytest.raises(DerivaMLRequestError, match="is part of"):
        ml.delete_dataset(cats)
    ml.delete_dataset(pets, recurse=True)
    assert ml.find_datasets() == [] and len(ml.find_datasets(deleted=True)) == 2
    with pytest.raises(DerivaMLRequestError, match="deleted"):
        ml.lookup_dataset(cats.rid)
    assert paths(ml.lookup_dataset(cats.rid, deleted=True)) == ["1.png", "2.png"]
    assert paths(ml.lookup_dataset(DatasetSpec(cats.rid, "0.1.0"))) == ["1.png", "2.png"]


def test_datasets_are_found_in_order(ml: DerivaML, execution: Execution) -> None:
    made = [execution.create_dataset(description=text) for text in "bca"]
    assert [one.rid for one in ml.find_datasets()] == [one.rid for one in reversed(made)]
    assert [one.description for one in ml.find_datasets(sort=lambda one: one.description)] == ["a", "b", "c"]


def test_a_dry_run_makes_no_dataset(ml: DerivaML, pictures: Path) -> None:
    dry = ml.create_execution(workflow=Workflow("Make pets", "Training"), dry_run=True)
    for make in (dry.create_dataset, lambda: dry.add_files([pictures])):
        with pytest.raises(DerivaMLRequestError, match="dry run"):
            make()  # type: ignore[operator]
    assert ml.find_datasets() == [] and ml.find_assets("File") == []


def test_an_execution_reads_a_dataset_by_its_name_and_records_what_that_was(
    ml: DerivaML, execution: Execution, pictures: Path
) -> None:
    pets = execution.add_files([pictures], name="pets")
    execution.commit_output_assets()
    spec = DatasetSpec(name="pets")
    reading = ml.create_execution(datasets=[spec], workflow=Workflow("Read", "Training"))
    assert (spec.rid, spec.version, spec.digest) == ("", None, "")  # it means the newest again, next time
    [said] = reading.configuration.to_json()["datasets"]
    digest = ml.lookup_dataset("pets").digest
    assert (said["name"], said["rid"], said["version"], said["digest"]) == ("pets", pets.rid, "0.1.0", digest)
    assert reading.download_dataset_bag(DatasetSpec.from_shorthand("pets")) is reading.datasets[0]
    assert reading.download_dataset_bag("pets@0.1.0") is reading.datasets[0]
    assert json.dumps(said) and [one.rid for one in reading.list_input_datasets()] == [pets.rid]
    other = ml.create_execution(workflow=Workflow("Read", "Training"))
    other.add_input_dataset(pets.rid, DatasetVersion(0, 1))
    assert [(one.rid, one.version) for one in other.list_input_datasets()] == [(pets.rid, "0.1.0")]


def test_a_dataset_on_a_server_is_not_changed_from_here(
    ml: DerivaML, execution: Execution, pictures: Path
) -> None:
    pets = execution.add_files([pictures])

    class Elsewhere:
        """A source that is not the project's own catalog."""

        host_name = "deriva.example.org"

        def __getattr__(self, name: str) -> object:
            return getattr(ml.catalog, name)

    there = Dataset(ml, ml.catalog.lookup_dataset(pets.rid), source=Elsewhere())  # type: ignore[arg-type]
    assert (
        paths(there) == paths(pets)
        and there.current_version == "0.1.0"
        and there.bag_info() == pets.bag_info()
    )
    for change in (
        lambda: there.release(),
        lambda: there.add_dataset_members([]),
        lambda: there.add_dataset_type("Training"),
        lambda: setattr(there, "description", ""),
        lambda: ml.delete_dataset(there),
    ):
        with pytest.raises(
            DerivaMLRequestError, match="make a dataset in this project, which is sent"
        ) as refused:
            change()
        assert "\n" not in str(refused.value)


def test_versions_have_an_order_and_are_texts() -> None:
    names = ["1.0.0", "1.1.0.dev2", "1.1.0.dev10", "1.1.0", "1.2.0", "1.10.0", "2.0.0"]
    assert sorted(map(DatasetVersion.parse, reversed(names))) == names
    assert DatasetVersion("1.1.0") > "1.1.0.dev2" and max(names, key=DatasetVersion) == "2.0.0"
    version = DatasetVersion(1, 2, 3)
    assert (version, version.major, version.minor, version.patch) == ("1.2.3", 1, 2, 3)
    assert version.to_dict() == {"major": 1, "minor": 2, "patch": 3} and json.dumps(version) == '"1.2.3"'
    assert [version.next_release(part) for part in VersionPart] == ["2.0.0", "1.3.0", "1.2.4"]
    assert DatasetVersion("0.4.0.post1.dev3").next_release(VersionPart.minor) == DatasetVersion(0, 5)
    assert DatasetSpec("1-ABC", version).version == "1.2.3" == DatasetSpec("1-ABC", version.to_dict()).version
    with pytest.raises(DerivaMLRequestError, match="is no version of a dataset"):
        DatasetVersion("new")
