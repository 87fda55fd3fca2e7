"""A domain's own schema, as studies add one to a DerivaML catalog: members of their own kinds, and what these refer to."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def table(name: str, *columns: str, keys: tuple[tuple[str, ...], ...] = (), **references: str) -> Document:
    """A table of the schema ``lab`` for POST /schema.

    Args:
        columns: of texts; a name that ends in ``#`` is of whole numbers.
        keys: what is unique beside RIDs.
        references: by column (several joined by ``__``) ``schema:table:column``, several columns joined by a comma.
    """
    system = [
        {"name": one, "type": {"typename": f"ermrest_{one.lower()}"}, "nullok": False}
        for one in ("RID", "RCT", "RMT", "RCB", "RMB")
    ]
    for one in system:
        one["type"] |= {"is_domain": True, "base_type": {"typename": "text"}}  # type: ignore[operator]
    own = [
        {"name": one.rstrip("#"), "type": {"typename": "int8" if one.endswith("#") else "text"}}
        for one in columns
    ]
    return {
        "schema_name": "lab",
        "table_name": name,
        "kind": "table",
        "column_definitions": [*system, *own],
        "keys": [{"unique_columns": ["RID"]}, *({"unique_columns": list(key)} for key in keys)],
        "foreign_keys": [_reference(column, target) for column, target in references.items()],
    }


def _reference(columns: str, target: str) -> Document:
    schema, name, keys = target.split(":")
    return {
        "foreign_key_columns": [{"column_name": column} for column in columns.split("__")],
        "referenced_columns": [
            {"schema_name": schema, "table_name": name, "column_name": key} for key in keys.split(",")
        ],
    }


def association(one: str, other: str, *columns: str, **references: str) -> Document:
    """A table ``<one>_<other>`` that joins rows of two tables given as ``schema:table:key``."""
    left, right = one.split(":")[1], other.split(":")[1]
    ends = {left: one, right: other}
    return table(f"{left}_{right}", left, right, *columns, keys=((left, right),), **ends, **references)


DATASET, EXECUTION = "deriva-ml:Dataset:RID", "deriva-ml:Execution:RID"
SCAN, TYPE, ROLE = "lab:Scan Image:RID", "deriva-ml:Asset_Type:Name", "deriva-ml:Asset_Role:Name"

DOMAIN: Document = {
    "schema_name": "lab",
    "tables": {
        one["table_name"]: one
        for one in (
            table("Site", "Country", "Code", "City", keys=(("Country", "Code"),)),
            table("Species", "Name", keys=(("Name",),)),
            # Referred to by several columns, by a name, by itself; and in a circle with its last visit.
            table(
                *("Subject", "Name", "Country", "Site", "Species", "Mother", "Last_Visit"),
                Country__Site="lab:Site:Country,Code",
                Species="lab:Species:Name",
                Mother="lab:Subject:RID",
                Last_Visit="lab:Visit:RID",
            ),
            table("Visit", "Subject", "Age#", Subject="lab:Subject:RID"),
            table(
                *("Scan Image", "URL", "Filename", "Description", "Length#", "MD5", "Visit"),
                keys=(("URL",),),
                Visit="lab:Visit:RID",
            ),
            association(SCAN, TYPE),
            association(SCAN, EXECUTION, "Asset_Role", Asset_Role=ROLE),
            association(DATASET, SCAN),
            association(DATASET, "lab:Subject:RID"),
            # A page on the web that has the columns of a file; and what refers to a dataset without being a member.
            table("Page", "URL", "Filename", "Length#", "MD5"),
            table("Review", "Dataset", "Subject", "Text", Dataset=DATASET, Subject="lab:Subject:RID"),
        )
    },
}
