"""What cannot be swept is refused in one line before anything starts; all else becomes the plan that was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import SOURCE, Outcome

SCRIPT = """
import contextlib, importlib, io, json, sys, traceback
import deriva_ml.cli.sweep as sweep
import deriva_ml.config.compose as composing

really, composed = composing._composed, []
composing._composed = lambda *arguments: composed.append(1) or really(*arguments)
sweep.run = lambda project, plan: print(json.dumps({**plan.to_json(), "composed": len(composed)})) or 0
answers = []
for command, *words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = [command]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = importlib.import_module(f"deriva_ml.cli.{command}").main(words)
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            status, _ = 99, traceback.print_exc()
    answers.append([status, out.getvalue(), err.getvalue()])
json.dump(answers, sys.__stdout__)
"""
"""Runs commands one after the other; a sweep is not run, its plan is shown."""

NOTEBOOK = """
import datetime

alpha: float = 0.5
count: int = 3
name: str = "a"
words: list[str] = []
day: datetime.date = datetime.date(2026, 1, 1)
flag: bool = False
double = 2 * alpha
"""
STUDY = """
from dataclasses import dataclass
from deriva_ml.execution import BaseConfig, multirun_config, notebook_config
from hydra_zen import store

@dataclass
class Study(BaseConfig):
    threshold: float = 0.5

notebook_config("study", Study)
multirun_config("both", overrides=["hydra/launcher=basic", "threshold=0.1,0.9"], description="Both ends")
store([], group="assets", name="other")
store({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, group="hydra/launcher", name="mine")
"""


def code(source: str, *tags: str) -> dict[str, Any]:
    kind = {"cell_type": "code", "metadata": {"tags": list(tags)}, "outputs": [], "execution_count": None}
    return {**kind, "source": source.strip()}


Asking = Callable[[str, Sequence[Sequence[str]]], list[Outcome]]


@pytest.fixture(scope="module")
def ask(sketch: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Asking:
    """``ask(command, lines)``: how each command line of one command ends."""
    root = sketch(tmp_path_factory.mktemp("refusals") / "project")
    (root / "src/deriva_ml").symlink_to(SOURCE / "deriva_ml")
    (root / "src/configs/study.py").write_text(STUDY)
    start = code("from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook()")
    told = {
        "cells": [code(NOTEBOOK, "parameters"), start],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / "study.ipynb").write_text(json.dumps(told))
    untold = {**told, "cells": [code(NOTEBOOK, "parameters"), code("from hydra_zen import store"), start]}
    (root / "untold.ipynb").write_text(json.dumps(untold))
    plain = {**told, "cells": [code(NOTEBOOK, "parameters")]}
    (root / "plain.ipynb").write_text(json.dumps(plain))
    (root / "values.yaml").write_text("name: '3'\nday: 2026-02-03\nflag: yes\nwords: [a, b]\n")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)

    def ask(command: str, lines: Sequence[Sequence[str]]) -> list[Outcome]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
            input=json.dumps([[command, *line] for line in lines]),
            capture_output=True,
            text=True,
            check=True,
        )
        assert not (root / ".deriva-ml" / "sweeps").exists()
        return [Outcome(*answer) for answer in json.loads(done.stdout)]

    return ask


def refused(ask: Asking, command: str, cases: dict[tuple[str, ...], str]) -> None:
    """See that each command line is refused in one line that has these words."""
    wrong = {}
    for (line, said), answer in zip(cases.items(), ask(command, list(cases)), strict=True):
        lines = answer.err.splitlines()
        if answer.rc != 2 or answer.out or len(lines) != 1 or said not in answer.err:
            wrong[line] = answer
    assert not wrong, "\n".join(f"{line}: {said}" for line, said in wrong.items())


MULTI = "--multirun"
MODELS = {
    # nothing, too many, twice
    (MULTI,): "--multirun has nothing to sweep: give values, such as assets=NAME,OTHER",
    (MULTI, "model_config.l2=range(3,1)"): "model_config.l2=range(3,1) stands for no value",
    (MULTI, "model_config.seed=range(0,1001)"): "this is a sweep of 1,001 jobs: --yes runs it",
    (MULTI, "model_config.seed=range(0,400)", "model_config.l2=1,2,3"): "this is a sweep of 1,200 jobs",
    (
        MULTI,
        "--yes",
        "model_config.seed=range(0,90000)",
        "model_config.l2=range(0,90000)",
    ): "and 1,000,000 are the most",
    (MULTI, "model_config.seed=range(0,1000000000)"): "stands for more than 100,000 values: sweep fewer",
    (
        MULTI,
        "model_config.l2=1,2",
        "model_config.l2=3",
    ): "model_config.l2 is given twice: model_config.l2=1,2 and",
    # not known, not taken
    (MULTI, "model_config.nope=1,2"): "Could not override 'model_config.nope'",
    (MULTI, "model_config=quick,nope"): "Could not find 'model_config/nope'",
    (MULTI, "model_config.l2=1,2,many"): "Value 'many' of type 'str' could not be converted to Float",
    (MULTI, "+model_config.nope=1,2"): "train_digits() takes no nope",
    (MULTI, "model_config.l2=interval(0,1)"): "has no single values to run with",
    (MULTI, "workflow.name=a,${nope}"): "Interpolation key 'nope' not found",
    ("+multirun=nope",): "no sweep is named nope; there are: both, digits_widths",
    # one catalog, one kind
    (MULTI, "deriva_ml=default_deriva,production"): "a sweep is recorded in one catalog: leave deriva_ml out",
    (MULTI, "deriva_ml.hostname=a,b"): "a sweep is recorded in one catalog",
    # the engine
    ("hydra/launcher=joblib",): "hydra/launcher=joblib is for the jobs of a sweep: it goes with --multirun",
    ("hydra.sweeper.n_trials=3",): "hydra.sweeper.n_trials=3 is for the jobs of a sweep",
    (
        MULTI,
        "model_config.l2=1,2",
        "hydra/launcher=nope",
    ): "hydra/launcher=nope: there is none of that name; there are: basic,",
    (MULTI, "model_config.l2=1,2", "hydra.launcher.n_jobs=2"): "Could not override 'hydra.launcher.n_jobs'",
    (
        MULTI,
        "model_config.l2=1,2",
        "hydra.run.dir=x",
    ): "hydra.run.dir=x: runs do not go by Hydra's own settings",
    (
        MULTI,
        "model_config.l2=1,2",
        "~hydra/launcher",
    ): "~hydra/launcher: runs do not go by Hydra's own settings",
    # flags
    ("--fail-fast",): "--fail-fast is for the jobs of a sweep",
    ("--yes", "model_config=quick"): "--yes is for the jobs of a sweep",
    ("--new-code",): "--new-code goes with --resume RID",
    (
        MULTI,
        "model_config.l2=1,2",
        "--objective",
        "accuracy",
    ): "--objective accuracy: add --direction maximize if",
    (
        MULTI,
        "model_config.l2=1,2",
        "--direction",
        "maximize",
    ): "--direction maximize goes with --objective METRIC",
    ("--resume", "1-ABC", "model_config.l2=1"): "model_config.l2=1 does not go with --resume",
    (
        "--resume",
        "1-ABC",
        MULTI,
    ): "--multirun does not go with --resume, which is about a sweep whose jobs are known",
    ("--resume", "1-ABC", "--collect", "1-ABC"): "--collect does not go with --resume",
    ("--collect", "1-ABC", "hydra/launcher=basic"): "hydra/launcher=basic does not go with --collect",
    ("--resume", "1-ABC"): "1-ABC",
}


def test_a_sweep_of_models_is_refused_before_anything_starts(ask: Asking) -> None:
    refused(ask, "run", MODELS)


NB = "study.ipynb"
NOTEBOOKS = {
    # parameters
    (
        NB,
        "--sweep",
        "alpha",
    ): "--sweep alpha: it takes a parameter's name and its values, as in --sweep alpha=0.1,0.2",
    (NB, "--sweep", "beta=1,2"): "unknown parameter 'beta'; the notebook has: alpha, count",
    (NB, "--sweep", "alpha=0.1,0.2,many"): "parameter 'alpha' takes float, not 'many'",
    (NB, "--sweep", "count=range(1,2,0.5)"): "parameter 'count' takes int, not '1.5'",
    (NB, "--sweep", "alpha=range(3,1)"): "alpha=range(3,1) stands for no value",
    (NB, "--sweep", "alpha=interval(0,1)"): "alpha=interval(0,1) has no single values to run with",
    (NB, "--sweep", "name=glob(*)"): "glob() stands for entries of a group, and a parameter has none",
    (NB, "--sweep", "alpha=[1"): "alpha=[1 cannot be read: write 'alpha=[1]'",
    (
        NB,
        "--sweep",
        "alpha=1,2",
        "-p",
        "alpha",
        "3",
    ): "alpha is given by -p and by --sweep: leave one of them out",
    (NB, "--sweep", "alpha=1,2", "--sweep", "alpha=3"): "--sweep gives alpha twice: 1,2 and 3",
    (NB, "--sweep", "alpha=0.1,high"): "parameter 'alpha' takes float, not 'high' (from --sweep)",
    (NB, "--sweep", "mode=ä,b"): """mode=ä,b cannot be read: write 'mode="ä",b'""",
    (NB, MULTI, "assets=ä,b"): """assets=ä,b cannot be read: write 'assets="ä",b'""",
    (NB, "-p", "alpha", "0.1,0.2"): "parameter 'alpha' takes float, not '0.1,0.2' (from -p)",
    # flags
    (NB, "--sweep", "alpha=1,2", "--repeat", "2"): "--repeat is about one run: leave it out of a sweep",
    (NB, "--sweep", "alpha=1,2", "--inspect"): "--inspect is about one run",
    (NB, MULTI): "--multirun has nothing to sweep",
    (NB, "--direction", "maximize"): "--direction is for the jobs of a sweep",
    ("--resume", "1-ABC", "-p", "alpha", "1"): "--parameter does not go with --resume",
    ("--resume", "1-ABC", "--sweep", "alpha=1,2"): "--sweep does not go with --resume",
    (NB, "hydra/launcher=joblib"): "hydra/launcher=joblib is for the jobs of a sweep",
    # the configuration
    (NB, MULTI, "threshold=0.1,high"): "Value 'high' of type 'str' could not be converted to Float",
    (NB, MULTI, "alpha=0.1,0.2"): "alpha is a parameter: --sweep alpha=0.1,0.2",
    (NB, "alpha=0.1,0.2"): "alpha is a parameter: --sweep alpha=0.1,0.2",
    (NB, MULTI, "assets=glob(zz*)"): "assets=glob(zz*) stands for no value; assets has",
    (
        NB,
        "--cfg",
        "job",
        "+multirun=both",
    ): "this is a sweep of 2 runs: show one of them, such as threshold=0.1",
}


def test_a_sweep_of_a_notebook_is_refused_before_anything_starts(ask: Asking) -> None:
    refused(ask, "run_notebook", NOTEBOOKS)


LATER = ["description=${oc.env:SET_LATER}", "deriva_ml.hostname=${oc.env:SET_LATER}"]
"""What cells may set, and so only the kernel can tell."""


def test_a_plan_is_what_was_typed(ask: Asking) -> None:
    """Each combination once, in the order typed; values of parameters as they would be after ``-p``."""
    typed = [
        [NB, MULTI, "assets=glob(*)", "--sweep", "alpha=0.10,1e-3", "-p", "name", "x", "description=Why"],
        [NB, "+multirun=both", "hydra/launcher=mine", "--file", "values.yaml", "--fail-fast", *LATER],
        ["untold.ipynb", MULTI, "nobody_knows=1,2"],
        ["plain.ipynb", "--sweep", "alpha=1,2"],
    ]
    answers = ask("run_notebook", typed)
    assert [one.rc for one in answers] == [0, 0, 0, 0], answers
    every, named, untold, plain = (json.loads(one.out) for one in answers)
    assert "double: computed in the parameters cell from the default of alpha" in answers[0].err

    assets = ["default_asset", "digits", "my_assets", "other"]
    entries = [job["overrides"][0].removeprefix("assets=") for job in every["jobs"][::2]]
    assert set(assets[:1] + assets[2:]) <= set(entries) and entries == sorted(entries)
    assert [job["given"] for job in every["jobs"][:2]] == [
        [["name", "x"], ["alpha", "0.10"]],
        [["name", "x"], ["alpha", "1e-3"]],
    ]
    assert every["base"] == ["description=Why"] and every["description"] == "Why"
    assert every["swept"][0] == {"key": "assets", "text": f"choice({','.join(entries)})", "parameter": False}
    assert every["swept"][1] == {"key": "alpha", "text": "0.10,1e-3", "parameter": True}
    assert (every["notebook"], every["workflow"]["name"], every["dry_run"]) == (NB, "Study", False)

    assert named["engine"] == ["hydra/launcher=mine"] and named["fail_fast"]
    assert named["description"] == "Both ends"
    assert dict(named["given"]) == {"name": "3", "day": "2026-02-03", "flag": "true", "words": '["a", "b"]'}
    assert [job["overrides"] for job in named["jobs"]] == [
        [f"threshold={one}", *LATER] for one in ("0.1", "0.9")
    ]
    assert len(untold["jobs"]) == 2 and untold["description"] == "Sweep: nobody_knows=1,2"
    assert plain["workflow"]["name"] == "Plain" and untold["workflow"]["name"] == "Untold"


def test_a_thousand_jobs_are_looked_at_without_composing_each(ask: Asking) -> None:
    script = ["--multirun", "model_config.seed=range(0,1000)"]
    [answer] = ask("run", [script])
    plan = json.loads(answer.out)
    assert len(plan["jobs"]) == 1000 and plan["composed"] == 1
