"""Reading and changing the model: /schema, /acl and /annotation."""

from __future__ import annotations

import json
from typing import Any

from . import rid
from .call import JSON, Call, as_json, conditional
from .errors import conflict, malformed, no_method, not_found, unsupported
from .http import Response
from .model import Document, Model
from .wire import to_json

ACCESSES = ("owner", "create", "insert", "delete", "write", "enumerate", "update", "select")
_NO_PARTS: Document = {"annotations": {}, "acls": {}, "acl_bindings": {}}


def answer(call: Call, parts: list[str]) -> Response:
    """Requests below /ermrest/catalog/N for the model; ``parts`` are those of the path after N."""
    method = call.request.method
    if parts[0] == "schema":
        if method in ("GET", "HEAD"):
            return _read(call, parts)
        if method == "POST" and len(parts) in (1, 2) or parts[2:3] == ["table"] and method == "POST":
            return _create(call, parts)
        if method == "DELETE" and (len(parts) == 2 or parts[2:3] == ["table"] and len(parts) == 4):
            return _drop(call, parts)
    place = _configured(parts)
    if place is None:
        raise unsupported(f"{method} {call.request.path}")
    return _configure(call, *place)


# ------------------------------------------------------------------------ read


def _read(call: Call, parts: list[str]) -> Response:
    headers = conditional(call, _etag(call), "cookie")
    if len(parts) == 1:
        return _whole(call, headers)
    if parts[1] not in call.model.document["schemas"]:
        raise not_found(f"schema {parts[1]}")
    schema = call.model.document["schemas"][parts[1]]
    if len(parts) == 2:
        return as_json(200, schema, headers)
    if parts[2] != "table" or len(parts) > 4:
        raise unsupported(call.request.path)
    if len(parts) == 3:
        return as_json(200, list(schema["tables"].values()), headers)
    if parts[3] not in schema["tables"]:
        raise not_found(f"table {parts[3]} in schema {parts[1]}")
    return as_json(200, schema["tables"][parts[3]], headers)


def _whole(call: Call, headers: list[tuple[str, str]]) -> Response:
    snaptime = rid.encode(call.catalog.version if call.snapshot is None else call.snapshot)
    seen = (call.user, call.snapshot is not None)
    if seen not in call.model.written:
        call.model.written[seen] = to_json(call.model.rights(call.user).shown(past=seen[1]))
    body = f'{{"snaptime": "{snaptime}", {call.model.written[seen][1:]}'
    return Response(200, [*headers, ("Content-Type", JSON)], body.encode())


def _etag(call: Call) -> str:
    return call.etag("*", str(rid.timestamp(call.catalog.model_changed)))


# -------------------------------------------------------------------- create


def _create(call: Call, parts: list[str]) -> Response:
    catalog = call.catalog
    call.model.require(call.user, "create", f"catalog/{catalog.id}")
    body = json.loads(call.request.body() or b"{}")
    with catalog.transaction(call.user):
        document = catalog.copy_document()
        created: Any
        if len(parts) == 1:
            if not isinstance(body, list):
                raise malformed("A list of model documents is needed.")
            created = [_schema(call, document, one) for one in body]
        elif len(parts) == 2:
            created = _schema(call, document, {"schema_name": parts[1]})
        elif len(parts) == 3:
            created = _table(call, document, {**body, "schema_name": parts[1]})
        else:
            raise unsupported(f"POST {call.request.path}")
        known = set(catalog.model.tables)
        tables = _changed(call, document).tables
        for name in set(tables) - known:
            catalog.create_table(tables[name])
    return as_json(201, created, [("Vary", "cookie"), ("ETag", _etag(call))])


def _changed(call: Call, document: Document) -> Model:
    try:
        return call.catalog.change_model(document)
    except (KeyError, IndexError) as error:
        raise conflict(f"A reference in the document leads nowhere: {error}") from None


def _schema(call: Call, document: Document, wanted: Document) -> Document:
    if set(wanted) - {"schema_name", "comment", "annotations", "acls", "tables"}:
        raise unsupported("this document in POST /schema")
    name = wanted["schema_name"]
    if name in document["schemas"]:
        raise conflict(f"Schema {name} already exists.")
    schema: Document = {
        "RID": call.catalog.mint(),
        "schema_name": name,
        "comment": wanted.get("comment"),
        "rights": {"owner": True, "create": True},
        "annotations": wanted.get("annotations") or {},
        "tables": {},
        "acls": wanted.get("acls") or {},
    }
    document["schemas"][name] = schema
    for table in (wanted.get("tables") or {}).values():
        _table(call, document, {**table, "schema_name": name})
    return schema


def _table(call: Call, document: Document, wanted: Document) -> Document:
    schema, name = wanted["schema_name"], wanted["table_name"]
    if schema not in document["schemas"]:
        raise not_found(f"schema {schema}")
    if name in document["schemas"][schema]["tables"]:
        raise conflict(f"Table {name} already exists in schema {schema}.")
    mint = call.catalog.mint
    table: Document = {
        "RID": mint(),
        "schema_name": schema,
        "table_name": name,
        "rights": dict.fromkeys(("delete", "owner", "update", "insert", "select"), True),
        "column_definitions": [_column(mint(), column) for column in wanted.get("column_definitions", [])],
        "keys": [],
        "foreign_keys": [],
        "kind": wanted.get("kind", "table"),
        "comment": wanted.get("comment"),
        "annotations": wanted.get("annotations") or {},
        "acls": wanted.get("acls") or {},
        "acl_bindings": wanted.get("acl_bindings") or {},
    }
    document["schemas"][schema]["tables"][name] = table
    for key in wanted.get("keys", []):
        names = _named(key, schema, f"{name}_{'_'.join(key['unique_columns'])}_key")
        part = {"comment": key.get("comment"), "annotations": key.get("annotations") or {}}
        table["keys"].append({"RID": mint(), **part, **key, "names": names})
    for reference in wanted.get("foreign_keys", []):
        table["foreign_keys"].append(_reference(mint(), schema, name, reference))
    return table


def _column(identifier: str, wanted: Document) -> Document:
    name = wanted["name"]
    return {
        "RID": identifier,
        "name": name,
        "rights": {
            "delete": True,
            "insert": name not in ("RMT", "RMB"),
            "select": True,
            "update": name not in ("RID", "RMT", "RCB", "RMB"),
        },
        "type": dict(sorted(wanted["type"].items(), key=lambda item: _TYPE_MEMBERS.index(item[0]))),
        "default": wanted.get("default"),
        "nullok": wanted.get("nullok", True),
        "comment": wanted.get("comment"),
        **{part: wanted.get(part) or {} for part in _NO_PARTS},
    }


_TYPE_MEMBERS = ("is_array", "is_domain", "typename", "base_type")


def _reference(identifier: str, schema: str, table: str, wanted: Document) -> Document:
    columns = [one["column_name"] for one in wanted["foreign_key_columns"]]
    own = [{"schema_name": schema, "table_name": table, "column_name": column} for column in columns]
    return {
        "RID": identifier,
        "foreign_key_columns": own,
        "referenced_columns": wanted["referenced_columns"],
        "rights": {"insert": True, "update": True},
        "comment": wanted.get("comment"),
        "annotations": wanted.get("annotations") or {},
        "names": _named(wanted, schema, f"{table}_{'_'.join(columns)}_fkey"),
        "acls": wanted.get("acls") or {"insert": ["*"], "update": ["*"]},
        "acl_bindings": wanted.get("acl_bindings") or {},
        "on_delete": wanted.get("on_delete") or "NO ACTION",
        "on_update": wanted.get("on_update") or "NO ACTION",
    }


def _named(wanted: Document, schema: str, default: str) -> list[list[str]]:
    """A constraint's name: the wished one, in whatever schema it was wished, or one made of its columns."""
    return [[schema, names[0][1] if (names := wanted.get("names")) else default]]


def _drop(call: Call, parts: list[str]) -> Response:
    catalog = call.catalog
    call.model.require(call.user, "owner", f"catalog/{catalog.id}")
    with catalog.transaction(call.user):
        document = catalog.copy_document()
        schemas = document["schemas"]
        if parts[1] not in schemas:
            raise not_found(f"schema {parts[1]}")
        if len(parts) == 2:
            if schemas[parts[1]]["tables"]:
                raise conflict(f"cannot drop schema {parts[1]} because other objects depend on it")
            del schemas[parts[1]]
        else:
            if parts[3] not in schemas[parts[1]]["tables"]:
                raise not_found(f"table {parts[3]} in schema {parts[1]}")
            table = catalog.model.tables[parts[1], parts[3]]
            if any(reference.source is not table for reference in table.referrers):
                raise conflict(f"cannot drop table {parts[3]} because other objects depend on it")
            del schemas[parts[1]]["tables"][parts[3]]
            catalog.drop_table(table)
        catalog.change_model(document)
    return Response(204)


# ----------------------------------------------------------------- configure


def _configured(parts: list[str]) -> tuple[list[str], str, list[str]] | None:
    """Which part of the document a path configures: the way to it, acl or annotation, and the member."""
    for position, part in enumerate(parts):
        if part in ("acl", "annotation") and position in (0, 2, 4) and len(parts) <= position + 2:
            return parts[:position], part, parts[position + 1 :]
    return None


def _configure(call: Call, way: list[str], what: str, member: list[str]) -> Response:
    catalog = call.catalog
    method = call.request.method
    call.model.require(call.user, "owner", f"catalog/{catalog.id}")
    document = catalog.copy_document()
    part = document
    try:
        for key, name in zip(("schema", "table"), way[1::2], strict=False):
            part = part[f"{key}s"][name]
    except KeyError as error:
        raise not_found(f"{key} {error}") from None
    settings: Document = part[f"{what}s"]
    if method == "GET":
        if member and member[0] not in settings:
            raise not_found(f"{what} {member[0]}")
        return as_json(200, settings[member[0]] if member else settings, [])
    if method not in ("PUT", "DELETE"):
        raise no_method()
    body = json.loads(call.request.body()) if method == "PUT" else None
    unknown = set(member or body or ()) - set(ACCESSES)
    if what == "acl" and unknown:
        raise conflict(f"ACL {', '.join(unknown)} is not supported.")
    with catalog.transaction(call.user):
        if not member:
            settings.clear()
            settings.update(body or {})
        elif method == "PUT":
            settings[member[0]] = body
        else:
            settings.pop(member[0], None)
        catalog.change_model(document)
    if method == "DELETE":
        return Response(204)
    echo = (to_json(body) + "\n").encode()
    headers = [("Vary", "cookie"), ("ETag", _etag(call)), ("Content-Type", "application/json")]
    return Response(200, headers, echo)
