"""Assets are found in whichever table they are, and what was found is known without the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml.definitions import Asset, Dataset
from deriva_ml.deriva.lookup import datasets_of, find_assets, not_found
from deriva_ml.deriva.offline import OfflineCache
from deriva_ml.exceptions import DerivaMLRequestError
from remote_datasets.study import Study, file_row, md5_of, workflow_type


def test_assets_are_found_whichever_table_they_are_in_with_their_types(study: Study) -> None:
    [file] = study.files("File", "a.csv", Description="numbers")
    [scan] = study.files("Scan Image", "b.tif")
    study.add("File_Asset_Type", *({"File": file, "Asset_Type": one} for one in ("Output_File", "File")))
    study.add("Scan Image_Asset_Type", {"Scan Image": scan, "Asset_Type": "Model_File"})
    found = find_assets(study.server, [scan, file, scan])
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
    assert [asset.rid for asset in find_assets(study.server, wanted)] == wanted
    assert len(study.double.log) == 7
    made = study.files("Execution_Asset", *(f"{n}.npz" for n in range(50)))
    study.double.log.clear()
    assert [asset.rid for asset in find_assets(study.server, made)] == made
    assert len(study.double.log) == 2
    study.double.log.clear()
    assert find_assets(study.server, []) == [] and len(study.double.log) == 0


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
        find_assets(study.server, [*study.files("File", "a.csv"), record[wanted]])


def test_a_name_in_the_catalog_is_never_a_way_out_of_a_folder(study: Study) -> None:
    [file] = study.add("File", {**file_row("File", "x"), "Filename": "../../.ssh/authorized_keys"})
    [asset] = find_assets(study.server, [file])
    assert asset.filename == ".._.._.ssh_authorized_keys"


def test_another_record_is_refused_saying_what_it_is(study: Study) -> None:
    [file] = study.files("File", "a.csv")
    assert "names no execution" in str(not_found(study.server, file, "execution"))
    assert "there is no execution 9-ZZZZ" in str(not_found(study.server, "9-ZZZZ", "execution"))


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
    [found] = datasets_of(study.server, execution)
    assert (found.rid, found.description, found.version) == (dataset, "read", "1.0.0" if linked else "")
    assert datasets_of(study.server, "9-ZZZZ") == []


def test_what_was_found_is_known_without_the_server(study: Study, tmp_path: Path) -> None:
    inner = study.dataset("inner", File=study.files("File", "a.csv"))
    outer = study.dataset("outer", Dataset=[inner])
    study.version(outer, "1.0.0")
    study.version(outer, "2.0.0")
    older, newer = study.find(outer, "1.0.0"), study.find(outer)
    [asset] = find_assets(study.server, [older.nested[0].members["File"][0]["RID"]])

    known = OfflineCache(tmp_path / "known")
    known.keep_dataset(older, "1.0.0")
    assert OfflineCache(tmp_path / "known").dataset(outer) is None, "which one is the newest was not asked"
    known.keep_dataset(newer, None)
    known.keep_asset(asset)
    known.current_schema(study.server)

    known = OfflineCache(tmp_path / "known")
    assert known.dataset(outer) == known.dataset(outer, "2.0.0") == newer
    assert known.dataset(outer.lower(), "1.0.0") == older
    assert known.asset(asset.rid) == asset
    assert known.schema() == study.server.schema()
    assert known.dataset(outer, "3.0.0") is None and known.asset("9-ZZZZ") is None


def test_what_is_kept_stays_in_its_folder_and_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    known = OfflineCache(tmp_path / "known")
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
    known = OfflineCache(tmp_path / "known")
    known._keep("schema", {"schemas": {}})
    known.keep_asset(Asset("1-A", "File", "x", 1, "0", "/hatrac/x"))
    assert (known.schema(), known.asset("1-A")) == (None, None)
