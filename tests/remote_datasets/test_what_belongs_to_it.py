"""With a dataset come the rows that its members refer to, and the datasets that are nested in it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deriva_ml.exceptions import DerivaMLRequestError
from remote_datasets.study import Study, names, rids


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
