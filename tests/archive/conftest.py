"""Two projects: one with records of every kind, and one to bring them into."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset, Member, Status, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project
from git_repository import Repository, isolate_git

Make = Callable[[str], EmbeddedCatalog]


@contextmanager
def projects(folder: Path) -> Iterator[Make]:
    """What makes a project with a repository and a commit, and opens its catalog."""
    opened = []

    def make(name: str) -> EmbeddedCatalog:
        repository = Repository.create(folder / name)
        repository.write(".gitignore", ".deriva-ml\n")
        repository.commit("pyproject.toml", '[project]\nname = "pets"\nlicense = "Apache-2.0"\n')
        opened.append(catalog := EmbeddedCatalog(Project(folder / name)))
        return catalog

    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_git(monkeypatch, folder)
        yield make
    for catalog in opened:
        catalog.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes projects of the test's own."""
    with projects(tmp_path) as make:
        yield make


@dataclass
class Recorded:
    """A project's catalog with its records.

    Attributes:
        first: the execution that made ``weights``, from no input.
        second: one that read ``weights`` and version 1.0.0 of ``pets``.
        sweep: one with two parts, of which the second one failed.
        pets: a dataset with versions 1.0.0 and 1.1.0, and another one in it.
    """

    catalog: EmbeddedCatalog
    commit: str
    first: RID
    second: RID
    sweep: RID
    parts: list[RID]
    weights: Asset
    pets: RID
    toys: RID


class Recorder:
    """Records executions and datasets as runs do."""

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self.catalog = catalog
        self.commit = Repository(catalog.project.root).git("rev-parse", "HEAD")

    def file(self, name: str, text: str) -> RID:
        """Record a file of the user's."""
        path = self.catalog.project.root / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return self.catalog.add_file(path).rid

    def member(self, path: str, text: str) -> Member:
        """A file to be in a dataset."""
        return Member(path, self.file(path.replace("/", "-"), text))

    def run(
        self,
        name: str,
        outputs: dict[str, str] | None = None,
        inputs: tuple[Asset, ...] = (),
        datasets: tuple[Dataset, ...] = (),
        status: Status = Status.uploaded,
        **parameters: object,
    ) -> RID:
        """Record an execution with its configuration, metrics and outputs."""
        catalog = self.catalog
        workflow = Workflow(
            name, ["Training"], url=f"https://example.org/{name}", checksum=name, version="1.0"
        )
        rid = catalog.add_execution(workflow, f"a run of {name}", Owner.of(), started_by="deriva-ml-run")
        for one in inputs:
            catalog.link_asset(rid, one, AssetRole.input)
        for dataset in datasets:
            catalog.link_dataset(rid, dataset)
        configuration = {
            "provenance": {"commit": self.commit},
            "parameters": parameters,
            "config_choices": {"m": "a"},
        }
        files = {
            "configuration.json": (json.dumps(configuration), "Execution_Metadata", "Deriva_Config"),
            "metrics.jsonl": (
                '{"accuracy": 0.5}\n{"accuracy": 0.75}\n',
                "Execution_Metadata",
                "Metrics_File",
            ),
        }
        files |= {name: (text, "Execution_Asset", "Model_File") for name, text in (outputs or {}).items()}
        for filename, (text, table, kind) in files.items():
            staged = catalog.stage(
                rid, table, filename, catalog.folder_of(rid), [kind], f"{filename} of {name}"
            )
            staged.path.write_text(text)
        catalog.commit(rid)
        detail = "ValueError: no" if status is Status.failed else ""
        catalog.update_execution(rid, status, detail, Execution_Duration="0H 2min 3.5sec")
        return rid


@pytest.fixture
def recorded(make: Make) -> Recorded:
    """A project with records of every kind."""
    return record(make("here"))


def record(catalog: EmbeddedCatalog) -> Recorded:
    """Record something of every kind."""
    recorder = Recorder(catalog)
    first = recorder.run("first", {"weights.npz": "weights"}, l2=0.1)
    weights = next(one for one in catalog.assets_of(first) if one.filename == "weights.npz")
    toys = catalog.add_dataset("toys", [recorder.member("ball.txt", "ball")], name="toys")
    members = [recorder.member("cat/1.txt", "one"), recorder.member("dog/1.txt", "two")]
    made = recorder.run("collect")
    pets = catalog.add_dataset(
        "pets", members, ["Training"], "1.0.0", execution=made, nested=[toys], name="pets"
    )
    old = catalog.lookup_dataset(pets)
    second = recorder.run("second", {"report.md": "# Report"}, (weights,), (old,), l2=0.2, label="ö")
    catalog.change_dataset(pets, [recorder.member("cat/1.txt", "corrected")], ["dog/1.txt"], "corrected")
    catalog.release_dataset(pets, description="corrected")
    sweep = recorder.run("sweep")
    parts = [recorder.run("part", seed=1), recorder.run("part", seed=2, status=Status.failed)]
    for number, part in enumerate(parts):
        catalog.nest(sweep, part, number)
    return Recorded(catalog, recorder.commit, first, second, sweep, parts, weights, pets, toys)


def state_of(catalog: EmbeddedCatalog) -> list[str]:
    """All that a project has: its rows, its contents, files beside them, and its refs."""
    tables = catalog._db.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    rows = [
        f"{table['name']} {tuple(row)}"
        for table in tables
        for row in catalog._db.query(f'SELECT * FROM "{table["name"]}"')
    ]
    folder = catalog.project.state
    files = [
        str(path) for path in folder.rglob("*") if path.is_file() and not path.name.startswith("catalog.db")
    ]
    return [*sorted(rows), *sorted(files), Repository(catalog.project.root).refs()]
