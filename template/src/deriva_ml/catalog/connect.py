"""Chooses the catalog that a configuration names."""

from __future__ import annotations

from deriva_ml.catalog.protocol import Catalog
from deriva_ml.config import DerivaMLConfig
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


def connect(config: DerivaMLConfig, project: Project) -> Catalog:
    """The project's embedded catalog, or the Deriva catalog that ``config.hostname`` names.

    Raises:
        DerivaMLRequestError: the configuration means a Deriva catalog and does not say which.
    """
    if config.hostname is None:
        from deriva_ml.catalog.embedded import EmbeddedCatalog

        return EmbeddedCatalog(project)
    if not config.hostname:
        raise DerivaMLRequestError(
            "this deriva_ml configuration names no server yet: put its hostname and catalog_id into"
            " src/configs/deriva.py, or leave deriva_ml=... out to record into the project's own catalog"
        )
    raise DerivaMLRequestError(
        f"cannot record into {config.hostname}: this version of the runner knows the project's own catalog only"
    )
