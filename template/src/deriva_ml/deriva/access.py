"""Whether whoever asks may do what is to be done, told before anything is done; as a rule without asking for it."""

from __future__ import annotations

from deriva_ml.deriva.retry import denied, not_logged_in
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLRequestError

RECORDING = (
    ("Workflow", "select"),
    ("Execution", "insert"),
    ("Execution", "update"),
    ("Execution_Metadata", "insert"),
    ("Execution_Asset", "insert"),
)
"""What no record can do without. A server says to anybody what its tables are, and of each what may be done with it."""


def check_reading(server: Server) -> None:
    """Refuse whom the catalog shows nothing: current catalogs answer everybody, with no rows.

    Raises:
        DerivaMLRequestError: nobody is logged in, or somebody who may not read.
    """
    if server.model.may("Execution", "select") is not True:
        _check(server, "Execution", "select")


def check_recording(server: Server) -> None:
    """Refuse who may not record there.

    Raises:
        DerivaMLRequestError: nobody is logged in, or somebody without the rights.
    """
    for place in RECORDING:
        if server.model.may(*place) is False:
            _check(server, *place)


def _check(server: Server, table: str, access: str) -> None:
    if not server.logged_in():
        raise DerivaMLRequestError(not_logged_in(server.host))
    if server.model.may(table, access) is False:
        raise DerivaMLRequestError(denied(server.host, f"{access} access on deriva-ml:{table}"))
