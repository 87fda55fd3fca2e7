"""One object of a Deriva server's store: put once, in chunks when it is large; read from any byte on."""

from __future__ import annotations

import contextlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from deriva_ml.definitions import RID
from deriva_ml.deriva.answers import ServerRefused, strange, unless_refused
from deriva_ml.deriva.retry import Retrier, RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

Report = Callable[[int], object]
"""Is told of bytes as they go; what it raises ends the transfer."""

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
class Upload:
    """A file to put: under an object's name, with its MD5 (hexadecimal), length in bytes, and name for a browser.

    Attributes:
        rid: of the record that it is put for.
    """

    source: Path
    name: str
    md5: str
    length: int
    filename: str
    rid: RID = ""

    @property
    def digest(self) -> str:
        """The MD5 as headers have it."""
        return b64encode(bytes.fromhex(self.md5)).decode()

    @property
    def headers(self) -> dict[str, str]:
        """What is said of the content: its MD5, its type by the file's name, and what a browser shall save it as."""
        from deriva.core.utils.mime_utils import guess_content_type

        return {
            "Content-MD5": self.digest,
            "Content-Type": guess_content_type(self.filename),
            "Content-Disposition": f"filename*=UTF-8''{quote(self.filename, safe='')}",
        }


@dataclass(frozen=True)
class _Part:
    """Some bytes of a file, read as they are sent and, when a request is repeated, once more."""

    source: Path
    start: int
    length: int
    on_bytes: Report

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        left = self.length
        try:
            with self.source.open("rb") as stream:
                stream.seek(self.start)
                while left:
                    piece = stream.read(min(PIECE, left))
                    if not piece:
                        raise DerivaMLException(f"{self.source} has become shorter since it was recorded")
                    yield piece
                    left -= len(piece)
                    self.on_bytes(len(piece))
        except OSError as error:  # the HTTP library would take it for the network's
            raise DerivaMLException(f"{self.source} cannot be read: {error.strerror}") from error


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


def put_object(server: Server, item: Upload, on_bytes: Report = lambda count: None) -> str:
    """Let an object have the content of a file, and return the URL path of that version.

    What is there already is not sent again, and not made a second time.

    Args:
        item: whose digest the server checks.
        on_bytes: called with the number of bytes whenever some went out; what it raises ends the upload.

    Raises:
        DerivaMLException: the file cannot be read, or is not what its digest says.
    """
    send = _put_whole if item.length <= LARGEST_PUT else _put_chunks
    folder, _, last = item.name.rpartition("/")
    stem, dot, rest = last.partition(".")
    names = [item.name, *(f"{folder}/{stem}-{number}{dot}{rest}" for number in range(2, OTHER_NAMES + 1))]
    for name in names:
        try:
            return send(server, replace(item, name=name), on_bytes)
        except ServerRefused as refused:
            if "MD5" in refused.detail and "does not match" in refused.detail:
                message = f"{item.source} is not what its record says, or was damaged on its way"
                raise DerivaMLException(message) from refused
            deleted = f"{name} " in refused.detail and "not available" in refused.detail
            if refused.status != 409 or not deleted or name == names[-1]:
                raise
    raise AssertionError


def _put_whole(server: Server, item: Upload, on_bytes: Report) -> str:
    condition = {"If-None-Match": "*"}
    current = _current_version(server, item) if item.length > ASK_FIRST else None
    # What is there is this very content, perhaps of an attempt whose answer was lost; or another one, which gets a
    # new version, on the condition that it is still the one that was looked at.
    while current is None or current.digest != item.digest:
        if current:
            condition = {"If-Match": current.etag}
        # Of an empty body the HTTP library does not tell the length.
        body = _Part(item.source, 0, item.length, on_bytes) if item.length else b""
        try:
            headers = item.headers | condition
            answer = server.request("put", f"{item.name}?parents=true", data=body, headers=headers)
            return _place(server, item, answer.text.strip())
        except ServerRefused as refused:
            if refused.status != 412 or not condition:
                raise
        condition = {}
        current = _current_version(server, item)
    return current.url


def _put_chunks(server: Server, item: Upload, on_bytes: Report) -> str:
    from deriva.core import calculate_optimal_transfer_shape

    if url := _url_of_same(server, item):
        return url
    size, chunks, _ = calculate_optimal_transfer_shape(item.length, requested_chunk_size=LARGEST_PUT)
    described = {"chunk-length": size, "content-length": item.length}
    described |= {name.lower(): value for name, value in item.headers.items()}
    answer = server.request("post", f"{item.name};upload?parents=true", json=described)
    job = answer.text.strip().rpartition("/")[2]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", job):
        raise strange(server.host, "an upload without an identifier")
    try:
        for chunk in range(chunks):
            start = chunk * size
            body = _Part(item.source, start, min(size, item.length - start), on_bytes)
            headers = {"Content-Type": "application/octet-stream"}
            server.request("put", f"{item.name};upload/{job}/{chunk}", data=body, headers=headers)
        return _finalize(server, item, job)
    except BaseException:
        with contextlib.suppress(DerivaMLException):  # nobody needs the chunks, but the failure is the news
            hasty = RetryPolicy(1, connect=3.0, read=10.0)
            server.request("delete", f"{item.name};upload/{job}", hasty)
        raise


def _finalize(server: Server, item: Upload, job: str) -> str:
    try:
        answer = server.request("post", f"{item.name};upload/{job}")
        return _place(server, item, answer.text.strip())
    except ServerRefused as refused:
        # A job that is gone was finished by an earlier attempt, whose answer was lost.
        url = _url_of_same(server, item) if refused.status == 404 else None
        if not url:
            raise
        return url


def _url_of_same(server: Server, item: Upload) -> str | None:
    """Where the object is, if it has this very content."""
    current = _current_version(server, item)
    return current.url if current and current.digest == item.digest else None


def _current_version(server: Server, item: Upload) -> _Version | None:
    """The current version; None if there is no such object, or (after a refused put) one without a content."""
    with unless_refused(404, 409):
        headers = server.request("head", item.name).headers
        url = _place(server, item, headers.get("Content-Location", item.name))
        return _Version(url, headers.get("ETag", "*"), headers.get("Content-MD5", ""))
    return None


def get_object(server: Server, url: str, offset: int = 0) -> Iterator[bytes]:
    """Yield the content at a URL, from a byte on, in pieces; a connection that breaks is taken up where it broke.

    Raises:
        DerivaMLRequestError: the URL is another server's.
    """
    path = url.removeprefix(server.url)
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
                        attempts.failures = 0
                        yield piece
            return
        except (OSError, ValueError) as error:
            attempts.failed(error)


def _open(server: Server, path: str, offset: int) -> Any:
    import requests

    from deriva_ml.deriva.session import Elsewhere, read_all

    store = server.binding(server.patience)
    # Compressed, an offset would count other bytes.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
    # deriva's own get() takes `stream` and reads the whole content all the same.
    try:
        answer = store._session.get(f"{server.url}{path}", headers=headers, stream=True)
    except Elsewhere as other:  # such as a signed address of a cloud's store: without the login
        timeout = server.patience.connect, server.patience.read
        answer = requests.get(other.url, headers=headers, stream=True, timeout=timeout)
    if answer.status_code >= 400:
        read_all(answer)  # the words of the refusal, before the connection is given back
        store._response_raise_for_status(answer)
    return answer


def _place(server: Server, item: Upload, answered: str) -> str:
    """Where an object is, as the server says: under the name that was asked for, in one of its versions."""
    url = answered.removeprefix(server.url)
    if not re.fullmatch(rf"{re.escape(item.name)}(:[A-Za-z0-9_.-]+)?", url):
        raise strange(server.host, "another place than that of the object that was put")
    return url
