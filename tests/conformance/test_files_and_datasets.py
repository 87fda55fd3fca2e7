"""What every kind of catalog promises to a run of files and datasets, and of what it does not have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from catalog_kinds import NOWHERE, Place, begin, record, uploaded, write
from deriva_ml.definitions import AssetRole
from deriva_ml.exceptions import DerivaMLRequestError
from recorder import Recorder


def test_outputs_of_several_tables_are_recorded_with_all_that_describes_them(
    place: Place, catalog: Recorder
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
        directional = set() if place.generation == "embedded" else {"Output_File"}
        assert set(asset.types) == set(types[name]) | directional
        assert (asset.role, asset.description) == (AssetRole.output, f"the *{name}*")
        assert asset.table == ("Execution_Metadata" if name == "env.json" else "Execution_Asset")
        assert asset.url.startswith(f"/hatrac/{asset.table}/{asset.md5}.")
        assert catalog.lookup_asset(asset.rid) == replace(asset, role=None)
        assert catalog.executions_of(asset) == [(rid, AssetRole.output)]
    assert new in {row["Name"] for row in place.rows("Asset_Type")}
    assert place.pending() == []


def test_the_same_content_and_name_is_one_asset_of_both_executions(place: Place, catalog: Recorder) -> None:
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
    place: Place, catalog: Recorder
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


def test_one_file_may_be_read_by_one_execution_and_made_by_another(place: Place, catalog: Recorder) -> None:
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


def test_a_local_file_that_was_read_is_recorded_once(place: Place, catalog: Recorder, tmp_path: Path) -> None:
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


def test_contents_come_back_read_only_and_verified(place: Place, catalog: Recorder, tmp_path: Path) -> None:
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


def test_a_commit_leaves_out_what_was_never_written(place: Place, catalog: Recorder) -> None:
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


@pytest.fixture
def study(place: Place) -> tuple[str, str, list[str]]:
    """A dataset, one nested in it, and the files of the two."""
    files = [place.add_file(f"{name}.npz", f"{place.tag} {name}".encode()) for name in ("train", "test")]
    inner = place.add_dataset("held out", files[1:], [f"Testing {place.tag}"])
    return place.add_dataset("all *images*", files[:1], [f"All {place.tag}"], [inner]), inner, files


def test_a_dataset_is_found_with_its_version_members_and_nested_ones(
    place: Place, catalog: Recorder, study: tuple[str, str, list[str]]
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
    place: Place, catalog: Recorder, study: tuple[str, str, list[str]]
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


def lookups(catalog: Recorder) -> dict[str, Callable[[str], object]]:
    """Every question that is asked with an RID."""
    return {
        "execution": catalog.lookup_execution,
        "asset": catalog.lookup_asset,
        "dataset": catalog.lookup_dataset,
    }


def test_an_rid_that_is_not_there_is_refused_in_one_line(place: Place, catalog: Recorder) -> None:
    for rid, (wanted, look_up) in product(
        [NOWHERE, "DEMO-NONE", "no RID/at all?", ""], lookups(catalog).items()
    ):
        with pytest.raises(DerivaMLRequestError, match=f"there is no {wanted} {re.escape(rid)}") as refused:
            look_up(rid)
        assert "\n" not in str(refused.value)


def test_an_rid_of_something_else_is_refused_saying_what_it_is(place: Place, catalog: Recorder) -> None:
    execution = begin(place, catalog)
    file = place.add_file("some.txt", place.tag.encode())
    given = {"execution": execution, "asset": file, "dataset": place.add_dataset("some", [file])}
    for (kind, rid), (wanted, look_up) in product(given.items(), lookups(catalog).items()):
        if kind != wanted:
            with pytest.raises(DerivaMLRequestError, match=f"{rid} names no {wanted}") as refused:
                look_up(rid)
            assert f"of kind {kind}" in str(refused.value) and "\n" not in str(refused.value)


def test_a_version_that_a_dataset_does_not_have_is_refused_with_those_it_has(
    place: Place, catalog: Recorder, study: tuple[str, str, list[str]]
) -> None:
    with pytest.raises(DerivaMLRequestError, match=r"no version 7\.0\.0; it has 1\.0\.0"):
        catalog.lookup_dataset(study[0], "7.0.0")


def test_an_asset_table_that_is_not_there_is_not_offered(place: Place, catalog: Recorder) -> None:
    assert {"Execution_Asset", "Execution_Metadata", "File"} <= set(catalog.asset_tables())
    assert not {"Execution", "Nonsense", "Asset_Type"} & set(catalog.asset_tables())
