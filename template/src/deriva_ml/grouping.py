"""Puts things together: by what they have in common, in order, or as many as are handled at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the second of each pair in a list by the first; both stay in order."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def ordered(items: Iterable[Any]) -> list[Any]:
    """Return what came in no order, such as a set's items, in the same order each time."""
    items = [*items]
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def parted(
    items: Iterable[V], size_of: Callable[[V], int], most: tuple[int, int]
) -> Generator[list[V], None, None]:
    """Return things in lists, each of which ends with so many, or once they come to so many bytes."""
    part: list[V] = []
    size = 0
    for one in items:
        part.append(one)
        size += size_of(one)
        if len(part) >= most[0] or size >= most[1]:
            yield part
            part, size = [], 0
    if part:
        yield part
