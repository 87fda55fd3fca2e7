"""The Deriva catalog that a run was configured for, opened, and the delivery of its record there while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Delivery
from deriva_ml.definitions import OPEN_STATUSES, RID, Asset, AssetRole, Dataset, Status, is_reserved
from deriva_ml.deriva.access import check_reading, check_recording
from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable, reading
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.offline import offline_cache
from deriva_ml.deriva.push import Push, destination_of
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, NotFound
from deriva_ml.terminal import warn

IN_A_RUN = RetryPolicy(attempts=4, longest=5.0, read=30.0)
"""For what a run waits for: about two and a half minutes at most for a server that takes requests and does not answer."""
BACKOFF_SECONDS = 60.0
"""How long a run does without a server that was not there when it was last asked."""


class DerivaDelivery(Delivery):
    """A Deriva catalog, opened for a run, and the delivery to it; ``Delivery`` says what its methods do.

    Records that no server has, which are the demonstration's and files that are not sent yet, are sent with the first
    execution that reads them.

    Args:
        local: the project's own catalog, which notes what is where.
        config: names the server and the catalog on it. With ``offline`` no request is made: inputs are those that
            were fetched before, and what is recorded waits.

    Raises:
        DerivaMLRequestError: the server cannot be reached, refuses the login, or has no such catalog.
    """

    def __init__(self, local: EmbeddedCatalog, config: DerivaMLConfig) -> None:
        self.local = local
        self.offline = config.offline
        self._server = Server(str(config.hostname), str(config.catalog_id), config.credential, IN_A_RUN)
        self.host, self.url = self._server.host, self._server.url
        self.destination, self.credential = destination_of(config)
        self.known = offline_cache(local.project, self.host, self._server.catalog_id)
        self._unreachable_since: float | None = None
        self._said: set[str] = set()
        self._unsent: set[RID] = set()
        self._begun: dict[RID, RID] = {}
        self.kept_model: Model | None = None
        if self.offline and (document := self.known.schema()):
            with reading(self.host):
                self.kept_model = Model(document)
        self._ask(self._open)
        if self.kept_model and not self.kept_model.has("Execution"):
            raise DerivaMLRequestError(
                f"catalog {self.destination.catalog} on {self.host} has no deriva-ml schema: is it the right one?"
            )
        self._ask(check_reading)

    def _open(self, server: Server) -> None:
        self.known.current_schema(server)
        self.kept_model = server.model
        self.local.make_asset_tables(server.model.asset_tables)
        self.destination = self.local.journal.rename(self.destination, server.canonical_id())

    def _ask(self, what: Callable[[Server], None]) -> None:
        """Ask the server for what nothing can be done without; nothing, offline."""
        if not self.offline:
            try:
                what(self._server)
            except ServerUnreachable as error:
                raise DerivaMLRequestError(f"{error}; --offline runs without it") from error
            except DerivaMLException as error:  # it refuses, or is no Deriva server
                raise DerivaMLRequestError(str(error)) from error

    @property
    def server(self) -> Server:
        """The way to the server.

        Raises:
            DerivaMLRequestError: this run does without it.
        """
        if self.offline:
            self.refuse_offline("this")
        return self._server

    def refuse_offline(self, what: str) -> NoReturn:
        """Refuse what an offline run would have to ask for."""
        raise NotFound(
            f"{what} has not been fetched from {self.host} before, and this run is offline: leave --offline out"
        )

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()

    # The record of an execution, brought there

    @cached_property
    def push(self) -> Push:
        """What brings executions there."""
        return Push(self.local, self.server, self.destination)

    def check_recording(self) -> None:
        self._ask(check_recording)

    def accept(self, execution: RID) -> None:
        self.local.journal.send_to(execution, self.destination, self.credential, held=self.offline)

    def begin(self, execution: RID) -> RID:
        if not self.offline:
            try:
                self.push.begin(execution)
            except ServerRefused as error:
                if error.repeated:  # and may have begun it
                    self.local.update_execution(execution, Status.aborted, str(error))
                else:
                    self.local.forget_execution(execution)
                raise DerivaMLRequestError(f"{error}; nothing has been run") from error
            except DerivaMLException as error:
                self._mark_unreachable(error)
        shown = execution if self.offline else self.rid(execution)
        self._begun[shown] = execution
        return shown

    def show(self, execution: RID) -> None:
        if not self._in_backoff and self.push.there.stored(execution):
            self._try(lambda: self.push.follow(execution))

    def send(self, execution: RID) -> None:
        over = self.local.lookup_execution(execution).status not in OPEN_STATUSES
        if not self.offline and (over or not self._in_backoff):  # what it ends with is always tried
            self._try(lambda: self.push.finish(execution) if over else self.push.send_files(execution))

    def _try(self, action: Callable[[], object]) -> None:
        """Do what the run goes on without if it fails."""
        try:
            action()
        except DerivaMLException as error:
            self._mark_unreachable(error)
        else:
            self._unreachable_since = None

    def _mark_unreachable(self, error: DerivaMLException) -> None:
        """Let the server be for a while, so that it does not hold the run up again and again, and say why, once."""
        self._unreachable_since = time.monotonic()
        if str(error) not in self._said:
            self._said.add(str(error))
            hint = "the record is kept in this project, and uv run deriva-ml-upload sends it"
            warn(f"{error}; {hint}")

    @property
    def _in_backoff(self) -> bool:
        """Whether to do without the server now."""
        since = self._unreachable_since
        return self.offline or (since is not None and time.monotonic() - since < BACKOFF_SECONDS)

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        asset = self.local.add_file(source, description, types)
        self._unsent.add(asset.rid)
        return asset

    def take_along(self, dataset: RID) -> None:
        """Let a dataset of the project's own go there with the first execution that reads it."""
        self._unsent.add(dataset)

    def link_input(self, execution: RID, read: Asset | Dataset) -> None:
        if not self.is_here(read.rid):
            self.local.journal.add_input(execution, self.destination, read)
        elif isinstance(read, Asset):
            self.local.link_asset(execution, read, AssetRole.input)
        else:
            self.local.link_dataset(execution, read)

    # RIDs here and there

    def is_here(self, rid: RID) -> bool:
        """Whether an RID names a record of the project's own catalog: one that no server can have, or one not sent yet."""
        return is_reserved(rid.upper()) or rid in self._unsent  # servers take 1-abc for 1-ABC

    def rid(self, local: RID) -> RID:
        known = self.local.journal.remote(local, self.destination)
        return known.rid if known and known.rid else local

    def recorded(self, rid: RID) -> RID | None:
        """Return the RID here of an execution of this process, or of one that is not there as it is here."""
        local = self.local.journal.local(rid, self.destination)
        waits = local and self.local.journal.pending(local)
        return self._begun.get(rid) or (local if waits else None)

    def link(self, rid: RID) -> str:
        """Return the address that shows a record there, or the command that shows it here if it has no RID there yet."""
        return self.local.link(rid) if self._begun.get(rid) == rid else self.destination.link(rid)
