"""Who a request comes from: users, their sessions, and /authn/session."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from . import http
from .http import Request, Response, text
from .wire import to_json

# The groups that the ACLs of the two schema documents name.
CURATORS = "https://auth.globus.org/3938e0d0-ed35-11e5-8641-22000ab4b42b"
WRITERS = "https://auth.globus.org/d38e6f4d-ac96-11ed-8ab4-7b5a369c0a53"
READERS = "https://auth.globus.org/176baec4-ed26-11e5-8e88-22000ab4b42b"


@dataclass(frozen=True)
class User:
    """A client and the roles (ACL members) that it has beside its own name."""

    name: str
    roles: frozenset[str] = frozenset()

    @property
    def anonymous(self) -> bool:
        """Whether nobody is logged in."""
        return not self.name

    def within(self, acl: list[str] | None) -> bool:
        """Whether an ACL names this client."""
        return acl is not None and ("*" in acl or self.name in acl or not self.roles.isdisjoint(acl))

    def digest(self) -> str:
        """The part of an ETag that tells clients apart."""
        known = ",".join(sorted({self.name, *self.roles}))
        return urlsafe_b64encode(hashlib.md5(known.encode()).digest()).decode()


ANONYMOUS = User("")


class Sessions:
    """The users, and the cookies that stand for them.

    A cookie that was logged out still works in ERMrest for ``linger`` seconds, as on the real server.
    """

    def __init__(self) -> None:
        self.linger = 60.0
        self._users = {
            user.name: user
            for user in (
                User("admin", frozenset({"admin"})),
                User("writer", frozenset({WRITERS, "writers"})),
                User("other", frozenset({WRITERS, "writers"})),
                User("reader", frozenset({READERS, "readers"})),
                User("nobody"),
            )
        }
        self._cookies: dict[str, tuple[User, datetime]] = {}
        self._gone: dict[str, tuple[User, float]] = {}
        self._lock = threading.Lock()

    def add_user(self, name: str, *roles: str) -> None:
        """Let ``name``, whose password is its name, log in; ``roles`` are what ACLs know it by."""
        self._users[name] = User(name, frozenset(roles))

    def login(self, name: str) -> str:
        """A new session's cookie value, ``webauthn=...`` without the name."""
        cookie = secrets.token_urlsafe(18)
        with self._lock:
            self._cookies[cookie] = (self._users[name], datetime.now(UTC))
        return cookie

    def expire(self) -> None:
        """End every session, at once and for every service."""
        with self._lock:
            self._cookies.clear()
            self._gone.clear()

    def user(self, request: Request, *, lingering: bool = False) -> User:
        """The client of a request; ``lingering`` accepts what was logged out a moment ago."""
        cookie = _cookie(request)
        if found := self._cookies.get(cookie):
            return found[0]
        user, until = self._gone.get(cookie, (ANONYMOUS, 0.0))
        return user if lingering and time.monotonic() < until else ANONYMOUS

    def answer(self, request: Request) -> Response:
        """Requests below /authn/."""
        if request.path == "/authn/preauth" and request.method == "GET":
            return text(200, to_json(_PREAUTH), "application/json")
        if request.path != "/authn/session":
            return text(501, f"The Deriva double does not implement {request.path}.\n")
        if request.method == "POST":
            return self._open(request)
        cookie = _cookie(request)
        if cookie not in self._cookies:
            request.skip()
            return text(404, "No existing login session found.\n")
        if request.method in ("GET", "PUT"):
            return text(200, to_json(_session(*self._cookies[cookie])), "application/json")
        if request.method == "DELETE":
            with self._lock:
                user, _ = self._cookies.pop(cookie)
                self._gone[cookie] = (user, time.monotonic() + self.linger)
            host = request.headers.get("host", "localhost")
            answer = text(200, to_json({"logout_url": f"https://{host}/"}) + "\n", "application/json")
            answer.headers.insert(0, ("Set-Cookie", "webauthn=; Secure; Path=/"))
            return answer
        return text(405, "Request method not allowed on this resource.\n")

    def _open(self, request: Request) -> Response:
        form = parse_qs(request.body().decode())
        name = form.get("username", [""])[0]
        if name not in self._users or form.get("password") != [name]:
            return text(401, "Session establishment failed.\n")
        cookie = self.login(name)
        answer = http.text(200, to_json(_session(*self._cookies[cookie])), "application/json")
        answer.headers.insert(0, ("Set-Cookie", f"webauthn={cookie}; Secure; Path=/"))
        return answer


_PREAUTH = {
    "login_form": {
        "method": "POST",
        "action": "/authn/session",
        "input_fields": [
            {"name": "username", "type": "text"},
            {"name": "password", "type": "password"},
        ],
    },
    "authentication_type": "database",
}


def _cookie(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    morsel = SimpleCookie(request.headers.get("cookie", "")).get("webauthn")
    return morsel.value if morsel else ""


def _session(user: User, since: datetime) -> dict[str, Any]:
    full = {"id": user.name, "display_name": user.name, "identities": [user.name]}
    return {
        "client": full,
        "attributes": [*({"id": role, "display_name": role} for role in sorted(user.roles)), full],
        "since": str(since),
        "expires": str(since + timedelta(days=30)),
        "seconds_remaining": 86399,
        "vary_headers": ["cookie"],
        "tracking": None,
    }
