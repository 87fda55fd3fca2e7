"""The table of results: which rows, which columns, in the terminal and from Python."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

from deriva_ml import DerivaML
from deriva_ml.cli import catalog
from records.conftest import Make


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    capsys.readouterr()
    assert catalog.main(words) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says when it refuses."""
    capsys.readouterr()
    assert catalog.main(words) == 2
    return capsys.readouterr().err


@pytest.fixture
def runs(recorded: Make) -> list[str]:
    """Three runs: the second is the best, the third has no accuracy."""
    steps = [{"step": n, "accuracy": value} for n, value in enumerate((0.5, 0.95, 0.7))]
    made = [
        recorded(*steps, alpha=0.1, kind="a", seed=0, choices={"assets": "few"}),
        recorded({"accuracy": 0.9}, alpha=0.2, kind="b", seed=0, choices={"assets": "many"}),
        recorded({"loss": math.nan}, alpha=0.1, kind="b", seed=0, choices={"assets": "many"}),
    ]
    return [one.execution_rid for one in made]


def test_the_table_has_what_differs_and_every_metric(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Seed is the same everywhere; a number has six digits for a reader."""
    lines = said(capsys, "results").splitlines()
    assert lines[0].split() == ["RID", "when", "(UTC)", "alpha", "kind", "assets", "accuracy", "loss"]
    assert [line.split()[0] for line in lines[1:]] == runs[::-1]
    assert lines[1].split()[3:] == ["0.1", "b", "many", "nan"]
    assert lines[3].split()[3:] == ["0.1", "a", "few", "0.7"]


def test_the_best_comes_first_with_its_step(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Runs without the metric come last, whichever way it is sorted."""
    rows = [
        *csv.DictReader(io.StringIO(said(capsys, "results", "--sort", "-accuracy", "--best", "max", "--csv")))
    ]
    assert [(row["RID"], row["accuracy"], row["accuracy step"]) for row in rows] == [
        (runs[0], "0.95", "1"),
        (runs[1], "0.9", "0"),
        (runs[2], "", ""),
    ]
    rows = [*csv.DictReader(io.StringIO(said(capsys, "results", "--sort=accuracy", "--csv")))]
    assert [row["RID"] for row in rows] == [runs[0], runs[1], runs[2]]


def test_json_has_all_of_each_run(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    [one] = json.loads(said(capsys, "results", "--json", "--where", "accuracy > 0.8"))
    assert one["rid"] == runs[1] and one["status"] == "Uploaded" and one["workflow"] == "Train"
    assert one["parameters"] == {"alpha": 0.2, "kind": "b", "seed": 0} and one["choices"] == {
        "assets": "many"
    }
    assert one["metrics"]["accuracy"]["last"] == 0.9
    [nan] = json.loads(said(capsys, "results", "--json", "--where", "loss = nan"))
    assert nan["metrics"]["loss"]["greatest"] == "NaN"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--where", "alpha = 0.1 and kind = b"], [2]),
        (["--where", "assets = many"], [2, 1]),
        (["--where", "kind < b"], [0]),
        (["--where", "accuracy >= 0.7"], [1, 0]),
        (["--where", "accuracy != 0.7"], [1]),
        (["--where", "loss != 1"], [2]),
        (["--limit", "1"], [2]),
        (["--since", "2099-01-01"], []),
        (["--workflow", "Train"], [2, 1, 0]),
        (["--workflow", "Other"], []),
        (["--status", "Failed"], []),
    ],
)
def test_filters_leave_the_runs_that_meet_them(
    runs: list[str], words: list[str], expected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The list of executions has the same ones."""
    for command in ("results", "list"):
        found = json.loads(said(capsys, command, "--json", *words))
        assert [one["rid"] for one in found] == [runs[place] for place in expected]
    if not expected:
        assert said(capsys, "results", *words) == "no run meets that\n"


def test_a_wrong_word_is_refused_in_a_line(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, why in {
        ("--where", "acuracy > 1"): "called acuracy; there is accuracy",
        ("--where", "accuracy >"): "the condition 'accuracy >' cannot be read",
        ("--sort", "-nothing"): "called nothing",
        ("--columns", "RID,nope"): "there is no column nope here; there is RID",
        ("--since", "tomorrow"): "'tomorrow' is no time",
        ("--status", "Done"): "no status is called Done",
    }.items():
        line = refused(capsys, "results", *words)
        assert why in line and line.count("\n") == 1


def test_columns_and_rows_can_be_named(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "results", runs[1], runs[0], "--columns", "RID,seed,accuracy,status").splitlines()
    assert [line.split() for line in lines] == [
        ["RID", "seed", "accuracy", "status"],
        [runs[1], "0", "0.9", "Uploaded"],
        [runs[0], "0", "0.7", "Uploaded"],
    ]


def test_a_terminal_gets_what_fits_and_is_told_what_does_not(
    runs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sorted by stays; the RID always does."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((34, 20)))
    *lines, last = said(capsys, "results", "--sort", "loss", "-n", "2").splitlines()
    assert last == "... and more; -n 0 shows all"
    assert lines[0].split()[0] == "RID" and "loss" in lines[0]
    assert all(len(line) <= 34 for line in lines[:3])
    assert lines[-1].startswith("left out, for want of room: ") and "when (UTC)" in lines[-1]


def test_no_run_is_said_in_words(ml: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "results") == "no run has been recorded yet\n"
    assert said(capsys, "results", "--csv") == "RID,when\n"
    assert json.loads(said(capsys, "results", "--json")) == []


def test_escape_sequences_in_parameters_are_shown_harmlessly(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(**{"name": "\x1b[2Jx\ny"})
    recorded(**{"name": "plain"})
    text = said(capsys, "results")
    assert "\x1b" not in text and len(text.splitlines()) == 3


def test_a_sweep_is_shown_with_its_results(
    ml: DerivaML, runs: list[str], recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep itself is no row of the results, unless it is named."""
    sweep = recorded(workflow="Train sweep").execution_rid
    for place, rid in enumerate(runs[:2]):
        ml.connection.local.nest(sweep, rid, place)
    lines = said(capsys, "show", sweep).splitlines()
    table = lines[lines.index("results:") + 1 :]
    assert [line.split()[0] for line in table] == ["RID", *runs[:2]]
    assert [one["rid"] for one in json.loads(said(capsys, "results", "--json", "--sweep", sweep))] == runs[
        1::-1
    ]
    assert sweep not in said(capsys, "results") and sweep in said(capsys, "results", sweep)


def test_python_gets_the_table_as_a_frame(
    ml: DerivaML, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pandas as rows."""
    frame = ml.results(sort="-accuracy", best="max")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["RID"].tolist() == [runs[0], runs[1], runs[2]]
    assert frame.loc[0, "accuracy"] == 0.95 and frame.loc[0, "accuracy step"] == 1
    monkeypatch.setitem(sys.modules, "pandas", None)
    [row] = ml.results(where="accuracy > 0.8")
    assert row["RID"] == runs[1] and row["accuracy"] == 0.9


def test_a_record_knows_what_belongs_to_it(ml: DerivaML, runs: list[str], tmp_path: Path) -> None:
    record = ml.lookup_execution(runs[0])
    assert record.parameters == {"alpha": 0.1, "kind": "a", "seed": 0}
    assert (record.config_choices, record.metrics) == ({"assets": "few"}, {"accuracy": 0.7})
    assert {one.filename for one in record.outputs} >= {"configuration.json", "metrics.jsonl"}
    assert record.inputs == [] == record.list_input_datasets() == record.list_execution_children()
    mine = {one.rid for one in record.outputs}
    [metrics] = [one for one in ml.find_assets("Execution_Metadata", "Metrics_File") if one.rid in mine]
    assert [one.rid for one in metrics.list_executions()] == [runs[0]] == [metrics.execution_rid]
    assert metrics.download(tmp_path).read_text().count("\n") == 3
    assert [one.rid for one in ml.find_executions(workflow="Train", limit=2)] == runs[:0:-1]
    assert [one.rid for one in ml.find_executions(workflow_type="Training", sort="when")] == runs
    [workflow] = ml.find_workflows()
    assert ml.lookup_workflow(str(workflow.rid)) == workflow


def test_an_experiment_is_named_by_its_choices(ml: DerivaML, recorded: Make) -> None:
    rid = recorded({"f1": 0.5}, l2=1, choices={"model_config": "wide"}).execution_rid
    experiment = ml.lookup_experiment(rid)
    assert (experiment.name, experiment.model_config, experiment.status) == ("wide", {"l2": 1}, "Uploaded")
    assert experiment.summary()["metrics"] == {"f1": 0.5}
    text = experiment.to_markdown()
    assert f"### wide ({rid})" in text and "`f1=0.5`" in text and "metrics.jsonl" in text
    assert [one.execution_rid for one in ml.find_experiments()] == [rid]


def test_files_and_datasets_are_listed_and_shown_by_name(
    ml: DerivaML, runs: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A name that several have is refused with their RIDs."""
    local = ml.connection.local
    for name, text in (("a.csv", "1"), ("b.csv", "2"), ("a.csv", "3")):
        (tmp_path / name).write_text(text)
        local.add_file(tmp_path / name)
    dataset = local.add_dataset("Digits\nmore", [], ["Training"])
    listed = json.loads(said(capsys, "files", "--json", "--name", "*.csv"))
    assert [one["filename"] for one in listed] == ["a.csv", "b.csv", "a.csv"]
    assert "metrics.jsonl" not in said(capsys, "files") and "metrics.jsonl" in said(
        capsys, "files", "--type", "Metrics_File"
    )
    assert said(capsys, "files", "--name", "none") == "no file is here that fits\n"
    assert said(capsys, "datasets").splitlines()[1].split() == [dataset, "0.1.0", "Training", "Digits"]
    assert f"asset:       {listed[1]['rid']}" in said(capsys, "show", "b.csv")
    assert f"dataset:     {dataset}" in said(capsys, "show", "Digits")
    line = refused(capsys, "show", "a.csv")
    assert f"2 records are called a.csv, the newest first: {listed[0]['rid']}, {listed[2]['rid']}" in line


def test_show_says_how_to_repeat_a_run(
    ml: DerivaML, capsys: pytest.CaptureFixture[str], recorded: Make
) -> None:
    def shown(**changed: Any) -> dict[str, Any]:
        from deriva_ml.execution import ExecutionConfiguration

        configuration = ExecutionConfiguration(**changed)
        execution = ml.create_execution(configuration, ml.find_workflows()[0])
        execution.started_by = changed["argv"][0]
        execution.record_circumstances({})
        execution.commit_output_assets()
        return dict(json.loads(said(capsys, "show", execution.execution_rid, "--json")))

    recorded()
    argv = ["deriva-ml-run-notebook", "a b.ipynb", "-p", "x", "1"]
    assert shown(argv=argv)["repeat"] == "uv run deriva-ml-run-notebook 'a b.ipynb' -p x 1"
    argv = ["deriva-ml-run", "--multirun", "--allow-dirty", "model_config.l2=1,2"]
    assert shown(argv=argv, overrides=["model_config.l2=1"])["repeat"] == (
        "uv run deriva-ml-run --allow-dirty model_config.l2=1"
    )
    assert shown(argv=["ipykernel_launcher.py"])["repeat"] == ""
