"""The page about bags shows what runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bags.conftest import Make
from bags.study import study, value
from conftest import ROOT
from deriva_ml.dataset import DatasetBag
from pages import FENCE, read

LABELS = "file,species\ncat/1.png,cat\ndog/2.png,dog\n"


def snippets() -> list[str]:
    return [
        code for language, code in FENCE.findall(read(ROOT / "docs" / "bags.md").text) if language == "python"
    ]


def run(bag: DatasetBag, chosen: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"execution": SimpleNamespace(datasets=[bag]), "bag": bag}
    for code in chosen:
        exec(code, made)
    return made


def test_its_code_runs_in_order(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ModuleType("torch.utils.data")
    data.Dataset = object  # type: ignore[attr-defined]
    for name in ("torch", "torch.utils", "torch.utils.data"):
        monkeypatch.setitem(sys.modules, name, data)
    monkeypatch.chdir(tmp_path)
    files = {"cat/1.png": "1", "dog/2.png": "2", "labels.csv": LABELS, "extra/sizes.tsv": "a\n1\n"}
    made = run(make(files, types=("Training",)), snippets())
    assert [path.as_posix() for path in made["placed"].values()][0] == "ml_data/training/cat/1.png"
    assert (made["sample"], made["target"]) == (b"1", 0) and made["sizes"] == [{"a": 1}]
    assert list(made["wide"]["labels.species"].dropna()) == ["cat", "dog"]


def test_its_features_are_those_of_a_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = [code for code in snippets() if "find_features" in code]
    run(study(tmp_path, value(1, "I1", "Good")), [shown])
    assert capsys.readouterr().out.startswith("Image Quality\nE1 {")
