"""The type that a parameters cell declares is what arrives in the kernel, or the value is refused before it starts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

import pytest

from declaring import declared, flag, given, in_file
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.parameters import resolve

ENUMS = """
from enum import Enum, IntEnum, StrEnum
from enum import Enum as Choice
import enum

class Mode(Enum):
    fast = "quick"
    full = "all of it"
    third = 3
    pair = (1, 2)
    @property
    def slow(self): return self is Mode.full

class Level(IntEnum):
    low = 1
    high = 2

class Text(StrEnum):
    one = "1"
    two = "2"

class Colour(str, Choice):
    red = "r"

class Base(enum.Enum):
    pass

class Derived(Base):
    a = 1

class Plain:
    a = 1
"""
IMPORTED = """
import types, enum
Mode = enum.Enum("Mode", {"fast": "quick", "third": 3})
modes = types.SimpleNamespace(Mode=Mode)
"""
SEEN = "from elsewhere import Mode\nimport modes"


class TestTypes:
    """Each arrives as itself, written with the constructor that the annotation names."""

    @pytest.mark.parametrize(
        ("source", "text", "value", "plain"),
        [
            ("x: set[int] = {1}", "[1, 1, 2]", {1, 2}, [1, 2]),
            ("x: set[str] = {'a'}", "[]", set(), []),
            ("x = {1, 2}", "[3, 3]", {3}, [3]),
            ("x: frozenset[str] = frozenset()", '["b", "a"]', frozenset({"a", "b"}), ["a", "b"]),
            ("x: frozenset[str] = frozenset('a')", "[]", frozenset(), []),
            ("x: typing.FrozenSet[int] = None", "[1]", frozenset({1}), [1]),
            ("x: tuple[int, int] = (1, 2)", "[4, 5]", (4, 5), [4, 5]),
            ("x: tuple[int, ...] = ()", "[4]", (4,), [4]),
            ("x: tuple[Path, float] = None", '["a", 1]', (Path("a"), 1.0), ["a", 1.0]),
            ("x: date = date(2024, 1, 1)", "2024-02-03", date(2024, 2, 3), "2024-02-03"),
            ("x: datetime = None", "2024-02-03", datetime(2024, 2, 3), "2024-02-03T00:00:00"),
            (
                "x: datetime = None",
                "2024-02-03T10:00:00.5Z",
                datetime(2024, 2, 3, 10, 0, 0, 500000, tzinfo=UTC),
                "2024-02-03T10:00:00.500000+00:00",
            ),
            ("x: time = None", "10:30", time(10, 30), "10:30:00"),
            ("x: time = None", "10:30+00:00", time(10, 30, tzinfo=UTC), "10:30:00+00:00"),
            ("x: timedelta = None", "PT1H30M", timedelta(hours=1.5), "PT1H30M"),
            ("x: timedelta = None", "-P1D", timedelta(days=-1), "-P1D"),
            ("x: Path = Path('data')", "other/x y", Path("other/x y"), "other/x y"),
            ("x: PurePath = None", "a'\"b\\c", PurePath("a'\"b\\c"), "a'\"b\\c"),
            ("x: Decimal = Decimal('1')", "1.10", Decimal("1.10"), "1.10"),
            ("x: Decimal | None = None", "1.10", Decimal("1.10"), "1.10"),
            (
                "x: list[Decimal] = []",
                "[1.10, 2, 0.1000000000000000055]",
                [Decimal("1.10"), Decimal(2), Decimal("0.1000000000000000055")],
                ["1.10", "2", "0.1000000000000000055"],
            ),
            (
                "x: UUID = None",
                "12345678123456781234567812345678",
                UUID(int=0x12345678123456781234567812345678),
                "12345678-1234-5678-1234-567812345678",
            ),
            ("x: complex = 0j", "1 + 2j", 1 + 2j, "(1+2j)"),
            ("x: complex = 0j", "inf-infj", complex("inf-infj"), "(inf-infj)"),
            ("x: bytes = b''", "abc", b"abc", "b'abc'"),
            ("x: bytes = b''", r"b'\xff'", b"\xff", r"b'\xff'"),
            ("x: list[Path] = []", '["a", "b"]', [Path("a"), Path("b")], ["a", "b"]),
            ("x: dict[str, date] = {}", '{"a": "2024-02-03"}', {"a": date(2024, 2, 3)}, {"a": "2024-02-03"}),
            ("x: dict[int, list[date]] = {}", '{"1": []}', {1: []}, {"1": []}),
            ("x: dict[date, int] = {}", '{"2024-02-03": 1}', {date(2024, 2, 3): 1}, {"2024-02-03": 1}),
            ("x: Optional[Path] = Path('a')", "null", None, None),
            ("x: Path | None = None", "12", Path("12"), "12"),
            ("x: int | Path = 1", "a", Path("a"), "a"),
            ("x: 'list[\"Path\"]' = []", '["a"]', [Path("a")], ["a"]),
            ("x: Annotated[Final[date], 1] = None", "2024-02-03", date(2024, 2, 3), "2024-02-03"),
            ("x: Literal['1', 2, None] = 2", "1", "1", "1"),
            ("Size = tuple[int, int]\nx: Size = (1, 1)", "[1, 2]", (1, 2), [1, 2]),
            # Where nothing is annotated, the call that the default is tells the type.
            ("x = date(2024, 1, 1)", "2024-02-03", date(2024, 2, 3), "2024-02-03"),
            ("x = Path('a') / 'b'", "c", Path("c"), "c"),
            ("x = frozenset({1})", "[2]", frozenset({2}), [2]),
            ("x = int(os.environ['N'])", "3", 3, 3),
        ],
    )
    def test_a_value_arrives_as_the_declared_type(
        self, source: str, text: str, value: Any, plain: Any
    ) -> None:
        made = flag(source, text)
        assert (repr(made), type(made)) == (repr(value), type(value))
        assert given(source, text).plain == plain

    @pytest.mark.parametrize(
        ("before", "annotation", "text", "source"),
        [
            ("from datetime import date", "date", "2024-02-03", "date(2024, 2, 3)"),
            ("import datetime", "datetime.date", "2024-02-03", "datetime.date(2024, 2, 3)"),
            ("import datetime as dt", "dt.date", "2024-02-03", "dt.date(2024, 2, 3)"),
            ("from datetime import date as D", "D | None", "2024-02-03", "D(2024, 2, 3)"),
            ("from datetime import datetime", "datetime", "2024-02-03 10:00", "datetime(2024, 2, 3, 10, 0)"),
            ("from pathlib import Path", "Path", "a", 'Path("a")'),
            ("import pathlib", "pathlib.PurePath", "a", 'pathlib.PurePath("a")'),
            ("if True:\n    import decimal as d", "list[d.Decimal]", "[1.10]", '[d.Decimal("1.10")]'),
            ("%load_ext autoreload\nfrom pathlib import Path as P", "P", "a", 'P("a")'),
            ("%%time\nfrom pathlib import Path as P", "P", "a", 'P("a")'),
            ("import typing as t\nfrom pathlib import Path", "t.Optional[Path]", "a", 'Path("a")'),
            # What is not there, or no longer it, is called by no name that the notebook has.
            ("", "'pathlib.Path'", "a", '__import__("pathlib").Path("a")'),
            ("", "str", "a", '"a"'),
            ("", "str", "a\n\u2028'\"", r"""'a\n\u2028\'"'"""),
        ],
    )
    def test_the_injected_cell_is_written_as_the_notebook_writes(
        self, before: str, annotation: str, text: str, source: str
    ) -> None:
        assert given(f"x: {annotation} = None", text, before).source == source

    def test_a_parameter_named_as_its_type(self) -> None:
        before = "from datetime import date"
        values = resolve(declared("date: date = date(2024, 1, 1)", before), {}, [("date", "2024-02-03")])
        assert values["date"].source == '__import__("datetime").date(2024, 2, 3)'

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("x: set[int] = set()", "[1, 'a']"),
            ("x: set[int] = set()", "1"),
            ("x: tuple[int, int] = (1, 2)", "[1, 2, 3]"),
            ("x: date = None", "20240203T10"),
            ("x: time = None", "1"),
            ("x: timedelta = None", "90"),
            ("x: list[timedelta] = []", "[90]"),
            ("x: Decimal = None", "1,10"),
            ("x: list[Decimal] = []", "[true]"),
            ("x: UUID = None", "12"),
            ("x: complex = 0j", "i"),
            ("x: Path = None", "\udcff"),
            ("x: list[Path] = []", "[1]"),
            ("x: Literal['a', 1] = 1", "b"),
            ("x: float = 0.0", "1e400"),
            ("x: list[float] = []", "[1e-400]"),
            ("x: dict[str, int] = {}", '{"a": 1, "a": 2}'),
            ("x: list = []", "[" * 250 + "]" * 250),
            ("x: list = []", "[" * 900 + "]" * 900),
        ],
    )
    def test_what_does_not_fit_is_refused(self, source: str, text: str) -> None:
        with pytest.raises(DerivaMLRequestError, match="parameter 'x' takes ") as refusal:
            flag(source, text)
        assert "\n" not in str(refusal.value)


class TestEnums:
    """A member is given by its name, or else by its value."""

    @pytest.mark.parametrize(
        ("annotation", "text", "source"),
        [
            ("Mode", "fast", "Mode.fast"),
            ("Mode", "quick", "Mode.fast"),
            ("Mode", "all of it", "Mode.full"),
            ("Mode", "3", "Mode.third"),
            ("Mode", "[1, 2]", None),
            ("Mode", "(1, 2)", "Mode.pair"),
            ("Level", "high", "Level.high"),
            ("Level", "2", "Level.high"),
            ("Text", "2", "Text.two"),
            ("Colour", "r", "Colour.red"),
            ("Derived", "a", "Derived.a"),
            ("Mode | None", "null", "None"),
            ("set[Mode]", '["full", "fast"]', "{Mode.fast, Mode.full}"),
            ("dict[Mode, tuple[Level, ...]]", '{"fast": ["low", 2]}', "{Mode.fast: (Level.low, Level.high)}"),
        ],
    )
    def test_of_the_notebooks_own_enum(self, annotation: str, text: str, source: str | None) -> None:
        if source is None:
            with pytest.raises(DerivaMLRequestError, match="its members are fast, full, third, pair"):
                given(f"x: {annotation} = None", text, ENUMS)
            return
        made = given(f"x: {annotation} = None", text, ENUMS)
        assert made.source == source
        flag(f"x: {annotation} = None", text, ENUMS)

    def test_without_an_annotation_the_default_tells(self) -> None:
        [x] = declared("x = Mode.fast", ENUMS)
        assert x.type_name == "Mode"
        assert given("x = Mode.fast", "full", ENUMS).source == "Mode.full"
        assert in_file("x = Level.low", 2, ENUMS) == 2

    @pytest.mark.parametrize("text", ["nonsense", "slow", "3.0", "true", "", "Mode.fast"])
    def test_another_word_is_refused_with_the_members(self, text: str) -> None:
        with pytest.raises(DerivaMLRequestError, match="its members are fast, full, third, pair$"):
            given("x: Mode = Mode.fast", text, ENUMS)

    @pytest.mark.parametrize(
        ("default", "annotation", "text", "name"),
        [
            ("Mode.fast", "Mode", "fast", "fast"),
            ("Mode.fast", "Mode", "quick", "fast"),
            ("Mode.fast", "Mode", "3", "third"),
            ("modes.Mode.fast", "modes.Mode", "third", "third"),
            ("Mode['fast']", "Mode", "third", "third"),
            ("[Mode.fast]", "list[Mode]", '["third"]', "third"),
        ],
    )
    def test_of_an_imported_one_the_kernel_finds_the_member(
        self, default: str, annotation: str, text: str, name: str
    ) -> None:
        namespace: dict[str, Any] = {}
        exec(IMPORTED, namespace)
        made = eval(given(f"x: {annotation} = {default}", text, SEEN).source, namespace)
        assert (made[0] if isinstance(made, list) else made).name == name

    def test_of_an_imported_one_the_kernel_says_what_is_no_member(self) -> None:
        namespace: dict[str, Any] = {}
        exec(IMPORTED, namespace)
        with pytest.raises(ValueError, match="'nonsense' is not a valid Mode"):
            eval(given("x: Mode = Mode.fast", "nonsense", SEEN).source, namespace)


class TestUnknownTypes:
    """Of a type that is not known here, the default tells what may be given, or nothing may."""

    @pytest.mark.parametrize(
        ("source", "text", "value"),
        [
            ("x: np.ndarray = [1.0]", "[1, 2]", [1, 2]),
            ("x: Model = 'small'", "large", "large"),
            ("x: Size = (1, 2)", "[3, 4]", (3, 4)),
            ("x: Plain = 1", "2", 2),
            ("x: Literal[Mode.fast] = 'a'", "b", "b"),
        ],
    )
    def test_the_literal_default_tells(self, source: str, text: str, value: Any) -> None:
        assert flag(source, text, ENUMS + "\nimport array as np") == value

    @pytest.mark.parametrize(
        "default", ["", " = None", " = make()", " = np.array([1])", " = Foo(1)", " = Foo.make()"]
    )
    @pytest.mark.parametrize("annotation", ["Foo", "np.ndarray", "list[Foo]", "Foo | None", "Plain", "1 + 1"])
    def test_where_neither_tells_it_is_refused(self, annotation: str, default: str) -> None:
        before = ENUMS + "\nimport numpy as np\nfrom foo import Foo"
        with pytest.raises(
            DerivaMLRequestError, match="parameter 'x' has the type .*, which is not known here"
        ):
            given(f"x: {annotation}{default}", "1", before)

    @pytest.mark.parametrize("module", ["mylib", "mylib.pathlib"])
    def test_a_name_that_is_imported_from_elsewhere_is_another_type(self, module: str) -> None:
        with pytest.raises(DerivaMLRequestError, match="has the type Path, which is not known"):
            given("x: Path = None", "a", f"from {module} import Path")

    def test_a_class_of_the_notebook_is_another_type(self) -> None:
        with pytest.raises(DerivaMLRequestError, match="has the type Path, which is not known"):
            given("x: Path = None", "a", "class Path: pass")
