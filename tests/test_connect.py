"""A configuration names a catalog and who asks; it shows no credential, and means the same from every folder."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deriva.core import read_credential

from deriva_double import DerivaDouble
from deriva_ml import DerivaML, DerivaMLConfig, DerivaMLException, DerivaMLRequestError
from deriva_ml.catalog.catalog_config import located
from deriva_ml.catalog.journal import Destination
from deriva_ml.definitions import Status, Workflow
from deriva_ml.deriva.push import destination_of
from deriva_ml.deriva.server import Server
from deriva_ml.process import Owner
from deriva_ml.project import Project
from recorder import connect


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pyproject.toml").touch()
    return Project(tmp_path)


def test_a_configuration_that_is_shown_does_not_show_its_credential() -> None:
    """As a notebook does whose cell ends in it."""
    from hydra_zen import builds, instantiate

    given = {"cookie": "webauthn=s3cret"}
    assert "s3cret" not in repr(DerivaMLConfig("www.example.org", 1, given))
    made = instantiate(builds(DerivaMLConfig, populate_full_signature=True), credential=given)
    assert "s3cret" not in repr(made)
    assert made.credential == given


def test_settings_of_upstreams_connections_are_taken_and_mode_is_offline(project: Project) -> None:
    """By configurations and by ``DerivaML`` itself; one that nobody has is a slip, and refused."""
    from hydra_zen import builds, instantiate

    theirs: dict[str, Any] = {
        "domain_schemas": ["lab"],
        "default_schema": "lab",
        "ml_schema": "deriva-ml",
        "project_name": "x",
        "cache_dir": "/nowhere/cache",
        "working_dir": "/nowhere/work",
        "hydra_runtime_output_dir": "/nowhere",
        "logging_level": 30,
        "deriva_logging_level": 30,
        "check_auth": False,
        "s3_bucket": None,
        "clean_execution_dir": False,
    }
    made = instantiate(builds(DerivaMLConfig, populate_full_signature=True), mode="offline", **theirs)
    assert made == DerivaMLConfig(mode="offline", **theirs) and made.offline
    assert not DerivaMLConfig(mode="online").offline and DerivaMLConfig(offline=True).offline
    assert DerivaML(project=project, **theirs).working_dir == project.state
    assert not Path("/nowhere").exists()
    with pytest.raises(TypeError, match="cash_dir"):
        DerivaMLConfig(cash_dir="/nowhere")  # type: ignore[call-arg]


def test_a_credential_file_is_one_of_the_project_from_wherever_it_is_used(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels run in the folder of their notebook."""
    (project.root / "notebooks").mkdir()
    monkeypatch.chdir(project.root / "notebooks")
    with DerivaDouble() as double:
        number = double.create_catalog("head")
        (project.root / "credential.json").write_text(json.dumps({double.host: double.credential()}))
        assert connect(DerivaMLConfig(double.url, number, "credential.json"), project).catalog_id == number


@pytest.mark.parametrize("offline", [False, True])
def test_a_credential_file_is_read_once(
    offline: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie on a slow drive, or be changed by logging in between one look and the next."""
    reads = []

    def reading(path: str) -> Any:
        reads.append(path)
        return read_credential(path)

    monkeypatch.setattr("deriva.core.read_credential", reading)
    with DerivaDouble() as double:
        file = project.root / "credential.json"
        file.write_text(json.dumps({double.host: double.credential()}))
        config = DerivaMLConfig(double.url, double.create_catalog("head"), file.name, offline=offline)
        with closing(connect(config, project)) as catalog:
            rid = catalog.add_execution(Workflow("Study", url="u", checksum="c"), "", Owner.of())
            catalog.update_execution(rid, Status.uploaded)
            catalog.send(rid)
    assert reads == [str(file)]


def test_what_another_configuration_says_of_a_login_is_not_looked_at(project: Project) -> None:
    """Which catalog a configuration means can be told without it."""
    broken = DerivaMLConfig("WWW.Example.org.", "7", project.root / "missing.json")
    assert destination_of(broken) == (
        Destination("www.example.org", "7"),
        str(project.root / "missing.json"),
    )
    for catalog_id in ("7/schema", "", ".", "..", "-", "~", "7\n"):
        with pytest.raises(DerivaMLRequestError, match="is no catalog's number or alias"):
            destination_of(replace(broken, catalog_id=catalog_id))
    for catalog_id in ("7", "my-study_2.0", "study~draft"):
        assert destination_of(replace(broken, catalog_id=catalog_id))[0].catalog == catalog_id
    with pytest.raises(DerivaMLRequestError, match="is no server's name"):
        destination_of(replace(broken, hostname="www.example.org/chaise"))


def test_paths_from_the_home_folder_and_absolute_ones_are_taken_as_such(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project.root / "home"
    monkeypatch.setenv("HOME", str(home))

    def path_of(given: object) -> object:
        return located(DerivaMLConfig("h", 1, given), project).credential

    assert (
        path_of("~/c.json")
        == path_of(Path("~/c.json"))
        == path_of(str(home / "c.json"))
        == f"{home}{os.sep}c.json"
    )
    assert path_of("~nobody-of-that-name/c.json") == str(project.root / "~nobody-of-that-name" / "c.json")


@pytest.mark.parametrize("given", [None, "", {"cookie": "a=b"}])
def test_what_is_no_path_stays(given: object, project: Project) -> None:
    config = DerivaMLConfig("h", 1, given)
    assert located(config, project) == config


def test_a_credential_file_that_is_missing_is_named_whole(project: Project) -> None:
    with pytest.raises(DerivaMLRequestError, match=str(project.root / "missing.json")):
        connect(DerivaMLConfig("localhost", 1, "missing.json"), project)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DerivaMLConfig(catalog_id="1"), "catalog 1 is on no server: give --host"),
        (DerivaMLConfig(offline=True), "--offline is for a run that is to be sent to a server"),
    ],
)
def test_what_takes_a_server_is_refused_without_one(
    config: DerivaMLConfig, message: str, project: Project
) -> None:
    """Recording into the project's own catalog instead would look as if all had gone well."""
    with pytest.raises(DerivaMLRequestError, match=message):
        connect(config, project)
    assert not project.database.exists()


@pytest.mark.parametrize(
    "words", ["h does not answer as a Deriva server does", "no request can be sent to h"]
)
def test_what_is_no_deriva_server_is_a_wrong_request(
    words: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has been run or recorded, whatever it is that answers under the name."""

    def schema(_: Server) -> dict[str, Any]:
        raise DerivaMLException(words)

    monkeypatch.setattr(Server, "schema", schema)
    with pytest.raises(DerivaMLRequestError, match=words):
        connect(DerivaMLConfig("h", 1), project)
