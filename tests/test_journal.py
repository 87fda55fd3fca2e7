"""What the project notes about other catalogs: where executions are to go, under whichever name that was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Journal
from deriva_ml.definitions import RID, Asset, Status, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project

ALIAS, NUMBER = Destination("www.example.org", "study"), Destination("www.example.org", "7")
OTHER_HOST = Destination("other.example.org", "study")


@pytest.fixture
def catalog(tmp_path: Path) -> EmbeddedCatalog:
    (tmp_path / "pyproject.toml").touch()
    return EmbeddedCatalog(Project(tmp_path))


@pytest.fixture
def journal(catalog: EmbeddedCatalog) -> Journal:
    return catalog.journal


@pytest.fixture
def execution(catalog: EmbeddedCatalog) -> RID:
    return catalog.add_execution(Workflow("Analysis", checksum="c"), "a run", Owner.of())


def push(journal: Journal, execution: RID, destination: Destination) -> None:
    journal.pushed(execution, destination, journal.changes(execution, destination))


def test_an_alias_becomes_the_number(journal: Journal, execution: RID) -> None:
    """On its own host only."""
    journal.send_to(execution, ALIAS, held=True)
    journal.send_to(execution, OTHER_HOST)
    assert journal.rename(ALIAS, "7") == NUMBER
    assert journal.destinations(execution) == [NUMBER, OTHER_HOST]
    assert journal.pending(execution) == [(execution, NUMBER), (execution, OTHER_HOST)]
    assert journal.rename(NUMBER, "7") == NUMBER
    assert journal.destinations(execution) == [NUMBER, OTHER_HOST]


@pytest.mark.parametrize("waits", [True, False])
def test_what_was_to_go_to_the_alias_as_well_goes_to_the_number_once(
    waits: bool, journal: Journal, execution: RID
) -> None:
    """And does not wait for ever."""
    journal.send_to(execution, NUMBER, "/old.json")
    push(journal, execution, NUMBER)
    journal.send_to(execution, ALIAS, "/new.json", held=True)
    if not waits:
        push(journal, execution, ALIAS)
    journal.rename(ALIAS, "7")
    assert journal.destinations(execution) == [NUMBER]
    assert journal.pending() == ([(execution, NUMBER)] if waits else [])
    assert journal.credential(execution, NUMBER) == "/new.json"
    assert journal.is_held(execution)
    push(journal, execution, NUMBER)
    assert journal.pending() == []


def test_what_still_waits_for_the_number_goes_on_waiting(journal: Journal, execution: RID) -> None:
    journal.send_to(execution, NUMBER)
    journal.send_to(execution, ALIAS)
    push(journal, execution, ALIAS)
    journal.rename(ALIAS, "7")
    assert journal.pending() == [(execution, NUMBER)]


def test_an_input_that_was_read_by_both_names_is_one(journal: Journal, execution: RID) -> None:
    for name, destination in (("a", NUMBER), ("a", ALIAS), ("b", ALIAS), ("a", OTHER_HOST)):
        journal.add_input(execution, destination, Asset(f"1-{name}", "File", name, 1, "0", None))
    journal.rename(ALIAS, "7")
    assert [read.rid for read in journal.inputs(execution, NUMBER)] == ["1-a", "1-b"]
    assert journal.inputs(execution, ALIAS) == []
    assert [read.rid for read in journal.inputs(execution, OTHER_HOST)] == ["1-a"]


def test_an_execution_that_is_not_to_be_pushed_after_all_stays_here_and_waits_no_more(
    catalog: EmbeddedCatalog, journal: Journal, execution: RID
) -> None:
    journal.send_to(execution, NUMBER)
    catalog.update_execution(execution, Status.uploaded)
    assert catalog.lookup_execution(execution).status is Status.pending_upload
    catalog.cancel_push(execution)
    assert journal.pending() == [] and journal.destinations(execution) == []
    assert catalog.lookup_execution(execution).status is Status.uploaded


def test_how_long_a_push_took_is_no_news_to_other_destinations(
    catalog: EmbeddedCatalog, journal: Journal, execution: RID
) -> None:
    for destination in (NUMBER, OTHER_HOST):
        journal.send_to(execution, destination)
    catalog.update_execution(execution, Status.uploaded)
    for destination in (NUMBER, OTHER_HOST):
        changes = journal.changes(execution, destination)
        catalog.note_upload(execution, "0H 0min 1.0sec")
        catalog.mark_pushed(execution, destination, changes)
    assert journal.pending() == []
    assert catalog.lookup_execution(execution).status is Status.uploaded
