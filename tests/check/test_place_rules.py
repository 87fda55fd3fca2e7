"""What ties a notebook to one place: what is found, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from check.planted import code, parameters, planted, project

IMPORTS = """import os, requests
import numpy as np
import pandas as pd
from pathlib import Path
from deriva_ml import DerivaML, DerivaMLConfig
from deriva_ml.execution import run_notebook"""


def found_in(tmp_path: Path, rule: str, *cells: Any) -> list[str]:
    """The messages of a rule."""
    return [one.message for one in planted(tmp_path, IMPORTS, *cells, rules=[rule])]


class TestConfigured:
    """DML201."""

    @pytest.mark.parametrize(
        "cell",
        [
            "os.environ['CUDA_VISIBLE_DEVICES'] = '1'",
            "del os.environ['CUDA_VISIBLE_DEVICES']",
            "os.environ.update({'CUDA_VISIBLE_DEVICES': '1'})",
            "os.environ.setdefault('CUDA_VISIBLE_DEVICES', '1')",
            "os.putenv('CUDA_VISIBLE_DEVICES', '1')",
            "%env CUDA_VISIBLE_DEVICES=1",
            "%set_env CUDA_VISIBLE_DEVICES 1",
            "import hydra\nhydra.initialize(config_path='conf')",
            "from hydra_zen import store\nstore({}, name='a')",
            "ml = DerivaML(DerivaMLConfig(catalog_id='1'))",
            "ml, execution, config = run_notebook()\nconfig.assets = []",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML201", cell)) == 1

    @pytest.mark.parametrize(
        "cell",
        [
            "os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'",
            "os.environ['TOKENIZERS_PARALLELISM'] = 'false'",
            "print(os.environ['HOME'])",
            "%env HOME",
            "settings['a'] = 1",
            "config = {}\nconfig['a'] = 1",
            "ml, execution, config = run_notebook()\nprint(config.assets)",
            "store = {}\nstore.update(a=1)",
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: str) -> None:
        assert not found_in(tmp_path, "DML201", cell)


class TestAbsolutePath:
    """DML202."""

    @pytest.mark.parametrize(
        "cell",
        [
            "rows = pd.read_csv('/home/eva/rows.csv')",
            "folder = '/Users/eva/data'",
            r"folder = 'C:\\Users\\eva'",
            "folder = 'D:/data'",
            r"folder = r'\\server\share'",
            "Path('~/rows.csv').expanduser()",
            "f'/home/eva/{1}.csv'",
            "open('/var/stored/rows.csv')",
            "os.chdir('/opt/project')",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML202", f"x = 1\n_ = {cell}" if " = " not in cell else cell)) == 1

    @pytest.mark.parametrize(
        "cell",
        [
            "open('/dev/null'), open('/tmp/a/b'), open('/etc/hostname')",
            "url = '/api/v1/items'\nother = 'https://example.org/home/eva/x'",
            "print('/home/eva/x')",
            "'''/home/eva/x'''",
            "f'{folder}/data/assets'",
            "folder + '/home/eva/x'",
            "path == '/home/eva/x'",
            "x = '~5'\ny = 'a:b'\nz = '/'\nq = '//div[@class]'",
            "import re\nre.sub('/home/\\\\w+', '', text)",
            "raise ValueError('/home/eva/x is none')",
            "# /home/eva/x",
            parameters("folder = '/home/eva/x'"),
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: Any) -> None:
        assert not found_in(tmp_path, "DML202", cell)


class TestHostname:
    """DML203."""

    @pytest.mark.parametrize(
        "cell",
        [
            "ml = DerivaML('data.example.org', '12')",
            "ml = DerivaML(hostname='data.example.org')",
            "hostname = 'data.example.org'",
            "server_name = '192.168.10.20'",
            "rows = pd.read_csv('https://data.example.org/rows.csv')",
            "url = 'https://data.example.org/rows.csv'\nrows = pd.read_csv(url)",
            "requests.get(f'https://data.example.org/{1}')",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        found = found_in(tmp_path, "DML203", cell)
        assert len(found) == 1 and ("example.org" in found[0] or "192.168" in found[0])

    @pytest.mark.parametrize(
        "cell",
        [
            "hostname = 'localhost'\nhost = '127.0.0.1'",
            "host = 'Eva'\nserver = None",
            "link = 'https://data.example.org'",
            "print('https://data.example.org')",
            "requests.get('http://localhost:8888/api')",
            "requests.get(address)",
            "server = 'table.csv'",
            parameters("hostname = 'data.example.org'"),
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: Any) -> None:
        assert not found_in(tmp_path, "DML203", cell)


class TestRid:
    """DML204."""

    @pytest.mark.parametrize(
        "cell",
        [
            "bag = execution.download_dataset_bag('2-B3C4')",
            "ml.lookup_dataset('8Z-12P3-FM2M')",
            "DatasetSpec(rid='2-B3C4', version='1.0.0')",
            "dataset_rid = '2-B3C4'",
            "asset_RIDs = ['4-MWQ6']",
            "row = {'RID': '2-B3C4'}",
            "frame[frame['RID'] == '2-B3C4']",
            "[row for row in rows if row.RID == '2-B3C4']",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML204", cell)) == 1

    @pytest.mark.parametrize(
        "cell",
        [
            "day = '2024-01-31'\nphone = '2-1234'\nmodel = 'A4-B5'\nversion = '1-2'",
            "rid = row['RID']",
            "download('2-B3C4')",
            "ml.lookup_term('Subject', 'A name')",
            "ml.lookup_dataset('DEMO-DATA')",
            "print('RID', '2-B3C4')",
            "grid = ['2-B3C4']\nhybrid = '2-B3C4'",
            "rid = 'none'",
            parameters("dataset_rid = '2-B3C4'"),
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: Any) -> None:
        assert not found_in(tmp_path, "DML204", cell)


class TestUndeclaredFile:
    """DML205."""

    @pytest.mark.parametrize(
        "cell",
        [
            "rows = pd.read_csv('rows.csv')",
            "rows = pd.read_csv('../data/other.csv')",
            "with open('rows.csv') as stream:\n    pass",
            "open('rows.csv', 'rb')",
            "np.load('rows.npz')",
            "Path('rows.csv').read_text()",
            "(Path('data') / 'rows.csv').open()",
            "name = 'rows.csv'\npd.read_csv(name)",
            "pd.read_csv(os.path.join('data', 'rows.csv'))",
            "rows = pd.read_csv('rows.csv')\nrows.to_csv('rows.csv')",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML205", cell)) == 1

    @pytest.mark.parametrize(
        "cells",
        [
            ["open('rows.csv', 'w')", "open('rows.csv')"],
            ["frame.to_csv('rows.csv')", "pd.read_csv('rows.csv')"],
            ["np.savez('rows', a=1)", "np.load('rows.npz')"],
            ["os.makedirs('out')", "pd.read_csv('out/rows.csv')"],
            ["!wget https://example.org/rows.csv", "pd.read_csv('rows.csv')"],
            ["%%writefile rows.csv\na,b", "pd.read_csv('rows.csv')"],
            ["%cd ..", "pd.read_csv('rows.csv')"],
            ["path = execution.asset_paths['File'][0]", "pd.read_csv(path)"],
            ["for name in ['a.csv', 'b.csv']:\n    pd.read_csv(name)"],
            [parameters("name = 'rows.csv'"), "pd.read_csv(name)"],
            ["pd.read_csv('https://example.org/rows.csv')"],
            ["pd.read_csv('/home/eva/rows.csv')"],
            ["open = print\nopen('rows.csv')"],
            ["Path('rows.csv').exists(), os.path.exists('rows.csv')"],
        ],
    )
    def test_left_alone(self, tmp_path: Path, cells: list[Any]) -> None:
        assert not found_in(tmp_path, "DML205", *cells)

    def test_what_a_configuration_names_is_declared(self, tmp_path: Path) -> None:
        project(tmp_path, assets="assets_store([LocalFileConfig(path='data/rows.csv')], name='rows')")
        assert not found_in(tmp_path, "DML205", "pd.read_csv('../data/rows.csv')")
        assert found_in(tmp_path, "DML205", "pd.read_csv('../data/others.csv')")


@pytest.mark.parametrize("rule", ["DML201", "DML202", "DML203", "DML204", "DML205"])
def test_a_comment_silences_it(tmp_path: Path, rule: str) -> None:
    lines = [
        "os.environ['A'] = '1'",
        "a = '/home/eva/x'",
        "hostname = 'data.example.org'",
        "rid = '2-B3C4'",
        "pd.read_csv('rows.csv')",
    ]
    assert len(found_in(tmp_path, rule, *lines)) == 1
    assert not found_in(tmp_path, rule, *(code(f"{one}  # noqa: {rule}") for one in lines))
