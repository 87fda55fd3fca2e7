"""What the record of a notebook says of its parameters, whoever executed it."""

from __future__ import annotations

import json

import pytest

from conftest import ProjectFolder
from notebook_runs.runs import committed, contents, latest, run
from notebooks import COMMIT, START

CELL = """
from pathlib import Path
width: int = 2
folder = Path("data") / "images"
area = width * width
api_token = "not-to-be-seen"
"""
CHANGED = "width += 1"
OWN = """
from deriva_ml import DerivaML, ExecutionConfiguration
ml = DerivaML()
workflow = ml.create_workflow("By itself", "Training")
with ml.create_execution(ExecutionConfiguration(description="by itself"), workflow).execute() as execution:
    pass
print(ml.cite("0000"))
"""
PARAMETERS = {"width": 17, "folder": "data/images", "area": 4, "api_token": "***"}


@pytest.mark.parametrize("start", [START, OWN], ids=["run_notebook", "create_execution"])
def test_they_are_those_that_the_notebook_worked_with(project: ProjectFolder, start: str) -> None:
    name = f"effective-{len(start)}.ipynb"
    path = committed(project, name, CHANGED, start, COMMIT, parameters=CELL)
    done = run(project, path, "-p", "width", "16")
    record = latest(project)
    assert (done.rc, record["status"]) == (0, "Uploaded"), done.text
    assert (record["parameters"], record["given"], record["not set yet"]) == (PARAMETERS, {"width": 16}, [])
    configuration = json.loads(contents(record)["configuration.json"])
    assert configuration["parameters"] == PARAMETERS
    assert configuration["argv"] == ["deriva-ml-run-notebook", path, "-p", "width", "16"]
    assert configuration["provenance"]["commit"] == project.git("rev-parse", "HEAD")
    assert b"not-to-be-seen" not in contents(record)["configuration.json"]
    shown = project.run("deriva-ml-catalog", "show", record["execution"], check=True).out
    assert '\n  folder = "data/images"\n' in shown and "\ngiven:\n  width = 16\n" in shown


def test_a_notebook_that_starts_no_execution_has_those_that_were_given(project: ProjectFolder) -> None:
    cell = "msg: str = 'none'\nother = 1\nratio: float = 0.5"
    path = committed(project, "simple.ipynb", "print('got', msg, ratio)", parameters=cell)
    done = run(project, path, "-p", "msg", "hello", "-p", "ratio", "nan")
    record = latest(project)
    assert (done.rc, record["status"]) == (0, "Uploaded"), done.text
    assert record["parameters"] == record["given"] == {"msg": "hello", "ratio": "nan"}
    assert record["description"] == "Execution of simple.ipynb [msg=hello, ratio=nan]"
    assert "got hello nan" in contents(record)["simple.md"].decode()
    for name in ("configuration.json", "simple.ipynb"):  # which other programs read, too
        json.loads(contents(record)[name], parse_constant=pytest.fail)
    configuration = json.loads(contents(record)["configuration.json"])
    assert configuration["provenance"]["commit"] == project.git("rev-parse", "HEAD")
    assert configuration["workflow"]["name"] == "Simple"


def test_an_execution_that_starts_in_the_parameters_cell(project: ProjectFolder) -> None:
    path = committed(project, "within.ipynb", COMMIT, parameters=f"width: int = 2\n{START}\nlate = 3")
    run(project, path, "-p", "width", "16")
    record = latest(project)
    assert record["parameters"] == {"width": 16, "late": "not set yet"}
    assert record["not set yet"] == ["late"]


def test_papermill_by_itself(project: ProjectFolder) -> None:
    path = committed(project, "bare.ipynb", CHANGED, START, COMMIT, parameters=CELL)
    command = ("papermill", path, "outputs/bare.ipynb", "-p", "width", "16", "--cwd", "notebooks")
    (project / "outputs").mkdir(exist_ok=True)
    project.run(*command, check=True)
    record = latest(project)
    assert (record["parameters"], record["given"]) == (PARAMETERS, {"width": 16})


def test_by_hand_where_the_file_is_known(project: ProjectFolder) -> None:
    """nbconvert executes as JupyterLab does, with the variable by which Jupyter's server tells the file."""
    path = committed(project, "hand.ipynb", CHANGED, START, COMMIT, parameters=CELL)
    command = ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", "outputs", path)
    project.run(*command, check=True, env={"JPY_SESSION_NAME": str(project / path)})
    record = latest(project)
    assert (record["parameters"], record["given"]) == ({**PARAMETERS, "width": 3}, {})
