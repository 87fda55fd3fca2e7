"""A dataset comes to a catalog with its versions, each once and with a snapshot of just its members, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from deriva_double import Fault
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, DatasetState, Member, Status, Workflow
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.file_lock import file_lock
from deriva_ml.process import Owner
from deriva_ml.project import Project
from recorded_run import EVERY, Beginning, begun, ended, told
from recorder import Recorder

THIN = 1 if EVERY == 1 else 6
"""Of the requests that a sweep tries, one in so many: these runs take long."""

VERSIONS = {
    "outer 1.0.0": ["one", "two"],
    "outer 1.1.0": ["one"],
    "outer 1.2.0": ["one", "three", "two"],
    "inner 1.0.0": ["two"],
    "inner 1.1.0": ["three"],
}
"""The names of the files in each version."""


def made(local: EmbeddedCatalog) -> RID:
    """A dataset with three versions and another one in it, each change of which is an execution."""

    def execution(number: int) -> RID:
        workflow = Workflow("deriva-ml-dataset", "Dataset_Management", url=f"git:{number}", checksum="da7a")
        rid = local.add_execution(workflow, f"change {number}", Owner.of())
        local.update_execution(rid, Status.uploaded, "")
        return rid

    files = {}
    for name in ("one", "two", "three"):
        (local.project.root / name).write_text(name)
        files[name] = Member(f"deep/{name}", local.add_file(local.project.root / name).rid)
    inner = local.add_dataset("inner", [files["two"]], ["Inner type"], "1.0.0", execution(1))
    first, two = local.dataset_versions(inner)[0], files["two"]
    outer = local.add_dataset(
        "outer",
        [files["one"], two, Member("inner", nested=first.rid)],
        ["Outer type"],
        "1.0.0",
        execution(2),
    )
    local.change_dataset(inner, [files["three"]], [two.path], execution=execution(3))
    local.release_dataset(inner, execution=execution(4))
    second = local.dataset_versions(inner)[0]
    local.change_dataset(outer, remove=[two.path], execution=execution(5))
    local.release_dataset(outer, execution=execution(6))
    again = [two, files["three"], Member("inner", nested=second.rid)]
    local.change_dataset(outer, again, execution=execution(7))
    local.release_dataset(outer, execution=execution(8))
    return outer


def run_of_versions(beginning: Beginning, catalog: Recorder) -> None:
    """A run that reads the last version of a dataset of the project itself."""
    read(catalog, catalog.local.dataset_versions(made(catalog.local))[0])


def read(catalog: Recorder, state: DatasetState) -> None:
    workflow = Workflow("Training", "New kind", url="https://example.org/b.py", checksum="decaf")
    execution = catalog.add_execution(workflow, "reads", Owner.of())
    found = catalog.find_dataset_by_digest(state.digest, state.version)
    catalog.link_dataset(execution, catalog.lookup_dataset(*found))
    catalog.update_execution(execution, Status.uploaded, "")
    catalog.send(execution)


def shown(beginning: Beginning) -> dict[str, list[str]]:
    """The names of the files that the snapshots of versions show; the ones that were there before are left out."""
    double, number, found = beginning.double, beginning.number, {}
    names = {row["RID"]: row["Description"] for row in double.rows(number, "Dataset")}
    files = {row["RID"]: row["Filename"] for row in double.rows(number, "File")}
    with closing(Server(double.url, number, double.credential())) as server:
        for row in double.rows(number, "Dataset_Version"):
            if row["Execution"]:
                members = server.find("Dataset_File", {"Dataset": row["Dataset"]}, snapshot=row["Snapshot"])
                name = f"{names[row['Dataset']]} {row['Version']}"
                found[name] = sorted(files[one["File"]] for one in members)
    return found


@pytest.fixture(scope="module", params=["head writer", "1.17.10 writer"])
def beginning(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beginning]:
    """Before the run; of these writers one leases RIDs, and the other may not."""
    with begun(request.param, tmp_path_factory.mktemp("projects"), run_of_versions) as started:
        assert shown(started) == VERSIONS
        yield started


def wrong(beginning: Beginning, project: Project) -> str:
    """What is not as after an undisturbed run; empty if all is."""
    said = beginning.wrong(project)
    return said or ("" if shown(beginning) == VERSIONS else f"snapshots show {shown(beginning)}")


def test_no_lost_answer_makes_a_version_twice_or_shows_it_otherwise(beginning: Beginning) -> None:
    found = {}
    for number in range(2, beginning.requests + 1, THIN * EVERY):
        project = beginning.project()
        beginning.double.faults.at(number, Fault.RESET_AFTER)
        with beginning.opened(project) as catalog:
            run_of_versions(beginning, catalog)
        assert any(one.fault for one in beginning.double.log), f"there was no request {number}"
        if said := wrong(beginning, project):
            found[number] = said
    assert not found, told(found)


class Killed(BaseException):
    """The process ends here."""


def test_a_push_of_versions_that_is_killed_after_any_request_is_gone_on_with(
    beginning: Beginning, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    sent = requests.Session.send
    for number in range(beginning.requests - 1, 10, -THIN * EVERY):  # the first are the run's own beginning
        project = beginning.project()

        def send(session: Any, request: Any, number: int = number, **options: Any) -> Any:
            answer = sent(session, request, **options)
            if len(beginning.double.log) >= number:
                raise Killed
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(requests.Session, "send", send)
            with pytest.raises(Killed), beginning.opened(project) as catalog:
                run_of_versions(beginning, catalog)
        beginning.resume(project)
        if said := wrong(beginning, project):
            found[number] = said
    assert not found, told(found)


def test_runs_at_the_same_time_send_a_dataset_once_and_its_versions_apart(beginning: Beginning) -> None:
    project = beginning.project()
    with closing(EmbeddedCatalog(project)) as local:
        states = {one.version: one for one in local.dataset_versions(made(local))}

    def run(version: str) -> None:
        with beginning.opened(project) as catalog:
            read(catalog, states[version])

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, ("1.2.0", "1.0.0", "1.1.0")))
    assert set(ended(project)) == {"Uploaded"}
    assert shown(beginning) == VERSIONS
    names = [row["Description"] for row in beginning.double.rows(beginning.number, "Dataset")]
    assert sorted(names) == ["data", "inner", "inner", "outer"], "the first two were there before"
    made_by = [row["Description"] for row in beginning.double.rows(beginning.number, "Execution")]
    changes = sorted(name for name in made_by if name.startswith("change"))
    assert changes == [f"change {number}" for number in (1, 2, 4, 6, 8)], "those that made the versions"


def test_a_lock_that_is_not_let_go_is_told_in_one_line(tmp_path: Path) -> None:
    with file_lock(tmp_path / "push.lock"), pytest.raises(DerivaMLException, match=r"has held push\.lock"):
        with file_lock(tmp_path / "push.lock", seconds=0.01):
            pass


def test_who_may_not_remove_members_sends_versions_all_the_same(
    beginning: Beginning, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snapshot shows what was in the dataset before, too; the manifest, and who reads it, do not."""

    def delete(*_: Any) -> None:
        raise ServerRefused("delete access on :deriva-ml:Dataset_File", 403)

    monkeypatch.setattr(Server, "delete", delete)
    project = beginning.project()
    with beginning.opened(project) as catalog:
        run_of_versions(beginning, catalog)
        assert "keeps 1 members that are not in the version that is sent" in capsys.readouterr().err
        local = catalog.local
        [outer] = [one for one in local.find_datasets() if one.description == "outer"]
        state = next(one for one in local.dataset_versions(outer.rid) if one.version == "1.1.0")
        found = catalog.lookup_dataset(*catalog.find_dataset_by_digest(state.digest, "1.1.0"))
    assert shown(beginning)["outer 1.1.0"] == ["one", "two"]
    assert [row["Path"] for row in found.members["File"]] == ["deep/one"]
    assert [(one.folder, one.version) for one in found.nested] == [("inner", "1.0.0")]
