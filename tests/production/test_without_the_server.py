"""A server that is away, or goes away during a run, costs nothing: what was recorded waits and is pushed later."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_double import Fault
from notebooks import COMMIT, START
from production.site import (
    DEMO,
    EXPIRED,
    KEPT,
    MODEL,
    NOTEBOOK,
    SMALL,
    SMALL_MAKES,
    UPLOAD,
    Site,
    assert_all_there_once,
    assert_contents,
    assert_refused,
    files_read,
    login,
    pausing,
    pushed,
    recorded,
    stopped_midway,
    wait_until,
)


@pytest.mark.parametrize(
    "command", [(NOTEBOOK, SMALL), (MODEL, "model_config=tiny")], ids=["notebook", "model"]
)
def test_a_server_that_is_down_is_named_with_what_runs_without_it(
    site: Site, command: tuple[str, ...]
) -> None:
    here = site.here()
    site.double.stop()
    done = site.run(*command, "deriva_ml=production")
    assert_refused(site, done, site.double.host, "cannot be reached", "--offline")
    assert site.here() == here


def test_a_run_offline_waits_and_is_pushed_later(site: Site) -> None:
    count = len(site.rows("Execution"))
    site.double.stop()
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", "--offline", *DEMO)
    local, status = recorded(done)
    assert (done.rc, status) == (0, "Pending_Upload"), done.text
    assert f"uv run deriva-ml-upload {local}" in done.out
    waiting = site.run(UPLOAD, "--list")
    assert waiting.rc == 0 and local in waiting.out
    failed = site.run(UPLOAD)
    assert failed.rc == 1
    assert "cannot be reached" in failed.err and "uv run deriva-ml-upload" in failed.err

    site.double.start()
    done = site.run(UPLOAD)
    assert done.rc == 0, done.text
    assert len(site.rows("Execution")) == count + 1
    execution = pushed(site, local)
    assert execution["Status"] == "Uploaded" and execution["Execution_Duration"].endswith("sec")
    files = site.linked(execution["RID"])
    assert {"logistic.npz", *SMALL_MAKES} == set(files)
    assert_contents(site, files | site.linked(execution["RID"], "Execution_Metadata"))
    assert site.run("deriva-ml-catalog", "list", "-n", "1", "--status", "Pending_Upload").out.startswith(
        "no "
    )
    assert site.run(UPLOAD).out == "nothing waits to be pushed\n"


def test_offline_a_run_reads_what_was_fetched_before_and_nothing_else(site: Site) -> None:
    inputs = ("assets=there", "datasets=there")
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", *inputs)
    assert done.rc == 0, done.text
    rid, _ = recorded(done)
    expected = {"there.txt": "Input", **dict.fromkeys(SMALL_MAKES, "Output")}
    assert {name: role for name, (role, _) in site.linked(rid).items()} | files_read(site, rid) == expected
    version = site.one("Dataset_Execution", Execution=rid)["Dataset_Version"]
    assert site.one("Dataset_Version", RID=version)["Dataset"] == site.dataset

    site.double.stop()
    here = site.here()
    never = site.run(NOTEBOOK, SMALL, "deriva_ml=production", "assets=other", "--offline")
    assert_refused(site, never, "has not been fetched", "leave --offline out")
    assert site.here() == here
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", *inputs, "--offline")
    local, status = recorded(done)
    assert (done.rc, status) == (0, "Pending_Upload"), done.text

    site.double.start()
    assert site.run(UPLOAD, local).rc == 0
    rid = pushed(site, local)["RID"]
    assert {name: role for name, (role, _) in site.linked(rid).items()} | files_read(site, rid) == expected
    assert site.one("Dataset_Execution", Execution=rid)["Dataset_Version"] == version


def goes_down(site: Site) -> None:
    """The server stops."""
    site.double.stop()


def login_expires(site: Site) -> None:
    """What logging in had left is worth nothing any more."""
    login(Path(site.project.env["HOME"]), site.double.host, EXPIRED)


@pytest.mark.parametrize(
    ("trouble", "last", "words"),
    [
        (goes_down, "print('good')", "cannot be reached"),
        (goes_down, "1 / 0", "cannot be reached"),
        (login_expires, "print('fine')", "uv run deriva-globus-auth-utils login --host"),
    ],
    ids=["the server goes down", "the server goes down and the notebook fails", "the login expires"],
)
def test_trouble_with_the_server_during_a_run_costs_nothing(
    site: Site, tmp_path: Path, trouble: Callable[[Site], None], last: str, words: str
) -> None:
    """What the run made waits in the project, and comes to be on the server once."""
    good = last != "1 / 0"
    stem = f"{trouble.__name__}-{good}"
    path = site.notebook(f"{stem}.ipynb", START, KEPT.format(stem), pausing(tmp_path), last)
    before = {row["RID"] for row in site.rows("Execution")}
    done = stopped_midway(site, path, tmp_path, lambda: trouble(site))
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    assert execution["Status"] == "Running"
    assert done.rc == 1
    rid, status = recorded(done)
    assert (rid, status) == (execution["RID"], "Pending_Upload" if good else "Failed")
    [unsent] = [line for line in done.err.splitlines() if words in line]
    assert unsent.startswith("error: ") and "the record is kept in this project" in unsent
    assert (site.project / "outputs" / rid / f"{stem}.md").is_file()
    [again] = re.findall(r"uv run (deriva-ml-upload \S+)", done.out)

    if trouble is goes_down:
        site.double.start()
    else:
        login(Path(site.project.env["HOME"]), site.double.host, site.double.credential("admin"))
    uploaded = site.run(*again.split())
    assert uploaded.rc == 0, uploaded.text
    assert_all_there_once(site, rid, "Uploaded" if good else "Failed", stem)
    reason = site.one("Execution", RID=rid)["Status_Detail"]
    assert reason == ("" if good else "cell [4] raised ZeroDivisionError: division by zero")
    assert [row for row in site.rows("Execution") if row["RID"] not in {*before, rid}] == []


def test_an_upload_that_is_killed_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    """Killed while contents are under way: after the notebook's own commit, before the runner's part is there."""
    text = "killed during the upload"
    path = site.notebook("killed-upload.ipynb", START, KEPT.format(text), COMMIT)
    site.double.faults.add(
        Fault.SLOW,
        lambda _, request: request.method == "PUT" and "killed-upload.md" in request.target,
        delay=30,
    )
    before = {row["RID"] for row in site.rows("Execution")}
    process = site.project.popen(NOTEBOOK, path, "deriva_ml=production", start_new_session=True)
    wait_until(lambda: any("killed-upload.md" in name for name in site.double.objects()))()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    assert execution["Status"] != "Uploaded"

    listed = site.run("deriva-ml-catalog", "list", "-n", "1", check=True)
    assert "Pending_Upload" in listed.out
    done = site.run(UPLOAD)
    assert done.rc == 0 and f"/{execution['RID']}\n" in done.out, done.text
    assert_all_there_once(site, execution["RID"], "Uploaded", "killed-upload")


def test_a_model_killed_during_its_upload_is_recovered_and_pushed(site: Site) -> None:
    site.double.faults.on(Fault.SLOW, "POST", "/entity/deriva-ml:Execution_Asset?", delay=30)
    before = {row["RID"] for row in site.rows("Execution")}
    count = len(site.rows("Execution_Asset"))
    arguments = (
        "deriva_ml=production",
        "model_config=tiny",
        "model_config.seed=99",
        "datasets=default_dataset",
    )
    process = site.project.popen(MODEL, *arguments, start_new_session=True)
    wait_until(lambda: len(site.rows("Execution_Asset")) > count)()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    done = site.run(UPLOAD)
    assert done.rc == 0, done.text
    rid = execution["RID"]
    assert site.one("Execution", RID=rid)["Status"] == "Uploaded"
    assert set(site.linked(rid)) == {"tiny.txt"}
    assert not any((site.project / ".deriva-ml" / "executions").glob("*"))
