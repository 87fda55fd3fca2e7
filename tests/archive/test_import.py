"""What another project recorded is the same here: what is read of it, its datasets, its code; and what is here stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archive.conftest import Make, Recorded, Recorder, state_of
from conftest import SOURCE
from deriva_ml.archive import bundle
from deriva_ml.archive.exporting import export
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.catalog import main
from deriva_ml.definitions import Member, Status
from deriva_ml.demo import DATASET, add_demo
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution.inputs import fetch_dataset
from deriva_ml.execution.kept_commits import keep_commit
from deriva_ml.execution.recovery import recover
from deriva_ml.storage.verify import verify
from git_repository import Repository


@pytest.fixture
def file(recorded: Recorded, tmp_path: Path) -> Path:
    """All records of that project in a file, with the code."""
    export(recorded.catalog, None, path := tmp_path / "all.zip", code=True)
    return path


def files_below(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


class Reader:
    """Reads records as a person does, without what names the project's own folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def told(self, catalog: EmbeddedCatalog, *words: str) -> Any:
        self._monkeypatch.chdir(catalog.project.root)
        self._capsys.readouterr()
        assert main([*words, "--json"]) == 0
        said = self._capsys.readouterr().out.replace(str(catalog.project.root), "ROOT")
        found = json.loads(said)
        if isinstance(found, dict):
            found.pop("imported", None)
        return found


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reader:
    return Reader(monkeypatch, capsys)


def test_records_read_there_as_they_did_here(
    recorded: Recorded, file: Path, make: Make, reader: Reader, tmp_path: Path
) -> None:
    """Results, every record, lineage and lists are the same, and each version's bag has the same files."""
    there = make("there")
    take_in(there, file)
    questions = [("results",), ("list",), ("files",), ("datasets",)]
    executions = [recorded.first, recorded.second, recorded.sweep, *recorded.parts]
    for rid in (*executions, recorded.weights.rid, recorded.pets, recorded.toys):
        questions += [("show", rid), ("lineage", rid)]
    for words in questions:
        assert reader.told(there, *words) == reader.told(recorded.catalog, *words), words
    for state in recorded.catalog.dataset_versions(recorded.pets):
        trees = []
        for catalog in (recorded.catalog, there):
            folder = tmp_path / f"bags-{catalog.project.root.name}" / state.version
            fetch_dataset(catalog, catalog.lookup_dataset(recorded.pets, state.version), folder)
            trees.append(files_below(folder))
        assert trees[0] == trees[1] != {}
        assert there.dataset_state(state.rid) == state
    assert there.dataset_named("pets") == recorded.pets


def test_a_record_says_that_it_was_imported(
    recorded: Recorded,
    file: Path,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = make("there")
    take_in(there, file)
    monkeypatch.chdir(there.project.root)
    for rid in (recorded.first, recorded.pets):
        assert main(["show", rid]) == 0
        assert "\nimported:    20" in capsys.readouterr().out


def test_a_second_import_changes_nothing(file: Path, make: Make) -> None:
    there = make("there")
    first = take_in(there, file)
    assert (first.merged.new["Execution"], first.merged.new["Dataset"], first.contents) == (6, 2, 12)
    before = state_of(there)
    second = take_in(there, file)
    assert (second.merged.new, second.contents, second.commits, second.warnings) == ({}, 0, 0, [])
    assert state_of(there) == before


def test_what_comes_back_is_known(recorded: Recorded, file: Path, make: Make, tmp_path: Path) -> None:
    """A project takes nothing of its own in again, also by way of another one."""
    before = state_of(recorded.catalog)
    there = make("there")
    take_in(there, file)
    export(there, None, tmp_path / "back.zip")
    assert take_in(recorded.catalog, tmp_path / "back.zip").merged.new == {}
    assert state_of(recorded.catalog) == before


def test_a_new_version_comes_to_a_dataset_that_is_here(
    recorded: Recorded, file: Path, make: Make, tmp_path: Path
) -> None:
    """Versions that were here stay as they are, and the newest is the current one."""
    there = make("there")
    take_in(there, file)
    here = recorded.catalog
    old = {one.version: one for one in there.dataset_versions(recorded.pets)}
    members = {one.version: [*there.members(one.rid)] for one in old.values()}
    here.change_dataset(recorded.pets, [Recorder(here).member("bird/1.txt", "three")], description="a bird")
    here.release_dataset(recorded.pets, "major")
    export(here, [recorded.pets], tmp_path / "more.zip")
    done = take_in(there, tmp_path / "more.zip")
    assert (done.merged.new, done.contents) == ({"Asset": 1, "Dataset_Version": 2}, 1)
    assert there.lookup_dataset(recorded.pets).version == "2.0.0"
    assert "bird/1.txt" in {row["Path"] for row in there.lookup_dataset(recorded.pets).members["File"]}
    for version, state in old.items():
        assert there.dataset_state(state.rid) == state
        assert [*there.members(state.rid)] == members[version]


def test_a_dataset_that_was_changed_here_and_there_is_two(
    recorded: Recorded, file: Path, make: Make, tmp_path: Path
) -> None:
    """One version number would be two contents: what is here stays, and what comes is another dataset, once."""
    there = make("there")
    take_in(there, file)
    for catalog, text in ((recorded.catalog, "one"), (there, "other")):
        catalog.change_dataset(recorded.pets, [Recorder(catalog).member("new.txt", text)])
        catalog.release_dataset(recorded.pets, "minor")
    export(recorded.catalog, None, tmp_path / "more.zip")
    before, named = there.dataset_versions(recorded.pets), there.name_of_dataset(recorded.pets)
    done = take_in(there, tmp_path / "more.zip").merged
    other = done.renamed[recorded.pets]
    assert done.datasets == [other] and done.unnamed == ({other: named} if named else {})
    assert there.dataset_versions(recorded.pets) == before and there.name_of_dataset(recorded.pets) == named
    digests = [(one.version, one.digest) for one in there.dataset_versions(other)]
    assert digests == [(one.version, one.digest) for one in recorded.catalog.dataset_versions(recorded.pets)]
    assert there.find_dataset_by_digest(digests[0][1], digests[0][0]) == (other, digests[0][0])
    settled = state_of(there)
    assert not take_in(there, tmp_path / "more.zip").merged.new
    assert state_of(there) == settled
    # It goes on as the dataset that it is.
    recorded.catalog.change_dataset(recorded.pets, [Recorder(recorded.catalog).member("later.txt", "later")])
    export(recorded.catalog, [recorded.pets], tmp_path / "later.zip")
    assert take_in(there, tmp_path / "later.zip").merged.datasets == [other]


@pytest.mark.parametrize("first", ["both", "other", "one"])
def test_a_dataset_that_is_two_elsewhere_is_two_here(
    recorded: Recorded, file: Path, make: Make, tmp_path: Path, first: str
) -> None:
    """Also where it is one yet, which goes on as one of them; whichever file comes first, there are two in the end."""
    there, third = make("there"), make("third")
    for catalog in (there, third):
        take_in(catalog, file)
    for catalog, text in ((recorded.catalog, "one"), (there, "other")):
        catalog.change_dataset(recorded.pets, [Recorder(catalog).member("new.txt", text)])
        catalog.release_dataset(recorded.pets, "minor")
    export(recorded.catalog, None, tmp_path / "one.zip")
    take_in(there, tmp_path / "one.zip")
    export(there, None, tmp_path / "both.zip")
    other = next(
        one.rid for one in there.find_datasets() if one.description == "pets" and one.rid != recorded.pets
    )
    export(there, [other], tmp_path / "other.zip")
    for name in (first, "both", "one", "other", "both"):
        take_in(third, tmp_path / f"{name}.zip")
    assert last_digests(third) == last_digests(there)
    assert not verify(third).problems


def last_digests(catalog: EmbeddedCatalog) -> list[str]:
    return sorted(catalog.dataset_versions(one.rid)[0].digest for one in catalog.find_datasets())


def test_records_whose_rids_others_have_are_told_apart(
    recorded: Recorded, file: Path, make: Make, tmp_path: Path, reader: Reader
) -> None:
    """RIDs once counted up: what is here stays, what comes gets others, and what refers to it follows."""
    there = make("there")
    own = Recorder(there)
    for rid, name in ((recorded.second, "mine"), (recorded.weights.rid, "my weights")):
        other = own.run(name)
        for table, column in there._db.query(
            'SELECT m.name, f."from" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f'
            " WHERE m.type = 'table' AND f.\"table\" = 'Execution'"
        ).fetchall():
            there._db.query("PRAGMA foreign_keys = OFF")
            there._db.query(f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" = ?', rid, other)
        there._db.query('UPDATE "Execution" SET "RID" = ? WHERE "RID" = ?', rid, other)
        there._db.query("PRAGMA foreign_keys = ON")
    mine = reader.told(there, "show", recorded.second)
    done = take_in(there, file)
    assert set(done.merged.renamed) == {recorded.second, recorded.weights.rid}
    assert reader.told(there, "show", recorded.second) == mine
    moved = done.merged.renamed[recorded.second]
    assert there.lookup_execution(moved).description == "a run of second"
    inputs = [one for one in there.assets_of(moved) if one.role == "Input"]
    assert [(one.rid, one.filename) for one in inputs] == [
        (done.merged.renamed[recorded.weights.rid], "weights.npz")
    ]
    assert [one.rid for one in there.datasets_of(moved)] == [recorded.pets]
    assert not there._db.query("PRAGMA foreign_key_check").fetchall()
    before = state_of(there)
    again = take_in(there, file)
    assert (again.merged.new, again.merged.renamed) == ({}, {})
    assert state_of(there) == before
    export(there, None, tmp_path / "back.zip")
    assert take_in(recorded.catalog, tmp_path / "back.zip").merged.new.get("Execution") == 2, (
        "the two of there"
    )


def test_what_the_example_brings_is_the_same_everywhere(make: Make, tmp_path: Path) -> None:
    """Unless another version of the template brings another dataset under that RID: then both are here."""
    here, there = make("here"), make("there")
    add_demo(here)
    add_demo(there)
    export(here, None, tmp_path / "all.zip")
    before = state_of(there)
    assert take_in(there, tmp_path / "all.zip").merged.new == {}
    assert state_of(there) == before
    other = make("other")
    add_demo(other)
    other._db.query('UPDATE "local_version" SET "digest" = ?', "0" * 32)
    merged = take_in(other, tmp_path / "all.zip").merged
    assert (merged.new, [*merged.renamed]) == ({"Dataset": 1, "Dataset_Version": 1}, [DATASET])
    assert take_in(other, tmp_path / "all.zip").merged.new == {}


def test_a_name_that_another_dataset_has_stays_its(recorded: Recorded, file: Path, make: Make) -> None:
    there = make("there")
    mine = there.add_dataset("my pets", [], name="pets")
    merged = take_in(there, file).merged
    assert merged.unnamed == {recorded.pets: "pets"}
    assert set(merged.datasets) == {recorded.pets, recorded.toys}
    assert there.dataset_named("pets") == mine
    assert there.lookup_dataset(recorded.pets).name == ""


def test_the_names_of_datasets_come_into_the_projects_file(
    recorded: Recorded,
    file: Path,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that configurations name them in this clone, too; where the file has them already it stays as it is."""
    there = make("there")
    monkeypatch.chdir(there.project.root)
    assert main(["import", str(file)]) == 0
    assert capsys.readouterr().out.endswith("\ncommit datasets.toml\n")
    digests = {one.version: one.digest for one in recorded.catalog.dataset_versions(recorded.pets)}
    said = (there.project.root / "datasets.toml").read_text()
    assert f'[pets]\nrid = "{recorded.pets}"\nversions."1.0.0" = "{digests["1.0.0"]}"\n' in said
    (there.project.root / "datasets.toml").unlink()  # as if the import had been killed before
    assert main(["import", str(file)]) == 0
    assert (there.project.root / "datasets.toml").read_text() == said
    capsys.readouterr()
    colleague = make("colleague")
    (colleague.project.root / "datasets.toml").write_text(said)
    monkeypatch.chdir(colleague.project.root)
    assert main(["import", str(file)]) == 0
    assert "commit datasets.toml" not in capsys.readouterr().out
    (make("other").project.root / "datasets.toml").write_text("pets = {")
    monkeypatch.chdir(colleague.project.root.with_name("other"))
    assert main(["import", str(file)]) == 2
    assert "datasets.toml" in capsys.readouterr().err


def test_the_code_of_records_comes_under_refs_of_its_own(recorded: Recorded, file: Path, make: Make) -> None:
    """Git can check the recorded commit out; no branch, tag or hook is touched."""
    there = make("there")
    repository = Repository(there.project.root)
    repository.commit("other.txt")
    hook = repository.write(".git/hooks/reference-transaction", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = repository.refs()
    assert take_in(there, file).commits == 1
    hook.unlink()
    kept = f"{recorded.commit} commit\trefs/deriva-ml/{recorded.commit}"
    assert repository.refs().splitlines() == [kept, *before.splitlines()]
    assert 'name = "pets"' in repository.git("show", f"{recorded.commit}:pyproject.toml")


def test_code_is_left_out_where_there_is_no_repository(file: Path, tmp_path: Path, make: Make) -> None:
    there = make("there")
    (there.project.root / ".git").rename(tmp_path / "git")
    done = take_in(there, file)
    assert done.commits == 0
    [note] = done.warnings
    assert "not in a git repository" in note


def test_contents_that_were_left_out_come_later(recorded: Recorded, make: Make, tmp_path: Path) -> None:
    """What describes executions comes in any case, so that results and parameters can be read."""
    export(recorded.catalog, None, tmp_path / "light.zip", contents=False)
    export(recorded.catalog, None, tmp_path / "all.zip")
    there = make("there")
    done = take_in(there, tmp_path / "light.zip")
    assert done.warnings == ["contents that are neither in it nor here: 6"]
    assert not there.objects.has(recorded.weights.md5, recorded.weights.length)
    done = take_in(there, tmp_path / "all.zip")
    assert (done.merged.new, done.contents) == ({}, 6)
    assert there.objects.path(recorded.weights.md5).read_text() == "weights"
    assert there.objects.path(recorded.weights.md5).stat().st_mode & 0o222 == 0


def test_what_records_are_on_servers_comes_with_them(recorded: Recorded, make: Make, tmp_path: Path) -> None:
    """Without the place of a credential, and nothing waits to be pushed."""
    from deriva_ml.catalog.journal import Destination, Remote
    from deriva_ml.definitions import Asset

    here, place = recorded.catalog, Destination("www.example.org", "3")
    here.journal.send_to(recorded.first, place, credential="/home/me/secret.json")
    here.journal.note({recorded.first: Remote("7-ABCD", stored=True)}, place)
    read = Asset("8-ABCD", "Image", "a.png", 1, "0" * 32, "/hatrac/a")
    here.journal.add_input(recorded.first, place, read)
    with here.transaction():
        here.journal.pushed(recorded.first, place, here.journal.changes(recorded.first, place))
    here.journal.send_to(recorded.second, place)
    here.update_execution(recorded.second, Status.uploaded)
    assert here.lookup_execution(recorded.second).status is Status.pending_upload
    export(here, None, path := tmp_path / "all.zip")
    assert b"secret" not in path.read_bytes()
    there = make("there")
    take_in(there, path)
    assert there.journal.elsewhere(recorded.first) == [(place, "7-ABCD")]
    assert [one.rid for one in there.journal.inputs(recorded.first, place)] == ["8-ABCD"]
    assert there.journal.credential(recorded.first, place) is None
    assert there.journal.pending() == []
    assert there.lookup_execution(recorded.second).status is Status.uploaded


@pytest.mark.parametrize("table", ["Image", 'x" UNION SELECT', "Execution_Status"])
def test_what_was_read_of_a_domains_table_on_a_server_is_shown(
    recorded: Recorded, make: Make, tmp_path: Path, reader: Reader, table: str
) -> None:
    """Though this project has no such table."""
    from deriva_ml.catalog.journal import Destination
    from deriva_ml.definitions import Asset

    read = Asset("8-ABCD", table, "a.png", 1, "0" * 32, "/hatrac/a")
    recorded.catalog.journal.add_input(recorded.first, Destination("www.example.org", "3"), read)
    export(recorded.catalog, None, path := tmp_path / "all.zip")
    take_in(there := make("there"), path)
    for catalog in (recorded.catalog, there):
        assert "8-ABCD" in json.dumps(reader.told(catalog, "lineage", recorded.first))
        assert reader.told(catalog, "show", recorded.first)["status"] == "Uploaded"


def test_files_of_a_domains_tables_come_with_their_columns(make: Make, tmp_path: Path) -> None:
    here = make("here")
    here.make_asset_table("It's an Image")
    rid = Recorder(here).run("look")
    staged = here.stage(rid, "It's an Image", "a.png", here.folder_of(rid), columns={"Width": 3})
    staged.path.write_text("picture")
    here.commit(rid)
    export(here, None, tmp_path / "all.zip")
    there = make("there")
    take_in(there, tmp_path / "all.zip")
    [picture] = there.find_assets("It's an Image")
    assert there.journal.columns(picture.rid) == {"Width": 3}
    assert there.executions_of(picture) == [(rid, "Output")]


def test_files_that_are_made_of_many_members(make: Make, tmp_path: Path) -> None:
    """Rows come in parts, of which memory holds one at a time."""
    here = make("here")
    file = Recorder(here).file("a.txt", "a")
    dataset = here.add_dataset("many", [Member(f"{number:05}.txt", file) for number in range(12_000)])
    export(here, None, tmp_path / "all.zip")
    there = make("there")
    take_in(there, tmp_path / "all.zip")
    [state] = there.dataset_versions(dataset)
    assert (state.files, state) == (12_000, here.dataset_versions(dataset)[0])


def test_an_import_that_is_stopped_leaves_nothing(file: Path, make: Make) -> None:
    """At any of its contents, or as its rows are taken in; the next one takes in all."""
    there = make("there")
    before = state_of(there)
    went = 0

    def report(count: int) -> None:
        nonlocal went
        went += count
        if went > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(there, file, progress=lambda total: report)
    assert state_of(there) == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            take_in(there, file)
    assert state_of(there) == before
    assert take_in(there, file).contents == 12


@pytest.mark.parametrize("moment", ["contents", "commits", "rows"])
def test_an_import_that_is_killed_leaves_nothing_for_long(
    recorded: Recorded, make: Make, moment: str
) -> None:
    """A day later it is all gone, and before that it is in nobody's way."""
    there = make("there")
    export(recorded.catalog, None, file := there.project.root.parent / "all.zip", code=True)
    before = state_of(there)
    there.close()
    moments = {
        "contents": "take_in(catalog, file, progress=lambda total: die)",
        "commits": "bundle._fetch = die; take_in(catalog, file)",
        "rows": "os.replace = die; take_in(catalog, file, code=False)",
    }
    program = f"""
        import os, signal, sys
        from pathlib import Path
        import deriva_ml.archive.bundle as bundle
        from deriva_ml.archive.importing import take_in
        from deriva_ml.catalog.embedded import EmbeddedCatalog
        from deriva_ml.project import Project

        def die(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)

        catalog, file = EmbeddedCatalog(Project(Path(sys.argv[1]))), Path(sys.argv[2])
        {moments[moment]}
    """
    command = [sys.executable, "-c", textwrap.dedent(program), there.project.root, file]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(EmbeddedCatalog(there.project)) as there:
        assert state_of(there) != before
        then = time.time() - 2 * 86_400
        for path in there.project.state.rglob("*"):
            os.utime(path, (then, then))
        recover(there, there.project)
        assert state_of(there) == before
        assert not [path for path in there.project.state.rglob(".*") if path.is_dir()]
        assert take_in(there, file).contents == 12


@pytest.mark.parametrize(
    ("command", "words"),
    [("catalog", ["import"]), ("catalog", ["export", "--all"]), ("dataset", ["export", "pets"])],
)
def test_a_request_to_end_leaves_nothing(
    recorded: Recorded, file: Path, make: Make, command: str, words: list[str]
) -> None:
    """As a batch system makes it (SIGTERM), just before all is there."""
    there = make("there") if words == ["import"] else recorded.catalog
    root, before = there.project.root, state_of(there)
    there.close()
    program = f"""
        import os, signal, sys
        import deriva_ml.archive.importing as importing
        import deriva_ml.disk as disk
        from deriva_ml.cli.{command} import main

        def end(*arguments):
            os.kill(os.getpid(), signal.SIGTERM)

        importing._Contents.settle = os.replace = disk.flush_names = end
        sys.exit(main(sys.argv[1:]))
    """
    given = file if words == ["import"] else root / "new"
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *words, given],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "terminated\n")
    left = {path.name for path in root.iterdir()} - {
        ".git",
        ".gitignore",
        ".deriva-ml",
        "pyproject.toml",
        "files",
    }
    assert not left
    with closing(EmbeddedCatalog(there.project)) as there:
        assert state_of(there) == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, DerivaMLRequestError])
def test_commits_go_again_where_fetching_them_is_stopped(
    recorded: Recorded, make: Make, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    """But not one that a run beside it keeps in that moment."""
    there = make("there")
    root = there.project.root
    export(recorded.catalog, None, file := root.parent / "all.zip", code=True)
    Repository(root).commit("own.txt", "of this project alone")
    own = Repository(root).git("rev-parse", "HEAD")
    before = Repository(root).refs()
    fetch = bundle._fetch

    def stopped(folder: Path, source: Path) -> None:
        fetch(folder, source)
        if folder == root:
            assert keep_commit(own, root) == ""
            raise failure("no")

    monkeypatch.setattr(bundle, "_fetch", stopped)
    with pytest.raises((KeyboardInterrupt, DerivaMLException)):
        take_in(there, file)
    after = Repository(root).refs()
    assert own in after and recorded.commit not in after.replace(own, "")
    assert [line for line in after.splitlines() if "refs/deriva-ml" not in line] == before.splitlines()


def stop(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_a_catalog_whose_disk_is_full_takes_nothing(
    file: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = make("there")
    before = state_of(there)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(DerivaMLException, match="needs 716 bytes, and 100 are free: make room"):
        take_in(there, file)
    assert state_of(there) == before
