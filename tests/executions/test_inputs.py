"""What an execution reads is found, fetched and linked, or refused before anything is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLException, DerivaMLRequestError
from deriva_ml.asset import AssetFilePath, LocalFile
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.dataset import DatasetSpec
from deriva_ml.definitions import Asset
from deriva_ml.signals import Terminated
from executions.runs import start


def test_declared_inputs_are_fetched_read_only_and_linked(ml: DerivaML) -> None:
    first = start(ml)
    first.asset_file_path("Execution_Asset", "weights.npz").write_bytes(b"w")
    [weights] = first.commit_output_assets()["Execution_Asset"]
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    dataset = ml.catalog.add_dataset("numbers", [file.rid], ["Training"], "1.0.0")  # type: ignore[attr-defined]

    second = start(ml, datasets=[dataset], assets=[weights.asset_rid, LocalFile("data.csv")])
    [bag] = second.datasets
    [path] = second.asset_paths["Execution_Asset"]
    assert isinstance(path, AssetFilePath) and path.read_bytes() == b"w" and not path.stat().st_mode & 0o222
    assert [p.read_text() for p in bag.asset_paths["File"]] == ["1,2"]
    assert list(bag.get_table_as_dataframe("File")["RID"]) == [file.rid]
    assert second.download_dataset_bag(dataset) is bag
    inputs = [a.filename for a in ml.catalog.assets_of(second.execution_rid) if a.role == "Input"]
    assert sorted(inputs) == ["data.csv", "weights.npz"]
    assert [d.rid for d in ml.catalog.datasets_of(second.execution_rid)] == [dataset]


def test_datasets_may_be_given_as_versions_by_rid(ml: DerivaML) -> None:
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    inner = ml.catalog.add_dataset("inner", [file.rid], version="1.0.0")  # type: ignore[attr-defined]
    outer = ml.catalog.add_dataset("outer", [], version="2.0.0", nested=[inner])  # type: ignore[attr-defined]
    one, other = start(ml, datasets={outer: "2.0.0", inner: None}).datasets
    assert (one.dataset_rid, one.version, other.dataset_rid, other.version) == (
        outer,
        "2.0.0",
        inner,
        "1.0.0",
    )
    [child] = one.list_dataset_children()
    assert (child.dataset_rid, child.version) == (inner, "1.0.0")
    assert [p.read_text() for p in one.asset_paths["File"]] == ["1,2"], "nested datasets' files are there"


def test_rows_without_files_when_a_dataset_is_not_materialized(ml: DerivaML) -> None:
    Path("data.csv").write_text("1,2")
    file = ml.catalog.add_file(Path("data.csv"))
    dataset = ml.catalog.add_dataset("numbers", [file.rid])  # type: ignore[attr-defined]
    [bag] = start(ml, datasets=[DatasetSpec(dataset, materialize=False)]).datasets
    [row] = bag.list_dataset_members()["File"]
    assert (row["Filename"], row["MD5"]) == ("data.csv", file.md5)
    assert bag.asset_paths == {"File": []} and not list(bag.path.iterdir())


def test_a_file_that_the_catalog_only_refers_to_is_refused_as_an_input(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than by a run that fails once it has begun."""
    reference = Asset("1-FAR0", "File", "far.csv", 1, "0" * 32, "https://www.example.org/far.csv")
    monkeypatch.setattr(EmbeddedCatalog, "lookup_assets", lambda self, rids: [reference])
    with pytest.raises(
        DerivaMLRequestError, match=r"asset 1-FAR0 \(far.csv\) cannot be fetched: .*example.org"
    ):
        start(ml, assets=["1-FAR0"])
    assert ml.find_executions() == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"assets": ["9-ZZZZ"]}, "there is no asset 9-ZZZZ"),
        ({"datasets": ["9-ZZZZ"]}, "there is no dataset 9-ZZZZ"),
        ({"assets": [LocalFile("no.csv")]}, "the input file no.csv does not exist"),
        ({"assets": [42]}, "42 does not name an input"),
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_recorded(
    ml: DerivaML, inputs: dict[str, object], message: str
) -> None:
    with pytest.raises(DerivaMLRequestError, match=message):
        start(ml, **inputs)
    assert ml.find_executions() == []


ID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{ID}\nsize 12345\n"
POINTERS = {
    "as git writes it": POINTER,
    "with Windows's line ends": POINTER.replace("\n", "\r\n"),
    "without the last line end": POINTER.removesuffix("\n"),
    "with an extension": POINTER.replace("oid", f"ext-0-foo sha256:{ID}\noid"),
}
NO_POINTERS = {
    "empty": "",
    "a table": "length\n5.1\n",
    "only the first line": "version https://git-lfs.github.com/spec/v1\n",
    "a text about them": f"So looks one:\n\n{POINTER}",
    "longer than one can be": POINTER + "x" * 1024,
}


@pytest.mark.parametrize("content", POINTERS.values(), ids=POINTERS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_git_lfs_left_for_a_file_is_refused_before_anything_is_recorded(
    ml: DerivaML, content: str, dry_run: bool
) -> None:
    (ml.project.root / "data").mkdir()
    (ml.project.root / "data" / "scan.tif").write_bytes(content.encode())
    with pytest.raises(DerivaMLRequestError) as refused:
        start(ml, dry_run, assets=[LocalFile("data/scan.tif")])
    assert str(refused.value) == (
        "the input file data/scan.tif is a Git LFS pointer, not the file: git lfs pull"
    )
    assert ml.find_executions() == []


@pytest.mark.parametrize("content", NO_POINTERS.values(), ids=NO_POINTERS)
def test_a_file_that_only_resembles_such_a_pointer_is_an_input(ml: DerivaML, content: str) -> None:
    (ml.project.root / "notes.txt").write_bytes(content.encode())
    execution = start(ml, assets=[LocalFile("notes.txt")])
    assert execution.asset_paths["File"][0].read_bytes() == content.encode()


def test_a_text_is_always_an_rid_and_never_a_path(ml: DerivaML) -> None:
    """No text that comes from elsewhere makes the runner read a file."""
    with pytest.raises(DerivaMLRequestError, match="there is no asset pyproject.toml"):
        start(ml, assets=["pyproject.toml"])


def test_a_child_of_the_path_is_a_plain_path(ml: DerivaML) -> None:
    path = start(ml).asset_file_path("Execution_Asset", "x.txt")
    assert type(path.parent / "y") is not AssetFilePath or (path.parent / "y").asset_rid is None
    assert path.with_suffix(".md").name == "x.md"


def test_after_a_failure_the_inputs_are_still_there_to_try_again(ml: DerivaML) -> None:
    Path("d.csv").write_text("1")
    execution = start(ml, assets=[LocalFile("d.csv")])
    with pytest.raises(ValueError), execution.execute():
        raise ValueError
    with execution.execute():
        assert execution.asset_paths["File"][0].read_text() == "1"


def test_inputs_that_were_not_declared_say_what_to_choose(ml: DerivaML) -> None:
    Path("d.csv").write_text("1")
    execution = start(ml, assets=[LocalFile("d.csv")])
    files = execution.asset_paths
    assert (list(files), "Image" in files, files.get("Image"), len(files)) == (["File"], False, None, 1)
    with pytest.raises(KeyError) as lacking:
        files["Image"]
    assert str(lacking.value).startswith(
        "there are no files of Image here, only of File: choose inputs with assets="
    )
    assert isinstance(lacking.value, DerivaMLException)
    with pytest.raises(
        DerivaMLException, match="no files of File here, nor of any other table: choose inputs"
    ):
        start(ml).asset_paths["File"]


def test_datasets_that_were_not_declared_say_what_to_choose(ml: DerivaML) -> None:
    execution = start(ml)
    assert (list(execution.datasets), execution.datasets[:1], len(execution.datasets)) == ([], [], 0)
    with pytest.raises(
        IndexError, match=r"^there is no dataset \[0\] here, of 0; choose some with datasets="
    ):
        execution.datasets[0]
    Path("d.csv").write_text("1")
    dataset = ml.catalog.add_dataset("one", [ml.catalog.add_file(Path("d.csv")).rid], [], "1.0.0")  # type: ignore[attr-defined]
    bags = start(ml, datasets=[dataset]).datasets
    bag = bags[-1]
    assert bags[dataset] is bag and dataset in bags and "9-ZZZZ" not in bags and bag in bags
    assert (bags.keys(), bags.values(), bags.items()) == ([dataset], [bag], [(dataset, bag)])
    with pytest.raises(
        KeyError, match=r"^there is no dataset \[9-ZZZZ\] here, of 1; choose some with datasets="
    ):
        bags["9-ZZZZ"]
    with pytest.raises(KeyError, match="there are no files of Image here, only of File: choose inputs"):
        bag.asset_paths["Image"]


@pytest.mark.parametrize(
    ("error", "how"),
    [(KeyboardInterrupt, "interrupted"), (Terminated, "terminated (SIGTERM) in job 7 of Slurm")],
)
def test_an_interrupted_fetch_ends_the_execution(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], how: str
) -> None:
    def stop(*arguments: object) -> None:
        raise error

    Path("d.csv").write_text("1")
    monkeypatch.setattr(EmbeddedCatalog, "fetch_all", stop)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(error):
        start(ml, assets=[LocalFile("d.csv")])
    [record] = ml.find_executions()
    assert (record.status, record.status_detail) == ("Aborted", f"fetching the inputs was {how}")


def test_an_asset_can_be_fetched_without_being_linked(ml: DerivaML, tmp_path: Path) -> None:
    Path("d.csv").write_text("1")
    file = ml.catalog.add_file(Path("d.csv"))
    execution = start(ml)
    path = execution.download_asset(file.rid, tmp_path / "here", update_catalog=False)
    assert path.read_text() == "1" and ml.catalog.assets_of(execution.execution_rid) == []
