"""Each change of a dataset is an execution of its own, and leaves all of it or nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from datasets.conftest import Put
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets import changes
from deriva_ml.datasets.names import Named, read, write
from deriva_ml.definitions import DATASET_MANAGEMENT, RID, Asset, ExecutionRecord, Member, Status, Workflow
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.manifest import digest_of, parse
from deriva_ml.process import Owner
from git_repository import Repository, isolate_git


def files_of(catalog: EmbeddedCatalog, execution: RID) -> dict[str, Asset]:
    """The files that an execution made, by name."""
    return {one.filename: one for one in catalog.assets_of(execution)}


def text_of(catalog: EmbeddedCatalog, asset: Asset) -> str:
    """What a recorded file holds."""
    return Path(catalog.locate(asset)).read_text()


def executions(catalog: EmbeddedCatalog) -> list[ExecutionRecord]:
    """All that are recorded."""
    return catalog.select_executions(Criteria())


def test_a_change_is_recorded_with_who_when_by_which_command_and_at_which_commit(
    catalog: EmbeddedCatalog, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_git(monkeypatch, tmp_path)
    repository = Repository.create(catalog.project.root)
    (repository.path / "pyproject.toml").write_text("[project]\n")
    repository.git("add", ".")
    repository.git("commit", "-qm", "First")
    repository.git("tag", "v1.2.0")
    (repository.path / "pyproject.toml").write_text("[project]  # not committed\n")
    with changes.recorded(catalog, "deriva-ml-dataset", "Makes pets") as execution:
        rid = changes.create(catalog, execution, "pets", [put("a.png")], ["Training"], "Pets", "1.0.0")
    record = catalog.lookup_execution(execution)
    assert (record.status, record.description, record.started_by) == (
        Status.uploaded,
        "Makes pets",
        "deriva-ml-dataset",
    )
    assert record.workflow.types == [DATASET_MANAGEMENT] and record.workflow.version == "1.2.0"
    said = json.loads(text_of(catalog, files_of(catalog, execution)["configuration.json"]))
    assert said["provenance"]["commit"] == repository.git("rev-parse", "HEAD").strip()
    assert said["provenance"]["dirty"] and said["argv"] and said["created"] == record.created
    [state] = catalog.dataset_versions(rid)
    assert (state.version, state.execution) == ("1.0.0", execution)


def test_no_repository_is_needed(catalog: EmbeddedCatalog) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "Makes pets") as execution:
        changes.create(catalog, execution, "pets")
    assert catalog.lookup_execution(execution).status is Status.uploaded


def test_a_release_keeps_its_manifest_and_a_working_state_has_none(
    catalog: EmbeddedCatalog, put: Put
) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "") as made:
        inner = changes.create(catalog, made, "cats", [put("c.png")], version="1.0.0")
        rid = changes.create(catalog, made, "pets", [put("a.png"), put("b/a.png", "other")])
    with changes.recorded(catalog, "deriva-ml-dataset", "") as changed:
        assert changes.add(catalog, changed, rid, [put("d.png")]) == "0.2.0.dev1"
        assert changes.add(catalog, changed, rid, [changes.part(catalog, rid, inner)]) == "0.2.0.dev2"
        assert changes.remove(catalog, changed, rid, ["b"]) == "0.2.0.dev3"
    assert [*files_of(catalog, changed)] == ["configuration.json"]
    with changes.recorded(catalog, "deriva-ml-dataset", "") as released:
        assert changes.release(catalog, released, rid, "minor", "Better") == "0.2.0"
    manifest = files_of(catalog, released)["dataset-manifest-0.2.0.jsonl"]
    entries = parse(text_of(catalog, manifest))
    assert [one.path for one in entries] == ["a.png", "cats", "d.png"] and entries[1].version == "1.0.0"
    assert manifest.md5 == digest_of(entries) == catalog.dataset_versions(rid)[0].digest


def test_nesting_again_moves_the_part_to_its_newer_version(catalog: EmbeddedCatalog, put: Put) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "") as one:
        inner = changes.create(catalog, one, "cats", [put("c.png")])
        outer = changes.create(catalog, one, "pets")
        changes.add(catalog, one, outer, [changes.part(catalog, outer, inner, into="animals/cats")])
        changes.add(catalog, one, inner, [put("d.png")])
        changes.add(catalog, one, outer, [changes.part(catalog, outer, inner)])
    [nested] = catalog.lookup_dataset(outer).nested
    assert (nested.folder, nested.version) == ("animals/cats", "0.2.0.dev1")


def test_a_part_that_cannot_be_is_refused(catalog: EmbeddedCatalog, put: Put) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "") as one:
        inner = changes.create(catalog, one, "cats", [put("c.png")], version="1.0.0")
        outer = changes.create(catalog, one, "pets", [put("a.png")])
    for into, version, why in (
        ("../x", None, "cannot be a path"),
        ("", "9.0.0", "no version 9.0.0"),
        ("a.png/b", None, "folder"),
    ):
        with pytest.raises(DerivaMLRequestError, match=why):
            changes.add(catalog, one, outer, [changes.part(catalog, outer, inner, version, into)])
    changes.delete(catalog, inner)
    with pytest.raises(DerivaMLRequestError, match="has been deleted"):
        changes.add(catalog, one, outer, [changes.part(catalog, outer, inner)])
    assert catalog.lookup_dataset(outer).version == "0.1.0"


@pytest.mark.parametrize(
    ("name", "version", "member"),
    [
        ("DATA-1", "1.0.0", None),
        ("a/b", "1.0.0", None),
        ("pets", "1.0", None),
        ("pets", "1.0.0", Member("../x", "X")),
    ],
)
def test_a_refused_change_leaves_nothing(
    catalog: EmbeddedCatalog, name: str, version: str, member: Member | None
) -> None:
    with (
        pytest.raises(DerivaMLRequestError) as refused,
        changes.recorded(catalog, "deriva-ml-dataset", "") as execution,
    ):
        changes.create(catalog, execution, name, [member] if member else [], version=version)
    assert "\n" not in str(refused.value)
    assert not executions(catalog) and not catalog.find_datasets() and not read(catalog.project)


def test_a_change_that_is_refused_after_another_one_keeps_that_one(
    catalog: EmbeddedCatalog, put: Put
) -> None:
    with (
        pytest.raises(DerivaMLRequestError),
        changes.recorded(catalog, "deriva-ml-dataset", "") as execution,
    ):
        rid = changes.create(catalog, execution, "pets", [put("a.png")])
        changes.remove(catalog, execution, rid, ["nothing.png"])
    [record] = executions(catalog)
    assert record.status is Status.failed and "nothing.png" in record.status_detail
    assert catalog.lookup_dataset(rid).version == "0.1.0"


def test_what_breaks_off_is_recorded_as_that(catalog: EmbeddedCatalog) -> None:
    for error, status in (
        (KeyboardInterrupt(), Status.aborted),
        (DerivaMLException("no room"), Status.failed),
    ):
        with pytest.raises(type(error)), changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
            raise error
        assert catalog.lookup_execution(execution).status is status


def test_a_release_that_cannot_be_named_is_not_made(catalog: EmbeddedCatalog, put: Put) -> None:
    """Somebody else released another content under the name and version, which the file says."""
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        rid = changes.create(catalog, execution, "pets", [put("a.png")], version="1.0.0")
        changes.add(catalog, execution, rid, [put("b.png")])
    entry = read(catalog.project)["pets"]
    write(catalog.project, {"pets": Named(entry.rid, {**entry.versions, "1.1.0": "0" * 32})})
    with (
        pytest.raises(DerivaMLRequestError, match="another content as pets 1.1.0"),
        changes.recorded(catalog, "deriva-ml-dataset", "") as refused,
    ):
        changes.release(catalog, refused, rid)
    assert catalog.lookup_dataset(rid).version == "1.1.0.dev1"
    assert catalog.select_executions(Criteria(rids=[refused])) == []


def test_deleting_keeps_the_versions_that_are_named(catalog: EmbeddedCatalog, put: Put) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        rid = changes.create(catalog, execution, "pets", [put("a.png")], version="1.0.0")
    changes.delete(catalog, rid)
    assert [row["Path"] for row in catalog.lookup_dataset(rid, "1.0.0").members["File"]] == ["a.png"]
    assert "pets" in read(catalog.project)


def test_lists_leave_changes_of_datasets_out_unless_they_are_asked_for(catalog: EmbeddedCatalog) -> None:
    run = catalog.add_execution(Workflow("Train", "Training"), "", Owner.of())
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        changes.create(catalog, execution, "pets")
    for asked, meant in (
        (Criteria(), {run, execution}),
        (Criteria(no_changes=True), {run}),
        (Criteria(no_changes=True, workflow="deriva-ml-dataset"), {execution}),
        (Criteria(no_changes=True, rids=[execution]), {execution}),
    ):
        assert {one.rid for one in catalog.select_executions(asked)} == meant


def test_the_commands_leave_changes_out_unless_all_is_asked_for(
    catalog: EmbeddedCatalog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deriva_ml.cli.catalog import main

    (catalog.project.root / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(catalog.project.root)
    with changes.recorded(catalog, "deriva-ml-dataset", "Makes pets") as execution:
        changes.create(catalog, execution, "pets")
    for command in ("list", "results"):
        assert main([command, "--json"]) == 0 and json.loads(capsys.readouterr().out) == []
        assert main([command, "--all", "--json"]) == 0
        assert [one.get("rid", one.get("RID")) for one in json.loads(capsys.readouterr().out)] == [execution]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError, DerivaMLRequestError])
def test_the_file_of_names_says_nothing_of_what_was_taken_back(
    catalog: EmbeddedCatalog, put: Put, stop: type[BaseException]
) -> None:
    file = catalog.project.root / "datasets.toml"
    for before in (None, b"# a colleague's\n"):
        if before:
            file.write_bytes(before)
        with (
            pytest.raises(stop),
            changes.recorded(catalog, "test", "Makes pets") as execution,
            catalog.transaction(),
        ):
            for name in ("cats", "dogs"):
                changes.create(catalog, execution, name, [put("a.png")], version="1.0.0")
            raise stop("stopped before it was committed")
        assert (file.read_bytes() if file.exists() else None) == before
        assert not catalog.find_datasets()
    with changes.recorded(catalog, "test", "Makes pets") as execution:
        changes.create(catalog, execution, "cats", [put("a.png")], version="1.0.0")
    assert [*read(catalog.project)] == ["cats"]


def test_why_a_change_was_refused_is_said_on_a_full_disk_too(
    catalog: EmbeddedCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    with (
        pytest.raises(DerivaMLRequestError, match="no room for it"),
        changes.recorded(catalog, "test", "Makes pets"),
    ):
        monkeypatch.setattr(catalog, "forget_execution", full)
        monkeypatch.setattr(catalog, "update_execution", full)
        raise DerivaMLRequestError("no room for it")


def test_the_name_of_a_deleted_dataset_is_free_once_its_entry_is_out(
    catalog: EmbeddedCatalog, put: Put
) -> None:
    with changes.recorded(catalog, "test", "Makes pets") as execution:
        rid = changes.create(catalog, execution, "pets", [put("a.png")], version="1.0.0")
        changes.delete(catalog, rid)
        with pytest.raises(DerivaMLRequestError, match="if it was deleted, take its entry out of the file"):
            changes.create(catalog, execution, "pets", [put("b.png")], version="1.0.0")
        write(catalog.project, {})
        other = changes.create(catalog, execution, "pets", [put("b.png")], version="1.0.0")
    assert read(catalog.project)["pets"].rid == other != rid
    assert catalog.lookup_dataset(rid, "1.0.0").digest != catalog.lookup_dataset(other).digest
