"""Parameters cells that tests write, and what arrives in the kernel of what is given to them."""

from __future__ import annotations

from typing import Any

from deriva_ml.notebook.parameters import Parameter, Value, parameters_of, resolve

IMPORTS = """
import decimal, pathlib, uuid
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from uuid import UUID
"""


def notebook(
    source: str | list[str],
    cell_type: str = "code",
    tags: tuple[str, ...] = ("parameters",),
    before: str = "import os",
) -> dict[str, Any]:
    """A notebook whose second cell is tagged."""
    cells = [
        {"cell_type": "code", "metadata": {}, "source": before, "outputs": []},
        {"cell_type": cell_type, "metadata": {"tags": list(tags)}, "source": source, "outputs": []},
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}


def declared(source: str, before: str = IMPORTS) -> list[Parameter]:
    """The parameters of a notebook whose tagged cell holds `source`, and the one above it `before`."""
    parameters = parameters_of(notebook(source, before=before))
    assert parameters is not None
    return parameters


def arrived(values: dict[str, Value], before: str = IMPORTS) -> dict[str, Any]:
    """What the injected cell makes of values, after a cell with `before`."""
    namespace: dict[str, Any] = {}
    exec(before, namespace)
    for name, value in values.items():
        assert "\n" not in value.source
        exec(f"{name} = {value.source}", namespace)
    return {name: namespace[name] for name in values}


def given(source: str, text: str, before: str = IMPORTS) -> Value:
    """What ``-p x TEXT`` gives to the parameter x that `source` declares."""
    return resolve(declared(source, before), {}, [("x", text)])["x"]


def flag(source: str, text: str, before: str = IMPORTS) -> Any:
    """The value of x in the kernel after ``-p x TEXT``, if `source` declares x."""
    return arrived({"x": given(source, text, before)}, before)["x"]


def in_file(source: str, value: Any, before: str = IMPORTS) -> Any:
    """The value of x in the kernel after a parameter file with ``x: VALUE``, if `source` declares x."""
    return arrived(resolve(declared(source, before), {"x": value}, []), before)["x"]
