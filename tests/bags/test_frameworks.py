"""A bag is a dataset of PyTorch and of TensorFlow, which are stood in for by as much of them as is called."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bags.conftest import Make
from bags.study import study, value
from deriva_ml.bags.features import FeatureRecord
from deriva_ml.definitions import Row
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

PICTURES = {"cat/1.png": "one", "dog/2.png": "two", "labels.csv": "file,label\n1.png,cat\n2.png,dog\n"}


class TorchDataset:
    """Stands in for ``torch.utils.data.Dataset``."""


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ModuleType("torch.utils.data")
    data.Dataset = TorchDataset  # type: ignore[attr-defined]
    for name, module in (
        ("torch", ModuleType("torch")),
        ("torch.utils", ModuleType("torch.utils")),
        (data.__name__, data),
    ):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_generator(generator: Any, output_signature: Any) -> Any:
        return SimpleNamespace(signature=output_signature, epoch=lambda: list(generator()))

    made = ModuleType("tensorflow")
    vars(made).update(
        nest=SimpleNamespace(map_structure=lambda function, values: tuple(map(function, values))),
        type_spec_from_value=lambda one: type(one).__name__,
        data=SimpleNamespace(Dataset=SimpleNamespace(from_generator=from_generator)),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", made)


def read(path: Path | None, row: Row) -> str:
    assert path and row["RID"]
    return path.read_text()


@pytest.mark.usefixtures("torch")
def test_a_bag_is_a_dataset_of_torch(make: Make) -> None:
    bag = make(PICTURES)
    rids = [row["RID"] for row in bag.dataset.members["File"]]
    dataset = bag.as_torch_dataset("File", sample_loader=read, targets=["label"])
    assert isinstance(dataset, TorchDataset) and len(dataset) == 2
    assert [dataset[0], dataset[1]] == [("one", "cat", rids[0]), ("two", "dog", rids[1])]
    with pytest.raises(IndexError):  # by which Python ends a loop
        dataset[2]
    changed = bag.as_torch_dataset(
        *("File",),
        sample_loader=read,
        transform=str.upper,
        targets=["label", "folder"],
        target_transform=sorted,
    )
    assert changed[0] == ("ONE", ["folder", "label"], rids[0])
    plain = bag.as_torch_dataset("File", sample_loader=read)
    assert plain[0] == ("one", rids[0]) and len(plain) == 3
    row = {"file": "2.png", "label": "dog"}
    assert bag.as_torch_dataset("labels")[1] == (row, 1)
    assert bag.as_torch_dataset("labels", targets=["label"])[1] == (row, "dog", 1), (
        "rows of a table are samples, too"
    )


@pytest.mark.usefixtures("torch")
def test_a_table_cannot_say_where_a_file_is(make: Make) -> None:
    """Somebody else may have written it: no loader is given a path out of the bag."""
    bag = make({"trap.csv": "RID,URL,Filename,Length,MD5,Path\n1,/hatrac/x,/etc/passwd,1,0,../../x\n"})
    paths: list[Path | None] = []
    dataset = bag.as_torch_dataset(
        "trap", sample_loader=lambda path, row: paths.append(path), targets=["MD5"]
    )
    assert dataset[0] == (None, 0, 1) and paths == [None]
    with pytest.raises(DerivaMLRequestError, match="trap has no target folder"):
        make({"trap.csv": "a\n1\n"}).as_torch_dataset("trap", targets=["folder"])


@pytest.mark.usefixtures("torch")
def test_a_loader_in_other_processes_gets_the_same_dataset(make: Make) -> None:
    dataset = make(PICTURES).as_torch_dataset("File", sample_loader=read, targets=["label"])
    again = pickle.loads(pickle.dumps(dataset))
    assert isinstance(again, TorchDataset) and again[1] == dataset[1]


@pytest.mark.usefixtures("torch")
def test_values_of_features_are_targets(tmp_path: Path) -> None:
    bag = study(tmp_path, value(1, "I1", "Good"), value(2, "I1", "Bad"), value(3, "I2", "Good"))
    how = {"sample_loader": read, "targets": {"Quality": FeatureRecord.select_newest}}
    with pytest.raises(
        DerivaMLException, match="1 of 3 rows of Image have no value of Quality: I3; leave them out"
    ):
        bag.as_torch_dataset("Image", **how)
    skipped = bag.as_torch_dataset("Image", **how, missing="skip", target_transform=lambda one: one.Grade)
    assert [skipped[0], skipped[1]] == [("i1.png", "Bad", "I1"), ("i2.png", "Good", "I2")]
    kept = bag.as_torch_dataset(
        "Image", **how, missing="unknown", target_transform=lambda one: one and one.Grade
    )
    assert kept[2] == ("i3.png", None, "I3")
    with pytest.raises(DerivaMLRequestError, match="Visit has no target folder"):
        bag.as_torch_dataset("Visit", targets=["folder"])
    visits = bag.as_torch_dataset("Visit")
    assert [row["Day"] for row, _ in (visits[0], visits[1])] == ["1", "2"]
    with pytest.raises(
        DerivaMLRequestError, match="no member of dataset D1 is a row of Visit: say reachable=True"
    ):
        bag.as_torch_dataset("Visit", reachable=False)


@pytest.mark.usefixtures("tensorflow")
def test_a_bag_is_a_dataset_of_tensorflow(make: Make) -> None:
    """Which can be gone through more than once."""
    bag = make(PICTURES)
    dataset = bag.as_tf_dataset("File", sample_loader=read, targets=["label"])
    assert dataset.signature == ("str", "str", "str")
    assert dataset.epoch() == dataset.epoch() != []
    assert [one[:2] for one in dataset.epoch()] == [("one", "cat"), ("two", "dog")]
    assert bag.as_tf_dataset("labels", output_signature="given").signature == "given"
    empty = make({"labels.csv": "file,label\n"}).as_tf_dataset
    with pytest.raises(
        DerivaMLRequestError, match="there are no rows to tell the signature from: say output_signature="
    ):
        empty("labels")


@pytest.mark.usefixtures("torch")
def test_files_need_a_loader_and_their_content(make: Make) -> None:
    with pytest.raises(
        DerivaMLRequestError, match="rows of File are files: say how to load one, as in sample_loader="
    ):
        make(PICTURES).as_torch_dataset("File")
    dataset = make(PICTURES, fetched=False).as_torch_dataset("File", sample_loader=read)
    with pytest.raises(DerivaMLRequestError, match=r"1.png \(2-\d+\) was not fetched"):
        dataset[0]


def test_a_framework_that_is_not_installed_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    bag = make(PICTURES)
    with pytest.raises(
        DerivaMLRequestError, match="as_torch_dataset needs torch, which is not installed: uv add torch"
    ):
        bag.as_torch_dataset("File", sample_loader=read)
    with pytest.raises(
        DerivaMLRequestError, match="as_tf_dataset needs tensorflow, which is not installed: uv add"
    ):
        bag.as_tf_dataset("File", sample_loader=read)
