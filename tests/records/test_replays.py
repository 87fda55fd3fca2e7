"""Which records were replayed, when, and with which verdict: noted in a file, and told by list, show and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.cli import catalog
from deriva_ml.records.replays import FILE, LONGEST, Note, note, read
from records.conftest import Make

WHEN = "2001-11-28T18:40:00.000000+00:00"


def noted(rid: str, verdict: str = "identical", similarity: float = 1.0, **others: Any) -> Note:
    return Note(rid, others.pop("when", WHEN), verdict, similarity, **others)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    capsys.readouterr()
    assert catalog.main(words) == 0
    return capsys.readouterr().out


def test_list_show_and_results_tell_the_latest_replay(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column is there as soon as one record was replayed, and not before."""
    one, other = (recorded({"loss": 0.5}, seed=seed).execution_rid for seed in (1, 2))
    assert "replayed" not in said(capsys, "list") + said(capsys, "results") + said(capsys, "show", one)
    state = ml.project.state
    note(state, noted(one, "different", 0.5, report="outputs/x", when="2001-11-29T08:00:00+09:00"))
    note(state, noted(one, recorded_as=other))
    for command in ("list", "results"):
        lines = {line.split()[0]: line for line in said(capsys, command).splitlines()}
        assert "replayed" in lines["RID"] and "different 2001-11-29" in lines[one]
        assert "2001" not in lines[other]
        for row in json.loads(said(capsys, command, "--json")):
            verdicts = [replay["verdict"] for replay in row["replays"]]
            assert verdicts == (["different", "identical"] if row["rid"] == one else [])
    shown = said(capsys, "show", one)
    assert "replays:" in shown and "outputs/x" in shown and other in shown
    assert json.loads(said(capsys, "show", other, "--json"))["replay of"] == one
    assert [*ml.results()["replayed"]] == ["", "different 2001-11-29"]
    assert said(capsys, "results", "--columns", "replayed", "--csv").splitlines() == [
        "replayed",
        '""',
        "different 2001-11-29",
    ]


def test_a_replay_from_a_deriva_catalog_is_told_of_the_record_that_was_pushed_there(
    ml: DerivaML, recorded: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not of one that has the same RID in another catalog."""
    own, other = (recorded(seed=seed).execution_rid for seed in (1, 2))
    place = Destination("www.example.org", "1")
    with closing(open_local(ml.project)) as embedded:
        embedded.journal.note({own: Remote("1-ABCD", stored=True)}, place)
    for rid, where in (
        ("1-ABCD", "www.example.org/1"),
        ("1-ABCD", "www.example.org/2"),
        (other, "www.example.org/1"),
    ):
        note(ml.project.state, noted(rid, catalog=where))
    found = {row["rid"]: len(row["replays"]) for row in json.loads(said(capsys, "list", "--json"))}
    assert found == {own: 1, other: 0}


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"rid": "1-A"}',
    b"[" * 100_000,
    json.dumps({"rid": 1, "when": WHEN, "verdict": "identical", "similarity": 1}).encode(),
    json.dumps({"rid": "1-A", "when": "today", "verdict": "identical", "similarity": 1}).encode(),
    json.dumps({"rid": "1-A", "when": "2026-11-28", "verdict": "identical", "similarity": 1}).encode(),
    json.dumps({"rid": "1-A", "when": WHEN, "verdict": "perfect", "similarity": 1}).encode(),
    json.dumps({"rid": "1-A", "when": WHEN, "verdict": "identical", "similarity": 2}).encode(),
    b'{"rid": "1-A", "when": "' + WHEN.encode() + b'", "verdict": "identical", "similarity": NaN}',
    json.dumps({"rid": "1-A" * LONGEST, "when": WHEN, "verdict": "identical", "similarity": 1}).encode(),
]


def test_damaged_lines_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is whole counts all the same, also what a newer runner says more of."""
    note(tmp_path, noted("1-A"))
    newer = {"rid": "1-C", "when": WHEN, "verdict": "different", "similarity": 0, "planet": "Mars"}
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"\n".join([*DAMAGED, json.dumps(newer).encode(), b'{"rid": "cut off']))
    note(tmp_path, noted("1-B"))
    assert [one.rid for one in read(tmp_path)] == ["1-A", "1-C", "1-B"]
    assert (
        f"warning: {len(DAMAGED)} of the lines" in capsys.readouterr().err
    )  # one of them is empty, one cut off


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "none"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor waited for, nor written through."""
    target = tmp_path / "target"
    target.write_text(json.dumps(vars(noted("1-A"))) + "\n")
    make = {
        "link": lambda: (tmp_path / FILE).symlink_to(target),
        "folder": (tmp_path / FILE).mkdir,
        "pipe": lambda: os.mkfifo(tmp_path / FILE),
        "none": lambda: None,
    }
    make[kind]()
    assert read(tmp_path) == []
    assert ("warning: which records were replayed" in capsys.readouterr().err) == (kind != "none")
    if kind == "link":
        with pytest.raises(OSError):
            note(tmp_path, noted("1-B"))
        assert "1-B" not in target.read_text()


def test_processes_that_note_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each line is whole."""
    code = "import sys; from pathlib import Path; from deriva_ml.records.replays import Note, note\n"
    code += f"for n in range(20): note(Path(sys.argv[1]), Note(sys.argv[2] + str(n), {WHEN!r}, 'identical', 1.0, report='x' * 3000))"
    source = str(Path(__file__).parents[2] / "template" / "src")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name], env={**os.environ, "PYTHONPATH": source}
        )
        for name in "ab"
    ]
    assert [one.wait(60) for one in running] == [0, 0]
    assert {one.rid for one in read(tmp_path)} == {f"{name}{n}" for name in "ab" for n in range(20)}
