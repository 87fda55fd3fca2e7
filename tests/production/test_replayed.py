"""A record of a Deriva catalog is replayed: what it read comes from there, and nothing goes there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Outcome, ProjectFolder
from notebooks import COMMIT, START
from production.site import MODEL, NOTEBOOK, Site, recorded

READING = """
paths = [path for table in execution.asset_paths.values() for path in table]
bag = execution.datasets[0]
files = sorted(path.read_bytes() for path in bag.path.rglob('*') if path.is_file())
text = [paths[0].read_bytes(), files, bag.version, ml.catalog_id, execution.execution_rid]
_ = execution.asset_file_path('Execution_Asset', 'read.txt').write_text(str(text))
"""


@pytest.fixture
def elsewhere(site: Site, tmp_path: Path) -> Iterator[ProjectFolder]:
    """A clone of the project on another machine, whose own catalog has nothing."""
    path = tmp_path / "clone"
    shutil.copytree(
        site.project.path, path, symlinks=True, ignore=shutil.ignore_patterns(".deriva-ml", "outputs")
    )
    yield ProjectFolder(path, {**site.project.env, "PYTHONPATH": str(path / "src")})


def replay(project: ProjectFolder, *words: str) -> Outcome:
    return project.run("deriva-ml-replay", *words, "--here", "--json")


def test_it_is_only_read(site: Site, elsewhere: ProjectFolder) -> None:
    """By its RID here, or there from wherever the commit is, with the version of a dataset that it read."""
    path = site.notebook("reading.ipynb", START, READING, COMMIT)
    done = site.run(NOTEBOOK, path, "deriva_ml=production", "assets=there", "datasets=there")
    rid, status = recorded(done)
    assert status == "Uploaded", done.text
    elsewhere.git("pull", "--quiet", str(site.project.path))
    before, here = site.everything(), site.here()
    for project, words in (
        (site.project, [here[0]["rid"]]),
        (site.project, [rid, "deriva_ml=production"]),
        (elsewhere, [rid, "--from", "production"]),
    ):
        done = replay(project, *words)
        report = json.loads(done.out)
        assert report["verdict"] == "identical", (words, done.text)
        assert {one["name"] for one in report["outputs"]} == {"reading.ipynb", "read.txt"}
    assert site.everything() == before
    assert [row["rid"] for row in site.here()] == [row["rid"] for row in here]


def test_a_model_is_replayed_from_its_record_on_the_server(site: Site) -> None:
    rid, _ = recorded(site.run(MODEL, "model_config=tiny", "model_config.seed=7", "deriva_ml=production"))
    before = site.everything()
    done = replay(site.project, rid, "deriva_ml=production")
    assert json.loads(done.out)["verdict"] == "identical", done.text
    assert site.everything() == before
