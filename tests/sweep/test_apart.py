"""A job on another machine writes nothing that another machine writes, and its record is the project's in the end."""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archive.conftest import Recorded, make, recorded  # noqa: F401 - fixtures
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.catalog.lent import Borrowing, lend, make_borrowing
from deriva_ml.definitions import RID, AssetRole, Member, Status, Workflow
from deriva_ml.deriva.connect import connect
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.state_folder import VARIABLE
from deriva_ml.sweep import apart
from deriva_ml.sweep.collecting import collect
from deriva_ml.sweep.folder import Begun, Ended, SweepFolder
from sweep.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        from git_repository import isolate_git

        folder = tmp_path_factory.mktemp("cluster")
        isolate_git(patch, folder)
        yield Cluster.make(folder)


def rows_of(catalog: EmbeddedCatalog, table: str) -> list[tuple[object, ...]]:
    """All that a table has."""
    return sorted(tuple(row) for row in catalog.database.select(table))


def test_a_collected_job_is_recorded_as_if_it_had_run_here(cluster: Cluster, tmp_path: Path) -> None:
    with closing(cluster.catalog()) as catalog:
        inputs = [rows_of(catalog, name) for name in ("Dataset", "Dataset_Version", "local_member")]
    sweep = cluster.submit(cluster.plan("1.0,2.0"))
    local = tmp_path / "scratch"
    local.mkdir()
    cluster.node(sweep, 0)
    cluster.node(sweep, 1, DERIVA_ML_JOB_STATE=str(local))
    assert not [*local.iterdir()] and not sweep.job(1).state.exists()
    # What the project has does not travel.
    with zipfile.ZipFile(sweep.job(0).records) as archive:
        contents = {archive.read(name) for name in archive.namelist() if "/objects/" in name}
    assert b"1,2\n" in contents and not contents & {b"weights", b"one"}
    assert (cluster.project.root.parent / "notes" / "read-1.0").read_text().split("\\n") == [
        "1,2\n",
        "weights",
        "one",
        "weights.npz",
    ]
    said = cluster.collect(sweep.rid)
    assert "Sweep" in said and not sweep.path.exists()
    with closing(cluster.catalog()) as catalog:
        jobs = catalog.list_execution_children(sweep.rid)
        assert [*catalog.places_in_sweep(sweep.rid).items()] == [*zip(jobs, [0, 1], strict=True)]
        assert catalog.lookup_execution(sweep.rid).status == "Uploaded"
        assert inputs == [rows_of(catalog, name) for name in ("Dataset", "Dataset_Version", "local_member")]
        assert len(catalog.find_assets("Execution_Asset", name="weights.npz")) == 1
        assert len(catalog.find_assets("Execution_Asset", name="sum-*")) == 2
        assert len(catalog.find_assets("File", name="data.csv")) == 1
        assert not rows_of(catalog, "local_imported")
        for rid in jobs:
            read = {one.rid for one in catalog.assets_of(rid) if one.role is AssetRole.input}
            assert cluster.asset in read
            assert [one.rid for one in catalog.datasets_of(rid)] == [cluster.dataset]
            assert catalog.lookup_execution(rid).started_by == "deriva-ml-run"
            start = catalog.links_from(rid)
            assert cluster.asset in {link.other for link in start.links.follow(start.records, up=True)}
        found = catalog.results(Criteria(rids=jobs))
        assert sorted(one.summary.metrics["loss"].last for one in found) == [1.0, 2.0]
        assert all(catalog.objects.holds(Path(catalog.locate(one))) for one in catalog.assets_of(jobs[0]))
    again = cluster.collect(sweep.rid, rc=2)
    assert "nothing of" in again


def test_a_folder_of_the_machine_that_is_not_there_fails_its_job_alone(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0"))
    cluster.node(sweep, 0, DERIVA_ML_JOB_STATE="$NO_SUCH/place")
    ended = sweep.job(0).ended()
    assert ended and ended.status == "Failed" and "DERIVA_ML_JOB_STATE" in ended.reason
    said = cluster.collect(sweep.rid, rc=1)
    assert "1 of 1 jobs failed" in said


@pytest.fixture
def job(recorded: Recorded, tmp_path: Path) -> Iterator[Borrowing]:  # noqa: F811
    """The catalog of a job whose project has records of every kind."""
    project = recorded.catalog.project
    lend(project, tmp_path / "lent")
    apart = Project(project.root, tmp_path / "state")
    make_borrowing(apart, tmp_path / "lent", project.state, "DELETE")
    with closing(Borrowing(apart)) as catalog:
        yield catalog


def test_a_job_finds_what_the_project_has(recorded: Recorded, job: Borrowing) -> None:  # noqa: F811
    here = recorded.catalog
    workflow = Workflow("own", ["Training"], url="https://example.org/own", checksum="own", version="1")
    own = job.add_execution(workflow, "own", Owner.of())
    assert {one.rid for one in job.find_assets()} == {one.rid for one in here.find_assets()}
    assert {one.rid for one in job.find_datasets()} == {one.rid for one in here.find_datasets()}
    assert {one.rid for one in job.find_workflows()} == {
        *(one.rid for one in here.find_workflows()),
        workflow.rid,
    }
    assert [one.rid for one in job.select_executions(Criteria())] == [
        own,
        *(one.rid for one in here.select_executions(Criteria())),
    ]
    assert [one.summary for one in job.results(Criteria())][1:] == [
        one.summary for one in here.results(Criteria())
    ]
    assert job.lookup_execution(recorded.first) == here.lookup_execution(recorded.first)
    assert job.list_execution_children(recorded.sweep) == here.list_execution_children(recorded.sweep)
    assert job.list_execution_parents(recorded.parts[0]) == [recorded.sweep]
    assert job.assets_of(recorded.second) == here.assets_of(recorded.second)
    assert job.datasets_of(recorded.second) == here.datasets_of(recorded.second)
    assert job.lookup_asset(recorded.weights.rid) == here.lookup_asset(recorded.weights.rid)
    assert job.executions_of(recorded.weights) == here.executions_of(recorded.weights)
    assert job.locate(recorded.weights) == here.locate(recorded.weights)
    for version in (None, "1.0.0", "1.1.0"):
        there = here.lookup_dataset(recorded.pets, version)
        found = job.lookup_dataset(recorded.pets, version)
        assert (found.members, found.nested, found.digest) == (there.members, there.nested, there.digest)
        assert set(found.executions) == set(there.executions)
        assert job.find_dataset_by_digest(there.digest, there.version) == (there.rid, there.version)
    assert job.dataset_named("toys") == recorded.toys
    assert job.dataset_parents(recorded.toys) == [recorded.pets]
    assert job.cite(recorded.first) == here.cite(recorded.first)
    with pytest.raises(NotFound, match="no asset"):
        job.lookup_asset("1-NONE")
    # What was looked up is here, without the executions that made it.
    assert {row["RID"] for row in job.database.select("Execution")} == {own}


def test_a_job_writes_nothing_into_the_project(recorded: Recorded, job: Borrowing) -> None:  # noqa: F811
    here = recorded.catalog
    before = rows_of(here, "Dataset"), rows_of(here, "local_member")
    with pytest.raises(DerivaMLRequestError, match="already"):
        job.add_dataset("mine", [], name="toys")
    file = here.lookup_dataset(recorded.pets).members["File"][0]["RID"]
    job.change_dataset(recorded.pets, [Member("again.txt", file)])
    assert job.lookup_dataset(recorded.pets).version == "1.2.0.dev1"
    assert (rows_of(here, "Dataset"), rows_of(here, "local_member")) == before
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        job.lender.database.delete("Dataset", RID=recorded.toys)


def collected(recorded: Recorded, job: Borrowing, folder: Path) -> list[RID]:  # noqa: F811
    """Take in what a job has recorded, which was the fourth of a sweep; its executions."""
    sweep = SweepFolder(folder / "sweeps" / recorded.sweep)
    place = sweep.job(3)
    place.path.mkdir(parents=True)
    place.claim(Begun(Owner.of(), str(job.project.state), 0.0))
    sweep.lent.mkdir()
    executions = apart.deliver(job.project, place, "")
    place.end(Ended(Status.uploaded, executions, apart=True))
    done = collect(recorded.catalog.project, sweep)
    assert (done.over, done.problems) == ([3], {})
    places = recorded.catalog.places_in_sweep(recorded.sweep)
    assert {places[rid] for rid in executions} == {3}
    return executions


def test_a_dataset_that_a_job_changes_is_the_projects(
    recorded: Recorded,  # noqa: F811
    job: Borrowing,
    tmp_path: Path,
) -> None:
    workflow = Workflow("own", ["Training"], url="https://example.org/own", checksum="own", version="1")
    own = job.add_execution(workflow, "own", Owner.of())
    (tmp_path / "new.txt").write_text("new")
    file = job.add_file(tmp_path / "new.txt")
    job.change_dataset(recorded.pets, [Member("new.txt", file.rid)], execution=own)
    made = job.add_dataset("made", [file.rid], execution=own, nested=[recorded.toys], name="made")
    job.update_execution(own, Status.uploaded)
    here = recorded.catalog
    before = {one.rid for one in here.find_datasets()}
    assert collected(recorded, job, tmp_path) == [own]
    assert {one.rid for one in here.find_datasets()} == before | {made}
    assert here.current_state(recorded.pets).version == "1.2.0.dev1"
    assert here.states_made(own)[0].execution == own and here.dataset_named("made") == made
    assert [one.rid for one in here.lookup_dataset(made).nested] == [recorded.toys]
    assert not rows_of(here, "local_imported")


def test_what_a_job_could_not_send_waits_here(
    recorded: Recorded,  # noqa: F811
    job: Borrowing,
    tmp_path: Path,
) -> None:
    """Where its record is to go travels with it, and which RIDs it was given there."""
    there = Destination("example.org", "7")
    workflow = Workflow("own", ["Training"], url="https://example.org/own", checksum="own", version="1")
    sent, waits = (job.add_execution(workflow, "own", Owner.of()) for _ in range(2))
    for rid in (sent, waits):
        job.journal.send_to(rid, there, "config")
        job.journal.note({rid: Remote(f"9-{rid}", stored=rid == sent)}, there)
        job.update_execution(rid, Status.uploaded)
    job.mark_pushed(sent, there, job.journal.changes(sent, there))
    executions = collected(recorded, job, tmp_path)
    here = recorded.catalog
    assert {rid: here.lookup_execution(rid).status for rid in executions} == {
        sent: Status.pending_upload,  # for that it is part of the sweep is not there yet
        waits: Status.pending_upload,
    }
    assert here.journal.pending(waits) == [(waits, there)] and not here.journal.is_held(waits)
    assert here.journal.credential(waits, there) == "config"
    assert here.journal.remote(waits, there) == Remote(f"9-{waits}")
    assert here.journal.remote(sent, there) == Remote(f"9-{sent}", stored=True)


def test_an_input_that_the_job_has_recorded_itself_is_one_file(
    recorded: Recorded,  # noqa: F811
    job: Borrowing,
) -> None:
    path = next((recorded.catalog.project.root / "files").glob("*ball.txt"))
    own = job.add_file(path)
    there = recorded.catalog.find_assets("File", name=path.name)[0]
    assert own.rid != there.rid
    assert job.lookup_asset(there.rid).rid == own.rid


def test_code_of_a_job_is_given_its_catalog(
    recorded: Recorded,  # noqa: F811
    job: Borrowing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, str(job.project.state))
    connection = connect(DerivaMLConfig(), Project(recorded.catalog.project.root))
    with closing(connection):
        assert isinstance(connection.source, Borrowing) and connection.local is connection.source
        assert connection.source.catalog_id == recorded.catalog.catalog_id
        with closing(sqlite3.connect(connection.local.project.database)) as file:
            assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)
