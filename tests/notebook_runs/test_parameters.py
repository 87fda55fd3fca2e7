"""What is given to a notebook is what its cells see, and what its record says."""

from __future__ import annotations

import json

import nbformat

from conftest import ProjectFolder
from notebook_runs.runs import committed, contents, latest, run
from notebooks import COMMIT, START, outputs_text

IMPORTS = """%matplotlib inline
import datetime as dt
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Literal
from uuid import UUID

from configs.kinds import Kind


class Mode(Enum):
    fast = "fast"
    full = "full"
"""
DECLARED = """classes: set[int] = {1, 2}
size: tuple[int, int] = (2, 3)
day: date = date(2024, 1, 1)
at: dt.datetime = dt.datetime(2024, 1, 1)
wait: dt.timedelta = dt.timedelta(0)
data: Path = Path("data")
files: list[Path] = []
days: dict[str, date] = {}
mode: Mode = Mode.fast
modes: set[Mode] = set()
kind: Kind = Kind.small
price: Decimal = Decimal("1.10")
level: Literal["low", "high"] = "low"
key: UUID | None = None
rate: float = 0.1
note: str = ""
api_token: str = ""
area = price * 2
"""
GIVEN = {
    "classes": "[1, 1, 2]",
    "size": "[4, 5]",
    "day": "2024-02-03",
    "at": "2024-02-03T10:00:00+02:00",
    "wait": "PT90S",
    "data": "other",
    "files": '["a", "b"]',
    "days": '{"first": "2024-02-03"}',
    "mode": "full",
    "modes": '["fast", "fast"]',
    "kind": "large",
    "price": "2.50",
    "level": "high",
    "key": "12345678123456781234567812345678",
    "rate": "-1e-3",
    "note": "--inspect",
    "api_token": "abc123",
}
CHECKS = """
assert classes == {1, 2} and type(classes) is set
assert size == (4, 5) and type(size) is tuple
assert day.year == 2024 and type(day) is date
assert at.utcoffset() == dt.timedelta(hours=2) and wait == dt.timedelta(minutes=1.5)
assert data / "x.csv" == Path("other/x.csv") and files == [Path("a"), Path("b")]
assert days == {"first": date(2024, 2, 3)}
assert mode is Mode.full and modes == {Mode.fast} and kind is Kind.large
assert str(price) == "2.50" and level == "high" and key == UUID(GIVEN_KEY)
assert rate == -0.001 and note == "--inspect" and api_token[::-1] == "321cba"
print("all are what was declared")
""".replace("GIVEN_KEY", repr(GIVEN["key"]))


def test_every_declared_type_arrives_and_is_recorded(project: ProjectFolder) -> None:
    kinds = "from enum import Enum\n\n\nclass Kind(Enum):\n    small = 1\n    large = 2\n"
    (project / "src" / "configs" / "kinds.py").write_text(kinds)
    path = committed(project, "typed.ipynb", START, CHECKS, COMMIT, parameters=DECLARED, before=IMPORTS)
    done = run(project, path, *(word for name, text in GIVEN.items() for word in ("-p", name, text)))
    assert done.rc == 0, done.text
    assert done.err == (
        "warning: area: computed in the parameters cell from the default of price,"
        " before the value that is given gets there: give that, too, or compute it in a cell below\n"
        "check: 2 findings in notebooks/typed.ipynb (DML107, DML108): 'deriva-ml-check notebooks/typed.ipynb' says where\n"
    )
    record = latest(project)
    assert "all are what was declared" in outputs_text(
        project / "outputs" / record["execution"] / "typed.ipynb"
    )
    executed = nbformat.reads(contents(record)["typed.ipynb"].decode(), 4)
    [injected] = [cell for cell in executed.cells if "injected-parameters" in cell.metadata.tags]
    assert executed.cells.index(injected) == 2
    lines = injected.source.splitlines()
    assert lines[:4] == ["# Parameters", "classes = {1, 2}", "size = (4, 5)", "day = date(2024, 2, 3)"]
    assert "mode = Mode.full" in lines and 'api_token = "***"' in lines
    recorded = executed.metadata.papermill.parameters
    assert json.loads(json.dumps(recorded)) == recorded
    assert (recorded["classes"], recorded["day"], recorded["mode"]) == ([1, 2], "2024-02-03", "full")
    assert (recorded["price"], recorded["wait"], recorded["api_token"]) == ("2.50", "PT1M30S", "***")
    assert "abc123" not in contents(record)["typed.ipynb"].decode() + contents(record)["typed.md"].decode()

    wrong = run(project, path, "-p", "mode", "nonsense")
    assert (wrong.rc, wrong.err) == (
        2,
        "error: parameter 'mode' takes Mode, not 'nonsense' (from -p): its members are fast, full\n",
    )
    unchecked = run(project, path, "-p", "api_token", "abc123", "-p", "kind", "nonsense")
    reason = "parameter 'kind' cannot be what was given: ValueError: 'nonsense' is not a valid Kind"
    checked, ended, *_ = unchecked.err.splitlines()
    assert checked.startswith("check: 2 findings in notebooks/typed.ipynb")
    assert (unchecked.rc, ended) == (1, f"error: {reason}")
    failed = latest(project)
    assert (failed["status"], failed["reason"]) == ("Failed", reason)
    assert "abc123" not in contents(failed)["typed.ipynb"].decode() + contents(failed)["typed.md"].decode()


def test_an_executed_notebook_runs_with_its_own_values_and_what_is_given_now(project: ProjectFolder) -> None:
    path = committed(
        project, "again.ipynb", START, "print('a', a, 'n', n)", COMMIT, parameters="a: int = 1\nn: int = 2"
    )
    first = run(project, path, "-p", "a", "5")
    assert first.rc == 0, first.err
    kept = contents(latest(project))["again.ipynb"]
    assert b"a = 5" in kept
    (project / path).write_bytes(kept)
    project.git("commit", "--allow-empty", "-qam", "Keep the executed notebook")
    left_out = f"warning: {path} was executed before: the cell that set parameters then is left out (a = 5)\n"

    seen = run(project, path, "--inspect")
    assert (seen.rc, seen.err) == (0, left_out)
    assert seen.out.split()[4:10] == ["a", "int", "1", "n", "int", "2"]

    for given, printed, lines in ([], "a 1 n 2", []), (["-p", "n", "3"], "a 1 n 3", ["n = 3"]):
        done = run(project, path, *given)
        assert (done.rc, done.err) == (0, left_out)
        record = latest(project)
        executed = nbformat.reads(contents(record)["again.ipynb"].decode(), 4)
        assert printed in outputs_text(project / "outputs" / record["execution"] / "again.ipynb")
        injected = [cell.source for cell in executed.cells if "injected-parameters" in cell.metadata.tags]
        assert [line for source in injected for line in source.splitlines()[1:]] == lines
        assert executed.metadata.papermill.parameters == ({"n": 3} if given else {})
