"""Which extras and groups of a project were installed when a record was made, by its packages and its lock file."""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deriva_ml.definitions import normalized_name
from deriva_ml.grouping import grouped


def installed_parts(lock: bytes, packages: Mapping[str, Any], python: str) -> list[str]:
    """Return the options by which uv installs the extras and groups of which a record has all that they consist of.

    uv installs no extra by itself, and of the groups only those that the project's settings name.

    Args:
        lock: ``uv.lock``.
        packages: of the record, with their versions.
        python: the version that ran; empty for this one.
    """
    try:
        known = grouped((str(one["name"]), one) for one in tomllib.loads(lock.decode())["package"])
        project = next(one for held in known.values() for one in held if _is_project(one))
        parts = [
            (option, name, needed)
            for option, table in (("--extra", "optional-dependencies"), ("--group", "dev-dependencies"))
            for name, needed in project.get(table, {}).items()
        ]
        lock_of = _Lock(
            known, {normalized_name(name): str(version) for name, version in packages.items()}, python
        )
        found = [(option, name) for option, name, needed in parts if needed and lock_of.has_all(needed)]
    except (
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        StopIteration,
    ):  # uv says what is wrong with it
        return []
    return [word for part in found for word in part]


def _is_project(package: Mapping[str, Any]) -> bool:
    source = package.get("source", {})
    return "." in (source.get("editable"), source.get("virtual"))


class _Lock:
    """The packages of a lock by name, and those of a record."""

    def __init__(
        self, known: Mapping[str, Sequence[Mapping[str, Any]]], recorded: Mapping[str, str], python: str
    ) -> None:
        self._known, self._recorded = known, recorded
        self._machine = {
            "python_full_version": python,
            "python_version": ".".join(python.split(".")[:2]),
        }
        if not python:
            self._machine = {}

    def has_all(self, needed: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the record has everything that is needed, and what that needs in turn."""
        waiting = deque(needed)
        seen = set[tuple[str, str]]()
        while waiting:
            one = waiting.popleft()
            if not self._applies(str(one.get("marker", ""))):
                continue
            name = str(one["name"])
            if name not in self._recorded:
                return False
            for extra in ("", *one.get("extra", ())):
                if (name, extra) not in seen:
                    seen.add((name, extra))
                    waiting += self._needs(name, extra)
        return True

    def _needs(self, name: str, extra: str) -> Iterator[Mapping[str, Any]]:
        """Yield what a package needs by itself, or for one of its own extras, in the version of the record."""
        held = self._known.get(name, ())
        own = [one for one in held if one.get("version") == self._recorded[name]] or held[:1]
        for one in own[:1]:
            yield from (
                one.get("optional-dependencies", {}).get(extra, ()) if extra else one.get("dependencies", ())
            )

    def _applies(self, marker: str) -> bool:
        """Whether something is needed on this machine."""
        if not marker:
            return True
        from packaging.markers import Marker

        return Marker(marker).evaluate({"extra": "", **self._machine})
