"""What was recorded in the project's own catalog is sent to a server later."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from production.site import (
    DEMO,
    MODEL,
    NOTEBOOK,
    SMALL,
    SMALL_MAKES,
    UPLOAD,
    Site,
    assert_contents,
    assert_refused,
    pushed,
    recorded,
)


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
