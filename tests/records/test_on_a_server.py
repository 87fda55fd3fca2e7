"""The command looks at a Deriva catalog as at the project's own."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place, begin, record, uploaded, write
from deriva_double import DerivaDouble
from deriva_double.faults import Fault
from deriva_ml.cli import catalog
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.project import Project
from deriva_ml.records.results import criteria
from recorder import connect


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


@pytest.fixture
def server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What the command prints, from a project of somebody else's; ``status`` is the one to expect."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    monkeypatch.chdir(root)
    double = place.double
    assert double is not None
    monkeypatch.setattr("deriva_ml.deriva.server.stored_credential", lambda host: double.credential("admin"))
    where = ["--host", double.url, "--catalog", str(place.config.catalog_id)]

    def said(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        assert catalog.main([*words, *where]) == status
        out, err = capsys.readouterr()
        return err if status else out

    return said


def mirror() -> Path:
    """The file that holds what was read of the server."""
    [path] = (Project.find().state / "known").glob("*.db")
    return path


def test_a_content_that_could_not_be_had_is_asked_for_again(place: Place, server: Callable[..., str]) -> None:
    """The server goes away in the middle, and nothing is taken for a run without metrics."""
    assert place.double is not None
    place.double.faults.on(Fault.DOWN, "GET", "/hatrac/")
    try:
        assert "error: " in server("results", "--json", status=1)
    finally:
        place.double.start()
        place.double.faults.clear()
    [one] = json.loads(server("results", "--json"))
    assert one["metrics"]["f1"]["last"] == 0.5 and one["parameters"] == {"alpha": 1}


def test_a_login_that_ends_in_the_middle_is_renewed(place: Place, server: Callable[..., str]) -> None:
    assert place.double is not None
    for path in ("/hatrac/", "Execution"):
        place.double.faults.on(Fault.EXPIRED, "GET", path, times=1)
        [one] = json.loads(server("results", "--json"))
        place.double.faults.clear()
        assert one["metrics"]["f1"]["last"] == 0.5 and one["parameters"] == {"alpha": 1}


def test_only_the_newest_files_are_looked_at_and_that_is_said(
    place: Place,
    server: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("deriva_ml.deriva.newest.NEWEST", 1)
    assert place.double is not None
    where = ["--host", place.double.url, "--catalog", str(place.config.catalog_id)]
    assert catalog.main(["files", "--name", "none.csv", *where]) == 0
    out, err = capsys.readouterr()
    assert out == "no file is here that fits\n"
    assert "note: only the newest 1 files of Execution_Asset are looked at" in err


def test_a_content_that_is_refused_is_warned_of_and_asked_for_again(
    place: Place,
    server: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise ServerRefused("gone", 404)

    with monkeypatch.context() as patched:
        patched.setattr("deriva_ml.deriva.mirror.download", refuse)
        [one] = json.loads(server("results", "--json"))
        assert (one["metrics"], one["parameters"]) == ({}, {})
    [one] = json.loads(server("results", "--json"))
    assert one["metrics"]["f1"]["last"] == 0.5 and one["parameters"] == {"alpha": 1}


@pytest.mark.parametrize("damage", ["no database", "another version", "tables that lack", "pages that lack"])
def test_a_kept_file_that_is_of_no_use_is_made_anew(
    damage: str, place: Place, server: Callable[..., str]
) -> None:
    before = json.loads(server("results", "--json"))
    path = mirror()
    if damage == "no database":
        path.write_bytes(b"no database" * 1000)
    elif damage == "pages that lack":
        path.write_bytes(path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096))
    else:
        with closing(sqlite3.connect(path)) as database:
            change = "DROP TABLE local_metric" if damage == "tables that lack" else "PRAGMA user_version = 1"
            database.execute(change)
    assert json.loads(server("results", "--json")) == before


def test_what_came_later_is_read_when_the_row_has_changed(place: Place, server: Callable[..., str]) -> None:
    """A row says how a run ended before all its files are there."""
    [one] = json.loads(server("results", "--json"))
    with closing(place.open()) as opened:
        write(opened, one["rid"], "Execution_Metadata", "more.jsonl", b'{"f2": 0.25}\n', ["Metrics_File"])
        record(opened, one["rid"])
        uploaded(opened, one["rid"])
    [other] = json.loads(server("results", "--json"))
    assert {name: metric["last"] for name, metric in other["metrics"].items()} == {"f1": 0.5, "f2": 0.25}


def test_several_make_and_fill_the_kept_file_at_once(place: Place, server: Callable[..., str]) -> None:
    """None takes the file from the other."""
    server("results")
    mirror().unlink()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: _looked_at(place), range(8))) == {(0.5, 1)}
    assert mirror().exists()


def _looked_at(place: Place) -> tuple[object, object]:
    with closing(connect(place.config, Project.find())) as opened:
        [result] = opened.results(criteria(runs_only=True))
        return result.summary.metrics["f1"].last, result.summary.parameters["alpha"]


def test_named_runs_of_a_sweep_are_those_that_are_both(place: Place, server: Callable[..., str]) -> None:
    """In the order of the project's own results: the newest first, unless they are named."""
    with closing(place.open()) as opened:
        rids = [begin(place, opened, f"job {number}") for number in range(2)]
        sweep = begin(place, opened, "sweep")
        for number, rid in enumerate(rids):
            opened.nest(sweep, rid, number)
        for rid in (*rids, sweep):
            uploaded(opened, rid)

    def found(*words: str) -> list[str]:
        return [one["rid"] for one in json.loads(server("results", "--json", *words))]

    nests = place.generation == "head"
    assert found("--sweep", sweep) == (rids[::-1] if nests else [])
    assert found(rids[0], "--sweep", sweep) == (rids[:1] if nests else [])
    assert found(*rids) == rids
    assert "9-ZZZZ" in server("results", rids[0], "9-ZZZZ", status=2)


def test_runs_of_a_sweep_are_read_from_its_table_where_executions_do_not_nest(
    place: Place, server: Callable[..., str]
) -> None:
    """They are the same rows, with filters and in order, as where they nest."""
    with closing(place.open()) as opened:
        rids = [begin(place, opened, f"job {number}") for number in range(3)]
        sweep = begin(place, opened, "sweep")
        for number, rid in enumerate(rids):
            write(
                opened,
                rid,
                "Execution_Metadata",
                "m.jsonl",
                b'{"f1": 0.%d}\n' % (number + 1),
                ["Metrics_File"],
            )
            opened.nest(sweep, rid, number)
        table = "job,RID,status\n" + "".join(f"{n},{rid},Uploaded\n" for n, rid in enumerate(rids))
        write(opened, sweep, "Execution_Asset", "sweep.csv", f"{table}4,,Failed\n".encode())
        for rid in (*rids, sweep):
            record(opened, rid)
            uploaded(opened, rid)

    def found(*words: str) -> list[str]:
        return [one["rid"] for one in json.loads(server("results", "--json", "--sweep", sweep, *words))]

    assert found() == rids[::-1]
    assert found("--sort", "f1") == rids and found("--where", "f1 > 0.15", "-n", "1") == rids[2:]
    assert found(rids[1]) == rids[1:2]


def test_results_files_and_lists_are_those_of_the_server(
    place: Place, server: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was fetched is kept: a second look asks for no content again."""
    said = server
    assert "their run" in said("list") and not [*Project.find().objects.glob("*/*")], (
        "a list needs no content"
    )
    [one] = json.loads(said("results", "--json"))
    assert (one["parameters"], one["metrics"]["f1"]["last"], one["description"]) == (
        {"alpha": 1},
        0.5,
        "their run",
    )
    kept = {path for path in Project.find().objects.rglob("*") if path.is_file()}
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
