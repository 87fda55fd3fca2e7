"""The demo content: a real dataset and three models, the same on every machine, put into a catalog once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demo_files
from deriva_ml import demo
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID_DIGITS, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from models.digits import predict


@pytest.fixture(scope="module")
def files() -> dict[str, demo.DemoFile]:
    """The demo's files by name."""
    return {file.file_name: file for file in demo.FILES}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[EmbeddedCatalog]:
    """A new embedded catalog."""
    with closing(EmbeddedCatalog(Project(tmp_path))) as opened:
        yield opened


def arrays_of(file: demo.DemoFile) -> dict[str, Any]:
    """A file's arrays; a pickled one is an error."""
    with np.load(file.path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_every_image_is_in_one_part(files: dict[str, demo.DemoFile]) -> None:
    """The parts share no image and leave none out: together they are scikit-learn's digits."""
    from sklearn.datasets import load_digits

    parts = [arrays_of(files[f"digits_{name}.npz"]) for name in ("train", "heldout")]
    found = sorted(
        (bytes([label]) + image.tobytes())
        for part in parts
        for image, label in zip(part["images"], part["labels"], strict=True)
    )
    known = load_digits()
    wanted = sorted(
        bytes([label]) + image.astype(np.uint8).tobytes()
        for image, label in zip(known.images, known.target, strict=True)
    )
    assert found == wanted
    assert {part["images"].dtype for part in parts} == {np.dtype(np.uint8)}


def test_a_fifth_of_each_digit_is_held_out(files: dict[str, demo.DemoFile]) -> None:
    """Every digit is as frequent among the held-out images as among all."""
    heldout = np.bincount(arrays_of(files["digits_heldout.npz"])["labels"])
    train = np.bincount(arrays_of(files["digits_train.npz"])["labels"])
    np.testing.assert_array_equal(heldout, (heldout + train) // 5)


def test_same_images_without_the_data_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn keeps its data elsewhere, it is asked for the same images."""
    direct = demo_files.load_digits()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for one, other in zip(direct, demo_files.load_digits(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_files_are_what_their_script_makes(files: dict[str, demo.DemoFile]) -> None:
    """Made again, every file has the same content: it can be told where each number comes from."""
    assert demo_files.contents() == {name: file.path.read_bytes() for name, file in files.items()}


@pytest.mark.parametrize(("name", "least"), [("logistic", 0.88), ("mlp_small", 0.75), ("mlp_wide", 0.88)])
def test_models_read_digits(files: dict[str, demo.DemoFile], name: str, least: float) -> None:
    """The example's `predict` takes each weights file, and reads far more digits right than the tenth of a guess."""
    heldout = arrays_of(files["digits_heldout.npz"])
    read, _ = predict(arrays_of(files[f"{name}.npz"]), heldout["images"])
    assert (read == heldout["labels"]).mean() > least


def test_reserved_rids_are_never_minted(files: dict[str, demo.DemoFile]) -> None:
    """A catalog's own RIDs have no letter O; each of the demo's has one."""
    rids = [demo.WORKFLOW, demo.EXECUTION, demo.DATASET, *(file.rid for file in files.values())]
    assert len(set(rids)) == len(rids)
    assert all(set(rid.replace("-", "")) - set(RID_DIGITS) for rid in rids)


def test_recorded_with_its_provenance(catalog: EmbeddedCatalog, files: dict[str, demo.DemoFile]) -> None:
    """The dataset and every file are recorded under their RIDs, as outputs of the demo's execution."""
    assert demo.add_demo(catalog)
    dataset = catalog.lookup_dataset(demo.DATASET, "1.0.0")
    assert [row["Filename"] for row in dataset.members["File"]] == ["digits_heldout.npz", "digits_train.npz"]
    recorded = {asset.rid: asset for asset in catalog.assets_of(demo.EXECUTION)}
    assert {(asset.rid, asset.role) for asset in recorded.values()} == {
        (f.rid, "Output") for f in files.values()
    }
    for file in files.values():
        assert Path(catalog.locate(recorded[file.rid])).read_bytes() == file.path.read_bytes()
    assert catalog.lookup_execution(demo.EXECUTION).status is Status.uploaded


def test_made_once(
    catalog: EmbeddedCatalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second `create-demo-catalog` changes nothing, says so, and shows the same table."""
    (catalog.project.root / "pyproject.toml").touch()
    monkeypatch.chdir(catalog.project.root)
    assert demo.main([]) == 0
    first = capsys.readouterr().out.splitlines()
    assert demo.main([]) == 0
    second = capsys.readouterr().out.splitlines()
    assert "made" in first[0] and "already there" in second[0]
    assert first[1:] == second[1:]
    assert len(catalog.select_executions(Criteria())) == 1


@pytest.mark.parametrize("step", ["add_asset", "link_asset", "add_dataset", "update_execution"])
def test_finishes_what_was_interrupted(
    catalog: EmbeddedCatalog, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Stopped anywhere, it is complete after the next call, with nothing twice."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(catalog, step, stop)
        demo.add_demo(catalog)
    assert demo.add_demo(catalog)
    assert not demo.add_demo(catalog)
    assert len(catalog.assets_of(demo.EXECUTION)) == 5
    assert len(catalog.lookup_dataset(demo.DATASET).members["File"]) == 2


def test_names_the_missing_file(
    catalog: EmbeddedCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of its files it says so, and records nothing."""
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "demo.py"))
    with pytest.raises(DerivaMLRequestError, match=r"digits_train\.npz is not there"):
        demo.add_demo(catalog)
    assert catalog.select_executions(Criteria()) == []
