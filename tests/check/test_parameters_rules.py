"""The parameters cell: what is found of it, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from check.planted import code, markdown, parameters, places, planted

IMPORTS = "import json\nimport numpy as np"
USE = "print(limit)"


class TestMissing:
    """DML101."""

    def test_a_notebook_without_the_tag_is_found_at_its_first_code_cell(self, tmp_path: Path) -> None:
        found = planted(tmp_path, markdown("# Title"), IMPORTS, "rows = load()", rules=["DML101"])
        assert places(found) == [(2, 1)]

    def test_the_cell_that_looks_like_it_is_named(self, tmp_path: Path) -> None:
        [found] = planted(tmp_path, IMPORTS, "limit = 10", USE, rules=["DML101"])
        assert found.cell == 2 and "--fix" in found.message

    def test_a_tag_on_a_cell_of_text_is_none(self, tmp_path: Path) -> None:
        [found] = planted(tmp_path, IMPORTS, markdown("limit = 10", "parameters"), USE, rules=["DML101"])
        assert found.cell == 2 and "markdown" in found.message

    @pytest.mark.parametrize("cells", [(), (markdown("# Only text"),), ("", "  \n")])
    def test_a_notebook_without_code_needs_none(self, tmp_path: Path, cells: tuple[str, ...]) -> None:
        assert not planted(tmp_path, *cells, rules=["DML101"])

    def test_the_tag_among_others_is_enough(self, tmp_path: Path) -> None:
        assert not planted(tmp_path, code("limit = 1", "a", "parameters", "b"), USE, rules=["DML101"])

    def test_a_comment_in_the_first_cell_silences_it(self, tmp_path: Path) -> None:
        assert not planted(tmp_path, f"# noqa: DML101\n{IMPORTS}", USE, rules=["DML101"])


class TestTwice:
    """DML102."""

    def test_each_further_cell_is_found(self, tmp_path: Path) -> None:
        found = planted(
            tmp_path, parameters("a = 1"), parameters("b = 2"), "1", parameters("c = 3"), rules=["DML102"]
        )
        assert places(found) == [(2, 1), (4, 1)]

    def test_one_is_as_it_should_be_and_so_is_the_injected_one(self, tmp_path: Path) -> None:
        assert not planted(
            tmp_path, parameters("a = 1"), code("a = 2", "injected-parameters"), rules=["DML102"]
        )


class TestMisplaced:
    """DML103."""

    @pytest.mark.parametrize(
        "above",
        [
            "rows = json.load(open('x'))",
            "def clean(rows):\n    return rows",
            "class Model:\n    pass",
            "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook()",
            "for i in range(3):\n    print(i)",
            "threshold = 3",
            "import pandas as pd\nframe = pd.read_csv('x.csv')",
            "files = !ls",
            "with open('x') as file:\n    text = file.read()",
            "if True:\n    started = now()",
        ],
    )
    def test_code_above_it_is_found(self, tmp_path: Path, above: str) -> None:
        found = planted(tmp_path, IMPORTS, above, parameters("limit = 10"), USE, rules=["DML103"])
        assert places(found) == [(3, 1)] and "cell 2" in found[0].message

    def test_imports_right_below_it_are_found(self, tmp_path: Path) -> None:
        found = planted(tmp_path, parameters("limit = 10"), markdown("Text"), IMPORTS, USE, rules=["DML103"])
        assert places(found) == [(1, 1)] and "cell 3" in found[0].message

    @pytest.mark.parametrize(
        "above",
        [
            "",
            "# nothing",
            "%load_ext autoreload\n%autoreload 2",
            "%matplotlib inline",
            "%%html\n<b>Title</b>",
            "!pip list",
            "np.random.seed(1)",
            "np.set_printoptions(precision=3)",
            "import warnings\nwarnings.filterwarnings('ignore')",
            "import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 100\nplt.style.use('ggplot')",
            "import logging\nlogger = logging.getLogger(__name__)\nlogging.basicConfig()",
            "try:\n    import cupy\nexcept ImportError:\n    cupy = None",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas",
            "'''What the notebook is for.'''",
            "print(np.__version__)",
            "np.__version__, json.__version__",
            "_ = np.seterr(all='raise')",
            "import tensorflow as tf\ntf.get_logger().setLevel('ERROR')",
            "%config InlineBackend.figure_format = 'retina'",
            "import sys\nassert sys.version_info >= (3, 11)",
            "import sys\nsys.path.insert(0, '..')",
            "with warnings.catch_warnings():\n    import tensorflow",
            "this is no python (",
        ],
    )
    def test_imports_and_settings_may_stand_above_it(self, tmp_path: Path, above: str) -> None:
        cells = [IMPORTS, markdown("Text"), above, parameters("limit = 10"), USE]
        assert not planted(tmp_path, *cells, rules=["DML103"])

    @pytest.mark.parametrize(
        ("above", "cell"),
        [
            (
                "from enum import Enum\nclass Mode(Enum):\n    fast = 1\n    slow = 2",
                "mode: Mode = Mode.fast",
            ),
            ("Size = tuple[int, int]", "size: Size = (1, 2)"),
            ("base = 2\nPair = tuple[int, base]", "size: Pair = (1, 2)"),
            ("def default():\n    return 3", "limit: int = default()"),
        ],
    )
    def test_what_the_cell_itself_uses_may_too(self, tmp_path: Path, above: str, cell: str) -> None:
        assert not planted(tmp_path, IMPORTS, above, parameters(cell), rules=["DML103"])

    def test_a_cell_below_that_imports_and_works_is_no_cell_of_imports(self, tmp_path: Path) -> None:
        below = "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook()"
        assert not planted(tmp_path, parameters("limit = 10"), below, USE, rules=["DML103"])
        assert not planted(tmp_path, IMPORTS, parameters("limit = 10"), below, USE, rules=["DML103"])

    def test_imports_further_down_are_not_asked_for(self, tmp_path: Path) -> None:
        assert not planted(tmp_path, parameters("limit = 1"), USE, "import json", rules=["DML103"])


class TestHoldsMore:
    """DML104."""

    @pytest.mark.parametrize(
        "line",
        [
            "import json",
            "from pathlib import Path",
            "print(limit)",
            "low, high = 1, 2",
            "[low, high] = 1, 2",
            "rows[0] = 1",
            "config.limit = 2",
            "limit += 1",
            "del limit",
            "if limit:\n    limit = 2",
            "for i in range(3):\n    pass",
            "def double(x):\n    return 2 * x",
            "class A:\n    pass",
            "files = !ls",
            "%matplotlib inline",
            "!pip install x",
            "here = %pwd",
            "with open('x') as f:\n    pass",
            "limit == 3",
            "assert limit",
        ],
    )
    def test_what_is_no_assignment_to_a_name_is_found(self, tmp_path: Path, line: str) -> None:
        found = planted(tmp_path, IMPORTS, parameters(f"limit = 1\n{line}"), rules=["DML104"])
        assert places(found) == [(2, 2)]

    def test_each_statement_is_found_on_its_line(self, tmp_path: Path) -> None:
        found = planted(tmp_path, parameters("import json\n\na = 1\nprint(a)\nb: int = 2"), rules=["DML104"])
        assert places(found) == [(1, 1), (1, 4)]

    @pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%bash"])
    def test_a_cell_magic_is_found_once(self, tmp_path: Path, magic: str) -> None:
        found = planted(tmp_path, parameters(f"{magic}\nlimit = 1"), rules=["DML104"])
        assert places(found) == [(1, 1)]

    @pytest.mark.parametrize(
        "source",
        [
            "# only a comment",
            "",
            "limit = 1  # what it means",
            "limit: int = 1",
            "limit: int",
            "a = b = 1",
            "where = Path('data') / 'x.csv'",
            "rates = [\n    0.1,\n    0.2,\n]",
            "'''What may be set.'''\nlimit = 1",
            "a = 1; b = 2",
            "limit: 'int | None' = None",
            "area = width * 2",
            "pass",
        ],
    )
    def test_comments_and_assignments_are_what_it_is_for(self, tmp_path: Path, source: str) -> None:
        assert not planted(tmp_path, parameters(source), rules=["DML104"])

    def test_other_cells_are_not_meant(self, tmp_path: Path) -> None:
        assert not planted(tmp_path, IMPORTS, "print(1)", rules=["DML104"])


class TestWithoutAnnotation:
    """DML105."""

    def test_it_is_advice_and_names_the_type_of_the_default(self, tmp_path: Path) -> None:
        found = planted(
            tmp_path, parameters("a: int = 1\nb = 0.5\nc = None\nd = 'x'  # text"), rules=["DML1"]
        )
        advice = [one for one in found if one.code == "DML105"]
        assert places(advice) == [(1, 2), (1, 3), (1, 4)] and all(one.advice for one in advice)
        assert "'b: float'" in advice[0].message and "'c: TYPE'" in advice[1].message

    def test_an_annotation_anywhere_in_the_cell_counts(self, tmp_path: Path) -> None:
        assert not planted(
            tmp_path, parameters("a: int = 1\na = 2\nb: str\nb = 'x'\n_, c = 1, 2"), rules=["DML105"]
        )


class TestAssignedAgain:
    """DML106."""

    @pytest.mark.parametrize(
        "line",
        [
            "limit = 10",
            "limit: int = 10",
            "limit += 1",
            "limit, other = 1, 2",
            "first, *limit = [1, 2]",
            "for limit in range(3):\n    pass",
            "with open('x') as limit:\n    pass",
            "import x as limit",
            "from x import limit",
            "def limit():\n    pass",
            "class limit:\n    pass",
            "if (limit := 3) > 2:\n    pass",
            "[y for x in range(3) if (limit := x)]",
            "try:\n    pass\nexcept ValueError as limit:\n    pass",
            "def change():\n    global limit\n    limit = 3",
            "if debug:\n    limit = 3",
            "while True:\n    limit = 3",
            "limit = !ls",
            "match 1:\n    case limit:\n        pass",
            "for i in range(limit):\n    limit = 3",
        ],
    )
    def test_any_way_to_set_it_is_found(self, tmp_path: Path, line: str) -> None:
        found = planted(
            tmp_path, IMPORTS, parameters("limit: int = 1\ndebug: bool = False"), line, rules=["DML106"]
        )
        assert [one.cell for one in found] == [3]

    @pytest.mark.parametrize(
        "line",
        [
            "print(limit)",
            "other = limit",
            "limits = 3",
            "config.limit = 3",
            "options['limit'] = 3",
            "limit.value = 3",
            "[limit for limit in range(3)]",
            "{limit: 1 for limit in 'ab'}",
            "def f(limit=3):\n    limit = 4\n    return limit",
            "def f():\n    limit = 4\n    return limit",
            "class A:\n    limit = 3",
            "f = lambda limit: limit",
            "fit(limit=4)",
            "# limit = 3",
            "text = 'limit = 3'",
            "limit: int",
            "limit = int(limit)",
            "limit = limit or 10",
            "limit = max(limit, 1)",
            "if limit is None:\n    limit = 10",
            "if limit == 1:\n    pass\nelse:\n    limit = 3",
            "limit == 3",
        ],
    )
    def test_what_leaves_it_or_is_made_of_it_is_not(self, tmp_path: Path, line: str) -> None:
        assert not planted(tmp_path, parameters("limit: int = 1"), line, rules=["DML106"])

    def test_above_the_cell_and_in_injected_cells_it_is_something_else(self, tmp_path: Path) -> None:
        cells = ["limit = 3", parameters("limit = 1\nlimit = 2"), code("limit = 9", "injected-parameters")]
        assert not planted(tmp_path, *cells, rules=["DML106"])


class TestNeverUsed:
    """DML107."""

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "print(limits)",
            "# limit",
            "text = 'the limit'",
            "options['limit']",
            "config.limit",
            "fit(limit=3)",
            "limit = 3",
            "def f(limit):\n    return limit",
            "f = lambda limit: limit + 1",
            "import x as limit",
            "def f():\n    limit = 4\n    return limit",
            "[limit for limit in range(3)]",
        ],
    )
    def test_a_name_that_nothing_reads_is_found(self, tmp_path: Path, line: str) -> None:
        found = planted(tmp_path, IMPORTS, parameters("a = 1\nlimit = 2"), "print(a)", line, rules=["DML107"])
        assert places(found) == [(2, 2)]

    @pytest.mark.parametrize(
        "line",
        [
            "print(limit)",
            "print(f'{limit:>3}')",
            "limit += 1",
            "def f():\n    return limit",
            "def f(x=limit):\n    return x",
            "[x for x in range(limit)]",
            "class A:\n    size = limit",
            "!head -n {limit} x.csv",
            "!head -n $limit x.csv",
            '%%bash -s "$limit"\nhead -n $1',
            "%%sql\nselect * from t limit :limit",
            "%timeit f(limit)",
            "frame.query('a > @limit')",
            "frame.eval('a > limit')",
            "frame.query('a > limit')",
            "'{limit}'.format(**globals())",
            "print(locals())",
            "eval('limit')",
            "%run other.ipynb",
            "duckdb.sql('select * from t limit $limit')",
            "limit.clear()",
            "del limit",
            "def f(limit):\n    return limit\nf(limit)",
            "await fetch(limit)",
            "def f():\n    limit = 4\n    return limit\nf(), limit",
            "[limit for limit in range(limit)]",
            "limit = limit + 1",
            "def f():\n    global limit\n    limit += 1",
            "class A:\n    limit = limit",
        ],
    )
    def test_what_reads_it_in_some_way_is_a_use(self, tmp_path: Path, line: str) -> None:
        assert not planted(tmp_path, IMPORTS, parameters("limit = 2"), line, rules=["DML107"])

    def test_another_parameters_default_uses_it(self, tmp_path: Path) -> None:
        assert not planted(
            tmp_path, parameters("width = 2\narea = width * 2"), "print(area)", rules=["DML107"]
        )

    def test_a_required_parameter_is_found_too(self, tmp_path: Path) -> None:
        assert places(planted(tmp_path, parameters("limit: int"), "1", rules=["DML107"])) == [(1, 1)]


class TestComputed:
    """DML108."""

    @pytest.mark.parametrize(
        "line",
        [
            "area = width * 2",
            "area: int = width * 2",
            "area = f'{width} m'",
            "area = [x * width for x in range(3)]",
            "half = 2\narea = width / half",
            "area = max(1, width)",
            "area = width",
        ],
    )
    def test_a_default_made_of_another_parameter_is_found(self, tmp_path: Path, line: str) -> None:
        found = planted(tmp_path, parameters(f"width = 3\n{line}"), rules=["DML108"])
        assert places(found) == [(1, 2 + line.count("\n"))]

    @pytest.mark.parametrize(
        "line",
        [
            "height = 4",
            "width = width + 1",
            "area = [width for width in range(3)]",
            "area = 'width'",
            "area = size * 2",
            "key = lambda x: x * width",
            "other: 'width' = 3",
            "area = a.width",
        ],
    )
    def test_what_is_not_computed_from_one_is_not(self, tmp_path: Path, line: str) -> None:
        assert not planted(tmp_path, "size = 3", parameters(f"width = 3\n{line}"), rules=["DML108"])


def test_a_cell_that_is_no_python_is_no_reason_to_stop(tmp_path: Path) -> None:
    for source in ("limit = (", "%%bash\nls", "limit = '\ud800'", "x = " + "(" * 500):
        found = planted(tmp_path, IMPORTS, parameters(source), USE, rules=["DML1"])
        assert {one.code for one in found} <= {"DML104"}


def test_the_templates_own_notebooks_have_nothing_to_find(tmp_path: Path) -> None:
    import json

    folder = Path(__file__).resolve().parents[2] / "template" / "notebooks"
    for path in sorted(folder.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not planted(tmp_path, *cells, rules=["DML1"], name=path.stem)


def test_other_peoples_notebooks_are_not_asked(tmp_path: Path) -> None:
    import json

    from check.planted import document
    from deriva_ml.check.checking import Checker

    path = tmp_path / "other.ipynb"
    path.write_text(json.dumps(document("limit = 1", parameters("import os"))))
    assert not Checker(["DML1"]).check(path)
