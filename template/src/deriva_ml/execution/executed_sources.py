"""Records the sources that a kernel executes, as it goes, and says in the end whether they are what is committed.

It is for kernels that own their execution, as in JupyterLab: in a run by the command the executed notebook is what ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.definitions import RID, ExecMetadataType, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git, repository_root
from deriva_ml.process import shell
from deriva_ml.project import Project, write_atomically
from deriva_ml.terminal import warn
from deriva_ml.untrusted import is_inside

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog

LOG = "executed.jsonl"
"""The file in an execution's working folder: what there is to compare with, then a line for each cell that ran."""

NAME = "executed-sources.ipynb"
UNKNOWN_BEFORE = (
    "what ran before the execution began is not known: the program that runs the cells keeps no history"
)

_hooks: dict[Path, _Hook] = {}


def begin(folder: Path, project: Project, record: Mapping[str, Any]) -> None:
    """Write down what has been executed in this kernel so far, and from now on each cell before it runs.

    Does nothing where no cells run.

    Args:
        folder: the execution's working folder.
        record: what `configuration.json` says of the execution; its provenance is the notebook's.
    """
    cells = shell()
    if cells is None:
        return
    before = list(cells.history_manager.input_hist_raw)[1:]
    # What a client does not let the shell remember is its own, unless it does so with the cell that runs now as well.
    parent = getattr(cells, "parent_header", None) or {}
    forgets = parent.get("content", {}).get("store_history", True) is False
    head = {
        "record": record,
        "committed": _committed(project, record["provenance"]),
        "unknown_before": forgets or len(before) < cells.execution_count - 1,
    }
    log = folder / LOG
    lines = [head, *({"source": source} for source in before)]
    write_atomically(log, "".join(f"{json.dumps(line, default=str)}\n" for line in lines))
    _hooks[log] = _Hook(cells, log, all_cells=forgets)


class _Hook:
    """What IPython calls with each cell before it runs."""

    def __init__(self, cells: Any, log: Path, all_cells: bool) -> None:
        self._cells, self._log, self._all = cells, log, all_cells
        cells.events.register("pre_run_cell", self.note)

    def note(self, info: Any) -> None:
        """Write a cell down, at once: the kernel may not outlive it."""
        if not self._log.is_file():  # another process has ended the execution
            self.end()
        elif info.store_history or self._all:
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"source": info.raw_cell}) + "\n")

    def end(self) -> None:
        """Let IPython call it no more."""
        with suppress(ValueError):  # it does not any more
            self._cells.events.unregister("pre_run_cell", self.note)
        _hooks.pop(self._log, None)


def _committed(project: Project, provenance: Mapping[str, Any]) -> Any:
    """Return the notebook's document at the commit; None where that is not known, or the notebook is not in it."""
    path, root = str(provenance["path"]), repository_root(project.root) if provenance["commit"] else None
    if root is None or not path.endswith(".ipynb"):
        return None
    text = git(root, "cat-file", "blob", f"{provenance['commit']}:{path}", check=False)
    try:
        cells = json.loads(text)["cells"]
        # Outputs can be large, and are compared with nothing.
        return {"cells": [{**cell, "outputs": []} for cell in cells if cell["cell_type"] == "code"]}
    except (ValueError, LookupError, TypeError):
        return None


def conclude(catalog: EmbeddedCatalog, project: Project, rid: RID, record: dict[str, Any]) -> dict[str, Any]:
    """At a commit in the kernel, do what ``finish`` does, and warn of what differs.

    What a kernel executes after a first commit is part of what a later one records.

    Args:
        record: what `configuration.json` said of the execution before.

    Returns:
        What it says now.
    """
    if not catalog.staged(rid):
        return record
    folder = catalog.folder_of(rid)
    if not (folder / LOG).is_file():
        begin(folder, project, record)
    said = set(record["provenance"]["differences"])
    record = finish(catalog, project, rid) or record
    if new := [line for line in record["provenance"]["differences"] if line not in said]:
        more = f"; and {len(new) - 1} more" if new[1:] else ""
        warn(f"what ran is not what is committed: {new[0]}{more} (recorded in {NAME})")
    return record


def finish(catalog: EmbeddedCatalog, project: Project, rid: RID) -> dict[str, Any] | None:
    """At an execution's end, register the executed sources as a file of it, and let its record say what differs.

    Returns:
        The record; None where no sources were written down, or for the second time.
    """
    log = catalog.folder_of(rid) / LOG
    if not log.is_file():
        return None
    here = log in _hooks
    if here:
        _hooks[log].end()
    head, executed = _read(log)
    differences = [UNKNOWN_BEFORE] if head["unknown_before"] else _compared(head, executed)
    record = _write_record(catalog, project, rid, head["record"], differences, look_again=here)
    _write_notebook(catalog, rid, executed, differences)
    log.unlink()
    return record


def _read(log: Path) -> tuple[dict[str, Any], list[str]]:
    lines = []
    for line in log.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError):  # half a line, where the machine stopped
            lines.append(json.loads(line))
    return lines[0], [line["source"] for line in lines[1:]]


def _compared(head: Mapping[str, Any], executed: list[str]) -> list[str]:
    from deriva_ml.notebook.executed import code_cells, compare
    from deriva_ml.redaction import redact

    provenance = head["record"]["provenance"]
    committed = code_cells(head["committed"])
    if committed is not None:
        return [redact(line) for line in compare(executed, committed)]
    if not str(provenance["path"]).endswith(".ipynb"):
        return [
            "the cells that ran are compared with no committed notebook: which one they are of is not known"
        ]
    return [f"{provenance['path']} is not in commit {provenance['commit'][:7]}"]


def _write_record(
    catalog: EmbeddedCatalog,
    project: Project,
    rid: RID,
    record: dict[str, Any],
    differences: list[str],
    look_again: bool,
) -> dict[str, Any]:
    """Let `configuration.json` say what differs; where it is recorded already, it is once more if there is news."""
    staged = {item.filename: item.path for item in catalog.staged(rid) if _is_own(catalog, rid, item.path)}
    if waiting := staged.get(CONFIGURATION):
        record = json.loads(waiting.read_text(encoding="utf-8"))
    provenance = record["provenance"]
    known, found = provenance["differences"], list(differences)
    if look_again:
        patch, changed = _changed_since(project, provenance)
        found += changed
        earlier = staged.get("uncommitted.diff")
        if patch and (earlier is None or earlier.read_text(encoding="utf-8") != patch):
            name = "uncommitted-at-end.diff" if earlier else "uncommitted.diff"
            _stage(catalog, rid, name, ExecMetadataType.source_diff, patch)
    if new := [line for line in found if line not in known]:
        provenance.update(dirty=True, differences=[*known, *new])
        text = json.dumps(record, indent=2, ensure_ascii=False)
        if waiting:
            write_atomically(waiting, text)
        else:
            _stage(catalog, rid, CONFIGURATION, ExecMetadataType.deriva_config, text)
    return record


def _is_own(catalog: EmbeddedCatalog, rid: RID, path: Path) -> bool:
    return is_inside(path, catalog.folder_of(rid)) and path.is_file()


def _changed_since(project: Project, provenance: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return what is not committed now, as a patch, and lines about what changed since the execution began."""
    from deriva_ml.execution.current_code import current_provenance
    from deriva_ml.execution.provenance import UNCOMMITTED
    from deriva_ml.redaction import redact_diff

    try:
        now = current_provenance(project)
    except DerivaMLRequestError:  # no repository, or not any more
        return "", []
    if now.commit != provenance["commit"]:
        said = f"the commit changed while it ran: {provenance['commit'][:7]} at its start, {now.commit[:7]} at its end"
        return "", [said]
    return (redact_diff(now.diff), [UNCOMMITTED]) if now.dirty else ("", [])


def _write_notebook(catalog: EmbeddedCatalog, rid: RID, executed: list[str], differences: list[str]) -> None:
    from deriva_ml.notebook.executed import as_notebook
    from deriva_ml.redaction import redact

    lines = ["# Executed sources", "", "What the kernel executed, from its start on."]
    if differences:
        lines += ["It is not what is committed:", "", *(f"- {line}" for line in differences)]
    document = as_notebook([redact(source) for source in executed], "\n".join(lines))
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    _stage(catalog, rid, NAME, ExecMetadataType.executed_sources, text)


def _stage(catalog: EmbeddedCatalog, rid: RID, name: str, kind: ExecMetadataType, text: str) -> None:
    table, folder = MLAsset.execution_metadata.value, catalog.folder_of(rid) / "assets"
    # One that was killed in this moment may have staged it already.
    begun = [item for item in catalog.staged(rid) if (item.filename, item.types) == (name, (kind.value,))]
    staged = begun[0] if begun else catalog.stage(rid, table, name, folder, [kind.value])
    write_atomically(staged.path, text)
