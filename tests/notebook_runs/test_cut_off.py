"""A runner that is killed while it writes leaves one execution with one whole set of files, which agree."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import ProjectFolder
from notebook_runs.runs import BEFORE, STAGED, committed, contents, latest
from notebooks import START

KILLER = """
import builtins, io, os, pathlib, signal, sys

def kill(when, path):
    global left
    saved = pathlib.Path(path).parent.glob("*.ipynb") if part == "/executed/" else ()
    if when == event and part in str(path) and (not saved or any('"computed before' in p.read_text() for p in saved)):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("CUT") and "deriva-ml-run-notebook" in " ".join(sys.orig_argv):
    event, part, left = os.environ["CUT"].split()
    left = int(left)
    open_, replace, unlink = io.open, os.replace, pathlib.Path.unlink

    def opened(file, mode="r", *args, **options):
        made = open_(file, mode, *args, **options)
        if "w" in mode:
            kill("opened", file)
        return made

    def replaced(source, target, **options):
        kill("replacing", target)
        replace(source, target, **options)
        kill("replaced", target)

    def unlinked(path, *args, **options):
        kill("unlinking", path)
        unlink(path, *args, **options)

    io.open = builtins.open = opened
    os.replace, pathlib.Path.unlink = replaced, unlinked
"""
"""A ``sitecustomize`` that kills the runner at the nth event of a kind on a path with this part.

In a save, only after one that has what was computed.
"""


@pytest.mark.parametrize(
    ("cut", "status"),
    [
        ("opened /executed/ 1", "Aborted"),
        ("replacing /executed/ 1", "Aborted"),
        ("replaced /killed4.md 1", "Aborted"),
        ("opened /objects/ 3", "Aborted"),
        ("replaced /objects/ 2", "Aborted"),
        ("unlinking kept.txt 1", "Uploaded"),
        ("opened /outputs/ 1", "Uploaded"),
    ],
    ids=["save", "replace", "markdown", "content", "contents", "recorded", "reader"],
)
def test_a_runner_that_is_killed_in_a_write(
    project: ProjectFolder, tmp_path: Path, cut: str, status: str, request: pytest.FixtureRequest
) -> None:
    name = "killed4" if "killed4" in cut else f"killed-{request.node.callspec.id}"
    last = f"import time; time.sleep({3 if 'executed' in cut else 0}); print('last')"  # for a save before the end
    path = committed(project, f"{name}.ipynb", START, BEFORE, STAGED, last)
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    before = project.looked_up("list")
    around = {"CUT": cut, "PYTHONPATH": os.pathsep.join([str(tmp_path), project.env["PYTHONPATH"]])}
    done = project.run("deriva-ml-run-notebook", path, env=around)
    assert done.rc == -9, done.text
    record = latest(project)
    listed = project.run("deriva-ml-catalog", "list", "--json", check=True)
    assert len(json.loads(listed.out)) == len(before) + 1
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
