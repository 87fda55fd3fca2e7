"""A file of records is a bag and an RO-Crate that other programs take, and has what was asked for and no more."""

from __future__ import annotations

import importlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bdbag import bdbag_api

import deriva_ml.disk as disk
from archive.conftest import Make, Recorded, Recorder, projects, record
from deriva_ml.archive.exporting import export
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.carried import KINDS
from deriva_ml.catalog.tables import TERMS
from deriva_ml.cli.catalog import main
from deriva_ml.definitions import AssetRole, MLAsset, Workflow
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import PARTIAL

Entity = dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with records of every kind, which these tests only read."""
    with projects(tmp_path_factory.mktemp("projects")) as make:
        yield record(make("here"))


def rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind in a file."""
    with zipfile.ZipFile(path) as opened:
        text = opened.read(f"{path.stem}/data/records/{kind}.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def rids(path: Path, kind: str = "Execution") -> set[str]:
    return {row["RID"] for row in rows(path, kind)}


def crate(path: Path) -> dict[str, Entity]:
    """The entities of a file's crate."""
    with zipfile.ZipFile(path) as opened:
        document = json.loads(opened.read(f"{path.stem}/data/ro-crate-metadata.json"))
    assert document["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(entities) == len(document["@graph"]), "each entity is there once"
    return entities


# ------------------------------------------------------------------------------------------------------------ the form
def test_it_is_a_bag(recorded: Recorded, tmp_path: Path) -> None:
    """``bdbag`` unpacks it, and ``bagit`` finds each file as its digest says."""
    export(recorded.catalog, None, path := tmp_path / "all.zip", code=True)
    bag = bdbag_api.extract_bag(str(path), output_path=str(tmp_path / "out"))
    bdbag_api.validate_bag(bag, fast=False)
    assert bdbag_api.is_bag(bag)
    assert zipfile.ZipFile(path).testzip() is None


def test_the_same_records_make_the_same_file(recorded: Recorded, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        export(recorded.catalog, None, tmp_path / name / "all.zip")
    assert (tmp_path / "one" / "all.zip").read_bytes() == (tmp_path / "two" / "all.zip").read_bytes()


def referred(value: Any) -> set[str]:
    """What a value of a crate refers to."""
    if isinstance(value, list):
        return {name for one in value for name in referred(one)}
    return {value["@id"]} if isinstance(value, dict) else set()


@pytest.mark.parametrize("contents", [True, False])
def test_it_is_an_ro_crate_of_the_process_run_profile(
    recorded: Recorded, tmp_path: Path, contents: bool
) -> None:
    """What RO-Crate 1.1 and the profile demand, and of what they recommend all that is known."""
    export(recorded.catalog, None, path := tmp_path / "all.zip", contents=contents, code=True)
    entities = crate(path)
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert root["@type"] == "Dataset"
    assert all(root[name] for name in ("name", "description", "datePublished", "license"))
    assert re.fullmatch("https://w3id.org/ro/wfrun/process/.+", root["conformsTo"]["@id"])
    assert entities[root["conformsTo"]["@id"]]["@type"] == "CreativeWork"
    lost = {
        name for one in entities.values() for key in one if key != "conformsTo" for name in referred(one[key])
    }
    assert lost <= entities.keys(), "nothing refers to what is not there"
    with zipfile.ZipFile(path) as opened:
        payload = {
            name.removeprefix("all/data/") for name in opened.namelist() if name.startswith("all/data/")
        }
    files = {name for name, one in entities.items() if one["@type"] == "File"}
    assert files == payload - {"ro-crate-metadata.json"} == referred(root["hasPart"])
    actions = {name: one for name, one in entities.items() if one["@type"] == "CreateAction"}
    assert actions.keys() == {f"#{rid}" for rid in rids(path)} <= referred(root["mentions"])
    moment = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}\+\d{2}:\d{2}"
    for action in actions.values():
        assert entities[action["instrument"]["@id"]]["@type"] == "SoftwareSourceCode"
        assert entities[action["instrument"]["@id"]].keys() >= {"name", "url", "version"}
        assert entities[action["agent"]["@id"]]["@type"] == "Person"
        assert re.fullmatch(moment, action["startTime"]) and re.fullmatch(moment, action["endTime"])
        assert ("error" in action) == (action["actionStatus"] == "http://schema.org/FailedActionStatus")
        taken = referred(action.get("object", [])) | referred(action["result"])
        assert {entities[name]["@type"] for name in taken} <= {
            "File",
            "Collection",
            "CreativeWork",
            "PropertyValue",
        }


def test_an_action_says_what_its_execution_read_and_made(recorded: Recorded, tmp_path: Path) -> None:
    export(recorded.catalog, None, path := tmp_path / "all.zip")
    entities = crate(path)
    action = entities[f"#{recorded.second}"]
    taken = [entities[name] for name in sorted(referred(action["object"]))]
    made = [entities[name] for name in sorted(referred(action["result"]))]
    assert {one["name"] for one in taken} == {"weights.npz", "dataset pets 1.0.0", "l2", "label", "m"}
    assert {one["name"] for one in made} == {"configuration.json", "metrics.jsonl", "report.md", "accuracy"}
    assert [one["value"] for one in made if one["name"] == "accuracy"] == [0.75]
    [pets] = [one for one in taken if one["@type"] == "Collection"]
    assert {entities[name]["name"] for name in referred(pets["hasPart"])} >= {"cat-1.txt", "dog-1.txt"}
    failed = entities[f"#{recorded.parts[1]}"]
    assert failed["error"] == "ValueError: no"


def test_a_validator_accepts_it(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The RO-Crate validator finds nothing that is required, where it is installed; it reads the context of ``rocrate``."""
    services = pytest.importorskip("rocrate_validator.services", reason="roc-validator is not installed")
    rocrate = pytest.importorskip("rocrate", reason="rocrate is not installed")
    import requests
    from rocrate_validator.models import Severity
    from rocrate_validator.utils.http import HttpRequester

    def get(self: Any, url: str, **options: Any) -> requests.Response:
        answer = requests.Response()
        answer.url, answer.status_code = url, 200 if url.endswith("/context") else 504
        answer.headers["Content-Type"] = "application/ld+json"
        answer._content = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
        return answer

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    export(recorded.catalog, None, path := tmp_path / "all.zip", code=True)
    with zipfile.ZipFile(path) as opened:
        opened.extractall(tmp_path)
    wanted = services.ValidationSettings(
        rocrate_uri=str(tmp_path / "all" / "data"),
        profile_identifier="process-run-crate",
        requirement_severity=Severity.REQUIRED,
    )
    assert [issue.message for issue in services.validate(wanted).get_issues(Severity.REQUIRED)] == []


# ---------------------------------------------------------------------------------------------------------- the choice
@pytest.mark.parametrize("name", ["..zip", ".zip", "...zip", "a b.zip", "ö.zip", "records", "a\\b.zip"])
def test_it_may_have_any_name(recorded: Recorded, make: Make, tmp_path: Path, name: str) -> None:
    export(recorded.catalog, [recorded.toys], tmp_path / name)
    assert take_in(make("there"), tmp_path / name).merged.datasets == [recorded.toys]


def test_an_execution_comes_with_what_it_read_and_made(recorded: Recorded, tmp_path: Path) -> None:
    """And with the executions that made its datasets; with those that made its files only if that is asked for."""
    export(recorded.catalog, [recorded.second], path := tmp_path / "second.zip")
    assert recorded.second in rids(path)
    assert recorded.first not in rids(path)
    assert rids(path, "Dataset") == {recorded.pets, recorded.toys}
    assert recorded.weights.rid in rids(path, "Asset")
    export(recorded.catalog, [recorded.second], path := tmp_path / "more.zip", inputs=True)
    assert recorded.first in rids(path)


def test_who_wrote_the_same_file_is_no_maker_of_an_input(make: Make, tmp_path: Path) -> None:
    """A lock file is written by each run, and kept once: runs have not read it from one another."""
    recorded = record(make("own"))
    for rid in recorded.parts:
        recorded.catalog.link_asset(rid, recorded.weights, AssetRole.output)
    export(recorded.catalog, [recorded.first], path := tmp_path / "first.zip", inputs=True)
    assert rids(path) == {recorded.first}


def test_a_sweep_comes_with_its_runs_and_a_run_without_its_sweep(recorded: Recorded, tmp_path: Path) -> None:
    export(recorded.catalog, [recorded.sweep], path := tmp_path / "sweep.zip")
    assert rids(path) == {recorded.sweep, *recorded.parts}
    assert rids(path, "Dataset") == set()
    export(recorded.catalog, [recorded.parts[0]], path := tmp_path / "part.zip")
    assert rids(path) == {recorded.parts[0]}
    assert rows(path, "Execution_Execution") == []


def test_a_file_comes_with_the_execution_that_made_it(recorded: Recorded, tmp_path: Path) -> None:
    export(recorded.catalog, [recorded.weights.rid], path := tmp_path / "weights.zip")
    assert rids(path) == {recorded.first}


def test_a_dataset_comes_with_all_versions_and_parts(recorded: Recorded, tmp_path: Path) -> None:
    export(recorded.catalog, [recorded.pets], path := tmp_path / "pets.zip")
    versions = {(row["Dataset"], row["Version"]) for row in rows(path, "Dataset_Version")}
    assert versions == {
        (recorded.pets, "1.0.0"),
        (recorded.pets, "1.1.0.dev1"),
        (recorded.pets, "1.1.0"),
        (recorded.toys, "0.1.0"),
    }
    texts = {row["Filename"] for row in rows(path, "Asset")}
    assert texts >= {"cat-1.txt", "dog-1.txt", "ball.txt"}


def test_nothing_local_is_in_it(recorded: Recorded, tmp_path: Path) -> None:
    """No path of this machine, no process, no host."""
    export(recorded.catalog, None, path := tmp_path / "all.zip")
    with zipfile.ZipFile(path) as opened:
        told = b"".join(opened.read(name) for name in opened.namelist() if "/objects/" not in name)
    assert str(recorded.catalog.project.root).encode() not in told
    assert {*rows(path, "Execution")[0]} & {"folder", "host", "pid", "lock"} == set()


def test_executions_that_have_not_ended_are_left_out(make: Make, tmp_path: Path) -> None:
    catalog = make("here")
    ended = Recorder(catalog).run("ended")
    running = catalog.add_execution(Workflow("w", "Training", url="u", checksum="c"), "", Owner.of())
    made = catalog.add_dataset("made", [], execution=running)
    done = export(catalog, None, path := tmp_path / "all.zip")
    assert done.warnings == [f"executions that have not ended are left out: {running}"]
    assert rids(path) == {ended}
    assert [row["Execution"] for row in rows(path, "Dataset_Version")] == [None]
    assert rids(path, "Dataset") == {made}
    with pytest.raises(DerivaMLRequestError, match=f"execution {running} has not ended"):
        export(catalog, [running], tmp_path / "running.zip")
    assert not (tmp_path / "running.zip").exists()


CARRIED = {
    "Workflow": "Workflow",
    "Workflow_Workflow_Type": "Workflow_Type",
    "Execution": "Execution",
    "Execution_Execution": "Execution_Execution",
    "Dataset": "Dataset",
    "Dataset_Dataset_Type": "Dataset_Type",
    "Dataset_Version": "Dataset_Version",
    "Dataset_Execution": "Dataset_Execution",
    **dict.fromkeys(MLAsset, "Asset"),
    **{f"{table}_Asset_Type": "Asset_Type" for table in MLAsset},
    **{f"{table}_Execution": "Asset_Execution" for table in MLAsset},
    "local_member": "Member",
    "local_setting": "Setting",
    "local_metric": "Metric",
    "local_remote": "Remote",
    "local_input": "Input",
    "local_destination": "Destination",
    "local_columns": "Columns",
}
"""The kind of rows that a table's are carried as."""
ELSEWHERE = {
    "local_version": "Dataset_Version",
    "local_dataset": "Dataset",
    "local_imported": "Execution",
    "local_run": "Execution",
}
"""Tables of which some columns are carried with the rows of another one."""
NOT_CARRIED = {
    "Dataset": {"Version"},  # the last of its versions
    "local_version": {"version", "dataset"},
    "local_dataset": {"dataset"},
    "local_imported": {"rid", "archive", "imported"},
    "local_run": {"execution", "folder", "host", "pid", "started", "lock"},
    "local_destination": {"credential", "held", "changes", "pushed"},
    "local_remote": {"stored"},
    "local_columns": {"staged"},
    **dict.fromkeys(MLAsset, {"URL"}),  # its table, content and name
    **dict.fromkeys(
        TERMS, {"RID", "RCT", "RMT", "RCB", "RMB", "ID", "URI", "Name", "Description", "Synonyms"}
    ),
    "local_catalog": {"id"},
    "local_root": {"dataset", "folder", "into"},
    "local_seen": {"path", "size", "mtime", "ctime", "inode", "device", "md5", "noted"},
    "local_staged": {"number", "execution", "table", "filename", "path", "types", "description"},
    "local_unread": {"execution"},  # read before anything is exported
}
"""Columns that stay in this project, or are known from others."""


def test_every_column_of_the_catalog_is_carried_or_known_to_stay(make: Make) -> None:
    """Whoever adds a table or a column decides which of both."""
    catalog = make("here")
    tables = catalog._db.query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    for (table,) in tables.fetchall():
        found = {row["name"] for row in catalog._db.query(f'PRAGMA table_info("{table}")')}
        kind = CARRIED.get(table) or ELSEWHERE.get(table)
        carried = set(KINDS[kind].columns) if kind else set()
        stamps = {"RID", "RCT", "RMT", "RCB", "RMB"} - carried if table in CARRIED else set()
        renamed = (
            {table.removesuffix("_Asset_Type").removesuffix("_Execution")}
            if "Asset" in (kind or "")
            else set()
        )
        assert found - carried - stamps - renamed == NOT_CARRIED.get(table, set()) - carried, table


# --------------------------------------------------------------------------------------------------------- what is bad
def test_what_cannot_be_written_leaves_nothing(make: Make, tmp_path: Path) -> None:
    """A file that is there, no folder, no such record, a content that is missing or has changed."""
    here = record(make("here"))
    (folder := tmp_path / "out").mkdir()
    (folder / "there.zip").write_text("mine")
    for target, given, why in (
        (folder / "there.zip", None, "is there already"),
        (folder / "none" / "a.zip", None, "there is no folder"),
        (folder / "a.zip", ["7-AAAA-AAAA"], "there is no execution, dataset or file 7-AAAA-AAAA"),
    ):
        with pytest.raises(DerivaMLRequestError, match=why):
            export(here.catalog, given, target)
    content = here.catalog.objects.path(here.weights.md5)
    content.chmod(0o600)
    content.write_text("altered")
    with pytest.raises(DerivaMLException, match="has changed since it was recorded"):
        export(here.catalog, None, folder / "a.zip")
    content.unlink()
    with pytest.raises(DerivaMLException, match="is missing from"):
        export(here.catalog, None, folder / "a.zip")
    assert [one.name for one in folder.iterdir()] == ["there.zip"]
    assert (folder / "there.zip").read_text() == "mine"
    described = next(
        one for one in here.catalog.assets_of(here.first) if one.filename == "configuration.json"
    )
    here.catalog.objects.path(described.md5).unlink()
    done = export(here.catalog, None, folder / "light.zip", contents=False)
    assert done.contents == 5, "of the six that describe executions"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a device that is full")
@pytest.mark.parametrize("words", [["catalog", "--all", "a.zip"], ["dataset", "pets", "a.zip"]])
def test_a_disk_that_is_full_is_that_of_the_file(
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    """Which need not be the project's."""
    command, *given, name = words
    monkeypatch.chdir(recorded.catalog.project.root)
    monkeypatch.setattr(disk, "temporary_path", lambda folder, prefix=".": Path(folder, f"{prefix}full"))
    for prefix in (".", PARTIAL):
        (tmp_path / f"{prefix}full").symlink_to("/dev/full")
    status = importlib.import_module(f"deriva_ml.cli.{command}").main(
        ["export", *given, str(tmp_path / name)]
    )
    assert (status, capsys.readouterr().err) == (
        1,
        f"error: nothing can be written to {tmp_path / name}: the disk is full; make room and repeat the command\n",
    )


def test_an_export_that_is_stopped_leaves_nothing(recorded: Recorded, tmp_path: Path) -> None:
    def stop(total: int) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(recorded.catalog, None, tmp_path / "all.zip", code=True, progress=stop)
    assert [*tmp_path.iterdir()] == []
    assert [*recorded.catalog.project.state.glob(".bundle*")] == []
    export(recorded.catalog, None, tmp_path / "all.zip")


def test_code_needs_a_repository_that_has_it(make: Make, tmp_path: Path) -> None:
    catalog = make("here")
    recorder = Recorder(catalog)
    recorder.commit = "a" * 40
    recorder.run("elsewhere")
    done = export(catalog, None, path := tmp_path / "all.zip", code=True)
    assert done.warnings == [f"commits that are not in this repository are left out: {'a' * 40}"]
    assert "all/data/code.bundle" not in zipfile.ZipFile(path).namelist()
    (catalog.project.root / ".git").rename(tmp_path / "git")
    with pytest.raises(DerivaMLRequestError, match="not in a git repository"):
        export(catalog, None, tmp_path / "code.zip", code=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["all.zip", "git", "gitconfig", "here"]


def test_a_large_content_is_never_in_memory(make: Make, tmp_path: Path) -> None:
    """A file of 64 MB costs a few MB on the way out."""
    import tracemalloc

    catalog = make("here")
    with (source := tmp_path / "large.bin").open("wb") as stream:
        stream.truncate(64 << 20)
    rid = catalog.add_file(source).rid
    tracemalloc.start()
    export(catalog, [rid], tmp_path / "large.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# --------------------------------------------------------------------------------------------------------- the command
def test_the_command_takes_names_and_says_what_it_wrote(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(recorded.catalog.project.root)
    assert main(["export", "weights.npz", str(tmp_path / "a.zip")]) == 0
    said = capsys.readouterr().out
    assert said == (
        f"exported 1 execution, 0 datasets, 0 versions, 3 files and 3 contents (171 bytes) to {tmp_path / 'a.zip'}\n"
    )
    for words in ([str(tmp_path / "b.zip")], ["--all", recorded.first, str(tmp_path / "b.zip")]):
        assert main(["export", *words]) == 2
        assert "give the RIDs of what to export, or --all" in capsys.readouterr().err
