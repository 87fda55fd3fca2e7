"""The recorded sessions of a real server once more, against a double."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json

from .seed import DATA
from .server import DerivaDouble
from .transcript import Correspondence, Mismatch, Recorded, load

EXCHANGES = load(DATA / "exchanges.json.gz")
ROLES = load(DATA / "exchanges-roles.json.gz")
CONTENT = bytes(range(256)) * 1024


def _b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


class Replay:
    """An owner's recorded session, against a double brought into the state that the real server was in."""

    def __init__(self, double: DerivaDouble) -> None:
        self.double = double
        self.same = Correspondence()
        double.sessions.add_user("reader", "readers")
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
            wanted = int(one.body[1:].split(" ")[0])
            return self.chunks[one.target[-1]][:wanted] if one.target[-1] in self.chunks else bytes(wanted)
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
            text = _pretty(text) if one.cut else _ordered(text)
            expected = expected if one.cut else _ordered(expected)
        if one.cut:
            lines = expected.splitlines()[:-1]
            expected, text = "\n".join(lines), "\n".join(text.splitlines()[: len(lines)])
        self.same.check(expected, text)


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=1)


def _ordered(text: str) -> str:
    """JSON in one order, where the server writes in that of its sets; how long a session lasts is left out."""
    value = json.loads(text)
    if isinstance(value, dict) and "attributes" in value:
        value["attributes"].sort(key=json.dumps)
        value["seconds_remaining"] = 0
    return json.dumps(value, indent=1, sort_keys=True)


class RolesReplay(Replay):
    """The recorded session of users with different rights."""

    def __init__(self, double: DerivaDouble) -> None:
        self.double = double
        self.same = Correspondence()
        self.chunks: dict[str, bytes] = {}
        users = ("admin", "writer", "other", "reader", "nobody")
        self.cookies = {}
        for name in users:
            recorded = "OWNER-COOKIE" if name == "admin" else f"{name.upper()}-COOKIE"
            self.cookies[recorded] = self.cookies[f"<session of {name}>"] = double.sessions.login(name)
        self.literal = {"labhead:": "ml-lab:", "lab117:": "ml-lab:"}
        for number, generation in ((2, "1.17.10"), (3, "head")):
            double.ermrest.next_id = number
            double.create_catalog(generation)
        term = '[{"Name": "Training", "Description": "x"}]'
        terms = "/ermrest/catalog/2/entity/deriva-ml:Workflow_Type?defaults=ID,URI"
        self.send("POST", terms, {"Content-Type": "application/json"}, term)
        self.send("PUT", "/hatrac/Execution_Asset", {"Content-Type": "application/x-hatrac-namespace"})
        for title in ("Catalog description, writer", "Read executions, writer", "Resolve a RID, writer"):
            for one in ROLES:
                if one.title == title:
                    self._plant(one)

    def _plant(self, one: Recorded) -> None:
        """What the recorded answer shows of the catalog as it was found."""
        base, as_json = "/".join(one.target.split("/")[:4]), {"Content-Type": "application/json"}
        if one.target == base and one.cut:
            described = json.loads(one.answer + '"}]}}}')  # cut off within an annotation's text
            rest = json.loads(self.send("GET", f"{base}/schema", {})[1])["annotations"]
            annotations = json.dumps({**described["annotations"], **rest})
            self.send("PUT", f"{base}/annotation", as_json, annotations)
        elif "/entity/" in one.target:
            row = json.loads(one.answer)[0]
            workflows = f"{base}/entity/deriva-ml:Workflow"
            workflow = '[{"Name": "a", "URL": "a", "Checksum": "a", "Workflow_Type": "Training"}]'
            made = json.loads(self.send("POST", workflows, as_json, workflow, "writer")[1])[0]
            executions = f"{base}/entity/deriva-ml:Execution"
            inserted = json.dumps([{**row, "Workflow": made["RID"], "Status": None}])
            self.send("POST", executions, as_json, inserted, "writer")
            made = json.loads(self.send("POST", executions, as_json, inserted, "writer")[1])[0]
            group = f"{base}/attributegroup/deriva-ml:Execution/RID;Status"
            changed = json.dumps([{"RID": made["RID"], "Status": row["Status"]}])
            self.send("PUT", group, as_json, changed, "writer")
            if row["RMT"].replace("T", " ") not in one.answer_headers["etag"]:  # something changed after it
                self.send("POST", workflows, as_json, workflow.replace('"a"', '"b"'), "writer")
        elif "/entity_rid/" in one.target:
            found = self.send("GET", f"{base}/entity/deriva-ml:Execution?limit=1", {})[1]
            self.same.pair("rid", one.target.rpartition("/")[2], json.loads(found)[0]["RID"])

    def prepare(self, one: Recorded) -> None:
        """Lease as the writer what is leased without being shown, and insert what is there already."""
        if not one.title.startswith(("Insert under a RID that somebody", "Insert of two rows")):
            return
        base, as_json = "/".join(one.target.split("/")[:5]), {"Content-Type": "application/json"}
        recorded = [row["RID"] for row in json.loads(one.body)]
        leases = json.dumps([{"ID": f"{one.title} {identifier}"} for identifier in recorded])
        _, leased = self.send(
            "POST", f"{base}/public:ERMrest_RID_Lease?defaults=RID", as_json, leases, "writer"
        )
        for identifier, row in zip(recorded, json.loads(leased), strict=True):
            self.same.pair("rid", identifier, row["RID"])
        if len(recorded) > 1:
            first = json.dumps(json.loads(self.translated(one.body))[:1])
            self.send("POST", one.target, as_json, first, "writer")
