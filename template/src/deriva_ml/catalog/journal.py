"""What a project's own catalog notes about other catalogs: what is to go there, and under which RIDs it is known there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from sqlite3 import Row
from typing import Any

from deriva_ml.catalog.database import KEEP, Database
from deriva_ml.definitions import RID, Asset, AssetRole, Dataset
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.untrusted import DAMAGED, well_formed


@dataclass(frozen=True)
class Destination:
    """A Deriva catalog that executions are pushed to.

    Attributes:
        host: the server's name, with ``http://`` before it only for one on this machine.
        catalog: the catalog's number there, or an alias as it was configured.
    """

    host: str
    catalog: str

    def __str__(self) -> str:
        return f"catalog {self.catalog} of {self.host}"

    def link(self, rid: RID) -> str:
        """The address that shows a record there as it is now."""
        server = self.host if "://" in self.host else f"https://{self.host}"
        return f"{server}/id/{self.catalog}/{rid}"


@dataclass(frozen=True)
class Remote:
    """What a local record is at a destination.

    Attributes:
        rid: its RID there; leased before anything is sent, so that sending can be repeated.
        url: of its content, once that has been sent.
        stored: its row is known to be there.
    """

    rid: RID
    url: str | None = None
    stored: bool = False


@dataclass(frozen=True)
class RemoteInput:
    """An input that an execution read from the destination: a row of an asset table, or of ``Dataset``."""

    table: str
    rid: RID
    role: AssetRole = AssetRole.input
    version_rid: RID | None = None


def as_written(row: Row) -> Destination:
    """Return the place that a row names, only to be shown: what a damaged row says of it is shown as it is."""
    return Destination(str(row["host"]), str(row["catalog"]))


def _destination(row: Row) -> Destination:
    try:
        return well_formed(Destination(row["host"], row["catalog"]))
    except ValueError as error:
        raise DerivaMLException(
            f"a place that executions are to be pushed to is damaged in this project's catalog: {error}"
        ) from error


def _key(execution: RID, destination: Destination) -> dict[str, str]:
    """Return what tells the rows about an execution and a destination."""
    return {"execution": execution, **vars(destination)}


class Journal:
    """The tables about destinations in the embedded catalog's file."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # What is to go where

    def send_to(
        self, execution: RID, destination: Destination, credential: str | None = None, held: bool = False
    ) -> None:
        """Note that an execution is to be pushed.

        Args:
            held: only when a person says so, not by the run itself.
            credential: where its configuration says that the credential is (a file, or ``config``); None for
                what ``deriva`` has stored. Never the credential itself.
        """
        row = {**_key(execution, destination), "credential": credential, "held": held}
        with self._db.transaction():
            self._db.add(
                "local_destination", row, 'ON CONFLICT DO UPDATE SET "credential" = excluded."credential"'
            )

    def forget(self, execution: RID, destination: Destination) -> None:
        """Note, inside a transaction, that an execution is not to be pushed there."""
        self._db.delete("local_destination", **_key(execution, destination))

    def changed(self, execution: RID) -> None:
        """Note, inside the transaction that changed it, that an execution is not at its destinations as it is here."""
        self._db.query(
            'UPDATE "local_destination" SET "changes" = "changes" + 1 WHERE "execution" = ?', execution
        )

    def changes(self, execution: RID, destination: Destination) -> int:
        """How often an execution has changed; to be given to ``pushed``."""
        return int(self._db.get("local_destination", "changes", **_key(execution, destination)))

    def pushed(self, execution: RID, destination: Destination, changes: int) -> None:
        """Note, inside a transaction, that an execution is at its destination as it was after so many changes."""
        self._db.change("local_destination", {"pushed": changes}, **_key(execution, destination))

    def rename(self, destination: Destination, catalog: str) -> Destination:
        """Note the number of a catalog that was known by an alias, and return the destination under that number.

        What is noted under both stays noted once, and is pushed if either was to be.
        """
        renamed = Destination(destination.host, catalog)
        if renamed == destination:
            return renamed
        with self._db.transaction():
            for alias in self._db.select("local_destination", **vars(destination)):
                key = _key(alias["execution"], renamed)
                if kept := self._db.find("local_destination", **key):
                    changes = kept["changes"] + (alias["changes"] > alias["pushed"])
                    held = max(kept["held"], alias["held"])
                    row = {"credential": alias["credential"], "held": held, "changes": changes}
                    self._db.change("local_destination", row, **key)
            for table in ("local_destination", "local_input"):
                self._db.query(
                    f'UPDATE OR IGNORE "{table}" SET "catalog" = ? WHERE "host" = ? AND "catalog" = ?',
                    *(catalog, *astuple(destination)),
                )
                self._db.delete(table, **vars(destination))
        return renamed

    def pending(self, execution: RID | None = None) -> list[tuple[RID, Destination]]:
        """Executions that are not at their destinations as they are here, oldest first; all, or one."""
        rows = self._db.query(
            'SELECT "execution", "host", "catalog" FROM "local_destination"'
            ' WHERE "changes" > "pushed" AND "execution" = coalesce(?, "execution") ORDER BY rowid',
            execution,
        )
        return [(row["execution"], _destination(row)) for row in rows]

    def is_held(self, execution: RID) -> bool:
        """Whether an execution is to be pushed only when a person says so."""
        return any(self._db.get_all("local_destination", "held", execution=execution))

    def destinations(self, execution: RID) -> list[Destination]:
        """Where an execution is to go, or has gone."""
        rows = self._db.select("local_destination", "ORDER BY rowid", execution=execution)
        return [_destination(row) for row in rows]

    def credential(self, execution: RID, destination: Destination) -> str | None:
        """Where the credential for a destination is, as ``send_to`` was told."""
        value = self._db.get("local_destination", "credential", **_key(execution, destination))
        return None if value is None else str(value)

    # What travels

    def packed(self, executions: Collection[RID]) -> dict[str, list[dict[str, Any]]]:
        """Return what is noted of executions and their records, for another catalog of this project, as JSON's types."""
        rows = self._db.select_any("local_destination", "execution", executions)
        leased = self._db.select("local_remote", stored=False)
        return {"destinations": [dict(row) for row in rows], "leased": [dict(row) for row in leased]}

    def unpack(self, noted: Mapping[str, Iterable[Mapping[str, Any]]], here: Mapping[RID, RID]) -> None:
        """Note, inside a transaction, what ``packed`` returned.

        Args:
            here: executions by their RIDs there, each with the one here.
        """
        for row in noted["destinations"]:
            execution = here[row["execution"]]
            known = self._db.find(
                "local_destination", **_key(execution, Destination(row["host"], row["catalog"]))
            )
            if known is None or known["held"] and not row["held"]:
                self._db.put("local_destination", {**row, "execution": execution})
        for row in noted["leased"]:
            self._db.add("local_remote", {**row, "local": here.get(row["local"], row["local"])}, KEEP)

    # Which RID is which

    def remote(self, local: RID, destination: Destination) -> Remote | None:
        """What a local record is at a destination; None before it was given an RID there."""
        return self.remotes([local], destination).get(local)

    def remotes(self, locals_: Iterable[RID], destination: Destination) -> dict[RID, Remote]:
        """What local records are at a destination; those without an RID there are left out."""
        found = {}
        for local in locals_:
            if row := self._db.find("local_remote", local=local, **vars(destination)):
                found[local] = Remote(row["remote"], row["url"], bool(row["stored"]))
        return found

    def local(self, remote: RID, destination: Destination) -> RID | None:
        """Which local record an RID of a destination stands for."""
        value = self._db.get("local_remote", "local", remote=remote, **vars(destination))
        return None if value is None else str(value)

    def assign_rids(self, remotes: Mapping[RID, Remote], destination: Destination) -> None:
        """Give RIDs to local records that have none at the destination; one that another process gave first stays."""
        with self._db.transaction(durable=True):  # rows are sent under these from now on
            for local, remote in remotes.items():
                self._add_remote(local, destination, remote)

    def note(self, remotes: Mapping[RID, Remote], destination: Destination) -> None:
        """Keep what local records are at a destination."""
        with self._db.transaction():
            for local, remote in remotes.items():
                self._db.delete("local_remote", local=local, **vars(destination))
                self._add_remote(local, destination, remote)

    def _add_remote(self, local: RID, destination: Destination, remote: Remote) -> None:
        row = {"remote": remote.rid, "url": remote.url, "stored": remote.stored}
        self._db.add("local_remote", {"local": local, **vars(destination), **row}, KEEP)

    def elsewhere(self, local: RID) -> list[tuple[Destination, RID]]:
        """Every destination that a local record has an RID at, with the RID."""
        rows = self._db.select("local_remote", local=local, stored=True)
        return [(_destination(row), str(row["remote"])) for row in rows]

    def locals_of(self, remote: RID) -> list[RID]:
        """The local records that an RID stands for at any destination."""
        return list(dict.fromkeys(self._db.get_all("local_remote", "local", remote=remote)))

    # Columns that only the destination's tables have

    def stage_columns(self, staged: int, values: Mapping[str, Any]) -> None:
        """Note, inside a transaction, values for the row that a staged file will have there."""
        if values:
            self._db.add("local_columns", {"staged": staged, "values": json.dumps(values)})

    def keep_columns(self, staged: int, asset: RID) -> None:
        """Note, inside a transaction, which asset a staged file has become."""
        self._db.change("local_columns", {"asset": asset}, staged=staged)

    def columns(self, asset: RID) -> dict[str, Any]:
        """The values for the row that an asset will have there; of the first file, if it was registered more than once."""
        found = self._db.get("local_columns", "values", 'ORDER BY "staged"', asset=asset)
        try:
            return dict(json.loads(found)) if found else {}
        except DAMAGED as error:
            raise DerivaMLException(
                f"the columns of asset {asset} are damaged in this project's catalog: {error}"
            ) from error

    def set_columns(self, asset: RID, values: Mapping[str, Any]) -> None:
        """Give an asset other values for the row that it will have there."""
        with self._db.transaction():
            text = json.dumps({**self.columns(asset), **values})
            first = self._db.get("local_columns", "staged", 'ORDER BY "staged"', asset=asset)
            if first is None:  # no staged file brought any; theirs have numbers above 0
                first = self._db.value('SELECT min(0, coalesce(min("staged"), 0)) - 1 FROM "local_columns"')
            self._db.delete("local_columns", staged=first)
            self._db.add("local_columns", {"staged": first, "asset": asset, "values": text})

    # Inputs that are at the destination

    def add_input(self, execution: RID, destination: Destination, read: Asset | Dataset) -> None:
        """Note that an execution read a record of its destination."""
        table, version = (read.table, None) if isinstance(read, Asset) else ("Dataset", read.version_rid)
        row = {"table": table, "rid": read.rid, "version_rid": version}
        with self._db.transaction():
            self._db.add("local_input", {**_key(execution, destination), **row}, KEEP)
            self.changed(execution)

    def inputs(self, execution: RID, destination: Destination) -> list[RemoteInput]:
        """The records of its destination that an execution read, in order."""
        rows = self._db.select("local_input", "ORDER BY rowid", **_key(execution, destination))
        return [RemoteInput(row["table"], row["rid"], version_rid=row["version_rid"]) for row in rows]

    def read_by(self, executions: Collection[RID]) -> list[tuple[RID, str, str]]:
        """Return what executions read at destinations: execution, record and table.

        A record is known by its RID here where it was pushed from here, or else by its address.
        """
        if not executions:
            return []
        rows = self._db.query(
            'SELECT i.*, r."local" FROM "local_input" i LEFT JOIN "local_remote" r ON r."remote" = i."rid"'
            ' AND r."host" = i."host" AND r."catalog" = i."catalog"'
            ' WHERE i."execution" IN (SELECT "value" FROM json_each(?))',
            json.dumps([*executions]),
        )
        return [
            (row["execution"], row["local"] or as_written(row).link(str(row["rid"])), row["table"])
            for row in rows
        ]

    def readers_of(self, locals_: Collection[RID]) -> list[tuple[RID, RID]]:
        """Return which executions read records of this project at destinations: record and execution."""
        if not locals_:
            return []
        rows = self._db.query(
            'SELECT r."local", i."execution" FROM "local_remote" r JOIN "local_input" i ON i."rid" = r."remote"'
            ' AND i."host" = r."host" AND i."catalog" = r."catalog"'
            ' WHERE r."local" IN (SELECT "value" FROM json_each(?))',
            json.dumps([*locals_]),
        )
        return [(row["local"], row["execution"]) for row in rows]
