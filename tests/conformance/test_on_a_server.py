"""What catalogs on a server promise beside that, to runs, to the released deriva-ml, and to whoever runs these tests."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place, a_workflow, begin, record, status_there, uploaded, write
from deriva_double import DerivaDouble
from deriva_ml.definitions import Asset, AssetRole, Dataset, Status, format_duration
from deriva_ml.deriva.model import Model
from deriva_ml.deriva.server import Server
from deriva_ml.process import Owner
from domain_schema import DOMAIN
from recorder import Recorder


@pytest.fixture(params=["head", "head writer", "1.17.10", "1.17.10 writer"])
def on_server(
    request: pytest.FixtureRequest, tmp_path: Path, double: DerivaDouble, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A catalog of the double."""
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
    generation, _, user = request.param.partition(" ")
    return kinds.on_double(tmp_path / "project", double, generation, user or "admin")


def test_a_domains_own_asset_table_takes_outputs(on_server: Place) -> None:
    """Its name has a space, and it is in another schema."""
    assert on_server.curator is not None and on_server.double is not None
    number = on_server.curator.catalog_id
    on_server.curator.request("post", f"/ermrest/catalog/{number}/schema", json=[DOMAIN])
    with closing(on_server.open()) as catalog:
        assert "Scan Image" in catalog.asset_tables()
        rid = begin(on_server, catalog)
        write(catalog, rid, "Scan Image", "scan 1.png", b"pixels", ["Output_File"])
        [asset] = record(catalog, rid)
        uploaded(catalog, rid)
        [found] = catalog.assets_of(rid)
        assert found == replace(asset, url=found.url, role=AssetRole.output)
        assert (found.table, found.filename) == ("Scan Image", "scan 1.png")
    [row] = on_server.double.rows(number, "lab:Scan Image")
    assert re.fullmatch(rf"/hatrac/Scan_Image/{found.md5}\.[\w.-]*scan_1\.png:\w+", row["URL"])
    assert on_server.pending() == []


def test_an_rid_may_be_written_in_each_way_that_the_server_takes(on_server: Place) -> None:
    file = on_server.add_file("some.txt", b"some")
    dataset = on_server.add_dataset("some", [file])
    with closing(on_server.open()) as catalog:
        for written in (file, file.lower(), f"{file[:1]}-{file[1:]}"):
            assert catalog.lookup_asset(written).rid == file
        assert catalog.lookup_dataset(dataset.lower()).rid == dataset


def test_a_dataset_of_the_project_is_sent_with_the_run_that_reads_it(on_server: Place) -> None:
    """As the demonstration's is, which has an RID that no server gives."""
    with closing(on_server.open()) as catalog:
        local = catalog.local
        source = on_server.project.root / "train.npz"
        source.write_bytes(b"arrays")
        file = local.add_asset(source, "File", "train.npz", ["Input_File"], rid="DEMO-TRNF")
        inner = local.add_dataset("inner", [file.rid], ["Training"], rid="DEMO-INNR")
        local.add_dataset("outer", [], ["Complete", "New"], "2.1.0", nested=[inner], rid="DEMO-DATA")
        dataset = catalog.lookup_dataset("DEMO-DATA")
        rids = []
        for _ in range(2):
            rid = begin(on_server, catalog)
            catalog.link_dataset(rid, dataset)
            uploaded(catalog, rid)
            rids.append(rid)
        there = [_read(catalog, rid) for rid in rids]
    assert there[0] == there[1]
    assert (there[0].description, set(there[0].types), there[0].version) == (
        "outer",
        {"Complete", "New"},
        "2.1.0",
    )
    [nested] = there[0].nested
    assert [row["Filename"] for row in nested.members["File"]] == ["train.npz"]


def _read(catalog: Recorder, execution: str) -> Dataset:
    [found] = catalog.datasets_of(execution)
    return catalog.lookup_dataset(found.rid)


RELEASED_STATUSES = {"Initializing", "Created", "Pending", "Running", "Aborted", "Completed", "Failed"}
"""Of deriva-ml 1.17.10, which makes an enumeration's member of what it finds."""


@pytest.mark.parametrize("user", ["admin", "writer"])
def test_the_released_deriva_ml_finds_all_as_it_writes_it_itself(
    double: DerivaDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
    place = kinds.on_double(tmp_path / "project", double, "1.17.10", user)
    with closing(place.open()) as catalog:
        seen = set()
        for last in (Status.failed, Status.aborted, Status.uploaded):
            rid = begin(place, catalog)
            for status in (Status.running, Status.stopped):
                catalog.update_execution(rid, status)
                catalog.show(rid)
                seen.add(status_there(place, rid)[0])
            file = catalog.add_file(place.project.root / "pyproject.toml", "", ["Input_File"])
            catalog.link_asset(rid, file, AssetRole.input)
            for kind in ("Runtime_Env", "Execution_Config", "Hydra_Config"):
                write(catalog, rid, "Execution_Metadata", f"{kind}.json", b"{}", [kind])
            write(catalog, rid, "Execution_Asset", "weights.npz", b"w", ["Model_File"])
            catalog.commit(rid)
            catalog.update_execution(rid, last, "", Execution_Duration=format_duration(3723.456))
            catalog.send(rid)
            seen.add(status_there(place, rid)[0])
    assert seen == {"Running", "Failed", "Aborted", "Completed"} <= RELEASED_STATUSES
    [row] = place.rows("Execution", RID=rid)
    assert row["Duration"] == "1H 2min 3.46sec"
    [workflow] = place.rows("Workflow", RID=row["Workflow"])
    assert workflow["Workflow_Type"] in {term["Name"] for term in place.rows("Workflow_Type")}
    assert all(workflow[name] for name in ("Name", "URL", "Checksum", "Version"))
    for table, role, count in (
        ("Execution_Metadata", "Output", 3),
        ("Execution_Asset", "Output", 1),
        ("File", "Input", 1),
    ):
        linked = place.rows(f"{table}_Execution", Execution=rid)
        assert [link["Asset_Role"] for link in linked] == [role] * count
        for link in linked:
            [asset] = place.rows(table, RID=link[table])
            assert re.fullmatch(rf"/hatrac/{table}/{asset['MD5']}\.{asset['Filename']}:\w+", asset["URL"])
            assert (asset["Length"] is not None) and asset["MD5"]
            terms = {row["Asset_Type"] for row in place.rows(f"{table}_Asset_Type", **{table: asset["RID"]})}
            assert f"{role}_File" in terms
            if table == "Execution_Metadata":
                assert terms == {f"{role}_File", asset["Filename"].removesuffix(".json")}


UNKNOWN_SOURCE = "tag:deriva-ml,unknown-provenance:file"
"""As deriva-ml seeds it in current catalogs (`SENTINEL_FILE_URL`)."""


def types_there(place: Place, table: str, rid: str) -> set[str]:
    """The types that an asset has on the server."""
    return {row["Asset_Type"] for row in place.rows(f"{table.replace(' ', '_')}_Asset_Type", **{table: rid})}


def test_what_a_run_reads_and_makes_is_marked_as_such_beside_its_own_types(on_server: Place) -> None:
    """Its own files, the project's and those that others brought there, which keep what they are."""
    theirs = on_server.add_file("theirs.csv", on_server.tag.encode(), ["File"])
    bystander = on_server.add_file("bystander.csv", b"b" + on_server.tag.encode(), ["File"])
    with closing(on_server.open()) as catalog:
        rid = begin(on_server, catalog)
        catalog.link_asset(rid, catalog.lookup_asset(theirs), AssetRole.input)
        source = on_server.project.root / "ours.csv"
        source.write_text(f"ours {on_server.tag}")
        catalog.link_asset(rid, catalog.add_file(source, "", ["Measured"]), AssetRole.input)
        write(catalog, rid, "Execution_Asset", "weights.npz", on_server.tag.encode(), ["Model_File"])
        write(catalog, rid, "Execution_Metadata", "env.json", on_server.tag.encode(), ["Runtime_Env"])
        record(catalog, rid)
        uploaded(catalog, rid)
        found = {asset.filename: set(asset.types) for asset in catalog.assets_of(rid)}
        [weights] = [asset for asset in catalog.assets_of(rid) if asset.filename == "weights.npz"]
    assert found == {
        "theirs.csv": {"File", "Input_File"},
        "ours.csv": {"Measured", "Input_File"},
        "weights.npz": {"Model_File", "Output_File"},
        "env.json": {"Runtime_Env", "Output_File"},
    }
    assert types_there(on_server, "File", bystander) == {"File"}
    with closing(on_server.open()) as catalog:  # what one run made, and another reads, is both
        reader = begin(on_server, catalog, "reads")
        catalog.link_asset(reader, catalog.lookup_asset(weights.rid), AssetRole.input)
        uploaded(catalog, reader)
    both = {"Model_File", "Output_File", "Input_File"}
    assert types_there(on_server, "Execution_Asset", weights.rid) == both
    assert on_server.pending() == []


def test_a_file_that_one_run_reads_and_writes_has_both_marks(on_server: Place) -> None:
    with closing(on_server.open()) as catalog:
        rid = begin(on_server, catalog)
        source = on_server.project.root / "state.csv"
        source.write_text(on_server.tag)
        catalog.link_asset(rid, catalog.add_file(source, "", ["State"]), AssetRole.input)
        write(catalog, rid, "Execution_Asset", "state.csv", on_server.tag.encode(), ["State"])
        record(catalog, rid)
        uploaded(catalog, rid)
        found = {(asset.table, *sorted(asset.types)) for asset in catalog.assets_of(rid)}
    assert found == {("File", "Input_File", "State"), ("Execution_Asset", "Output_File", "State")}


def test_a_mark_that_may_not_be_given_to_anothers_file_is_a_warning(
    double: DerivaDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link to the execution says that it was read; all else arrives."""
    place = kinds.on_double(tmp_path / "project", double, "head", "writer")
    theirs = place.add_file("theirs.csv", b"theirs", ["File"])
    assert place.curator is not None
    table = f"/ermrest/catalog/{place.curator.catalog_id}/schema/deriva-ml/table/File_Asset_Type"
    place.curator.request("put", f"{table}/acl/insert", json=[])
    with closing(place.open()) as catalog:
        rid = begin(place, catalog)
        catalog.link_asset(rid, catalog.lookup_asset(theirs), AssetRole.input)
        write(catalog, rid, "Execution_Asset", "out.txt", b"out")
        record(catalog, rid)
        uploaded(catalog, rid)
    assert (
        f"warning: the inputs of execution {rid} could not all be marked there: " in capsys.readouterr().err
    )
    assert types_there(place, "File", theirs) == {"File"}
    assert [link["Asset_Role"] for link in place.rows("File_Execution", Execution=rid)] == ["Input"]
    assert place.pending() == [] and status_there(place, rid)[0] == "Uploaded"


READ_NONE = "made files and read none that the record knows of"


def unknown_sources(place: Place, rid: str) -> list[str]:
    """The roles in which an execution is linked to the file that stands for an unknown source."""
    seeded = [row["RID"] for row in place.rows("File", URL=UNKNOWN_SOURCE)]
    assert len(seeded) == (place.generation == "head")
    links = place.rows("File_Execution", Execution=rid)
    return [link["Asset_Role"] for link in links if link["File"] in seeded]


def test_a_run_that_made_files_and_read_none_has_an_unknown_source(
    on_server: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Current catalogs have a file that stands for it; the person is told with both, once."""
    with closing(on_server.open()) as catalog:
        rid = begin(on_server, catalog)
        write(catalog, rid, "Execution_Asset", "out.txt", on_server.tag.encode())
        record(catalog, rid)
        assert READ_NONE not in capsys.readouterr().err, "it may still read something"
        uploaded(catalog, rid)
        [line] = [line for line in capsys.readouterr().err.splitlines() if READ_NONE in line]
        assert line.startswith(f"warning: execution {rid} ") and "datasets= or assets=" in line
        # It is nothing that the run read: there is no content to it.
        assert [asset.filename for asset in catalog.assets_of(rid)] == ["out.txt"]
        catalog.send(rid)
        assert READ_NONE not in capsys.readouterr().err
    assert unknown_sources(on_server, rid) == (["Input"] if on_server.generation == "head" else [])
    if on_server.generation == "head":
        [seeded] = on_server.rows("File", URL=UNKNOWN_SOURCE)
        assert types_there(on_server, "File", seeded["RID"]) == {"Input_File"}
    assert on_server.pending() == []


def reads_a_file_there(place: Place, catalog: Recorder, rid: str) -> None:
    theirs = place.add_file("theirs.csv", place.tag.encode())
    catalog.link_asset(rid, catalog.lookup_asset(theirs), AssetRole.input)


def reads_a_local_file(place: Place, catalog: Recorder, rid: str) -> None:
    file = catalog.add_file(place.project.root / "pyproject.toml")
    catalog.link_asset(rid, file, AssetRole.input)


def reads_a_dataset(place: Place, catalog: Recorder, rid: str) -> None:
    catalog.link_dataset(rid, catalog.lookup_dataset(place.add_dataset("data", [])))


def makes_nothing(place: Place, catalog: Recorder, rid: str) -> None:
    for asset in [*catalog.staged(rid)]:
        asset.path.unlink()
    catalog.unstage(rid)


def fails(place: Place, catalog: Recorder, rid: str) -> None:
    catalog.commit(rid)
    catalog.update_execution(rid, Status.failed, "a cell raised")


@pytest.mark.parametrize(
    "does", [reads_a_file_there, reads_a_local_file, reads_a_dataset, makes_nothing, fails]
)
def test_no_other_run_has_an_unknown_source(
    on_server: Place, does: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that read something, made nothing beside its own record, or did not get to its end."""
    with closing(on_server.open()) as catalog:
        rid = begin(on_server, catalog)
        write(catalog, rid, "Execution_Asset", "out.txt", on_server.tag.encode())
        does(on_server, catalog, rid)
        write(catalog, rid, "Execution_Metadata", "env.json", b"{}", ["Runtime_Env"])
        catalog.commit(rid)
        if catalog.lookup_execution(rid).status is not Status.failed:
            catalog.update_execution(rid, Status.uploaded)
        catalog.send(rid)
    assert on_server.pending() == []
    assert unknown_sources(on_server, rid) == [] and READ_NONE not in capsys.readouterr().err


def test_a_catalog_can_be_made_from_nothing_and_recorded_into(double: DerivaDouble, tmp_path: Path) -> None:
    """What a live server is asked for where no catalog on it is given."""
    credential = double.credential()
    number = kinds.create_catalog(double.url, credential)
    with closing(Server(double.url, number, credential)) as server:
        made = Model(server.schema())
    with closing(Server(double.url, double.create_catalog("head"), credential)) as server:
        assert made.asset_tables == Model(server.schema()).asset_tables
    made_place = kinds.on_server(tmp_path / "project", double.url, number, credential)
    assert made_place.generation == "head"
    story(made_place)
    kinds.delete_catalog(double.url, number, credential)
    assert number not in double.ermrest.catalogs


@pytest.mark.parametrize("generation", ["head", "1.17.10"])
def test_the_tests_leave_nothing_in_a_catalog_that_was_given_to_them(
    double: DerivaDouble, tmp_path: Path, generation: str
) -> None:
    credential = double.credential()
    number = double.create_catalog(generation)
    before, objects = double.dump(number), double.objects()
    story(made := kinds.on_server(tmp_path / "project", double.url, number, credential))
    assert double.dump(number)["deriva-ml:Execution"] != before["deriva-ml:Execution"]
    made.clear()
    after = double.dump(number)
    assert {table: rows for table, rows in after.items() if rows != before[table]}.keys() <= {
        "public:ERMrest_Client"
    }
    assert double.objects() == objects


def story(place: Place) -> None:
    """A bit of everything that the tests of all kinds of catalogs do."""
    with closing(place.open()) as catalog:
        file = place.add_file("input.npz", place.tag.encode(), ["File"])
        dataset = place.add_dataset(
            "data", [file], [f"Data {place.tag}"], [place.add_dataset("inner", [file])]
        )
        sweep = catalog.add_execution(
            a_workflow(place, workflow_type=f"Sweep {place.tag}"), "a sweep", Owner.of()
        )
        rid = begin(place, catalog, number=2)
        catalog.nest(sweep, rid, 0)
        catalog.link_dataset(rid, catalog.lookup_dataset(dataset))
        catalog.link_asset(rid, catalog.lookup_asset(file), AssetRole.input)
        for table in ("Execution_Asset", "Execution_Metadata"):
            write(catalog, rid, table, "out.txt", f"{place.tag} out".encode(), [f"Type {place.tag}"])
        made: list[Asset] = record(catalog, rid)
        uploaded(catalog, rid)
        uploaded(catalog, sweep)
        assert len(made) == 2 and len(catalog.assets_of(rid)) == 3
        assert catalog.list_execution_children(sweep) in ([rid], [])
    assert place.pending() == []
