"""Rows at a destination that are inserted once, however often that is asked for: RIDs given beforehand, keys, terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deriva_ml.catalog.journal import Destination, Journal, Remote
from deriva_ml.definitions import RID, Row
from deriva_ml.deriva.answers import ServerRefused, unless_refused
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException

NOT_LEASED = "non-leased value"
"""What ERMrest says of an RID that this login has not leased, or has used."""
LEASES = 4
"""How often a record is given an RID before it is said that the server takes none."""

Terms = Mapping[str, Iterable[str]]
"""Names of terms by vocabulary."""


class Rows:
    """What is known of the rows at one destination, and how more get there.

    Methods that make requests raise ``ServerUnreachable`` and ``ServerRefused``.
    """

    def __init__(self, journal: Journal, server: Server, destination: Destination) -> None:
        self.journal = journal
        self.server = server
        self.model = server.model
        self.destination = destination
        self._may_lease = self.model.may("ERMrest_RID_Lease", "insert") is not False
        self._associated: set[tuple[Any, ...]] = set()

    def known(self, local: RID) -> Remote:
        """What a local record is there; without an RID, if it has been given none."""
        return self.journal.remote(local, self.destination) or Remote("")

    def stored(self, local: RID) -> bool:
        """Whether a local record's row is there, with all that it takes."""
        return self.known(local).stored

    def rid(self, local: RID) -> RID:
        """The RID there of a record that has been given one."""
        if rid := self.known(local).rid:
            return rid
        raise DerivaMLException(f"{local} has no RID on {self.destination.host} yet")

    def note(self, remotes: Mapping[RID, Remote]) -> None:
        """Keep what local records are there."""
        self.journal.note(remotes, self.destination)

    def lease(self, locals_: Iterable[RID]) -> None:
        """Give those that have no RID there one, in one request, and note it before it is used."""
        wanted = list(dict.fromkeys(locals_))
        known = self.journal.remotes(wanted, self.destination)
        new = [local for local in wanted if local not in known]
        if leased := self._leased(len(new)):
            given = {local: Remote(rid) for local, rid in zip(new, leased, strict=True)}
            self.journal.assign_rids(given, self.destination)

    def _leased(self, count: int) -> list[RID]:
        """New RIDs; none where the client may not lease any."""
        with unless_refused(403):
            return self.server.lease(count) if self._may_lease else []
        self._may_lease = False
        return []

    def insert(self, table: str, rows: Sequence[Row], repeatable: bool = True) -> list[Row]:
        """Insert rows that a leased RID or another key of the table keeps from being there twice; the new ones."""
        given = [name for name in ("RID", "RCT") if rows and name in rows[0]]
        return self.server.insert(self.model.qualified(table), rows, given=given, repeatable=repeatable)

    def insert_records(
        self, table: str, rows: Mapping[RID, Row], lookup_columns: Mapping[str, str] | None = None
    ) -> list[Row]:
        """Insert local records' rows.

        Args:
            lookup_columns: values of columns by which a row is found again where no RID can be leased; None for a table
                that has another key, which then keeps rows from being there twice.

        Returns:
            the rows that are new, and those that were there under the RIDs that the records had been given.
        """
        found: list[Row] = []
        rest = dict(rows)
        for _ in range(LEASES):
            rids = self._rids(rest)
            bare = {local: row for local, row in rest.items() if local not in rids}
            if bare and lookup_columns is None:
                found += self.insert(table, list(bare.values()))
            elif lookup_columns is not None:
                for local, row in bare.items():
                    self.note({local: Remote(self._store_without_lease(table, row, lookup_columns))})
            new, rest = self._insert_leased(table, {local: rest[local] for local in rids})
            found += new
            if not rest:
                return found
        raise ServerRefused(
            f"{self.destination.host} does not take rows of {table} under RIDs that it leased", 403
        )

    def _insert_leased(self, table: str, rows: Mapping[RID, Row]) -> tuple[list[Row], dict[RID, Row]]:
        """Insert rows under the RIDs that they were given; the rows, and those that have been given other RIDs instead.

        A lease is the login's, and used up by its insert: whoever does not own the table is refused the same insert
        again (403), and with it a batch of which one row is there. So it is looked which are, and these are done.
        """
        rids = self._rids(rows)
        if not rids:
            return [], {}
        try:
            return self.insert(table, [{"RID": rid, **rows[local]} for local, rid in rids.items()]), {}
        except ServerRefused as refusal:
            if refusal.status != 403 or NOT_LEASED not in refusal.detail:
                raise
            try:
                there = self.server.find_any(table, "RID", rids.values())
            except ServerRefused as other:
                other.repeated = other.repeated or refusal.repeated
                raise
        stored = {row["RID"] for row in there}
        rest = {local: rows[local] for local, rid in rids.items() if rid not in stored}
        known = self.journal.remotes(rest, self.destination)
        leased = self._leased(len(rest)) or [""] * len(rest)
        self.note({local: replace(known[local], rid=rid) for local, rid in zip(rest, leased, strict=True)})
        return there, rest

    def _rids(self, locals_: Iterable[RID]) -> dict[RID, RID]:
        """The RIDs there of those that have been given one."""
        known = self.journal.remotes(locals_, self.destination)
        return {local: remote.rid for local, remote in known.items() if remote.rid}

    def associate(self, table: str, rows: Iterable[Row], terms: Terms | None = None) -> None:
        """Insert rows of an association table, whose key is what they join; once in this process."""
        new = {(table, *row.items()): row for row in rows}
        new = {key: row for key, row in new.items() if key not in self._associated}
        self.with_terms(terms or {}, lambda: self.insert(table, list(new.values())))
        self._associated.update(new)

    def store(
        self,
        table: str,
        local: RID,
        row: Row,
        lookup_columns: Mapping[str, str],
        terms: Terms | None = None,
        complete: bool = True,
    ) -> RID:
        """Insert a local record's row into a table that has no key but the RID; its RID there.

        Args:
            lookup_columns: values of columns by which the row is found again where no RID can be leased.
            terms: that the row has; see ``with_terms``.
            complete: the row is all that there is to the record; if not, the caller notes when it is stored.
        """
        if self.stored(local):
            return self.rid(local)
        self.with_terms(terms or {}, lambda: self.insert_records(table, {local: row}, lookup_columns))
        rid = self.rid(local)
        self.note({local: Remote(rid, stored=complete)})
        return rid

    def _store_without_lease(self, table: str, row: Row, lookup_columns: Mapping[str, str]) -> RID:
        """Insert where the client may not lease RIDs, as curators may not in catalogs of deriva-ml 1.17.

        The row is looked for before each attempt, so that one whose answer was lost is not repeated.
        """

        def attempt() -> RID:
            found = self.server.find(table, lookup_columns)
            found = found or self.insert(table, [{**row, **lookup_columns}], repeatable=False)
            return str(found[0]["RID"])

        return self.server.repeat(attempt)

    def with_terms(self, terms: Terms, action: Callable[[], Any]) -> None:
        """Do what needs terms of vocabularies; add those that are missing if that is why it is refused."""
        try:
            action()
        except ServerRefused as refusal:
            if refusal.status != 409 or not terms:
                raise
            self._add_terms(terms)  # there may be none to add: another run was faster
            action()

    def _add_terms(self, terms: Terms) -> None:
        """Add the terms that are missing."""
        for vocabulary, names in terms.items():
            qualified = self.model.qualified(vocabulary)
            known = {row["Name"] for row in self.server.get(f"/attribute/{qualified}/Name")}
            missing = [name for name in dict.fromkeys(names) if name not in known]
            if not missing:
                continue
            rows = [{"Name": name, "Description": "Used by a recorded execution"} for name in missing]
            try:
                self.server.insert(qualified, rows, given=(), generated=("ID", "URI"))
            except ServerRefused as refusal:
                if refusal.status != 403:
                    raise
                raise ServerRefused(
                    f"the vocabulary {vocabulary} on {self.destination.host} lacks {', '.join(missing)}, and you may"
                    f" not add to it: ask the catalog's owner ({refusal.detail})",
                    refusal.status,
                ) from refusal
