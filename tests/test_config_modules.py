"""A notebook finds its configuration, however its file and that of the configuration are called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from unicodedata import normalize

import pytest
from hydra_zen import store

from deriva_ml.config import entries, modules
from deriva_ml.config.compose import choices_of, compose
from deriva_ml.config.modules import configuration_of, find_configs
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project

CONFIGURATION = """
from dataclasses import dataclass

from deriva_ml.execution import BaseConfig, notebook_config


@dataclass
class Own(BaseConfig):
    threshold: float = 0.5


notebook_config({!r}, config_class=Own)
"""
ENTRIES = """
from hydra_zen import builds, store

from deriva_ml import DerivaMLConfig

store(builds(DerivaMLConfig), group="deriva_ml", name="default_deriva")
store([], group="assets", name="default_asset")
store([], group="datasets", name="default_dataset")
"""
CAFE = "café"
packages = iter(f"configs_of_names_{number}" for number in range(1000))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package of configurations, in a project; what it stores is forgotten after the test."""
    (tmp_path / "pyproject.toml").touch()
    folder = tmp_path / "src" / next(packages)
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "entries.py").write_text(ENTRIES)
    monkeypatch.setattr(entries, "notebook_configs", {})
    monkeypatch.setattr(modules, "_stored_by", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {(entry["group"], entry["name"]) for entry in store}
    yield folder
    for entry in list(store):
        if (entry["group"], entry["name"]) not in before:
            store.delete_entry(entry["group"], entry["name"])


def named(package: Path, notebook: str, name: str | None = None) -> str:
    """The configuration that the notebook gets, once it has been composed and made."""
    find_configs(Project.find(package), package.name)
    found = configuration_of(name, package / f"{notebook}.ipynb", package.name)
    made = compose(found, ["threshold=0.7"]).instantiate()
    assert (type(made).__name__, made.threshold) == ("Own", 0.7)
    return found


@pytest.mark.parametrize(
    ("notebook", "configuration", "file"),
    [
        ("my-notebook", "my_notebook", "my_notebook"),
        ("1.0-first-look", "1.0_first_look", "1.0_first_look"),
        ("1.0-first-look", "1.0-first-look", "1.0-first-look"),
        ("1.0-first-look", "1_0_first_look", "1_0_first_look"),
        ("v1.2.3 final", "v1.2.3 final", "v1.2.3 final"),
        ("2nd look", "2nd look", "2nd look"),
        ("2nd look", "2nd_look", "second"),
        (normalize("NFD", CAFE), normalize("NFC", CAFE), normalize("NFC", CAFE)),
        (normalize("NFC", CAFE), normalize("NFD", CAFE), normalize("NFD", CAFE)),
        ("a+b (copy)", "a+b (copy)", "a+b (copy)"),
        ("a+b (copy)", "a_b__copy_", "a_b__copy_"),
        ("50%", "50%", "50%"),
        ("x=y, z", "x=y, z", "x=y, z"),
        ("class", "class", "class"),
        ("-x", "_x", "_x"),
        ('it\'s "so" & so', 'it\'s "so" & so', "quotes"),
        ("${x}", "${x}", "braces"),
    ],
)
def test_a_notebook_finds_its_configuration(
    notebook: str, configuration: str, file: str, package: Path
) -> None:
    (package / f"{file}.py").write_text(CONFIGURATION.format(configuration))
    assert named(package, notebook) == configuration


def test_two_files_that_make_one_name_are_both_loaded(package: Path) -> None:
    for file in ("1.0_look", "1_0_look", "1_0.look"):
        (package / f"{file}.py").write_text(CONFIGURATION.format(file))
    for file in ("1.0_look", "1_0_look", "1_0.look"):
        assert named(package, file) == file
    assert find_configs(Project.find(package), package.name)  # once more, as every cell may ask for


def test_what_an_editor_left_is_no_module(package: Path) -> None:
    (package / "._entries.py").write_text("raise SystemError")
    (package / ".#entries.py").write_text("raise SystemError")
    assert find_configs(Project.find(package), package.name) == [f"{package.name}.entries"]


def test_a_name_that_is_not_there_is_told_with_a_file_that_can_be_loaded(package: Path) -> None:
    find_configs(Project.find(package), package.name)
    with pytest.raises(DerivaMLRequestError) as refused:
        configuration_of(None, Path("1.0-first look.ipynb"), package.name)
    assert 'notebook_config("1.0_first look") in src/' in str(refused.value)
    assert f"src/{package.name}/1_0_first_look.py; registered are" in str(refused.value)
    with pytest.raises(DerivaMLRequestError, match="this notebook's file is not known here"):
        configuration_of(None, None)
    with pytest.raises(DerivaMLRequestError, match="no notebook configuration is named mine: "):
        configuration_of("mine", Path("notebook.ipynb"), package.name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1 / 0", "/1.0_look.py fails to import (line 1): ZeroDivisionError: division by zero"),
        (ENTRIES, "/1.0_look.py and src/{}/entries.py both store deriva_ml=default_deriva: rename it in one"),
    ],
)
def test_an_error_names_the_file_as_it_is_called(content: str, said: str, package: Path) -> None:
    (package / "1.0_look.py").write_text(content)
    with pytest.raises(DerivaMLRequestError) as refused:
        find_configs(Project.find(package), package.name)
    assert said.format(package.name) in str(refused.value)


# ---------------------------------------------------------------------------------------------------- upstream's forms
UPSTREAMS = {
    "base": """
from functools import partial

from hydra_zen import builds, store

from deriva_ml import DerivaML
from deriva_ml.execution import BaseConfig, DerivaBaseConfig, base_defaults, run_model

Composed = builds(
    partial(run_model, ml_class=DerivaML),
    description="A run",
    populate_full_signature=True,
    hydra_defaults=[*base_defaults, {"optional script_config": "none"}],
)
store(Composed, name=NAME)
""",
    "workflow": """
from hydra_zen import builds, store

from deriva_ml.execution import Workflow

Made = builds(Workflow, name="W", workflow_type=["Training", "Images"], populate_full_signature=True)
store(Made, group="workflow", name="default_workflow")
""",
    "shapes": """
from hydra_zen import builds, make_config, store

from PACKAGE.base import Composed


def shapes(sides: int = 3, ml_instance=None, execution=None) -> None: ...


Shapes = builds(shapes, populate_full_signature=True, zen_partial=True)
store(Shapes, group="model_config", name="default_model")
store(Shapes, group="model_config", name="squares", sides=4, zen_meta={"description": "Of four sides"})
experiments = store(group="experiment", package="_global_")
experiments(
    make_config(hydra_defaults=["_self_", {"override /model_config": "squares"}], bases=(Composed,)),
    name="squared",
)
""",
    "sweeps": """
from deriva_ml.execution import multirun_config

from .texts import SIDES

multirun_config("sides", overrides=["+experiment=squared", "model_config.sides=5,6"], description=SIDES)
""",
    "texts": "SIDES = 'Of many sides'",
    "dev/__init__": "",
    "dev/local": """
from hydra_zen import builds, store

from deriva_ml import DerivaMLConfig
from deriva_ml.execution import with_description

Local = builds(
    DerivaMLConfig, hostname="localhost", catalog_id=45, use_minid=False, populate_full_signature=True
)
store(Local, group="deriva_ml", name="local")
store(with_description(["3-ABC"], "On one machine"), group="assets", name="local")
""",
}


def test_configurations_of_upstreams_shape_compose_as_they_are(package: Path) -> None:
    """A base made of ``partial(run_model)``, an optional group, experiments, sweeps, and a package of a developer's own."""
    for name, text in UPSTREAMS.items():
        path = package / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("PACKAGE", package.name).replace("NAME", repr(package.name)))
    find_configs(Project.find(package), package.name)
    made = compose(package.name, ["deriva_ml=local", "assets=local"]).arguments()
    assert (made["deriva_ml"].hostname, made["deriva_ml"].catalog_id) == ("localhost", 45)
    assert (list(made["assets"]), made["assets"].description) == (["3-ABC"], "On one machine")
    assert made["workflow"].workflow_type == ["Training", "Images"] and made["script_config"] is None
    sweep = entries.multiruns.get("sides")
    assert sweep and sweep.description == "Of many sides"
    for job, sides in zip(product(*(one.words for one in choices_of(sweep.overrides))), (5, 6), strict=True):
        assert compose(package.name, job).arguments()["model_config"].keywords["sides"] == sides
