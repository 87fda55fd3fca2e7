"""Which record came from which: the steps of lineage, in the embedded catalog and in a Deriva catalog alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deriva_ml.catalog.base import CatalogBase
from deriva_ml.definitions import RID, AssetRole, MLAsset, Row
from deriva_ml.grouping import grouped

EXECUTION = "Execution"
DATASET = "Dataset"
METADATA = MLAsset.execution_metadata.value

Records = Mapping[str, Collection[RID]]
"""RIDs by the table that they are in."""


class Link(NamedTuple):
    """A step of lineage.

    Attributes:
        rid: the record that it begins at.
        other: the one that it leads to.
        table: the table of the other.
        version: the dataset's, where an execution read or made one at a version that is known.
    """

    rid: RID
    other: RID
    table: str
    version: str


@dataclass(frozen=True)
class Node:
    """What a person is to know of a record that lineage leads to.

    Attributes:
        table: ``Execution``, ``Dataset``, or the table of a file.
        name: an execution's workflow, a dataset's description, a file's name.
        description: of an execution, dataset or file.
        status: an execution's.
        version: a dataset's current one.
        workflow: the RID of an execution's workflow.
    """

    rid: RID
    table: str
    name: str = ""
    description: str = ""
    status: str = ""
    version: str = ""
    workflow: RID = ""


class Step(NamedTuple):
    """A table each of whose rows says that one record came before another.

    Attributes:
        table: its own name.
        earlier: the table of the one that came before, and then the column with its RID.
        later: the table of the one that came after.
        role: only rows with this role say so.
    """

    table: str
    earlier: str
    earlier_column: str
    later: str
    later_column: str
    role: AssetRole | None = None


class Joined(NamedTuple):
    """A table that joins files or datasets to others: its own name, the column with their RIDs, that with the others'."""

    table: str
    column: str
    other_column: str


Fetch = Callable[[str, str, Collection[RID]], Iterable[Row]]
"""Returns the rows of a table whose column has one of the values."""


class Links:
    """The steps of lineage in one catalog; each look-up takes any number of records, and costs a query or two a table.

    Args:
        fetch: reads rows.
        uses: what joins each table of files to executions.
        members: what joins datasets to the files of a table.
        status: what a status of this catalog is called elsewhere.
        hidden: records that stand for nothing.
    """

    def __init__(
        self,
        fetch: Fetch,
        uses: Mapping[str, Joined],
        members: Mapping[str, Joined],
        status: Callable[[str], str] = str,
        hidden: Collection[RID] = (),
    ) -> None:
        self._fetch = fetch
        self._uses = uses
        self._status = status
        self._hidden = hidden
        self._steps = [
            Step("Dataset_Execution", DATASET, "Dataset", EXECUTION, "Execution"),
            Step("Dataset_Version", EXECUTION, "Execution", DATASET, "Dataset"),
            Step("Dataset_Dataset", DATASET, "Nested_Dataset", DATASET, "Dataset"),
        ]
        for files, (table, column, execution) in uses.items():
            self._steps += [
                Step(table, files, column, EXECUTION, execution, AssetRole.input),
                Step(table, EXECUTION, execution, files, column, AssetRole.output),
            ]
        for files, (table, dataset, column) in members.items():
            self._steps.append(Step(table, files, column, DATASET, dataset))

    def follow(self, records: Records, up: bool) -> list[Link]:
        """Return the steps from records to what they came from (``up``), or to what came of them.

        A dataset comes from those of its files that an execution made. Files that describe a run are left out, unless
        another execution read them.
        """
        found: list[Link] = []
        for step in self._steps:
            here, column, there, other = step.later, step.later_column, step.earlier, step.earlier_column
            if not up:
                here, column, there, other = there, other, here, column
            if not records.get(here):
                continue
            asked = set(records[here])
            rows = [
                row
                for row in self._fetch(step.table, column, records[here])
                if row.get(column) in asked
                and row.get(other)
                and (step.role is None or step.role == _role(row))
            ]
            if step.table == "Dataset_Execution":
                rows = self._read(rows)
            elif there == METADATA and not up:
                rows = self._having(rows, there, other, AssetRole.input)
            elif there in self._uses and here == DATASET:
                rows = self._having(rows, there, other, AssetRole.output)
            dated = {here, there} == {EXECUTION, DATASET}
            found += [
                Link(str(row[column]), str(row[other]), there, _text(row, "Version") if dated else "")
                for row in rows
            ]
        return [link for link in found if link.other not in self._hidden]

    def in_order(self, links: Iterable[Link]) -> list[Link]:
        """Return steps in the order in which the records that they lead to were recorded; a server's RIDs count up."""
        return sorted(links, key=lambda link: (len(link.other), link.other))

    def _read(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of datasets that executions read, with the versions, without those that they made themselves.

        Some catalogs have such a row for a dataset that was made, too.
        """
        of_datasets = self._fetch("Dataset_Version", "Dataset", {row["Dataset"] for row in rows})
        names: dict[RID, Any] = {}
        made: dict[tuple[Any, Any], set[RID]] = {}
        for version in of_datasets:
            names[version["RID"]] = version.get("Version")
            key = version.get("Dataset"), version.get("Execution")
            made.setdefault(key, set()).add(version["RID"])
        kept = []
        for row in rows:
            read = row.get("Dataset_Version")
            own = made.get((row["Dataset"], row["Execution"]), set())
            if not own or (read and read not in own):
                kept.append({**row, "Version": names.get(read or "")})
        return kept

    def _having(self, rows: Sequence[Row], files: str, column: str, role: AssetRole) -> list[Row]:
        """Return those of the rows whose file has this role in some execution."""
        use = self._uses[files]
        uses = self._fetch(use.table, use.column, {row[column] for row in rows})
        having = {row.get(use.column) for row in uses if _role(row) == role}
        return [row for row in rows if row[column] in having]

    def nodes(self, records: Records) -> dict[RID, Node]:
        """Return what records are, by RID; of one that is not shown to us only that it is there."""
        found = {rid: Node(rid, table) for table, rids in records.items() for rid in rids}
        beside = {EXECUTION: ("Workflow", "Workflow"), DATASET: ("Dataset_Version", "Version")}
        for table, rids in records.items():
            rows = [row for row in self._fetch(table, "RID", rids) if row.get("RID") in found]
            more: dict[Any, Row] = {}
            if table in beside:
                other, column = beside[table]
                wanted = {row[column] for row in rows if row.get(column)}
                more = {row["RID"]: row for row in self._fetch(other, "RID", wanted)}
            for row in rows:
                found[row["RID"]] = self._node(table, row, more)
        return found

    def _node(self, table: str, row: Row, beside: Mapping[Any, Row]) -> Node:
        rid, description = str(row["RID"]), _text(row, "Description")
        if table == EXECUTION:
            name = _text(beside.get(row.get("Workflow"), {}), "Name")
            status = self._status(_text(row, "Status"))
            return Node(rid, table, name, description, status, workflow=_text(row, "Workflow"))
        if table == DATASET:
            version = _text(beside.get(row.get("Version"), {}), "Version")
            status = "Deleted" if row.get("Deleted") else ""
            return Node(rid, table, description.strip().split("\n")[0], description, status, version)
        return Node(rid, table, _text(row, "Filename"), description)


class Start(NamedTuple):
    """Where lineage starts: the record, the table that it is in, and the links of its catalog."""

    rid: RID
    table: str
    links: Links

    @property
    def records(self) -> Records:
        """The record, as ``Links`` takes it."""
        return {self.table: [self.rid]}


def order(version: str) -> tuple[int, ...]:
    """Return what the name of a dataset's version sorts by."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _role(row: Row) -> str:
    return str(row.get("Asset_Role") or AssetRole.output)  # a domain's table may have no column for it


def _text(row: Row, column: str) -> str:
    return str(row.get(column) or "")


class LinkedRecords(CatalogBase):
    """The part of ``EmbeddedCatalog`` that knows which record came from which."""

    def links_from(self, rid: RID) -> Start:
        """Return what ``Source.links_from`` does."""
        tables = self.asset_tables()
        for table in (EXECUTION, DATASET, *tables):
            if self._db.find(table, RID=rid):
                return Start(rid, table, _LocalLinks(self, tables))
        raise self._not_found(rid, "execution, dataset or file")

    def linked_rows(self, table: str, column: str, values: Collection[RID]) -> list[Row]:
        """Return the rows of a table whose column has one of the values.

        None of a table that is not here: what a run read on a server may be in any.
        """
        texts = [value for value in values if isinstance(value, str)]  # a damaged row may hold anything
        if not texts or not self._db.value("SELECT 1 FROM sqlite_master WHERE name = ?", table):
            return []
        return [dict(row) for row in self._db.select_any(table, column, texts)]


class _LocalLinks(Links):
    """The steps of lineage in the embedded catalog, also by way of a Deriva catalog that a run read from."""

    def __init__(self, catalog: LinkedRecords, tables: Sequence[str]) -> None:
        uses = {table: Joined(f"{table}_Execution", table, "Execution") for table in tables}
        members = {MLAsset.file.value: Joined("Dataset_File", "Dataset", "File")}
        super().__init__(catalog.linked_rows, uses, members)
        self._journal = catalog.journal

    def in_order(self, links: Iterable[Link]) -> list[Link]:
        links = [*links]
        records = grouped((link.table, link.other) for link in links)
        rows = (row for table, rids in records.items() for row in self._fetch(table, "RID", rids))
        recorded = {row["RID"]: str(row["RCT"]) for row in rows}
        # Those of a server last.
        return sorted(links, key=lambda link: (recorded.get(link.other, "later"), link.other))

    def follow(self, records: Records, up: bool) -> list[Link]:
        found = super().follow(records, up)
        if up:
            read = self._journal.read_by(records.get(EXECUTION, ()))
            return found + [Link(reader, one, table, "") for reader, one, table in read]
        given = [rid for table, rids in records.items() if table != EXECUTION for rid in rids]
        return found + [Link(rid, reader, EXECUTION, "") for rid, reader in self._journal.readers_of(given)]
