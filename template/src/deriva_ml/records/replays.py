"""Notes of which executions were replayed, when, and with which verdict: one line each of ``replays.jsonl``."""

from __future__ import annotations

import json
import os
import stat
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID
from deriva_ml.file_lock import file_lock
from deriva_ml.terminal import warn
from deriva_ml.untrusted import DAMAGED, LARGEST, READING, well_formed

FILE, LOCK = "replays.jsonl", "replays.lock"
"""Their names in the project's state folder."""

VERDICTS = ("identical", "equivalent", "different", "could not run")
"""From best to worst."""

LONGEST = 1 << 14
"""Bytes of a line."""


@dataclass(frozen=True)
class Note:
    """One replay of one execution.

    Attributes:
        rid: of the execution, in the catalog that it was read from.
        when: it began, ISO 8601 in UTC.
        verdict: one of ``VERDICTS``.
        similarity: in [0, 1].
        runner: version of the runner that replayed it.
        commit: of the execution's code.
        report: the folder with the report, as a path below the project's root.
        recorded_as: the execution that the replay was recorded as; empty where it was not.
        catalog: the Deriva catalog that ``rid`` is in, as ``HOST/CATALOG``; empty for the project's own.
    """

    rid: RID
    when: str
    verdict: str
    similarity: float
    runner: str = ""
    commit: str = ""
    report: str = ""
    recorded_as: RID = ""
    catalog: str = ""


_NAMES = [field.name for field in fields(Note)]


def note(state: Path, one: Note) -> None:
    """Add a note in one step, behind what is there, also where that ends within a line.

    Raises:
        DerivaMLException: another process of the project does not let go of the file.
        OSError: the disk does not take it, or the file is a link.
    """
    line = json.dumps(asdict(one)).encode() + b"\n"
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    with file_lock(state / LOCK), open(os.open(state / FILE, flags, 0o660), "r+b", buffering=0) as stream:
        whole = not stream.seek(0, os.SEEK_END) or (stream.seek(-1, os.SEEK_END), stream.read(1))[1] == b"\n"
        stream.write(line if whole else b"\n" + line)
        disk.flush_open(stream.fileno())


def read(state: Path) -> list[Note]:
    """Return all notes, the oldest first; lines that are none are left out, which is said, as somebody else may have written them."""
    try:
        with open(os.open(state / FILE, READING), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                warn(f"which records were replayed cannot be read: {FILE} is no file")
                return []
            if status.st_size > LARGEST:  # the newest of what is more than a person ever replayed
                stream.seek(-LARGEST, os.SEEK_END)
                stream.readline()
            lines = stream.read(LARGEST).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        warn(f"which records were replayed cannot be read: {error}")
        return []
    found = [*map(_note, filter(None, lines))]
    if damaged := found.count(None):
        warn(f"{damaged} of the lines of {state / FILE} are damaged, and left out")
    return [one for one in found if one]


def _note(line: bytes) -> Note | None:
    """Return what a line says; None for one that is damaged."""
    try:
        if len(line) > LONGEST:
            return None
        told = json.loads(line)
        one = well_formed(Note(**{name: told[name] for name in _NAMES if name in told}))
        moment = datetime.fromisoformat(one.when)
    except DAMAGED:
        return None
    good = one.verdict in VERDICTS and 0 <= one.similarity <= 1 and moment.tzinfo
    return one if good else None


class Replays:
    """The notes about the records of one catalog.

    Args:
        source: that catalog.
        state: the project's state folder.
    """

    def __init__(self, source: Source, state: Path) -> None:
        self._own = source if isinstance(source, EmbeddedCatalog) else None
        self._place = place_of(source)
        self._notes = defaultdict[tuple[str, RID], list[Note]](list)
        self._repeated: dict[RID, RID] = {}
        for one in read(state):
            self._notes[one.catalog, one.rid].append(one)
            self._repeated.setdefault(one.recorded_as, one.rid)

    def of(self, rid: RID) -> list[Note]:
        """Return an execution's notes, the newest first; also those under the RIDs that it has where it was pushed to."""
        if not self._notes:
            return []
        keys = [(self._place, rid)]
        if self._own:
            keys += [
                (f"{place.host}/{place.catalog}", there) for place, there in self._own.journal.elsewhere(rid)
            ]
        found = [one for key in keys for one in self._notes.get(key, ())]
        return sorted(found, key=lambda one: datetime.fromisoformat(one.when), reverse=True)

    def said(self, rid: RID) -> str:
        """Return an execution's latest verdict and the day of it, in a few words; empty where it was never replayed."""
        return next((f"{one.verdict} {one.when[:10]}" for one in self.of(rid)), "")

    def replayed_by(self, rid: RID) -> RID:
        """Return the execution of which this one is a recorded replay; empty where it is none."""
        return self._repeated.get(rid, "")


def place_of(source: Source) -> str:
    """Return how notes name a catalog: ``HOST/CATALOG``, and with nothing the project's own."""
    return "" if isinstance(source, EmbeddedCatalog) else f"{source.host_name}/{source.catalog_id}"


def as_json(notes: Sequence[Note]) -> list[Mapping[str, Any]]:
    """Return one execution's notes in plain types, without what none of them says."""
    told = [name for name in _NAMES if name != "rid" and any(getattr(one, name) != "" for one in notes)]
    return [{name: getattr(one, name) for name in told} for one in notes]
