"""What the embedded catalog promises: whole writes, one row per content, safe parallel runs, clear refusals."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml.catalog import database
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.tables import VERSION
from deriva_ml.definitions import RID, AssetRole, StagedAsset, Status, Workflow, format_duration
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project

WORKFLOW = Workflow(
    "Analysis", ["Analysis Notebook"], url="git:abc:notebooks/a.ipynb", checksum="c1", version="0.1.0"
)


@pytest.fixture
def catalog(tmp_path: Path) -> EmbeddedCatalog:
    """An empty catalog in a project of its own."""
    (tmp_path / "pyproject.toml").touch()
    return EmbeddedCatalog(Project(tmp_path))


def an_execution(catalog: EmbeddedCatalog) -> RID:
    return catalog.add_execution(WORKFLOW, "a run", Owner.of())


def stage(catalog: EmbeddedCatalog, execution: RID, name: str, content: bytes | None) -> Path:
    staged = catalog.stage(
        execution, "Execution_Asset", name, catalog.project.executions / execution, ["Output_File"]
    )
    if content is not None:
        staged.path.write_bytes(content)
    return staged.path


def test_rids_are_written_as_ermrest_writes_them() -> None:
    """Base 32 without I, L, O, U, in groups of four: no demo RID can ever be minted."""
    assert [database.encode(n) for n in (0, 31, 32, 32**4 - 1, 32**4, 32**5)] == [
        "0",
        "Z",
        "10",
        "ZZZZ",
        "1-0000",
        "10-0000",
    ]


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_different_numbers_make_different_rids(one: int, other: int) -> None:
    assert (database.encode(one) == database.encode(other)) == (one == other)
    assert not set(database.encode(one)) & set("ILOU")


def test_what_was_recorded_is_there_when_the_catalog_is_opened_again(catalog: EmbeddedCatalog) -> None:
    execution = an_execution(catalog)
    stage(catalog, execution, "table.csv", b"a,b\n1,2\n")
    [asset], missing = catalog.commit(execution)
    catalog.update_execution(execution, Status.uploaded, "", Execution_Duration="0H 0min 1.0sec")
    catalog.close()

    again = EmbeddedCatalog(catalog.project)
    record = again.lookup_execution(execution)
    assert (record.status, record.execution_duration, record.workflow.checksum) == (
        "Uploaded",
        "0H 0min 1.0sec",
        "c1",
    )
    assert missing == []
    assert again.assets_of(execution) == [
        type(asset)(**{**vars(asset), "role": AssetRole.output}),
    ]
    assert Path(again.locate(asset)).read_bytes() == b"a,b\n1,2\n"
    assert asset.url == f"/hatrac/Execution_Asset/{asset.md5}.table.csv"


def test_a_workflow_is_recorded_once(catalog: EmbeddedCatalog) -> None:
    def workflow_of(workflow: Workflow) -> str | None:
        return catalog.lookup_execution(catalog.add_execution(workflow, "", Owner.of())).workflow.rid

    assert workflow_of(WORKFLOW) == workflow_of(WORKFLOW)
    other = Workflow("Analysis", ["Analysis Notebook"], url=WORKFLOW.url, checksum="c2")
    assert workflow_of(other) != workflow_of(WORKFLOW)


def test_same_content_and_name_is_one_asset_linked_to_each_execution(catalog: EmbeddedCatalog) -> None:
    first, second = an_execution(catalog), an_execution(catalog)
    for execution in (first, second):
        stage(catalog, execution, "lock.txt", b"same")
        catalog.commit(execution)
    [one], [other] = catalog.assets_of(first), catalog.assets_of(second)
    assert one.rid == other.rid
    stage(catalog, second, "other-name.txt", b"same")
    [renamed], _ = catalog.commit(second)
    assert renamed.rid != one.rid and renamed.md5 == one.md5


def test_two_assets_of_one_name_are_both_kept(catalog: EmbeddedCatalog) -> None:
    execution = an_execution(catalog)
    for content in (b"one", b"two"):
        stage(catalog, execution, "plot.png", content)
    catalog.commit(execution)
    contents = {Path(catalog.locate(asset)).read_bytes() for asset in catalog.assets_of(execution)}
    assert contents == {b"one", b"two"}


def test_a_file_that_was_never_written_does_not_cost_the_others(catalog: EmbeddedCatalog) -> None:
    execution = an_execution(catalog)
    stage(catalog, execution, "there.txt", b"x")
    stage(catalog, execution, "never.txt", None)
    recorded, missing = catalog.commit(execution)
    assert [asset.filename for asset in recorded] == ["there.txt"]
    assert [item.filename for item in missing] == ["never.txt"]
    assert [item.filename for item in catalog.staged(execution)] == ["never.txt"], "it can still be written"
    catalog.unstage(execution)
    assert catalog.staged(execution) == []


def test_files_that_are_recorded_at_once_are_not_compared_with_each_other(
    catalog: EmbeddedCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would take minutes where a run writes tens of thousands of them."""
    execution = an_execution(catalog)
    for number in range(20):
        stage(catalog, execution, f"{number}.txt", b"x" if number else None)
    compared = []
    monkeypatch.setattr(StagedAsset, "__eq__", lambda one, other: bool(compared.append(one)) or one is other)
    recorded, missing = catalog.commit(execution)
    assert (len(recorded), [item.filename for item in missing]) == (19, ["0.txt"])
    assert len(compared) <= 20


def test_a_recorded_content_cannot_be_changed_through_the_path_it_was_written_to(
    catalog: EmbeddedCatalog,
) -> None:
    execution = an_execution(catalog)
    path = stage(catalog, execution, "log.txt", b"before")
    [asset], _ = catalog.commit(execution)
    path.write_bytes(b"after")
    assert Path(catalog.locate(asset)).read_bytes() == b"before"


def test_fetched_files_are_read_only_copies_and_verified(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    execution = an_execution(catalog)
    stage(catalog, execution, "data.bin", b"\x00\x01")
    [asset], _ = catalog.commit(execution)
    catalog.fetch(asset, tmp_path / "in" / "data.bin")
    assert (tmp_path / "in" / "data.bin").read_bytes() == b"\x00\x01"
    assert not os.stat(tmp_path / "in" / "data.bin").st_mode & 0o222

    damaged = Path(catalog.locate(asset))
    damaged.chmod(0o644)
    damaged.write_bytes(b"\x00\x02")
    with pytest.raises(DerivaMLException, match="data.bin has changed since it was recorded"):
        catalog.fetch(asset, tmp_path / "again" / "data.bin")
    assert list((tmp_path / "again").iterdir()) == []
    damaged.unlink()
    with pytest.raises(DerivaMLException, match="content of data.bin .* is missing"):
        catalog.fetch(asset, tmp_path / "again" / "data.bin")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_an_asset_of_a_gigabyte_takes_no_memory_to_speak_of(catalog: EmbeddedCatalog) -> None:
    """Measured in a process of its own; the file is sparse, which hashing does not notice."""
    execution = an_execution(catalog)
    with stage(catalog, execution, "big.bin", b"").open("wb") as stream:
        stream.truncate(1 << 30)
    catalog.close()
    script = (
        "import re, sys; from pathlib import Path; from deriva_ml.project import Project\n"
        "from deriva_ml.catalog.embedded import EmbeddedCatalog\n"
        "recorded, _ = EmbeddedCatalog(Project(Path(sys.argv[1]))).commit(sys.argv[2])\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "print(recorded[0].length, peak)"
    )
    source = Path(database.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(catalog.project.root), execution],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    length, kilobytes = map(int, done.stdout.split())
    assert length == 1 << 30
    assert kilobytes < 150_000, done.stderr


def _work(root: str, number: int) -> str:
    catalog = EmbeddedCatalog(Project(Path(root)))
    execution = an_execution(catalog)
    for name in ("own", "shared"):
        stage(catalog, execution, f"{name}.txt", b"shared" if name == "shared" else str(number).encode())
    catalog.commit(execution)
    catalog.update_execution(execution, Status.uploaded)
    return execution


def test_parallel_runs_of_one_project_lose_nothing(catalog: EmbeddedCatalog) -> None:
    catalog.close()
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        executions = [*pool.map(_work, [str(catalog.project.root)] * 12, range(12))]
    again = EmbeddedCatalog(catalog.project)
    assert len(set(executions)) == 12
    assert {record.rid for record in again.select_executions(Criteria())} == set(executions)
    own = {
        Path(again.locate(a)).read_bytes()
        for e in executions
        for a in again.assets_of(e)
        if a.filename == "own.txt"
    }
    assert own == {str(number).encode() for number in range(12)}
    shared = {a.rid for e in executions for a in again.assets_of(e) if a.filename == "shared.txt"}
    assert len(shared) == 1


def test_several_processes_may_make_the_catalog_at_once(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        executions = [*pool.map(_work, [str(tmp_path)] * 4, range(4))]
    assert len(EmbeddedCatalog(Project(tmp_path)).select_executions(Criteria())) == len(set(executions)) == 4


def test_a_write_that_fails_midway_leaves_nothing(catalog: EmbeddedCatalog) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalog.add_execution(Workflow("Analysis", checksum="c"), None, Owner(None, 1, 1.0))  # type: ignore[arg-type]
    assert catalog.select_executions(Criteria()) == []
    assert catalog.open_executions() == []


def test_newest_executions_come_first_and_can_be_limited_or_filtered(catalog: EmbeddedCatalog) -> None:
    executions = [an_execution(catalog) for _ in range(5)]
    catalog.update_execution(executions[2], Status.failed, "why")
    assert [record.rid for record in catalog.select_executions(Criteria())] == executions[::-1]
    assert [record.rid for record in catalog.select_executions(Criteria(), limit=2)] == executions[:2:-1]
    [failed] = catalog.select_executions(Criteria(status=Status.failed))
    assert (failed.rid, failed.status_detail) == (executions[2], "why")


@pytest.mark.parametrize("written", ["here", "by the first version"])
def test_what_is_open_is_found_without_reading_what_has_ended(catalog: EmbeddedCatalog, written: str) -> None:
    """Every command asks for it: what it costs does not grow with what was ever run; counted in SQLite's own steps."""
    if written != "here":
        catalog.close()
        old = Path(__file__).parent / "data" / "embedded" / "catalog-v1.db.gz"
        catalog.project.database.write_bytes(gzip.decompress(old.read_bytes()))
        catalog = EmbeddedCatalog(catalog.project)
    running, ended = an_execution(catalog), an_execution(catalog)
    stage(catalog, ended, "late.txt", b"late")
    catalog.update_execution(ended, Status.failed)
    with catalog.transaction():
        for _ in range(1000):
            catalog.update_execution(an_execution(catalog), Status.stopped)
        catalog._db.query('UPDATE "Execution" SET "Status" = ? WHERE "Status" = ?', "Uploaded", "Stopped")
    catalog.close()
    catalog = EmbeddedCatalog(catalog.project, read_only=True)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    catalog._db._connection.set_progress_handler(count, 1)
    assert {rid for rid, _, _ in catalog.open_executions()} == {running, ended}
    assert steps < 2000  # reading the thousand that ended takes more than ten thousand


def test_datasets_have_versions_and_members(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1")
    file = catalog.add_file(tmp_path / "x.csv", "numbers", ["File"])
    inner = catalog.add_dataset("inner", [file.rid], version="1.0.0")
    outer = catalog.add_dataset("outer", [], ["Training"], "2.0.0", nested=[inner])
    found = catalog.lookup_dataset(outer)
    assert (found.version, found.types) == ("2.0.0", ("Training",))
    [child] = found.nested
    assert (child.rid, child.version, child.description) == (inner, "1.0.0", "inner")
    assert [row["RID"] for row in child.members["File"]] == [file.rid]
    assert [row["RID"] for row in catalog.lookup_dataset(inner, "1.0.0").members["File"]] == [file.rid]
    with pytest.raises(DerivaMLRequestError, match=r"no version 3\.0\.0; it has 2\.0\.0"):
        catalog.lookup_dataset(outer, "3.0.0")


def test_a_dataset_that_contains_itself_is_refused_in_one_line(catalog: EmbeddedCatalog) -> None:
    one = catalog.add_dataset("one", [])
    two = catalog.add_dataset("two", [], nested=[one])
    connection = sqlite3.connect(catalog.project.database)
    connection.execute(
        'UPDATE "local_member" SET "nested" = (SELECT "Version" FROM "Dataset" WHERE "RID" = ?)', (two,)
    )
    connection.commit()
    connection.close()
    with pytest.raises(
        DerivaMLRequestError, match=f"^dataset {two} cannot be read, since {two} in it contains itself$"
    ):
        catalog.lookup_dataset(two)


@pytest.mark.parametrize("lookup", ["lookup_asset", "lookup_dataset", "lookup_execution"])
def test_an_rid_that_is_not_there_is_refused_in_words(catalog: EmbeddedCatalog, lookup: str) -> None:
    with pytest.raises(DerivaMLRequestError, match="there is no .* 9-ZZZZ in this project's catalog"):
        getattr(catalog, lookup)("9-ZZZZ")


def test_an_rid_of_something_else_is_refused_saying_what_it_is(catalog: EmbeddedCatalog) -> None:
    dataset = catalog.add_dataset("data", [])
    with pytest.raises(
        DerivaMLRequestError, match=f"{dataset} names no asset: in the catalog it is of kind dataset"
    ):
        catalog.lookup_asset(dataset)


def test_only_one_of_two_commands_takes_an_orphan_over(catalog: EmbeddedCatalog) -> None:
    gone = Owner("here", 1, 0.0)
    execution = catalog.add_execution(WORKFLOW, "", gone)
    assert not catalog.claim(execution, replace(gone, lock="another"), Owner.of())
    assert catalog.claim(execution, gone, Owner.of())
    assert not catalog.claim(execution, gone, Owner.of())


def test_a_catalog_of_a_newer_runner_is_refused_in_one_line(catalog: EmbeddedCatalog) -> None:
    catalog.close()
    connection = sqlite3.connect(catalog.project.database)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(DerivaMLException, match="written by a newer runner .* copier update"):
        EmbeddedCatalog(catalog.project)


def test_a_file_that_is_no_catalog_is_refused_in_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.state.mkdir()
    project.database.write_bytes(b"this is no database" * 100)
    with pytest.raises(DerivaMLException, match="cannot be used as a catalog"):
        EmbeddedCatalog(project)


COLUMNS = {
    "Workflow": "Name Description URL Checksum Version",
    "Execution": "Workflow Description Execution_Duration Download_Duration Upload_Duration Status Status_Detail",
    "Execution_Execution": "Execution Nested_Execution Sequence",
    "Execution_Asset": "URL Filename Description Length MD5",
    "Execution_Asset_Asset_Type": "Execution_Asset Asset_Type",
    "Execution_Asset_Execution": "Execution_Asset Execution Asset_Role",
    "Execution_Metadata": "URL Filename Description Length MD5",
    "File": "URL Filename Description Length MD5",
    "Dataset": "Description Deleted Version",
    "Dataset_Version": "Version Description Dataset Execution Snapshot",
    "Dataset_Execution": "Dataset Execution Dataset_Version",
    "Asset_Type": "ID URI Name Description Synonyms",
}
"""Of tables in the deriva-ml schema of 2026; the embedded catalog has no MINIDs."""


@pytest.mark.parametrize("table", COLUMNS)
def test_tables_have_the_column_names_of_the_deriva_ml_schema(catalog: EmbeddedCatalog, table: str) -> None:
    connection = sqlite3.connect(catalog.project.database)
    here = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
    assert here == ["RID", "RCT", "RMT", "RCB", "RMB", *COLUMNS[table].split()]


def test_md5_is_of_the_content(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert catalog.add_file(tmp_path / "a.bin").md5 == hashlib.md5(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0H 0min 0sec"),
        (3.214, "0H 0min 3.21sec"),
        (59.996, "0H 1min 0.0sec"),
        (3599.999, "1H 0min 0.0sec"),
    ],
)
def test_no_duration_has_a_minute_of_sixty_seconds(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
