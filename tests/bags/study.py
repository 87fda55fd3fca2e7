"""Bags of a Deriva catalog, as they are once they were read: rows, and what the catalog says of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bags.conftest import row
from deriva_ml.dataset import DatasetBag
from deriva_ml.definitions import Dataset, FeatureDefinition, ForeignKey, TableDefinition

Row = dict[str, Any]


def table(*columns: str, feature: FeatureDefinition | None = None, **references: str) -> TableDefinition:
    """A table of texts; references by column, to the RID of a table (or ``Table.column``)."""
    keys = []
    for column, target in references.items():
        other, _, key = target.partition(".")
        keys.append(ForeignKey((column,), other, (key or "RID",)))
    system = dict.fromkeys(("RID", "RCT", "RMT", "RCB", "RMB"), "text")
    return TableDefinition(
        system | dict.fromkeys(columns, "text") | dict.fromkeys(references, "text"), tuple(keys), feature
    )


def quality(**more: Any) -> FeatureDefinition:
    target = ForeignKey(("Image",), "Image", ("RID",))
    return FeatureDefinition("Quality", target, terms=("Grade",), **more)


TABLES = {
    "Subject": table("Name"),
    "Visit": table("Day", Subject="Subject"),
    "Image": table("URL", "Filename", "Length", "MD5", Visit="Visit"),
    "Grade": table("Name", "ID", "URI", "Description", "Synonyms"),
    "Execution": table("Workflow"),
    "Workflow": table("Name"),
    "Execution_Image_Quality": table(
        "Feature_Name", "Score", feature=quality(), Image="Image", Execution="Execution", Grade="Grade.Name"
    ),
}


def system(rid: str, second: int = 0) -> Row:
    return {"RID": rid, "RCT": f"2026-01-01T00:00:{second:02}", "RMT": "", "RCB": "ada", "RMB": "ada"}


def images(path: Path, *visits: str | None) -> list[Row]:
    """An image for each visit, ``I1`` and so on, whose content is its name."""
    return [
        {
            **row(path, f"i{number}.png", f"i{number}.png"),
            **system(f"I{number}"),
            "Visit": visit,
            "Path": None,
        }
        for number, visit in enumerate(visits, 1)
    ]


def value(number: int, image: str, grade: str | None, execution: str = "E1", score: float = 1.0) -> Row:
    """A value of the feature."""
    cells = {
        "Image": image,
        "Grade": grade,
        "Score": score,
        "Execution": execution,
        "Feature_Name": "Quality",
    }
    return {**system(f"Q{number}", number), **cells}


def study(path: Path, *values: Row, **more: Any) -> DatasetBag:
    """Three images of two visits of one of two subjects that are members, with values."""
    members = {
        "Image": images(path, "V1", "V1", "V2"),
        "Subject": [{**system("S1"), "Name": "Ada"}, {**system("S2"), "Name": "Bob"}],
    }
    references = {
        "Visit": [{**system(f"V{n}"), "Day": str(n), "Subject": "S1"} for n in (1, 2)],
        "Execution": [{**system(f"E{n}"), "Workflow": f"W{n}"} for n in (1, 2)],
        "Workflow": [{**system(f"W{n}"), "Name": f"grading {n}"} for n in (1, 2)],
    }
    if values:
        references["Execution_Image_Quality"] = list(values)
    dataset = Dataset("D1", "1.0.0", members=members, references=references, **{"tables": TABLES, **more})
    return DatasetBag(dataset, path)
