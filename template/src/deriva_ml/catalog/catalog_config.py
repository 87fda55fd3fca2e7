"""How a configuration names a catalog."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.upstream import accepting


@dataclass
@accepting(
    "domain_schema domain_schemas default_schema ml_schema project_name cache_dir working_dir check_auth"
    " hydra_runtime_output_dir logging_level deriva_logging_level s3_bucket clean_execution_dir use_minid"
)
class DerivaMLConfig:
    """A connection, stored under the ``deriva_ml`` configuration group.

    Attributes:
        hostname: the Deriva server; None for the project's embedded catalog. An empty text is a server that
            nobody has named yet, and is refused with a line that says where to name it.
        catalog_id: number or alias of the catalog on that server.
        credential: a credential file's path, or what ``deriva`` takes as one, instead of what logging in has
            stored; never recorded. A path that is not absolute is one below the project's root.
        offline: do without the server, and record what is to be sent to it later.
        asset_tables: names of a domain's asset tables that the project's own catalog is to have, too.
        mode: the same as ``offline``, as upstream's configurations say it: ``online`` or ``offline``.
        domain_schema, use_minid, working_dir, logging_level and the like: accepted, as in upstream's configurations,
            and of no effect: tables are found in whichever schema they are, no MINID is minted here, everything is in
            the project, and logging is Python's.
    """

    hostname: str | None = None
    catalog_id: str | int | None = None
    credential: Any = field(default=None, repr=False)  # a notebook's cell may end in its configuration
    offline: bool = False
    asset_tables: Any = None
    mode: Any = "online"

    def __post_init__(self) -> None:
        self.offline = self.offline or self.mode == "offline"


def checked(config: Any) -> DerivaMLConfig:
    """Return what a configuration's ``deriva_ml`` has to be.

    Raises:
        DerivaMLRequestError: it is not that.
    """
    if config is None:
        raise DerivaMLRequestError(
            "the configuration has no deriva_ml, and so no catalog: choose one, as --list-configs shows"
        )
    if not hasattr(config, "offline"):
        raise DerivaMLRequestError(f"deriva_ml is {config!r}: store a DerivaMLConfig in that group")
    known: DerivaMLConfig = config
    return known


def located(config: DerivaMLConfig, project: Project) -> DerivaMLConfig:
    """A configuration that names a server and a catalog on it; the path of its credential file, if it has one, absolute.

    Raises:
        DerivaMLRequestError: it does not; the line says where to name them.
    """
    if not config.hostname:
        raise DerivaMLRequestError(
            "this deriva_ml configuration names no server yet: put its hostname and catalog_id into pyproject.toml,"
            " under [tool.deriva-ml], or into src/configs/deriva.py if that does not read them there;"
            " or leave deriva_ml=... out to record into the project's own catalog"
        )
    if config.catalog_id in (None, ""):
        raise DerivaMLRequestError(
            f"this deriva_ml configuration names no catalog on {config.hostname}: give --catalog, or put its number"
            " or alias as catalog_id beside the hostname, in pyproject.toml or src/configs/deriva.py"
        )
    given = config.credential
    if not given or not isinstance(given, str | Path):
        return config
    return replace(config, credential=str(project.root / os.path.expanduser(given)))
