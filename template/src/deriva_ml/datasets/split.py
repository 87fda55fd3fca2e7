"""Divides files, or rows, into parts of given sizes by chance: the same ones always, whatever their order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from deriva_ml.exceptions import DerivaMLRequestError

NAMES = {2: ("train", "test"), 3: ("train", "validation", "test")}
"""What parts are called, by how many there are."""

ROUNDED = Fraction(1, 100)
"""By how much the sum of fractions may miss 1: three of 0.33 are thirds."""


class Unit(NamedTuple):
    """What is in one part as a whole: a file, or a group of them.

    Attributes:
        key: by which chance has its place.
        stratum: that each part is to have its fraction of.
        weight: how many files it is.
    """

    key: str
    stratum: str = ""
    weight: int = 1


def divide(units: Iterable[Unit], fractions: Sequence[Fraction], seed: int = 0) -> dict[str, int]:
    """Return the number of the part, from 0, that each unit is in, by its key.

    A unit's place in the order of chance is made of the seed and its key alone. So the parts do not depend on the order
    in which units are given, and one that is added or removed moves no others but those at the parts' borders. What a
    stratum's parts cannot have exactly, the next strata make up for: each part has its fraction of each stratum, and of
    all, but for one unit's weight.
    """
    strata = defaultdict[str, list[Unit]](list)
    for unit in units:
        strata[unit.stratum].append(unit)
    # Whole numbers add up to the same on every machine.
    whole = lcm(*(one.denominator for one in fractions))
    shares = [int(one * whole) for one in fractions]
    lacking = [0] * len(shares)
    parts: dict[str, int] = {}
    for _, stratum in sorted(strata.items()):
        weight = sum(unit.weight for unit in stratum)
        lacking = [one + weight * share for one, share in zip(lacking, shares, strict=True)]
        for unit in sorted(stratum, key=lambda unit: (_chance(seed, unit.key), unit.key)):
            size = unit.weight * whole
            # The first part that comes nearer to its fraction so; else the one that lacks the most.
            fitting = (place for place, lack in enumerate(lacking) if 2 * lack >= size)
            part = next(fitting, max(range(len(lacking)), key=lacking.__getitem__))
            parts[unit.key] = part
            lacking[part] -= size
    return parts


def _chance(seed: int, key: str) -> float:
    """Return a number from 0 to 1 that every Python makes of these (https://docs.python.org/3/library/random.html)."""
    return random.Random(f"{seed} {key}").random()


def grouped(
    keys: Iterable[str], strata: Iterable[str], groups: Iterable[str] | None = None
) -> tuple[list[Unit], dict[str, str]]:
    """Return units of files, or of those that are in one group, and the unit's key by each file's.

    Args:
        groups: of each file; by default it is one of its own. A group's stratum is that of most of its files.
    """
    unit_of: dict[str, str] = {}
    votes = defaultdict[str, Counter[str]](Counter)
    keys = [*keys]
    for key, stratum, group in zip(keys, strata, keys if groups is None else groups, strict=True):
        unit_of[key] = group
        votes[group][stratum] += 1
    units = [
        Unit(one, min(count, key=lambda s: (-count[s], s)), count.total()) for one, count in votes.items()
    ]
    return units, unit_of


def parse_fractions(text: str) -> list[Fraction]:
    """Return the fractions that a text such as ``0.8,0.2`` or ``2/3,1/3`` says, which sum to 1.

    Raises:
        DerivaMLRequestError: they do not, one is none, or there is only one.
    """
    try:
        found = [Fraction(word.strip()) for word in text.split(",")]
    except (ValueError, ZeroDivisionError) as error:
        raise DerivaMLRequestError(f"{text!r} are no fractions: give such as 0.8,0.2") from error
    if len(found) < 2 or min(found) <= 0:
        raise DerivaMLRequestError(f"{text!r} makes no parts: give two fractions or more, each above 0")
    total = sum(found, Fraction())
    if abs(total - 1) > ROUNDED:
        raise DerivaMLRequestError(f"the fractions {text} sum to {float(total):g}, and not to 1")
    return [one / total for one in found]


def part_names(name: str, count: int, given: Sequence[str] = ()) -> list[str]:
    """Return the names of the datasets that are made of another one.

    Args:
        name: the other one's.
        given: what they are to be called; by default ``NAME-train`` and so on.

    Raises:
        DerivaMLRequestError: there are not as many names, or one twice.
    """
    if given:
        if len(given) != count or len({*given}) != count:
            raise DerivaMLRequestError(
                f"--names gives {', '.join(given)}: {count} different names are needed"
            )
        return [*given]
    if count not in NAMES:
        raise DerivaMLRequestError(f"{count} parts have no names of their own: give --names")
    return [f"{name}-{part}" for part in NAMES[count]]


def part_types(count: int) -> Iterator[str]:
    """Yield the type of each part: what is trained on, validated by in between, and tested by."""
    yield "Training"
    yield from ["Validation"] * (count - 2)
    yield "Testing"


def check_filled(parts: Collection[int], fractions: Sequence[Fraction], what: str) -> None:
    """See that no part is empty.

    Raises:
        DerivaMLRequestError: one is.
    """
    for place, fraction in enumerate(fractions):
        if place not in parts:
            raise DerivaMLRequestError(
                f"the part of {float(fraction):g} would be empty: there are not enough {what} for it"
            )
