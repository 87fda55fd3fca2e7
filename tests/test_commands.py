"""The run commands as a person types them: menus, wrong requests, configurations, odd folders, interactive use."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import ProjectFolder
from notebooks import COMMIT, START, outputs_text, write_notebook
from typed_commands import Answer, answers

NOTEBOOK = "notebooks/my-notebook.ipynb"
RUN = "deriva-ml-run-notebook"


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project in a folder whose name no shell and no format string likes."""
    return copy_to(tmp_path_factory.mktemp("commands") / "mein {Projekt} – naïve $x 数据")


def executions(project: ProjectFolder) -> list[dict[str, Any]]:
    return list(project.looked_up("list", "-n", "0"))


def recorded(project: ProjectFolder) -> list[tuple[Any, ...]]:
    """Every row of the executions, as the database has it; quicker than to ask a command for them."""
    with closing(sqlite3.connect(project / ".deriva-ml" / "catalog.db")) as database:
        return database.execute('SELECT * FROM "Execution"').fetchall()


def configuration(project: ProjectFolder) -> dict[str, Any]:
    """What the newest execution was, as `configuration.json` among its files says."""
    shown = project.looked_up("show", executions(project)[0]["rid"])
    [file] = [row for row in shown["outputs"] if row["file"] == "configuration.json"]
    return dict(json.loads(Path(file["content"]).read_text(encoding="utf-8")))


def commit(project: ProjectFolder, message: str = "Change") -> None:
    project.git("add", "-A")
    project.git("commit", "-m", message)


def test_a_folder_with_spaces_braces_and_foreign_letters_works_to_a_recorded_run(
    project: ProjectFolder,
) -> None:
    done = project.run(RUN, NOTEBOOK)
    assert done.rc == 0, done.err
    assert executions(project)[0]["status"] == "Uploaded"


def test_it_works_from_any_folder_of_the_project_into_a_log_that_git_does_not_know(
    project: ProjectFolder,
) -> None:
    command = str(Path(project.env["UV_PROJECT_ENVIRONMENT"], "bin", RUN))
    pipe = f"{shlex.quote(command)} my-notebook.ipynb | tee ../run.log"
    done = project.run("sh", "-c", pipe, cwd=project / "notebooks")
    assert (done.err, (project / "run.log").read_text()) == ("", done.out)
    assert "Uploaded" in done.out
    provenance = configuration(project)["provenance"]
    assert (provenance["untracked"], provenance["dirty"]) == (["run.log"], False)
    (project / "run.log").unlink()
    assert project.run("deriva-ml-catalog", "list", cwd=project / "src").rc == 0


WRONG: list[tuple[list[str], str]] = [
    ([], "the following arguments are required: NOTEBOOK\n"),
    (["notebooks/my-notebok.ipynb"], "did you mean notebooks/my-notebook.ipynb?"),
    (["notebooks"], "notebooks"),
    (["README.md"], "README.md"),
    ([NOTEBOOK, "-p", "paramter1", "x"], "unknown parameter 'paramter1' (did you mean 'parameter1'?)"),
    ([NOTEBOOK, "-p", "parameter1=a b"], "error: -p takes a name and a value: -p parameter1 'a b'\n"),
    (["-p", "parameter1=3", NOTEBOOK], "error: -p takes a name and a value: -p parameter1 3\n"),
    ([NOTEBOOK, "parameter1=a b"], "error: parameter1 is a parameter: -p parameter1 'a b'\n"),
    ([NOTEBOOK, "parameter1=3", "--cfg", "job"], "error: parameter1 is a parameter: -p parameter1 3\n"),
    ([NOTEBOOK, "--file", "none.yaml"], "there is no parameter file none.yaml"),
    ([NOTEBOOK, "--file", "README.md"], "must end in .json, .yaml or .yml"),
    ([NOTEBOOK, "--timeout", "soon"], "'soon' is not a number of seconds"),
    ([NOTEBOOK, "--timeout", "0"], "'0' is not a number of seconds"),
    ([NOTEBOOK, "--frobnicate"], "unrecognized arguments: --frobnicate"),
    ([NOTEBOOK, "assets=nothing"], "Could not find 'assets/nothing'"),
    ([NOTEBOOK, "asset=my_assets"], "(did you mean assets?)\n"),
    ([NOTEBOOK, "dry_rum=true"], "(did you mean dry_run?)\n"),
    ([NOTEBOOK, "assets=["], "assets=["),
    ([NOTEBOOK, "assets=[9-ZZZZ]"], "Could not load 'assets/9-ZZZZ'"),
    (
        [NOTEBOOK, "assets=my_assets", "deriva_ml=null"],
        "error: deriva_ml=null: a group takes the name of an entry",
    ),
    ([NOTEBOOK, "--cfg", "nothing"], "invalid choice"),
]


WRONG_OF_A_MODEL: list[tuple[list[str], str]] = [
    (["model_config=nothing"], "Could not find 'model_config/nothing'"),
    (["+multirun=nothing"], "no sweep is named nothing; there are: digits_widths"),
    (["model_config.seed=1,2"], "model_config.seed=1,2"),
    (["deriva_ml=production"], "names no server yet"),
    (["workflow=null"], "workflow=null: a group takes the name of an entry"),
    (["--multirun", "workflow=null", "description=a,b"], "workflow=null: a group takes"),
    (["~workflow"], "the configuration has no workflow"),
    (["~deriva_ml"], "the configuration has no deriva_ml"),
    (["dry_run=maybe"], "dry_run=maybe"),
    (["datasets=[9-ZZZZ]"], "Could not load 'datasets/9-ZZZZ'"),
]


@pytest.fixture(scope="module")
def refused(project: ProjectFolder) -> dict[str, Answer]:
    """What is answered to the wrong requests, none of which records anything."""
    before = executions(project)
    typed = {"run-notebook": WRONG, "run": WRONG_OF_A_MODEL}
    lines = [f"{name} {shlex.join(arguments)}" for name, wrong in typed.items() for arguments, _ in wrong]
    found = answers(project, lines)
    assert executions(project) == before
    assert not list((project / ".deriva-ml" / "runs").glob("*"))
    return found


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_request_is_refused_in_words_and_records_nothing(
    refused: dict[str, Answer], arguments: list[str], message: str
) -> None:
    answer = refused[f"run-notebook {shlex.join(arguments)}"]
    assert answer.status == 2, answer
    assert message in answer.err
    assert "Traceback" not in answer.out + answer.err


@pytest.mark.parametrize(("arguments", "message"), WRONG_OF_A_MODEL, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_request_to_the_model_runner(
    refused: dict[str, Answer], arguments: list[str], message: str
) -> None:
    answer = refused[f"run {shlex.join(arguments)}"]
    assert answer.status == 2, answer
    assert message in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("override", "message"),
    [("deriva_ml=production", "names no server yet"), ("~deriva_ml", "the configuration has no deriva_ml")],
)
def test_what_only_the_notebook_can_tell_is_refused_as_well(
    project: ProjectFolder, override: str, message: str
) -> None:
    """Its kernel has started by then."""
    before = recorded(project)
    done = project.run(RUN, NOTEBOOK, override)
    assert done.rc == 2, done.text
    assert message in done.err
    assert "Traceback" not in done.text
    assert recorded(project) == before
    assert not any((project / ".deriva-ml" / "runs").iterdir())


def test_parameters_are_refused_before_a_kernel_starts(project: ProjectFolder, tmp_path: Path) -> None:
    """The notebook would leave a trace, were any of it executed."""
    trace = tmp_path / "trace"
    cells = [f"import pathlib\npathlib.Path({str(trace)!r}).touch()", START]
    write_notebook(project / "notebooks" / "typed.ipynb", cells, parameters="count: int = 1  # how many")
    commit(project)
    path = "notebooks/typed.ipynb"
    for arguments, message in (
        (["-p", "count", "many"], "parameter 'count' takes int, not 'many'"),
        (["-p", "cuont", "1"], "unknown parameter 'cuont' (did you mean 'count'?)"),
    ):
        done = project.run(RUN, path, *arguments)
        assert (done.rc, message in done.err) == (2, True), done.err
    write_notebook(project / "notebooks" / "none.ipynb", cells)
    commit(project)
    done = project.run(RUN, "notebooks/none.ipynb", "-p", "count", "1")
    assert done.rc == 2 and "has no parameters cell" in done.err
    assert not trace.exists()


def test_a_dirty_tree_is_refused_naming_the_files_or_recorded_with_the_difference(
    project: ProjectFolder,
) -> None:
    config = project / "src" / "configs" / "my_notebook.py"
    config.write_text(config.read_text() + "\n# a change that is not committed\n")
    refused = project.run(RUN, NOTEBOOK)
    assert refused.rc == 2
    assert "src/configs/my_notebook.py" in refused.err and "--allow-dirty" in refused.err
    allowed = project.run(RUN, NOTEBOOK, "--allow-dirty")
    assert allowed.rc == 0, allowed.err
    shown = project.looked_up("show", executions(project)[0]["rid"])
    [diff] = [row for row in shown["outputs"] if row["types"] == "Source_Diff"]
    assert "+# a change that is not committed" in Path(diff["content"]).read_text()
    # What differed is the execution's; the workflow is the commit's, as of a clean run.
    ran, workflow = configuration(project)["provenance"], executions(project)[0]["workflow"]
    assert (ran["dirty"], ran["version"].endswith("dirty")) == (True, True)
    assert shown["workflow"] == f"{workflow['name']} {ran['version']}"
    assert "dirty" not in workflow["version"] and ran["version"].startswith(workflow["version"])
    assert workflow["checksum"] == project.git("rev-parse", f"HEAD:{NOTEBOOK}")
    assert workflow["url"] == f"git:{project.git('rev-parse', 'HEAD')}:{NOTEBOOK}"
    project.git("checkout", "--", "src")


def test_a_dry_run_is_for_a_notebook_that_is_not_committed_yet(project: ProjectFolder) -> None:
    config = project / "src" / "configs" / "my_notebook.py"
    config.write_text(config.read_text() + "\n# still working on it\n")
    for command in ([RUN, NOTEBOOK], ["deriva-ml-run", "model_config=my_model", "datasets=default_dataset"]):
        done = project.run(*command, "dry_run=true")
        assert (done.rc, done.err) == (0, ""), done.text
        assert "Dry run: nothing was recorded" in done.out
    project.git("checkout", "--", "src")


def test_a_new_version_of_the_same_commit_is_recorded_as_such(project: ProjectFolder) -> None:
    versions = []
    for tag in ("v7.0.0", "v7.1.0"):
        project.git("tag", "-a", tag, "-m", tag)
        assert project.run(RUN, NOTEBOOK).rc == 0
        versions.append(executions(project)[0]["workflow"]["version"])
        project.git("tag", "-d", tag)
    assert versions == ["7.0.0", "7.1.0"]


def test_flags_and_overrides_in_any_order(project: ProjectFolder) -> None:
    done = project.run(
        RUN,
        "assets=my_assets",
        "-p",
        "parameter1",
        "-1",
        "--timeout",
        "60",
        NOTEBOOK,
        "dry_run=true",
        "-p",
        "parameter2",
        "y",
    )
    assert done.rc == 0, done.err
    folder = project / done.out.strip().splitlines()[-1].rpartition("its output is in ")[2]
    cells = nbformat.read(folder / "my-notebook.ipynb", as_version=4).cells
    [injected] = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert 'parameter1 = "-1"' in injected and 'parameter2 = "y"' in injected


@pytest.mark.parametrize("command", [[RUN, NOTEBOOK], ["deriva-ml-run"]], ids=["notebook", "model"])
def test_the_menu_and_what_hydra_would_print(project: ProjectFolder, command: list[str]) -> None:
    before = recorded(project)
    menu = project.run(*command, "--list-configs", check=True).out
    for choice in (
        "assets=my_assets",
        "deriva_ml=production",
        "datasets=training_data",
        "deriva_ml=default_deriva",
        "hydra/launcher=basic",
    ):
        assert choice in menu
    job = project.run(*command, "--cfg", "job", "assets=my_assets", check=True).out
    assert "DEMO-W001" in job and "deriva_ml:" in job
    everything = project.run(*command, "assets=my_assets", "--cfg", "all", check=True).out
    assert "hydra:" in everything and "deriva_ml:" in everything
    assert "hydra:" in project.run(*command, "--cfg", "hydra", check=True).out
    tree = project.run(*command, "--info", "defaults-tree", check=True).out
    assert "assets: default_asset" in tree
    assert project.run(*command, "--info", "assets=my_assets", check=True).out
    assert recorded(project) == before


def test_help_names_every_flag_and_shows_examples(project: ProjectFolder) -> None:
    text = project.run(RUN, "--help", check=True).out
    for flag in (
        "--parameter",
        "--file",
        "--inspect",
        "--list-configs",
        "--cfg",
        "--info",
        "--kernel",
        "--log-output",
        "--host",
        "--catalog",
        "--allow-dirty",
        "--timeout",
        "--debug",
    ):
        assert flag in text
    assert "examples:" in text


def test_debug_shows_the_traceback(project: ProjectFolder) -> None:
    done = project.run(RUN, "notebooks/none-at-all.ipynb", "--debug")
    assert done.rc != 0 and "Traceback" in done.err


def test_what_cells_print_is_shown_when_asked_for(project: ProjectFolder) -> None:
    write_notebook(project / "notebooks" / "prints.ipynb", [START, "print('said', 6 * 7)", COMMIT])
    commit(project)
    assert "said 42" not in project.run(RUN, "notebooks/prints.ipynb", "dry_run=true").text
    assert "said 42" in project.run(RUN, "notebooks/prints.ipynb", "dry_run=true", "--log-output").text


def test_a_configuration_module_that_fails_to_import_is_named_with_its_error(project: ProjectFolder) -> None:
    broken = project / "src" / "configs" / "broken.py"
    broken.write_text("x = 1\ny = x.no_such_attribute\n")
    try:
        done = project.run(RUN, NOTEBOOK, "--list-configs")
        run = project.run(RUN, NOTEBOOK, "--allow-dirty")
    finally:
        broken.unlink()
    for outcome in (done, run):
        assert outcome.rc == 2
        assert (
            "the configuration module configs.broken fails to import (line 2): AttributeError" in outcome.err
        )


@pytest.mark.parametrize(
    ("copied", "entry"), [("my_notebook", '"my_notebook"'), ("workflow", "workflow=default_workflow")]
)
def test_a_copy_that_was_not_renamed_is_named_with_what_it_is_a_copy_of(
    project: ProjectFolder, copied: str, entry: str
) -> None:
    """The copy may come first in the alphabet or last, in a folder of its own or not."""
    original = project / "src/configs" / f"{copied}.py"
    for name in ("a_copy.py", "z_copy.py", "z_folder/__init__.py"):
        copy = project / "src/configs" / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(original.read_bytes())
        try:
            refused = project.run("deriva-ml-run", "--list-configs")
        finally:
            copy.unlink()
            if "/" in name:
                shutil.rmtree(copy.parent)
        said = re.fullmatch(
            r"error: (\S+) and (\S+) both store (\S+): rename it in one of them\n", refused.err
        )
        assert refused.rc == 2 and said, refused.text
        assert {said[1], said[2]} == {f"src/configs/{copied}.py", f"src/configs/{name}"}
        assert said[3] == entry


def test_deriva_ml_run_says_what_it_does_not_take_and_records_nothing(project: ProjectFolder) -> None:
    """What somebody might try who does not know the command yet; no advice that leads to the next error."""
    before = recorded(project)
    settings = "hidden_layer, l2, max_iter, seed"
    for arguments, says in {
        ("notebooks/a.ipynb",): "notebooks/a.ipynb is a notebook: uv run deriva-ml-run-notebook runs it",
        ("+model_config.l3=1",): f"model_config: train_digits() takes no l3; it has {settings}",
        ("-m", "+model_config.l3=1,2"): f"model_config: train_digits() takes no l3; it has {settings}",
        ("asset=my_assets",): "Could not override 'asset': Key 'asset' not in 'Builds_run_model'"
        " (did you mean assets?)",
    }.items():
        refused = project.run("deriva-ml-run", *arguments)
        assert (refused.rc, refused.err) == (2, f"error: {says}\n"), refused.text
    assert recorded(project) == before


def test_an_entry_with_an_argument_that_its_class_does_not_take_is_refused_in_words(
    project: ProjectFolder,
) -> None:
    """hydra-zen builds such an entry only when configurations are composed or listed."""
    entry = project / "src/configs/wrong.py"
    entry.write_text(
        "from hydra_zen import store\n\nfrom deriva_ml import DerivaMLConfig\n\n"
        'store(group="deriva_ml")(DerivaMLConfig, name="scratch", work_dir="scratch")\n'
    )
    try:
        for command in (["--list-configs"], ["dry_run=true"]):
            refused = project.run("deriva-ml-run", *command)
            assert refused.rc == 2 and refused.err.count("\n") == 1, refused.text
            assert "an entry in src/configs cannot be made" in refused.err
            assert "DerivaMLConfig" in refused.err and "work_dir" in refused.err
    finally:
        entry.unlink()


def test_configurations_in_sub_packages_with_fields_of_their_own(project: ProjectFolder) -> None:
    package = project / "src" / "configs" / "dev"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "own.py").write_text(
        "from dataclasses import dataclass\n\nfrom deriva_ml.execution import BaseConfig, notebook_config\n\n\n"
        "@dataclass\nclass OwnConfig(BaseConfig):\n    threshold: float = 0.5\n\n\n"
        'notebook_config("own", config_class=OwnConfig, threshold=0.25, description="Mine")\n'
    )
    cells = [
        "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook()",
        "print('threshold', config.threshold, config.config_choices['assets'], ml.host_name, execution.status)",
        COMMIT,
    ]
    write_notebook(project / "notebooks" / "own.ipynb", cells)
    commit(project)
    done = project.run(RUN, "notebooks/own.ipynb", "threshold=0.75", "assets=my_assets")
    assert done.rc == 0, done.err
    record = executions(project)[0]
    assert record["description"] == "Mine [threshold=0.75, assets=my_assets]"
    executed = project / "outputs" / record["rid"] / "own.ipynb"
    assert "threshold 0.75 my_assets localhost Running" in outputs_text(executed)
    wrong = project.run(RUN, "notebooks/own.ipynb", "threshold=high")
    assert wrong.rc == 2 and "high" in wrong.err and wrong.err.count("\n") == 1


def test_a_notebook_without_a_configuration_says_how_to_register_one(project: ProjectFolder) -> None:
    write_notebook(project / "notebooks" / "nameless.ipynb", [START.replace("'my_notebook'", "")])
    commit(project)
    done = project.run(RUN, "notebooks/nameless.ipynb")
    assert done.rc == 2
    assert 'notebook_config("nameless") in src/configs/nameless.py' in done.err


IN_A_KERNEL = """
import os, sys
from jupyter_client.manager import start_new_kernel

code, notebook = sys.argv[1:]
manager, client = start_new_kernel(env={**os.environ, "JPY_SESSION_NAME": notebook})
reply = client.execute_interactive(code)
client.stop_channels()
manager.shutdown_kernel()
sys.exit(reply["content"]["status"] != "ok")
"""
"""A kernel started as Jupyter Server starts it, with its variable for the notebook, and one cell executed in it."""


def test_in_a_persons_jupyterlab_the_name_comes_from_the_notebooks_file(project: ProjectFolder) -> None:
    """Jupyter Server names the notebook in the environment of its kernel; nothing else is known there."""
    write_notebook(project / "notebooks" / "mine.ipynb", ["x = 1"])
    (project / "src" / "configs" / "mine.py").write_text(
        'from deriva_ml.execution import notebook_config\n\nnotebook_config("mine", defaults={"assets": "my_assets"})\n'
    )
    commit(project)
    code = (
        "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook()\n"
        "execution.asset_file_path('Execution_Asset', 'x.txt').write_text('x')\nexecution.commit_output_assets()\n"
        "print(execution.execution_rid, execution.status, config.config_choices['assets'])"
    )
    python = str(Path(project.env["UV_PROJECT_ENVIRONMENT"]) / "bin" / "python")
    name = str(project / "notebooks" / "mine.ipynb")
    done = project.run(python, "-c", IN_A_KERNEL, code, name, cwd=project / "notebooks")
    assert done.rc == 0, done.err
    rid, status, assets = done.out.split()
    assert (status, assets) == ("Uploaded", "my_assets")
    shown = project.looked_up("show", rid)
    assert shown["workflow"].startswith("Mine ") and shown["code"].endswith("notebooks/mine.ipynb")


def test_environment_variables_are_not_recorded_wholesale_and_credentials_not_at_all(
    project: ProjectFolder,
) -> None:
    secret = "s3cr3t-value"
    done = project.run(
        RUN,
        NOTEBOOK,
        f"++deriva_ml.credential={secret}",
        env={"MY_TOKEN": secret, "AWS_SECRET_ACCESS_KEY": secret, "TZ": "UTC"},
    )
    assert done.rc == 0, done.err
    record = project.looked_up("show", executions(project)[0]["rid"])
    texts = {row["file"]: Path(row["content"]).read_text() for row in record["outputs"]}
    assert '"TZ": "UTC"' in texts["environment.json"]
    for name, text in {**texts, "record": json.dumps(record)}.items():
        assert secret not in text, name


def test_a_parameter_that_is_a_credential_is_used_and_not_recorded(project: ProjectFolder) -> None:
    """Neither in the injected cell, nor in the notebook's metadata, nor in the Markdown; others stay as given."""
    secret = "s3cr3t-value"
    path = "notebooks/login.ipynb"
    check = "assert api_key == 's3cr3t-' + 'value', api_key\nprint('length', len(api_key), count)"
    write_notebook(project / path, [START, check, COMMIT], parameters="api_key: str = ''\ncount: int = 1")
    commit(project)
    for arguments in ([], ["dry_run=true"]):
        done = project.run(RUN, path, "-p", "api_key", secret, "-p", "count", "7", *arguments)
        assert done.rc == 0, done.err
        folder = project / done.out.partition("  notebook  ")[2].partition("/login.ipynb")[0]
        for name in ("login.ipynb", "login.md"):
            text = (folder / name).read_text()
            assert secret not in text
            assert "***" in text and "count = 7" in text and "length 12 7" in text
    record = project.looked_up("show", executions(project)[0]["rid"])
    assert record["parameters"] == {"api_key": "***", "count": 7}
    for row in record["outputs"]:
        assert secret not in Path(row["content"]).read_text(), row["file"]


def test_a_notebook_may_try_two_executions_in_one_dry_run(project: ProjectFolder) -> None:
    write = "execution.asset_file_path('Execution_Asset', 'x.txt').write_text('{}')"
    second = START.replace("run_notebook('my_notebook')", "run_notebook(config_name='my_notebook')")
    cells = [START, write.format("one"), COMMIT, second, write.format("two"), COMMIT]
    write_notebook(project / "notebooks" / "twice.ipynb", cells)
    commit(project)
    done = project.run(RUN, "notebooks/twice.ipynb", "dry_run=true")
    assert done.rc == 0, done.err
    folder = project / done.out.strip().splitlines()[-1].rpartition("its output is in ")[2]
    assert sorted(path.read_text() for path in folder.rglob("x.txt")) == ["one", "two"]


def test_the_catalog_as_a_table_and_as_json(project: ProjectFolder) -> None:
    project.run(RUN, NOTEBOOK, check=True)
    table = project.run("deriva-ml-catalog", "list", "-n", "0", check=True).out
    head, *rows = table.splitlines()
    assert head.split()[:2] == ["RID", "status"]
    assert rows[-1].startswith("DEMO-EXEC")
    assert len(project.run("deriva-ml-catalog", "list", "-n", "1", check=True).out.splitlines()) == 3
    shown = project.run("deriva-ml-catalog", "show", executions(project)[0]["rid"], check=True).out
    for name in ("status:", "workflow:", "outputs:", "my-notebook.ipynb"):
        assert name in shown
    weights = project.run("deriva-ml-catalog", "show", "DEMO-W001", check=True).out
    assert "logistic.npz" in weights and "DEMO-EXEC" in weights and "Model_File" in weights
    assert "digits_train.npz" in project.run("deriva-ml-catalog", "show", "DEMO-DATA", check=True).out
    assert project.run("deriva-ml-catalog", "show", "9-ZZZZ").rc == 2
    assert project.run("deriva-ml-catalog", "list", "--status", "Lost").rc == 2
    opened = project.run("deriva-ml-catalog", "open", executions(project)[0]["rid"], check=True).out.strip()
    assert opened.endswith("my-notebook.md") and Path(opened).is_file()


def test_a_model_that_fails_is_recorded_with_its_traceback(project: ProjectFolder) -> None:
    (project / "src" / "models" / "failing.py").write_text(
        "def fail(ml_instance=None, execution=None):\n"
        "    execution.asset_file_path('Execution_Asset', 'half.txt').write_text('half')\n"
        "    raise ArithmeticError('does not add up')\n"
    )
    (project / "src" / "configs" / "failing.py").write_text(
        "from hydra_zen import builds, store\nfrom models.failing import fail\n\n"
        "store(builds(fail, zen_partial=True), group='model_config', name='failing')\n"
    )
    commit(project)
    done = project.run("deriva-ml-run", "model_config=failing")
    assert done.rc == 1
    assert "error: ArithmeticError: does not add up" in done.err
    assert f"deriva-ml-catalog show {executions(project)[0]['rid']}" in done.out
    assert 'failing.py", line 3' in done.err and "model_run.py" not in done.err
    record = executions(project)[0]
    assert (record["status"], record["status_detail"]) == ("Failed", "ArithmeticError: does not add up")
    shown = project.looked_up("show", record["rid"])
    assert {"half.txt", "traceback.txt", "configuration.json"} <= {row["file"] for row in shown["outputs"]}
    sweep = project.run("deriva-ml-run", "--multirun", "model_config=failing,my_model")
    assert sweep.rc == 1
    assert "1 of 2 jobs failed" in sweep.out
    statuses = [record["status"] for record in executions(project)[:3]]
    assert sorted(statuses) == ["Failed", "Failed", "Uploaded"]


SLOW = """
import enum, pathlib, time

class Mode(enum.Enum):
    FAST = 1

class Optimizer:
    def __init__(self, rate):
        self.rate = rate

def slow(sizes, net, optimizer, mode=Mode.FAST, folder=None, seconds=0, rest=0.5, ml_instance=None, execution=None):
    pathlib.Path(folder).touch()
    time.sleep(seconds)
"""
SLOW_CONFIG = """
from hydra_zen import builds, store
from models.slow import Optimizer, slow

Slow = builds(
    slow, sizes=[1, [2]], net={"layers": [8, None], "api_key": "hidden"}, optimizer=builds(Optimizer, rate=0.1),
    folder="begun", seconds=0, zen_partial=True,
)
store(Slow, group="model_config", name="slow")
"""


@pytest.fixture(scope="module")
def slow(project: ProjectFolder) -> Path:
    """A model that takes as long as one wants, with settings of several types; the file that it makes as it begins."""
    (project / "src" / "models" / "slow.py").write_text(SLOW)
    (project / "src" / "configs" / "slow.py").write_text(SLOW_CONFIG)
    commit(project)
    return project.path.parent / "begun"


def test_a_models_settings_are_recorded_in_their_own_types(project: ProjectFolder, slow: Path) -> None:
    chosen = ("model_config=slow", f"model_config.folder='{slow}'", "model_config.sizes=[3,[4]]")
    project.run("deriva-ml-run", *chosen, check=True)
    rid = executions(project)[0]["rid"]
    shown = project.run("deriva-ml-catalog", "show", rid, check=True).out
    assert '\n  net = {"layers": [8, null], "api_key": "***"}\n' in shown
    record = project.looked_up("show", rid)
    assert record["parameters"] == {
        "sizes": [3, [4]],
        "net": {"layers": [8, None], "api_key": "***"},
        "optimizer": {"_target_": "models.slow.Optimizer", "rate": 0.1},
        "mode": "Mode.FAST",
        "folder": str(slow),
        "seconds": 0,
        "rest": 0.5,
    }
    assert record["given"] == {"folder": str(slow), "sizes": [3, [4]]}


@pytest.mark.parametrize(
    ("number", "rc", "word", "sweep"),
    [
        (signal.SIGINT, 130, "interrupted", False),
        (signal.SIGTERM, 1, "terminated", False),
        (signal.SIGINT, 130, "interrupted", True),
    ],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C of a sweep"],
)
def test_a_model_that_is_stopped_says_what_was_recorded(
    project: ProjectFolder, slow: Path, number: signal.Signals, rc: int, word: str, sweep: bool
) -> None:
    slow.unlink(missing_ok=True)
    seconds = ["--multirun", "model_config.seconds=60,61"] if sweep else ["model_config.seconds=60"]
    process = project.popen("deriva-ml-run", "model_config=slow", f"model_config.folder='{slow}'", *seconds)
    deadline = time.monotonic() + 60
    while not slow.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (rc, word)
    recorded = executions(project)[: 2 if sweep else 1]
    for record in recorded:
        assert record["status"] == "Aborted"
        assert f"Execution {record['rid']}: Aborted\n  record    uv run deriva-ml-catalog show " in out
    assert out.count("Execution ") == len(recorded)


def test_two_runs_at_once_are_both_recorded(project: ProjectFolder) -> None:
    before = len(executions(project))
    running = [project.popen(RUN, NOTEBOOK, "-p", "parameter1", str(number)) for number in range(2)]
    assert [process.wait(120) for process in running] == [0, 0], [
        process.communicate() for process in running
    ]
    after = executions(project)
    assert len(after) == before + 2
    assert {record["status"] for record in after[:2]} == {"Uploaded"}


def test_a_catalog_can_be_read_with_any_sqlite_client_while_runs_go_on(project: ProjectFolder) -> None:
    connection = sqlite3.connect(
        f"file:{str(project / '.deriva-ml' / 'catalog.db').replace('%', '%25').replace('#', '%23').replace('?', '%3f')}?mode=ro",
        uri=True,
    )
    [(mode,)] = connection.execute("PRAGMA journal_mode").fetchall()
    assert mode == "wal"
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import sys; sys.exit(0)", "the model called sys.exit(0)"),
        (
            "execution.asset_file_path('Execution_Asset', 'never.txt')",
            "registered but never written: never.txt",
        ),
    ],
)
def test_a_model_that_leaves_early_or_forgets_a_file_has_failed(
    project: ProjectFolder, body: str, reason: str
) -> None:
    (project / "src" / "models" / "failing.py").write_text(
        f"def fail(ml_instance=None, execution=None):\n    {body}\n"
    )
    (project / "src" / "configs" / "failing.py").write_text(
        "from hydra_zen import builds, store\nfrom models.failing import fail\n\n"
        "store(builds(fail, zen_partial=True), group='model_config', name='failing')\n"
    )
    commit(project)
    done = project.run("deriva-ml-run", "model_config=failing")
    assert done.rc == 1 and reason in done.err
    record = executions(project)[0]
    assert record["status"] == "Failed" and reason in record["status_detail"]
