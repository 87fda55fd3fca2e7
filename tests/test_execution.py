"""An execution in a person's own Python: files registered in every way, statuses, failures, dry runs."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from deriva_ml import DerivaML, DerivaMLConfig, DerivaMLRequestError, DerivaMLRunError, MLAsset
from deriva_ml.asset import AssetFilePath, LocalFile
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.core import open_connection
from deriva_ml.dataset import DatasetSpec
from deriva_ml.definitions import DRY_RUN_RID, Asset, Status, Workflow
from deriva_ml.execution import Execution, ExecutionConfiguration
from deriva_ml.execution.closing import close_execution
from deriva_ml.execution.recovery import recover
from deriva_ml.execution.run_folder import NotebookRun
from deriva_ml.process import Owner, Terminated
from deriva_ml.project import Project
from git_repository import isolate_git


@pytest.fixture
def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
    """A connection to the catalog of an empty project, from inside it."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "my {project} ü"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(root)
    return DerivaML()


def start(ml: DerivaML, dry_run: bool = False, **inputs: object) -> Execution:
    workflow = Workflow("Test", "Training", url="git:abc:x.py", checksum="abc")
    execution = ml.create_execution(ExecutionConfiguration(description="a test", **inputs), workflow, dry_run)  # type: ignore[arg-type]
    execution.execution_start()
    return execution


def outputs(ml: DerivaML, execution: Execution) -> dict[str, tuple[Asset, bytes]]:
    """The recorded outputs and what they hold, by name."""
    found = [asset for asset in ml.catalog.assets_of(execution.execution_rid) if asset.role == "Output"]
    return {asset.filename: (asset, Path(ml.catalog.locate(asset)).read_bytes()) for asset in found}


def test_a_new_file(ml: DerivaML) -> None:
    execution = start(ml)
    path = execution.asset_file_path("Execution_Asset", "new.txt", "Output_File", description="what it is")
    path.write_text("new")
    paths = execution.commit_output_assets()
    asset, content = outputs(ml, execution)["new.txt"]
    assert content == b"new"
    assert (asset.table, asset.types, asset.description) == (
        "Execution_Asset",
        ("Output_File",),
        "what it is",
    )
    [recorded] = paths["Execution_Asset"]
    assert (recorded.asset_rid, recorded.file_name, recorded.read_bytes()) == (asset.rid, "new.txt", b"new")
    assert execution.status == "Uploaded"
    assert ml.lookup_asset(asset.rid).md5 == asset.md5


def test_an_existing_file_linked_copied_and_renamed(ml: DerivaML, tmp_path: Path) -> None:
    source = tmp_path / "made elsewhere.txt"
    source.write_text("first")
    execution = start(ml)
    execution.asset_file_path(MLAsset.execution_asset, source)
    execution.asset_file_path(MLAsset.execution_asset, source, copy_file=True, rename_file="copy.txt")
    execution.asset_file_path(MLAsset.execution_metadata, str(source), ["A", "B"], rename_file="renamed.txt")
    source.write_text("second")
    execution.commit_output_assets()
    made = outputs(ml, execution)
    assert made["made elsewhere.txt"][1] == b"second", "a linked file is recorded as it is at commit"
    assert made["copy.txt"][1] == b"first", "a copied one as it was when it was registered"
    assert made["renamed.txt"][0].types == ("A", "B")
    assert source.read_text() == "second", "the person's own file stays where it is"


def test_writing_to_the_returned_path_never_changes_a_file_that_lies_around(ml: DerivaML) -> None:
    Path("results.csv").write_text("mine")
    Path("metrics.jsonl").write_text("old")
    execution = start(ml)
    metrics = execution.metrics_file()
    assert not metrics.exists()
    metrics.write_text("new")
    execution.asset_file_path("Execution_Asset", "results.csv").write_text("the run's")
    execution.commit_output_assets()
    assert outputs(ml, execution)["results.csv"][1] == b"the run's"
    assert Path("results.csv").read_text() == "mine"


def test_two_assets_of_one_name(ml: DerivaML) -> None:
    execution = start(ml)
    one, other = (execution.asset_file_path("Execution_Asset", "plot.png") for _ in range(2))
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    paths = execution.commit_output_assets()["Execution_Asset"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2"]


@pytest.mark.parametrize("name", ["../up.txt", "a/b.txt", "..", ".", "", "a\\b.txt", "/etc/x", "nul\0"])
def test_a_name_that_is_not_a_plain_file_name_is_refused(ml: DerivaML, name: str) -> None:
    execution = start(ml)
    with pytest.raises(DerivaMLRequestError, match="cannot name an asset"):
        execution.asset_file_path("Execution_Asset", name)
    with pytest.raises(DerivaMLRequestError, match="cannot name an asset"):
        execution.asset_file_path(
            "Execution_Asset", Path("pyproject.toml").absolute(), rename_file=name or ".."
        )


def test_an_unknown_table_is_refused_naming_those_there_are(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLRequestError, match="no asset table Imgae; the catalog has Execution_Asset"):
        start(ml).asset_file_path("Imgae", "x.png")


def test_files_that_were_never_written_are_named_and_the_rest_is_recorded(ml: DerivaML) -> None:
    execution = start(ml)
    execution.asset_file_path("Execution_Asset", "there.txt").write_text("x")
    late = execution.asset_file_path("Execution_Asset", "never.txt")
    with pytest.raises(
        DerivaMLRunError, match=r"registered but never written: never.txt \(Execution_Asset\)"
    ):
        execution.commit_output_assets()
    assert list(outputs(ml, execution)) == ["there.txt"]
    late.write_text("now")
    execution.upload_execution_outputs()
    assert set(outputs(ml, execution)) == {"there.txt", "never.txt"}
    assert execution.status == "Uploaded"


def test_committing_twice_records_what_came_in_between(ml: DerivaML) -> None:
    execution = start(ml)
    for name in ("one.txt", "two.txt"):
        execution.asset_file_path("Execution_Asset", name).write_text(name)
        execution.commit_output_assets()
    assert set(outputs(ml, execution)) == {"one.txt", "two.txt"}


def test_kept_files_stay_where_they_were_written(ml: DerivaML) -> None:
    execution = start(ml)
    path = execution.asset_file_path("Execution_Asset", "log.txt")
    path.write_text("one")
    execution.commit_output_assets(clean_folder=False)
    path.write_text("two")
    assert outputs(ml, execution)["log.txt"][1] == b"one"


def test_metrics_are_a_metadata_file(ml: DerivaML) -> None:
    execution = start(ml)
    execution.metrics_file().write_text(json.dumps({"accuracy": 0.9}))
    execution.commit_output_assets()
    asset, _ = outputs(ml, execution)["metrics.jsonl"]
    assert (asset.table, asset.types) == ("Execution_Metadata", ("Metrics_File",))


def test_declared_inputs_are_fetched_read_only_and_linked(ml: DerivaML) -> None:
    first = start(ml)
    first.asset_file_path("Execution_Asset", "weights.npz").write_bytes(b"w")
    [weights] = first.commit_output_assets()["Execution_Asset"]
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    dataset = ml.catalog.add_dataset("numbers", [file.rid], ["Training"], "1.0.0")  # type: ignore[attr-defined]

    second = start(ml, datasets=[dataset], assets=[weights.asset_rid, LocalFile("data.csv")])
    [bag] = second.datasets
    [path] = second.asset_paths["Execution_Asset"]
    assert isinstance(path, AssetFilePath) and path.read_bytes() == b"w" and not path.stat().st_mode & 0o222
    assert [p.read_text() for p in bag.asset_paths["File"]] == ["1,2"]
    assert list(bag.get_table_as_dataframe("File")["RID"]) == [file.rid]
    assert second.download_dataset_bag(dataset) is bag
    inputs = [a.filename for a in ml.catalog.assets_of(second.execution_rid) if a.role == "Input"]
    assert sorted(inputs) == ["data.csv", "weights.npz"]
    assert [d.rid for d in ml.catalog.datasets_of(second.execution_rid)] == [dataset]


def test_datasets_may_be_given_as_versions_by_rid(ml: DerivaML) -> None:
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    inner = ml.catalog.add_dataset("inner", [file.rid], version="1.0.0")  # type: ignore[attr-defined]
    outer = ml.catalog.add_dataset("outer", [], version="2.0.0", nested=[inner])  # type: ignore[attr-defined]
    one, other = start(ml, datasets={outer: "2.0.0", inner: None}).datasets
    assert (one.dataset_rid, one.version, other.dataset_rid, other.version) == (
        outer,
        "2.0.0",
        inner,
        "1.0.0",
    )
    [child] = one.list_dataset_children()
    assert (child.dataset_rid, child.version) == (inner, "1.0.0")
    assert [p.read_text() for p in one.asset_paths["File"]] == ["1,2"], "nested datasets' files are there"


def test_rows_without_files_when_a_dataset_is_not_materialized(ml: DerivaML) -> None:
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    dataset = ml.catalog.add_dataset("numbers", [file.rid])  # type: ignore[attr-defined]
    [bag] = start(ml, datasets=[DatasetSpec(dataset, materialize=False)]).datasets
    [row] = bag.list_dataset_members()["File"]
    assert (row["Filename"], row["MD5"]) == ("data.csv", file.md5)
    assert bag.asset_paths == {"File": []} and not list(bag.path.iterdir())


def test_a_file_that_the_catalog_only_refers_to_is_refused_as_an_input(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than by a run that fails once it has begun."""
    reference = Asset("1-FAR0", "File", "far.csv", 1, "0" * 32, "https://www.example.org/far.csv")
    monkeypatch.setattr(EmbeddedCatalog, "lookup_assets", lambda self, rids: [reference])
    with pytest.raises(
        DerivaMLRequestError, match=r"asset 1-FAR0 \(far.csv\) cannot be fetched: .*example.org"
    ):
        start(ml, assets=["1-FAR0"])
    assert ml.find_executions() == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"assets": ["9-ZZZZ"]}, "there is no asset 9-ZZZZ"),
        ({"datasets": ["9-ZZZZ"]}, "there is no dataset 9-ZZZZ"),
        ({"assets": [LocalFile("no.csv")]}, "the input file no.csv does not exist"),
        ({"assets": [42]}, "42 does not name an input"),
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_recorded(
    ml: DerivaML, inputs: dict[str, object], message: str
) -> None:
    with pytest.raises(DerivaMLRequestError, match=message):
        start(ml, **inputs)
    assert ml.find_executions() == []


def test_a_text_is_always_an_rid_and_never_a_path(ml: DerivaML) -> None:
    """No text that comes from elsewhere makes the runner read a file."""
    with pytest.raises(DerivaMLRequestError, match="there is no asset pyproject.toml"):
        start(ml, assets=["pyproject.toml"])


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no luck"), "Failed", "ValueError: no luck"),
        (KeyboardInterrupt(), "Aborted", "interrupted"),
        (Terminated(), "Aborted", "interrupted"),
    ],
)
def test_leaving_in_error_is_recorded_with_what_was_written(
    ml: DerivaML, error: BaseException, status: str, reason: str
) -> None:
    execution = start(ml)
    with pytest.raises(type(error)), execution.execute():
        execution.asset_file_path("Execution_Asset", "half.txt").write_text("half")
        raise error
    record = ml.lookup_execution(execution.execution_rid)
    assert (record.status, record.status_detail) == (status, reason)
    assert outputs(ml, execution)["half.txt"][1] == b"half"
    assert record.execution_duration is not None


def test_a_dry_run_leaves_its_files_and_no_trace_in_the_catalog(ml: DerivaML) -> None:
    execution = start(ml, dry_run=True)
    assert execution.execution_rid == DRY_RUN_RID
    path = execution.asset_file_path("Execution_Asset", "x.txt")
    path.write_text("x")
    [kept] = execution.commit_output_assets()["Execution_Asset"]
    assert kept.read_text() == "x" and kept.is_relative_to(Project.find().outputs)
    assert ml.find_executions() == []
    assert not Project.find().objects.exists()


def test_a_child_of_the_path_is_a_plain_path(ml: DerivaML) -> None:
    path = start(ml).asset_file_path("Execution_Asset", "x.txt")
    assert type(path.parent / "y") is not AssetFilePath or (path.parent / "y").asset_rid is None
    assert path.with_suffix(".md").name == "x.md"


def test_a_citation_names_the_catalog_and_the_record(ml: DerivaML) -> None:
    execution = start(ml)
    assert ml.cite(execution.execution_rid).endswith(f"catalog.db#{execution.execution_rid}")
    assert ml.cite(execution.execution_rid).startswith("file:///")


def test_a_file_that_is_still_open_cannot_change_what_was_recorded(ml: DerivaML) -> None:
    execution = start(ml)
    with execution.asset_file_path("Execution_Asset", "log.txt").open("w") as log:
        log.write("epoch 1\n")
        log.flush()
        execution.commit_output_assets()
        log.write("epoch 2\n")
    asset, content = outputs(ml, execution)["log.txt"]
    assert content == b"epoch 1\n" and hashlib.md5(content).hexdigest() == asset.md5


def test_files_that_nobody_registered_are_kept_and_named(ml: DerivaML) -> None:
    """Some libraries add a suffix to the name they are given; others write a folder."""
    execution = start(ml)
    path = execution.asset_file_path("Execution_Asset", "weights")
    path.with_suffix(".npz").write_bytes(b"hours of work")
    status = close_execution(ml.catalog, ml.project, execution.execution_rid, Status.uploaded)
    record = ml.lookup_execution(execution.execution_rid)
    assert status is Status.failed
    assert (
        "registered but never written: weights" in record.status_detail
        and "weights.npz" in record.status_detail
    )
    [kept] = (ml.project.outputs / execution.execution_rid).rglob("weights.npz")
    assert kept.read_bytes() == b"hours of work"


def test_an_execution_that_was_recorded_stays_so(ml: DerivaML) -> None:
    execution = start(ml)
    with execution.execute():
        execution.asset_file_path("Execution_Asset", "x.txt").write_text("x")
        execution.commit_output_assets()
    execution.execution_stop()
    assert execution.status == "Uploaded"


def test_after_a_failure_the_inputs_are_still_there_to_try_again(ml: DerivaML) -> None:
    Path("d.csv").write_text("1")
    execution = start(ml, assets=[LocalFile("d.csv")])
    with pytest.raises(ValueError), execution.execute():
        raise ValueError
    with execution.execute():
        assert execution.asset_paths["File"][0].read_text() == "1"


def test_an_interrupted_fetch_ends_the_execution(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    Path("d.csv").write_text("1")
    monkeypatch.setattr(EmbeddedCatalog, "fetch_all", stop)
    with pytest.raises(KeyboardInterrupt):
        start(ml, assets=[LocalFile("d.csv")])
    assert [record.status for record in ml.find_executions()] == ["Aborted"]


def test_threads_may_register_files(ml: DerivaML) -> None:
    execution = start(ml)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda n: execution.asset_file_path("Execution_Asset", f"{n}.txt"), range(20)))
    for path in paths:
        path.write_text(path.name)
    execution.commit_output_assets()
    assert len(outputs(ml, execution)) == 20


def test_a_user_without_a_name_can_record(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert ml.lookup_execution(start(ml).execution_rid).created_by.isdigit()


def orphan(ml: DerivaML) -> str:
    """An execution whose process has ended, with one staged file."""
    workflow = Workflow("T", url="u", checksum="c")
    rid = ml.catalog.add_execution(workflow, "", Owner(Owner.of().host, 2**22 - 7, 1.0))
    staged = ml.catalog.stage(rid, "Execution_Asset", "kept.txt", ml.project.executions / rid / "assets")
    staged.path.write_text("kept")
    return rid


def test_an_orphan_is_closed_after_its_project_was_moved(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid = orphan(ml)
    ml.catalog.close()
    monkeypatch.chdir("/")
    moved = Project(ml.project.root.rename(ml.project.root.with_name("moved")))
    catalog = EmbeddedCatalog(moved)
    assert recover(catalog, moved) == [rid]
    assert [asset.filename for asset in catalog.assets_of(rid)] == ["kept.txt"]
    assert catalog.lookup_execution(rid).status == "Aborted"


def test_what_a_process_registered_after_it_had_committed_is_recorded_too(ml: DerivaML) -> None:
    rid = orphan(ml)
    ml.catalog.update_execution(rid, Status.uploaded, "")
    recover(ml.catalog, ml.project)
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert ml.lookup_execution(rid).status == "Uploaded"


@pytest.mark.parametrize("content", ["", "{}", '{"of": "another version"}'])
def test_a_damaged_run_folder_stops_no_command(ml: DerivaML, content: str) -> None:
    folder = ml.project.new_folder(ml.project.runs)
    (folder / "run.json").write_text(content)
    rid = orphan(ml)
    assert recover(ml.catalog, ml.project) == [rid]


def test_a_clock_that_is_set_does_not_make_a_live_run_an_orphan(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(ml)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert recover(ml.catalog, ml.project) == []
    assert execution.status == "Running"


UNREADABLE = Path("/proc/self/mem")
"""A file that is there, and whose content cannot be read from its start, not even by root."""


@pytest.mark.skipif(not UNREADABLE.exists(), reason="needs Linux's /proc")
def test_a_file_that_cannot_be_read_does_not_keep_an_orphan_open(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    rid = orphan(ml)
    bad = ml.catalog.stage(rid, "Execution_Asset", "bad.txt", ml.project.executions / rid / "assets")
    bad.path.symlink_to(UNREADABLE)
    assert recover(ml.catalog, ml.project) == [rid]
    record = ml.lookup_execution(rid)
    assert record.status == "Aborted"
    assert "not recorded, because it cannot be read: bad.txt (Execution_Asset)" in record.status_detail
    assert "never written" not in record.status_detail
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert "cannot be closed" not in capsys.readouterr().err
    assert recover(ml.catalog, ml.project) == []


@pytest.mark.skipif(not UNREADABLE.exists(), reason="needs Linux's /proc")
def test_nor_one_that_was_registered_after_the_commit(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    rid = orphan(ml)
    bad = ml.catalog.stage(rid, "Execution_Asset", "bad.txt", ml.project.executions / rid / "assets")
    bad.path.symlink_to(UNREADABLE)
    ml.catalog.update_execution(rid, Status.uploaded, "")
    recover(ml.catalog, ml.project)
    assert "bad.txt" in capsys.readouterr().err
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert recover(ml.catalog, ml.project) == []


def test_another_users_file_in_a_working_folder_stops_no_command(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a container leaves it: registered or not, it may be one that this user must not read."""
    rid = orphan(ml)
    assets = ml.project.executions / rid / "assets"
    registered = ml.catalog.stage(rid, "Execution_Asset", "theirs.txt", assets).path
    for path in (registered, assets / "stray.txt"):
        path.write_text("x")
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "r" in mode and path.name.startswith(("theirs", "stray")):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert recover(ml.catalog, ml.project) == [rid]
    assert "cannot be read: theirs.txt" in ml.lookup_execution(rid).status_detail
    kept = {path.name for path in (ml.project.outputs / rid).rglob("*") if path.is_file()}
    assert kept == {"theirs.txt.unreadable", "stray.txt"}


def test_connection_folders_of_runs_that_are_over_are_removed_and_of_live_ones_kept(
    ml: DerivaML, tmp_path: Path
) -> None:
    gone = Owner(Owner.of().host, 2**22 - 7, 1.0)
    folders = {}
    for name, owner, file in (
        ("dml-over", gone, "kernel.json"),
        ("dml-live", Owner.of(), "kernel.json"),
        ("dml-other", gone, "somebody's.txt"),
        ("precious", gone, "kernel.json"),
    ):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / file).touch()
        run = NotebookRun(
            ml.project.new_folder(ml.project.runs),
            Path("x.ipynb"),
            owner,
            gone,
            connection=str(folders[name]),
        )
        run.save()
    recover(ml.catalog, ml.project)
    assert [name for name, folder in folders.items() if not folder.exists()] == ["dml-over"]


def test_each_dry_run_of_a_notebook_has_a_folder_of_its_own(ml: DerivaML) -> None:
    run = NotebookRun(ml.project.new_folder(ml.project.runs), Path("x.ipynb"), Owner.of(), Owner.of())
    workflow = Workflow("Test", url="u", checksum="c")
    Path("d.csv").write_text("1")
    for content in ("first", "second"):
        configuration = ExecutionConfiguration(assets=[LocalFile("d.csv")])
        execution = Execution(ml, configuration, workflow, dry_run=True, run=run)
        execution.asset_file_path("Execution_Asset", "x.txt").write_text(content)
        execution.commit_output_assets()
    assert [path.read_text() for folder in run.dry_run_folders() for path in folder.rglob("x.txt")] == [
        "first",
        "second",
    ]


def test_metadata_of_an_asset_is_accepted_as_upstream_has_it_and_refused_where_there_is_no_such_column(
    ml: DerivaML,
) -> None:
    execution = start(ml)
    for nothing in (None, {}):
        execution.asset_file_path("Execution_Asset", "x.txt", metadata=nothing).write_text("x")
    for extra in ({"metadata": {"Acquired": "2024-01-01"}}, {"Acquired": "2024-01-01"}):
        with pytest.raises(DerivaMLRequestError, match="asset table Execution_Asset has no column Acquired"):
            execution.asset_file_path("Execution_Asset", "y.txt", **extra)  # type: ignore[arg-type]
    execution.commit_output_assets()
    assert set(outputs(ml, execution)) == {"x.txt"}


def test_a_status_takes_its_reason_by_every_name_that_upstream_gives_it(ml: DerivaML) -> None:
    execution = start(ml)
    for arguments, said in (
        ({"message": "half way"}, "half way"),
        ({"msg": "half way"}, "half way"),
        ({"message": "no", "error": ValueError("bad")}, "no: bad"),
        ({"error": "bad"}, "bad"),
    ):
        execution.update_status(Status.running, **arguments)  # type: ignore[arg-type]
        assert ml.lookup_execution(execution.execution_rid).status_detail == said


def test_an_asset_can_be_fetched_without_being_linked(ml: DerivaML, tmp_path: Path) -> None:
    Path("d.csv").write_text("1")
    file = ml.catalog.add_file(Path("d.csv"))
    execution = start(ml)
    path = execution.download_asset(file.rid, tmp_path / "here", update_catalog=False)
    assert path.read_text() == "1" and ml.catalog.assets_of(execution.execution_rid) == []


def test_a_class_of_ones_own_is_given_the_connection_by_name(ml: DerivaML) -> None:
    class Mine(DerivaML):
        def __init__(self, *, hostname: str | None, catalog_id: str | None, **others: Any) -> None:
            super().__init__(hostname, catalog_id, **others)
            self.asked = (hostname, catalog_id, others)

    mine = open_connection(DerivaMLConfig(), ml.project, Mine)
    assert isinstance(mine, Mine)
    assert mine.asked == (None, None, {"credential": None, "project": ml.project})
    with pytest.raises(DerivaMLRequestError, match="has no deriva_ml"):
        open_connection(None, ml.project)
