"""What nobody needs can be removed: it is asked about first, nothing that is needed goes, and what went is still told."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

import deriva_ml.liveness as liveness
from conftest import SOURCE
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination
from deriva_ml.catalog.objects import ObjectStore
from deriva_ml.catalog.summaries import Summary
from deriva_ml.definitions import RID, Member, Status, Workflow
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.storage import collect, removed
from deriva_ml.storage.plan import Limits, plan
from deriva_ml.storage.verify import verify
from git_repository import Repository
from storage.conftest import Command, Run, age, content, outputs

ALL = Limits(keep_last=0)


def executions(catalog: EmbeddedCatalog) -> set[RID]:
    return set(catalog.database.get_all("Execution", "RID"))


def loose(catalog: EmbeddedCatalog, tmp_path: Path, text: str = "nobody's") -> Path:
    """A content that no row names."""
    path = tmp_path / "loose"
    path.write_text(text)
    md5, _ = catalog.objects.add(path)
    return catalog.objects.path(md5)


# ------------------------------------------------------------------------------------------------------------ contents
def test_contents_that_no_record_names_go_and_others_stay(
    catalog: EmbeddedCatalog, run: Run, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    named, unnamed = content(catalog, run("a")), loose(catalog, tmp_path)
    age(catalog.objects.folder, days=2)
    assert command("gc", "--yes") == 0
    assert (named.exists(), unnamed.exists()) == (True, False)
    assert "removed 0 executions and 1 content: 8 B are free" in capsys.readouterr().out
    assert verify(catalog).problems == []


def test_a_content_stays_for_a_day(
    catalog: EmbeddedCatalog, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run may have taken it in and be about to record it."""
    unnamed = loose(catalog, tmp_path)
    assert command("gc", "--yes") == 0
    assert unnamed.exists()
    assert "1 content (8 B) younger than a day" in capsys.readouterr().out


def test_what_was_fetched_stays_for_work_without_the_server(
    project: Project, catalog: EmbeddedCatalog, tmp_path: Path, command: Command
) -> None:
    """No row names it, but it is known of the server; `--cache` removes it, too."""
    fetched = loose(catalog, tmp_path)
    known = project.state / "known" / "host 1" / "asset 1.json"
    known.parent.mkdir(parents=True)
    known.write_text(json.dumps({"rid": "1-A", "md5": fetched.name}))
    age(catalog.objects.folder, days=2)
    assert command("gc", "--yes") == 0
    assert fetched.exists()
    assert command("gc", "--yes", "--cache") == 0
    assert not fetched.exists()


def test_nothing_goes_unless_a_person_agrees(
    catalog: EmbeddedCatalog,
    run: Run,
    tmp_path: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It shows what would go and asks; without a terminal it is refused in one line; `--dry-run` never removes."""
    rid, unnamed = run("a", days=60), loose(catalog, tmp_path)
    age(catalog.objects.folder, days=2)
    words = ("gc", "--older-than", "30d")
    assert command(*words) == 2
    assert capsys.readouterr().err == (
        "error: gc asks before it removes anything, and there is no terminal: give --yes, or --dry-run to see what"
        " would go\n"
    )
    assert command(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert rid in shown and "2 contents to remove, that no record names then: 9 B" in shown

    class Typed:
        def __init__(self, answer: str) -> None:
            self.answer = answer

        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return self.answer

    for answer in ("", "\n", "no\n", "what\n"):
        monkeypatch.setattr(sys, "stdin", Typed(answer))
        assert command(*words) == 0
    assert unnamed.exists() and rid in executions(catalog)
    monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    assert command(*words) == 0
    assert not unnamed.exists() and rid not in executions(catalog)


# ---------------------------------------------------------------------------------------------------------- executions
def test_old_executions_go_with_what_only_they_made(
    project: Project, catalog: EmbeddedCatalog, run: Run, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are as they were, and what is shared stays; afterwards the catalog is whole."""
    old, shared, new = run("a", days=60), run("same", "same", days=60), run("same", "same")
    gone, kept = content(catalog, old), content(catalog, new)
    [asset] = outputs(catalog, old)
    age(catalog.objects.folder, days=60)
    assert command("gc", "--older-than", "30d", "--yes", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["removed"] == {"executions": [old, shared], "contents": 1, "bytes": 1}
    assert executions(catalog) == {new}
    assert (gone.exists(), kept.exists()) == (False, True)
    assert verify(catalog).problems == []
    assert command("verify") == 0
    for table in catalog.database.get_all("sqlite_master", "name", type="table"):
        assert old not in str([tuple(row) for row in catalog.database.select(table)]), table


def test_what_was_imported_goes_and_can_be_imported_again(
    catalog: EmbeddedCatalog, run: Run, tmp_path: Path, command: Command
) -> None:
    rid = run("a")
    assert command("export", rid, file := str(tmp_path / "a.zip")) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with closing(EmbeddedCatalog(Project(elsewhere))) as there:
        for _ in range(2):
            assert take_in(there, Path(file)).merged.new["Execution"] == 1
            assert collect.remove_executions(there, [rid], ALL, "") == [rid]
            for table in there.database.get_all("sqlite_master", "name", type="table"):
                assert rid not in str([tuple(row) for row in there.database.select(table)]), table


def test_what_was_removed_is_still_told(
    project: Project, catalog: EmbeddedCatalog, run: Run, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """`show` says of an execution, and of its files, that and when they were removed; the rest is in a file."""
    rid = run("a", days=60)
    [asset] = outputs(catalog, rid)
    days = [time.strftime("%Y-%m-%d", time.gmtime())]
    assert command("gc", "--older-than", "30d", "--yes") == 0
    days.append(time.strftime("%Y-%m-%d", time.gmtime()))  # midnight may have come meanwhile
    capsys.readouterr()
    assert command("show", rid) == 2
    said = capsys.readouterr().err
    assert any(
        f"{rid} was removed by gc on {day} (--older-than 30d), and was Uploaded: Train: run a" in said
        for day in days
    )
    assert command("show", asset.rid) == 2
    assert f"{asset.rid}, a file of execution {rid}, was removed by gc" in capsys.readouterr().err
    assert command("show", "1-NONE") == 2
    assert "there is no" in capsys.readouterr().err
    [line] = [json.loads(text) for text in (project.state / "removed.jsonl").read_text().splitlines()]
    assert line["files"] == [{"RID": asset.rid, "file": "a.txt", "bytes": 1, "MD5": asset.md5}]
    assert (line["description"], line["code"], line["status"]) == ("run a", "u", "Uploaded")


def test_the_newest_stay(catalog: EmbeddedCatalog, run: Run, command: Command) -> None:
    """So many runs, of which a sweep is one; with `--older-than` those that are not old stay, too."""
    rids = [run(str(days), days=days) for days in (50, 40, 30, 20, 10)]
    for job in rids[3:]:
        catalog.nest(rids[2], job, 0)
    assert plan(catalog, Limits(keep_last=1)).remove == rids[:2]
    assert plan(catalog, Limits(keep_last=2)).remove == rids[:1]
    assert plan(catalog, Limits(keep_last=9)).remove == []
    assert plan(catalog, ALL).remove == rids
    assert command("gc", "--older-than", "45d", "--keep-last", "1", "--yes") == 0
    assert executions(catalog) == {*rids[1:]}


def test_a_limit_that_is_empty_is_none(catalog: EmbeddedCatalog, run: Run, command: Command) -> None:
    """Such as that of a variable that a script has not set: the other limit alone would remove what it was to keep."""
    rid = run("a")
    for words in (("--older-than", "", "--keep-last", "0"), ("--older-than", "1d", "--keep-last", "")):
        with suppress(SystemExit):
            assert command("gc", *words, "--yes") == 2
    assert executions(catalog) == {rid}


def test_a_sweep_goes_or_stays_as_a_whole(catalog: EmbeddedCatalog, run: Run) -> None:
    """What is needed of one of its jobs keeps all, and the reason names the job."""
    sweep, one, two = (run(name, days=60) for name in ("sweep", "one", "two"))
    for number, job in enumerate((one, two)):
        catalog.nest(sweep, job, number)
    assert plan(catalog, ALL).remove == [sweep, one, two]
    catalog.journal.send_to(two, Destination("example.org", "1"))
    made = plan(catalog, ALL)
    assert made.remove == []
    assert made.kept == {sweep: f"{two} of it waits to be pushed to catalog 1 of example.org"}


def test_what_made_a_kept_executions_inputs_stays(catalog: EmbeddedCatalog, run: Run, tmp_path: Path) -> None:
    """Through as many steps as there are; what read the same and is old itself goes."""
    (tmp_path / "data.csv").write_text("x")
    data = catalog.add_file(tmp_path / "data.csv")
    first = run("first", inputs=[data], days=90)
    second = run("second", inputs=outputs(catalog, first), days=80)
    other = run("other", inputs=[data, *outputs(catalog, first)], days=80)
    third = run("third", inputs=outputs(catalog, second), days=1)
    limits = Limits(keep_last=1)
    made = plan(catalog, limits)
    assert made.remove == [other]
    assert made.kept == {first: f"made what {second} read", second: f"made what {third} read"}
    assert collect.remove_executions(catalog, made.remove, limits, "") == [other]
    age(catalog.objects.folder, days=2)
    collect.remove_contents(catalog)
    assert catalog.objects.path(data.md5).exists()
    assert verify(catalog).problems == []


def test_what_made_a_dataset_or_a_file_in_one_stays(
    catalog: EmbeddedCatalog, run: Run, tmp_path: Path
) -> None:
    """In any of its versions, and of a dataset that is deleted, too: a version never changes."""
    maker, filler = run("maker", days=60), run("filler", days=60, table="File")
    [file] = outputs(catalog, filler)
    rid = catalog.add_dataset("d", [Member("a", file.rid)], version="1.0.0", execution=maker)
    catalog.change_dataset(rid, remove=["a"])
    catalog.delete_dataset(rid)
    made = plan(catalog, ALL)
    assert made.remove == []
    assert made.kept == {maker: f"made 1.0.0 of dataset {rid}", filler: f"made a file of dataset {rid}"}


def test_files_in_a_dataset_outlive_those_who_read_them(
    catalog: EmbeddedCatalog, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    file = catalog.add_file(tmp_path / "a")
    rid = catalog.add_dataset("d", [Member("a", file.rid)], version="1.0.0")
    catalog.change_dataset(rid, remove=["a"])
    reader = run("reader", inputs=[file], days=60)
    catalog.link_dataset(reader, catalog.lookup_dataset(rid, "1.0.0"))
    assert collect.remove_executions(catalog, [reader], ALL, "") == [reader]
    age(catalog.objects.folder, days=2)
    collect.remove_contents(catalog)
    assert catalog.objects.path(file.md5).exists()
    assert verify(catalog).problems == []


def test_what_is_under_way_or_waits_stays(catalog: EmbeddedCatalog, run: Run) -> None:
    """What has not ended, has files staged, is of a living process, or waits to be pushed."""
    opened, staged, living, pending = (run(name, days=60) for name in "abcd")
    catalog.update_execution(opened, Status.running)
    catalog.stage(staged, "Execution_Asset", "late.txt", catalog.folder_of(staged) / "assets")
    catalog.claim(living, Owner("elsewhere", 1, 0.0), Owner.here(catalog.project.state))
    catalog.journal.send_to(pending, Destination("example.org", "1"))
    assert plan(catalog, ALL).kept == {
        opened: "has not ended",
        staged: "has files that are not recorded yet",
        living: "is of a process that has not ended",
        pending: "waits to be pushed to catalog 1 of example.org",
    }
    assert plan(catalog, ALL).remove == []


def test_what_is_needed_by_the_time_a_person_agrees_stays(catalog: EmbeddedCatalog, run: Run) -> None:
    """What was shown is looked at again in the moment in which it goes."""
    first, second = run("first", days=60), run("second", days=60)
    agreed = plan(catalog, Limits(keep_last=0)).remove
    run("reader", inputs=outputs(catalog, first))
    assert collect.remove_executions(catalog, agreed, Limits(keep_last=1), "") == [second]


def test_a_failure_in_the_middle_removes_nothing(
    catalog: EmbeddedCatalog, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go all or none, and contents only after them."""
    rids = [run(name, days=60) for name in "ab"]
    whole = [*catalog.database._connection.iterdump()]

    def fails(*words: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    delete = collect._delete
    calls = []

    def delete_some(*words: object) -> None:
        calls.append(words)
        (delete if len(calls) < 12 else fails)(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(collect, "_delete", delete_some)
    with pytest.raises(sqlite3.OperationalError):
        collect.remove_executions(catalog, rids, ALL, "")
    assert [*catalog.database._connection.iterdump()] == whole
    monkeypatch.undo()
    age(catalog.objects.folder, days=2)
    assert collect.remove_contents(catalog) == (0, 0)
    assert removed.find(catalog.project, rids[0]) is not None  # and `show` shows the record, which is there
    assert catalog.lookup_execution(rids[0]).rid == rids[0]


def test_a_damaged_line_of_what_was_removed_hides_no_other(
    project: Project, catalog: EmbeddedCatalog
) -> None:
    removed.note(project, [{"execution": "1-A", "files": []}])
    with removed.path_of(project).open("a") as file:
        file.write('{"execution": "1-B", "fi')  # as a power cut may leave it
    removed.note(project, [{"execution": "1-C", "files": []}])
    assert [bool(removed.find(project, f"1-{name}")) for name in "ABC"] == [True, False, True]


def test_commits_that_no_record_names_any_more_are_let_go(
    project: Project, catalog: EmbeddedCatalog, run: Run
) -> None:
    repository = Repository.create(project.root)
    from deriva_ml.execution.kept_commits import keep_commit

    commits = [repository.commit(name) for name in ("a.txt", "b.txt")]
    for commit in commits:
        assert keep_commit(commit, project.root) == ""
    old = [run(str(place), days=60, url=f"git:{commit}:x.py") for place, commit in enumerate(commits)]
    run("new", url=f"https://github.com/o/r/blob/{commits[1]}/x.py")
    assert collect.remove_executions(catalog, old, Limits(keep_last=1), "") == old
    kept = repository.git("for-each-ref", "--format=%(objectname)", "refs/deriva-ml").split()
    assert kept == [commits[1]]


# --------------------------------------------------------------------------------------------------- beside other runs
def test_a_content_that_a_run_takes_in_again_is_not_removed(
    catalog: EmbeddedCatalog, tmp_path: Path, project: Project
) -> None:
    """It was old and nobody's, and is about to be recorded: between the two another process collects."""
    unnamed = loose(catalog, tmp_path)
    age(catalog.objects.folder, days=2)
    rid = catalog.add_execution(Workflow("W", "Training", url="u", checksum="c"), "", Owner.of())
    staged = catalog.stage(rid, "Execution_Asset", "x.txt", catalog.folder_of(rid) / "assets")
    staged.path.write_text("nobody's")
    with closing(EmbeddedCatalog(project)) as other:
        assert catalog.objects.add(staged.path)[0] == unnamed.name
        assert collect.remove_contents(other) == (0, 0)
    catalog.commit(rid)
    assert verify(catalog).problems == []


def test_what_is_taken_in_while_it_is_being_removed_comes_back(
    catalog: EmbeddedCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is looked at again once nobody finds it any more."""
    unnamed = loose(catalog, tmp_path)
    age(catalog.objects.folder, days=2)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if source == unnamed:
            assert ObjectStore(catalog.objects.folder).keep(unnamed.name, 8)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert collect.remove_contents(catalog) == (0, 0)
    assert unnamed.read_text() == "nobody's"
    assert not [*catalog.objects.folder.glob(".*")]


def test_a_link_to_a_persons_file_is_as_new_as_the_link(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    """The file itself may be old; removing the link frees nothing, and the person's file keeps its time."""
    unnamed = loose(catalog, tmp_path)
    os.utime(unnamed, (1, 1))
    os.link(unnamed, tmp_path / "own")
    assert collect.remove_contents(catalog) == (0, 0)
    assert catalog.objects.keep(unnamed.name, 8)
    assert (tmp_path / "own").stat().st_mtime == 1


def test_no_row_names_a_content_that_has_gone(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    """Whatever takes it away between the two moments: nothing is recorded, and the files are there for another try."""
    rid = catalog.add_execution(Workflow("W", "Training", url="u", checksum="c"), "", Owner.of())
    staged = catalog.stage(rid, "Execution_Asset", "x.txt", catalog.folder_of(rid) / "assets")
    staged.path.write_text("text")
    add = ObjectStore.add

    def lost(store: ObjectStore, source: Path) -> tuple[str, int]:
        md5, length = add(store, source)
        store.path(md5).unlink()
        return md5, length

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "add", lost)
        patch.setattr("deriva_ml.catalog.assets.summarize", lambda *words: Summary())  # which reads it
        with pytest.raises(DerivaMLException, match="was removed by another command just when"):
            catalog.commit(rid)
    assert catalog.assets_of(rid) == []
    catalog.commit(rid)
    assert len(catalog.assets_of(rid)) == 1


def test_runs_and_collectors_at_once_lose_nothing(
    project: Project, catalog: EmbeddedCatalog, tmp_path: Path
) -> None:
    """One process collects, a content at a time, while others record what was old and nobody's until then."""
    for number in range(COUNT):
        loose(catalog, tmp_path, f"text {number}")
    age(catalog.objects.folder, days=2)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(AT_ONCE), str(project.root), role, str(COUNT)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
        )
        for role in ("collect", "0", "1")
    ]
    deadline = time.monotonic() + 60
    while len([*project.root.glob("ready-*")]) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    (project.root / "go").touch()
    (collected, _), *_ = (process.communicate(timeout=100) for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert 0 < int(collected) < COUNT
    verdict = verify(catalog)
    assert verdict.problems == []
    assert verdict.contents == COUNT // 2


COUNT = 400
AT_ONCE = """
    import sys, time
    from pathlib import Path
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import Workflow
    from deriva_ml.process import Owner
    from deriva_ml.project import Project
    from deriva_ml.storage import collect

    root, role, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    catalog = EmbeddedCatalog(Project(root))
    (root / f"ready-{role}").touch()
    while not (root / "go").exists():
        time.sleep(0.001)
    if role == "collect":
        collect.BATCH = 1
        print(collect.remove_contents(catalog)[0])
    else:
        for number in range(int(role), count // 2, 2):
            rid = catalog.add_execution(Workflow("W", "T", url="u", checksum="c"), "", Owner.of())
            item = catalog.stage(rid, "Execution_Asset", "x.txt", catalog.folder_of(rid))
            item.path.write_text(f"text {number}")
            catalog.commit(rid)
    """


def test_environments_of_replays_are_counted_and_go_with_the_cache(
    project: Project, catalog: EmbeddedCatalog, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are made anew when they are needed; one that a replay uses stays."""
    for name in ("used", "unused"):
        (project.environments / name).mkdir(parents=True)
        (project.environments / name / "deriva-ml.json").write_text("x" * 1000)
    (project.environments / "used" / f"deriva-ml.json-{liveness.show(project.state)}").touch()
    assert command("size", "--json") == 0
    assert json.loads(capsys.readouterr().out)["environments"] >= 2000
    assert command("gc", "--yes") == command("gc", "--cache", "--dry-run") == 0
    assert (project.environments / "unused").exists()
    assert command("gc", "--cache", "--yes") == 0
    assert "environments of replays to remove: 2.0 kB" in capsys.readouterr().out
    assert not (project.environments / "unused").exists()
    assert (project.environments / "used").exists()
