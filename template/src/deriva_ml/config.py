"""How a configuration names the catalog that a run is recorded in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
