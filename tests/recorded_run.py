"""A recorded run against the double that can be repeated from the same beginning, and what a catalog holds after it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deriva_ml
from catalog_kinds import record, write
from deriva_double import DerivaDouble
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Asset, AssetRole, Dataset, Status, Workflow
from deriva_ml.deriva import hatrac
from deriva_ml.deriva.hatrac import Upload, put_object
from deriva_ml.deriva.server import Server
from deriva_ml.execution.upload import upload
from deriva_ml.process import Owner
from deriva_ml.project import Project
from recorder import Recorder, connect

SMALLEST_CHUNK = 1 << 16
EVERY = int(os.environ.get("SWEEP_EVERY", "5"))
"""Of so many requests a sweep tries one; `make sweeps` tries each."""

KINDS = ["head", "head writer", "1.17.10", "1.17.10 writer"]
"""A generation, and the double's user if that is not the owner; of 1.17.10, that one may not lease RIDs."""
TURNS = 1 if "SWEEP_EVERY" in os.environ else len(KINDS)
"""So many kinds of catalog share the requests that a sweep tries, which are much the same for each."""
LOOK_UPS = "head look-ups"
"""The run's look-ups of its inputs, which the sweeps of the others leave out: they are the same there."""

PATH = os.pathsep.join([str(Path(__file__).parent), str(Path(deriva_ml.__file__).parent.parent)])
"""Where a process of such a run finds its modules."""

State = dict[str, list[str]]
Run = Callable[["Beginning", Recorder], None]


class Beginning:
    """A catalog with an asset and a dataset in it, to which everything returns before each run.

    Attributes:
        kind: of the catalog.
        inputs: what the run reads, if it need not look for that.
        requests: how many an undisturbed run makes.
        expected: what the catalog and the store hold after it.
    """

    def __init__(self, double: DerivaDouble, folder: Path, kind: str) -> None:
        self.double = double
        self.kind = kind
        generation, _, user = kind.partition(" ")
        self.user = user if user == "writer" else "admin"
        self.number = double.create_catalog(generation)
        self._folder = folder
        self._count = 0
        with closing(Server(double.url, self.number, double.credential())) as curator:
            self.asset, self.dataset = _plant(curator, folder)
        self._saved = sqlite3.connect(":memory:")
        double.catalog(self.number).db.backup(self._saved)
        self._objects = double.objects().keys()
        self.inputs: tuple[Asset, Dataset] | None = None
        self.requests = 0
        self.expected: State = {}

    def remember(self) -> None:
        """Let no run look for its inputs any more: that is the same for every catalog, and takes its time."""
        with self.opened(self.project()) as catalog:
            self.inputs = _look_up(self, catalog)

    def expect(self, run: Run) -> None:
        """See what a run does if nothing disturbs it."""
        project = self.project()
        with self.opened(project) as catalog:
            run(self, catalog)
        self.requests = len(self.double.log)
        assert [one.status for one in self.double.log if one.status >= 500] == []
        assert set(ended(project)) == {"Uploaded"}
        self.expected = self.state()

    def tried(self, first: int = 0, every: int = EVERY) -> range:
        """The numbers of the requests that a sweep tries, from about a first one on: others than with the next kind."""
        turns = TURNS if self.kind in KINDS else 1
        turn = KINDS.index(self.kind) % turns if turns > 1 else 0
        step = min(turns * every, self.requests)
        return range(1 + (first + turn * every) % step, self.requests + 1, step)

    def project(self) -> Project:
        """A new project, with everything else as it was in the beginning."""
        inside = self.double.catalog(self.number)
        if not self.double.running:
            self.double.start()
        self.double.faults.clear()
        with inside.lock:
            self._saved.backup(inside.db)
        _forget_objects(self.double, set(self._objects))
        self.double.log.clear()
        self._count += 1
        root = self._folder / str(self._count)
        root.mkdir()
        (root / "pyproject.toml").touch()
        (root / "local.csv").write_text("a,b\n1,2\n")
        self.log_in(project := Project(root))
        return project

    def log_in(self, project: Project, user: str = "") -> None:
        """Get a new session, as logging in again does, or somebody else."""
        credentials = {self.double.host: self.double.credential(user or self.user)}
        self._credentials(project).write_text(json.dumps(credentials))

    @staticmethod
    def _credentials(project: Project) -> Path:
        return project.root / "credentials.json"

    def process(self, project: Project, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """The whole run in a process of its own."""
        values = [
            self.double.url,
            self.number,
            self._credentials(project),
            project.root,
            self.asset,
            self.dataset,
        ]
        return subprocess.Popen(
            [sys.executable, __file__, *map(str, values)],
            env={**os.environ, "PYTHONPATH": PATH, **(env or {})},
        )

    @contextmanager
    def opened(self, project: Project) -> Iterator[Recorder]:
        """The catalog, as a process of the project opens it."""
        config = DerivaMLConfig(self.double.url, self.number, str(self._credentials(project)))
        with closing(connect(config, project)) as catalog:
            yield catalog

    def resume(self, project: Project) -> None:
        """What ``deriva-ml-upload`` does, in a process of its own."""
        with closing(EmbeddedCatalog(project)) as local:
            for pushed in upload(local, project, local.journal.pending()):
                if pushed.error:
                    raise pushed.error

    def state(self) -> State:
        """What the catalog and the store hold, without what differs from run to run."""
        dump = self.double.dump(self.number)
        for row in dump["deriva-ml:Execution"]:
            row.pop("Upload_Duration", None)  # measured anew by whoever goes on with a push
        return {
            **describe(dump),
            "objects": [f"{name} {what}" for name, what in objects(self.double).items()],
        }

    def executions(self) -> list[str]:
        """The RIDs of the executions that are there."""
        return [row["RID"] for row in self.double.rows(self.number, "Execution")]

    def difference(self) -> str:
        """In what the catalog and the store are not as after an undisturbed run; empty if they are."""
        found = self.state()
        lines = []
        for table, rows in self.expected.items():
            missing, extra = list(rows), list(found[table])
            for row in rows:
                if row in extra:
                    extra.remove(row)
                    missing.remove(row)
            lines += [f"missing {row}" for row in missing] + [f"extra {row}" for row in extra]
        return "\n".join(lines)

    def wrong(self, project: Project) -> str:
        """What is not as after an undisturbed run, there or in the project; empty if all is."""
        ends = ended(project)
        lines = [self.difference(), "" if set(ends) == {"Uploaded"} else str(ends)]
        return "\n".join(filter(None, lines))


def _plant(curator: Server, folder: Path) -> tuple[str, str]:
    """What somebody else recorded before: an asset of a run, and a dataset with a file and another one in it."""

    def insert(table: str, **row: Any) -> str:
        [made] = curator.insert(f"deriva-ml:{table}", [row], given=())
        return str(made["RID"])

    def file(table: str, name: str, content: bytes) -> str:
        source = folder / name
        source.write_bytes(content)
        md5 = digest(content)
        url = put_object(curator, Upload(source, f"/hatrac/{table}/{md5}.{name}", md5, len(content), name))
        return insert(table, URL=url, Filename=name, Length=len(content), MD5=md5)

    def dataset(description: str, *files: str, nested: str | None = None) -> str:
        rid = insert("Dataset", Description=description, Deleted=False)
        for one in files:
            insert("Dataset_File", Dataset=rid, File=one)
        if nested:
            insert("Dataset_Dataset", Dataset=rid, Nested_Dataset=nested)
        version = insert("Dataset_Version", Dataset=rid, Version="1.0.0")
        curator.update("deriva-ml:Dataset", [{"RID": rid, "Version": version}])
        snapshot = [{"RID": version, "Snapshot": curator.snaptime()}]
        curator.update("deriva-ml:Dataset_Version", snapshot)
        return rid

    weights = file("Execution_Asset", "weights.npz", b"weights")
    return weights, dataset("data", file("File", "train.npz", b"arrays"), nested=dataset("inner"))


def digest(content: bytes) -> str:
    """The MD5, by which contents are named."""
    return hashlib.md5(content).hexdigest()


@contextmanager
def begun(kind: str, folder: Path, run: Run) -> Iterator[Beginning]:
    """A double with the beginning of a run, of which it is known what it does undisturbed."""
    with DerivaDouble() as double:
        made = Beginning(double, folder, kind)
        if kind != LOOK_UPS and run is whole_run:
            made.remember()
        made.expect(run)
        if kind == LOOK_UPS:
            made.requests = min(one.number for one in double.log if "/deriva-ml:Workflow/" in one.path) - 1
        yield made


# Runs


def whole_run(beginning: Beginning, catalog: Recorder, sends_early: bool = True) -> None:
    """A run that reads from the server and from the project, and writes into two tables; new terms; followed live.

    Its outputs are sent before it has ended, as a model asks for, or with its end.
    """
    project = catalog.local.project
    asset, dataset = beginning.inputs or _look_up(beginning, catalog)
    types = ["New kind", "Training"]
    workflow = Workflow(
        "Analysis", types, url="https://example.org/a.ipynb", checksum="c0ffee", version="1.0"
    )
    execution = catalog.add_execution(workflow, "a run", Owner.of())
    catalog.link_asset(execution, asset, AssetRole.input)
    catalog.link_dataset(execution, dataset)
    local = catalog.add_file(project.root / "local.csv", "by hand", ["Input_File"])
    catalog.link_asset(execution, local, AssetRole.input)
    catalog.update_execution(execution, Status.running, "", Download_Duration="0H 0min 1.0sec")
    catalog.show(execution)
    write(catalog, execution, "Execution_Asset", "out 1.csv", b"1", ["Output_File"])
    write(
        catalog,
        execution,
        "Execution_Asset",
        "weights.npz",
        b"\x00" * 2 * SMALLEST_CHUNK + b"1",
        ["New type"],
    )
    write(catalog, execution, "Execution_Metadata", "env.json", b"{}", ["Runtime_Env"], "all versions")
    catalog.update_execution(execution, Status.stopped, "", Execution_Duration="0H 0min 2.0sec")
    catalog.show(execution)
    if sends_early:
        record(catalog, execution)
    catalog.commit(execution)
    catalog.update_execution(execution, Status.uploaded, "", Upload_Duration="0H 0min 3.0sec")
    catalog.send(execution)


def _look_up(beginning: Beginning, catalog: Recorder) -> tuple[Asset, Dataset]:
    asset = catalog.lookup_asset(beginning.asset)
    project = catalog.local.project
    catalog.fetch(asset, project.root / "in" / asset.filename)
    return asset, catalog.lookup_dataset(beginning.dataset)


def run_of_a_local_dataset(beginning: Beginning, catalog: Recorder) -> None:
    """A run that reads a dataset of the project itself, with one nested in it, and nests in a sweep."""
    local = catalog.local
    source = local.project.root / "local.csv"
    file = local.add_asset(source, "File", "local.csv", ["Input_File"], "by hand", "DEMO-FILE")
    local.add_dataset("inner", [file.rid], ["Inner type"], rid="DEMO-INNR")
    local.add_dataset("outer", [], ["Outer type"], "2.0.0", nested=["DEMO-INNR"], rid="DEMO-DATA")
    workflow = Workflow("Sweep", "New kind", url="https://example.org/b.py", checksum="decaf")
    sweep = catalog.add_execution(workflow, "a sweep", Owner.of())
    execution = catalog.add_execution(workflow, "one of a sweep", Owner.of())
    catalog.nest(sweep, execution, 0)
    catalog.link_dataset(execution, catalog.lookup_dataset("DEMO-DATA"))
    for one in (execution, sweep):
        catalog.update_execution(one, Status.uploaded, "")
        catalog.send(one)


def ended(project: Project) -> list[str]:
    """The statuses of the project's executions; waiting ones are told apart."""
    with closing(EmbeddedCatalog(project)) as local:
        waiting = {rid for rid, _ in local.journal.pending()}
        found = local.select_executions(Criteria())
        return [f"waits as {one.status}" if one.rid in waiting else one.status.value for one in found]


# What is there


def describe(dump: Mapping[str, list[dict[str, Any]]]) -> State:
    """Rows as text by table, in order; what has an RID is named by the digest of what its row says."""
    left_out = {"public:ERMrest_RID_Lease", "public:ERMrest_Client"}
    rows = {row["RID"]: (table, row) for table, found in dump.items() for row in found}

    def text(rid: str, above: tuple[str, ...] = ()) -> str:
        table, row = rows[rid]
        values = {name: shown(name, value, (*above, rid)) for name, value in row.items() if name != "RID"}
        return f"{table} {values}"

    def shown(name: str, value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, str) and value in rows:
            table, _ = rows[value]
            return table if value in above else f"{table} {digest(text(value, above).encode())[:8]}"
        if name == "URL" and str(value).startswith("/hatrac/"):
            return value.rpartition(":")[0]
        # A term's are made of its RID; the others are times.
        return value is not None if name in {"ID", "URI", "Snapshot"} else value

    return {
        table: sorted(text(row["RID"]) for row in found)
        for table, found in dump.items()
        if table not in left_out
    }


def objects(double: DerivaDouble) -> dict[str, str]:
    """The contents by name: digest, length, and how many versions there are of it."""
    versions = {}
    pending = [double.hatrac.root]
    while pending:
        node = pending.pop()
        pending += node.children.values()
        versions[node.url] = len(node.versions)
    return {name: f"{md5} {length} {versions[name]}" for name, (md5, length) in double.objects().items()}


def _forget_objects(double: DerivaDouble, kept: set[str]) -> None:
    for namespace in double.hatrac.root.children.values():
        for name, node in list(namespace.children.items()):
            if node.url not in kept:
                del namespace.children[name]


def told(wrong: Mapping[int, str]) -> str:
    """What is wrong, by the number of the request that the run met trouble in."""
    return "\n\n".join(f"request {number}: {said}" for number, said in wrong.items())


def small_chunks(monkeypatch: Any) -> None:
    """Let files of some kilobytes be sent in chunks, and let nobody wait long for another attempt."""
    monkeypatch.setattr(hatrac, "LARGEST_PUT", SMALLEST_CHUNK)
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")


def main(url: str, number: str, credentials: str, root: str, asset: str, dataset: str) -> None:
    """The whole run as a process of its own."""
    hatrac.LARGEST_PUT = SMALLEST_CHUNK
    with closing(connect(DerivaMLConfig(url, number, credentials), Project(Path(root)))) as catalog:
        whole_run(SimpleNamespace(asset=asset, dataset=dataset, inputs=None), catalog, sends_early=False)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
