"""A manifest on a server is data from outside: one that is wrong costs the paths, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog_kinds import delete
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.definitions import RID, Dataset
from deriva_ml.deriva.hatrac import Upload, put_object
from deriva_ml.deriva.lookup import find_dataset, find_dataset_states
from deriva_ml.deriva.manifests import Manifests, find_version
from deriva_ml.manifest import Entry, digest_of, lines
from remote_datasets.study import Study, md5_of, workflow_type


class Released:
    """A dataset whose version is an execution's."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        self.objects = ObjectStore(folder / "objects")
        self.folder = folder
        [workflow] = study.add("Workflow", {"Name": "w", **workflow_type(study)})
        [self.execution] = study.add("Execution", {"Workflow": workflow})
        self.dataset = study.dataset("released", File=study.files("File", "a.csv", "b.csv"))
        study.version(self.dataset, "1.0.0")
        [self.version] = [row["RID"] for row in study.double.rows(study.catalog, "Dataset_Version")]
        study.change("Dataset_Version", self.version, Execution=self.execution)

    def manifest(self, text: str, **columns: object) -> str:
        """Record a manifest as the execution's output; its digest."""
        path = self.folder / "manifest"
        path.write_text(text)
        md5 = digest(text)
        name = "dataset-manifest-1.0.0.jsonl"
        upload = Upload(path, f"/hatrac/Execution_Metadata/{md5}.{name}", md5, len(text.encode()), name)
        url = put_object(self.study.server, upload)
        row = {"URL": url, "Filename": name, "Length": len(text.encode()), "MD5": md5, **columns}
        [asset] = self.study.add("Execution_Metadata", row)
        link = {"Execution_Metadata": asset, "Execution": self.execution}
        self.study.add("Execution_Metadata_Execution", {**link, **self.role()})
        return md5

    def role(self) -> dict[str, str]:
        names = {row["Name"] for row in self.study.double.rows(self.study.catalog, "Asset_Role")}
        if "Output" not in names:
            row = {"Name": "Output", "Description": "", "ID": "x:o", "URI": "/id/o"}
            self.study.add("Asset_Role", row)
        return {"Asset_Role": "Output"}

    def find(self) -> Dataset:
        server = self.study.server
        return find_dataset(server, self.dataset, "1.0.0", Manifests(server, self.objects))


def digest(text: str) -> str:
    return md5_of(text)


@pytest.fixture
def released(study: Study, tmp_path: Path) -> Released:
    return Released(study, tmp_path)


def file(path: str, content: str) -> Entry:
    """An entry for a file of the study, whose content is its name."""
    return Entry(path, md5_of(content), len(content))


def text(*entries: Entry) -> str:
    return "".join(lines(entries))


def test_members_have_the_paths_that_the_manifest_says(released: Released) -> None:
    entries = [file("deep/b.csv", "b.csv"), file("x/a.csv", "a.csv"), file("y/a.csv", "a.csv")]
    said = released.manifest(text(*entries))
    found = released.find()
    assert [(row["Path"], row["Filename"]) for row in found.members["File"]] == [
        ("deep/b.csv", "b.csv"),
        ("x/a.csv", "a.csv"),
        ("y/a.csv", "a.csv"),
    ]
    assert found.digest == said == digest_of(entries)
    server = released.study.server
    manifests = Manifests(server, released.objects)
    assert find_version(server, said, "1.0.0", manifests) == released.dataset
    [state] = find_dataset_states(server, released.dataset, manifests)
    assert (state.version, state.digest, state.files, state.bytes) == ("1.0.0", said, 3, 15)


WRONG = {
    "no text": "\xff\x00",
    "no JSON": "{",
    "another form": json.dumps({"path": "a.csv", "md5": md5_of("a.csv"), "length": 5}) + "\n",
    "a way out": text(file("../a.csv", "a.csv")),
    "an absolute path": text(file("/a.csv", "a.csv")),
    "the same path twice": text(file("a", "a.csv"), file("a", "b.csv")),
    "a file that is a folder": text(file("a", "a.csv"), file("a/b", "b.csv")),
    "no digest": text(Entry("a.csv", "../../../etc/passwd", 5)),
    "a file that is not there": text(file("a.csv", "c.csv")),
    "a dataset that is not there": text(Entry("inner", "0" * 32, 0, "1.0.0")),
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("study", ["head"], indirect=True)
@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
def test_a_wrong_manifest_is_left_out_with_one_line(
    released: Released, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    released.manifest(said)
    found = released.find()
    assert sorted(row["Filename"] for row in found.members["File"]) == ["a.csv", "b.csv"]
    assert not any("Path" in row for row in found.members["File"]) and found.digest == ""
    told = capsys.readouterr().err
    assert told.startswith(f"warning: the manifest of dataset {released.dataset} 1.0.0 is left out")
    assert told.count("\n") == 1 and len(told) < 500


@pytest.mark.parametrize("study", ["head"], indirect=True)
@pytest.mark.parametrize(
    "columns", [{"Length": 1 << 40}, {"Length": 3}, {"MD5": "0" * 32}, {"MD5": "../x"}], ids=str
)
def test_a_manifest_that_is_not_what_its_record_says_is_left_out(
    released: Released, columns: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    released.manifest(text(file("a.csv", "a.csv"), file("b.csv", "b.csv")), **columns)
    found = released.find()
    assert len(found.members["File"]) == 2 and found.digest == ""
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("study", ["head"], indirect=True)
def test_versions_of_deleted_datasets_and_those_still_being_sent_are_not_found(released: Released) -> None:
    said = released.manifest(text(file("a.csv", "a.csv"), file("b.csv", "b.csv")))
    study = released.study

    def found() -> RID | None:
        return find_version(study.server, said, "1.0.0", Manifests(study.server, released.objects))

    assert found() == released.dataset
    assert find_version(study.server, said, "2.0.0", Manifests(study.server, released.objects)) is None
    [row] = study.double.rows(study.catalog, "Dataset_Version")
    study.change("Dataset_Version", released.version, Snapshot=None)
    assert found() is None
    study.change("Dataset_Version", released.version, Snapshot=row["Snapshot"])
    study.change("Dataset", released.dataset, Deleted=True)
    assert found() is None
    study.change("Dataset", released.dataset, Deleted=False)
    delete(study.server, f"/entity/deriva-ml:Execution_Metadata_Execution/Execution={released.execution}")
    assert found() is None


@pytest.mark.parametrize("study", ["head"], indirect=True)
def test_a_working_state_comes_before_its_version(study: Study) -> None:
    dataset = study.dataset("")
    for version in ("1.1.0.dev10", "1.1.0", "1.1.0.dev9", "1.0.0"):
        study.version(dataset, version)
    assert study.find(dataset).version == "1.1.0"
