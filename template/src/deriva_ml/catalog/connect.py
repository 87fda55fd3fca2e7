"""How a configuration names a catalog, and opening the one that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deriva_ml.catalog.protocol import Catalog
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


@dataclass
class DerivaMLConfig:
    """A connection, stored under the ``deriva_ml`` configuration group.

    Attributes:
        hostname: the Deriva server; None for the project's embedded catalog. An empty text is a server that
            nobody has named yet, and is refused with a line that says where to name it.
        catalog_id: number or alias of the catalog on that server.
        credential: what ``deriva`` takes as one, instead of what it has stored; never recorded.
        domain_schema: accepted, as in upstream's configurations; the embedded catalog has none.
        use_minid: accepted, as in upstream's configurations; no MINID is minted here.
    """

    hostname: str | None = None
    catalog_id: str | int | None = None
    credential: Any = None
    domain_schema: str | None = None
    use_minid: bool = False


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
