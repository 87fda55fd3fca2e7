"""Whatever passing trouble meets any one request of a recorded run, the catalog is in the end as if there had been none."""

from __future__ import annotations

import pytest

import recorded_run
from deriva_double import Fault
from recorded_run import Beginning, run_of_a_local_dataset, told, whole_run
from remote_server.calls import PASSING


def test_an_undisturbed_run_is_the_same_each_time(beginning: Beginning) -> None:
    """So that a difference means something."""
    with beginning.opened(beginning.project()) as catalog:
        whole_run(beginning, catalog)
    assert beginning.difference() == ""
    beginning.project()
    missing = beginning.difference().splitlines()
    assert len(missing) > 15 and all(line.startswith("missing ") for line in missing), "it leaves something"


def sweep(beginning: Beginning, run: recorded_run.Run, fault: Fault) -> dict[int, str]:
    """What went wrong where the requests met the fault, by the request's number."""
    wrong = {}
    for number in beginning.tried(PASSING.index(fault)):  # each request meets some fault
        project = beginning.project()
        beginning.double.faults.at(number, fault)
        with beginning.opened(project) as catalog:
            run(beginning, catalog)
        met = [one for one in beginning.double.log if one.fault]
        assert met, f"there was no request {number}"
        if said := beginning.wrong(project):
            wrong[number] = f"{met[0].method} {met[0].path}?{met[0].query}\n{said}"
    return wrong


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_no_passing_trouble_loses_or_doubles_anything(beginning: Beginning, fault: Fault) -> None:
    wrong = sweep(beginning, whole_run, fault)
    assert not wrong, told(wrong)


@pytest.mark.parametrize(
    "fault", [Fault.ABORTED, Fault.RESET_AFTER, Fault.TRUNCATED], ids=lambda fault: fault.name
)
def test_no_passing_trouble_spoils_a_dataset_that_is_sent(with_dataset: Beginning, fault: Fault) -> None:
    wrong = sweep(with_dataset, run_of_a_local_dataset, fault)
    assert not wrong, told(wrong)
