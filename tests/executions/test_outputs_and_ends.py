"""An execution in a person's own Python: files registered in every way, statuses, failures, dry runs."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import (
    DerivaML,
    DerivaMLConfig,
    DerivaMLRequestError,
    DerivaMLRunError,
    ExecAssetType,
    MLAsset,
)
from deriva_ml.asset import LocalFile
from deriva_ml.core import open_connection
from deriva_ml.dataset import DatasetSpec
from deriva_ml.definitions import DRY_RUN_RID, StagedAsset, Status, Workflow
from deriva_ml.execution import Execution, ExecutionConfiguration
from deriva_ml.execution.closing import close_execution
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.signals import Terminated
from executions.runs import outputs, start


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


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no luck"), "Failed", "ValueError: no luck"),
        (KeyboardInterrupt(), "Aborted", "interrupted"),
        (Terminated(), "Aborted", "terminated (SIGTERM)"),
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


def test_a_dry_run_looks_once_for_each_of_its_files(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compares none with the others, which would take minutes where there are tens of thousands."""
    execution = start(ml, dry_run=True)
    paths = [execution.asset_file_path("Execution_Asset", f"{number}.txt") for number in range(20)]
    for path in paths[10:]:
        path.write_text("x")
    compared: list[Any] = []
    monkeypatch.setattr(StagedAsset, "__eq__", lambda one, other: bool(compared.append(one)) or one is other)
    with pytest.raises(DerivaMLRunError, match=r"never written: 0.txt \(Execution_Asset\)"):
        execution.commit_output_assets()
    for path in paths[:10]:
        path.write_text("x")
    assert len(execution.commit_output_assets()["Execution_Asset"]) == 20
    assert len(compared) <= 20


def test_a_citation_names_the_catalog_and_the_record(ml: DerivaML) -> None:
    execution = start(ml)
    assert ml.cite(execution.execution_rid).endswith(f"catalog.db#{execution.execution_rid}")
    assert ml.cite(execution.execution_rid).startswith("file:///")


def test_an_execution_can_be_asked_for_by_its_parts(ml: DerivaML, tmp_path: Path) -> None:
    """As upstream has it: without a configuration, and the workflow by its RID; both at once are refused."""
    first = start(ml)
    first.asset_file_path("Execution_Asset", "x.txt").write_text("x")
    [path] = first.commit_output_assets()["Execution_Asset"]
    workflow = ml.lookup_execution(execution_rid=first.execution_rid).workflow.rid
    second = ml.create_execution(
        datasets=[], assets=[path.asset_rid], workflow=workflow, description="By its parts"
    )
    assert [one.asset_rid for one in second.asset_paths["Execution_Asset"]] == [path.asset_rid]
    record = ml.lookup_execution(second.execution_rid)
    assert (record.workflow_rid, record.description) == (workflow, "By its parts")
    asset = ml.lookup_asset(asset_rid=path.asset_rid or "")
    assert (asset.asset_rid, asset.asset_table, asset.asset_types) == (
        path.asset_rid,
        path.asset_name,
        asset.types,
    )
    with pytest.raises(DerivaMLRequestError, match="a configuration or datasets, not both"):
        ml.create_execution(ExecutionConfiguration(), datasets=[])
    assert {"execution_rid", "workflow_rid", "duration"} <= {*dir(record)}


def test_a_row_is_cited_by_its_rid_and_nothing_else_is(ml: DerivaML) -> None:
    rid = start(ml).execution_rid
    assert ml.cite({"RID": rid, "Description": "x"}) == ml.cite(rid)
    for nothing in ({"Description": "x"}, {}, "", {"RID": None}):
        with pytest.raises(DerivaMLRequestError, match="only a record can be cited"):
            ml.cite(nothing)  # type: ignore[arg-type]


def test_a_citation_of_a_dry_run_says_that_it_is_one(ml: DerivaML) -> None:
    said = ml.cite(start(ml, dry_run=True).execution_rid)
    assert said == "0000 is a dry run: nothing was recorded, and there is nothing to cite"


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


@pytest.mark.parametrize("dry_run", [False, True])
def test_types_of_a_file_can_be_set_until_it_is_recorded(ml: DerivaML, dry_run: bool) -> None:
    execution = start(ml, dry_run)
    path = execution.asset_file_path("Execution_Asset", "x.txt", "Output_File")
    path.set_asset_types([ExecAssetType.model_file, "Mine"])
    path.metadata = {}
    with pytest.raises(DerivaMLRequestError, match="asset table Execution_Asset has no column Weight"):
        path.metadata = {"Weight": 1}
    assert (path.asset_types, path.metadata) == (("Model_File", "Mine"), {})
    path.write_text("x")
    [recorded] = execution.commit_output_assets()["Execution_Asset"]
    assert set(recorded.asset_types) == {"Model_File", "Mine"}
    if not dry_run:
        assert set(outputs(ml, execution)["x.txt"][0].types) == {"Model_File", "Mine"}
        [fetched] = start(ml, assets=[recorded.asset_rid]).asset_paths["Execution_Asset"]
        for one in (recorded, path, fetched):
            with pytest.raises(DerivaMLRequestError, match="x.txt is recorded"):
                one.set_asset_types("Other")
            with pytest.raises(DerivaMLRequestError, match="x.txt is recorded"):
                one.metadata = {}


def test_asset_tables_that_a_connection_names_are_there_for_code_of_a_domain(ml: DerivaML) -> None:
    """Once named, they stay known; a notebook that was written for its server runs here."""
    with pytest.raises(DerivaMLRequestError, match="there is no asset table Model"):
        start(ml).asset_file_path("Model", "best.pt")
    DerivaML(asset_tables=["Model", "Execution_Asset"])
    execution = start(ml)
    execution.asset_file_path("Model", "best.pt").write_bytes(b"weights")
    execution.commit_output_assets()
    asset, content = outputs(ml, execution)["best.pt"]
    assert (asset.table, content) == ("Model", b"weights")


@pytest.mark.parametrize(
    "version", [(1, 0, 0), [1, 0, 0], {"major": 1, "minor": 0, "patch": 0}, {"major": 1}, "1.0.0"]
)
def test_a_version_can_be_given_in_every_form(version: Any) -> None:
    assert DatasetSpec("1-ABC", version) == DatasetSpec.from_shorthand("1-ABC@1.0.0")
    assert ExecutionConfiguration(["1-ABC@1.0.0"]).datasets == [DatasetSpec("1-ABC", version)]


def test_a_shorthand_without_a_version_is_the_current_one_and_another_is_refused() -> None:
    assert DatasetSpec.from_shorthand("1-ABC") == DatasetSpec("1-ABC", None)
    for text in ("", "@1.0.0", "1-ABC@1.0.0@2.0.0"):
        with pytest.raises(
            DerivaMLRequestError, match="names no dataset: write RID or NAME, or RID@VERSION or NAME@VERSION"
        ):
            DatasetSpec.from_shorthand(text)


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
