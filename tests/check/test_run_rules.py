"""The run that a notebook starts and ends: what is found of it, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from check.planted import code, markdown, parameters, places, planted, project

IMPORTS = "from deriva_ml.execution import run_notebook"
RUN = "ml, execution, config = run_notebook('nb')"
COMMIT = "execution.commit_output_assets()"
CONFIGS = "from deriva_ml.execution import notebook_config\n"


class TestMissing:
    """DML501."""

    @pytest.mark.parametrize(
        "cells",
        [
            ["import json"],
            [IMPORTS, "# run_notebook()"],
            [markdown("call run_notebook()"), "import json"],
            [IMPORTS, "text = 'use run_notebook() here'"],
            ["from deriva_ml import DerivaML\nml = DerivaML()"],
        ],
    )
    def test_found_at_the_first_cell_of_code(self, tmp_path: Path, cells: list[str]) -> None:
        found = planted(tmp_path, "", *cells, rules=["DML501"])
        assert [one.line for one in found] == [1]

    @pytest.mark.parametrize(
        "cells",
        [
            [],
            [markdown("# Title")],
            [""],
            [IMPORTS, RUN],
            ["from deriva_ml.execution import run_notebook as start", "start()"],
            ["import deriva_ml.execution as dml", "dml.run_notebook()"],
            ["from deriva_ml.execution import *", "ml, execution, config = run_notebook()"],
            ["def begin():\n    return run_notebook()", "begin()"],
            ["%%time\nml, execution, config = run_notebook()"],
            ["%time ml, execution, config = run_notebook()"],
            ["from deriva_ml import DerivaML\nexecution = DerivaML().create_execution()"],
            ["%run start.ipynb"],
            ["# noqa: DML501\nimport json"],
        ],
    )
    def test_not_found(self, tmp_path: Path, cells: list[str]) -> None:
        assert not planted(tmp_path, *cells, rules=["DML501"])

    def test_a_function_of_the_project_may_call_it(self, tmp_path: Path) -> None:
        package = project(tmp_path) / "src" / "tools"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "begin.py").write_text(f"{IMPORTS}\ndef begin():\n    return run_notebook()\n")
        assert not planted(tmp_path, "from tools.begin import begin\nbegin()", rules=["DML501"])
        (tmp_path / "notebooks" / "beside.py").write_text("def begin():\n    return run_notebook()\n")
        assert not planted(tmp_path, "import beside\nbeside.begin()", rules=["DML501"])
        assert planted(tmp_path, "import json", rules=["DML501"])


class TestTwice:
    """DML502."""

    @pytest.mark.parametrize(
        "second",
        [
            RUN,
            "run_notebook()",
            "try:\n    run_notebook()\nfinally:\n    pass",
            "with open('x'):\n    run_notebook()",
            "a = [run_notebook('other')]",
            "%time run_notebook()",
        ],
    )
    def test_the_second_is_found(self, tmp_path: Path, second: str) -> None:
        found = planted(tmp_path, IMPORTS, RUN, second, rules=["DML502"])
        assert [one.cell for one in found] == [3] and "cell 2" in found[0].message

    def test_two_in_a_cell_are_two(self, tmp_path: Path) -> None:
        assert places(planted(tmp_path, IMPORTS, f"{RUN}\n{RUN}", rules=["DML502"])) == [(2, 2)]

    @pytest.mark.parametrize(
        "second",
        [
            "",
            COMMIT,
            "# run_notebook()",
            "def again():\n    return run_notebook()",
            "if False:\n    run_notebook()",
            "again = lambda: run_notebook()",
            "a = None or run_notebook()",
            "ml.run_notebook()",
            "other.run_notebook()",
        ],
    )
    def test_what_is_not_surely_a_second_call_is_not(self, tmp_path: Path, second: str) -> None:
        assert not planted(tmp_path, IMPORTS, RUN, second, rules=["DML502"])

    def test_one_of_two_ways_is_one(self, tmp_path: Path) -> None:
        ways = "if config:\n    run_notebook('a')\nelse:\n    run_notebook('b')"
        assert not planted(tmp_path, IMPORTS, ways, rules=["DML502"])
        ways = "try:\n    run_notebook('a')\nexcept ValueError:\n    run_notebook('b')"
        assert not planted(tmp_path, IMPORTS, ways, rules=["DML502"])
        assert not planted(tmp_path, IMPORTS, code(RUN, "raises-exception"), RUN, rules=["DML502"])


class TestInTheParametersCell:
    """DML503."""

    @pytest.mark.parametrize("line", [RUN, "run_notebook()", "if limit:\n    run_notebook()"])
    def test_found(self, tmp_path: Path, line: str) -> None:
        found = planted(tmp_path, IMPORTS, parameters(f"limit = 1\n{line}"), rules=["DML503"])
        assert [(one.cell, one.line) for one in found] == [(2, 2 + line.count("\n"))]

    @pytest.mark.parametrize(
        "line", ["# run_notebook()", "note = 'run_notebook()'", "a = other.run_notebook"]
    )
    def test_not_found(self, tmp_path: Path, line: str) -> None:
        assert not planted(tmp_path, IMPORTS, parameters(f"limit = 1\n{line}"), RUN, rules=["DML503"])


class TestUnknownConfiguration:
    """DML504."""

    @pytest.mark.parametrize(
        "call",
        [
            "run_notebook('wrong')",
            "ml, execution, config = run_notebook('wrong')",
            "run_notebook(name='wrong')",
            "run_notebook(config_name='wrong')",
            "run_notebook(None, config_name='wrong')",
            "run_notebook('Right')",
            "run_notebook()",
            "run_notebook(overrides=['dry_run=true'])",
        ],
    )
    def test_found(self, tmp_path: Path, call: str) -> None:
        project(tmp_path, some=f"{CONFIGS}notebook_config('right', defaults={{}})")
        found = planted(tmp_path, IMPORTS, call, rules=["DML504"])
        assert places(found) == [(2, 1)]

    def test_a_name_much_like_it_is_named(self, tmp_path: Path) -> None:
        project(tmp_path, some=f"{CONFIGS}notebook_config('my_analysis')")
        [found] = planted(tmp_path, IMPORTS, "run_notebook('my_analyses')", rules=["DML504"])
        assert "did you mean my_analysis?" in found.message

    @pytest.mark.parametrize(
        "config",
        [
            f"{CONFIGS}notebook_config('nb')",
            f"{CONFIGS}notebook_config(name='nb', defaults={{}})",
            f"{CONFIGS}x = notebook_config('nb')",
            f"{CONFIGS}if True:\n    notebook_config('nb')",
            "import deriva_ml.execution as dml\ndml.notebook_config('nb')",
            "from deriva_ml.execution import notebook_config as register\nregister('nb')",
            "from hydra_zen import store\nstore(dict(), name='nb')",
            "from hydra_zen import store\nstore(name='nb')(dict())",
            "from hydra_zen import store\n@store(name='nb')\ndef f(): pass",
            "from hydra_zen import store\n@store(package='x')\ndef nb(): pass",
            "from deriva_ml.execution import get_notebook_configuration\n"
            "get_notebook_configuration(None, 'nb')",
            # More than the text says
            f"{CONFIGS}for name in ('a', 'b'):\n    notebook_config(name)",
            f"{CONFIGS}notebook_config(f'{{prefix}}_b')",
            f"{CONFIGS}notebook_config(**settings)",
            f"{CONFIGS}register = notebook_config\nregister('x')",
            f"{CONFIGS}list(map(notebook_config, names))",
            f"{CONFIGS}from functools import partial\nadd = partial(notebook_config, defaults={{}})",
            "from hydra_zen import store\nstore(dict)",
            "from hydra_zen import store\nregister_all(store)",
            "from hydra_zen import store\na, b = store(), store(group='x')\na(dict(), name='nb')",
            "from deriva_ml.execution import *\nnotebook_config('nb')",
            "import importlib\nimportlib.import_module('somewhere')",
            "import lab.configs",
            "from lab_shared.conf import things",
            "from hydra.core.config_store import ConfigStore",
            "this is no python (",
        ],
    )
    def test_not_found(self, tmp_path: Path, config: str) -> None:
        project(tmp_path, some=config)
        assert not planted(tmp_path, IMPORTS, RUN, rules=["DML504"])

    @pytest.mark.parametrize(
        "call",
        [
            "run_notebook(NAME)",
            "run_notebook(*names)",
            "run_notebook(**options)",
            "run_notebook(name=f'{x}')",
            "run_notebook('deriva_base')",
            "run_notebook('wrong', config_package='lab_configs')",
            "other.run_notebook('wrong')",
            "from elsewhere import run_notebook\nrun_notebook('wrong')",
            "notebook_config('wrong')\nrun_notebook('wrong')",
            "from hydra_zen import store\nstore(dict(), name='wrong')\nrun_notebook('wrong')",
        ],
    )
    def test_a_name_that_the_notebook_alone_knows_is_not(self, tmp_path: Path, call: str) -> None:
        project(tmp_path, some=f"{CONFIGS}notebook_config('right')")
        start = "from deriva_ml.execution import notebook_config"
        assert not planted(
            tmp_path, f"{start}\n{IMPORTS}" * ("elsewhere" not in call), call, rules=["DML504"]
        )

    @pytest.mark.parametrize(
        ("stem", "name"),
        [
            ("my-notebook", "my_notebook"),
            ("my-notebook", "my-notebook"),
            ("a b.c", "a_b_c"),
            ("é", "é"),
            ("é", "é"),
        ],
    )
    def test_the_files_name_is_taken_as_a_run_takes_it(self, tmp_path: Path, stem: str, name: str) -> None:
        project(tmp_path, some=f"{CONFIGS}notebook_config({name!r})")
        assert not planted(tmp_path, IMPORTS, "run_notebook()", rules=["DML504"], name=stem)

    def test_modules_elsewhere_in_the_project_and_changes_are_seen(self, tmp_path: Path) -> None:
        project(tmp_path, some=f"{CONFIGS}notebook_config('right')")
        assert planted(tmp_path, IMPORTS, RUN, rules=["DML504"])
        deep = tmp_path / "src" / "configs" / "deep"
        deep.mkdir()
        (deep / "more.py").write_text(f"{CONFIGS}notebook_config('nb')")
        assert not planted(tmp_path, IMPORTS, RUN, rules=["DML504"])
        (deep / "more.py").write_text(f"{CONFIGS}notebook_config('other')")
        assert planted(tmp_path, IMPORTS, RUN, rules=["DML504"])

    def test_without_configurations_nothing_is_known(self, tmp_path: Path) -> None:
        (project(tmp_path) / "src" / "configs").rmdir()
        path = tmp_path / "notebooks"
        assert path.is_dir()


class TestNeverCommitted:
    """DML505."""

    @pytest.mark.parametrize(
        "end", ["", "print('done')", "# execution.commit_output_assets()", "git.commit()"]
    )
    def test_found_where_it_starts(self, tmp_path: Path, end: str) -> None:
        assert places(planted(tmp_path, IMPORTS, RUN, end, rules=["DML505"])) == [(2, 1)]

    @pytest.mark.parametrize(
        "end",
        [
            COMMIT,
            "execution.upload_execution_outputs()",
            "for table, paths in execution.commit_output_assets().items():\n    print(table)",
            "def end():\n    execution.commit_output_assets()",
            "end = execution.commit_output_assets",
            "getattr(execution, 'commit_output_assets')()",
            "%time execution.commit_output_assets()",
            "%%time\nexecution.commit_output_assets()",
            "%run end.ipynb",
        ],
    )
    def test_not_found(self, tmp_path: Path, end: str) -> None:
        assert not planted(tmp_path, IMPORTS, RUN, end, rules=["DML505"])

    def test_one_that_starts_nothing_has_nothing_to_commit(self, tmp_path: Path) -> None:
        assert not planted(tmp_path, "import json", "print(1)", rules=["DML505"])

    def test_a_function_of_the_project_may_commit(self, tmp_path: Path) -> None:
        (project(tmp_path) / "src" / "ending.py").write_text("def end(e):\n    e.commit_output_assets()\n")
        cells = [f"{IMPORTS}\nfrom ending import end", RUN, "end(execution)"]
        assert not planted(tmp_path, *cells, rules=["DML505"])
