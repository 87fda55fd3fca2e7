"""``deriva-ml-check --fix``: only what is meant changes in a notebook's file, and nothing is lost."""

from __future__ import annotations

import copy
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from check.planted import code, document, markdown, parameters, project
from deriva_ml.cli.check import main

Writer = Callable[[dict[str, Any]], bytes]


def _jupyter(notebook: dict[str, Any]) -> bytes:
    """As Jupyter saves it: one space, sorted keys, characters as they are, a newline at the end."""
    return (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _lines(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with sources as lists of lines, as Jupyter has them."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    return notebook


WRITERS: dict[str, Writer] = {
    "as Jupyter saves it": lambda one: _jupyter(_lines(one)),
    "one text a source": _jupyter,
    "CRLF": lambda one: _jupyter(_lines(one)).replace(b"\n", b"\r\n"),
    "a byte order mark": lambda one: b"\xef\xbb\xbf" + _jupyter(_lines(one)),
    "minified": lambda one: json.dumps(one, separators=(",", ":")).encode(),
    "one line with spaces": lambda one: json.dumps(one).encode(),
    "escapes": lambda one: (json.dumps(_lines(one), indent=2) + "\n\n").encode(),
    "tabs": lambda one: json.dumps(one, indent="\t", ensure_ascii=False).encode(),
    "a character a piece": lambda one: _jupyter(
        {**one, "cells": [{**cell, "source": list("".join(cell["source"]))} for cell in one["cells"]]}
    ),
    "odd spaces": lambda one: b" \n" + json.dumps(one, separators=(" , ", " : ")).encode() + b" \t\n",
    "metadata in one line": lambda one: _jupyter(_lines(one)).replace(
        b'"metadata": {\n    "z": 1\n   }', b'"metadata": { "z": 1 }'
    ),
}
IMPORTS = "import json\n# ünïcödé 😀\nfrom pathlib import Path"
VALUES = 'größe = 3  # 😀 "quoted"\nname = "ä\\n😀"; rate = -0.5\n'
USE = "print(größe, name, rate)"


def _fixed(path: Path) -> tuple[int, bytes]:
    """The exit status, and the file, after the command."""
    return main(["--fix", str(path)]), path.read_bytes()


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """Writes a notebook into a project."""
    path = project(tmp_path) / "notebooks" / "nb.ipynb"
    monkeypatch.chdir(tmp_path)

    def write(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
class TestHoweverItIsSaved:
    """The result is what the same writer makes of the mended notebook."""

    def test_an_obvious_cell_is_tagged_and_annotated(
        self, put: Callable[[bytes], Path], write: Writer
    ) -> None:
        cells = [markdown("# Title"), code(IMPORTS), code(VALUES, id="b"), code(USE, id="c")]
        cells[2]["metadata"] = {"z": 1}
        before = document(*cells)
        after = copy.deepcopy(before)
        after["cells"][2]["metadata"] = {"tags": ["parameters"], "z": 1}
        after["cells"][2]["source"] = VALUES.replace("größe =", "größe: int =").replace("me =", "me: str =")
        after["cells"][2]["source"] = after["cells"][2]["source"].replace("rate =", "rate: float =")
        path = put(write(before))
        _, found = _fixed(path)
        assert json.loads(found.decode("utf-8-sig")) == json.loads(write(after).decode("utf-8-sig")) or (
            "".join(json.loads(found.decode("utf-8-sig"))["cells"][2]["source"])
            == after["cells"][2]["source"]
        )
        assert _without(found, b": int", b": str", b": float", b'"tags"') == _without(write(before))
        assert _fixed(path)[1] == found  # once more changes nothing

    def test_a_cell_is_moved_with_its_heading(self, put: Callable[[bytes], Path], write: Writer) -> None:
        work = code("rows = json.loads('[1]')", id="w", outputs=[{"output_type": "stream", "text": "1.0"}])
        before = document(
            IMPORTS,
            markdown("Some text"),
            work,
            markdown("## Parameters"),
            parameters("limit: int = 3"),
            "print(rows[:limit])",
        )
        cells = before["cells"]
        after = {**before, "cells": [cells[0], cells[3], cells[4], cells[1], cells[2], cells[5]]}
        path = put(write(before))
        _, found = _fixed(path)
        assert found == write(after)
        assert _fixed(path)[1] == found


def _without(content: bytes, *added: bytes) -> bytes:
    """A file's bytes without what was added, and without white space, which an added list brings with it."""
    text = b"".join(content.split())
    for one in added:
        if one == b'"tags"':
            text = text.replace(b'"tags":["parameters"],', b"", 1)
        else:
            assert text.count(b"".join(one.split())) == 1
            text = text.replace(b"".join(one.split()), b"", 1)
    return text


class TestTagging:
    """Which cell is obvious, and how it gets its tag."""

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({}, {"tags": ["parameters"]}),
            ({"tags": []}, {"tags": ["parameters"]}),
            ({"tags": ["a"]}, {"tags": ["a", "parameters"]}),
            ({"tags": ["a", "b"]}, {"tags": ["a", "b", "parameters"]}),
            ({"a": 1}, {"a": 1, "tags": ["parameters"]}),
            ({"a": 1, "z": {}}, {"a": 1, "tags": ["parameters"], "z": {}}),
            ({"a": 1, "tags": [], "z": [1]}, {"a": 1, "tags": ["parameters"], "z": [1]}),
        ],
    )
    def test_the_file_is_as_jupyter_would_save_it(
        self, put: Callable[[bytes], Path], metadata: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        before = document(IMPORTS, "limit: int = 3", "print(limit)")
        before["cells"][1]["metadata"] = metadata
        after = copy.deepcopy(before)
        after["cells"][1]["metadata"] = expected
        for write in (_jupyter, lambda one: json.dumps(one, separators=(",", ":")).encode()):
            assert _fixed(put(write(before)))[1] == write(after)

    @pytest.mark.parametrize(
        "cells",
        [
            ["import json", "limit = 3", "print(limit)"],
            ["import json", markdown("text"), "# settings\nlimit = 3", "print(limit)"],
            ["import json", "rows = json.loads('[]')", "# Parameters\nlimit = 3", "print(limit)"],
            ["rows = []", "rows.append(1)", markdown("### Parameters"), "limit = 3", "print(rows, limit)"],
            ["import json", "NAMES = ['a', 'b']\nlimit: int = 3", "def f():\n    return NAMES, limit"],
        ],
    )
    def test_an_obvious_cell(self, put: Callable[[bytes], Path], cells: list[Any]) -> None:
        path = put(_jupyter(document(*cells)))
        tagged = [one for one in json.loads(_fixed(path)[1])["cells"] if one["metadata"]]
        assert len(tagged) == 1 and "limit" in tagged[0]["source"]

    @pytest.mark.parametrize(
        "cells",
        [
            ["import json", "limit = compute()", "print(limit)"],
            ["import json", "limit = 3\nprint(limit)", "print(limit)"],
            ["import json\nlimit = 3", "print(limit)"],
            ["import json", "rows = []", "rows.append(1)"],
            ["import json", "total = 0", "for i in range(3):\n    total += i"],
            ["import json", "limit = 3", "limit = 4\nprint(limit)"],
            ["import json", "limit = 3", "print(1)"],
            ["import json", "limit = 3\nother = 4", "print(limit)"],
            ["limit = 3", "print(limit)"],
            ["import json", "a = f()", "limit = 3", "print(limit)"],
            ["import json", "# Parameters\nlimit = 3", "# Parameters\nother = 3", "print(limit, other)"],
            ["import json", "_limit = 3", "print(_limit)"],
            ["import json", "names = ['a', 'b']", "print(names)"],
            ["import json", "limit = 3\nrows = [[1, 2], [3, 4]]", "print(limit, rows)"],
            ["import json", "limit = 3\nrows = {'a': [1, 2]}", "print(limit, rows)"],
            ["import json", "limit = 3", "%%bash\necho $limit", "print(limit)"],
            ["import json", markdown("limit", "parameters"), "limit = 3", "print(limit)"],
            ["import json", code("limit = 4", "injected-parameters"), "print(limit)"],
            ["import json", "%time limit = 3", "print(limit)"],
            ["import json", "low, high = 1, 2", "print(low, high)"],
        ],
    )
    def test_one_that_may_be_something_else_is_left(
        self, put: Callable[[bytes], Path], cells: list[Any]
    ) -> None:
        before = _jupyter(document(*cells))
        assert _fixed(put(before))[1] == before


class TestMoving:
    """It is moved where that changes nothing else."""

    @pytest.mark.parametrize(
        ("cells", "order"),
        [
            (["P", "import json", "print(limit)"], [1, 0, 2]),
            (["P", "", "import json", "import os", "print(limit)"], [1, 2, 3, 0, 4]),
            (["import os", "P", "import json", "print(limit)"], [0, 2, 1, 3]),
            (["import os", "import json", "a = 1", "def f():\n    return limit", "P"], [0, 1, 4, 2, 3]),
            (["import os", "%matplotlib inline", "a = 1", "P", "print(limit)"], [0, 1, 3, 2, 4]),
        ],
    )
    def test_moved(self, put: Callable[[bytes], Path], cells: list[Any], order: list[int]) -> None:
        made = [parameters("limit: int = 3") if one == "P" else code(one) for one in cells]
        path = put(_jupyter(document(*made)))
        assert _fixed(path)[1] == _jupyter(document(*(made[place] for place in order)))

    @pytest.mark.parametrize(
        ("cells", "source"),
        [
            (["import os", "limit = 1\nprint(limit)", "P"], "limit: int = 3"),
            (["import os", "rows = [1]\nprint(rows)", "P"], "limit = rows + [1]"),
            (["import os", "a = 1", "P"], "limit: str = os.environ.get('X')"),
            (["import os", "a = 1\nfrom x import *", "P"], "limit: int = 3"),
            (["import os", "a = 1", "%%bash\nls", "P"], "limit: int = 3"),
            (["import os\na = 1", "P", "print(limit)"], "limit: int = 3"),
            (["a = 1", "P", "print(limit)"], "limit: int = 3"),
            (["P", "import json\nprint(limit)"], "limit: int = 3"),
            (["P", "from x import limit"], "limit: int = 3"),
            (["import os", "def limit():\n    pass", "P"], "limit: int = 3"),
            (["import os", "a = 1", "P"], "limit: int = 3\nprint(limit)"),
        ],
    )
    def test_left(self, put: Callable[[bytes], Path], cells: list[Any], source: str) -> None:
        made = [parameters(source) if one == "P" else code(one) for one in cells]
        before = document(*made)
        found = json.loads(_fixed(put(_jupyter(before)))[1])
        assert [one["metadata"] for one in found["cells"]] == [one["metadata"] for one in before["cells"]]


class TestAnnotating:
    """The type that a literal default had before is written."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("a = 1", "a: int = 1"),
            ("a=1", "a: int=1"),
            ("a   = -1.5", "a: float   = -1.5"),
            ("a = 'x' 'y'", "a: str = 'x' 'y'"),
            ("a = True", "a: bool = True"),
            ("a = [1, 'x']", "a: list = [1, 'x']"),
            ("a = (\n    1,\n    2,\n)", "a: tuple = (\n    1,\n    2,\n)"),
            ("a = {'k': 1}", "a: dict = {'k': 1}"),
            ("a = {1}", "a: set = {1}"),
            ("a = b'x'", "a: bytes = b'x'"),
            ("a = 2j", "a: complex = 2j"),
            ("a = 1; b = 2", "a: int = 1; b: int = 2"),
            ("a \\\n = 1", "a \\\n = 1"),
            ("x = '''\n😀'''; äö = 1", "x: str = '''\n😀'''; äö: int = 1"),
            ("a = None", "a = None"),
            ("a = b = 1", "a = b = 1"),
            ("(a) = 1", "(a) = 1"),
            ("a = 1\na = 2", "a = 1\na = 2"),
            ("a = Path('x')", "a = Path('x')"),
            ("int = 3", "int = 3"),
            ("a = 1\nint = float", "a = 1\nint = float"),
            ("a: int = 1", "a: int = 1"),
            ("a = 1  # noqa: DML105\nb = 2", "a = 1  # noqa: DML105\nb: int = 2"),
            ("a = 1\r\nb = 2", "a: int = 1\r\nb: int = 2"),
            ("a = 1\rb = 2", "a = 1\rb = 2"),
            ("%time a = 1", "%time a = 1"),
        ],
    )
    def test_annotated(self, put: Callable[[bytes], Path], before: str, after: str) -> None:
        cells = [IMPORTS, parameters(before), "print(a, b, x, äö)"]
        path = put(_jupyter(document(*cells)))
        cells[1] = parameters(after)
        assert _fixed(path)[1] == _jupyter(document(*cells))

    def test_a_name_that_stands_for_something_else_in_the_notebook_is_no_type(
        self, put: Callable[[bytes], Path]
    ) -> None:
        before = _jupyter(document(IMPORTS, parameters("a = [1]"), "list = a"))
        assert _fixed(put(before))[1] == before


class TestTheFile:
    """What is around the content."""

    def test_it_says_what_it_did_and_what_is_left(
        self, put: Callable[[bytes], Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = put(_jupyter(document(IMPORTS, "limit = 3", "print(limit)")))
        assert main(["--fix", "--select", "DML1", str(path)]) == 0
        out, err = capsys.readouterr()
        assert "tagged cell 2 'parameters', annotated 1 parameter" in err and "nothing found" in out

    def test_only_what_is_selected_is_mended(self, put: Callable[[bytes], Path]) -> None:
        path = put(_jupyter(document(IMPORTS, "limit = 3", "print(limit)")))
        assert main(["--fix", "--ignore", "DML105", str(path)]) in {0, 1}
        assert b": int" not in path.read_bytes() and b'"parameters"' in path.read_bytes()

    def test_mode_and_link_stay(self, put: Callable[[bytes], Path], tmp_path: Path) -> None:
        path = put(_jupyter(document(IMPORTS, parameters("limit = 3"), "print(limit)")))
        real = path.with_name("real.ipynb")
        path.rename(real)
        path.symlink_to(real.name)
        real.chmod(0o640)
        assert b"limit: int" in _fixed(path)[1]
        assert path.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640
        assert sorted(one.name for one in path.parent.iterdir()) == ["nb.ipynb", "real.ipynb"]

    def test_what_has_nothing_to_mend_is_not_written(self, put: Callable[[bytes], Path]) -> None:
        path = put(_jupyter(document(IMPORTS, parameters("limit: int = 3"), "print(limit)")))
        before = path.stat()
        _fixed(path)
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: text.replace(b'"metadata": {},', b'"metadata": {}, "metadata": {},'),
            lambda text: text.replace(b'"cells": [', b'"cells": [], "cells": ['),
            lambda text: text.replace(b'"metadata": {},', b'"metadata": {"tags": null},'),
        ],
    )
    def test_a_file_that_is_not_as_it_should_be_is_refused_in_one_line(
        self,
        put: Callable[[bytes], Path],
        capsys: pytest.CaptureFixture[str],
        damage: Callable[[bytes], bytes],
    ) -> None:
        before = damage(_jupyter(document(IMPORTS, "limit = 3", "print(limit)")))
        assert _fixed(put(before)) == (1, before)
        assert len([one for one in capsys.readouterr().err.splitlines() if "left as it is" in one]) == 1

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
    def test_a_file_that_may_not_be_written_stays(self, put: Callable[[bytes], Path]) -> None:
        path = put(_jupyter(document(IMPORTS, parameters("limit = 3"), "print(limit)")))
        path.chmod(0o444)
        assert _fixed(path)[0] == 1

    def test_damaged_notebooks_and_modules_are_left(self, put: Callable[[bytes], Path]) -> None:
        for content in (b"", b"{", b'{"cells": 3}', b"\xff\xfe"):
            assert _fixed(put(content))[1] == content
        module = put(b"").with_name("module.py")
        module.write_text("limit = 3\n")
        assert _fixed(module)[1] == b"limit = 3\n"


_SOURCES = st.sampled_from(
    [
        "",
        "import json",
        "import os\nimport sys",
        "from enum import Enum",
        "limit = 3",
        "# Parameters\nrate = 0.5; name = 'ä😀\\\\n'",
        "limit: int = 3\nrate = 1.0",
        "print(limit, rate, name)",
        "rows = [1]\nlimit = len(rows)",
        "def f(x=1):\n    return limit",
        "%matplotlib inline",
        "!ls",
        "%%bash\nls",
        "x = (",
        "ml, execution, config = run_notebook()",
        "name = None",
    ]
)
_METADATA = st.sampled_from([{}, {"tags": []}, {"tags": ["parameters"]}, {"a": 1, "tags": ["b"]}, {"z": {}}])
_CELLS = st.one_of(
    st.builds(lambda source, metadata: {**code(source), "metadata": metadata}, _SOURCES, _METADATA),
    st.builds(markdown, st.sampled_from(["# Title", "## Parameters", "text \u2028 \x7f", ""])),
)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(st.lists(_CELLS, max_size=8), st.sampled_from(list(WRITERS.values())))
def test_no_cell_is_lost_and_a_second_time_changes_nothing(
    put: Callable[[bytes], Path], cells: list[dict[str, Any]], write: Writer
) -> None:
    numbered = [{**cell, "id": f"c{number}"} for number, cell in enumerate(cells)]
    path = put(write(document(*numbered)))
    _, once = _fixed(path)
    found = {cell["id"]: cell for cell in json.loads(once.decode("utf-8-sig"))["cells"]}
    assert found.keys() == {cell["id"] for cell in numbered}
    for cell in numbered:
        after = found[cell["id"]]
        source = "".join(after["source"])
        for kind in ("int", "float", "str", "list"):
            source = source.replace(f": {kind} =", " =")
        assert source == "".join(cell["source"]).replace(": int =", " =")
        tags = after["metadata"].get("tags", [])
        assert [one for one in tags if one != "parameters"] == [
            one for one in cell["metadata"].get("tags", []) if one != "parameters"
        ]
    assert _fixed(path)[1] == once
