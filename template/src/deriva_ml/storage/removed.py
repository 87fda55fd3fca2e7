"""The record of what was removed: a line of JSON an execution, in a file beside the catalog's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.definitions import RID
from deriva_ml.project import Project

FILE = "removed.jsonl"


def path_of(project: Project) -> Path:
    """Return where the record is."""
    return project.state / FILE


def note(project: Project, lines: Iterable[dict[str, Any]]) -> None:
    """Add lines, which are on the disk in the end; what is removed is removed only then."""
    path = path_of(project)
    path.touch(mode=0o660)
    with path.open("r+b") as stream:
        # A line that a power cut took the end of is none, and the next one begins anew.
        if stream.seek(0, 2) and stream.seek(-1, 2) >= 0 and stream.read(1) != b"\n":
            stream.write(b"\n")
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        stream.flush()
        disk.flush_open(stream.fileno())


def find(project: Project, rid: RID) -> dict[str, Any] | None:
    """Return what is noted of an execution that was removed, or of the one whose file was; the newest note."""
    found = None
    path = path_of(project)
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as stream:
        for text in stream:
            if json.dumps(rid, ensure_ascii=False).encode() in text:
                try:
                    line = json.loads(text)
                    rids = [line["execution"], *(one["RID"] for one in line["files"])]
                except (ValueError, TypeError, LookupError):
                    continue
                found = line if rid in rids else found
    return found


def line_about(project: Project, rid: RID) -> str:
    """Return a line about an execution that was removed, or a file of one; empty for what was not."""
    line = find(project, rid)
    if line is None:
        return ""
    what = "" if line["execution"] == rid else f", a file of execution {line['execution']},"
    was = ": ".join(str(line.get(name)) for name in ("status", "workflow", "description") if line.get(name))
    there = "".join(f"; it is at {place}" for place in line.get("pushed to") or ())
    return (
        f"{rid}{what} was removed by gc on {str(line.get('removed'))[:10]} ({line.get('because')}), and was"
        f" {was}{there}; what is kept of it is in {path_of(project)}"
    )
