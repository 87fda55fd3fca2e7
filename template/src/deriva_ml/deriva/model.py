"""What a Deriva catalog consists of, read from its schema document: tables, files, associations, references, rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from deriva_ml.definitions import (
    FILE_COLUMNS,
    UNKNOWN_PROVENANCE,
    FeatureDefinition,
    ForeignKey,
    TableDefinition,
)
from deriva_ml.exceptions import DerivaMLRequestError

ML_SCHEMA = "deriva-ml"


SYSTEM_COLUMNS = frozenset({"RID", "RCT", "RMT", "RCB", "RMB"})
"""What every table has, and the server fills in."""

_OF_VOCABULARIES = {"ID", "URI", "Name", "Description", "Synonyms"}
"""What the tables of terms have."""

UNKNOWN_SOURCE = f"{UNKNOWN_PROVENANCE}file"
"""The URL of the row of `File` that stands for an input that nobody knows, in catalogs that are made with one (upstream's
``SENTINEL_FILE_URL``)."""


@dataclass(frozen=True)
class Association:
    """A table that joins rows of two tables.

    Attributes:
        table: its own name.
        column: its column that refers to the one.
        other_column: its column that refers to the other.
        other: that other table.
        other_key: the column of ``other`` that is referred to.
    """

    table: str
    column: str
    other_column: str
    other: str
    other_key: str


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    columns: Mapping[str, Mapping[str, Any]]
    """Each column's definition."""
    keys: frozenset[frozenset[str]]
    references: tuple[ForeignKey, ...]
    """All but those to the server's own tables, such as the client that made the row."""
    rights: Mapping[str, Any]


class Model:
    """A catalog's tables, as the schema document describes them to the one who asked for it.

    A table goes by its plain name. Where several schemas use one name, it is that of the table in ``deriva-ml``, or else
    in a domain's schema; the others go by ``schema:table``. Catalogs of different generations are told apart by what is
    there.

    Args:
        document: what the server answers for ``/schema``, now or at a snapshot.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        schemas = document["schemas"]
        order = sorted(schemas, key=lambda name: (name != ML_SCHEMA, name in {"WWW", "public"}))
        self._names: dict[tuple[str, str], str] = {}
        for schema in order:
            for name in schemas[schema]["tables"]:
                taken = name in self._names.values()
                self._names[schema, name] = f"{schema}:{name}" if taken else name
        self._tables = {
            name: self._read(schemas[schema]["tables"][table])
            for (schema, table), name in self._names.items()
        }
        self.file_tables = [name for name, one in self._tables.items() if one.columns.keys() >= FILE_COLUMNS]
        """Tables whose rows stand for files."""
        # What differs between generations
        self.workflow_types_are_rows = self.has("Workflow_Workflow_Type")
        """Whether a workflow can have several types, joined to it; otherwise its column ``Workflow_Type`` has one."""
        self.statuses_are_terms = self.has("Execution_Status")
        """Whether statuses are a vocabulary; otherwise a status is any text."""
        self.executions_nest = self.has("Execution_Execution")
        """Whether an execution can be part of another."""
        self.dataset_versions_are_linked = self.has("Dataset_Execution", "Dataset_Version")
        """Whether an execution is joined to the version of a dataset that it read; otherwise to the dataset alone."""

    def _read(self, document: Mapping[str, Any]) -> _Table:
        references = []
        for key in document["foreign_keys"]:
            target = key["referenced_columns"]
            place = target[0]["schema_name"], target[0]["table_name"]
            # A table that this client may not even know of is not in the document.
            if place[0] != "public" and place in self._names:
                columns = tuple(column["column_name"] for column in key["foreign_key_columns"])
                referred = tuple(column["column_name"] for column in target)
                references.append(ForeignKey(columns, self._names[place], referred))
        return _Table(
            schema=document["schema_name"],
            name=document["table_name"],
            columns={column["name"]: column for column in document["column_definitions"]},
            keys=frozenset(frozenset(key["unique_columns"]) for key in document["keys"]),
            references=tuple(references),
            rights=document.get("rights") or {},
        )

    def _table(self, name: str) -> _Table:
        schema, _, plain = name.partition(":")
        found = self._tables.get(name) or self._tables.get(self._names.get((schema, plain), ""))
        if found is None:
            raise DerivaMLRequestError(f"the catalog has no table {name}")
        return found

    def has(self, table: str, column: str | None = None) -> bool:
        """True if the schema ``deriva-ml`` has the table, and the table the column."""
        found = self._tables.get(table)
        return found is not None and found.schema == ML_SCHEMA and (column is None or column in found.columns)

    def columns(self, table: str) -> dict[str, bool]:
        """The columns of a table of files beyond those of every such table, each with whether it must have a value."""
        return {
            name: not column.get("nullok", True) and column.get("default") is None
            for name, column in self._table(table).columns.items()
            if name not in FILE_COLUMNS | SYSTEM_COLUMNS | {"Description"}
        }

    def name_of(self, schema: str, table: str) -> str:
        """The name that a table goes by here."""
        return self._names.get((schema, table), f"{schema}:{table}")

    def qualified(self, table: str) -> str:
        """``schema:table``, quoted for a URL.

        Raises:
            DerivaMLRequestError: no schema has such a table.
        """
        found = self._table(table)
        return f"{quote(found.schema, safe='')}:{quote(found.name, safe='')}"

    def may(self, table: str, access: str, column: str | None = None) -> bool | None:
        """A right on a table or its column: yes, no, or None where it depends on the row, or the server does not say."""
        found = self._tables.get(table)
        if found is None:  # which the client may not even know of
            return False
        rights = found.rights if column is None else found.columns.get(column, {}).get("rights") or {}
        right: bool | None = rights.get(access)
        return right

    def keys(self, table: str) -> list[list[str]]:
        """The columns of each of a table's keys, but for the RID."""
        return [sorted(key) for key in self._table(table).keys if key != {"RID"}]

    def references(self, table: str) -> list[ForeignKey]:
        """A table's foreign keys to tables that the client may read, except to the server's own in ``public``."""
        return [one for one in self._table(table).references if self.may(one.table, "select") is not False]

    def association(self, table: str, other: str) -> Association | None:
        """The table ``<table>_<other>`` that joins the two, in whichever schema it is."""
        name = f"{table.rpartition(':')[2]}_{other.rpartition(':')[2]}"
        for candidate, found in self._tables.items():
            if found.name == name and (joining := _association(candidate, found, table, other)):
                return joining
        return None

    @cached_property
    def asset_tables(self) -> dict[str, Association]:
        """Tables of files that executions read and make, each with the one that joins it to executions."""
        links = {name: self.association(name, "Execution") for name in self.file_tables}
        return {name: link for name, link in links.items() if link}

    @cached_property
    def member_tables(self) -> list[Association]:
        """Return the tables that join datasets to their members: datasets left out, and of ``deriva-ml`` all but files.

        It is known by its key, which is of a dataset and a member together, or by its name.
        """
        found = []
        for name, table in self._tables.items():
            for reference in table.references:
                other = self._tables[reference.table]
                if other.schema == ML_SCHEMA and reference.table not in self.file_tables:
                    continue
                joining = _association(name, table, "Dataset", reference.table)
                named = table.name == f"Dataset_{other.name}"
                if joining and (named or {joining.column, joining.other_column} in table.keys):
                    found.append(joining)
        return found

    @cached_property
    def features(self) -> dict[str, FeatureDefinition]:
        """Features by the tables that have their values, which also have an execution's column and the feature's name."""
        found = {name: self._feature(table) for name, table in self._tables.items()}
        return {name: one for name, one in found.items() if one and self.may(name, "select") is not False}

    def _feature(self, table: _Table) -> FeatureDefinition | None:
        singles = {one.columns[0]: one for one in table.references if len(one.columns) == 1}
        structure = {"Execution", "Feature_Name"}
        if not all(name in singles and singles[name].table == name for name in structure):
            return None
        in_key = frozenset[str]().union(*(key for key in table.keys if key >= structure))
        of_terms = {
            name
            for name, one in singles.items()
            if self._tables[one.table].columns.keys() >= _OF_VOCABULARIES
        }
        targets = [name for name in singles if name not in structure | of_terms]
        # By upstream's convention Execution_<target>_<feature>; it is also in the key.
        targets.sort(key=lambda name: (not table.name.startswith(f"Execution_{name}_"), name not in in_key))
        if not targets:
            return None
        target = targets[0]
        own = singles.keys() - structure - {target}
        default = table.columns["Feature_Name"].get("default")
        return FeatureDefinition(
            name=default or table.name.removeprefix(f"Execution_{target}_"),
            target=singles[target],
            terms=tuple(sorted(own & of_terms - in_key)),
            assets=tuple(sorted(name for name in own - in_key if singles[name].table in self.file_tables)),
            qualifiers=tuple(sorted(own & in_key)),
        )

    def features_of(self, table: str) -> dict[str, FeatureDefinition]:
        """The features of the rows of a table, by the tables that have their values."""
        return {name: one for name, one in self.features.items() if one.target.table == table}

    def definition(self, table: str) -> TableDefinition:
        """What there is to say of a table to those who have no server."""
        types = {
            name: (one.get("type") or {}).get("typename") for name, one in self._table(table).columns.items()
        }
        return TableDefinition(
            {name: str(kind or "text") for name, kind in types.items()},
            tuple(self.references(table)),
            self.features.get(table),
        )


def _association(name: str, table: _Table, one: str, other: str) -> Association | None:
    """Return how a table of this name joins ``one`` to ``other``, if it does."""
    singles = [reference for reference in table.references if len(reference.columns) == 1]
    left = next((found for found in singles if found.table == one), None)
    right = next((found for found in singles if found.table == other and found is not left), None)
    if left is None or right is None:
        return None
    return Association(name, left.columns[0], right.columns[0], other, right.key[0])
