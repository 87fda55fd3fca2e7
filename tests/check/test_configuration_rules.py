"""What configurations name: files and entries that are there, and those that are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from check.planted import places, project
from deriva_ml.check.checking import Checker, Finding

IMPORTS = """\
from pathlib import Path
from hydra_zen import builds, make_config, store
from deriva_ml.asset import LocalFile, LocalFileConfig
from deriva_ml.execution import multirun_config, notebook_config, with_description
assets_store = store(group="assets")
"""
LINES = IMPORTS.count("\n")
ENTRIES = """\
from hydra_zen import store
store([], group="datasets", name="training")
store([], group="datasets", name="default_dataset")
store([], group="assets", name="weights")
wide = store(group="model_config")
wide(dict(), name="wide")
wide(dict(), name="narrow")
store(group="experiment", package="_global_")(dict(), name="first")
"""


def found_in(root: Path, text: str, code: str, **others: str) -> list[Finding]:
    """What a rule finds in the project's module of configurations with this text."""
    project(root, mine=f"{IMPORTS}{text}\n", **others)
    return Checker([code]).check(root / "src" / "configs" / "mine.py")


class TestFiles:
    """DML701."""

    @pytest.mark.parametrize(
        "entry",
        [
            "LocalFileConfig(path='data/gone.csv')",
            "LocalFileConfig('data/gone.csv')",
            "LocalFile('data/gone.csv', description='x')",
            "LocalFileConfig(path='gone.csv')",
            "LocalFileConfig(path='data')",
            "LocalFileConfig(path='other/gone.csv')",
            "LocalFileConfig(path=Path('data/gone.csv'))",
            "LocalFileConfig(path=str(Path('data/gone.csv')))",
            "{'path': 'data/gone.csv'}",
            "LocalFileConfig(path='data/Here.csv ')",
        ],
    )
    @pytest.mark.parametrize(
        "how", ["assets_store([{}], name='a')", "assets_store(with_description([{}], 'x'))"]
    )
    def test_found(self, tmp_path: Path, how: str, entry: str) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "here.csv").write_text("1")
        assert places(found_in(tmp_path, how.format(entry), "DML701")) == [(0, LINES + 1)]

    @pytest.mark.parametrize(
        "entry",
        [
            "LocalFileConfig(path='data/here.csv')",
            "LocalFile('data/here.csv')",
            "LocalFileConfig(path='./data/../data/here.csv')",
            "{'path': 'data/here.csv'}",
            "{'rid': 'data/gone.csv'}",
            "'data/gone.csv'",
            "LocalFileConfig(path=FOLDER + 'gone.csv')",
            "LocalFileConfig(path=f'{folder}/gone.csv')",
            "LocalFileConfig(path=str(ROOT / 'gone.csv'))",
            "LocalFileConfig(path='${oc.env:DATA}/gone.csv')",
            "LocalFileConfig(path='/no/such/folder/anywhere/gone.csv')",
            "LocalFileConfig(path='~/no/such/folder/gone.csv')",
            "LocalFileConfig(**settings)",
            "# LocalFileConfig(path='gone.csv')\n",
        ],
    )
    def test_not_found(self, tmp_path: Path, entry: str) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "here.csv").write_text("1")
        assert not found_in(tmp_path, f"assets_store([{entry}], name='a')", "DML701")

    def test_another_class_of_the_name_is_another(self, tmp_path: Path) -> None:
        text = "from lab import LocalFile\nLocalFile('gone.csv')"
        assert not found_in(tmp_path, text, "DML701")
        assert not found_in(tmp_path, "frames({'path': 'gone.csv'})", "DML701")

    def test_an_absolute_path_into_a_folder_that_is_here_is_looked_at(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        text = f"LocalFileConfig(path={str(elsewhere / 'gone.csv')!r})"
        assert len(found_in(tmp_path / "project", text, "DML701")) == 1
        (elsewhere / "gone.csv").write_text("1")
        assert not found_in(tmp_path / "project", text, "DML701")

    def test_a_folder_that_git_ignores_may_be_on_another_machine(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        (tmp_path / ".gitignore").write_text("/data/\n")
        text = "LocalFileConfig(path='data/gone.csv')"
        assert not found_in(tmp_path, text, "DML701")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "gone.tsv").write_text("1")
        [found] = found_in(tmp_path, text, "DML701")
        assert "did you mean gone.tsv?" in found.message


class TestEntries:
    """DML702."""

    @pytest.mark.parametrize(
        "text",
        [
            "notebook_config('x', defaults={'datasets': 'gone'})",
            "notebook_config('x', None, {'datasets': 'gone'})",
            "notebook_config('x', defaults={'assets': 'weights', 'datasets': 'gone'})",
            "make_config(hydra_defaults=['_self_', {'override /datasets': 'gone'}])",
            "make_config(hydra_defaults=['_self_', {'datasets': 'gone'}])",
            "make_config(hydra_defaults=['_self_', {'/datasets@here': 'gone'}])",
            "make_config(hydra_defaults=[{'datasets': ['training', 'gone']}])",
            "make_config(hydra_defaults=('_self_', {'model_confg': 'wide'}))",
            "builds(dict, hydra_defaults=base_defaults + [{'datasets': 'gone'}])",
            "builds(dict, hydra_defaults=[*base_defaults, {'datasets': 'gone'}])",
            "builds(dict, hydra_defaults=['gone'])",
            "builds(dict, hydra_defaults=['/datasets/gone'])",
            "multirun_config('m', overrides=['datasets=gone'])",
            "multirun_config('m', ['+experiment=gone', 'model_config.x=1'])",
            "multirun_config('m', overrides=['model_config=wide,gone'])",
            "multirun_config('m', overrides=['model_config=wide, gone, narrow'])",
            "DEFAULTS = {'datasets': 'gone'}; notebook_config('x', defaults=DEFAULTS)",
        ],
    )
    def test_found(self, tmp_path: Path, text: str) -> None:
        assert places(found_in(tmp_path, text, "DML702", entries=ENTRIES)) == [(0, LINES + 1)]

    @pytest.mark.parametrize(
        "text",
        [
            "notebook_config('x', defaults={'datasets': 'training', 'assets': 'weights'})",
            "notebook_config('x', defaults={'datasets': NAME})",
            "notebook_config('x', defaults={GROUP: 'gone'})",
            "notebook_config('x', defaults=dict(datasets='gone'))",
            "notebook_config('x', defaults=make())",
            "notebook_config('x')",
            "notebook_config('x', datasets='gone')",
            "make_config(hydra_defaults=['_self_', {'override /datasets': 'training'}])",
            "make_config(hydra_defaults=[{'optional datasets': 'gone'}])",
            "make_config(hydra_defaults=[{'datasets': None}, {'assets': '???'}, {'datasets': '${assets}'}])",
            "make_config(hydra_defaults=[{'override hydra/launcher': 'joblib'}, {'/hydra/sweeper': 'optuna'}])",
            "make_config(hydra_defaults=['deriva_base', 'deriva_model', 'training', 'datasets/training'])",
            "make_config(datasets='gone', defaults=['gone'])",
            "multirun_config('m', overrides=['+experiment=first', 'model_config=wide,narrow'])",
            "multirun_config('m', overrides=['dry_run=gone', 'model_config.x=gone', 'seed=1,2'])",
            "multirun_config('m', overrides=['datasets=glob(*)', '~datasets', '~datasets=gone'])",
            "multirun_config('m', overrides=['datasets=choice(a, b)', 'hydra/launcher=joblib'])",
            "multirun_config('m', overrides=[f'datasets={x}', *more])",
            "multirun_config('m', overrides=['datasets=null', 'datasets=[]'])",
            "# notebook_config('x', defaults={'datasets': 'gone'})",
            "defaults = {'datasets': 'gone'}\ndefaults = other\nnotebook_config('x', defaults=defaults)",
            "from lab import notebook_config\nnotebook_config('x', defaults={'datasets': 'gone'})",
        ],
    )
    def test_not_found(self, tmp_path: Path, text: str) -> None:
        assert not found_in(tmp_path, text, "DML702", entries=ENTRIES)

    @pytest.mark.parametrize(
        "entries",
        [
            "from hydra_zen import store\nstore([], group='datasets', name='gone')",
            "from hydra_zen import store\nstore(group='datasets')([], name='gone')",
            "from hydra_zen import store\ns = store(group='datasets')\nt = s(package='x')\nt([], name='gone')",
            "from hydra_zen import store\nstore(group='datasets', name='gone')([])",
            "import hydra_zen\ns: object = hydra_zen.store(group='datasets')\ns([], name='gone')",
            "import hydra_zen as hz\nhz.store([], group='datasets', name='gone')",
            "from hydra_zen import store as keep\nkeep([], group='datasets', name='gone')",
            "from hydra_zen import ZenStore\ns = ZenStore()\ns([], group='datasets', name='gone')",
            "from hydra_zen import store\n@store(group='datasets', name='gone')\ndef f(): pass",
            "from hydra_zen import store\n@store(group='datasets')\nclass gone: pass",
            "from hydra_zen import store\nif big:\n    store([], group='datasets', name='gone')",
            "from hydra_zen import store\ndef add():\n    store([], group='datasets', name='gone')",
            # More than the text says
            "from hydra_zen import store\nfor n in names:\n    store([], group='datasets', name=n)",
            "from hydra_zen import store\nstore(f, group='datasets')",
            "from hydra_zen import store\nstore(f, group=group, name='gone')",
            "from hydra_zen import store\nstore(f, group=group, name=name)",
            "from hydra_zen import store\nstore(f, **options)",
            "from hydra_zen import store\nadd_all(store)",
            "from hydra_zen import store\nstores = [store(group='datasets')]\nstores[0]([], name='gone')",
            "from hydra_zen import store\nself.s = store(group='datasets')",
            "from hydra_zen import *",
            "exec(open('x').read())",
            "from hydra.core.config_store import ConfigStore",
            "import lab.hydra_configs",
            "(",
        ],
    )
    def test_any_module_may_register_it(self, tmp_path: Path, entries: str) -> None:
        text = "notebook_config('x', defaults={'datasets': 'gone'})"
        assert not found_in(tmp_path, text, "DML702", entries=entries)

    def test_a_store_of_another_module_is_that_store(self, tmp_path: Path) -> None:
        text = "notebook_config('x', defaults={'datasets': 'gone'})"
        stores = "from hydra_zen import store\nkept = store(group='datasets')"
        for line in ("from configs.stores import kept", "from .stores import kept"):
            one = f"{line}\nkept([], name='gone')"
            assert not found_in(tmp_path, text, "DML702", stores=stores, entries=one)
            one = f"{line}\nkept([], name='other')"
            assert len(found_in(tmp_path, text, "DML702", stores=stores, entries=one)) == 1
        other = "import configs.stores\nconfigs.stores.kept([], name='gone')"
        assert not found_in(tmp_path, text, "DML702", stores=stores, entries=other)

    def test_a_group_inside_another_may_be_named_alone(self, tmp_path: Path) -> None:
        entries = "from hydra_zen import store\nstore({}, group='model_config/opt', name='adam')"
        text = "make_config(hydra_defaults=[{'opt': 'adam'}, {'model_config/opt': 'adam'}])"
        assert not found_in(tmp_path, text, "DML702", entries=entries)
        text = "make_config(hydra_defaults=[{'opt': 'sgd'}])"
        assert len(found_in(tmp_path, text, "DML702", entries=entries)) == 1

    def test_a_name_much_like_it_is_named(self, tmp_path: Path) -> None:
        text = "notebook_config('x', defaults={'datasets': 'trainning'})"
        [found] = found_in(tmp_path, text, "DML702", entries=ENTRIES)
        assert "datasets=trainning (did you mean training?)" in found.message
