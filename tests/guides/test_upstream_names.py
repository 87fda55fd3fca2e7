"""Every name that upstream's library has is the same here, differs as the page about moving says, or is refused."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import re
import sys
from typing import Any

import pytest

from conftest import ROOT
from deriva_ml import DerivaML, DerivaMLException, Execution
from deriva_ml.asset import AssetFilePath, AssetSpec
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.definitions import Dataset
from deriva_ml.records.experiment import Experiment
from deriva_ml.records.recorded import RecordedAsset, RecordedExecution
from deriva_ml.upstream import NotHere, NotImportable, _instead, _names, _table
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
}
OF_PYDANTIC = {"version_field_validator", "serialize_version"}
"""Methods that nobody calls."""
NO_CLASS_HERE = {"VersionPart", "DatasetVersion", "DatasetHistory", "BatchRidResult"}
"""Classes whose objects nobody meets here; their names are refused where they are imported."""


def members() -> list[tuple[str, str, str]]:
    """Class, name and what follows the name, of everything that upstream has."""
    found = []
    for part in API.split("\n### ")[1:]:
        owner, _, body = part.partition("  ")
        lines = re.findall(r"^- `(\w+)(.*)`$", body, re.MULTILINE)
        found += [(owner, name, rest) for name, rest in lines if owner not in NO_CLASS_HERE and name not in OF_PYDANTIC]
    return found


def differing() -> set[str]:
    """The names that the page lists as different, as ``CLASS.NAME``."""
    section = PAGE.partition("## Name by name")[2].partition("\n## ")[0]
    return {
        f"{owner}.{name}"
        for owner, names in re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }


def has(kind: type, name: str) -> bool:
    """Whether objects of a class have an attribute."""
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    same = {one for base in kind.__mro__ for one in _table()["same"].get(base.__name__, {})}
    made = re.findall(r"self\.(\w+)(?:, self\.(\w+))?(?:: [^=]+)? = ", inspect.getsource(kind))
    return name in fields | same | {one for pair in made for one in pair} or hasattr(kind, name)


def missing_parameters(kind: type, name: str, rest: str) -> list[str]:
    """The parameters of upstream's method that the one here does not take."""
    theirs = re.findall(r"(?:^\(|, )\*{0,2}(\w+)(?=[:=,)])", re.sub(r"\[[^()]*?\]", "", rest.partition(") ->")[0]))
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


@pytest.mark.parametrize("owner", sorted({owner for owner, _, _ in members()}))
def test_each_is_the_same_differs_or_is_refused(owner: str) -> None:
    """None ends in an AttributeError from inside, and the page names those that differ, and no others."""
    told = {one for one in differing() if one.startswith(f"{'DerivaML' if owner.endswith('Mixin') else owner}.")}
    wrong = {}
    for _, name, rest in (one for one in members() if one[0] == owner):
        shown = f"{'DerivaML' if owner.endswith('Mixin') else owner}.{name}"
        said = verdict(owner, name, rest)
        if (said in {"same", "refused"}) is (shown in told):
            wrong[shown] = said
    assert not wrong
