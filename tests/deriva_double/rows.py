"""Rows over HTTP: reading and writing what a path of /entity, /attribute, /attributegroup or /aggregate means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from . import inputs, mutation, rid
from .call import JSON, Call, conditional
from .errors import malformed, no_method, unsupported
from .grammar import parse
from .http import Response
from .model import SYSTEM_COLUMNS, Table
from .query import Query, Rows

APIS = ("entity", "attribute", "attributegroup", "aggregate")
STREAM, CSV = "application/x-json-stream", "text/csv"


def answer(call: Call, api: str) -> Response:
    """Requests below /ermrest/catalog/N for rows."""
    start = call.request.path.index(f"/{api}/") + len(api) + 2
    path = parse(api, call.request.path, start)
    method = call.request.method
    if method in ("GET", "HEAD"):
        call.only("limit", "accept")
        with call.catalog.lock:
            query = Query(path, call.model, call.user, call.snapshot)
            for instance in query.instances:
                _require(call, "select", instance.table)
            headers = conditional(call, _data_etag(call), "accept,cookie")
            rows = query.run(call.catalog, _limit(call))
        return _tabular(call, [rows], headers)
    writers: dict[tuple[str, str], Callable[[Call, Query], list[Rows]]] = {
        ("POST", "entity"): _insert,
        ("PUT", "entity"): _upsert,
        ("PUT", "attributegroup"): _update,
        ("DELETE", "entity"): _delete,
        ("DELETE", "attribute"): _clear,
    }
    if (method, api) not in writers:
        raise no_method()
    query = Query(path, call.model, call.user)
    if method != "DELETE" and len(path.steps) > 1:
        raise malformed("unsupported path length for put")
    call.body = call.request.body()
    results = writers[method, api](call, query)
    headers = [("Vary", "accept,cookie"), ("ETag", _data_etag(call))]
    return Response(204, headers) if method == "DELETE" else _tabular(call, results, headers)


def _data_etag(call: Call) -> str:
    accepted = "*/*" if call.request.method == "DELETE" else call.request.headers.get("accept", "*/*")
    return call.etag(accepted, str(rid.timestamp(call.catalog.version)))


def _require(call: Call, access: str, table: Table) -> bool | None:
    return call.model.require(call.user, access, f":{table.schema}:{table.name}", table)


def _limit(call: Call) -> int | None:
    values = call.option("limit")
    if not values or values == ["none"]:
        return None
    if not values[0].isdigit():
        raise malformed(f'The "limit" query-parameter value "{values[0]}" is not an integer.')
    return int(values[0])


def _insert(call: Call, query: Query) -> list[Rows]:
    call.only("defaults", "nondefaults", "onconflict", "accept")
    table = query.context.table
    _require(call, "insert", table)
    conflicts = call.option("onconflict")
    if conflicts not in ([], ["skip"], ["abort"]):
        raise malformed(f'The "onconflict" query-parameter value "{conflicts[0]}" is not supported.')
    with call.catalog.transaction(call.user):
        rows = mutation.insert(
            call.catalog,
            call.user,
            table,
            _input(call, table),
            set(call.option("defaults")),
            set(call.option("nondefaults")),
            conflicts == ["skip"],
        )
    return [rows]


def _upsert(call: Call, query: Query) -> list[Rows]:
    call.only("defaults", "accept")
    table = query.context.table
    conditional(call, _data_etag(call), "accept,cookie")
    _require(call, "insert", table)
    _require(call, "update", table)
    with call.catalog.transaction(call.user):
        return mutation.upsert(call.catalog, call.user, table, _input(call, table))


def _update(call: Call, query: Query) -> list[Rows]:
    call.only("accept")
    table = query.context.table
    conditional(call, _data_etag(call), "accept,cookie")
    own = _own_rows_only(call, "update", table)
    with call.catalog.transaction(call.user):
        columns = [output.alias or output.column[-1] for output in (*query.path.keys, *query.path.outputs)]
        rows = inputs.read(_content_type(call), call.body, columns)
        return [
            mutation.update(call.catalog, call.user, table, rows, query.path.keys, query.path.outputs, own)
        ]


def _delete(call: Call, query: Query) -> list[Rows]:
    call.only()
    conditional(call, _data_etag(call), "accept,cookie")
    own = _own_rows_only(call, "delete", query.context.table)
    with call.catalog.transaction(call.user):
        mutation.delete(call.catalog, call.user, query, own)
    return []


def _clear(call: Call, query: Query) -> list[Rows]:
    call.only()
    conditional(call, _data_etag(call), "accept,cookie")
    own = _own_rows_only(call, "update", query.context.table)
    with call.catalog.transaction(call.user):
        mutation.clear(call.catalog, call.user, query, query.path.outputs, own)
    return []


def _own_rows_only(call: Call, access: str, table: Table) -> bool:
    """Whether only rows that the client made may be changed; refuses where none may."""
    return _require(call, access, table) is None


def _content_type(call: Call) -> str:
    return call.request.headers.get("content-type", "")


def _input(call: Call, table: Table) -> inputs.Input:
    return inputs.read(_content_type(call), call.body, list(table.columns), SYSTEM_COLUMNS)


def _tabular(call: Call, results: list[Rows], headers: list[tuple[str, str]]) -> Response:
    accepted = (call.option("accept") or [call.request.headers.get("accept", "")])[0]
    if STREAM in accepted:
        body, kind = "".join(row + "\n" for row in _json_rows(results)), STREAM
    elif accepted == "csv" or (CSV in accepted and JSON not in accepted):
        body, kind = _csv(results), CSV
    else:
        body, kind = "[" + ",\n ".join(_json_rows(results)) + "]\n", JSON
    return Response(200, [*headers, ("Content-Type", kind)], body.encode())


def _json_rows(results: list[Rows]) -> Iterable[str]:
    for rows in results:
        writers = [(json.dumps(name, ensure_ascii=False) + ":", kind.dump) for name, kind in rows.columns]
        for values in rows.values:
            members = (name + dump(value) for (name, dump), value in zip(writers, values, strict=True))
            yield "{" + ",".join(members) + "}"


def _csv(results: list[Rows]) -> str:
    lines = []
    for rows in results[:1]:
        if len(results) > 1 and results[1].values:
            raise unsupported("CSV of updated and inserted rows together")
        if rows.values:
            lines.append([name for name, _ in rows.columns])
        lines += [
            [kind.csv(value) for (_, kind), value in zip(rows.columns, values, strict=True)]
            for values in rows.values
        ]
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if any(mark in field for mark in ',"\r\n') else field
