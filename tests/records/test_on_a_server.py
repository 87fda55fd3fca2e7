"""The command looks at a Deriva catalog as at the project's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place, begin, record, uploaded, write
from deriva_double import DerivaDouble
from deriva_ml.cli import catalog
from deriva_ml.project import Project


@pytest.fixture(scope="module")
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        yield running


@pytest.fixture(params=["head", "1.17.10"])
def place(request: pytest.FixtureRequest, double: DerivaDouble, tmp_path: Path) -> Place:
    """A catalog with one run, which another project recorded."""
    place = kinds.on_double(tmp_path / "theirs", double, request.param)
    with closing(place.open()) as opened:
        rid = begin(place, opened, "their run")
        configuration = json.dumps({"parameters": {"alpha": 1}, "config_choices": {}})
        write(
            opened, rid, "Execution_Metadata", "configuration.json", configuration.encode(), ["Deriva_Config"]
        )
        write(opened, rid, "Execution_Metadata", "metrics.jsonl", b'{"f1": 0.5}\n', ["Metrics_File"])
        write(opened, rid, "Execution_Asset", "table.csv", b"a\n1\n")
        record(opened, rid)
        uploaded(opened, rid)
    return place


def test_results_files_and_lists_are_those_of_the_server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was fetched is kept: a second look asks for no content again."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    monkeypatch.chdir(root)
    double = place.double
    assert double is not None
    monkeypatch.setattr("deriva_ml.deriva.server.stored_credential", lambda host: double.credential("admin"))
    server = ["--host", double.url, "--catalog", place.config.catalog_id]

    def said(*words: str) -> str:
        assert catalog.main([*words, *map(str, server)]) == 0
        return capsys.readouterr().out

    [one] = json.loads(said("results", "--json"))
    assert (one["parameters"], one["metrics"]["f1"]["last"], one["description"]) == (
        {"alpha": 1},
        0.5,
        "their run",
    )
    kept = {path for path in Project(root).objects.rglob("*") if path.is_file()}
    assert len(kept) == 2
    for path in kept:  # they are not asked for again
        path.unlink()
    assert json.loads(said("results", "--json", "--where", "f1 = 0.5")) == [one]
    assert "no run meets that" in said("results", "--status", "Failed")
    assert one["rid"] in [line.split()[0] for line in said("list").splitlines()]
    assert "table.csv" in said("files", "--name", "*.csv")
    _, _, led_to, made = said("lineage", one["rid"]).splitlines()
    assert led_to == "led to:" and made.endswith("file table.csv")
    assert said("lineage", made.split()[0].lower(), "--up").splitlines()[2:] == [
        f"  {one['rid']}  execution Uploaded: Analysis"
    ]
    assert said("datasets") == "no dataset is here\n"
    assert catalog.main(["results", "--from", "production", "--host", "x"]) == 2
    assert "give either --from, or --host and --catalog" in capsys.readouterr().err
