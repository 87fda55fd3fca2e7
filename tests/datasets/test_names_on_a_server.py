"""A name means the same content on a Deriva catalog, where a run sends what the project has of it; datasets there are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from deriva_ml.dataset.dataset import Dataset

from deriva_double import DerivaDouble
from deriva_ml import DatasetSpec, DerivaML, DerivaMLRequestError, Execution, Workflow
from deriva_ml.datasets.names import FILE, Named, read, write
from deriva_ml.definitions import Status
from deriva_ml.project import Project
from git_repository import isolate_git


class Site:
    """A server, and projects that use a catalog there."""

    def __init__(self, double: DerivaDouble, folder: Path) -> None:
        self.double, self.folder = double, folder
        self.number = double.create_catalog("head")

    def project(self, name: str) -> Project:
        """A project of this name."""
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / "pyproject.toml").write_text("[project]\n")
        return Project(self.folder / name)

    def there(self, project: Project) -> DerivaML:
        """A connection to the server."""
        return DerivaML(self.double.url, self.number, self.double.credential(), project)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    isolate_git(monkeypatch, tmp_path)
    with DerivaDouble() as double:
        yield Site(double, tmp_path)


def run(ml: DerivaML, *specs: DatasetSpec) -> Execution:
    """A run that reads datasets, and has ended."""
    execution = ml.create_execution(datasets=list(specs), workflow=Workflow("Read", "Training"))
    with execution.execute():
        pass
    execution.commit_output_assets()
    return execution


def made_here(project: Project) -> Dataset:
    """A dataset with a version and a working state, made without the server."""
    with closing((ml := DerivaML(project=project)).connection):
        (project.root / "a.csv").write_text("a\n1\n")
        (project.root / "b.csv").write_text("b\n2\n")
        execution = ml.create_execution(workflow=Workflow("Make", "Training"))
        pets = execution.add_files([project.root / "a.csv"], description="Pets", name="pets", version="1.0.0")
        execution.commit_output_assets()
        pets.add_files(project.root / "b.csv")
    return pets


def test_a_name_means_what_was_sent_of_it_in_every_clone(site: Site) -> None:
    mine = site.project("mine")
    made_here(mine)
    ml = site.there(mine)
    spec = DatasetSpec(name="pets", version="1.0.0")
    reading = run(ml, spec)
    assert reading.status == Status.uploaded
    [sent] = [row for row in site.double.rows(site.number, "Dataset") if row["Description"] == "Pets"]
    [bag] = reading.datasets
    assert (bag.path / "a.csv").read_text() == "a\n1\n"

    theirs = site.project("theirs")  # a clone: the file came along, and nothing else
    (theirs.root / FILE).write_bytes((mine.root / FILE).read_bytes())
    other = site.there(theirs)
    again = run(other, spec)
    recorded = other.lookup_execution(again.execution_rid).list_input_datasets()
    assert [(one.rid, one.version) for one in recorded] == [(sent["RID"], "1.0.0")]
    assert (again.datasets[0].path / "a.csv").read_text() == "a\n1\n"
    found = other.lookup_dataset("pets@1.0.0")
    assert (found.rid, found.digest) == (sent["RID"], read(mine)["pets"].versions["1.0.0"])
    assert site.double.rows(site.number, "Dataset") == [sent]  # once
    for version, why in (("1.1.0.dev1", "has no such version of it"), ("9.0.0", "has no such version")):
        with pytest.raises(DerivaMLRequestError, match=f"pets {version} is neither on .* nor here.*{why}"):
            other.lookup_dataset(f"pets@{version}")
    write(theirs, {"dogs": Named("1-ABC", {"1.0.0": "0" * 32})})
    with pytest.raises(DerivaMLRequestError, match="dogs 1.0.0 is neither on .* nor here$"):
        other.lookup_dataset("dogs")


def test_the_file_has_the_rid_in_each_catalog_where_it_is_known(site: Site) -> None:
    mine = site.project("mine")
    pets = made_here(mine)
    ml = site.there(mine)
    run(ml, DatasetSpec(name="pets", version="1.0.0"))
    [sent] = [row for row in site.double.rows(site.number, "Dataset") if row["Description"] == "Pets"]
    with closing((here := DerivaML(project=mine)).connection):
        here.lookup_dataset("pets").release()
    entry = read(mine)["pets"]
    assert (entry.rid, [*entry.versions]) == (pets.rid, ["1.0.0", "1.1.0"])
    assert entry.catalogs == {f"{ml.host_name}/{ml.catalog_id}": sent["RID"]}
    other = site.there(site.project("theirs"))
    write(other.project, {"pets": Named(entry.rid, entry.versions, entry.catalogs)})
    assert other.lookup_dataset("pets@1.0.0").rid == sent["RID"]


def test_a_dataset_that_a_run_makes_goes_where_its_record_goes(site: Site) -> None:
    project = site.project("mine")
    (project.root / "a.csv").write_text("a\n1\n")
    ml = site.there(project)
    execution = ml.create_execution(workflow=Workflow("Make", "Training"))
    with execution.execute():
        pets = execution.add_files([project.root / "a.csv"], description="Pets", name="pets")
        (project.root / "b.csv").write_text("b\n")
        pets.add_files([project.root / "b.csv"])
        pets.release("minor", "One more")
    execution.commit_output_assets()
    assert execution.status == Status.uploaded
    [dataset] = site.double.rows(site.number, "Dataset")
    rows = site.double.rows(site.number, "Dataset_Version")
    assert {(row["Version"], row["Execution"]) for row in rows} == {
        ("0.1.0", execution.execution_rid),
        ("0.2.0", execution.execution_rid),
    }
    there = ml.lookup_dataset(DatasetSpec(dataset["RID"], "0.2.0"))
    assert [row["Path"] for row in there.list_dataset_members()["File"]] == ["a.csv", "b.csv"]
    assert [one.dataset_version for one in there.dataset_history()] == ["0.1.0", "0.2.0"]
    assert there.compare_versions("0.1.0", "0.2.0") == {"File": 1}
    assert there.bag_info()["files"] == 2 and not there.is_dirty()
    assert [one.rid for one in there.list_executions()] == [execution.execution_rid]
    assert [one.rid for one in ml.find_datasets()] == [dataset["RID"]]
    bag = there.download_dataset_bag()
    assert (bag.path / "b.csv").read_text() == "b\n"
    for change in (
        lambda: there.release(),
        lambda: there.add_dataset_members(["1-ABC"]),
        lambda: ml.delete_dataset(there),
    ):
        with pytest.raises(DerivaMLRequestError, match="make a dataset in this project, which is sent"):
            change()
    for question in (lambda: there.list_dataset_parents(), lambda: ml.find_datasets(deleted=True)):
        with pytest.raises(DerivaMLRequestError, match="project's own"):
            question()
