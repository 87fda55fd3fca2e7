"""How often a request to a Deriva server is repeated, and what its failure is called in the end."""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

T = TypeVar("T")

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

COLLISIONS = {503: "Transaction aborted", 500: "duplicate key value violates unique constraint"}
"""How it is told that two writers met: by ERMrest, and by Hatrac where both make one namespace. Nothing was stored, and
nothing is wrong: the request is to be sent again, now."""

PAUSE_VARIABLE = "DERIVA_ML_RETRY_PAUSE"
LONGEST_DETAIL = 400

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How long to go on with a request that fails for a reason that may pass.

    Attributes:
        attempts: how often it is sent at most.
        pause: seconds of the first pause at most; the most doubles with each attempt. The environment variable
            ``DERIVA_ML_RETRY_PAUSE`` stands in for it.
        longest: seconds that no pause exceeds.
        collisions: how long a request that meets other writers' is sent again at least: so many times ``pause``. They
            do not count as failures.
        connect: seconds for a connection to stand, and for each piece of a body to be taken.
        read: seconds that an answer may be silent.
    """

    attempts: int = 6
    pause: float = 0.5
    longest: float = 15.0
    collisions: float = 60.0
    connect: float = 6.0
    read: float = 63.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures: anything up to the most, so that clients do not meet again."""
        return random.uniform(0, min(self.longest, self._pause * 2 ** (failures - 1)))

    def collision_delay(self, collisions: int, since: float) -> float | None:
        """Seconds to wait after so many collisions, the first of them ``since`` seconds ago; None to give up."""
        if collisions >= self.attempts and since >= self.collisions * self._pause:
            return None
        return random.uniform(0, min(2 * self._pause, self._pause / 10 * 2 ** min(collisions - 1, 10)))

    @property
    def _pause(self) -> float:
        try:
            return float(os.environ.get(PAUSE_VARIABLE, self.pause))
        except ValueError:
            raise DerivaMLRequestError(f"{PAUSE_VARIABLE} must be a number of seconds") from None


PATIENT = RetryPolicy()
"""For what has to be done, and what a person waits for."""
LIVE = RetryPolicy(attempts=2, pause=0.3, longest=1.0, collisions=10.0, connect=3.0, read=10.0)
"""For what a run says about itself while it goes on: it must not be held up."""


class Retrier:
    """The attempts at one request: ``failed`` waits for the next one, or raises when there is none.

    Args:
        renew: asked, once, when the login is refused: whether there is another one by now.

    Attributes:
        failures: attempts that got no answer, and may have taken effect, since something last came through.
    """

    def __init__(self, host: str, patience: RetryPolicy, renew: Callable[[], bool] = lambda: False) -> None:
        self._host = host
        self._patience = patience
        self._renew = renew
        self.failures = 0
        self._collisions = 0
        self._collided = 0.0

    def run(self, call: Callable[[], T]) -> T:
        """Call until it succeeds. Raises as ``failed`` does."""
        while True:
            try:
                return call()
            # The first two are the bases of what requests and deriva raise.
            except (OSError, ValueError, ServerUnreachable) as error:
                self.failed(error)

    def failed(self, error: Exception) -> None:
        """Wait, if the request may succeed when it is sent again.

        Raises:
            ServerRefused: the server said no.
            ServerUnreachable: that was the last attempt, or no attempt can succeed.
            DerivaMLException: the request cannot be sent, or the answer is not a Deriva server's.
        """
        response = _response(error)
        asked = 0.0
        collided = False
        if response is not None:
            if response.status_code == 401 or _shows_nothing(response):
                renew, self._renew = self._renew, lambda: False
                if renew():
                    return
            if response.status_code not in TRANSIENT:
                refused = refusal(self._host, response)
                refused.repeated = self.failures > 0
                raise refused from None
            reason = f"{response.status_code} {_detail(response) or response.reason}"
            collided = COLLISIONS.get(response.status_code, "\0") in response.text
            after = response.headers.get("Retry-After", "")
            asked = min(float(after), self._patience.longest) if after.isdecimal() else 0.0
        else:
            reason = self._why_unanswered(error)
        if collided:
            self._collisions += 1
            self._collided = self._collided or time.monotonic()
            delay = self._patience.collision_delay(self._collisions, time.monotonic() - self._collided)
        else:
            self.failures += 1
            over = self.failures >= self._patience.attempts
            delay = None if over else max(asked, self._patience.delay(self.failures))
        if delay is None:
            if isinstance(error, ServerUnreachable):
                raise error
            what = "cannot be reached" if response is None else "cannot answer now"
            raise ServerUnreachable(self._host, f"{self._host} {what} ({reason})") from error
        # Once is nothing to speak of; a person who waits longer should know, once, what for.
        level = logging.WARNING if self.failures == 2 and not collided else logging.INFO
        _log.log(level, "%s: %s; trying again", self._host, reason)
        time.sleep(delay)

    def _why_unanswered(self, error: Exception) -> str:
        """Return why a request got no answer that it may get when it is sent again; raises as ``failed`` does."""
        from requests import exceptions

        if isinstance(error, exceptions.SSLError) and "certificate" in str(error).lower():
            raise ServerUnreachable(
                self._host,
                f"the certificate of {self._host} cannot be verified: if it has an authority of its own, name that"
                f" one's certificate in REQUESTS_CA_BUNDLE ({_root(error)})",
            ) from error
        if isinstance(error, exceptions.ChunkedEncodingError):
            return "its answer broke off"
        if isinstance(
            error, exceptions.ConnectionError | exceptions.Timeout | exceptions.ContentDecodingError
        ):
            return _root(error)
        if isinstance(error, ServerUnreachable):
            return str(error)
        if isinstance(error, OSError):
            raise DerivaMLException(f"no request can be sent to {self._host}: {error}") from error
        raise error


def refusal(host: str, response: Any) -> ServerRefused:
    """What a status that is not worth another attempt says to a person."""
    status, detail = response.status_code, _detail(response)
    if status == 401 or _shows_nothing(response):
        status, message = 401, not_logged_in(host)
    elif status == 403:
        message = denied(host, detail or response.request.path_url)
    elif status == 404 and (catalog := re.fullmatch(r"catalog (\S+)", detail)):
        message = f"there is no catalog {catalog[1]} on {host}"
    elif status == 404:
        message = f"{host} does not have this: {detail or response.request.path_url}"
    else:
        message = f"{host} refused a request ({status}): {detail or response.reason}"
    return ServerRefused(message, status, detail)


def not_logged_in(host: str) -> str:
    """Return what somebody is told whose login is missing or has expired."""
    return (
        f"not logged in to {host} (or the login has expired):"
        f" uv run deriva-globus-auth-utils login --host {host}"
    )


def denied(host: str, what: str) -> str:
    """What is said to who lacks a right."""
    return (
        f"{host} does not allow you to do this ({what}): ask the catalog's owner for"
        " the right, or log in as somebody who has it"
    )


def _shows_nothing(response: Any) -> bool:
    """Whether the server hides its own schema: so it answers a lease (409) to who is not logged in, or no more."""
    return response.status_code == 409 and _detail(response) == "Schema public does not exist."


def _response(error: Exception) -> Any:
    """The answer that an error of deriva's bindings carries: an HTTPError's own, or what a 412 was raised with."""
    import requests

    candidate = error.args[0] if isinstance(error, ValueError) and error.args else None
    response = candidate if isinstance(candidate, requests.Response) else getattr(error, "response", None)
    failed = response is not None and response.status_code >= 400
    return response if failed else None


def _detail(response: Any) -> str:
    """The server's words in one line, without what every one of them begins with. HTML is a proxy's, and no use."""
    if "html" in response.headers.get("Content-Type", ""):
        return ""
    words = " ".join(response.text.split())
    words = re.sub(r"^[A-Z][^.:]*\. Detail: ", "", words)
    return words if len(words) <= LONGEST_DETAIL else f"{words[:LONGEST_DETAIL]}..."


def _root(error: BaseException) -> str:
    """Why a connection failed, from the innermost of the exceptions that wrap each other: the operating system's."""
    import requests

    cause = error.__cause__ or error.__context__
    # What was being handled when this request was sent is another story.
    if cause is not None and not isinstance(cause, (requests.RequestException, DerivaMLException)):
        return _root(cause)
    return str(getattr(error, "strerror", None) or error)
