"""Wherever a run is killed that sends its record to a server: that goes on with it, and everything is there once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import recorded_run
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import AssetRole, Status
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution.recovery import recover
from deriva_ml.project import Project
from recorded_run import KINDS, PATH, Beginning, begun, whole_run
from sweeps.killed import Told, armed, moments, sweep

ROLE = "recorded_run.py"
ENDED = {"Uploaded": Status.uploaded, "Completed": Status.uploaded, "Aborted": Status.aborted}
"""How an execution may have ended, as either generation spells it."""
TABLES = ("Execution_Asset", "Execution_Metadata", "File")


@pytest.fixture(scope="module", params=KINDS if "SWEEP_EVERY" in os.environ else ["head writer"])
def beginning(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beginning]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorded_run.small_chunks(monkeypatch)
        with begun(request.param, tmp_path_factory.mktemp("projects"), whole_run) as made:
            yield made


@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_while_it_sends(beginning: Beginning, tmp_path: Path, told: Told) -> None:
    log = tmp_path / "log"

    def run(at: int) -> Project:
        project = beginning.project()
        asked = {"role": ROLE, "root": str(project.root), "log": str(log), "at": at}
        beginning.process(project, armed({"PYTHONPATH": PATH}, asked)).wait(120)
        return project

    def kill(at: int) -> str | None:
        project, done = run(at), moments(log)
        if len(done) < at:
            return None
        try:
            check(beginning, project)
        except (AssertionError, DerivaMLException) as error:
            return f"{done[-1]}: {error}"
        return ""

    run(0)
    assert sweep(kill, len(moments(log)), 1, told) == {}


def check(beginning: Beginning, project: Project) -> None:
    """Recover and upload, as the next commands do; then what is there is what is here, once."""
    with closing(EmbeddedCatalog(project)) as local:
        recover(local, project)
    beginning.resume(project)
    with closing(EmbeddedCatalog(project)) as local:
        executions = local.select_executions(Criteria())
        outputs = [
            (one.filename, one.md5)
            for record in executions
            for one in local.assets_of(record.rid)
            if one.role is AssetRole.output
        ]
        assert local.journal.pending() == []
    workflows = [
        row for row in beginning.double.rows(beginning.number, "Workflow") if row["Checksum"] == "c0ffee"
    ]
    mine = {row["RID"] for row in workflows}
    there = [row for row in beginning.double.rows(beginning.number, "Execution") if row["Workflow"] in mine]
    assert [ENDED[row["Status"]] for row in there] == [record.status for record in executions]
    assert len(there) <= 1
    assert sorted(linked(beginning, "Output")) == sorted(outputs)
    assert len(workflows) <= 1
    for table in TABLES:
        urls = [row["URL"] for row in beginning.double.rows(beginning.number, table)]
        assert len(set(urls)) == len(urls)


def linked(beginning: Beginning, role: str) -> list[tuple[str, str]]:
    """Names and digests of the files that an execution there has in this role."""
    found = []
    for table in TABLES:
        files = {row["RID"]: row for row in beginning.double.rows(beginning.number, table)}
        for link in beginning.double.rows(beginning.number, f"{table}_Execution"):
            if link["Asset_Role"] == role:
                file = files[link[table]]
                found.append((file["Filename"], file["MD5"]))
    return found
