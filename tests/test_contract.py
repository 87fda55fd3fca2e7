"""Every command and snippet of the notebooks guide works as written in a freshly rendered project."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import ProjectFolder

MY_ANALYSIS = "notebooks/my_analysis.ipynb"
MY_NOTEBOOK = "notebooks/my-notebook.ipynb"


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A fresh project, with a remote on the web that nobody can reach."""
    return copy_to(tmp_path_factory.mktemp("contract") / "my-project")


def shell(project: ProjectFolder, script: str) -> Any:
    """Run lines of the guide as a person would, in a shell."""
    uv = str(Path(project.env["UV"]).parent)
    path = os.pathsep.join(
        [str(Path(project.env["UV_PROJECT_ENVIRONMENT"]) / "bin"), uv, project.env["PATH"]]
    )
    return project.run("bash", "-ec", script, env={"PATH": path})


def rows(project: ProjectFolder, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the catalog holds, read as any SQLite client would."""
    connection = sqlite3.connect(f"file:{project / '.deriva-ml' / 'catalog.db'}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def newest(project: ProjectFolder) -> str:
    """The RID of the newest execution."""
    return str(rows(project, 'SELECT "RID" FROM "Execution" ORDER BY "RCT" DESC LIMIT 1')[0][0])


def links(
    project: ProjectFolder, execution: str, table: str = "Execution_Asset"
) -> dict[str, tuple[str, str]]:
    """Role and content digest of an execution's assets in one table, by file name."""
    found = rows(
        project,
        f'SELECT a."Filename", l."Asset_Role", a."MD5" FROM "{table}" a JOIN "{table}_Execution" l'
        f' ON l."{table}" = a."RID" WHERE l."Execution" = ?',
        execution,
    )
    return {name: (role, md5) for name, role, md5 in found}


def content(project: ProjectFolder, md5: str) -> bytes:
    """A recorded content; it is what its name says, byte for byte."""
    data = (project / ".deriva-ml" / "objects" / md5[:2] / md5).read_bytes()
    assert hashlib.md5(data).hexdigest() == md5
    return data


def test_nbstripout_install_once_per_repository(project: ProjectFolder) -> None:
    done = shell(project, "nbstripout --install")
    assert done.rc == 0, done.text
    assert "nbstripout" in project.git("config", "filter.nbstripout.clean")
    assert project.git("status", "--porcelain") == ""


def test_with_default_configuration(project: ProjectFolder) -> None:
    done = shell(project, f"uv run deriva-ml-run-notebook {MY_ANALYSIS}")
    assert done.rc == 0, done.text
    execution = newest(project)
    [(status, detail, duration, workflow)] = rows(
        project,
        'SELECT "Status", "Status_Detail", "Execution_Duration", "Workflow" FROM "Execution" WHERE "RID" = ?',
        execution,
    )
    assert (status, detail) == ("Uploaded", "")
    assert duration.endswith("sec")

    [(name, url, checksum, version)] = rows(
        project, 'SELECT "Name", "URL", "Checksum", "Version" FROM "Workflow" WHERE "RID" = ?', workflow
    )
    commit = project.git("rev-parse", "HEAD")
    assert (name, version) == ("My Analysis", "0.1.0")
    assert commit in url and url.endswith(MY_ANALYSIS) and "://" not in url
    assert checksum == project.git("rev-parse", f"HEAD:{MY_ANALYSIS}")
    types = rows(
        project, 'SELECT "Workflow_Type" FROM "Workflow_Workflow_Type" WHERE "Workflow" = ?', workflow
    )
    assert types == [("Analysis Notebook",)]

    assets = links(project, execution)
    assert {name for name, (role, _) in assets.items() if role == "Input"} == {
        "logistic.npz",
        "mlp_small.npz",
    }
    made = {name: content(project, md5) for name, (role, md5) in assets.items() if role == "Output"}
    assert {"my_analysis.ipynb", "my_analysis.md", "comparison.csv"} <= set(made)
    assert made["comparison.csv"].startswith(b"model,")
    assert rows(project, 'SELECT "Dataset" FROM "Dataset_Execution" WHERE "Execution" = ?', execution) == [
        ("DEMO-DATA",)
    ]

    executed = nbformat.reads(made["my_analysis.ipynb"].decode(), as_version=4)
    nbformat.validate(executed)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code" and cell.source)
    assert b"data:image/png;base64," in made["my_analysis.md"]
    assert str(project.path) not in json.dumps(executed.metadata)

    metadata = links(project, execution, "Execution_Metadata")
    assert {"configuration.json", "environment.json", "hydra-config.yaml", "uv.lock"} <= set(metadata)
    assert content(project, metadata["uv.lock"][1]) == (project / "uv.lock").read_bytes()
    configuration = json.loads(content(project, metadata["configuration.json"][1]))
    assert configuration["config_choices"]["assets"] == "comparison_weights"
    assert configuration["provenance"]["commit"] == commit
    for name in ("my_analysis.ipynb", "my_analysis.md"):
        assert (project / "outputs" / execution / name).read_bytes() == made[name]


def test_with_hydra_overrides_and_no_server_named_yet(project: ProjectFolder) -> None:
    before = rows(project, 'SELECT COUNT(*) FROM "Execution"')
    done = shell(
        project,
        f"uv run deriva-ml-run-notebook {MY_ANALYSIS} \\\n    assets=different_weights deriva_ml=production",
    )
    assert done.rc == 2
    assert "names no server yet" in done.err and "[tool.deriva-ml]" in done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert rows(project, 'SELECT COUNT(*) FROM "Execution"') == before


def test_an_override_of_one_group(project: ProjectFolder) -> None:
    done = shell(project, f"uv run deriva-ml-run-notebook {MY_ANALYSIS} assets=different_weights")
    assert done.rc == 0, done.text
    inputs = {name for name, (role, _) in links(project, newest(project)).items() if role == "Input"}
    assert inputs == {"mlp_small.npz", "mlp_wide.npz"}
    [(description,)] = rows(project, 'SELECT "Description" FROM "Execution" WHERE "RID" = ?', newest(project))
    assert "assets=different_weights" in description


def test_parameter_injection(project: ProjectFolder) -> None:
    done = shell(
        project,
        f"uv run deriva-ml-run-notebook {MY_NOTEBOOK} \\\n    -p parameter1 value1 -p parameter2 value2",
    )
    assert done.rc == 0, done.text
    _, md5 = links(project, newest(project))["my-notebook.ipynb"]
    executed = nbformat.reads(content(project, md5).decode(), as_version=4)
    tags = [cell.metadata.get("tags", []) for cell in executed.cells]
    at = tags.index(["injected-parameters"])
    assert "parameters" in tags[at - 1]
    injected = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(executed.cells[at].source).body
    }
    assert injected == {"parameter1": "value1", "parameter2": "value2"}
    metadata = links(project, newest(project), "Execution_Metadata")
    configuration = json.loads(content(project, metadata["configuration.json"][1]))
    assert configuration["parameters"] == injected


def test_parameters_from_a_file_and_flags_win(project: ProjectFolder, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("parameter1: from the file\nparameter2: from the file\n")
    done = shell(
        project,
        f"uv run deriva-ml-run-notebook {MY_NOTEBOOK} --file '{file}' -p parameter2 flag dry_run=true",
    )
    assert done.rc == 0, done.text
    folder = done.out.strip().splitlines()[-1].rpartition(" ")[2]
    executed = (project / folder / "my-notebook.ipynb").read_text()
    assert 'parameter1 = \\"from the file\\"' in executed and 'parameter2 = \\"flag\\"' in executed


def test_hydra_config_overrides(project: ProjectFolder) -> None:
    done = shell(project, f"uv run deriva-ml-run-notebook {MY_NOTEBOOK} \\\n    assets=my_assets")
    assert done.rc == 0, done.text
    assert ("logistic.npz", "Input") in {
        (n, role) for n, (role, _) in links(project, newest(project)).items()
    }
    refused = shell(
        project, f"uv run deriva-ml-run-notebook {MY_NOTEBOOK} assets=my_assets deriva_ml=production"
    )
    assert refused.rc == 2 and "names no server yet" in refused.err


def test_inspect_available_parameters(project: ProjectFolder) -> None:
    done = shell(project, f"uv run deriva-ml-run-notebook {MY_NOTEBOOK} --inspect")
    assert done.rc == 0
    head, *lines = done.out.splitlines()
    assert head.split() == ["name", "type", "default", "comment"]
    assert lines[0].split()[:2] == ["parameter1", "str"]
    assert len(lines[0].split()) > 3


def test_commit_and_tag(project: ProjectFolder) -> None:
    notebook = project / MY_NOTEBOOK
    notebook.write_text(notebook.read_text().replace("value1", "value one"))
    done = shell(
        project, 'git add -A && git commit -m "Notebook ready for execution"\nuv run bump-version patch'
    )
    assert done.rc == 0, done.text
    assert project.git("describe", "--exact-match") == "v0.1.1"
    assert "remote" in done.text
    for part, version in (("minor", "v0.2.0"), ("major", "v1.0.0")):
        (project / "notes.txt").write_text(part)
        assert shell(project, f"git add -A && git commit -m x\nuv run bump-version {part}").rc == 0
        assert project.git("describe", "--exact-match") == version


def test_the_version_is_part_of_the_record(project: ProjectFolder) -> None:
    version = project.git("describe", "--exact-match").removeprefix("v")
    assert shell(project, f"uv run deriva-ml-run-notebook {MY_NOTEBOOK}").rc == 0
    [(recorded,)] = rows(
        project,
        'SELECT w."Version" FROM "Workflow" w JOIN "Execution" e ON e."Workflow" = w."RID" WHERE e."RID" = ?',
        newest(project),
    )
    assert recorded == version


def test_the_quick_example_is_what_the_project_has(project: ProjectFolder) -> None:
    """The guide's two snippets, word for word."""
    config = (project / "src" / "configs" / "my_analysis.py").read_text()
    snippet = (
        "from deriva_ml.execution import notebook_config\n\nnotebook_config(\n"
        '    "my_analysis",\n    defaults={"assets": "comparison_weights", "datasets": "training_data"},\n)\n'
    )
    assert snippet in config
    sources = [cell.source for cell in nbformat.read(project / MY_ANALYSIS, as_version=4).cells]
    assert any('ml, execution, config = run_notebook("my_analysis")' in source for source in sources)


def test_dry_run_keeps_output_and_writes_no_record(project: ProjectFolder) -> None:
    tables = ("Execution", "Workflow", "Execution_Asset", "Execution_Metadata", "Execution_Asset_Execution")
    before = [rows(project, f'SELECT COUNT(*) FROM "{table}"') for table in tables]
    objects = sorted((project / ".deriva-ml" / "objects").rglob("*"))
    done = shell(project, f"uv run deriva-ml-run-notebook {MY_ANALYSIS} dry_run=true")
    assert done.rc == 0, done.text
    last = done.out.strip().splitlines()[-1]
    assert last.startswith("Dry run: nothing was recorded; its output is in outputs/")
    folder = project / last.rpartition(" ")[2]
    assert {"my_analysis.ipynb", "my_analysis.md"} <= {path.name for path in folder.iterdir()}
    assert list(folder.rglob("comparison.csv"))
    assert [rows(project, f'SELECT COUNT(*) FROM "{table}"') for table in tables] == before
    assert sorted((project / ".deriva-ml" / "objects").rglob("*")) == objects


def test_a_model_run_and_its_sweep(project: ProjectFolder) -> None:
    done = shell(project, "uv run deriva-ml-run datasets=training_data")
    assert done.rc == 0, done.text
    single = newest(project)
    made = links(project, single)
    assert [name for name, (role, _) in made.items() if role == "Output" and name.endswith(".npz")]
    assert rows(project, 'SELECT "Status" FROM "Execution" WHERE "RID" = ?', single) == [("Uploaded",)]

    done = shell(project, "uv run deriva-ml-run --multirun datasets=training_data model_config.seed=1,2")
    assert done.rc == 0, done.text
    children = rows(
        project,
        'SELECT "Execution", "Nested_Execution", "Sequence" FROM "Execution_Execution" ORDER BY "Sequence"',
    )
    assert [sequence for _, _, sequence in children] == [0, 1]
    [parent] = {row[0] for row in children}
    statuses = rows(
        project,
        'SELECT "Status" FROM "Execution" WHERE "RID" IN (?, ?, ?)',
        parent,
        *(row[1] for row in children),
    )
    assert statuses == [("Uploaded",)] * 3

    before = rows(project, 'SELECT * FROM "Execution"')
    dry = shell(project, "uv run deriva-ml-run datasets=training_data dry_run=true")
    assert dry.rc == 0 and dry.out.strip().splitlines()[-1].startswith("Dry run: nothing was recorded")
    assert rows(project, 'SELECT * FROM "Execution"') == before
