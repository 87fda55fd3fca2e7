"""What the runners of released versions recorded can be read: results, comparison and lineage."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.cli import catalog
from git_repository import isolate_git
from template_versions import RELEASED

RUNS = """
import json, sys
from deriva_ml import DerivaML
from deriva_ml.definitions import Workflow
from deriva_ml.execution import ExecutionConfiguration

ml = DerivaML()
for number in range(3):
    configuration = ExecutionConfiguration(
        description=f"run {number}",
        parameters={"l2": 10.0**-number, "same": True},
        config_choices={"model_config": "wide" if number else "quick"},
        argv=["deriva-ml-run", f"model_config.l2={number}"],
        overrides=[f"model_config.l2={number}"],
    )
    try:
        with ml.create_execution(configuration, Workflow("Train", "Training", url="u", checksum="c")) as execution:
            execution.record_circumstances({"commit": "c0ffee", "dirty": False})
            with open(execution.metrics_file(), "a") as stream:
                for step in range(3):
                    stream.write(json.dumps({"step": step, "accuracy": number + step / 10}) + chr(10))
                stream.write("no JSON" + chr(10) if number == 1 else "")
            execution.asset_file_path("Execution_Asset", "model.txt", "Model_File").write_text(f"model {number}")
            if number == 2:
                raise ValueError("no good")
        execution.commit_output_assets()
    except ValueError:
        pass
    print(execution.execution_rid)
"""
"""Three runs of a model, the last of which fails; written for what 0.1.0 had."""


@pytest.fixture(params=sorted(path.name for path in RELEASED.glob("*.tar.gz")))
def runs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Executions that a released runner recorded, in the project that is the working folder."""
    isolate_git(monkeypatch, tmp_path)
    with tarfile.open(RELEASED / request.param) as released:
        released.extractall(tmp_path / "released", filter="data")
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(project)
    done = subprocess.run(
        [sys.executable, "-c", RUNS],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(tmp_path / "released/template/src"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_results_of_runs_of_a_released_version_are_read_when_they_are_asked_for(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once; a damaged file is named, and what is right in it counts."""

    def found(*words: str) -> Any:
        assert catalog.main(["results", "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)

    assert catalog.main(["results", "--json", "--sort=-accuracy"]) == 0
    out, err = capsys.readouterr()
    assert (
        err.count(
            f"warning: metrics.jsonl of execution {runs[1]} is not read in full: line 4 is no JSON object"
        )
        == 1
    )
    assert [one["rid"] for one in json.loads(out)] == runs[::-1]
    first = json.loads(out)[-1]
    assert first["parameters"] == {"model_config.l2": 1.0, "model_config.same": True}
    assert first["choices"] == {"model_config": "quick"}
    assert first["metrics"]["accuracy"] == {
        "last": 0.2,
        "last_step": 2,
        "least": 0.0,
        "least_step": 0,
        "greatest": 0.2,
        "greatest_step": 2,
    }
    assert [one["rid"] for one in found("--where", "l2 < 0.5 and accuracy > 1", "--sort", "when")] == runs[1:]
    assert [one["rid"] for one in found("--status", "Failed")] == runs[2:]
    assert capsys.readouterr().err == ""


def test_the_record_of_a_released_version_is_compared_and_has_a_lineage(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    record = DerivaML().lookup_execution(runs[0])
    assert record.metrics == {"accuracy": 0.2} and record.config_choices == {"model_config": "quick"}
    capsys.readouterr()
    assert catalog.main(["compare", *runs[:2]]) == 0
    out = capsys.readouterr().out
    for expected in ("model_config.l2", "accuracy", "model.txt", "quick"):
        assert expected in out
    assert catalog.main(["lineage", "model.txt"]) == 2, "several files are called so"
    assert "3 records are called model.txt" in capsys.readouterr().err
    assert catalog.main(["lineage", runs[0], "--down"]) == 0
    assert "file model.txt" in capsys.readouterr().out
    assert catalog.main(["show", runs[0]]) == 0
    assert "uv run deriva-ml-run model_config.l2=0" in capsys.readouterr().out
