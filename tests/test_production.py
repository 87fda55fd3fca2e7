"""Runs with `deriva_ml=production`, through a project's own commands: what comes to stand on the Deriva server, and when not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place
from conftest import Outcome, ProjectFolder
from deriva_double import DerivaDouble, Fault
from notebooks import COMMIT, START, write_notebook

NOTEBOOK = "deriva-ml-run-notebook"
SMALL = "notebooks/small.ipynb"
SMALL_MAKES = ("kept.txt", "small.ipynb", "small.md")
MODEL = "deriva-ml-run"
UPLOAD = "deriva-ml-upload"
DEMO = ("assets=my_assets", "datasets=training_data")
"""Inputs that no server has at first."""

KEPT = "execution.asset_file_path('Execution_Asset', 'kept.txt', 'Output_File').write_text({!r})"
EXPIRED = {"cookie": "webauthn=of-last-year"}
TINY = '''"""A model that takes no time."""


def tiny(seed: int = 1, ml_instance=None, execution=None) -> None:
    """Write one file."""
    path = execution.asset_file_path("Execution_Asset", "tiny.txt", "Model_File")
    path.write_text(f"{execution.execution_rid} {seed}")
'''
SETTINGS = '''"""What the tests of this project record into, read and run."""

import os

from hydra_zen import builds, store

from deriva_ml import DerivaMLConfig
from deriva_ml.dataset import DatasetSpecConfig
from models.tiny import tiny

store(builds(tiny, populate_full_signature=True, zen_partial=True), group="model_config", name="tiny")
store(["9-ZZZZ-ZZZZ"], group="assets", name="missing")
store([{asset!r}], group="assets", name="there")
store([{other!r}], group="assets", name="other")
store([DatasetSpecConfig(rid={dataset!r}, version="1.0.0")], group="datasets", name="there")
for name, values in {entries!r}.items():
    store(builds(DerivaMLConfig, populate_full_signature=True)(**values), group="deriva_ml", name=name)
secret = {{"cookie": os.environ.get("TEST_COOKIE", "")}}
store(builds(DerivaMLConfig, hostname={host!r}, catalog_id={head!r}, credential=secret), group="deriva_ml", name="spelled_out")
'''


@dataclass(frozen=True)
class Site:
    """A project, and the server that its configurations name.

    Attributes:
        places: the server's catalogs, by the names of the configurations.
        asset: an asset that the catalog ``production`` had before.
        dataset: likewise, of one file, at version 1.0.0.
    """

    project: ProjectFolder
    double: DerivaDouble
    places: dict[str, Place]
    asset: str
    dataset: str

    def run(self, *command: str, **options: Any) -> Outcome:
        """Run one of the project's commands, and see that it shows no traceback."""
        done = self.project.run(*command, **options)
        assert "Traceback" not in done.text, done.text
        return done

    def rows(self, table: str, catalog: str = "production", **equal: str) -> list[dict[str, Any]]:
        """Rows on the server."""
        rows = self.double.rows(self.places[catalog].config.catalog_id, table)  # type: ignore[arg-type]
        return [row for row in rows if all(row[name] == value for name, value in equal.items())]

    def one(self, table: str, catalog: str = "production", **equal: str) -> dict[str, Any]:
        """The only such row."""
        [row] = self.rows(table, catalog, **equal)
        return row

    def linked(
        self, execution: str, table: str = "Execution_Asset", catalog: str = "production"
    ) -> dict[str, tuple[str, dict[str, Any]]]:
        """Role and row of an execution's files in one table, by name."""
        links = self.rows(f"{table}_Execution", catalog, Execution=execution)
        found = [(link["Asset_Role"], self.one(table, catalog, RID=link[table])) for link in links]
        assert len({row["Filename"] for _, row in found}) == len(found), found
        return {row["Filename"]: (role, row) for role, row in found}

    def everything(self) -> str:
        """All that the server holds, for comparing."""
        dumps = [self.double.dump(str(place.config.catalog_id)) for place in self.places.values()]
        return json.dumps([dumps, sorted(self.double.objects().items())], default=str)

    def here(self) -> list[dict[str, Any]]:
        """The executions in the project's own catalog, newest first."""
        return list(json.loads(self.run("deriva-ml-catalog", "list", "--json", "-n", "0", check=True).out))

    def notebook(self, name: str, *cells: str) -> str:
        """Write and commit a notebook; its path as one would type it."""
        write_notebook(self.project / "notebooks" / name, cells)
        self.commit()
        return f"notebooks/{name}"

    def commit(self) -> None:
        self.project.git("add", "-A")
        self.project.git("commit", "-m", "Change")


@pytest.fixture(scope="module")
def site(
    copy_to: Callable[[Path], ProjectFolder],
    clean_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A project whose `production` is a catalog of the current generation; its owner is logged in."""
    folder = tmp_path_factory.mktemp("production")
    with DerivaDouble() as double, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
        production = kinds.on_double(folder / "production", double, "head")
        older = kinds.on_double(folder / "older", double, "1.17.10")
        public = str(double.create_catalog("head", public=True))
        double.ermrest.aliases["digits"] = str(production.config.catalog_id)
        asset = production.add_file("there.txt", b"it was there", ["Input_File"])
        other = production.add_file("other.txt", b"it was there as well", ["Input_File"])
        dataset = production.add_dataset("Files", [asset], ["Complete"])

        home = folder / "home"
        login(home, double.host, double.credential("admin"))
        for user in ("writer", "reader"):
            (home / f"{user}.json").write_text(json.dumps({double.host: double.credential(user)}))
        entries: dict[str, dict[str, Any]] = {
            "older": {"catalog_id": older.config.catalog_id},
            "curator": {"catalog_id": older.config.catalog_id, "credential": str(home / "writer.json")},
            "reader": {"catalog_id": public, "credential": str(home / "reader.json")},
            "stranger": {"credential": str(home / "expired.json")},
            "nobody": {"credential": str(home / "elsewhere.json")},
            "nowhere": {"catalog_id": "4711"},
            "alias": {"catalog_id": "digits"},
        }
        for name, host in {"expired": double.host, "elsewhere": "www.example.org"}.items():
            (home / f"{name}.json").write_text(json.dumps({host: EXPIRED}))
        connection: dict[str, Any] = {"hostname": double.url, "catalog_id": production.config.catalog_id}

        cache = f"{clean_env['HOME']}/.cache/matplotlib"
        variables = {"HOME": str(home), "MPLCONFIGDIR": cache, "DERIVA_ML_RETRY_PAUSE": "0.01"}
        copied = copy_to(folder / "my-project")
        project = ProjectFolder(copied.path, {**copied.env, **variables})
        name_production(project / "src/configs/deriva.py", double.url, connection["catalog_id"])
        (project / "src/models/tiny.py").write_text(TINY)
        (project / "src/configs/tiny.py").write_text(
            SETTINGS.format(
                asset=asset,
                other=other,
                dataset=dataset,
                host=double.url,
                head=connection["catalog_id"],
                entries={name: {**connection, **values} for name, values in entries.items()},
            )
        )
        made = Site(project, double, {"production": production, "older": older}, asset, dataset)
        made.notebook("small.ipynb", START, KEPT.format("kept"), COMMIT)
        yield made


def login(home: Path, host: str, credential: dict[str, str]) -> None:
    """What logging in leaves in a person's home."""
    (home / ".deriva").mkdir(parents=True, exist_ok=True)
    (home / ".deriva" / "credential.json").write_text(json.dumps({host: credential}))


def name_production(settings: Path, hostname: str, catalog: str) -> None:
    """Put a server and a catalog where a person would."""
    text = re.sub(r'hostname="[^"]*"', f'hostname="{hostname}"', settings.read_text())
    settings.write_text(re.sub(r'catalog_id="[^"]*"', f'catalog_id="{catalog}"', text))
    assert hostname in settings.read_text()


@pytest.fixture(autouse=True)
def up(site: Site) -> Iterator[None]:
    """Whatever a test does to the server, the next one finds it up."""
    yield
    site.double.faults.clear()
    if not site.double.running:
        site.double.start()


def recorded(done: Outcome) -> tuple[str, str]:
    """RID and status of the last execution that a command told of."""
    rid, status = re.findall(r"^Execution (\S+): (\w+)", done.out, re.MULTILINE)[-1]
    return rid, status


def assert_refused(site: Site, done: Outcome, *words: str) -> None:
    """A wrong request: exit status 2, and one line that says what to do."""
    assert done.rc == 2, done.text
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


# A run that goes well


def test_a_notebook_is_recorded_on_the_server_with_all_that_belongs_to_it(site: Site) -> None:
    done = site.run(NOTEBOOK, "notebooks/my_analysis.ipynb", "deriva_ml=production")
    assert done.rc == 0, done.text
    rid, status = recorded(done)
    assert f"{site.double.url}/id/{site.places['production'].config.catalog_id}/{rid}\n" in done.out
    execution = site.one("Execution", RID=rid)
    assert (status, execution["Status"], execution["Status_Detail"]) == ("Uploaded", "Uploaded", "")
    for kind in ("Download", "Execution", "Upload"):
        assert execution[f"{kind}_Duration"].endswith("sec")

    workflow = site.one("Workflow", RID=execution["Workflow"])
    assert workflow["Checksum"] == site.project.git("rev-parse", "HEAD:notebooks/my_analysis.ipynb")
    assert site.project.git("rev-parse", "HEAD") in workflow["URL"]
    assert workflow["Name"] == "My Analysis" and workflow["Version"].startswith("0.1.0")
    assert [
        row["Workflow_Type"] for row in site.rows("Workflow_Workflow_Type", Workflow=workflow["RID"])
    ] == ["Analysis Notebook"]

    files, metadata = site.linked(rid), site.linked(rid, "Execution_Metadata")
    assert {name for name, (role, _) in files.items() if role == "Input"} == {
        "logistic.npz",
        "mlp_small.npz",
    }
    made = {name for name, (role, _) in files.items() if role == "Output"}
    assert {"my_analysis.ipynb", "my_analysis.md", "comparison.csv"} <= made
    assert {"configuration.json", "environment.json", "hydra-config.yaml", "uv.lock"} <= set(metadata)
    dataset = site.one("Dataset_Execution", Execution=rid)
    assert site.one("Dataset_Version", RID=dataset["Dataset_Version"])["Version"] == "1.0.0"

    assert_contents(site, files | metadata)
    for name in ("my_analysis.ipynb", "my_analysis.md"):
        kept = (site.project / "outputs" / rid / name).read_bytes()
        assert files[name][1]["MD5"] == hashlib.md5(kept).hexdigest()
    assert metadata["uv.lock"][1]["Length"] == (site.project / "uv.lock").stat().st_size


def assert_contents(site: Site, files: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Each row's URL leads to what the project has under that digest."""
    objects = site.double.objects()
    for name, (_, row) in files.items():
        md5, length = objects[row["URL"].rpartition(":")[0]]
        held = site.project / ".deriva-ml" / "objects" / md5[:2] / md5
        assert (md5, length) == (row["MD5"], row["Length"]) == (row["MD5"], held.stat().st_size), name
        assert hashlib.md5(held.read_bytes()).hexdigest() == md5, name


@pytest.mark.parametrize(
    ("entry", "inputs"), [("older", DEMO), ("curator", DEMO[:1])], ids=["its owner", "a curator"]
)
def test_an_older_catalog_takes_it_too(site: Site, entry: str, inputs: tuple[str, ...]) -> None:
    """Of curators, whom it lets lease no RIDs, it takes all but datasets."""
    done = site.run(NOTEBOOK, SMALL, f"deriva_ml={entry}", *inputs)
    assert done.rc == 0, done.text
    rid, _ = recorded(done)
    execution = site.one("Execution", "older", RID=rid)
    assert (execution["Status"], execution["Status_Detail"]) == ("Completed", "")
    assert execution["Duration"].endswith("sec")
    workflow = site.one("Workflow", "older", RID=execution["Workflow"])
    assert workflow["Checksum"] == site.project.git("rev-parse", f"HEAD:{SMALL}")
    assert workflow["Workflow_Type"] == "Analysis Notebook"
    files = site.linked(rid, catalog="older")
    roles = {name: role for name, (role, _) in files.items()}
    assert roles == {"logistic.npz": "Input", **dict.fromkeys(SMALL_MAKES, "Output")}
    assert_contents(site, files | site.linked(rid, "Execution_Metadata", "older"))
    datasets = [row["Dataset"] for row in site.rows("Dataset_Execution", "older", Execution=rid)]
    members = [row for one in datasets for row in site.rows("Dataset_File", "older", Dataset=one)]
    assert (len(datasets), len(members)) == ((1, 2) if inputs == DEMO else (0, 0))


def test_others_can_follow_a_run_on_the_server_while_it_goes_on(site: Site, tmp_path: Path) -> None:
    path = site.notebook("live.ipynb", START, pausing(tmp_path))
    site.double.faults.on(Fault.SLOW, "POST", "/entity/deriva-ml:Execution?", delay=0.5)
    before = {row["RID"] for row in site.rows("Execution")}
    seen: list[tuple[str, str | None]] = []

    def look() -> None:
        while not over.is_set():
            for row in site.rows("Execution"):
                found = row["Status"], row["Execution_Duration"]
                if row["RID"] not in before and [found] != seen[-1:]:
                    seen.append(found)
            over.wait(0.01)

    over = threading.Event()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        done = stopped_midway(site, path, tmp_path, wait_until(lambda: ("Running", None) in seen))
    finally:
        over.set()
        watcher.join()
    assert done.rc == 0, done.text
    states = list(dict.fromkeys(status for status, _ in seen))
    assert states[:2] == ["Created", "Running"] and states[-1] == "Uploaded"


def pausing(folder: Path) -> str:
    """A cell that says that it has begun, and waits until it may go on."""
    return (
        "import pathlib, time\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "(folder / 'begun').touch()\n"
        "while not (folder / 'go-on').exists():\n    time.sleep(0.02)"
    )


def wait_until(condition: Callable[[], object], seconds: float = 60) -> Callable[[], None]:
    """Something to call that returns as soon as the condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)

    return wait


def stopped_midway(site: Site, path: str, folder: Path, meanwhile: Callable[[], object]) -> Outcome:
    """Run a notebook with a cell that is ``pausing``, and do something while it waits there."""
    process = site.project.popen(NOTEBOOK, path, "deriva_ml=production")
    try:
        wait_until(lambda: (folder / "begun").exists() or process.poll() is not None)()
        meanwhile()
    finally:
        (folder / "go-on").touch()
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return Outcome(process.returncode, out, err)


def test_a_model_is_recorded_on_the_server(site: Site) -> None:
    done = site.run(MODEL, "deriva_ml=production", "model_config=tiny", *DEMO)
    assert done.rc == 0, done.text
    rid, status = recorded(done)
    execution = site.one("Execution", RID=rid)
    assert (status, execution["Status"]) == ("Uploaded", "Uploaded")
    workflow = site.one("Workflow", RID=execution["Workflow"])
    assert workflow["Checksum"] == site.project.git("rev-parse", "HEAD:src/models/tiny.py")
    files = site.linked(rid)
    assert {name: role for name, (role, _) in files.items()} == {
        "logistic.npz": "Input",
        "tiny.txt": "Output",
    }
    assert_contents(site, files | site.linked(rid, "Execution_Metadata"))


def test_a_sweep_is_nested_in_its_order(site: Site) -> None:
    arguments = (
        "deriva_ml=production",
        "model_config=tiny",
        "model_config.seed=7,8",
        "datasets=default_dataset",
    )
    done = site.run(MODEL, "--multirun", *arguments)
    assert done.rc == 0, done.text
    first, second, sweep = re.findall(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)
    nested = site.rows("Execution_Execution", Execution=sweep)
    assert {row["Sequence"]: row["Nested_Execution"] for row in nested} == {0: first, 1: second}
    assert {site.one("Execution", RID=rid)["Status"] for rid in (first, second, sweep)} == {"Uploaded"}
    assert len({site.linked(rid)["tiny.txt"][1]["MD5"] for rid in (first, second)}) == 2


def test_server_and_catalog_can_be_named_on_the_command_line(site: Site) -> None:
    """By a number or an alias; the record's address has the number."""
    number = site.places["production"].config.catalog_id
    for catalog in (str(number), "digits"):
        where = ("--host", site.double.url, "--catalog", catalog)
        done = site.run(MODEL, "model_config=tiny", "datasets=default_dataset", *where)
        assert done.rc == 0, done.text
        rid, _ = recorded(done)
        assert f"{site.double.url}/id/{number}/{rid}\n" in done.out
        assert site.one("Execution", RID=rid)["Status"] == "Uploaded"


def test_a_dry_run_reads_the_server_and_writes_nothing(site: Site) -> None:
    before, here = site.everything(), site.here()
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", "assets=there", "dry_run=true")
    assert done.rc == 0, done.text
    assert "nothing was recorded" in done.out
    assert (site.everything(), site.here()) == (before, here)


# A run that may not begin


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deriva_ml=production", "assets=missing"), ("9-ZZZZ-ZZZZ",)),
        (("deriva_ml=nowhere",), ("there is no catalog 4711 on localhost",)),
        (("deriva_ml=stranger",), ("not logged in to", "uv run deriva-globus-auth-utils login --host")),
        (("deriva_ml=nobody",), ("none for localhost",)),
        (("deriva_ml=reader",), ("does not allow you to", "insert")),
    ],
    ids=[
        "an input that is not there",
        "no such catalog",
        "an old login",
        "a login elsewhere",
        "no right to write",
    ],
)
@pytest.mark.parametrize(
    "command", [(NOTEBOOK, SMALL), (MODEL, "model_config=tiny")], ids=["notebook", "model"]
)
def test_what_the_server_will_not_take_is_refused_before_anything_runs(
    site: Site, command: tuple[str, ...], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before, here = site.everything(), site.here()
    datasets = ("datasets=default_dataset",) if command[0] == MODEL else ()
    done = site.run(*command, *arguments, *datasets)
    assert_refused(site, done, *words)
    assert site.everything() == before
    assert site.here() == here
    assert not any((site.project / ".deriva-ml" / "executions").glob("*"))


# Without the server


@pytest.mark.parametrize(
    "command", [(NOTEBOOK, SMALL), (MODEL, "model_config=tiny")], ids=["notebook", "model"]
)
def test_a_server_that_is_down_is_named_with_what_runs_without_it(
    site: Site, command: tuple[str, ...]
) -> None:
    here = site.here()
    site.double.stop()
    done = site.run(*command, "deriva_ml=production")
    assert_refused(site, done, site.double.host, "cannot be reached", "--offline")
    assert site.here() == here


def test_a_run_offline_waits_and_is_pushed_later(site: Site) -> None:
    count = len(site.rows("Execution"))
    site.double.stop()
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", "--offline", *DEMO)
    local, status = recorded(done)
    assert (done.rc, status) == (0, "Pending_Upload"), done.text
    assert f"uv run deriva-ml-upload {local}" in done.out
    waiting = site.run(UPLOAD, "--list")
    assert waiting.rc == 0 and local in waiting.out
    failed = site.run(UPLOAD)
    assert failed.rc == 1
    assert "cannot be reached" in failed.err and "uv run deriva-ml-upload" in failed.err

    site.double.start()
    done = site.run(UPLOAD)
    assert done.rc == 0, done.text
    assert len(site.rows("Execution")) == count + 1
    execution = pushed(site, local)
    assert execution["Status"] == "Uploaded" and execution["Execution_Duration"].endswith("sec")
    files = site.linked(execution["RID"])
    assert {"logistic.npz", *SMALL_MAKES} == set(files)
    assert_contents(site, files | site.linked(execution["RID"], "Execution_Metadata"))
    assert site.run("deriva-ml-catalog", "list", "-n", "1", "--status", "Pending_Upload").out.startswith(
        "no "
    )
    assert site.run(UPLOAD).out == "nothing waits to be pushed\n"


def pushed(site: Site, local: str, catalog: str = "production") -> dict[str, Any]:
    """The execution on the server that one of the project's own catalog was pushed as, as ``show`` tells."""
    shown = json.loads(site.run("deriva-ml-catalog", "show", local, "--json", check=True).out)
    start = f"{site.double.url}/id/{site.places[catalog].config.catalog_id}/"
    [rid] = [link.removeprefix(start) for link in shown["pushed to"] if link.startswith(start)]
    return site.one("Execution", catalog, RID=rid)


def test_offline_a_run_reads_what_was_fetched_before_and_nothing_else(site: Site) -> None:
    inputs = ("assets=there", "datasets=there")
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", *inputs)
    assert done.rc == 0, done.text
    rid, _ = recorded(done)
    expected = {"there.txt": "Input", **dict.fromkeys(SMALL_MAKES, "Output")}
    assert {name: role for name, (role, _) in site.linked(rid).items()} | files_read(site, rid) == expected
    version = site.one("Dataset_Execution", Execution=rid)["Dataset_Version"]
    assert site.one("Dataset_Version", RID=version)["Dataset"] == site.dataset

    site.double.stop()
    here = site.here()
    never = site.run(NOTEBOOK, SMALL, "deriva_ml=production", "assets=other", "--offline")
    assert_refused(site, never, "has not been fetched", "leave --offline out")
    assert site.here() == here
    done = site.run(NOTEBOOK, SMALL, "deriva_ml=production", *inputs, "--offline")
    local, status = recorded(done)
    assert (done.rc, status) == (0, "Pending_Upload"), done.text

    site.double.start()
    assert site.run(UPLOAD, local).rc == 0
    rid = pushed(site, local)["RID"]
    assert {name: role for name, (role, _) in site.linked(rid).items()} | files_read(site, rid) == expected
    assert site.one("Dataset_Execution", Execution=rid)["Dataset_Version"] == version


def files_read(site: Site, execution: str) -> dict[str, str]:
    """Roles of an execution's rows of ``File``."""
    return {name: role for name, (role, _) in site.linked(execution, "File").items()}


def goes_down(site: Site) -> None:
    """The server stops."""
    site.double.stop()


def login_expires(site: Site) -> None:
    """What logging in had left is worth nothing any more."""
    login(Path(site.project.env["HOME"]), site.double.host, EXPIRED)


@pytest.mark.parametrize(
    ("trouble", "last", "words"),
    [
        (goes_down, "print('good')", "cannot be reached"),
        (goes_down, "1 / 0", "cannot be reached"),
        (login_expires, "print('fine')", "uv run deriva-globus-auth-utils login --host"),
    ],
    ids=["the server goes down", "the server goes down and the notebook fails", "the login expires"],
)
def test_trouble_with_the_server_during_a_run_costs_nothing(
    site: Site, tmp_path: Path, trouble: Callable[[Site], None], last: str, words: str
) -> None:
    """What the run made waits in the project, and comes to be on the server once."""
    good = last != "1 / 0"
    stem = f"{trouble.__name__}-{good}"
    path = site.notebook(f"{stem}.ipynb", START, KEPT.format(stem), pausing(tmp_path), last)
    before = {row["RID"] for row in site.rows("Execution")}
    done = stopped_midway(site, path, tmp_path, lambda: trouble(site))
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    assert execution["Status"] == "Running"
    assert done.rc == 1
    rid, status = recorded(done)
    assert (rid, status) == (execution["RID"], "Pending_Upload" if good else "Failed")
    [unsent] = [line for line in done.err.splitlines() if words in line]
    assert unsent.startswith("error: ") and "the record is kept in this project" in unsent
    assert (site.project / "outputs" / rid / f"{stem}.md").is_file()
    [again] = re.findall(r"uv run (deriva-ml-upload \S+)", done.out)

    if trouble is goes_down:
        site.double.start()
    else:
        login(Path(site.project.env["HOME"]), site.double.host, site.double.credential("admin"))
    uploaded = site.run(*again.split())
    assert uploaded.rc == 0, uploaded.text
    assert_all_there_once(site, rid, "Uploaded" if good else "Failed", stem)
    reason = site.one("Execution", RID=rid)["Status_Detail"]
    assert reason == ("" if good else "cell [4] raised ZeroDivisionError: division by zero")
    assert [row for row in site.rows("Execution") if row["RID"] not in {*before, rid}] == []


def assert_all_there_once(site: Site, rid: str, status: str, stem: str) -> None:
    """An execution of a notebook that wrote ``kept.txt`` is on the server, and pushing again changes nothing."""
    assert site.one("Execution", RID=rid)["Status"] == status
    files, metadata = site.linked(rid), site.linked(rid, "Execution_Metadata")
    assert set(files) == {"kept.txt", f"{stem}.ipynb", f"{stem}.md"}
    assert {"configuration.json", "environment.json", "hydra-config.yaml", "uv.lock"} <= set(metadata)
    assert_contents(site, files | metadata)
    for table in ("Execution_Asset", "Execution_Metadata"):
        urls = [row["URL"] for row in site.rows(table)]
        assert len(set(urls)) == len(urls)
    before = site.everything()
    assert site.run(UPLOAD).out == "nothing waits to be pushed\n"
    there = site.run(UPLOAD, rid)
    assert there.rc == 0 and f"already, as {rid}" in there.out
    assert site.everything() == before


def test_an_upload_that_is_killed_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    """Killed while contents are under way: after the notebook's own commit, before the runner's part is there."""
    text = "killed during the upload"
    path = site.notebook("killed-upload.ipynb", START, KEPT.format(text), COMMIT)
    site.double.faults.add(
        Fault.SLOW,
        lambda _, request: request.method == "PUT" and "killed-upload.md" in request.target,
        delay=30,
    )
    before = {row["RID"] for row in site.rows("Execution")}
    process = site.project.popen(NOTEBOOK, path, "deriva_ml=production", start_new_session=True)
    wait_until(lambda: any("killed-upload.md" in name for name in site.double.objects()))()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    assert execution["Status"] != "Uploaded"

    listed = site.run("deriva-ml-catalog", "list", "-n", "1", check=True)
    assert "Pending_Upload" in listed.out
    done = site.run(UPLOAD)
    assert done.rc == 0 and f"/{execution['RID']}\n" in done.out, done.text
    assert_all_there_once(site, execution["RID"], "Uploaded", "killed-upload")


def test_a_model_killed_during_its_upload_is_recovered_and_pushed(site: Site) -> None:
    site.double.faults.on(Fault.SLOW, "POST", "/entity/deriva-ml:Execution_Asset?", delay=30)
    before = {row["RID"] for row in site.rows("Execution")}
    count = len(site.rows("Execution_Asset"))
    arguments = (
        "deriva_ml=production",
        "model_config=tiny",
        "model_config.seed=99",
        "datasets=default_dataset",
    )
    process = site.project.popen(MODEL, *arguments, start_new_session=True)
    wait_until(lambda: len(site.rows("Execution_Asset")) > count)()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    [execution] = [row for row in site.rows("Execution") if row["RID"] not in before]
    done = site.run(UPLOAD)
    assert done.rc == 0, done.text
    rid = execution["RID"]
    assert site.one("Execution", RID=rid)["Status"] == "Uploaded"
    assert set(site.linked(rid)) == {"tiny.txt"}
    assert not any((site.project / ".deriva-ml" / "executions").glob("*"))


# What was recorded here first


def test_a_run_of_the_projects_own_catalog_is_sent_with_all_that_it_read(site: Site) -> None:
    """To one catalog and then to another; a second time it is there already."""
    done = site.run(NOTEBOOK, SMALL, *DEMO)
    local, status = recorded(done)
    assert (done.rc, status) == (0, "Uploaded"), done.text
    created = datetime.fromisoformat(site.here()[0]["created"])
    for catalog, word in (("production", "Uploaded"), ("older", "Completed")):
        sent = site.run(UPLOAD, local, "--to", catalog)
        assert sent.rc == 0, sent.text
        execution = pushed(site, local, catalog)
        rid = execution["RID"]
        assert f"/id/{site.places[catalog].config.catalog_id}/{rid}\n" in sent.out
        assert execution["Status"] == word
        assert datetime.fromisoformat(execution["RCT"]) == created
        workflow = site.one("Workflow", catalog, RID=execution["Workflow"])
        assert workflow["Checksum"] == site.project.git("rev-parse", f"HEAD:{SMALL}")
        files = site.linked(rid, catalog=catalog)
        assert {name: role for name, (role, _) in files.items()} == {
            "logistic.npz": "Input",
            **dict.fromkeys(SMALL_MAKES, "Output"),
        }
        assert_contents(site, files | site.linked(rid, "Execution_Metadata", catalog))
        dataset = site.one("Dataset_Execution", catalog, Execution=rid)["Dataset"]
        members = {row["File"] for row in site.rows("Dataset_File", catalog, Dataset=dataset)}
        names = {site.one("File", catalog, RID=member)["Filename"] for member in members}
        assert names == {"digits_train.npz", "digits_heldout.npz"}

        before = site.everything()
        again = site.run(UPLOAD, local, "--to", catalog)
        assert again.rc == 0
        assert f"{local} is in catalog " in again.out and f"already, as {rid}" in again.out
        assert site.everything() == before
    assert site.run(UPLOAD, "--list").out == "nothing waits to be pushed\n"


def test_a_sweep_is_sent_whole(site: Site) -> None:
    done = site.run(
        MODEL, "--multirun", "model_config=tiny", "model_config.seed=3,4", "datasets=default_dataset"
    )
    first, second, sweep = re.findall(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)
    assert site.run(UPLOAD, sweep, "--to", "production").rc == 0
    parent = pushed(site, sweep)["RID"]
    nested = site.rows("Execution_Execution", Execution=parent)
    order = {row["Sequence"]: row["Nested_Execution"] for row in nested}
    assert order == {0: pushed(site, first)["RID"], 1: pushed(site, second)["RID"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("9-ZZZZ",), ("9-ZZZZ",)),
        (("DEMO-W001", "--to", "production"), ("DEMO-W001",)),
        (("DEMO-EXEC",), ("this project's own catalog", "--to production")),
        (("DEMO-EXEC", "--to", "elsewhere"), ("elsewhere", "production")),
        (("DEMO-EXEC", "--to", "default_deriva"), ("this project's own catalog",)),
        (("--to", "production"), ("say which executions",)),
        (("DEMO-EXEC", "--to", "production", "--host", "www.example.org"), ("either --to, or --host",)),
        (("DEMO-EXEC", "--host", "www.example.org"), ("--catalog",)),
        (("DEMO-EXEC", "--catalog", "1"), ("--catalog is one on --host",)),
        (("DEMO-EXEC", "--host", "http://www.example.org", "--catalog", "1"), ("unencrypted",)),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(
    site: Site, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    waiting = site.run(UPLOAD, "--list").out
    assert_refused(site, site.run(UPLOAD, *arguments), *words)
    assert site.run(UPLOAD, "--list").out == waiting


# From a notebook, and a script


LOOK = """
import json
found = {{
    "rows": [row["Filename"] for row in ml.pathBuilder().schemas["deriva-ml"].tables["File"].entities()],
    "asset": ml.lookup_asset({asset!r}).filename,
    "version": ml.lookup_dataset({dataset!r}).version,
    "status": ml.lookup_execution({execution}).status,
    "newest": ml.find_executions(limit=1)[0].rid,
    "cite": ml.cite({asset!r}),
}}
"""


def test_a_notebook_and_a_script_can_look_into_the_catalog(site: Site) -> None:
    look = LOOK.format(asset=site.asset, dataset=site.dataset, execution="execution.execution_rid")
    show = "execution.asset_file_path('Execution_Asset', 'found.json').write_text(json.dumps(found))"
    path = site.notebook("look.ipynb", START, look + show)
    done = site.run(NOTEBOOK, path, "deriva_ml=production")
    assert done.rc == 0, done.text
    rid, _ = recorded(done)
    [row] = [row for name, (_, row) in site.linked(rid).items() if name == "found.json"]
    noted = (site.project / ".deriva-ml" / "objects" / row["MD5"][:2] / row["MD5"]).read_bytes()

    number = site.places["production"].config.catalog_id
    connect = f"from deriva_ml import DerivaML\nml = DerivaML({site.double.url!r}, {number!r})\n"
    look = LOOK.format(asset=site.asset, dataset=site.dataset, execution=repr(rid))
    shown = site.run("python", "-c", f"{connect}{look}print(json.dumps(found))", check=True).out
    for found, status in ((json.loads(noted), "Running"), (json.loads(shown), "Uploaded")):
        assert {"there.txt", "other.txt"} <= set(found["rows"])
        assert (found["asset"], found["version"]) == ("there.txt", "1.0.0")
        assert (found["newest"], found["status"]) == (rid, status)
        assert re.fullmatch(rf"{site.double.url}/id/{number}/{site.asset}@[0-9A-Z-]+", found["cite"])


# Nobody's login


def test_no_login_is_kept_or_sent_by_any_command(site: Site) -> None:
    """Neither one that logging in stored, nor one that a configuration spells out."""
    secret = site.double.credential("admin")["cookie"].partition("=")[2]
    cookie = {"TEST_COOKIE": f"webauthn={secret}"}
    for command in ((NOTEBOOK, SMALL), (MODEL, "model_config=tiny", "datasets=default_dataset")):
        done = site.run(*command, "deriva_ml=spelled_out", env=cookie)
        assert done.rc == 0, done.text
    typed = f"deriva_ml.credential={{cookie:'webauthn={secret}'}}"
    shown = site.run(NOTEBOOK, SMALL, "deriva_ml=production", typed, check=True, env=cookie).text
    stored = [json.loads(path.read_text()) for path in Path(site.project.env["HOME"]).rglob("*.json")]
    secrets = [secret, *(next(iter(one.values()))["cookie"].partition("=")[2] for one in stored)]
    state = [path for name in (".deriva-ml", "outputs") for path in (site.project / name).rglob("*")]
    held = [path.read_bytes() for path in state if path.is_file()]
    curator = site.places["production"].curator
    assert curator is not None
    contents = [b"".join(curator.get_object(name)) for name in site.double.objects()]
    assert len(held) > 20 and len(contents) > 10
    for text in (*held, *contents, site.everything().encode(), shown.encode()):
        assert not any(one.encode() in text for one in secrets)
