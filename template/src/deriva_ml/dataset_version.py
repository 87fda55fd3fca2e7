"""Versions of datasets as numbers that have an order, and what a dataset's history says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, SupportsInt

from deriva_ml.definitions import RID, DatasetState
from deriva_ml.exceptions import DerivaMLRequestError


def state_with(states: Sequence[DatasetState], version: str | None, called: str) -> DatasetState:
    """Return the state that has a version, of those of a dataset, newest first; by default the newest.

    Raises:
        DerivaMLRequestError: none has it.
    """
    for state in states:
        if version in (None, state.version):
            return state
    there = ", ".join(one.version for one in reversed(states))
    raise DerivaMLRequestError(f"{called} has no version {version}; it has {there}")


class VersionPart(StrEnum):
    """Which number of a version goes up."""

    major = "major"
    minor = "minor"
    patch = "patch"


class DatasetVersion(str):
    """A dataset's version, such as ``1.1.0``, or ``1.1.0.dev2`` for a working state before it.

    A text that has the order of its numbers (PEP 440): a working state comes before the version that it leads to.

    Args:
        major: the first number, or the whole version as a text.

    Raises:
        DerivaMLRequestError: it is no version.
    """

    __slots__ = ()

    def __new__(
        cls, major: SupportsInt | str, minor: SupportsInt = 0, patch: SupportsInt = 0
    ) -> DatasetVersion:
        """Make it of three numbers, or of a text."""
        text = major if isinstance(major, str) else f"{int(major)}.{int(minor)}.{int(patch)}"
        version = super().__new__(cls, text)
        _ = version._parsed
        return version

    @classmethod
    def parse(cls, version: str) -> DatasetVersion:
        """Return the version that a text says."""
        return cls(version)

    @property
    def _parsed(self) -> Any:
        from packaging.version import InvalidVersion, Version

        try:
            return Version(str(self))
        except InvalidVersion as error:
            raise DerivaMLRequestError(
                f"{str(self)!r} is no version of a dataset: give three numbers, such as 1.0.0"
            ) from error

    @property
    def major(self) -> int:
        """The first number."""
        return int(self._parsed.major)

    @property
    def minor(self) -> int:
        """The second number."""
        return int(self._parsed.minor)

    @property
    def patch(self) -> int:
        """The third number."""
        return int(self._parsed.micro)

    @property
    def is_devrelease(self) -> bool:
        """Whether it is a working state."""
        return bool(self._parsed.is_devrelease)

    def to_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return {"major": self.major, "minor": self.minor, "patch": self.patch}

    def next_release(self, bump: VersionPart | str) -> DatasetVersion:
        """Return the version that comes after this one; after a working state, that which comes after what it leads to."""
        place = [*VersionPart].index(VersionPart(bump))
        numbers = [self.major, self.minor, self.patch]
        numbers[place:] = [numbers[place] + 1, *[0] * (2 - place)]
        return DatasetVersion(".".join(map(str, numbers)))

    def __lt__(self, other: str) -> bool:
        """Compare by the numbers."""
        return bool(self._parsed < DatasetVersion(other)._parsed)

    def __gt__(self, other: str) -> bool:
        """Compare by the numbers."""
        return bool(self._parsed > DatasetVersion(other)._parsed)

    def __le__(self, other: str) -> bool:
        """Compare by the numbers."""
        return not self > other

    def __ge__(self, other: str) -> bool:
        """Compare by the numbers."""
        return not self < other


@dataclass(frozen=True)
class DatasetHistory:
    """What is recorded of one version of a dataset.

    Attributes:
        execution_rid: the execution that made it.
        description: what changed.
        minid, spec_hash: upstream's; empty, as here no bag is published.
        snapshot: the catalog's state that it is of; None in a catalog that keeps no past states.
        digest: of its manifest; files, bytes: how many files it has, and how large they are together.
    """

    dataset_version: DatasetVersion
    dataset_rid: RID
    version_rid: RID
    execution_rid: RID | None = None
    description: str = ""
    minid: str | None = None
    spec_hash: str | None = None
    snapshot: str | None = None
    digest: str = ""
    files: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, state: DatasetState) -> DatasetHistory:
        """Return what a catalog says of a state of a dataset."""
        return cls(
            DatasetVersion(state.version),
            state.dataset,
            state.rid,
            state.execution,
            state.description,
            digest=state.digest,
            files=state.files,
            bytes=state.bytes,
        )
