"""The files of a dataset's state with those of the datasets nested in it, at their whole paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID


def files(catalog: EmbeddedCatalog, state: RID, folder: str = "") -> Iterator[dict[str, Any]]:
    """Yield the row of each file, with its whole path in ``Path``.

    Args:
        state: the RID of a row of ``Dataset_Version``.
        folder: that all of it lies in, with a slash at its end.
    """
    for row in catalog.members(state):
        path = f"{folder}{row['Path']}"
        if row.get("nested"):
            yield from files(catalog, row["nested"], f"{path}/")
        else:
            yield row | {"Path": path}
