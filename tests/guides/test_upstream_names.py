"""Every name that upstream's library has is the same here, differs as the page about moving says, or is refused."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import re
import sys
from pkgutil import resolve_name
from typing import Any

import pytest

from conftest import ROOT
from deriva_ml import DerivaML, DerivaMLException, Execution
from deriva_ml.asset import AssetFilePath, AssetSpec
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.dataset_version import DatasetHistory, DatasetVersion
from deriva_ml.datasets.live import Dataset
from deriva_ml.definitions import Dataset as DatasetRecord
from deriva_ml.records.experiment import Experiment
from deriva_ml.records.recorded import RecordedAsset, RecordedExecution
from deriva_ml.upstream import NotHere, NotImportable, _instead, _table, same
from pages import read

API = (ROOT / "tests" / "data" / "upstream-api.md").read_text(encoding="utf-8")
PAGE = read(ROOT / "docs" / "moving.md").text
HERE: dict[str, type] = {
    "Execution": Execution,
    "ExecutionRecord": RecordedExecution,
    "Experiment": Experiment,
    "Dataset": Dataset,
    "DatasetBag": DatasetBag,
    "Asset": RecordedAsset,
    "AssetFilePath": AssetFilePath,
    "AssetSpec": AssetSpec,
    "DatasetSpec": DatasetSpec,
    "DatasetVersion": DatasetVersion,
    "DatasetHistory": DatasetHistory,
}
OF_PYDANTIC = {"version_field_validator", "serialize_version"}
"""Methods that nobody calls."""
NO_CLASS_HERE = {"VersionPart", "BatchRidResult"}
"""Classes of which nothing is listed, and those whose objects nobody meets here."""


def members() -> list[tuple[str, str, str]]:
    """Class, name and what follows the name, of everything that upstream has."""
    found = []
    for part in API.split("\n### ")[1:]:
        owner, _, body = part.partition("  ")
        lines = re.findall(r"^- `(\w+)(.*)`$", body, re.MULTILINE)
        found += [
            (owner, name, rest)
            for name, rest in lines
            if owner not in NO_CLASS_HERE and name not in OF_PYDANTIC
        ]
    return found


def has(kind: type, name: str) -> bool:
    """Whether objects of a class have an attribute."""
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    made = re.findall(r"self\.(\w+)(?:, self\.(\w+))?(?:: [^=]+)? = ", inspect.getsource(kind))
    return name in fields | same(kind).keys() | {one for pair in made for one in pair} or hasattr(kind, name)


def missing_parameters(kind: type, name: str, rest: str) -> list[str]:
    """The parameters of upstream's method that the one here does not take."""
    theirs = re.findall(
        r"(?:^\(|, )\*{0,2}(\w+)(?=[:=,)])", re.sub(r"\[[^()]*?\]", "", rest.partition(") ->")[0])
    )
    method = getattr(kind, name, None)
    if not callable(method):
        return []
    ours = inspect.signature(method).parameters
    if any(one.kind is one.VAR_KEYWORD for one in ours.values()):
        return []
    return [one for one in theirs if one not in ours and not one.startswith("_") and one != "kwargs"]


def verdict(owner: str, name: str, rest: str) -> str:
    """What becomes here of something of upstream's."""
    kind = HERE.get(owner, DerivaML)
    if has(kind, name):
        return "differs" if rest.startswith("(") and missing_parameters(kind, name, rest) else "same"
    try:
        getattr(kind.__new__(kind), name)
    except NotHere as error:
        assert "\n" not in str(error)
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "same"


def table() -> str:
    """The page's table: by class, the names that are the same, that differ, and that are refused.

    The error of one that is neither is in its place, and so not on the page.
    """
    rows: dict[str, dict[str, list[str]]] = {}
    for owner, name, rest in members():
        shown = "DerivaML" if owner.endswith("Mixin") else owner
        places = rows.setdefault(shown, {"same": [], "differs": [], "refused": []})
        found = places.setdefault(verdict(owner, name, rest), [])
        if f"`{name}`" not in found:
            found.append(f"`{name}`")
    lines = ["| | same | differs | not here |", "|---|---|---|---|"]
    lines += [
        f"| `{owner}` | {' | '.join(', '.join(sorted(names)) for names in row.values())} |"
        for owner, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


SECTION = PAGE.partition("## Name by name")[2].partition("\n## ")[0]


def test_each_name_is_the_same_differs_or_is_refused_as_the_page_says() -> None:
    """None ends in an AttributeError from inside, and the page's table has each where it belongs."""
    assert table() in SECTION


def test_the_page_says_how_they_differ() -> None:
    """Below the table, each name that differs is explained once."""
    differing = {
        f"{'DerivaML' if owner.endswith('Mixin') else owner}.{name}"
        for owner, name, rest in members()
        if verdict(owner, name, rest) == "differs"
    }
    assert sorted(differing) == sorted(re.findall(r"^- `(\w+\.\w+)`: ", SECTION, re.MULTILINE))


# ------------------------------------------------------------------------------------------------------------- imports
@pytest.mark.parametrize("name", sorted(_table()["names"]))
def test_a_name_of_the_table_is_where_it_says(name: str) -> None:
    """It can be imported from upstream's modules, and is the one thing wherever it is imported from."""
    thing = resolve_name(_table()["names"][name])
    made: dict[str, Any] = {}
    exec(f"from deriva_ml.core.definitions import {name}", made)
    assert made[name] == thing


@pytest.mark.parametrize("module", sorted(_table()["modules"].split()))
def test_a_module_of_upstreams_imports_in_every_form(module: str) -> None:
    """As ``import a.b.c as d`` and ``from a.b import c``."""
    package, _, last = f"deriva_ml.{module}".rpartition(".")
    made: dict[str, Any] = {}
    exec(
        f"import {package}.{last} as d\nfrom {package} import {last} as c\nfrom {package}.{last} import DerivaML",
        made,
    )
    assert made["d"] is made["c"] and made["DerivaML"] is DerivaML


def test_a_function_is_one_though_upstream_has_a_module_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the module puts it where the function is taken from."""
    monkeypatch.setattr("deriva_ml.config.entries.multiruns", {})
    code = "import deriva_ml.execution.multirun_config\nfrom deriva_ml.execution import multirun_config"
    made: dict[str, Any] = {}
    exec(code, made)
    made["multirun_config"]("sides", ["a=1,2"], description="x")
    assert made["deriva_ml"].execution.multirun_config.get_multirun_config("sides").overrides == ("a=1,2",)


@pytest.mark.parametrize("name", sorted(_instead()))
def test_what_is_not_here_says_what_to_do_instead(name: str) -> None:
    """In one line, which is an ImportError and the runner's own, too."""
    last = name.rpartition(".")[2]
    forms = [f"import deriva_ml.{name}"] + (
        [f"from deriva_ml.core.base import {name}"] if last == name else []
    )
    for form in forms:
        with pytest.raises(NotImportable) as refused:
            exec(form, {})
        assert isinstance(refused.value, ImportError) and isinstance(refused.value, DerivaMLException)
        assert " is not here: " in str(refused.value) and "\n" not in str(refused.value)


def test_a_name_that_nobody_knows_is_an_ordinary_error() -> None:
    """A slip of the pen is not upstream's."""
    for form in (
        "import deriva_ml.nothing",
        "from deriva_ml.core.enums import Nothing",
        "from deriva_ml import Nothing",
    ):
        with pytest.raises(ImportError) as refused:
            exec(form, {})
        assert not isinstance(refused.value, DerivaMLException)


def test_a_record_can_still_be_copied_and_pickled() -> None:
    """What refuses attributes does not get in the way of those who ask for special ones."""
    from copy import deepcopy

    record = DatasetRecord("1-ABC", "1.0.0")
    assert pickle.loads(pickle.dumps(record)) == record == deepcopy(record)
    assert not hasattr(record, "add_dataset_members") and record.current_version == "1.0.0"


def test_commands_read_the_table_only_for_names_that_are_not_here() -> None:
    """It costs nothing where nobody asks for such a name."""
    import subprocess

    code = "import deriva_ml.core; print(deriva_ml.upstream._table.cache_info().currsize)"
    source = str(ROOT / "template" / "src")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
