"""Datasets of a Deriva catalog are read as they were at a version, whole, whatever happened to their rows since."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble
from deriva_ml.catalog.remote.datasets import (
    Recollection,
    datasets_of,
    find_assets,
    find_dataset,
    not_found,
)
from deriva_ml.catalog.remote.model import Model
from deriva_ml.catalog.remote.server import Patience, Server, quote
from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import RID, Asset, Dataset
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.execution import inputs
from domain_schema import DOMAIN


class Study:
    """A catalog with a domain's schema, filled by the tests."""

    def __init__(self, double: DerivaDouble, generation: str) -> None:
        self.double = double
        self.catalog = double.create_catalog(generation)
        self.server = Server(double.url, self.catalog, double.credential(), Patience(pause=0.001))
        self.server.request("post", f"/ermrest/catalog/{self.catalog}/schema", json=[DOMAIN])
        self.model = Model(self.server.schema())

    def add(self, table: str, *rows: dict[str, Any]) -> list[RID]:
        """Insert rows of the same columns; their RIDs."""
        return [row["RID"] for row in self.server.insert(self.model.qualified(table), rows, given=())]

    def change(self, table: str, rid: RID, **columns: Any) -> None:
        self.server.update(self.model.qualified(table), [{"RID": rid, **columns}])

    def remove(self, table: str, **columns: str) -> None:
        condition = "&".join(f"{name}={quote(value)}" for name, value in columns.items())
        self.server.delete(f"/entity/{self.model.qualified(table)}/{condition}")

    def files(self, table: str, *names: str, **columns: Any) -> list[RID]:
        """Rows of files whose content is their name."""
        return self.add(table, *(file_row(table, name, **columns) for name in names))

    def dataset(self, description: str, **members: Sequence[RID]) -> RID:
        """A dataset without a version; members by table, with ``_`` for a space."""
        [rid] = self.add("Dataset", {"Description": description})
        self.extend(rid, **members)
        return rid

    def extend(self, dataset: RID, **members: Sequence[RID]) -> None:
        for name, rids in members.items():
            table = "Scan Image" if name == "Scan_Image" else name
            column = "Nested_Dataset" if table == "Dataset" else table
            self.add(f"Dataset_{table}", *({"Dataset": dataset, column: rid} for rid in rids))

    def version(self, dataset: RID, version: str, snapshot: bool = True) -> str:
        """Make a version as deriva-ml does: the row first, then its snapshot, so that the snapshot has the row."""
        row = {"Dataset": dataset, "Version": version, "Description": f"is {version}"}
        [rid] = self.add("Dataset_Version", row)
        snaptime = self.server.snaptime()
        if snapshot:
            self.change("Dataset_Version", rid, Snapshot=snaptime)
        self.change("Dataset", dataset, Version=rid)
        return snaptime

    def find(self, rid: RID, version: str | None = None) -> Dataset:
        return find_dataset(self.server, self.model, rid, version)

    def requests(self, rid: RID, version: str | None = None) -> int:
        """How many requests finding a dataset takes."""
        self.double.log.clear()
        self.find(rid, version)
        return len(self.double.log)


def md5_of(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()


def file_row(table: str, name: str, **columns: Any) -> dict[str, Any]:
    url = f"/hatrac/{table}/{md5_of(name)}.{name}"
    return {"URL": url, "Filename": name, "Length": len(name), "MD5": md5_of(name), **columns}


def rids(rows: Sequence[dict[str, Any]]) -> list[RID]:
    return sorted(row["RID"] for row in rows)


def names(tables: dict[str, list[dict[str, Any]]], table: str, column: str = "Name") -> set[str]:
    return {row[column] for row in tables.get(table, [])}


@pytest.fixture(params=["head", "1.17.10"])
def study(request: pytest.FixtureRequest) -> Iterator[Study]:
    with DerivaDouble() as double:
        made = Study(double, request.param)
        yield made
        made.server.close()


# ---------------------------------------------------------------------------------------------------- what it holds


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
    study.server.delete("/schema/lab/table/Dataset_Scan%20Image")
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


# ------------------------------------------------------------------------------------------- what members refer to


def test_rows_that_members_refer_to_come_along(study: Study) -> None:
    """Over several steps, by several columns, by a name; only those rows, and no member a second time."""
    study.add("Site", *({"Country": "CH", "Code": code, "City": code * 2} for code in "AB"))
    study.add("Species", {"Name": "mouse"}, {"Name": "rat"})
    subject = {"Name": "Ada", "Country": "CH", "Site": "A", "Species": "mouse"}
    ada, _ = study.add("Subject", subject, {**subject, "Name": "Bob", "Site": "B", "Species": "rat"})
    [visit] = study.add("Visit", {"Subject": ada, "Age": 42})
    seen, unseen = study.files("Scan Image", "with.tif", Visit=visit) + study.files("Scan Image", "none.tif")
    dataset = study.dataset("", Scan_Image=[seen, unseen])
    study.version(dataset, "1.0.0")

    found = study.find(dataset).references
    assert {table: len(rows) for table, rows in found.items()} == {
        "Visit": 1,
        "Subject": 1,
        "Site": 1,
        "Species": 1,
    }
    assert names(found, "Subject") == {"Ada"} and names(found, "Species") == {"mouse"}
    assert (found["Visit"][0]["Age"], found["Site"][0]["City"]) == (42, "AA")

    study.extend(dataset, Subject=[ada])
    study.version(dataset, "1.1.0")
    found = study.find(dataset)
    assert names(found.members, "Subject") == {"Ada"}
    assert set(found.references) == {"Visit", "Site", "Species"}


def test_what_members_refer_to_is_of_the_version_too(study: Study) -> None:
    study.add("Species", {"Name": "mouse"}, {"Name": "rat"})
    [ada] = study.add("Subject", {"Name": "Ada", "Species": "mouse"})
    dataset = study.dataset("", Subject=[ada])
    study.version(dataset, "1.0.0")
    study.change("Subject", ada, Species="rat")
    study.remove("Species", Name="mouse")
    assert names(study.find(dataset, "1.0.0").references, "Species") == {"mouse"}


def test_rows_that_refer_in_a_circle_or_to_their_own_kind_are_each_there_once(study: Study) -> None:
    [mother] = study.add("Subject", {"Name": "Mother"})
    [ada] = study.add("Subject", {"Name": "Ada", "Mother": mother})
    [visit] = study.add("Visit", {"Subject": ada})
    study.change("Subject", ada, Last_Visit=visit)
    study.change("Subject", mother, Mother=mother)
    dataset = study.dataset("", Subject=[ada])
    study.version(dataset, "1.0.0")
    found = study.find(dataset).references
    assert {table: rids(rows) for table, rows in found.items()} == {"Subject": [mother], "Visit": [visit]}


def test_a_long_chain_of_references_costs_no_more_than_a_short_one(study: Study) -> None:
    """Of rows that refer to their own kind, the next one comes along, and not all that there are."""
    line = study.add("Subject", *({"Name": f"generation {n}"} for n in range(9)))
    for child, mother in pairwise(line):
        study.change("Subject", child, Mother=mother)
    late, early = study.dataset("", Subject=line[-2:-1]), study.dataset("", Subject=line[:1])
    for dataset in (late, early):
        study.version(dataset, "1.0.0")
    assert names(study.find(early).references, "Subject") == {"generation 1"}
    assert study.requests(early) == study.requests(late)


# ----------------------------------------------------------------------------------------------------------- nested


def test_nested_datasets_come_with_their_own_members_and_references(study: Study) -> None:
    study.add("Species", {"Name": "mouse"}, {"Name": "rat"})
    ada, bob = study.add("Subject", {"Name": "Ada", "Species": "mouse"}, {"Name": "Bob", "Species": "rat"})
    training = study.dataset("to train on", Subject=[ada])
    testing = study.dataset("to test on", Subject=[bob, ada])
    split = study.dataset("split", Dataset=[training, testing])
    everything = study.dataset("everything", Dataset=[split], File=study.files("File", "a.csv"))
    for dataset in (training, testing, split, everything):
        study.version(dataset, "1.0.0")

    top = study.find(everything)
    [middle] = top.nested
    bottom = {child.rid: child for child in middle.nested}
    assert (middle.rid, middle.description, middle.members) == (split, "split", {})
    assert list(bottom) == sorted([training, testing])
    assert names(bottom[training].members, "Subject") == {"Ada"}
    assert names(bottom[testing].members, "Subject") == {"Ada", "Bob"}
    assert names(bottom[training].references, "Species") == {"mouse"}
    assert names(bottom[testing].references, "Species") == {"mouse", "rat"}
    assert names(top.members, "File", "Filename") == {"a.csv"} and "Subject" not in top.members


def test_nested_datasets_are_as_they_were_when_the_outer_version_was_made(study: Study) -> None:
    """Also if they have newer versions, were taken out, or were deleted since."""
    inner = study.dataset("inner", File=study.files("File", "a.csv"))
    study.version(inner, "1.0.0")
    study.version(inner, "1.2.0")
    outer = study.dataset("outer", Dataset=[inner])
    snapshot = study.version(outer, "1.0.0")
    study.extend(inner, File=study.files("File", "b.csv"))
    study.version(inner, "2.0.0")
    study.remove("Dataset_Dataset", Nested_Dataset=inner)
    study.change("Dataset", inner, Deleted=True)
    study.version(outer, "2.0.0")

    [child] = study.find(outer, "1.0.0").nested
    assert (child.version, child.snapshot, child.description) == ("1.2.0", snapshot, "inner")
    assert names(child.members, "File", "Filename") == {"a.csv"}
    assert study.find(outer, "2.0.0").nested == ()


def test_what_had_been_deleted_before_the_version_is_no_part_of_it(study: Study) -> None:
    inner = study.dataset("inner")
    outer = study.dataset("outer", Dataset=[inner])
    study.change("Dataset", inner, Deleted=True)
    study.version(outer, "1.0.0")
    assert study.find(outer).nested == ()


def test_a_dataset_that_contains_itself_is_refused_in_one_line(study: Study) -> None:
    one, two, three = (study.dataset("") for _ in range(3))
    for outer, inner in ((one, two), (two, three), (three, two)):
        study.extend(outer, Dataset=[inner])
    study.version(one, "1.0.0")
    with pytest.raises(DerivaMLRequestError, match=f"since one contains itself: {two} in {three} in {two}$"):
        study.find(one)


def test_a_dataset_may_be_nested_in_two_others(study: Study) -> None:
    shared = study.dataset("shared")
    halves = [study.dataset("half", Dataset=[shared]) for _ in range(2)]
    whole = study.dataset("whole", Dataset=halves)
    study.version(whole, "1.0.0")
    [one], [other] = [half.nested for half in study.find(whole).nested]
    assert one.rid == shared and one is other


# --------------------------------------------------------------------------------------------------- what it costs


def test_the_number_of_requests_does_not_depend_on_the_number_of_rows(study: Study) -> None:
    """One for each kind of member and each kind that these refer to, and eight for the rest."""
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
    assert study.requests(dataset) == few == 8 + 3 + 3


def test_very_many_nested_datasets_fit_into_request_lines(study: Study) -> None:
    """A request that names them all is several, each short enough for the server."""
    inner = study.add("Dataset", *({"Description": str(n)} for n in range(2000)))
    [file] = study.files("File", "a.csv")
    outer = study.dataset("", Dataset=inner)
    study.extend(inner[0], File=[file])
    study.extend(inner[-1], File=[file])
    study.version(outer, "1.0.0")
    study.double.log.clear()
    found = study.find(outer)
    assert len(found.nested) == 2000
    assert [child.rid for child in found.nested if child.members] == sorted([inner[0], inner[-1]])
    assert max(len(one.path) for one in study.double.log) < 8_000


# --------------------------------------------------------------------------------------------------------- refusals


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


def workflow_type(study: Study) -> dict[str, str]:
    if study.model.workflow_types_are_rows:
        return {}
    study.add("Workflow_Type", {"Name": "T", "Description": "", "ID": "x:1", "URI": "/id/1"})
    return {"Workflow_Type": "T"}


def test_an_rid_may_be_written_as_the_server_takes_it(study: Study) -> None:
    dataset = study.dataset("found", File=study.files("File", "a.csv"))
    study.version(dataset, "1.0.0")
    assert study.find(dataset.lower()).rid == dataset
    [file] = [row["RID"] for row in study.find(dataset).members["File"]]
    assert [asset.rid for asset in find_assets(study.server, study.model, [file.lower(), file])] == [file] * 2


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


# ------------------------------------------------------------------------------------------------------------ assets


def test_assets_are_found_whichever_table_they_are_in_with_their_types(study: Study) -> None:
    [file] = study.files("File", "a.csv", Description="numbers")
    [scan] = study.files("Scan Image", "b.tif")
    study.add("File_Asset_Type", *({"File": file, "Asset_Type": one} for one in ("Output_File", "File")))
    study.add("Scan Image_Asset_Type", {"Scan Image": scan, "Asset_Type": "Model_File"})
    found = find_assets(study.server, study.model, [scan, file, scan])
    assert found[1] == Asset(
        file,
        "File",
        "a.csv",
        5,
        md5_of("a.csv"),
        f"/hatrac/File/{md5_of('a.csv')}.a.csv",
        "numbers",
        ("File", "Output_File"),
    )
    assert [(asset.rid, asset.table, asset.types) for asset in (found[0], found[2])] == [
        (scan, "Scan Image", ("Model_File",))
    ] * 2


def test_many_assets_are_found_in_a_few_requests_a_table(study: Study) -> None:
    wanted = study.files("File", *(f"{n}.csv" for n in range(50)))
    wanted += study.files("Scan Image", *(f"{n}.tif" for n in range(50)))
    wanted = wanted[::2] + wanted[1::2]
    study.double.log.clear()
    assert [asset.rid for asset in find_assets(study.server, study.model, wanted)] == wanted
    assert len(study.double.log) == 7
    made = study.files("Execution_Asset", *(f"{n}.npz" for n in range(50)))
    study.double.log.clear()
    assert [asset.rid for asset in find_assets(study.server, study.model, made)] == made
    assert len(study.double.log) == 2
    study.double.log.clear()
    assert find_assets(study.server, study.model, []) == [] and len(study.double.log) == 0


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("9-ZZZZ", "there is no asset 9-ZZZZ in catalog"),
        ("dataset", "names no asset: .* it is of kind dataset"),
        ("subject", "names no asset: .* it is of kind row of Subject"),
        ("page", "names no asset: .* it is of kind row of Page"),
    ],
)
def test_what_is_no_asset_is_refused_in_one_line(study: Study, wanted: str, message: str) -> None:
    record = {
        "9-ZZZZ": "9-ZZZZ",
        "dataset": study.dataset(""),
        "subject": study.add("Subject", {"Name": "Ada"})[0],
        "page": study.files("Page", "index.html")[0],
    }
    with pytest.raises(DerivaMLRequestError, match=message):
        find_assets(study.server, study.model, [*study.files("File", "a.csv"), record[wanted]])


def test_a_name_in_the_catalog_is_never_a_way_out_of_a_folder(study: Study) -> None:
    [file] = study.add("File", {**file_row("File", "x"), "Filename": "../../.ssh/authorized_keys"})
    [asset] = find_assets(study.server, study.model, [file])
    assert asset.filename == ".._.._.ssh_authorized_keys"


def test_another_record_is_refused_saying_what_it_is(study: Study) -> None:
    [file] = study.files("File", "a.csv")
    assert "names no execution" in str(not_found(study.server, study.model, file, "execution"))
    assert "there is no execution 9-ZZZZ" in str(not_found(study.server, study.model, "9-ZZZZ", "execution"))


def test_the_datasets_that_an_execution_read(study: Study) -> None:
    """With the version if the catalog says it: those of older generations do not."""
    [workflow] = study.add("Workflow", {"Name": "w", **workflow_type(study)})
    [execution] = study.add("Execution", {"Workflow": workflow})
    dataset = study.dataset("read")
    study.version(dataset, "1.0.0")
    study.version(dataset, "2.0.0")
    linked = study.model.dataset_versions_are_linked
    version = {row["Version"]: row["RID"] for row in study.double.rows(study.catalog, "Dataset_Version")}
    link = {"Dataset_Version": version["1.0.0"]} if linked else {}
    study.add("Dataset_Execution", {"Dataset": dataset, "Execution": execution, **link})
    [found] = datasets_of(study.server, study.model, execution)
    assert (found.rid, found.description, found.version) == (dataset, "read", "1.0.0" if linked else "")
    assert datasets_of(study.server, study.model, "9-ZZZZ") == []


# ------------------------------------------------------------------------------------------------- without a server


def test_what_was_found_is_known_without_the_server(study: Study, tmp_path: Path) -> None:
    inner = study.dataset("inner", File=study.files("File", "a.csv"))
    outer = study.dataset("outer", Dataset=[inner])
    study.version(outer, "1.0.0")
    study.version(outer, "2.0.0")
    older, newer = study.find(outer, "1.0.0"), study.find(outer)
    [asset] = find_assets(study.server, study.model, [older.nested[0].members["File"][0]["RID"]])

    known = Recollection(tmp_path / "known")
    known.keep_dataset(older, "1.0.0")
    assert Recollection(tmp_path / "known").dataset(outer) is None, "which one is the newest was not asked"
    known.keep_dataset(newer, None)
    known.keep_asset(asset)
    known.keep_schema(study.server.schema())

    known = Recollection(tmp_path / "known")
    assert known.dataset(outer) == known.dataset(outer, "2.0.0") == newer
    assert known.dataset(outer.lower(), "1.0.0") == older
    assert known.asset(asset.rid) == asset
    assert known.schema() == study.server.schema()
    assert known.dataset(outer, "3.0.0") is None and known.asset("9-ZZZZ") is None


def test_what_is_kept_stays_in_its_folder_and_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    known = Recollection(tmp_path / "known")
    assert (known.schema(), known.asset("1-A"), known.dataset("1-A")) == (None, None, None)
    asset = Asset("../../up", "File", "x", 1, "0", "/hatrac/x")
    known.keep_asset(asset)
    known.keep_dataset(Dataset("../up", "../../1.0.0"), None)
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "known"}
    assert known.asset("../../up") == asset
    for path in (tmp_path / "known").iterdir():
        path.write_text("[1, 2", encoding="utf-8")
    assert known.asset("../../up") is None
    (tmp_path / "known").joinpath(path.name).write_text("[]", encoding="utf-8")
    assert (known.asset("../../up"), known.dataset("../up")) == (None, None)


def test_a_folder_that_cannot_be_written_remembers_nothing_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("a file")
    known = Recollection(tmp_path / "known")
    known.keep_schema({"schemas": {}})
    known.keep_asset(Asset("1-A", "File", "x", 1, "0", "/hatrac/x"))
    assert (known.schema(), known.asset("1-A")) == (None, None)


# -------------------------------------------------------------------------------------------------------------- bags


class Contents:
    """As much of a catalog as fetching asks for: it writes a file's name into it, and notes what was asked at once."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        self.batches.append([asset.filename for asset, _ in pairs])
        for asset, destination in pairs:
            destination.parent.mkdir(parents=True)
            destination.write_text(asset.filename)


def fetched(dataset: Dataset, folder: Path, materialize: bool = True) -> tuple[DatasetBag, Contents]:
    contents = Contents()
    bag = inputs.fetch_dataset(contents, dataset, folder, materialize)  # type: ignore[arg-type]
    return bag, contents


@pytest.fixture
def published(study: Study) -> Dataset:
    """A dataset whose members, nested members and the rows that they refer to have files."""
    [ada] = study.add("Subject", {"Name": "Ada"})
    [visit] = study.add("Visit", {"Subject": ada})
    [scan] = study.files("Scan Image", "b.tif", Visit=visit)
    elsewhere = {**file_row("File", "far.csv"), "URL": "https://www.example.org/far.csv"}
    inner = study.dataset("inner", Scan_Image=[scan])
    outer = study.dataset(
        "outer",
        Dataset=[inner],
        Scan_Image=[scan, *study.files("Scan Image", "c.tif")],
        File=study.files("File", "a.csv") + study.add("File", elsewhere),
    )
    study.version(inner, "0.3.0")
    study.version(outer, "1.0.0")
    return study.find(outer)


def test_a_bag_has_all_its_files_fetched_in_one_batch(published: Dataset, tmp_path: Path) -> None:
    bag, contents = fetched(published, tmp_path)
    assert [sorted(batch) for batch in contents.batches] == [["a.csv", "b.tif", "c.tif"]]
    paths = {table: [path.name for path in paths] for table, paths in bag.asset_paths.items()}
    assert {table: sorted(found) for table, found in paths.items()} == {
        "File": ["a.csv"],
        "Scan Image": ["b.tif", "c.tif"],
    }
    for path in (path for paths in bag.asset_paths.values() for path in paths):
        assert path.read_text() == path.name
        assert path == bag.path / path.asset_table / str(path.asset_rid) / path.name
    _, again = fetched(published, tmp_path)
    assert again.batches == [], "what is there is not fetched again"


def test_a_file_that_the_catalog_only_refers_to_stays_a_reference(published: Dataset, tmp_path: Path) -> None:
    bag, _ = fetched(published, tmp_path)
    [row] = [row for row in bag.list_dataset_members()["File"] if not row["URL"].startswith("/hatrac/")]
    assert (row["Filename"], row["URL"]) == ("far.csv", "https://www.example.org/far.csv")


def test_a_bag_shows_its_tables_with_what_nested_datasets_and_references_bring(
    published: Dataset, tmp_path: Path
) -> None:
    bag, _ = fetched(published, tmp_path)
    assert set(bag.list_tables()) == {"File", "Scan Image", "Visit", "Subject"}
    assert set(bag.list_dataset_members()) == {"File", "Scan Image"}
    assert len(bag.list_dataset_members(recurse=True)["Scan Image"]) == 2, (
        "a row that both have is there once"
    )
    assert [row["Name"] for row in bag.get_table_as_dict("Subject")] == ["Ada"]
    assert list(bag.get_table_as_dataframe("Scan Image")["Length"]) == [5, 5]
    [child] = bag.list_dataset_children()
    assert (child.dataset_rid, child.version, child.description) == (
        published.nested[0].rid,
        "0.3.0",
        "inner",
    )
    assert [path.name for path in child.asset_paths["Scan Image"]] == ["b.tif"]
    assert child.asset_paths["Scan Image"][0].exists()
    with pytest.raises(DerivaMLRequestError, match="has no table Mood; it has File, "):
        list(bag.get_table_as_dict("Mood"))


def test_without_materializing_the_rows_are_there_and_no_file(published: Dataset, tmp_path: Path) -> None:
    bag, contents = fetched(published, tmp_path, materialize=False)
    assert contents.batches == []
    assert bag.asset_paths == {"File": [], "Scan Image": []}
    row = bag.list_dataset_members()["Scan Image"][0]
    assert (row["Filename"], row["MD5"]) == ("b.tif", md5_of("b.tif")) and row["URL"].startswith("/hatrac/")


def test_a_bag_never_leaves_its_folder_whatever_the_catalog_calls_things(tmp_path: Path) -> None:
    """Neither what is fetched, nor what a row calls its file without having been fetched."""
    row = {**file_row("x", "x"), "RID": "../..", "Filename": "../../up.txt"}
    absolute = {**file_row("y", "y"), "RID": "1-A", "Filename": "/etc/passwd", "URL": "tag:y"}
    dataset = Dataset(
        "../up", "1/2", members={"../../T": [row, absolute], "Plain": [{"RID": "1", "Filename": "/x"}]}
    )
    bag, _ = fetched(dataset, tmp_path / "inputs")
    [path] = bag.asset_paths["../../T"]
    assert path.resolve().is_relative_to(tmp_path / "inputs") and path.read_text() == ".._.._up.txt"
    assert {one.relative_to(tmp_path).parts[0] for one in tmp_path.rglob("*")} == {"inputs"}
    assert list(bag.asset_paths) == ["../../T"]


def test_versions_of_one_dataset_do_not_share_a_folder(published: Dataset, tmp_path: Path) -> None:
    one, _ = fetched(published, tmp_path)
    other, contents = fetched(replace(published, version="2.0.0"), tmp_path)
    assert one.path != other.path and len(contents.batches) == 1


def test_a_dataset_can_be_written_as_json(published: Dataset) -> None:
    """Rows hold what JSON can hold, so that they can be kept and recorded."""
    assert json.loads(json.dumps(published.members)) == published.members
