"""The recorded session of a real server once more, against a double."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json

from .seed import DATA
from .server import DerivaDouble
from .transcript import Correspondence, Mismatch, Recorded, load

EXCHANGES = load(DATA / "exchanges.json.gz")
CONTENT = bytes(range(256)) * 1024


def _b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


class Replay:
    """The recorded session once more, against a double brought into the state that the real server was in."""

    def __init__(self, double: DerivaDouble) -> None:
        self.double = double
        self.same = Correspondence()
        self.cookies = {
            "<session of admin>": double.sessions.login("admin"),
            "<session of reader>": double.sessions.login("reader"),
        }
        self.literal: dict[str, str] = {"<password>": "admin", "<wrong password>": "wrong"}
        self._contents()
        for name in ("labtest", "t5", "t6", "t7"):
            self.send("PUT", f"/hatrac/{name}", {"Content-Type": "application/x-hatrac-namespace"})
        self._catalogs()

    def _contents(self) -> None:
        """Let the digests of our chunks stand for those of the recorded ones, whose bytes were not kept."""
        chunks = {str(number): CONTENT[number * 100_000 : (number + 1) * 100_000] for number in range(3)}
        recorded = {one.title: one.headers.get("content-md5", "") for one in EXCHANGES}
        pairs = [(recorded[f"Put chunk {n}"], hashlib.md5(chunk).digest()) for n, chunk in chunks.items()]
        job = json.loads(next(one.body for one in EXCHANGES if one.title == "Create the upload job"))
        pairs.append((job["content-md5"], hashlib.md5(CONTENT).digest()))
        for theirs, ours in pairs:
            digest = base64.b64decode(theirs)
            self.literal |= {theirs: _b64(ours), repr(digest): repr(ours), digest.hex(): ours.hex()}
        self.literal[job["content-sha256"]] = _b64(hashlib.sha256(CONTENT).digest())
        self.chunks = chunks

    def _catalogs(self) -> None:
        """Number 4 is a deriva-ml catalog with the recorded one's ACLs; the next to be made is number 10."""
        self.double.ermrest.next_id = 4
        self.double.create_catalog("1.17.10")
        self.double.ermrest.next_id = 10
        recorded = next(
            one for one in EXCHANGES if one.target == "/ermrest/catalog/4" and "cookie" in one.headers
        )
        acls = json.loads(recorded.answer)["acls"]
        self.send("PUT", "/ermrest/catalog/4/acl", {"Content-Type": "application/json"}, json.dumps(acls))

    def send(
        self, method: str, target: str, headers: dict[str, str], body: str | bytes = "", user: str = "admin"
    ) -> tuple[http.client.HTTPResponse, str]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.double.host, timeout=10)
        cookie = {"Cookie": f"webauthn={self.cookies[f'<session of {user}>']}"} if user else {}
        data = body if isinstance(body, bytes) else body.encode()
        length = {"Content-Length": str(len(data))}
        connection.request(method, target, data, {**headers, **cookie, **length})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    def prepare(self, one: Recorded) -> None:
        """Do what the recorded session did without showing it."""
        as_json = {"Content-Type": "application/json"}
        if one.title == "Write by a known client without the right":
            rows = json.dumps([{"Name": f"row {number}"} for number in range(250)])
            self.send("POST", "/ermrest/catalog/10/entity/lab:Subject", as_json, rows)
            _, found = self.send("GET", "/ermrest/catalog/10/entity/lab:Subject", {})
            if len(json.loads(found)) != 262:
                raise Mismatch("a GET without a limit does not answer all rows")
        if one.title == "A File row":
            self.send("POST", "/ermrest/catalog/4/entity/deriva-ml:File", as_json, one.body)
        if one.title == "... finalize after all chunks":
            for number, chunk in self.chunks.items():
                self.send("PUT", f"{self.same.translate(one.target)}/{number}", {}, chunk)
        if one.title == "Log out":
            self.cookies["<see title>"] = self.double.sessions.login("admin")

    def body(self, one: Recorded) -> str | bytes:
        """The body to send in the recorded one's place."""
        if one.body.startswith("<") and one.body.endswith(" bytes>"):
            wanted = int(one.headers["content-length"])
            return self.chunks[one.target[-1]][:wanted]
        return self.translated(one.body)

    def translated(self, text: str) -> str:
        """A recorded text with the double's values."""
        for theirs, ours in self.literal.items():
            text = text.replace(theirs, ours)
        return self.same.translate(text)

    def check(self, one: Recorded) -> None:
        """Send a recorded request, and compare status, headers and body of the answers.

        Raises:
            Mismatch: they differ.
        """
        self.prepare(one)
        headers = {
            name: self.translated(value)
            for name, value in one.headers.items()
            if name not in ("host", "content-length", "cookie")
        }
        if "cookie" in one.headers:
            name = one.headers["cookie"].removeprefix("webauthn=")
            headers["Cookie"] = f"webauthn={self.cookies.get(name, 'unknown')}"
        response, text = self.send(
            one.method, self.same.translate(one.target), headers, self.body(one), user=""
        )
        if response.status != one.status:
            raise Mismatch(f"status {one.status} was recorded, {response.status} answered: {text}")
        ours = {name.lower(): value for name, value in response.getheaders()}
        if set(ours) != set(one.answer_headers):
            raise Mismatch(f"headers {sorted(one.answer_headers)} were recorded, {sorted(ours)} answered")
        for name in sorted(set(ours) - {"date", "content-length", "set-cookie"}):
            self.same.check(self.localized(one.answer_headers[name]), ours[name])
        self._check_body(one, text)

    def localized(self, text: str) -> str:
        """What was recorded, with digests of contents and the server's name as they are here."""
        for theirs, ours in self.literal.items():
            text = text.replace(theirs, ours)
        return text.replace("https://localhost/", f"https://{self.double.host}/")

    def _check_body(self, one: Recorded, text: str) -> None:
        expected = self.localized(one.answer)
        if one.pretty:
            text = json.dumps(json.loads(text), indent=1)
        if one.cut:
            lines = expected.splitlines()[:-1]
            expected, text = "\n".join(lines), "\n".join(text.splitlines()[: len(lines)])
        self.same.check(expected, text)
