"""A row that no runner wrote stops no build: what it says is left out or shown as it is, and the rest is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from deriva_ml.site.building import build
from site_pages.corpus import _Recorder as Recorder
from site_pages.test_building import _nested, _pushed, _read_data, _read_there, recorder, site, train

__all__ = ["recorder", "site"]

ODD = ("x'ff00'", "CAST(x'ff' AS TEXT)", "NULL", "1e999")
"""What a column may hold after a bad sector or a stranger's hand, as SQL has it."""

OF_RUNS = {"Execution", "Workflow", "local_run"}
"""Tables of whose rows a run is made: it is left out, which is said, if one of them is damaged."""


def columns(database: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """The columns of each table that has rows, and SQL's condition for a record of it."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]:
            names = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
            one = f'"{names[0]}" = (SELECT "{names[0]}" FROM "{table}" LIMIT 1)'
            yield from ((table, column, one) for column in names)


def test_whatever_a_table_holds_a_site_is_built(recorder: Recorder, site: Path) -> None:
    catalog = recorder.catalog
    rid = train(recorder)
    for change in (_pushed, _nested, _read_data, _read_there):
        change(recorder, rid)
    catalog.database.query("INSERT INTO local_imported VALUES (?, 'X', 'a.zip', '2026-01-01')", rid)
    whole = build(catalog, site)
    assert whole.runs == 3
    with (
        closing(sqlite3.connect(catalog.project.database, isolation_level=None)) as there,
        closing(sqlite3.connect(":memory:")) as before,
    ):
        there.backup(before)
        there.execute("PRAGMA foreign_keys = OFF")
        there.execute("PRAGMA ignore_check_constraints = ON")
        tried = 0
        for table, column, one in columns(before):
            for value in ODD:
                try:
                    there.execute(f'UPDATE "{table}" SET "{column}" = {value} WHERE {one}')
                except sqlite3.IntegrityError:  # such a row cannot be
                    continue
                built = build(catalog, site)
                there_are = 1 <= built.runs <= whole.runs if table in OF_RUNS else built.runs == whole.runs
                assert there_are, (table, column, value)
                if table == "Execution_Execution":
                    build(catalog, site.with_name("one"), [rid])
                tried += 1
                before.backup(there)
    assert tried > 200
