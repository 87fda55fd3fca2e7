"""What a kernel executed is recorded and compared with what is committed: the rules, and a shell without a kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from deriva_double import DerivaDouble
from deriva_ml import DerivaML
from deriva_ml.definitions import Status
from deriva_ml.execution import started
from deriva_ml.execution.closing import close_execution
from deriva_ml.execution.executed_sources import LOG, NAME
from deriva_ml.execution.own_start import UNKNOWN_CODE
from deriva_ml.execution.started import JUPYTERLAB, Start
from deriva_ml.notebook.executed import CodeCell, as_notebook, code_cells, compare
from git_repository import Repository, isolate_git

PARAMETERS = "width: int = 3\nname = 'a'"
CELLS = ["import os", PARAMETERS, "start()", "area = width * width", "%time area", "commit()", "after = 1"]


def committed(*sources: str, tags: dict[int, str] | None = None) -> list[CodeCell]:
    marks = tags if tags is not None else {1: "parameters"}
    return [CodeCell(text, (marks[n],) if n in marks else ()) for n, text in enumerate(sources or CELLS)]


# ------------------------------------------------------------------------------------------------------- the rules
@pytest.mark.parametrize(
    "executed",
    [
        CELLS,
        CELLS[:6],  # cells after the commit
        CELLS[:3],  # it raised there, or was killed
        [],
        ["", " \n", *CELLS[:3], "\n\n", *CELLS[3:]],
        [f"{text}\n\n" for text in CELLS],
        [text.replace("\n", "\r\n") for text in CELLS],
        [*CELLS[:4], CELLS[3], CELLS[3], *CELLS[4:]],  # repeated right after itself
        [CELLS[0], *CELLS],
        [*CELLS[:2], "# Parameters\nwidth = 9\n", *CELLS[2:]],  # what Papermill injects
        [*CELLS[:2], "# Parameters\nwidth = float('nan')\nname = ['a', {'b': -1, 'c': None}]", *CELLS[2:]],
    ],
)
def test_what_is_no_difference(executed: Sequence[str]) -> None:
    assert compare(executed, committed()) == []


@pytest.mark.parametrize(
    ("executed", "said"),
    [
        (
            [CELLS[0], "width: int = 9\nname = 'a'", *CELLS[2:]],
            "cell 2 has another text than is committed: `width: int = 9` instead of `width: int = 3`",
        ),
        ([*CELLS[:3], "area = 1/0", *CELLS[3:]], "cell 4 is in no committed cell: `area = 1/0`"),
        ([*CELLS[:3], *CELLS[4:]], "a committed cell was left out: `area = width * width`"),
        ([CELLS[0], CELLS[2], CELLS[1], *CELLS[3:]], "ran out of order"),
        ([*CELLS[:6], *CELLS[:6]], "cell 7 ran out of order: `import os`"),  # again, in the same kernel
        ([*CELLS[:4], CELLS[2], *CELLS[4:]], "cell 5 ran out of order: `start()`"),
        ([f"{CELLS[0]} ", *CELLS[1:]], "cell 1 has another text"),
        ([*CELLS[:5], "commit( )"], "cell 6 has another text"),
        (["width = 4", *CELLS], "cell 1 is in no committed cell"),
        # Cells that look like injected ones, and do or know more.
        ([*CELLS[:2], "# Parameters\nwidth = 9\nother = 1", *CELLS[2:]], "cell 3 is in no committed cell"),
        ([*CELLS[:2], "# Parameters\nwidth = open('x').read()", *CELLS[2:]], "cell 3 is in no"),
        ([*CELLS[:2], "# Parameters\nwidth = area", *CELLS[2:]], "cell 3 is in no committed cell"),
        ([*CELLS[:2], "# Parameters\nwidth += 1", *CELLS[2:]], "cell 3 is in no committed cell"),
        ([*CELLS[:2], "width = 9", *CELLS[2:]], "cell 3 is in no committed cell: `width = 9`"),  # typed
        ([*CELLS[:4], "# Parameters\nwidth = 9", *CELLS[4:]], "cell 5 is in no committed cell"),
    ],
)
def test_what_is_a_difference(executed: Sequence[str], said: str) -> None:
    lines = compare(executed, committed())
    assert any(said in line for line in lines), lines


def test_cells_that_are_tagged_to_be_skipped_may_run_or_not() -> None:
    cells = committed("a", "slow()", "b", tags={1: "skip-execution"})
    assert compare(["a", "b"], cells) == compare(["a", "slow()", "b"], cells) == []
    assert compare(["slow()", "a", "b"], cells) != []


def test_two_committed_cells_of_one_text_run_twice() -> None:
    cells = committed("step()", "step()", "end()", tags={})
    assert compare(["step()", "step()", "step()", "end()"], cells) == []
    assert compare(["step()", "end()"], cells) != []


def test_a_committed_injected_cell_is_replaced_or_run() -> None:
    cells = committed("a = 1", "# Parameters\na = 2", "b", tags={0: "parameters", 1: "injected-parameters"})
    for injected in (["# Parameters\na = 2"], ["# Parameters\na = 7"], []):
        assert compare(["a = 1", *injected, "b"], cells) == []


def test_many_differences_are_counted() -> None:
    lines = compare([f"x = {n}" for n in range(100)], committed())
    assert len(lines) < 25 and lines[-1].startswith("and ")


def test_the_notebook_of_sources_is_valid() -> None:
    made = as_notebook(["x = 1", "", "%time x"], "# Executed sources")
    nbformat.validate(nbformat.from_dict(made))
    assert [cell.source for cell in code_cells(made) or ()] == ["x = 1", "%time x"]
    assert code_cells([]) is None and code_cells({"worksheets": []}) is None


# ----------------------------------------------------------------------------------------------------- in a shell
@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython's shell as a kernel has it, without a kernel."""
    monkeypatch.setenv("IPYTHONDIR", "/nonexistent")
    made = InteractiveShell.instance()
    made.history_manager.enabled = False
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A project with a committed notebook of these cells, in its folder."""
    isolate_git(monkeypatch, tmp_path)
    made = Repository.create(tmp_path / "study")
    made.write("pyproject.toml", "[project]\nname = 'study'\n")
    made.write(".gitignore", ".deriva-ml/\noutputs/\n")
    cells = [nbformat.v4.new_code_cell(text) for text in NOTEBOOK]
    cells[0].metadata["tags"] = ["parameters"]
    made.commit("notebooks/a.ipynb", nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    monkeypatch.chdir(made.path)
    notebook = made.path / "notebooks" / "a.ipynb"
    monkeypatch.setattr(started, "how_started", lambda: Start(JUPYTERLAB, notebook))
    return made


START = """from deriva_ml import DerivaML
from deriva_ml.execution import ExecutionConfiguration
ml = DerivaML()
execution = ml.create_execution(ExecutionConfiguration(), ml.create_workflow("Study", "Analysis Notebook"))
execution.execution_start()"""
WRITE = "execution.asset_file_path('Execution_Asset', 'x.txt').write_text(str(x))"
COMMIT = "execution.commit_output_assets()"
NOTEBOOK = ["x = 1", "%time x", START, WRITE, COMMIT]


def run(shell: InteractiveShell, *cells: str) -> None:
    for number, cell in enumerate(cells):
        shell.run_cell(cell, store_history=True, cell_id=f"id-{number}")


def outputs(rid: str) -> dict[str, str]:
    """What an execution recorded, by name."""
    ml = DerivaML()
    found = [asset for asset in ml.catalog.assets_of(rid) if asset.role == "Output"]
    return {asset.filename: Path(ml.catalog.locate(asset)).read_text() for asset in found}


def provenance(recorded: dict[str, str]) -> dict[str, Any]:
    return dict(json.loads(recorded["configuration.json"])["provenance"])


def sources(recorded: dict[str, str]) -> list[str]:
    return [cell["source"] for cell in json.loads(recorded[NAME])["cells"] if cell["cell_type"] == "code"]


def hooks(shell: InteractiveShell) -> list[Any]:
    return [one for one in shell.events.callbacks["pre_run_cell"] if "_Hook" in repr(one)]


def test_the_committed_cells_leave_a_clean_record(
    shell: InteractiveShell, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, *NOTEBOOK)
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert sources(recorded) == NOTEBOOK
    found = provenance(recorded)
    assert (found["dirty"], found["differences"], found["path"]) == (False, [], "notebooks/a.ipynb")
    assert {"environment.json", "x.txt"} <= recorded.keys()
    assert json.loads(recorded["configuration.json"])["started_by"] == "JupyterLab"
    assert DerivaML().lookup_execution(shell.user_ns["execution"].execution_rid).started_by == "JupyterLab"
    assert "what ran is not" not in capsys.readouterr().err
    assert hooks(shell) == []


def test_a_parameter_that_was_changed_and_not_saved_is_told(
    shell: InteractiveShell, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "x = 5", *NOTEBOOK[1:])
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert recorded["x.txt"] == "5" and sources(recorded)[0] == "x = 5"
    found = provenance(recorded)
    line = "cell 1 has another text than is committed: `x = 5` instead of `x = 1`"
    assert (found["dirty"], found["differences"]) == (True, [line])
    assert f"warning: what ran is not what is committed: {line}" in capsys.readouterr().err
    workflow = DerivaML().lookup_execution(shell.user_ns["execution"].execution_rid).workflow
    assert workflow.checksum == repository.git("rev-parse", "HEAD:notebooks/a.ipynb")
    assert "dirty" not in workflow.version


def test_cells_that_a_client_keeps_to_itself_are_none(
    shell: InteractiveShell, repository: Repository
) -> None:
    """VS Code and extensions of JupyterLab ask the kernel for their own purposes."""
    run(shell, *NOTEBOOK[:3])
    shell.run_cell("helper = 1", store_history=False)
    shell.run_cell("helper = 2", silent=True)
    run(shell, *NOTEBOOK[3:])
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert sources(recorded) == NOTEBOOK and not provenance(recorded)["dirty"]


def test_credentials_in_executed_sources_are_masked(shell: InteractiveShell, repository: Repository) -> None:
    run(shell, "api_key = 's3cr3t'", *NOTEBOOK)
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert not any("s3cr3t" in text for text in recorded.values())
    assert provenance(recorded)["dirty"]


def test_a_second_execution_in_one_kernel_is_compared_from_the_kernels_start(
    shell: InteractiveShell, repository: Repository
) -> None:
    run(shell, *NOTEBOOK)
    run(shell, *NOTEBOOK)
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert sources(recorded) == [*NOTEBOOK, *NOTEBOOK]
    assert "out of order" in provenance(recorded)["differences"][0]


def test_what_runs_between_two_commits_is_part_of_the_second(
    shell: InteractiveShell, repository: Repository
) -> None:
    run(shell, *NOTEBOOK, "x = 7", WRITE.replace("x.txt", "y.txt"), COMMIT)
    rid = shell.user_ns["execution"].execution_rid
    catalog = DerivaML().catalog
    found = [asset for asset in catalog.assets_of(rid) if asset.filename == NAME]
    told = [json.loads(Path(catalog.locate(asset)).read_text()) for asset in found]
    assert sorted(len(one["cells"]) for one in told) == [6, 9]
    records = [asset for asset in catalog.assets_of(rid) if asset.filename == "configuration.json"]
    last = max(records, key=lambda asset: asset.created)
    assert json.loads(Path(catalog.locate(last)).read_text())["provenance"]["dirty"] is True


def test_a_cell_that_raises_and_an_execution_that_is_ended_lose_nothing(
    shell: InteractiveShell, repository: Repository
) -> None:
    run(shell, *NOTEBOOK[:3], "1/0", "execution.end('Failed', 'gave up')")
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert sources(recorded)[3:] == ["1/0", "execution.end('Failed', 'gave up')"]
    assert provenance(recorded)["dirty"] and hooks(shell) == []


def test_who_closes_an_execution_later_records_its_sources_too(
    shell: InteractiveShell, repository: Repository
) -> None:
    """What a killed kernel leaves: its notes, the last of them half a line."""
    run(shell, "x = 2", *NOTEBOOK[1:3], "lost = 1")
    execution = shell.user_ns["execution"]
    log = execution.working_dir / LOG
    log.write_text(log.read_text() + '{"source": "hal')
    ml = DerivaML()
    close_execution(ml.catalog, ml.project, execution.execution_rid, Status.aborted, "killed")
    recorded = outputs(execution.execution_rid)
    assert sources(recorded) == ["x = 2", *NOTEBOOK[1:3], "lost = 1"]
    assert provenance(recorded)["dirty"]
    run(shell, "y = 1")
    assert hooks(shell) == []


def test_code_that_changes_while_it_runs_is_in_the_record(
    shell: InteractiveShell, repository: Repository
) -> None:
    repository.commit("src/models/m.py", "y = 1\n")
    run(shell, *NOTEBOOK[:3])
    repository.write("src/models/m.py", "y = 2\n")
    run(shell, *NOTEBOOK[3:])
    recorded = outputs(shell.user_ns["execution"].execution_rid)
    assert "+y = 2" in recorded["uncommitted.diff"] and provenance(recorded)["dirty"]


def test_a_commit_while_it_runs_is_told(shell: InteractiveShell, repository: Repository) -> None:
    run(shell, *NOTEBOOK[:3])
    before = repository.git("rev-parse", "HEAD")
    after = repository.commit("src/models/m.py", "y = 2\n")
    run(shell, *NOTEBOOK[3:])
    found = provenance(outputs(shell.user_ns["execution"].execution_rid))
    assert found["commit"] == before and found["dirty"]
    assert f"{before[:7]} at its start, {after[:7]} at its end" in found["differences"][0]


def test_where_the_notebook_is_not_known_the_record_says_so(
    shell: InteractiveShell, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "how_started", lambda: Start("another program (jupyter-console)"))
    run(shell, *NOTEBOOK)
    execution = shell.user_ns["execution"]
    found = provenance(outputs(execution.execution_rid))
    assert (found["path"], found["checksum"], found["dirty"]) == ("not known", "not known", True)
    assert "is not known" in found["differences"][0]
    assert execution.workflow.checksum == ""
    assert execution.workflow.url == f"git:{repository.git('rev-parse', 'HEAD')}"


@pytest.mark.parametrize("script", [None, "../outside.py", "inside.py"])
def test_a_script_that_is_none_of_the_projects_makes_the_record_dirty(
    script: str | None, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one from standard input: the record's commit does not have it."""
    repository.commit("inside.py", "")
    file = repository.path / script if script else None
    if file:
        file.resolve().touch()
    monkeypatch.setattr(started, "how_started", lambda: Start(started.SCRIPT, file and file.resolve()))
    found: dict[str, Any] = {}
    exec("\n".join(["x = 1", START, WRITE, COMMIT]), found)
    said = provenance(outputs(found["execution"].execution_rid))
    assert said["dirty"] is (script != "inside.py")
    assert said["differences"] == ([UNKNOWN_CODE] if said["dirty"] else [])


def test_without_a_history_the_record_claims_nothing(shell: InteractiveShell, repository: Repository) -> None:
    run(shell, *NOTEBOOK[:2])
    shell.history_manager.input_hist_raw[:] = [""]  # as `%reset in` does
    run(shell, *NOTEBOOK[2:])
    found = provenance(outputs(shell.user_ns["execution"].execution_rid))
    assert found["dirty"] and "keeps no history" in found["differences"][0]


def test_in_a_dry_run_nothing_is_noted(shell: InteractiveShell, repository: Repository) -> None:
    run(shell, START.replace('"Analysis Notebook"))', '"Analysis Notebook"), dry_run=True)'), "y = 1")
    assert shell.user_ns["execution"].dry_run and hooks(shell) == []


def test_the_paths_of_a_commit_are_shown_by_their_names(
    shell: InteractiveShell, repository: Repository
) -> None:
    run(shell, *NOTEBOOK[:4], f"paths = {COMMIT}")
    [path] = shell.user_ns["paths"]["Execution_Asset"]
    assert repr(path) == f"<AssetFilePath Execution_Asset x.txt {path.asset_rid}>"
    assert path.read_text() == "1" and path.asset_rid
    assert path.name not in repr(path) and "other" in repr(path.with_name("other"))


@pytest.mark.parametrize("generation", ["head", "1.17.10"])
def test_the_sources_go_to_a_deriva_catalog_like_other_files(
    shell: InteractiveShell, repository: Repository, generation: str
) -> None:
    with DerivaDouble() as double:
        number = double.create_catalog(generation)
        shell.push({"there": (double.url, number, double.credential())})
        run(shell, "x = 2", NOTEBOOK[1], START.replace("DerivaML()", "DerivaML(*there)"), *NOTEBOOK[3:])
        assert shell.user_ns["execution"].status is Status.uploaded
        rows = {row["Filename"]: row["RID"] for row in double.rows(number, "Execution_Metadata")}
        assert {NAME, "configuration.json", "environment.json"} <= rows.keys()
        kinds = double.rows(number, "Execution_Metadata_Asset_Type")
        found = {row["Asset_Type"] for row in kinds if row["Execution_Metadata"] == rows[NAME]}
        assert found == {"Executed_Sources", "Output_File"}
        [workflow] = [row for row in double.rows(number, "Workflow") if row["Name"] == "Study"]
        assert workflow["Checksum"] == repository.git("rev-parse", "HEAD:notebooks/a.ipynb")
