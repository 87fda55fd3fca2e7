"""What a record says of a parameter's value: in its own type where JSON has one, bounded, and without credentials."""

from __future__ import annotations

import functools
import json
import math
import time
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from omegaconf import OmegaConf

from deriva_ml.definitions import Workflow
from deriva_ml.execution import started
from deriva_ml.execution.configuration_record import texts_of
from deriva_ml.execution.effective import Parameters, effective, parameters_now
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.model_run import set_by, settings_of
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.execution.started import Start
from deriva_ml.execution.values import LARGEST, SHOWN, as_json
from deriva_ml.process import Owner
from notebooks import write_notebook


class Colour(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    YES = "yes"


@dataclass
class Net:
    layers: tuple[int, ...] = (2, 3)
    parts: dict[str, Any] = field(default_factory=dict)


Point = namedtuple("Point", "x y")


class Opaque:
    """A class without a repr of its own."""


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("text\n", "text\n"),
        ([1, [None, "a"]], [1, [None, "a"]]),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", 1}), ["b", 1]),
        ({"a": {"b": (1,)}, 3: None, True: 0}, {"a": {"b": [1]}, "3": None, "True": 0}),
        (OrderedDict(a=1), {"a": 1}),
        (
            OmegaConf.create({"a": [1, {"b": None}], "c": "${a}"}),
            {"a": [1, {"b": None}], "c": [1, {"b": None}]},
        ),
        ([OmegaConf.create([1, 2])], [[1, 2]]),
        (
            Net(parts={"first": Net((1,))}),
            {"layers": [2, 3], "parts": {"first": {"layers": [1], "parts": {}}}},
        ),
        (date(2024, 2, 3), "2024-02-03"),
        (datetime(2024, 2, 3, 4, 5), "2024-02-03T04:05:00"),
        (Path("data") / "a.csv", "data/a.csv"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "Colour.RED"),
        (Number.ONE, "Number.ONE"),
        (Word.YES, "Word.YES"),
        (math.nan, "nan"),
        ([math.inf, -math.inf], ["inf", "-inf"]),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (1 + 2j, "(1+2j)"),
        (range(3), "range(0, 3)"),
        (b"ab", "b'ab'"),
        (Opaque(), f"<{__name__}.Opaque object>"),
        ([Opaque()], [f"<{__name__}.Opaque object>"]),
        (Broken(), "<Broken instance>"),
        ("half \ud800", "half \\ud800"),
        ({1: "a", "1": "b"}, "{1: 'a', '1': 'b'}"),
    ],
)
def test_a_value_keeps_its_type_or_becomes_its_text(value: Any, recorded: Any) -> None:
    found = as_json(value)
    assert found == recorded and type(found) is type(recorded)
    json.dumps(found, allow_nan=False).encode()


def test_values_of_numpy_and_pandas() -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert as_json([numpy.int64(3), numpy.float32(0.5), numpy.float64("nan")]) == [3, 0.5, "nan"]
    assert as_json(numpy.arange(3)) == "array([0, 1, 2])"
    with numpy.printoptions(threshold=10**9):
        assert as_json(numpy.zeros((2000, 3))) == "<ndarray of shape (2000, 3)>"
    assert as_json(pandas.DataFrame({"a": range(5000)})) == "<DataFrame of shape (5000, 1)>"
    assert as_json(pandas.Timestamp("2024-02-03")) == "2024-02-03T00:00:00"


def _endless() -> list[Any]:
    endless: list[Any] = [1]
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "value",
    [
        list(range(LARGEST + 1)),
        [[0] * 1000 for _ in range(1000)],
        dict.fromkeys(range(LARGEST + 1)),
        set(range(LARGEST + 1)),
        "x" * (LARGEST + 1),
        bytes(LARGEST),
        Net(layers=tuple(range(LARGEST + 1))),
        _endless(),
        10**20_000,
        SimpleNamespace(a="x" * LARGEST),
    ],
    ids=["list", "nested", "dict", "set", "str", "bytes", "dataclass", "endless", "int", "object"],
)
def test_what_is_large_is_cut_and_costs_little(value: Any) -> None:
    begun = time.process_time()
    found = as_json(value)
    assert time.process_time() - begun < 0.5
    assert isinstance(found, str) and 0 < len(found) <= SHOWN


def test_what_was_given_is_kept_whole() -> None:
    numbers = list(range(LARGEST + 1))
    assert effective({"xs": numbers}, ["xs"], {"xs": numbers}).parameters["xs"] == numbers
    assert isinstance(effective({"xs": numbers}, ["xs"], {}).parameters["xs"], str)


def test_credentials_are_masked_at_any_depth_and_before_a_text_is_cut() -> None:
    @dataclass
    class Login:
        api_token: str
        url: str

    class Client:
        def __repr__(self) -> str:
            return f"Client(url='https://ada:{'pass' * 60}@example.org', token='abc123')"

    values = effective(
        {
            "login": Login("abc123", "https://ada:word@example.org/x"),
            "hf_token": "abc123",
            "client": Client(),
        },
        ["login", "hf_token", "client"],
        {"hf_token": "abc123"},
    )
    configuration = ExecutionConfiguration(argv=[], **vars(values))
    text, _ = texts_of(configuration, Workflow("w"), {}, "script")["configuration.json"]
    assert json.loads(text)["parameters"]["login"] == {"api_token": "***", "url": "https://example.org/x"}
    for secret in ("abc123", "word@", "passpass"):
        assert secret not in text


def test_an_executions_own_parameters_may_be_anything() -> None:
    record = ExecutionConfiguration(parameters={"lock": Opaque(), "xs": {1}, "x": math.nan}).to_json()
    assert record["parameters"] == {"lock": f"<{__name__}.Opaque object>", "xs": [1], "x": "nan"}


# Which names and values


def test_every_name_of_the_cell_with_the_value_that_it_has() -> None:
    found = effective({"width": 16, "area": 256, "other": 1}, ["width", "area", "late"], {"width": 16})
    assert found.parameters == {"width": 16, "area": 256, "late": "not set yet"}
    assert found.parameters_given == {"width": 16}
    assert found.parameters_not_set == ["late"]


def test_a_value_that_says_not_set_yet_is_one() -> None:
    assert effective({"word": "not set yet"}, ["word"], {}).parameters_not_set == []


def test_what_the_notebook_made_of_a_given_value_stands_beside_it() -> None:
    found = effective({"folder": Path("a") / "b", "n": 14}, ["folder", "n"], {"folder": "a", "n": 7})
    assert found.parameters == {"folder": "a/b", "n": 14}
    assert found.parameters_given == {"folder": "a", "n": 7}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """``kernel(*cells, run=None, file=None)``: the parameters as the last of the cells begins to say ``ask()``."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shell = InteractiveShell.instance(config=Config(HistoryManager={"hist_file": ":memory:"}))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)

    def execute(*cells: str, run: NotebookRun | None = None, file: Path | None = None) -> Parameters:
        asked: list[Parameters] = []
        shell.user_ns["ask"] = lambda: asked.append(parameters_now(run, file))
        for cell in cells:
            shell.run_cell(cell, store_history=True).raise_error()
        return asked[0]

    yield execute
    InteractiveShell.clear_instance()


def _run(declared: list[str], **given: Any) -> NotebookRun:
    nobody = Owner("host", 1, 0.0)
    return NotebookRun(Path("run"), Path("a.ipynb"), nobody, nobody, parameters=given, declared=declared)


CELL = "# Parameters\nwidth: int = 2\nname = 'a'\narea = width * width"


def test_a_run_by_the_command(kernel: Any) -> None:
    run = _run(["width", "name", "area"], width=16)
    found = kernel(CELL, "# Parameters\nwidth = 16\n", "!true\narea = width + 1", "ask()", run=run)
    assert found.parameters == {"width": 16, "name": "a", "area": 17}
    assert found.parameters_given == {"width": 16}


@pytest.mark.parametrize(
    ("cells", "parameters", "lacking"),
    [
        (["width: int = 2\nask()\narea = 4"], {"width": 16, "area": "not set yet"}, ["area"]),
        (["x = 0\nask()", "width: int = 2\narea = 4"], {"width": 16, "area": "not set yet"}, ["area"]),
    ],
    ids=["in the parameters cell", "before it"],
)
def test_an_execution_that_starts_before_the_values_are_injected(
    kernel: Any, cells: list[str], parameters: dict[str, Any], lacking: list[str]
) -> None:
    found = kernel(*cells, run=_run(["width", "area"], width=16))
    assert (found.parameters, found.parameters_not_set) == (parameters, lacking)
    assert found.parameters_given == {"width": 16}


def test_by_hand_the_names_are_those_of_the_file(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(tmp_path / "a.ipynb", ["x = 1"], parameters=CELL)
    monkeypatch.setattr(started, "how_started", lambda: Start(started.JUPYTERLAB))
    found = kernel(CELL, "# Parameters\nwidth = 3", "area = 9", "ask()", file=tmp_path / "a.ipynb")
    assert found == Parameters({"width": 3, "name": "a", "area": 9})


def test_papermill_by_itself_tells_by_the_cell_that_it_injects(kernel: Any) -> None:
    found = kernel("x = 1", CELL, "# Parameters\nwidth = 16\n", "area = 0", "ask()")
    assert found == Parameters({"width": 16, "name": "a", "area": 0}, {"width": 16})


def test_papermill_by_itself_with_a_name_of_its_own(kernel: Any, tmp_path: Path) -> None:
    """Papermill injects what the parameters cell does not have, too."""
    write_notebook(tmp_path / "a.ipynb", ["x = 1"], parameters=CELL)
    for file in (None, tmp_path / "a.ipynb"):
        found = kernel(CELL, "# Parameters\nwidth = 16\nother = 5\n", "ask()", file=file)
        assert found.parameters_given == {"width": 16, "other": 5}


@pytest.mark.parametrize(
    ("cells", "given"),
    [
        ([CELL, "# Parameters\nwidth = 3", "ask()"], {"width": 3}),
        ([CELL, "# Parameters\nwidth = 3", CELL, "# Parameters\nwidth = 4", "ask()"], {"width": 4}),
        ([CELL, "ask()"], {}),
    ],
    ids=["changed and not saved", "run again", "left out"],
)
def test_by_hand_the_injected_cell_of_an_executed_notebook_counts_as_it_ran(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str], given: dict[str, Any]
) -> None:
    injected = nbformat.v4.new_code_cell(
        "# Parameters\nwidth = 2", metadata={"tags": ["injected-parameters"]}
    )
    write_notebook(tmp_path / "a.ipynb", ["x = 1"], parameters=CELL)
    notebook = nbformat.read(tmp_path / "a.ipynb", 4)
    notebook.cells.insert(1, injected)
    nbformat.write(notebook, tmp_path / "a.ipynb")
    monkeypatch.setattr(started, "how_started", lambda: Start(started.JUPYTERLAB))
    found = kernel(*cells, file=tmp_path / "a.ipynb")
    assert (found.parameters["width"], found.parameters_given) == (given.get("width", 2), given)


def test_without_a_file_and_an_injected_cell_nothing_is_guessed(kernel: Any, tmp_path: Path) -> None:
    assert kernel("# Parameters\nwidth = 2", "ask()") == Parameters()
    assert kernel("width = 2", "ask()", file=tmp_path / "no.ipynb") == Parameters()


def test_outside_of_a_notebook_there_are_none() -> None:
    assert parameters_now(None, None) == Parameters()


# Settings of a model


class Optimizer:
    def __init__(self, rate: float) -> None:
        self.rate = rate


def model(  # noqa: PLR0913
    sizes: Any,
    *,
    net: Any = None,
    rate: float = 0.5,
    flag: bool = False,
    ml_instance: Any = None,
    execution: Any = None,
) -> None:
    """A model function."""


def test_every_setting_of_a_model_has_its_own_type() -> None:
    bound = functools.partial(
        model, OmegaConf.create([1, [2]]), net=OmegaConf.create({"a": {"b": [1, None]}}), flag=True
    )
    assert settings_of(bound, {}) == {
        "sizes": [1, [2]],
        "net": {"a": {"b": [1, None]}},
        "rate": 0.5,
        "flag": True,
    }


def test_an_object_is_recorded_as_its_configuration_makes_it() -> None:
    made = {"_target_": "optimizers.Optimizer", "rate": 0.1}
    one = functools.partial(model, sizes=[Optimizer(0.1)], net=Optimizer(0.1))
    assert settings_of(one, {"net": made, "sizes": [made]}) == {
        "sizes": [made],
        "net": made,
        "rate": 0.5,
        "flag": False,
    }
    assert settings_of(one, {})["net"] == f"<{__name__}.Optimizer object>"


def test_defaults_of_a_function_behind_a_decorator_count_too() -> None:
    @functools.wraps(model)
    def wrapped(*arguments: Any, **settings: Any) -> None:
        model(*arguments, **settings)

    assert settings_of(functools.partial(wrapped, sizes=1), {}) == {
        "sizes": 1,
        "net": None,
        "rate": 0.5,
        "flag": False,
    }


@pytest.mark.parametrize(
    ("overrides", "given"),
    [
        (["model_config.rate=1", "+model_config.decay=2", "++model_config.rate=3"], ["rate", "decay"]),
        (["model_config=big", "~model_config.rate"], []),
        (["model_config.rate=1", "~model_config.rate=1"], []),
        (["~model_config.rate", "+model_config.rate=2"], ["rate"]),
        (["~model_config.net.depth"], ["net"]),
    ],
)
def test_a_setting_that_an_override_takes_away_is_not_given(overrides: list[str], given: list[str]) -> None:
    """The function's own default stands for it; one of which only a part is taken away is what was asked for."""
    assert set_by(overrides) == given
