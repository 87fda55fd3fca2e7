"""Inserting, updating and deleting rows under the constraints of the model."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from . import inputs
from .auth import User
from .catalog import Catalog
from .errors import ServiceError, conflict, forbidden, malformed, not_found, unsupported, violation
from .grammar import Output
from .inputs import Input
from .model import SYSTEM_COLUMNS, Column, ForeignKey, Table, quote
from .query import Query, Rows
from .values import ABSENT, BadValue, Stored


def insert(
    catalog: Catalog, user: User, table: Table, rows: Input, defaults: set[str], given: set[str], skip: bool
) -> Rows:
    """POST entity: new rows, within a transaction.

    Args:
        defaults: columns whose values in ``rows`` are ignored for their defaults; the system columns always are.
        given: columns (``nondefaults``) for which ``rows`` count after all.
        skip: leave out what collides with a stored row.
    """
    for name in (*defaults, *given):
        table.column(name)
    owner = catalog.model.may(user, "owner")
    for name in given.intersection(("RMT", "RMB") if owner else ("RCT", "RCB", "RMT", "RMB")):
        raise forbidden(f"insert access on :{table.schema}:{table.name}:{name}")
    generated = (defaults | set(SYSTEM_COLUMNS)) & set(table.columns) - given
    keyed = {name for key in table.keys for name in key.columns} - generated
    columns = [table.columns[name] for name in inputs.keys_first(table.columns, keyed)]
    loaded = inputs.load(rows, columns, generated)
    inputs.refuse_repeats(loaded, [name for name in table.columns if name in keyed])
    if "RID" in given and not owner:
        _use_leases(catalog, user, [row["RID"] for row in loaded])
    stored = []
    for row in loaded:
        complete = _complete(catalog, user, row, columns, generated)
        try:
            if catalog.insert(table, complete, skip=skip):
                stored.append(complete)
        except sqlite3.IntegrityError as error:
            raise _collision(table, complete, error) from None
        if "RID" in given:
            _step_past(catalog, str(complete["RID"]))
    check_references(catalog, table, stored)
    returned = [*columns, *(table.columns[name] for name in SYSTEM_COLUMNS if name in table.columns)]
    return Rows(
        [(column.name, column.kind) for column in returned],
        [tuple(row[column.name] for column in returned) for row in stored],
    )


def upsert(catalog: Catalog, user: User, table: Table, rows: Input) -> list[Rows]:
    """PUT entity: rows that are known by all of their keys' columns are replaced, others added."""
    own = [name for name in table.columns if name not in SYSTEM_COLUMNS]
    keyed = {name for key in table.keys for name in key.columns} & set(own)
    if not keyed:
        raise conflict("Entity PUT requires at least one client-managed key for input correlation.")
    names = inputs.keys_first(own, keyed)
    keys = [name for name in names if name in keyed]
    columns = [table.columns[name] for name in names]
    loaded = inputs.load(rows, columns, set())
    inputs.refuse_repeats(loaded, keys)
    fresh = []
    updated = []
    for row in loaded:
        numbers = _matching(catalog, table, {name: row[name] for name in keys})
        if not numbers:
            fresh.append(row)
            continue
        rest = {name: row[name] for name in names if name not in keyed}
        _update(catalog, user, table, numbers, rest)
        updated += [tuple(row[name] for name in names)] * len(numbers)
    results = [Rows([(column.name, column.kind) for column in columns], updated)]
    if fresh:
        new = insert(
            catalog, user, table, [inputs.unload(row, columns) for row in fresh], set(), set(), skip=False
        )
        results.append(_reordered(new, [*names, *SYSTEM_COLUMNS]))
    return results


def update(
    catalog: Catalog,
    user: User,
    table: Table,
    rows: Input,
    keys: list[Output],
    targets: list[Output],
    own: bool,
) -> Rows:
    """PUT attributegroup: the targets of the rows that the keys match; a row that matches nothing is passed over.

    With ``own``, as in the functions below, the user may only touch rows that it made.
    """
    if not targets:
        raise malformed("Grouped attribute update requires at least one target attribute.")
    outputs = [*keys, *targets]
    columns = [table.column(output.column[-1]) for output in outputs]
    names = [output.alias or output.column[-1] for output in outputs]
    for column in columns[len(keys) :]:
        if column.name in ("RID", "RMT", "RMB"):
            raise forbidden(f"update access on :{table.schema}:{table.name}:{column.name}")
    loaded = inputs.load(rows, columns, set(), names)
    inputs.refuse_repeats(loaded, names[: len(keys)])
    found = []
    for row in loaded:
        known = {column.name: row[name] for column, name in zip(columns, names[: len(keys)], strict=False)}
        changes = {
            column.name: row[name]
            for column, name in zip(columns[len(keys) :], names[len(keys) :], strict=True)
        }
        numbers = _matching(catalog, table, known)
        _refuse_others(catalog, user, table, numbers, "update", own)
        _update(catalog, user, table, numbers, changes)
        found += [tuple(row[name] for name in names)] * len(numbers)
    return Rows([(name, column.kind) for name, column in zip(names, columns, strict=True)], found)


def clear(catalog: Catalog, user: User, query: Query, outputs: list[Output], own: bool) -> None:
    """DELETE attribute: columns of the path's rows back to their defaults."""
    table = query.context.table
    columns = [table.column(output.column[-1]) for output in outputs]
    numbers = _found(catalog, query)
    _refuse_others(catalog, user, table, numbers, "update", own)
    changes: dict[str, Stored] = {column.name: _default(column, "") for column in columns}
    for column in columns:
        if changes[column.name] is None and not column.nullok:
            raise conflict(f'null value in column "{column.name}" violates not-null constraint\n')
    _update(catalog, user, table, numbers, changes)


def delete(catalog: Catalog, user: User, query: Query, own: bool) -> None:
    """DELETE entity: the path's rows, and what refers to them as the references say."""
    numbers = _found(catalog, query)
    _refuse_others(catalog, user, query.context.table, numbers, "delete", own)
    unreferenced: list[tuple[ForeignKey, dict[str, Stored]]] = []
    _delete(catalog, query.context.table, numbers, unreferenced)
    for reference, row in unreferenced:
        if _users(catalog, reference, row):
            raise _still_used(reference, row)


def _found(catalog: Catalog, query: Query) -> list[int]:
    numbers = query.identities(catalog)
    if not numbers:
        raise not_found("entities matching request path")
    return numbers


def _refuse_others(
    catalog: Catalog, user: User, table: Table, numbers: list[int], access: str, own: bool
) -> None:
    if own and any(_row(catalog, table, number)["RCB"] != user.name for number in numbers):
        raise forbidden(f"{access} access on one or more rows in table :{table.schema}:{table.name}")


# --------------------------------------------------------------------- new rows


def _complete(
    catalog: Catalog, user: User, row: dict[str, Stored], columns: list[Column], generated: set[str]
) -> dict[str, Stored]:
    system = catalog.system_values(user)
    identifier = str(system["RID"] if "RID" in generated else row.get("RID"))
    complete = dict(row)
    for column in columns:
        if column.name in generated:
            known = system.get(column.name, ABSENT)
            complete[column.name] = _default(column, identifier) if known is ABSENT else known
    return complete


def _use_leases(catalog: Catalog, user: User, identifiers: list[Stored]) -> None:
    """Use up the client's leases of these RIDs, whatever becomes of the rows; an owner needs none and uses none."""
    leases = catalog.model.tables["public", "ERMrest_RID_Lease"]
    for identifier in identifiers:
        found = _matching(catalog, leases, {"RID": identifier, "RCB": user.name})
        if not found:
            raise forbidden(f'insert access on column "RID" with non-leased value {identifier!r}')
        catalog.db.execute(f"DELETE FROM {leases.sql} WHERE rowid = ?", (found[0],))


def _default(column: Column, identifier: str) -> Stored:
    if column.default is None:
        return None
    try:
        if isinstance(column.default, str):
            return column.kind.parse(column.default.replace("{RID}", identifier))
        return column.kind.load(column.default)
    except BadValue:
        raise unsupported(f"the default {column.default!r}") from None


def _step_past(catalog: Catalog, identifier: str) -> None:
    try:
        catalog.mint_after(identifier)
    except ValueError as error:
        raise conflict(f"22P02\nDETAIL:  {identifier}\nHINT:  Invalid character: '{error}'\n") from None


def _reordered(rows: Rows, names: list[str]) -> Rows:
    at = [[name for name, _ in rows.columns].index(name) for name in names]
    return Rows([rows.columns[i] for i in at], [tuple(row[i] for i in at) for row in rows.values])


# ------------------------------------------------------------------ stored rows


def _matching(catalog: Catalog, table: Table, known: dict[str, Stored]) -> list[int]:
    where = " AND ".join(f"{quote(name)} IS ?" for name in known)
    sql = f"SELECT rowid FROM {table.sql} WHERE {where}"
    return [number for (number,) in catalog.db.execute(sql, tuple(known.values()))]


def _row(catalog: Catalog, table: Table, number: int) -> dict[str, Stored]:
    names = list(table.columns)
    sql = f"SELECT {', '.join(map(quote, names))} FROM {table.sql} WHERE rowid = ?"
    return dict(zip(names, catalog.db.execute(sql, (number,)).fetchone(), strict=True))


def _update(
    catalog: Catalog, user: User | None, table: Table, numbers: list[int], changes: dict[str, Stored]
) -> None:
    """Set columns of stored rows, keep RMT and RMB, and let references follow or refuse."""
    maintained: dict[str, Stored] = {"RMT": catalog.now_stamp}
    if user is not None:
        maintained["RMB"] = user.name or None
    assigned = {**changes, **{name: maintained[name] for name in maintained if name in table.columns}}
    sql = f"UPDATE {table.sql} SET {', '.join(f'{quote(name)} = ?' for name in assigned)} WHERE rowid = ?"
    before = [_row(catalog, table, number) for number in numbers]
    for number, old in zip(numbers, before, strict=True):
        try:
            catalog.db.execute(sql, (*assigned.values(), number))
        except sqlite3.IntegrityError as error:
            raise _collision(table, {**old, **changes}, error) from None
    check_references(catalog, table, [{**old, **changes} for old in before], set(changes))
    for reference in table.referrers:
        if not set(reference.target_columns).isdisjoint(changes):
            for old in before:
                _follow(catalog, reference, old, {**old, **changes})


def _follow(catalog: Catalog, reference: ForeignKey, old: dict[str, Stored], new: dict[str, Stored]) -> None:
    if all(old[name] == new[name] for name in reference.target_columns):
        return
    users = _users(catalog, reference, old)
    if users and reference.on_update == "CASCADE":
        names = zip(reference.columns, reference.target_columns, strict=True)
        _update(catalog, None, reference.source, users, {one: new[other] for one, other in names})
    elif users:
        raise _still_used(reference, old)


def _delete(
    catalog: Catalog,
    table: Table,
    numbers: list[int],
    unreferenced: list[tuple[ForeignKey, dict[str, Stored]]],
) -> None:
    """Delete rows; ``unreferenced`` collects what nothing may refer to once all is deleted."""
    rows = [_row(catalog, table, number) for number in numbers]
    catalog.db.executemany(f"DELETE FROM {table.sql} WHERE rowid = ?", [(number,) for number in numbers])
    for reference in table.referrers:
        for row in rows:
            users = _users(catalog, reference, row)
            if users and reference.on_delete == "CASCADE":
                _delete(catalog, reference.source, users, unreferenced)
            elif users and reference.on_delete == "SET NULL":
                _update(catalog, None, reference.source, users, dict.fromkeys(reference.columns))
            elif users:
                unreferenced.append((reference, row))


def _users(catalog: Catalog, reference: ForeignKey, row: dict[str, Stored]) -> list[int]:
    known = {one: row[other] for one, other in zip(reference.columns, reference.target_columns, strict=True)}
    return [] if None in known.values() else _matching(catalog, reference.source, known)


def check_references(
    catalog: Catalog, table: Table, rows: list[dict[str, Stored]], changed: set[str] | None = None
) -> None:
    """Refuse rows that refer to nothing; with ``changed``, only references from those columns are looked at."""
    known: set[tuple[str, tuple[Stored, ...]]] = set()
    for row in rows:
        for reference in table.references:
            if changed is not None and changed.isdisjoint(reference.columns):
                continue
            values = tuple(row[name] for name in reference.columns)
            if None in values or (reference.name, values) in known:
                continue
            wanted = dict(zip(reference.target_columns, values, strict=True))
            if not _matching(catalog, reference.target, wanted):
                raise violation(
                    f'insert or update on table "{table.name}" violates foreign key constraint "{reference.name}"',
                    f"Key ({', '.join(reference.columns)})=({_listed(values)}) is not present in table "
                    f'"{reference.target.name}".',
                )
            known.add((reference.name, values))


def _still_used(reference: ForeignKey, row: dict[str, Stored]) -> ServiceError:
    values = [row[name] for name in reference.target_columns]
    return conflict(
        f'update or delete on table "{reference.target.name}" violates foreign key constraint '
        f'"{reference.name}" on table "{reference.source.name}"\nDETAIL:  Key '
        f"({', '.join(reference.target_columns)})=({_listed(values)}) is still referenced from table "
        f'"{reference.source.name}".\n'
    )


def _collision(table: Table, row: dict[str, Stored], error: sqlite3.IntegrityError) -> ServiceError:
    """The refusal for the constraint that SQLite names by its columns."""
    named = {one.rpartition(".")[2] for one in str(error).partition(": ")[2].split(", ")}
    key = next(key for key in table.keys if set(key.columns) == named)
    columns = ", ".join(
        name if re.fullmatch("[a-z_][a-z0-9_]*", name) else f'"{name}"' for name in key.columns
    )
    return violation(
        f'duplicate key value violates unique constraint "{key.name}"',
        f"Key ({columns})=({_listed([row[name] for name in key.columns])}) already exists.",
    )


def _listed(values: Iterable[Stored]) -> str:
    return ", ".join(map(str, values))
