"""Brings executions that wait in the project's own catalog to the Deriva catalogs that they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination
from deriva_ml.definitions import RID, Status
from deriva_ml.deriva.answers import ServerUnreachable
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, NotFound
from deriva_ml.grouping import grouped
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.deriva.push import Push


T = TypeVar("T")


@dataclass(frozen=True)
class Recorded:
    """Where an execution is recorded.

    Attributes:
        local: its RID in the project's own catalog.
        rid: its RID in the catalog that it is for, or else the one here.
        status: how it stands.
        link: what shows its record: an address, or a command.
        waits: it is still to be pushed.
    """

    local: RID
    rid: RID
    status: Status
    link: str
    waits: bool


def recorded(catalog: EmbeddedCatalog, rid: RID) -> Recorded:
    """Where an execution is recorded; ``rid`` is the one here, or that of the catalog it is for.

    Raises:
        DerivaMLRequestError: there is no such execution.
    """
    record = _look_up(catalog, catalog.lookup_execution, rid)
    local = record.rid
    waits = bool(catalog.journal.pending(local))
    for destination in catalog.journal.destinations(local):
        there = catalog.journal.remote(local, destination)
        if there and there.stored:
            return Recorded(local, there.rid, record.status, destination.link(there.rid), waits)
    return Recorded(local, local, record.status, catalog.link(local), waits)


def _look_up(catalog: EmbeddedCatalog, find: Callable[[RID], T], rid: RID) -> T:
    """Return what has this RID here, or else at the one place that it was pushed to."""
    try:
        return find(rid)
    except NotFound:
        known = catalog.journal.locals_of(rid)
        if len(known) != 1:
            raise
        return find(known[0])


@dataclass(frozen=True)
class Pushed:
    """How pushing an execution went: the address where it is, or why it is not there."""

    local: RID
    link: str = ""
    error: DerivaMLException | None = None


def upload(
    catalog: EmbeddedCatalog,
    project: Project,
    waiting: Sequence[tuple[RID, Destination]],
    opened: Push | None = None,
) -> Iterator[Pushed]:
    """Push executions, one after the other, and tell of each how it went.

    One that is refused does not keep back the others. Where a server does not answer, the rest for it is not tried.
    Whatever was sent is noted, so that repeating this goes on from there.

    Args:
        opened: the connection to the one destination there is, if it has been made.
    """
    from deriva_ml.deriva.push import Push

    keyed = (((there, catalog.journal.credential(rid, there)), rid) for rid, there in waiting)
    for (destination, noted), rids in grouped(keyed).items():
        try:
            push = opened or Push.open(catalog, destination, _credential(project, destination, noted))
        except DerivaMLException as error:
            yield from (Pushed(rid, error=error) for rid in rids)
            continue
        with closing(push):
            yield from _push_all(push, rids)


def set_columns(catalog: EmbeddedCatalog, project: Project, rid: RID, values: Mapping[str, str]) -> RID:
    """Give an asset that waits to be pushed other values for columns of its table's own; an empty one is none.

    Args:
        rid: of the asset, here or as it was leased for it.

    Returns:
        its RID here.

    Raises:
        DerivaMLRequestError: there is no such asset or column, or the asset waits for nothing.
    """
    from deriva_ml.deriva.model import Model
    from deriva_ml.deriva.offline import offline_cache

    asset = _look_up(catalog, catalog.lookup_asset, rid)
    journal = catalog.journal
    waiting = [
        destination
        for execution, _ in catalog.executions_of(asset)
        for _, destination in journal.pending(execution)
        if not ((remote := journal.remote(asset.rid, destination)) and remote.stored)
    ]
    if not waiting:
        raise DerivaMLRequestError(
            f"asset {rid} does not wait to be pushed: what is in a catalog already is changed there"
        )
    for destination in dict.fromkeys(waiting):
        document = offline_cache(project, destination.host, destination.catalog).schema()
        own = Model(document).columns(asset.table) if document else values
        if unknown := [name for name in values if name not in own]:
            raise DerivaMLRequestError(
                f"the asset table {asset.table} has no column {', '.join(unknown)} that can be given;"
                f" it has {', '.join(own) or 'none'}"
            )
    journal.set_columns(asset.rid, {name: value or None for name, value in values.items()})
    return asset.rid


def _push_all(push: Push, rids: Sequence[RID]) -> Iterator[Pushed]:
    link, error = "", None
    for rid in rids:
        if not isinstance(error, ServerUnreachable):  # which does not answer for the others either
            try:
                link, error = push.destination.link(push.finish(rid)), None
            except DerivaMLException as refused:
                link, error = "", refused
        yield Pushed(rid, link, error)


def _credential(project: Project, destination: Destination, noted: str | None) -> Any:
    """The credential that an execution was to be pushed with: a file's path, or what the configuration says now."""
    from deriva_ml.deriva.push import IN_CONFIG, destination_of
    from deriva_ml.execution.configured_catalogs import connections

    if noted is None or not noted.startswith(IN_CONFIG):
        return noted
    configured = Destination(destination.host, noted.removeprefix(IN_CONFIG))
    for entry in connections(project).values():
        # A file would have been noted by its path, so one that another entry for this catalog names is not meant.
        spelled_out = entry.credential and not isinstance(entry.credential, str | Path)
        if entry.hostname and entry.catalog_id and spelled_out:
            if destination_of(entry)[0] in {destination, configured}:
                return entry.credential
    raise DerivaMLRequestError(
        f"the credential for {destination} stood in a deriva_ml configuration, where it is no more: put it back into"
        " src/configs/deriva.py, or take it back with --forget and push it again with --to"
    )
