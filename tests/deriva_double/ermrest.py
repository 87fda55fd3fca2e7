"""The /ermrest service: the registry of catalogs and aliases, and what is below one catalog."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import unquote

from . import rid, rows, schema_api
from .auth import Sessions, User
from .call import JSON, Call, as_json, conditional
from .catalog import Catalog
from .errors import (
    ServiceError,
    conflict,
    forbidden,
    no_method,
    not_found,
    unauthenticated,
    unsupported,
)
from .http import Request, Response, text
from .model import Document, Table
from .wire import to_json

FEATURES: Document = {
    "trs": True,
    "tcrs": True,
    "history_control": True,
    "implicit_fkey_index": True,
    "catalog_post_input": True,
    "catalog_alias": True,
    "indexing_preferences": {"btree": True, "btree_column_list": True, "trgm": True, "gin_array": True},
    "quantified_value_lists": True,
    "quantified_rid_lists": True,
    "rid_lease": True,
    "registry_catalog": True,
    "csv_array_json": True,
}


class Ermrest:
    """Several catalogs under one server."""

    def __init__(self, sessions: Sessions, template: Callable[[], Document]) -> None:
        self.catalogs: dict[str, Catalog] = {}
        self.aliases: dict[str, str] = {}
        self.next_id = 1
        self._sessions = sessions
        self._template = template
        self._lock = threading.Lock()

    def add(self, document: Callable[[str], Document]) -> Catalog:
        """A new catalog with no rows and the model of the schema document for its id."""
        with self._lock:
            while str(self.next_id) in self.catalogs:
                self.next_id += 1
            catalog = Catalog(str(self.next_id), document(str(self.next_id)))
            self.catalogs[catalog.id] = catalog
            self.next_id += 1
        return catalog

    def answer(self, request: Request) -> Response:
        """Requests below /ermrest/."""
        user = self._sessions.user(request, lingering=True)
        try:
            return self._route(request, user)
        except ServiceError as error:
            if error.status == 304:
                return Response(304, list(error.headers))
            if "text/html" in request.headers.get("accept", ""):
                response = text(error.status, error.html() + "\n", "text/html")
            else:
                response = text(error.status, error.message + "\n")
            response.headers = [*error.headers, *response.headers]
            return response

    def _route(self, request: Request, user: User) -> Response:
        parts = request.path.split("/")
        if parts[2:] in ([], [""]):
            return as_json(200, {"version": "0.5.0", "features": FEATURES})
        if parts[2] == "alias":
            return self._create_alias(request, user, parts[3:])
        if parts[2] != "catalog":
            raise unsupported(request.path)
        if len(parts) == 3:
            return self._create_catalog(request, user)
        name, _, snapshot = unquote(parts[3]).partition("@")
        with self._lock:
            catalog = self.catalogs.get(self.aliases.get(name, name))
        if catalog is None:
            raise not_found(f"catalog {name}")
        moment = catalog.snapshot(snapshot) if snapshot else None
        call = Call(request, user, catalog, name, moment)
        call.model.require(user, "enumerate", f"catalog/{catalog.id}")
        if moment is not None and request.method not in ("GET", "HEAD"):
            raise forbidden("modification to catalog at previous revision")
        return self._in_catalog(call, parts[4:])

    def _in_catalog(self, call: Call, parts: list[str]) -> Response:
        api = parts[0] if parts else ""
        if api == "":
            if call.request.method == "DELETE":
                return self._delete_catalog(call)
            return _describe(call)
        if api in rows.APIS and len(parts) > 1:
            return rows.answer(call, api)
        if api == "entity_rid" and len(parts) == 2:
            return _resolve(call, unquote(parts[1]))
        if api == "history":
            return _history(call, parts[1:])
        if api in ("schema", "acl", "annotation"):
            return schema_api.answer(call, [unquote(part) for part in parts])
        raise unsupported(call.request.path)

    def _create_catalog(self, request: Request, user: User) -> Response:
        if request.method != "POST":
            raise no_method()
        _may_create(user, "catalog")
        wanted = json.loads(request.body() or b"{}")
        if set(wanted) - {"owner", "name", "description"}:
            raise unsupported("these members of a catalog to be: " + ", ".join(wanted))
        template = self._template()
        template["acls"]["owner"] = wanted.get("owner") or [user.name]
        catalog = self.add(lambda identifier: template)
        headers = [("Location", f"/ermrest/catalog/{catalog.id}"), ("Content-Type", JSON)]
        return Response(201, headers, to_json({"id": catalog.id}).encode())

    def _delete_catalog(self, call: Call) -> Response:
        call.model.require(call.user, "owner", f"catalog/{call.catalog.id}")
        with self._lock:
            del self.catalogs[call.catalog.id]
        return Response(204)

    def _create_alias(self, request: Request, user: User, parts: list[str]) -> Response:
        if parts or request.method != "POST":
            raise unsupported(f"{request.method} {request.path}")
        _may_create(user, "alias")
        wanted = json.loads(request.body())
        if wanted["id"] in {**self.aliases, **self.catalogs}:
            raise conflict(f"Alias {wanted['id']} is not available.")
        if wanted["alias_target"] not in self.catalogs:
            raise conflict(f"Catalog {wanted['alias_target']} does not exist.")
        self.aliases[wanted["id"]] = wanted["alias_target"]
        headers = [("Location", f"/ermrest/catalog/{wanted['id']}"), ("Content-Type", JSON)]
        return Response(201, headers, to_json({"id": wanted["id"]}).encode())


def _may_create(user: User, what: str) -> None:
    if user.anonymous:
        raise unauthenticated(what)
    if user.name != "admin":
        raise forbidden(what)


def _describe(call: Call) -> Response:
    if call.request.method not in ("GET", "HEAD"):
        raise no_method()
    model = call.model.document
    snaptime = rid.encode(call.catalog.version if call.snapshot is None else call.snapshot)
    suffix = f"-{snaptime}" if call.snapshot is not None else ""
    if call.name != call.catalog.id:
        suffix += f"-{call.catalog.id}"
    headers = conditional(call, call.etag("*", snaptime + suffix), "cookie")
    is_owner = call.model.may(call.user, "owner")
    rights = is_owner and call.snapshot is None
    described = {
        "snaptime": snaptime,
        "annotations": model["annotations"],
        "rights": {"owner": rights, "create": rights},
        "features": FEATURES,
        **({"acls": model["acls"]} if is_owner else {}),
        "id": call.name,
        "is_persistent": True,
        **({"alias_target": call.catalog.id} if call.name != call.catalog.id else {}),
    }
    return as_json(200, described, headers)


def _history(call: Call, parts: list[str]) -> Response:
    if parts != [","] or call.request.method != "GET":
        raise unsupported(f"{call.request.method} {call.request.path}")
    headers = conditional(call, call.etag("*", "None"), "cookie")
    span = [rid.encode(call.catalog.created), rid.encode(call.catalog.version)]
    body = json.dumps({"snaprange": span, "amendver": None}, indent=2) + "\n"
    return Response(200, [*headers, ("Content-Type", JSON)], body.encode())


def _resolve(call: Call, wanted: str) -> Response:
    """Where the row with an identifier is, or was."""
    headers = conditional(call, call.etag("*", str(rid.timestamp(call.catalog.model_changed))), "cookie")
    names = (wanted, wanted.replace("-", "").upper())
    tables = sorted(call.model, key=lambda table: table.name == "ERMrest_RID_Lease")
    queries = ['SELECT "RID", NULL FROM {0.sql} WHERE "RID" IN (?, ?)'] * (call.snapshot is None)
    queries.append(
        'SELECT "RID", max(coalesce("@to", ?)) FROM {0.history} WHERE "RID" IN (?, ?) AND "@from" <= ?'
    )
    moment = call.catalog.version if call.snapshot is None else call.snapshot
    for query in queries:
        for table in (table for table in tables if "RID" in table.columns):
            values = names if "@to" not in query else (moment + 1, *names, moment)
            for found, gone in call.catalog.db.execute(query.format(table), values):
                if found is not None:
                    deleted = gone if gone is not None and gone <= moment else None
                    return _resolved(table, found, deleted, headers)
    raise not_found(f"entity with RID={wanted}")


def _resolved(table: Table, found: str, deleted: int | None, headers: list[tuple[str, str]]) -> Response:
    place = {"RID": found, "schema_name": table.schema, "table_name": table.name}
    if deleted is not None:
        place["deleted_at"] = rid.timestamp(deleted).isoformat()
        place["last_visible_at"] = rid.timestamp(deleted - 1).isoformat()
        place["last_visible_snaptime"] = rid.encode(deleted - 1)
    body = json.dumps(place, separators=(",", ":")) + "\n"
    return Response(200, [*headers, ("Content-Type", JSON)], body.encode())
