"""What a parameters cell declares, what a person may give, and what is refused before a kernel starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.parameters import (
    Parameter,
    Unevaluated,
    describe,
    load_parameter_file,
    parameters_of,
    read_notebook,
    resolve,
)

SOURCE = Path(__file__).resolve().parent.parent / "template" / "src"


def notebook(
    source: str | list[str], cell_type: str = "code", tags: tuple[str, ...] = ("parameters",)
) -> dict:
    """A notebook whose second cell is tagged."""
    cells = [
        {"cell_type": "code", "metadata": {}, "source": "import os", "outputs": []},
        {"cell_type": cell_type, "metadata": {"tags": list(tags)}, "source": source, "outputs": []},
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}


def declared(source: str) -> list[Parameter]:
    """The parameters of a notebook whose tagged cell holds `source`."""
    parameters = parameters_of(notebook(source))
    assert parameters is not None
    return parameters


def flag(source: str, text: str) -> Any:
    """The value that ``-p x TEXT`` gives to the parameter x that `source` declares."""
    return resolve(declared(source), {}, [("x", text)])["x"]


def in_file(source: str, value: Any) -> Any:
    """The value that a parameter file with ``x: VALUE`` gives to the parameter x that `source` declares."""
    return resolve(declared(source), {"x": value}, [])["x"]


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
            ("x: tuple[int, str] = (1, 'a')", '[2, "b"]', [2, "b"]),
            ("x = (1, 2)", "3, 4, 5", [3, 4, 5]),
            ("x: dict[str, float] = {}", '{"a": 1}', {"a": 1.0}),
            ("x = [(0, 1)]", "[(0, 2)]", [[0, 2]]),
            ("x: set[str] = set()", '["b", "a"]', ["b", "a"]),
            ("x: Union[int, str] = 1", "7", 7),
            ("x: Union[int, str] = 1", "seven", "seven"),
            ("x: Literal['fast', 'slow'] = 'fast'", "slow", "slow"),
            ("x: Annotated[int, 'how many'] = 1", "2", 2),
            ("x: Any = 1", '{"a": [true]}', {"a": [True]}),
            ("x: pathlib.Path = Path('.')", "./data/", "./data/"),
            ("x: Path = Path('.')", "2024", "2024"),
            ("x: date = '2024-01-01'", "2024-02-29", "2024-02-29"),
            ("x: datetime.datetime = None", "2024-02-29 10:00", "2024-02-29T10:00:00"),
            ("x: np.ndarray = [1.0]", "[1, 2]", [1, 2]),
            ("x: Model = None", "large", "large"),
            ("x: list[Model] = None", '["large"]', ["large"]),
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
            ("x: date = None", "2024-01-31", "2024-01-31"),
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
        assert values == {"x": 2, "y": 4}

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
            ("x: dict[int, str] = {}", {1: "a"}),
            ("x = None", {1: "a"}),
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
    def test_papermill_injects_the_value_that_was_resolved(self, value: Any) -> None:
        from papermill.translators import PythonTranslator

        injected: dict[str, Any] = {}
        exec(PythonTranslator.codify(resolve(declared("x = None"), {"x": value}, [])), injected)
        assert repr(injected["x"]) == repr(value)

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


class TestParameterFiles:
    """``--file`` takes a mapping of names to values, in JSON or YAML."""

    @pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
    def test_json_and_yaml_with_either_suffix(self, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / f"values{suffix}"
        file.write_text('{"name": "Zoë", "rate": 0.5, "layers": [1, 2], "none": null}', encoding="utf-8")
        assert load_parameter_file(file) == {"name": "Zoë", "rate": 0.5, "layers": [1, 2], "none": None}

    def test_a_date_in_yaml_stays_the_text_that_was_written(self, tmp_path: Path) -> None:
        file = tmp_path / "values.yaml"
        file.write_text("day: 2024-01-31\nlabel: 2024-01-31 10:00\n")
        values = load_parameter_file(file)
        assert values == {"day": "2024-01-31", "label": "2024-01-31 10:00"}
        assert resolve(declared("day: date = None\nlabel: str = ''"), values, []) == values

    @pytest.mark.parametrize(
        ("name", "content", "complaint"),
        [
            ("v.txt", "x: 1", "must end in .json, .yaml or .yml"),
            ("v.yaml", "", "is empty"),
            ("v.json", " \n", "is empty"),
            ("v.yaml", "# nothing yet\n", "is empty"),
            ("v.json", '{"x": 1,\n "y" 2}', "is not valid JSON: .*line 2"),
            ("v.yaml", "x: 1\ny: [1\nz: 2\n", "is not valid YAML: .*line 3"),
            ("v.yaml", "x: \x00", "is not valid YAML"),
            ("v.yaml", "x: !!python/object/apply:os.getcwd []", "is not valid YAML"),
            ("v.yml", "- x\n- y\n", "holds a list, not a mapping"),
            ("v.json", '"x"', "holds a str, not a mapping"),
            ("v.yaml", "on: 1", "name True is not text"),
            ("v.json", "[" * 100_000, "not valid JSON|recursion"),
        ],
    )
    def test_a_file_that_cannot_be_used(
        self, tmp_path: Path, name: str, content: str, complaint: str
    ) -> None:
        file = tmp_path / name
        file.write_text(content)
        with pytest.raises(DerivaMLRequestError, match=complaint) as refusal:
            load_parameter_file(file)
        assert name in str(refusal.value)

    def test_a_missing_file_and_one_that_is_not_text(self, tmp_path: Path) -> None:
        with pytest.raises(DerivaMLRequestError, match="there is no parameter file"):
            load_parameter_file(tmp_path / "none.yaml")
        (tmp_path / "latin.yaml").write_bytes("name: Zoë".encode("latin-1"))
        with pytest.raises(DerivaMLRequestError, match="not UTF-8"):
            load_parameter_file(tmp_path / "latin.yaml")


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
            "import sys; from pathlib import Path; from deriva_ml.notebook.parameters import *\n"
            f"found = parameters_of(read_notebook(Path({str(path)!r}))); describe(found)\n"
            "resolve(found, {}, [])\n"
            "print({'pydantic', 'nbformat', 'papermill', 'yaml', 'hydra', 'pandas'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "set()"
