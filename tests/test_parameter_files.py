"""What a parameter file says is what arrives, or it is refused before a kernel starts."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from declaring import arrived, declared, in_file
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.parameter_file import load_parameter_file
from deriva_ml.notebook.parameters import resolve


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
        assert arrived(resolve(declared("day: date = None\nlabel: str = ''"), values, [])) == {
            "day": date(2024, 1, 31),
            "label": "2024-01-31 10:00",
        }

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
            ("v.yaml", "true: 1", "name true is not text"),
            ("v.yaml", "~: 1", "name null is not text"),
            ("v.yaml", "0x10: 1", "name 0x10 is not text"),
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


class TestWhatIsWritten:
    """A word that YAML reads as something else than the eye does is refused, with what the file says and the mend."""

    @pytest.mark.parametrize(
        "word",
        ["010", "0012", "-017", "+010", "0_12", "08", "1:30", "-1:30", "12:30:45", "190:20:30.15", "1:0.5"]
        + ["1e400", "-1.0e+400", "1E999", "1e-400", "0.1e-999"],
    )
    @pytest.mark.parametrize("place", ["x: {}", "x: [{}]", "x: {{a: {}}}", "a: 1\nx: !!int {}"])
    def test_a_number_that_would_be_read_as_another_is_refused(
        self, tmp_path: Path, word: str, place: str
    ) -> None:
        with pytest.raises(DerivaMLRequestError) as refusal:
            load(tmp_path, place.format(word) + "  # how many\n")
        message = str(refusal.value)
        line = place.count("\n") + 1
        assert message.startswith(f"parameter file {tmp_path / 'v.yaml'}: line {line}: {word} ")
        assert "\n" not in message

    @pytest.mark.parametrize("word", ["'010'", '"1:30"', "!!str 0012", "'1e400'"])
    def test_in_quotes_it_is_the_text(self, tmp_path: Path, word: str) -> None:
        text = word.removeprefix("!!str ").strip("'\"")
        assert load(tmp_path, f"x: {word}") == {"x": text}

    @pytest.mark.parametrize(
        ("word", "value"),
        [
            ("12", 12),
            ("-3", -3),
            ("+3", 3),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0o17", 15),
            ("0b101", 5),
            ("0", 0),
            ("1e3", 1000.0),
            ("1e-3", 0.001),
            ("-1.5E+2", -150.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("0.0", 0.0),
            (".inf", float("inf")),
            ("-.INF", float("-inf")),
            ("~", None),
            ("", None),
            ("NULL", None),
            ("true", True),
            ("FALSE", False),
            ("tRUE", "tRUE"),
            ("=", "="),
            ("09:30", "09:30"),
            ("1.2.3", "1.2.3"),
            ("2024-01-31", "2024-01-31"),
            ("1,5", "1,5"),
            ("_1", "_1"),
        ],
    )
    def test_what_all_read_alike_is_read(self, tmp_path: Path, word: str, value: Any) -> None:
        read = load(tmp_path, f"x: {word}")["x"]
        assert read == value
        assert isinstance(read, type(value))

    @pytest.mark.parametrize(
        ("source", "word", "value"),
        [
            ("x: bool = True", "no", False),
            ("x: bool = False", "On", True),
            ("x: str = ''", "no", "no"),
            ("x: list[str] = []", "[no, dk, on]", ["no", "dk", "on"]),
            ("x: Literal['yes', 'no'] = 'yes'", "no", "no"),
            ("x: float = 0.0", "1e-3", 0.001),
            ("x: int = 0", "1e3", 1000),
            ("x: Decimal = Decimal(0)", "1.10", Decimal("1.10")),
            ("x: list[Decimal] = []", "[1.10, 2]", [Decimal("1.10"), Decimal("2")]),
            ("x: date = None", "2024-01-31", date(2024, 1, 31)),
            ("x: date = None", "!!timestamp 2024-01-31", date(2024, 1, 31)),
            ("x: time = None", "'10:30'", time(10, 30)),
        ],
    )
    def test_the_declared_type_tells_what_a_word_means(
        self, tmp_path: Path, source: str, word: str, value: Any
    ) -> None:
        made = in_file(source, load(tmp_path, f"x: {word}")["x"])
        assert repr(made) == repr(value)

    @pytest.mark.parametrize(
        ("source", "word", "complaint"),
        [
            ("x: str = ''", "1_000", "takes str, not 1_000 "),
            ("x: str = ''", "1.10", "takes str, not 1.10 "),
            ("x: str = ''", "0x1F", "takes str, not 0x1F "),
            ("x: str = ''", "true", "takes str, not true "),
            ("x: str = ''", "~", "takes str, not null "),
            ("x: list[str] = []", "[a, 1e3]", r"not 1e3 at \[1\]"),
            ("x: int = 0", "1.50", "takes int, not 1.50 "),
            ("x = None", "no", "no may be text or a truth value: write false, or 'no' in quotes"),
            ("x: dict = {}", "{a: On}", "On may be text or a truth value: write true, or 'On' in quotes"),
        ],
    )
    def test_a_refusal_says_what_the_file_says(
        self, tmp_path: Path, source: str, word: str, complaint: str
    ) -> None:
        with pytest.raises(DerivaMLRequestError, match=complaint):
            in_file(source, load(tmp_path, f"x: {word}")["x"])

    @pytest.mark.parametrize(
        ("name", "content", "twice"),
        [
            ("v.yaml", "x: 1\ny: 2\nx: 3\n", "line 3: the name 'x'"),
            ("v.yaml", "y:\n  a: 1\n  'a': 2\n", "line 3: the name 'a'"),
            ("v.yaml", "größe: 1\ngro\u0308ße: 2\n", "the name 'größe'"),
            ("v.json", '{"x": 1, "x": 2}', "the name 'x'"),
            ("v.json", '{"y": [{"a": 1, "a": 1}]}', "the name 'a'"),
        ],
    )
    def test_a_name_that_stands_there_twice(
        self, tmp_path: Path, name: str, content: str, twice: str
    ) -> None:
        with pytest.raises(DerivaMLRequestError, match=f"{name}: {twice} stands there twice"):
            load(tmp_path, content, name)

    @pytest.mark.parametrize("number", ["1E400", "-1e999", "1e-400"])
    def test_numbers_in_json_that_no_float_can_be(self, tmp_path: Path, number: str) -> None:
        with pytest.raises(DerivaMLRequestError, match=f"v.json: {number} is too (large|small) for a float"):
            load(tmp_path, f'{{"x": [{number}]}}', "v.json")

    def test_what_is_merged_may_be_overridden(self, tmp_path: Path) -> None:
        content = "base: &base {a: 1, b: 2}\nmore: &more\n  <<: *base\n  b: 3\nmost:\n  <<: *more\n  a: 4\n"
        assert load(tmp_path, content)["most"] == {"a": 4, "b": 3}
        both = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\n<<: [*a, *b]\nz: 3\n"
        assert load(tmp_path, both) == {"a": {"x": 1, "y": 1}, "b": {"x": 2, "z": 2}, "x": 1, "y": 1, "z": 3}
        with pytest.raises(DerivaMLRequestError, match="v.yaml: line 2: << takes a mapping"):
            load(tmp_path, "a: &a [1]\n<<: *a\n")

    def test_a_value_that_holds_itself(self, tmp_path: Path) -> None:
        with pytest.raises(DerivaMLRequestError, match="cyclic reference"):
            in_file("x: list = []", load(tmp_path, "x: &x [*x]")["x"])

    def test_a_name_in_decomposed_unicode_is_that_of_the_notebook(self, tmp_path: Path) -> None:
        values = load(tmp_path, "gro\u0308ße: 2")
        assert arrived(resolve(declared("größe: int = 1"), values, [])) == {"größe": 2}


def load(folder: Path, content: str, name: str = "v.yaml") -> dict[str, Any]:
    (folder / name).write_text(content, encoding="utf-8")
    return load_parameter_file(folder / name)
