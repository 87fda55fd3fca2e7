"""A dataset is read as it was at a version, whole, whatever happened to its rows since."""

from __future__ import annotations

import logging

import pytest

from catalog_kinds import delete
from deriva_ml.definitions import RID
from deriva_ml.deriva.lookup import find_assets
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from remote_datasets.study import Study, file_row, md5_of, names, rids, workflow_type


def test_a_dataset_has_its_members_of_every_kind(study: Study) -> None:
    files = study.files("File", "b.csv", "a.csv")
    scans = study.files("Scan Image", "scan 1.tif")
    subjects = study.add("Subject", {"Name": "Ada"})
    study.files("File", "of nobody.csv")
    dataset = study.dataset("all kinds", File=files, Scan_Image=scans, Subject=subjects)
    study.add("Dataset_Dataset_Type", {"Dataset": dataset, "Dataset_Type": "File"})
    snapshot = study.version(dataset, "1.0.0")

    found = study.find(dataset)
    assert {table: rids(rows) for table, rows in found.members.items()} == {
        "File": sorted(files),
        "Scan Image": scans,
        "Subject": subjects,
    }
    [row] = found.members["Scan Image"]
    assert (row["Filename"], row["Length"], row["MD5"]) == ("scan 1.tif", 10, md5_of("scan 1.tif"))
    assert (found.rid, found.version, found.description) == (dataset, "1.0.0", "all kinds")
    assert (found.types, found.snapshot, found.references, found.nested) == (("File",), snapshot, {}, ())
    [version] = study.double.rows(study.catalog, "Dataset_Version")
    assert found.version_rid == version["RID"]


def test_members_come_in_the_same_order_every_time(study: Study) -> None:
    files = study.files("File", *(f"{n}.csv" for n in range(12)))
    dataset = study.dataset("", File=files[::-1])
    study.version(dataset, "1.0.0")
    assert [row["RID"] for row in study.find(dataset).members["File"]] == sorted(files)


def test_a_version_shows_what_it_held_then_although_rows_changed_since(study: Study) -> None:
    ada, bob = study.add("Subject", {"Name": "Ada"}, {"Name": "Bob"})
    [file] = study.files("File", "a.csv")
    dataset = study.dataset("as it was", Subject=[ada, bob], File=[file])
    study.version(dataset, "1.0.0")

    study.change("Subject", ada, Name="Eve")
    study.remove("Dataset_Subject", Subject=bob)
    study.remove("Subject", RID=bob)
    study.extend(dataset, File=study.files("File", "b.csv"))
    study.change("Dataset", dataset, Description="as it is")
    study.version(dataset, "2.0.0")

    then, now = study.find(dataset, "1.0.0"), study.find(dataset)
    assert (then.version, then.description) == ("1.0.0", "as it was")
    assert names(then.members, "Subject") == {"Ada", "Bob"}
    assert names(then.members, "File", "Filename") == {"a.csv"}
    assert (now.version, now.description) == ("2.0.0", "as it is")
    assert names(now.members, "Subject") == {"Eve"}
    assert names(now.members, "File", "Filename") == {"a.csv", "b.csv"}


def test_a_version_shows_members_of_a_table_that_the_catalog_no_longer_has(study: Study) -> None:
    scans = study.files("Scan Image", "old.tif")
    dataset = study.dataset("", Scan_Image=scans)
    study.version(dataset, "1.0.0")
    study.remove("Dataset_Scan Image", Dataset=dataset)
    delete(study.server, "/schema/lab/table/Dataset_Scan%20Image")
    study.version(dataset, "2.0.0")
    assert names(study.find(dataset, "1.0.0").members, "Scan Image", "Filename") == {"old.tif"}
    assert study.find(dataset, "2.0.0").members == {}


def test_without_a_version_it_is_the_newest_by_number(study: Study) -> None:
    dataset = study.dataset("")
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        study.version(dataset, version)
    assert study.find(dataset).version == "0.10.0"


def test_a_version_without_a_snapshot_is_read_as_of_now_and_says_so(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = study.dataset("", File=study.files("File", "a.csv"))
    study.version(dataset, "1.0.0", snapshot=False)
    study.extend(dataset, File=study.files("File", "later.csv"))
    with caplog.at_level(logging.WARNING):
        found = study.find(dataset, "1.0.0")
    assert names(found.members, "File", "Filename") == {"a.csv", "later.csv"}
    assert found.snapshot == study.server.snaptime()
    assert f"dataset {dataset} has no snapshot for its version" in caplog.text


def test_a_dataset_that_nobody_versioned_is_read_as_of_now(study: Study) -> None:
    found = study.find(study.dataset("", File=study.files("File", "a.csv")))
    assert (found.version, found.version_rid) == ("0.1.0", None)
    assert names(found.members, "File", "Filename") == {"a.csv"}


def test_the_number_of_requests_does_not_depend_on_the_number_of_rows(study: Study) -> None:
    """One for each kind of member and each kind that these refer to, and nine for the rest."""
    study.add("Species", {"Name": "mouse"})

    def add(count: int, start: int) -> dict[str, list[RID]]:
        subjects = study.add(
            "Subject", *({"Name": f"S{n}", "Species": "mouse"} for n in range(start, start + count))
        )
        visits = study.add("Visit", *({"Subject": one} for one in subjects))
        rows = (file_row("Scan Image", f"{n + start}.tif", Visit=one) for n, one in enumerate(visits))
        files = study.files("File", *(f"{n}.csv" for n in range(start, start + count)))
        return {"Scan_Image": study.add("Scan Image", *rows), "File": files}

    dataset = study.dataset("", Dataset=[study.dataset("", **add(1, 0))], **add(1, 1))
    study.version(dataset, "1.0.0")
    few = study.requests(dataset)
    study.extend(dataset, Dataset=[study.dataset("", **add(100, 2))], **add(200, 102))
    study.version(dataset, "2.0.0")
    found = study.find(dataset)
    assert [len(found.members[table]) for table in ("File", "Scan Image")] == [201, 201]
    assert len(found.references["Subject"]) == 201
    assert study.requests(dataset) == few == 9 + 3 + 3


@pytest.mark.parametrize(
    ("wanted", "version", "message"),
    [
        ("nothing", None, "there is no dataset 9-ZZZZ in catalog {catalog} of {host}"),
        ("nonsense", None, "there is no dataset ../x y in catalog {catalog} of {host}"),
        ("file", None, "{rid} names no dataset: in catalog {catalog} of {host} it is of kind asset"),
        ("execution", None, "{rid} names no dataset: in catalog {catalog} of {host} it is of kind execution"),
        (
            "subject",
            None,
            "{rid} names no dataset: in catalog {catalog} of {host} it is of kind row of Subject",
        ),
        (
            "removed",
            None,
            "there is no dataset {rid} in catalog {catalog} of {host}: it was deleted on {today}",
        ),
        ("deleted", None, "dataset {rid} has been deleted"),
        ("dataset", "3.0.0", "dataset {rid} has no version 3.0.0; it has 0.9.0, 0.10.0"),
        ("unversioned", "1.0.0", "dataset {rid} has no version 1.0.0; it has none"),
    ],
)
def test_what_is_no_dataset_is_refused_in_one_line(
    study: Study, wanted: str, version: str | None, message: str
) -> None:
    [workflow] = study.add("Workflow", {"Name": "w", **workflow_type(study)})
    record = {
        "nothing": "9-ZZZZ",
        "nonsense": "../x y",
        "file": study.files("File", "a.csv")[0],
        "execution": study.add("Execution", {"Workflow": workflow})[0],
        "subject": study.add("Subject", {"Name": "Ada"})[0],
        "removed": study.dataset(""),
        "deleted": study.add("Dataset", {"Deleted": True})[0],
        "dataset": study.dataset(""),
        "unversioned": study.dataset(""),
    }
    study.version(record["dataset"], "0.10.0")
    study.version(record["dataset"], "0.9.0")
    today = study.double.rows(study.catalog, "Dataset")[0]["RCT"][:10]
    study.remove("Dataset", RID=record["removed"])
    with pytest.raises(DerivaMLRequestError) as raised:
        study.find(record[wanted], version)
    context = {"rid": record[wanted], "catalog": study.catalog, "host": study.server.host, "today": today}
    assert str(raised.value) == message.format(**context)


def test_an_rid_may_be_written_as_the_server_takes_it(study: Study) -> None:
    dataset = study.dataset("found", File=study.files("File", "a.csv"))
    study.version(dataset, "1.0.0")
    assert study.find(dataset.lower()).rid == dataset
    [file] = [row["RID"] for row in study.find(dataset).members["File"]]
    assert [asset.rid for asset in find_assets(study.server, [file.lower(), file])] == [file] * 2


@pytest.mark.parametrize("snapshot", ["2T0-0000-0000", "***"])
def test_a_snapshot_that_the_server_does_not_have_is_named_in_one_line(study: Study, snapshot: str) -> None:
    dataset = study.dataset("")
    study.version(dataset, "1.0.0")
    [version] = study.double.rows(study.catalog, "Dataset_Version")
    study.change("Dataset_Version", version["RID"], Snapshot=snapshot)
    with pytest.raises(
        DerivaMLException, match=f"^dataset {dataset} cannot be read at version 1.0.0"
    ) as raised:
        study.find(dataset)
    assert snapshot in str(raised.value) and "\n" not in str(raised.value)


def test_a_snapshot_from_before_the_dataset_is_no_empty_dataset(study: Study) -> None:
    before = study.server.snaptime()
    dataset = study.dataset("", File=study.files("File", "a.csv"))
    study.version(dataset, "1.0.0")
    [version] = study.double.rows(study.catalog, "Dataset_Version")
    study.change("Dataset_Version", version["RID"], Snapshot=before)
    with pytest.raises(DerivaMLRequestError, match=f"^dataset {dataset} was not yet there in .* {before}$"):
        study.find(dataset)
