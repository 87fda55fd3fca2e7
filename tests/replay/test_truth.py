"""The verdicts are the truth: of outputs of which one knows whether they are the same, not by what the tool says of them."""

from __future__ import annotations

from pathlib import Path

from replay.conftest import Lab, outputs, verdicts
from replay.truths import ALIKE, CELLS, FILES, METRICS, NAMES, NEEDS, OTHER, cells

RECORDED = {
    "TRUTH_TURN": "0",
    "LOGNAME": "ada",
    "TZ": "Asia/Tokyo",
    "LC_ALL": "C",
    "OMP_NUM_THREADS": "2",
    "PYTHONHASHSEED": "random",
}
"""Variables of the recorded run."""

REPEATED = {
    "TRUTH_TURN": "1",
    "LOGNAME": "bob",
    "TZ": "Europe/Paris",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
}
"""Those of the person who replays it, elsewhere."""


def test_outputs(lab: Lab, tmp_path: Path) -> None:
    """Each of its own kind, in one notebook, whose cells show what is the same."""
    file = tmp_path / "own.txt"
    file.write_text("one")
    given = {"TRUTH_FILE": str(file), "TRUTH_PROJECT": str(lab.project.path)}
    path = lab.notebook("truth", cells())
    rid = lab.run_notebook(path, env={**RECORDED, **given})
    file.write_text("another")
    report = lab.replay(rid, "--once", env={**REPEATED, **given})
    found = {
        next((one.name for one in NAMES if name.startswith(one.name)), name): verdict
        for name, verdict in verdicts(report).items()
    }
    notebook = found.pop("truth.ipynb")
    truth = {one.name: one.verdict for one in [*FILES, *NAMES, METRICS]} | {
        f"{one.name}.ipynb": one.verdict for one in CELLS
    }
    said = outputs(report)
    wrong = [
        f"{name}: {found[name]} in truth {truth[name]}: {said.get(name)}"
        for name in found
        if found[name] != truth[name]
    ]
    assert not wrong, "\n".join(wrong)
    assert all(any(word in name for word in NEEDS.values()) for name in truth.keys() - found.keys())
    assert notebook == ALIKE, said["truth.ipynb"]["differences"]
    assert report["verdict"] == OTHER
    reasons = "\n".join(report["reasons"])
    assert f"that changed after the recorded run: {file}" in reasons
    assert "numpy.random.default_rng() draws random numbers" in reasons


MODEL = """
import random


def lab(place: str = "", text: str = "", ml_instance=None, execution=None) -> None:
    values = {"seeded": random.Random(3).random(), "drawn": random.random(), "hashed": list(set("abcdefghijkl"))}
    execution.asset_file_path("Execution_Asset", "value.txt").write_text(str(values[text]))
"""


def test_each_run_of_a_sweep_that_was_not_committed(lab: Lab) -> None:
    """The seed of hashes is recorded, too; that of random numbers is not."""
    model = lab.project / "src" / "models" / "lab.py"
    before = model.read_text()
    model.write_text(MODEL)
    words = ["--multirun", "--allow-dirty", "model_config=lab", "model_config.text=seeded,hashed,drawn"]
    *_, sweep = lab.run("deriva-ml-run", *words, env={"PYTHONHASHSEED": "5"})
    model.write_text(before)
    report = lab.replay(sweep)
    assert [run["verdict"] for run in report["runs"]] == ["identical", "identical", "different"]
    assert (report["verdict"], {run["patched"] for run in report["runs"]}) == ("different", {True})
    [*_, drawn] = report["runs"]
    assert "it gives something else each time" in drawn["reasons"][0]
    assert "src/models/lab.py, line 6: random.random()" in drawn["reasons"][1]


def test_a_notebook_that_fails(lab: Lab) -> None:
    """In the same way, but for an address; with one image less; in another cell."""
    cells = [
        "import os\nway = os.environ['TRUTH_WAY']\nwrite('before.txt', 1)",
        "if way == 'earlier':\n    raise ValueError(f'3 images at {id(way)}')",
        "raise ValueError(f'{2 if way == \"fewer\" else 3} images in {object()}')",
    ]
    rid = lab.run_notebook(lab.notebook("fails", cells), status=1, env={"TRUTH_WAY": "same"})
    for way, verdict in {"same": "equivalent", "fewer": "different", "earlier": "different"}.items():
        report = lab.replay(rid, "--once", env={"TRUTH_WAY": way})
        assert (report["verdict"], report["ending"]["verdict"]) == (verdict, verdict), report
        assert verdicts(report) == {"before.txt": "identical", "fails.ipynb": verdict}


def test_work_in_a_kernel(lab: Lab) -> None:
    """What it drew by chance is other than what it computed; a file that only one of both made is a difference, too."""
    cells = [
        "import random",
        "write('steady.txt', sum(range(9)))",
        "write('drawn.txt', random.random())",
        "write(f'only-{random.random()}.txt', 1)",
    ]
    path = lab.notebook("interactive", cells)
    lab.project.run("papermill", path, "/dev/null", check=True)
    report = lab.replay(lab.newest(), "--once")
    assert report["kind"] == "interactive"
    found = verdicts(report)
    assert (found.pop("steady.txt"), found.pop("drawn.txt")) == ("identical", "different")
    assert {*found.values()} == {"different"}
    assert sorted(outputs(report)[name]["note"] for name in found) == [
        "the record has no such file",
        "this run made no such file",
    ]
