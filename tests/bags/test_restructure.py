"""Files of a bag are laid out in folders by what they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bags.conftest import Make
from bags.study import TABLES, quality, study, table, value
from deriva_ml.bags.features import FeatureRecord
from deriva_ml.dataset import DatasetBag
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

LABELS = "file,species,weight\ncat/1.png,cat,1\ndog/3.png,dog,2\n"
PICTURES = {"cat/1.png": "1", "cat/2.png": "2", "dog/3.png": "3"}


def laid_out(bag: DatasetBag, folder: Path, **how: Any) -> set[str]:
    """Where the files are, below the folder, each of which has what it was made of."""
    placed = bag.restructure_assets(folder, **how)
    for source, place in placed.items():
        assert source.read_bytes() == place.read_bytes()
    assert {path for path in folder.rglob("*") if not path.is_dir()} == set(placed.values())
    return {path.relative_to(folder).as_posix() for path in placed.values()}


def test_files_go_by_the_folder_that_they_lie_in(make: Make, tmp_path: Path) -> None:
    bag = make({**PICTURES, "top.png": "t"}, types=("Training",))
    assert laid_out(bag, tmp_path / "out", targets=["folder"]) == {
        *("training/cat/1.png", "training/cat/2.png", "training/dog/3.png"),
        "training/Unknown/top.png",
    }
    assert (tmp_path / "out/training/cat/1.png").is_symlink()
    assert laid_out(make(PICTURES), tmp_path / "plain", type_to_dir_map={}) == {"1.png", "2.png", "3.png"}


def test_files_go_by_a_column_of_a_table_that_names_them(make: Make, tmp_path: Path) -> None:
    """The table itself is none of them."""
    bag = make({**PICTURES, "labels.csv": LABELS})
    assert laid_out(bag, tmp_path / "a", targets=["species"], missing="skip") == {
        "testing/cat/1.png",
        "testing/dog/3.png",
    }
    both = laid_out(bag, tmp_path / "b", targets=["labels.species", "weight"])
    assert both == {"testing/cat/1/1.png", "testing/dog/2/3.png", "testing/Unknown/Unknown/2.png"}
    with pytest.raises(
        DerivaMLException, match="1 of 3 rows of File have no value of species: cat/2.png; leave them out"
    ):
        bag.restructure_assets(tmp_path / "c", targets=["species"], missing="error")
    assert not (tmp_path / "c").exists(), "nothing is written before all is known"


def test_types_of_nested_datasets_name_folders(make: Make, tmp_path: Path) -> None:
    def bag() -> DatasetBag:
        parts = ("train", {"a/1.png": "1"}), ("test", {"a/1.png": "2"})
        return make(
            {"a/0.png": "0"}, *parts, types=("Split",), nested_types=(("Training",), ("Other", "Testing"))
        )

    assert laid_out(bag(), tmp_path / "a", targets=["folder"]) == {"a/0.png", "training/a/1.png", "a/1.png"}
    folders = {"Training": "train", "Other": "val", "Split": "all"}
    assert laid_out(bag(), tmp_path / "b", type_to_dir_map=folders) == {
        "all/0.png",
        "all/train/1.png",
        "all/val/1.png",
    }
    chosen = laid_out(bag(), tmp_path / "c", type_selector=lambda types: types[-1])
    assert chosen == {"0.png", "training/1.png", "testing/1.png"}


def test_no_file_takes_the_place_of_another(make: Make, tmp_path: Path) -> None:
    """Also where the disk does not tell capital letters from small ones."""
    bag = make({"a/1.png": "1", "b/1.png": "2", "c/1.PNG": "3"})
    assert len(laid_out(bag, tmp_path / "out")) == 3
    names = {place.name.casefold() for place in (tmp_path / "out").rglob("*.*")}
    assert len(names) == 3
    assert len(laid_out(bag, tmp_path / "out")) == 3, "a second time is the same"


def test_copies_are_made_where_links_are_not_wanted_or_cannot_be(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = make(PICTURES)
    laid_out(bag, tmp_path / "a", use_symlinks=False)
    assert not (tmp_path / "a/testing/1.png").is_symlink()

    def refuse(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    laid_out(bag, tmp_path / "b")
    assert not (tmp_path / "b/testing/1.png").is_symlink()


def test_no_name_leads_out_of_the_folder(make: Make, tmp_path: Path) -> None:
    for number, label in enumerate(("..", "../../up", "/etc", "a/../b", "")):
        bag = make(
            {"1.png": "1", "labels.csv": f'file,label\n1.png,"{label}"\n'}, path=tmp_path / f"bag{number}"
        )
        out = tmp_path / "deep" / "er" / str(number)
        for path in bag.restructure_assets(out, targets=["label"]).values():
            assert (
                ".." not in path.parts and path.is_relative_to(out) and len(path.relative_to(out).parts) == 3
            )
    bag = make(PICTURES, types=("Training",))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "training").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DerivaMLException, match="is a link, and nothing below that is followed"):
        bag.restructure_assets(tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(DerivaMLException, match="cannot be written: "):
        bag.restructure_assets(tmp_path / "file" / "out")


def test_a_transformer_writes_the_files_itself(make: Make, tmp_path: Path) -> None:
    def upper(source: Path, place: Path) -> Path:
        made = place.with_suffix(".txt")
        made.write_text(source.read_text() * 2)
        return made

    placed = make({"a/1.png": "1"}).restructure_assets(tmp_path / "out", file_transformer=upper)
    assert [(path.name, path.read_text()) for path in placed.values()] == [("1.txt", "11")]


def test_files_that_were_not_fetched_are_left_out(make: Make, tmp_path: Path) -> None:
    assert make(PICTURES, fetched=False).restructure_assets(tmp_path / "out", targets=["folder"]) == {}


# ------------------------------------------------------------------------------------------------------------ features
def test_files_go_by_the_terms_of_a_feature(tmp_path: Path) -> None:
    bag = study(tmp_path / "bag", value(1, "I1", "Good"), value(2, "I2", "Bad"))
    assert laid_out(bag, tmp_path / "a", targets=["Quality"]) == {
        *("testing/Good/i1.png", "testing/Bad/i2.png", "testing/Unknown/i3.png"),
    }
    named = laid_out(
        bag,
        tmp_path / "b",
        targets=["Quality"],
        missing="skip",
        target_transform=lambda one: f"{one.Score:.0f}",
    )
    assert named == {"testing/1/i1.png", "testing/1/i2.png"}
    assert laid_out(bag, tmp_path / "c", targets=["Visit"], asset_table="Image") == {
        *("testing/V1/i1.png", "testing/V1/i2.png", "testing/V2/i3.png"),
    }
    with pytest.raises(
        DerivaMLRequestError, match="target_transform has to return the name of a folder, and returned int"
    ):
        bag.restructure_assets(tmp_path / "d", targets=["Quality"], target_transform=lambda one: 1)  # type: ignore[arg-type,return-value]


def test_one_of_several_values_has_to_be_chosen(tmp_path: Path) -> None:
    bag = study(
        tmp_path / "bag",
        value(1, "I1", "Good"),
        value(2, "I1", "Bad"),
        value(3, "I2", "Bad"),
        value(4, "I2", "Bad"),
    )
    with pytest.raises(DerivaMLRequestError, match="I1 has 2 values of Quality: choose one with targets="):
        bag.restructure_assets(tmp_path / "a", targets=["Quality"])
    newest = laid_out(bag, tmp_path / "b", targets={"Quality": FeatureRecord.select_newest}, missing="skip")
    assert newest == {"testing/Bad/i1.png", "testing/Bad/i2.png"}
    first = laid_out(bag, tmp_path / "c", targets=["Quality"], enforce_vocabulary=False)
    assert first == {"testing/Good/i1.png", "testing/Bad/i2.png", "testing/Unknown/i3.png"}


def test_several_rows_of_a_table_are_chosen_from_too(make: Make, tmp_path: Path) -> None:
    votes = "file,label\n1.png,a\n1.png,b\n1.png,b\n"
    bag = make({"1.png": "1", "votes.csv": votes})
    with pytest.raises(DerivaMLRequestError, match="1.png has 3 values of label"):
        bag.restructure_assets(tmp_path / "a", targets=["label"])
    majority = FeatureRecord.select_majority_vote("label")
    assert laid_out(bag, tmp_path / "b", targets={"label": majority}) == {"testing/b/1.png"}


def test_a_feature_without_terms_names_folders_only_when_that_is_said(tmp_path: Path) -> None:
    feature = type(quality())("Quality", quality().target)
    tables = {**TABLES, "Execution_Image_Quality": table("Score", "Grade", feature=feature)}
    bag = study(tmp_path / "bag", value(1, "I1", "A"), tables=tables)
    with pytest.raises(DerivaMLRequestError, match="Quality has no terms of a vocabulary to name folders"):
        bag.restructure_assets(tmp_path / "a", targets=["Quality"])
    with pytest.raises(
        DerivaMLRequestError, match="Quality has the columns Grade, .*Score: say which one names folders"
    ):
        bag.restructure_assets(tmp_path / "b", targets=["Quality"], enforce_vocabulary=False)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"targets": ["mood"]}, "File has no target mood: there is no such feature"),
        ({"targets": "folder"}, r"targets is a list: targets=\['folder'\]"),
        ({"targets": ["species"]}, "a.csv and labels.csv have a column species: say 'a.species'"),
        ({"targets": ["size"]}, "no column of sizes.csv says which files size is of"),
        ({"missing": "drop"}, "missing='drop' is none of error, skip, unknown"),
        ({"asset_table": "Image"}, "has no table of files called Image"),
        ({"asset_table": "labels"}, "has no table of files called labels"),
    ],
)
def test_what_is_wrong_is_one_line(make: Make, tmp_path: Path, how: dict[str, Any], message: str) -> None:
    bag = make({**PICTURES, "labels.csv": LABELS, "a.csv": LABELS, "sizes.csv": "size\n1\n"})
    with pytest.raises(DerivaMLRequestError, match=message) as refused:
        bag.restructure_assets(tmp_path / "out", **how)
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()
    with pytest.raises(DerivaMLRequestError, match="has files of no table: say asset_table=TABLE"):
        make({}).restructure_assets(tmp_path / "out")
