"""A push that a failing server, an expired login or a kill interrupts anywhere can be gone on with, and nothing doubles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import recorded_run
from deriva_double import DerivaDouble, Fault
from deriva_double.http import Request
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Workflow
from deriva_ml.deriva import push
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project
from recorded_run import (
    EVERY,
    KINDS,
    Beginning,
    Run,
    ended,
    run_of_a_local_dataset,
    told,
    whole_run,
)
from recorder import connect

Check = Callable[[Project, DerivaMLException | None], object]


def sweep(
    beginning: Beginning,
    run: Run,
    faults: dict[int, Fault],
    mended: Callable[[Project], object],
    check: Check,
    step: int = 1,
) -> dict[int, str]:
    """What is wrong in the end where a run met faults from a request on, by the request's number.

    Args:
        faults: by how many requests later.
        mended: does away with the cause.
        check: called after the run, with what it was refused with, if it was.
        step: every how many requests this is tried, of those that are tried at all.
    """
    wrong = {}
    later = len(faults) * EVERY // 2
    tried = range(1, beginning.requests + 1, step * EVERY) if step > 1 else beginning.tried(later)
    assert tried
    for number in tried:
        project = beginning.project()
        before = beginning.executions()
        for later, fault in faults.items():
            beginning.double.faults.at(number + later, fault)
        refused = attempt(beginning, run, project)
        met = [one for one in beginning.double.log if one.fault]
        check(project, refused)
        mended(project)
        beginning.double.faults.clear()
        if refused is None:
            assert any(status.startswith("waits") for status in ended(project)) or len(faults) > 1
            beginning.resume(project)
        else:
            assert beginning.executions() == before and ended(project) == []
            again = attempt(beginning, run, project)
            assert again is None, again
        if said := beginning.wrong(project):
            wrong[number] = f"{met[0].method} {met[0].path}?{met[0].query} {refused}\n{said}"
    return wrong


def attempt(beginning: Beginning, run: Run, project: Project) -> DerivaMLException | None:
    """Run; what it was refused with, if it was."""
    try:
        with beginning.opened(project) as catalog:
            run(beginning, catalog)
    except DerivaMLException as error:
        return error
    return None


# The server goes down, and comes back

DOWN = {"down": {0: Fault.DOWN}, "down, and the last answer lost": {0: Fault.RESET_AFTER, 1: Fault.DOWN}}


def goes_down(beginning: Beginning, run: Run, faults: dict[int, Fault]) -> dict[int, str]:
    def check(project: Project, refused: DerivaMLException | None) -> None:
        assert not beginning.double.running or len(faults) > 1

    def mended(project: Project) -> None:
        if not beginning.double.running:
            beginning.double.start()

    return sweep(beginning, run, faults, mended, check)


@pytest.mark.parametrize("faults", DOWN.values(), ids=DOWN)
def test_a_push_goes_on_where_the_server_went_down(beginning: Beginning, faults: dict[int, Fault]) -> None:
    wrong = goes_down(beginning, whole_run, faults)
    assert not wrong, told(wrong)


def test_a_dataset_is_sent_once_though_the_server_went_down(with_dataset: Beginning) -> None:
    wrong = goes_down(with_dataset, run_of_a_local_dataset, {0: Fault.RESET_AFTER, 1: Fault.DOWN})
    assert not wrong, told(wrong)


# The login expires


def test_an_expired_login_is_told_at_once_and_the_push_goes_on_after_a_new_one(
    beginning: Beginning, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(project: Project, refused: DerivaMLException | None) -> None:
        said = str(refused) if refused else capsys.readouterr().err
        assert f"uv run deriva-globus-auth-utils login --host {beginning.double.host}" in said
        assert said.strip().count("\n") == 0
        refusals = (401, 404, 409)  # of rows and objects, of the session, of a lease
        asked = [(one.method, one.path) for one in beginning.double.log if one.status in refusals]
        assert asked and max(asked.count(one) for one in asked) <= 2, "once by each of what the run sends"

    wrong = sweep(beginning, whole_run, {0: Fault.EXPIRED}, beginning.log_in, check)
    assert not wrong, told(wrong)


# The server is slow


@pytest.mark.parametrize("beginning", KINDS, indirect=True)
def test_an_answer_that_comes_too_late_costs_nothing(
    beginning: Beginning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked took effect; it is asked again."""
    hasty = RetryPolicy(pause=0.001, read=0.3)
    monkeypatch.setattr(Server.__init__, "__defaults__", (None, hasty))
    monkeypatch.setattr(push, "LIVE", hasty)
    for number in beginning.tried(every=6)[::-1]:
        project = beginning.project()
        met: list[str] = []

        def meets(position: int, request: Request, number: int = number, met: list[str] = met) -> bool:
            met += [request.target] if position == number else []
            return position == number

        beginning.double.faults.add(Fault.SLOW, meets, delay=0.8)
        assert attempt(beginning, whole_run, project) is None
        assert met
        assert beginning.difference() == ""
        assert ended(project) == ["Uploaded"]


# The process is killed


@pytest.mark.parametrize("beginning", KINDS, indirect=True)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/hatrac/Execution_Metadata/"),
        ("PUT", ";upload/"),
        ("POST", ";upload/"),
        ("POST", "deriva-ml:Execution_Asset?"),
        ("POST", "deriva-ml:Execution_Asset_Execution?"),
    ],
)
def test_a_killed_push_is_gone_on_with(beginning: Beginning, method: str, path: str) -> None:
    """It is killed while the server does what it was asked last."""
    project = beginning.project()
    begun, killed = threading.Event(), threading.Event()

    def meets(position: int, request: Request) -> bool:
        if request.method != method or path not in request.target:
            return False
        if "deriva-ml:Execution_Asset_Execution" in path and not sent(beginning, "PUT", "/hatrac/"):
            return False  # it is an input that is linked
        begun.set()
        killed.wait(30)
        return True

    beginning.double.faults.add(Fault.SLOW, meets, delay=0)
    process = beginning.process(project)
    try:
        while not begun.wait(0.1):
            assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.kill()
        process.wait()
        killed.set()
    assert ended(project) == ["waits as Pending_Upload"]
    before = {one.path for one in beginning.double.log if one.method == "PUT" and one.status == 201}
    beginning.double.log.clear()
    beginning.resume(project)
    assert beginning.difference() == ""
    assert ended(project) == ["Uploaded"]
    again = {one.path for one in beginning.double.log if one.method == "PUT" and one.status == 201}
    assert not before & again, "what had been sent was not sent again"


def sent(beginning: Beginning, method: str, path: str) -> bool:
    return beginning.double.log.count(method, path) > 0


# Several at once


def at_once(works: list[Callable[[], None]]) -> None:
    """Do these in threads."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@pytest.mark.parametrize("beginning", KINDS, indirect=True)
@pytest.mark.parametrize("refusing", [False, True], ids=["", "a server that refuses writers who meet"])
def test_projects_that_send_the_same_at_once_lose_nothing(
    beginning: Beginning, monkeypatch: pytest.MonkeyPatch, refusing: bool
) -> None:
    """Hatrac may take in a content twice if two put it in the same moment; there is a row for each, and no more."""
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.02")
    double, number = beginning.double, beginning.number
    projects = [beginning.project() for _ in range(3)]
    double.catalog(number).refuse_concurrent_writes = refusing
    try:
        at_once([lambda project=project: run_in(beginning, project) for project in projects])  # type: ignore[misc]
    finally:
        double.catalog(number).refuse_concurrent_writes = False
    for project in projects:
        if ended(project) != ["Uploaded"]:  # it gave up, and said so
            beginning.resume(project)
        assert ended(project) == ["Uploaded"]
    versions = {url: int(what.split()[-1]) for url, what in recorded_run.objects(double).items()}
    for table, count in (("Execution_Asset", 3), ("Execution_Metadata", 1), ("File", 1)):
        rows = made_by_runs(beginning, table)
        urls = [row["URL"].rpartition(":")[0] for row in rows]
        assert all(urls.count(url) <= versions[url] for url in urls)
        assert len({row["URL"] for row in rows}) == len(rows)
        linked = links(beginning, table)
        assert [len(rids) for rids in linked.values()] == [count] * len(projects)


@pytest.mark.parametrize("beginning", KINDS, indirect=True)
def test_a_content_that_another_project_recorded_meanwhile_is_shared(beginning: Beginning) -> None:
    """The first had sent its contents, and not yet their rows, when the server went down."""
    first, second = beginning.project(), beginning.project()
    beginning.double.faults.on(Fault.DOWN, "POST", "deriva-ml:Execution_Asset?")
    run_in(beginning, first)
    beginning.double.start()
    run_in(beginning, second)
    beginning.resume(first)
    assert ended(first) == ended(second) == ["Uploaded"]
    for table in ("Execution_Asset", "Execution_Metadata", "File"):
        rows = made_by_runs(beginning, table)
        assert len({row["MD5"] for row in rows}) == len(rows)
        one, other = links(beginning, table).values()
        assert one == other and one <= {row["RID"] for row in rows}


def made_by_runs(beginning: Beginning, table: str) -> list[dict[str, str]]:
    """The rows of assets that executions of this module's runs read or made."""
    rids = {rid for linked in links(beginning, table).values() for rid in linked}
    return [row for row in beginning.double.rows(beginning.number, table) if row["RID"] in rids]


def links(beginning: Beginning, table: str) -> dict[str, set[str]]:
    """The assets by the execution."""
    found: dict[str, set[str]] = {}
    for link in beginning.double.rows(beginning.number, f"{table}_Execution"):
        found.setdefault(link["Execution"], set()).add(link[table])
    return found


def run_in(beginning: Beginning, project: Project) -> None:
    with beginning.opened(project) as catalog:
        whole_run(beginning, catalog)


# Terms that may not be added


def close_vocabulary(beginning: Beginning, vocabulary: str) -> None:
    """Let nobody but the owner add terms, until the next beginning."""
    with closing(Server(beginning.double.url, beginning.number, beginning.double.credential())) as owner:
        path = f"/ermrest/catalog/{beginning.number}/schema/deriva-ml/table/{vocabulary}/acl/insert"
        owner.request("put", path, json=["admin"])


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Beginning]:
    """A catalog whose owner is somebody else."""
    with DerivaDouble() as double:
        yield Beginning(double, tmp_path, "head writer")


def test_a_type_that_may_not_be_added_is_named_and_the_record_waits_for_it(
    writing: Beginning, capsys: pytest.CaptureFixture[str]
) -> None:
    writing.expect(whole_run)
    project = writing.project()
    close_vocabulary(writing, "Asset_Type")
    assert attempt(writing, whole_run, project) is None
    said = capsys.readouterr().err
    assert (
        f"the vocabulary Asset_Type on {writing.double.url} lacks New type, and you may not add to it" in said
    )
    assert said.count("\n") == 1
    assert ended(project) == ["waits as Pending_Upload"]
    with pytest.raises(DerivaMLException, match="lacks New type"):
        writing.resume(project)
    with closing(Server(writing.double.url, writing.number, writing.double.credential())) as owner:
        term = {"Name": "New type", "Description": "Used by a recorded execution"}
        owner.insert("deriva-ml:Asset_Type", [term], given=(), generated=("ID", "URI"))
    writing.resume(project)
    assert (writing.difference(), ended(project)) == ("", ["Uploaded"])


def test_a_run_whose_type_may_not_be_added_is_refused_before_it_begins(writing: Beginning) -> None:
    project = writing.project()
    before = writing.executions()
    close_vocabulary(writing, "Workflow_Type")
    refused = attempt(writing, whole_run, project)
    assert isinstance(refused, DerivaMLRequestError)
    assert "Workflow_Type" in str(refused) and "lacks New kind" in str(refused)
    assert "nothing has been run" in str(refused)
    assert writing.executions() == before
    with closing(EmbeddedCatalog(project)) as local:
        assert local.select_executions(Criteria()) == [] and local.journal.pending() == []


@pytest.mark.parametrize("user", ["admin", "writer"])
def test_another_projects_workflow_of_the_same_content_is_not_taken_for_ones_own(
    tmp_path: Path, user: str
) -> None:
    """Many projects begin with the same notebook; also where no RIDs can be leased."""
    with DerivaDouble() as double:
        number = double.create_catalog("1.17.10")
        found = [
            filed(double, number, user, tmp_path / str(clone), f"https://github.com/lab-{lab}/study/{PLACE}")
            for clone, lab in enumerate("aba")
        ]
        assert found[0] == found[2] != found[1], "each clone has a catalog of its own, and one commit"
        assert len(double.rows(number, "Workflow")) == 2


@pytest.mark.parametrize("user", ["admin", "writer"])
@pytest.mark.parametrize(
    "place",
    [
        "https://github.com/lab/study/blob/{}/notebooks/my-notebook.ipynb",
        "git:{}:notebooks/my-notebook.ipynb",
    ],
)
def test_a_run_is_filed_under_its_own_commit_also_if_its_file_did_not_change(
    tmp_path: Path, user: str, place: str
) -> None:
    """As when a version brings a change of a module that a notebook imports: its URL and version are the run's."""
    with DerivaDouble() as double:
        number = double.create_catalog("1.17.10")
        versions = {"1.1.0": "a" * 40, "1.2.0": "b" * 40}
        found = {
            version: filed(double, number, user, tmp_path / version, place.format(commit), version)
            for version, commit in versions.items()
        }
        again = filed(double, number, user, tmp_path / "clone", place.format("b" * 40), "1.2.0")
        assert again == found["1.2.0"] != found["1.1.0"]
        there = {row["RID"]: row for row in double.rows(number, "Workflow")}
        assert len(there) == 2
        for version, rid in found.items():
            assert (there[rid]["Version"], there[rid]["URL"]) == (version, place.format(versions[version]))


@pytest.mark.parametrize("user", ["admin", "writer"])
def test_another_content_or_name_at_one_place_is_another_workflow(tmp_path: Path, user: str) -> None:
    """A notebook that is in no commit has the URL that it would have, and the checksum of what ran."""
    with DerivaDouble() as double:
        number = double.create_catalog("1.17.10")
        url = f"https://github.com/lab/study/{PLACE}"
        told = [{}, {"checksum": "6" * 40}, {"name": "Other"}, {"version": "2.0.0"}]
        found = [filed(double, number, user, tmp_path / str(n), url, **each) for n, each in enumerate(told)]
        assert found[3] == found[0], "a version given to the same commit later makes no other workflow"
        assert len(set(found)) == 3


PLACE = f"blob/{'a' * 40}/notebooks/my-notebook.ipynb"


def filed(
    double: DerivaDouble,
    number: str,
    user: str,
    root: Path,
    url: str,
    version: str = "1.0.0",
    checksum: str = "5" * 40,
    name: str = "My Notebook",
) -> str:
    """The RID there of the workflow that a new project's run is filed under."""
    root.mkdir()
    (root / "pyproject.toml").touch()
    workflow = Workflow(name, "Analysis Notebook", url=url, checksum=checksum, version=version)
    config = DerivaMLConfig(double.url, number, double.credential(user))
    with closing(connect(config, Project(root))) as catalog:
        catalog.add_execution(workflow, "", Owner.of())
    assert workflow.rid
    return workflow.rid
