"""What every kind of catalog tells of what a record came from and what came of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from catalog_kinds import NOWHERE, Place, begin, record, uploaded, write
from deriva_double import DerivaDouble
from deriva_ml.definitions import RID, Asset, AssetRole
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import NotFound
from deriva_ml.records.finding import Finding
from deriva_ml.records.lineage import described, tree, walk
from domain_schema import DOMAIN
from recorder import Recorder


def run(
    place: Place, catalog: Recorder, number: int, made: str = "", datasets: Any = (), assets: Any = ()
) -> tuple[RID, list[Asset]]:
    """A run that read what is there, and made a file and one that describes it."""
    rid = begin(place, catalog, f"run {number}", number)
    for dataset in datasets:
        catalog.link_dataset(rid, catalog.lookup_dataset(dataset))
    for asset in assets:
        catalog.link_asset(rid, catalog.lookup_asset(asset), AssetRole.input)
    write(catalog, rid, "Execution_Metadata", f"env {number}.json", f"{place.tag} {number}".encode())
    if made:
        write(catalog, rid, "Execution_Asset", made, f"{place.tag} {made}".encode())
    assets = record(catalog, rid)
    uploaded(catalog, rid)
    return rid, [one for one in assets if one.table == "Execution_Asset"]


def lines(source: Any, rid: RID, up: bool) -> list[str]:
    """The tree, without the workflows' names."""
    start = source.links_from(rid)
    found = walk(start, up)
    return list(tree(found, described(start, [found])))


class ML(Finding):
    """The look-ups of a connection, without one."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog

    @property
    def catalog(self) -> Any:
        return self._catalog


def test_runs_are_followed_through_datasets_and_files_both_ways(place: Place, catalog: Recorder) -> None:
    file = place.add_file(f"raw-{place.tag}.csv", place.tag.encode())
    part = place.add_dataset("a part", [file])
    whole = place.add_dataset("the whole", [], nested=[part])
    train, [model] = run(place, catalog, 1, "model.npz", [whole])
    evaluate, _ = run(place, catalog, 2, "", [part], [model.rid])
    version = "1.0.0"
    with closing(place.open()) as opened:
        execution = f"{train}  execution Uploaded: Analysis"
        assert lines(opened, model.rid, up=True) == [
            f"  {execution}",
            f"    {whole}  dataset {version}: the whole",
            f"      {part}  dataset {version}: a part",
        ]
        # The dataset comes first where it was recorded first.
        assert sorted(lines(opened, evaluate, up=True)) == sorted(
            [
                f"  {part}  dataset {version}: a part",
                f"  {model.rid}  file model.npz",
                f"    {execution}",
                f"      {whole}  dataset {version}: the whole",
                f"        {part} (above)",
            ]
        )
        down = lines(opened, file, up=False)
        assert down[0] == f"  {part}  dataset {version}: a part"
        assert {line.split()[0] for line in down} == {part, whole, train, evaluate, model.rid}

        ml = ML(opened)
        result = ml.lookup_lineage(evaluate)
        assert result.lineage is not None
        assert (result.root.type, result.root.producing_execution) == ("Execution", result.lineage.execution)
        assert [one.asset_table for one in result.lineage.consumed_assets] == ["Execution_Asset"]
        assert [one.rid for one in result.lineage.consumed_datasets] == [part]
        [parent] = result.lineage.parents
        assert parent.execution.rid == train and parent.execution.status == "Uploaded"
        assert parent.execution.workflow is not None and parent.execution.workflow.name == "Analysis"
        assert [one.rid for one in ml.find_executions_consuming(model.rid)] == [evaluate]
        assert [one.rid for one in ml.find_executions_consuming(part)] == [evaluate]
        with pytest.raises(NotFound, match=f"no execution, dataset or file {NOWHERE}"):
            opened.links_from(NOWHERE)
        workflow = opened.lookup_execution(train).workflow.rid
        with pytest.raises(NotFound, match="names no execution, dataset or file: .* of kind workflow"):
            opened.links_from(workflow)


@pytest.fixture(params=["head", "head writer", "1.17.10", "1.17.10 writer"])
def on_server(
    request: pytest.FixtureRequest, tmp_path: Path, double: DerivaDouble, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A catalog of the double."""
    monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
    generation, _, user = request.param.partition(" ")
    return kinds.on_double(tmp_path / "project", double, generation, user or "admin")


def test_a_dataset_that_a_run_made_and_an_earlier_one_read_is_told_apart(on_server: Place) -> None:
    """The released deriva-ml joins a run to the datasets that it made, too, as if it had read them."""
    file = on_server.add_file("raw.csv", b"raw")
    dataset = on_server.add_dataset("data", [file])
    with closing(on_server.open()) as catalog:
        maker, _ = run(on_server, catalog, 1)
        reader, _ = run(on_server, catalog, 2, "", [dataset])
    assert on_server.curator is not None
    [version] = on_server.rows("Dataset_Version", Dataset=dataset)
    on_server.curator.update("deriva-ml:Dataset_Version", [{"RID": version["RID"], "Execution": maker}])
    on_server._insert("Dataset_Execution", {"Dataset": dataset, "Execution": maker})
    with closing(on_server.open()) as catalog:
        assert [line.split()[0] for line in lines(catalog, dataset, up=True)] == [maker]
        assert [line.split()[0] for line in lines(catalog, dataset, up=False)] == [reader]
        assert lines(catalog, maker, up=True) == []
        assert [line.split()[0] for line in lines(catalog, reader, up=True)] == [dataset, maker]


def test_a_source_that_nobody_knows_leads_to_nothing(on_server: Place) -> None:
    """A row of ``File`` that stands for it is that of every run which names none."""
    row = {"URL": UNKNOWN_SOURCE, "Filename": "unknown", "Length": 0, "MD5": "0" * 32}
    known = on_server.rows("File", URL=UNKNOWN_SOURCE)
    rid = known[0]["RID"] if known else on_server._insert("File", row)[0]
    with closing(on_server.open()) as catalog:
        reader, _ = run(on_server, catalog, 1)
    if not on_server.rows("File_Execution", File=rid, Execution=reader):
        on_server._insert("File_Execution", {"File": rid, "Execution": reader, "Asset_Role": "Input"})
    with closing(on_server.open()) as catalog:
        assert lines(catalog, reader, up=True) == []


def test_members_of_a_domains_table_lead_to_the_run_that_made_them(on_server: Place) -> None:
    assert on_server.curator is not None
    number = on_server.curator.catalog_id
    on_server.curator.request("post", f"/ermrest/catalog/{number}/schema", json=[DOMAIN])
    with closing(on_server.open()) as catalog:
        rid = begin(on_server, catalog)
        write(catalog, rid, "Scan Image", "scan 1.png", b"pixels", ["Output_File"])
        [asset] = record(catalog, rid)
        uploaded(catalog, rid)
        assert lines(catalog, rid, up=False) == [f"  {asset.rid}  file scan 1.png"]
        assert lines(catalog, asset.rid.lower(), up=True) == [f"  {rid}  execution Uploaded: Analysis"]


def test_a_level_costs_a_request_a_table_however_many_runs_it_has(
    on_server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    get = Server.get

    def counted(self: Server, path: str, **options: Any) -> Any:
        asked.append(path)
        return get(self, path, **options)

    file = on_server.add_file("raw.csv", b"raw")
    with closing(on_server.open()) as catalog:
        run(on_server, catalog, 1, "", (), [file])
        once = _requests(catalog, file, asked, monkeypatch, counted)
        for number in range(2, 4):
            run(on_server, catalog, number, "", (), [file])
        assert _requests(catalog, file, asked, monkeypatch, counted) == once


def _requests(
    catalog: Recorder, rid: RID, asked: list[str], monkeypatch: pytest.MonkeyPatch, counted: Any
) -> int:
    with monkeypatch.context() as patched:
        patched.setattr(Server, "get", counted)
        asked.clear()
        lines(catalog, rid, up=False)
        return len(asked)
