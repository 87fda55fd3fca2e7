"""The /hatrac service: namespaces, objects with versions, and who may touch them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from . import uploads
from .auth import Sessions, User
from .bodies import Body, Store, check
from .errors import ServiceError, precondition_failed, unsupported
from .http import Request, Response, text
from .wire import to_json

LARGEST_PUT = 128 << 20  # more than this has to come in chunks
NAMESPACE = "application/x-hatrac-namespace"
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
_BAD_NAME = (
    'Request malformed. Hatrac URL path names may only include characters A-Z, a-z, 0-9, "-", ".", "~", or UTF-8 '
    "bytes percent-encoded with 2-digit hex values."
)
# Who is asked when an ACL is: a right on the resource itself, or inherited from what is above it.
_RIGHTS = {
    "owner": ("owner", "subtree-owner"),
    "create": ("owner", "create", "subtree-owner", "subtree-create"),
    "update": ("owner", "update", "subtree-owner", "subtree-update"),
    "read": ("owner", "read", "subtree-owner", "subtree-read"),
}
ACL_NAMES = ("owner", "create", "update", "read") + tuple(
    f"subtree-{right}" for right in ("owner", "create", "update", "read")
)


@dataclass(eq=False)
class Version:
    """One content of an object."""

    node: Node
    identifier: str
    body: Body
    metadata: dict[str, str]

    @property
    def url(self) -> str:
        """The name that stands for just this content."""
        return f"{self.node.url}:{self.identifier}"


@dataclass(eq=False)
class Node:
    """A name: a namespace, or an object with its versions from the oldest to the newest."""

    parent: Node | None
    name: str
    is_object: bool
    acls: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    jobs: dict[str, uploads.Job] = field(default_factory=dict)
    deleted: bool = False

    @property
    def url(self) -> str:
        """Its path, percent-encoded."""
        if self.parent is None:
            return "/hatrac"
        return f"{self.parent.url}/{quote(self.name, safe='')}"

    @property
    def shown(self) -> str:
        """Its path as messages write it."""
        return "/hatrac/" if self.parent is None else self.url

    def lineage(self) -> Iterator[Node]:
        """The node and all above it."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def allows(self, user: User, right: str) -> bool:
        """Whether an ACL here, or an inherited one, names the user."""
        rights = _RIGHTS[right]
        return any(
            user.within(node.acls.get(name))
            for node in self.lineage()
            for name in rights
            if node is self or name.startswith("subtree-")
        )

    def require(self, user: User, right: str, shown: str = "") -> None:
        """Refuse with 401 or 403 what no ACL allows."""
        if not self.allows(user, right):
            shown = shown or self.shown
            if user.anonymous:
                raise ServiceError(401, f"Authentication required for access to {shown}")
            raise ServiceError(403, f"Access to {shown} forbidden.")


class Hatrac:
    """One object store. Reading and writing contents is done outside its lock."""

    def __init__(self, sessions: Sessions, folder: Path) -> None:
        self.store = Store(folder)
        self.root = Node(None, "", False, {"owner": ["admin"], "subtree-owner": ["admin"]})
        self.lock = threading.RLock()
        self._sessions = sessions

    def answer(self, request: Request) -> Response:
        """Requests below /hatrac."""
        try:
            return self._route(request, self._sessions.user(request))
        except ServiceError as error:
            if error.status == 304:
                return Response(304, list(error.headers))
            response = text(error.status, error.message + "\n")
            response.headers = [*error.headers, *response.headers]
            if request.method == "HEAD":
                response.length, response.body = response.size, b""
            return response

    def objects(self) -> dict[str, tuple[str, int]]:
        """The current contents by name: MD5 in hexadecimal and length."""
        found = {}
        pending = [self.root]
        while pending:
            node = pending.pop()
            pending += [child for child in node.children.values() if not child.deleted]
            if node.versions:
                body = node.versions[-1].body
                found[node.url] = (body.md5.hex(), body.length)
        return dict(sorted(found.items()))

    # ---------------------------------------------------------------- routing

    def _route(self, request: Request, user: User) -> Response:
        path, semicolon, sub = request.path.partition(";")
        segments = [segment for segment in path.split("/")[2:] if segment]
        version = ""
        if segments and ":" in segments[-1]:
            segments[-1], _, version = segments[-1].partition(":")
        for segment in segments:
            if not _SEGMENT.fullmatch(segment):
                raise ServiceError(400, _BAD_NAME)
        names = [unquote(segment) for segment in segments]
        kind, _, rest = sub.partition("/")
        if kind == "upload":
            return uploads.answer(self, request, user, names, rest)
        if kind == "acl":
            return self._acl(
                request, user, self.resolve(names), [unquote(one) for one in rest.split("/") if one]
            )
        if kind == "metadata":
            return self._metadata(request, user, names, version, unquote(rest))
        if kind == "versions" and request.method in ("GET", "HEAD"):
            return self._versions(request, user, names)
        if semicolon:
            raise unsupported(f"{request.method} {request.path}")
        if request.method in ("GET", "HEAD"):
            return self._get(request, user, names, version)
        if request.method == "PUT" and not version:
            return self._put(request, user, names)
        if request.method == "DELETE":
            return self._delete(request, user, names, version)
        raise unsupported(f"{request.method} {request.path}")

    def find(self, names: list[str]) -> Node | None:
        """The node of that name, deleted or not."""
        node: Node | None = self.root
        for name in names:
            node = node.children.get(name) if node is not None else None
        return node

    def resolve(self, names: list[str]) -> Node:
        """The node of that name; refuses with 404 if there is none."""
        node = self.find(names)
        if node is None or node.deleted:
            raise _missing("/hatrac/" + "/".join(quote(name, safe="") for name in names))
        return node

    def create(self, user: User, names: list[str], is_object: bool, parents: bool) -> Node:
        """A new name; with ``parents``, also the namespaces above it that there are not yet."""
        with self.lock:
            node = self.root
            for depth, name in enumerate(names, 1):
                last = depth == len(names)
                child = node.children.get(name)
                if child is not None and child.deleted:
                    raise ServiceError(409, f"Name {child.url} not available.")
                if child is not None and child.is_object and not last:
                    raise ServiceError(409, f"Parent {child.url} is not a namespace.")
                if child is None:
                    if not last and not parents:
                        raise _missing("/hatrac/" + "/".join(quote(one, safe="") for one in names[:-1]))
                    node.require(user, "create")
                    child = Node(node, name, is_object and last, {"owner": [user.name]})
                    node.children[name] = child
                node = child
            return node

    # --------------------------------------------------------------- contents

    def _put(self, request: Request, user: User, names: list[str]) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_object = content_type != NAMESPACE
        parents = "parents=true" in request.query.lower()
        with self.lock:
            node = self.find(names)
            if node is None or node.deleted:
                check_preconditions(request, None)
                node = self.create(user, names, is_object, parents)
                if not is_object:
                    return _created(node.url)
            elif not node.is_object:
                node.require(user, "owner")
                raise ServiceError(409, f"Namespace {node.url} already exists.")
            else:
                check_preconditions(request, node.versions[-1].identifier if node.versions else None)
                node.require(user, "update")
        if "content-length" not in request.headers:
            raise ServiceError(411, "Content-Length header is required for this request.")
        metadata = {"content-type": request.headers["content-type"]} if content_type else {}
        for name in ("content-md5", "content-sha256", "content-disposition"):
            if name in request.headers:
                metadata[name] = request.headers[name]
        if request.length > LARGEST_PUT:
            raise ServiceError(
                413,
                "Request body size is larger than the current limit defined by the server, "
                f"which is {LARGEST_PUT} bytes.",
            )
        body = self.store.receive(request, check(metadata))
        return _created(self.add_version(node, self.store.name(), body, metadata).url)

    def add_version(self, node: Node, identifier: str, body: Body, metadata: dict[str, str]) -> Version:
        """Make a content the current one."""
        version = Version(node, identifier, body, metadata)
        with self.lock:
            node.versions.append(version)
        return version

    def _version(self, names: list[str], identifier: str) -> Version:
        node = self.resolve(names)
        if identifier:
            for version in node.versions:
                if version.identifier == identifier:
                    return version
            raise _missing(f"{node.url}:{identifier}")
        if not node.versions:
            raise ServiceError(409, f"Object {node.url} currently has no content.")
        return node.versions[-1]

    def _get(self, request: Request, user: User, names: list[str], identifier: str) -> Response:
        node = self.resolve(names)
        if not node.is_object:
            if not node.allows(user, "create"):
                node.require(user, "read")
            with self.lock:
                urls = sorted(child.url for child in node.children.values() if not child.deleted)
            return _listing(request, urls)
        version = self._version(names, identifier)
        check_preconditions(request, version.identifier)
        node.require(user, "read", version.url)
        headers = [
            ("Content-Location", version.url),
            (
                "content-disposition",
                version.metadata.get("content-disposition") or uploads.disposition(node.name),
            ),
            ("ETag", f'"{version.identifier}"'),
            ("Vary", "cookie"),
            ("Content-Type", version.metadata.get("content-type", "application/octet-stream")),
        ]
        digests = [
            (name, version.metadata[name])
            for name in ("content-md5", "content-sha256")
            if name in version.metadata
        ]
        if request.method == "HEAD":
            return Response(200, [("accept-ranges", "bytes"), *digests, *headers], length=version.body.length)
        if "range" in request.headers:
            start, length = _range(request, version.body.length)
            span = f"bytes {start}-{start + length - 1}/{version.body.length}"
            return Response(206, [("content-range", span), *headers], version.body.part(start, length))
        return Response(200, [*digests, *headers], version.body.part(0, version.body.length))

    def _delete(self, request: Request, user: User, names: list[str], identifier: str) -> Response:
        node = self.resolve(names)
        if identifier:
            version = self._version(names, identifier)
            check_preconditions(request, identifier)
            node.require(user, "owner", version.url)
            with self.lock:
                node.versions.remove(version)
            return Response(204)
        check_preconditions(request, node.versions[-1].identifier if node.versions else None)
        node.require(user, "owner")
        with self.lock:
            pending = [node]
            while pending:
                one = pending.pop()
                pending += one.children.values()
                one.deleted = True
                one.versions.clear()
                one.jobs.clear()
        return Response(204)

    def _versions(self, request: Request, user: User, names: list[str]) -> Response:
        node = self.resolve(names)
        node.require(user, "owner")
        return _listing(request, [version.url for version in reversed(node.versions)])

    # --------------------------------------------------------- sub-resources

    def _metadata(self, request: Request, user: User, names: list[str], version: str, name: str) -> Response:
        found = self._version(names, version)
        found.node.require(user, "read", found.url)
        if request.method not in ("GET", "HEAD"):
            raise unsupported(f"{request.method} of metadata")
        if not name:
            return _listing(request, dict(sorted(found.metadata.items())))
        if name not in found.metadata:
            raise _missing(f"{found.url};metadata/{name}")
        return text(200, found.metadata[name] + "\n")

    def _acl(self, request: Request, user: User, node: Node, parts: list[str]) -> Response:
        node.require(user, "owner")
        if len(parts) > 1 or (parts and parts[0] not in ACL_NAMES):
            raise unsupported(f"{request.method} {request.path}")
        if request.method == "GET":
            names = [name for name in ACL_NAMES if not (node.is_object and name.startswith("subtree"))]
            acls = {name: node.acls.get(name, []) for name in names}
            return _listing(request, acls[parts[0]] if parts else acls)
        if not parts or request.method not in ("PUT", "DELETE"):
            raise unsupported(f"{request.method} {request.path}")
        roles = json.loads(request.body()) if request.method == "PUT" else []
        with self.lock:
            node.acls[parts[0]] = roles
        return Response(204)


def _missing(url: str) -> ServiceError:
    return ServiceError(404, f"Resource {url} not found.")


def _created(url: str) -> Response:
    return Response(201, [("Location", url), ("Content-Type", "text/uri-list")], (url + "\n").encode())


def _listing(request: Request, value: Any) -> Response:
    digest = b64encode(hashlib.md5(to_json(value).encode()).digest()).decode()
    check_preconditions(request, digest)
    headers = [("ETag", f'"{digest}"'), ("Vary", "cookie"), ("Content-Type", "application/json")]
    return Response(200, headers, (to_json(value) + "\n").encode())


def check_preconditions(request: Request, etag: str | None) -> None:
    """Refuse a request whose If-Match or If-None-Match the current state (None: there is none) does not meet."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    failed = wanted is not None and (etag is None or (wanted != "*" and f'"{etag}"' not in wanted))
    met = unwanted is not None and etag is not None and (unwanted == "*" or f'"{etag}"' in unwanted)
    if failed or met:
        headers = ((("ETag", f'"{etag}"'),) if etag else ()) + (("Vary", "cookie"),)
        if request.method in ("GET", "HEAD") and met:
            raise ServiceError(304, "", headers)
        raise precondition_failed(headers)


def _range(request: Request, size: int) -> tuple[int, int]:
    """The first byte and the length that a Range header asks for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers["range"])
    if match is None or "if-range" in request.headers:
        raise unsupported(f"Range: {request.headers['range']}")
    first, last = match.groups()
    start = int(first) if first else max(size - int(last or 0), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        message = "Requested Range is not satisfiable for this resource."
        raise ServiceError(416, message, (("Content-Range", f"bytes */{size}"),))
    return start, stop - start
