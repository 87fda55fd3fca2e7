"""The table of a sweep: a row a job, for programs and for people, also while the sweep goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.cli import catalog
from deriva_ml.definitions import RID, Status, Workflow
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.sweep.folder import Begun, Ended, SweepFolder
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan, Swept
from deriva_ml.sweep.table import SHOWN, Row, as_markdown, best_of, rows_of, write_table
from records import conftest as records
from records.conftest import Make

ml, recorded = records.ml, records.recorded


def plan_of(values: Sequence[str], key: str = "alpha", **fields: Any) -> Plan:
    """A sweep of a notebook's parameter, with another one that all jobs are given."""
    jobs = tuple(Job(place, (), (("seed", "7"), (key, text))) for place, text in enumerate(values))
    swept = (Swept(key, ",".join(values), parameter=True),)
    return Plan(NOTEBOOK, "notebooks/a.ipynb", swept=swept, jobs=jobs, given=(("seed", "7"),), **fields)


def goes_on(ml: DerivaML, recorded: Make, plan: Plan, jobs: dict[int, RID]) -> SweepFolder:
    """The folder of a sweep in whose execution these are nested."""
    parent = recorded(workflow="Sweep").execution_rid
    ml.connection.local.update_execution(parent, Status.running, "")
    for place, rid in jobs.items():
        ml.connection.local.nest(parent, rid, place)
    sweep = SweepFolder.of(Project.find(), parent)
    sweep.make(plan)
    return sweep


def begin(sweep: SweepFolder, number: int) -> None:
    """Have another process that lives take a job."""
    owner = Owner.of(os.getppid())
    assert sweep.job(number).claim(Begun(owner, str(Project.find().state), time.time()))


@pytest.fixture
def sweep(ml: DerivaML, recorded: Make) -> SweepFolder:
    """One job ended well, one was refused before it had a record, one is running, one has not begun."""
    good = recorded({"accuracy": 0.5}, {"accuracy": 0.75, "loss": float("nan")}, alpha=0.1, seed=7)
    running = recorded(alpha=10.0, seed=7)
    ml.connection.local.update_execution(running.execution_rid, Status.running, "")
    plan = plan_of(["0.1", "1", "10", "100"], description="Which alpha?", objective="accuracy")
    sweep = goes_on(ml, recorded, plan, {0: good.execution_rid, 2: running.execution_rid})
    sweep.job(0).end(Ended(Status.uploaded, [good.execution_rid], seconds=1.5))
    sweep.job(1).end(Ended(Status.failed, [], "alpha is 1,\nand may not be | that", 0.25))
    begin(sweep, 2)
    return sweep


def rows(ml: DerivaML, sweep: SweepFolder) -> list[Row]:
    """The sweep's jobs as rows."""
    plan = sweep.plan()
    assert plan
    return rows_of(ml.connection.local, sweep, plan)


def read_back(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as a program reads them."""
    return [*csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))]


def test_a_program_reads_what_each_job_was_given_and_came_to(
    ml: DerivaML, sweep: SweepFolder, tmp_path: Path
) -> None:
    plan = sweep.plan()
    assert plan
    found = rows(ml, sweep)
    table, _ = write_table(found, plan, tmp_path)
    good, refused, running, waiting = read_back(table)
    assert good == {
        "job": "1",
        "RID": found[0].rid,
        "status": "Uploaded",
        "seconds": "1.5",
        "alpha": "0.1",
        "seed": "7",
        "accuracy": "0.75",
        "loss": "nan",
        "reason": "",
    }
    assert [*good][:5] == ["job", "RID", "status", "seconds", "alpha"] and [*good][-1] == "reason"
    assert refused["status"] == "Failed" and refused["RID"] == "" and refused["seconds"] == "0.25"
    assert refused["reason"] == "alpha is 1,\nand may not be | that"
    assert (running["status"], running["RID"], running["alpha"]) == ("Running", found[2].rid, "10")
    assert (waiting["status"], waiting["alpha"], waiting["seed"]) == ("Not run", "100", "7")


def test_people_see_one_line_a_job_and_the_best_one_in_bold(ml: DerivaML, sweep: SweepFolder) -> None:
    plan = sweep.plan()
    assert plan
    text = as_markdown(rows(ml, sweep), plan)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert text.startswith("# Which alpha?\n") and len(lines) == 2 + 4
    assert lines[2].startswith("| **1** | **") and "**0.75**" in lines[2] and "**" not in "".join(lines[3:])
    assert r"may not be \| that" in lines[3]
    assert "Best accuracy" in text.replace("\\", "") and "- Did not end well: 2, 3, 4" in text
    assert "- In all jobs: seed = 7" in text and "seed" not in lines[0]


def test_of_thousands_of_jobs_people_see_a_table_that_can_still_be_shown() -> None:
    """The best one is in it, wherever it is."""
    values = [str(place) for place in range(SHOWN + 500)]
    many = [
        Row(place, {"alpha": text}, "Uploaded", f"1-{place}", metrics={"f1": float(place)})
        for place, text in enumerate(values)
    ]
    text = as_markdown(many, plan_of(values, objective="f1", direction="maximize"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + SHOWN and lines[2].startswith(f"| **{SHOWN + 500}** |")
    assert f"The table has {SHOWN:,} jobs; all are in sweep.csv." in text


def test_no_text_is_a_formula_for_a_spreadsheet_or_anything_but_text_on_a_page(tmp_path: Path) -> None:
    texts = ["=1+1", "<img src=x>", "-3", "**a** | `b` $c$"]
    found = [Row(place, {"note": text}, "Uploaded") for place, text in enumerate(texts)]
    table, page = write_table(found, plan_of(texts, "note"), tmp_path)
    assert [row["note"] for row in read_back(table)] == ["'=1+1", "<img src=x>", "-3", "**a** | `b` $c$"]
    assert r"\<img src=x\>" in page.read_text() and r"\*\*a\*\* \| \`b\` \$c\$" in page.read_text()


def test_names_that_come_twice_are_told_apart(tmp_path: Path) -> None:
    found = [Row(0, {"status": "a", "+size": "1"}, "Uploaded", given={"size": 2}, metrics={"size": 3.0})]
    table, _ = write_table(found, plan_of(["a"], "status"), tmp_path)
    [row] = read_back(table)
    assert row["status"] == "Uploaded" and row["swept.status"] == "a"
    assert [row[name] for name in ("size", "given.size", "metrics.size")] == ["1", "2", "3.0"]


def test_no_credential_is_in_a_table(ml: DerivaML, recorded: Make, tmp_path: Path) -> None:
    """Neither of a job with a record nor of one that has none."""
    secrets = ["s3cret-one", "s3cret-two"]
    plan = plan_of(secrets, "hf_token", base=("+db.password=s3cret-three",))
    jobs = tuple(Job(job.number, plan.base, job.given) for job in plan.jobs)
    job = recorded({"f1": 1.0}, hf_token="***").execution_rid
    sweep = goes_on(ml, recorded, plan, {0: job})
    written = write_table(
        rows_of(ml.connection.local, sweep, Plan(**{**vars(plan), "jobs": jobs})), plan, tmp_path
    )
    text = "".join(path.read_text() for path in written)
    assert "s3cret" not in text and "hf_token" in text and "db.password" in text


def test_a_job_that_was_run_again_is_one_row_and_so_is_a_notebook_with_two_executions(
    ml: DerivaML, recorded: Make
) -> None:
    gone, again = recorded({"f1": 0.1}), recorded({"f1": 0.2})
    first, second = recorded({"f1": 0.3}), recorded({"recall": 0.4})
    rids = [one.execution_rid for one in (gone, again, first, second)]
    local = ml.connection.local
    local.update_execution(rids[0], Status.aborted, "the process was killed")
    sweep = goes_on(ml, recorded, plan_of(["1", "2"]), {})
    for rid, place in zip(rids, (0, 0, 1, 1), strict=True):
        local.nest(sweep.rid, rid, place)
    sweep.job(0).end(Ended(Status.uploaded, [rids[1]]))
    sweep.job(1).end(Ended(Status.uploaded, rids[2:]))
    one, other = rows(ml, sweep)
    assert (one.status, one.rid, one.metrics, one.reason) == ("Uploaded", rids[1], {"f1": 0.2}, "")
    assert (other.status, other.rid.split(), other.metrics) == (
        "Uploaded",
        rids[2:],
        {"f1": 0.3, "recall": 0.4},
    )
    assert one.seconds is not None, "as its record says, where its end has none"


def test_the_best_job_ended_well_and_has_a_number() -> None:
    def row(number: int, value: float, status: str = "Uploaded") -> Row:
        return Row(number, {}, status, metrics={"f1": value})

    found = [
        row(0, float("nan")),
        row(1, float("inf")),
        row(2, 0.9, "Failed"),
        row(3, 0.5),
        row(4, 0.5),
        row(5, 0.2),
    ]
    greatest, least = best_of(found, "f1", "maximize"), best_of(found, "f1", "minimize")
    assert greatest and greatest.number == 3 and least and least.number == 5
    assert best_of(found, "recall", "maximize") is None


def test_commands_tell_how_far_a_sweep_is(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        capsys.readouterr()
        assert catalog.main(words) == 0
        return capsys.readouterr().out

    how_far = "2 of 4 jobs have ended (1 not well), 1 is running"
    assert json.loads(said("show", sweep.rid, "--json"))["jobs"] == how_far
    assert f"jobs:        {how_far}\n" in said("show", sweep.rid)
    assert said("results", "--sweep", sweep.rid).splitlines()[-1] == how_far
    assert how_far not in said("results", "--sweep", sweep.rid, "--csv")
    other = sweep.path.rename(sweep.path.with_name("gone"))
    assert json.loads(said("show", sweep.rid, "--json"))["jobs"] == "", other
    assert "jobs have ended" not in said("results", "--sweep", sweep.rid)


def test_a_sweep_is_repeated_by_its_own_command(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """What all of its jobs are given is recorded with it, and is not all of it."""
    argv = ["deriva-ml-run", "--multirun", "l2=1,2", "seed=7"]
    sweep = ml.create_execution(
        ExecutionConfiguration(argv=argv, overrides=["seed=7"]),
        Workflow("Sweep", "Training", url="u", checksum="c"),
    )
    with sweep.execute():
        sweep.record_circumstances({"commit": "c0ffee"})
    sweep.commit_output_assets()
    ml.connection.local.nest(sweep.execution_rid, recorded().execution_rid, 0)
    assert catalog.main(["show", sweep.execution_rid, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repeat"] == f"uv run {' '.join(argv)}"
