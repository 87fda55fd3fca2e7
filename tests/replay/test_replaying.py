"""An execution that is replayed runs what its record says, and the verdict is the truth."""

from __future__ import annotations

import json
from pathlib import Path

from replay.conftest import Lab, verdicts

TYPES = """
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
class Mode(Enum):
    fast = 1
    slow = 2
"""
PARAMETERS = """
from typing import Any
count: int = 1
rate: float = 0.5
name: str = "x"
when: datetime = datetime(2024, 1, 1)
where: Path = Path("a")
mode: str | None = "m"
sizes: list[int] = [1]
pair: tuple[int, ...] = (1, 2)
price: Decimal = Decimal("1.10")
anything: Any = None
"""
SHOWN = "write('values.txt', [count, rate, name, when, where, mode, sizes, pair, price, anything])"


def test_parameters_are_what_they_were(lab: Lab, tmp_path: Path) -> None:
    """Of whatever type, from the command line or from a file."""
    path = lab.notebook("typed", [SHOWN], f"{TYPES}{PARAMETERS}")
    values = {
        "rate": 1e-300,
        "sizes": [3, 4],
        "when": "2024-02-29T10:30:00.000001",
        "price": "0.10",
        "mode": None,
    }
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    given = [
        "-p",
        "count",
        "-7",
        "-p",
        "name",
        "é 'x' \"y\" $HOME",
        "-p",
        "where",
        "/tmp/../b",
        "-p",
        "pair",
        "(5, 6)",
    ]
    rid = lab.run_notebook(path, "--file", str(file), *given, "-p", "anything", "(1, {'a': [2.5, None]})")
    report = lab.replay(rid)
    assert report["verdict"] == "identical", report
    assert verdicts(report) == {"typed.ipynb": "identical", "values.txt": "identical"}
    assert report["parameters"]["anything"] == [1, {"a": [2.5, None]}]
