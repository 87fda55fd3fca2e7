"""Tells which code is running now, and where it comes from."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml.execution.provenance import Provenance, collect
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.project import Project
from deriva_ml.web_address import commit_url


def current_provenance(project: Project) -> Provenance:
    """Return where the code comes from that is running now: the runner's notebook, the open one, or the main script.

    Where that is not known, it is of the project's commit, and ``path`` and ``checksum`` are empty.
    """
    run = NotebookRun.current()
    if run:
        return Provenance.from_json(run.provenance)
    from deriva_ml.execution.started import how_started

    start = how_started()
    found = start.file
    if found and found.is_file() and found.is_relative_to(project.root) and ".venv" not in found.parts:
        return collect(found, allow_dirty=True, apart_from=start.written)
    commit = collect(project.root / "pyproject.toml", allow_dirty=True, apart_from=start.written)
    return replace(commit, url=commit_url(commit.url, commit.commit), path="", checksum="", blob="")
