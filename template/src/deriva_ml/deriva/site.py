"""The Deriva catalog that a run was configured for: its server, its tables, and what is kept of it for work offline."""

from __future__ import annotations

from collections.abc import Callable

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.deriva.access import check_reading, check_recording
from deriva_ml.deriva.answers import reading
from deriva_ml.deriva.errors import ServerUnreachable
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.offline import offline_cache
from deriva_ml.deriva.push import destination_of
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

IN_A_RUN = RetryPolicy(attempts=4, longest=5.0, read=30.0)
"""For what a run waits for: about two and a half minutes at most for a server that takes requests and does not answer."""


class Site:
    """A Deriva catalog, opened for a run.

    Args:
        local: the project's own catalog, which notes what is where.
        config: names the server and the catalog on it. With ``offline`` no request is made: inputs are those that
            were fetched before, and what is recorded waits.

    Raises:
        DerivaMLRequestError: the server cannot be reached, refuses the login, or has no such catalog.
    """

    def __init__(self, local: EmbeddedCatalog, config: DerivaMLConfig) -> None:
        self.local = local
        self.offline = config.offline
        self._server = Server(str(config.hostname), str(config.catalog_id), config.credential, IN_A_RUN)
        self.host, self.url = self._server.host, self._server.url
        self.destination, self.credential = destination_of(config)
        self.known = offline_cache(local.project, self.host, self._server.catalog_id)
        self.kept_model: Model | None = None
        if self.offline and (document := self.known.schema()):
            with reading(self.host):
                self.kept_model = Model(document)
        self._ask(self._open)
        if self.kept_model and not self.kept_model.has("Execution"):
            raise DerivaMLRequestError(
                f"catalog {self.destination.catalog} on {self.host} has no deriva-ml schema: is it the right one?"
            )
        self._ask(check_reading)

    def _open(self, server: Server) -> None:
        self.known.current_schema(server)
        self.kept_model = server.model
        self.destination = self.local.journal.rename(self.destination, server.canonical_id())

    def _ask(self, what: Callable[[Server], None]) -> None:
        """Ask the server for what nothing can be done without; nothing, offline."""
        if not self.offline:
            try:
                what(self._server)
            except ServerUnreachable as error:
                raise DerivaMLRequestError(f"{error}; --offline runs without it") from error
            except DerivaMLException as error:  # it refuses, or is no Deriva server
                raise DerivaMLRequestError(str(error)) from error

    def check_recording(self) -> None:
        """Refuse who may not record there; see ``access``."""
        self._ask(check_recording)

    @property
    def server(self) -> Server:
        """The way to the server.

        Raises:
            DerivaMLRequestError: this run does without it.
        """
        if self.offline:
            raise self.needs_server("this")
        return self._server

    def needs_server(self, what: str) -> DerivaMLRequestError:
        """Return the error for what an offline run would have to ask for."""
        return DerivaMLRequestError(
            f"{what} has not been fetched from {self.host} before, and this run is offline: leave --offline out"
        )

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()
