"""Kills a command in each of its moments in turn, and says what is not as it was promised afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from conftest import Outcome, ProjectFolder

Told = Callable[[str], None]
"""Gets a figure."""

TEMPORARY = ".deriva-ml-"
MARK = f"{TEMPORARY}of"
KILLER = Path(__file__).parent / "killer"


def armed(env: Mapping[str, str], *asked: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables with which processes count their moments, and are killed in one.

    Args:
        asked: for each kind of process what ``killer/sitecustomize.py`` says.
    """
    path = os.pathsep.join(filter(None, [str(KILLER), env.get("PYTHONPATH", "")]))
    return {"KILL": json.dumps(asked), "PYTHONPATH": path}


def moments(log: Path) -> list[str]:
    """What a process did, line by line, since this was last asked."""
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def sweep(kill: Callable[[int], str | None], total: int, sample: int, told: Told) -> dict[int, str]:
    """Kill at each moment, or at a few that are spread over all; what is wrong then, by the moment's number.

    Args:
        kill: given a number, kills there and says what is wrong afterwards; None if it ended before it got there.
        total: how many moments there are.
        sample: how many are tried, unless ``SWEEP_EVERY`` says every how many.
        told: gets how many were tried and held, and how many were not reached.
    """
    assert total
    step = int(os.environ.get("SWEEP_EVERY", 0)) or max(1, total // sample)
    tried = range((step + 1) // 2, total + 1, step)
    found = {number: kill(number) for number in tried}
    killed = {number: said for number, said in found.items() if said is not None}
    wrong = {number: said for number, said in killed.items() if said}
    held, missed = len(killed) - len(wrong), len(found) - len(killed)
    told(f"killed in {len(killed)} of {total} moments, {held} held; {missed} not reached")
    assert killed, "nothing was killed"
    return wrong


class Records:
    """What a project has recorded, read from its files as they are."""

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.state = project / ".deriva-ml"
        self._known: set[str] = set()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.state / "catalog.db")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def executions(self) -> dict[str, str]:
        """Statuses by RID."""
        return {row["RID"]: row["Status"] for row in self.rows("SELECT RID, Status FROM Execution")}

    def outputs(self, execution: str) -> dict[str, bytes]:
        """What an execution made, by name.

        Raises:
            AssertionError: a name is there twice, or a content is not what its row says.
        """
        found = {}
        for table in ("Execution_Asset", "Execution_Metadata"):
            for row in self.rows(
                f"SELECT a.Filename, a.Length, a.MD5 FROM {table}_Execution l JOIN {table} a ON a.RID = l.{table}"
                " WHERE l.Execution = ? AND l.Asset_Role = 'Output'",
                execution,
            ):
                name, md5 = row["Filename"], row["MD5"]
                content = (self.state / "objects" / md5[:2] / md5).read_bytes()
                assert (len(content), hashlib.md5(content).hexdigest()) == (row["Length"], md5), (
                    f"half {name}"
                )
                assert name not in found, f"{name} twice"
                found[name] = content
        return found

    def age_unborn(self) -> None:
        """Let an hour pass for folders of runs that were killed before they said whose they are; so long they are let be."""
        for folder in self.state.glob("runs/*"):
            names = {path.name for path in folder.iterdir() if not path.name.startswith(TEMPORARY)}
            if names <= {"kernel.log"}:
                os.utime(folder, (0, 0))

    def left(self) -> list[str]:
        """Files that nobody needs any more, and such as are not whole; each once, for it is one kill's that left it."""
        found = [*self.state.glob("executions/*"), *self.state.glob("runs/*")]
        for folder in (self.state, self.project / "outputs"):
            found += [*folder.rglob(f"{TEMPORARY}*"), *folder.rglob("not-recorded")]
        found = [path for path in found if path.name != MARK]
        # What was half taken in has another name, and is removed a day later.
        contents = (self.state / "objects").glob("[!.]*/*")
        found += [content for content in contents if digest(content) != content.name]
        new = {str(path.relative_to(self.project.path)) for path in found} - self._known
        self._known |= new
        return sorted(new)


def digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def was_killed(outcome: Outcome) -> bool:
    return outcome.rc == -signal.SIGKILL
