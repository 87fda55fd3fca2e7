"""Takes rows of another project's catalog into this one: all of them or none, and what is here stays as it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.catalog.arriving import Arrivals, referred_kind
from deriva_ml.catalog.carried import KINDS
from deriva_ml.catalog.database import KEEP, literal, now
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, is_dataset_name

AT_A_TIME = 10_000
"""Rows in memory."""


@dataclass
class Merged:
    """What came of it.

    Attributes:
        new: how many records of each kind were not here.
        renamed: RIDs that other records have here, each with the one that the record got instead.
        datasets: those that are new here, or have new versions.
        carried: all datasets of the file, by their RIDs here.
        unnamed: datasets that are without their names, which others have here or none can have, each with it.
        executions: all executions of the file, by their RIDs there, each with the one here.
    """

    new: dict[str, int] = field(default_factory=dict)
    renamed: dict[RID, RID] = field(default_factory=dict)
    datasets: list[RID] = field(default_factory=list)
    carried: list[RID] = field(default_factory=list)
    unnamed: dict[RID, str] = field(default_factory=dict)
    executions: dict[RID, RID] = field(default_factory=dict)


class Merge(Arrivals):
    """Rows that are taken in.

    Raises:
        ValueError: they are not as they have to be; the message says which.
    """

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        super().__init__(catalog)
        self._merged = Merged()

    def finish(self, archive: str, then: Callable[[], None], own: bool = False) -> Merged:
        """Take the rows in.

        Args:
            archive: what identifies the file that they are from.
            then: what else becomes true in the same moment; called in the transaction.
            own: they are this project's; nothing says of those that keep their RIDs that they came from elsewhere.
        """
        try:
            with self._db.transaction(durable=True):
                self._identify()
                self._merged.renamed = self._give_rids()
                executions = self._db.query(
                    'SELECT "old", "new" FROM temp.mapped WHERE "kind" = \'Execution\''
                )
                self._merged.executions = {row["old"]: row["new"] for row in executions}
                counted = self._db.query(
                    'SELECT "kind", count(*) FROM temp.mapped WHERE "fresh" GROUP BY "kind"'
                )
                self._merged.new = {kind: count for kind, count in counted}
                self._insert_executions()
                self._insert_assets()
                self._insert_datasets()
                self._insert_notes(archive, own)
                then()
        except sqlite3.IntegrityError as error:
            raise ValueError(f"rows in it contradict one another: {error}") from error
        return self._merged

    def _rows(self, name: str, condition: str = "1") -> Iterator[list[dict[str, Any]]]:
        """Return the rows of a kind, with the RIDs that records have here, many at a time.

        Args:
            condition: SQL; ``m_X`` is what ``mapped`` says of the record that column X names.
        """
        values, joins = [], ""
        for column, kind in KINDS[name].columns.items():
            if kind == "rid" or referred_kind(kind):
                joins += f' LEFT JOIN temp.mapped "m_{column}" ON "m_{column}"."old" = i."{column}"'
                values.append(f'"m_{column}"."new" AS "{column}"')
            else:
                values.append(f'i."{column}"')
        rows = self._db.query(
            f"SELECT {', '.join(values)} FROM temp.in_{name} i{joins} WHERE {condition} ORDER BY i.rowid"
        )
        while some := rows.fetchmany(AT_A_TIME):
            yield [dict(row) for row in some]

    def _insert(self, name: str, table: str, condition: str, /, **renamed: str) -> None:
        """Insert rows that have RIDs; a column is called as ``renamed`` says, or left out where that is empty."""
        for rows in self._rows(name, condition):
            self._db.insert(table, *(_renamed(row, renamed) for row in rows))

    def _add(self, name: str, table: str, condition: str, /, **constant: Any) -> None:
        """Insert rows without RIDs, with further columns that are the same in each."""
        for rows in self._rows(name, condition):
            columns = [*rows[0], *constant]
            self._db.add_all(table, columns, ((*row.values(), *constant.values()) for row in rows))

    def _insert_terms(self, name: str, vocabulary: str) -> None:
        rows = self._db.query(f'SELECT DISTINCT "{vocabulary}" FROM temp.in_{name}').fetchall()
        self._db.insert_terms(vocabulary, [row[vocabulary] for row in rows])

    def _insert_executions(self) -> None:
        self._insert("Workflow", "Workflow", '"m_RID"."fresh"')
        self._insert_terms("Workflow_Type", "Workflow_Type")
        self._insert("Workflow_Type", "Workflow_Workflow_Type", '"m_Workflow"."fresh"')
        self._insert("Execution", "Execution", '"m_RID"."fresh"', started_by="", was="")
        for rows in self._rows("Execution", '"m_RID"."fresh"'):
            run = ("execution", "host", "pid", "started", "started_by")
            self._db.add_all("local_run", run, ((row["RID"], "", 0, 0, row["started_by"]) for row in rows))
        either = '"m_Execution"."fresh" OR "m_Nested_Execution"."fresh"'
        self._insert("Execution_Execution", "Execution_Execution", either)

    def _insert_assets(self) -> None:
        self._insert_terms("Asset_Type", "Asset_Type")
        for table in self._tables():
            of_table = f'i."{{}}" IN (SELECT "RID" FROM temp.in_Asset WHERE "table" = {literal(table)}) AND "m_{{}}"."fresh"'
            for rows in self._rows("Asset", of_table.format("RID", "RID")):
                for row in rows:
                    row["URL"] = f"/hatrac/{row.pop('table')}/{row['MD5']}.{row['Filename']}"
                self._db.insert(table, *rows)
            self._insert("Asset_Type", f"{table}_Asset_Type", of_table.format("Asset", "Asset"), Asset=table)
            made = of_table.format("Asset", "Execution")
            self._insert("Asset_Execution", f"{table}_Execution", made, Asset=table)

    def _insert_datasets(self) -> None:
        self._insert("Dataset", "Dataset", '"m_RID"."fresh"', name="", was="")
        self._insert_terms("Dataset_Type", "Dataset_Type")
        self._insert("Dataset_Type", "Dataset_Dataset_Type", '"m_Dataset"."fresh"')
        columns = ("number", "digest", "files", "bytes")
        fresh = '"m_RID"."fresh"'
        self._insert("Dataset_Version", "Dataset_Version", fresh, **dict.fromkeys(columns, ""))
        for rows in self._rows("Dataset_Version", fresh):
            states = ([row["RID"], row["Dataset"], *(row[name] for name in columns)] for row in rows)
            self._db.add_all("local_version", ("version", "dataset", *columns), states)
        self._insert("Dataset_Execution", "Dataset_Execution", '"m_Execution"."fresh"')
        for rows in self._rows("Dataset", 'i."name" <> \'\' AND "m_RID"."fresh"'):
            for row in rows:
                if is_dataset_name(row["name"]):
                    self._db.add("local_dataset", {"dataset": row["RID"], "name": row["name"]}, KEEP)
                if self._catalog.name_of_dataset(row["RID"]) != row["name"]:
                    self._merged.unnamed[row["RID"]] = row["name"]
        grown = self._db.query(
            'SELECT DISTINCT i."Dataset" AS old, d."new" FROM temp.in_Dataset_Version i JOIN temp.mapped v ON v."old" ='
            ' i."RID" JOIN temp.mapped d ON d."old" = i."Dataset" WHERE v."fresh"'
        ).fetchall()
        for old, dataset in grown:
            # Of one that is here, the same up to the last state here, as the digests show.
            self._db.delete("local_member", dataset=dataset)
            self._add("Member", "local_member", f"i.\"dataset\" = '{old}'")
        carried = self._db.query('SELECT "new" FROM temp.mapped WHERE "kind" = \'Dataset\' ORDER BY "old"')
        self._merged.carried = [row["new"] for row in carried]
        for _, dataset in grown:
            self._merged.datasets.append(dataset)
            self._check_members(dataset)
            last = self._catalog.dataset_versions(dataset)[0]
            self._db.change("Dataset", {"Version": last.rid}, RID=dataset)

    def _check_members(self, dataset: RID) -> None:
        """Refuse a dataset whose states are not what their digests say."""
        states = self._catalog.dataset_versions(dataset)
        beside = (
            'EXISTS (SELECT 1 FROM "local_member" i WHERE i."dataset" = o."dataset" AND {} AND coalesce(i."since" <'
            ' o."until", 1) AND coalesce(o."since" < i."until", 1))'
        )
        again = beside.format('i."path" = o."path" AND i."since" > o."since"')
        # 0 follows the slash.
        inside = beside.format('i."path" > o."path" || \'/\' AND i."path" < o."path" || \'0\'')
        wrong = self._db.value(
            'SELECT o."path" FROM "local_member" o WHERE o."dataset" = ?1 AND (o."since" < 1 OR o."until" <= o."since" OR'
            f' max(o."since", coalesce(o."until", 1)) > ?2 OR {again} OR {inside})',
            dataset,
            len(states),
        )
        if wrong is not None:
            raise ValueError(f"{wrong!r} cannot lie where it is said to in dataset {dataset}")
        for state in states:
            digest = self._catalog.manifest_digest(state.rid)
            counted = self._db.query(
                'SELECT count(*) - count(n."version") + coalesce(sum(n."files"), 0), coalesce(sum(coalesce(n."bytes",'
                ' f."Length")), 0) FROM "local_member" m LEFT JOIN "File" f ON f."RID" = m."file" LEFT JOIN "local_version"'
                ' n ON n."version" = m."nested" WHERE m."dataset" = ?1 AND m."since" <= ?2 AND coalesce(m."until" > ?2, 1)',
                dataset,
                state.number,
            ).fetchone()
            if digest != state.digest or tuple(counted) != (state.files, state.bytes):
                raise ValueError(f"version {state.version} of dataset {dataset} is not what its digest says")

    def _insert_notes(self, archive: str, own: bool) -> None:
        of_new = '"m_execution"."fresh"'
        self._add("Setting", "local_setting", of_new)
        self._add("Metric", "local_metric", of_new)
        self._add("Input", "local_input", of_new)
        self._add("Destination", "local_destination", of_new, held=1, changes=1, pushed=1)
        self._add("Remote", "local_remote", '"m_local"."fresh"', stored=1)
        first = self._db.value('SELECT min(0, coalesce(min("staged"), 0)) FROM "local_columns"')
        for rows in self._rows("Columns", '"m_asset"."fresh"'):
            for row in rows:
                first -= 1
                self._db.add("local_columns", {"staged": first, **row})
        for kind in ("Execution", "Dataset"):
            self._db.query(
                'INSERT INTO "local_imported" SELECT m."new", coalesce(i."was", i."RID"), ?, ? FROM temp.mapped m JOIN'
                f' temp.in_{kind} i ON i."RID" = m."old" WHERE m."fresh" AND NOT (? AND m."new" = coalesce(i."was", i."RID"))',
                archive,
                now(),
                own,
            )


def _renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items() if names.get(name) != ""}


@contextmanager
def merging(catalog: EmbeddedCatalog) -> Iterator[Merge]:
    """Give what takes rows into a catalog, and forget in the end what it was given and did not take in."""
    merge = Merge(catalog)
    merge.forget()
    try:
        yield merge
    finally:
        merge.forget()


def take_over(rows: Callable[[str], Iterable[dict[str, Any]]], catalog: EmbeddedCatalog, named: str) -> None:
    """Bring rows of another catalog into one.

    Args:
        rows: returns those of a kind.
        named: what that catalog is called in notes of where they came from.

    Raises:
        ValueError: they are not as they have to be; the message says which.
    """
    with merging(catalog) as merge:
        for name in KINDS:
            merge.read(name, (json.dumps(row).encode() for row in rows(name)))
        merge.finish(named, lambda: None)
