"""What executions differ in is shown, what is equal is not, and what cannot be read is left out with a line."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli import compare as command
from deriva_ml.definitions import RID, Asset, Status
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.project import Project
from deriva_ml.records import compared_files
from deriva_ml.records.comparison import Comparison, compare
from deriva_ml.records.differing_lines import BREADTH, LARGEST_TEXT, MOST_PAIRS
from records.recorded import COMMIT, environment, notebook, run


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedCatalog]:
    """The catalog of an empty project, from inside it."""
    root = tmp_path / "my {project} ü"
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    with closing(EmbeddedCatalog(Project(root))) as opened:
        yield opened


def values(comparison: Comparison, section: str) -> dict[str, tuple[Any, ...]]:
    """What differs in a section: a value for each execution, None where it has none."""
    rids = [record.rid for record in comparison.executions]
    return {
        one.name: tuple(one.values.get(rid) for rid in rids) for one in comparison.sections.get(section, ())
    }


def changes(comparison: Comparison, section: str) -> dict[str, str]:
    """How the files of a section differ."""
    return {one.name: one.change for one in comparison.sections.get(section, ())}


def lines(comparison: Comparison, name: str) -> list[list[tuple[int, str | None, int, str | None]]]:
    """The lines in which an output differs, for each execution after the first."""
    [found] = [one for one in comparison.sections["outputs"] if one.name == name]
    return [
        [(line.place, line.text, line.other_place, line.other_text) for line in one.lines]
        for one in found.lines
    ]


def shown(catalog: EmbeddedCatalog, *rids: RID, diff: bool = False, as_json: bool = False) -> None:
    """Print what the command does."""
    assert command.run(catalog, argparse.Namespace(rids=[*rids], diff=diff, json=as_json)) == 0


def content(catalog: EmbeddedCatalog, rid: RID, name: str) -> Path:
    """Where the content of an output is kept."""
    [asset] = [one for one in catalog.assets_of(rid) if one.filename == name]
    return Path(catalog.locate(asset))


def file(catalog: EmbeddedCatalog, name: str, text: str) -> Asset:
    """A recorded file of the user's."""
    path = catalog.project.root / name
    path.write_text(text)
    return catalog.add_file(path)


# -------------------------------------------------------------------------------------------------------------- facts
def test_runs_that_differ_in_time_only_do_not_differ(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """A notebook that was executed again holds other times, and the same cells and outputs."""
    one, other = (
        run(
            catalog,
            {
                "a.ipynb": notebook("print(1)", output="1\n", time=time),
                "a.csv": "a\n1\n",
                "metrics.jsonl": '{"accuracy": 0.9}\n',
                "environment.json": environment({"numpy": "2.0"}),
            },
            parameters={"l2": 1.0},
        )
        for time in ("12:00", "13:00")
    )
    assert compare(catalog, [one, other]).sections == {}
    shown(catalog, one, other)
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["RID", one, other, "nothing"]
    assert err == ""


def test_how_executions_were_started_and_ended(catalog: EmbeddedCatalog) -> None:
    one = run(catalog, description="first try", argv=["deriva-ml-run-notebook", "a b.ipynb"])
    other = run(catalog, started_by="jupyter", status=Status.failed, detail="ValueError: no")
    sweep = run(catalog)
    catalog.nest(sweep, other, 0)
    found = compare(catalog, [one, other])
    assert values(found, "started") == {
        "started by": ("deriva-ml-run-notebook", "jupyter"),
        "description": ("first try", "a run"),
        "part of": (None, sweep),
        "command": ("deriva-ml-run-notebook 'a b.ipynb'", "jupyter"),
    }
    assert values(found, "end") == {
        "status": ("Uploaded", "Failed"),
        "reason": (None, "ValueError: no"),
    }


def test_code(catalog: EmbeddedCatalog) -> None:
    clean = run(catalog)
    dirty = {"version": "0.1.1+dirty", "commit": "f" * 40, "checksum": "dec0de", "dirty": True}
    one, other = (
        run(
            catalog,
            {"uncommitted.diff": f"+{number}\n"},
            provenance={**dirty, "differences": ["uncommitted changes, which", "another cell ran"]},
        )
        for number in (1, 2)
    )
    assert values(compare(catalog, [clean, one]), "code") == {
        "version": ("0.1.0", "0.1.1+dirty"),
        "commit": (COMMIT, "f" * 40),
        "checksum": ("c0ffee", "dec0de"),
        "what ran": (None, "another cell ran"),
        "uncommitted changes": (False, True),
    }
    patches = values(compare(catalog, [one, other]), "code")
    assert list(patches) == ["uncommitted.diff"], "the same commit with other changes"


def test_parameters(catalog: EmbeddedCatalog) -> None:
    nan = float("nan")
    same = {"same": [1, {"a": 2}], "nothing": None, "nan": nan}
    one = run(catalog, parameters={**same, "flag": 1, "whole": 1, "deep": {"a": 1, "b": 2}})
    other = run(catalog, parameters={**same, "flag": True, "whole": 1.0, "deep": {"a": 1}, "more": None})
    assert values(compare(catalog, [one, other]), "parameters") == {
        "flag": (1, True),
        "whole": (1, 1.0),
        "deep.b": (2, None),
        "more": (None, None),
    }
    [*_, more] = compare(catalog, [one, other]).sections["parameters"]
    assert more.values == {other: None}, "a parameter that is None is none that is not there"


def test_configuration(catalog: EmbeddedCatalog) -> None:
    hydra = "_target_: x\ndatasets: [{0}]\nl2: {1}\nextra:\n  width: {2}\n  _target_: deriva_ml.{0}\n"
    one = run(
        catalog,
        {"hydra-config.yaml": hydra.format("A", 1, 2)},
        parameters={"l2": 1},
        config_choices={"assets": "a", "model_config": "quick"},
    )
    other = run(
        catalog,
        {"hydra-config.yaml": hydra.format("B", 3, 4)},
        parameters={"l2": 3},
        config_choices={"assets": "a", "model_config": "wide"},
        overrides=["model_config=wide", "+extra.width=4"],
    )
    assert values(compare(catalog, [one, other]), "configuration") == {
        "model_config": ("quick", "wide"),
        "overrides": ([], ["model_config=wide", "+extra.width=4"]),
        "extra.width": (2, 4),
    }, "what parameters and inputs say is not said twice"


def test_inputs_are_compared_by_digest(catalog: EmbeddedCatalog) -> None:
    both = file(catalog, "both.csv", "both")
    old, gone = file(catalog, "data.csv", "old"), file(catalog, "gone.csv", "gone")
    renamed, new = file(catalog, "renamed.csv", "renamed"), file(catalog, "data.csv", "new")
    other_name, came = file(catalog, "other name.csv", "renamed"), file(catalog, "came.csv", "came")
    one = run(catalog, inputs=[both, old, gone, renamed])
    other = run(catalog, inputs=[both, new, came, other_name])
    data = catalog.add_dataset("data", [both.rid])
    catalog.link_dataset(other, catalog.lookup_dataset(data))
    found = compare(catalog, [one, other])
    assert changes(found, "inputs") == {
        f"dataset {data}": "",
        "came.csv": "added",
        "data.csv": "other content",
        "gone.csv": "removed",
    }
    assert values(found, "inputs")[f"dataset {data}"] == (None, catalog.lookup_dataset(data).version)
    assert [value["MD5"] for value in values(found, "inputs")["data.csv"]] == [old.md5, new.md5]


def test_packages_and_machine(catalog: EmbeddedCatalog) -> None:
    one = run(
        catalog,
        {"environment.json": environment({"numpy": "2.0", "Jinja2": "3.1", "old": "1"}), "uv.lock": "one"},
    )
    machine = {"usable_cpus": 8, "environment": {"OMP_NUM_THREADS": "4"}}
    other = run(
        catalog,
        {
            "environment.json": environment(
                {"numpy": "2.1", "jinja2": "3.1", "new": "2"}, "3.13.0", **machine
            ),
            "uv.lock": "other",
        },
    )
    found = values(compare(catalog, [one, other]), "packages")
    lock = found.pop("uv.lock")
    assert found == {
        "Python": ("CPython 3.12.1", "CPython 3.13.0"),
        "CPUs": (None, 8),
        "$OMP_NUM_THREADS": (None, "4"),
        "numpy": ("2.0", "2.1"),
        "old": ("1", None),
        "new": (None, "2"),
    }
    assert len(set(lock)) == 2
    assert "outputs" not in compare(catalog, [one, other]).sections


def test_metrics_and_their_differences(catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]) -> None:
    told = ['{"accuracy": 0.5}\n{"accuracy": 0.90, "loss": NaN, "same": 1, "done": false}\n']
    told.append('{"accuracy": 0.93, "loss": Infinity, "same": 1, "done": true, "more": 3}\n')
    one, other = (run(catalog, {"metrics.jsonl": text}) for text in told)
    found = {item.name: item for item in compare(catalog, [one, other]).sections["metrics"]}
    assert set(found) == {"accuracy", "loss", "done", "more"}
    assert found["accuracy"].values == {one: 0.9, other: 0.93}
    assert found["accuracy"].differences == {other: pytest.approx(0.03)}
    assert not found["loss"].differences and not found["done"].differences
    shown(catalog, one, other)
    out = capsys.readouterr().out
    assert "accuracy  0.9" in out and "0.93 (+0.03)" in out
    assert found["more"].values == {other: 3}
    shown(catalog, one, other, as_json=True)
    written = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    [loss] = [item for item in written["metrics"] if item["name"] == "loss"]
    assert loss["values"] == {one: "NaN", other: "Infinity"}, "numbers that JSON does not have are texts"


# -------------------------------------------------------------------------------------------------------------- outputs
def outputs(catalog: EmbeddedCatalog, *files: dict[str, str | bytes]) -> Comparison:
    """What executions with these outputs differ in."""
    return compare(catalog, [run(catalog, named) for named in files])


def test_outputs_by_name_and_digest(catalog: EmbeddedCatalog) -> None:
    found = outputs(
        catalog,
        {"same.bin": b"\0same", "a.bin": b"\0one", "gone.txt": "gone", "twice/1": "x", "twice/2": "y"},
        {"same.bin": b"\0same", "a.bin": b"\0other", "came.txt": "came", "twice/1": "x", "twice/2": "z"},
    )
    assert changes(found, "outputs") == {
        "a.bin": "other content",
        "came.txt": "added",
        "gone.txt": "removed",
        "twice": "other content",
    }
    assert lines(found, "a.bin") == [], "what is no text has no lines"
    assert lines(found, "twice") == [[(1, "y", 1, "z")]]


def test_lines_of_text_and_csv(catalog: EmbeddedCatalog) -> None:
    rows = [f"{number},{number / 10}" for number in range(20)]
    changed = [*rows[:3], "3,new", *rows[4:7], "put in", *rows[7:18]]
    found = outputs(catalog, {"t.csv": "\n".join(rows)}, {"t.csv": "\n".join(changed)})
    assert lines(found, "t.csv") == [
        [
            (4, "3,0.3", 4, "3,new"),
            (0, None, 8, "put in"),
            (19, "18,1.8", 0, None),
            (20, "19,1.9", 0, None),
        ]
    ]
    found = outputs(catalog, {"t.txt": "\n".join(rows)}, {"t.txt": "\n".join(reversed(rows))})
    [told] = found.sections["outputs"]
    assert (len(told.lines[0].lines), told.lines[0].more) == (MOST_PAIRS, True)
    end = outputs(catalog, {"t.txt": "a\n"}, {"t.txt": "a\r\n"})
    assert lines(end, "t.txt") == [[(1, "a", 1, "a\r")]], "how a line ends is a difference, too"


def test_more_is_told_of_differences_far_behind_the_first(catalog: EmbeddedCatalog) -> None:
    many = ["same"] * 1000
    found = outputs(
        catalog,
        {"t.txt": "\n".join(["a", *many, "a"]), "u.txt": "\n".join(["a", *many])},
        {"t.txt": "\n".join(["b", *many, "b"]), "u.txt": "\n".join(["b", *many])},
    )
    assert [[(one.lines[0].text, one.more) for one in told.lines] for told in found.sections["outputs"]] == [
        [("a", True)],
        [("a", False)],
    ]


def test_lines_of_json_are_what_it_holds(catalog: EmbeddedCatalog) -> None:
    one = {"folds": [{"score": 0.8}, {"score": 0.9}], "name": "x", "empty": {}}
    other = {"folds": [{"score": 0.8}, {"score": 0.95}], "name": "x", "empty": {}}
    found = outputs(
        catalog,
        {"a.json": json.dumps(one), "b.json": json.dumps(one), "c.json": "{"},
        {"a.json": json.dumps(other), "b.json": json.dumps(one, indent=2), "c.json": "{}"},
    )
    assert lines(found, "a.json") == [[(0, "folds[1].score = 0.9", 0, "folds[1].score = 0.95")]]
    notes = {told.name: [one.note for one in told.lines] for told in found.sections["outputs"]}
    assert notes["b.json"] == ["the same values, written otherwise"]
    assert len(lines(found, "c.json")[0]) == 1, "what is no JSON is a text"


def test_lines_of_a_notebook_are_its_cells_and_outputs(catalog: EmbeddedCatalog) -> None:
    found = outputs(
        catalog,
        {"a.ipynb": notebook("x = 1", "print(x)", output="1", time="1"), "a.md": "one"},
        {"a.ipynb": notebook("x = 2\n\n", "print(x)", output="2\n", time="2"), "a.md": "two"},
    )
    assert [(text, other) for _, text, _, other in lines(found, "a.ipynb")[0]] == [
        ("x = 1", "x = 2"),
        ("1", "2"),
        ("1", "2"),
    ]
    assert lines(found, "a.md") == [], "its Markdown says nothing else"


def test_a_long_line_is_cut_around_what_differs_and_harmless(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    common = "x" * 5000
    one = run(catalog, {"t.txt": f"{common}1{common}\n\x1b[31mred"})
    other = run(catalog, {"t.txt": f"{common}2{common}\n\x1b]0;title\x07\ttab"})
    [[long, _]] = lines(compare(catalog, [one, other]), "t.txt")
    assert long[1] is not None and long[3] is not None
    assert "x1x" in long[1] and "x2x" in long[3]
    assert len(long[1]) <= BREADTH + 2
    shown(catalog, one, other)
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert r"2 - \x1b[31mred" in out


def test_json_is_json_whatever_files_hold(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a terminal would act upon is escaped as JSON has it."""
    strange = "\x7f\x85\u2028\u202e\U000e0001\x1b ü \U0001f600 \\x7f"
    one, other = run(catalog, {"t.txt": f"1{strange}"}), run(catalog, {"t.txt": f"2{strange}"})
    shown(catalog, one, other, as_json=True)
    out = capsys.readouterr().out
    assert not {"\x7f", "\x85", "\u2028", "\u202e", "\U000e0001", "\x1b"} & set(out)
    assert "ü \U0001f600" in out
    [told] = json.loads(out)["outputs"]
    assert told["lines"][0]["lines"][0]["text"] == f"1{strange}"


def test_large_files_and_many_files(catalog: EmbeddedCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared_files, "MOST_FILES", 1)
    large = "1" * LARGEST_TEXT
    found = outputs(
        catalog,
        {"a.txt": f"{large}1", "b.txt": "1", "c.png": b"\x891"},
        {"a.txt": f"{large}2", "b.txt": "2", "c.png": b"\x892"},
    )
    [note] = found.sections["outputs"][0].lines
    assert note.note == "more than 4 MiB: the lines are not compared"
    assert found.warnings == ["the lines of 1 more outputs are not compared"]
    assert lines(found, "b.txt") == []


# -------------------------------------------------------------------------------------------------------- three of them
def test_three_executions_stand_side_by_side_and_lines_are_compared_with_the_first(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    rids = [
        run(
            catalog,
            {"a.txt": f"{text}\nsame", "same.txt": "same", "metrics.jsonl": f'{{"accuracy": {text}}}'},
            parameters={"l2": text, "seed": 0},
        )
        for text in (1, 1, 2)
    ]
    found = compare(catalog, rids)
    assert values(found, "parameters") == {"l2": (1, 1, 2)}
    assert found.sections["metrics"][0].differences == {rids[1]: 0, rids[2]: 1}
    assert changes(found, "outputs") == {"a.txt": "other content", "metrics.jsonl": "other content"}
    [told, _] = found.sections["outputs"]
    assert [one.execution for one in told.lines] == [rids[2]], "the second is as the first"
    shown(catalog, *rids)
    out = capsys.readouterr().out
    assert f"  a.txt, {rids[0]} and {rids[2]}:\n    1 - 1\n    1 + 2\n" in out
    heading = next(line for line in out.splitlines() if line.startswith("   "))
    assert heading.split() == rids


# -------------------------------------------------------------------------------------------- what cannot be compared
@pytest.mark.parametrize("text", ["{", "[]", "\0", '{"provenance": [], "parameters": 3, "argv": {}}'])
def test_a_damaged_configuration_is_left_out(catalog: EmbeddedCatalog, text: str) -> None:
    """Whatever else was recorded is compared all the same."""
    one = run(catalog, {"a.txt": "1"}, parameters={"l2": 1}, overrides=["a=b"])
    other = run(catalog, {"configuration.json": text, "a.txt": "2"})
    found = compare(catalog, [one, other])
    if text.startswith('{"'):
        assert values(found, "parameters") == {"l2": (1, None)}
        return
    assert {*found.sections} <= {"outputs", "started"}
    [warning] = found.warnings
    assert warning.startswith(f"what configuration.json of execution {other} says is left out: ")
    assert "\n" not in warning


def test_what_was_kept_of_a_lost_configuration_is_compared(catalog: EmbeddedCatalog) -> None:
    """The rows of the catalog have parameters and choices, too."""
    one, other = (run(catalog, parameters={"l2": l2}, config_choices={"assets": f"a{l2}"}) for l2 in (1, 2))
    content(catalog, other, "configuration.json").unlink()
    found = compare(catalog, [one, other])
    assert values(found, "parameters") == {"l2": (1, 2)}
    assert values(found, "configuration") == {"assets": ("a1", "a2")}
    assert len(found.warnings) == 1


def test_missing_and_changed_contents_are_left_out(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"environment.json": environment({"numpy": "2.0"}), "a.txt": "1", "b.txt": "1"}
    one = run(catalog, files)
    other = run(catalog, {"environment.json": environment({"numpy": "2.1"}), "a.txt": "2", "b.txt": "3"})
    content(catalog, other, "environment.json").unlink()
    changed = content(catalog, other, "a.txt")
    changed.chmod(0o600)
    changed.write_text("4")
    shown(catalog, one, other)
    out, err = capsys.readouterr()
    assert "packages" not in out
    assert "b.txt" in out and "a.txt" in out
    told = err.splitlines()
    assert [line.split(" of execution ")[0] for line in told] == [
        "warning: what environment.json",
        "warning: what a.txt",
    ]
    assert "environment.json (MD5" in told[0] and "has changed since it was recorded" in told[1]


@pytest.mark.parametrize("name", ["environment.json", "hydra-config.yaml"])
@pytest.mark.parametrize(
    "text", ["[", "- 1", "a: [", "\0", '{"packages": 3, "python": [], "platform": null}']
)
def test_other_damaged_files_end_nothing(catalog: EmbeddedCatalog, name: str, text: str) -> None:
    one, other = run(catalog, {name: text}), run(catalog, {name: text + " "})
    found = compare(catalog, [one, other])
    assert found.sections == {}
    assert all(" says is left out: " in warning for warning in found.warnings)


def test_a_record_of_the_first_version_is_compared(tmp_path: Path) -> None:
    """It has no configuration, and files with less about them."""
    (tmp_path / "pyproject.toml").touch()
    project = Project(tmp_path)
    project.state.mkdir()
    old = ROOT / "tests" / "data" / "embedded" / "catalog-v1.db.gz"
    project.database.write_bytes(gzip.decompress(old.read_bytes()))
    with closing(EmbeddedCatalog(project)) as catalog:
        [before] = catalog.select_executions(Criteria())
        found = compare(catalog, [before.rid, run(catalog)])
    assert values(found, "code")["workflow"] == ("Old study", "Digits")
    assert changes(found, "inputs") == {"in.txt": "removed"}


def test_a_configuration_of_the_first_release_is_compared(catalog: EmbeddedCatalog) -> None:
    """It was of another type, and knew neither the command line nor what differed."""
    told = {"parameters": {"l2": 1}, "provenance": {"commit": COMMIT, "dirty": False}}
    one = run(catalog, {"configuration.json": json.dumps(told)}, started_by="")
    found = compare(catalog, [one, run(catalog, parameters={"l2": 2})])
    assert values(found, "parameters") == {"l2": (1, 2)}
    assert "started" not in found.sections, "of what is not known, nothing is said"


def test_fewer_than_two_or_no_executions_are_refused(catalog: EmbeddedCatalog) -> None:
    rid, asset = run(catalog), file(catalog, "a.txt", "a")
    for rids in ([], [rid], [rid, rid]):
        with pytest.raises(DerivaMLRequestError, match="two executions or more"):
            compare(catalog, rids)
    for other in ("9-ZZZZ", asset.rid):
        with pytest.raises(NotFound):
            compare(catalog, [rid, other])


# ------------------------------------------------------------------------------------------------------- the command
def test_the_command_takes_rids_and_shows_sections_in_order(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    command.add_to(_Commands(parser))
    one = run(
        catalog,
        {"environment.json": environment({"a": "1"}), "metrics.jsonl": '{"a": 1}', "o.txt": "1"},
        parameters={"l2": 1},
        inputs=[file(catalog, "in.txt", "1")],
    )
    other = run(
        catalog,
        {"environment.json": environment({"a": "2"}), "metrics.jsonl": '{"a": 2}', "o.txt": "2"},
        description="other",
        status=Status.failed,
        provenance={"commit": "f" * 40},
        parameters={"l2": 2},
        config_choices={"assets": "x"},
    )
    args = parser.parse_args([one, other])
    assert args.run(catalog, args) == 0
    titles = [
        line[:-1] for line in capsys.readouterr().out.splitlines() if line[0] != " " and line[-1] == ":"
    ]
    assert titles == [title for name, title in command.TITLES.items() if name != "source"]
    shown(catalog, one, other, as_json=True)
    written = json.loads(capsys.readouterr().out)
    assert list(written)[0] == "executions"
    assert [name for name in written if name in command.TITLES] == [
        name for name in command.TITLES if name != "source"
    ]
    assert written["warnings"] == []


class _Commands:
    """What argparse's subcommands are to a command: a parser for this one."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Return the parser."""
        assert name == "compare" and set(options) == {"help", "usage", "description"}
        return self._parser


def test_a_terminal_gets_lines_of_its_width_and_a_pipe_all(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "w" * 150
    one, other = run(catalog, {"a.txt": f"{long}1"}, description=long), run(catalog, {"a.txt": f"{long}2"})
    shown(catalog, one, other)
    assert long in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown(catalog, one, other)
    out = capsys.readouterr().out
    assert long not in out
    assert max(map(len, out.splitlines())) <= 60


def test_nothing_is_left_in_the_project(catalog: EmbeddedCatalog) -> None:
    one, other = run(catalog, {"a.txt": "1"}), run(catalog, {"a.txt": "2"})
    before = {path for path in catalog.project.root.rglob("*") if "objects" not in path.parts}
    compare(catalog, [one, other])
    assert {path for path in catalog.project.root.rglob("*") if "objects" not in path.parts} == before
    assert os.getcwd() == str(catalog.project.root)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("configuration.json", f'{{"parameters": {{"a": {"[" * 900}{"]" * 900}}}}}'),
        ("environment.json", f'{{"environment": {{"a": {"[" * 900}{"]" * 900}}}}}'),
        ("hydra-config.yaml", "a: &a [*a]\n"),
        (
            "hydra-config.yaml",
            "a0: &a0 [x]\n"
            + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}, *a{n}, *a{n}]\n" for n in range(12)),
        ),
        ("hydra-config.yaml", "a: " + "[" * 5000),
    ],
    ids=["deep", "deep, too", "in itself", "laughs", "deep YAML"],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_has_no_end_is_left_out_with_a_line(
    catalog: EmbeddedCatalog, name: str, content: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that somebody wrote so that it takes all the memory, or all the levels, of who reads it."""
    shown(catalog, run(catalog), run(catalog, {name: content}), as_json=as_json)
    assert f"what {name} of execution" in capsys.readouterr().err
