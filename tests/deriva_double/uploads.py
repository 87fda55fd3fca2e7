"""Chunked uploads: jobs below ``object;upload``."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .bodies import Body, check, refuse_other
from .errors import ServiceError, unsupported
from .http import PIECE, Request, Response, remove
from .wire import to_json

if TYPE_CHECKING:
    from .auth import User
    from .hatrac import Hatrac, Node


@dataclass(eq=False)
class Job:
    """One upload: what it promised, and the chunks that came. The digest runs along while they come in order."""

    identifier: str
    node: Node
    owner: str
    chunk_length: int
    length: int
    metadata: dict[str, str]
    expected: bytes | None
    path: Path | None
    received: set[int] = field(default_factory=set)
    digest: Any = field(default_factory=hashlib.md5)
    in_order: int = 0
    busy: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """The job's path."""
        return f"{self.node.url};upload/{self.identifier}"

    @property
    def chunks(self) -> int:
        """How many chunks make the whole."""
        return -(-self.length // self.chunk_length)

    def size_of(self, chunk: int) -> int:
        """The length of one chunk."""
        return min(self.chunk_length, self.length - chunk * self.chunk_length)


def disposition(name: str) -> str:
    """The content disposition of an object that was given none."""
    return f"filename*=UTF-8''{quote(name, safe='')}"


def answer(hatrac: Hatrac, request: Request, user: User, names: list[str], rest: str) -> Response:
    """Requests for ``names;upload`` and, with a job and a chunk number in ``rest``, below it."""
    method = request.method
    identifier, _, chunk = rest.partition("/")
    if not identifier:
        if method != "POST":
            raise unsupported(f"{method} {request.path}")
        return _create(hatrac, request, user, names)
    node = hatrac.resolve(names)
    job = node.jobs.get(identifier)
    if job is None:
        raise ServiceError(404, f"Resource {node.url};upload/{identifier} not found.")
    if not user.within([job.owner]):
        node.require(user, "owner", job.url)
    if chunk and method == "PUT":
        return _receive(request, job, int(chunk) if chunk.isdigit() else -1)
    if chunk:
        raise ServiceError(405, "Request method not allowed on this resource.")
    if method == "POST":
        return _finalize(hatrac, job)
    if method == "DELETE":
        with hatrac.lock:
            del node.jobs[identifier]
        if job.path is not None:
            remove(job.path)
        return Response(204)
    if method == "GET":
        return _describe(job)
    raise ServiceError(405, "Request method not allowed on this resource.")


def _create(hatrac: Hatrac, request: Request, user: User, names: list[str]) -> Response:
    wanted = json.loads(request.body())
    for name in ("chunk-length", "content-length"):
        if not isinstance(wanted.get(name), int):
            raise ServiceError(400, f"Missing required field '{name}'.")
    if wanted["chunk-length"] < 1:
        raise ServiceError(400, f"Invalid count: {wanted['chunk-length']}.")
    with hatrac.lock:
        node = hatrac.find(names)
        if node is None:
            node = hatrac.create(user, names, True, "parents=true" in request.query.lower())
        elif node.deleted:
            raise ServiceError(409, f"Name {node.url} is not available for use.")
        else:
            node.require(user, "update")
    known = ("content-sha256", "content-disposition", "content-type", "content-md5")
    metadata = {name: wanted[name] for name in known if wanted.get(name) is not None}
    expected = check(metadata)
    path = hatrac.store.file() if hatrac.store.keeps(wanted["content-length"]) else None
    if path is not None:
        path.touch()
    identifier = hatrac.store.name()
    job = Job(
        identifier,
        node,
        user.name,
        wanted["chunk-length"],
        wanted["content-length"],
        metadata,
        expected,
        path,
    )
    with hatrac.lock:
        node.jobs[identifier] = job
    headers = [("Location", job.url), ("Content-Type", "text/uri-list")]
    return Response(201, headers, (job.url + "\n").encode())


def _describe(job: Job) -> Response:
    described = {
        "url": job.url,
        "target": job.node.url,
        "owner": [job.owner],
        "chunk-length": job.chunk_length,
        "content-length": job.length,
        **job.metadata,
    }
    body = (to_json(described) + "\n").encode()
    return Response(200, [("Vary", "cookie"), ("Content-Type", "application/json")], body)


def _receive(request: Request, job: Job, chunk: int) -> Response:
    if not 0 <= chunk < max(job.chunks, 1):
        raise ServiceError(400, f"Invalid chunk number {chunk}.")
    if request.length != job.size_of(chunk):
        raise ServiceError(
            409,
            f"Uploaded chunk byte count {request.length} does not match job chunk size {job.size_of(chunk)}.",
        )
    digests = {
        name: value for name, value in request.headers.items() if name in ("content-md5", "content-sha256")
    }
    expected = check(digests)
    with job.lock:
        follows = job.in_order == chunk and not job.busy
        job.busy |= follows
        if chunk < job.in_order:
            job.in_order = -1  # what the running digest has seen is about to be written anew
    whole = job.digest.copy() if follows else None
    digest = hashlib.md5() if expected is not None else None
    try:
        with open(job.path or os.devnull, "r+b") as target:
            target.seek(chunk * job.chunk_length)
            for piece in request.pieces():
                for one in (digest, whole):
                    if one is not None:
                        one.update(piece)
                target.write(piece)
        if digest is not None:
            refuse_other(digest.digest(), expected)
        with job.lock:
            if whole is not None and job.in_order == chunk:
                job.digest, job.in_order = whole, chunk + 1
            job.received.add(chunk)
    finally:
        if follows:
            job.busy = False
    return Response(204)


def _finalize(hatrac: Hatrac, job: Job) -> Response:
    body = Body(_md5(job), job.length, None, job.path)
    if job.expected is not None and job.expected != body.md5:
        raise ServiceError(
            409,
            f"Current uploaded content MD5 {body.md5.hex().encode()!r} does not match expected "
            f"{job.expected.hex().encode()!r}.",
        )
    if len(job.received) != job.chunks:
        raise ServiceError(409, f"Upload job {job.url} is missing chunks.")
    with hatrac.lock:
        del job.node.jobs[job.identifier]
    version = hatrac.add_version(job.node, job.identifier, body, job.metadata)
    headers = [("Location", version.url), ("Content-Type", "text/uri-list")]
    return Response(201, headers, (version.url + "\n").encode())


def _md5(job: Job) -> bytes:
    digest: bytes
    if job.in_order == job.chunks and len(job.received) == job.chunks:
        digest = job.digest.digest()
        return digest
    if job.path is None:
        raise unsupported("chunks out of order of a content that it was told to drop")
    again = hashlib.md5()
    with job.path.open("rb") as source:
        while piece := source.read(PIECE):
            again.update(piece)
    return again.digest()
