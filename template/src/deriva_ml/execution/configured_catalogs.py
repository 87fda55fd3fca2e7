"""The connections that a project's configurations name: the entries of the ``deriva_ml`` group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.catalog.catalog_config import DerivaMLConfig


def connections(project: Project) -> dict[str, DerivaMLConfig]:
    """Return the entries of the project's ``deriva_ml`` configuration group by name."""
    from hydra_zen import instantiate, store

    from deriva_ml.config.modules import find_configs

    find_configs(project)
    return {entry["name"]: instantiate(entry["node"]) for entry in store if entry["group"] == "deriva_ml"}


def connection(project: Project, name: str) -> DerivaMLConfig:
    """Return the entry of the group that has a name, and a server.

    Raises:
        DerivaMLRequestError: there is none of that name, or it names no server.
    """
    known = connections(project)
    if name not in known:
        raise DerivaMLRequestError(
            f"no deriva_ml configuration is named {name}; src/configs/deriva.py has {', '.join(sorted(known))}"
        )
    if known[name].hostname is None:
        raise DerivaMLRequestError(f"deriva_ml={name} is this project's own catalog: name one with a server")
    return known[name]
