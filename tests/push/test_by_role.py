"""What a member of the writing group, who owns nothing, brings to a catalog: late, again, after another, from a clone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

import recorded_run
from deriva_double import DerivaDouble, Fault
from deriva_ml import DerivaML
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Status, Workflow
from deriva_ml.deriva.offline import offline_cache
from deriva_ml.deriva.server import Server
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.process import Owner
from deriva_ml.project import Project
from push.test_interrupted import DOWN, attempt, sweep
from recorded_run import EVERY, Beginning, begun, ended, run_of_a_local_dataset, told, whole_run
from recorder import connect

ROLES = ["head", "head writer", "1.17.10", "1.17.10 writer"]
SPARSE = 1 if EVERY == 1 else 3
"""Of the requests that a sweep tries, one in so many: these runs take long."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Beginning]:
    """A catalog, and as whom projects record into it."""
    with DerivaDouble() as double:
        yield Beginning(double, tmp_path, request.param)


def record_here(place: Beginning, project: Project) -> str:
    """Record a run that is pushed later; its RID here."""
    config = DerivaMLConfig(
        place.double.url, place.number, str(project.root / "credentials.json"), offline=True
    )
    with closing(connect(config, project)) as catalog:
        workflow = Workflow("Late", ["New kind"], url="https://example.org/late.py", checksum="1a7e")
        execution = catalog.add_execution(workflow, "a late run", Owner.of())
        recorded_run.write(catalog, execution, "Execution_Asset", "out 1.csv", b"1", ["Output_File"])
        recorded_run.write(catalog, execution, "Execution_Asset", "out 2.csv", b"2", ["New type"])
        recorded_run.write(catalog, execution, "Execution_Metadata", "env.json", b"{}", ["Runtime_Env"])
        catalog.commit(execution)
        catalog.update_execution(execution, Status.uploaded, "")
        return catalog.local_rid(execution)


# Delivered later


@pytest.mark.parametrize("place", ROLES, indirect=True)
def test_a_run_that_was_recorded_here_can_be_delivered(place: Beginning) -> None:
    """When it ran is the owner's to say; of another's, the row tells when it came, and the configuration when it ran."""
    project = place.project()
    rid = record_here(place, project)
    place.resume(project)
    assert ended(project) == ["Uploaded"]
    with closing(EmbeddedCatalog(project)) as local:
        created = local.lookup_execution(rid).created
    rows = place.double.rows(place.number, "Execution")
    [row] = [row for row in rows if row["Description"] == "a late run"]
    assert (row["RCT"][:23] == created[:23]) == (place.user == "admin")
    assert row["RCT"][:10] >= created[:10]


def test_the_configuration_of_an_execution_says_when_it_began(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    ml = DerivaML(project=Project(tmp_path))
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("w", checksum="c"))
    recorded = execution.record_circumstances({})
    assert recorded["created"] == ml.lookup_execution(execution.execution_rid).created


# Again


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", ROLES, indirect=True)
def test_a_push_that_is_killed_after_any_request_is_gone_on_with(
    place: Beginning, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place.project()
    record_here(place, project)
    place.resume(project)
    place.expected = place.state()
    wrong = {}
    for number in range(1, len(place.double.log) + 1, SPARSE * EVERY):
        project = place.project()
        record_here(place, project)
        with monkeypatch.context() as patch:
            sent = requests.Session.send

            def send(
                session: Any, request: Any, number: int = number, sent: Any = sent, **options: Any
            ) -> Any:
                answer = sent(session, request, **options)
                if len(place.double.log) >= number:
                    raise Killed
                return answer

            patch.setattr(requests.Session, "send", send)
            with pytest.raises(Killed):
                place.resume(project)
        place.resume(project)
        if said := place.wrong(project):
            wrong[number] = said
    assert not wrong, told(wrong)


# By another


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("head writer", "other"),
        ("head", "writer"),
        ("head writer", "admin"),
        ("1.17.10", "writer"),
        ("1.17.10 writer", "other"),
    ],
)
def test_what_was_begun_under_one_login_is_finished_under_another(
    kind: str, other: str, tmp_path: Path
) -> None:
    """A lease is its login's, and used up by its row; rows that are there are told by their RIDs."""

    def mended(project: Project) -> None:
        if not beginning.double.running:
            beginning.double.start()
        beginning.log_in(project, other)

    with begun(kind, tmp_path, whole_run) as beginning:
        faults = DOWN["down, and the last answer lost"]
        wrong = sweep(beginning, whole_run, faults, mended, lambda *_: None, SPARSE)
    assert not wrong, told(wrong)


# What is there already


@pytest.mark.parametrize(("first", "second"), [("head writer", "other"), ("1.17.10", "writer")])
def test_a_dataset_that_another_clone_has_sent_is_found(first: str, second: str, tmp_path: Path) -> None:
    """Also by who may lease no RID, as writers may not in catalogs of 1.17."""
    with DerivaDouble() as double:
        place = Beginning(double, tmp_path, first)
        before = place.project()
        assert attempt(place, run_of_a_local_dataset, before) is None
        tables = ("Dataset", "Dataset_Version", "Dataset_File", "Dataset_Dataset", "File")
        there = {table: double.rows(place.number, table) for table in tables}
        clone = another_project(place, second)
        assert attempt(place, run_of_a_local_dataset, clone) is None
        assert ended(clone) == ["Uploaded"] * 2
        assert {table: double.rows(place.number, table) for table in tables} == there
        linked = [row["Dataset"] for row in double.rows(place.number, "Dataset_Execution")]
        assert len(linked) == 2 and len(set(linked)) == 1


@pytest.mark.parametrize("change", ["a content", "a version", "another member", "deleted"])
def test_a_dataset_that_is_not_the_same_is_made(change: str, tmp_path: Path) -> None:
    with DerivaDouble() as double:
        place = Beginning(double, tmp_path, "head writer")
        planted = {row["RID"] for row in double.rows(place.number, "Dataset")}
        assert attempt(place, run_of_a_local_dataset, place.project()) is None
        made = [row for row in double.rows(place.number, "Dataset") if row["RID"] not in planted]
        clone = another_project(place, "other")
        if change == "a content":
            (clone.root / "local.csv").write_text("a,b\n1,3\n")
        else:
            curator = Server(double.url, place.number, double.credential())
            for row in made:
                if change == "deleted":
                    curator.update("deriva-ml:Dataset", [{"RID": row["RID"], "Deleted": True}])
                if change == "a version":
                    curator.update("deriva-ml:Dataset_Version", [{"RID": row["Version"], "Version": "9.0.0"}])
                if change == "another member":
                    names = {one["Filename"]: one["RID"] for one in double.rows(place.number, "File")}
                    file = names["train.npz"]
                    curator.insert(
                        "deriva-ml:Dataset_File", [{"Dataset": row["RID"], "File": file}], given=()
                    )
                    snapshot = [{"RID": row["Version"], "Snapshot": curator.snaptime()}]
                    curator.update("deriva-ml:Dataset_Version", snapshot)
        assert attempt(place, run_of_a_local_dataset, clone) is None
        assert ended(clone) == ["Uploaded"] * 2
        assert len(double.rows(place.number, "Dataset")) == len(planted) + 2 * len(made) == len(planted) + 4


def another_project(place: Beginning, user: str) -> Project:
    """A project of somebody else; what is in the catalog stays."""
    root = place._folder / f"of {user}"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "local.csv").write_text("a,b\n1,2\n")
    place.log_in(project := Project(root), user)
    return project


@pytest.mark.parametrize("place", ["head writer"], indirect=True)
@pytest.mark.parametrize(("length", "asked"), [(1 << 16, 0), ((1 << 16) + 1, 1)])
def test_a_large_content_that_another_has_sent_is_not_sent_again(
    place: Beginning, length: int, asked: int
) -> None:
    """A small one is sent, and refused as being there: that costs one request, as asking would."""

    def run(beginning: Beginning, catalog: Any) -> None:
        execution = catalog.add_execution(Workflow("Large", checksum="1"), "", Owner.of())
        recorded_run.write(catalog, execution, "Execution_Asset", "large.bin", bytes(length), ["Output_File"])
        catalog.commit(execution)
        catalog.update_execution(execution, Status.uploaded, "")
        catalog.send(execution)

    assert attempt(place, run, place.project()) is None
    clone = another_project(place, "other")
    place.double.log.clear()
    assert attempt(place, run, clone) is None
    assert ended(clone) == ["Uploaded"]
    sent = [one.status for one in place.double.log if one.is_object_put]
    assert sent == ([] if asked else [412])
    assert sum(one.received for one in place.double.log if one.is_object_put) == (0 if asked else length)


# The model


@pytest.mark.parametrize("place", ["head writer", "1.17.10 writer"], indirect=True)
def test_the_model_is_read_once_and_kept_by_its_etag(place: Beginning) -> None:
    project = place.project()
    for status in (200, 304, 304):
        place.double.log.clear()
        assert attempt(place, whole_run, project) is None
        assert [one.status for one in place.double.log if one.path.endswith(f"{place.number}/schema")] == [
            status
        ]
    place.log_in(project, "admin")  # who has other rights
    place.double.log.clear()
    with place.opened(project) as catalog:
        assert catalog.model.may("Execution", "owner") is True
    assert [one.status for one in place.double.log] == [200]
    kept = offline_cache(project, place.double.url, place.number)
    assert "etag" in (kept.schema() or {})


# The end of a run


@pytest.mark.parametrize("place", ["head writer"], indirect=True)
def test_what_a_run_ends_with_is_sent_though_the_server_was_away_a_moment_ago(
    place: Beginning, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place.project()
    place.double.faults.on(Fault.DOWN, "POST", "deriva-ml:Execution_Asset?")

    def run(beginning: Beginning, catalog: Any) -> None:
        execution = catalog.add_execution(Workflow("Away", checksum="1"), "", Owner.of())
        recorded_run.write(catalog, execution, "Execution_Asset", "a.bin", b"1", ["Output_File"])
        catalog.send(execution, catalog.commit(execution)[0])
        assert not beginning.double.running
        beginning.double.start()
        catalog.update_execution(execution, Status.uploaded, "")
        catalog.send(execution)

    assert attempt(place, run, project) is None
    assert ended(project) == ["Uploaded"]
