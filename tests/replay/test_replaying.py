"""An execution that is replayed runs what its record says, with what it read, and the verdict is the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.conftest import END, START, Lab, outputs, verdicts

PARAMETERS = """
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
class Mode(Enum):
    fast = 1
    slow = 2
count: int = 1
rate: float = 0.5
name: str = "x"
when: datetime = datetime(2024, 1, 1)
where: Path = Path("a")
mode: Mode = Mode.fast
none: str | None = "m"
sizes: list[int] = [1]
pair: tuple[int, ...] = (1, 2)
price: Decimal = Decimal("1.10")
anything: Any = None
"""
NAMES = "count, rate, name, when, where, mode, none, sizes, pair, price, anything"


@pytest.fixture(autouse=True)
def as_committed(lab: Lab) -> Iterator[None]:
    """The lab as it is committed after each test."""
    yield
    lab.project.git("reset", "--quiet", "--hard")
    lab.project.git("clean", "--quiet", "--force", "-d")


def test_a_notebook_gets_the_values_and_the_inputs_that_it_had(lab: Lab, tmp_path: Path) -> None:
    """Of whatever type; a dataset has grown since, and a file of the person's own has changed."""
    drawings = tmp_path / "drawings"
    drawings.mkdir()
    (drawings / "a.txt").write_text("a")
    lab.project.run("deriva-ml-dataset", "create", "drawings", str(drawings), check=True)
    (lab.project / "data").mkdir()
    (lab.project / "data" / "table.csv").write_text("1,2\n")
    reading = [
        "bag = execution.datasets[0]",
        "history = ml.lookup_dataset(bag.dataset_rid).dataset_history()",
        "files = sorted(path.name for path in bag.path.rglob('*') if path.is_file())",
        "write('read.txt', [files, bag.version, len(history), execution.asset_paths['File'][0].read_text()])",
        "print(execution.execution_rid, execution.working_dir, Path.cwd())",
        "Path('made').mkdir()\n_ = Path('made/n.txt').write_text(str(count))",
        "print(execution.add_files([Path('made')], description='made').dataset_rid)",
    ]
    path = lab.notebook("values", [f"write('values.txt', [{NAMES}])", *reading], PARAMETERS)
    file = tmp_path / "values.json"
    values = {
        "rate": 1e-300,
        "sizes": [3, 4],
        "when": "2024-02-29T10:30:00.000001",
        "price": "0.10",
        "none": None,
    }
    file.write_text(json.dumps(values))
    words = [
        "-p",
        "count",
        "-7",
        "-p",
        "name",
        "\u00e9 'x' \"y\" $HOME",
        "-p",
        "where",
        "/tmp/../b",
        "-p",
        "mode",
        "slow",
    ]
    words += ["-p", "pair", "(5, 6)", "-p", "anything", "(1, {'a': [2.5, None]})", "--file", str(file)]
    rid = lab.run_notebook(path, *words, "datasets=drawings", "assets=mine")

    (lab.project / "data" / "table.csv").write_text("changed")
    (drawings / "b.txt").write_text("b")
    lab.project.run("deriva-ml-dataset", "add", "drawings", str(drawings / "b.txt"), check=True)
    lab.commit()
    report = lab.replay(rid, "--record")
    assert report["verdict"] == "identical", report
    assert verdicts(report) == dict.fromkeys(
        ["values.ipynb", "values.txt", "read.txt", "dataset-manifest-0.1.0.jsonl"], "identical"
    )
    assert (lab.project / "data" / "table.csv").read_text() == "changed"

    shown = lab.show(report["recorded_as"])
    assert (shown["description"], shown["replay of"]) == (f"Replay of {rid}", rid)
    made = {row["file"]: row for row in shown["outputs"]}
    assert (
        made["values.txt"]["MD5"]
        == {row["file"]: row for row in lab.show(rid)["outputs"]}["values.txt"]["MD5"]
    )
    assert {"replay-report.md", "environment.json", "uv.lock"} <= made.keys()
    assert {row["RID"] for row in shown["inputs"]} == {row["RID"] for row in lab.show(rid)["inputs"]}

    assert rid in lab.replay_command(report["recorded_as"]).err

    [content] = [Path(row["content"]) for row in shown["inputs"] if row["file"] == "table.csv"]
    kept = content.read_bytes()
    for damage in ("has changed", "is missing"):
        content.unlink()
        if damage == "has changed":
            content.write_text("oh!\n")
        report = lab.replay(rid)
        assert report["verdict"] == "could not run"
        assert damage in report["why"] and "table.csv" in report["why"]
    content.write_bytes(kept)


def test_a_sweep_is_replayed_with_all_its_runs(lab: Lab) -> None:
    *jobs, _, sweep = lab.run("deriva-ml-run", "--multirun", "model_config=lab", "model_config.text=a,b")
    report = lab.replay(sweep)
    assert [(run["rid"], run["verdict"]) for run in report["runs"]] == [(rid, "identical") for rid in jobs]
    assert (report["kind"], report["verdict"]) == ("sweep", "identical")


def test_each_of_a_notebooks_executions_is_compared_with_its_own(lab: Lab) -> None:
    """Whose outputs name what all of them made."""
    made = "execution.asset_file_path('Execution_Asset', '{0}.txt').write_text('{0}')"
    path = lab.notebook("two", [made.format("first"), END, START, made.format("second")])
    for rid, name in zip(lab.run("deriva-ml-run-notebook", path), ("first", "second"), strict=True):
        report = lab.replay(rid)
        assert verdicts(report) == {f"{name}.txt": "identical", "two.ipynb": "identical"}, report


def test_a_failed_execution_fails_in_the_same_way_or_not(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    (tmp_path / "wrong").write_text("the first time")
    rid = lab.run_model(f"model_config.place={tmp_path}", status=1)
    assert lab.replay(rid)["verdict"] == "identical"
    (tmp_path / "wrong").write_text("the second time")
    report = lab.replay(rid, "--once")
    assert (report["verdict"], report["ending"]["verdict"]) == ("different", "different")
    (tmp_path / "wrong").unlink()
    report = lab.replay(rid, "--once")
    assert report["verdict"] == "different"
    assert report["ending"]["differences"][0]["repeated"] == "it came to its end"


def test_changes_that_were_not_committed_are_applied_again(lab: Lab) -> None:
    """Whatever is in the folder now."""
    model = lab.project / "src" / "models" / "lab.py"
    model.write_text(model.read_text().replace("VALUE = 1", "from models.more import VALUE"))
    (lab.project / "src" / "models" / "more.py").write_text("VALUE = 2\n")
    rid = lab.run_model("--allow-dirty")
    lab.project.git("reset", "--quiet", "--hard")
    (lab.project / "src" / "models" / "more.py").write_text("VALUE = 3\n")
    report = lab.replay(rid)
    assert (report["verdict"], report["patched"]) == ("identical", True)
    assert (lab.project / "src" / "models" / "more.py").read_text() == "VALUE = 3\n"


def test_what_was_executed_in_a_kernel_is_executed_again(lab: Lab) -> None:
    """Also a cell that failed, after which the person went on."""
    cells = ["%time area = width * width", "write('area.txt', area)"]
    path = lab.notebook("area", cells, "width: int = 3")
    lab.project.run("papermill", path, "/dev/null", "-p", "width", "4", check=True)
    rid = lab.newest()
    report = lab.replay(rid)
    assert (report["kind"], report["verdict"]) == ("interactive", "identical"), report
    assert outputs(report).keys() == {"area.txt"}


def test_what_lacks_is_named(lab: Lab) -> None:
    """A file that no commit and no input has; a record that ran no code of the project; an execution that there is not."""
    (own := lab.project / "data" / "own").mkdir(parents=True, exist_ok=True)
    (own / "go").touch()
    rid = lab.run_model("model_config.place=data/own")
    report = lab.replay(rid)
    assert report["verdict"] == "could not run" and "data/own" in report["why"]
    done = lab.replay_command(rid, "--here", "--keep", "--json")
    [note] = [one for one in json.loads(done.out)["notes"] if one.startswith("kept")]
    for place in note.partition(": ")[2].split(" and "):
        assert Path(place).is_dir()
        (git := Path(place, ".git")).exists() and lab.project.git(
            "worktree", "remove", "--force", str(git.parent)
        )
        shutil.rmtree(place, ignore_errors=True)
    lab.is_clean()
    report = lab.replay("DEMO-EXEC")
    assert report["verdict"] == "could not run" and "configuration.json" in report["why"]
    for words in (["9-NONE"], [], ["--rtol", "-1", rid]):
        assert lab.replay_command(*words).rc == 2
