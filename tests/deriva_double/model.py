"""The entity-relationship model of one catalog, read from its schema document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .auth import User
from .errors import conflict, forbidden, unauthenticated
from .rights import Decision, Document, Rights
from .values import Kind, kind_of

SYSTEM_COLUMNS = ("RID", "RCT", "RMT", "RCB", "RMB")


@dataclass(frozen=True)
class Column:
    """One column; ``default`` is a literal, or text with ``{RID}`` in it."""

    name: str
    kind: Kind
    nullok: bool
    default: Any


@dataclass(frozen=True)
class Key:
    """A uniqueness constraint."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ForeignKey:
    """A reference from columns of one table to a key of another."""

    name: str
    source: Table
    columns: tuple[str, ...]
    target: Table
    target_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(eq=False)
class Table:
    """One table, with the references from it and to it."""

    schema: str
    name: str
    document: Document
    columns: dict[str, Column]
    keys: list[Key]
    references: list[ForeignKey] = field(default_factory=list)
    referrers: list[ForeignKey] = field(default_factory=list)

    @property
    def sql(self) -> str:
        """Its quoted name in the database."""
        return quote(f"{self.schema}:{self.name}")

    @property
    def history(self) -> str:
        """The quoted name of the table that keeps its rows' pasts."""
        return quote(f"{self.schema}:{self.name}@")

    def column(self, name: str) -> Column:
        """A column by name.

        Raises:
            ServiceError: 409, there is none.
        """
        if name not in self.columns:
            raise conflict(f"Requested column {name} does not exist in table {self.name}.")
        return self.columns[name]

    @property
    def shortest_key(self) -> tuple[str, ...]:
        """The columns that tell its rows apart, and that order them where no order is asked for."""
        keys = [key.columns for key in self.keys]
        return min(keys, key=len) if keys else tuple(self.columns)


class Model:
    """The tables of one schema document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.written: dict[tuple[User, bool], str] = {}  # as JSON, by who asks and whether for a snapshot
        self._rights: dict[User, Rights] = {}
        self.tables: dict[tuple[str, str], Table] = {}
        for schema in document["schemas"].values():
            for table in schema["tables"].values():
                self._add(table)
        for found in self.tables.values():
            self._link(found)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def _add(self, document: Document) -> None:
        columns = {}
        for column in document["column_definitions"]:
            kind = kind_of(_storage_type(column["type"]))
            default = column.get("default")
            columns[column["name"]] = Column(column["name"], kind, column.get("nullok", True), default)
        keys = [Key(_constraint(key), tuple(key["unique_columns"])) for key in document["keys"]]
        schema, name = document["schema_name"], document["table_name"]
        self.tables[schema, name] = Table(schema, name, document, columns, keys)

    def _link(self, table: Table) -> None:
        for document in table.document["foreign_keys"]:
            first = document["referenced_columns"][0]
            target = self.tables[first["schema_name"], first["table_name"]]
            reference = ForeignKey(
                _constraint(document),
                table,
                tuple(column["column_name"] for column in document["foreign_key_columns"]),
                target,
                tuple(column["column_name"] for column in document["referenced_columns"]),
                document.get("on_delete") or "NO ACTION",
                document.get("on_update") or "NO ACTION",
            )
            table.references.append(reference)
            target.referrers.append(reference)

    def table(self, parts: tuple[str, ...], user: User) -> Table:
        """The table named ``(schema, table)``, or ``(table,)`` where that is not ambiguous, for one who may see it.

        Raises:
            ServiceError: 409, there is none.
        """
        rights = self.rights(user)
        if len(parts) == 2:
            if parts[0] not in self.document["schemas"] or not rights.schema(parts[0], "enumerate"):
                raise conflict(f"Schema {parts[0]} does not exist.")
            if parts in self.tables:
                return self.tables[parts]
            raise conflict(f"Table {parts[1]} does not exist in schema {parts[0]}.")
        named = [table for table in self if (table.name,) == parts]
        found = [table for table in named if rights.schema(table.schema, "enumerate")]
        if len(found) == 1:
            return found[0]
        problem = "is ambiguous" if found else "does not exist"
        raise conflict(f"Table {':'.join(parts)} {problem}.")

    def rights(self, user: User) -> Rights:
        """What a client may do here."""
        return self._rights.setdefault(user, Rights(self.document, user))

    def may(self, user: User, access: str, table: Table | None = None) -> Decision:
        """Whether the ACLs grant ``access``; None, where only on some rows: those that the client made."""
        rights = self.rights(user)
        return rights.catalog(access) if table is None else rights.table(table.document, access)

    def require(self, user: User, access: str, what: str, table: Table | None = None) -> Decision:
        """Refuse with 401 or 403 what the ACLs do not grant; inserts have to be granted for all rows."""
        decision = self.may(user, access, table)
        if decision is False or decision is None and access == "insert":
            refusal = unauthenticated if user.anonymous else forbidden
            raise refusal(f"{access} access on {what}")
        return decision


def _storage_type(type_document: Document) -> str:
    name: str = type_document["typename"]
    if type_document.get("is_array"):
        return _storage_type(type_document["base_type"]) + "[]"
    if name.startswith("ermrest_") or not type_document.get("is_domain"):
        return name
    return _storage_type(type_document["base_type"])


def _constraint(document: Document) -> str:
    return str(document["names"][0][1])


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
