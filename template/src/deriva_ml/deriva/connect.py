"""Opens the catalog that a configuration names."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml.catalog.catalog_config import DerivaMLConfig, located
from deriva_ml.catalog.connection import Connection, Undelivered, open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.lent import Borrowing
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


def connect(config: DerivaMLConfig, project: Project) -> Connection:
    """Open the project's own catalog, and the Deriva catalog that ``config`` names, if it names one.

    Raises:
        DerivaMLRequestError: the configuration means a Deriva catalog and does not say which; or that one cannot
            be used.
    """
    if config.hostname is None:
        if config.catalog_id is not None:
            raise DerivaMLRequestError(
                f"catalog {config.catalog_id} is on no server: give --host with --catalog, or a hostname with catalog_id"
            )
        if config.offline:
            raise DerivaMLRequestError(
                "--offline is for a run that is to be sent to a server: choose one with deriva_ml=production or --host"
            )
        local = _opened(project)
        local.make_asset_tables(config.asset_tables or ())
        return Connection(local, local, Undelivered(local))
    config = located(config, project)
    # A run in the project's own catalog needs none of it.
    from deriva_ml.deriva.delivery import DerivaDelivery
    from deriva_ml.deriva.source import DerivaSource

    local = _opened(project)
    if project.replayed.exists():
        from deriva_ml.deriva.replayed import PinnedSource, ReadOnly, pinned

        reading = ReadOnly(local, replace(config, offline=False))
        return Connection(local, PinnedSource(reading, pinned(project)), reading)
    delivery = DerivaDelivery(local, config)
    return Connection(local, DerivaSource(delivery), delivery)


def _opened(project: Project) -> EmbeddedCatalog:
    return Borrowing(project) if project.borrows.exists() else open_local(project)
