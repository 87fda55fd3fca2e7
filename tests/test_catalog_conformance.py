"""What every kind of catalog promises to a run: the project's own, and Deriva's of either generation.

A live server takes part where ``DERIVA_TEST_HOST`` names one; see ``catalog_kinds``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place, a_workflow, begin, record, write
from deriva_double import DerivaDouble
from deriva_ml.catalog.protocol import Catalog
from deriva_ml.catalog.remote.model import Model
from deriva_ml.catalog.remote.server import Server
from deriva_ml.definitions import Asset, AssetRole, Dataset, Status, format_duration
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import Owner
from domain_schema import DOMAIN

NOWHERE = "9-ZZZZ-ZZZZ"
"""An RID that no catalog has given yet."""


@pytest.fixture(scope="module")
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        yield running


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[str, str]]:
    """The live server and the catalog on it."""
    host, credential = str(kinds.HOST), kinds.live_credential()
    given = os.environ.get("DERIVA_TEST_CATALOG")
    catalog = given or kinds.create_catalog(host, credential)
    yield host, catalog
    if given is None:
        kinds.delete_catalog(host, catalog, credential)


@pytest.fixture(params=kinds.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A catalog of each kind; what the test brought to a live server is removed."""
    root, kind = tmp_path / "project", request.param
    if kind == "embedded":
        yield kinds.embedded(root)
    elif kind == "live":
        host, number = request.getfixturevalue("live")
        made = kinds.on_server(root, host, number, kinds.live_credential())
        yield made
        made.clear()
    else:
        monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
        generation, _, user = kind.partition(" ")
        yield kinds.on_double(root, request.getfixturevalue("double"), generation, user or "admin")


@pytest.fixture
def catalog(place: Place) -> Iterator[Catalog]:
    """The catalog, open."""
    with closing(place.open()) as opened:
        yield opened


def status_there(place: Place, execution: str) -> tuple[str, str]:
    """An execution's status and reason as the catalog itself has them."""
    [row] = place.rows("Execution", RID=execution)
    return row["Status"], row["Status_Detail"]


def uploaded(catalog: Catalog, execution: str, **durations: str) -> None:
    """End an execution well."""
    catalog.update_execution(execution, Status.uploaded, "", **durations)
    catalog.send(execution)


# Executions


def test_an_execution_is_followed_from_created_to_uploaded(place: Place, catalog: Catalog) -> None:
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
def test_a_run_that_ends_badly_says_why(place: Place, catalog: Catalog, status: Status) -> None:
    rid = begin(place, catalog)
    catalog.update_execution(rid, Status.running)
    catalog.update_execution(rid, status, "ValueError: naïve\nsecond line")
    catalog.send(rid)
    assert status_there(place, rid) == (status.value, "ValueError: naïve\nsecond line")
    with closing(place.open()) as again:
        assert again.lookup_execution(rid).status is status
        assert again.lookup_execution(rid).status_detail == "ValueError: naïve\nsecond line"
    assert place.pending() == []


def test_newest_executions_come_first_and_can_be_limited_or_filtered(place: Place, catalog: Catalog) -> None:
    first, second, third = (begin(place, catalog, f"run {number}") for number in range(3))
    catalog.update_execution(second, Status.failed, "no")
    uploaded(catalog, third)
    catalog.send(second)
    assert [one.rid for one in catalog.find_executions(limit=2)] == [third, second]
    assert [one.rid for one in catalog.find_executions()][:3] == [third, second, first]
    assert catalog.find_executions(limit=1, status=Status.failed)[0].rid == second
    found = catalog.find_executions(limit=1, status=Status.uploaded)[0]
    assert (found.rid, found.workflow.name, found.description) == (third, "Analysis", "run 2")


def test_a_sweeps_executions_are_nested_in_order(place: Place, catalog: Catalog) -> None:
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


# Workflows


def test_a_workflow_is_found_by_its_checksum_the_second_time(place: Place, catalog: Catalog) -> None:
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


def test_a_new_type_of_workflow_becomes_a_term(place: Place, catalog: Catalog) -> None:
    """A catalog of 1.17.10 has one type a workflow: the first."""
    types = [f"New {place.tag}", f"Newer {place.tag}"]
    rid = catalog.add_execution(a_workflow(place, workflow_type=types), "", Owner.of())
    uploaded(catalog, rid)
    terms = {row["Name"]: row for row in place.rows("Workflow_Type")}
    assert types[0] in terms and terms[types[0]]["URI"]
    with closing(place.open()) as again:
        found = again.lookup_execution(rid).workflow
    assert sorted(found.types) == (types[:1] if place.generation == "1.17.10" else types)


# Files


def test_outputs_of_several_tables_are_recorded_with_all_that_describes_them(
    place: Place, catalog: Catalog
) -> None:
    rid = begin(place, catalog)
    new = f"Weights {place.tag}"
    contents = {"table é.csv": b"a,b\n", "model.bin": bytes(range(256)), "empty.txt": b"", "env.json": b"{}"}
    types = {
        "table é.csv": ("Output_File",),
        "model.bin": ("Model_File", new),
        "empty.txt": (),
        "env.json": ("Runtime_Env",),
    }
    for name, content in contents.items():
        table = "Execution_Metadata" if name == "env.json" else "Execution_Asset"
        write(catalog, rid, table, name, place.tag.encode() + content, types[name], f"the *{name}*")
    returned = record(catalog, rid)
    uploaded(catalog, rid)

    found = {asset.filename: asset for asset in catalog.assets_of(rid)}
    assert found.keys() == contents.keys()
    assert {asset.rid for asset in returned} == {asset.rid for asset in found.values()}
    for name, content in contents.items():
        whole = place.tag.encode() + content
        asset = found[name]
        assert (asset.length, asset.md5) == (len(whole), hashlib.md5(whole).hexdigest())
        assert set(asset.types) == set(types[name])
        assert (asset.role, asset.description) == (AssetRole.output, f"the *{name}*")
        assert asset.table == ("Execution_Metadata" if name == "env.json" else "Execution_Asset")
        assert asset.url.startswith(f"/hatrac/{asset.table}/{asset.md5}.")
        assert catalog.lookup_asset(asset.rid) == replace(asset, role=None)
        assert catalog.executions_of(asset) == [(rid, AssetRole.output)]
    assert new in {row["Name"] for row in place.rows("Asset_Type")}
    assert place.pending() == []


def test_the_same_content_and_name_is_one_asset_of_both_executions(place: Place, catalog: Catalog) -> None:
    content = f"lock {place.tag}".encode()
    found = []
    for number in range(2):
        rid = begin(place, catalog, f"run {number}")
        write(catalog, rid, "Execution_Metadata", "uv.lock", content, ["Runtime_Env"])
        [asset] = record(catalog, rid)
        uploaded(catalog, rid)
        found.append((rid, asset))
    (first, one), (second, other) = found
    assert one.rid == other.rid
    assert len(place.rows("Execution_Metadata", MD5=one.md5)) == 1
    assert sorted(catalog.executions_of(one)) == sorted(
        [(first, AssetRole.output), (second, AssetRole.output)]
    )


def test_names_that_differ_only_in_what_servers_refuse_are_no_obstacle(
    place: Place, catalog: Catalog
) -> None:
    """The same content, as ``a b`` and ``a+b``: Hatrac has one name for both."""
    rid = begin(place, catalog)
    for name in ("a b.txt", "a+b.txt"):
        write(catalog, rid, "Execution_Asset", name, place.tag.encode())
    recorded = record(catalog, rid)
    uploaded(catalog, rid)
    found = catalog.assets_of(rid)
    assert {asset.filename for asset in found} <= {"a b.txt", "a+b.txt"} and found
    assert {asset.rid for asset in recorded} == {asset.rid for asset in found}
    assert place.pending() == []


def test_one_file_may_be_read_by_one_execution_and_made_by_another(place: Place, catalog: Catalog) -> None:
    maker = begin(place, catalog, "makes")
    write(catalog, maker, "Execution_Asset", "weights.npz", place.tag.encode(), ["Model_File"])
    [made] = record(catalog, maker)
    uploaded(catalog, maker)
    with closing(place.open()) as later:
        reader = begin(place, later, "reads")
        later.link_asset(reader, later.lookup_asset(made.rid), AssetRole.input)
        uploaded(later, reader)
        [read] = later.assets_of(reader)
        assert (read.rid, read.role) == (made.rid, AssetRole.input)
        assert sorted(later.executions_of(read)) == sorted(
            [(maker, AssetRole.output), (reader, AssetRole.input)]
        )
    assert place.pending() == []


def test_a_local_file_that_was_read_is_recorded_once(place: Place, catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "measured.csv").write_text(f"x\n{place.tag}\n")
    rids = []
    for _ in range(2):
        execution = begin(place, catalog)
        asset = catalog.add_file(tmp_path / "measured.csv", "by hand", ["Input_File"])
        catalog.link_asset(execution, asset, AssetRole.input)
        uploaded(catalog, execution)
        [read] = catalog.assets_of(execution)
        assert (read.table, read.filename, read.role) == ("File", "measured.csv", AssetRole.input)
        assert (read.types, read.description) == (("Input_File",), "by hand")
        rids.append(read.rid)
    assert rids[0] == rids[1]
    assert len(place.rows("File", MD5=read.md5)) == 1


def test_contents_come_back_read_only_and_verified(place: Place, catalog: Catalog, tmp_path: Path) -> None:
    contents = {name: f"{place.tag} {name}".encode() for name in ("one.bin", "two.bin")}
    files = [place.add_file(name, content) for name, content in contents.items()]
    assets = catalog.lookup_assets(files)
    assert [asset.filename for asset in assets] == ["one.bin", "two.bin"], "in the order of the RIDs"
    catalog.fetch(assets[0], tmp_path / "a" / "one.bin")
    catalog.fetch_all([(asset, tmp_path / "b" / asset.filename) for asset in assets])
    for path in (tmp_path / "a" / "one.bin", tmp_path / "b" / "one.bin", tmp_path / "b" / "two.bin"):
        assert path.read_bytes() == contents[path.name]
        assert not path.stat().st_mode & 0o222
    assert Path(catalog.locate(assets[0])).read_bytes() == contents["one.bin"]


def test_a_commit_leaves_out_what_was_never_written(place: Place, catalog: Catalog) -> None:
    rid = begin(place, catalog)
    written = write(catalog, rid, "Execution_Asset", "there.txt", place.tag.encode())
    late = write(catalog, rid, "Execution_Asset", "late.txt", None)
    recorded, missing = catalog.commit(rid)
    assert [asset.filename for asset in recorded] == ["there.txt"] and not written.exists()
    assert (
        [item.filename for item in missing] == ["late.txt"] == [one.filename for one in catalog.staged(rid)]
    )
    late.write_text(f"late {place.tag}")
    assert [asset.filename for asset in record(catalog, rid)] == ["late.txt"]
    kept = write(catalog, rid, "Execution_Asset", "kept.txt", f"kept {place.tag}".encode())
    write(catalog, rid, "Execution_Asset", "never.txt", None)
    catalog.commit(rid, keep=True)
    assert kept.exists()
    catalog.unstage(rid)
    assert catalog.staged(rid) == []
    uploaded(catalog, rid)
    assert {one.filename for one in catalog.assets_of(rid)} == {"there.txt", "late.txt", "kept.txt"}
    assert place.pending() == []


# Datasets


@pytest.fixture
def study(place: Place) -> tuple[str, str, list[str]]:
    """A dataset, one nested in it, and the files of the two."""
    files = [place.add_file(f"{name}.npz", f"{place.tag} {name}".encode()) for name in ("train", "test")]
    inner = place.add_dataset("held out", files[1:], [f"Testing {place.tag}"])
    return place.add_dataset("all *images*", files[:1], [f"All {place.tag}"], [inner]), inner, files


def test_a_dataset_is_found_with_its_version_members_and_nested_ones(
    place: Place, catalog: Catalog, study: tuple[str, str, list[str]]
) -> None:
    outer, inner, files = study
    for version in (None, "1.0.0"):
        found = catalog.lookup_dataset(outer, version)
        assert (found.rid, found.version, found.description) == (outer, "1.0.0", "all *images*")
        assert found.types == (f"All {place.tag}",)
        [member] = found.members["File"]
        assert (member["RID"], member["Filename"]) == (files[0], "train.npz")
        [nested] = found.nested
        assert (nested.rid, nested.version, nested.members["File"][0]["RID"]) == (inner, "1.0.0", files[1])


def test_a_dataset_that_was_read_is_linked_at_its_version(
    place: Place, catalog: Catalog, study: tuple[str, str, list[str]]
) -> None:
    """A catalog of 1.17.10 joins executions to datasets, and not to their versions."""
    rid = begin(place, catalog)
    dataset = catalog.lookup_dataset(study[0])
    catalog.link_dataset(rid, dataset)
    uploaded(catalog, rid)
    [read] = catalog.datasets_of(rid)
    version = "" if place.generation == "1.17.10" else "1.0.0"
    assert (read.rid, read.version, read.description) == (study[0], version, "all *images*")
    assert read.members == {} and read.nested == ()
    [link] = place.rows("Dataset_Execution", Execution=rid)
    assert link["Dataset"] == study[0]
    if version:
        assert link["Dataset_Version"] == dataset.version_rid
    assert place.pending() == []
    assert catalog.datasets_of(begin(place, catalog)) == []


# What is not there


def lookups(catalog: Catalog) -> dict[str, Callable[[str], object]]:
    """Every question that is asked with an RID."""
    return {
        "execution": catalog.lookup_execution,
        "asset": catalog.lookup_asset,
        "dataset": catalog.lookup_dataset,
    }


def test_an_rid_that_is_not_there_is_refused_in_one_line(place: Place, catalog: Catalog) -> None:
    for rid, (wanted, look_up) in product(
        [NOWHERE, "DEMO-NONE", "no RID/at all?", ""], lookups(catalog).items()
    ):
        with pytest.raises(DerivaMLRequestError, match=f"there is no {wanted} {re.escape(rid)}") as refused:
            look_up(rid)
        assert "\n" not in str(refused.value)


def test_an_rid_of_something_else_is_refused_saying_what_it_is(place: Place, catalog: Catalog) -> None:
    execution = begin(place, catalog)
    file = place.add_file("some.txt", place.tag.encode())
    given = {"execution": execution, "asset": file, "dataset": place.add_dataset("some", [file])}
    for (kind, rid), (wanted, look_up) in product(given.items(), lookups(catalog).items()):
        if kind != wanted:
            with pytest.raises(DerivaMLRequestError, match=f"{rid} names no {wanted}") as refused:
                look_up(rid)
            assert f"of kind {kind}" in str(refused.value) and "\n" not in str(refused.value)


def test_a_version_that_a_dataset_does_not_have_is_refused_with_those_it_has(
    place: Place, catalog: Catalog, study: tuple[str, str, list[str]]
) -> None:
    with pytest.raises(DerivaMLRequestError, match=r"no version 7\.0\.0; it has 1\.0\.0"):
        catalog.lookup_dataset(study[0], "7.0.0")


def test_an_asset_table_that_is_not_there_is_not_offered(place: Place, catalog: Catalog) -> None:
    assert {"Execution_Asset", "Execution_Metadata", "File"} <= set(catalog.asset_tables())
    assert not {"Execution", "Nonsense", "Asset_Type"} & set(catalog.asset_tables())


# Names


def test_a_record_is_cited_by_an_address_that_stays(place: Place, catalog: Catalog) -> None:
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


# A server's catalog in particular


@pytest.fixture(params=["head", "1.17.10", "1.17.10 writer"])
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


def test_a_dataset_of_the_project_is_sent_with_the_run_that_reads_it(
    on_server: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the demonstration's is, which has an RID that no server gives."""
    with closing(on_server.open()) as catalog:
        local = catalog.local  # type: ignore[attr-defined]
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
        if (
            on_server.user == "writer"
        ):  # datasets have no key by which one whose answer was lost is found again
            assert (
                "ask the catalog's owner for the right to insert into public:ERMrest_RID_Lease"
                in capsys.readouterr().err
            )
            assert len(on_server.pending()) == 2 and catalog.lookup_execution(rid).status == "Pending_Upload"
            return
        there = [_read(catalog, rid) for rid in rids]
    assert there[0] == there[1]
    assert (there[0].description, set(there[0].types), there[0].version) == (
        "outer",
        {"Complete", "New"},
        "2.1.0",
    )
    [nested] = there[0].nested
    assert [row["Filename"] for row in nested.members["File"]] == ["train.npz"]


def _read(catalog: Catalog, execution: str) -> Dataset:
    [found] = catalog.datasets_of(execution)
    return catalog.lookup_dataset(found.rid)


# What the released deriva-ml reads

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
            [term] = place.rows(f"{table}_Asset_Type", **{table: asset["RID"]})
            if table == "Execution_Metadata":
                assert asset["Filename"] == f"{term['Asset_Type']}.json"


# The live server's part, tried on the double


def test_a_catalog_can_be_made_from_nothing_and_recorded_into(double: DerivaDouble, tmp_path: Path) -> None:
    """What a live server is asked for where no catalog on it is given."""
    credential = double.credential()
    number = kinds.create_catalog(double.url, credential)
    with Server(double.url, number, credential) as server:
        made = Model(server.schema())
    with Server(double.url, double.create_catalog("head"), credential) as server:
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
    """A bit of everything that the tests above do."""
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
