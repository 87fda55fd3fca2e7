"""Brings executions that wait in the project's own catalog to the Deriva catalogs that they are for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination
from deriva_ml.definitions import RID, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.catalog.connect import DerivaMLConfig


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
    known = catalog.journal.locals_of(rid)
    local = known[0] if len(known) == 1 else rid
    record = catalog.lookup_execution(local)
    waits = bool(catalog.journal.pending(local))
    there = catalog.journal.elsewhere(local)
    if not there:
        return Recorded(local, local, record.status, catalog.link(local), waits)
    destination, remote = there[-1]
    return Recorded(local, remote, record.status, destination.link(remote), waits)


def upload(
    catalog: EmbeddedCatalog, project: Project, waiting: Sequence[tuple[RID, Destination]]
) -> Iterator[tuple[RID, str]]:
    """Push executions, one after the other; tell of each, as it is there, its RID here and its address there.

    Raises:
        ServerUnreachable: a server does not answer; what was sent is noted, and repeating this goes on from there.
        ServerRefused: a server does not allow what is asked.
    """
    from deriva_ml.catalog.remote.push import Push

    by_destination: dict[Destination, list[RID]] = {}
    for rid, destination in waiting:
        by_destination.setdefault(destination, []).append(rid)
    for destination, rids in by_destination.items():
        push = Push.open(catalog, destination, _credential(catalog, project, rids[0], destination))
        try:
            for local in rids:
                yield local, push.destination.link(push.finish(local))
        finally:
            push.close()


def _credential(catalog: EmbeddedCatalog, project: Project, rid: RID, destination: Destination) -> Any:
    """The credential that the execution's configuration gave: its file, or what the configuration says now."""
    noted = catalog.journal.credential(rid, destination)
    if noted != "config":
        return noted
    entries = connections(project).values()
    same = (e for e in entries if (e.hostname, str(e.catalog_id)) == (destination.host, destination.catalog))
    return next((entry.credential for entry in same), None)


def connections(project: Project) -> dict[str, DerivaMLConfig]:
    """The entries of the project's ``deriva_ml`` configuration group by name."""
    from hydra_zen import instantiate, store

    from deriva_ml.execution.hydra_config import find_configs

    find_configs(project)
    return {entry["name"]: instantiate(entry["node"]) for entry in store if entry["group"] == "deriva_ml"}


def connection(project: Project, name: str) -> DerivaMLConfig:
    """One entry of the group, which names a server.

    Raises:
        DerivaMLRequestError: there is none of that name, or it names no server.
    """
    from deriva_ml.catalog.connect import check_server

    known = connections(project)
    if name not in known:
        raise DerivaMLRequestError(
            f"no deriva_ml configuration is named {name}; src/configs/deriva.py has {', '.join(sorted(known))}"
        )
    if known[name].hostname is None:
        raise DerivaMLRequestError(f"deriva_ml={name} is this project's own catalog: name one with a server")
    check_server(known[name])
    return known[name]
