"""A runner that is killed while it writes leaves one execution with one whole set of files, which agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import ProjectFolder
from notebook_runs.runs import BEFORE, STAGED, committed, contents, latest
from notebooks import START
from sweeps.killed import armed

NOTEBOOK = "deriva-ml-run-notebook"


@pytest.mark.parametrize(
    ("moment", "at", "status"),
    [
        ("^write .*/executed/", 8, "Aborted"),
        ("^rename .*/executed/", 9, "Aborted"),
        ("^renamed .*/killed-markdown.md", 1, "Aborted"),
        ("^write .*/objects/", 3, "Aborted"),
        ("^renamed .*/objects/", 2, "Aborted"),
        ("^remove .*/kept.txt", 1, "Uploaded"),
        ("^write .*/outputs/", 1, "Uploaded"),
    ],
    ids=["save", "replace", "markdown", "content", "contents", "recorded", "reader"],
)
def test_a_runner_that_is_killed_in_a_write(
    project: ProjectFolder, tmp_path: Path, moment: str, at: int, status: str, request: pytest.FixtureRequest
) -> None:
    name = f"killed-{request.node.callspec.id}"
    path = committed(project, f"{name}.ipynb", START, BEFORE, STAGED, "print('last')")
    before = project.run("deriva-ml-catalog", "list", "--json", check=True).out
    asked = {
        "role": NOTEBOOK,
        "root": str(project.path),
        "log": str(tmp_path / "log"),
        "part": moment,
        "at": at,
    }
    done = project.run(NOTEBOOK, path, env=armed(project.env, asked))
    assert done.rc == -9, done.text
    record = latest(project)
    listed = project.run("deriva-ml-catalog", "list", "--json", check=True)
    assert len(json.loads(listed.out)) == len(json.loads(before)) + 1
    assert (record["status"], listed.err) == (status, "")
    names = [row["file"] for row in record["outputs"]]
    assert len(names) == len(set(names)), "one set of files"
    kept = contents(record)
    assert {f"{name}.ipynb", f"{name}.md", "kept.txt", "configuration.json", "environment.json"} <= set(kept)
    assert kept["kept.txt"] == b"kept"
    assert "computed before" in json.loads(kept[f"{name}.ipynb"])["cells"][1]["outputs"][0]["text"][0]
    assert (b"did not complete" in kept[f"{name}.md"]) == (status == "Aborted")
    assert "not-recorded" not in record["reason"]
    assert not [*(project / "outputs").rglob("not-recorded")]
    assert not [*(project / ".deriva-ml" / "executions").iterdir()]
    assert not [*(project / ".deriva-ml" / "runs").iterdir()]
