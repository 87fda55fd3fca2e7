"""A project with `deriva_ml=production`, run through its own commands, and what is looked at on its server."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog_kinds import Place
from conftest import Outcome, ProjectFolder
from deriva_double import DerivaDouble
from notebooks import write_notebook

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
        return list(self.project.looked_up("list", "-n", "0"))

    def notebook(self, name: str, *cells: str) -> str:
        """Write and commit a notebook; its path as one would type it."""
        write_notebook(self.project / "notebooks" / name, cells)
        self.commit()
        return f"notebooks/{name}"

    def commit(self) -> None:
        self.project.git("add", "-A")
        self.project.git("commit", "-m", "Change")


def login(home: Path, host: str, credential: dict[str, str]) -> None:
    """What logging in leaves in a person's home."""
    (home / ".deriva").mkdir(parents=True, exist_ok=True)
    (home / ".deriva" / "credential.json").write_text(json.dumps({host: credential}))


def name_production(settings: Path, hostname: str, catalog: str) -> None:
    """Put a server and a catalog where a person would."""
    text = re.sub(r'^hostname = ".*"$', f'hostname = "{hostname}"', settings.read_text(), flags=re.MULTILINE)
    settings.write_text(re.sub(r'^catalog_id = ".*"$', f'catalog_id = "{catalog}"', text, flags=re.MULTILINE))
    assert hostname in settings.read_text()


def recorded(done: Outcome) -> tuple[str, str]:
    """RID and status of the last execution that a command told of."""
    rid, status = re.findall(r"^Execution (\S+): (\w+)", done.out, re.MULTILINE)[-1]
    return rid, status


def assert_refused(site: Site, done: Outcome, *words: str) -> None:
    """A wrong request: exit status 2, and one line that says what to do."""
    assert done.rc == 2, done.text
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


def assert_contents(site: Site, files: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Each row's URL leads to what the project has under that digest."""
    objects = site.double.objects()
    for name, (_, row) in files.items():
        md5, length = objects[row["URL"].rpartition(":")[0]]
        held = site.project / ".deriva-ml" / "objects" / md5[:2] / md5
        assert (md5, length) == (row["MD5"], row["Length"]) == (row["MD5"], held.stat().st_size), name
        assert hashlib.md5(held.read_bytes()).hexdigest() == md5, name


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


def pushed(site: Site, local: str, catalog: str = "production") -> dict[str, Any]:
    """The execution on the server that one of the project's own catalog was pushed as, as ``show`` tells."""
    shown = site.project.looked_up("show", local)
    start = f"{site.double.url}/id/{site.places[catalog].config.catalog_id}/"
    [rid] = [link.removeprefix(start) for link in shown["pushed to"] if link.startswith(start)]
    return site.one("Execution", catalog, RID=rid)


def files_read(site: Site, execution: str) -> dict[str, str]:
    """Roles of an execution's rows of ``File``."""
    return {name: role for name, (role, _) in site.linked(execution, "File").items()}


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
