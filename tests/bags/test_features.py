"""A bag has the values that executions gave to its rows, chosen as upstream chooses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bags.study import quality, study, table, value
from deriva_double import DerivaDouble
from deriva_ml.bags.features import FeatureRecord
from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import Dataset
from deriva_ml.deriva.offline import OfflineCache
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from domain_schema import table as document
from remote_datasets.study import Study, workflow_type

Values = list[tuple[str, str | None]]
SELECT = FeatureRecord


@pytest.fixture
def bag(tmp_path: Path) -> DatasetBag:
    """One image that three values were given to, one with one, one with none."""
    return study(
        tmp_path,
        value(1, "I1", "Good"),
        value(2, "I1", "Bad", "E2"),
        value(3, "I1", "Good", "E2"),
        value(4, "I2", "Bad"),
    )


def values(bag: DatasetBag, **how: Any) -> Values:
    return [(one.Image, one.Grade) for one in bag.feature_values("Image", "Quality", **how)]


def test_a_feature_tells_of_its_tables_and_columns(bag: DatasetBag) -> None:
    [feature] = bag.find_features("Image")
    assert bag.find_features() == [feature] == [bag.lookup_feature("Image", "Quality")]
    assert bag.find_features("Subject") == []
    assert (feature.feature_name, feature.target_table.name) == ("Quality", "Image")
    assert feature.feature_table.name == "Execution_Image_Quality"
    assert [one.name for one in feature.term_columns] == ["Grade"] and not feature.asset_columns
    assert [one.name for one in feature.value_columns] == ["Score"]
    record = feature.feature_record_class()(Image="I1", Grade="Good")
    assert (record.Grade, record.feature) == ("Good", feature)


def test_all_values_are_given_without_a_selector(bag: DatasetBag) -> None:
    assert values(bag) == [("I1", "Good"), ("I1", "Bad"), ("I1", "Good"), ("I2", "Bad")]
    first = next(bag.feature_values("Image", "Quality"))
    assert first.model_dump() == {
        "RCT": "2026-01-01T00:00:01",
        "Image": "I1",
        "Grade": "Good",
        "Score": 1.0,
        "Execution": "E1",
        "Feature_Name": "Quality",
    }
    assert values(bag, execution_rids=["E2"]) == [("I1", "Bad"), ("I1", "Good")]
    assert values(bag, execution_rids=[]) == []


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        (SELECT.select_newest, {"I1": 3, "I2": 4}),
        (SELECT.select_latest, {"I1": 3, "I2": 4}),
        (SELECT.select_first, {"I1": 1, "I2": 4}),
        (SELECT.select_by_execution("E1"), {"I1": 1, "I2": 4}),
        (SELECT.select_by_execution("E2"), {"I1": 3}),
        (SELECT.select_majority_vote(), {"I1": 3, "I2": 4}),
        (SELECT.select_majority_vote("Execution"), {"I1": 3, "I2": 4}),
        (lambda records: records[0] if len(records) > 1 else None, {"I1": 1}),
    ],
)
def test_a_selector_chooses_one_for_each_row(bag: DatasetBag, selector: Any, chosen: dict[str, int]) -> None:
    found = bag.feature_values("Image", "Quality", selector=selector)
    assert {one.Image: int(one.RCT[-2:]) for one in found} == chosen


def test_a_workflow_is_chosen_by_among_those_of_the_bag(bag: DatasetBag) -> None:
    for workflow in ("W2", "grading 2"):
        assert bag.list_workflow_executions(workflow) == ["E2"]
        selector = SELECT.select_by_workflow(workflow, container=bag)
        assert values(bag, selector=selector) == [("I1", "Good")]
    with pytest.raises(NotFound, match="no execution of workflow W9 made a value in dataset D1"):
        SELECT.select_by_workflow("W9", container=bag)


def test_values_that_a_qualifier_tells_apart_are_chosen_from_apart(tmp_path: Path) -> None:
    rows = [{**value(n, "I1", grade), "Side": side} for n, (grade, side) in enumerate(["AL", "BL", "CR"], 1)]
    tables = {"Execution_Image_Quality": table("Grade", "Side", feature=quality(qualifiers=("Side",)))}
    bag = study(tmp_path, *rows, tables=tables)
    assert values(bag, selector=SELECT.select_newest) == [("I1", "B"), ("I1", "C")]


def test_what_is_wrong_is_one_line(bag: DatasetBag, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Image has no feature Mood in dataset D1; it has Quality$"):
        list(bag.feature_values("Image", "Mood"))
    with pytest.raises(NotFound, match="it has none: features are those of a Deriva catalog"):
        bag.lookup_feature("File", "Quality")
    with pytest.raises(
        DerivaMLRequestError, match="Quality has 4 values, and materialize_limit is 2: raise it"
    ):
        list(bag.feature_values("Image", "Quality", materialize_limit=2))
    two_terms = table("Grade", feature=quality(qualifiers=("Image",)))
    two_terms = table(
        "Grade", feature=type(two_terms.feature)("Quality", two_terms.feature.target, ("Grade", "Kind"))
    )  # type: ignore[union-attr,misc]
    other = study(tmp_path, value(1, "I1", "A"), tables={"Execution_Image_Quality": two_terms})
    with pytest.raises(
        DerivaMLRequestError, match="needs the name of a column to count; those of terms are: Grade, Kind"
    ):
        values(other, selector=SELECT.select_majority_vote())


# ---------------------------------------------------------------------------------------------------- from a catalog
SCHEMA = {
    "schema_name": "grading",
    "tables": {
        one["table_name"]: one | {"schema_name": "grading"}
        for one in (
            document("Grade", "ID", "URI", "Name", "Description", "Synonyms", keys=(("Name",),)),
            document(
                *(
                    "Execution_Subject_Quality",
                    "Execution",
                    "Subject",
                    "Feature_Name",
                    "Grade",
                    "Score#",
                    "Mask",
                ),
                keys=(("Execution", "Subject", "Feature_Name"),),
                Execution="deriva-ml:Execution:RID",
                Subject="lab:Subject:RID",
                Feature_Name="deriva-ml:Feature_Name:Name",
                Grade="grading:Grade:Name",
                Mask="deriva-ml:File:RID",
            ),
        )
    },
}


@pytest.fixture(params=["head", "1.17.10"])
def graded(request: pytest.FixtureRequest) -> Iterator[Study]:
    """A catalog whose subjects have a feature."""
    with DerivaDouble() as double:
        made = Study(double, request.param, SCHEMA)
        yield made
        made.server.close()


def filled(graded: Study) -> tuple[Dataset, dict[str, str]]:
    """A dataset of scans of subjects that were graded, and one that is none of its."""
    [workflow] = graded.add("Workflow", {"Name": "grading", **workflow_type(graded)})
    [execution] = graded.add("Execution", {"Workflow": workflow, "Description": ""})
    for name in ("Feature_Name", "Grade"):
        graded.add(name, {"Name": "Quality", "Description": "", "ID": f"x:{name}", "URI": f"/id/{name}"})
    ada, other = graded.add("Subject", {"Name": "Ada"}, {"Name": "Other"})
    [visit] = graded.add("Visit", {"Subject": ada})
    [mask] = graded.files("File", "mask.png")
    common = {"Execution": execution, "Feature_Name": "Quality", "Grade": "Quality"}
    graded.add(
        "Execution_Subject_Quality",
        {**common, "Subject": ada, "Score": 3, "Mask": mask},
        {**common, "Subject": other, "Score": 4, "Mask": mask},
    )
    inner = graded.dataset("inner", Scan_Image=graded.files("Scan Image", "a.tif", Visit=visit))
    dataset = graded.dataset("", Dataset=[inner], Scan_Image=graded.files("Scan Image", "b.tif"))
    graded.add("Dataset_Execution", {"Dataset": dataset, "Execution": execution})
    graded.version(dataset, "1.0.0")
    graded.version(dataset, "2.0.0")
    graded.change("Subject", ada, Name="Later")
    return graded.find(dataset, "1.0.0"), {
        "Subject": ada,
        "Execution": execution,
        "Workflow": workflow,
        "Mask": mask,
    }


def test_values_of_features_are_read_with_the_rows_that_have_them(graded: Study, tmp_path: Path) -> None:
    """Of what members refer to, too; with what the values refer to; and of no other row."""
    dataset, rids = filled(graded)
    bag = DatasetBag(dataset, tmp_path, (DatasetBag(dataset.nested[0], tmp_path),))
    known = OfflineCache(tmp_path / "known")
    known.keep_dataset(dataset, "1.0.0")
    assert OfflineCache(tmp_path / "known").dataset(dataset.rid, "1.0.0") == dataset
    assert [(one.dataset_version, one.description) for one in bag.dataset_history()] == [
        ("1.0.0", "is 1.0.0")
    ]
    [feature] = bag.find_features()
    assert (feature.feature_name, feature.target_table) == ("Quality", "Subject")
    assert (feature.term_columns, feature.asset_columns, feature.value_columns) == (
        {"Grade"},
        {"Mask"},
        {"Score"},
    )
    [found] = bag.feature_values("Subject", "Quality", selector=SELECT.select_newest)
    assert (found.Subject, found.Execution, found.Mask) == (rids["Subject"], rids["Execution"], rids["Mask"])
    assert (found.Score, found.Grade) == (3, "Quality")
    assert bag.list_workflow_executions(rids["Workflow"]) == [rids["Execution"]] == bag.list_executions()
    assert [row["Filename"] for row in bag.get_table_as_dict("File")] == ["mask.png"]
    wide = bag.get_denormalized_as_dict(["Scan Image", "Subject", "Execution_Subject_Quality"])
    rows = {row["Scan Image.Filename"]: row["Execution_Subject_Quality.Score"] for row in wide}
    assert rows == {"a.tif": 3, "b.tif": None}
    assert list(dataset.references) == [], "the values are of the nested dataset, whose member has them"
