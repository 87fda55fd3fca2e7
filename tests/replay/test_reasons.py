"""A replay that differs says why, as far as it can tell, and does not say what it has seen to be otherwise."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.check.catalogue import RULES
from deriva_ml.replay.audit import Seen
from deriva_ml.replay.reasons import CIRCUMSTANCES, RANDOM, Again, Evidence, reasons
from deriva_ml.replay.verdict import Compared, Comparison, CouldNotRun, Difference, Verdict
from git_repository import Repository, isolate_git
from replay.conftest import Lab, verdicts

SAME, OTHER = Verdict.identical, Verdict.different
BY_CHANCE, NOT_BY_CHANCE = "it gives something else each time", "repeated twice it gave the same"


def test_a_notebook_that_depends_on_more_than_its_record(lab: Lab, tmp_path: Path) -> None:
    """It says so of a set's order, of a file that nobody declared, and of one that it leaves for its next run."""
    given = tmp_path / "given.csv"
    given.write_text("1\n")
    path = lab.notebook(
        "depends",
        [
            "import os, subprocess\nfrom pathlib import Path",
            "subprocess.run(['true'], check=True)\nPath('left.txt').write_text(str(Path('left.txt').exists()))",
            "write('set.txt', list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}))",
            f"write('given.txt', Path({str(given)!r}).read_text())",
            "write('left.txt', Path('left.txt').read_text())",
        ],
    )
    rid = lab.run_notebook(path, env={"PYTHONHASHSEED": "random"})
    given.write_text("2\n")
    report = lab.replay(rid)
    found = "\n".join(report["reasons"])
    assert f"that changed after the recorded run: {given}" in found
    assert "it started other programs, of which nothing is recorded: true" in found
    assert NOT_BY_CHANCE in found and "the order of a set" in found
    assert verdicts(report) == {"set.txt": "different", "given.txt": "different", "left.txt": "identical"} | {
        name: verdict for name, verdict in verdicts(report).items() if name.endswith(".ipynb")
    }


class Repeats:
    """Runs once more, as the test says that it goes: by a word of what it is told it is for."""

    def __init__(self, **ends: Again) -> None:
        self.ends, self.ran = ends, list[Mapping[str, str]]()

    def __call__(self, what: str, variables: Mapping[str, str]) -> Again:
        self.ran.append(variables)
        return next(end for word, end in self.ends.items() if word in what)


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """A run of a module that is as its record, as far as one knows."""
    isolate_git(monkeypatch, tmp_path)
    (tmp_path / "project").mkdir()
    Repository.create(tmp_path / "tree")
    module = tmp_path / "tree" / "model.py"
    module.write_text("depth = 3\n")
    record: dict[str, Any] = {
        "python": {"version": "3.11.7", "implementation": "CPython"},
        "usable_cpus": 2,
        "packages": {"numpy": "2.1.0", "mine": "1"},
        "environment": {},
    }
    here = {**record, "packages": {"numpy": "2.1.0"}, "environment": {"PYTHONHASHSEED": "0"}}
    return Evidence(record, here, "mine", tmp_path / "tree", [module], tmp_path / "project")


def write(evidence: Evidence, code: str) -> None:
    evidence.sources[0].write_text(code)


def test_the_rules_that_are_asked_are_there() -> None:
    """Their codes may not be given to others."""
    names = {code: RULES[code].name for code in (*RANDOM, *CIRCUMSTANCES)}
    assert "random" in names["DML602"] and "seed" in names["DML603"]
    assert "clock" in names["DML604"] and "environment" in names["DML605"]


def test_packages_that_changed(evidence: Evidence) -> None:
    """They are named, but not the project itself; nor processors, which matter by the threads alone."""
    evidence = replace(
        evidence, repeated={**evidence.repeated, "packages": {"numpy": "1.26"}, "usable_cpus": 4}
    )
    found = reasons(evidence, Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(SAME, OTHER)))
    assert found[0] == "packages in other versions: numpy 1.26 (was 2.1.0)"
    assert not any("processors that" in line for line in found)


def test_what_no_input_declares(evidence: Evidence) -> None:
    """Files that were read, with those apart that changed since; those that only lie in the project; hosts and programs."""
    old, new = evidence.top.parent / "old.csv", evidence.top.parent / "new.csv"
    old.write_text("")
    new.write_text("")
    os.utime(old, (1e9, 1e9))
    (evidence.project / "raw.csv").write_text("")
    seen = Seen(
        read=[str(old), str(new)],
        missed=[str(evidence.top / "raw.csv"), str(evidence.top / ".env")],
        connected=["example.org:443"],
        started=["git"],
    )
    ran = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 3600))
    patch = b"# untracked, recorded by name only: src/.hidden.py\n"
    evidence = replace(evidence, seen=seen, ran=ran, patch=patch, inputs=["an input changed"])
    found = reasons(evidence, Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(SAME, OTHER)))
    assert found[0] == "an input changed"
    assert found[1].endswith("src/.hidden.py")
    assert (
        found[2] == "files that were in the project's folder, and are neither committed nor inputs: raw.csv"
    )
    assert found[3] == f"files that no input declares, and that changed after the recorded run: {new}"
    assert str(old) in found[4] and "libraries in C" in found[4]
    assert "example.org:443" in found[5]
    assert found[6].endswith(": git")


def test_unseeded_random_numbers(evidence: Evidence) -> None:
    """They are a reason only if it gives something else each time; a comment that silences the rule changes nothing."""
    write(evidence, "import numpy as np\n\nx = np.random.rand()  # noqa: DML602\n")
    repeats = Repeats(same=Again(OTHER, OTHER))
    found = reasons(evidence, repeats)
    assert found[0].startswith(BY_CHANCE)
    assert found[1].startswith("model.py, line 3: ") and found[1].endswith("(DML602)")
    assert repeats.ran == [{}]
    found = reasons(evidence, Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(SAME, OTHER)))
    assert found[0].startswith(NOT_BY_CHANCE) and found[1].startswith("nothing else is known of it")


def test_random_numbers_of_a_module_that_was_imported(evidence: Evidence) -> None:
    """What the run imported from its working tree is looked at, and nothing else there."""
    for name in ("used", "unused"):
        (evidence.top / f"{name}.py").write_text("import random\nx = random.random()\n")
    evidence = replace(
        evidence, seen=Seen(code=[str(evidence.top / "used.py"), str(evidence.top / "gone.py")])
    )
    found = reasons(evidence, Repeats(same=Again(OTHER, OTHER)))
    assert [line.partition(",")[0] for line in found[1:]] == ["used.py"]


def test_a_notebooks_cell_is_named(evidence: Evidence) -> None:
    """By its number, as everywhere."""
    notebook = evidence.top / "a.ipynb"
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# a"},
        {"cell_type": "code", "metadata": {}, "source": "import random\nrandom.random()", "outputs": [], "execution_count": None},
    ]  # fmt: skip
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    evidence = replace(evidence, sources=[notebook])
    assert reasons(evidence, Repeats(same=Again(OTHER, OTHER)))[1].startswith("a.ipynb, cell 2, line 2: ")


def test_the_order_of_sets(evidence: Evidence) -> None:
    """It gives the same with the same PYTHONHASHSEED, and something else with another; not asked if the record has one."""
    repeats = Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(OTHER, OTHER))
    found = reasons(evidence, repeats)
    assert found[0].startswith(NOT_BY_CHANCE) and "the order of a set" in found[1] and len(found) == 2
    assert repeats.ran == [{}, {"PYTHONHASHSEED": "1"}]
    fixed = replace(evidence, recorded={**evidence.recorded, "environment": {"PYTHONHASHSEED": "0"}})
    repeats = Repeats(same=Again(SAME, OTHER))
    assert "libraries in C" in reasons(fixed, repeats)[1]
    assert len(repeats.ran) == 1


def test_the_number_of_threads(evidence: Evidence) -> None:
    """Numbers that are nearly the same, and another number of processors: with as many threads it gives the record."""
    near = [Difference("row 1", "0.12345", "0.12346"), Difference("row 2", "1", "1.0000001")]
    outputs = [Compared("a.csv", "t", Comparison(OTHER, 0.9, differences=near))]
    many = replace(evidence, recorded={**evidence.recorded, "usable_cpus": 16}, outputs=outputs)
    repeats = Repeats(same=Again(SAME, OTHER), threads=Again(OTHER, SAME))
    found = reasons(many, repeats)
    assert found[1].startswith("with 16 threads it gives what is recorded: it had 16 processors")
    assert repeats.ran[1]["OMP_NUM_THREADS"] == "16"
    found = reasons(many, Repeats(same=Again(SAME, OTHER), threads=Again(OTHER, OTHER)))
    assert found[1].startswith("it depends on the number of threads")
    words = replace(
        many, outputs=[Compared("a", "t", Comparison(OTHER, 0.5, "", [Difference("line 1", "a", "b")]))]
    )
    found = reasons(words, Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(SAME, OTHER)))
    assert found[1].startswith("it may depend on the number of threads")


def test_threads_that_end_in_another_order(evidence: Evidence) -> None:
    """It gives something else each time, has no random numbers, and gives the record with one thread."""
    found = reasons(evidence, Repeats(same=Again(OTHER, OTHER), one=Again(OTHER, SAME)))
    assert found[0].startswith(BY_CHANCE) and found[1].startswith("with one thread it gives what is recorded")
    found = reasons(evidence, Repeats(same=Again(OTHER, OTHER), one=Again(OTHER, OTHER)))
    assert found[1].startswith("no unseeded source of random numbers is found")


def test_the_clock_and_the_environment(evidence: Evidence) -> None:
    """They are named last, and the clock also where it gives something else each time."""
    write(evidence, "import os, time\n\nnow = time.time()\nuser = os.environ['USER']\n")
    found = reasons(evidence, Repeats(same=Again(SAME, OTHER), PYTHONHASHSEED=Again(SAME, OTHER)))
    assert ["DML604" in found[1], "DML605" in found[2]] == [True, True]
    found = reasons(evidence, Repeats(same=Again(OTHER, OTHER), one=Again(OTHER, OTHER)))
    assert "DML604" in found[2] and not any("DML605" in line for line in found)


def test_without_another_run(evidence: Evidence) -> None:
    """What may be a reason is said, and which it is remains open."""
    write(evidence, "import os, random\n\nrng = random.Random()\nuser = os.environ['USER']\n")
    found = reasons(replace(evidence, recorded={**evidence.recorded, "usable_cpus": 16}), None)
    assert found[0].startswith("it may depend on the number of threads: it had 16 processors")
    assert ["DML602" in found[1], "DML605" in found[2]] == [True, True]


def test_it_cannot_be_run_once_more(evidence: Evidence) -> None:
    """What is known without it is said all the same."""

    def fails(what: str, variables: Mapping[str, str]) -> Again:
        raise CouldNotRun("the run was ended by SIGKILL")

    evidence = replace(evidence, inputs=["an input changed"])
    assert reasons(evidence, fails) == [
        "an input changed",
        "it could not be run once more to tell: the run was ended by SIGKILL",
    ]
