"""Whoever asks learns whether all that was recorded can still be read, and what to do about what cannot."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Member
from deriva_ml.project import Project
from deriva_ml.storage.verify import verify
from storage.conftest import Command, Run, content


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def test_what_is_whole_is_said_to_be(
    catalog: EmbeddedCatalog, run: Run, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    run("a")
    run("b", "text of b")
    assert command("verify") == 0
    assert capsys.readouterr().out == "2 contents (10 B) and 0 versions of datasets were checked\n"


@pytest.mark.parametrize(
    ("damage", "what", "reason"),
    [
        (lambda path: path.unlink(), "missing", "it is not there"),
        (lambda path: rewrite(path, b"aX"), "damaged", "its MD5 is "),
        (lambda path: rewrite(path, b""), "damaged", "its MD5 is d41d8cd98f00b204e9800998ecf8427e"),
        (lambda path: (path.unlink(), path.mkdir()), "unreadable", "Is a directory"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hosts")), "damaged", "is a link"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "damaged", "it is no file"),
    ],
)
def test_what_is_missing_or_damaged_is_named_with_whose_it_is(
    catalog: EmbeddedCatalog,
    run: Run,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    damage: object,
    what: str,
    reason: str,
) -> None:
    """Each row that cannot be read as recorded is listed, with who made and who read it; the others are not."""
    maker = run("a")
    reader = run("b", inputs=catalog.assets_of(maker))
    [asset] = catalog.assets_of(maker)
    assert callable(damage)
    damage(content(catalog, maker))
    assert command("verify", "--json") == 1
    said = capsys.readouterr()
    [problem] = json.loads(said.out)["problems"]
    assert (problem["rid"], problem["filename"], problem["what"]) == (asset.rid, "a.txt", what)
    assert reason in problem["how"]
    assert problem["executions"] == [maker, reader]
    assert problem["path"] == str(catalog.objects.folder / asset.md5[:2] / asset.md5)
    assert "error: not all is as it was recorded: bring the files at these paths back" in said.err
    assert command("verify") == 1
    assert f"{maker}, {reader}" in capsys.readouterr().out


def test_recording_the_same_file_again_mends_it(catalog: EmbeddedCatalog, run: Run) -> None:
    """The message's advice is true."""
    rid = run("a", "some text")
    rewrite(content(catalog, rid), b"other")
    assert len(verify(catalog).problems) == 1
    run("a", "some text")
    assert verify(catalog).problems == []


def test_a_row_that_says_another_length_is_damaged(catalog: EmbeddedCatalog, run: Run) -> None:
    run("a", "four")
    catalog.database.query('UPDATE "Execution_Asset" SET "Length" = 5')
    [problem] = verify(catalog).problems
    assert problem.how == "it has 4 bytes, and its row says 5"


def test_a_row_without_a_digest_is_damaged(catalog: EmbeddedCatalog, run: Run) -> None:
    run("a")
    catalog.database.query('UPDATE "Execution_Asset" SET "MD5" = \'../../outside\'')
    [problem] = verify(catalog).problems
    assert (problem.what, problem.path) == ("damaged", "")
    assert "is no MD5" in problem.how


def test_contents_without_a_record_are_counted_and_no_fault(
    catalog: EmbeddedCatalog, run: Run, tmp_path: Path
) -> None:
    run("a")
    (tmp_path / "loose").write_text("nobody's")
    catalog.objects.add(tmp_path / "loose")
    (catalog.objects.folder / "README").write_text("not a content")
    verdict = verify(catalog)
    assert (verdict.contents, verdict.unnamed, verdict.problems) == (1, 1, [])


def test_a_version_that_lost_or_got_a_member_is_found(
    catalog: EmbeddedCatalog, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in each version is held to its digest, in those of deleted datasets, too."""
    members = []
    for name in "abc":
        (tmp_path / name).write_text(name)
        members.append(Member(name, catalog.add_file(tmp_path / name).rid))
    rid = catalog.add_dataset("three", members, version="1.0.0")
    catalog.change_dataset(rid, remove=["a"])
    catalog.delete_dataset(rid)
    assert verify(catalog).versions == 2
    assert verify(catalog).problems == []
    catalog.database.query('DELETE FROM "local_member" WHERE "path" = \'a\'')
    [problem] = verify(catalog).problems
    assert (problem.table, problem.datasets) == ("Dataset_Version", [rid])
    assert problem.filename == f"dataset {rid} 1.0.0"
    assert command("verify") == 1
    assert f"dataset {rid} 1.0.0" in capsys.readouterr().out


def test_a_damaged_member_names_its_dataset(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    file = catalog.add_file(tmp_path / "a")
    rid = catalog.add_dataset("one", [file.rid])
    catalog.change_dataset(rid, remove=["a"])
    catalog.objects.path(file.md5).unlink()
    [problem] = verify(catalog).problems
    assert problem.datasets == [rid]


def test_a_torn_database_is_found(project: Project, catalog: EmbeddedCatalog, run: Run) -> None:
    """As a copy of the file may be that was made while something was written into it."""
    for number in range(50):
        run(f"run-{number}")
    catalog.close()
    with closing(sqlite3.connect(project.database)) as database:
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'Execution_RCT'").fetchone()[
            0
        ]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    with project.database.open("r+b") as stream:
        stream.seek((page - 1) * size + size // 2)
        stream.write(b"\xff" * (size // 2))
    with closing(EmbeddedCatalog(project)) as opened:
        problems = verify(opened).problems
    assert {(problem.filename, problem.what) for problem in problems} == {("catalog.db", "damaged")}


def test_memory_stays_the_same_for_many_contents(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    """Rows and contents are gone through, and not held: four times as many take no more."""

    def grow(first: int, last: int) -> None:
        rows = []
        for number in range(first, last):
            path = tmp_path / "file"
            path.write_text(str(number))
            md5, length = catalog.objects.add(path)
            path.unlink()
            rows.append({"URL": f"/{number}", "Filename": "x", "Length": length, "MD5": md5})
        with catalog.transaction():
            catalog.database.insert("File", *rows)

    def peak() -> int:
        tracemalloc.start()
        assert verify(catalog).problems == []
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    grow(0, 500)
    peak()
    few = peak()
    grow(500, 2000)
    assert peak() < few * 1.5 + 100_000


@pytest.mark.parametrize("logged", [True, False])
def test_a_disk_that_takes_nothing_can_be_verified(
    project: Project, catalog: EmbeddedCatalog, run: Run, logged: bool
) -> None:
    """As a backup on a read-only disk."""
    content(catalog, run("a")).unlink()
    if not logged:
        catalog.close()
    with closing(EmbeddedCatalog(project, read_only=True)) as opened:
        assert [problem.what for problem in verify(opened).problems] == ["missing"]


def test_a_terminal_shows_how_far_it_is(
    run: Run, command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a pipe does not."""
    run("a", "x" * 3000)
    assert command("verify") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert command("verify") == 0
    assert re.search(r"verifying: 100%\|.*3.00k/3.00k", capsys.readouterr().err)
