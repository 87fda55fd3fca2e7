"""What a released version of the runner recorded is replayed by today's, with the code of its commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import SOURCE, ProjectFolder, on_environment_of
from replay.conftest import MODEL, Lab
from template_versions import RELEASED, Template, make

VERSIONS = sorted(path.name.removesuffix(".tar.gz") for path in RELEASED.glob("*.tar.gz"))
CONFIG = """
from hydra_zen import builds, store

from models.lab import lab

store(builds(lab, populate_full_signature=True, zen_partial=True), group="model_config", name="lab")
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_it_gives_the_same(synced: ProjectFolder, tmp_path: Path, version: str) -> None:
    template = Template.create(tmp_path / "template", synced.env)
    template.unpack(RELEASED / f"{version}.tar.gz")
    template.tag(f"v{version}")
    made = make(template, tmp_path / "my-project", f"v{version}")
    project = ProjectFolder(made.path, on_environment_of(synced, made.path))
    (project / "src/configs/lab.py").write_text(CONFIG)
    (project / "src/models/lab.py").write_text(MODEL)
    lab = Lab(project)
    lab.commit()
    [rid] = lab.run("deriva-ml-run", "model_config=lab", "datasets=default_dataset")

    shutil.rmtree(project / "src/deriva_ml")
    (project / "src/deriva_ml").symlink_to(SOURCE / "deriva_ml")
    (project / "src/models/lab.py").write_text("raise ValueError")
    lab.commit()
    lab.run("deriva-ml-catalog", "list")
    report = lab.replay(rid)
    assert (report["verdict"], report["recorded"]["runner"]) == ("identical", f"v{version}"), report
