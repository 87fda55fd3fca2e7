"""An execution that its process left open is closed with all that it had, whatever stands in the way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Status, Workflow
from deriva_ml.exceptions import DerivaMLRunError
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.recovery import recover
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.process import Owner
from deriva_ml.project import PARTIAL, Project
from executions.runs import start


def orphan(ml: DerivaML) -> str:
    """An execution whose process has ended, with one staged file."""
    workflow = Workflow("T", url="u", checksum="c")
    rid = ml.catalog.add_execution(workflow, "", Owner(Owner.of().host, 2**22 - 7, 1.0))
    staged = ml.catalog.stage(rid, "Execution_Asset", "kept.txt", ml.project.executions / rid / "assets")
    staged.path.write_text("kept")
    return rid


def test_an_orphan_is_closed_after_its_project_was_moved(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid = orphan(ml)
    ml.catalog.close()
    monkeypatch.chdir("/")
    moved = Project(ml.project.root.rename(ml.project.root.with_name("moved")))
    catalog = EmbeddedCatalog(moved)
    assert recover(catalog, moved) == [rid]
    assert [asset.filename for asset in catalog.assets_of(rid)] == ["kept.txt"]
    assert catalog.lookup_execution(rid).status == "Aborted"


def test_what_a_process_registered_after_it_had_committed_is_recorded_too(ml: DerivaML) -> None:
    rid = orphan(ml)
    ml.catalog.update_execution(rid, Status.uploaded, "")
    recover(ml.catalog, ml.project)
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert ml.lookup_execution(rid).status == "Uploaded"


@pytest.mark.parametrize("content", ["", "{}", '{"of": "another version"}'])
def test_a_damaged_run_folder_stops_no_command(ml: DerivaML, content: str) -> None:
    folder = ml.project.new_folder(ml.project.runs)
    (folder / "run.json").write_text(content)
    rid = orphan(ml)
    assert recover(ml.catalog, ml.project) == [rid]


def killed_run(ml: DerivaML, provenance: dict[str, Any]) -> Path:
    """The folder of a notebook run whose runner was killed before the notebook started an execution."""
    gone = Owner(Owner.of().host, 2**22 - 7, 1.0)
    folder = ml.project.new_folder(ml.project.runs)
    NotebookRun(folder, ml.project.root / "x.ipynb", gone, gone, provenance=provenance).save()
    (folder / "executed").mkdir()
    (folder / "executed" / "x.ipynb").write_text('{"cells": []}')
    return folder


TRACED = {"url": "u", "checksum": "c", "version": "v", "path": "x.ipynb"}


@pytest.mark.parametrize("content", ["", "{", "[]", "[1]", "null", "\0\0"])
def test_a_damaged_report_of_a_killed_run_counts_as_none(ml: DerivaML, content: str) -> None:
    """A power cut leaves empty files; the run is recorded all the same."""
    folder = killed_run(ml, TRACED)
    (folder / "report.json").write_text(content)
    [rid] = recover(ml.catalog, ml.project)
    assert ml.lookup_execution(rid).status == "Aborted"
    assert not folder.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"cells": 1}',
        '{"cells": [{}]}',
        '{"cells": [{"cell_type": "code", "metadata": {"papermill": null}}]}',
        '{"cells": [{"cell_type": "code", "metadata": {"papermill": {"start_time": "x"}}}]}',
        '{"cells": [{"cell_type": "code", "metadata": {"papermill": {"start_time": "x"}}, "outputs": [1]}]}',
    ],
)
def test_an_executed_notebook_that_is_damaged_is_recorded_as_it_is(ml: DerivaML, content: str) -> None:
    folder = killed_run(ml, TRACED)
    (folder / "report.json").write_text('{"refused": "no"}')
    (folder / "executed" / "x.ipynb").write_text(content)
    [rid] = recover(ml.catalog, ml.project)
    found = {asset.filename: Path(ml.catalog.locate(asset)) for asset in ml.catalog.assets_of(rid)}
    assert found.keys() == {"x.ipynb", "configuration.json"}
    assert found["x.ipynb"].read_text() == content


def test_a_killed_run_that_cannot_be_recorded_stops_no_command_and_is_kept(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says so in one line, and goes on to the others; once it can be recorded, it is."""
    folder = killed_run(ml, {})
    (folder / "executed" / "x.ipynb").write_text("computed")
    rid = orphan(ml)
    killed_run(ml, TRACED)
    assert rid in (closed := recover(ml.catalog, ml.project)) and len(closed) == 2
    for _ in range(2):
        [warning] = [line for line in capsys.readouterr().err.splitlines() if str(folder) in line]
        assert warning.startswith(f"warning: the run in {folder} cannot be recorded yet: ")
        assert recover(ml.catalog, ml.project) == []
    noted = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**noted, "provenance": TRACED}))
    [rid] = recover(ml.catalog, ml.project)
    names = {asset.filename for asset in ml.catalog.assets_of(rid)}
    assert names == {"x.ipynb", "configuration.json"}
    assert not folder.exists()


def test_a_clock_that_is_set_does_not_make_a_live_run_an_orphan(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(ml)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert recover(ml.catalog, ml.project) == []
    assert execution.status == "Running"


def test_a_recovery_that_is_killed_is_gone_on_with_and_makes_one_execution(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was stopped: before the run has an execution, before that has ended, or before its folders went."""
    folder = killed_run(ml, TRACED)
    gone = NotebookRun.load(folder).owner
    monkeypatch.setattr(Owner, "here", lambda state: gone)
    for where in (EmbeddedCatalog, "commit"), (EmbeddedCatalog, "unstage"), (shutil, "rmtree"):
        with monkeypatch.context() as patch:
            patch.setattr(*where, stopped)
            with pytest.raises(KeyboardInterrupt):
                recover(ml.catalog, ml.project)
    recover(ml.catalog, ml.project)
    [record] = ml.find_executions()
    assert record.status == "Aborted"
    assert sorted(asset.filename for asset in ml.catalog.assets_of(record.rid)) == [
        "configuration.json",
        "x.ipynb",
    ]
    assert not folder.exists()


@pytest.mark.parametrize("refused", [False, True], ids=["recorded", "refused"])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_removal_that_is_killed_leaves_nothing_and_records_nothing(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch, at: int, refused: bool
) -> None:
    """Whichever of the folder's files went first: without the report, a refused run looks like a killed one."""
    folder = killed_run(ml, TRACED)
    error = {"output_type": "error", "ename": "E", "evalue": "no", "traceback": []}
    begun = {"papermill": {"start_time": "x"}}
    cell = {"cell_type": "code", "metadata": begun, "source": "x", "outputs": [error]}
    (folder / "executed" / "x.ipynb").write_text(json.dumps({"cells": [cell]}))
    NotebookRun.load(folder).report(refused="no" if refused else None)
    with monkeypatch.context() as patch:
        left = iter(range(at))

        def limited(remove: Callable[..., None]) -> Callable[..., None]:
            def removing(path: Any, **options: Any) -> None:
                if "dir_fd" in options and next(left, None) is None:
                    raise KeyboardInterrupt
                remove(path, **options)

            return removing

        patch.setattr(os, "unlink", limited(os.unlink))
        patch.setattr(os, "rmdir", limited(os.rmdir))
        with suppress(KeyboardInterrupt):
            recover(ml.catalog, ml.project)
    recover(ml.catalog, ml.project)
    assert len(ml.find_executions()) == (0 if refused else 1)
    assert not [*ml.project.runs.iterdir()]


@pytest.mark.parametrize("linked", [False, True], ids=["folder", "link"])
def test_half_a_copy_for_the_reader_is_removed_and_no_link_followed(
    ml: DerivaML, tmp_path: Path, linked: bool
) -> None:
    """The runner was killed after it had recorded the run, while it copied what the run made to `outputs`."""
    folder = killed_run(ml, TRACED)
    [rid] = recover(ml.catalog, ml.project)
    folder.mkdir()
    gone = Owner(Owner.of().host, 2**22 - 7, 1.0)
    NotebookRun(folder, ml.project.root / "x.ipynb", gone, gone, provenance=TRACED).save()
    copies = ml.project.make_outputs() / rid
    if linked:
        copies.symlink_to(tmp_path / "elsewhere")
    place = copies.resolve()
    place.mkdir()
    for name in (f"{PARTIAL}0123", "whole.md"):
        (place / name).write_text("x")
    assert recover(ml.catalog, ml.project) == []
    left = {path.name for path in place.iterdir()}
    assert left == ({f"{PARTIAL}0123", "whole.md"} if linked else {"whole.md"})
    assert not folder.exists()


def stopped(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_orphaned_kernel_starts_no_execution_any_more(ml: DerivaML) -> None:
    """Its run is closed with one of its own, or just about to be."""
    run = NotebookRun.load(killed_run(ml, TRACED))
    configuration = ExecutionConfiguration(workflow=Workflow("T", url="u", checksum="c"))
    for _ in range(2):
        with pytest.raises(DerivaMLRunError, match="the runner of this notebook has ended"):
            Execution(ml, configuration, run=run)
        recover(ml.catalog, ml.project)
        assert len(ml.find_executions()) == 1


def test_half_a_file_of_the_runners_own_is_nobodys(ml: DerivaML) -> None:
    rid = orphan(ml)
    assets = ml.project.executions / rid / "assets"
    (assets / f"{PARTIAL}0123").write_text("{")
    (assets / "stray.txt").write_text("x")
    recover(ml.catalog, ml.project)
    kept = [path.name for path in (ml.project.outputs / rid).rglob("*") if path.is_file()]
    assert kept == ["stray.txt"]
    assert ml.lookup_execution(rid).status_detail.endswith("not-recorded: stray.txt")


@pytest.fixture
def orphan_with_unreadable_file(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that registered a file on a disk that fails."""
    rid = orphan(ml)
    ml.catalog.stage(rid, "Execution_Asset", "bad.txt", ml.project.executions / rid / "assets").path.touch()
    opened = Path.open

    def failing(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "r" in mode and path.name.startswith("bad"):
            raise OSError(5, "Input/output error", str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", failing)
    return rid


def test_a_file_that_cannot_be_read_does_not_keep_an_orphan_open(
    ml: DerivaML, orphan_with_unreadable_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rid = orphan_with_unreadable_file
    assert recover(ml.catalog, ml.project) == [rid]
    record = ml.lookup_execution(rid)
    assert record.status == "Aborted"
    assert "not recorded, because it cannot be read: bad.txt (Execution_Asset)" in record.status_detail
    assert "never written" not in record.status_detail
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert "cannot be closed" not in capsys.readouterr().err
    assert recover(ml.catalog, ml.project) == []


def test_nor_one_that_was_registered_after_the_commit(
    ml: DerivaML, orphan_with_unreadable_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rid = orphan_with_unreadable_file
    ml.catalog.update_execution(rid, Status.uploaded, "")
    recover(ml.catalog, ml.project)
    assert "bad.txt" in capsys.readouterr().err
    assert [asset.filename for asset in ml.catalog.assets_of(rid)] == ["kept.txt"]
    assert recover(ml.catalog, ml.project) == []


def test_another_users_file_in_a_working_folder_stops_no_command(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a container leaves it: registered or not, it may be one that this user must not read."""
    rid = orphan(ml)
    assets = ml.project.executions / rid / "assets"
    registered = ml.catalog.stage(rid, "Execution_Asset", "theirs.txt", assets).path
    for path in (registered, assets / "stray.txt"):
        path.write_text("x")
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "r" in mode and path.name.startswith(("theirs", "stray")):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert recover(ml.catalog, ml.project) == [rid]
    assert "cannot be read: theirs.txt" in ml.lookup_execution(rid).status_detail
    kept = {path.name for path in (ml.project.outputs / rid).rglob("*") if path.is_file()}
    assert kept == {"theirs.txt.unreadable", "stray.txt"}


def test_connection_folders_of_runs_that_are_over_are_removed_and_of_live_ones_kept(
    ml: DerivaML, tmp_path: Path
) -> None:
    gone = Owner(Owner.of().host, 2**22 - 7, 1.0)
    folders = {}
    for name, owner, file in (
        ("dml-over", gone, "kernel.json"),
        ("dml-live", Owner.of(), "kernel.json"),
        ("dml-other", gone, "somebody's.txt"),
        ("precious", gone, "kernel.json"),
    ):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / file).touch()
        folder = ml.project.new_folder(ml.project.runs)
        if name in {"dml-over", "dml-live"}:  # the others do not say that they are a run's
            (folders[name] / "run").write_text(str(folder))
        run = NotebookRun(
            folder,
            Path("x.ipynb"),
            owner,
            gone,
            connection=str(folders[name]),
        )
        run.save()
    recover(ml.catalog, ml.project)
    assert [name for name, folder in folders.items() if not folder.exists()] == ["dml-over"]
