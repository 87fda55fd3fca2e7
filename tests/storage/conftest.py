"""A project's catalog with runs whose contents a test damages, measures or removes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Asset, AssetRole, Status, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project
from git_repository import isolate_git

Run = Callable[..., RID]
Command = Callable[..., int]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which commands find."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def catalog(project: Project) -> Iterator[EmbeddedCatalog]:
    with closing(EmbeddedCatalog(project)) as catalog:
        yield catalog


@pytest.fixture
def run(catalog: EmbeddedCatalog) -> Run:
    """Records a run that made a file of this text, and read some assets; so many days ago."""

    def run(
        name: str,
        text: str = "",
        inputs: Sequence[Asset] = (),
        *,
        days: float = 0,
        status: Status = Status.uploaded,
        url: str = "u",
        table: str = "Execution_Asset",
    ) -> RID:
        workflow = Workflow("Train", "Training", url=url, checksum=url)
        rid = catalog.add_execution(workflow, f"run {name}", Owner("elsewhere", 1, 0.0))
        for asset in inputs:
            catalog.link_asset(rid, asset, AssetRole.input)
        staged = catalog.stage(rid, table, f"{name}.txt", catalog.folder_of(rid) / "assets", ["Output_File"])
        staged.path.write_text(text or name)
        catalog.commit(rid)
        catalog.update_execution(rid, status)
        if days:
            catalog.database.query(
                'UPDATE "Execution" SET "RCT" = strftime(\'%Y-%m-%dT%H:%M:%f000+00:00\', \'now\', ?) WHERE "RID" = ?',
                f"-{days} days",
                rid,
            )
        return rid

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `deriva-ml-catalog` in this process."""
    from deriva_ml.cli.catalog import main

    return lambda *words: main([*words])


def outputs(catalog: EmbeddedCatalog, rid: RID) -> list[Asset]:
    return [asset for asset in catalog.assets_of(rid) if asset.role is AssetRole.output]


def content(catalog: EmbeddedCatalog, rid: RID) -> Path:
    """Where the content of a run's file is."""
    [asset] = outputs(catalog, rid)
    return catalog.objects.path(asset.md5)


def age(folder: Path, days: float) -> None:
    """Make all contents in a store look as if they had been taken in so long ago."""
    then = time.time() - days * 86_400
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))
