"""A dataset of the project goes to every kind of catalog with its versions, once, and comes back as it was in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place, begin, uploaded
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Dataset, DatasetState, Member, Status, Workflow
from deriva_ml.exceptions import NotFound
from deriva_ml.manifest import digest_of, parse
from deriva_ml.process import Owner
from recorder import Recorder, connect

SOME = pytest.mark.parametrize(
    "place", [kind for kind in kinds.KINDS if kind in {"embedded", "head writer", "live"}], indirect=True
)
"""For what is the same in every catalog on a server."""


class Study:
    """A dataset of the project's own, as its commands change it: each change is an execution."""

    def __init__(self, place: Place, name: str = "digits") -> None:
        self.place = place
        self.name = name
        self.rid: RID = ""

    def execution(self, local: EmbeddedCatalog) -> RID:
        workflow = Workflow(
            "deriva-ml-dataset", "Dataset_Management", url=f"git:{self.place.tag}", checksum=self.place.tag
        )
        rid = local.add_execution(workflow, f"{self.name} of {self.place.tag}", Owner.of())
        local.update_execution(rid, Status.uploaded, "")
        return rid

    def files(self, local: EmbeddedCatalog, *paths: str) -> list[Member]:
        """Members whose content is their path's last part; the same content at two paths is one file."""
        found = []
        for path in paths:
            name = path.rpartition("/")[2]
            source = self.place.project.root / name
            source.write_text(f"{self.place.tag} {name}")
            found.append(Member(path, local.add_file(source).rid))
        return found

    def create(self, *paths: str, nested: tuple[Member, ...] = ()) -> DatasetState:
        with closing(EmbeddedCatalog(self.place.project)) as local:
            self.rid = local.add_dataset(
                f"the {self.name}",
                [*self.files(local, *paths), *nested],
                [f"Kind {self.place.tag}"],
                "1.0.0",
                self.execution(local),
                name=self.name,
            )
            return local.dataset_versions(self.rid)[0]

    def change(
        self, *paths: str, remove: tuple[str, ...] = (), nested: tuple[Member, ...] = ()
    ) -> DatasetState:
        with closing(EmbeddedCatalog(self.place.project)) as local:
            members = [*self.files(local, *paths), *nested]
            local.change_dataset(self.rid, members, remove, "changed", self.execution(local))
            return local.dataset_versions(self.rid)[0]

    def release(self, bump: str = "minor") -> DatasetState:
        with closing(EmbeddedCatalog(self.place.project)) as local:
            local.release_dataset(self.rid, bump, f"{bump} release", self.execution(local))
            return local.dataset_versions(self.rid)[0]

    def state(self, version: str) -> DatasetState:
        with closing(EmbeddedCatalog(self.place.project)) as local:
            return next(one for one in local.dataset_versions(self.rid) if one.version == version)


@pytest.fixture
def study(place: Place) -> Study:
    """1.0.0 with a file at two paths, 1.1.0 without one of them and another, 1.2.0 with that again; and a working state."""
    made = Study(place)
    made.create("a/one.png", "b/one.png", "two.png", "tables/three.csv")
    made.change("a/four.png", remove=("two.png", "b/one.png"))
    made.release()
    made.change("two.png")
    made.release()
    made.change("five.png")
    return made


def run(place: Place, state: DatasetState) -> tuple[RID, RID]:
    """A run that names a dataset by its version's digest; the execution, and the dataset as it found it."""
    with closing(place.open()) as catalog:
        execution = begin(place, catalog, f"reads {state.version}")
        found = catalog.find_dataset_by_digest(state.digest, state.version)
        assert found is not None and found[1] == state.version
        catalog.link_dataset(execution, catalog.lookup_dataset(*found))
        uploaded(catalog, execution)
    return execution, found[0]


def there(catalog: Recorder, state: DatasetState) -> RID:
    """The dataset as the catalog itself knows it."""
    found = catalog.find_dataset_by_digest(state.digest, state.version)
    assert found is not None
    return str(found[0])


def paths(dataset: Dataset) -> dict[str, str]:
    """The files of a dataset and of those nested in it, by path: their names."""
    found = {row["Path"]: row["Filename"] for row in dataset.members.get("File", [])}
    for child in dataset.nested:
        found |= {f"{child.folder}/{path}": name for path, name in paths(child).items()}
    return found


FIRST = {
    "a/one.png": "one.png",
    "b/one.png": "one.png",
    "tables/three.csv": "three.csv",
    "two.png": "two.png",
}
SECOND = {"a/four.png": "four.png", "a/one.png": "one.png", "tables/three.csv": "three.csv"}
THIRD = {**SECOND, "two.png": "two.png"}
WORKING = {**THIRD, "five.png": "five.png"}


def test_every_version_comes_back_as_it_was_with_its_history(place: Place, study: Study) -> None:
    execution, _ = run(place, study.state("1.2.0"))
    assert place.pending() == []

    def told(state: DatasetState) -> tuple[object, ...]:
        return state.version, state.description, state.digest, state.files, state.bytes

    with closing(place.open()) as catalog:
        rid = there(catalog, study.state("1.0.0"))
        for version, expected in {"1.0.0": FIRST, "1.1.0": SECOND, "1.2.0": THIRD}.items():
            found = catalog.lookup_dataset(rid, version)
            assert paths(found) == expected
            assert list(paths(found)) == sorted(expected)
            assert (found.version, found.digest) == (version, study.state(version).digest)
            assert (found.description, found.types) == ("the digits", (f"Kind {place.tag}",))
        [read] = catalog.datasets_of(execution)
        assert read.rid == rid
        assert read.version == ("" if place.generation == "1.17.10" else "1.2.0")
        history = [one for one in catalog.dataset_versions(rid) if one.released]
        assert all(one.execution and one.created for one in history)
        here = [study.state(one.version) for one in history]
        assert [told(one) for one in history] == [told(one) for one in here]


def test_each_version_has_its_snapshot_and_its_execution_with_the_manifest(
    place: Place, study: Study
) -> None:
    """So whoever knows no manifest finds in the snapshot just what was in the version."""
    if place.curator is None:
        pytest.skip("the project's own catalog keeps no past states")
    run(place, study.state("1.2.0"))
    with closing(place.open()) as catalog:
        rid = there(catalog, study.state("1.2.0"))
        rows = {row["Version"]: row for row in place.rows("Dataset_Version", Dataset=rid)}
        assert sorted(rows) == ["1.0.0", "1.1.0", "1.2.0"], (
            "a working state goes only where a run has read it"
        )
        snapshots = [rows[version]["Snapshot"] for version in sorted(rows)]
        assert len(set(snapshots)) == 3
        for version, expected in {"1.0.0": FIRST, "1.1.0": SECOND, "1.2.0": THIRD}.items():
            join = f"(File)=({place.model.qualified('File')}:RID)"
            path = f"/entity/{place.model.qualified('Dataset_File')}/Dataset={rid}/{join}"
            shown = place.curator.get(path, snapshot=rows[version]["Snapshot"])
            assert sorted(row["Filename"] for row in shown) == sorted(set(expected.values()))
            record = catalog.lookup_execution(rows[version]["Execution"])
            assert (record.status, record.workflow.name) == (Status.uploaded, "deriva-ml-dataset")
            [manifest] = [one for one in catalog.assets_of(record.rid) if "manifest" in one.filename]
            assert manifest.filename == f"dataset-manifest-{version}.jsonl"
            content = place.curator.request("get", manifest.url).text
            assert digest_of(parse(content)) == manifest.md5 == study.state(version).digest
    [dataset] = place.rows("Dataset", RID=rid)
    assert (dataset["Version"], dataset["Description"]) == (rows["1.2.0"]["RID"], "the digits")


def test_a_version_that_is_there_is_not_sent_again(place: Place, study: Study) -> None:
    if place.curator is None:
        pytest.skip("it goes nowhere")
    for version in ("1.0.0", "1.1.0", "1.1.0", "1.2.0", "1.0.0"):
        run(place, study.state(version))
    with closing(place.open()) as catalog:
        rid = there(catalog, study.state("1.0.0"))
        assert [one.version for one in catalog.dataset_versions(rid)] == ["1.2.0", "1.1.0", "1.0.0"]
        for digest in ("0" * 32, study.state("1.0.0").digest):
            assert catalog.find_dataset_by_digest(digest, "7.0.0") is None
    types = place.rows("Dataset_Dataset_Type", Dataset_Type=f"Kind {place.tag}")
    assert [row["Dataset"] for row in types] == [rid]


def test_a_working_state_goes_there_when_a_run_has_read_it(place: Place, study: Study) -> None:
    """Also after a later version, at which the dataset stays, with its members."""
    if place.curator is None:
        pytest.skip("there it is already")
    if place.generation == "1.17.10":
        pytest.skip("deriva-ml 1.17 reads no dataset that has one")
    old = study.state("1.1.0.dev1")
    run(place, study.state("1.2.0"))
    run(place, old)
    working = study.state("1.3.0.dev1")
    run(place, working)
    with closing(place.open()) as catalog:
        rid = there(catalog, old)
        assert there(catalog, working) == rid
        assert paths(catalog.lookup_dataset(rid, "1.1.0.dev1")) == SECOND
        assert paths(catalog.lookup_dataset(rid, "1.2.0")) == THIRD
        assert paths(catalog.lookup_dataset(rid)) == WORKING
        versions = [one.version for one in catalog.dataset_versions(rid)]
        assert versions == ["1.3.0.dev1", "1.2.0", "1.1.0", "1.1.0.dev1", "1.0.0"]
    study.release()
    run(place, study.state("1.3.0"))
    stays_at(place, rid, "1.3.0", WORKING)


def stays_at(place: Place, rid: RID, version: str, members: dict[str, str]) -> None:
    """A dataset's current version there, and what is in it now."""
    rows = {row["RID"]: row["Version"] for row in place.rows("Dataset_Version", Dataset=rid)}
    [dataset] = place.rows("Dataset", RID=rid)
    assert rows[dataset["Version"]] == version
    there = {row["File"] for row in place.rows("Dataset_File", Dataset=rid)}
    names = {row["Filename"] for row in place.rows("File") if row["RID"] in there}
    assert names == set(members.values())


def test_a_catalog_of_an_older_deriva_ml_gets_versions_only(
    place: Place, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its library could not read the dataset any more."""
    if place.generation != "1.17.10":
        pytest.skip("the others take them")
    execution, rid = run(place, study.state("1.3.0.dev1"))
    assert rid == study.rid, "the run read what is in the project"
    told = capsys.readouterr().err
    assert (
        told.count("\n") == 1 and "1.3.0.dev1" in told and "is kept in this project, and 1.2.0 sent" in told
    )
    assert place.pending() == []
    [link] = place.rows("Dataset_Execution", Execution=execution)
    versions = [row["Version"] for row in place.rows("Dataset_Version", Dataset=link["Dataset"])]
    assert sorted(versions) == ["1.0.0", "1.1.0", "1.2.0"]
    stays_at(place, link["Dataset"], "1.2.0", THIRD)


@SOME
def test_what_was_looked_up_is_known_offline(place: Place, study: Study) -> None:
    if place.curator is None:
        pytest.skip("it is on no server")
    state = study.state("1.0.0")
    run(place, state)
    with closing(place.open()) as catalog:
        rid = there(catalog, state)
        known = catalog.dataset_versions(rid), catalog.lookup_dataset(rid, "1.0.0")
    config = replace(place.config, offline=True)
    with closing(connect(config, place.project)) as offline:
        assert offline.find_dataset_by_digest(state.digest, "1.0.0") == (rid, "1.0.0")
        assert (offline.dataset_versions(rid), offline.lookup_dataset(rid, "1.0.0")) == known
        with pytest.raises(NotFound, match="has not been fetched"):
            offline.dataset_versions("9-ZZZZ")


def test_a_dataset_in_another_is_there_at_the_version_that_is_nested(place: Place) -> None:
    inner = Study(place, "inner")
    outer = Study(place, "outer")
    first = inner.create("x.png", "deep/y.png")
    outer.create("own.csv", nested=(Member("train", nested=first.rid),))
    inner.change("z.png")
    second = inner.release()
    outer.change(nested=(Member("train", nested=second.rid), Member("old", nested=first.rid)))
    last = outer.release()
    run(place, last)
    assert place.pending() == []
    with closing(place.open()) as catalog:
        rid = there(catalog, last)
        of_first = {"x.png": "x.png", "deep/y.png": "y.png"}
        train = {f"train/{path}": name for path, name in of_first.items()}
        assert paths(catalog.lookup_dataset(rid, "1.0.0")) == {"own.csv": "own.csv", **train}
        found = catalog.lookup_dataset(rid, "1.1.0")
        assert [(one.folder, one.version, one.digest) for one in found.nested] == [
            ("old", "1.0.0", first.digest),
            ("train", "1.1.0", second.digest),
        ]
        assert paths(found) == {
            "own.csv": "own.csv",
            **train,
            "train/z.png": "z.png",
            **{f"old/{path}": name for path, name in of_first.items()},
        }
        [history] = [one for one in catalog.dataset_versions(rid) if one.version == "1.1.0"]
        assert (history.files, history.bytes) == (last.files, last.bytes)


@SOME
def test_one_execution_may_make_versions_of_several_datasets(place: Place) -> None:
    """As one that splits a dataset does, at one version each."""
    study = Study(place)
    with closing(EmbeddedCatalog(place.project)) as local:
        maker = study.execution(local)
        made = {}
        for name in ("training", "testing"):
            rid = local.add_dataset(name, study.files(local, f"{name}.png"), (), "1.0.0", maker, name=name)
            made[name] = local.dataset_versions(rid)[0]
    for state in made.values():
        run(place, state)
    with closing(place.open()) as catalog:
        for name, state in made.items():
            rid = there(catalog, state)
            assert paths(catalog.lookup_dataset(rid, "1.0.0")) == {f"{name}.png": f"{name}.png"}
            assert [one.digest for one in catalog.dataset_versions(rid)] == [state.digest]
    assert place.pending() == []


# Two clones


@pytest.fixture
def clone(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Another project that records into the same catalog, of a dataset of the same contents."""
    if place.curator is None:
        pytest.skip("a clone's own catalog is its own")
    other = kinds.Place(
        kinds._project(tmp_path_factory.mktemp("clone")),
        place.generation,
        place.config,
        place.curator,
        tag=place.tag,
    )
    yield other
    place.made += [row["remote"] for row in _noted(other) if row["remote"]]
    place.sent += [row["url"] for row in _noted(other) if row["url"]]


def _noted(place: Place) -> list[dict[str, str]]:
    return kinds.embedded_rows(place.project, "local_remote")


def test_what_a_clone_has_sent_is_found_by_its_digest_and_gone_on_with(place: Place, clone: Place) -> None:
    """The clone made the dataset from the same files; it has another RID there, and the same digest."""
    mine, other = Study(place), Study(clone)
    first = mine.create("a.png", "b/c.png")
    assert other.create("a.png", "b/c.png").digest == first.digest
    run(place, first)
    _, rid = run(clone, first)
    assert [row["RID"] for row in place.rows("Dataset") if row["RID"] == rid] == [rid]
    other.change("d.png")
    second = other.release()
    run(clone, second)
    with closing(place.open()) as catalog:
        assert there(catalog, second) == there(catalog, first) == rid
        assert [one.version for one in catalog.dataset_versions(rid)] == ["1.1.0", "1.0.0"]
    assert len(place.rows("Dataset_Dataset_Type", Dataset_Type=f"Kind {place.tag}")) == 1


@SOME
def test_another_version_of_the_same_number_is_refused_in_one_line(
    place: Place, clone: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = Study(place), Study(clone)
    mine.create("a.png")
    other.create("a.png")
    mine.change("mine.png")
    run(place, mine.release())
    run(clone, other.state("1.0.0"))
    other.change("other.png")
    run(clone, other.release())
    assert "has another version 1.1.0 already, with other members" in capsys.readouterr().err
    assert len(clone.pending()) == 2, "the run, and the execution that made the version"


@SOME
@pytest.mark.parametrize("both", [True, False])
def test_datasets_of_a_project_that_began_alike_are_two_there(place: Place, both: bool) -> None:
    """As those are that were made of one folder, or changed in two copies of the project, of which one was imported."""
    studies = {name: Study(place, name) for name in ("one", "two")}
    for study in studies.values():
        first = study.create("a.png")
        if both:
            run(place, first)
    for name, study in studies.items():
        study.change(f"{name}.png")
        run(place, study.release())
    assert place.pending() == []
    with closing(place.open()) as catalog:
        for name, study in studies.items():
            rid = there(catalog, study.state("1.1.0"))
            assert paths(catalog.lookup_dataset(rid, "1.1.0")) == {
                "a.png": "a.png",
                f"{name}.png": f"{name}.png",
            }
            assert [one.version for one in catalog.dataset_versions(rid)][-1] == "1.0.0"
