"""Several tables of a bag become one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bags.conftest import Make
from bags.study import TABLES, study, table, value
from deriva_ml.bags.features import FeatureRecord
from deriva_ml.dataset import DatasetBag
from deriva_ml.exceptions import DerivaMLRequestError

FEATURE = "Execution_Image_Quality"


def wide(bag: DatasetBag, tables: list[str], *columns: str, **how: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (tuple(row[one] for one in columns) for row in bag.get_denormalized_as_dict(tables, **how)), key=repr
    )


def test_a_row_for_each_row_that_refers_to_the_others(tmp_path: Path) -> None:
    """Columns of what is referred to are repeated; a member that none refers to has a row of its own."""
    bag = study(tmp_path)
    assert wide(bag, ["Subject", "Image"], "Subject.Name", "Image.RID") == [
        ("Ada", "I1"),
        ("Ada", "I2"),
        ("Ada", "I3"),
        ("Bob", None),
    ]
    frame = bag.get_denormalized_as_dataframe(
        ["Image", "Visit"], system_columns=["RCB"], ignore_unrelated_anchors=True
    )
    assert len(frame) == 3 and list(frame["Visit.Day"]) == ["1", "1", "2"]
    assert {"Image.RCB", "Visit.RCB"} <= set(frame.columns) and "Image.RCT" not in frame.columns
    assert "Subject.Name" not in frame.columns


def test_columns_are_known_without_a_row(tmp_path: Path) -> None:
    columns = study(tmp_path).list_denormalized_columns(["Visit", "Subject"])
    names = ["Visit.RID", "Visit.Day", "Visit.Subject", "Subject.RID", "Subject.Name"]
    assert columns == [(name, "text") for name in names]


def test_features_are_joined_to_what_they_are_of(tmp_path: Path) -> None:
    """Each value gives a row; a row without any is there once. A selector leaves one of several."""
    bag = study(tmp_path, value(1, "I1", "Good"), value(2, "I1", "Bad", "E2"), value(3, "I2", "Good"))
    columns = ("Image.RID", f"{FEATURE}.Grade")
    every = [("I1", "Bad"), ("I1", "Good"), ("I2", "Good"), ("I3", None)]
    assert wide(bag, ["Image", FEATURE], *columns) == every
    assert wide(bag, ["Image", "Quality"], *columns) == every, "by the feature's name"
    newest = wide(bag, ["Image", FEATURE], *columns, selector=FeatureRecord.select_newest)
    assert newest == [("I1", "Bad"), ("I2", "Good"), ("I3", None)]
    own = wide(bag, ["Image", FEATURE], *columns, row_per=FEATURE)
    assert own == every, "as rows of the feature, images without a value being members that none refers to"
    assert wide(bag, [FEATURE, "Subject"], f"{FEATURE}.Grade", "Subject.Name") == [
        ("Bad", "Ada"),
        ("Good", "Ada"),
        ("Good", "Ada"),
        (None, "Bob"),
    ]
    with pytest.raises(
        DerivaMLRequestError, match="a selector is for one feature among the tables, and there are 0"
    ):
        wide(bag, ["Image"], "Image.RID", selector=FeatureRecord.select_newest)


def test_several_ways_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    tables = {**TABLES, "Image": table("Filename", Visit="Visit", Scanned="Visit", Owner="Subject")}
    bag = study(tmp_path, tables=tables)
    with pytest.raises(
        DerivaMLRequestError,
        match=r"several ways lead from Image to Subject: .* choose one with via=\['Visit'\]",
    ):
        wide(bag, ["Image", "Subject"], "Image.RID")
    plan = bag.describe_denormalized(["Image", "Subject"])
    assert [one["to"] for one in plan["ambiguities"]] == ["Subject"]
    assert ["Image", "Subject"] in plan["ambiguities"][0]["paths"]
    tables["Image"] = table("Filename", Visit="Visit", Owner="Subject")
    bag = study(tmp_path, tables=tables)
    for how in ({"via": ["Visit"]}, {}):
        chosen = ["Image", "Subject"] if how else ["Image", "Visit", "Subject"]
        assert ("I3", "Ada") in wide(bag, chosen, "Image.RID", "Subject.Name", **how)


@pytest.mark.parametrize(
    ("tables", "how", "message"),
    [
        (
            ["Image", "Subject"],
            {"row_per": "Subject"},
            "a row of Subject has several of Image: leave row_per='Subject' out",
        ),
        (["Image", "Subject"], {"row_per": "Visit"}, "row_per='Visit' is none of Image, Subject"),
        (
            ["Visit", "Grade"],
            {},
            "rows of Visit and Grade do not refer to each other in one direction: say row_per",
        ),
        (
            ["Visit", "Grade"],
            {"row_per": "Visit"},
            "no foreign key leads from Visit to Grade: leave Grade out",
        ),
        (
            ["Grade"],
            {},
            "members of Image, Subject have nothing to do with Grade: say ignore_unrelated_anchors=True",
        ),
        (["Mood"], {}, "dataset D1 has no table Mood; it has Image, Subject, Visit"),
        ([], {}, "include_tables is a list of at least one table"),
        ("Image", {}, "include_tables is a list of at least one table"),
    ],
)
def test_what_cannot_be_joined_is_one_line(
    tmp_path: Path, tables: Any, how: dict[str, Any], message: str
) -> None:
    bag = study(tmp_path)
    bag = replace(bag, dataset=replace(bag.dataset, members={**bag.dataset.members}))
    with pytest.raises(DerivaMLRequestError, match=message) as refused:
        list(bag.get_denormalized_as_dict(tables, **how))
    assert "\n" not in str(refused.value)
    plan = bag.describe_denormalized(tables, **how)
    assert [message.split(":")[0][:20] in one for one in plan["warnings"]] == [True], (
        "and describing it says so too"
    )


def test_tables_that_refer_to_each_other_need_to_be_told(tmp_path: Path) -> None:
    tables = {**TABLES, "Subject": table("Name", Last="Visit")}
    bag = study(tmp_path, tables=tables)
    with pytest.raises(DerivaMLRequestError, match="rows of Visit and Subject do not refer"):
        wide(bag, ["Visit", "Subject"], "Visit.RID")
    assert ("V1", "Ada") in wide(bag, ["Visit", "Subject"], "Visit.RID", "Subject.Name", row_per="Visit")


def test_describing_a_join_tells_how_it_is_made(tmp_path: Path) -> None:
    plan = study(tmp_path).describe_denormalized(["Image", "Subject"])
    assert plan.keys() == {
        *("row_per", "row_per_source", "row_per_candidates", "columns", "include_tables", "via", "join_path"),
        *("transparent_intermediates", "ambiguities", "estimated_row_count", "anchors", "source", "warnings"),
    }
    assert (plan["row_per"], plan["row_per_source"], plan["warnings"]) == ("Image", "auto-inferred", [])
    assert plan["join_path"] == ["Image", "Visit", "Subject"]
    assert plan["transparent_intermediates"] == ["Visit"]
    assert plan["estimated_row_count"] == {"in_scope_row_per_rows": 3, "orphan_rows": 1, "total": 4}
    assert plan["anchors"] == {"total": 5, "by_type": {"Image": 3, "Subject": 2}}


def test_the_ways_between_tables_are_listed(tmp_path: Path) -> None:
    found = study(tmp_path).list_schema_paths()
    assert found["member_types"] == ["Image", "Subject"]
    assert found["reachable_tables"] == {"Image": ["Subject", "Visit"], "Subject": []}
    assert found["feature_tables"] == [FEATURE]
    assert found["schema_paths"]["Image", "Subject"] == [
        {"path": ["Image", "Visit", "Subject"], "direct": False}
    ]
    only = study(tmp_path).list_schema_paths(["Visit"])["schema_paths"]
    assert ("Visit", "Subject") in only and ("Image", "Subject") not in only


# ---------------------------------------------------------------------------------------------------- without a server
PICTURES = {"cat/1.png": "1", "cat/2.png": "2", "dog/3.png": "3", "notes.txt": "n"}


def test_a_table_is_joined_to_the_files_that_a_column_of_it_names(make: Make) -> None:
    """By their paths below the bag or the table's folder, or by a name that only one file has."""
    for column in ("cat/1.png", "./cat/1.png", "cat\\1.png", "1.png"):
        bag = make({**PICTURES, "labels.csv": f"label,file\ncat,{column}\ndog,dog/3.png\nbird,4.png\n"})
        assert wide(bag, ["File", "labels"], "File.Path", "labels.label") == [
            ("cat/1.png", "cat"),
            ("cat/2.png", None),
            ("dog/3.png", "dog"),
            ("notes.txt", None),
            (None, "bird"),
        ]
    bag = make({"x/labels.csv": "file,label\n1.png,a\n", "x/1.png": "1", "y/1.png": "2"})
    assert ("x/1.png", "a") in wide(bag, ["File", "labels"], "File.Path", "x/labels.label")


def test_several_tables_are_joined_to_the_files_they_are_about(make: Make) -> None:
    bag = make(
        {
            **PICTURES,
            "labels.csv": "file,label\ncat/1.png,cat\ndog/3.png,dog\n",
            "boxes.csv": "file,box\ncat/1.png,1\ncat/1.png,2\n",
        }
    )
    rows = wide(bag, ["File", "labels", "boxes"], "File.Path", "labels.label", "boxes.box")
    assert (
        ("cat/1.png", "cat", 1) in rows
        and ("cat/1.png", "cat", 2) in rows
        and ("dog/3.png", "dog", None) in rows
    )
    assert not {"labels.csv", "boxes.csv"} & {row[0] for row in rows}
    assert bag.list_denormalized_columns(["labels"]) == [("labels.file", "text"), ("labels.label", "text")]


def test_a_table_that_names_no_file_stands_for_itself(make: Make) -> None:
    bag = make({**PICTURES, "sizes.csv": "name,size\na,1\nb,2\n"})
    assert list(bag.get_denormalized_as_dataframe(["sizes"])["sizes.size"]) == [1, 2]
    with pytest.raises(DerivaMLRequestError, match="do not refer to each other"):
        bag.get_denormalized_as_dataframe(["sizes", "File"])


def test_tables_of_nested_datasets_name_their_files(make: Make) -> None:
    bag = make({}, ("train", {"labels.csv": "file,label\n1.png,a\n", "1.png": "1"}), ("test", {"1.png": "2"}))
    assert wide(bag, ["File", "labels"], "File.Path", "train/labels.label") == [
        ("test/1.png", None),
        ("train/1.png", "a"),
    ]
