"""One Deriva server and a catalog on it: rows in and out, identifiers, and objects, through deriva's own bindings."""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote as _quote
from urllib.parse import unquote

from deriva_ml.definitions import RID, Row
from deriva_ml.deriva.answers import (
    ServerRefused,
    object_of,
    reading,
    rows_of,
    strange,
    unless_refused,
    value_of,
)
from deriva_ml.deriva.login import CATALOG, address, catalog_name, checked_credential, stored_credential
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.retry import PATIENT, Retrier, RetryPolicy
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.grouping import grouped

T = TypeVar("T")

LARGEST_BATCH = 10_000
"""Rows in one request: a batch is one transaction, and its answer repeats the rows."""
LONGEST_LIST = 5_000
"""Characters of one ``column=any(...)``: with the rest, a request line stays well below Apache's 8,190."""


class _OfThread(threading.local):
    """What each thread has for itself: sessions cannot be shared."""

    login: Mapping[str, str] | None = None
    store: Any = None
    in_repeat = False


class Server:
    """A catalog on a Deriva server. Opening it makes no request; threads may share it.

    What fails for a reason that may pass is repeated, by ``patience``. Every method that makes a request raises:

    Raises:
        ServerUnreachable: no attempt was answered.
        ServerRefused: the server said no.
    """

    def __init__(
        self,
        hostname: str,
        catalog_id: str | int,
        credential: Mapping[str, str] | str | Path | None = None,
        patience: RetryPolicy = PATIENT,
    ) -> None:
        """
        Args:
            hostname: ``www.example.org``, ``www.example.org:8443``; with ``http://`` only for this machine.
            catalog_id: its number or alias.
            credential: as deriva takes it; or the path of a credential file; or None for what was stored by logging in.

        Raises:
            DerivaMLRequestError: an invalid name or credential.
        """
        self._scheme, self.host, self._domain = address(hostname)
        self.url = f"{self._scheme}://{self.host}"
        self.catalog_id = catalog_name(catalog_id)
        self.patience = patience
        self._given = credential
        self._credential = checked_credential(credential, self.host)
        self._local = _OfThread()
        self._stores: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._schema: dict[str, Any] | None = None
        self.kept_schema: dict[str, Any] | None = None
        self._canonical = self.catalog_id if self.catalog_id.isdigit() else ""

    def close(self) -> None:
        """Close all connections; a later request opens new ones."""
        for store in list(self._stores):
            store._session.close()

    # Requests

    def request(self, method: str, path: str, patience: RetryPolicy | None = None, **options: Any) -> Any:
        """The answer (of the requests package) to ``get``, ``head``, ``put``, ``post`` or ``delete`` of a path."""
        return self.attempt(lambda store: getattr(store, method)(path, **options), patience)

    def attempt(self, call: Callable[[Any], T], patience: RetryPolicy | None = None) -> T:
        """Call with this thread's binding to the server until it succeeds; ``call`` is one request."""
        patience = patience or self.patience
        if self._local.in_repeat:  # which is patient for all of them together
            patience = replace(patience, attempts=1, collisions=patience.collisions / patience.attempts)
        return Retrier(self.host, patience, self.renew_login).run(lambda: call(self.binding(patience)))

    def repeat(self, call: Callable[[], T]) -> T:
        """Call until it succeeds: for requests that can be repeated only together.

        Each of its requests is sent once, so that only the whole is repeated. The exception is a request that met
        another writer's: nothing of it was stored, and it is sent again by itself.
        """
        attempts = Retrier(self.host, self.patience)
        self._local.in_repeat = True
        try:
            return attempts.run(call)
        except ServerRefused as refused:
            refused.repeated = refused.repeated or attempts.failures > 0
            raise
        finally:
            self._local.in_repeat = False

    def binding(self, patience: RetryPolicy) -> Any:
        """This thread's own ``HatracStore``, whose base is the whole server; it waits as long as ``patience`` says."""
        from deriva.core import HatracStore

        local, login = self._local, self._login()
        if local.login is not login:  # a store of an earlier one is closed as it is dropped
            local.login, local.store = login, None
        if local.store is None:
            # Without retries of its own: those of deriva's adapter leave out POST, and would multiply ours.
            local.store = self._bind(HatracStore, retries=0)
            self._stores.add(local.store)
        local.store._session.get_adapter(self.url).timeout = patience.connect, patience.read
        return local.store

    def _bind(self, kind: type, *arguments: Any, retries: int | None = None) -> Any:
        from deriva.core import DEFAULT_SESSION_CONFIG

        from deriva_ml.deriva.session import keep_login

        # deriva would not verify the certificate of "localhost", and send the login to whoever listens there.
        config = {**DEFAULT_SESSION_CONFIG, "bypass_cert_verify_host_list": []}
        binding = kind(self._scheme, self.host, *arguments, session_config=config)
        keep_login(binding._session, self.url, retries)
        # Not through the constructor, which binds a cookie to "name:port", where it is never sent.
        binding.set_credentials(self._login(), self._domain)
        return binding

    def _login(self) -> Mapping[str, str]:
        with self._lock:
            if self._credential is None:
                self._credential = stored_credential(self.host)
            return self._credential

    def renew_login(self) -> bool:
        """After this thread's login was refused: whether a later request of it will be made with another one.

        A run may take longer than a login lasts, and a person log in again while it goes on.
        """
        if isinstance(self._given, Mapping):
            return False
        with self._lock:
            if self._local.login is self._credential:  # else another thread has been here before
                with contextlib.suppress(DerivaMLRequestError):  # as it was refused, so it stays
                    read = checked_credential(self._given, self.host)
                    read = stored_credential(self.host) if read is None else read
                    if read != self._credential:
                        self._credential = read
            return self._local.login is not self._credential

    @property
    def anonymous(self) -> bool:
        """Whether there is no login at all."""
        return not self._login()

    def logged_in(self) -> bool:
        """Whether the server knows who asks: not without a login, or with one that has expired."""
        with unless_refused(401, 404):
            object_of(self.host, self._json("get", "/authn/session"), client=dict)
            return True
        return False

    def _path(self, path: str, snapshot: str | None = None) -> str:
        return f"/ermrest/catalog/{self.catalog_id}{f'@{quote(snapshot)}' if snapshot else ''}{path}"

    def _json(self, method: str, path: str, patience: RetryPolicy | None = None, rows: object = None) -> Any:
        """The value of an answer. Rows go in small pieces, each of which has the whole timeout for itself."""
        body = b"" if rows is None else json.dumps(rows).encode()

        def call(store: Any) -> Any:
            headers = {"headers": {"Content-Type": "application/json"}}
            options = {} if rows is None else {"data": io.BytesIO(body), **headers}
            return value_of(self.host, getattr(store, method)(path, **options))

        return self.attempt(call, patience)

    # The catalog

    def get(self, path: str, *, snapshot: str | None = None) -> list[Row]:
        """The rows at a path below the catalog, such as ``/entity/deriva-ml:Execution/RID=1-AB``."""
        return rows_of(self.host, self._json("get", self._path(path, snapshot)))

    def describe(self, path: str, *, snapshot: str | None = None, **members: type) -> dict[str, Any]:
        """What is no rows, such as the catalog itself (an empty path): an object with members of these types."""
        return object_of(self.host, self._json("get", self._path(path, snapshot)), **members)

    def find(
        self, table: str, values: Mapping[str, str], tail: str = "", *, snapshot: str | None = None
    ) -> list[Row]:
        """The rows of a table whose columns have these values; ``tail`` ends the path, such as ``?limit=1``."""
        return self.get(f"/entity/{self._matching(table, values)}{tail}", snapshot=snapshot)

    def _matching(self, table: str, values: Mapping[str, str]) -> str:
        condition = "&".join(f"{quote(column)}={quote(value)}" for column, value in values.items())
        return f"{self.model.qualified(table)}/{condition}"

    def find_any(self, table: str, column: str, values: Iterable[str]) -> list[Row]:
        """The rows of a table whose column has one of the values, in as few requests as request lines allow."""
        found: list[Row] = []
        for filter_ in any_of(column, dict.fromkeys(values)):
            found += self.get(f"/entity/{self.model.qualified(table)}/{filter_}")
        return found

    def newest(self, table: str, most: int) -> list[Row]:
        """The newest rows of a table, the newest first."""
        tail = f"@sort(RCT::desc::,RID::desc::)?limit={most}"
        return self.get(f"/entity/{self.model.qualified(table)}{tail}")

    def find_linked(self, table: str, column: str, rids: Iterable[RID], other: str) -> dict[RID, list[str]]:
        """What a table joins records to: the values of its other column, by those of its column for the records."""
        return grouped((row[column], row[other]) for row in self.find_any(table, column, rids))

    def schema(self) -> dict[str, Any]:
        """The catalog's model as this login sees it, read once; ``kept_schema`` if it has the same ETag, ``etag``."""
        with self._lock:
            if self._schema is None:
                kept = self.kept_schema
                tag = kept and kept.get("etag")
                headers = {"If-None-Match": tag} if isinstance(tag, str) else {}
                answer = self.request("get", self._path("/schema"), headers=headers)
                if kept is not None and answer.status_code == 304:
                    self._schema = kept
                else:
                    document = object_of(self.host, value_of(self.host, answer), schemas=dict)
                    self._schema = {**document, "etag": answer.headers.get("ETag")}
            return self._schema

    @cached_property
    def model(self) -> Model:
        """What the catalog consists of, by its ``schema``."""
        with reading(self.host):
            return Model(self.schema())

    def snaptime(self) -> str:
        """The catalog's state now, as snapshots are named."""
        name = self.describe("", snaptime=str)["snaptime"]
        if not re.fullmatch(r"[0-9A-Z-]+", name):
            raise strange(self.host, "a snaptime that is none")
        return str(name)

    def canonical_id(self) -> str:
        """The catalog's number, also if it is known by an alias."""
        if not self._canonical:
            described = self.describe("")
            named = str(described.get("alias_target") or described.get("id") or "")
            if not re.fullmatch(CATALOG, named):
                raise strange(self.host, "a catalog without a number")
            self._canonical = named
        return self._canonical

    def insert(
        self,
        table: str,
        rows: Sequence[Row],
        *,
        given: Sequence[str] = ("RID",),
        generated: Sequence[str] = (),
        repeatable: bool = True,
    ) -> list[Row]:
        """Insert rows.

        Args:
            table: ``schema:table``, quoted for a path.
            rows: all with the same columns; one that is left out becomes null, not its default.
            given: system columns whose values are in the rows; the server makes the others.
            generated: columns that shall have their defaults.
            repeatable: leave out rows whose key is there already, which makes the insert safe to repeat, as is
                then done. Otherwise it is sent once, and such a row is refused: for tables in which nothing
                but a leased RID would tell that the row is there, when none can be leased; see ``repeat``.

        Returns:
            the rows that were inserted; after an answer that was lost, not those that were inserted before.
        """
        options = {"nondefaults": given, "defaults": generated, "onconflict": ["skip"] if repeatable else []}
        query = "&".join(f"{name}={','.join(map(quote, words))}" for name, words in options.items() if words)
        path = self._path(f"/entity/{table}?{query}".rstrip("?"))
        patience = self.patience if repeatable else replace(self.patience, attempts=1)
        inserted: list[Row] = []
        for batch in _batches(rows):
            inserted += rows_of(self.host, self._json("post", path, patience, batch))
        return inserted

    def update(self, table: str, rows: Sequence[Row], patience: RetryPolicy | None = None) -> None:
        """Set the columns of rows that are found by their ``RID``; all with the same columns.

        Raises:
            ServerRefused: also (404) when one of the rows is not there any more.
        """
        for batch in _batches(rows):
            columns = ",".join(quote(name) for name in batch[0] if name != "RID")
            path = self._path(f"/attributegroup/{table}/RID;{columns}")
            found = rows_of(self.host, self._json("put", path, patience, batch))
            # ERMrest passes over rows that it does not find, and answers with the others.
            if gone := {row["RID"] for row in batch} - {row.get("RID") for row in found}:
                name = unquote(table.rpartition(":")[2])
                raise ServerRefused(
                    f"the row {min(gone)} of {name} on {self.host} is gone: it was deleted there", 404
                )

    def delete(self, table: str, values: Mapping[str, str], column: str, others: Iterable[str]) -> None:
        """Delete the rows of a table that have these values, and one of the others in a column; repeated, it does nothing."""
        for filter_ in any_of(column, others):
            with unless_refused(404):  # none of them is there any more
                self.request("delete", self._path(f"/entity/{self._matching(table, values)}&{filter_}"))

    def lease(self, count: int) -> list[RID]:
        """New identifiers, reserved for rows to come. One request; an answer that is lost costs unused ones."""
        if not count:
            return []
        path = self._path("/entity/public:ERMrest_RID_Lease?defaults=RID,RCT,RMT,RCB,RMB")

        def call(store: Any) -> list[RID]:
            wanted = [{"ID": uuid.uuid4().hex} for _ in range(count)]
            rows = rows_of(self.host, value_of(self.host, store.post(path, json=wanted)))
            leased = {row["RID"] for row in rows if re.fullmatch(r"[0-9A-Z-]+", row.get("RID", ""))}
            if len(leased) != count:
                raise strange(self.host, f"{len(leased)} RIDs where {count} were leased")
            return [row["RID"] for row in rows]

        return self.attempt(call)

    def path_builder(self) -> Any:
        """deriva's own interface to the catalog, for any query."""
        from deriva.core import ErmrestCatalog

        return self.attempt(lambda _: self._bind(ErmrestCatalog, self.catalog_id).getPathBuilder())


def quote(text: str) -> str:
    """A value or a name, for use between the special characters of an ERMrest or Hatrac path."""
    return _quote(text, safe="")


def any_of(column: str, values: Iterable[str], longest: int = LONGEST_LIST) -> Iterator[str]:
    """Filters ``column=any(a,b,...)`` that together name all the values, each short enough for a request line."""
    held: list[str] = []
    size = 0
    for value in map(quote, values):
        if held and size + len(value) > longest:
            yield f"{quote(column)}=any({','.join(held)})"
            held, size = [], 0
        held.append(value)
        size += len(value) + 1
    if held:
        yield f"{quote(column)}=any({','.join(held)})"


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), LARGEST_BATCH):
        yield rows[start : start + LARGEST_BATCH]
