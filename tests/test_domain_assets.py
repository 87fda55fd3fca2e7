"""A run's outputs go into the asset tables of a domain's own schema, with the columns that those have."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble
from deriva_ml import DerivaML, DerivaMLRequestError
from deriva_ml.catalog.remote.server import Server
from deriva_ml.definitions import Status, Workflow
from deriva_ml.execution import Execution, ExecutionConfiguration
from deriva_ml.project import Project
from domain_schema import DOMAIN


class Study:
    """A project, and a catalog with a domain's schema that it records into."""

    def __init__(self, folder: Path, double: DerivaDouble, required: bool = False) -> None:
        self.double = double
        self.catalog = double.create_catalog("head")
        server = Server(double.url, self.catalog, double.credential())
        document = copy.deepcopy(DOMAIN)
        if required:
            [visit] = [
                column
                for column in document["tables"]["Scan Image"]["column_definitions"]
                if column["name"] == "Visit"
            ]
            visit["nullok"] = False
        server.request("post", f"/ermrest/catalog/{self.catalog}/schema", json=[document])
        [row] = server.insert("lab:Visit", [{"Age": 40}], given=())
        self.visit = row["RID"]
        (folder / "pyproject.toml").touch()
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        self.ml = DerivaML(double.url, self.catalog, double.credential(), Project(folder))

    def run(self) -> Execution:
        return self.ml.create_execution(ExecutionConfiguration(), Workflow("Scan", checksum="c"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.double.rows(self.catalog, f"lab:{table}")


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[DerivaDouble]:
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
    with DerivaDouble() as running:
        yield running


def test_an_output_in_a_domains_table_has_its_columns_types_and_execution(
    double: DerivaDouble, tmp_path: Path
) -> None:
    study = Study(tmp_path, double)
    execution = study.run()
    with execution.execute():
        scan = execution.asset_file_path(
            "Scan Image", "scan.png", "Output_File", metadata={"Visit": study.visit}
        )
        scan.write_bytes(b"picture")
        execution.asset_file_path("Scan Image", "other.png", "Output_File").write_bytes(b"another")
    committed = execution.commit_output_assets()
    rows = {row["Filename"]: row for row in study.rows("Scan Image")}
    assert (rows["scan.png"]["Visit"], rows["other.png"]["Visit"]) == (study.visit, None)
    assert {path.asset_rid for path in committed["Scan Image"]} == {row["RID"] for row in rows.values()}
    assert {
        (row["Scan Image"], row["Execution"], row["Asset_Role"]) for row in study.rows("Scan Image_Execution")
    } == {(row["RID"], execution.execution_rid, "Output") for row in rows.values()}
    assert {row["Asset_Type"] for row in study.rows("Scan Image_Asset_Type")} == {"Output_File"}
    assert execution.status is Status.uploaded
    assert {asset.table for asset in study.ml.catalog.assets_of(execution.execution_rid)} == {"Scan Image"}


def test_a_column_that_the_table_does_not_have_is_refused_at_once(
    double: DerivaDouble, tmp_path: Path
) -> None:
    execution = Study(tmp_path, double).run()
    with pytest.raises(DerivaMLRequestError, match="the asset table Scan Image has no column Weight"):
        execution.asset_file_path("Scan Image", "scan.png", metadata={"Weight": 1})


def test_a_value_that_the_table_needs_is_asked_for_at_once(double: DerivaDouble, tmp_path: Path) -> None:
    """Not after hours of computing, when the file is pushed."""
    execution = Study(tmp_path, double, required=True).run()
    with pytest.raises(DerivaMLRequestError, match="a row of Scan Image needs Visit"):
        execution.asset_file_path("Scan Image", "scan.png")
