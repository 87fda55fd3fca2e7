"""Delivers what a run records in the project's own catalog to a Deriva catalog while it goes on, and knows RIDs of both."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from deriva_ml.catalog.protocol import Delivery
from deriva_ml.definitions import OPEN_STATUSES, RID, Asset, AssetRole, Dataset, Status, is_reserved
from deriva_ml.deriva.errors import ServerRefused
from deriva_ml.deriva.push import Push
from deriva_ml.deriva.site import Site
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.terminal import print

BACKOFF_SECONDS = 60.0
"""How long a run does without a server that was not there when it was last asked."""


class DerivaDelivery(Delivery):
    """Delivery to a Deriva catalog; ``Delivery`` says what its methods do.

    Records that no server has, which are the demonstration's and files that are not sent yet, are sent with the first
    execution that reads them.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._local = site.local
        self._destination = site.destination
        self._unreachable_since: float | None = None
        self._said: set[str] = set()
        self._unsent: set[RID] = set()
        self._begun: dict[RID, RID] = {}

    @cached_property
    def push(self) -> Push:
        """What brings executions there."""
        return Push(self._local, self._site.server, self._destination)

    def check_recording(self) -> None:
        self._site.check_recording()

    def accept(self, execution: RID) -> None:
        self._local.journal.send_to(
            execution, self._destination, self._site.credential, held=self._site.offline
        )

    def begin(self, execution: RID) -> RID:
        if not self._site.offline:
            try:
                self.push.begin(execution)
            except ServerRefused as error:
                if error.repeated:  # and may have begun it
                    self._local.update_execution(execution, Status.aborted, str(error))
                else:
                    self._local.forget_execution(execution)
                raise DerivaMLRequestError(f"{error}; nothing has been run") from error
            except DerivaMLException as error:
                self._mark_unreachable(error)
        shown = execution if self._site.offline else self.rid(execution)
        self._begun[shown] = execution
        return shown

    def show(self, execution: RID) -> None:
        known = None if self._in_backoff else self._local.journal.remote(execution, self._destination)
        if known and known.stored:
            self._try(lambda: self.push.follow(execution))

    def send(self, execution: RID) -> None:
        over = self._local.lookup_execution(execution).status not in OPEN_STATUSES
        if not self._site.offline and (over or not self._in_backoff):  # what it ends with is always tried
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
            print(f"warning: {error}; {hint}", file=sys.stderr)

    @property
    def _in_backoff(self) -> bool:
        """Whether to do without the server now."""
        since = self._unreachable_since
        return self._site.offline or (since is not None and time.monotonic() - since < BACKOFF_SECONDS)

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        asset = self._local.add_file(source, description, types)
        self._unsent.add(asset.rid)
        return asset

    def link_input(self, execution: RID, read: Asset | Dataset) -> None:
        if not self.is_here(read.rid):
            self._local.journal.add_input(execution, self._destination, read)
        elif isinstance(read, Asset):
            self._local.link_asset(execution, read, AssetRole.input)
        else:
            self._local.link_dataset(execution, read)

    # RIDs here and there

    def is_here(self, rid: RID) -> bool:
        """Whether an RID names a record of the project's own catalog: one that no server can have, or one not sent yet."""
        return is_reserved(rid.upper()) or rid in self._unsent  # servers take 1-abc for 1-ABC

    def rid(self, local: RID) -> RID:
        known = self._local.journal.remote(local, self._destination)
        return known.rid if known and known.rid else local

    def recorded(self, rid: RID) -> RID | None:
        """Return the RID here of an execution of this process, or of one that is not there as it is here."""
        local = self._local.journal.local(rid, self._destination)
        waits = local and self._local.journal.pending(local)
        return self._begun.get(rid) or (local if waits else None)

    def link(self, rid: RID) -> str:
        """Return the address that shows a record there, or the command that shows it here if it has no RID there yet."""
        return self._local.link(rid) if self._begun.get(rid) == rid else self._destination.link(rid)
