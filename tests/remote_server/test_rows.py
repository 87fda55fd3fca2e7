"""Rows, identifiers and the catalog's model go there and come back as they are, in few requests."""

from __future__ import annotations

import pytest

from catalog_kinds import delete
from deriva_double import DerivaDouble, Fault
from deriva_ml.deriva import server
from deriva_ml.deriva.server import Server, any_of, quote
from remote_server.calls import ASSETS, PASSING, QUICK, asset_rows


def test_identifiers_are_leased_in_one_request(double: DerivaDouble, catalog: str, remote: Server) -> None:
    leased = remote.lease(200)
    assert len(set(leased)) == 200
    assert len(double.log) == 1
    assert remote.lease(0) == []
    assert len(double.log) == 1


@pytest.mark.parametrize("fault", PASSING)
def test_leasing_survives(fault: Fault, double: DerivaDouble, catalog: str, remote: Server) -> None:
    double.faults.on(fault, "POST", "Lease")
    assert len(set(remote.lease(5))) == 5


def test_nothing_to_insert_or_to_change_is_no_request(double: DerivaDouble, remote: Server) -> None:
    assert remote.insert(ASSETS, []) == []
    remote.update(ASSETS, [])
    assert remote.find_any("Execution_Asset", "RID", []) == []
    assert len(double.log) == 0


def test_rows_come_back_as_they_are_stored(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """With the identifiers and times that were given, and those that were not."""
    row = asset_rows(remote, 1)[0] | {"RCT": "2020-01-02T03:04:05+00:00"}
    (stored,) = remote.insert(ASSETS, [row], given=("RID", "RCT"))
    assert (stored["RID"], stored["RCT"][:10], stored["RCB"]) == (row["RID"], "2020-01-02", "admin")
    assert remote.get(f"/entity/{ASSETS}/RID={row['RID']}") == [stored]
    assert remote.insert(ASSETS, [row], given=("RID", "RCT")) == []


def test_columns_can_be_left_to_the_server(double: DerivaDouble, catalog: str, remote: Server) -> None:
    term = {"Name": "Sketch", "Description": "drawn"}
    (stored,) = remote.insert("deriva-ml:Asset_Type", [term], given=(), generated=("ID", "URI"))
    assert stored["ID"] and stored["URI"]


def test_many_rows_go_in_batches(
    double: DerivaDouble, catalog: str, remote: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LARGEST_BATCH", 2)
    rows = asset_rows(remote, 5)
    double.log.clear()
    assert [row["RID"] for row in remote.insert(ASSETS, rows)] == [row["RID"] for row in rows]
    remote.update(ASSETS, [{"RID": row["RID"], "Length": 2} for row in rows])
    assert [one.method for one in double.log] == ["POST"] * 3 + ["PUT"] * 3
    assert {row["Length"] for row in double.rows(catalog, "Execution_Asset")} == {2}


def test_only_the_named_columns_are_changed(double: DerivaDouble, catalog: str, remote: Server) -> None:
    first, second = asset_rows(remote, 2)
    remote.insert(ASSETS, [first, second])
    remote.update(ASSETS, [{"RID": first["RID"], "Description": "a; b/c", "Length": 7}])
    changed, same = double.rows(catalog, "Execution_Asset")
    assert (changed["Description"], changed["Length"], changed["URL"]) == ("a; b/c", 7, first["URL"])
    assert (same["Description"], same["Length"]) == (None, 1)


def test_many_values_are_asked_for_in_few_requests(
    double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """No request line is longer than servers take."""
    rows = [{**row, "URL": f"/hatrac/x/{'long' * 10}/{row['RID']}"} for row in asset_rows(remote, 300)]
    remote.insert(ASSETS, rows)
    assert remote.model.has("Execution_Asset")
    double.log.clear()
    found = remote.find_any("Execution_Asset", "URL", [row["URL"] for row in rows * 2])
    assert sorted(row["RID"] for row in found) == sorted(row["RID"] for row in rows)
    assert 1 < len(double.log) < 6


def test_filters_are_short_and_name_every_value_once() -> None:
    values = [f"{number}, é/{'x' * (number % 90)}" for number in range(1000)]
    filters = list(any_of("A b", values))
    assert all(one.startswith("A%20b=any(") and one.endswith(")") and len(one) < 6000 for one in filters)
    named = [name for one in filters for name in one[len("A%20b=any(") : -1].split(",")]
    assert named == [quote(value) for value in values]
    assert list(any_of("RID", ["x" * 9000])) == [f"RID=any({'x' * 9000})"]


def test_the_past_can_be_read(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """At a snapshot the catalog is as it was."""
    remote.insert(ASSETS, asset_rows(remote, 1))
    before = remote.snaptime()
    delete(remote, f"/entity/{ASSETS}")
    assert remote.get(f"/entity/{ASSETS}") == []
    assert len(remote.get(f"/entity/{ASSETS}", snapshot=before)) == 1


def test_the_model_is_read_once(double: DerivaDouble, remote: Server) -> None:
    assert "Execution" in remote.schema()["schemas"]["deriva-ml"]["tables"]
    assert remote.schema() is remote.schema()
    assert len(double.log) == 1


def test_an_alias_leads_to_the_catalogs_number(double: DerivaDouble, catalog: str, remote: Server) -> None:
    alias = Server(double.url, "study", double.credential(), QUICK)
    assert [alias.canonical_id(), alias.canonical_id()] == [catalog, catalog]
    assert len(double.log) == 1
    assert remote.canonical_id() == catalog
    assert len(double.log) == 1


def test_derivas_own_interface_is_at_hand(remote: Server) -> None:
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    table = remote.path_builder().schemas["deriva-ml"].Execution_Asset
    assert len(list(table.entities().fetch())) == 3


def test_a_closed_server_can_be_asked_again(remote: Server) -> None:
    before = remote.snaptime()
    remote.close()
    assert remote.snaptime() == before
