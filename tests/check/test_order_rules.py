"""The order of cells: which names are found missing, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from check.planted import code, places, planted

BOTH = ["DML401", "DML402"]


@pytest.mark.parametrize(
    ("cells", "where", "word"),
    [
        (["print(x)", "x = 1"], (1, 1), "cell 2"),
        (["print(x)\nx = 1"], (1, 1), "a line below in this cell"),
        (["x = x + 1"], (1, 1), "a line below"),
        (["x += 1"], (1, 1), "a line below"),
        (["rows = (\n    rows.dropna()\n)"], (1, 2), "a line below"),
        (["def f():\n    x = 1", "print(x)", "x = 2"], (2, 1), "cell 3"),
        (["[x for x in range(3)]", "print(x)", "x = 2"], (2, 1), "cell 3"),
        (["class A:\n    x = 1", "print(x)", "x = 2"], (2, 1), "cell 3"),
        (["def f(a=limit):\n    pass", "limit = 1"], (1, 1), "cell 2"),
        (["@cache\ndef f():\n    pass", "from functools import cache"], (1, 1), "cell 2"),
        (["class A(Base):\n    pass", "class Base:\n    pass"], (1, 1), "cell 2"),
        (["for row in rows:\n    print(row)", "rows = []"], (1, 1), "cell 2"),
        (["print(f'{x:.2f}')", "x = 1"], (1, 1), "cell 2"),
        (["try:\n    print(x)\nexcept ValueError:\n    pass", "x = 1"], (1, 2), "cell 2"),
        (["%matplotlib inline\nprint(x)", "x = 1"], (1, 2), "cell 2"),
        (["%%time\nprint(x)", "x = 1"], (1, 2), "cell 2"),
        (["%load_ext autoreload", "print(x)", "x = 1"], (2, 1), "cell 3"),
    ],
)
def test_a_name_above_its_definition_is_found(
    tmp_path: Path, cells: list[str], where: tuple[int, int], word: str
) -> None:
    [found] = planted(tmp_path, *cells, rules=["DML401"])
    assert places([found]) == [where] and word in found.message


def test_a_call_of_a_function_that_needs_what_is_defined_below(tmp_path: Path) -> None:
    cells = ["def f():\n    return g() + 1", "f()", "def g():\n    return limit", "limit = 1"]
    [found] = planted(tmp_path, *cells, rules=["DML401"])
    assert places([found]) == [(2, 1)] and "f() needs 'g', which cell 3" in found.message


@pytest.mark.parametrize(
    "cell",
    [
        "print(x)",
        "if len([]):\n    print(x)",
        "def f():\n    return x",
        "lambda: x",
        "[x for _ in range(3)]",
        "a = b = x.y[0]",
    ],
)
def test_a_name_that_no_cell_defines_is_found(tmp_path: Path, cell: str) -> None:
    [found] = planted(tmp_path, "import os", cell, rules=BOTH)
    assert found.code == "DML402" and found.cell == 2 and "'x'" in found.message


def test_a_name_is_found_once(tmp_path: Path) -> None:
    assert len(planted(tmp_path, "print(x)\nprint(x)", "x", rules=BOTH)) == 1


NOTHING_IS_MISSING: list[list[Any]] = [
    ["def f():\n    return x", "x = 1", "f()"],
    ["def f():\n    return g()", "def g():\n    return 1", "f()"],
    ["def f(flag):\n    if flag:\n        return x", "f(False)", "x = 1"],
    ["def f():\n    return 1\n    return x", "f()", "x = 1"],
    ["if len([]) > 1:\n    print(x)", "x = 1"],
    ["print(x if len([]) else 0)", "x = 1"],
    ["def f():\n    return 1\n    return nothing"],
    ["for i in []:\n    break\nelse:\n    x = 1", "print(x)"],
    ["def f(a, /, b, *c, d=1, **e):\n    return a, b, c, d, e", "f(1, 2)"],
    ["f = lambda a, *b: (a, b)"],
    ["from numpy import *", "array([1])"],
    ["%pylab inline", "plot(rand(3))"],
    ["%run setup.py", "helper()"],
    ["%load_ext sage", "factor(3)"],
    ["%store -r model", "model.fit()"],
    ["files = !ls", "print(files)"],
    ["here = %pwd", "print(here)"],
    ["%%capture out\nprint(1)", "out.show()"],
    ["%%capture out --no-stderr\nprint(1)", "out.show()"],
    ["%%time\nx = 1", "print(x)"],
    ["%time x = 1", "print(x)"],
    ["%%timeit x = 1\nx + 1", "%%timeit -n 10 -r3 -o x = 1\nx + 1", "%%timeit\n1 + 1"],
    ["%%bash --out listing\nls", "print(listing)"],
    ["%%R -o frame\nframe <- 1", "print(frame)"],
    ["%%sql result <<\nselect 1", "print(result)"],
    ["%%writefile helper.py\ndef helper(): pass", "from helper import helper", "helper()"],
    ["exec('x = 1')", "print(x)"],
    ["globals()['x'] = 1", "print(x)"],
    ["globals().update({'x': 1})", "print(x)"],
    ["if 'x' not in globals():\n    x = 1", "print(x)"],
    ["try:\n    x\nexcept NameError:\n    x = 1", "print(x)"],
    ["try:\n    import ujson as json\nexcept ImportError:\n    import json", "json.dumps(1)"],
    ["import sympy", "sympy.var('x y')", "print(x + y)"],
    ["from sympy import init_session", "init_session()", "print(x)"],
    ["get_ipython().user_ns['x'] = 1", "print(x)"],
    ["In[1], Out, _, __, _1, _i2, _ih, exit, quit, display, get_ipython, __name__, __doc__"],
    ["x = 1", "del x", "x = 2", "print(x)"],
    ["for x in range(3):\n    pass", "print(x)"],
    ["for i in range(3):\n    if i:\n        print(last)\n    last = i"],
    ["with open('a') as stream:\n    pass", "stream"],
    ["try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    print(error)"],
    ["if (n := 3) > 2:\n    print(n)", "print(n)"],
    ["print([last := i for i in range(3)])", "print(last)"],
    [
        "match [1, 2]:\n    case [a, *b]:\n        print(a, b)\n    case {'k': c, **d} as e:\n        print(c, d, e)"
    ],
    ["def f():\n    global x\n    x = 1", "f()", "print(x)"],
    ["def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    return g"],
    ["if True:\n    x = 1\nelse:\n    x = 2", "print(x)"],
    ["class A:\n    size = 3\n    both = [size, size]\n    def f(self):\n        return __class__, A, self"],
    ["class A:\n    def f(self) -> B:\n        return B()", "class B:\n    pass"],
    ["{k: v for k, v in {}.items() if v}", "[a for b in [[1]] for a in b]", "sum(x for x in [1])"],
    ["a, (b, *c) = 1, (2, 3)", "print(a, b, c)"],
    ["import os.path, numpy as np", "print(os, np)"],
    ["import asyncio\nawait asyncio.sleep(0)"],
    ["async def f():\n    async with a as b:\n        async for c in b:\n            print(c)", "a = 1"],
    ["x: int", "x = 1", "print(x)"],
    [code("limit: int", "parameters"), "print(limit)"],
    [code("print(x)", "raises-exception")],
    [code("print(x)", "skip-execution")],
    ["print x", "x"],
    ["import sys\nif sys.version_info < (3,):\n    range = xrange"],
    ["spark.sql('select 1')", "dbutils.fs"],
    ["len?", "help(len)"],
    ["x = 1\ndef f():\n    return x\nprint(f())"],
    [
        "from __future__ import annotations\ndef f(a: Undefined = 1) -> int:\n    return a\nclass Undefined: pass"
    ],
]


@pytest.mark.parametrize("cells", NOTHING_IS_MISSING, ids=lambda cells: str(cells[0])[:40])
def test_nothing_is_missing(tmp_path: Path, cells: list[Any]) -> None:
    assert not planted(tmp_path, *cells, rules=BOTH)


def test_the_first_look_misses_nothing_that_reading_step_by_step_finds() -> None:
    """A cell for which the first look has an answer sets what it says, and reads nothing else."""
    import ast

    from deriva_ml.check.glance import glance
    from deriva_ml.check.names import steps_of
    from deriva_ml.check.source import Cell

    answered = 0
    for cells in NOTHING_IS_MISSING:
        for text in cells:
            text = text if isinstance(text, str) else text["source"]
            try:
                cell = Cell(1, text, text, ast.parse(text))
            except SyntaxError:
                continue
            sets = glance(cell, set())
            if sets is not None:
                answered += 1
                steps = steps_of(cell)
                assert sets == {one.name for one in steps if one.kind in {"set", "define"}}
                assert {one.name for one in steps if one.kind in {"read", "late"}} <= sets
    assert answered > 10
