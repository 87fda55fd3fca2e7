"""Records that hold what nobody expects: strange names and values, damaged rows, runs that did not come to an end."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog.summaries import Summary
from deriva_ml.cli import catalog
from deriva_ml.definitions import Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.metrics import Metric
from records.conftest import Make


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    capsys.readouterr()
    assert catalog.main(words) == 0
    return capsys.readouterr().out


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    """The table as CSV has it."""
    return [*csv.DictReader(io.StringIO(said(capsys, "results", "--csv", *words)))]


def deep(levels: int) -> Any:
    """A list within a list, and so on."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


# --------------------------------------------------------------------------------------------------- names and values
@pytest.mark.parametrize(
    "parameters",
    [{"a": "\ud800"}, {"a": deep(900)}, {"a": {"b": deep(400)}}, {"a": "x\0y"}, {"": 1}],
    ids=["half a character", "deep", "deep in a mapping", "zero", "no name"],
)
def test_a_run_is_recorded_whatever_its_parameters_and_metrics_are_called(
    ml: DerivaML, recorded: Make, parameters: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that was computed is lost since a table cannot hold a name or a value."""
    name = next(iter(parameters))
    ml.create_execution(ExecutionConfiguration(), Workflow("W")).log_metrics({"\ud800": 1})
    execution = recorded({name: 0.5, "\ud800": 3, "f1": 1}, {"f1": 2}, **{"seed": 3, **parameters})
    assert ml.lookup_execution(execution.execution_rid).metrics["f1"] == 2
    [row, _] = json.loads(said(capsys, "results", "--json"))
    assert row["parameters"]["seed"] == 3 and set(row["metrics"]) == {name, "\\ud800", "f1"}


def test_names_with_odd_characters_are_asked_for_in_backquotes(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a b", "a,b", "a`b", 'a"b', "a.b.c", "-a", "a > 1", "ü", "a and b")
    first, second = ({name: number for name in names} for number in (1, 2))
    runs = [recorded(first).execution_rid, recorded(second).execution_rid]
    for name in names:
        quoted = "`" + name.replace("`", "``") + "`"
        assert [row["RID"] for row in rows(capsys, "--where", f"{quoted} = 2")] == [runs[1]], name
        found = rows(capsys, f"--sort=-{quoted}", f"--columns=RID,{quoted}")
        assert [[*row.values()] for row in found] == [[runs[1], "2"], [runs[0], "1"]], name


def test_a_name_of_a_parameter_and_a_metric_means_each_where_it_is_said(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a run that has the one and not the other: its parameter is not shown as a metric."""
    both = recorded({"loss": 0.5, "status": 7}, loss="mse", choices={"loss": "l"}).execution_rid
    only = recorded(loss="mae", choices={"loss": "m"}).execution_rid
    by_rid = {row.pop("RID"): row for row in rows(capsys)}
    assert {name: by_rid[both][name] for name in ("loss", "parameters.loss", "choices.loss")} == {
        "loss": "0.5",
        "parameters.loss": "mse",
        "choices.loss": "l",
    }
    assert (by_rid[only]["loss"], by_rid[only]["parameters.loss"], by_rid[only]["metrics.status"]) == (
        "",
        "mae",
        "",
    )
    for where, expected in {
        "loss > 0": [both],
        "metrics.loss = 0.5": [both],
        "parameters.loss = mae": [only],
        "choices.loss = l": [both],
        "metrics.status = 7": [both],
        "status = Uploaded": [only, both],
    }.items():
        assert [row["RID"] for row in rows(capsys, "--where", where)] == expected, where
    assert list(rows(capsys, "--columns", "choices.loss,metrics.loss,parameters.loss")[0].values()) == [
        "m",
        "",
        "mae",
    ]


def test_values_of_several_types_are_sorted_and_compared(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers come before texts, and nothing comes last; truth values are asked for as Python or JSON has them."""
    values = [1, "b", 0.5, "a", None, "nan", True, [1, 2], {}]
    runs = [recorded(x=value).execution_rid for value in values]

    def found(*words: str) -> list[Any]:
        return [values[runs.index(row["RID"])] for row in rows(capsys, *words)]

    order = found("--sort", "x")
    assert order[:2] == [0.5, 1] and order[-1] is None
    order = found("--sort=-x")
    assert order[-3:-1] == [1, 0.5] and order[-1] is None
    for where, expected in {
        "x = true": [True],
        "x = True": [True],
        "x = nan": ["nan"],
        "x = NaN": ["nan"],
        "x = None": [None],
        "x = null": [None],
        "x = '[1, 2]'": [[1, 2]],
        "x < 1": [0.5],
        "x < b": [[1, 2], "a"],
        f"x > 1{'0' * 400}": [],
    }.items():
        assert found("--where", where) == expected, where
    assert len(found("--where", "x != 1")) == len(values) - 1 == len(found("--where", "x != a"))


def test_the_best_of_truth_values_is_true(recorded: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded({"done": False}, {"done": True}, {"done": False}).execution_rid
    [row] = rows(capsys, "--best", "max")
    assert (row["RID"], row["done"], row["done step"]) == (run, "true", "1")
    assert rows(capsys, "--best", "max", "--where", "done = true")


def test_json_has_texts_for_what_json_has_no_numbers_for(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that every reader takes it; CSV has them as Python writes them."""
    nan, inf = float("nan"), float("inf")
    run = recorded({"loss": nan, "top": inf, "low": -inf}).execution_rid
    for words in (["results", "--json"], ["show", run, "--json"]):
        written = json.loads(said(capsys, *words), parse_constant=pytest.fail)
        one = written[0] if isinstance(written, list) else written
        last = [value["last"] if isinstance(value, dict) else value for value in one["metrics"].values()]
        assert sorted(last) == ["-Infinity", "Infinity", "NaN"]
    assert [row["loss"] + row["top"] + row["low"] for row in rows(capsys)] == ["naninf-inf"]


def test_a_text_that_a_spreadsheet_would_compute_is_a_text_in_csv(
    recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """As OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection); numbers stay numbers, JSON the text."""
    hostile = "=cmd|' /C calc'!A0"
    recorded({"loss": -0.5}, x=hostile, y="-1e3", z="plain", w="a\nb\x1b[2J")
    recorded({"loss": -0.5}, x="@sum", y="+x", z="", w="")
    first, second = rows(capsys)[::-1]
    assert (first["x"], first["y"], first["z"], first["loss"]) == (f"'{hostile}", "-1e3", "plain", "-0.5")
    assert (second["x"], second["y"]) == ("'@sum", "'+x")
    assert "\x1b" not in first["w"] and "a\nb" in first["w"]
    assert json.loads(said(capsys, "results", "--json"))[1]["parameters"]["x"] == hostile


def test_long_values_are_cut_on_a_terminal_and_whole_in_a_pipe(
    recorded: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody asks for is not left out for it."""
    for number in range(2):
        recorded({"f1": number}, path=f"{number}" + "x" * 5000)
    assert "x" * 5000 in said(capsys, "results")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    heading, *lines = said(capsys, "results", "--columns", "RID,path,f1").splitlines()
    assert heading.split() == ["RID", "path", "f1"] and len(lines) == 2
    assert all(len(line) <= 40 and "…" in line and line.split()[-1] in "01" for line in lines)
    heading, *_ = said(capsys, "results").splitlines()
    assert {"RID", "f1"} <= {*heading.split()}


def test_ten_thousand_columns_are_no_trouble(
    recorded: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a terminal has no room for is named as far as a person reads it."""
    for number in range(2):
        recorded(**{f"p{place:05}": place + number for place in range(10_000)})
    assert len(rows(capsys)[0]) == 10_002
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    begun = time.process_time()
    *_, last = said(capsys, "results").splitlines()
    assert time.process_time() - begun < 3
    assert last.startswith("left out, for want of room: ") and len(last) < 200 and " more;" in last


# ------------------------------------------------------------------------------------------------------- which runs
def test_a_run_that_failed_or_is_under_way_has_what_is_known_of_it(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that has not recorded its parameters yet does not make those of the others differ."""
    done = recorded({"f1": 0.5}, seed=1).execution_rid
    configuration = ExecutionConfiguration(parameters={"seed": 1})
    failed = ml.create_execution(configuration, Workflow("Train", "Training", url="u", checksum="Train"))
    with pytest.raises(ZeroDivisionError), failed.execute():
        failed.record_circumstances({})
        failed.log_metrics({"f1": 0.25}, step=4)
        raise ZeroDivisionError
    under_way = ml.create_execution(configuration, Workflow("Train", "Training", url="u", checksum="Train"))
    under_way.execution_start()
    found = {row["RID"]: row for row in rows(capsys)}
    assert list(found) == [under_way.execution_rid, failed.execution_rid, done]
    assert found[failed.execution_rid]["status"] == "Failed" and found[failed.execution_rid]["f1"] == "0.25"
    assert found[under_way.execution_rid]["f1"] == "" and "seed" not in found[done]


def test_no_runs_are_not_all_runs(ml: DerivaML, recorded: Make) -> None:
    recorded({"f1": 1})
    assert len(ml.results(rids=[])) == 0
    assert len(ml.results()) == 1
    assert list(ml.results(columns="RID,f1").columns) == ["RID", "f1"]


def test_an_rid_of_no_execution_is_refused(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be missing among the others; one that a filter leaves out is no mistake."""
    run = recorded({"f1": 1}).execution_rid
    for words in ([run, "9-ZZZZ"], ["--sweep", "9-ZZZZ"]):
        assert catalog.main(["results", *words]) == 2
        assert "there is no execution 9-ZZZZ" in capsys.readouterr().err
    with pytest.raises(DerivaMLRequestError, match="no execution 9-ZZZZ"):
        ml.results([run, "9-ZZZZ"])
    assert rows(capsys, run, "--where", "f1 > 1") == []


def test_a_dataset_finds_those_that_read_and_those_that_made_it(ml: DerivaML, recorded: Make) -> None:
    maker, reader, _ = (recorded(x=number).execution_rid for number in range(3))
    local = ml.connection.local
    dataset = local.add_dataset("data", [], execution=maker)
    local.link_dataset(reader, local.lookup_dataset(dataset))
    assert [one.rid for one in ml.find_executions(dataset=dataset)] == [reader, maker]


def test_many_named_runs_are_sorted_as_they_were_named(ml: DerivaML) -> None:
    """In no time: a sweep may have thousands."""
    local = ml.connection.local
    with local.transaction():
        workflow = local._workflow(Workflow("W"))
        made = local._db.insert(
            "Execution",
            *({"Workflow": workflow, "Status": "Uploaded", "Status_Detail": ""} for _ in range(3000)),
        )
    begun = time.process_time()
    frame = ml.results(made)
    assert frame["RID"].tolist() == made
    assert ml.results(made, limit=2)["RID"].tolist() == made[:2]
    assert time.process_time() - begun < 2


# ----------------------------------------------------------------------------------------------------- damaged rows
@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("local_metric", "\"last\" = x'ff00'"),
        ("local_metric", '"last" = NULL, "greatest" = NULL'),
        ("local_metric", "\"last\" = '=high', \"last_step\" = x'00'"),
        ("local_metric", "\"name\" = x'ff'"),
        ("local_metric", "\"name\" = ''"),
        ("local_setting", "\"name\" = x'ff'"),
        ("local_setting", "\"json\" = x'ff', \"value\" = x'ff'"),
        ("local_setting", f'"json" = \'{"[" * 100_000}\', "value" = NULL'),
        ("local_setting", '"json" = \'{"a":\', "value" = \'x\''),
        ("local_setting", f'"json" = \'{"[" * 900}{"]" * 900}\', "value" = NULL'),
        ("local_setting", "\"kind\" = 'other'"),
        ("local_setting", '"json" = \'[1]\', "value" = -9223372036854775808'),
    ],
)
def test_rows_that_no_runner_wrote_leave_the_others_readable(
    ml: DerivaML, recorded: Make, table: str, changes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = recorded({"f1": 0.5}, x=1).execution_rid
    bad = recorded({"f1": 0.75}, x=2, choices={"assets": "a"}).execution_rid
    database = ml.connection.local._db
    kind = "" if table == "local_metric" else " AND \"name\" = 'x'"
    database.query(f'UPDATE "{table}" SET {changes} WHERE "execution" = ?{kind}', bad)
    for words in (["results"], ["results", "--json"], ["results", "--csv", "--best", "max"], ["show", bad]):
        assert good in said(capsys, *words) or words[0] == "show"
    for words in (["--sort", "f1"], ["--where", "f1 > 0"], ["--where", "x < 5"], ["--sort", "x"]):
        assert good in said(capsys, "results", *words)
    assert catalog.main(["results", "--where", "nope = 1"]) == 2
    assert catalog.main(["compare", good, bad]) == 0
    assert isinstance(ml.lookup_execution(bad).metrics, dict)


def test_a_text_that_is_none_is_said_in_one_line(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded({"f1": 0.5}).execution_rid
    with sqlite3.connect(ml.project.database) as database:
        database.execute("UPDATE local_metric SET name = CAST(x'ff' AS TEXT) WHERE execution = ?", (run,))
    status = catalog.main(["results"])
    assert status in {0, 1} and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["results", "\udcff"],
        ["results", "--where", "\udcff = 1"],
        ["results", "--sort", "\udcff"],
        ["results", "--columns", "\udcff"],
        ["results", "--workflow", "\udcff"],
        ["show", "\udcff"],
        ["files", "--name", "\udcff"],
        ["lineage", "\udcff"],
    ],
)
def test_bytes_that_are_no_text_name_nothing(
    ml: DerivaML, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As Python has them in arguments of a shell."""
    assert catalog.main(words) == (0 if {"--workflow", "--name"} & {*words} else 2)
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_two_commits_of_one_run_count_together(ml: DerivaML, tmp_path: Path) -> None:
    """The last value is that of the later commit, the best that of either."""
    configuration = ExecutionConfiguration(parameters={"x": 1})
    execution = ml.create_execution(configuration, Workflow("W", checksum="c"))
    execution.metrics_file().write_text('{"step": 1, "a": 5}\n{"step": 2, "a": 3}\n')
    execution.commit_output_assets()
    execution.metrics_file().write_text('{"step": 3, "a": 4}\n')
    execution.commit_output_assets()
    [metric] = ml.lookup_execution(execution.execution_rid).metric_summaries.values()
    assert tuple(metric) == (4, 3, 3, 2, 5, 1)


def test_metrics_are_what_has_their_type_whatever_the_table_and_name(ml: DerivaML) -> None:
    """A file with another type is none, whatever it is called."""
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("W", checksum="c"))
    for table, name, kind, text in (
        ("Execution_Asset", "own.jsonl", "Metrics_File", '{"a": 1}\n'),
        ("Execution_Metadata", "metrics.jsonl", "Output_File", '{"b": 1}\n'),
        ("Execution_Asset", "configuration.json", "Output_File", '{"parameters": {"c": 1}}'),
    ):
        execution.asset_file_path(table, name, kind).write_text(text)
    execution.commit_output_assets()
    record = ml.lookup_execution(execution.execution_rid)
    assert (record.metrics, record.parameters) == ({"a": 1}, {})


def test_a_process_that_is_stopped_while_it_records_leaves_all_or_nothing(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and what can be asked of them are recorded in one moment; what was staged is recorded the next time."""
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("W", checksum="c"))
    execution.metrics_file().write_text('{"a": 1}\n')
    local = ml.connection.local

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("deriva_ml.catalog.summaries.Summaries.add", stop)
        local.commit(execution.execution_rid)
    assert local.assets_of(execution.execution_rid) == []
    assert [item.filename for item in local.staged(execution.execution_rid)] == ["metrics.jsonl"]
    local.commit(execution.execution_rid)
    assert ml.lookup_execution(execution.execution_rid).metrics == {"a": 1}


def test_of_two_processes_that_read_an_older_record_one_keeps_it(ml: DerivaML, recorded: Make) -> None:
    """The other has read the same, and changes nothing, even if the record has gone on."""
    rid = recorded({"a": 1}, x=1).execution_rid
    local = ml.connection.local
    local._db.query('INSERT INTO "local_unread" VALUES (?)', rid)
    slow = Summary({"x": 1}, {}, {"a": Metric(1, 0, 1, 0, 1, 0)})
    local.read_summaries()
    local._db.query('UPDATE "local_metric" SET "last" = 2')
    local.summaries.fill(rid, slow)
    assert ml.lookup_execution(rid).metrics == {"a": 2} and local.summaries.waiting() == []
