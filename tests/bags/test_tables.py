"""A CSV or Parquet file of a dataset is also a table of its bag."""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bags.conftest import Make
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

LABELS = "file,label,weight\na.png,cat,1.5\nb.png,dog,\n"


@pytest.fixture
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project without pandas."""
    monkeypatch.setitem(sys.modules, "pandas", None)


def test_a_file_is_a_table_under_its_path_without_the_ending(make: Make) -> None:
    bag = make({"labels.csv": LABELS, "folder/sizes.tsv": "a\tb\n1\t2\n", "a.png": "x"})
    assert bag.list_tables() == ["File", "folder/sizes", "labels"]
    frame = bag.get_table_as_dataframe("labels")
    assert list(frame["label"]) == ["cat", "dog"] and str(frame["weight"].dtype) == "float64"
    assert list(bag.get_table_as_dict("folder/sizes")) == [{"a": 1, "b": 2}]
    for name in ("sizes", "sizes.tsv", "folder/sizes.tsv"):
        assert list(bag.get_table_as_dict(name)) == [{"a": 1, "b": 2}], name


WRITTEN_BY_SPREADSHEETS = {
    "semicolons.csv": '\ufefffile;weight\r\n"a,1.png";1\r\n',
    "said.csv": 'sep=;\r\nfile;weight\r\n"a,1.png";1\r\n',
    "marked.csv": "\ufeffsep=|\r\nfile|weight\r\na,1.png|1\r\n",
    "commas.csv": 'file,"weight"\r\n"a,1.png",1\r\n',
    "packed.csv.gz": gzip.compress(b'file;weight\n"a,1.png";1\n'),
}


def test_what_spreadsheets_write_is_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A semicolon parts columns where a comma is part of a number; some programs say first what does."""
    bag = make(WRITTEN_BY_SPREADSHEETS)
    for weight in (1, "1"):
        for name in WRITTEN_BY_SPREADSHEETS:
            assert list(bag.get_table_as_dict(name)) == [{"file": "a,1.png", "weight": weight}], name
        monkeypatch.setitem(sys.modules, "pandas", None)


def test_a_packed_file_is_one_too(make: Make) -> None:
    bag = make({"labels.csv.gz": gzip.compress(LABELS.encode()), "Big.CSV": "a\n1\n"})
    assert bag.list_tables() == ["File", "Big", "labels"]
    assert [row["label"] for row in bag.get_table_as_dict("labels")] == ["cat", "dog"]


def test_the_ending_tells_two_of_one_name_apart(make: Make) -> None:
    bag = make({"a.csv": "x\n1\n", "a.tsv": "x\n2\n", "File.csv": "x\n3\n", ".csv": "x\n4\n"})
    assert bag.list_tables() == ["File", "File.csv", "a.csv", "a.tsv"]
    assert list(bag.get_table_as_dict("a.tsv")) == [{"x": 2}]
    assert list(bag.get_table_as_dict("File.csv")) == [{"x": 3}]
    assert len(list(bag.get_table_as_dict("File"))) == 4, "the catalog's table goes first"


def test_tables_of_nested_datasets_have_their_folder_before_the_name(make: Make) -> None:
    bag = make(
        {"sizes.csv": "x\n1\n"}, ("train", {"labels.csv": "x\n2\n"}), ("test", {"labels.csv": "x\n3\n"})
    )
    assert bag.list_tables() == ["File", "sizes", "test/labels", "train/labels"]
    assert list(bag.get_table_as_dict("test/labels")) == [{"x": 3}]
    with pytest.raises(
        DerivaMLRequestError, match="labels may be test/labels.csv or train/labels.csv: ask for one"
    ):
        list(bag.get_table_as_dict("labels"))
    [child, _] = bag.list_dataset_children()
    assert child.list_tables() == ["File", "labels"]
    paths = [row["Path"] for row in bag.get_table_as_dict("File")]
    assert paths == ["sizes.csv", "train/labels.csv", "test/labels.csv"]
    assert all((bag.path / path).is_file() for path in paths)


def test_files_of_one_name_without_a_path_are_told_apart(make: Make) -> None:
    bag = make({"x/a.csv": "x\n1\n", "y/a.csv": "x\n2\n"})
    rows = [
        {name: value for name, value in row.items() if name != "Path"} for row in bag.dataset.members["File"]
    ]
    bag = replace(bag, dataset=replace(bag.dataset, members={"File": rows}))
    assert bag.list_tables() == ["File", f"{rows[1]['RID']}/a", "a"]
    assert list(bag.get_table_as_dict(f"{rows[1]['RID']}/a")) == [{"x": 2}]


def test_a_table_that_is_not_there_is_refused_with_those_that_are(make: Make) -> None:
    bag = make({"labels.csv": LABELS})
    for read in (bag.get_table_as_dataframe, lambda name: list(bag.get_table_as_dict(name))):
        with pytest.raises(DerivaMLRequestError, match="has no table mood; it has File, labels$"):
            read("mood")


@pytest.mark.parametrize("content", ["a,b\n1,2,3\n4\n1,2,3,4\n", b"a,b\n\xff\xfe,\x00\n", "", b'a,b\n"1,2\n'])
@pytest.mark.parametrize("without", [False, True])
def test_a_damaged_table_is_one_line(
    make: Make, content: str | bytes, without: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without:
        monkeypatch.setitem(sys.modules, "pandas", None)
    bag = make({"x/bad.csv": content, "packed.csv.gz": b"no gzip"})
    for name in ("bad", "packed"):
        with pytest.raises(
            DerivaMLException, match=r"(bad.csv|packed.csv.gz) cannot be read as a table: ."
        ) as refused:
            list(bag.get_table_as_dict(name))
        assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("no_pandas")
def test_without_pandas_rows_are_texts_and_a_frame_says_what_to_install(make: Make) -> None:
    bag = make({"labels.csv": "\ufeff" + LABELS, "b.parquet": b"PAR1"})
    assert list(bag.get_table_as_dict("labels"))[1] == {"file": "b.png", "label": "dog", "weight": ""}
    with pytest.raises(DerivaMLRequestError, match="needs pandas, which is not installed: uv add pandas"):
        bag.get_table_as_dataframe("File")
    with pytest.raises(DerivaMLRequestError, match="b.parquet as a table needs pandas"):
        list(bag.get_table_as_dict("b"))


def test_parquet_says_what_to_install_where_nothing_reads_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, module, None)
    bag = make({"sizes.parquet": b"PAR1"})
    assert bag.list_tables() == ["File", "sizes"], "it is listed without being read"
    with pytest.raises(
        DerivaMLRequestError, match="sizes.parquet needs pyarrow, which is not installed: uv add pyarrow"
    ):
        bag.get_table_as_dataframe("sizes")


def test_parquet_is_read_by_pandas(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whichever engine is there; its errors are one line."""
    import pandas

    def read(path: Path) -> pandas.DataFrame:
        if path.read_bytes() != b"good":
            raise ValueError("Parquet magic bytes not\nfound in footer")
        return pandas.DataFrame({"x": [1, 2]})

    monkeypatch.setitem(sys.modules, "fastparquet", ModuleType("fastparquet"))
    monkeypatch.setattr(pandas, "read_parquet", read)
    bag = make({"sizes.parquet": b"good", "bad.parquet": b"bad"})
    assert list(bag.get_table_as_dict("sizes")) == [{"x": 1}, {"x": 2}]
    with pytest.raises(
        DerivaMLException, match="bad.parquet cannot be read as a table: Parquet magic bytes not found"
    ):
        bag.get_table_as_dataframe("bad")


def test_a_table_that_was_not_fetched_says_so(make: Make) -> None:
    bag = make({"labels.csv": LABELS}, fetched=False)
    assert bag.list_tables() == ["File", "labels"]
    with pytest.raises(
        DerivaMLRequestError, match="labels.csv was not fetched: take the dataset with materialize=True"
    ):
        bag.get_table_as_dataframe("labels")
