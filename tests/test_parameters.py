"""What a parameters cell declares, what a person may give, and what is refused before a kernel starts."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from declaring import arrived, declared, flag, in_file, notebook
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.document import read_notebook
from deriva_ml.notebook.parameters import (
    Parameter,
    Unevaluated,
    computed_from,
    describe,
    parameters_of,
    resolve,
)

SOURCE = Path(__file__).resolve().parent.parent / "template" / "src"


class TestTheParametersCell:
    """The tagged cell is read by its syntax tree."""

    def test_annotations_defaults_and_comments_are_taken_from_assignments(self) -> None:
        rate, epochs, name = declared(
            "learning_rate: float = 1e-3  # step size\n# passes over\n# the data\nepochs = 10\nname = 'a#b'\n"
        )
        assert rate == Parameter("learning_rate", "float", 0.001, "1e-3", "step size")
        assert epochs == Parameter("epochs", None, 10, "10", "passes over the data")
        assert (name.default, name.comment) == ("a#b", "")
        assert [p.type_name for p in (rate, epochs, name)] == ["float", "int", "str"]

    def test_a_default_that_is_an_expression_is_kept_as_text_and_not_evaluated(self) -> None:
        (where,) = declared("where: Path = Path('data') / 'raw'")
        assert where.default == Unevaluated("Path('data') / 'raw'")

    def test_chained_assignments_declare_each_name_and_unpackings_none(self) -> None:
        assert [p.name for p in declared("a = b = 1\nc, d = 1, 2\nrows[0] = 3\nself.e = 4\nf += 1")] == [
            "a",
            "b",
        ]

    def test_a_name_assigned_twice_has_its_last_value_and_keeps_its_annotation(self) -> None:
        (x,) = declared("x: int = 1  # how many\nx = 2")
        assert (x.annotation, x.default, x.comment) == ("int", 2, "how many")

    def test_ipython_lines_do_not_get_in_the_way(self) -> None:
        source = (
            "%matplotlib inline\n!pip list\nfiles = !ls\nif True:\n    %time sum([1])\nx = 5 \\\n  % 3\ny = 2"
        )
        assert [p.name for p in declared(source)] == ["x", "y"]

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ('%matplotlib inline\nx = """\n%d of %d\n!no\n"""  # of a line', {"x": "\n%d of %d\n!no\n"}),
            ("!ls\nx = (10\n % 3)\ny = 1", {"x": 1, "y": 1}),
            ("?x\nx = [\n'%a',\n'!b',\n]\nx?\nx??", {"x": ["%a", "!b"]}),
            ("a, b = !ls\nc = %time 1\nfiles = !ls -l \\\n  *.py\ny = 2  # two", {"y": 2}),
            ("%%time\nx = 1", {"x": 1}),
            ("\n\n%%capture out\n%%time\n%load_ext autoreload\nx = 1", {"x": 1}),
            ("  x = 1\n  y = 2", {"x": 1, "y": 2}),
            (">>> x = 1\n>>> y = 2", {"x": 1, "y": 2}),
            ("for i in range(2):\n    %time i\nx = 5", {"x": 5}),
            ("/print x\n,print a b\nx = 'a;b!c?'", {"x": "a;b!c?"}),
            ("x = 3 # % of them\n%time", {"x": 3}),
            ("%time x = 1\nx: int = 2", {"x": 2}),
            ('x = f"""\n%s {1}\n"""\n!ls', {"x": "\n%s 1\n"}),
        ],
    )
    def test_only_what_ipython_takes_for_its_own_is_left_out(
        self, source: str, expected: dict[str, Any]
    ) -> None:
        assert {one.name: eval(one.default_source) for one in declared(source)} == expected

    @pytest.mark.parametrize("magic", ["bash", "writefile x.py", "sql", "javascript"])
    def test_a_cell_that_is_handed_to_something_else_is_refused(self, magic: str) -> None:
        name = magic.split()[0]
        with pytest.raises(DerivaMLRequestError, match=f"begins with %%{name}, and so is no Python"):
            declared(f"%%{magic}\nx=1")

    def test_lines_keep_their_numbers_behind_what_is_ipythons(self) -> None:
        with pytest.raises(DerivaMLRequestError, match=r"cell 2, line 5\): y = = 2"):
            declared("\n\n%%time\n%time\ny = = 2")
        (x,) = declared("\n\n%%time\n# how many\nx = 1")
        assert x.comment == "how many"

    @pytest.mark.parametrize("source", ["x = *a, *b", "x = (yield)", "x = y = (z := 3)", "x = lambda: 1"])
    def test_any_expression_may_be_a_default(self, source: str) -> None:
        assert declared(source)[0].type_name == "Any"
        assert flag(source, "3") == 3

    def test_names_are_those_that_python_makes_of_them(self) -> None:
        [size] = declared("gro\u0308ße = 1")
        assert size.name == "größe"
        assert arrived(resolve([size], {}, [("gro\u0308ße", "2")])) == {"größe": 2}
        assert arrived(resolve(declared("ﬁle = 1"), {"ﬁle": 2}, [])) == {"file": 2}

    @pytest.mark.parametrize("name", ["class", "not-an-identifier", "", "a b", "a\nb", "x.y", "1", "'"])
    def test_what_can_be_no_name_is_unknown(self, name: str) -> None:
        with pytest.raises(DerivaMLRequestError, match="^unknown parameter .*the notebook has: x$"):
            resolve(declared("x = 1"), {}, [(name, "1")])

    def test_source_may_be_a_list_of_lines_as_on_disk(self) -> None:
        parameters = parameters_of(notebook(["x = 1\n", "y = 2"]))
        assert parameters is not None
        assert [p.name for p in parameters] == ["x", "y"]

    def test_a_long_list_over_several_lines_is_one_parameter(self) -> None:
        (names,) = declared('names: list[str] = [  # whom to ask\n    "a",\n    "b",\n]')
        assert (names.default, names.comment) == (["a", "b"], "whom to ask")

    def test_the_heading_of_the_cell_is_no_comment_on_its_first_variable(self) -> None:
        (x,) = declared("# Parameters\nx = 1")
        assert x.comment == ""

    def test_only_the_first_tagged_cell_counts(self) -> None:
        document = notebook("x = 1")
        document["cells"].append(
            {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "y = 1"}
        )
        parameters = parameters_of(document)
        assert parameters is not None
        assert [p.name for p in parameters] == ["x"]

    @pytest.mark.parametrize("metadata", [{}, {"tags": ["other"]}, {"tags": None}, None])
    def test_without_a_tagged_cell_there_are_none(self, metadata: Any) -> None:
        document = notebook("x = 1")
        document["cells"][1]["metadata"] = metadata
        assert parameters_of(document) is None

    def test_a_syntax_error_names_the_line(self) -> None:
        with pytest.raises(DerivaMLRequestError, match=r"cell 2.*line 3.*y = = 2"):
            declared("%time\nx = 1\ny = = 2")

    def test_a_tagged_markdown_cell_is_refused(self) -> None:
        with pytest.raises(DerivaMLRequestError, match="markdown cell"):
            parameters_of(notebook("x = 1", cell_type="markdown"))


class TestWhatMayBeGiven:
    """A value from a flag is text and is fitted to the type; a value from a file has a type already."""

    @pytest.mark.parametrize(
        ("source", "text", "value"),
        [
            ("x: int = 1", "1e2", 100),
            ("x: float = 1.0", "3", 3.0),
            ("x: float = 1.0", "-inf", float("-inf")),
            ("x: bool = False", "yes", True),
            ("x = False", "True", True),
            ("x: str = ''", "0012", "0012"),
            ("x: str = ''", "null", "null"),
            ("x: str | None = None", "0012", "0012"),
            ("x: str | None = None", "null", None),
            ("x: Optional[int] = 3", "None", None),
            ("x: int = None", "null", None),
            ("x: 'list[int]' = []", "[1, 2]", [1, 2]),
            ("x: typing.List[float] = []", "(1, 2)", [1.0, 2.0]),
            ("x: tuple[int, str] = (1, 'a')", '[2, "b"]', (2, "b")),
            ("x = (1, 2)", "3, 4, 5", (3, 4, 5)),
            ("x: dict[str, float] = {}", '{"a": 1}', {"a": 1.0}),
            ("x = [(0, 1)]", "[(0, 2)]", [(0, 2)]),
            ("x: set[str] = set()", '["b", "a"]', {"b", "a"}),
            ("x: Union[int, str] = 1", "7", 7),
            ("x: Union[int, str] = 1", "seven", "seven"),
            ("x: Literal['fast', 'slow'] = 'fast'", "slow", "slow"),
            ("x: Annotated[int, 'how many'] = 1", "2", 2),
            ("x: Any = 1", '{"a": [true]}', {"a": [True]}),
            ("x: pathlib.Path = Path('.')", "./data/", Path("data")),
            ("x: Path = Path('.')", "2024", Path("2024")),
            ("x: date = '2024-01-01'", "2024-02-29", date(2024, 2, 29)),
            ("x: datetime.datetime = None", "2024-02-29 10:00", datetime(2024, 2, 29, 10)),
            ("x: np.ndarray = [1.0]", "[1, 2]", [1, 2]),
            ("x: Model = 'small'", "large", "large"),
            ("x: list[Model] = []", '["large"]', ["large"]),
            ("x = None", "12", 12),
            ("x = None", "a, b", "a, b"),
            ("x = os.environ['HOME']", "/data", "/data"),
        ],
    )
    def test_a_flag_becomes_what_the_notebook_declares(self, source: str, text: str, value: Any) -> None:
        given_value = flag(source, text)
        assert (given_value, type(given_value)) == (value, type(value))

    def test_not_a_number_fits_a_float(self) -> None:
        assert str(flag("x: float = 0.0", "nan")) == "nan"

    @pytest.mark.parametrize(
        ("source", "value", "result"),
        [
            ("x: int = 1", 3.0, 3),
            ("x: int = 1", "3", 3),
            ("x: float = 1.0", 3, 3.0),
            ("x: float = 1.0", "1e-3", 0.001),
            ("x = True", "no", False),
            ("x: str | None = 'a'", None, None),
            ("x: date = None", "2024-01-31", date(2024, 1, 31)),
            ("x: dict[int, str] = {}", {1: "a"}, {1: "a"}),
            ("x: list[int] | int = 1", [1], [1]),
        ],
    )
    def test_a_value_from_a_file_is_converted_where_nothing_is_lost(
        self, source: str, value: Any, result: Any
    ) -> None:
        given_value = in_file(source, value)
        assert (given_value, type(given_value)) == (result, type(result))

    def test_flags_win_over_the_file_and_the_last_flag_over_the_others(self) -> None:
        values = resolve(declared("x = 1\ny = 1\nz = 1"), {"x": 2, "y": 2}, [("y", "3"), ("y", "4")])
        assert arrived(values) == {"x": 2, "y": 4}

    def test_only_what_is_given_is_injected(self) -> None:
        assert resolve(declared("x = 1"), {}, []) == {}
        assert resolve(None, {}, []) == {}

    def test_a_bare_annotation_must_be_given_a_value(self) -> None:
        assert flag("x: int", "3") == 3
        with pytest.raises(
            DerivaMLRequestError, match=r"'x' \(int\) has no default: give it with -p x VALUE"
        ):
            resolve(declared("x: int"), {}, [])

    def test_a_bare_annotation_whose_value_is_set_further_down_need_not_be_given(self) -> None:
        assert resolve(declared("x: int\nif fast:\n    x = 1\nelse:\n    x = 2"), {}, []) == {}


class TestWhatIsRefused:
    """A wrong request ends before a kernel starts, with one line that names the mend."""

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("x: int = 1", "2.5"),
            ("x: int = 1", "true"),
            ("x: int = 1", "many"),
            ("x: int = 1", "inf"),
            ("x: int = 1", ""),
            ("x = 1", "0.5"),
            ("x: float = 1.0", "1,5"),
            ("x: bool = True", "maybe"),
            ("x: list[str] = []", "a,b"),
            ("x: list[int] = []", "[1, true]"),
            ("x: tuple[int, int] = (1, 2)", "[1]"),
            ("x: dict[str, int] = {}", "[1]"),
            ("x: Literal['fast', 'slow'] = 'fast'", "medium"),
            ("x: Literal[1, 2] = 1", "true"),
            ("x: int | None = None", "none of it"),
            ("x: date = '2024-01-01'", "2023-02-29"),
            ("x: datetime = None", "20240101.5"),
            ("x: str = ''", "\udcff"),
        ],
    )
    def test_a_flag_that_does_not_fit(self, source: str, text: str) -> None:
        with pytest.raises(DerivaMLRequestError, match="'x'") as refusal:
            flag(source, text)
        message = str(refusal.value)
        assert declared(source)[0].type_name in message
        assert repr(text) in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("x: int = 1", True),
            ("x: int = 1", 2.5),
            ("x: float = 1.0", False),
            ("x: float = 1.0", 10**400),
            ("x: str = ''", 12),
            ("x: str = ''", None),
            ("x: list[str] = []", "a"),
            ("x: list[str] = []", ["a", 1]),
            ("x: datetime = None", 2024),
            ("x = None", {1: "a"}),
            ("x: dict = {}", {1: "a"}),
        ],
    )
    def test_a_value_from_a_file_that_does_not_fit(self, source: str, value: Any) -> None:
        with pytest.raises(DerivaMLRequestError, match="'x'.*the parameter file"):
            in_file(source, value)

    def test_the_place_inside_a_list_is_named(self) -> None:
        with pytest.raises(DerivaMLRequestError, match=r"integer.*not 'b' at \['a'\]\[1\]"):
            flag("x: dict[str, list[int]] = {}", '{"a": [1, "b"]}')

    def test_a_value_that_holds_itself(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(DerivaMLRequestError, match="cyclic reference"):
            in_file("x: list = []", endless)

    def test_an_unknown_name_with_the_nearest_known_one(self) -> None:
        with pytest.raises(DerivaMLRequestError) as refusal:
            resolve(declared("learning_rate = 1\nepochs = 2"), {}, [("learningrate", "3")])
        message = str(refusal.value)
        assert "'learningrate'" in message
        assert "did you mean 'learning_rate'?" in message
        assert "learning_rate, epochs" in message

    def test_values_for_a_notebook_without_a_parameters_cell(self) -> None:
        with pytest.raises(DerivaMLRequestError, match="no parameters cell.*tag it 'parameters'"):
            resolve(None, {"x": 1}, [])

    def test_an_annotation_is_never_evaluated(self, tmp_path: Path) -> None:
        touched = tmp_path / "touched"
        assert flag(f"x: __import__('pathlib').Path({str(touched)!r}).touch() = 1", "2") == 2
        assert not touched.exists()


class TestComputedDefaults:
    """A default that is computed from what is given is named: it has been computed before that arrives."""

    @pytest.mark.parametrize(
        ("source", "given", "derived", "sources"),
        [
            ("width = 8\narea = width * width\nlabel = f'w{width}'", ["width"], ["area", "label"], ["width"]),
            ("width = 8\narea = width * width\nlabel = f'{area}'", ["width"], ["area", "label"], ["width"]),
            (
                "width = 8\narea = width * width\nlabel = f'{area}'",
                ["width", "area"],
                ["label"],
                ["width", "area"],
            ),
            ("width = 8\narea = width * width", ["width", "area"], [], []),
            ("width = 8\narea = width * width", ["area"], [], []),
            ("width = 8\narea = 64", ["width"], [], []),
            ("a = 1\nb = max(a, 2)", ["a"], ["b"], ["a"]),
            ("a = []\nb = a.copy()", ["a"], ["b"], ["a"]),
            ("a = {}\nb = a['k']", ["a"], ["b"], ["a"]),
            ("a = 3\nb = [i * a for i in range(2)]", ["a"], ["b"], ["a"]),
            ("a = 3\nb = [a for a in range(2)]", ["a"], [], []),
            ("a = 3\nb = [a for a in range(a)]", ["a"], ["b"], ["a"]),
            ("a = 3\nb = {k: v for k, v in zip(c, c) for c in [a]}", ["a"], ["b"], ["a"]),
            ("a = 3\nb = list(map(lambda a: a + 1, [1]))", ["a"], [], []),
            ("a = 3\nb = lambda c: a + c", ["a"], [], []),
            ("a = 3\nb = lambda c=a: c", ["a"], ["b"], ["a"]),
            ("a = 3\nb = list(map(lambda c, d=a: c + d, [1]))", ["a"], ["b"], ["a"]),
            ("a = 3\nb = c = a", ["a"], ["b", "c"], ["a"]),
            ("a = 3\nb: int = a if a else 2", ["a"], ["b"], ["a"]),
            ("a = 3\nb = 1\nb += a", ["a"], ["b"], ["a"]),
            ("a = 3\nb: int\nif a > 2:\n    b = 1\nelse:\n    b = 2", ["a"], ["b"], ["a"]),
            ("a = 3\n_, half = divmod(a, 2)\nb = half", ["a"], ["b"], ["a"]),
            ("a = 3\ndef f():\n    return a\nb = f()", ["a"], ["b"], ["a"]),
            ("a = 3\ndef f(a):\n    return a\nb = f(1)", ["a"], [], []),
            ("a = 3\nb = a\nb = 1", ["a"], [], []),
            ("a = 3\nb: a = 1", ["a"], [], []),
            ("a = 3\nb = (c := a)", ["a"], ["b"], ["a"]),
        ],
    )
    def test_those_are_named(
        self, source: str, given: list[str], derived: list[str], sources: list[str]
    ) -> None:
        assert computed_from(declared(source), given) == (derived, sources)


PROPERTY = settings(deadline=None, max_examples=50)  # a slow machine is no failure
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TYPED: st.SearchStrategy[tuple[str, st.SearchStrategy[Any]]] = st.recursive(
    st.sampled_from(
        [
            ("int", st.integers()),
            ("float", st.floats(allow_nan=False)),
            ("bool", st.booleans()),
            ("str", st.text()),
            ("Literal['a', 1, None]", st.sampled_from(["a", 1, None])),
            (
                "int | float | str | bool",
                st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans(),
            ),
            ("Any", JSON_VALUES),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda t: (f"list[{t[0]}]", st.lists(t[1], max_size=4))),
        inner.map(lambda t: (f"dict[str, {t[0]}]", st.dictionaries(st.text(), t[1], max_size=4))),
        inner.map(lambda t: (f"Optional[{t[0]}]", st.none() | t[1])),
    ),
    max_leaves=3,
)


class TestRoundTrips:
    """What a person writes for a value arrives as that value."""

    @PROPERTY
    @given(data=st.data())
    def test_a_value_written_as_json_on_the_command_line_comes_back_equal(self, data: st.DataObject) -> None:
        annotation, values = data.draw(TYPED)
        value = data.draw(values)
        text = value if annotation == "str" else json.dumps(value)
        assert repr(flag(f"x: {annotation} = ...", text)) == repr(value)

    @PROPERTY
    @given(data=st.data())
    def test_a_value_pasted_from_python_comes_back_equal(self, data: st.DataObject) -> None:
        annotation, values = data.draw(TYPED.filter(lambda typed: typed[0] != "str"))
        value = data.draw(values)
        assume("inf" not in repr(value))  # which Python has no literal for
        assert repr(flag(f"x: {annotation} = ...", repr(value))) == repr(value)

    @PROPERTY
    @given(data=st.data())
    def test_a_value_of_the_right_type_in_a_file_comes_back_equal(self, data: st.DataObject) -> None:
        annotation, values = data.draw(TYPED)
        value = data.draw(values)
        assert repr(in_file(f"x: {annotation} = ...", value)) == repr(value)

    @PROPERTY
    @given(value=JSON_VALUES)
    def test_the_injected_cell_makes_the_value_that_was_resolved(self, value: Any) -> None:
        resolved = resolve(declared("x = None"), {"x": value}, [])
        assert repr(arrived(resolved)["x"]) == repr(resolved["x"].plain) == repr(value)

    @PROPERTY
    @given(
        text=st.text(),
        source=st.sampled_from(["x: int = 1", "x = None", "x: list[int] = []", "x: date = ''"]),
    )
    def test_any_text_is_taken_or_refused_in_one_line(self, text: str, source: str) -> None:
        try:
            flag(source, text)
        except DerivaMLRequestError as refusal:
            assert "\n" not in str(refusal)


class TestReadingANotebook:
    """A file that is no notebook is refused with the mend."""

    def test_a_notebook_is_read_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "naïve {name}.ipynb"
        path.write_text(json.dumps(notebook("x = 'é'"), ensure_ascii=False), encoding="utf-8")
        assert read_notebook(path) == notebook("x = 'é'")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("", "not valid JSON"),
            ("{", "not valid JSON"),
            ("[]", "no notebook"),
            ('{"nbformat_minor": 5, "cells": [], "metadata": {}}', "lacks a number 'nbformat'"),
            ('{"nbformat": 4, "cells": [], "metadata": {}}', "or 'nbformat_minor'"),
            ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "a list of 'cells'"),
            ('{"nbformat": 4, "nbformat_minor": 5, "cells": []}', "or 'metadata'"),
            ('{"nbformat": 4, "metadata": {}, "cells": ["x"]}', "cell 1 of .* is damaged"),
            (
                '{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": {}, "source": ""}]}',
                "or 'outputs'",
            ),
            (json.dumps(notebook(source=[1])), "cell 2 of .* is damaged"),
            ('{"nbformat": 5, "metadata": {}, "cells": []}', "format 5, which is not known here"),
            ('{"nbformat": 3, "worksheets": []}', "old notebook format 3.*nbconvert"),
            ('{\n<<<<<<< HEAD\n"cells": [],\n=======\n>>>>>>> other\n}', "line 2: unresolved merge conflict"),
        ],
    )
    def test_a_file_that_is_no_notebook(self, tmp_path: Path, content: str, complaint: str) -> None:
        path = tmp_path / "analysis.ipynb"
        path.write_text(content)
        with pytest.raises(DerivaMLRequestError, match=complaint) as refusal:
            read_notebook(path)
        assert "analysis.ipynb" in str(refusal.value)

    def test_a_file_in_another_encoding(self, tmp_path: Path) -> None:
        path = tmp_path / "analysis.ipynb"
        path.write_bytes(json.dumps(notebook("x = 'é'"), ensure_ascii=False).encode("latin-1"))
        with pytest.raises(DerivaMLRequestError, match="not UTF-8"):
            read_notebook(path)

    @pytest.mark.parametrize("wrong", ["my_analysys.ipynb", "my_analysis", "My-Analysis.ipynb", "notebooks"])
    def test_a_wrong_name_is_answered_with_the_nearest_notebook(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "notebooks" / "my_analysis.ipynb").write_text("{}")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DerivaMLRequestError) as refusal:
            read_notebook(Path(wrong))
        named = str(Path("notebooks", "my_analysis.ipynb")) in str(refusal.value)
        assert named or wrong == "notebooks"

    def test_a_script_is_not_a_notebook(self, tmp_path: Path) -> None:
        (tmp_path / "train.py").write_text("x = 1")
        with pytest.raises(DerivaMLRequestError, match="does not end in .ipynb"):
            read_notebook(tmp_path / "train.py")


class TestInspection:
    """``--inspect`` shows what can be set."""

    def test_a_table_with_name_type_default_and_comment(self) -> None:
        text = describe(
            declared("rate: float = 0.001  # step size\nlayers = [\n    1,  # in\n    2,\n]\nseed: int")
        )
        assert text.splitlines() == [
            "name    type   default     comment",
            "rate    float  0.001       step size",
            "layers  list   [1, 2]",
            "seed    int    (required)",
        ]

    def test_a_notebook_without_a_parameters_cell_says_how_to_add_one(self) -> None:
        assert "tag it 'parameters'" in describe(None)
        assert "no variables" in describe([])

    def test_a_very_long_default_is_cut(self) -> None:
        assert max(map(len, describe(declared(f"x = {list(range(100))}")).splitlines())) < 100

    def test_looking_at_a_notebook_loads_no_heavy_library(self, tmp_path: Path) -> None:
        """What makes ``--inspect`` answer at once; only a value that is given is fitted with one."""
        path = tmp_path / "analysis.ipynb"
        path.write_text(json.dumps(notebook("x: list[int] = []")))
        script = (
            "import sys; from pathlib import Path; from deriva_ml.notebook.document import read_notebook\n"
            "from deriva_ml.notebook.parameters import *\n"
            f"found = parameters_of(read_notebook(Path({str(path)!r}))); describe(found)\n"
            "resolve(found, {}, [])\n"
            "print({'pydantic', 'nbformat', 'papermill', 'yaml', 'hydra', 'pandas', 'IPython'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "set()"
