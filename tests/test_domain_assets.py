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
from deriva_ml.cli.upload import main as upload
from deriva_ml.definitions import Status, Workflow
from deriva_ml.deriva.server import Server
from deriva_ml.execution import Execution, ExecutionConfiguration
from deriva_ml.project import Project
from domain_schema import DOMAIN


class Study:
    """A project, and a catalog with a domain's schema that it records into."""

    def __init__(
        self, folder: Path, double: DerivaDouble, required: bool = False, user: str = "admin"
    ) -> None:
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
        scan = document["tables"]["Scan Image"]
        scan["column_definitions"] += [
            {"name": "Size", "type": {"typename": "int8"}},
            {"name": "Code", "type": {"typename": "text"}},
        ]
        scan["keys"].append({"unique_columns": ["Code"]})
        server.request("post", f"/ermrest/catalog/{self.catalog}/schema", json=[document])
        [row] = server.insert("lab:Visit", [{"Age": 40}], given=())
        self.visit = row["RID"]
        taken = {"URL": "tag:lab,x", "Filename": "x", "Length": 1, "MD5": "0" * 32, "Code": "taken"}
        server.insert("lab:Scan%20Image", [{**taken, "Visit": self.visit}], given=())
        (folder / "pyproject.toml").touch()
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        self.ml = DerivaML(double.url, self.catalog, double.credential(user), Project(folder))

    def run(self) -> Execution:
        return self.ml.create_execution(ExecutionConfiguration(), Workflow("Scan", checksum="c"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows = self.double.rows(self.catalog, f"lab:{table}")
        return [row for row in rows if row.get("URL") != "tag:lab,x"]


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
        other = execution.asset_file_path("Scan Image", "other.png", "Output_File", metadata={"Size": 1})
        other.write_bytes(b"another")
        other.metadata = {"Code": "free"}
        assert (scan.metadata, other.metadata) == ({"Visit": study.visit}, {"Code": "free"})
    committed = execution.commit_output_assets()
    rows = {row["Filename"]: row for row in study.rows("Scan Image")}
    assert (rows["scan.png"]["Visit"], rows["other.png"]["Visit"]) == (study.visit, None)
    assert (rows["other.png"]["Size"], rows["other.png"]["Code"]) == (None, "free")
    assert {path.asset_rid for path in committed["Scan Image"]} == {row["RID"] for row in rows.values()}
    assert {
        (row["Scan Image"], row["Execution"], row["Asset_Role"]) for row in study.rows("Scan Image_Execution")
    } == {(row["RID"], execution.execution_rid, "Output") for row in rows.values()}
    assert {row["Asset_Type"] for row in study.rows("Scan Image_Asset_Type")} == {"Output_File"}
    assert execution.status is Status.uploaded
    assert {asset.table for asset in study.ml.catalog.assets_of(execution.execution_rid)} == {"Scan Image"}
    here = DerivaML(project=study.ml.project)  # which has learned of the domain's tables
    path = here.create_execution(ExecutionConfiguration(), Workflow("Scan", checksum="c")).asset_file_path(
        "Scan Image", "here.png"
    )
    assert path.asset_table == "Scan Image"


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


@pytest.mark.parametrize("user", ["admin", "writer"])
@pytest.mark.parametrize(
    ("values", "said", "mended"),
    [
        ({"Visit": "NO-SUCH"}, "Key (Visit)=(NO-SUCH) is not present", ("Visit", "{visit}")),
        ({"Size": "old"}, "(Size is 'old')", ("Size", "5")),
        ({"Code": "taken"}, "another row there has a key of it (Code is 'taken')", ("Code", "free")),
        ({"Code": "taken"}, "another row there has a key of it (Code is 'taken')", ("Code", "")),
    ],
)
def test_a_row_that_is_refused_keeps_back_nothing_else_and_can_be_mended(
    values: dict[str, str],
    said: str,
    mended: tuple[str, str],
    user: str,
    double: DerivaDouble,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study(tmp_path, double, user=user)
    execution = study.run()
    files = {"a.png": {}, "b.png": values, "c.png": {"Visit": study.visit}}
    with execution.execute():
        for name, given in files.items():
            execution.asset_file_path("Scan Image", name, metadata=given).write_text(name)
        execution.asset_file_path("Execution_Metadata", "env.json", "Runtime_Env").write_text("{}")
    execution.commit_output_assets()
    assert execution.status is Status.pending_upload
    message = next(line for line in capsys.readouterr().err.splitlines() if "did not take" in line)
    assert "did not take the row of b.png into Scan Image: " in message and said in message
    column, value = mended[0], mended[1].format(visit=study.visit)
    assert f"--set {column}=VALUE gives it another" in message
    asset = message.partition("deriva-ml-upload ")[2].split()[0]
    assert [row["Filename"] for row in study.rows("Scan Image")] == ["a.png", "c.png"]
    assert len(study.rows("Scan Image_Execution")) == 2
    assert "env.json" in {row["Filename"] for row in double.rows(study.catalog, "Execution_Metadata")}

    monkeypatch.chdir(tmp_path)
    assert upload([asset, "--set", f"{column}={value}"]) == 0
    assert upload([asset, "--set", "Nothing=1"]) == 2
    assert "has no column Nothing that can be given; it has Visit, Size, Code" in capsys.readouterr().err
    execution.deliver()
    rows = {row["Filename"]: row for row in study.rows("Scan Image")}
    assert rows.keys() == files.keys()
    assert str(rows["b.png"][column] or "") == value
    assert execution.status is Status.uploaded
    assert upload([asset, "--set", f"{column}=x"]) == 2
    assert "does not wait to be pushed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "Visit=1"], "--set is for one asset"),
        (["X", "--list", "--set", "Visit=1"], "--set is for one asset"),
        (["X", "--set", "Visit"], "'Visit' sets nothing"),
        (["X", "--set", "=1"], "'=1' sets nothing"),
        (["X", "--set", "Visit=1"], "there is no asset X"),
    ],
)
def test_a_value_that_is_set_wrongly_is_refused(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert upload(arguments) == 2
    assert said in capsys.readouterr().err
