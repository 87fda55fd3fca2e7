"""Before a recorded run, its notebook is checked: a line says what was found, and ``--strict`` refuses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

import deriva_ml.cli.run_notebook as run_notebook
from check.conftest import Checkable
from deriva_ml.execution.notebook_runner import Request
from deriva_ml.notebook.execute import Outcome

GOOD = (
    "from deriva_ml.execution import run_notebook",
    {"source": "limit: int = 3", "metadata": {"tags": ["parameters"]}},
    "ml, execution, config = run_notebook()",
    "print(limit)",
    "execution.commit_output_assets()",
)
Run = Callable[..., tuple[int, str, bool]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("a.ipynb")``: the command's status, what it said, and whether it came to run the notebook."""
    begun: list[bool] = []

    def pretend(request: Request, _: object) -> SimpleNamespace:
        begun.append(True)
        request.begun()
        return SimpleNamespace(outcome=Outcome.completed)

    monkeypatch.setattr("deriva_ml.execution.notebook_runner.record_notebook", pretend)
    monkeypatch.setattr(run_notebook, "_print_end", lambda *_: True)
    monkeypatch.setattr("deriva_ml.execution.recovery.recover_project", lambda project: None)

    def call(*arguments: str) -> tuple[int, str, bool]:
        begun.clear()
        status = run_notebook.main(list(arguments))
        return status, capsys.readouterr().err, bool(begun)

    return call


def test_nothing_is_said_of_a_good_notebook(project: Checkable, run: Run) -> None:
    """With or without ``--strict``."""
    project.notebook("notebooks/a.ipynb", *GOOD)
    assert run("notebooks/a.ipynb") == (0, "", True)
    assert run("notebooks/a.ipynb", "--strict") == (0, "", True)


def test_what_is_found_is_one_line(project: Checkable, run: Run) -> None:
    """With the codes and the command that says where, which is typed as it stands; the run goes on."""
    project.notebook("notebooks/a b.ipynb", *GOOD, "x = = 1", "y = = 2")
    status, err, begun = run("notebooks/a b.ipynb")
    assert (status, begun) == (0, True)
    assert err == (
        "check: 2 findings in notebooks/a b.ipynb (DML901): 'deriva-ml-check 'notebooks/a b.ipynb'' says where\n"
    )


def test_strict_refuses(project: Checkable, run: Run) -> None:
    """As a wrong request, before anything runs."""
    project.notebook("notebooks/a.ipynb", *GOOD, "x = = 1")
    status, err, begun = run("notebooks/a.ipynb", "--strict")
    assert (status, begun) == (2, False)
    assert err == (
        "error: not run, because of 1 finding in notebooks/a.ipynb (DML901):"
        " 'deriva-ml-check notebooks/a.ipynb' says where\n"
    )


def test_settings_and_comments_hold(project: Checkable, run: Run) -> None:
    """What is silenced is not said; advice never is."""
    project.notebook(
        "notebooks/a.ipynb", *GOOD, "x = = 1  # noqa: DML901", "import time", "print(time.time())"
    )
    assert run("notebooks/a.ipynb", "--strict") == (0, "", True)
    project.notebook("notebooks/a.ipynb", *GOOD, "x = = 1")
    project.write("pyproject.toml", '[tool.deriva-ml.check]\nignore = ["DML9"]\n')
    assert run("notebooks/a.ipynb", "--strict") == (0, "", True)


def test_a_fault_of_the_check_stops_no_run(
    project: Checkable, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning names the rule; with ``--strict`` it is an error, since nobody knows then."""
    from deriva_ml.check.catalogue import RULES
    from deriva_ml.check.rule import Kind, Rule

    def wrong(_: object) -> object:
        raise KeyError("x")

    broken = Rule("DML999", "broken", wrong, Kind.notebook, False, False, False, "")  # type: ignore[arg-type]
    monkeypatch.setitem(RULES, "DML999", broken)
    project.notebook("notebooks/a.ipynb", *GOOD)
    status, err, begun = run("notebooks/a.ipynb")
    assert (status, begun) == (0, True)
    assert err.startswith(
        "warning: notebooks/a.ipynb could not be checked: a fault in DML999 (KeyError: 'x')"
    )
    status, err, begun = run("notebooks/a.ipynb", "--strict")
    assert (status, begun) == (1, False) and "DML999" in err


def test_wrong_settings_stop_no_run(project: Checkable, run: Run) -> None:
    """They are a warning, too."""
    project.write("pyproject.toml", "[tool.deriva-ml.check]\nwrong = 3\n")
    project.notebook("notebooks/a.ipynb", *GOOD)
    status, err, begun = run("notebooks/a.ipynb")
    assert (status, begun) == (0, True) and err.startswith("warning: [tool.deriva-ml.check]")
    assert run("notebooks/a.ipynb", "--strict")[0] == 2


def test_it_costs_little(project: Checkable, run: Run) -> None:
    """A notebook of usual size is checked in milliseconds, and loads nothing that takes long."""
    project.notebook(
        "notebooks/a.ipynb", *GOOD, *[f"value_{n} = [limit + k for k in range({n})]" for n in range(20)]
    )
    run("notebooks/a.ipynb")
    before = {*sys.modules}
    begun = time.process_time()
    run("notebooks/a.ipynb")
    assert time.process_time() - begun < 0.2
    assert not {"IPython", "hydra", "papermill"} & ({*sys.modules} - before)
