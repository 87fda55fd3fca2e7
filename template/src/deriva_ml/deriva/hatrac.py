"""One object of a Deriva server's store: put once, in chunks when it is large; read from any byte on."""

from __future__ import annotations

import contextlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from deriva_ml.deriva.answers import strange
from deriva_ml.deriva.errors import ServerRefused
from deriva_ml.deriva.retry import Retrier, RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

LARGEST_PUT = 25 << 20
"""Bytes that go in one request; also the least that a chunk of a larger content has."""
PIECE = 1 << 16
"""Bytes sent at a time. The timeout is for a piece: a slow line has to take no more than this within it."""
ASK_FIRST = 1 << 16
"""Bytes above which it is asked whether a content is there before it is sent: others may have sent it."""
LONGEST_NAME = 200
OTHER_NAMES = 4
"""How many names are tried when one cannot be used again because its object was deleted."""


@dataclass(frozen=True)
class Content:
    """What is put: a file, its MD5 (hexadecimal) and length in bytes, its name, and who is told of bytes sent."""

    source: Path
    md5: str
    length: int
    filename: str
    on_bytes: Callable[[int], object]

    @property
    def digest(self) -> str:
        """The MD5 as headers have it."""
        return b64encode(bytes.fromhex(self.md5)).decode()

    @property
    def disposition(self) -> str:
        """The header that says what a browser shall save it as."""
        return f"filename*=UTF-8''{quote(self.filename, safe='')}"

    def part(self, start: int, length: int) -> _Part | bytes:
        """A body for a request; of an empty one the HTTP library does not tell the length."""
        return _Part(self, start, length) if length else b""


@dataclass(frozen=True)
class _Part:
    """Some bytes of a file, read as they are sent and, when a request is repeated, once more."""

    content: Content
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        source, left = self.content.source, self.length
        try:
            with source.open("rb") as stream:
                stream.seek(self.start)
                while left:
                    piece = stream.read(min(PIECE, left))
                    if not piece:
                        raise DerivaMLException(f"{source} has become shorter since it was recorded")
                    yield piece
                    left -= len(piece)
                    self.content.on_bytes(len(piece))
        except OSError as error:  # the HTTP library would take it for the network's
            raise DerivaMLException(f"{source} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class _Version:
    """The current version of an object."""

    url: str
    etag: str
    digest: str


def object_name(table: str, md5: str, filename: str) -> str:
    """The name of an asset's object, which its content determines: ``/hatrac/<table>/<md5>.<filename>``.

    Of the file's name it keeps ASCII letters, digits and ``. _ -``: Hatrac refuses some characters, proxies others.
    A name that is not kept whole follows on ``<digest>-``, of the name, so that two names never make one object.
    """
    table, safe = (re.sub(r"[^A-Za-z0-9._-]", "_", one) for one in (table, filename))
    prefix = f"/hatrac/{table}/{md5}."
    if safe != filename or len(prefix + safe) > LONGEST_NAME:
        prefix += f"{sha256(filename.encode(errors='surrogatepass')).hexdigest()[:8]}-"
    room = LONGEST_NAME - len(prefix)
    if len(safe) > room:
        suffix = PurePath(safe).suffix[:20]
        safe = safe[: room - len(suffix)] + suffix
    return prefix + safe


def put_object(
    server: Server,
    name: str,
    source: Path,
    md5: str,
    length: int,
    *,
    filename: str,
    on_bytes: Callable[[int], object] = lambda count: None,
) -> str:
    """Let the object ``name`` have the content of a file, and return the URL path of that version.

    What is there already is not sent again, and not made a second time.

    Args:
        md5: hexadecimal digest of the content, which the server checks.
        length: in bytes.
        filename: what a browser shall save it as.
        on_bytes: called with the number of bytes whenever some went out; what it raises ends the upload.

    Raises:
        DerivaMLException: the file cannot be read, or is not what its digest says.
    """
    content = Content(source, md5, length, filename, on_bytes)
    send = _put_whole if content.length <= LARGEST_PUT else _put_chunks
    folder, _, last = name.rpartition("/")
    stem, dot, rest = last.partition(".")
    names = [name, *(f"{folder}/{stem}-{number}{dot}{rest}" for number in range(2, OTHER_NAMES + 1))]
    for number, one in enumerate(names, 1):
        try:
            return send(server, content, one)
        except ServerRefused as refused:
            if "MD5" in refused.detail and "does not match" in refused.detail:
                message = f"{content.source} is not what its record says, or was damaged on its way"
                raise DerivaMLException(message) from refused
            deleted = (
                refused.status == 409 and f"{one} " in refused.detail and "not available" in refused.detail
            )
            if not deleted or number == len(names):
                raise
    raise AssertionError


def _put_whole(server: Server, content: Content, name: str) -> str:
    from deriva.core.utils.mime_utils import guess_content_type

    headers = {
        "Content-MD5": content.digest,
        "Content-Type": guess_content_type(content.filename),
        "Content-Disposition": content.disposition,
    }
    condition = {"If-None-Match": "*"}
    if content.length > ASK_FIRST and (current := _current_version(server, name)):
        if current.digest == content.digest:
            return current.url
        condition = {"If-Match": current.etag}
    while True:
        body = content.part(0, content.length)
        try:
            answer = server.request(
                "put", f"{name}?parents=true", data=body, headers={**headers, **condition}
            )
            return _place(server, name, answer.text.strip())
        except ServerRefused as refused:
            if refused.status != 412 or not condition:
                raise
        # Something is there: this very content, perhaps of an attempt whose answer was lost; or another one, which
        # gets a new version, on the condition that it is still the one that was looked at.
        current = _current_version(server, name)
        if current is not None and current.digest == content.digest:
            return current.url
        condition = {"If-Match": current.etag} if current else {}


def _put_chunks(server: Server, content: Content, name: str) -> str:
    from deriva.core import calculate_optimal_transfer_shape
    from deriva.core.utils.mime_utils import guess_content_type

    current = _current_version(server, name)
    if current is not None and current.digest == content.digest:
        return current.url
    size, chunks, _ = calculate_optimal_transfer_shape(content.length, requested_chunk_size=LARGEST_PUT)
    job = server.attempt(
        lambda store: store.create_upload_job(
            name,
            str(content.source),
            content.digest,
            None,
            chunk_size=size,
            content_type=guess_content_type(content.filename),
            content_disposition=content.disposition,
        )
    )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", str(job)):
        raise strange(server.host, "an upload without an identifier")
    try:
        for chunk in range(chunks):
            body = content.part(chunk * size, min(size, content.length - chunk * size))
            server.request(
                "put",
                f"{name};upload/{job}/{chunk}",
                data=body,
                headers={"Content-Type": "application/octet-stream"},
            )
        return _finalize(server, content, name, str(job))
    except BaseException:
        with contextlib.suppress(DerivaMLException):  # nobody needs the chunks, but the failure is the news
            server.attempt(
                lambda store: store.cancel_upload_job(name, job), RetryPolicy(1, connect=3.0, read=10.0)
            )
        raise


def _finalize(server: Server, content: Content, name: str, job: str) -> str:
    try:
        return _place(server, name, server.attempt(lambda store: store.finalize_upload_job(name, job)))
    except ServerRefused as refused:
        if refused.status != 404:
            raise
        # The job is gone: an earlier attempt finished it, and its answer was lost.
        current = _current_version(server, name)
        if current is None or current.digest != content.digest:
            raise
        return current.url


def _current_version(server: Server, name: str) -> _Version | None:
    """The current version; None if there is no such object, or (after a refused put) one without a content."""
    try:
        headers = server.request("head", name).headers
    except ServerRefused as refused:
        if refused.status not in (404, 409):
            raise
        return None
    url = _place(server, name, headers.get("Content-Location", name))
    return _Version(url, headers.get("ETag", "*"), headers.get("Content-MD5", ""))


def get_object(server: Server, url: str, offset: int = 0) -> Iterator[bytes]:
    """Yield the content at a URL, from a byte on, in pieces; a connection that breaks is taken up where it broke.

    Raises:
        DerivaMLRequestError: the URL is another server's.
    """
    path = _path(server, url)
    if not path.startswith("/"):
        raise DerivaMLRequestError(f"{url} is not on {server.host}, which is where contents are fetched from")
    attempts = Retrier(server.host, server.patience, server.renew_login)
    while True:
        try:
            with _open(server, path, offset) as answer:
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise strange(server.host, "a content that is compressed, though none was to be")
                skip = offset if answer.status_code == 200 else 0  # whoever ignores Range sends all of it
                for received in answer.iter_content(PIECE):
                    piece = received[skip:]
                    skip -= len(received) - len(piece)
                    if piece:
                        offset += len(piece)
                        attempts.progress()
                        yield piece
            return
        except (OSError, ValueError) as error:
            attempts.failed(error)


def _open(server: Server, path: str, offset: int) -> Any:
    from deriva_ml.deriva.session import Elsewhere, fetch_elsewhere, read_all

    store = server.binding()
    # Compressed, an offset would count other bytes.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
    # deriva's own get() takes `stream` and reads the whole content all the same.
    try:
        answer = store._session.get(f"{server.url}{path}", headers=headers, stream=True)
    except Elsewhere as other:
        patience = server.patience
        answer = fetch_elsewhere(other.url, headers, (patience.connect, patience.read))
    if answer.status_code >= 400:
        read_all(answer)  # the words of the refusal, before the connection is given back
        store._response_raise_for_status(answer)
    return answer


def _place(server: Server, name: str, answered: str) -> str:
    """Where an object is, as the server says: under the name that was asked for, in one of its versions."""
    url = _path(server, answered)
    if not re.fullmatch(rf"{re.escape(name)}(:[A-Za-z0-9_.-]+)?", url):
        raise strange(server.host, "another place than that of the object that was put")
    return url


def _path(server: Server, url: str) -> str:
    """A URL as asset rows have it: without the server that it is on."""
    return url.removeprefix(server.url)
