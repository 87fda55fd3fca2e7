"""A split is what was asked for: sizes, strata and groups; the same one always, whatever the order of files."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import SOURCE
from deriva_ml.datasets.split import (
    Unit,
    check_filled,
    divide,
    grouped,
    parse_fractions,
    part_names,
    part_types,
)
from deriva_ml.exceptions import DerivaMLRequestError

FRACTIONS = st.sampled_from(["0.8,0.2", "0.7,0.15,0.15", "1/3,1/3,1/3", "0.1,0.9"]).map(parse_fractions)
STRATA = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def units_of(sizes: list[int]) -> list[Unit]:
    """So many files in each of some folders."""
    return [Unit(f"{name}/{n}.png", f"{name}") for name, size in enumerate(sizes) for n in range(size)]


@given(STRATA, FRACTIONS, st.integers(0, 3))
def test_each_part_has_its_fraction(sizes: list[int], fractions: list[Fraction], seed: int) -> None:
    """Of all files, and of each stratum, but for a file more or less a part."""
    units = units_of(sizes)
    parts = divide(units, fractions, seed)
    assert parts.keys() == {unit.key for unit in units}
    counts = Counter(parts.values())
    strata = Counter((unit.stratum, parts[unit.key]) for unit in units)
    for place, fraction in enumerate(fractions):
        assert abs(counts[place] - fraction * len(units)) < len(fractions)
        for name, size in enumerate(sizes):
            assert abs(strata[str(name), place] - fraction * size) < len(fractions)


@given(STRATA, FRACTIONS, st.randoms())
def test_the_order_of_files_does_not_matter(
    sizes: list[int], fractions: list[Fraction], order: object
) -> None:
    """The same files give the same parts, in whatever order a folder lists them."""
    units = units_of(sizes)
    shuffled = list(units)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert divide(shuffled, fractions, 5) == divide(units, fractions, 5)


def test_the_seed_decides() -> None:
    """Another seed is another split; one seed is one split in each process."""
    units = units_of([50])
    halves = parse_fractions("0.5,0.5")
    assert divide(units, halves, 0) != divide(units, halves, 1)
    code = (
        "from deriva_ml.datasets.split import *\n"
        "print(divide([Unit(f'{n}.png') for n in range(9)], parse_fractions('2/3,1/3'), 7))"
    )
    env = {"PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": "random"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == str(divide([Unit(f"{n}.png") for n in range(9)], parse_fractions("2/3,1/3"), 7))


def test_a_split_stays_what_it_was() -> None:
    """What this seed gave once it gives in later versions, too, on every Python: recorded splits can be made again."""
    parts = divide([Unit(f"{n}.png") for n in range(10)], parse_fractions("0.7,0.3"), 0)
    assert [key for key, part in sorted(parts.items()) if part] == ["6.png", "7.png", "9.png"]


def test_another_file_moves_few() -> None:
    """One file more moves others over the border of the parts only."""
    fractions = parse_fractions("0.8,0.2")
    before = divide(units_of([100]), fractions)
    after = divide([*units_of([100]), Unit("0/new.png", "0")], fractions)
    assert sum(before[key] != after[key] for key in before) <= 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_groups_stay_together(groups: list[int]) -> None:
    """All files of a group are in one part."""
    keys = [f"{n}.png" for n in range(len(groups))]
    units, unit_of = grouped(keys, [""] * len(keys), [f"g{one}" for one in groups])
    parts = divide(units, parse_fractions("0.5,0.5"))
    by_group = {(group, parts[unit_of[key]]) for key, group in zip(keys, groups, strict=True)}
    assert len(by_group) == len({*groups})
    assert sum(unit.weight for unit in units) == len(keys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.8,0.3", "sum to 1.1, and not to 1"),
        ("1", "makes no parts"),
        ("1,0", "each above 0"),
        ("a,b", "are no fractions"),
        ("1/0,1", "are no fractions"),
        ("nan,1", "are no fractions"),
    ],
)
def test_wrong_fractions_are_refused(text: str, said: str) -> None:
    """In one line that says what is wrong."""
    with pytest.raises(DerivaMLRequestError, match=said):
        parse_fractions(text)


def test_rounded_fractions_are_taken() -> None:
    """Three of 0.33 are thirds."""
    assert parse_fractions("0.33, 0.33,0.33") == [Fraction(1, 3)] * 3


def test_parts_have_names_and_types() -> None:
    """As the field calls them, unless others are given."""
    assert part_names("pets", 2) == ["pets-train", "pets-test"]
    assert part_names("pets", 3) == ["pets-train", "pets-validation", "pets-test"]
    assert part_names("pets", 2, ["a", "b"]) == ["a", "b"]
    assert [*part_types(3)] == ["Training", "Validation", "Testing"]
    for count, names, said in [
        (4, [], "give --names"),
        (2, ["a"], "2 different"),
        (2, ["a", "a"], "2 different"),
    ]:
        with pytest.raises(DerivaMLRequestError, match=said):
            part_names("pets", count, names)


def test_no_part_is_empty() -> None:
    """Too few files for a part are refused."""
    fractions = parse_fractions("0.9,0.1")
    parts = divide(units_of([3]), fractions)
    with pytest.raises(
        DerivaMLRequestError, match=r"the part of 0\.1 would be empty: there are not enough files"
    ):
        check_filled({*parts.values()}, fractions, "files")
