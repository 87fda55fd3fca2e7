"""What the page about moving says of the upstream library's names and spellings is so."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import deriva_ml
import deriva_ml.asset
import deriva_ml.dataset
import deriva_ml.execution
from conftest import ROOT
from deriva_ml import DerivaML, DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.core import open_connection
from deriva_ml.dataset import DatasetSpec
from deriva_ml.execution import ExecutionConfiguration, Workflow
from deriva_ml.project import Project
from pages import read

PAGE = read(ROOT / "docs" / "moving.md")
CHANGES = PAGE.blocks("diff")


def test_the_names_that_it_lists_are_there() -> None:
    """Each name of the table of what works as it is can be imported from the module that it stands beside."""
    rows = re.findall(r"^\| `(deriva_ml[\w.]*)` \| (.+) \|$", PAGE.text, re.MULTILINE)
    listed = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}
    assert set(listed) == {"deriva_ml", "deriva_ml.execution", "deriva_ml.dataset", "deriva_ml.asset"}
    for module, names in listed.items():
        missing = {name for name in names if not hasattr(importlib.import_module(module), name)}
        assert not missing, module


def test_every_name_of_the_runner_is_listed_or_said_to_be_only_here() -> None:
    """Whoever goes back finds each exported name either among those of both, or among those that upstream lacks."""
    both, _, rest = PAGE.text.partition("## What has to change")
    only_here = rest.partition("What upstream does not have:")[2]
    for module in (deriva_ml, deriva_ml.execution):
        for name in module.__all__:
            assert f"`{name}" in both or f"`{name}" in only_here, f"{module.__name__}.{name}"


# ------------------------------------------------------------------------------------------------- before and after
@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code of a change may use: an execution with a file and a dataset as inputs, and a folder."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "spring.txt"
    source.write_text("1 2 3")
    catalog = EmbeddedCatalog(Project(tmp_path))
    file = catalog.add_file(source, "measured").rid
    dataset = catalog.add_dataset("Spring", [file], [], "1.0.0")
    ml = DerivaML()
    workflow = Workflow("Line", "Training", url="git:c0ffee:line.py", checksum="c0ffee")
    configuration = ExecutionConfiguration(datasets=[DatasetSpec(dataset)], assets=[file], workflow=workflow)
    execution = ml.create_execution(configuration)
    execution.asset_file_path("Execution_Asset", "line.json").write_text("{}")
    names = {"3SY": dataset, "3XM": file}
    from hydra_zen import builds

    return {
        "ml": ml,
        "execution": execution,
        "folder": tmp_path,
        "builds": builds,
        "DerivaML": DerivaML,
        "DerivaMLConfig": DerivaMLConfig,
        "names": names,
    }


def side(change: str, sign: str) -> list[str]:
    """One side of a change, as the statements that it consists of."""
    lines = [line[1:] for line in change.splitlines() if line[:1] in {" ", sign}]
    return [ast.unparse(statement) for statement in ast.parse("\n".join(lines)).body]


def attempt(statements: list[str], context: dict[str, Any]) -> list[Exception]:
    """Run statements one after the other; what went wrong with each that failed."""
    names = dict(context)
    errors: list[Exception] = []
    for statement in statements:
        for theirs, ours in context["names"].items():
            statement = statement.replace(theirs, ours)
        try:
            exec(statement, names)
        except Exception as error:
            errors.append(error)
    if isinstance(made := names.get("Growth"), type):
        try:
            open_connection(DerivaMLConfig(), Project(context["folder"]), made)
        except TypeError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(CHANGES.index(change)))
def test_what_has_to_change_fails_before_and_works_after(change: str, context: dict[str, Any]) -> None:
    """As it was it does not work here, so that nobody changes anything in vain; as the page has it, it does."""
    before, after = side(change, "-"), side(change, "+")
    imports = all(statement.startswith("from ") for statement in before)
    assert len(attempt(before, context)) == len(before) if imports else attempt(before, context)
    assert attempt(after, context) == []


def test_a_loop_that_asks_for_the_metrics_file_each_time_writes_one_file(context: dict[str, Any]) -> None:
    """As upstream's documentation has it, inside the training loop; a commit ends the file."""
    execution = context["execution"]
    for value in (1, 2):
        with execution.metrics_file().open("a") as file:
            file.write(f"{value}\n")
    [made] = execution.commit_output_assets()["Execution_Metadata"]
    assert made.read_text() == "1\n2\n"
    execution.metrics_file().write_text("3\n")
    [later] = execution.commit_output_assets()["Execution_Metadata"]
    assert later.read_text() == "3\n"
