"""Opens the catalog that a configuration names."""

from __future__ import annotations

from deriva_ml.catalog.catalog_config import DerivaMLConfig, check_server, located
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


def connect(config: DerivaMLConfig, project: Project) -> Catalog:
    """The project's embedded catalog, or the Deriva catalog that ``config`` names.

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
        return EmbeddedCatalog(project)
    check_server(config)
    from deriva_ml.deriva.catalog import DerivaCatalog  # a run in the project's own catalog needs none of it

    return DerivaCatalog(project, located(config, project))
