"""Cells are read as IPython takes them, and IPython is loaded only where it has to be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from check.conftest import Checkable
from conftest import SOURCE
from deriva_ml.check.source import Cell, read_source

IPYTHONS = {
    "magic": "%matplotlib inline\nimport os\n",
    "magic without arguments": "%who\nx = 1",
    "blanks at the end": "%matplotlib inline  \n!ls -l \nx = 1",
    "magic with quotes": "%config InlineBackend.figure_format = 'retina'\nx = 1",
    "shell": "!ls {x} 'a'\nx = 1",
    "shell twice": "!!ls\nx = 1",
    "indented": "for i in range(3):\n    !echo $i\n    %timeit i",
    "assigned": "files = !ls\nplace = %pwd",
    "help": "print?\nx = 1",
    "continued": "!ls \\\n  -l\nx = 1",
    "in a text": '!ls\nx = """\n%who\n"""',
    "all indented": "    x = 1\n    y = 2",
    "quoted call": ",print a b\nx = 1",
    "remainder over lines": "!ls\nx = (7\n     % 4)",
    "shell after a line of blanks": "\n\n!ls\nx = 1",
    "prompts": ">>> x = 1\n>>> y = 2",
}


def read(project: Checkable, *cells: str) -> list[Cell]:
    return read_source(project.notebook("notebooks/a.ipynb", *cells), project.path).cells


@pytest.mark.parametrize("name", IPYTHONS)
def test_a_cell_is_what_ipython_makes_of_it(project: Checkable, name: str) -> None:
    """Its syntax is the same, and each line keeps its number."""
    text = IPYTHONS[name]
    [cell] = read(project, text)
    assert cell.tree and not cell.error
    manager = TransformerManager()
    expected = ast.parse(manager.transform_cell(text.lstrip("\n")))
    assert ast.dump(cell.tree) == ast.dump(expected)
    blank = len(text) - len(text.lstrip("\n"))
    assert [one.lineno for one in cell.tree.body] == [one.lineno + blank for one in expected.body]


@pytest.mark.parametrize(
    "text", ["pip install numpy", "ls -l", "cd ..", "pwd", "conda install -y x", "!pip list"]
)
def test_a_lone_line_may_be_a_magic(project: Checkable, text: str) -> None:
    """IPython takes it for one where a cell has nothing else, and no variable has the name."""
    [cell] = read(project, text)
    assert "get_ipython()" in cell.python


@pytest.mark.parametrize(
    "text", ["ls", "time", "run = 3", "time(3)", "who.name", "who, cares = 1, 2", "time == 3"]
)
def test_a_lone_name_may_be_a_variable(project: Checkable, text: str) -> None:
    """It is, if the notebook gives it a value anywhere, or here."""
    *_, cell = read(project, "ls = 3\nfrom time import time\nclass who: name = ''", text)
    assert cell.python == text and not cell.error


def test_cell_magics_are_told_from_what_they_run(project: Checkable) -> None:
    """Those of the shell hold no Python; one that times or captures holds what stands below it, where it stands."""
    shell, timed, captured, both = read(
        project,
        "%%bash\nls | wc",
        "%%time\nx = 1",
        "%%capture --no-stderr out\nx = 1",
        "%%time\n%%capture\nx = 1",
    )
    assert (shell.magic, shell.tree, shell.error) == ("bash", None, None)
    assert timed.tree and timed.tree.body[0].lineno == 2
    assert captured.tree and [type(one).__name__ for one in captured.tree.body] == ["Assign", "Assign"]
    assert "out" in captured.python
    assert both.tree and both.tree.body[0].lineno == 3


def test_a_timed_statement_is_the_notebooks_own(project: Checkable) -> None:
    """What ``%time`` sets is set."""
    [cell] = read(project, "%time x = sum(range(3))")
    assert cell.python == "x = sum(range(3))"


@pytest.mark.parametrize(
    ("text", "line"),
    [("x = 1\ndef f(:\n    pass", 2), ("%who\nx = = 1", 2), ("x = '", 1), ("print 'hello'", 1), ("a\0b", 1)],
)
def test_a_syntax_error_has_its_line(project: Checkable, text: str, line: int) -> None:
    """Whatever is wrong with a cell, it says where, and nothing is raised."""
    [cell] = read(project, text)
    assert cell.tree is None and cell.error
    assert (cell.error.lineno or 1) == line


def test_a_cell_nested_too_deeply_is_an_error_of_its_own(project: Checkable) -> None:
    """Python gives up on it, and the others are read."""
    deep, other = read(project, "x = " + "(" * 5000 + "1" + ")" * 5000, "y = 1")
    assert deep.error and other.tree


def test_another_language_has_no_syntax(project: Checkable) -> None:
    """Cells of a notebook in R are no errors."""
    path = project.notebook("a.ipynb", "x <- function(a) a", kernelspec={"name": "ir", "language": "R"})
    source = read_source(path, project.path)
    assert source.language == "R"
    assert [(cell.tree, cell.error) for cell in source.cells] == [(None, None)]


def test_the_walk_meets_what_python_has(project: Checkable) -> None:
    """Every node but contexts and operators, as Python's own walk finds them; in modules of the runner, too."""
    left_out = ast.expr_context | ast.operator | ast.unaryop | ast.cmpop | ast.boolop
    for path in [
        *(SOURCE / "deriva_ml" / "notebook").glob("*.py"),
        *(SOURCE / "deriva_ml" / "check").glob("*.py"),
    ]:
        [cell] = read_source(path, project.path).cells
        assert cell.tree
        expected = [one for one in ast.walk(cell.tree) if not isinstance(one, left_out)]
        found = [one for nodes in cell.by_type.values() for one in nodes]
        assert {*map(id, found)} == {*map(id, expected)} and len(found) == len(expected)


def test_plain_cells_do_without_ipython(project: Checkable) -> None:
    """Checking a notebook of plain Python and of usual magics loads none of what takes long to load."""
    path = project.notebook("notebooks/a.ipynb", "import numpy", "%matplotlib inline\n!ls", "x = 1")
    program = (
        "import sys; from pathlib import Path; from deriva_ml.check.checking import Checker;"
        " Checker().check(Path(sys.argv[1]));"
        " print({'IPython', 'hydra', 'nbformat', 'pydantic', 'numpy'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(SOURCE)})
    assert done.stdout.strip() == "set()", done.stderr


def test_names_are_resolved_by_their_imports(project: Checkable, tmp_path: Path) -> None:
    """``np.random.rand`` is numpy's, whatever it is called."""
    path = project.notebook(
        "a.ipynb",
        "import numpy as np\nfrom numpy.random import rand as r\nimport os.path",
        "np.random.rand()\nr()\nx.y()\nos.path.join()",
    )
    source = read_source(path, project.path)
    calls = [source.resolve(call.func) for call in source.cells[1].nodes(ast.Call)]
    assert calls == ["numpy.random.rand", "numpy.random.rand", "", "os.path.join"]
