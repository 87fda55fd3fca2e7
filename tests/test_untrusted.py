"""A project folder or a catalog from somebody else is data: commands stay inside, and what is damaged is told in a line."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deriva_ml import DerivaML
from deriva_ml.cli.catalog import main as catalog_command
from deriva_ml.cli.upload import main as upload_command
from deriva_ml.definitions import Asset, AssetRole, Workflow
from deriva_ml.deriva.offline import OfflineCache
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.recovery import recover_project
from deriva_ml.execution.run_state import RUN_VARIABLE, NotebookRun
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.untrusted import is_inside, read_json, well_formed

GONE = Owner(Owner.of().host, 2**22 - 7, 1.0)
SECRET = "hunter2"


class Folder:
    """A project with an execution that has ended and one that was killed, and precious files beside it."""

    def __init__(self, parent: Path) -> None:
        self.outside = parent / "outside"
        self.project = Project(parent / "project")
        self.project.root.mkdir()
        (self.project.root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        for name in ("precious.txt", "sub/precious.txt", "x.ipynb", "configuration.json", "catalog.db"):
            path = self.outside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"parameters": {"a": SECRET}}))
        self.before = self.state_outside()
        ml = DerivaML(project=self.project)
        workflow = Workflow("Study", "Training", url="u", checksum="c")
        execution = ml.create_execution(ExecutionConfiguration(description="d"), workflow)
        self.done = execution.execution_rid
        execution.record_circumstances({"path": "x", "differences": []})
        execution.asset_file_path("Execution_Asset", "result.txt").write_text("42")
        execution.commit_output_assets()
        self.killed = ml.catalog.add_execution(
            workflow, "killed", GONE, self.project.runs / "20260101-000000-abcd"
        )
        assets = ml.project.executions / self.killed / "assets"
        self.staged = ml.catalog.stage(self.killed, "Execution_Asset", "staged.txt", assets).path
        self.staged.write_text("kept")
        dataset = ml.catalog.add_file(self.project.root / "pyproject.toml")
        self.dataset = ml.catalog.add_dataset("data", [dataset.rid], ["Training"])
        ml.catalog.link_dataset(self.done, ml.catalog.lookup_dataset(self.dataset))
        ml.catalog.link_asset(self.done, dataset, AssetRole.input)
        self.asset = ml.catalog.assets_of(self.done)[0].rid
        self.contents = {asset.filename: asset.rid for asset in ml.catalog.assets_of(self.done)}
        ml.catalog.close()
        shutil.rmtree(self.project.executions / self.done, ignore_errors=True)

    def state_outside(self) -> dict[str, tuple[bytes, int]]:
        files = [path for path in sorted(self.outside.rglob("*")) if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mode) for path in files}

    def run_folder(self, **changes: object) -> Path:
        """A killed runner's folder."""
        folder = self.project.runs / "20260101-000000-abcd"
        (folder / "executed").mkdir(parents=True)
        (folder / "executed" / "x.ipynb").write_text(
            '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
        )
        provenance = {"url": "u", "checksum": "c", "version": "v", "path": "x.ipynb"}
        NotebookRun(folder, self.project.root / "x.ipynb", GONE, GONE, provenance=provenance).save()
        noted = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**noted, **changes}))
        return folder

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.project.database)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                database.execute(statement)
            database.commit()

    def recorded(self) -> str:
        """All that the project holds of contents and outputs."""
        folders = [one for one in (self.project.objects, self.project.outputs) if not one.is_symlink()]
        found = [path for one in folders for path in one.rglob("*")]
        return "".join(
            path.read_text(errors="replace") for path in found if path.is_file() and not path.is_symlink()
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A copy of it to damage, as the working directory."""
    own = copy_of(made, tmp_path)
    monkeypatch.chdir(own.project.root)
    return own


def copy_of(made: Folder, to: Path) -> Folder:
    own = object.__new__(Folder)
    own.__dict__ = dict(made.__dict__)
    shutil.copytree(made.project.root, to / "project", symlinks=True)
    shutil.copytree(made.outside, to / "outside")
    own.project, own.outside = Project(to / "project"), to / "outside"
    own.staged = own.project.root / made.staged.relative_to(made.project.root)
    own.before = own.state_outside()
    return own


def try_all(folder: Folder, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What `list`, `show`, `open` and `upload` say; none fails with a traceback, nor touches what is outside."""
    said = ["", ""]
    commands = [
        (catalog_command, "list"),
        (catalog_command, "list --json"),
        (catalog_command, f"show {folder.done}"),
        (catalog_command, f"show {folder.killed}"),
        (catalog_command, f"show {folder.asset}"),
        (catalog_command, f"show {folder.dataset}"),
        (catalog_command, f"open {folder.done}"),
        (catalog_command, f"open {folder.killed}"),
        (upload_command, "--list"),
    ]
    for main, arguments in commands:
        assert main(arguments.split()) in {0, 1, 2}
        out, err = capsys.readouterr()
        said[0] += out
        said[1] += err
    assert [
        line for line in said[1].splitlines() if not line.startswith(("error: ", "warning: ", "recovered "))
    ] == []
    assert folder.state_outside() == folder.before
    assert SECRET not in said[0] + said[1] + folder.recorded()
    return said[0], said[1]


def test_an_undamaged_folder_is_read_and_its_orphan_closed(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = try_all(folder, capsys)
    assert err.startswith(f"recovered execution {folder.killed}: ") and err.count("\n") == 1
    assert "staged.txt" in out and "Training" in out


ESCAPES: dict[str, Callable[[Folder], object]] = {
    "a staged file outside": lambda f: f.sql(f'UPDATE "local_staged" SET "path" = \'{f.outside / "precious.txt"}\''),
    "a staged file above": lambda f: f.sql('UPDATE "local_staged" SET "path" = \'../outside/precious.txt\''),
    "a staged file's name": lambda f: f.sql(
        "UPDATE \"local_staged\" SET \"path\" = '/nowhere', \"filename\" = '../../../../../../outside/precious.txt'"
    ),
    "a staged link": lambda f: (f.staged.unlink(), f.staged.symlink_to(f.outside / "precious.txt")),
    "a linked staging folder": lambda f: (
        shutil.rmtree(f.staged.parent), f.staged.parent.symlink_to(f.outside), f.sql(
            'UPDATE "local_staged" SET "path" = replace("path", \'staged.txt\', \'precious.txt\'), "filename" = \'precious.txt\''
        )
    ),
    "a linked assets folder": lambda f: (
        shutil.rmtree(f.project.executions / f.killed), (f.project.executions / f.killed).mkdir(),
        (f.project.executions / f.killed / "assets").symlink_to(f.outside),
    ),
    "a linked working folder": lambda f: (
        shutil.rmtree(f.project.executions / f.killed), (f.project.executions / f.killed).symlink_to(f.outside)
    ),
    "a linked folder of no execution": lambda f: (f.project.executions / "2-ABCD").symlink_to(f.outside),
    "linked executions": lambda f: (shutil.rmtree(f.project.executions), f.project.executions.symlink_to(f.outside)),
    "linked locks": lambda f: (
        shutil.rmtree(f.project.state / "alive", ignore_errors=True), (f.project.state / "alive").symlink_to(f.outside)
    ),
    "a linked catalog": lambda f: (f.project.database.unlink(), f.project.database.symlink_to(f.outside / "catalog.db")),
    "a linked copy of the catalog": lambda f: (f.project.state / "catalog.db.v3").symlink_to(f.outside / "catalog.db"),
    "linked objects": lambda f: (shutil.rmtree(f.project.objects), f.project.objects.symlink_to(f.outside)),
    "linked outputs of one": lambda f: (f.project.outputs.mkdir(exist_ok=True), (f.project.outputs / f.done).symlink_to(f.outside)),
    "a linked output": lambda f: (
        (f.project.outputs / f.done).mkdir(parents=True),
        (f.project.outputs / f.done / "result.txt").symlink_to(f.outside / "precious.txt"),
    ),
    "a linked content": lambda f: [
        (path.unlink(), path.symlink_to(f.outside / "configuration.json"))
        for path in list(f.project.objects.rglob("*")) if path.is_file()
    ],
    "a file's name": lambda f: f.sql('UPDATE "Execution_Asset" SET "Filename" = \'../../../outside/new.txt\''),
    "a digest": lambda f: f.sql(f'UPDATE "Execution_Metadata" SET "MD5" = \'{f.outside / "configuration.json"}\''),
    "a digest above": lambda f: f.sql('UPDATE "Execution_Metadata" SET "MD5" = \'../../../outside/configuration.json\''),
    "an RID": lambda f: (
        f.sql(*(f'UPDATE "{table}" SET "{column}" = \'../../outside/sub\' WHERE "{column}" = \'{f.killed}\''
                for table, column in (("Execution", "RID"), ("local_run", "execution"), ("local_staged", "execution"))))
    ),
    "a run's folder": lambda f: (
        f.run_folder(), f.sql(f'UPDATE "local_run" SET "folder" = \'{f.outside}\'')
    ),
    "a linked run": lambda f: (f.project.runs.mkdir(), (f.project.runs / "20260101-000000-abcd").symlink_to(f.outside)),
    "a linked executed notebook": lambda f: [
        (path.unlink(), path.symlink_to(f.outside / "x.ipynb")) for path in [f.run_folder() / "executed" / "x.ipynb"]
    ],
    "a linked Markdown": lambda f: (f.run_folder() / "executed" / "x.md").symlink_to(f.outside / "precious.txt"),
    "a linked description of the environment": lambda f: (f.run_folder() / "environment.json").symlink_to(f.outside / "precious.txt"),
    "a linked log": lambda f: (f.run_folder() / "kernel.log").symlink_to(f.outside / "precious.txt"),
    "a linked folder of executed notebooks": lambda f: [
        (shutil.rmtree(path), path.symlink_to(f.outside)) for path in [f.run_folder() / "executed"]
    ],
    "a notebook elsewhere": lambda f: ((f.outside / "pyproject.toml").touch(), f.run_folder(notebook=str(f.outside / "x.ipynb")),
                                       (f.outside / "pyproject.toml").unlink()),
    "a notebook of no name": lambda f: f.run_folder(notebook=".."),
    "a connection": lambda f: f.run_folder(connection=str(f.outside)),
    "a linked connection": lambda f: (
        (f.project.root / "dml-x").symlink_to(f.outside), f.run_folder(connection=str(f.project.root / "dml-x"))
    ),
    "a lock's name": lambda f: f.sql(f'UPDATE "local_run" SET "lock" = \'{f.outside / "precious.txt"}\''),
    "linked sources": lambda f: (f.project.executions / f.killed / "executed.jsonl").symlink_to(f.outside / "precious.txt"),
    "a linked configuration": lambda f: (
        f.staged.unlink(), f.staged.symlink_to(f.outside / "configuration.json"),
        f.sql('UPDATE "local_staged" SET "filename" = \'configuration.json\', "table" = \'Execution_Metadata\''),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ESCAPES)
def test_no_row_link_or_file_leads_a_command_out_of_the_project(
    how: str, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    ESCAPES[how](folder)
    try_all(folder, capsys)
    assert not (folder.outside / "new.txt").exists()


VALUES = [
    "NULL",
    "x'00ff'",
    "'Foo'",
    "''",
    "-1",
    "1e999",
    "'\x1b[2J\nerror: x'",
    "9223372036854775807",
    "CAST(x'ff' AS TEXT)",
    "'[[['",
]
COLUMNS = [
    ("Execution", column) for column in ("Status", "Status_Detail", "Description", "RCT", "RCB", "Workflow", "Execution_Duration")
] + [
    *(("Workflow", column) for column in ("Name", "URL", "Checksum", "Version", "Description")),
    *(("Execution_Metadata", column) for column in ("Filename", "URL", "Length", "MD5", "Description")),
    *(("Execution_Asset", column) for column in ("Filename", "Length", "MD5")),
    *(("File", column) for column in ("Filename", "Length", "MD5", "URL")),
    *(("Dataset", column) for column in ("Description", "Version", "Deleted")),
    *(("Dataset_Version", column) for column in ("Version", "Dataset", "Snapshot")),
    *(("Execution_Metadata_Execution", column) for column in ("Asset_Role", "Execution")),
    *(("Workflow_Workflow_Type", column) for column in ("Workflow_Type", "Workflow")),
    *(("local_run", column) for column in ("folder", "host", "pid", "started", "lock", "started_by")),
    *(("local_staged", column) for column in ("table", "filename", "path", "types", "description", "number")),
    *(("local_member", column) for column in ("path", "file", "nested", "since", "until")),
    *(("local_version", column) for column in ("dataset", "number", "digest", "files", "bytes")),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[".".join(one) for one in COLUMNS])
def test_a_damaged_value_is_told_in_a_line(
    table: str, column: str, made: Folder, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    at = COLUMNS.index((table, column))
    for value in {VALUES[(3 * at + n) % len(VALUES)] for n in range(3)} | {"NULL"}:
        shutil.copyfile(made.project.database, folder.project.database)
        for left in ("-wal", "-shm"):
            Path(f"{folder.project.database}{left}").unlink(missing_ok=True)
        try:
            folder.sql(f'UPDATE "{table}" SET "{column}" = {value}')
        except sqlite3.IntegrityError:
            continue
        try_all(folder, capsys)


@pytest.mark.parametrize("table", ["Execution", "Workflow", "local_run", "local_staged", "local_destination", "local_version",
                                   "File", "Execution_Asset_Execution", "Dataset_Version", "local_remote"])  # fmt: skip
def test_a_missing_table_is_told_in_a_line(
    table: str, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.sql(f'DROP TABLE "{table}"')
    assert f"no such table: {table}" in try_all(folder, capsys)[1]


@given(
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=64)), min_size=1, max_size=8)
)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_damaged_catalog_file_is_told_in_a_line(
    damage: list[tuple[float, bytes]], made: Folder, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(made.project.database.read_bytes())
    for place, bytes_ in damage:
        at = int(place * len(content))
        content[at : at + len(bytes_)] = bytes_
    for left in ("-wal", "-shm"):
        Path(f"{folder.project.database}{left}").unlink(missing_ok=True)
    folder.project.database.write_bytes(content)
    try_all(folder, capsys)


FILES = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"3", b'"x"', b"[" * 100_000, b'{"cells": 1}', b'{"provenance": 3, "parameters": [1],'
         b' "overrides": [{"a": 1}, 2], "parameters_not_set": 5, "config_choices": "x"}', b'{"provenance": {"differences": [1, {}]}}']  # fmt: skip


@pytest.mark.parametrize("content", FILES)
@pytest.mark.parametrize(
    "name",
    ["run.json", "report.json", "executed/x.ipynb", "environment.json", "executed.jsonl", "configuration"],
)
def test_a_damaged_file_is_told_in_a_line(
    name: str, content: bytes, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "configuration":
        [held] = [
            path
            for path in folder.project.objects.rglob("*")
            if path.is_file() and b'"provenance"' in path.read_bytes()
        ]
        held.chmod(0o644)
        held.write_bytes(content)
    elif name == "executed.jsonl":
        (folder.project.executions / folder.killed / name).write_bytes(content)
    else:
        (folder.run_folder() / name).write_bytes(content)
    try_all(folder, capsys)
    assert (
        f"{folder.killed}" in capsys.readouterr().err
        or not (folder.project.executions / folder.killed).exists()
    )


def test_pipes_devices_and_enormous_files_hold_up_no_command(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder.run_folder()
    (run / "report.json").unlink(missing_ok=True)
    os.mkfifo(run / "report.json")
    os.mkfifo(folder.project.state / "alive" / "pipe")
    other = folder.project.runs / "20260101-000000-ffff"
    other.mkdir()
    os.mkfifo(other / "run.json")
    third = folder.project.runs / "20260101-000000-eeee"
    third.mkdir()
    with (third / "run.json").open("wb") as stream:
        stream.truncate(1 << 40)
    folder.sql('UPDATE "local_run" SET "lock" = \'pipe\'')
    try_all(folder, capsys)


WRONG = [5, "", None, [], {"host": "h"}, {"host": GONE.host, "pid": "1", "started": 1.0}, {"host": GONE.host, "pid": -1, "started": 0},
         {"host": GONE.host, "pid": 2**70, "started": 0.0}, "../..", [1], {"x": 1}]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "owner",
        "kernel",
        "notebook",
        "connection",
        "overrides",
        "parameters",
        "provenance",
        "argv",
        "declared",
        "folder",
    ],
)
def test_a_run_file_of_other_types_is_told_in_a_line(name: str, made: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    for number, value in enumerate(WRONG[len(name) % 3 :: 3]):
        own = copy_of(made, tmp_path / str(number))
        monkeypatch.chdir(own.project.root)
        own.run_folder(**{name: value})
        try_all(own, capsys)


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes in groups of their own, which are ended after the test."""
    started = []

    def start(**variables: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
        started.append(
            subprocess.Popen(
                command, env={**os.environ, **variables}, stdout=subprocess.PIPE, start_new_session=True
            )
        )
        assert started[-1].stdout and started[-1].stdout.readline()
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_only_a_process_that_was_started_for_the_run_is_ended(
    folder: Folder, process: Callable[..., subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    bystander = process()
    of_another = process(**{RUN_VARIABLE: str(folder.outside)})
    for other in (bystander, of_another):
        run = folder.run_folder(kernel=vars(Owner.of(other.pid)))
        recover_project(folder.project)
        assert other.poll() is None
        shutil.rmtree(run, ignore_errors=True)
        folder.sql(f'UPDATE "Execution" SET "Status" = \'Running\' WHERE "RID" = \'{folder.killed}\'',
                   f'UPDATE "local_run" SET "pid" = {GONE.pid}, "started" = 1.0, "lock" = NULL')  # fmt: skip
    run = folder.project.runs / "20260101-000000-abcd"
    kernel = process(**{RUN_VARIABLE: str(run)})
    folder.run_folder(kernel=vars(Owner.of(kernel.pid)))
    recover_project(folder.project)
    assert kernel.wait(10) < 0
    assert bystander.poll() is None and of_another.poll() is None


def test_a_new_execution_writes_through_no_link_that_waits_for_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell the RIDs that a catalog will give; a folder that was prepared for one leads nowhere."""
    from deriva_ml.catalog import database

    monkeypatch.setattr(database, "mint", lambda count: [database.encode(32**9 + n) for n in range(count)])
    (folder.project.executions / database.encode(32**9)).symlink_to(folder.outside)
    ml = DerivaML(project=folder.project)
    with pytest.raises(DerivaMLException, match="is a link"):
        ml.create_execution(ExecutionConfiguration(), Workflow("Study", url="u", checksum="c"))
    assert folder.state_outside() == folder.before


@pytest.mark.parametrize("damage", ["MD5 = '../../x'", "Length = 'abc'"])
def test_an_output_whose_content_has_a_damaged_row_is_told_in_a_line(folder: Folder, damage: str) -> None:
    folder.sql(f"UPDATE Execution_Asset SET {damage} WHERE RID = '{folder.asset}'")
    ml = DerivaML(project=folder.project)
    execution = ml.create_execution(
        ExecutionConfiguration(description="again"), Workflow("Study", "Training", url="u", checksum="c")
    )
    execution.asset_file_path("Execution_Asset", "result.txt").write_text("42")
    with pytest.raises(DerivaMLException, match=f"asset {folder.asset} in .* is damaged"):
        execution.commit_output_assets()
    ml.catalog.close()


def test_what_was_kept_of_a_catalog_may_be_damaged(tmp_path: Path) -> None:
    known = OfflineCache(tmp_path / "known")
    asset = Asset("1-A", "File", "x", 3, "m", "/hatrac/x")
    known.keep_asset(asset)
    assert known.asset("1-A") == asset
    [file] = (tmp_path / "known").iterdir()
    for content in (
        "",
        "[]",
        "3",
        '{"rid": 1, "types": []}',
        json.dumps({**vars(asset), "length": "many", "types": []}),
    ):
        file.write_text(content)
        assert known.asset("1-A") is None
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(json.dumps({**vars(asset), "types": [], "role": None}))
    assert known.asset("1-A") is None


@pytest.mark.parametrize(
    "path", ["a", "a/b", "a/../b", "link", "link/x", "..", "../x", "", "a/../../x", "file"]
)
def test_inside_means_by_name_and_by_links(path: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "a").mkdir(parents=True)
    (inner / "file").touch()
    (inner / "link").symlink_to(tmp_path)
    (tmp_path / "way").symlink_to(inner)
    for folder in (inner, tmp_path / "way"):
        assert is_inside(folder / path, folder) == (path in {"a", "a/b", "file"})
    assert not is_inside(tmp_path / "inner2", inner)


def test_records_are_checked_by_the_types_that_they_declare() -> None:
    asset = Asset("1-A", "File", "x", 3, "m", "/hatrac/x", types=("a",))
    assert well_formed(asset) is asset
    for change in ({"length": "3"}, {"length": True}, {"md5": None}, {"types": (1,)}, {"filename": b"x"}):
        with pytest.raises(ValueError, match=f"its {next(iter(change))} cannot be "):
            well_formed(replace(asset, **change))  # type: ignore[arg-type]


def test_a_file_is_read_only_if_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "good").write_text('{"a": "é"}')
    assert read_json(tmp_path / "good") == {"a": "é"}
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "deep").write_text("[" * 100_000)
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    for name in ("link", "deep", "pipe", "large", "none", "."):
        with pytest.raises((OSError, ValueError)):
            read_json(tmp_path / name)
