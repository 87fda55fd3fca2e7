"""The kinds of catalogs that the tests of the ``Catalog`` protocol run on, and what those tests need beside it.

A live Deriva server is one of them where these environment variables say so:

- ``DERIVA_TEST_HOST``: its name;
- ``DERIVA_TEST_CATALOG``: a catalog on it; otherwise one is created, and deleted in the end;
- ``DERIVA_TEST_CREDENTIALS``: a credential file; otherwise what logging in has stored.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_double import DerivaDouble
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.tables import TERMS
from deriva_ml.definitions import RID, Asset, Status, Workflow
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.hatrac import Upload, put_object
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server, any_of, quote
from deriva_ml.process import Owner
from deriva_ml.project import Project
from recorder import Recorder, connect

Document = dict[str, Any]
Row = dict[str, Any]

HOST = os.environ.get("DERIVA_TEST_HOST")
SERVERS = ["head", "head writer", "1.17.10", "1.17.10 writer", *(["live"] if HOST else [])]
KINDS = ["embedded", *SERVERS]
DATA = Path(__file__).parent / "data" / "deriva"
NOWHERE = "9-ZZZZ-ZZZZ"
"""An RID that no catalog has given yet."""


def live_credential() -> str | None:
    """What the live server is to be told of who asks; None for what logging in has stored."""
    return os.environ.get("DERIVA_TEST_CREDENTIALS") or None


@dataclass
class Place:
    """A catalog of some kind, with a project that records into it, and a curator who gives it content.

    Attributes:
        generation: ``embedded``, ``head`` or ``1.17.10``.
        user: of the double, as whom the project records.
        curator: the owner's way to the server; None for the embedded catalog.
        tag: in every name and content that the tests give, so that nothing else in a catalog of a live server is like it.
        made: the RIDs of rows that the curator inserted.
        sent: the URLs of contents that the curator put.
    """

    project: Project
    generation: str
    config: DerivaMLConfig
    curator: Server | None = None
    double: DerivaDouble | None = None
    user: str = ""
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    made: list[RID] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def open(self) -> Recorder:
        """The catalog as a new process opens it."""
        return connect(self.config, self.project)

    def rows(self, table: str, **equal: str) -> list[Row]:
        """The rows themselves, where all these columns have these values."""
        if self.curator is None:
            return embedded_rows(self.project, table, **equal)
        conditions = "".join(f"/{quote(name)}={quote(value)}" for name, value in equal.items())
        rows: list[Row] = self.curator.get(f"/entity/{self.model.qualified(table)}{conditions}")
        return rows

    @property
    def model(self) -> Model:
        """The server's tables."""
        assert self.curator is not None
        return Model(self.curator.schema())

    def pending(self) -> list[Any]:
        """What the project has not brought to the catalog yet."""
        with closing(EmbeddedCatalog(self.project)) as local:
            return local.journal.pending()

    # What is in the catalog before a run

    def _insert(self, table: str, *rows: Row) -> list[RID]:
        assert self.curator is not None
        rids = [row["RID"] for row in self.curator.insert(self.model.qualified(table), rows, given=())]
        self.made += rids
        return rids

    def add_file(self, filename: str, content: bytes, types: Sequence[str] = ()) -> RID:
        """A row of ``File`` with its content."""
        source = self.project.root / filename
        source.write_bytes(content)
        if self.curator is None:
            with closing(EmbeddedCatalog(self.project)) as local:
                return local.add_file(source, f"about {filename}", types).rid
        md5 = hashlib.md5(content).hexdigest()
        name = f"/hatrac/File/{md5}.{filename}"
        url = put_object(self.curator, Upload(source, name, md5, len(content), filename))
        self.sent.append(url)
        row = {"URL": url, "Filename": filename, "Length": len(content), "MD5": md5}
        [rid] = self._insert("File", {**row, "Description": f"about {filename}"})
        self._insert("File_Asset_Type", *({"File": rid, "Asset_Type": term} for term in types))
        return rid

    def add_dataset(
        self, description: str, files: Sequence[RID], types: Sequence[str] = (), nested: Sequence[RID] = ()
    ) -> RID:
        """A dataset of files at version 1.0.0; types become terms."""
        if self.curator is None:
            with closing(EmbeddedCatalog(self.project)) as local:
                return local.add_dataset(description, files, types, "1.0.0", nested=nested)
        [rid] = self._insert("Dataset", {"Description": description, "Deleted": False})
        self._insert("Dataset_File", *({"Dataset": rid, "File": file} for file in files))
        terms = [{"Name": term, "Description": term} for term in types]
        self.curator.insert("deriva-ml:Dataset_Type", terms, given=(), generated=("ID", "URI"))
        self._insert("Dataset_Dataset_Type", *({"Dataset": rid, "Dataset_Type": term} for term in types))
        self._insert("Dataset_Dataset", *({"Dataset": rid, "Nested_Dataset": child} for child in nested))
        [version] = self._insert("Dataset_Version", {"Dataset": rid, "Version": "1.0.0"})
        self.curator.update(self.model.qualified("Dataset"), [{"RID": rid, "Version": version}])
        snapshot = [{"RID": version, "Snapshot": self.curator.snaptime()}]
        self.curator.update(self.model.qualified("Dataset_Version"), snapshot)
        return rid

    # The end

    def clear(self) -> None:
        """Remove from the server what the project and the curator brought there, as far as it lets itself be removed."""
        assert self.curator is not None
        with closing(sqlite3.connect(self.project.database)) as database:
            noted = database.execute('SELECT "remote", "url" FROM "local_remote"').fetchall()
        rids = {*self.made, *(rid for rid, _ in noted if rid)}
        urls = {*self.sent, *(url for _, url in noted if url)}
        remove(self.curator, self.model, rids, urls, self.tag)


def embedded_rows(project: Project, table: str, **equal: str) -> list[Row]:
    """The rows of a project's own catalog, where all these columns have these values."""
    with closing(sqlite3.connect(project.database)) as database:
        database.row_factory = sqlite3.Row
        condition = " AND ".join(f'"{name}" = ?' for name in equal) or "1"
        found = database.execute(f'SELECT * FROM "{table}" WHERE {condition}', (*equal.values(),))
        return [dict(row) for row in found]


def embedded(root: Path) -> Place:
    """A project of its own, with its own catalog."""
    return Place(_project(root), "embedded", DerivaMLConfig())


def on_double(root: Path, double: DerivaDouble, generation: str, user: str = "admin") -> Place:
    """A project that records into a new catalog of the double."""
    catalog = double.create_catalog(generation)
    curator = Server(double.url, catalog, double.credential("admin"))
    config = DerivaMLConfig(double.url, catalog, double.credential(user))
    return Place(_project(root), generation, config, curator, double, user)


def on_server(root: Path, host: str, catalog: str, credential: Any) -> Place:
    """A project that records into a catalog that is there."""
    curator = Server(host, catalog, credential)
    generation = "head" if Model(curator.schema()).statuses_are_terms else "1.17.10"
    return Place(_project(root), generation, DerivaMLConfig(host, catalog, credential), curator)


def _project(root: Path) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").touch()
    return Project(root)


# A catalog on any server


def create_catalog(host: str, credential: Any) -> str:
    """Create a catalog of the current generation, as deriva-ml makes it; its number."""
    with closing(Server(host, "0", credential)) as server:
        number = str(server.request("post", "/ermrest/catalog", json={}).json()["id"])
    with closing(Server(host, number, credential)) as server:
        document = json.loads(gzip.decompress((DATA / "schema-head.json.gz").read_bytes()))
        schema = document["schemas"]["deriva-ml"]
        server.request("post", f"/ermrest/catalog/{number}/schema", json=[plain_schema(schema)])
        for vocabulary, names in TERMS.items():
            rows = [{"Name": name, "Description": name} for name in names]
            server.insert(f"deriva-ml:{vocabulary}", rows, given=(), generated=("ID", "URI"))
    return number


def delete_catalog(host: str, number: str, credential: Any) -> None:
    """Delete a catalog with all that is in it."""
    with closing(Server(host, number, credential)) as server:
        server.request("delete", f"/ermrest/catalog/{number}")


def plain_schema(schema: Mapping[str, Any]) -> Document:
    """What POST /schema takes of what GET /schema gave: without identifiers, rights, display, and the server's defaults."""
    tables = {name: _plain_table(table) for name, table in schema["tables"].items()}
    return {"schema_name": schema["schema_name"], "comment": schema["comment"], "tables": tables}


def _plain_table(table: Mapping[str, Any]) -> Document:
    columns = [
        _only(one, "name", "type", "nullok", "default", "comment") for one in table["column_definitions"]
    ]
    for column in columns:
        if column["name"] in {"RID", "RCT", "RMT", "RCB", "RMB"}:
            del column["default"]  # an expression that is the server's own
    keys = [_only(one, "unique_columns", "names", "comment") for one in table["keys"]]
    kept = ("foreign_key_columns", "referenced_columns", "names", "comment", "on_delete", "on_update")
    references = [_only(one, *kept) for one in table["foreign_keys"]]
    return {
        **_only(table, "schema_name", "table_name", "kind", "comment"),
        "column_definitions": columns,
        "keys": keys,
        "foreign_keys": references,
    }


def _only(part: Mapping[str, Any], *names: str) -> Document:
    return {name: part[name] for name in names if name in part}


def remove(server: Server, model: Model, rids: Iterable[RID], urls: Iterable[str], tag: str) -> None:
    """Delete rows with these RIDs, what joins them to others, terms whose names have the tag, and objects."""
    rids = sorted(rids)
    whole = ("Dataset_Version", "Dataset", *model.file_tables, "Execution", "Workflow")
    versions = [row["RID"] for row in server.find_any("Dataset", "RID", rids)]
    server.update("deriva-ml:Dataset", [{"RID": rid, "Version": None} for rid in versions])
    for table in server.schema()["schemas"]["deriva-ml"]["tables"]:
        if table not in whole:
            for reference in model.references(table):
                if reference.key == ("RID",) and len(reference.columns) == 1:
                    _delete(server, model, table, reference.columns[0], rids)
    for table in whole:
        _delete(server, model, table, "RID", rids)
    for vocabulary in TERMS:
        if model.has(vocabulary):
            names = [row["Name"] for row in server.get(f"/entity/{model.qualified(vocabulary)}")]
            _delete(server, model, vocabulary, "Name", [name for name in names if tag in name])
    if model.may("ERMrest_RID_Lease", "insert") is not False:
        with suppress(ServerRefused):
            _delete(server, model, "public:ERMrest_RID_Lease", "RID", rids)
    for url in urls:
        with suppress(ServerRefused):  # an earlier version's deletion took the object with it
            server.request("delete", url.rpartition(":")[0] or url)


def _delete(server: Server, model: Model, table: str, column: str, values: Sequence[str]) -> None:
    for condition in any_of(column, values):
        delete(server, f"/entity/{model.qualified(table)}/{condition}")


def delete(server: Server, path: str) -> None:
    """Delete what a path below the catalog matches, if anything."""
    try:
        server.request("delete", f"/ermrest/catalog/{server.catalog_id}{path}")
    except ServerRefused as refused:
        if refused.status != 404:
            raise


# What the tests do in each


def a_workflow(place: Place, number: int = 1, **changed: Any) -> Workflow:
    """A workflow that no other place has."""
    url = f"https://example.org/{place.tag}/blob/c0ffee/notebooks/{number}.ipynb"
    values = {"name": "Analysis", "description": "It *analyses*.", "version": "1.2.0"}
    checksum = hashlib.sha1(f"{place.tag} {number}".encode()).hexdigest()
    return Workflow(
        **{"workflow_type": [f"Analysis {place.tag}"], "url": url, "checksum": checksum, **values, **changed}
    )


def begin(place: Place, catalog: Recorder, description: str = "a run", number: int = 1) -> RID:
    """A new execution of a workflow."""
    return catalog.add_execution(a_workflow(place, number), description, Owner.of())


def write(
    catalog: Recorder,
    execution: RID,
    table: str,
    filename: str,
    content: bytes | None,
    types: Sequence[str] = ("Output_File",),
    description: str = "",
) -> Path:
    """Register an output and, if it has a content, write it; where it is to be."""
    folder = catalog.folder_of(execution) / "assets"
    staged = catalog.stage(execution, table, filename, folder, types, description)
    if content is not None:
        staged.path.write_bytes(content)
    return staged.path


def record(catalog: Recorder, execution: RID) -> list[Asset]:
    """Commit what an execution has written and send it; the assets by their RIDs in the catalog."""
    recorded, _ = catalog.commit(execution)
    return catalog.send(execution, recorded)


def uploaded(catalog: Recorder, execution: RID, **durations: str) -> None:
    """End an execution well."""
    catalog.update_execution(execution, Status.uploaded, "", **durations)
    catalog.send(execution)


def status_there(place: Place, execution: RID) -> tuple[str, str]:
    """An execution's status and reason as the catalog itself has them."""
    [row] = place.rows("Execution", RID=execution)
    return row["Status"], row["Status_Detail"]
