"""A catalog that an earlier version of the runner wrote is brought up to date without losing anything."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.database import Database
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.migrations import MIGRATIONS
from deriva_ml.catalog.tables import TERMS, VERSION, statements
from deriva_ml.definitions import AssetRole, Status, Workflow
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.process import Owner
from deriva_ml.project import Project

FIRST = Path(__file__).parent / "data" / "embedded" / "catalog-v1.db.gz"
"""Written by the runner's first version: an execution with an input and an output, and a dataset."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pyproject.toml").touch()
    project = Project(tmp_path)
    project.state.mkdir()
    project.database.write_bytes(gzip.decompress(FIRST.read_bytes()))
    return project


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return version


def schema_of(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {sql for (sql,) in rows}


def test_what_the_first_version_recorded_is_there_and_new_runs_are_recorded_beside_it(
    project: Project,
) -> None:
    catalog = EmbeddedCatalog(project)
    [old] = catalog.select_executions(Criteria())
    assert (old.rid, old.status, old.workflow.name) == ("E-8VZZ", Status.uploaded, "Old study")
    assert [(asset.filename, asset.role) for asset in catalog.assets_of(old.rid)] == [
        ("table.csv", AssetRole.output),
        ("in.txt", AssetRole.input),
    ]
    assert catalog.lookup_dataset("E-8W06", "1.0.0").description == "Old dataset"
    new = catalog.add_execution(Workflow("New study", checksum="c"), "", Owner.of())
    assert [record.rid for record in catalog.select_executions(Criteria())] == [new, old.rid]
    assert catalog.journal.pending() == []


def test_the_file_as_it_was_is_kept_beside_it(project: Project) -> None:
    assert version_of(project.database) == 1
    EmbeddedCatalog(project).close()
    kept = project.state / "catalog.db.v1"
    assert (version_of(project.database), version_of(kept)) == (VERSION, 1)
    connection = sqlite3.connect(kept)
    assert connection.execute('SELECT "RID" FROM "Execution"').fetchall() == [("E-8VZZ",)]


def write(version: int, path: Path) -> None:
    """Write the file that the last runner of a version of the tables left."""
    written = FIRST.with_name(f"catalog-v{version}.db.gz")
    path.write_bytes(gzip.decompress(written.read_bytes()))
    assert version_of(path) == version


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_migrated_catalog_has_the_tables_of_a_new_one(
    project: Project, tmp_path: Path, version: int
) -> None:
    """So has one of this version: its tables do not change without a new one."""
    write(version, project.database)
    (tmp_path / "new").mkdir()
    new = Project(tmp_path / "new")
    EmbeddedCatalog(new).close()
    EmbeddedCatalog(project).close()
    assert schema_of(project.database) == schema_of(new.database)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_each_migration_makes_the_tables_of_the_next_version_and_no_more(
    project: Project, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """A table that a later version has is made by that one's migration, in older files, too."""
    monkeypatch.setattr("deriva_ml.catalog.migrations.VERSION", version + 1)
    write(version, project.database)
    EmbeddedCatalog(project).close()
    following = project.state / "next.db"
    write(version + 1, following)
    assert schema_of(project.database) == schema_of(following)


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_table_that_comes_later_is_made_in_files_of_every_version(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Whoever adds one writes it into the tables and into a migration, and files of older versions open."""
    tag = 'CREATE TABLE "local_tag" ("execution" TEXT NOT NULL, "tag" TEXT NOT NULL)'
    living = statements()
    monkeypatch.setattr("deriva_ml.catalog.migrations.statements", lambda: [*living, tag])
    monkeypatch.setitem(MIGRATIONS, VERSION, lambda database: database.query(tag))
    monkeypatch.setattr("deriva_ml.catalog.migrations.VERSION", VERSION + 1)
    write(version, project.database)
    (tmp_path / "new").mkdir()
    new = Project(tmp_path / "new")
    EmbeddedCatalog(new).close()
    EmbeddedCatalog(project).close()
    assert tag in schema_of(project.database) == schema_of(new.database)


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_terms_that_are_known_are_in_files_of_every_version(project: Project, version: int) -> None:
    """So are those of this version: a term does not come without a new one."""
    write(version, project.database)
    catalog = EmbeddedCatalog(project)
    for vocabulary, names in TERMS.items():
        assert set(names) <= set(catalog._db.get_all(vocabulary, "Name"))


@pytest.mark.parametrize("by", ["the list of terms", "the migration"])
def test_a_migration_brings_terms(project: Project, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """An execution of an older catalog can then have a status that its runner did not know."""
    new = ["Paused"] if by == "the migration" else []
    monkeypatch.setitem(MIGRATIONS, VERSION, lambda database: database.insert_terms("Execution_Status", new))
    if by == "the list of terms":
        monkeypatch.setitem(TERMS, "Execution_Status", (*TERMS["Execution_Status"], "Paused"))
    monkeypatch.setattr("deriva_ml.catalog.migrations.VERSION", VERSION + 1)
    catalog = EmbeddedCatalog(project)
    catalog._db.update("Execution", "E-8VZZ", {"Status": "Paused"})
    [row] = catalog._db.query('SELECT "ID", "URI", "RID" FROM "Execution_Status" WHERE "Name" = ?', "Paused")
    assert (row["ID"], row["URI"]) == (f"local:{row['RID']}", f"/id/{row['RID']}")


def _open(root: str) -> int:
    catalog = EmbeddedCatalog(Project(Path(root)))
    return len(catalog.select_executions(Criteria()))


def test_several_processes_may_migrate_at_once(project: Project) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert [*pool.map(_open, [str(project.root)] * 4)] == [1] * 4
    assert version_of(project.database) == VERSION


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(database: Database) -> None:
        database.query("CREATE TABLE half (id)")
        database.query("CREATE TABLE half (id)")

    monkeypatch.setattr("deriva_ml.catalog.migrations.MIGRATIONS", {1: fail})
    before = schema_of(project.database)
    with pytest.raises(DerivaMLException, match="half already exists"):
        EmbeddedCatalog(project)
    assert (version_of(project.database), schema_of(project.database)) == (1, before)


def test_an_older_runner_refuses_a_newer_catalog_in_one_line(project: Project) -> None:
    connection = sqlite3.connect(project.database)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(DerivaMLException, match="copier update") as raised:
        EmbeddedCatalog(project)
    assert "\n" not in str(raised.value)


def test_a_dataset_of_an_older_catalog_is_read_as_it_was(project: Project) -> None:
    """Its members have the paths at which bags laid them out, and its version a manifest."""
    write(6, project.database)
    catalog = EmbeddedCatalog(project)
    [found] = catalog.find_datasets()
    dataset = catalog.lookup_dataset(found.rid, "0.1.0")
    [row] = dataset.members["File"]
    assert row["Path"] == f"File/{row['RID']}/f.csv"
    manifest = f'{{"length":2,"md5":"{row["MD5"]}","path":"{row["Path"]}"}}\n'
    assert dataset.digest == hashlib.md5(manifest.encode()).hexdigest()
    [state] = catalog.dataset_versions(found.rid)
    assert (state.number, state.files, state.bytes) == (1, 1, 2)
