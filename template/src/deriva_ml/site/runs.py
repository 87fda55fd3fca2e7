"""The table of runs, by columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml.catalog.summaries import Result
from deriva_ml.configuration_file import MODEL_COMMAND, MODEL_CONFIG, NOTEBOOK_COMMAND
from deriva_ml.definitions import RID, seconds_of
from deriva_ml.records.replays import Note
from deriva_ml.records.results import tabulate
from deriva_ml.site.clean import Cleaner, brief
from deriva_ml.site.rows import Rows

COLUMNS = {1: "choice", 2: "parameter", 3: "metric"}
"""What columns are, by what ``results.Table`` says that they are worth."""

NOTEBOOK = ".ipynb"

LONGEST = 300
"""Characters of a value in the table."""


def kind_of(result: Result, rows: Rows) -> str:
    """Return what ran: ``notebook``, ``model``, ``sweep`` or another ``program``."""
    record, summary = result
    if rows.is_sweep:
        return "sweep"
    if record.started_by == NOTEBOOK_COMMAND:
        return "notebook"
    # Of runners that did not note what started a run, its settings tell, and its code.
    if record.started_by == MODEL_COMMAND or any(
        name.startswith(MODEL_CONFIG) for name in summary.parameters
    ):
        return "model"
    of_notebook = record.workflow.url.endswith(NOTEBOOK) or rows.notebooks()
    return "notebook" if of_notebook else "program"


def first_line(text: str) -> str:
    """Return a text's first line."""
    return text.strip().partition("\n")[0]


def table(
    results: Sequence[Result],
    rows: Mapping[RID, Rows],
    replays: Mapping[RID, Sequence[Note]],
    clean: Cleaner,
) -> dict[str, Any]:
    """Return the runs as lists of one length, and a column for each name that differs among them."""
    records = [result.record for result in results]
    verdicts = ([note.verdict for note in replays[one.rid]] for one in records)
    told = tabulate(results)
    columns = []
    for place, (name, worth) in enumerate(zip(told.columns, told.worth, strict=True)):
        if worth in COLUMNS:
            values = [brief(clean.named(name, row[place]), LONGEST) for row in told.rows]
            columns.append({"name": clean.text(name), "kind": COLUMNS[worth], "values": values})
    return {
        "rid": [one.rid for one in records],
        "when": [one.created for one in records],
        "status": [one.status.value for one in records],
        "kind": [kind_of(one, rows[one.record.rid]) for one in results],
        "workflow": [clean.text(one.workflow.name) for one in records],
        "version": [clean.text(one.workflow.version) for one in records],
        "description": [brief(clean.text(first_line(one.description)), LONGEST) for one in records],
        "seconds": [seconds_of(one.execution_duration or "") for one in records],
        "parents": [[parent for parent, _ in rows[one.rid].parents] for one in records],
        "replay": [next(iter(found), "") for found in verdicts],
        "columns": columns,
    }
