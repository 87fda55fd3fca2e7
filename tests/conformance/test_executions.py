"""What every kind of catalog promises to a run of its executions and workflows."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace

import pytest

from catalog_kinds import NOWHERE, Place, a_workflow, begin, status_there, uploaded
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.definitions import Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import Owner
from recorder import Recorder


def test_an_execution_is_followed_from_created_to_uploaded(place: Place, catalog: Recorder) -> None:
    """At each step it stands in the catalog as it is; in the words of that catalog's generation."""
    rid = begin(place, catalog, "tries *once*")
    assert catalog.lookup_execution(rid).status is Status.created
    assert status_there(place, rid)[0] == "Created"

    catalog.update_execution(rid, Status.running, "epoch 1", Download_Duration="0H 0min 1.0sec")
    catalog.show(rid)
    record_there = catalog.lookup_execution(rid)
    assert (record_there.status, record_there.status_detail) == (Status.running, "epoch 1")
    assert status_there(place, rid) == ("Running", "epoch 1")

    catalog.update_execution(rid, Status.stopped, "", Execution_Duration="0H 2min 3.5sec")
    catalog.show(rid)
    assert catalog.lookup_execution(rid).status is Status.stopped
    without = place.generation == "1.17.10"
    assert status_there(place, rid) == ("Running" if without else "Stopped", "")

    uploaded(catalog, rid, Upload_Duration="0H 0min 4.0sec")
    assert status_there(place, rid) == ("Completed" if without else "Uploaded", "")
    with closing(place.open()) as again:
        found = again.lookup_execution(rid)
    assert (found.rid, found.status, found.status_detail, found.description) == (
        rid,
        Status.uploaded,
        "",
        "tries *once*",
    )
    assert found.execution_duration == "0H 2min 3.5sec"
    others = (None, None) if without else ("0H 0min 1.0sec", "0H 0min 4.0sec")
    assert (found.download_duration, found.upload_duration) == others
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", found.created) and found.created_by
    assert place.pending() == []


@pytest.mark.parametrize("status", [Status.failed, Status.aborted])
def test_a_run_that_ends_badly_says_why(place: Place, catalog: Recorder, status: Status) -> None:
    rid = begin(place, catalog)
    catalog.update_execution(rid, Status.running)
    catalog.update_execution(rid, status, "ValueError: naïve\nsecond line")
    catalog.send(rid)
    assert status_there(place, rid) == (status.value, "ValueError: naïve\nsecond line")
    with closing(place.open()) as again:
        assert again.lookup_execution(rid).status is status
        assert again.lookup_execution(rid).status_detail == "ValueError: naïve\nsecond line"
    assert place.pending() == []


def test_newest_executions_come_first_and_can_be_limited_or_filtered(place: Place, catalog: Recorder) -> None:
    first, second, third = (begin(place, catalog, f"run {number}") for number in range(3))
    catalog.update_execution(second, Status.failed, "no")
    uploaded(catalog, third)
    catalog.send(second)
    assert [one.rid for one in catalog.select_executions(Criteria(), limit=2)] == [third, second]
    assert [one.rid for one in catalog.select_executions(Criteria())][:3] == [third, second, first]
    assert catalog.select_executions(Criteria(status=Status.failed), limit=1)[0].rid == second
    found = catalog.select_executions(Criteria(status=Status.uploaded), limit=1)[0]
    assert (found.rid, found.workflow.name, found.description) == (third, "Analysis", "run 2")


def test_a_sweeps_executions_are_nested_in_order(place: Place, catalog: Recorder) -> None:
    """Where the catalog has no place for that, the project has."""
    parent, one, other = (begin(place, catalog, name) for name in ("sweep", "b", "a"))
    catalog.nest(parent, other, 1)
    catalog.nest(parent, one, 0)
    for rid in (one, other, parent):
        uploaded(catalog, rid)
    nests = place.generation != "1.17.10"
    assert catalog.list_execution_children(parent) == ([one, other] if nests else [])
    assert catalog.list_execution_parents(other) == ([parent] if nests else [])
    assert catalog.list_execution_children(one) == catalog.list_execution_parents(parent) == []
    if nests:
        links = place.rows("Execution_Execution", Execution=parent)
        assert {link["Nested_Execution"]: link["Sequence"] for link in links} == {one: 0, other: 1}
    assert place.pending() == []


def test_a_workflow_is_found_by_its_checksum_the_second_time(place: Place, catalog: Recorder) -> None:
    first = a_workflow(place)
    one = catalog.add_execution(first, "", Owner.of())
    with closing(place.open()) as again:
        second = a_workflow(place)
        other = again.add_execution(second, "", Owner.of())
        changed = a_workflow(place, 2)
        again.add_execution(changed, "", Owner.of())
    assert one != other and first.rid == second.rid != changed.rid
    [row] = place.rows("Workflow", Checksum=first.checksum)
    assert row["RID"] == first.rid
    written = [row[name] for name in ("Name", "Description", "URL", "Version")]
    assert written == [first.name, first.description, first.url, first.version]
    uploaded(catalog, one)
    assert catalog.lookup_execution(one).workflow == replace(
        first, workflow_type=catalog.lookup_execution(one).workflow.workflow_type
    )


def test_a_new_type_of_workflow_becomes_a_term(place: Place, catalog: Recorder) -> None:
    """A catalog of 1.17.10 has one type a workflow: the first."""
    types = [f"New {place.tag}", f"Newer {place.tag}"]
    rid = catalog.add_execution(a_workflow(place, workflow_type=types), "", Owner.of())
    uploaded(catalog, rid)
    terms = {row["Name"]: row for row in place.rows("Workflow_Type")}
    assert types[0] in terms and terms[types[0]]["URI"]
    with closing(place.open()) as again:
        found = again.lookup_execution(rid).workflow
    assert sorted(found.types) == (types[:1] if place.generation == "1.17.10" else types)


def test_a_record_is_cited_by_an_address_that_stays(place: Place, catalog: Recorder) -> None:
    rid = begin(place, catalog)
    uploaded(catalog, rid)
    cited = catalog.cite(rid)
    if place.curator is None:
        assert cited.startswith("file://") and cited.endswith(f"#{rid}")
    else:
        assert re.fullmatch(rf"{place.curator.url}/id/{catalog.catalog_id}/{rid}@[0-9A-Z-]+", cited)
        with pytest.raises(DerivaMLRequestError, match=f"there is no record {NOWHERE}"):
            catalog.cite(NOWHERE)
    assert catalog.host_name == (place.curator.host if place.curator else "localhost")
