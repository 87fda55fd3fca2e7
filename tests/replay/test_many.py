"""Several records are replayed at once: which ones, what is said of them, and that nothing is left when it is stopped."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Outcome
from deriva_ml import DerivaML
from deriva_ml.catalog.connection import open_local
from deriva_ml.cli import replay as command
from deriva_ml.cli import run_notebook
from deriva_ml.definitions import Status, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.git import git
from deriva_ml.records.replays import Note, note
from deriva_ml.replay.many import replayable
from git_repository import isolate_git
from notebooks import write_notebook
from replay.conftest import Lab

SAME, OTHER = "write('same.txt', 1)", "import random\nwrite('other.txt', random.SystemRandom().random())"
FAILED = "{}['gone']"


# ------------------------------------------------------------------------------------------------------ which records


@pytest.fixture
def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
    """A connection to the catalog of an empty project in a git repository, from inside it."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    git(root, "init", "--quiet")
    monkeypatch.chdir(root)
    return DerivaML()


def committed(ml: DerivaML, message: str = "Change") -> str:
    """A new commit."""
    git(ml.project.root, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(ml.project.root, "rev-parse", "HEAD")


def recorded(ml: DerivaML, commit: str, status: Status = Status.uploaded) -> str:
    """An execution of a commit's code that ended so."""
    workflow = Workflow(
        "Train", "Training", url=f"https://www.example.org/p/blob/{commit}/n.ipynb", checksum=commit
    )
    execution = ml.create_execution(ExecutionConfiguration(), workflow)
    rid: str = execution.execution_rid
    if status is Status.uploaded:
        with execution.execute():
            pass
        execution.commit_output_assets()
    else:
        with closing(open_local(ml.project)) as catalog:
            catalog.update_execution(rid, status)
    return rid


def all_since(ml: DerivaML, since: str | None = None) -> set[str]:
    with closing(open_local(ml.project)) as catalog:
        return {*replayable(catalog, ml.project, since)}


def test_a_tag_means_the_records_whose_commit_is_not_older(ml: DerivaML) -> None:
    """Older are the tag's ancestors; a branch that left before it, and a commit that is not here, are not."""
    commits = {"first": committed(ml)}
    git(ml.project.root, "branch", "beside")
    commits["before"] = committed(ml)
    commits["tagged"] = committed(ml)
    git(ml.project.root, "tag", "--annotate", "--message", "Release", "v1.2.0")
    commits["after"] = committed(ml)
    git(ml.project.root, "switch", "--quiet", "beside")
    commits |= {"beside": committed(ml, "Beside"), "elsewhere": "c0ffee" * 6 + "c0ff"}
    rids = {name: recorded(ml, commit) for name, commit in commits.items()}
    assert all_since(ml) == {*rids.values()}
    newer = {rids[name] for name in ("tagged", "after", "beside", "elsewhere")}
    assert all_since(ml, "v1.2.0") == all_since(ml, commits["tagged"][:12]) == newer
    assert all_since(ml, "1h") == all_since(ml, "2020-01-01") == {*rids.values()}
    for nothing, said in {
        "2099-01-01": "nothing is recorded since",
        "v7": "is no time",
        "--all": "is no time",
    }.items():
        with pytest.raises(DerivaMLRequestError, match=said):
            all_since(ml, nothing)


def test_what_came_to_its_end_is_replayed_but_no_replay(ml: DerivaML) -> None:
    """A failed run too; none that goes on or was interrupted, no sweep beside its runs, no change of a dataset."""
    commit = committed(ml)
    good, failed, parent = (recorded(ml, commit), recorded(ml, commit, Status.failed), recorded(ml, commit))
    for status in (Status.created, Status.running, Status.aborted):
        recorded(ml, commit, status)
    again = recorded(ml, commit)
    note(ml.project.state, Note(good, "2026-11-28T00:00:00+00:00", "identical", 1.0, recorded_as=again))
    with closing(open_local(ml.project)) as catalog:
        catalog.nest(parent, good, 1)
    assert all_since(ml) == {good, failed}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the RIDs of executions"),
        (["--all", "1-ABCD"], "not both"),
        (["--since", "v9.0.0", "1-ABCD"], "--since goes with --all"),
        (["--all"], "nothing is recorded that can be replayed"),
        (["--all", "--junit", "nowhere/r.xml"], "nowhere is no folder"),
        (["1-ABCD", "1-EFGH"], "1-ABCD"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ml: DerivaML, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything runs."""
    assert command.main(words) == 2 and said in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- replaying


@pytest.fixture(scope="module")
def repeated(lab: Lab) -> tuple[str, Outcome]:
    """A run of a notebook that gives something else each time, and what is said of it with ``--repeat``."""
    done = lab.project.run("deriva-ml-run-notebook", lab.notebook("other", [OTHER]), "--repeat", "2")
    [rid] = re.findall(r"^Execution (\S+): ", done.out, re.MULTILINE)
    return rid, done


def test_repeat_says_whether_a_run_gives_the_same_right_after_it(
    lab: Lab, repeated: tuple[str, Outcome]
) -> None:
    """As often as is asked for; the run is recorded once."""
    rid, done = repeated
    assert done.rc == 1, done.text
    assert len(re.findall(rf"^{rid}: different", done.out, re.MULTILINE)) == 1 and "other.txt" in done.out
    assert done.out.index(f"Execution {rid}") < done.out.index(f"{rid}: different")
    lab.is_clean()


def test_several_are_replayed_two_at_once(lab: Lab, repeated: tuple[str, Outcome], tmp_path: Path) -> None:
    """A table says the verdicts in the order of the RIDs, a JUnit file the same, and the records tell it from then on."""
    same = lab.run_notebook(lab.notebook("same", [SAME]))
    other, _ = repeated
    failed = lab.run_notebook(lab.notebook("failed", [FAILED]), status=1)
    junit = tmp_path / "r.xml"
    done = lab.replay_command(other, failed, same, "--jobs", "2", "--here", "--junit", str(junit))
    assert done.rc == 1, done.text
    heading, *rows = done.out.splitlines()[:4]
    assert heading.startswith("RID") and [row.split()[0] for row in rows] == [other, failed, same]
    assert "different" in rows[0] and "other.txt" in rows[0] and "identical" in rows[2]
    assert re.search("identical|equivalent", rows[1]) and "3 records: " in done.out
    [suite] = ElementTree.parse(junit).getroot()
    assert [suite.get("tests"), suite.get("failures"), suite.get("errors")] == ["3", "1", "0"]
    assert [case.get("name") for case in suite] == [other, failed, same]
    lab.is_clean()
    listed = lab.project.looked_up("list")
    told = next(row["replays"] for row in listed if row["rid"] == other)
    assert [one["verdict"] for one in told] == ["different"] * 2
    assert {path.suffix for path in (lab.project / told[0]["report"]).iterdir()} == {".md", ".html", ".json"}


def test_stopped_it_leaves_nothing(lab: Lab, repeated: tuple[str, Outcome], tmp_path: Path) -> None:
    """Neither a process, nor a working tree, nor a note."""
    begun = tmp_path / "begun"
    slow = f"import os, time\nopen({str(begun)!r}, 'a').write(f'{{os.getpid()}} ')\ntime.sleep(1)"
    rid = lab.run_notebook(lab.notebook("slow", [slow]))
    begun.unlink()
    process = lab.project.popen("deriva-ml-replay", rid, repeated[0], "--here", "--jobs", "2")
    while not begun.exists() or not begun.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err == "terminated\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
    lab.is_clean()
    assert not [*(lab.project / "outputs").glob(f"{rid}/replay-*")]


@pytest.mark.parametrize("word", ["dry_run=true", "--kernel=python3"])
def test_what_cannot_be_repeated_here_is_refused(
    ml: DerivaML, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it runs: nothing that is recorded, and another environment."""
    write_notebook(ml.project.root / "n.ipynb", ["1"])
    assert run_notebook.main(["n.ipynb", "--repeat", "2", word]) == 2
    assert f"it does not go with {word.partition('=')[0]}" in capsys.readouterr().err
