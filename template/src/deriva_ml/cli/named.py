"""Which record a person means: by its RID here, by the one where it was pushed to, or by name."""

from __future__ import annotations

from contextlib import suppress
from glob import escape
from typing import TYPE_CHECKING

from deriva_ml.exceptions import DerivaMLRequestError, NotFound

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog


def rid_of(catalog: EmbeddedCatalog, named: str) -> str:
    """Return the RID here of a record, which may be given by the one that it has where it was pushed to, or by name.

    The name is that of a dataset or a file, or the first line of a dataset's description.

    Raises:
        DerivaMLRequestError: several records have the name.
    """
    with suppress(NotFound):
        return catalog.links_from(named).rid
    known = catalog.journal.locals_of(named)
    if len(known) == 1:
        return known[0]
    found = [asset.rid for asset in catalog.find_assets(name=escape(named))]
    if dataset := catalog.dataset_named(named):
        return dataset
    found += [one.rid for one in catalog.find_datasets() if one.description.strip().split("\n")[0] == named]
    if len(found) > 1:
        raise DerivaMLRequestError(
            f"{len(found)} records are called {named}, the newest first: {', '.join(found[:5])}; give the RID of one"
        )
    return found[0] if found else named


def elsewhere(catalog: EmbeddedCatalog, rid: str) -> list[str]:
    """Return addresses of a record in the catalogs that it was pushed to."""
    return [destination.link(remote) for destination, remote in catalog.journal.elsewhere(rid)]


def rids_there(catalog: EmbeddedCatalog, rid: str) -> str:
    """Return the RIDs of a record in the catalogs that it was pushed to, where they are not the one here."""
    return ", ".join(remote for _, remote in catalog.journal.elsewhere(rid) if remote != rid)


def collecting(catalog: EmbeddedCatalog, rid: str) -> str:
    """Return the command that takes in what jobs of a sweep record when its own process is gone; empty for none."""
    return f"uv run deriva-ml-run --collect {rid}" if catalog.project.detached(rid).exists() else ""
