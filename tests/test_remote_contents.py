"""Each file of a run has its row where the run is pushed to, or a person is told why not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_double import DerivaDouble
from deriva_ml import DerivaML
from deriva_ml.definitions import Status, Workflow
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.push import Push
from deriva_ml.deriva.server import Server
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.project import Project
from domain_schema import EXECUTION, ROLE, TYPE, association, table

SCAN = "lab:Scan:RID"


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[DerivaDouble]:
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
    with DerivaDouble() as running:
        yield running


def project(folder: Path) -> Project:
    (folder / "pyproject.toml").touch()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return Project(folder)


def record(ml: DerivaML, asset_table: str, files: dict[str, str]) -> Status:
    """Record a run that writes files, and tell how it stands then."""
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("Scan", checksum="c"))
    with execution.execute():
        for name, text in files.items():
            execution.asset_file_path(asset_table, name).write_text(text)
    execution.commit_output_assets()
    return execution.status


def test_files_whose_names_a_store_cannot_tell_apart_are_all_there(
    double: DerivaDouble, tmp_path: Path
) -> None:
    """Also when what they hold is the same."""
    number = double.create_catalog("head")
    ml = DerivaML(double.url, number, double.credential(), project(tmp_path))
    names = ["東京.txt", "大阪.txt", "a b.csv", "a_b.csv", "x" * 190 + "1.csv", "x" * 190 + "2.csv"]
    assert record(ml, "Execution_Asset", dict.fromkeys(names, "")) is Status.uploaded
    assert {row["Filename"] for row in double.rows(number, "Execution_Asset")} == set(names)


def test_a_row_that_another_key_of_the_table_keeps_out_is_told(double: DerivaDouble, tmp_path: Path) -> None:
    """Here the name: a table may allow each only once."""
    number = double.create_catalog("head")
    scan = table("Scan", "URL", "Filename", "Description", "Length#", "MD5", keys=(("URL",), ("Filename",)))
    parts = [scan, association(SCAN, TYPE), association(SCAN, EXECUTION, "Asset_Role", Asset_Role=ROLE)]
    document = {"schema_name": "lab", "tables": {part["table_name"]: part for part in parts}}
    server = Server(double.url, number, double.credential())
    server.request("post", f"/ermrest/catalog/{number}/schema", json=[document])
    ml = DerivaML(double.url, number, double.credential(), project(tmp_path))
    assert record(ml, "Scan", {"a.csv": "1"}) is Status.uploaded

    assert record(ml, "Scan", {"a.csv": "2", "b.csv": "2"}) is not Status.uploaded
    local = ml.connection.local
    [(execution, destination)] = local.journal.pending()
    push = Push.open(local, destination, double.credential())
    with pytest.raises(ServerRefused) as caught:
        push.finish(execution)
    assert caught.value.status == 409
    assert f"{double.host} did not take the row of a.csv into Scan: another row there has a key" in str(
        caught.value
    )
    assert len(double.rows(number, "lab:Scan")) == 2, "the other file's row is there"
