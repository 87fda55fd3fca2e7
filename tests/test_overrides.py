"""What is typed after a command: refused in one line that says what to type instead, or run as it was meant."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pytest

from conftest import ProjectFolder
from deriva_ml.config.compose import choices_of
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution import notebook_api
from deriva_ml.notebook.calls import ARGUMENTS, Call, call_of
from typed_commands import Answer, answers


@pytest.fixture(scope="module")
def project(
    copy_to: Callable[[Path], ProjectFolder], tmp_path_factory: pytest.TempPathFactory
) -> ProjectFolder:
    """A project in which only refused commands, and those that show something, are typed."""
    return copy_to(tmp_path_factory.mktemp("overrides") / "my-project")


# ------------------------------------------------------------------------------------------- refused, with the mend
REFUSED = {
    # not there, or taken away
    "~description": "a model run needs description: leave ~description out",
    "~model_config": "the configuration has no model_config: choose one, as --list-configs shows",
    "'description=???'": "the configuration has no description: give one, description=VALUE",
    "hidden_layer=3": "Could not override 'hidden_layer'",
    "multirun=digits_widths": "(did you mean +multirun?)",
    "model_config.nope=1": "Could not override 'model_config.nope'",
    "+experiment=": "Available options in 'experiment': digits_logistic digits_wide",
    "workflow=nope": "Could not find 'workflow/nope'",
    # references
    "'description=${nope}'": r"(description): Interpolation key 'nope' not found (a text has \${ for ${)",
    "'dry_run=${nope}'": "(dry_run): Interpolation key 'nope' not found",
    "'model_config.max_iter=${nope}'": "(model_config): Interpolation key 'nope' not found",
    "'workflow.name=${oc.env:NO_SUCH_VARIABLE}'": "Environment variable 'NO_SUCH_VARIABLE' not found",
    "'description=${eval:1+1}'": "(description): Unsupported interpolation type eval",
    "'description=${description}'": "(description): Recursive interpolation detected",
    "'deriva_ml=${nope}'": "Error resolving interpolation '${nope}'",
    # what a group takes
    "model_config=null": "model_config=null: a group takes the name of an entry",
    "'+assets=[{rid:X}]'": "+assets=[{rid:X}]: a group takes the name of an entry",
    "'assets=[1,2]'": "assets=[1,2]: a group takes the name of an entry",
    "'++assets=null'": "++assets=null: a group takes the name of an entry",
    "assets.x=1": "assets.x=1: invalid literal for int()",
    "datasets.items=3": "the configuration cannot be used (datasets): ",
    # what the parser does not take, with what it does
    "'x=[1'": "x=[1 cannot be read: write 'x=[1]' (no viable alternative",
    "'assets=[1-ABC,' '2-DEF]'": "write 'assets=[1-ABC, 2-DEF]' (",
    "a=b=c": """write 'a="b=c"' (""",
    "'description=a;b'": """write 'description="a;b"' (at ';')""",
    "'description=a(b'": """write 'description="a(b"' (""",
    "description=ünïcode": """write 'description="ünïcode"' (at 'ü')""",
    "'description=\"x'": r"""write 'description="\"x"' (""",
    "'description =x'": "write description=x (at ' ')",
    "description:=x": "write description=x (",
    "'description=a,' b": """write 'description="a, b"' (""",
    "'日本=1'": "日本=1 cannot be read as NAME=VALUE (at '日')",
    "'model_config.seed=int(x)'": "cannot be read as NAME=VALUE (ValueError while evaluating 'int(x)'",
    # no override at all
    "foo": "foo is no override: write NAME=VALUE",
    "quick": "quick is no override: did you mean model_config=quick?",
    "description=My first run": "first is no override: write NAME=VALUE, or one text as 'description=My first run'",
    "''": "'' is no override: write NAME=VALUE",
    "=x": "=x is no override: write NAME=VALUE",
    "@file": "@file is no override: write NAME=VALUE",
    # several values for one run
    "assets=1,2": """as one value write 'assets=[1,2]' or 'assets="1,2"'""",
    "'model_config=glob(*)'": "model_config=glob(*) stands for several runs, which --multirun makes",
    # the wrong type
    "dry_run=maybe": "Value 'maybe' is not a valid bool",
    "description=null": "field 'description' is not Optional",
    "deriva_ml._target_=builtins.dict": ": store a DerivaMLConfig in that group",
    "ml_class=os.system": "ml_class is 'os.system', not a class derived from DerivaML",
    "model_config._target_=os.system": "Target 'os.system' is blocklisted",
    "model_config._target_=os.path": "(model_config): Expected a callable target",
    "'+model_config._args_=[1,2]'": "train_digits() cannot be called with these settings: multiple values",
    # Hydra's own settings
    "hydra/launcher=joblib": "hydra/launcher=joblib is for the jobs of a sweep: it goes with --multirun",
    "hydra.launcher.n_jobs=2": "hydra.launcher.n_jobs=2 is for the jobs of a sweep",
    "hydra/sweeper=basic": "hydra/sweeper=basic is for the jobs of a sweep",
    "hydra/job_logging=none": "hydra/job_logging=none: runs do not go by Hydra's own settings",
    "+hydra.nope=1": "runs do not go by Hydra's own settings",
    "hydra.run.dir=x": "runs do not go by Hydra's own settings",
    "~hydra": "runs do not go by Hydra's own settings",
    "'hydra.searchpath=[nowhere]'": "path=nowhere is not available",
    # sweeps
    "+multirun=": "no sweep is named ; there are: digits_widths",
    "+multirun=a +multirun=b": "no sweep is named a; there are: digits_widths",
    "+multirun=digits_widths foo": "foo is no override",
    "+multirun=digits_widths 'description=${nope}'": "Interpolation key 'nope' not found",
    "--multirun 'model_config.l2=1,2' '~description'": "leave ~description out",
    "--multirun 'model_config.l2=1,many'": "Value 'many' of type 'str' could not be converted to Float",
    "--multirun 'x=[1'": "x=[1 cannot be read",
    "--multirun 'model_config.l2=interval(1,3)'": "has no single values to run with",
    "--multirun 'model_config=glob(zz*)'": "stands for no value; model_config has default_model, my_model, quick, wide",
    "--multirun 'model_config.l2=range(3,1)'": "model_config.l2=range(3,1) stands for no value",
    "--multirun 'model_config.l2=range(1,3,0)'": "range() arg 3 must not be zero",
    "--multirun hydra/launcher=nothing model_config.l2=1,2": "hydra/launcher=nothing: there is none of that name",
    "--multirun hydra.run.dir=x model_config.l2=1,2": "runs do not go by Hydra's own settings",
    # looked at, not run
    "--cfg job foo": "foo is no override",
    "--cfg job hydra.job.name=x": "runs do not go by Hydra's own settings",
    "--cfg job +multirun=digits_widths": "this is a sweep of 3 runs: show one of them, such as +experiment=digits_wide",
    "--cfg job --multirun model_config.l2=1,2": "this is a sweep of 2 runs",
    "--info all 'x=[1'": "x=[1 cannot be read",
    # what is typed elsewhere
    "--config-name nothing": "nothing",
    "--config-dir /tmp": "--config-dir /tmp: ",
    "-c src/nothing": "nothing",
    "notebooks/my-notebook.ipynb": "notebooks/my-notebook.ipynb is a notebook: uv run deriva-ml-run-notebook runs it",
}


@pytest.fixture(scope="module")
def refused(project: ProjectFolder) -> dict[str, Answer]:
    return answers(project, [f"run dry_run=true {words}" for words in REFUSED])


@pytest.mark.parametrize("words", REFUSED)
def test_a_model_run_refuses_in_one_line(words: str, refused: dict[str, Answer]) -> None:
    answer = refused[f"run dry_run=true {words}"]
    assert (answer.status, answer.out) == (2, ""), answer
    [line] = answer.err.splitlines()
    assert line.startswith("error: ") and REFUSED[words] in line


def test_what_is_proposed_can_be_typed(project: ProjectFolder, refused: dict[str, Answer]) -> None:
    """What a refusal says to write is read by Hydra, as the shell hands it over."""
    proposed = {
        answer.err.partition(": write ")[2].rpartition(" (")[0]
        for answer in refused.values()
        if ": write '" in answer.err and "description=" in answer.err
    }
    assert len(proposed) > 4
    shown = answers(project, [f"run --cfg job {words}" for words in proposed])
    assert {words: answer.status for words, answer in shown.items() if answer.status not in (0, None)} == {}


def test_a_very_long_override_is_cut(project: ProjectFolder) -> None:
    [answer] = answers(project, [f"run x={'y' * 600}"]).values()
    assert answer.status == 2 and len(answer.err.splitlines()) == 1 and len(answer.err) < 500


def test_a_configuration_is_shown_by_the_flags_that_hydra_has(project: ProjectFolder) -> None:
    """Its name and folder, a part of it alone, and references as they are or with what they stand for."""
    word = "'description=${workflow.name}'"
    plain, resolved, part, named = (
        answer.out
        for answer in answers(
            project,
            [
                f"run --cfg job {word}",
                f"run --cfg job --resolve {word}",
                "run --cfg job --package workflow",
                f"run --config-name deriva_model --config-dir src/configs --cfg job {word}",
            ],
        ).values()
    )
    assert "description: ${workflow.name}" in plain and plain == named
    assert "${" not in resolved and resolved.splitlines() != plain.splitlines()
    assert part and part.splitlines()[0] == "# @package workflow" and "model_config" not in part
    assert all(line in plain for line in part.splitlines()[1:])


NOTEBOOK = "run-notebook notebooks/my-notebook.ipynb dry_run=true"
IN_A_NOTEBOOK = {
    "assets=nothing": "Could not find 'assets/nothing'",
    "asets=my_assets": "Could not override 'asets'",
    "'x=[1'": "x=[1 cannot be read: write 'x=[1]'",
    "foo": "foo is no override: write NAME=VALUE",
    "hydra/launcher=joblib": "hydra/launcher=joblib is for the jobs of a sweep",
    "assets=default_asset,my_assets": "stands for several runs, which --multirun makes",
    "dry_run=maybe": "Value 'maybe' is not a valid bool",
    "parameter1=3": "parameter1 is a parameter: -p parameter1 3",
    "--cfg job assets=nothing": "Could not find 'assets/nothing'",
    "--info all foo": "foo is no override",
    "notebooks/other.ipynb": "notebooks/other.ipynb is a second notebook: a run is of one, here of notebooks/my",
    "other": "other is no override: write NAME=VALUE",
}


@pytest.fixture(scope="module")
def in_a_notebook(project: ProjectFolder) -> dict[str, Answer]:
    return answers(project, [f"{NOTEBOOK} {words}" for words in IN_A_NOTEBOOK])


@pytest.mark.parametrize("words", IN_A_NOTEBOOK)
def test_a_notebook_run_refuses_before_a_kernel_starts(words: str, in_a_notebook: dict[str, Answer]) -> None:
    answer = in_a_notebook[f"{NOTEBOOK} {words}"]
    assert (answer.status, answer.out) == (2, ""), answer
    [line] = answer.err.splitlines()
    assert line.startswith("error: ") and IN_A_NOTEBOOK[words] in line


FLAGS = {
    "run --dry-run": "(--dry-run is here: dry_run=true)",
    "run --dry_run=true": "(--dry_run is here: dry_run=true)",
    "run -cn mine": '(-cn is here: run_notebook("NAME") in a notebook, --config-name NAME for a model)',
    "run-notebook notebooks/my-notebook.ipynb -cn mine": "(-cn is here: ",
    "run-notebook notebooks/my-notebook.ipynb -y x.yaml": "(-y is here: --file FILE)",
    "run-notebook notebooks/my-notebook.ipynb --config-dir src/configs": "(--config-dir is here: run_notebook(",
    "run --assets my_assets": "(--assets is here: assets=NAME)",
    "run-notebook notebooks/my-notebook.ipynb --dry-run": "(--dry-run is here: dry_run=true)",
    "run-notebook --Dry-Run notebooks/my-notebook.ipynb": "(--Dry-Run is here: dry_run=true)",
    "run-notebook notebooks/my-notebook.ipynb --parameters_yaml x": "(--parameters_yaml is here: --file FILE)",
    "run-notebook notebooks/my-notebook.ipynb --execution-timeout 3": "is here: --timeout SECONDS)",
    "run --nothing-like-it": "unrecognized arguments: --nothing-like-it\n",
    "upload --dry-run": "unrecognized arguments: --dry-run\n",
}


def test_a_flag_of_another_program_is_told_by_its_name_here(project: ProjectFolder) -> None:
    for command, answer in answers(project, list(FLAGS)).items():
        assert answer.status == 2 and FLAGS[command] in answer.err, command


# ------------------------------------------------------------------------------------------------------------ sweeps
@pytest.mark.parametrize(
    ("overrides", "jobs"),
    [
        (["a=1,2", "b=x"], [["a=1", "b=x"], ["a=2", "b=x"]]),
        (["a=1,2", "a=3"], [["a=3"]]),
        (["+a=1,2", "a=3"], [["+a=3"]]),
        (["a=1,2", "++a=3,4"], [["a=3"], ["a=4"]]),
        (["+experiment=e", "a=1,2", "+experiment=f"], [["+experiment=f", "a=1"], ["+experiment=f", "a=2"]]),
        (["a=range(1,4)"], [["a=1"], ["a=2"], ["a=3"]]),
        (["a=choice(x,y)"], [["a=x"], ["a=y"]]),
        (["a=sort(3,1,2)"], [["a=1"], ["a=2"], ["a=3"]]),
        (["~b", "a=1e-3,'x, y'"], [["~b", "a=0.001"], ["~b", "a='x, y'"]]),
        (["a=1e-3", "b='x=y'"], [["a=1e-3", "b='x=y'"]]),
        (["a=[1,2],[3]"], [["a=[1,2]"], ["a=[3]"]]),
    ],
)
def test_a_sweep_runs_each_combination_once(overrides: list[str], jobs: list[list[str]]) -> None:
    """A value that the command line gives stands in place of those of the named sweep."""
    assert [list(job) for job in product(*(one.words for one in choices_of(overrides)))] == jobs


def test_shuffled_values_are_the_same_values() -> None:
    [shuffled] = choices_of(["a=shuffle(range(1,4))"])
    assert sorted(shuffled.words) == ["a=1", "a=2", "a=3"]


def test_entries_of_a_group_can_be_chosen_by_a_pattern(project: ProjectFolder) -> None:
    shown = answers(
        project,
        ["run --cfg job --multirun model_config=glob(*)", "run --cfg job --multirun 'model_config=glob(q*)'"],
    )
    every, one = shown.values()
    assert "this is a sweep of 4 runs: show one of them, such as model_config=default_model" in every.err
    assert one.status in (0, None) and "max_iter: 10" in one.out


def test_a_named_sweep_with_its_value_given_is_one_run(project: ProjectFolder) -> None:
    [answer] = answers(
        project, ["run --cfg job +multirun=digits_widths model_config.hidden_layer=4"]
    ).values()
    assert answer.status in (0, None) and "hidden_layer: 4" in answer.out


# --------------------------------------------------------------------------------------------- what a notebook calls
START = "from deriva_ml.execution import run_notebook"


def notebook(*cells: str, tags: Sequence[str] = ()) -> dict[str, object]:
    code = {"cell_type": "code", "metadata": {"tags": list(tags)}, "outputs": [], "execution_count": None}
    return {"cells": [{**code, "source": cell.splitlines(keepends=True)} for cell in cells]}


@pytest.mark.parametrize(
    ("cell", "call"),
    [
        ("run_notebook()", Call()),
        ("ml, execution, config = run_notebook('mine')", Call("mine")),
        ("x = run_notebook(config_name='mine', overrides=['a=1'])", Call("mine", ["a=1"])),
        ("%matplotlib inline\nx = deriva_ml.execution.run_notebook('mine', ('a=1',))", Call("mine", ["a=1"])),
        ("%%time\nrun_notebook(None, config_package='studies')", Call(package="studies")),
    ],
)
def test_a_call_with_literals_is_told_from_the_text(cell: str, call: Call) -> None:
    found = call_of(notebook(START, cell))
    assert found == Call(call.name, call.overrides, call.package, [("deriva_ml.execution", ["run_notebook"])])


@pytest.mark.parametrize(
    "cells",
    [
        ["x = 1"],
        ["run_notebook(NAME)"],
        ["run_notebook(f'{stem}')"],
        ["run_notebook(*given)"],
        ["run_notebook(**given)"],
        ["run_notebook('mine', overrides=more)"],
        ["run_notebook('mine', 'a=1')"],
        ["run_notebook('a')", "run_notebook('b')"],
        ["try:\n    run_notebook()\nexcept Exception:\n    pass"],
        ["if x:\n    run_notebook()"],
        ["def start():\n    return run_notebook()", "start()"],
        ["x = [run_notebook(name) for name in 'ab']"],
        ["x = run_notebook()[0]"],
        ["%%script bash\nrun_notebook()"],
        ["run_notebook("],
    ],
)
def test_where_the_text_does_not_tell_nothing_is_said_before_the_kernel(cells: list[str]) -> None:
    assert call_of(notebook(START, *cells)) is None


def test_a_cell_that_is_meant_to_fail_may_fail() -> None:
    assert call_of(notebook("run_notebook()", tags=["raises-exception"])) is None


@pytest.mark.parametrize(
    "before",
    [
        "from deriva_ml.execution import notebook_config\nnotebook_config('mine')",
        "from hydra_zen import store",
        "my_store([], name='mine')",
        "import os\nos.environ['X'] = '1'",
        "%env X=1",
        "sys.path.insert(0, '..')",
        "%run setup.py",
        "exec(code)",
        "importlib.import_module(name)",
    ],
)
def test_what_cells_may_change_is_left_to_the_kernel(before: str) -> None:
    found = call_of(notebook(START, before, "run_notebook('mine')"))
    assert found and not found.sure and found.name == "mine"
    assert (after := call_of(notebook(START, "run_notebook('mine')", before))) and after.sure


def test_the_arguments_are_those_of_run_notebook() -> None:
    assert tuple(inspect.signature(notebook_api.run_notebook).parameters) == ARGUMENTS


LOOKED_AT = """
import json, sys
from deriva_ml.execution.precheck import _why_refused

for request in json.load(sys.stdin):
    try:
        print(json.dumps(_why_refused(request)))
    except Exception as error:
        print(json.dumps(None))
"""


def test_what_the_kernel_may_accept_is_not_refused_before(project_copy: Callable[..., ProjectFolder]) -> None:
    """A module that the cells import may store the entry that was not found; the kernel then has it."""
    project = project_copy()
    (project / "src" / "models" / "registers.py").write_text(
        "from hydra_zen import store\n\nstore([], group='assets', name='late')\n"
    )
    usual = {
        "name": None,
        "package": "configs",
        "imports": [],
        "notebook": str(project / "notebooks" / "my-notebook.ipynb"),
    }
    wrong = {**usual, "overrides": ["assets=late"]}
    requests = [
        wrong,
        {**usual, "overrides": []},
        {**wrong, "name": "unheard_of"},
        {**wrong, "package": "studies"},
        {**wrong, "overrides": ["deriva_ml=${oc.env:SET_LATER}"]},
        {**wrong, "overrides": ["description=${oc.env:SET_LATER}"]},
        {**wrong, "imports": [("models", ["nowhere"]), ("no_such_module", [])]},
        {**wrong, "imports": [("json", ["dumps"]), ("models", ["registers"])]},
    ]
    said = project.run("python", "-c", LOOKED_AT, stdin=json.dumps(requests), check=True).out
    first, *others = [json.loads(line) for line in said.splitlines()]
    assert "Could not find 'assets/late'" in first
    assert others == [None] * 7


def test_the_kernel_and_the_look_before_it_say_the_same(project: ProjectFolder) -> None:
    """Whoever refuses, the words are the same ones."""
    script = (
        "from deriva_ml.config.compose import compose\n"
        "from deriva_ml.config.modules import find_configs\n"
        "from deriva_ml.project import Project\n"
        "find_configs(Project.find())\n"
        "try:\n    compose('my_notebook', ['assets=nothing', 'dry_run=true'])\n"
        "except Exception as error:\n    print(error)\n"
    )
    said = project.run("python", "-c", script, check=True).out.strip()
    before = project.run(
        "deriva-ml-run-notebook", "notebooks/my-notebook.ipynb", "assets=nothing", "dry_run=true"
    )
    assert (before.rc, before.err.strip()) == (2, f"error: {said}")


def test_no_process_is_started_without_an_override(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Composing in a process of its own takes time, and is left out where nothing can be misspelt."""
    from deriva_ml.cli import run_notebook
    from deriva_ml.execution import notebook_runner, precheck

    def begun(*arguments: object) -> subprocess.Popen[str] | None:
        raise AssertionError("composed before the kernel")

    def ended(*arguments: object) -> None:
        raise DerivaMLRequestError("as far as the kernel")

    monkeypatch.setattr(precheck, "start", begun)
    monkeypatch.setattr(notebook_runner, "record_notebook", ended)
    (tmp_path / "pyproject.toml").touch()
    small = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, **notebook(START, "run_notebook()")}
    (tmp_path / "small.ipynb").write_text(json.dumps(small))
    monkeypatch.chdir(tmp_path)
    for words in ([], ["dry_run=true"], ["--kernel", "other", "a=1"]):
        assert run_notebook.main(["small.ipynb", *words]) == 2
        assert capsys.readouterr().err == "error: as far as the kernel\n"
    with pytest.raises(AssertionError):
        run_notebook.main(["small.ipynb", "a=1"])
