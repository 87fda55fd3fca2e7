"""Runs with `deriva_ml=production`: what comes to stand on the Deriva server, and which may not begin."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path

import pytest

from deriva_double import Fault
from deriva_ml.deriva.hatrac import get_object
from notebooks import START
from production.site import (
    DEMO,
    MODEL,
    NOTEBOOK,
    SMALL,
    SMALL_MAKES,
    Site,
    assert_contents,
    assert_refused,
    pausing,
    recorded,
    stopped_midway,
    wait_until,
)


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
    types = {
        name: {
            term["Asset_Type"]
            for term in site.rows("Execution_Metadata_Asset_Type", Execution_Metadata=row["RID"])
        }
        for name, (_, row) in metadata.items()
    }
    assert types["configuration.json"] == {"Deriva_Config", "Output_File"}
    assert types["uv.lock"] == {"Execution_Config", "Output_File"}
    assert types["choices-hydra.yaml"] == {"Hydra_Config", "Output_File"}
    dataset = site.one("Dataset_Execution", Execution=rid)
    assert site.one("Dataset_Version", RID=dataset["Dataset_Version"])["Version"] == "1.0.0"

    assert_contents(site, files | metadata)
    for name in ("my_analysis.ipynb", "my_analysis.md"):
        kept = (site.project / "outputs" / rid / name).read_bytes()
        assert files[name][1]["MD5"] == hashlib.md5(kept).hexdigest()
    assert metadata["uv.lock"][1]["Length"] == (site.project / "uv.lock").stat().st_size


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
    contents = [b"".join(get_object(curator, name)) for name in site.double.objects()]
    assert len(held) > 20 and len(contents) > 10
    for text in (*held, *contents, site.everything().encode(), shown.encode()):
        assert not any(one.encode() in text for one in secrets)
