"""Who may do what with the parts of a model, decided as ERMrest decides it: yes, no, or (None) for some rows only.

A right is inherited from catalog to schema to table to column where the part has no ACL of that name; an ACL binding in
scope gives it for the rows that it names, which here are those that the client made. What a client may not enumerate
is not in its model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .auth import User

Document = dict[str, Any]
Decision = bool | None
# Which other ACLs grant a right.
_SUFFICIENT = {
    "owner": (),
    "create": ("owner",),
    "write": ("owner",),
    "insert": ("owner", "write"),
    "update": ("owner", "write"),
    "delete": ("owner", "write"),
    "select": ("owner", "write", "update", "delete"),
    "enumerate": ("owner", "create", "write", "insert", "update", "delete", "select"),
}
# What nobody may do with a system column.
_FIXED = {
    "RMT": ("insert", "update", "write"),
    "RMB": ("insert", "update", "write"),
    "RID": ("update", "write"),
    "RCB": ("update", "write"),
}


class Rights:
    """What one client may do in the model of a schema document."""

    def __init__(self, document: Document, user: User) -> None:
        self._document = document
        self._user = user
        self._known: dict[tuple[str, ...], Decision] = {}

    def catalog(self, access: str) -> Decision:
        """A right on the catalog."""
        return self._decide(access, self._document, None, None)

    def schema(self, name: str, access: str) -> Decision:
        """A right on a schema."""
        return self._decide(access, self._document["schemas"][name], self.catalog, None)

    def table(self, table: Document, access: str) -> Decision:
        """A right on a table, or on some of its rows."""
        schema = table["schema_name"]
        key = (schema, table["table_name"], access)
        if key not in self._known:
            self._known[key] = bool(self.schema(schema, "enumerate")) and self._decide(
                access, table, lambda one: self.schema(schema, one), {}
            )
        return self._known[key]

    def column(self, table: Document, column: Document, access: str) -> Decision:
        """A right on a column."""
        if access in _FIXED.get(column["name"], ()) or self.table(table, access) is False:
            return False
        return self._decide(access, column, lambda one: self.table(table, one), table)

    def _reference(self, table: Document, reference: Document, access: str) -> Decision:
        acls = reference.get("acls") or {}
        if access in acls and not self._decide(access, reference, lambda one: self.table(table, one), table):
            return False
        return self._columns(table, reference["foreign_key_columns"], access)

    def _columns(self, table: Document, named: Iterable[Any], access: str) -> Decision:
        names = {one if isinstance(one, str) else one["column_name"] for one in named}
        for column in table["column_definitions"]:
            if column["name"] in names and not (decision := self.column(table, column, access)):
                return decision
        return True

    def _decide(
        self,
        access: str,
        part: Document,
        parent: Callable[[str], Decision] | None,
        binding: Document | None,
    ) -> Decision:
        """A right on a part; ``binding`` is what hands its ACL bindings down, None where there are none."""
        if self._user.anonymous and access not in ("enumerate", "select"):
            return False
        acls = part.get("acls") or {}
        if any(self._user.within(acls.get(one)) for one in (access, *_SUFFICIENT[access])):
            return True
        if parent is not None:
            if parent("owner") or (acls.get(access) is None and parent(access)):
                return True
            if binding is None and parent(access) is None:
                return None
        bindings = {**((binding or {}).get("acl_bindings") or {}), **(part.get("acl_bindings") or {})}
        types = {access, *_SUFFICIENT[access]}
        for one in bindings.values():
            if one and types.intersection(one["types"]) and self._user.within(one.get("scope_acl", ["*"])):
                return None
        return False

    # ----------------------------------------------------------------- documents

    def shown(self, *, past: bool) -> Document:
        """The schema document as the client gets it, without the time; of a snapshot (``past``) it may only read."""

        def rights(part: Document, decide: Callable[[str], Decision]) -> Document:
            return {one: False if past and one != "select" else decide(one) for one in part["rights"]}

        def plain(part: Document, owner: Decision, **changed: Any) -> Document:
            hidden = () if owner else ("acls", "acl_bindings")
            return {name: value for name, value in {**part, **changed}.items() if name not in hidden}

        def shows(table: Document, columns: Iterable[Any]) -> bool:
            visible = bool(self._columns(table, columns, "enumerate"))
            return visible and self._columns(table, columns, "select") is not False

        def references(table: Document) -> Iterable[Document]:
            for one in table["foreign_keys"]:
                first = one["referenced_columns"][0]
                target = self._document["schemas"][first["schema_name"]]["tables"][first["table_name"]]
                if shows(table, one["foreign_key_columns"]) and shows(target, one["referenced_columns"]):
                    yield one

        def shown_table(table: Document) -> Document:
            owner = self.table(table, "owner")
            columns = [
                plain(one, owner, rights=rights(one, partial(self.column, table, one)))
                for one in table["column_definitions"]
                if self.column(table, one, "enumerate")
            ]
            foreign = [
                plain(one, owner, rights=rights(one, partial(self._reference, table, one)))
                for one in references(table)
            ]
            return plain(
                table,
                owner,
                rights=rights(table, partial(self.table, table)),
                column_definitions=columns,
                keys=[one for one in table["keys"] if shows(table, one["unique_columns"])],
                foreign_keys=foreign,
            )

        def shown_schema(name: str, schema: Document) -> Document:
            tables = schema["tables"]
            return plain(
                schema,
                self.schema(name, "owner"),
                rights=rights(schema, partial(self.schema, name)),
                tables={key: shown_table(one) for key, one in tables.items() if self.table(one, "enumerate")},
            )

        document = {key: value for key, value in self._document.items() if key != "snaptime"}
        schemas = document["schemas"]
        return plain(
            document,
            self.catalog("owner"),
            rights=rights(document, self.catalog),
            schemas={
                key: shown_schema(key, one) for key, one in schemas.items() if self.schema(key, "enumerate")
            },
        )
