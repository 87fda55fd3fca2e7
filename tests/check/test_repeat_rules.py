"""What may differ the next time: what is found, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from check.planted import parameters, planted, project
from deriva_ml.check.checking import Checker

IMPORTS = """import datetime, os, random, subprocess, sys, time
import numpy as np
import pandas as pd
import tensorflow as tf
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, ShuffleSplit, train_test_split
from torch import nn"""


def found_in(tmp_path: Path, rule: str, *cells: Any) -> list[str]:
    """The messages of a rule."""
    return [one.message for one in planted(tmp_path, IMPORTS, *cells, rules=[rule])]


class TestInstalls:
    """DML601."""

    @pytest.mark.parametrize(
        "cell",
        [
            "!pip install seaborn",
            "%pip install -q seaborn",
            "pip install seaborn",
            "!{sys.executable} -m pip install seaborn",
            "!conda install -y seaborn",
            "%conda install seaborn",
            "!sudo apt-get -y install ffmpeg",
            "!apt update && apt install ffmpeg",
            "!uv pip install seaborn",
            "!uv add seaborn",
            "%%bash\npip install seaborn",
            "subprocess.run([sys.executable, '-m', 'pip', 'install', 'seaborn'])",
            "os.system('pip install seaborn')",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML601", cell)) == 1

    @pytest.mark.parametrize(
        "cell",
        [
            "# !pip install seaborn",
            "print('pip install seaborn')",
            "!pip list",
            "!echo pip install seaborn",
            "!pip uninstall -y seaborn",
            "%%bash\n# pip install seaborn\nls",
            "%%markdown\npip install seaborn",
            "text = '''\npip install seaborn\n'''",
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: str) -> None:
        assert not found_in(tmp_path, "DML601", cell)


class TestUnseeded:
    """DML602."""

    @pytest.mark.parametrize(
        "cell",
        [
            "random.random()",
            "np.random.rand(3)",
            "np.random.default_rng().normal()",
            "np.random.default_rng(None)",
            "np.random.RandomState()",
            "random.Random().choice('ab')",
            "torch.randn(3)",
            "nn.Linear(3, 4)",
            "torch.utils.data.DataLoader(rows, shuffle=True)",
            "tf.random.normal([3])",
            "tf.keras.layers.Dense(3)",
            "train_test_split(rows)",
            "RandomForestClassifier(n_estimators=10)",
            "RandomForestClassifier(random_state=None)",
            "KMeans(3)",
            "KFold(5, shuffle=True)",
            "ShuffleSplit()",
            "pd.read_csv('rows.csv').sample(5)",
            "frame = pd.DataFrame()\nsome = frame[frame.a > 1]\nsome.sample(frac=0.5)",
            "np.random.seed()\nnp.random.rand(3)",
            "random.seed(None)\nrandom.random()",
            "def draw():\n    return np.random.rand()",
            "np.random.rand(3)\nnp.random.seed(0)",
            "from numpy.random import rand\nrand(3)",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML602", cell)) == 1

    @pytest.mark.parametrize(
        "cells",
        [
            ["random.seed(1)", "random.random()"],
            ["np.random.seed(1)", "np.random.rand(3), train_test_split(rows), KMeans(3)"],
            ["def draw():\n    return np.random.rand()", "np.random.seed(0)", "draw()"],
            ["def seed_all(n):\n    np.random.seed(n)\n    random.seed(n)", "seed_all(1)", "random.random(), np.random.rand()"],
            [parameters("seed: int = 1"), "np.random.seed(seed)\nnp.random.rand(3)"],
            ["from helpers import set_seed\nset_seed(1)", "torch.rand(3), np.random.rand(3), random.random(), tf.random.normal([1])"],
            ["import pytorch_lightning as pl\npl.seed_everything(1)", "torch.rand(3)"],
            ["tf.keras.utils.set_random_seed(1)", "tf.random.normal([3]), np.random.rand(3), random.random()"],
            ["np.random.default_rng(1).normal()", "np.random.RandomState(seed=1)", "random.Random(1)"],
            ["rng = np.random.default_rng(seed)\nrng.normal(), rng.choice([1]), rng.shuffle(rows)"],
            ["torch.manual_seed(1)", "torch.randn(3), nn.Linear(3, 4)"],
            ["torch.randn(3, generator=generator)"],
            ["model = nn.Linear(3, 4)", "model.load_state_dict(state)"],
            ["train_test_split(rows, random_state=1)", "train_test_split(rows, shuffle=False)"],
            ["KFold(5)", "KFold(5, shuffle=False)", "LogisticRegression()"],
            ["RandomForestClassifier(**settings)", "model.set_params(random_state=1)"],
            ["frame = pd.DataFrame()\nframe.sample(5, random_state=1)"],
            ["space.sample()", "distribution.sample(5)", "environment.action_space.sample()"],
            ["def draw(random):\n    return random.random()"],
            ["random = np.random.default_rng(1)\nrandom.shuffle(rows)"],
            ["%run seeds.py", "random.random()"],
            ["from project_helpers import *", "random.random()"],
            ["random.seed(1); random.random()"],
            ["# np.random.rand(3)", "'np.random.rand(3)'"],
        ],
    )  # fmt: skip
    def test_left_alone(self, tmp_path: Path, cells: list[Any]) -> None:
        assert not found_in(tmp_path, "DML602", *cells)
        assert not found_in(tmp_path, "DML603", *cells)

    def test_a_kind_that_is_seeded_as_a_whole_is_found_once(self, tmp_path: Path) -> None:
        assert (
            len(found_in(tmp_path, "DML602", "np.random.rand(3)", "np.random.rand(3)", "random.random()"))
            == 2
        )

    def test_a_seed_that_comes_too_late_is_told(self, tmp_path: Path) -> None:
        [found] = found_in(tmp_path, "DML602", "np.random.rand(3)", "np.random.seed(0)")
        assert "only below" in found

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("import numpy as np\ndef noise():\n    return np.random.rand()", 0),
            ("import numpy as np\ndef model(execution=None):\n    return np.random.rand()", 1),
            ("import numpy as np\ndef noise():\n    return np.random.default_rng().normal()", 1),
        ],
    )
    def test_a_module_that_others_use_may_rely_on_their_seed(
        self, tmp_path: Path, text: str, count: int
    ) -> None:
        path = project(tmp_path) / "src" / "module.py"
        path.write_text(text)
        assert len(Checker(["DML602"]).check(path)) == count


class TestWrongKind:
    """DML603."""

    @pytest.mark.parametrize(
        ("cell", "seed"),
        [
            ("random.seed(1)\nnp.random.rand(3)", "random.seed()"),
            ("np.random.seed(1)\ntorch.rand(3)", "numpy.random.seed()"),
            ("np.random.seed(1)\nnp.random.default_rng()", "numpy.random.seed()"),
            ("torch.manual_seed(1)\nrandom.random()", "torch.manual_seed()"),
            ("random.seed(1)\ntrain_test_split(rows)", "random.seed()"),
        ],
    )
    def test_found_in_place_of_the_other(self, tmp_path: Path, cell: str, seed: str) -> None:
        [found] = found_in(tmp_path, "DML603", cell)
        assert seed in found
        assert not found_in(tmp_path, "DML602", cell)

    def test_a_seed_in_a_function_further_down_is_none_that_looks_like_it(self, tmp_path: Path) -> None:
        cells = ["torch.rand(3)", "def noise(seed):\n    np.random.seed(seed)\n    return np.random.rand()"]
        assert not found_in(tmp_path, "DML603", *cells)
        assert len(found_in(tmp_path, "DML602", *cells)) == 1


class TestClock:
    """DML604, which is advice."""

    @pytest.mark.parametrize(
        "cell",
        [
            "today = datetime.date.today()",
            "name = datetime.datetime.now().strftime('%Y')",
            "stamp = int(time.time())",
            "time.strftime('%Y')",
            "pd.Timestamp.now()",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        [found] = planted(tmp_path, IMPORTS, cell)[-1:]
        assert (found.code, found.advice) == ("DML604", True)

    @pytest.mark.parametrize(
        "cells",
        [
            ["start = time.time()", "print(time.time() - start)"],
            ["start = datetime.datetime.now()", "print(datetime.datetime.now() - start)"],
            ["start = time.time()", "print 'took', time.time()-start"],
            ["end = time.time() + 5\nwhile time.time() < end:\n    pass"],
            ["time.perf_counter(), time.monotonic(), time.sleep(1)"],
            ["time.strftime('%Y', moment), time.localtime(0), datetime.datetime(2024, 1, 1)"],
        ],
    )
    def test_left_alone(self, tmp_path: Path, cells: list[str]) -> None:
        assert not found_in(tmp_path, "DML604", *cells)


class TestEnvironment:
    """DML605, which is advice."""

    @pytest.mark.parametrize(
        "cell",
        [
            "os.environ['DATA']",
            "os.environ.get('DATA')",
            "os.getenv('DATA', 'here')",
            "import getpass\ngetpass.getuser()",
            "import socket\nsocket.gethostname()",
        ],
    )
    def test_found(self, tmp_path: Path, cell: str) -> None:
        assert len(found_in(tmp_path, "DML605", cell)) == 1

    @pytest.mark.parametrize(
        "cell",
        [
            "os.environ['API_TOKEN']",
            "os.getenv('PASSWORD')",
            "os.environ['A'] = '1'\nprint(os.environ['A'], os.getenv('A'))",
        ],
    )
    def test_left_alone(self, tmp_path: Path, cell: str) -> None:
        assert not found_in(tmp_path, "DML605", cell)
